--- A table in chunks: both servers add up the hashes of the rows of each chunk,
--- in one pass over the table, and only those sums travel. Into which chunk a row
--- goes depends on nothing but its key, so the chunks of both sides hold the same
--- rows wherever those lie: a range of the key, where that is one whole number; else
--- what the hash of the key says; and that of the row, where there is no key.
---
--- A pass is cut into parts by blocks of the side's own file, so that no statement is long
--- and what was read need not be read again after an interruption.
local digest = require "pg.same.digest"
local task = require "task"

local M = {}

M.CHUNK = 512 * 1024                                 -- bytes of the table for each chunk, about
M.CHUNKS = 1024                                      -- at most
M.PART = 16384                                       -- blocks that one statement reads
M.LISTED = 20000                                     -- rows of a chunk up to which their keys are fetched

local WHOLE = { int2 = true, int4 = true, int8 = true }

---@class PgChunks
---@field kind "range"|"key"|"row"
---@field label string sql for the number that the chunks are cut by
---@field hash string sql for a row's hash
---@field count integer chunks

--- How the rows of a table are cut.
---@param a PgConnection
---@param b PgConnection
---@param o { old: boolean, encodings: boolean }
---@return PgChunks
function M.plan(a, b, t, o)
  local plan = { from = t.from, hash = digest.row(t.columns, o), count = 1, level = 0 }
  while plan.count < M.CHUNKS and plan.count * M.CHUNK < t.bytes do plan.count = plan.count * 2 end
  local key = t.key
  if key and #key == 1 and WHOLE[key[1].type] then
    local sql = ("SELECT min(%s)::int8 AS low, max(%s)::int8 AS high FROM %s"):format(key[1].name, key[1].name, t.from)
    local ends = task.all { a = function() return a:query(sql)[1] end, b = function() return b:query(sql)[1] end }
    local low, high = math.min(ends.a.low or math.maxinteger, ends.b.low or math.maxinteger),
      math.max(ends.a.high or math.mininteger, ends.b.high or math.mininteger)
    if low > high then low, high = 0, 0 end
    if high - low >= 0 and high - low < 1 << 60 then
      plan.kind, plan.low, plan.width = "range", low, (high - low) // plan.count + 1
      plan.column = key[1].name .. "::int8"
      plan.label = ("(least(greatest(%s, %d), %d) - %d) / %d"):format(plan.column, low, high, low, plan.width)
      plan.first, plan.last = 0, (high - low) // plan.width
      return plan
    end
  end
  plan.kind = key and "key" or "row"
  plan.label = key and digest.row(key, o) or plan.hash
  return plan
end

--- The chunks of one chunk.
function M.finer(plan, chunk)
  local p = setmetatable({ count = 64, level = plan.level + 1, inside = M.condition(plan, chunk) }, { __index = plan })
  if plan.kind == "range" then
    p.low, p.width = plan.low + chunk * plan.width, math.max(1, plan.width // 64 + 1)
    p.first, p.last = 0, (plan.width - 1) // p.width
    -- what lies before the first or after the last of all belongs to those
    p.label = ("least(greatest((%s - %d) / %d, 0), %d)"):format(plan.column, p.low, p.width, p.last)
  else
    p.shift = (plan.shift or 0) + (plan.level == 0 and 10 or 6)   -- past the bits that chose this chunk
  end
  return p
end

local function number(plan, label)
  if plan.kind == "range" then return label end
  return ("(%s >> %d) & %d"):format(label, plan.shift or 0, plan.count - 1)
end

--- SQL for the rows of a chunk, and no others.
function M.condition(plan, chunk)
  local parts = { plan.inside }
  if plan.kind == "range" then
    local column = plan.column:gsub("::int8$", "")
    if chunk > plan.first then parts[#parts + 1] = ("%s >= %d"):format(column, plan.low + chunk * plan.width) end
    if chunk < plan.last then parts[#parts + 1] = ("%s < %d"):format(column, plan.low + (chunk + 1) * plan.width) end
  elseif plan.count > 1 then
    parts[#parts + 1] = ("%s = %d"):format(number(plan, plan.label), chunk)
  end
  return #parts > 0 and table.concat(parts, " AND ") or "true"
end

--- What a chunk is called.
function M.name(plan, chunk, t)
  if plan.kind ~= "range" then return ("chunk %d of %d"):format(chunk + 1, plan.count) end
  local low = plan.low + chunk * plan.width
  return ("%s from %d to %d"):format(t.key[1].name, low, low + plan.width - 1)
end

--- The sums of all chunks of `where`, added to `sums`.
---@param conn PgConnection
---@param sums table<integer, { rows: integer, sum: integer }>
function M.add(conn, plan, where, sums)
  local label = plan.kind == "row" and "h" or "k"
  local chunk = plan.count == 1 and plan.kind ~= "range" and "0" or number(plan, label)
  local sql = ("SELECT %s AS chunk, count(*) AS rows, sum(h)::text AS sum FROM (SELECT %s%s AS h FROM %s%s OFFSET 0) s GROUP BY 1"):format(
    chunk, plan.kind == "row" and "" or plan.label .. " AS k, ", plan.hash, plan.from, where and " WHERE " .. where or "")
  for row in conn:rows(sql) do
    local x = sums[row.chunk] or { rows = 0, sum = 0 }
    x.rows, x.sum = x.rows + row.rows, x.sum + digest.number(row.sum)
    sums[row.chunk] = x
  end
  return sums
end

--- The parts of a pass over one side's table: conditions on its blocks.
---@param t table with .pages
---@param can_cut boolean the server finds blocks by their number (PostgreSQL 14)
---@return string[] where "" is all
function M.parts(t, can_cut)
  local n = can_cut and t.pages and math.max(1, t.pages // M.PART) or 1
  local list = {}
  for i = 0, n - 1 do
    local from, to = t.pages and t.pages * i // n, t.pages and t.pages * (i + 1) // n
    local parts = {}
    if i > 0 then parts[1] = ("ctid >= '(%d,0)'"):format(from) end
    if i < n - 1 then parts[#parts + 1] = ("ctid < '(%d,0)'"):format(to) end
    list[i + 1] = table.concat(parts, " AND ")
  end
  return list
end

--- The chunks whose sums are not the same, in order.
---@return integer[]
function M.different(a, b)
  local list = {}
  for chunk, x in pairs(a) do
    local y = b[chunk]
    if not y or x.rows ~= y.rows or x.sum ~= y.sum then list[#list + 1] = chunk end
  end
  for chunk in pairs(b) do if not a[chunk] then list[#list + 1] = chunk end end
  table.sort(list)
  return list
end

--- Rows and sum of a whole table.
function M.total(sums)
  local rows, sum = 0, 0
  for _, chunk in pairs(sums) do rows, sum = rows + chunk.rows, sum + chunk.sum end
  return rows, ("%016x"):format(sum)
end

return M
