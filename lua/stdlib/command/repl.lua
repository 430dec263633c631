--- hkrun repl: lines of Lua with the modules at hand. Lines that begin with a space or name a secret stay out of the
--- history.
local errors = require "errors"
local fs = require "fs"
local log = require "log"
local shell = require "shell"
local task = require "task"
local term = require "term"

local function history_path()
  local own = os.getenv "HKRUN_HISTORY"
  if own then return own ~= "" and own or nil end
  local home = os.getenv "HOME"
  if not home then return nil end
  return (os.getenv "XDG_STATE_HOME" or home .. "/.local/state") .. "/hkrun/history"
end

local function worth_remembering(line)
  return line:find "%S" and not line:find "^%s" and not line:lower():find "secret" and not line:lower():find "password"
end

local function evaluate(env, code)
  local chunk, err = shell.compile(code, env, "=repl")
  if not chunk then
    if err:find "<eof>'?$" then return "more" end
    log.out("%s", err)
    return
  end
  local r = table.pack(xpcall(chunk, errors.handler))
  if not r[1] then
    if errors.is(r[2], "cancelled") then error(r[2], 0) end
    log.out("%s", tostring(r[2]))
    if log.verbose and r[2].traceback then log.out("%s", r[2].traceback) end
    return
  end
  shell.print(table.pack(table.unpack(r, 2, r.n)), shell.show)
end

local function loop(read)
  local env, pending = shell.environment(), nil
  while true do
    local line = read(pending)
    if line == nil then return 0 end
    local code = pending and pending .. "\n" .. line or line
    pending = nil
    if code:find "%S" and evaluate(env, code) == "more" then pending = code end
  end
end

return {
  help = "lines of Lua with aws, heroku, pg, redis, ssh at hand",
  main = function()
    if not term.is_tty(0) then
      return loop(function() return io.read "l" end)
    end
    local editor <close> = errors.check("use the terminal", term.editor())
    local path = history_path()
    if path and fs.exists(path) then editor:load(path) end
    log.out "hkrun: Lua 5.4 with aws, heroku, pg, redis, ssh, json, yaml, task. Ctrl-D leaves."
    local code = loop(function(pending)
      editor:begin(pending and ">> " or "> ")
      local line = task.step(editor, "line")
      if line and worth_remembering(line) then editor:remember(line) end
      return line
    end)
    if path then
      fs.mkdir_p(path:match "^(.*)/" or ".", 448)
      errors.check("save the history", editor:save(path))
      fs.chmod(path, 384)
    end
    return code
  end,
}
