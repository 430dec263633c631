--- The REPL's own commands: lines that begin with a colon.
local aws = require "aws"
local config = require "aws.config"
local errors = require "errors"
local log = require "log"
local options = require "options"
local readonly = require "readonly"
local sorted_keys = require "sorted_keys"

local M = {}

--- What is completed after `:region `; any other that AWS has can be typed.
local REGIONS = {}
for name in ([[af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2
  ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 ca-central-1
  ca-west-1 cn-north-1 cn-northwest-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2
  eu-west-3 il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-gov-east-1 us-gov-west-1
  us-west-1 us-west-2]]):gmatch "%S+" do REGIONS[#REGIONS + 1] = name end

local function profiles()
  local found, names = config.read(), {}
  for _, sections in ipairs { found.profiles, found.credentials } do
    for name in pairs(sections) do names[name] = true end
  end
  local list = {}
  for name in pairs(names) do list[#list + 1] = name end
  return list
end

local SWITCH = { on = true, off = false }

--- Turns a setting of the session on or off; the other way round when nothing is said.
local function switch(session, name, word)
  if word == "" then session[name] = not session[name]
  elseif SWITCH[word] == nil then errors.usage(":%s takes on or off, not %s", name, word)
  else session[name] = SWITCH[word] end
  log.out("%s is %s", name, session[name] and "on" or "off")
end

local HINT = "`:write on` allows it"

local COMMANDS = {
  profile = { "NAME", "the profile of ~/.aws whose credentials and region are used", profiles,
    function(_, name)
      if name == "" then return log.out("profile %s", (config.profile_name(aws.used().profile))) end
      config.profile(name)
      aws.use { profile = name }
    end },
  region = { "NAME", "the region of the calls", function() return REGIONS end,
    function(_, name)
      if name == "" then return log.out("region %s", config.region(aws.used().region, aws.used().profile)) end
      if not name:find "^%l%l%l*%-[%l-]+%-%d+$" then
        errors.usage("%q is not the name of an AWS region%s", name, options.suggestion(name, REGIONS))
      end
      aws.use { region = name }
    end },
  time = { "[CODE]", "how long each entry takes, on or off; with code: how long that takes", { "on", "off" },
    function(session, word)
      if word == "" or SWITCH[word] ~= nil then switch(session, "time", word) else session:evaluate(word, true) end
    end },
  write = { "on|off", "whether calls that change something are allowed; off at the beginning", { "on", "off" },
    function(_, word)
      if word ~= "" then
        if SWITCH[word] == nil then errors.usage(":write takes on or off, not %s", word) end
        readonly.set(not SWITCH[word], HINT)
      end
      log.out(readonly.is_on() and "read-only: what could change something is refused" or "writing is allowed")
    end },
  json = { "[on|off]", "results as JSON", { "on", "off" }, function(session, word) switch(session, "json", word) end },
  quit = { "", "leaves, as Ctrl-D does", nil, function(session) session.over = true end },
  help = { "", "this list; help(x) is about AWS and the modules", nil, function(session) session:page(M.list()) end },
}

--- The commands and what they do.
---@return string
function M.list()
  local lines = {}
  for _, name in ipairs(sorted_keys(COMMANDS)) do
    local c = COMMANDS[name]
    lines[#lines + 1] = ("  %-18s %s"):format(":" .. name .. (c[1] ~= "" and " " .. c[1] or ""), c[2])
  end
  return table.concat(lines, "\n")
end

--- Makes a session read-only, as it begins.
function M.begin() readonly.set(true, HINT) end

---@param line string
---@return boolean
function M.is_command(line) return line:find "^%s*:%a" ~= nil end

--- Runs `:name argument`; raises "usage" for an unknown one.
---@param session table
---@param line string
function M.run(session, line)
  local name, argument = line:match "^%s*:(%a+)%s*(.-)%s*$"
  local command = COMMANDS[name]
  if not command then errors.usage("there is no command :%s%s", name, options.suggestion(name, sorted_keys(COMMANDS))) end
  command[4](session, argument)
end

--- Completes a line that begins with a colon; nil for another.
---@param line string
---@return repl.Completion?
function M.complete(line)
  local word = line:match "^%s*:(%a*)$"
  local name, argument = line:match "^%s*:(%a+)%s+(%S*)$"
  if not (word or name) then return nil end
  local list = word and sorted_keys(COMMANDS) or COMMANDS[name] and COMMANDS[name][3] or {}
  if type(list) == "function" then
    local ok, found = pcall(list)
    list = ok and found or {}
  end
  local items = {}
  for _, item in ipairs(list) do
    if item:sub(1, #(word or argument)) == (word or argument) then items[#items + 1] = item end
  end
  table.sort(items)
  return { word = word or argument, items = items, suffix = word and " " or "" }
end

return M
