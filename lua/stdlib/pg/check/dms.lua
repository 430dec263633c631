--- Checks of what a task of AWS DMS does not carry, or does in its own way. `o.task` are its settings
--- (ReplicationTaskSettings), as far as they are known.
-- luacheck: no max line length (SQL)
local define = require "pg.check.define"

local finding, objects, number, ok = define.finding, define.objects, define.number, define.ok
local NAME, RELATIONS = define.NAME, define.RELATIONS

local function joined(join, where) return (RELATIONS:gsub("WHERE", (join:gsub("%%", "%%%%")) .. " WHERE", 1)) .. (where or "") end

local PRIMARY = "EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)"
local UNIQUE = "EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND NOT i.indisprimary)"
local TABLES = " AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
local LOB = "a.atttypid IN ('text'::regtype, 'bytea'::regtype, 'json'::regtype, 'jsonb'::regtype, 'xml'::regtype)"

-- The statement that takes the index i with the name ic away, which a constraint may need.
local DROP = "coalesce((SELECT format('ALTER TABLE %I.%I DROP CONSTRAINT %I;', n.nspname, c.relname, k.conname) FROM pg_constraint k " ..
  "WHERE k.conindid = i.indexrelid AND k.conrelid = c.oid), format('DROP INDEX %s;', i.indexrelid::regclass))"

local function metadata(c) return c.o.task.TargetMetadata or {} end
local function batch(c) return metadata(c).BatchApplyEnabled == true end
local function validates(c) return (c.o.task.ValidationSettings or {}).EnableValidation == true end
local function when(wanted, sql) return function(c) return wanted(c) and sql or nil end end

local function idle_timeout(c)
  local ms = number(c, "idle_in_transaction_session_timeout")
  if ms == 0 then return ok(0) end
  return finding("warning", ms, ("idle_in_transaction_session_timeout is %d ms: it ends sessions of DMS that wait in a transaction"):format(ms),
    ("ALTER ROLE %s SET idle_in_transaction_session_timeout = 0;"):format(c.from:value "SELECT format('%I', current_user)"))
end

local function limited_lob(c)
  if not batch(c) or metadata(c).FullLobMode ~= true then return ok(batch(c) and "limited" or "no batch apply") end
  return finding("error", "full", "the task applies in batches and moves LOBs in full mode, which exclude each other",
    "TargetMetadata: \"FullLobMode\": false, \"LimitedSizeLobMode\": true, \"LobMaxSize\": <kB> in the task's settings")
end

local LARGE = "SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname) AS name, NAME AS relation, format('%I', a.attname) AS column " ..
  joined("JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped AND " .. LOB, " AND c.relkind = 'r' AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1")

--- The size that LobMaxSize needs: known only when the rows are read.
local function lob_size(c)
  local columns = c.from:query((LARGE:gsub("NAME", (NAME:gsub("%%", "%%%%")), 1)))
  if #columns == 0 then return ok(0) end
  local names, largest = {}, 0
  for i, column in ipairs(columns) do
    names[i] = column.name
    if c.o.deep then
      largest = math.max(largest, c.from:value(("SELECT coalesce(max(octet_length(%s::text)), 0) FROM ONLY %s"):format(column.column, column.relation)))
    end
  end
  local limit = metadata(c).LobMaxSize
  if c.o.deep and (limit or 32) * 1024 >= largest then return ok(largest) end
  return finding(c.o.deep and limit and "error" or "warning", c.o.deep and largest or #names,
    c.o.deep and ("the largest value of the LOB columns (%s) has %d bytes, and DMS cuts at LobMaxSize"):format(define.some(names), largest)
      or ("LOB columns (%s) are cut at LobMaxSize, 32 kB unless it is set"):format(define.some(names)),
    c.o.deep and ("TargetMetadata: \"LobMaxSize\": %d"):format(math.ceil(largest / 1024)) or "run pg.check with deep = true, which measures the largest value", names)
end

local function foreign_keys(c)
  if c.to:value "SELECT current_setting('session_replication_role')" == "replica" then return nil end
  return "SELECT format('%I on %I.%I', k.conname, n.nspname, c.relname) AS name, format('ALTER TABLE %I.%I DROP CONSTRAINT %I;', n.nspname, c.relname, k.conname) AS remedy " ..
    joined("JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f'", " ORDER BY 1")
end

-- What the planner's statistics have seen of values that DMS changes.
local INFINITE = [[SELECT format('%I.%I.%I', s.schemaname, s.tablename, s.attname) AS name,
    format('SELECT count(*) FROM %I.%I WHERE %I::text IN (''NaN'', ''infinity'', ''-infinity'');', s.schemaname, s.tablename, s.attname) AS remedy
  FROM pg_stats s WHERE s.schemaname NOT IN ('pg_catalog', 'information_schema')
    AND (s.most_common_vals::text ~* '(NaN|infinity)' OR s.histogram_bounds::text ~* '(NaN|infinity)')
    AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = format('%I.%I', s.schemaname, s.tablename)::regclass AND a.attname = s.attname
      AND a.atttypid IN ('numeric'::regtype, 'float4'::regtype, 'float8'::regtype, 'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)) ORDER BY 1]]

return {
  { id = "idle-timeout", name = "idle_in_transaction_session_timeout", mover = "dms", dms = { "idle_in_transaction_session_timeout is set" }, run = idle_timeout },
  objects { id = "similar-names", name = "tables with similar names", mover = "dms", dms = { "postgres-check-similar-table-name" }, severity = "warning",
    sql = "SELECT * FROM (SELECT " .. NAME .. " AS name, count(*) OVER (PARTITION BY lower(n.nspname), lower(c.relname)) AS alike, " ..
      "format('ALTER TABLE %I.%I RENAME TO ...;', n.nspname, c.relname) AS remedy " .. RELATIONS .. " AND c.relkind IN ('r', 'p')) t WHERE alike > 1 ORDER BY 1",
    why = "they differ in upper and lower case only, which DMS does not tell apart" },
  objects { id = "array-without-key", name = "tables with arrays and without a primary key", mover = "dms", dms = { "postgres-check-table-with-array" }, severity = "error",
    sql = "SELECT " .. NAME .. " AS name, format('ALTER TABLE %I.%I ADD PRIMARY KEY (...);', n.nspname, c.relname) AS remedy " .. RELATIONS .. TABLES .. " AND NOT " .. PRIMARY ..
      " AND EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid AND t.typcategory = 'A' WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) ORDER BY 1",
    why = "DMS leaves such columns out" },
  objects { id = "postgis-columns", name = "columns of PostGIS types", mover = "dms", dms = { "postgres-check-postgis-data-type" }, severity = "info",
    sql = "SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname) AS name " .. joined("JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped " ..
      "JOIN pg_type t ON t.oid = a.atttypid AND t.typname IN ('geometry', 'geography', 'raster', 'box2d', 'box3d')", TABLES .. " ORDER BY 1"),
    why = "DMS moves them between PostgreSQL servers only, and the target needs the extension first", remedy = "CREATE EXTENSION postgis; on the target" },
  objects { id = "materialized-views", name = "materialized views", mover = "dms", dms = { "materialized views exist in a homogeneous migration" }, severity = "warning",
    sql = "SELECT " .. NAME .. " AS name, format('REFRESH MATERIALIZED VIEW %I.%I; /* on the target, after pg_dump -s made it */', n.nspname, c.relname) AS remedy " ..
      RELATIONS .. " AND c.relkind = 'm' ORDER BY 1",
    why = "DMS does not move them" },
  objects { id = "secondary-objects", name = "constraints and indexes beside the primary keys", mover = "dms", dms = { "secondary constraints and indexes exist in the source" }, severity = "warning",
    sql = "SELECT format('%I.%I', n.nspname, ic.relname) AS name " .. joined("JOIN pg_index i ON i.indrelid = c.oid AND NOT i.indisprimary JOIN pg_class ic ON ic.oid = i.indexrelid") ..
      " UNION ALL SELECT format('%I on %I.%I', k.conname, n.nspname, c.relname) " .. joined("JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype IN ('f', 'c')") .. " ORDER BY 1",
    why = "DMS does not make them on the target", remedy = "pg_dump --section=post-data --no-owner SOURCE | psql TARGET, after the full load" },
  objects { id = "infinite-values", name = "columns with NaN or infinity", mover = "dms", severity = "warning", sql = INFINITE,
    why = "DMS turns them into other values" },
  objects { id = "target-foreign-keys", name = "foreign keys on the target", mover = "dms", side = "to", on = "to", dms = { "postgres-check-session-replication-role" }, severity = "error",
    sql = foreign_keys, why = "a full load fills the tables in no order, and the target's session_replication_role is not replica" },
  objects { id = "target-indexes", name = "secondary indexes on the target", mover = "dms", side = "to", on = "to", dms = { "postgres-check-target-secondary-indexes" }, severity = "warning",
    sql = "SELECT format('%I.%I', n.nspname, ic.relname) AS name, " .. DROP .. " AS remedy " ..
      joined("JOIN pg_index i ON i.indrelid = c.oid AND NOT i.indisprimary JOIN pg_class ic ON ic.oid = i.indexrelid", " ORDER BY 1"),
    why = "they slow the full load down" },
  objects { id = "target-generated", name = "generated columns on the target", mover = "dms", side = "to", on = "to", dms = { "the target PostgreSQL database contains generated columns" }, severity = "error",
    sql = "SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname) AS name, format('ALTER TABLE %I.%I ALTER COLUMN %I DROP EXPRESSION;', n.nspname, c.relname, a.attname) AS remedy " ..
      joined("JOIN pg_attribute a ON a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped", TABLES .. " ORDER BY 1"),
    why = "DMS inserts into them, which the target refuses" },
  objects { id = "batch-no-key", name = "target tables without a key in batch apply", mover = "dms", side = "to", on = "to", dms = { "postgres-check-batch-apply-target-pk-ui-absence" }, severity = "warning",
    sql = when(batch, "SELECT " .. NAME .. " AS name, format('ALTER TABLE %I.%I ADD PRIMARY KEY (...);', n.nspname, c.relname) AS remedy " .. RELATIONS .. TABLES ..
      " AND NOT " .. PRIMARY .. " AND NOT " .. UNIQUE .. " ORDER BY 1"),
    why = "BatchApplyEnabled needs one to find the rows; without it each change is a scan" },
  objects { id = "batch-two-keys", name = "target tables with a primary key and a unique index in batch apply", mover = "dms", side = "to", on = "to", dms = { "postgres-check-batch-apply-target-pk-ui-simultaneously" },
    severity = "warning", sql = when(batch, "SELECT " .. NAME .. " AS name, (SELECT string_agg(" .. DROP .. ", ' ') FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique " ..
      "AND NOT i.indisprimary) AS remedy " .. RELATIONS .. TABLES .. " AND " .. PRIMARY .. " AND " .. UNIQUE .. " ORDER BY 1"),
    why = "a batch orders by the primary key and may break the other index" },
  { id = "batch-lob", name = "LOB mode of batch apply", mover = "dms", dms = { "postgres-batch-apply-lob-mode" }, run = limited_lob },
  { id = "lob-size", name = "size of LOBs", mover = "dms", dms = { "postgres-check-limited-lob-size" }, run = lob_size },
  objects { id = "validation-key", name = "tables that DMS cannot validate", mover = "dms", dms = { "postgres-check-pk-validity" }, severity = "warning",
    sql = when(validates, "SELECT " .. NAME .. " AS name, format('ALTER TABLE %I.%I ADD PRIMARY KEY (...);', n.nspname, c.relname) AS remedy " .. RELATIONS .. TABLES ..
      " AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid) ORDER BY 1"),
    why = "validation compares by a valid primary key or unique index" },
}
