--- Which keys differ between two servers, whether their writers are stopped or not: redis.same's comparison, whose findings
--- are handed over in batches instead of being put into words.
local comparison = require "redis.same.comparison"
local refusals = require "redis.copy.refusals"
local task = require "task"

local M = {}

local BATCH = 500                       -- keys that are handed over at once
local PIECE = 5000                      -- names that are looked at between two pauses

---@class redis.live.Look
---@field found integer keys that differed
---@field keys integer that the source has, of those that were looked at
local Look = {}
Look.__index = Look

local function flush(self, db)
  local names = self.names[db]
  if not names or #names == 0 then return end
  self.names[db] = {}
  self.take { db = db, keys = names }
end

--- A finding goes to its database's batch. A full one is handed over at once: the connections work in that database now.
local function differ(self, db, key)
  if not key or db == 0 and key == refusals.MARK or self.only and not self.only[db] then return end
  self.found = self.found + 1
  self.names[db] = self.names[db] or {}
  table.insert(self.names[db], key)
  if #self.names[db] == BATCH then flush(self, db) end
end

local function flush_all(self)
  for db in pairs(self.names) do flush(self, db) end
end

---@param from redis.Connection
---@param to redis.Connection
---@param o { databases?: integer[], timeout: number }
---@param take fun(batch: { db: integer, keys: string[] })
---@return redis.live.Look
function M.new(from, to, o, take)
  local self = setmetatable({ from = from, to = to, take = take, found = 0, keys = 0, names = {} }, Look)
  local c = comparison.between(from, to, { ttl_tolerance = 0, limit = 0, timeout = o.timeout })
  local read = c.read
  function c.differ(_, _, found) differ(self, found.db, found.key) end
  function c.read(...)
    read(...)
    flush_all(self)
  end
  self.comparison = c
  if o.databases then
    self.only = {}
    for _, db in ipairs(o.databases) do self.only[db] = true end
  end
  return self
end

--- The databases that either side uses, as the comparison takes them.
local function databases(self)
  self.comparison:find_databases()
  local list = {}
  for _, d in ipairs(self.comparison.databases) do
    if not self.only or self.only[d.db] then list[#list + 1] = d end
  end
  return list
end

local function ignore() end

--- As fast as it goes.
function Look:at_once()
  local list = databases(self)
  for _, d in ipairs(list) do self.keys = self.keys + d.a end
  if #list > 0 then self.comparison:run(list, nil, ignore) end
end

--- Some keys of one database.
---@param batch { db: integer, keys: string[] }
function Look:at_keys(batch)
  local c = self.comparison
  c:run({ { db = batch.db, expires = true, fields = c.expires.a or c.expires.b } }, batch.keys, ignore)
end

local function in_pieces(r, fn)
  local piece = {}
  for key in r:keys_of { count = 1000 } do
    piece[#piece + 1] = key
    if #piece >= PIECE then fn(piece) piece = {} end
  end
  if #piece > 0 then fn(piece) end
end

--- With pauses, for a source that others use.
---@param pause fun(seconds: number, keys: integer) called after each piece, with how long it took
function Look:piece_by_piece(pause)
  for _, d in ipairs(databases(self)) do
    local db = d.db
    local function look(keys)
      local began = task.now()
      self:at_keys { db = db, keys = keys }
      pause(task.now() - began, #keys)
      self.from:select(db)
      self.to:select(db)
    end
    self.from:select(db)
    self.to:select(db)
    in_pieces(self.from, function(keys)
      self.keys = self.keys + #keys
      look(keys)
    end)
    in_pieces(self.to, function(keys)
      local ask, extra = {}, {}
      for i, key in ipairs(keys) do ask[i] = { "EXISTS", key } end
      for i, there in ipairs(self.from:pipeline(ask)) do if there == 0 then extra[#extra + 1] = keys[i] end end
      if #extra > 0 then look(extra) end
    end)
  end
end

return M
