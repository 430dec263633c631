--- The live view of a run on a terminal. The programs that type and that show are not ours: pexpect and pyte (live_judge.py).
local fs = require "fs"
local process = require "process"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"
local lib = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")

--- Three stages; the second one copies rows until the file "go" is there, and says a line whenever "say" is.
local RECIPE = [[
local recipe, task, fs, log = require "recipe", require "task", require "fs", require "log"
local thing = recipe.kind {
  name = "toy.thing", options = { { "of", "what it is part of", type = "table" } }, tagless = true,
  read = function(spec) return fs.exists(spec.name) and { id = spec.name } or nil end,
  create = function(spec) fs.write(spec.name, "") return spec.name end,
  delete = function(current) fs.remove(current.id) end,
}
recipe.options {}
recipe.stage "one"
local a = thing { "a" }
thing { "b", of = a }
thing { "Ding-日本語" }
recipe.stage "two"
if os.getenv "ASK" then recipe.confirm "Go on with it?" end
recipe.once("copy", function()
  local p <close> = log.progress { what = "rows", total = 2000, unit = "rows" }
  local n = 0
  while not fs.exists "go" do
    n = n + 1
    if fs.exists "say" then
      log.info("line %d is said while it goes on, and it is long enough for a terminal of few columns", n)
      fs.remove "say"
    end
    p:update(1000 + n % 2)
    task.sleep(0.005)
  end
end)
recipe.stage "three"
thing { "c" }
thing { "d" }
recipe.once("verify", function() end)
]]

local function judge(case)
  local dir = test.tmpdir()
  fs.write(dir .. "/move.lua", RECIPE)
  local r = process.run { test.tool "python3", fs.realpath "tests/recipes/live_judge.py", exe, case, cwd = dir, timeout = 200,
    env = { PATH = os.getenv "PATH", HOME = dir, TERM = "xterm", HKRUN_LIB = lib, HKRUN_SETTLE = "0" } }
  test.equal({ r.code, r.stdout }, { 0, "ok\n" }, r.stderr)
end

T["80x24, resized to 200x50, 40x10 and 17x6 while it runs, on a terminal that cuts lines"] = function() judge "follows" end
T["the same on a terminal that breaks lines anew: nothing of the view is left, nothing that was said is lost"] = function() judge "breaks" end
T["every line above the view stays as it was said, and nothing of the view is left"] = function() judge "intact" end
T["200x50 with NO_COLOR and without UTF-8"] = function() judge "plain" end
T["a dumb terminal gets plain lines"] = function() judge "dumb" end
T["a question has the bottom of the terminal to itself; Ctrl-C takes the view away"] = function() judge "asks" end
T["Ctrl-Z leaves a clean terminal, and fg brings the view back"] = function() judge "stops" end
T["status --watch shows the same view in another terminal"] = function() judge "watch" end

return T
