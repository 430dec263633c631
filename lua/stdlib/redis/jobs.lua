--- What the queue modules share: one or two connections, and the comparison of
--- two sides state by state.
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

--- Reads a list, or a sorted set with its scores, as { id =, score = } in order.
function M.members(r, kind, key)
  local list = {}
  if kind == "list" then
    for i, id in ipairs(r:lrange(key, 0, -1)) do list[i] = { id = id } end
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
