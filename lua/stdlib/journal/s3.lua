--- A journal in S3, `s3://bucket/key`, for a team or CI. S3 cannot append: the object `key` holds the newest records and
--- is replaced with If-Match at each write, so that nothing is ever torn, and nobody writes who does not know the newest
--- state. What has grown large is set aside, for good, in `key.0001`, `key.0002`, ... (If-None-Match: *); the first line of
--- `key` says how many there are. The lock is the object `key.lock` (journal/lease.lua).
---
--- A write whose reply was lost is read back and compared. A run whose lock another one took over is fenced: the first
--- write of the other changes the ETag, so the next record here is refused, and each effect has a record before it.
--- Objects are as private and as encrypted as the bucket says; where it keeps versions, each write is one.
local aws = require "aws"
local config = require "aws.config"
local errors = require "errors"
local json = require "json"
local lease = require "journal.lease"
local task = require "task"

local Store = { turn = 0.005 }                               -- seconds between two looks whether a write is through
Store.__index = Store

local M = {}

M.LIMIT = 64 * 1024                                          -- bytes of `key` before they are set aside
local AGAIN = 5                                              -- times that S3 may say 409, two writes at once

local HINTS = {
  NoSuchBucket = "make the bucket first: aws s3 mb s3://%s; let it keep versions",
  AccessDenied = "it needs s3:GetObject, s3:PutObject and s3:DeleteObject on its objects, and s3:ListBucket on the bucket "
    .. "(without that, S3 says the same of what is not there)",
}
HINTS.AllAccessDisabled, HINTS["403"], HINTS.Forbidden = HINTS.AccessDenied, HINTS.AccessDenied, HINTS.AccessDenied

--- A client that works without a region: S3 tells where the bucket is.
local function client()
  local ok, region = pcall(config.region, aws.used().region, aws.used().profile)
  return aws.client { service = "s3", region = ok and region or "us-east-1" }
end

--- Takes a URL apart. A key that ends in "/", or none, is a folder: the journal's own name follows.
---@param url string
---@return string bucket
---@return string key
local function place(url, name)
  local bucket, key = url:match "^s3://([%w%.%-]+)/?(.*)$"
  if not bucket or #bucket < 3 then errors.usage("%s is no place for a journal: say s3://bucket/key", url) end
  if key == "" or key:sub(-1) == "/" then key = key .. name .. ".journal" end
  return bucket, key
end

---@param url string
---@param name string
function M.new(url, name)
  local bucket, key = place(url, name)
  return setmetatable({ bucket = bucket, key = key, path = ("s3://%s/%s"):format(bucket, key), s3 = client(), sealed = 0 }, Store)
end

--- The names of the journals at a URL that begin with a recipe's name; where the URL is one journal, just that.
---@param url string
---@param plain string
---@return string[]
function M.list(url, plain)
  local store = M.new(url, "")
  if not store.key:find "/%.journal$" and store.key ~= ".journal" then return { plain } end
  local prefix, list = store.key:sub(1, -9), {}
  store:told("list the journals of", function()
    for object in store.s3:each("list_objects_v2", { Bucket = store.bucket, Prefix = prefix .. plain }) do
      local base = object.Key:sub(#prefix + 1):match "^([^/]*)%.journal$"
      if base and (base == plain or base:sub(1, #plain + 1) == plain .. ".") then list[#list + 1] = base end
    end
  end)
  return list
end

--- Calls fn; what S3 refuses is said with what to do about it.
function Store:told(verb, fn)
  local r = table.pack(pcall(fn))
  if r[1] then return table.unpack(r, 2, r.n) end
  local e = r[2]
  if not errors.is(e) or e.kind == "cancelled" or e.kind == "locked" or e.journal then error(e, 0) end
  local hint = HINTS[e.code]
  errors.raise {
    op = ("%s the journal %s"):format(verb, self.path), kind = e.kind, code = e.code, message = e.message, status = e.status,
    hint = hint and hint:format(self.bucket) or e.hint, cause = e, retry = e.retry,
  }
end

--- An object's bytes and ETag; nil if it is not there. Also what S3's clock says.
---@return string? bytes
---@return string? etag
---@return string? date
function Store:get(key)
  local ok, result, meta = pcall(self.s3.get_object, self.s3, { Bucket = self.bucket, Key = key })
  if ok then return result.Body, result.ETag, meta.headers.date end
  if errors.is(result, "remote") and result.code == "NoSuchKey" then return nil end
  error(result, 0)
end

--- Puts an object in the place of that ETag; in no place when there is none.
function Store:put(key, bytes, etag)
  local result, meta = self.s3:put_object {
    Bucket = self.bucket, Key = key, Body = bytes, ContentType = "application/x-ndjson",
    IfMatch = etag, IfNoneMatch = not etag and "*" or nil,
  }
  return result.ETag, meta.headers.date
end

--- Whether S3 says that an object is not what the writer took it for.
function M.is_changed(e)
  return errors.is(e, "remote") and (e.code == "PreconditionFailed" or e.code == "NoSuchKey" or e.status == 412)
end

local function segment(key, n) return ("%s.%04d"):format(key, n) end

--- Everything that is in it.
function Store:read()
  return self:told("read", function()
    local bytes, etag = self:get(self.key)
    self.live, self.etag, self.unsure = bytes or "", etag, nil
    local head = self.live:match "^([^\n]*)\n"
    local first = head and head:find('"segments"', 1, true) and json.decode(head)
    self.sealed = type(first) == "table" and first.ev == "segments" and first.n or 0
    self.head = self.sealed > 0 and #head + 1 or 0
    local numbers = {}
    for i = 1, self.sealed do numbers[i] = i end
    local parts = task.map(numbers, function(n)
      return self:get(segment(self.key, n)) or errors.raise { kind = "not_found", message = segment(self.key, n) .. " is gone" }
    end)
    parts[#parts + 1] = self.live:sub(self.head + 1)
    return table.concat(parts)
  end)
end

function Store:fenced(message)
  self.lost = errors.new {
    op = "write the journal " .. self.path, kind = "locked", message = message, journal = true,
    hint = "nothing more is done here; hkrun status says who has it",
  }
  errors.raise(self.lost)
end

--- Whether an error only says that a holder that was thought dead has written: it is known now, and may be fenced again.
function Store:unfenced(e)
  local again = self.lost ~= nil and e == self.lost
  self.lost = nil
  return again
end

--- What is there after a write whose outcome is not known: ours, or what was there before.
---@return boolean landed
function Store:look(want)
  local bytes, etag = self:get(self.key)
  if bytes == want then
    self.live, self.etag = want, etag
    return true
  end
  if (bytes or "") == self.live and etag == self.etag then return false end
  if not bytes then self:fenced "it was deleted while this run went on" end
  self:fenced "another run has taken it over"
  return false
end

--- Replaces `key`, exactly if it is what was last read or written.
function Store:swap(want)
  for attempt = 1, AGAIN do
    local ok, e = pcall(self.put, self, self.key, want, self.etag)
    if ok then
      self.live, self.etag = want, e
      return
    end
    if not errors.is(e) or e.kind == "bug" then error(e, 0) end
    self.unsure = want
    local landed = self:look(want)
    self.unsure = nil
    if landed then return end
    if e.code ~= "ConditionalRequestConflict" or attempt == AGAIN then error(e, 0) end
    task.sleep(0.05 * attempt)
  end
end

--- Sets aside what `key` holds. Somebody may have begun with it and died: what he put there is the beginning of ours.
---@return string rest what is still to be in `key`
function Store:seal()
  local key, bytes = segment(self.key, self.sealed + 1), self.live:sub(self.head + 1)
  local ok, e = pcall(self.put, self, key, bytes, nil)
  if not ok then
    if not M.is_changed(e) then error(e, 0) end
    local there = self:get(key)
    if not there or bytes:sub(1, #there) ~= there then
      errors.raise { kind = "invalid", message = key .. " is there and does not belong to it" }
    end
    bytes = there
  end
  return self.live:sub(self.head + #bytes + 1)
end

--- Appends lines; they are in S3 when it returns.
function Store:append(lines)
  if self.lost then errors.raise(self.lost) end
  self:told("write", function()
    if self.unsure then
      self:look(self.unsure)
      self.unsure = nil
    end
    if #self.live - self.head + #lines <= M.LIMIT or #self.live == self.head then return self:swap(self.live .. lines) end
    local rest = self:seal()
    local head = ('{"ev":"segments","n":%d}\n'):format(self.sealed + 1)
    self:swap(head .. rest .. lines)
    self.sealed, self.head = self.sealed + 1, #head
  end)
end

--- Takes the lock, or raises "locked".
---@return table? dead the holder that left no goodbye
function Store:lock()
  local owner = task.current()
  return self:told("lock", function()
    self.lease = lease.take(self, function(e)
      self.lost = self.lost or e
      owner:cancel()
    end)
    return self.lease.dead
  end)
end

--- Who has it now: nil if nobody; `alive` is false for one that died.
function Store:holder()
  return self:told("read the lock of", function() return lease.look(self) end)
end

--- Lets the lock go. Safe twice.
function Store:close()
  local held = self.lease
  self.lease = nil
  if held then task.shield(held.release, held) end
end

return M
