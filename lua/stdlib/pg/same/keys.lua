--- Which rows differ: chunks that do are cut until they are small, then the keys
--- and hashes of their rows are fetched from both sides.
local chunks = require "pg.same.chunks"
local task = require "task"

local M = {}

local SHOWN = 10                                     -- keys that are named
local CHUNKS = 3                                     -- chunks that are looked into

local function both(a, b, fn)
  return task.all { a = function() return fn(a) end, b = function() return fn(b) end }
end

--- The key of a row as it is said, or its hash.
local function name_of(t)
  local names, values = {}, {}
  for i, c in ipairs(t.key) do
    names[i] = c.name
    values[i] = ("coalesce(left(%s::text, 100), 'NULL')"):format(c.name)
  end
  if #names == 1 then return "'" .. names[1]:gsub("'", "''") .. " ' || " .. values[1] end
  return ("'(%s) (' || concat_ws(', ', %s) || ')'"):format(table.concat(names, ", "):gsub("'", "''"), table.concat(values, ", "))
end

--- key -> hash -> how many
local function rows_of(conn, t, plan, where)
  local found = {}
  local name = t.key and name_of(t) or ("'the row ' || to_hex(%s)"):format(plan.hash)
  for row in conn:rows(("SELECT %s AS key, %s AS hash, count(*) AS n FROM %s WHERE %s GROUP BY 1, 2"):format(name, plan.hash, plan.from, where)) do
    found[row.key] = found[row.key] or {}
    found[row.key][row.hash] = row.n
  end
  return found
end

local function times(rows, hash) return rows and rows[hash] or 0 end

local function count(rows)
  local n = 0
  for _, times_found in pairs(rows or {}) do n = n + times_found end
  return n
end

--- One sentence part for each key whose rows differ.
local function say(a, b)
  local list, keys = {}, {}
  for _, side in ipairs { a, b } do for key in pairs(side) do keys[key] = true end end
  for key in pairs(keys) do
    local x, y, differs = a[key], b[key], false
    for hash in pairs(x or {}) do differs = differs or times(x, hash) ~= times(y, hash) end
    for hash in pairs(y or {}) do differs = differs or times(x, hash) ~= times(y, hash) end
    if differs then
      local n, m = count(x), count(y)
      list[#list + 1] = { key = key, text = n == m and key .. " is not the same" or m == 0 and n == 1 and key .. " is missing in b"
        or n == 0 and m == 1 and key .. " is missing in a" or ("%s is there %d times in a, %d in b"):format(key, n, m) }
    end
  end
  table.sort(list, function(p, q) return p.key < q.key end)
  return list
end

--- The small chunks inside those that differ: { plan, chunk }.
local function narrow(a, b, plan, different, sums, list)
  for _, chunk in ipairs(different) do
    if #list >= CHUNKS then return end
    local x, y = sums.a[chunk], sums.b[chunk]
    if math.max(x and x.rows or 0, y and y.rows or 0) <= chunks.LISTED or plan.level >= 8 or (plan.kind == "range" and plan.width == 1) then
      list[#list + 1] = { plan = plan, chunk = chunk }
    else
      local finer = chunks.finer(plan, chunk)
      local again = both(a, b, function(conn) return chunks.add(conn, finer, finer.inside, {}) end)
      narrow(a, b, finer, chunks.different(again.a, again.b), again, list)
    end
  end
end

--- The keys that differ in the first of the chunks that do.
---@return { chunk: string, keys: string[], more: boolean }[]
function M.find(a, b, t, plan, different, sums)
  local small, found = {}, {}
  narrow(a, b, plan, different, sums, small)
  for _, s in ipairs(small) do
    local where = chunks.condition(s.plan, s.chunk)
    local rows = both(a, b, function(conn) return rows_of(conn, t, s.plan, where) end)
    local list, keys = say(rows.a, rows.b), {}
    for i = 1, math.min(SHOWN, #list) do keys[i] = list[i].text end
    found[#found + 1] = { chunk = chunks.name(s.plan, s.chunk, t), keys = keys, more = #list > SHOWN and #list - SHOWN or nil }
  end
  return found
end

return M
