--- hkrun -e CODE, hkrun - (code from standard input): runs Lua with the modules at hand and prints what it returns: on a
--- terminal as the REPL does, else JSON, a document for each value, and text as it is. --json and --table ask for either.
local errors = require "errors"
local log = require "log"
local shell = require "shell"
local term = require "term"

local USAGE = [[
usage: hkrun -e CODE [--json | --table]      (or: hkrun eval CODE)
       hkrun - [--json | --table]            the code from standard input
Runs Lua with the modules of the REPL at hand, and prints what it returns: on a terminal as a table, else as JSON.
With --read-only it refuses what could change something.]]

--- The code and the format of the arguments, which may stand in any order.
local function read_args(args)
  local code, format
  for i, word in ipairs(args) do
    if word == "--json" or word == "--table" then format = word:sub(3)
    elseif word == "-" and not code then code = io.read "a"
    elseif word ~= "-e" or code then
      if code then errors.usage("hkrun -e takes one piece of code; %s is more", word) end
      code = args[i]
    end
  end
  if not code then errors.usage "hkrun -e needs code" end
  return code, format or term.is_tty(1) and "table" or "json"
end

return {
  help = "runs a line of Lua: hkrun -e 'aws.sts:get_caller_identity{}'",
  main = function(args)
    if args[1] == "--help" or args[1] == "-h" then
      log.out("%s", USAGE)
      return 0
    end
    local code, format = read_args(args)
    local chunk, err = shell.compile(code, shell.environment(), "=code")
    if not chunk then errors.raise(err) end
    shell.print(table.pack(chunk()), format == "table" and shell.show or shell.json)
    return 0
  end,
}
