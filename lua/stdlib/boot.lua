--- The command line: `hkrun COMMAND ARGS`, `hkrun RECIPE.lua`, `hkrun -e CODE`.
--- A command is lua/stdlib/command/NAME.lua: { help=, main=function(args) -> exit code }.
local errors = require "errors"
local task = require "task"

--- An undeclared global is a mistake, in our code and in recipes.
setmetatable(_G, {
  __newindex = function(_, name) error("assignment to the undeclared global " .. tostring(name), 2) end,
  __index = function(_, name) error("the undeclared global " .. tostring(name), 2) end,
})

local function commands()
  local list = {}
  for _, name in ipairs(require "host.resource".list "stdlib/command/") do
    list[#list + 1] = name:match "command/(.-)%.lua$"
  end
  return list
end

--- The commands as --help lists them: what is needed first and most comes first.
local GROUPS = {
  { "run a recipe", "plan", "apply", "status", "rollback", "destroy", "prune" },
  { "what it did", "report", "log", "policy", "export" },
  { "write one and try it", "rehearse", "new", "test", "types", "sandbox" },
  { "databases", "pg", "redis" },
  { "ask AWS", "repl", "eval" },
  { "else", "run", "version" },
}

local function usage()
  local log = require "log"
  log.out "usage: hkrun RECIPE.lua [--option value ...] | hkrun COMMAND ... | hkrun"
  local listed = {}
  local function list(name)
    listed[name] = true
    log.out("  %-10s %s", name, require("command." .. name).help)
  end
  for _, group in ipairs(GROUPS) do
    log.out("\n%s", log.color("bold", group[1], 1))
    for i = 2, #group do list(group[i]) end
  end
  for _, name in ipairs(commands()) do
    if not listed[name] then list(name) end
  end
  log.out "\nWith each: -v says more, --read-only refuses what could change something. `hkrun RECIPE.lua --help` lists a recipe's options,"
  log.out "`hkrun help COMMAND` (or COMMAND --help) tells more of a command; hkrun alone is a console."
end

local function find(args)
  local first = args[1]
  if first == nil then return "repl", args end
  if first == "help" and args[2] then return find { args[2], "--help" } end
  if first == "-h" or first == "--help" or first == "help" then return nil end
  if first == "--version" then return "version", args end
  if first == "-e" or first == "-" then return "eval", args end
  if first:find "%.lua$" then return "apply", args end
  for _, name in ipairs(commands()) do
    if name == first then return name, table.pack(table.unpack(args, 2)) end
  end
  local near = require "options".suggestion(first, commands())
  errors.usage("hkrun has no command %s%s", first, near ~= "" and near or "; `hkrun --help` lists them, and a recipe is a .lua file")
end

local function main(args)
  local name, rest = find(args)
  if not name then usage() return 0 end
  rest.n = nil
  return require("command." .. name).main(rest)
end

return function()
  local args, verbose = {}, false
  for _, word in ipairs(arg) do
    if word == "-v" then verbose = true
    elseif word == "--read-only" then require("readonly").set(true, "run it without --read-only to allow it")
    else args[#args + 1] = word end
  end
  local ok, code = task.run(main, args)
  if ok then return code or 0 end
  if not (errors.is(code, "cancelled") or code.shown) then
    require("log").failure("hkrun: " .. errors.text(code, not require("term").is_tty(2)))
  end
  for _, line in ipairs(errors.story(code, verbose)) do io.stderr:write(line, "\n") end
  return task.is_stopping() and 130 or errors.exit_code(code)   -- also where it failed on the way
end
