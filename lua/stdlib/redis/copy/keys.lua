--- Makes some keys of the target equal to the source's as they are now: what the live sync does with the names it collects.
local by_value = require "redis.by_value"
local errors = require "errors"
local task = require "task"

local M = {}

local ROUND = 100                       -- keys asked for at once
local LARGE = 1 << 20                   -- bytes of a key that does not pass through here
local GONE = -2                         -- PEXPIRETIME of a key that is not there

--- An error reply that says: not this way. Another format of DUMP, or a server
--- that does not let us use DUMP and RESTORE.
function M.is_other_format(err)
  return err.code == "NOPERM" or err.message:find("DUMP payload version", 1, true) ~= nil
    or err.message:find("Bad data format", 1, true) ~= nil or err.message:find "unknown command" ~= nil
end

--- Whether the source tells absolute expiry times (Redis 7.0).
function M.is_exact(r)
  local info = r:command("COMMAND", "INFO", "PEXPIRETIME")
  return info[1] and true or false
end

--- When keys expire, in milliseconds since 1970; -1 never, -2 for a key that is not there. Servers before 7.0 tell only
--- what is left of the time; between two clocks that show the same millisecond that is as exact.
---@param r redis.Connection
---@param keys string[]
---@return integer[]
---@return integer bound milliseconds that they may be off
function M.expiry(r, keys)
  local ask = {}
  for i, key in ipairs(keys) do ask[i] = { "PEXPIRETIME", key } end
  local replies = r:pipeline(ask, { keep_errors = true })
  if #replies == 0 or type(replies[1]) ~= "table" then return replies, 0 end
  ask = { { "TIME" } }
  for i, key in ipairs(keys) do ask[i + 1] = { "PTTL", key } end
  ask[#ask + 1] = { "TIME" }
  replies = r:pipeline(ask)
  local function clock(t) return math.tointeger(tonumber(t[1])) * 1000 + math.tointeger(tonumber(t[2])) // 1000 end
  local now, later = clock(table.remove(replies, 1)), clock(table.remove(replies))
  for i, left in ipairs(replies) do replies[i] = left >= 0 and now + left or left end
  return replies, later - now
end

local function raise(to, key, reply)
  errors.raise { kind = "remote", op = ("RESTORE %q on Redis %s"):format(key, to.label), message = reply.message, code = reply.code, cause = reply }
end

local function move_by_value(from, to, key, at, counts)
  if by_value.copy(from, to, key, at) then counts.copied = counts.copied + 1
  else counts.deleted = counts.deleted + to:unlink(key) end
end

--- Large keys stream through a worker: they are never whole in memory.
local function move_large(from, to, db, keys, o, counts)
  local op = ("copy Redis %s to %s"):format(from.label, to.label)
  local job <close> = require("redis.copy.engine").job { from = from, to = to }
  errors.check(op, job:give { db = db, keys = keys })
  errors.check(op, job:start { connections = 1, exact = M.is_exact(from), deletes = true, lenient = o.method ~= "dump", patience = 10000 })
  task.await(job:id())
  local r = errors.check(op, job:result())
  counts.copied, counts.deleted = counts.copied + r.keys, counts.deleted + r.deleted
  for _, refused in ipairs(job:refused()) do
    move_by_value(from, to, refused.key, M.expiry(from, { refused.key })[1], counts)
  end
end

--- Which of the keys are large; a server that does not tell has none.
local function split(from, keys)
  local ask, small, large = {}, {}, {}
  for i, key in ipairs(keys) do ask[i] = { "MEMORY", "USAGE", key, "SAMPLES", 1 } end
  for i, usage in ipairs(from:pipeline(ask, { keep_errors = true })) do
    table.insert(type(usage) == "number" and usage > LARGE and large or small, keys[i])
  end
  return small, large
end

--- One round by DUMP and RESTORE; what cannot go that way goes by value.
local function move_round(from, to, db, keys, o, counts)
  local large = {}
  if o.method ~= "value" then keys, large = split(from, keys) end
  if large[1] then move_large(from, to, db, large, o, counts) end
  if not keys[1] then return end
  local expiry = M.expiry(from, keys)
  local ask, write, moved, by_hand = {}, {}, {}, {}
  for i, key in ipairs(keys) do ask[i] = { "DUMP", key } end
  local dumps = o.method ~= "value" and from:pipeline(ask, { keep_errors = true }) or {}
  for i, key in ipairs(keys) do
    local payload, at = dumps[i], expiry[i]
    if payload == false or at == GONE then
      write[#write + 1] = { "UNLINK", key }
      moved[#moved + 1] = false
    elseif type(payload) == "string" then
      write[#write + 1] = { "RESTORE", key, at >= 0 and math.max(at, 1) or 0, payload, "REPLACE", at >= 0 and "ABSTTL" or nil }
      moved[#moved + 1] = i
    else
      by_hand[#by_hand + 1] = i
    end
  end
  for n, reply in ipairs(to:pipeline(write, { keep_errors = true })) do
    local i = moved[n]
    if type(reply) == "table" then
      if not i or o.method == "dump" or not M.is_other_format(reply) then raise(to, write[n][2], reply) end
      by_hand[#by_hand + 1] = i
    elseif i then
      counts.copied = counts.copied + 1
    else
      counts.deleted = counts.deleted + reply
    end
  end
  for _, i in ipairs(by_hand) do move_by_value(from, to, keys[i], expiry[i], counts) end
end

--- A key that has gone at the source is deleted at the target. A name may come twice.
---@param from redis.Connection
---@param to redis.Connection
---@param what { db: integer, keys: string[] }
---@param o? { method: "auto"|"dump"|"value" }
---@return { copied: integer, deleted: integer }
function M.move(from, to, what, o)
  local counts = { copied = 0, deleted = 0 }
  if from.db ~= what.db then from:select(what.db) end
  if to.db ~= what.db then to:select(what.db) end
  for i = 1, #what.keys, ROUND do
    move_round(from, to, what.db, table.move(what.keys, i, math.min(i + ROUND - 1, #what.keys), 1, {}), o or {}, counts)
  end
  return counts
end

return M
