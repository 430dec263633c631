local test = require "test"
local task = require "task"
local errors = require "errors"
local udp = require "host.udp"

local T = test.cases()

T["task.all returns the results under their keys"] = function()
  test.equal(task.all { a = function() task.sleep(0.01) return 1 end, b = function() return 2 end }, { a = 1, b = 2 })
end

T["the first failure cancels the rest and is raised"] = function()
  local cancelled = false
  test.raises("broken", task.all, {
    function() error(errors.new { kind = "io", message = "broken" }) end,
    function()
      local ok, e = pcall(task.sleep, 60)
      cancelled = not ok and errors.is(e, "cancelled")
    end,
  })
  test.truthy(cancelled, "the second task was cancelled")
end

T["a cancelled task may wait in its close handlers"] = function()
  local closed = false
  local t = task.spawn(function()
    local _ <close> = setmetatable({}, { __close = function() task.sleep(0.01) closed = true end })
    task.sleep(60)
  end)
  task.sleep(0.01)
  t:cancel()
  test.raises("cancelled", t.join, t)
  test.truthy(closed, "the handler ran to its end")
end

T["a cancel inside a shield is held back until it ends"] = function()
  local steps = {}
  local t = task.spawn(function()
    task.shield(function() task.sleep(0.03) steps[1] = "recorded" end)
    task.sleep(60)
    steps[2] = "never"
  end)
  task.sleep(0.01)
  t:cancel()
  pcall(t.join, t)
  test.equal(steps, { "recorded" })
end

T["a deadline names what it was waiting for"] = function()
  local e = test.raises("cannot wait for the moon: not done within", task.within, 0.02, "wait for the moon", task.sleep, 60)
  test.equal(e.kind, "timeout")
  test.equal(task.within(5, "add", function(a, b) return a + b end, 1, 2), 3)
end

T["task.deadline ends the rest of its block with its error, what runs below too; the task goes on"] = function()
  local ended, shielded = {}, false
  local function late(cause) return errors.new { kind = "stopped", message = "too late", cause = cause } end
  local function block(seconds, fn)
    local _ <close> = task.deadline(seconds, late)
    return fn()
  end
  local e = test.raises("too late", block, 0.02, function()
    task.all {
      a = function()
        local _ <close> = setmetatable({}, { __close = function() task.sleep(0.01) ended[1] = "a" end })
        task.sleep(60)
      end,
      b = function() task.sleep(60) end,
    }
  end)
  test.equal({ e.kind, e.cause.kind, ended[1], task.is_cancelled() }, { "stopped", "cancelled", "a", false })
  test.raises("too late", block, 0.01, function()
    task.shield(function() task.sleep(0.05) shielded = true end)
    task.sleep(60)
  end)
  test.truthy(shielded, "a shield is waited for")
  test.equal(block(60, function() task.sleep(0) return "in time" end), "in time")
  test.equal(block(0.01, function() task.shield(task.sleep, 0.05) return "done after all" end), "done after all")
  test.equal(task.within(5, "go on", function() task.sleep(0) return "goes on" end), "goes on")
  test.raises("not this", block, 60, function() errors.raise { kind = "invalid", message = "not this" } end)
end

T["task.map keeps the order and the limit"] = function()
  local now, most = 0, 0
  local r = task.map({ 3, 1, 2 }, function(n)
    now = now + 1
    most = math.max(most, now)
    task.sleep(n / 200)
    now = now - 1
    return n * 10
  end, { limit = 2 })
  test.equal(r, { 30, 10, 20 })
  test.equal(most, 2)
end

T["children of a cancelled block end before it does"] = function()
  local ended = 0
  local t = task.spawn(function()
    task.all { function() local _ <close> = setmetatable({}, { __close = function() ended = ended + 1 end }) task.sleep(60) end,
               function() local _ <close> = setmetatable({}, { __close = function() ended = ended + 1 end }) task.sleep(60) end }
  end)
  task.sleep(0.01)
  t:cancel()
  test.raises("cancelled", t.join, t)
  test.equal(ended, 2)
end

T["localhost is found, a name that is none is an error"] = function()
  test.equal(task.resolve "127.0.0.1"[1], "127.0.0.1")
  test.raises("cannot look up no.such.host.invalid", task.resolve, "no.such.host.invalid")
end

T["a wake-up left over from one wait does not end the next one early"] = function()
  local loop = require "host.loop"
  for _ = 1, 20 do
    local id = loop.timer(0.01)
    local ended = task.await(id, 0.01)               -- both timers fire in the same turn
    local later = loop.timer(0.03)
    test.equal(task.await(later, 5), true)
    if not ended then loop.cancel(id) task.forget(id) end
  end
end

T["a cancel that comes with a wake-up is told once, also to close handlers that wait"] = function()
  local t, closed = nil, false
  local gate = task.spawn(task.sleep, 0.01)
  task.spawn(function() gate:join() t:cancel() end)      -- woken first, when t's wake-up is on its way too
  t = task.spawn(function()
    local _ <close> = setmetatable({}, { __close = function() task.sleep(0.01) closed = true end })
    gate:join()
    task.sleep(60)
  end)
  test.raises("cancelled", t.join, t)
  test.truthy(closed, "the handler ran to its end")
end

T["a cancel that comes with a wake-up does not reach into the shield that follows"] = function()
  local t, recorded = nil, false
  local gate = task.spawn(task.sleep, 0.01)
  task.spawn(function() gate:join() t:cancel() end)      -- as above
  t = task.spawn(function()
    gate:join()
    task.shield(function() task.sleep(0.01) recorded = true end)
    task.sleep(60)
  end)
  test.raises("cancelled", t.join, t)
  test.truthy(recorded, "the shield ran to its end")
end

T["the deadline of a handle is of the clock that task.now() is, after simulated time too"] = function()
  task.simulate(true)
  task.sleep(3600)
  task.simulate(false)
  local silent <close> = udp.bind("127.0.0.1", 0)
  local over = task.now() + 0.01
  local handle = { fd = function() return silent:fd() end, deadline = function() return over end,
                   look = function() return false, "read" end }
  local done, err = task.step(handle, "look")
  test.equal({ done, err.kind }, { nil, "timeout" })
end

T["what was given up leaves no id behind"] = function()
  local before = task.unclaimed()
  for _ = 1, 20 do
    local t = task.spawn(task.sleep, 0.001)
    task.sleep(0)
    t:cancel()
    pcall(t.join, t)
    task.within(0.02, "nothing", function() end)
  end
  task.sleep(0.05)
  test.equal(task.unclaimed(), before)
end

T["a cancel that a deadline or another failure hides is not tried again"] = function()
  local retry = require "retry"
  local function flaky() error(errors.new { kind = "network", message = "reset", retry = true }) end
  for _, fn in ipairs {
    function() pcall(task.sleep, 60) flaky() end,
    function() task.within(0.02, "slow", function() pcall(task.sleep, 60) task.shield(task.sleep, 0.03) task.sleep(0) end) end,
  } do
    local tries = 0
    local t = task.spawn(retry.call, function() tries = tries + 1 fn() end, { base = 0 })
    task.sleep(0.005)
    t:cancel()
    local ok = pcall(t.join, t)
    test.equal({ ok, tries }, { false, 1 })
  end
end

T["a cancelled task tries again in its close handlers"] = function()
  local retry, tries = require "retry", 0
  local t = task.spawn(function()
    local _ <close> = setmetatable({}, { __close = function()
      retry.call(function()
        tries = tries + 1
        if tries < 3 then error(errors.new { kind = "network", message = "reset", retry = true }) end
      end, { base = 0 })
    end })
    task.sleep(60)
  end)
  task.sleep(0.005)
  t:cancel()
  test.raises("cancelled", t.join, t)
  test.equal(tries, 3)
end

T["Ctrl-C is heard while tasks never pause for long"] = function()
  local process = require "process"
  local p <close> = process.start { "/proc/self/exe", "-e", [[
    local task = require "task"
    print "busy"
    io.stdout:flush()
    local id = 0
    while true do task.spawn(function() end) task.sleep(0) end
  ]], stdout = "pipe" }
  test.equal(p:read_line(), "busy")
  task.sleep(0.05)
  p:kill "INT"
  test.equal(p:wait(10), 130)
end

return T
