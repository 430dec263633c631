--- What pg.same compares row by row: tables, filled materialized views, and the
--- large objects as if they were a table.
local catalog = require "pg.catalog"
local connection = require "pg.connection"
local sql = require "pg.schema.sql"

local M = {}

local RELATIONS = [[SELECT c.oid::int8 AS oid, format('%I.%I', n.nspname, c.relname) AS name, n.nspname || '.' || c.relname AS plain,
    c.relkind::text AS kind, CASE WHEN c.relkind = 'm' THEN rtrim(pg_get_viewdef(c.oid), ';') END AS definition, pg_table_size(c.oid) AS bytes, pg_relation_size(c.oid) / current_setting('block_size')::int AS pages,
    concat_ws('/', c.oid, c.relfilenode) AS file,
    (SELECT array_to_string(i.indkey, ' ') FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
      AND i.indexprs IS NULL AND i.indnkeyatts = i.indnatts AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
        AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull) ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1) AS key
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE (c.relkind = 'r' OR c.relkind = 'm' AND c.relispopulated) AND c.relpersistence <> 't' AND ]] .. catalog.is_user("pg_class", "c.oid")

-- A generated column that is not stored holds nothing.
local COLUMNS = [[SELECT a.attrelid::int8 AS oid, a.attnum::int AS number, quote_ident(a.attname) AS name,
    CASE WHEN b.oid < 16384 THEN b.typname::text END AS type, format_type(a.atttypid, NULL) AS full_type
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_type t ON t.oid = a.atttypid JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
  WHERE c.relkind IN ('r', 'm') AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v' AND ]] ..
  catalog.is_user("pg_class", "c.oid") .. " ORDER BY 1, 2"

--- name -> table, with .columns by name and .key, the names of the columns of its key.
local function read(conn)
  local by_oid, by_name = {}, {}
  for row in conn:rows(RELATIONS) do
    row.columns, row.numbers, row.order = {}, {}, {}
    by_oid[row.oid], by_name[row.name] = row, row
  end
  for c in conn:rows(COLUMNS) do
    local t = by_oid[c.oid]
    if t then t.columns[c.name], t.numbers[c.number], t.order[#t.order + 1] = c, c.name, c.name end
  end
  for _, t in pairs(by_name) do
    local names = {}
    for number in (t.key or ""):gmatch "%d+" do names[#names + 1] = t.numbers[tonumber(number)] end
    t.key = #names > 0 and names or nil
  end
  return by_name
end

--- The columns that both have. One whose types differ is compared as text; the schema says that they do.
local function common_columns(a, b)
  local list = {}
  for _, name in ipairs(a.order) do
    local x, y = a.columns[name], b.columns[name]
    if y then list[#list + 1] = { name = name, type = x.type == y.type and x.type or nil } end
  end
  return list
end

local function common_key(a, b)
  for _, key in ipairs { a.key or {}, b.key or {} } do
    local list = {}
    for i, name in ipairs(key) do
      local x, y = a.columns[name], b.columns[name]
      list[i] = x and y and { name = name, type = x.type == y.type and x.type or nil }
    end
    if #key > 0 and #list == #key then return list end
  end
end

--- In pieces, as an object may be larger than what fits into a value.
local CONTENT = [[(WITH RECURSIVE p(i, digest, size) AS (SELECT 0, md5(x), length(x) FROM lo_get(m.oid, 0, 4194304) x
    UNION ALL SELECT i + 1, md5(x), length(x) FROM p, LATERAL lo_get(m.oid, (i + 1)::int8 * 4194304, 4194304) x WHERE size = 4194304)
  SELECT string_agg(digest, '' ORDER BY i) FROM p)]]

--- Large objects, each a row of number, owner, grants, comment and a digest of what is in it.
local function large_objects(o)
  local function known(expression)
    expression = expression:gsub(" AS %w+$", "")
    for from, to in pairs(o.roles) do
      expression = ("replace(%s, chr(1) || %s || chr(2), chr(1) || %s || chr(2))"):format(expression,
        connection.quote_value(from), connection.quote_value(to))
    end
    return ("replace(%s, chr(1) || session_user || chr(2), 'the login role')"):format(expression)
  end
  local columns = { { name = "oid", type = "oid" }, { name = "comment" }, { name = "content" } }
  if not o.tolerates("large objects", "owner") then columns[#columns + 1] = { name = "owner" } end
  if not o.tolerates("large objects", "grants") then columns[#columns + 1] = { name = "grants" } end
  return { name = "large objects", plain = "large objects", kind = "large objects", bytes = 0, columns = columns, key = { columns[1] },
    from = ([[(SELECT m.oid, %s AS owner, %s AS grants, obj_description(m.oid, 'pg_largeobject') AS comment, %s AS content
      FROM pg_largeobject_metadata m) x]]):format(known(sql.owner "m.lomowner"),
      known(sql.grants("m.lomacl", "L", "m.lomowner")), CONTENT) }
end

local COUNT = "SELECT count(*) FROM pg_largeobject_metadata"

--- What both sides have, the largest first, and what only one has.
---@return table[] tables, string[] lost, table<string, boolean> left_out names that the caller does not want
function M.read(a, b, o)
  local tables, lost, left_out = {}, {}, {}
  local in_a, in_b = read(a), read(b)
  local function wanted(t)
    local yes = (not o.tables or catalog.matches(t.plain, o.tables)) and not catalog.matches(t.plain, o.exclude)
    if not yes then left_out[t.name] = true end
    return yes
  end
  for name, x in pairs(in_a) do
    local y = in_b[name]
    if wanted(x) and not (x.kind == "m" and o.tolerates("materialized view", "rows")) then
      if y then
        tables[#tables + 1] = { name = name, plain = x.plain, kind = x.kind, bytes = math.max(x.bytes, y.bytes), from = "ONLY " .. name,
          columns = common_columns(x, y), key = common_key(x, y), a = x, b = y }
      elseif x.kind == "r" then lost[#lost + 1] = ("table %s is missing in b"):format(name) end
    end
  end
  for name, y in pairs(in_b) do
    if wanted(y) and not in_a[name] and y.kind == "r" then lost[#lost + 1] = ("table %s is missing in a"):format(name) end
  end
  table.sort(tables, function(x, y) if x.bytes ~= y.bytes then return x.bytes > y.bytes end return x.name < y.name end)
  if not o.tables and not o.tolerates "large objects" and (a:value(COUNT) > 0 or b:value(COUNT) > 0) then
    tables[#tables + 1] = large_objects(o)
  end
  return tables, lost, left_out
end

return M
