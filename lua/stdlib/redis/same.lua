--- Compares two servers: every key by type, value, expiry and stream state.
---
--- Both sides are read side by side, in rounds of 500 keys. Where DUMP gives the
--- same bytes the key is equal; else (another order in a hash table, another
--- version's format) it is compared by its value.
local errors = require "errors"
local options = require "options"
local redis = require "redis"
local task = require "task"

local M = {}

local BATCH = 500
local SLICE = 20                        -- values read at once where their sizes are not known
local FOOT = 10                         -- bytes at a DUMP's end: format version and checksum

local declared = {
  { 1, "one server: a URL, or a table with url=, via=, ca=, pin=", required = true, type = "any" },
  { 2, "the other one", required = true, type = "any" },
  { "ttl_tolerance", "milliseconds that expiry times may differ; at least 1000 where a server is older than 7.0", type = "integer", default = 0 },
  { "quiet", "true: answer the differences instead of raising", type = "boolean", default = false },
  { "limit", "differences that are listed; all are counted", type = "integer", default = 100 },
  { "timeout", "seconds that one command may take", type = "number", default = 60 },
}

local function named(list)
  local t = {}
  for i = 1, #list, 2 do t[list[i]] = list[i + 1] end
  return t
end

local function as_set(list)
  local t = {}
  for _, v in ipairs(list) do t[v] = true end
  return t
end

local function deep_equal(a, b)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  for k, v in pairs(a) do if not deep_equal(v, b[k]) then return false end end
  for k in pairs(b) do if a[k] == nil then return false end end
  return true
end

--- What a stream is besides its entries. Left out: how it is stored, and when
--- consumers were last seen, which no command can set.
local function stream_state(reply)
  local info, groups = named(reply), {}
  for _, raw in ipairs(info.groups) do
    local group = named(raw)
    local consumers = {}
    for _, c in ipairs(group.consumers) do
      local consumer = named(c)
      consumers[consumer.name] = consumer.pending
    end
    groups[group.name] = { last = group["last-delivered-id"], read = group["entries-read"], pending = group.pending, consumers = consumers }
  end
  return { last = info["last-generated-id"], added = info["entries-added"], deleted = info["max-deleted-entry-id"], groups = groups }
end

--- Servers before 7.0 do not count the entries added, deleted and read: what one
--- side does not tell is not compared.
local function same_stream(a, b)
  a, b = stream_state(a), stream_state(b)
  if not (a.added and b.added) then
    a.added, a.deleted, b.added, b.deleted = nil, nil, nil, nil
    for _, side in ipairs { a, b } do
      for _, group in pairs(side.groups) do group.read = nil end
    end
  end
  return deep_equal(a, b)
end

--- By type: the command that reads the value (KEY stands for the key), and what
--- makes its reply comparable.
local KEY = {}
local readers = {
  string = { { "GET", KEY } },
  list = { { "LRANGE", KEY, 0, -1 } },
  set = { { "SMEMBERS", KEY }, as_set },
  zset = { { "ZRANGE", KEY, 0, -1, "WITHSCORES" } },
  hash = { { "HGETALL", KEY }, named },
  stream = { { "XRANGE", KEY, "-", "+" } },
}
local read_stream = { "XINFO", "STREAM", KEY, "FULL", "COUNT", 0 }

local function fill_in(command, key)
  local words = {}
  for i, word in ipairs(command) do words[i] = word == KEY and key or word end
  return words
end

--- The same questions to both sides at once.
local function both(a, b, ask)
  local v = task.all { a = function() return a:pipeline(ask) end, b = function() return b:pipeline(ask) end }
  return v.a, v.b
end

local words = { missing = "missing", extra = "only in the second", type = "of another type", value = "of another value",
  expiry = "with another expiry", stream = "with another stream state" }

---@class redis.Comparison
local Comparison = {}
Comparison.__index = Comparison

function Comparison:differ(kind, key, a, b)
  self.count = self.count + 1
  if #self.differences < self.limit then
    self.differences[#self.differences + 1] = { db = self.db, key = key, kind = kind, a = a, b = b,
      message = ("%q in database %d is %s"):format(key, self.db, words[kind]) }
  end
end

--- When the fields of a hash expire (Redis 7.4, Valkey 9).
function Comparison:compare_fields(key, fields)
  local names = {}
  for name in pairs(fields) do names[#names + 1] = name end
  for i = 1, #names, BATCH do
    local some = table.move(names, i, math.min(i + BATCH - 1, #names), 1, {})
    local a, b = both(self.a, self.b, { { "HPEXPIRETIME", key, "FIELDS", #some, table.unpack(some) } })
    if not deep_equal(a, b) then return self:differ("expiry", key, "of a field", "of a field") end
  end
end

--- Compares a few keys, of which both sides have the same type, by their values.
function Comparison:compare_values(keys, types)
  local ask = {}
  for i, key in ipairs(keys) do
    ask[#ask + 1] = fill_in(readers[types[i]][1], key)
    if types[i] == "stream" then ask[#ask + 1] = fill_in(read_stream, key) end
  end
  local a, b = both(self.a, self.b, ask)
  local at = 0
  for i, key in ipairs(keys) do
    local kind, shape = types[i], readers[types[i]][2]
    at = at + 1
    local value_a, value_b = a[at], b[at]
    if shape then value_a, value_b = shape(value_a), shape(value_b) end
    local equal = deep_equal(value_a, value_b)
    if not equal then self:differ("value", key, kind, kind) end
    if kind == "hash" and equal and self.fields_expire then self:compare_fields(key, value_a) end
    if kind == "stream" then
      at = at + 1
      if equal and not same_stream(a[at], b[at]) then self:differ("stream", key, kind, kind) end
    end
  end
end

--- Compares keys that both sides have by type and value, as many at once as hold
--- about 4 MB.
---@param sizes integer[] of their DUMPs; 0 where they were not asked for
function Comparison:compare_by_value(keys, sizes)
  if #keys == 0 then return end
  local ask, some, types, size = {}, {}, {}, 0
  for i, key in ipairs(keys) do ask[i] = { "TYPE", key } end
  local a, b = both(self.a, self.b, ask)
  for i, key in ipairs(keys) do
    if a[i] ~= b[i] then
      self:differ("type", key, a[i], b[i])
    elseif not readers[a[i]] then
      self:differ("value", key, a[i] .. ", a type that can only be compared by DUMP", b[i])
    else
      some[#some + 1], types[#types + 1], size = key, a[i], size + math.max(sizes[i], 1)
      if size > 4e6 or (#some == SLICE and not self.same_format) then
        self:compare_values(some, types)
        some, types, size = {}, {}, 0
      end
    end
  end
  if #some > 0 then self:compare_values(some, types) end
end

function Comparison:compare_expiry(key, a, b)
  if a == b then return end
  if a >= 0 and b >= 0 and math.abs(a - b) <= self.ttl_tolerance then return end
  self:differ("expiry", key, a, b)
end

--- One round: the same questions to both, then the answers key by key.
function Comparison:compare_keys(keys)
  local ask = {}
  for _, key in ipairs(keys) do
    ask[#ask + 1] = { self.expiry_command, key }
    ask[#ask + 1] = self.same_format and { "DUMP", key } or { "EXISTS", key }
  end
  local a, b = both(self.a, self.b, ask)
  local again, sizes = {}, {}
  for i, key in ipairs(keys) do
    local expiry_a, expiry_b, dump_a, dump_b = a[2 * i - 1], b[2 * i - 1], a[2 * i], b[2 * i]
    a[2 * i], b[2 * i] = false, false   -- large values can go
    local on_a, on_b = dump_a and dump_a ~= 0, dump_b and dump_b ~= 0
    if on_a and on_b then
      self.keys = self.keys + 1
      self:compare_expiry(key, expiry_a, expiry_b)
      if not self.same_format or dump_a ~= dump_b then
        again[#again + 1] = key
        sizes[#sizes + 1] = self.same_format and #dump_a or 0
      end
    elseif on_a and not self:is_expired(expiry_a) then
      self:differ("missing", key, "there", "missing")
    elseif on_b and not self:is_expired(expiry_b) then
      self:differ("extra", key, "missing", "there")
    end
  end
  self:compare_by_value(again, sizes)
end

--- A key that was about to expire may be gone on one side only a moment earlier.
function Comparison:is_expired(at)
  return self.expiry_command == "PEXPIRETIME" and at >= 0 and at <= self:clock() + self.ttl_tolerance
end

function Comparison:clock()
  local t = self.a:time()
  return math.tointeger(tonumber(t[1])) * 1000 + math.tointeger(tonumber(t[2])) // 1000
end

local function in_rounds(keys, fn)
  local round = {}
  for key in keys do
    round[#round + 1] = key
    if #round == BATCH then fn(round) round = {} end
  end
  if #round > 0 then fn(round) end
end

--- Keys that only b has.
function Comparison:find_extra(keys)
  local ask = {}
  for i, key in ipairs(keys) do ask[i] = { "EXISTS", key } end
  local extra = {}
  for i, there in ipairs(self.a:pipeline(ask)) do
    if there == 0 then extra[#extra + 1] = keys[i] end
  end
  if #extra > 0 then self:compare_keys(extra) end
end

function Comparison:compare_database(db)
  self.db = db
  self.a:select(db)
  self.b:select(db)
  in_rounds(self.a:keys_of { count = BATCH }, function(keys) self:compare_keys(keys) end)
  in_rounds(self.b:keys_of { count = BATCH }, function(keys) self:find_extra(keys) end)
end

local function knows(r, command)
  return r:command("COMMAND", "INFO", command)[1] and true or false
end

--- Whether DUMP's format is the same on both: asked of one key that both have.
function Comparison:find_format(numbers)
  self.same_format = true
  for _, db in ipairs(numbers) do
    self.a:select(db)
    self.b:select(db)
    local n = 0
    for key in self.a:keys_of { count = 10 } do
      n = n + 1
      if n > 20 then break end
      local a, b = both(self.a, self.b, { { "DUMP", key } })
      if a[1] and b[1] then
        self.same_format = a[1]:sub(-FOOT, -FOOT + 1) == b[1]:sub(-FOOT, -FOOT + 1)
        return
      end
    end
  end
end

local function sentence(c)
  local d = c.differences[1]
  return ("%d of %d keys differ; the first: %s"):format(c.count, math.max(c.keys, c.count), d.message)
end

--- What compares two connections, without anything to read yet.
---@param a redis.Connection
---@param b redis.Connection
---@param o { ttl_tolerance: integer, limit: integer }
---@param numbers? integer[] the databases in use, in which a key is looked for that tells whether DUMP's formats agree
---@return redis.Comparison
local function between(a, b, o, numbers)
  local c = setmetatable({ a = a, b = b, keys = 0, count = 0, differences = {}, limit = o.limit, ttl_tolerance = o.ttl_tolerance }, Comparison)
  c.expiry_command = knows(a, "PEXPIRETIME") and knows(b, "PEXPIRETIME") and "PEXPIRETIME" or "PTTL"
  -- Servers before 7.0 tell only the time that is left, and each at its own moment.
  if c.expiry_command == "PTTL" then c.ttl_tolerance = math.max(c.ttl_tolerance, 1000) end
  c.fields_expire = knows(a, "HPEXPIRETIME") and knows(b, "HPEXPIRETIME")
  c:find_format(numbers)
  return c
end

--- A function that compares some keys of one database, as redis.same does all: it answers the differences. For the live copy.
---@param a redis.Connection
---@param b redis.Connection
---@param numbers integer[] the databases in use
---@param o { ttl_tolerance: integer }
---@return fun(db: integer, keys: string[]): { db: integer, key: string, kind: string, a: any, b: any }[]
function M.keys(a, b, numbers, o)
  local c = between(a, b, { ttl_tolerance = o.ttl_tolerance, limit = math.huge }, numbers)
  return function(db, keys)
    c.db, c.keys, c.count, c.differences = db, 0, 0, {}
    a:select(db)
    b:select(db)
    for i = 1, #keys, BATCH do c:compare_keys(table.move(keys, i, math.min(i + BATCH - 1, #keys), 1, {})) end
    return c.differences
  end
end

--- Compares two servers key by key. Raises one error when they differ, unless
--- quiet = true.
---@param o table { a, b, ttl_tolerance = 0 (ms), quiet = false, limit = 100 }
---@return { keys: integer, equal: boolean, count: integer, differences: { db: integer, key: string, kind: string, a: any, b: any }[] }
function M.same(o)
  o = options.check(o, declared, "redis.same")
  local a <close> = redis.open(o[1], { timeout = o.timeout })
  local b <close> = redis.open(o[2], { timeout = o.timeout })
  local databases = require "redis.copy".databases
  local seen, numbers = {}, {}
  for _, r in ipairs { a, b } do
    local _, list = databases(r)
    for _, db in ipairs(list) do
      if not seen[db] then seen[db] = true numbers[#numbers + 1] = db end
    end
  end
  table.sort(numbers)
  local c = between(a, b, o, numbers)
  for _, db in ipairs(numbers) do c:compare_database(db) end
  local result = { keys = c.keys, equal = c.count == 0, count = c.count, differences = c.differences }
  if not result.equal and not o.quiet then
    errors.raise { kind = "stopped", op = ("accept %s as equal to %s"):format(b.label, a.label), message = sentence(c), differences = c.differences }
  end
  return result
end

M.OPTIONS = declared

return M
