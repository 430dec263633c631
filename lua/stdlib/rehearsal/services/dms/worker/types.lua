--- The tables that DMS makes when the target has none: PostgreSQL's types as DMS's own, and those as PostgreSQL's again, which
--- are not always the same; the primary key; nothing else.
--- docs.aws.amazon.com/dms/latest/userguide/CHAP_Source.PostgreSQL.html, CHAP_Target.PostgreSQL.html
local pg = require "pg"

local M = {}

local SAME = { int2 = "smallint", int4 = "integer", int8 = "bigint", float4 = "real", float8 = "double precision", date = "date",
               bytea = "bytea", text = "text", json = "text", xml = "text", money = "numeric(38,4)", uuid = "character varying(36)",
               interval = "character varying(128)", inet = "character varying(50)", cidr = "character varying(50)",
               macaddr = "character varying(18)" }

local function precision(column) return column.type:match "%((%d+)%)" or "6" end

--- What a column becomes.
---@param o { booleans: boolean, jsonb_as_clob: boolean } what both endpoints map
function M.of(column, o)
  if column.base == "bool" then return o.booleans and "boolean" or "character varying(5)" end
  if column.base == "jsonb" then return o.jsonb_as_clob and "text" or "jsonb" end
  if column.base == "numeric" then return column.type:find "%(" and column.type or "numeric(28,6)" end
  if column.base == "varchar" or column.base == "bpchar" then
    local length = tonumber(column.type:match "%((%d+)%)")
    return length and ("character varying(%d)"):format(length) or "text"
  end
  if column.base == "timestamp" or column.base == "timestamptz" then return ("timestamp(%s)"):format(precision(column)) end
  if column.base == "time" or column.base == "timetz" then return ("time(%s)"):format(precision(column)) end
  if column.kind == "e" then return "character varying(64)" end
  return SAME[column.base] or "text"
end

--- The statement that makes a table.
---@param t DmsTable
function M.create(t, o)
  local parts, keys = {}, {}
  for i, column in ipairs(t.columns) do
    parts[i] = ("%s %s%s"):format(pg.quote_name(column.name), M.of(column, o), (column.is_key or column.required) and " NOT NULL" or "")
    if column.is_key then keys[#keys + 1] = pg.quote_name(column.name) end
  end
  if #keys > 0 then parts[#parts + 1] = ("PRIMARY KEY (%s)"):format(table.concat(keys, ", ")) end
  return ("CREATE TABLE %s.%s (%s)"):format(pg.quote_name(t.to_schema), pg.quote_name(t.to_name), table.concat(parts, ", "))
end

return M
