--- The second Ctrl-C ends a run at once, whatever it does: the terminal must be as it was. The programs that type and that
--- show are not ours: pexpect and pyte (terminal_judge.py).
local fs = require "fs"
local process = require "process"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"
local lib = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")

--- Whatever is on the screen, a task computes and never waits: no Ctrl-C is heard but by the signal's handler.
local RECIPE = [[
local recipe, task, fs = require "recipe", require "task", require "fs"
local BUSY, CASE = os.getenv "BUSY", os.getenv "CASE"
local function compute()
  while not fs.exists(BUSY .. ".go") do task.sleep(0.01) end
  fs.write(BUSY, "")
  while true do end
end
local slow = recipe.kind {
  name = "toy.slow", options = {}, tagless = true,
  read = function(spec) return fs.exists(spec.name) and { id = spec.name } or nil end,
  create = function(spec) if CASE == "progress" then compute() end fs.write(spec.name, "") return spec.name end,
  delete = function(current) fs.remove(current.id) end,
}
if CASE == "confirm" or CASE == "secret" then task.spawn(compute) end
recipe.options { CASE == "secret" and { "key", "the key", type = "secret", required = true } or nil }
slow { "one" }
]]

local function judged(case, ...)
  local dir = test.tmpdir()
  fs.write(dir .. "/r.lua", RECIPE)
  local env = { PATH = os.getenv "PATH", HOME = dir, TERM = "xterm", LANG = "C.UTF-8", NO_COLOR = "1", HKRUN_LIB = lib,
                BUSY = dir .. "/busy", CASE = case }
  if case == "confirm" then
    local made = process.run { exe, "apply", "r.lua", "--yes", cwd = dir, env = { PATH = env.PATH, HOME = dir, BUSY = env.BUSY, HKRUN_LIB = lib } }
    test.equal(made.code, 0, made.stderr)
  end
  local r = process.run { test.tool "python3", fs.realpath "tests/recipes/terminal_judge.py", exe, dir .. "/busy", case, cwd = dir, env = env,
                          timeout = 200, ... }
  test.equal({ r.code, r.stdout }, { 0, "ok\n" }, r.stderr)
end

T["where a name is to be typed"] = function() judged("confirm", "destroy", "r.lua") end
T["in the console Ctrl-C ends the call as often as it comes, and Ctrl-D the console"] = function() judged("console", "repl") end
T["where a secret is typed"] = function() judged("secret", "plan", "r.lua") end
T["in the progress of a call: its lines are gone too"] = function() judged("progress", "apply", "r.lua", "--yes") end

return T
