--- What the queue modules share: one or two connections, how many jobs a key holds, and the comparison of two sides
--- state by state.
local errors = require "errors"
local redis = require "redis"
local task = require "task"

local M = {}

--- Calls fn(connection): the given one, or one of its own for an endpoint.
---@param where redis.Connection|string|userdata|redis.Endpoint
function M.with(where, fn)
  if type(where) == "table" and rawget(where, "label") then return fn(where) end
  local r <close> = redis.open(where)
  return fn(r)
end

--- The same question to both sides at once.
function M.both(a, b, fn)
  local v = task.all { a = function() return M.with(a, fn) end, b = function() return M.with(b, fn) end }
  return v.a, v.b
end

local SIZE = { list = "LLEN", zset = "ZCARD", set = "SCARD", hash = "HLEN" }

---@alias queues.Place { [1]: string, [2]: string, [3]: string } a state, the type of the key that holds it, the key

-- Bull and BullMQ before version 5 put a marker behind the jobs that wait (0:0, 0:1700000000000).
local function is_marker(id) return id and id:sub(1, 2) == "0:" end

--- How many jobs stand at each place. A key of another type is none of a queue, and holds none.
---@param places queues.Place[]
---@return integer[]
function M.sizes(r, places)
  local ask, sizes = {}, {}
  for _, place in ipairs(places) do
    ask[#ask + 1] = { SIZE[place[2]], place[3] }
    ask[#ask + 1] = { "LINDEX", place[3], -1 }
  end
  local replies = r:pipeline(ask, { keep_errors = true })
  for i = 1, #places do
    local size, last = replies[2 * i - 1], replies[2 * i]
    sizes[i] = type(size) == "number" and (type(last) == "string" and is_marker(last) and size - 1 or size) or 0
  end
  return sizes
end

--- Reads a list, or a sorted set with its scores, as { id =, score = } in order; a set or the fields of a hash by name.
function M.members(r, kind, key)
  local list = {}
  if kind == "list" then
    for _, id in ipairs(r:lrange(key, 0, -1)) do
      if not is_marker(id) then list[#list + 1] = { id = id } end
    end
  elseif kind == "set" or kind == "hash" then
    for i, id in ipairs(kind == "set" and r:smembers(key) or r:hkeys(key)) do list[i] = { id = id } end
    table.sort(list, function(x, y) return x.id < y.id end)
  else
    local reply = r:zrange(key, 0, -1, "WITHSCORES")
    for i = 1, #reply, 2 do list[#list + 1] = { id = reply[i], score = reply[i + 1] } end
  end
  return list
end

local function count_by_id(list)
  local count = {}
  for _, m in ipairs(list) do count[m.id] = (count[m.id] or 0) + 1 end
  return count
end

local function only_in(a, b)
  local there, found = count_by_id(b), {}
  for _, m in ipairs(a) do
    if (there[m.id] or 0) > 0 then there[m.id] = there[m.id] - 1
    elseif #found < 10 then found[#found + 1] = m.id end
  end
  return found
end

---@class redis.QueueRow
---@field queue string
---@field state string
---@field a integer jobs on the first side
---@field b integer
---@field equal boolean the same ids in the same order, with the same times and priorities
---@field missing string[] ids that only the first side has, ten at most
---@field extra string[] ids that only the second side has

--- One row of the comparison.
---@return redis.QueueRow
function M.row(queue, state, a, b)
  local row = { queue = queue, state = state, a = #a, b = #b, equal = #a == #b, missing = only_in(a, b), extra = only_in(b, a) }
  for i, m in ipairs(a) do
    if not row.equal then break end
    row.equal = m.id == b[i].id and m.score == b[i].score
  end
  return row
end

--- Sets rows.equal, and raises one error that names the first row that differs.
---@param rows redis.QueueRow[]
function M.verdict(rows, what, quiet)
  rows.equal = true
  local first
  for _, row in ipairs(rows) do
    if not row.equal then rows.equal, first = false, first or row end
  end
  if first and not quiet then
    local ids = #first.missing > 0 and ", missing: " .. table.concat(first.missing, " ")
      or #first.extra > 0 and ", too many: " .. table.concat(first.extra, " ") or ", in another order or at other times"
    errors.raise { kind = "stopped", op = "accept the " .. what .. " queues as equal", rows = rows,
      message = ("queue %s, %s: %d jobs on one side, %d on the other%s"):format(first.queue, first.state, first.a, first.b, ids) }
  end
  return rows
end

return M
