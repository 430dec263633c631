--- What stands in a database, read from its catalogs. All names come back
--- quoted and with their schema, as `search_path` is emptied first.
local M = {}

--- Settings under which two servers write the same value in the same way.
M.PLAIN = table.concat({
  "SET search_path = ''", "SET datestyle = 'ISO, YMD'", "SET intervalstyle = 'postgres'", "SET extra_float_digits = 3",
  "SET timezone = 'UTC'", "SET bytea_output = 'hex'", "SET xmloption = content", "SET lc_monetary = 'C'",
  "SET statement_timeout = 0", "SET lock_timeout = 0", "SET idle_in_transaction_session_timeout = 0",
  "SET client_min_messages = warning", "SET synchronize_seqscans = off",
  -- a server whose client is gone without a word ends the session, and its snapshot, after a minute and a half
  "SET tcp_keepalives_idle = 30", "SET tcp_keepalives_interval = 10", "SET tcp_keepalives_count = 6" }, "; ")

--- The same, and row-level security that would hide rows is an error.
M.SOURCE = M.PLAIN .. "; SET row_security = off"

--- SQL condition: namespace n is the user's, and the object is no part of an extension.
function M.is_user(class, oid)
  return ("n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend x " ..
    "WHERE x.classid = '%s'::regclass AND x.objid = %s AND x.deptype = 'e')"):format(class, oid)
end

-- Types whose binary form means the same on another server: those built in
-- (but reg* is an OID of this server), enums (sent by label), domains over them.
local BINARY = [[(SELECT bool_and((t.oid < 16384 OR t.typtype = 'e' OR (t.typtype = 'd' AND t.typbasetype < 16384))
  AND t.typtype <> 'c' AND t.typsend <> 0 AND t.typreceive <> 0 AND t.typname !~ '^_?reg')
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')]]

-- Types whose binary form has not changed since PostgreSQL 10.
local STABLE = [[(SELECT bool_and(a.atttypid = ANY ('{bool,bytea,"char",int2,int4,int8,float4,float8,text,varchar,bpchar,json,jsonb,uuid,date,time,timetz,
  timestamp,timestamptz,interval,int4[],int8[],text[],varchar[]}'::regtype[]))
  FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')]]

-- A key of one whole number, by which the rows can be cut into ranges.
local KEY = [[(SELECT quote_ident(a.attname) FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
  WHERE i.indrelid = c.oid AND i.indisprimary AND i.indnkeyatts = 1 AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype))]]

M.TABLES = [[SELECT c.oid::int8 AS oid, format('%I.%I', n.nspname, c.relname) AS name, n.nspname || '.' || c.relname AS plain,
    c.relkind::text AS kind, c.relpersistence::text AS persistence, pg_relation_filenode(c.oid)::int8 AS file,
    CASE WHEN c.relkind = 'r' THEN pg_table_size(c.oid) ELSE 0 END AS bytes,
    CASE WHEN c.relkind = 'r' THEN pg_relation_size(c.oid) / current_setting('block_size')::int ELSE 0 END AS pages,
    (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
    coalesce(]] .. BINARY .. ", false) AS portable, coalesce(" .. STABLE .. ", false) AS stable, " .. KEY .. [[ AS key,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indexprs IS NOT NULL) AS expressions
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND ]] .. M.is_user("pg_class", "c.oid") .. [[
  ORDER BY 7 DESC, 2]]

--- Of each index: its size and, where it is that of a primary key or a unique constraint, how it is made alone.
M.INDEXES = [[SELECT quote_ident(c.relname) AS name, format('%I.%I', n.nspname, t.relname) AS "table", pg_relation_size(c.oid) AS bytes,
    am.amname AS method, k.contype::text AS constraint, k.condeferrable AS deferrable, k.condeferred AS deferred, pg_get_indexdef(c.oid) AS definition
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
  JOIN pg_am am ON am.oid = c.relam LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.conrelid = t.oid AND k.contype IN ('p', 'u', 'x')
  WHERE c.relkind = 'i' AND t.relkind = 'r' AND ]] .. M.is_user("pg_class", "t.oid")

M.SEQUENCES = [[SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ]] .. M.is_user("pg_class", "c.oid") .. " ORDER BY 1"

--- The state of all sequences: { name =, last =, called = }.
function M.sequences(conn)
  local quote = require("pg.connection").quote_value
  local parts, result = {}, {}
  local function read()
    if #parts == 0 then return end
    for _, row in ipairs(conn:query(table.concat(parts, " UNION ALL "))) do result[#result + 1] = row end
    parts = {}
  end
  for _, s in ipairs(conn:query(M.SEQUENCES)) do
    parts[#parts + 1] = ("SELECT %s AS name, last_value AS last, is_called AS called FROM %s"):format(quote(s.name), s.name)
    if #parts == 100 then read() end
  end
  read()
  return result
end

--- Whether a name ("public.orders") is named by one of the patterns ("public.*", "orders").
function M.matches(plain, patterns)
  for _, pattern in ipairs(patterns or {}) do
    local want = pattern:find(".", 1, true) and pattern or "public." .. pattern
    want = want:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*")
    if plain:find("^" .. want .. "$") then return true end
  end
  return false
end

return M
