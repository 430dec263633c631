--- The way of a copy on which every key passes through here: by value, and with functions of the caller that filter and
--- change keys. What only gets another name or expiry still goes by DUMP and RESTORE where the servers allow it.
local by_value = require "redis.by_value"
local engine = require "redis.copy.engine"
local errors = require "errors"
local keys_of = require "redis.copy.keys"
local task = require "task"

local M = {}

local ROUND = 500                       -- keys at a time, at most: between them the source is left to others

--- How values look to a function, by type: a string; lists of elements; a hash's fields by name; scores by member.
local read = {}

function read.string(r, name) return r:get(name) end
function read.list(r, name) return r:lrange(name, 0, -1) end
function read.set(r, name) return r:smembers(name) end

function read.hash(r, name)
  local t, list = {}, r:hgetall(name)
  for i = 1, #list, 2 do t[list[i]] = list[i + 1] end
  return t
end

local ODD = { inf = math.huge, ["-inf"] = -math.huge }

function read.zset(r, name)
  local t, list = {}, r:zrange(name, 0, -1, "WITHSCORES")
  for i = 1, #list, 2 do t[list[i]] = ODD[list[i + 1]] or tonumber(list[i + 1]) end
  return t
end

local write = {}

function write.string(name, v) return { "SET", name, v } end
function write.list(name, v) return #v > 0 and { "RPUSH", name, table.unpack(v) } end
function write.set(name, v) return #v > 0 and { "SADD", name, table.unpack(v) } end

function write.hash(name, v)
  local words = { "HSET", name }
  for field, value in pairs(v) do words[#words + 1] = field words[#words + 1] = value end
  return #words > 2 and words
end

function write.zset(name, v)
  local words = { "ZADD", name }
  for member, score in pairs(v) do words[#words + 1] = ("%.17g"):format(score) words[#words + 1] = member end
  return #words > 2 and words
end

---@class redis.Key
---@field db integer
---@field name string
---@field type string "string", "hash", "list", "set", "zset", "stream"
---@field expires_at integer|nil milliseconds since 1970; nil: never
---@field value any read when it is asked for, and written when it is asked for or set: a string, a list, fields by name,
---  scores by member. A stream's cannot be.

--- A key as a function sees it. Its value is read when it is first asked for.
local function view(c, item, db)
  return setmetatable({ db = db, name = item.key, type = item.type, expires_at = item.expires_at >= 0 and item.expires_at or nil }, {
    __index = function(self, field)
      if field ~= "value" then return nil end
      if not read[item.type] then
        errors.usage("redis.copy: the value of %q is a %s, which a function cannot read", item.key, item.type)
      end
      local v = read[item.type](c.from, item.key)
      rawset(self, "value", v)
      return v
    end,
  })
end

--- Writes a value that a function has changed.
local function write_value(c, item, value)
  local fn = write[item.type]
  if not fn then errors.usage("redis.copy: a function set the value of %q, which is a %s", item.key, item.type) end
  local commands = { { "DEL", item.name } }
  local words = fn(item.name, value)
  if words then
    commands[2] = words
    if item.expires_at >= 0 then commands[3] = { "PEXPIREAT", item.name, item.expires_at } end
  end
  c.to:select(item.db)
  c.to:pipeline(commands)
end

--- What becomes of one key: nil when it is left out; else the item, with its value when that was changed.
local function judge(c, item, db)
  local o = c.o
  if not (o.filter or o.transform) then return item end
  local key = view(c, item, db)
  if o.filter and not o.filter(key) then return nil end
  local was = rawget(key, "value")
  if o.transform then
    key = o.transform(key)
    if not key then return nil end
  end
  local value = rawget(key, "value")
  if type(key.name) ~= "string" then errors.usage "redis.copy: a key's name is a string" end
  item.name, item.db = key.name, key.db
  item.expires_at = key.expires_at and math.tointeger(key.expires_at) or -1
  if value ~= nil and (type(value) == "table" or value ~= was) then item.value = value end
  return item
end

--- Gives the engine what goes by DUMP and RESTORE, and waits for it.
local function by_dump(c, db, groups)
  for to_db, items in pairs(groups) do
    local names, there, expiry = {}, {}, {}
    for i, item in ipairs(items) do names[i], there[i], expiry[i] = item.key, item.name, item.expires_at end
    errors.check("copy Redis", c.job:give { db = db, keys = names, to_db = to_db, names = there, expiry = expiry })
  end
  engine.watch(c.job, c, function() end, function(p) return p.idle end)
  local refused = c.job:refused()
  for _, r in ipairs(refused) do
    for _, item in ipairs(groups[r.to_db]) do
      if item.key == r.key then c.values[#c.values + 1] = item end
    end
  end
end

--- One answer to SCAN.
---@return integer copied
local function round(c, db, names)
  local from, to = c.from, c.to
  from:select(db)
  local types = by_value.types(from, names)
  local expiry, bound = keys_of.expiry(from, names)
  c.bound = math.max(c.bound, bound)
  c.values = {}
  local groups, any, copied = {}, false, 0
  for i, name in ipairs(names) do
    local item = { key = name, name = name, db = db, type = types[i], expires_at = expiry[i] }
    if c.left_out[item.type] then
      c.skip(db, name, item.type)
    elseif item.type == "none" or expiry[i] == -2 then
      c.gone = c.gone + 1
    else
      local kept = judge(c, item, db)
      if not kept then
        c.dropped = c.dropped + 1
      elseif kept.value ~= nil then
        write_value(c, kept, kept.value)
        copied = copied + 1
      elseif c.job then
        groups[kept.db] = groups[kept.db] or {}
        table.insert(groups[kept.db], kept)
        any = true
      else
        c.values[#c.values + 1] = kept
      end
    end
  end
  if any then
    local before = c.job:progress()
    by_dump(c, db, groups)
    local after = c.job:progress()
    copied, c.gone, c.bytes = copied + after.keys - before.keys, c.gone + after.gone - before.gone, after.bytes
  end
  local by_db = {}
  for _, item in ipairs(c.values) do
    by_db[item.db] = by_db[item.db] or {}
    table.insert(by_db[item.db], item)
  end
  for to_db, items in pairs(by_db) do
    to:select(to_db)
    local n, gone = by_value.many(from, to, items)
    copied, c.gone = copied + n, c.gone + gone
  end
  return copied
end

--- Copies the databases key by key.
---@param c table the copy; its fields are told in copy.lua
---@param segments { db: integer, cursor: string }[] where to go on
---@param told fun(copied: integer, slice: table) after each round
---@param patiently fun(fn: function): any
function M.run(c, segments, told, patiently)
  c.bound, c.dropped, c.gone, c.bytes = 0, 0, 0, 0
  local job <close> = c.by_dump and engine.job(c) or nil
  c.job = job
  if job then engine.start(job, c, { open = true }) end
  local looked = -1
  for _, s in ipairs(segments) do
    local cursor = s.cursor
    repeat
      if not job and task.now() - looked > 1 then
        patiently(function() c.load:listen() end)
        looked = task.now()
      end
      local start, began, slice = cursor, task.now(), nil
      local copied = patiently(function()
        c.from:select(s.db)
        local reply = c.from:scan(start, "COUNT", math.min(c.o.batch, ROUND))
        cursor = reply[1]
        local n = round(c, s.db, reply[2])
        slice = { ev = "slice", db = s.db, start = start, stop = cursor, keys = n }
        return n
      end)
      told(copied, slice)
      if not job then c.load:pause(task.now() - began, copied) end
    until cursor == "0"
  end
  c.job = nil
end

return M
