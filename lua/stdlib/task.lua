--- Tasks: side by side, structured, cancellable. A task is a coroutine that
--- waits for ids of the loop; nothing outlives the block that started it.
---
--- Cancelling raises the error kind "cancelled" inside the waiting task, once:
--- its `<close>` handlers and error handlers may wait again.
local loop = require "host.loop"
local errors = require "errors"

local M = {}

---@class Task
---@field parent? Task
---@field done boolean
local Task = {}
Task.__index = Task

local waiting = {}          -- id -> list of tasks
local early = {}            -- ids that became ready before anyone awaited them
local runnable = {}         -- { task, id } in order
local alarms = {}           -- id -> what the scheduler calls when it is ready, without waiting
local running               -- the task that runs now
local serial = 0            -- of tasks, and of whoever asks for one
local live = 0              -- tasks that have not ended
local all = setmetatable({}, { __mode = "k" })      -- they themselves
local clock = loop          -- whose timers sleep uses; in simulated time another's

local function cancelled_error()
  return errors.new { kind = "cancelled", message = "cancelled" }
end

local function wake(task, value)
  runnable[#runnable + 1] = { task, value }
end

local function forget(id, task)
  local list = waiting[id]
  if not list then return end
  for i = #list, 1, -1 do
    if list[i] == task then table.remove(list, i) end
  end
  if #list == 0 then waiting[id] = nil end
end

local function finish(task, ok, ...)
  task.done, task.ok, task.result = true, ok, table.pack(...)
  live = live - 1
  all[task] = nil
  for _, joiner in ipairs(task.joiners) do wake(joiner, task) end
end

local function resume(task, value)
  if task.done then return end
  local before = running
  running = task
  task.paused = false
  local ok, err = coroutine.resume(task.co, value)
  running = before
  if not ok and not task.done then finish(task, false, err) end
end

--- A number that only goes up. Tasks have one: the chain of their parents'
--- serials puts what tasks did in the order of the program, not of the clock.
function M.next_serial()
  serial = serial + 1
  return serial
end

local function new(fn, parent, ...)
  local task = setmetatable({ parent = parent, serial = M.next_serial(), done = false, joiners = {}, fired = {},
    shields = 0 }, Task)
  local args = table.pack(...)
  task.co = coroutine.create(function()
    finish(task, xpcall(fn, errors.handler, table.unpack(args, 1, args.n)))
  end)
  live = live + 1
  all[task] = true
  wake(task)
  return task
end

--- Raises "cancelled" where a cancel is wanted, not yet told and not held back.
local function tell_cancel(task)
  if task.cancel_told or not task.cancel_wanted or task.shields > 0 then return end
  task.cancel_told = true
  error(cancelled_error(), 0)
end

--- Stops here until the scheduler has a reason, which may be an old one: the
--- caller looks whether what it waits for is there. A cancel that was sent to
--- an earlier wait may arrive in a shield, or after it was told: it is dropped.
local function pause(task)
  tell_cancel(task)
  task.paused = true
  local value = coroutine.yield()
  task.paused = false
  if value == "cancel" then tell_cancel(task) end
end

local function current(what)
  return running or error(what .. " works only inside a task", 3)
end

--- Waits until an id of the loop is ready.
---@param id integer
---@param seconds? number gives up after so long
---@return boolean ready false when the time is over
function M.await(id, seconds)
  local task = current("task.await")
  if early[id] then early[id] = nil return true end
  local timer = seconds and loop.timer(seconds)
  local list = waiting[id] or {}
  waiting[id] = list
  list[#list + 1] = task
  if timer then waiting[timer] = { task } end
  local fired, ok, value = task.fired
  repeat                                -- a wake-up may be left over from an earlier wait
    ok, value = pcall(pause, task)
  until not ok or fired[id] or (timer and fired[timer])
  local ready = fired[id] == true       -- also when the timer fired in the same turn
  fired[id] = nil
  forget(id, task)
  if timer then
    fired[timer] = nil
    forget(timer, task)
    loop.cancel(timer)
  end
  if not ok then error(value, 0) end
  return ready
end

--- Waits until a descriptor can be read or written.
---@param mode "read"|"write"|"readwrite"
---@param handle? table its awaits(id) is told the id with which loop.ready ends the wait, and nil after it
---@return boolean ready false when the time is over
function M.wait_fd(fd, mode, seconds, handle)
  local id = errors.check("wait for a connection", loop.watch(fd, mode))
  if handle and handle.awaits then handle:awaits(id) end
  local ok, ready = pcall(M.await, id, seconds)
  if handle and handle.awaits then handle:awaits(nil) end
  M.forget(id)
  if not ok then error(ready, 0) end
  return ready
end

--- Calls handle[method](handle, ...) until it is done, waiting as it asks.
--- The handle's own deadline(), in seconds of task.now(), bounds each wait.
---@return any ... the step's results, or nil, err
function M.step(handle, method, ...)
  while true do
    local r = table.pack(handle[method](handle, ...))
    if r[1] == nil then return nil, r[2] end
    if r[1] then return table.unpack(r, 2, r.n) end
    local deadline = handle.deadline and handle:deadline()
    local seconds = deadline and math.max(0, deadline - M.now())
    if not M.wait_fd(handle:fd(), r[2], seconds, handle) then
      return nil, { kind = "timeout", message = "no answer in time", retry = true }
    end
  end
end

--- Looks a name up; numeric addresses come back as they are.
---@return string[] addresses
function M.resolve(host)
  local id, err = loop.resolve(host)
  local op = "look up " .. host
  errors.check(op, id, err)
  local ok, e = pcall(M.await, id)
  if not ok then loop.cancel(id) error(e, 0) end
  return (errors.check(op, loop.resolved(id)))
end

function M.sleep(seconds)
  local id = clock.timer(seconds)
  local ok, e = pcall(M.await, id)
  if not ok then clock.cancel(id) error(e, 0) end
end

--- Seconds on a clock that only goes forward.
M.now = loop.now

--- From here on time is simulated, or (false) goes on as outside: where every task only waits for time to pass, it has
--- passed. A task whose `idle` is true, such as one that accepts connections, may wait for something else meanwhile.
---@param on boolean
function M.simulate(on)
  if clock == loop then clock = require "simulated"(loop, waiting) end
  clock.skips = on
  M.now = clock.now
end

--- The running task; its fields are free for its callers to hang things on
--- (`task.current().stage`), and are inherited through `parent`.
function M.current() return running end

--- Starts a task of its own: a server, a ticker. Whoever starts it must
--- cancel and join it.
function M.spawn(fn, ...)
  return new(fn, running, ...)
end

--- Waits until the task has ended; raises its error.
function Task:join()
  local me = current("join")
  while not self.done do
    self.joiners[#self.joiners + 1] = me
    local ok, e = pcall(pause, me)
    for i = #self.joiners, 1, -1 do
      if self.joiners[i] == me then table.remove(self.joiners, i) end
    end
    if not ok then error(e, 0) end
  end
  if self.ok then return table.unpack(self.result, 1, self.result.n) end
  error(self.result[1], 0)
end

--- Asks the task to end: raises "cancelled" where it waits, or at its next wait.
function Task:cancel()
  if self.done or self.cancel_wanted then return end
  self.cancel_wanted = true
  if self.paused and self.shields == 0 then wake(self, "cancel") end
end

--- Runs fn with cancelling held back: what is begun inside is finished.
function M.shield(fn, ...)
  local task = current("task.shield")
  task.shields = task.shields + 1
  local r = table.pack(pcall(fn, ...))
  task.shields = task.shields - 1
  if not r[1] then error(r[2], 0) end
  return table.unpack(r, 2, r.n)
end

--- Waits for all children to end, whatever happens to the caller; the first
--- failure (or a cancel of the caller) cancels those that still run.
local function join_all(children)
  local failure
  for _, child in ipairs(children) do
    while not child.done do
      local ok, e = pcall(child.join, child)
      if not ok then
        failure = failure or e
        for _, other in ipairs(children) do other:cancel() end
      end
    end
    if not child.ok then
      local e = child.result[1]
      if not failure or (errors.is(failure, "cancelled") and not errors.is(e, "cancelled")) then failure = e end
      for _, other in ipairs(children) do other:cancel() end
    end
  end
  if failure then error(failure, 0) end
end

--- Runs the functions of a table side by side; returns their results under
--- the same keys. The first failure cancels the rest and is raised.
---@param fns table<any, function>
---@return table
function M.all(fns)
  local keys, children, watch = {}, {}, {}
  for key in pairs(fns) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  local me = current("task.all")
  local group = M.next_serial()
  for i, key in ipairs(keys) do
    children[i] = new(function()
      local ok, e = xpcall(fns[key], errors.handler)
      if not ok then
        errors.place(e, fns[key])
        for j, other in ipairs(children) do if j ~= i then other:cancel() end end
        error(e, 0)
      end
      watch[key] = e
    end, me)
    children[i].group = group           -- who asks for the order of things: these have none among them
  end
  join_all(children)
  return watch
end

--- Calls fn(item, index) for each item, at most `limit` at once (default 8);
--- returns the results in the list's order.
---@param list any[]
---@param opts? { limit: integer }
function M.map(list, fn, opts)
  local results, next_index, workers = {}, 0, {}
  local first = serial                  -- each item has a place in the program, whoever works on it
  serial = serial + #list
  for i = 1, math.min(#list, opts and opts.limit or 8) do
    workers[i] = function()
      while next_index < #list do
        next_index = next_index + 1
        local index = next_index
        running.serial = first + index
        results[index] = fn(list[index], index)
      end
    end
  end
  M.all(workers)
  return results
end

--- Runs fn with a deadline; raises kind "timeout" naming `what` when it is over.
---@param seconds number
---@param what string "wait for the database shop"
function M.within(seconds, what, fn, ...)
  local me = current("task.within")
  local told = me.cancel_told
  local child = new(fn, me, ...)
  local over = false
  local timer = clock.timer(seconds)
  alarms[timer] = function()
    over = true
    child:cancel()
  end
  local ok, e = pcall(join_all, { child })
  alarms[timer] = nil
  M.forget(timer)
  if not ok then
    if over and me.cancel_told == told and errors.is(e, "cancelled") then
      errors.raise { kind = "timeout", op = what, message = ("not done within %g s"):format(seconds), retry = true }
    end
    error(e, 0)
  end
  return table.unpack(child.result, 1, child.result.n)
end

--- Gives the rest of the block that it stands in so long: then what waits there is cancelled, and the block ends with
--- fn's error. `local _ <close> = task.deadline(60, function(cause) return errors.new { kind = "timeout", ... } end)`
---@param seconds number
---@param fn fun(cause: any): table the error
---@return table a to-be-closed value
function M.deadline(seconds, fn)
  local me = current("task.deadline")
  local timer, over = clock.timer(math.max(seconds, 0)), false
  alarms[timer] = function()
    over = not me.cancel_wanted
    me:cancel()
  end
  return setmetatable({}, { __close = function(_, cause)
    alarms[timer] = nil
    M.forget(timer)
    if not over then return end
    over, me.cancel_wanted, me.cancel_told = false, nil, nil
    if cause ~= nil then error(fn(cause), 0) end             -- else it was done after all
  end })
end

--- Something that tells one task of others: `e.wait()` returns once `e.set()` was called since the last wait.
---@return table
function M.event()
  local e, waiter = {}, nil
  function e.set()
    e.happened = true
    if waiter then wake(waiter, e) end
  end
  function e.wait()
    waiter = current("an event's wait")
    local ok, err = true, nil
    while ok and not e.happened do ok, err = pcall(pause, waiter) end
    waiter, e.happened = nil, nil
    if not ok then error(err, 0) end
  end
  return e
end

--- How many tasks have not ended.
function M.count() return live end

--- A task and those below it that have not ended, the oldest first.
---@param task Task
---@return Task[]
function M.below(task)
  local list = {}
  for one in pairs(all) do
    local t = one
    while t and t ~= task do t = t.parent end
    if t then list[#list + 1] = one end
  end
  table.sort(list, function(a, b) return a.serial < b.serial end)
  return list
end

--- Calls fn, which must not wait, after so many seconds of the machine's time, also where time is simulated.
---@return fun() call_off
function M.alarm(seconds, fn)
  local id = loop.timer(seconds)
  local function call_off()
    alarms[id] = nil
    loop.cancel(id)
  end
  alarms[id] = function()
    call_off()
    fn()
  end
  return call_off
end

--- Whether a cancel was raised in the running task. Who catches errors to try
--- again compares before and after: another failure may have hidden it.
function M.is_cancelled() return running ~= nil and running.cancel_told == true end

--- How many ids became ready that nobody has asked for.
function M.unclaimed()
  local n = 0
  for _ in pairs(early) do n = n + 1 end
  return n
end

local function dispatch(ids)
  for _, id in ipairs(ids) do
    local list, alarm = waiting[id], alarms[id]
    if alarm then
      alarm()
    elseif list then
      waiting[id] = nil
      for _, task in ipairs(list) do
        task.fired[id] = true
        wake(task, id)
      end
    else
      early[id] = true
    end
  end
end

--- An id that nobody will await: a closed handle's.
function M.forget(id)
  early[id] = nil
  clock.cancel(id)
end

local on_interrupt                      -- who takes Ctrl-C instead of the first task
local on_stop                           -- who is told that the first task is to end
local stopping = false                  -- it was asked to
local turn                              -- (block) one look at what became ready

--- Has fn called at each Ctrl-C from here on, instead of cancelling the first task; nil gives it back.
---@param fn? fun()
function M.on_interrupt(fn)
  on_interrupt = fn
  require "host.interrupt".leave(fn == nil)
end

--- Has fn called when the process is asked to end, before the first task is cancelled; nil gives it back.
---@param fn? fun(why: string) "Ctrl-C", "SIGTERM", "SIGHUP"
function M.on_stop(fn) on_stop = fn end

--- Runs fn so that Ctrl-C reaches it also while it computes and never waits: "cancelled" is raised there.
---@param fn function
---@return any
function M.interruptible(fn)
  local interrupt = require "host.interrupt"
  interrupt.watch(function()
    turn(false)
    if running then tell_cancel(running) end
  end)
  local r = table.pack(pcall(fn))
  interrupt.unwatch()
  if not r[1] then error(r[2], 0) end
  return table.unpack(r, 2, r.n)
end

--- Takes in what has happened meanwhile, without waiting: after something that held up the loop.
function M.catch_up() turn(false) end

--- Asks again a task that was cancelled and did not end: an error handler of its own may have taken the first one.
function Task:cancel_again()
  self.cancel_wanted, self.cancel_told = nil, nil
  self:cancel()
end

--- Whether the process was asked to end.
---@return boolean
function M.is_stopping() return stopping end

local SIGNALS = { int = "Ctrl-C", term = "SIGTERM", hup = "SIGHUP" }

--- Runs fn as the first task, and everything it starts, to the end. Ctrl-C (and TERM, and a terminal that goes away)
--- cancels it; a Ctrl-C after that ends the process at once with 130, also where it computes or waits for a peer.
---@return boolean ok, any ... as pcall
function M.run(fn, ...)
  local interrupt = require "host.interrupt"
  local root = new(fn, nil, ...)
  local why_of = {}
  for name, why in pairs(SIGNALS) do
    local id = loop.signal(name)
    if id then why_of[id] = why end
  end
  interrupt.leave(true)
  function turn(block)
    local ids = clock.poll(block)
    for i = #ids, 1, -1 do
      local why = why_of[ids[i]]
      if why then
        table.remove(ids, i)
        if why == "Ctrl-C" and on_interrupt then on_interrupt()
        elseif not stopping then
          stopping = true
          interrupt.asked()
          if on_stop then on_stop(why) end
          root:cancel()
        end
      end
    end
    dispatch(ids)
  end
  while not root.done or #runnable > 0 do
    while #runnable > 0 do
      local batch = runnable
      runnable = {}
      for _, entry in ipairs(batch) do resume(entry[1], entry[2]) end
      if #runnable > 0 then turn(false) end
    end
    if root.done then break end
    turn(true)
  end
  interrupt.leave(false)
  for id in pairs(why_of) do loop.cancel(id) end
  return root.ok, table.unpack(root.result, 1, root.result.n)
end

return M
