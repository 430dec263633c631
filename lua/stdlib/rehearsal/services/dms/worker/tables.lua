--- The tables of a source that a task takes, with their columns and primary keys.
local mappings = require "rehearsal.services.dms.mappings"

local M = {}

local TABLES = [[
  SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, c.reltuples::bigint AS estimate FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND c.relname NOT LIKE 'awsdms\_%' ORDER BY 2, 3]]

local COLUMNS = [[
  SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, t.typname AS base, t.typcategory AS category, t.typtype AS kind,
    a.attnotnull AS required,
    coalesce(a.attnum = ANY ((SELECT i.indkey FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary)::int2[]), false) AS is_key
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum]]

---@class DmsTable
---@field schema string at the source
---@field name string
---@field to_schema string at the target
---@field to_name string
---@field columns table[] { name, type, base, category, is_key }
---@field removed table<string, boolean> names of columns that the mappings leave out

--- All tables that the mappings take, in the order in which they are loaded.
---@param conn PgConnection the source
---@return DmsTable[]
function M.list(conn, rules)
  local list = {}
  for _, t in ipairs(conn:query(TABLES)) do
    if mappings.selects(rules, t.schema, t.name) then
      t.to_schema, t.to_name = mappings.target(rules, t.schema, t.name)
      t.order = mappings.order(rules, t.schema, t.name)
      list[#list + 1] = t
    end
  end
  for i, t in ipairs(list) do
    t.columns, t.removed, t.at = {}, {}, i
    for _, column in ipairs(conn:query(COLUMNS, t.oid)) do
      if mappings.removes(rules, t.schema, t.name, column.name) then t.removed[column.name] = true
      else t.columns[#t.columns + 1] = column end
      t.has_key = t.has_key or column.is_key
    end
  end
  table.sort(list, function(a, b) if a.order ~= b.order then return a.order > b.order end return a.at < b.at end)
  return list
end

--- Whether DMS treats a column's values as LOBs, which it may cut.
function M.is_lob(column)
  return column.base == "text" or column.base == "bytea" or column.base == "json" or column.base == "jsonb" or column.base == "xml"
    or column.category == "A"
end

--- Whether DMS passes a table over: one with an array, but without a primary key.
function M.is_ignored(t)
  for _, column in ipairs(t.columns) do
    if column.category == "A" and not t.has_key then return true end
  end
  return false
end

return M
