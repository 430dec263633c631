--- The rounds of a live copy: what has changed is copied again, and where that cannot be told every key is looked at.
---
--- At any moment, a key whose value differs between the two sides is in the set of changed keys, or in a notification that
--- was not read yet; or the set knows that it is not complete.
local changes = require "redis.live.changes"
local errors = require "errors"
local keys = require "redis.copy.keys"
local loads = require "redis.copy.load"
local log = require "log"
local looks = require "redis.live.look"
local notices = require "redis.live.notices"
local redis = require "redis"
local servers = require "redis.live.servers"
local task = require "task"

local M = {}

local BATCH = 500                       -- keys that are copied at once
local SLOW = 60                         -- seconds of rounds after which it is told that few keys were never left
local TRIES = 20                        -- looks, half a second apart, whether notifications that were switched on come

function M.disconnect(self)
  local from, to = self.from, self.to
  self.from, self.to = nil, nil
  if from then from:close() end
  if to then to:close() end
end

--- Both servers, in new connections.
function M.connect(self)
  M.disconnect(self)
  local o = self.o
  self.from = redis.open(o.from, { timeout = o.timeout, db = 0 })
  self.to = redis.open(o.to, { timeout = o.timeout, db = 0 })
  if self.load then self.load.from = self.from end
end

--- Listens, and says whether everything is told. Where no key may be tried, the setting must do.
local function hears_all(self)
  local heard = notices.open(self.from, self.changes, self.only)
  local ok, told = pcall(heard.catch_up, heard, self.from)
  if ok and (told or told == nil and self.switch:is_on()) then return heard end
  heard:close()
  if not ok then error(told, 0) end
end

--- Begins to listen, and proves that everything is told; else (`silent`) there will be rounds that compare. A server that
--- cannot be reached is neither: the next round listens.
function M.listen(self)
  self.silent = self.o.notifications == false or not servers.tells_all(self.state.from)
  if self.silent then return end
  self.switch:on()
  for try = 1, TRIES do
    local ok, heard = pcall(hears_all, self)
    if not ok and heard.code ~= "NOPERM" then error(heard, 0) end
    self.notices = ok and heard or nil
    if self.notices then return end
    if not (ok and self.switch.record) then break end          -- nothing was switched that could come into force yet
    if try < TRIES then task.sleep(0.5) end
  end
  self.silent = true
end

--- Leaves the source the time that others want of it; not in the last pass, when there are none. Of the time that a batch
--- takes, what the source works is the smaller part: the rest is the way there, the target and we.
local function spare(self, seconds, count)
  if not self.stopping then self.load:pause(seconds / 4, count) end
end

--- Copies the keys of the batches; those that are not done when it is broken off are changed keys again.
local function move(self, batches, may_stop)
  local done = 0
  local ok, e = pcall(function()
    for i, batch in ipairs(batches) do
      if may_stop and self.stopping then return end
      local began = task.now()
      local moved = keys.move(self.from, self.to, batch, { method = self.o.method })
      self.moved, self.deleted = self.moved + moved.copied, self.deleted + moved.deleted
      done = i
      spare(self, task.now() - began, #batch.keys)
    end
  end)
  for i = done + 1, #batches do
    for _, key in ipairs(batches[i].keys) do self.changes:add(batches[i].db, key) end
  end
  if not ok then error(e, 0) end
end

--- Looks at every key of both sides, and makes equal what differs.
---@return integer differed
local function look_at_all(self)
  local look = looks.new(self.from, self.to, self.o, function(batch) move(self, { batch }) end)
  if self.stopping then look:at_once() else look:piece_by_piece(function(seconds, count) spare(self, seconds, count) end) end
  self.compared, self.gets = look.keys, self.gets + look.comparison.gets
  return look.found
end

--- The same for the last pass: what was copied is compared once more.
---@return boolean equal
function M.verify(self)
  local copied = changes.new(self.o.memory)
  local look = looks.new(self.from, self.to, self.o, function(batch)
    for _, key in ipairs(batch.keys) do copied:add(batch.db, key) end
    move(self, { batch })
  end)
  look:at_once()
  self.compared = look.keys
  local batches, gap = copied:take(BATCH)
  local again = looks.new(self.from, self.to, self.o, function(batch) self.unequal = batch.keys[1] end)
  for _, batch in ipairs(batches) do again:at_keys(batch) end
  return not gap and again.found == 0
end

--- What may have happened to either server as a whole: then what was told of keys is not all.
local function check_servers(self)
  for _, side in ipairs { "from", "to" } do
    local before, now = self.state[side], servers.read(self[side])
    local why = before and servers.difference(before, now, side == "from" and "source" or "target")
    if why then
      self.changes:lose(why)
      if side == "from" and now.run_id ~= before.run_id and self.notices then self.notices:close(why) end
    end
    self.state[side] = now
  end
end

--- Makes sure that from here on changes are told, and that all earlier ones have been.
local function catch_up(self)
  local heard = self.notices
  if self.silent or heard and heard:catch_up(self.from) ~= false then return end
  if heard then
    self.changes:lose(heard.lost or "keyspace notifications were switched off")
    self.notices = nil
    heard:close()
  end
  M.listen(self)
  if self.silent then
    log.warn("Redis %s tells its changes no more: each round compares every key from here on", self.from.label)
  end
end

--- One round: what has changed since the last one is copied.
---@param may_stop? boolean leaves the rest when the copy is to stop
function M.round(self, may_stop)
  if self.broken then M.connect(self) end
  self.broken = true                    -- until it is through: what a connection was asked last may be half answered
  check_servers(self)
  catch_up(self)
  self.load = self.load or loads.new(self.from, self.o)
  self.load:look(function() return self.gets end)
  local batches, gap = self.changes:take(BATCH)
  if not self.notices then gap = gap or "there are no keyspace notifications" end
  self.rounds = self.rounds + 1
  if not gap then
    move(self, batches, may_stop)
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
  self.ready = not self.changes.gap and self.rest <= self.o.small
  self.broken = false
end

-- What a server answers when a key was changed between two questions, or when it is not ready yet.
local PASSING = { WRONGTYPE = true, NOGROUP = true, BUSYGROUP = true, LOADING = true, MASTERDOWN = true, READONLY = true, TRYAGAIN = true }

--- What a later try may find working again.
local function may_pass(e)
  return errors.is(e) and (e.retry or e.kind == "network" or e.kind == "timeout" or e.kind == "closed" or PASSING[e.code])
end

--- Waits before the next round; a stop ends the wait.
local function rest(self, seconds)
  local till = task.now() + seconds
  while not self.stopping and task.now() < till do task.sleep(math.min(0.05, till - task.now())) end
end

--- Rounds until the copy is to stop.
---@param tell fun() called after each
function M.follow(self, tell)
  local last, pause, behind = task.now(), nil, task.now()
  while not self.stopping do
    local began, told = task.now(), task.is_cancelled()
    local ok, e = pcall(M.round, self, true)
    if ok then
      -- Rounds that look at every key leave the source as much time as they took.
      last, pause = task.now(), self.notices and self.o.interval or math.max(self.o.interval, task.now() - began)
      if self.ready then behind = math.huge end
      if last - behind > SLOW then
        behind = math.huge
        log.warn("Redis %s changes faster than load = %s lets it be copied: %d keys wait", self.from.label, self.o.load, self.rest)
      end
      tell()
    else
      if task.is_cancelled() ~= told or not may_pass(e) or task.now() - last > self.o.patience then error(e, 0) end
      pause = math.min(pause and pause * 2 or 0.2, 5)
      log.debug("redis copy: %s; again in %.1f s", tostring(e), pause)
    end
    rest(self, pause)
  end
end

return M
