--- Copies keys by their values, for servers whose DUMP formats differ, or where a function changed one. Small keys are
--- read and written many at once; what is large goes in slices, and is never whole in memory. The target's key is replaced.
local errors = require "errors"
local streams = require "redis.copy.streams"

local M = {}

local SLICE = 500                       -- elements at once, at most
local BYTES = 1 << 20                   -- and about so many bytes
local SMALL = 64 << 10                  -- bytes of a key that is read whole
local TRIES = 10                        -- for a key whose type changes while it is read

--- Calls write(list) with at most `width` x SLICE words at a time.
local function sliced(list, width, write)
  for i = 1, #list, width * SLICE do
    write(table.move(list, i, math.min(i + width * SLICE - 1, #list), 1, {}))
  end
end

local function send(to, command, key, words)
  if #words > 0 then to:command(command, key, table.unpack(words)) end
end

--- All elements by HSCAN, SSCAN or ZSCAN; an element may come twice, which does
--- no harm when it is set again.
local function scan(from, command, key, count, write)
  local cursor = "0"
  repeat
    local reply = from:command(command, key, cursor, "COUNT", count)
    cursor = reply[1]
    sliced(reply[2], 2, write)
  until cursor == "0"
end

--- Scores come as text that keeps all their digits, and go as they came.
local function swapped(words)
  for i = 1, #words, 2 do words[i], words[i + 1] = words[i + 1], words[i] end
  return words
end

local known = setmetatable({}, { __mode = "k" })

--- Whether a server has fields that expire by themselves (Redis 7.4, Valkey 9).
local function knows_field_expiry(r)
  if known[r] == nil then known[r] = r:command("COMMAND", "INFO", "HPEXPIRETIME")[1] and true or false end
  return known[r]
end

--- The expiry of some fields, where they have any.
local function copy_field_expiry(from, to, key, name, fields)
  if #fields == 0 or not knows_field_expiry(from) then return end
  local write = {}
  for i, at in ipairs(from:command("HPEXPIRETIME", key, "FIELDS", #fields, table.unpack(fields))) do
    if at > 0 then write[#write + 1] = { "HPEXPIREAT", name, at, "FIELDS", 1, fields[i] } end
  end
  if write[1] and not knows_field_expiry(to) then
    errors.raise { kind = "limit", op = ("copy the key %q by value"):format(key),
      message = "fields of the hash expire, which the target's version does not know", hint = "a target from Redis 7.4 or Valkey 9" }
  end
  to:pipeline(write)
end

--- Large keys by type: from, to, the key, what it is called in the target, elements at once.
local large = {}

function large.string(from, to, key, name)
  local at, first = 0, true
  repeat
    local bytes = from:getrange(key, at, at + BYTES - 1)
    if first then to:set(name, bytes) elseif #bytes > 0 then to:append(name, bytes) end
    at, first = at + BYTES, false
  until #bytes < BYTES
end

function large.hash(from, to, key, name, count)
  scan(from, "HSCAN", key, count, function(words)
    send(to, "HSET", name, words)
    local fields = {}
    for i = 1, #words, 2 do fields[#fields + 1] = words[i] end
    copy_field_expiry(from, to, key, name, fields)
  end)
end

function large.list(from, to, key, name, count)
  local start = 0
  repeat
    local items = from:lrange(key, start, start + count - 1)
    send(to, "RPUSH", name, items)
    start = start + #items
  until #items < count
end

function large.set(from, to, key, name, count)
  scan(from, "SSCAN", key, count, function(words) send(to, "SADD", name, words) end)
end

function large.zset(from, to, key, name, count)
  scan(from, "ZSCAN", key, count, function(words) send(to, "ZADD", name, swapped(words)) end)
end

large.stream = streams.copy

--- Small keys by type: the question, what the answer is written with, and what makes its words.
local small = {
  string = { "GET", {}, "SET", function(v) return { v } end },
  hash = { "HGETALL", {}, "HSET" },
  list = { "LRANGE", { 0, -1 }, "RPUSH" },
  set = { "SMEMBERS", {}, "SADD" },
  zset = { "ZRANGE", { 0, -1, "WITHSCORES" }, "ZADD", swapped },
}

local size_of = { hash = "HLEN", list = "LLEN", set = "SCARD", zset = "ZCARD", stream = "XLEN" }

local function refuse_type(key, kind)
  errors.raise { kind = "limit", op = ("copy the key %q by value"):format(key),
    message = "its type is " .. kind .. ", of a module that has no value commands we know" }
end

--- One key in slices of about BYTES. Its elements are taken for equal in size.
local function copy_large(from, to, item, bytes)
  local count = SLICE
  if size_of[item.type] and bytes then
    local n = from:command(size_of[item.type], item.key)
    count = math.max(1, math.min(SLICE, BYTES * math.max(n, 1) // math.max(bytes, 1)))
  end
  to:del(item.name)
  large[item.type](from, to, item.key, item.name, count)
  if item.expires_at >= 0 then to:pexpireat(item.name, item.expires_at) end
end

--- Small keys: one conversation with each side.
local function copy_small(from, to, items)
  local ask, write = {}, {}
  for i, item in ipairs(items) do ask[i] = { small[item.type][1], item.key, table.unpack(small[item.type][2]) } end
  local gone, hashes = 0, {}
  for i, value in ipairs(#ask > 0 and from:pipeline(ask) or {}) do
    local item = items[i]
    local how = small[item.type]
    write[#write + 1] = { "DEL", item.name }
    if not value or (type(value) == "table" and #value == 0) then
      gone = gone + 1
    else
      write[#write + 1] = { how[3], item.name, table.unpack(how[4] and how[4](value) or value) }
      if item.type == "hash" then hashes[#hashes + 1] = { item, value } end
      if item.expires_at >= 0 then write[#write + 1] = { "PEXPIREAT", item.name, item.expires_at } end
    end
  end
  to:pipeline(write)
  if #hashes == 0 or not knows_field_expiry(from) then return gone end
  for _, pair in ipairs(hashes) do
    local fields = {}
    for i = 1, #pair[2], 2 do fields[#fields + 1] = pair[2][i] end
    copy_field_expiry(from, to, pair[1].key, pair[1].name, fields)
  end
  return gone
end

local function copy_many(from, to, items)
  local ask = {}
  for i, item in ipairs(items) do
    if not large[item.type] and item.type ~= "none" then refuse_type(item.key, item.type) end
    ask[i] = { "MEMORY", "USAGE", item.key }
  end
  local usage = #ask > 0 and from:pipeline(ask, { keep_errors = true }) or {}
  local some, bytes, gone = {}, 0, 0
  for i, item in ipairs(items) do
    local size = type(usage[i]) == "number" and usage[i] or nil
    if item.type == "none" or usage[i] == false then
      to:del(item.name)
      gone = gone + 1
    elseif size and size <= SMALL and small[item.type] then
      some[#some + 1] = item
      bytes = bytes + size
      if bytes > BYTES then
        gone = gone + copy_small(from, to, some)
        some, bytes = {}, 0
      end
    else
      copy_large(from, to, item, size)
    end
  end
  return #items - gone - copy_small(from, to, some), gone
end

local TORN = { WRONGTYPE = true, NOGROUP = true, ERR = true }

--- What a server may say when a key became another one between two questions: the writers of a live copy go on.
local function is_another_by_now(e) return type(e) == "table" and e.kind == "remote" and TORN[e.code] end

--- Copies keys; both connections work in the right database. A key whose type changes meanwhile is looked at again.
---@param items { key: string, name: string, type: string, expires_at: integer }[] expires_at: milliseconds since 1970; -1: never
---@return integer copied
---@return integer gone
function M.many(from, to, items)
  local ok, copied, gone = pcall(copy_many, from, to, items)
  if not ok and not is_another_by_now(copied) then error(copied, 0) end
  if ok then return copied, gone end
  copied, gone = 0, 0
  for _, item in ipairs(items) do
    local tries, n, none = 0
    repeat
      tries = tries + 1
      item.type = from:type(item.key)
      ok, n, none = pcall(copy_many, from, to, { item })
    until ok or tries == TRIES or not is_another_by_now(n)
    if not ok then error(n, 0) end
    copied, gone = copied + n, gone + none
  end
  return copied, gone
end

--- The types of some keys.
function M.types(from, keys)
  local ask = {}
  for i, key in ipairs(keys) do ask[i] = { "TYPE", key } end
  return #ask > 0 and from:pipeline(ask) or {}
end

--- Copies one key: its value by type, then its expiry, absolute.
---@param expires_at integer milliseconds since 1970; -1: never
---@return boolean copied false when the key has gone
function M.copy(from, to, key, expires_at)
  local kind = from:type(key)
  if kind == "none" then return false end
  return M.many(from, to, { { key = key, name = key, type = kind, expires_at = expires_at } }) == 1
end

return M
