--- hkrun status and hkrun log, as processes beside a run: one that goes on is told from one that died.
local fs = require "fs"
local json = require "json"
local process = require "process"
local task = require "task"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"

local RECIPE = [[
local recipe, task, fs = require "recipe", require "task", require "fs"
local note = recipe.kind {
  name = "note", options = { { "text", "what it says" } },
  read = function(spec) return fs.exists(spec.name) and { id = spec.name, text = fs.read(spec.name) } or nil end,
  create = function(spec) fs.write(spec.name, spec.text) return spec.name end,
  update = function(spec) fs.write(spec.name, spec.text) end,
  delete = function(current) fs.remove(current.id) end,
}
recipe.stage "write"
local a = note { "a.note", text = "a" }
note { "b.note", text = require "text" ("after %s", a.id) }
recipe.stage "wait"
recipe.once("wait for the word", function()
  while not fs.exists "word" do task.sleep(0.02) end
end)
]]

local function workshop()
  local dir = test.tmpdir()
  fs.write(dir .. "/slow.lua", RECIPE)
  local env = { HOME = dir, PATH = os.getenv "PATH", LANG = "C.UTF-8", NO_COLOR = "1",
                HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB") }
  local function hkrun(...)
    local r = process.run { exe, env = env, cwd = dir, timeout = 300, ... }
    return r.stdout, r.code, r.stderr
  end
  local function start()
    local p = process.start { exe, "apply", "slow.lua", "--yes", env = env, cwd = dir, stdout = "null", stderr = "null" }
    test.defer(function() p:stop(1) end)
    local stop = task.now() + 120
    while not hkrun("status", "slow.lua"):find "half done" and task.now() < stop do task.sleep(0.05) end
    return p
  end
  return dir, hkrun, start
end

T["a run that goes on is told from one that died, and who has it since when"] = function()
  local dir, hkrun, start = workshop()
  test.match(hkrun("status", "slow.lua"), "last never applied")
  local p = start()
  local who = ("process %d of %%S+ on %%S+, since %%d+%%-"):format(p.pid)
  local out = hkrun("status", "slow.lua")
  test.match(out, "last apply of %S+: runs now: " .. who)
  test.match(out, "left to do: apply again\n  run wait for the word  %(wait%)\ndestroy would delete 2\n")
  local s = json.decode((hkrun("status", "slow.lua", "--json")))
  test.equal({ s.lock.pid, s.lock.alive, s.dead, s.destroy[1] }, { p.pid, true, nil, "note:b.note" })
  local _, code, err = hkrun("apply", "slow.lua", "--yes")
  test.equal(code, 1)
  test.match(err, "another run has it: " .. who)

  process.run { "kill", "-9", tostring(p.pid) }
  p:wait()
  test.match(hkrun("status", "slow.lua"), "last apply of %S+: did not end: it was killed %(" .. who)
  s = json.decode((hkrun("status", "slow.lua", "--json")))
  test.equal({ s.lock.alive, s.dead }, { false, true })
  fs.write(dir .. "/word", "go")
  _, code, err = hkrun("apply", "slow.lua", "--yes")
  test.equal(code, 0, err)
  test.match(err, ("the last run %%(process %d%%) ended without a word"):format(p.pid))
  test.match(hkrun("status", "slow.lua"), "last apply of %S+: done\nstage wait\n")
  test.equal(json.decode((hkrun("status", "slow.lua", "--json"))).lock, nil)
end

T["status that looks again and again does not keep a run from starting"] = function()
  local dir, hkrun = workshop()
  fs.write(dir .. "/word", "go")
  local busy = true
  task.all {
    looks = function() while busy do hkrun("status", "slow.lua") end end,
    runs = function()
      for _ = 1, 8 do
        local _, code, err = hkrun("apply", "slow.lua", "--yes")
        test.equal(code, 0, err)
        fs.write(dir .. "/a.note", "changed by hand")
      end
      busy = false
    end,
  }
end

T["--journal takes a folder too; the timeline says what waited for what"] = function()
  local dir, hkrun = workshop()
  fs.write(dir .. "/word", "go")
  local _, code, err = hkrun("apply", "slow.lua", "--yes", "--journal", dir .. "/elsewhere")
  test.equal(code, 0, err)
  test.equal({ fs.exists(dir .. "/.hkrun"), fs.exists(dir .. "/elsewhere/slow.journal") }, { false, true })
  local t = json.decode((hkrun("status", "slow.lua", "--journal", dir .. "/elsewhere", "--timeline", "--json")))
  local keys = {}
  for i, b in ipairs(t.path) do keys[i] = b.key end
  test.equal(keys, { "look", "note:a.note", "note:b.note", "once:wait for the word" })
  test.truthy(t.path_seconds <= t.seconds + 0.001, "a path is no longer than the run")
  local out = hkrun("status", "slow.lua", "--journal", dir .. "/elsewhere", "--timeline")
  test.match(out, "\nwrite\n%* note \"a.note\" .*|#*.*\nwait\n%* wait for the word ")
  test.match(out, "\ncritical path\n")
  _, code, err = hkrun("status", "slow.lua", "--timeline", "--scale", "fast")
  test.equal(code, 2)
  test.match(err, "%-%-scale fast is not a number")
  test.match(hkrun("log", "slow.lua", "--journal", dir .. "/elsewhere"), "created note:a%.note as a%.note %(%d+%.%d s%)")
end

return T
