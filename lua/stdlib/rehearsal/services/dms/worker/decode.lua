--- The output of test_decoding, PostgreSQL's own plug-in for logical decoding, read line by line.
--- postgresql.org/docs/current/test-decoding.html
local M = {}

--- A name at a place of the text, "quoted" or plain, and where it ends.
local function name_at(text, at)
  if text:sub(at, at) ~= '"' then
    local stop = text:find("[%.%[:,%s]", at) or #text + 1
    return text:sub(at, stop - 1), stop
  end
  local parts, from = {}, at + 1
  while true do
    local stop = text:find('"', from, true)
    parts[#parts + 1] = text:sub(from, stop - 1)
    if text:sub(stop + 1, stop + 1) ~= '"' then return table.concat(parts), stop + 1 end
    parts[#parts + 1] = '"'
    from = stop + 2
  end
end

--- A value in quotes, of which those inside are doubled; `at` is after the first.
local function quoted_at(text, at)
  local from, parts = at, {}
  while true do
    local stop = text:find("'", from, true)
    parts[#parts + 1] = text:sub(from, stop - 1)
    if text:sub(stop + 1, stop + 1) ~= "'" then return table.concat(parts), stop + 1 end
    parts[#parts + 1] = "'"
    from = stop + 2
  end
end

--- Columns from a place on: a list of { name =, value = } without `value` for NULL, `unchanged` for what stayed in TOAST.
local function columns_at(text, at)
  local list = {}
  while at <= #text and not text:find("^new%-tuple: ", at) do
    local column = {}
    column.name, at = name_at(text, at)
    at = text:find("]:", at, true) + 2
    if text:find("^B?'", at) then
      column.value, at = quoted_at(text, text:find("'", at, true) + 1)
    else
      local stop = text:find(" ", at, true) or #text + 1
      local word = text:sub(at, stop - 1)
      if word == "unchanged-toast-datum" then column.unchanged = true
      elseif word ~= "null" then column.value = word end
      at = stop
    end
    list[#list + 1], at = column, at + 1
  end
  return list, at
end

---@class DmsChange
---@field schema string
---@field table string
---@field op "INSERT"|"UPDATE"|"DELETE"|"TRUNCATE"
---@field new? table[] columns
---@field old? table[] columns of the replica identity, where they are told

--- Reads "table public.orders: INSERT: id[integer]:1 ...".
---@param text string
---@return DmsChange? change nil for what is no change of a table
function M.change(text)
  if text:sub(1, 6) ~= "table " then return nil end
  local change, at = {}, 7
  change.schema, at = name_at(text, at)
  change.table, at = name_at(text, at + 1)
  local op, rest = text:match("^: (%u+): ()", at)
  if not op then return { op = "TRUNCATE", schema = change.schema, table = change.table } end     -- of several tables
  change.op = op
  if op == "TRUNCATE" or text:find("^%(no%-tuple%-data%)", rest) then return change end
  if op == "DELETE" then change.old = columns_at(text, rest) return change end
  if text:find("^old%-key: ", rest) then
    change.old, rest = columns_at(text, rest + 9)
    rest = rest + 11                    -- "new-tuple: "
  end
  change.new = columns_at(text, rest)
  return change
end

--- Groups the rows of a slot by transaction: { xid =, lsn = of its commit, at = text of its time, changes = {} }.
---@param rows table[] { lsn, xid, data }
function M.transactions(rows)
  local list, current = {}, nil
  for _, row in ipairs(rows) do
    if row.data:find "^BEGIN" then current = { xid = tonumber(row.xid), changes = {} }
    elseif row.data:find "^COMMIT" then
      current.lsn, current.at = row.lsn, row.data:match "%(at (.-)%)$"
      list[#list + 1], current = current, nil
    elseif current then
      current.changes[#current.changes + 1] = M.change(row.data)
    end
  end
  return list
end

return M
