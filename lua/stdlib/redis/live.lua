--- A copy that follows its source while the source is written to, so that the writers are stopped only for the end.
---
---     local copy <close> = redis.copy.start { from = old, to = new, notifications = app.redis:notifications() }
---     copy:wait()                                     -- everything is there but what changed in the last second
---     local freeze <close> = app:freeze()             -- the writers stop
---     copy:finish()                                   -- the last changes, verified
---
--- First redis.copy copies everything. Meanwhile the source's keyspace notifications tell which keys change, and rounds copy
--- those again (redis.copy.keys), until few are left. What no notification tells is seen in other ways: FLUSHDB, FLUSHALL
--- and SWAPDB by the server's counters of commands, another server at the same address by its run_id, a notification that
--- was lost by the connection's end. Each of these has the next round look at every key (redis.same). Where a server has no
--- notifications for us, each round does. `finish` looks at every key too: XREADGROUP, XACK, XCLAIM and PFCOUNT change
--- what is stored without a notification.
local changes_of = require "redis.live.changes"
local errors = require "errors"
local keys = require "redis.copy.keys"
local log = require "log"
local notices = require "redis.live.notices"
local options = require "options"
local redis = require "redis"
local source = require "redis.live.source"
local switch = require "redis.live.switch"
local task = require "task"

local M = {}

local BATCH = 500                       -- keys that are compared or copied at once
local PASSES = 5                        -- of finish, before it says that writers still write

local declared = {
  { "from", "the source: a URL, or a table with url=, via=, ca=, pin=", required = true, type = "any" },
  { "to", "the target: the same forms", required = true, type = "any" },
  { "notifications", "{ read = fn, on = fn, off = fn } where CONFIG does not switch them; false: compares instead", type = "any" },
  { "small", "so many changed keys or fewer are few: the writers can be stopped", type = "integer", default = 1000 },
  { "interval", "seconds between two rounds", type = "number", default = 0.25 },
  { "memory", "bytes of names of changed keys that are kept; with more, the next round looks at every key", type = "integer",
    default = 16 << 20 },
  { "patience", "seconds without any round that worked before it gives up", type = "number", default = 300 },
  { "journal", "file in which it is kept what a later call goes on with, and the earlier setting of notifications", type = "string" },
  { "timeout", "seconds that one command may take", type = "number", default = 60 },
}

---@class redis.live.Copy
local Copy = {}
Copy.__index = Copy
Copy.__name = "redis.live.Copy"

local function tell(self)
  if self.waiting then self.waiting.set() end
end

local function disconnect(self)
  local from, to = self.from, self.to
  self.from, self.to = nil, nil
  if from then from:close() end
  if to then to:close() end
end

--- Both servers, in new connections.
local function connect(self)
  disconnect(self)
  self.from = redis.open(self.source, { timeout = self.timeout, db = 0 })
  self.to = redis.open(self.target, { timeout = self.timeout, db = 0 })
  self.same = require "redis.same".keys(self.from, self.to, source.databases(self.from, self.to), { ttl_tolerance = 0 })
end

--- Begins to listen, and proves that everything is told; else there will be rounds that compare.
local function listen(self)
  self.switch:on()
  local heard = notices.open(self.from, self.changes)
  if heard:catch_up(self.from) then
    self.notices = heard
    return true
  end
  heard:close()
  return false
end

--- Copies the keys of the batches; those that are not done when it is broken off are changed keys again.
local function move(self, batches, still)
  local done = 0
  local ok, e = pcall(function()
    for i, batch in ipairs(batches) do
      if still and self.stopping then return end
      local moved = keys.move(self.from, self.to, batch)
      self.moved, self.deleted = self.moved + moved.copied, self.deleted + moved.deleted
      done = i
    end
  end)
  for i = done + 1, #batches do
    for _, key in ipairs(batches[i].keys) do self.changes:add(batches[i].db, key) end
  end
  if not ok then error(e, 0) end
end

--- Compares keys, copies those that differ, and answers how many those were.
---@param strict? boolean looks again at what was copied
local function compare(self, db, keys, strict)
  local differ = {}
  for i, d in ipairs(self.same(db, keys)) do differ[i] = d.key end
  if #differ == 0 then return 0 end
  move(self, { { db = db, keys = differ } })
  for _, d in ipairs(strict and self.same(db, differ) or {}) do self.unequal = self.unequal or d end
  return #differ
end

local function in_batches(r, fn)
  local batch = {}
  for key in r:keys_of { count = BATCH } do
    batch[#batch + 1] = key
    if #batch == BATCH then fn(batch) batch = {} end
  end
  if #batch > 0 then fn(batch) end
end

--- Those of the target's keys that the source does not have.
local function extra(self, keys)
  local ask, found = {}, {}
  for i, key in ipairs(keys) do ask[i] = { "EXISTS", key } end
  for i, there in ipairs(self.from:pipeline(ask)) do
    if there == 0 then found[#found + 1] = keys[i] end
  end
  return found
end

--- Looks at every key of both sides, and makes equal what differs.
---@param strict? boolean looks again at what was copied; what differs even then is in self.unequal
---@return integer differed
local function look_at_all(self, strict)
  local found, compared = 0, 0
  self.unequal = nil
  for _, db in ipairs(source.databases(self.from, self.to)) do
    self.from:select(db)
    self.to:select(db)
    in_batches(self.from, function(some)
      compared = compared + #some
      found = found + compare(self, db, some, strict)
    end)
    in_batches(self.to, function(some)
      some = extra(self, some)
      if #some > 0 then found = found + compare(self, db, some, strict) end
    end)
  end
  self.compared = compared
  return found
end

--- What may have happened to the source as a whole: then what was told of its keys is not all.
local function check_source(self)
  local now = source.read(self.from)
  local why = source.difference(self.state, now)
  if why then
    self.changes:lose(why)
    if now.run_id ~= self.state.run_id and self.notices then self.notices:close(why) end
  end
  self.state = now
end

--- Makes sure that from here on changes are told, and that all earlier ones have been.
local function catch_up(self)
  if not self.notices or self.notices:catch_up(self.from) ~= false then return end
  self.changes:lose(self.notices.lost or "keyspace notifications were switched off")
  self.notices:close()
  if not listen(self) then
    self.notices = nil
    log.warn("Redis %s tells its changes no more: each round compares every key from here on", self.from.label)
  end
end

--- One round: what has changed since the last one is copied.
local function round(self, still)
  if self.broken then connect(self) end
  self.broken = true                    -- until it is through: what a connection was asked last may be half answered
  check_source(self)
  catch_up(self)
  local batches, gap = self.changes:take(BATCH)
  if not self.notices then gap = gap or "there are no keyspace notifications" end
  self.rounds = self.rounds + 1
  if not gap then
    move(self, batches, still)
    self.rest = self.changes.count
  else
    self.rescans, self.why = self.rescans + 1, gap
    log.debug("redis copy: looks at every key: %s", gap)
    local ok, found = pcall(look_at_all, self)
    if not ok then
      self.changes:lose(gap)
      error(found, 0)
    end
    self.rest = self.notices and self.changes.count or found
  end
  self.ready = not self.changes.gap and self.rest <= self.small
  self.broken = false
end

--- What a later try may find working again.
local function may_pass(e)
  return errors.is(e) and (e.retry or e.kind == "network" or e.kind == "timeout" or e.kind == "closed")
end

--- Waits before the next round; a stop ends the wait.
local function rest(self, seconds)
  local till = task.now() + seconds
  while not self.stopping and task.now() < till do task.sleep(math.min(0.05, till - task.now())) end
end

local function follow(self)
  local last, pause = task.now(), nil
  while not self.stopping do
    local began, told = task.now(), task.is_cancelled()
    local ok, e = pcall(round, self, true)
    if ok then
      -- Rounds that look at every key leave the source as much time as they took.
      last, pause = task.now(), self.notices and self.interval or math.max(self.interval, task.now() - began)
      tell(self)
    else
      if task.is_cancelled() ~= told or not may_pass(e) or task.now() - last > self.patience then error(e, 0) end
      pause = math.min(pause and pause * 2 or 0.2, 5)
      log.debug("redis copy: %s; again in %.1f s", tostring(e), pause)
    end
    rest(self, pause)
  end
end

local function run(self)
  self.phase = "bulk"
  self.bulk = require "redis.copy".copy(self.bulk_options)
  self.phase = "rounds"
  if not self.notices then log.warn("Redis %s has no keyspace notifications for us: each round compares every key", self.from.label) end
  follow(self)
end

--- Starts a copy: everything, and then what changes, until `finish` or `close`.
---@param o table the options of redis.copy, and those of `declared`
---@return redis.live.Copy
function M.start(o)
  local mine, bulk = {}, {}
  local known = {}
  for _, d in ipairs(declared) do known[d[1]] = true end
  for name, value in pairs(o) do
    if known[name] then mine[name] = value else bulk[name] = value end
  end
  mine = options.check(mine, declared, "redis.copy.start")
  bulk.from, bulk.to, bulk.timeout = mine.from, mine.to, mine.timeout
  local self = setmetatable({ phase = "begin", rounds = 0, rescans = 0, moved = 0, deleted = 0, rest = 0, ready = false,
    source = mine.from, target = mine.to,
    timeout = mine.timeout, small = mine.small, interval = mine.interval, patience = mine.patience, bulk_options = bulk,
    changes = changes_of.new(mine.memory), switch = switch.new(mine.from, mine.notifications or nil, mine.journal) }, Copy)
  self.progress = bulk.on_progress
  function bulk.on_progress(keys, total, bytes)
    self.keys, self.total, self.bytes = keys, total, bytes
    if self.progress then self.progress(keys, total, bytes) end
  end
  local ok, e = pcall(function()
    connect(self)
    self.state = source.read(self.from)
    if mine.notifications ~= false and source.tells_all(self.state) then listen(self) end
  end)
  if not ok then self:close() error(e, 0) end
  self.task = task.spawn(function()
    local fine, err = pcall(run, self)
    if not fine then self.phase, self.failure = "failed", err end
    tell(self)
  end)
  return self
end

--- How far it is.
---@return { phase: string, keys: integer?, total: integer?, rest: integer, ready: boolean, rounds: integer, rescans: integer,
---   why: string?, moved: integer, deleted: integer, notifications: boolean, failure: any }
function Copy:status()
  return { phase = self.phase, keys = self.keys, total = self.total, rest = math.max(self.rest, self.changes.count), ready = self.ready,
    rounds = self.rounds, rescans = self.rescans, why = self.why, moved = self.moved, deleted = self.deleted,
    notifications = self.notices ~= nil, failure = self.failure }
end

local function check_alive(self)
  if self.failure then error(self.failure, 0) end
  if self.phase == "closed" or self.phase == "done" then errors.usage("this copy is %s", self.phase) end
end

--- Waits until everything is copied but the few keys that changed last, and raises what made it fail.
---@param seconds? number 86,400 by default
function Copy:wait(seconds)
  task.within(seconds or 86400, "bring the copy up to its source", function()
    check_alive(self)
    self.waiting = task.event()
    local _ <close> = setmetatable({}, { __close = function() self.waiting = nil end })
    while not self.ready do
      self.waiting.wait()
      check_alive(self)
    end
  end)
  return self:status()
end

--- Functions (FUNCTION LOAD) are no keys, and no notification tells of them.
local function copy_functions(self)
  local theirs = self.from:pipeline({ { "FUNCTION", "DUMP" } }, { keep_errors = true })[1]
  if type(theirs) ~= "string" then return end
  if self.to:function_dump() ~= theirs then self.to:function_restore(theirs, "FLUSH") end
end

local function writers_write(self)
  local last = self.notices and self.notices.last or self.unequal and self.unequal.key
  errors.raise { kind = "stopped", op = "finish the copy of Redis " .. self.from.label,
    message = "the source is still written to" .. (last and (", for example the key %q"):format(last) or ""),
    hint = "stop everything that writes to it, and finish again" }
end

--- The last pass. The caller has stopped the writers: what has changed until then is copied, every key of both sides
--- compared, and the notifications are set back. Raises kind "stopped" while the source is still written to; it may then
--- be called again.
---@return { keys: integer, moved: integer, deleted: integer, rounds: integer, rescans: integer, seconds: number, notifications: boolean }
---  moved, deleted: keys that were copied again, and deleted, after the first copy of all; seconds: of the last pass
function Copy:finish()
  check_alive(self)
  self.stopping = true
  self.task:join()
  check_alive(self)
  self.phase = "last pass"
  local began, equal = task.now(), false
  for _ = 1, PASSES do
    round(self)
    local writes = source.writes(self.from)
    look_at_all(self, true)
    equal = not self.unequal and source.writes(self.from) == writes
    if equal then break end
  end
  if not equal then writers_write(self) end
  copy_functions(self)
  local result = { keys = self.compared, moved = self.moved, deleted = self.deleted, rounds = self.rounds, rescans = self.rescans,
    seconds = task.now() - began, notifications = self.notices ~= nil }
  self:close()
  self.phase = "done"
  return result
end

--- Ends it, wherever it is, and sets the notifications back. Safe twice.
function Copy:close()
  if self.phase == "closed" or self.phase == "done" then return end
  self.phase = "closed"
  task.shield(function()
    if self.task then
      self.task:cancel()
      self.task:join()
    end
    if self.notices then self.notices:close() end
    if self.switch then self.switch:off() end
    disconnect(self)
  end)
end

Copy.__close = Copy.close

return M
