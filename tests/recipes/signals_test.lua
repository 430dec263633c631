--- Signals at a run that changes things: a process of its own, a recipe whose world is a folder of files, and a signal
--- when the recipe has come to a place. Whatever the moment, the run ends as it should and apply goes on from there.
local fs = require "fs"
local process = require "process"
local task = require "task"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"
local lib = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")

local RECIPE = [[
local recipe, task, fs, process = require "recipe", require "task", require "fs", require "process"
local MOMENT = os.getenv "MOMENT"
local function at(moment)
  if MOMENT ~= moment then return end
  fs.write("at", moment)
  while not fs.exists "go on" do task.sleep(0.01) end
end
local function append(line) fs.append("calls", line .. "\n") end
local file = recipe.kind {
  name = "toy.file", options = { { "of", "the one it stands on", type = "string" } }, idempotent = true,
  read = function(spec) return fs.exists(spec.name) and { id = spec.name, name = spec.name, of = spec.of,
    tags = { ["hkrun:recipe"] = "r", ["hkrun:key"] = "toy.file:" .. spec.name } } or nil end,
  create = function(spec)
    at "call"
    append("create " .. spec.name)
    fs.write(spec.name, "made")
    return spec.name
  end,
  ready = function() at "wait" end,
  delete = function(current)
    at "delete"
    append("delete " .. current.id)
    fs.remove(current.id)
    at "after delete"
  end,
}
local function apply_guard() append "freeze" fs.write("frozen", "yes") end
recipe.options {}
recipe.stage "make"
local one = file { "one" }
recipe.once("compute", function()
  if MOMENT == "compute" then fs.write("at", "compute") while true do end end
end)
recipe.once("child", function()
  if MOMENT ~= "child" then return end
  local p <close> = process.start { "sh", "-c", "sleep 1000 & echo $! > grandchild; wait" }
  while not fs.exists "grandchild" do task.sleep(0.01) end
  fs.write("at", "child")
  p:wait()
end)
do
  local freeze <close> = recipe.guard {
    key = "freeze", what = "freeze it", holds = function() return fs.exists "frozen" end, apply = apply_guard,
    undo = function()
      at "undo"
      append "thaw"
      fs.remove "frozen"
    end,
  }
  freeze:once("copy", function() at "guarded" if MOMENT == "undo" then error "the copy broke" end end)
  freeze:keep()
end
file { "two", of = one.id }
]]

--- A world: `run(command, moment)` starts hkrun; `calls()` is what it did.
local function world()
  local dir = test.tmpdir()
  fs.write(dir .. "/r.lua", RECIPE)
  local w = { dir = dir }
  function w.start(command, moment)
    for _, name in ipairs { "at", "go on" } do
      if fs.exists(dir .. "/" .. name) then fs.remove(dir .. "/" .. name) end
    end
    -- under nohup the tests themselves ignore SIGHUP, and children would too
    local p = process.start { "env", "--default-signal=HUP", exe, command, "r.lua", "--yes", cwd = dir,
                              stdout = dir .. "/said", stderr = dir .. "/said",
                              env = { PATH = os.getenv "PATH", HOME = dir, MOMENT = moment, HKRUN_LIB = lib } }
    test.defer(function() p:stop(1) end)
    return p
  end
  --- Waits until the process has been told of a signal, and of the first of them until it says so: it is at a place where
  --- it can. After the last one what it does goes on, unless it has ended.
  local function heard(p, moment, first)
    local deadline = task.now() + 120
    while p:is_running() do
      local _, status = pcall(fs.read, ("/proc/%d/status"):format(p.pid))
      local pending = tonumber(tostring(status):match "ShdPnd:%s*(%x+)" or "0", 16)
      if pending == 0 and (not first or moment == "compute" or w.said():find "; what is not to stay is undone") then return end
      if task.now() > deadline then error("it did not hear a signal: " .. w.said(), 2) end
      task.sleep(0.01)
    end
  end

  --- Starts it, waits until it is at the moment, and sends the signals, each when the one before has been heard.
  function w.signalled(command, moment, ...)
    local p = w.start(command, moment)
    local deadline = task.now() + 120
    while not fs.exists(dir .. "/at") do
      if task.now() > deadline or not p:is_running() then error("it never came to " .. moment .. ": " .. w.said(), 2) end
      task.sleep(0.01)
    end
    for i, signal in ipairs { ... } do
      if i > 1 then task.sleep(0.3) end                     -- two presses, not one that came twice
      p:kill(signal)
      heard(p, moment, i == 1)
    end
    if moment ~= "guarded" and moment ~= "wait" then fs.write(dir .. "/go on", "") end
    local code = p:wait(120)
    if not code then error("it did not end: " .. w.said(), 2) end
    return code
  end
  function w.run(command)
    local p = w.start(command)
    local code = p:wait(120)
    if code ~= 0 then error(("%s ended with %s: %s"):format(command, code, w.said()), 2) end
  end
  function w.said() return fs.exists(dir .. "/said") and fs.read(dir .. "/said") or "" end
  function w.has(name) return fs.exists(dir .. "/" .. name) end
  function w.calls()
    local list = {}
    for line in (w.has "calls" and fs.read(dir .. "/calls") or ""):gmatch "[^\n]+" do list[#list + 1] = line end
    return list
  end
  --- Goes on without a signal, and takes it all away.
  function w.completes(calls)
    w.run "apply"
    test.truthy(w.has "one" and w.has "two", "both are there")
    test.equal(w.calls(), calls)
    w.run "apply"
    test.match(w.said(), "no changes\n$")
    w.run "destroy"
    test.truthy(not w.has "one" and not w.has "two", "both are gone")
  end
  return w
end

local ALL = { "create one", "freeze", "create two" }

T["Ctrl-C in a call: it is finished and recorded, exit 130, and what is being finished is said"] = function()
  local w = world()
  test.equal(w.signalled("apply", "call", "INT"), 130)
  test.match(w.said(), 'Ctrl%-C: finishing create toy.file "one"; what is not to stay is undone. Ctrl%-C again stops at once')
  test.equal(w.calls(), { "create one" })
  test.match(fs.read(w.dir .. "/.hkrun/r.journal"), '"ev":"created"')
  w.completes(ALL)
end

T["Ctrl-C while it waits: it stops waiting, exit 130"] = function()
  local w = world()
  test.equal(w.signalled("apply", "wait", "INT"), 130)
  test.match(w.said(), "Ctrl%-C: stopping")
  w.completes(ALL)
end

T["SIGTERM and SIGHUP are as Ctrl-C once: guards are undone, however often they come"] = function()
  for _, signals in ipairs { { "TERM" }, { "HUP" }, { "TERM", "TERM", "HUP" }, { "INT", "TERM" } } do
    local w = world()
    test.equal(w.signalled("apply", "guarded", table.unpack(signals)), 130)
    test.truthy(not w.has "frozen", signals[1])
    test.equal(w.calls()[3], "thaw", signals[1])
    w.completes { "create one", "freeze", "thaw", "freeze", "create two" }
  end
end

T["a second Ctrl-C in a call, while it waits to finish: it stops at once, and apply takes over"] = function()
  local w = world()
  test.equal(w.signalled("apply", "call", "INT", "INT"), 130)
  test.equal(w.calls(), {})
  w.completes(ALL)
end

T["a second Ctrl-C while a guard is undone: it stops at once, and apply takes the guard over"] = function()
  local w = world()
  test.equal(w.signalled("apply", "undo", "INT", "INT"), 130)
  test.truthy(w.has "frozen", "it was not undone")
  w.run "status"
  test.match(w.said(), "freeze it  still in force")
  w.completes { "create one", "freeze", "freeze", "create two" }
end

T["one Ctrl-C while a guard is undone: the undo is finished"] = function()
  local w = world()
  test.equal(w.signalled("apply", "undo", "INT"), 130)
  test.truthy(not w.has "frozen", "it was undone")
end

T["Ctrl-C after SIGTERM stops at once"] = function()
  local w = world()
  test.equal(w.signalled("apply", "call", "TERM", "INT"), 130)
  test.equal(w.calls(), {})
end

T["two Ctrl-C end also a recipe that computes and never waits"] = function()
  local w = world()
  test.equal(w.signalled("apply", "compute", "INT", "INT"), 130)
  w.completes(ALL)
end

T["a second Ctrl-C takes the children of the children along"] = function()
  local w = world()
  test.equal(w.signalled("apply", "child", "INT", "INT"), 130)
  local pid = fs.read(w.dir .. "/grandchild"):match "%d+"
  local deadline = task.now() + 120
  while fs.exists("/proc/" .. pid .. "/stat") and not fs.read("/proc/" .. pid .. "/stat"):find "%) Z " do
    if task.now() > deadline then error "the grandchild lives" end
    task.sleep(0.02)
  end
end

T["Ctrl-C in destroy: the call is finished; destroy again goes on"] = function()
  for _, moment in ipairs { "delete", "after delete" } do
    for _, signals in ipairs { { "INT" }, { "INT", "INT" } } do
      local w = world()
      w.run "apply"
      test.equal(w.signalled("destroy", moment, table.unpack(signals)), 130, moment)
      if not signals[2] then test.match(w.said(), 'Ctrl%-C: finishing delete toy.file "two"') end
      w.run "destroy"
      test.truthy(not w.has "one" and not w.has "two", "both are gone")
    end
  end
end

T["kill -9 inside a guard, then destroy: the guard is undone first"] = function()
  local w = world()
  test.equal(w.signalled("apply", "guarded", "KILL"), 137)
  w.run "destroy"
  test.equal(w.calls(), { "create one", "freeze", "thaw", "delete one" })
  test.match(w.said(), "< freeze it: still in force, undone first")
end

T["kill -9 inside a guard: status shows it, and the next apply takes it over"] = function()
  local w = world()
  test.equal(w.signalled("apply", "guarded", "KILL"), 137)
  w.run "status"
  test.match(w.said(), "freeze it  still in force")
  w.completes { "create one", "freeze", "create two" }
end

return T
