--- The second Ctrl-C ends a run at once, whatever it does: the terminal must be as it was. The programs that type and that
--- show are not ours: pexpect and pyte (terminal_judge.py).
local fs = require "fs"
local process = require "process"
local test = require "test"
local width = require "host.width"
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

--- What hkrun writes on a terminal of so many columns; nil: on none.
local function written(columns, dir, ...)
  local env = { PATH = os.getenv "PATH", HOME = dir, TERM = "xterm", LANG = "C.UTF-8", NO_COLOR = "1", HKRUN_LIB = lib }
  local words = columns and { test.tool "python3", fs.realpath "tests/recipes/pty_run.py", tostring(columns), exe, ... } or { exe, ... }
  words.cwd, words.env, words.timeout = dir, env, 100
  local r = process.run(words)
  local lines = {}
  for line in (r.stdout .. r.stderr):gmatch "[^\n]+" do lines[#lines + 1] = (line:gsub("^.*\27%[%?25h", ""):gsub("\27%[[%d;]*%a", "")) end
  return lines, r.code
end

local WIDE = [[
local recipe = require "recipe"
local thing = recipe.kind { name = "toy.thing", options = { { "for_what", "why" } }, summary = { "for_what" }, tagless = true,
  read = function() return nil end, create = function(spec) return spec.name end, delete = function() end }
recipe.stage "things"
thing { "one", for_what = ("zum Überprüfen "):rep(8) }
thing { "two", for_what = "\u{6F22}\u{5B57}\u{3067}\u{66F8}\u{304F} " .. ("\u{6F22}\u{5B57}"):rep(30) }
recipe.report("Where", { { "environment", "arn:aws:elasticbeanstalk:eu-west-1:123456789012:environment/shop/shop-web-and-more", "is up" },
  { "note", "what is said here is longer than a narrow terminal", "and this too, by a few words" } })
recipe.need(false, "what is needed is not there, and this sentence, which says so, is longer than any of the terminals that it is shown on here")
]]

T["what is printed is broken between words, in terminals of 40, 80 and 120 columns; elsewhere lines stay whole"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/r.lua", (WIDE:gsub("\nrecipe.need[^\n]*", "")))
  fs.write(dir .. "/bad.lua", WIDE)
  local whole = {}
  for _, columns in ipairs { false, 40, 80, 120 } do
    for _, words in ipairs { { "plan", "r.lua" }, { "plan", "bad.lua" }, { "plan", "r.lua", "--colour", "red" }, { "plan", "--help" } } do
      local lines, code = written(columns or nil, dir, table.unpack(words))
      local what = ("%s: %s"):format(columns, table.concat(words, " "))
      local said = table.concat(lines, " "):gsub("%s+", "")
      whole[code .. words[2] .. #words] = whole[code .. words[2] .. #words] or said
      test.equal(#said, #whole[code .. words[2] .. #words], what .. ": nothing is lost")
      for _, line in ipairs(lines) do
        test.truthy(not columns or width.of(line) <= columns or line:find "^%s*%S*%s*arn:", what .. ": " .. line)
      end
      local text = "\n" .. table.concat(lines, "\n") .. "\n"
      for _, word in ipairs(words[2] == "r.lua" and #words == 2 and { "Überprüfen", "environment", "terminal", "longer" } or {}) do
        test.truthy(text:find("[ \n]" .. word .. "[ \n]"), what .. ": " .. word)
      end
      if not columns and words[2] == "r.lua" and #words == 2 then test.truthy(width.of(lines[2]) > 120 and width.of(lines[3]) > 70, lines[2]) end
    end
  end
end

return T
