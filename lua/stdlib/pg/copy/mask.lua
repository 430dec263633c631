--- Tables whose rows pass through functions of the caller, one by one: to mask what nobody may see, or to leave rows out.
--- Slower than what the engine does, by far: each row becomes Lua strings. Values are what COPY writes as text
--- ("t", "2024-01-01 00:00:00+00", "{1,2}"), NULL is nil.
local errors = require "errors"
local log = require "log"
local task = require "task"

local M = {}

local FROM = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", v = "\v" }
local TO = { ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\v"] = "\\v", ["\\"] = "\\\\" }

local function decode(field)
  if field == "\\N" then return nil end
  if not field:find("\\", 1, true) then return field end
  return (field:gsub("\\(.)", function(c) return FROM[c] or c end))
end

local function encode(value, what)
  if value == nil then return "\\N" end
  if type(value) == "boolean" then return value and "t" or "f" end
  if type(value) == "number" then return tostring(value) end
  if type(value) ~= "string" then errors.usage("pg.copy: %s is a %s; give a string, number, boolean or nil", what, type(value)) end
  return (value:gsub("[\b\f\n\r\t\v\\]", TO))
end

local NAMES = [[SELECT attname::text AS name FROM pg_attribute
  WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum]]

local function column_names(source, t)
  local names, at = {}, {}
  for i, row in ipairs(source:query(NAMES, t.name)) do names[i], at[row.name] = row.name, i end
  for name, fn in pairs(t.functions or {}) do
    if not at[name] then errors.usage("pg.copy: the table %s has no column %s", t.plain, tostring(name)) end
    if type(fn) ~= "function" then errors.usage("pg.copy: the column %s of %s needs a function", name, t.plain) end
  end
  return names, at
end

--- A row as the caller's functions see it: fields are decoded when they are looked at.
local function row_of(fields, at)
  return setmetatable({}, { __index = function(_, name)
    local i = at[name]
    return i and decode(fields[i])
  end })
end

--- The line of a row that went through the functions, or nil.
local function changed(line, t, names, at)
  local fields, n = {}, 0
  for field in (line .. "\t"):gmatch "([^\t]*)\t" do n = n + 1 fields[n] = field end
  for name, fn in pairs(t.functions or {}) do
    local i = at[name]
    fields[i] = encode(fn(decode(fields[i]), row_of(fields, at)), t.plain .. "." .. name)
  end
  if t.row then
    local row = {}
    for i = 1, #names do row[names[i]] = decode(fields[i]) end
    local new = t.row(row)
    if new == nil then return nil end
    for i = 1, #names do fields[i] = encode(new[names[i]], t.plain .. "." .. names[i]) end
  end
  return table.concat(fields, "\t")
end
M.changed = changed

--- Waits so long that no more than `rate` bytes a second go.
local function pay(o, began, bytes)
  if not o.rate then return end
  local ahead = bytes / o.rate - (task.now() - began)
  if ahead > 0 then task.sleep(ahead) end
end

local function move(source, conn, t, o)
  local names, at = column_names(source, t)
  local list = t.columns and " (" .. t.columns .. ")" or ""
  local read = t.where and ("COPY (SELECT %s FROM ONLY %s WHERE %s) TO STDOUT"):format(t.columns or "", t.name, t.where)
    or ("COPY %s%s TO STDOUT"):format(t.name, list)
  local began, bytes = task.now(), 0
  local progress <close> = o.progress and log.progress { what = "copy " .. t.plain .. " row by row", unit = "bytes" } or nil
  local blocks, state, control, guard = source:copy_out(read)
  local _ <close> = guard
  local rows = conn:copy_in(("COPY %s%s FROM STDIN"):format(t.name, list), function()
    local block = blocks(state, control)
    if not block then return nil end
    local lines = {}
    for line in block:gmatch "([^\n]*)\n" do lines[#lines + 1] = changed(line, t, names, at) end
    local out = #lines > 0 and table.concat(lines, "\n") .. "\n" or ""
    bytes = bytes + #out
    if progress then progress:update(bytes) end
    pay(o, began, bytes)
    return out
  end)
  return rows, bytes, task.now() - began
end

--- Copies the tables that have functions; what fails is noted, and the others go on.
---@param failed table[]
function M.tables(source, conn, tables, ledger, o, failed)
  for _, t in ipairs(tables) do
    local name = "rows " .. t.name
    if t.masked and t.kind == "r" and not t.skip_data and not ledger.done[name] then
      local tx <close> = conn:transaction()
      conn:exec("TRUNCATE ONLY " .. t.name)
      local ok, rows, bytes, seconds = pcall(move, source, conn, t, o)
      if ok then
        ledger:note(conn, name, t.name, rows, bytes)
        tx:commit()
        o.seconds[t.plain] = (o.seconds[t.plain] or 0) + seconds
      elseif errors.is(rows, "cancelled") or errors.is(rows, "usage") or errors.is(rows, "network") then error(rows, 0)
      else
        tx:rollback()
        failed[#failed + 1] = { what = "table " .. t.plain, table = t.plain, kind = errors.kind(rows), code = errors.is(rows) and rows.code or nil,
                                message = errors.is(rows) and rows.message or tostring(rows), cause = rows }
        t.lost = true
      end
    end
  end
end

return M
