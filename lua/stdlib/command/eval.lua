--- hkrun -e CODE, hkrun - (code from standard input): runs Lua with the modules at hand, prints what it returns.
local errors = require "errors"
local shell = require "shell"

return {
  help = "runs a line of Lua: hkrun -e 'aws.sts:get_caller_identity{}'",
  main = function(args)
    local code
    if args[1] == "-" then
      code = io.read "a"
    else
      code = args[1] == "-e" and args[2] or args[1]
    end
    if not code then errors.usage("hkrun -e needs code") end
    local chunk, err = shell.compile(code, shell.environment(), "=code")
    if not chunk then errors.usage("%s", err) end
    shell.print(table.pack(chunk()), function(v) return type(v) == "string" and v or shell.show(v) end)
    return 0
  end,
}
