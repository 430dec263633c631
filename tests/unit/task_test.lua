local test = require "test"
local task = require "task"
local errors = require "errors"

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

return T
