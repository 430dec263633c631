--- `hkrun new`, and `hkrun test` as a user has it: in a folder of the user's, as a child.
local fs = require "fs"
local process = require "process"
local test = require "test"
local T = test.cases()

local exe, rules = fs.realpath "/proc/self/exe", fs.realpath ".luacheckrc"

--- hkrun in a folder; the environment has things in it that must not reach a test.
local function hkrun(dir, ...)
  local lib = os.getenv "HKRUN_LIB"
  return process.run { cwd = dir, timeout = 600, env = {
    PATH = os.getenv "PATH", HOME = dir, HKRUN_LIB = lib and fs.realpath(lib), ASAN_OPTIONS = os.getenv "ASAN_OPTIONS",
    AWS_ENDPOINT_URL = "http://127.0.0.1:9", AWS_ACCESS_KEY_ID = "AKIAUSER", AWS_SECRET_ACCESS_KEY = "k", HKRUN_EMAIL = "user@example.com",
  }, exe, ... }
end

local function passes(dir, n, ...)
  local r = hkrun(dir, "test", ...)
  test.equal({ r.code, r.stdout:match "([^\n]*)\n$", r.stderr }, { 0, n .. " passed, 0 failed", "" }, r.stdout)
end

T["what `new` writes passes its own tests and luacheck as it is, whatever its name"] = function()
  local dir = test.tmpdir()
  for _, words in ipairs { { "recipe", "alerts" }, { "recipe", "night-copy_2" }, { "noun", "queue" }, { "noun", "My_queue.lua" } } do
    local r = hkrun(dir, "new", table.unpack(words))
    test.equal(r.code, 0, r.stderr)
    test.match(r.stdout, "^wrote [%w_%-]+%.lua and [%w_%-]+_test%.lua%. Next:\n  hkrun test [%w_%-]+_test%.lua")
  end
  passes(dir, 12)                                            -- three cases each
  local lint = process.run { "luacheck", "-q", "--codes", "--config", rules, dir, timeout = 300 }
  test.equal(lint.code, 0, lint.stdout)
  local help = hkrun(dir, "alerts.lua", "--help").stdout
  test.match(help, "^A topic that sends")
  test.match(help, "%-%-email STRING%s+who gets the messages %(needed%)")
end

T["`new` overwrites nothing and says what is wrong"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/alerts_test.lua", "mine")
  for want, words in pairs {
    ["alerts_test%.lua is there already"] = { "recipe", "alerts" }, ["did you mean recipe%?"] = { "recip", "alerts" },
    ["needs a name"] = { "noun" }, ["what: hkrun new recipe NAME"] = {}, ["there is no folder x/"] = { "recipe", "x/alerts" },
    ["1st cannot be the name of a recipe"] = { "recipe", "1st" }, ["Lua or hkrun has it already"] = { "noun", "aws" },
    ["end cannot be the name of a noun"] = { "noun", "end" }, ["and b is a second"] = { "recipe", "a", "b" },
  } do
    local r = hkrun(dir, "new", table.unpack(words))
    test.equal({ r.code, r.stdout }, { 2, "" })
    test.match(r.stderr, want)
  end
  test.equal(fs.list(dir), { "alerts_test.lua" })
  test.equal(fs.read(dir .. "/alerts_test.lua"), "mine")
end

T["`test` takes the tests here, files, or folders, and says when there are none"] = function()
  local dir = test.tmpdir()
  test.match(hkrun(dir, "test").stderr, "there is no %*_test%.lua here")
  fs.mkdir_p(dir .. "/deep/er")
  local one = 'local test = require "test" local T = test.cases() local m = require "part" T["is " .. m] = function() end return T'
  for _, at in ipairs { "", "/deep", "/deep/er" } do
    fs.write(dir .. at .. "/a_test.lua", one)
    fs.write(dir .. at .. "/part.lua", ("return %q"):format("in" .. at:gsub("/", "-")))
  end
  test.equal(hkrun(dir, "test").stdout, "ok a_test.lua: is in\n1 passed, 0 failed\n")
  test.equal(hkrun(dir, "test", "deep", "a_test.lua").stdout, "ok deep/a_test.lua: is in-deep\nok deep/er/a_test.lua: is in-deep-er\n"
    .. "ok a_test.lua: is in\n3 passed, 0 failed\n", "each has the modules beside it")
end

T["a case that hangs fails with what it waits for, is cleaned up after, and the next begins"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/a_test.lua", [[
local process, task, test = require "process", require "task", require "test"
local T = test.cases()
test.deadline(0.5)
T["sleeps"] = function() test.defer(function() print "cleaned up" end) task.sleep(1000) print "not reached" end
T["waits for two"] = function()
  task.all { a = function() task.sleep(1000) end,
             b = function() process.run { "sleep", "1000" } end }
end
T["in simulated time"] = function() local _ <close> = test.cloud() repeat task.sleep(20) until false end
T["computes"] = function() repeat until false end
T["will not be cancelled"] = function() pcall(task.sleep, 1000) end
T["longer"] = function() test.deadline(60) task.sleep(0.6) end
T["an hour of simulated time"] = function()
  test.deadline(60)
  local _ <close> = test.cloud()
  task.sleep(3600)
end
return T]])
  local r = hkrun(dir, "test")
  test.equal({ r.code, r.stdout:match "([^\n]*)\n$", r.stderr }, { 1, "2 passed, 5 failed", "" })
  local said = { sleeps = "it waits at a_test%.lua:4 %(task%.sleep%)", computes = "it computes at a_test%.lua:10",
                 ["waits for two"] = "it waits at a_test%.lua:6 %(task%.all%), .*a_test%.lua:7 %(process%.run%)",
                 ["in simulated time"] = "it waits at a_test%.lua:9", ["will not be cancelled"] = "it waits at a_test%.lua:11" }
  for name, what in pairs(said) do
    test.match(r.stdout, ("not ok a_test%%.lua: %s\n  it did not end within 0%%.5 s: [^\n]*%s"):format(name, what))
  end
  test.match(r.stdout, "cleaned up\nnot ok a_test%.lua: sleeps")
  test.truthy(not r.stdout:find "not reached")
  fs.write(dir .. "/b_test.lua", 'local test = require "test" local T = test.cases() T["x"] = function() require("task").sleep(9) end return T')
  test.match(hkrun(dir, "test", "--timeout=0.5", "b_test.lua").stdout, "not ok b_test%.lua: x\n  it did not end within 0%.5 s: ")
  test.match(hkrun(dir, "test", "--timeout=soon").stderr, "%-%-timeout: soon is not a number of seconds")
end

T["a case that fails shows where, why, and what the recipe printed"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/a.lua", 'local recipe, aws = require "recipe", require "aws"\naws.topic "a"\nrecipe.need(false, "it is %s", "so")')
  fs.write(dir .. "/a_test.lua", [[
local test = require "test"
local T = test.cases()
T["applies"] = function()
  local cloud <close> = test.cloud()
  test.apply(function() require("aws").topic "b" end)
  test.apply "a.lua"
end
T["compares"] = function() test.equal({ 1, b = 2 }, { 1 }) end
return T
]])
  local r = hkrun(dir, "test")
  test.equal(r.code, 1)
  test.match(r.stdout, "not ok a_test.lua: applies\n  it is so\n")
  test.match(r.stdout, '  | +%+ aws%.topic "b" created')
  test.match(r.stdout, "a_test%.lua:8: expected {1=1}, got {1=1, b=2}")
  test.match(r.stdout, "0 passed, 2 failed\n$")
end

return T
