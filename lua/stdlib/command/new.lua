--- hkrun new recipe NAME, hkrun new noun NAME: writes a small one that works, and its test.
local errors = require "errors"
local fs = require "fs"
local log = require "log"
local options = require "options"
local resource = require "host.resource"

local HELP = {
  "usage: hkrun new recipe NAME | hkrun new noun NAME",
  "  recipe  writes NAME.lua, a small recipe that works, and NAME_test.lua, its test against the rehearsal cloud",
  "  noun    writes NAME.lua, a noun of your own over an AWS service, and NAME_test.lua",
  "NAME may have a folder before it: recipes/alerts. A file that is there is never overwritten.",
}

local NEXT = {
  recipe = {
    { "hkrun test %s_test.lua", "its test, in a cloud on this machine: no account, no network" },
    { "hkrun %s.lua --help", "what it does, and its options" },
    { "hkrun plan %s.lua --email you@example.com", "what it would do; changes nothing" },
    { "hkrun types", "once, so that your editor completes recipes (Lua language server)" },
  },
  noun = { { "hkrun test %s_test.lua", "its test, in a cloud on this machine: no account, no network" } },
}

local function say_next(list, path)
  local width = 0
  for _, line in ipairs(list) do width = math.max(width, #line[1]:format(path)) end
  for _, line in ipairs(list) do log.out("  %s  # %s", ("%-" .. width .. "s"):format(line[1]:format(path)), line[2]) end
end

--- The name without its folder; raises for one that cannot be.
local function check_name(what, path)
  local folder, name = path:match "^(.-)([^/]*)$"
  if not name:find(what == "noun" and "^%a[%w_]*$" or "^%a[%w_%-]*$") then
    errors.usage("%s cannot be the name of a %s: letters, digits%s and _, a letter first", path, what, what == "noun" and "" or ", -")
  end
  if what == "noun" and (not load("local " .. name) or resource.list("stdlib/" .. name .. ".lua")[1]) then
    errors.usage("%s cannot be the name of a noun: Lua or hkrun has it already", name)
  end
  if folder ~= "" and not fs.exists(folder) then errors.usage("there is no folder %s", folder) end
  return name
end

--- The template with the name in place of @NAME@, and as AWS likes it, with - for _, in place of @name@.
local function filled(template, name)
  local text = resource.read("stdlib/template/" .. template)
  return (text:gsub("@(%a+)@", { NAME = name, name = name:lower():gsub("_", "-") }))
end

return {
  help = "writes a recipe or a noun to begin with, and its test",
  main = function(args)
    local what, path = args[1], args[2]
    if what == "--help" or what == "-h" then
      for _, line in ipairs(HELP) do log.out("%s", line) end
      return 0
    end
    local follow = NEXT[what]
    if not what then errors.usage("hkrun new needs to know what: hkrun new recipe NAME") end
    if not follow then errors.usage("hkrun new makes a recipe or a noun, not %s%s", what, options.suggestion(what, { "recipe", "noun" })) end
    if not path then errors.usage("hkrun new %s needs a name: hkrun new %s NAME", what, what) end
    if args[3] then errors.usage("hkrun new %s takes one name, and %s is a second", what, args[3]) end
    path = path:gsub("%.lua$", "")
    local name = check_name(what, path)
    local files = { [path .. ".lua"] = what .. ".lua", [path .. "_test.lua"] = what .. "_test.lua" }
    for file in pairs(files) do
      if fs.exists(file) then errors.usage("%s is there already; nothing was written", file) end
    end
    for file, template in pairs(files) do fs.write(file, filled(template, name), 420) end
    log.out("wrote %s.lua and %s_test.lua. Next:", path, path)
    say_next(follow, path)
    return 0
  end,
}
