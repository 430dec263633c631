--- A copy that follows its source while the source is written to, so that the writers are stopped only for the end.
---
---     local copy <close> = redis.copy.start { from = old, to = new, notifications = app.redis:notifications() }
---     copy:wait()                                     -- everything is there but what changed in the last moment
---     local freeze <close> = app:freeze()             -- the writers stop
---     copy:finish()                                   -- the last changes, and every key compared
---
--- In a recipe, `local notices <close> = app.redis:notify()` before these lines is the guard that sets the notifications
--- back also when hkrun was killed, and `journal = PATH` lets the next apply go on with what was copied.
---
--- First redis.copy copies everything. Meanwhile the source's keyspace notifications tell which keys change, and rounds copy
--- those again, until few are left (live/rounds.lua). What no notification tells is seen in other ways: FLUSHDB, FLUSHALL
--- and SWAPDB by the server's counters of commands, another server at the same address by its run_id, a notification that
--- was lost by the connection's end. Each of these has the next round look at every key. Where a server has no notifications
--- for us, each round does.
local changes = require "redis.live.changes"
local errors = require "errors"
local fs = require "fs"
local log = require "log"
local options = require "options"
local redis_copy = require "redis.copy"
local refusals = require "redis.copy.refusals"
local rounds = require "redis.live.rounds"
local servers = require "redis.live.servers"
local sign = require "sign"
local switch = require "redis.live.switch"
local task = require "task"

local M = {}

local PASSES = 5                        -- of finish, before it says that writers still write
local BULKS = 3                         -- copies of everything, where a server is started anew in the middle

M.OPTIONS = {
  { "notifications", "{ read = fn, on = fn, off = fn } where the server forbids CONFIG; false: rounds compare instead", type = "any" },
  { "small", "so many changed keys or fewer are few: the writers can be stopped", type = "integer", default = 1000 },
  { "interval", "seconds between two rounds", type = "number", default = 0.25 },
  { "memory", "bytes of names of changed keys that are kept; with more, the next round looks at every key", type = "integer",
    default = 16 << 20 },
}
local declared = {}
do
  -- A function of the caller's makes keys that cannot be compared with the source's.
  local without = { filter = true, transform = true, unknown = true }
  for _, list in ipairs { redis_copy.OPTIONS, M.OPTIONS } do
    for _, d in ipairs(list) do if not without[d[1]] then declared[#declared + 1] = d end end
  end
end

---@class redis.live.Copy
local Copy = {}
Copy.__index = Copy
Copy.__name = "redis.live.Copy"

local function tell(self)
  if self.waiting then self.waiting.set() end
end

--- The copy's mark in the target until it is finished: the name of this copy, which stands beside the journal too.
local function read_mark(self)
  self.to:select(0)
  return self.to:type(refusals.MARK) == "string" and self.to:get(refusals.MARK) or nil
end

--- Copies everything. Not needed where an earlier call had done that, and the target is still its target.
local function copy_all(self)
  local mark = self.path and fs.exists(self.path) and fs.read(self.path)
  if mark and mark == read_mark(self) then
    log.info("the copy of %s goes on where it was cut off", self.from.label)
    return self.changes:lose "the copy was cut off"
  end
  local o = {}
  for _, d in ipairs(redis_copy.OPTIONS) do o[d[1]] = self.o[d[1]] end
  function o.on_progress(keys, total, bytes)
    self.keys, self.total = keys, total
    if self.o.on_progress then self.o.on_progress(keys, total, bytes) end
  end
  for try = 1, BULKS do
    local ok, e = pcall(redis_copy.copy, o)
    if ok then break end
    if type(e) ~= "table" or e.code ~= "restarted" or try == BULKS then error(e, 0) end
    log.warn("%s: everything is copied again", e.message)
    o.restart = true
  end
  mark = "live " .. sign.uuid()
  rounds.connect(self)                  -- they had nothing to do for long, and may have been closed
  self.to:set(refusals.MARK, mark)
  if self.path then fs.write(self.path, mark) end
end

local function run(self)
  self.phase = "bulk"
  copy_all(self)
  self.phase = "rounds"
  if self.silent then
    log.warn("Redis %s has no keyspace notifications for us: each round compares every key", self.from.label)
  end
  rounds.follow(self, function() tell(self) end)
end

--- Starts a copy: everything, and then what changes, until `finish` or `close`.
---@param o table the options of redis.copy but filter, transform and unknown, and notifications, small, interval, memory
---@return redis.live.Copy
function M.start(o)
  o = options.check(o, declared, "redis.copy.start")
  local self = setmetatable({ o = o, phase = "begin", rounds = 0, rescans = 0, moved = 0, deleted = 0, rest = 0, gets = 0, ready = false,
    state = {}, changes = changes.new(o.memory), path = o.journal and o.journal .. ".live",
    switch = switch.new(o.from, o.notifications or nil, o.journal) }, Copy)
  if o.databases then
    self.only = {}
    for _, db in ipairs(o.databases) do self.only[db] = true end
  end
  local ok, e = pcall(function()
    rounds.connect(self)
    self.state.from = servers.read(self.from)
    rounds.listen(self)
  end)
  if not ok then self:close() error(e, 0) end
  self.task = task.spawn(function()
    local fine, err = pcall(run, self)
    if not fine and not self.closed then self.phase, self.failure = "failed", err end
    tell(self)
  end)
  return self
end

--- How far it is. rest: changed keys that wait to be copied; ready: they are few; rescans: rounds that looked at every key,
--- the last one because of `why`; moved, deleted: keys, after the first copy of all.
---@return { phase: "begin"|"bulk"|"rounds"|"last pass"|"done"|"failed"|"closed", keys: integer?, total: integer?, rest: integer,
---   ready: boolean, rounds: integer, rescans: integer, why: string?, moved: integer, deleted: integer, notifications: boolean, failure: any }
function Copy:status()
  return { phase = self.phase, keys = self.keys, total = self.total, rest = math.max(self.rest, self.changes.count), ready = self.ready,
    rounds = self.rounds, rescans = self.rescans, why = self.why, moved = self.moved, deleted = self.deleted,
    notifications = self.notices ~= nil, failure = self.failure }
end

local function check_alive(self)
  if self.failure then error(self.failure, 0) end
  if self.closed then errors.usage("this copy is %s", self.phase) end
end

--- Waits until everything is copied but the few keys that changed last, and raises what made it fail.
---@param seconds? number a day by default
---@return table status
function Copy:wait(seconds)
  task.within(seconds or 86400, "bring the copy of Redis up to its source", function()
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
  if type(theirs) == "string" and self.to:function_dump() ~= theirs then self.to:function_restore(theirs, "FLUSH") end
end

local function writers_write(self)
  local last = self.notices and self.notices.last or self.unequal
  errors.raise { kind = "stopped", op = "finish the copy of Redis " .. self.from.label,
    message = "the source is still written to" .. (last and (", for example the key %q"):format(last) or ""),
    hint = "stop everything that writes to it, and finish again" }
end

--- The last pass. The caller has stopped the writers: what has changed until then is copied, and every key of both sides
--- compared, because some commands change what is stored without a notification (XREADGROUP, XACK, XCLAIM, PFCOUNT). Raises
--- kind "stopped" while the source is still written to; it may then be called again.
---@return { keys: integer, moved: integer, deleted: integer, rounds: integer, rescans: integer, seconds: number, notifications: boolean }
---  moved, deleted: keys, after the first copy of all; seconds: of the last pass
function Copy:finish()
  check_alive(self)
  self.stopping = true
  self.task:join()
  check_alive(self)
  self.phase = "last pass"
  local began, equal = task.now(), false
  for _ = 1, PASSES do
    rounds.round(self)
    local writes = servers.writes(self.from)
    equal = rounds.verify(self) and servers.writes(self.from) == writes
    if equal then break end
  end
  if not equal then writers_write(self) end
  if self.o.functions then copy_functions(self) end
  self.to:select(0)
  self.to:del(refusals.MARK)
  if self.path and fs.exists(self.path) then fs.remove(self.path) end
  local result = { keys = self.compared, moved = self.moved, deleted = self.deleted, rounds = self.rounds, rescans = self.rescans,
    seconds = task.now() - began, notifications = self.notices ~= nil }
  self:close()
  self.phase = "done"
  return result
end

--- Ends it, wherever it is, and sets the notifications back. Safe twice.
function Copy:close()
  if self.closed then return end
  self.closed = true
  task.shield(function()
    if self.task then
      self.task:cancel()
      self.task:join()
    end
    if self.notices then self.notices:close() end
    self.switch:off()
    rounds.disconnect(self)
  end)
  self.phase = "closed"
end

Copy.__close = Copy.close

return M
