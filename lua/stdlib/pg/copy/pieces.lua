--- A table's rows as pieces that are copied each in one transaction: the whole table, or ranges of its blocks (ctid), or
--- of its key where the server is too old to read a range of blocks alone.
local M = {}

local BLOCK = 8192

---@class PgPiece
---@field name string of its mark in the ledger
---@field by "ctid"|"key"|nil nil = the whole table
---@field from integer|nil
---@field to integer|nil nil = to the end
---@field file integer|nil
---@field share number of the table

--- The SQL condition of a range, or nil.
function M.condition(t, by, from, to)
  local parts = {}
  local function add(operator, value)
    if not value then return end
    parts[#parts + 1] = by == "ctid" and ("ctid %s '(%d,0)'::tid"):format(operator, value) or ("%s %s %d"):format(t.key, operator, value)
  end
  add(">=", from)
  add("<", to)
  return #parts > 0 and table.concat(parts, " AND ") or nil
end

local function piece(t, by, from, to, first, last)
  local name = "rows " .. t.name
  if by then name = ("%s %s %s-%s"):format(name, by, from or "", to or "") end
  return { name = name, by = by, from = from, to = to, file = by == "ctid" and t.file or nil,
           share = by and ((to or last) - (from or first)) / (last - first) or 1 }
end

--- Cuts [from, to) into n ranges; an end that is nil stays open.
local function cut(t, list, by, from, to, n, first, last)
  local low, high = from or first, to or last
  n = math.max(1, math.min(n, high - low))
  for i = 0, n - 1 do
    local a, b = low + (high - low) * i // n, low + (high - low) * (i + 1) // n
    if i == 0 then a = from end
    if i == n - 1 then b = to end
    list[#list + 1] = piece(t, by, a, b, first, last)
  end
end

--- How a table is cut: "ctid", "key" or nil. Rows that come in one transaction can be frozen, which spares what follows a
--- pass over all of them: where nothing follows, several streams are faster much earlier.
local function way(t, o)
  if t.pages * BLOCK < (t.is_bare and o.split_bare or o.split) or t.masked then return nil end
  if o.can_range then return "ctid" end
  return t.key and "key" or nil
end

--- What of a table is still to be copied.
---@param t table
---@param o { split: integer, split_bare: integer, part: integer, workers: integer, can_range: boolean }
---@param marks table[] what was copied, in order
---@return PgPiece[]
function M.of(t, o, marks)
  if marks[1] and not marks[1].range_by then return {} end
  local by = marks[1] and marks[1].range_by or way(t, o)
  if not by then return { piece(t) } end
  local first, last = 0, t.pages
  if by == "key" then first, last = t.first or 0, (t.last or 0) + 1 end
  last = math.max(last, first + 1)
  local list, at = {}, nil                           -- at: nil = from the begin
  local wanted = math.max(1, math.ceil(t.pages * BLOCK / o.part / o.workers)) * o.workers  -- so that all end together
  local function gap(from, to)
    local share = ((to or last) - (from or first)) / (last - first)
    cut(t, list, by, from, to, math.ceil(wanted * share), first, last)
  end
  local is_open = true
  for i, mark in ipairs(marks) do
    if i == 1 and mark.range_from then gap(nil, mark.range_from)
    elseif i > 1 and at ~= mark.range_from then gap(at, mark.range_from) end
    at = mark.range_to
    if not at then is_open = false end
  end
  if is_open then gap(at, nil) end
  return list
end

return M
