--- The comparison of two connections: runs the worker, and puts what it finds into words (same.lua is the public side).
local endpoints = require "redis.endpoint"
local errors = require "errors"
local host = require "host.redissame"
local judge = require "redis.same.judge"
local log = require "log"
local names = require "redis.same.names"
local side = require "redis.same.sides"
local task = require "task"

local M = {}

local BATCH = 500                       -- keys in a round
local STREAMS = 50                      -- streams whose groups are compared at once
local OLD_TOLERANCE = 1000              -- milliseconds, where a server is older than 7.0

---@class redis.Comparison
local Comparison = {}
Comparison.__index = Comparison

local NOUNS = { string = "string", list = "list", set = "set", zset = "sorted set", hash = "hash", stream = "stream" }

local function where(noun, key, db) return ("%s %s in database %d"):format(noun, names.show(key), db) end

function Comparison:is_listing() return #self.differences < self.limit end

function Comparison:differ(kind, found, message, a, b)
  self.count = self.count + 1
  self.counts[kind] = (self.counts[kind] or 0) + 1
  if self:is_listing() then
    self.differences[#self.differences + 1] = { db = found.db, key = found.key, kind = kind, message = message, a = a, b = b }
  end
end

--- A key with details that judge found; without any it is equal by now.
function Comparison:differ_in(kind, noun, found, details)
  if #details == 0 then return end
  self:differ(kind, found, ("%s: %s%s"):format(where(noun, found.key, found.db), table.concat(details, "; "), details.more and "; and more" or ""))
end

local function select_both(self, db)
  for _, r in ipairs { self.a, self.b } do if r.db ~= db then r:select(db) end end
end

--- The servers' time, in milliseconds since 1970.
local function clock(r)
  local t = r:time()
  return math.tointeger(tonumber(t[1])) * 1000 + math.tointeger(tonumber(t[2])) // 1000
end

--- A key that is on one side only, unless it expired there a moment earlier.
function Comparison:is_over(r, at)
  if at < 0 then return false end
  if not self.now or at > self.now then self.now = clock(r) end
  return at <= self.now + self.ttl_tolerance
end

function Comparison:alone(found, kind)
  if self:is_over(kind == "missing" and self.a or self.b, kind == "missing" and found.a or found.b) then return end
  self:differ(kind, found, where("key", found.key, found.db) .. (kind == "missing" and " is missing in b" or " is only in b"))
end

function Comparison:other_type(found, a, b)
  self:differ("type", found, ("%s is a %s in a, a %s in b"):format(where("key", found.key, found.db), NOUNS[a] or a, NOUNS[b] or b), a, b)
end

--- When a key expires on one side, in milliseconds since 1970; -1: never.
function Comparison:expiry(r, key)
  local at = r:command(self.exact and "PEXPIRETIME" or "PTTL", key)
  return at >= 0 and not self.exact and clock(r) + at or at
end

--- A key of which nothing is known but that its DUMPs differ, or that there are none.
function Comparison:look(found)
  local a, b = judge.types(self, { found.key })
  local kind, other = a[1], b[1]
  if kind == "none" and other == "none" then return end
  if other == "none" then
    self:alone({ db = found.db, key = found.key, a = self:expiry(self.a, found.key) }, "missing")
  elseif kind == "none" then
    self:alone({ db = found.db, key = found.key, b = self:expiry(self.b, found.key) }, "extra")
  elseif kind ~= other then
    self:other_type(found, kind, other)
  elseif judge.knows(kind) then
    self:values(found, kind)
  else
    self:differ("value", found, ("%s is of the type %s, which can only be compared by DUMP, and its DUMPs differ"):format(
      where("key", found.key, found.db), kind))
  end
end

--- The value in words, and what belongs to it.
function Comparison:values(found, kind)
  local details = judge.value(self, found.key, kind)
  self:differ_in("value", NOUNS[kind], found, details)
  if #details > 0 then return end
  if kind == "stream" then self:states { found } elseif kind == "hash" then self:fields(found) end
end

function Comparison:value(found)
  if self:is_listing() then self:look(found) else self:differ("value", found, "") end
end

function Comparison:fields(found)
  self:differ_in("ttl", "hash", found, judge.fields(self, found.key, self.ttl_tolerance))
end

function Comparison:states(list)
  local keys = {}
  for i, found in ipairs(list) do keys[i] = found.key end
  for i, details in ipairs(judge.states(self, keys)) do self:differ_in("stream", "stream", list[i], details) end
end

--- Keys that only b has: exactly, by asking a for each of b's.
function Comparison:extra(db)
  local function ask(keys)
    local commands = {}
    for i, key in ipairs(keys) do commands[i] = { "EXISTS", key } end
    for i, there in ipairs(self.a:pipeline(commands)) do
      local at = there == 0 and self:expiry(self.b, keys[i]) or -2
      if at ~= -2 then self:alone({ db = db, key = keys[i], b = at }, "extra") end
    end
  end
  local round = {}
  for key in self.b:keys_of { count = BATCH } do
    round[#round + 1] = key
    if #round == BATCH then ask(round) round = {} end
  end
  if #round > 0 then ask(round) end
end

--- What the worker has found.
function Comparison:read(list)
  local streams = {}
  local function flush()
    if #streams == 0 then return end
    select_both(self, streams[1].db)
    self:states(streams)
    streams = {}
  end
  for _, found in ipairs(list) do
    if found.what == "s" then
      if #streams == STREAMS or (streams[1] and streams[1].db ~= found.db) then flush() end
      streams[#streams + 1] = found
    else
      select_both(self, found.db)
      if found.what == "m" then self:alone(found, "missing")
      elseif found.what == "e" then self:alone(found, "extra")
      elseif found.what == "x" then
        self:differ("ttl", found, where("key", found.key, found.db) .. " " .. names.expiry(found.a, found.b), found.a, found.b)
      elseif found.what == "v" then self:value(found)
      elseif found.what == "f" then self:fields(found)
      elseif found.what == "n" then self:extra(found.db)
      else self:look(found) end
    end
  end
  flush()
end

--- The worker goes to the address at which the control connection found the server.
local function set_end(job, method, r)
  local e = r.endpoint
  errors.check("compare Redis", job[method](job, r.address, r.port, e.user, e.password, endpoints.tls(e)))
end

--- Runs a worker over whole databases, or over some keys of one.
---@param databases { db: integer, expires: boolean, fields: boolean }[]
---@param keys? string[]
---@param report fun(keys: integer)
function Comparison:run(databases, keys, report)
  local job <close> = errors.check("compare Redis", host.new())
  set_end(job, "first", self.a)
  set_end(job, "second", self.b)
  errors.check("compare Redis", job:start(databases, BATCH, self.exact, self.ttl_tolerance, self.timeout, self.strings, keys))
  local keys_before, gets_before = self.keys, self.gets
  repeat
    task.await(job:id(), 0.5)
    local ok, err = job:result()
    self:read(job:take())
    local n, _, _, gets = job:progress()
    self.keys, self.gets = keys_before + n, gets_before + gets
    report(self.keys)
    if not ok and err.code ~= "running" then
      errors.raise { kind = err.kind, op = self.op, message = err.message, code = err.code, retry = err.retry, cause = err }
    end
  until ok
end

--- What INFO says of the databases in use on either side, in their order.
local function databases_of(r)
  local list = {}
  for name, value in pairs(r:info "keyspace") do
    local db = math.tointeger(tonumber(name:match "^db(%d+)$"))
    if db then
      local count = {}
      for field, n in value:gmatch "([%w_]+)=(%d+)" do count[field] = tonumber(n) end
      local fields = count.subexpiry or count.keys_with_volatile_items          -- Redis 8; Valkey 9
      if count.keys > 0 then list[db] = { keys = count.keys, expires = count.expires ~= 0, fields = fields } end
    end
  end
  return list
end

--- Whether a server has a command, and lets us use it; if not, what it says.
local function knows(r, ...)
  local reply = r:pipeline({ { ... } }, { keep_errors = true })[1]
  if type(reply) == "table" and reply.kind then return false, reply end
  return true
end

--- Whether a server has fields of hashes that expire; one that has them and does not show them is told of.
function Comparison:knows_fields(r)
  local known, why = knows(r, "HPEXPIRETIME", "hkrun:probe", "FIELDS", 1, "f")
  if why and why.code == "NOPERM" then
    self.notes[#self.notes + 1] = ("when fields of hashes expire was not compared: %s: %s"):format(r.label, why.message)
  end
  return known
end

--- The databases of both sides; whether keys and fields in them may expire.
---@param wanted? integer[] only these
function Comparison:find_databases(wanted)
  local in_a, in_b = databases_of(self.a), databases_of(self.b)
  local list = {}
  for _, side in ipairs { in_a, in_b } do for db in pairs(side) do list[#list + 1] = db end end
  table.sort(list)
  self.databases, self.total = {}, 0
  local chosen = {}
  for _, db in ipairs(wanted or list) do
    chosen[math.tointeger(tonumber(db)) or errors.usage("redis.same: databases are numbers, not %s", db)] = true
  end
  for i, db in ipairs(list) do
    if list[i - 1] ~= db and chosen[db] then
      local a, b = in_a[db] or { keys = 0 }, in_b[db] or { keys = 0 }
      local function fields_expire(side, known) return known and side.keys > 0 and side.fields ~= 0 end
      self.databases[#self.databases + 1] = { db = db, a = a.keys, b = b.keys, expires = a.expires or b.expires,
        fields = fields_expire(a, self.expires.a) or fields_expire(b, self.expires.b) }
      self.total = self.total + math.max(a.keys, b.keys)
    end
  end
end

--- Names that chance picks on either side.
function Comparison:pick(db, n)
  local keys, seen = {}, {}
  select_both(self, db)
  for from = 1, n, BATCH do
    local ask = {}
    for i = 1, (math.min(BATCH, n - from + 1) + 1) // 2 do ask[i] = { "RANDOMKEY" } end
    for _, replies in ipairs { side.both(self, ask) } do
      for _, key in ipairs(replies) do
        if type(key) == "string" and not seen[key] then seen[key] = true keys[#keys + 1] = key end
      end
    end
  end
  return keys
end

--- The numbers of keys, and a sample of the keys, as many in each database as is its share.
function Comparison:quick(sample, report)
  self.sampled = { keys = 0, of = self.total }
  for _, d in ipairs(self.databases) do
    if d.a ~= d.b then
      local message = ("database %d has %s keys in a, %s in b"):format(d.db, log.amount(d.a), log.amount(d.b))
      if d.expires then self.notes[#self.notes + 1] = message .. "; some may be about to expire"
      else self:differ("count", { db = d.db }, message, d.a, d.b) end
    end
    local keys = self:pick(d.db, math.max(1, sample * math.max(d.a, d.b) // math.max(self.total, 1)))
    self.sampled.keys = self.sampled.keys + #keys
    if #keys > 0 then self:run({ d }, keys, report) end
  end
end

--- A connection to one node of a cluster sees only that one's keys.
local function refuse_part(r, op)
  if r:info "cluster".cluster_enabled ~= "1" then return end
  local size = tonumber(r:cluster_info():match "cluster_size:(%d+)")
  if size and size > 1 then
    errors.raise { kind = "stopped", op = op, message = ("%s is one of %d nodes of a cluster, and has only its own keys"):format(r.label, size) }
  end
end

--- What compares two connections.
---@param a redis.Connection
---@param b redis.Connection
---@param o { ttl_tolerance: integer, limit: integer, timeout: number }
---@return redis.Comparison
function M.between(a, b, o)
  local c = setmetatable({ a = a, b = b, keys = 0, gets = 0, count = 0, counts = {}, differences = {}, notes = {}, limit = o.limit,
    ttl_tolerance = o.ttl_tolerance, timeout = o.timeout, op = ("compare Redis %s with %s"):format(a.label, b.label) }, Comparison)
  refuse_part(a, c.op)
  refuse_part(b, c.op)
  c.exact = knows(a, "PEXPIRETIME", "hkrun:probe") and knows(b, "PEXPIRETIME", "hkrun:probe")
  -- Servers before 7.0 tell only the time that is left, and each at its own moment.
  if not c.exact then c.ttl_tolerance = math.max(c.ttl_tolerance, OLD_TOLERANCE) end
  -- Two names, of different slots: a cluster has no MGET of both.
  c.strings = knows(a, "MGET", "hkrun:probe", "hkrun:copy") and knows(b, "MGET", "hkrun:probe", "hkrun:copy")
  c.expires = { a = c:knows_fields(a), b = c:knows_fields(b) }
  return c
end

return M
