--- The lock of a journal in S3: the object `key.lock`, made with If-None-Match: * and renewed every quarter of its lease with
--- If-Match. Who finds one that was not renewed in time replaces it, again with If-Match, so that one of many wins. A
--- holder on this machine whose process is gone is known to be dead at once. Time is S3's own (the Date of its answers):
--- two machines need not agree about it. The holder that lost its lock stops at its next record at the latest.
local errors = require "errors"
local file = require "journal.file"
local holder = require "journal.holder"
local json = require "json"
local log = require "log"
local loop = require "host.loop"
local sign = require "sign"
local task = require "task"
local timestamp = require "aws.timestamp"

local Lease = {}
Lease.__index = Lease

local M = {}

M.SECONDS = 60                                               -- without a renewal until it counts as dead
local TRIES = 8                                              -- races for the object before somebody else has it

--- What S3's clock says, in seconds; ours where it says nothing.
local function clock(date)
  return date and timestamp.parse(date) or loop.time()
end

--- The lock that is there.
---@return table? who
---@return string? etag
---@return number now
local function current(store)
  local bytes, etag, date = store:get(store.key .. ".lock")
  if not bytes then return nil, nil, clock(date) end
  local who = json.decode(bytes)
  return type(who) == "table" and who or { renewed = 0 }, etag, clock(date)
end

--- Whether the holder is dead: its process on this machine, or by its silence.
local function is_dead(who, now)
  local lives = holder.lives(who)
  if lives ~= nil then return not lives end
  return now - (tonumber(who.renewed) or 0) > (tonumber(who.lease) or M.SECONDS)
end

local function changed(e) return errors.is(e, "remote") and (e.status == 412 or e.status == 404 or e.status == 409) end

--- Puts our lock in the place of that ETag.
---@return boolean ok
function Lease:put(etag)
  self.me.renewed = math.floor(loop.time() + self.ahead)
  local ok, got, date = pcall(self.store.put, self.store, self.key, json.encode(self.me, { sort = true }) .. "\n", etag)
  if ok then
    self.etag, self.ahead = got, clock(date) - loop.time()
    return true
  end
  if not changed(got) then error(got, 0) end
  return false
end

--- Takes the lock.
---@param store table with get, put, key, bucket, s3
---@param on_lost fun(e: Error) called when another run has taken it
---@return table lease `dead` is the holder that was found dead
function M.take(store, on_lost)
  local self = setmetatable({ store = store, key = store.key .. ".lock", me = holder.me(), ahead = 0 }, Lease)
  self.me.id, self.me.lease = sign.uuid(), M.SECONDS
  local who, etag, now = current(store)
  self.ahead = now - loop.time()
  for attempt = 1, TRIES do
    if who and who.id == self.me.id then                     -- its reply was lost
      self.etag = etag
      break
    end
    if who and not is_dead(who, now) then
      local silent = math.max(0, math.floor(now - (tonumber(who.renewed) or 0)))
      file.refuse(who, holder.lives(who) == nil and (" (heard of %d s ago; after %d s it counts as dead)"):format(silent,
        tonumber(who.lease) or M.SECONDS) or nil)
    end
    self.dead = who
    if self:put(etag) then break end
    if attempt == TRIES then file.refuse(nil) end
    task.sleep(0.02 * attempt)
    who, etag, now = current(store)
  end
  self.beat = task.spawn(function() self:renew_for_ever(on_lost) end)
  return self
end

--- Who holds it; nil if nobody.
---@return table?
function M.look(store)
  local who, _, now = current(store)
  if not who then return nil end
  who.alive = not is_dead(who, now)
  return who
end

--- Renews the lock until it is cancelled, or another run has it.
function Lease:renew_for_ever(on_lost)
  while true do
    task.sleep(M.SECONDS / 4)
    local ok, e = pcall(task.shield, self.renew, self)       -- a cancel in the middle would leave the ETag unknown
    if not ok then
      if errors.is(e, "cancelled") then return end
      log.debug("the lock of %s was not renewed: %s", self.store.path, tostring(e))
    elseif not e then
      on_lost(errors.new {
        op = "go on with " .. self.store.path, kind = "locked", message = "another run has taken the journal over", journal = true,
        hint = "nothing more is done here; hkrun status says who has it",
      })
      return
    end
  end
end

---@return boolean still_ours
function Lease:renew()
  if self:put(self.etag) then return true end
  local who, etag = current(self.store)
  if who and who.id == self.me.id then                         -- the reply of the last renewal was lost
    self.etag = etag
    return true
  end
  return false
end

--- Takes the lock away if it is still ours.
function Lease:release()
  self.beat:cancel()
  pcall(self.beat.join, self.beat)
  local s3, bucket = self.store.s3, self.store.bucket
  local ok, e = pcall(s3.delete_object, s3, { Bucket = bucket, Key = self.key, IfMatch = self.etag })
  if not ok and not changed(e) then
    log.warn("the lock s3://%s/%s stays, and counts as dead in %d s: %s", bucket, self.key, M.SECONDS, tostring(e))
  end
end

return M
