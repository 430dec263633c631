--- Checks of what is declared on the source, and whether the target can have it.
-- luacheck: no max line length (SQL)
local catalog = require "pg.catalog"
local define = require "pg.check.define"

local finding, objects, ok = define.finding, define.objects, define.ok
local NAME, RELATIONS = define.NAME, define.RELATIONS

local function list_of(conn, sql)
  local names = {}
  for row in conn:rows(sql) do names[#names + 1] = row.name end
  return names
end

local function something(c)
  local tables, left = 0, 0
  for row in c.from:rows("SELECT n.nspname || '.' || c.relname AS plain " .. RELATIONS .. " AND c.relkind IN ('r', 'p')") do
    tables = tables + 1
    if not c.is_excluded(row.plain) then left = left + 1 end
  end
  if left > 0 then return ok(left) end
  return finding("warning", left, tables == 0 and "the source has no tables" or ("include and exclude leave out all %d tables"):format(tables),
    tables == 0 and "look whether the URL names the right database" or "give other patterns as include and exclude")
end

local EXTENSIONS = [[SELECT e.extname AS name, e.extversion AS version, n.nspname AS schema FROM pg_extension e
  JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql' ORDER BY 1]]

local function newer(a, b)
  local next_a, next_b = a:gmatch "%d+", b:gmatch "%d+"
  while true do
    local x, y = tonumber(next_a() or -1), tonumber(next_b() or -1)
    if x ~= y then return x > y end
    if x == -1 then return false end
  end
end

local function extensions(c)
  local used, offered, missing, older, drops = c.from:query(EXTENSIONS), {}, {}, {}, {}
  if not c.to then
    local names = {}
    for i, e in ipairs(used) do names[i] = e.name end
    if #names == 0 then return ok(0) end
    return finding("info", #names, ("the target must offer the extensions %s"):format(define.some(names)),
      ("SELECT name FROM pg_available_extensions WHERE name IN ('%s'); /* on a server like the target */"):format(table.concat(names, "', '")), names)
  end
  for row in c.to:rows "SELECT name::text AS name, default_version FROM pg_available_extensions" do offered[row.name] = row.default_version end
  for _, e in ipairs(used) do
    if not offered[e.name] then
      missing[#missing + 1], drops[#drops + 1] = e.name, ("DROP EXTENSION %s;"):format(e.name)
    elseif newer(e.version, offered[e.name]) then older[#older + 1] = ("%s %s (source %s)"):format(e.name, offered[e.name], e.version) end
  end
  if #missing > 0 then
    return finding("error", #missing, ("the target does not offer the extensions %s"):format(define.some(missing)),
      table.concat(drops, " ") .. " /* on the source if nothing uses them, else choose a target that has them */", missing)
  elseif #older > 0 then
    return finding("warning", #older, "the target has older versions of extensions: " .. define.some(older),
      "take a newer minor version of the target (aws rds modify-db-instance --engine-version ...)", older)
  end
  return ok(#used)
end

local function extension_schemas(c)
  local moved, names = {}, {}
  for _, e in ipairs(c.from:query(EXTENSIONS)) do
    local to = c.o.schema_map[e.schema]
    if to and to ~= e.schema then
      names[#names + 1] = e.name
      moved[#moved + 1] = ("%s from %s to %s"):format(e.name, e.schema, to)
    end
  end
  if #names == 0 then return ok(0) end
  return finding("info", #names, "extensions change their schema on the way: " .. define.some(moved),
    "take the old schema out of any search_path that the app sets itself (schema_map = {} keeps it)", names)
end

--- Collations of the server itself that columns use; the target's operating system may not have them.
local function missing_collations(c)
  local have, missing = {}, {}
  for _, name in ipairs(list_of(c.to, "SELECT collname AS name FROM pg_collation WHERE collnamespace = 'pg_catalog'::regnamespace")) do have[name] = true end
  local used = list_of(c.from, "SELECT DISTINCT o.collname AS name " .. RELATIONS:gsub("WHERE", [[JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
    JOIN pg_collation o ON o.oid = a.attcollation AND o.collnamespace = 'pg_catalog'::regnamespace WHERE]], 1) .. " ORDER BY 1")
  for _, name in ipairs(used) do if not have[name] then missing[#missing + 1] = name end end
  if #missing == 0 then return ok(0) end
  return finding("error", #missing, ("the target does not have the collations %s, which columns use"):format(define.some(missing)),
    ("CREATE COLLATION pg_catalog.\"%s\" (provider = icu, locale = '...'); /* or ALTER the columns to another collation */"):format(missing[1]), missing)
end

local function event_triggers(c)
  local names = list_of(c.from, [[SELECT evtname AS name FROM pg_event_trigger WHERE NOT EXISTS (SELECT FROM pg_depend d
    WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = pg_event_trigger.oid AND d.deptype = 'e') ORDER BY 1]])
  if #names == 0 then return ok(0) end
  local may = not c.to or c.to:value [[SELECT rolsuper OR coalesce(pg_has_role(current_user, (SELECT oid FROM pg_roles WHERE rolname = 'rds_superuser'), 'MEMBER'), false)
    FROM pg_roles WHERE rolname = current_user]]
  return finding(may and "info" or "error", #names, ("event triggers (%s): only a superuser or rds_superuser makes them"):format(define.some(names)),
    may and "connect to the target as its master user" or ("DROP EVENT TRIGGER %s; /* or GRANT rds_superuser TO the target's role */"):format(names[1]), names)
end

local KEYS = "EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL)"

-- What a sequence can still give: its own end, or that of the column that it feeds.
local SEQUENCES = [[SELECT s.name, s.used AS value, format('ALTER SEQUENCE %s AS bigint MAXVALUE 9223372036854775807;', s.name) ||
    CASE WHEN s.attname IS NULL THEN '' ELSE format(' ALTER TABLE %s ALTER COLUMN %I TYPE bigint;', s.owner, s.attname) END AS remedy
  FROM (SELECT ]] .. NAME .. [[ AS name, CASE WHEN a.attname IS NOT NULL THEN format('%I.%I', tn.nspname, t.relname) END AS owner, a.attname,
      round(100.0 * CASE c.relkind WHEN 'S' THEN pg_sequence_last_value(c.oid) END / least(q.seqmax, CASE a.atttypid WHEN 21 THEN 32767 WHEN 23 THEN 2147483647 ELSE q.seqmax END))::int8 AS used ]] ..
  RELATIONS:gsub("WHERE", [[JOIN pg_sequence q ON q.seqrelid = c.oid
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    LEFT JOIN pg_class t ON t.oid = d.refobjid LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
    WHERE q.seqincrement > 0 AND NOT q.seqcycle AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') END AND]], 1) .. ") s WHERE s.used >= 80 ORDER BY 2 DESC, 1"

return {
  { id = "something-to-copy", name = "something to copy", dms = { "at least one selected object exists" }, run = something },
  { id = "extensions", name = "extensions", run = extensions },
  { id = "extension-schemas", name = "schemas of extensions", run = extension_schemas },
  objects { id = "search-path", name = "functions that name a schema of extensions", severity = "warning",
    sql = function(c)
      local schemas = {}
      for from, to in pairs(c.o.schema_map) do if from ~= to then schemas[#schemas + 1] = "'" .. from:gsub("'", "''") .. "'" end end
      if #schemas == 0 then return nil end
      return ([[SELECT p.oid::regprocedure::text AS name, format('ALTER FUNCTION %%s RESET search_path;', p.oid::regprocedure) AS remedy
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace CROSS JOIN unnest(p.proconfig) e
        WHERE e LIKE 'search_path=%%%%' AND string_to_array(replace(replace(substr(e, 13), ' ', ''), '"', ''), ',') && ARRAY[%s] AND %s ORDER BY 1]])
        :format(table.concat(schemas, ","), catalog.is_user("pg_proc", "p.oid")):gsub("%%%%", "%%")
    end, why = "on the target the extensions are in another schema" },
  objects { id = "languages", name = "functions in languages that managed servers do not have", severity = "error",
    sql = [[SELECT p.oid::regprocedure::text AS name, format('DROP FUNCTION %s; /* it is written in %s */', p.oid::regprocedure, l.lanname) AS remedy
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
      WHERE (NOT l.lanpltrusted AND l.lanname <> 'sql') AND ]] .. catalog.is_user("pg_proc", "p.oid") .. " ORDER BY 1",
    why = "only a superuser can make them, and a managed target has none" },
  objects { id = "foreign-tables", name = "foreign tables", severity = "warning",
    sql = "SELECT " .. NAME .. " AS name, format('CREATE USER MAPPING FOR CURRENT_USER SERVER %I OPTIONS (user ..., password ...);', s.srvname) AS remedy " ..
      RELATIONS:gsub("WHERE", "JOIN pg_foreign_table f ON f.ftrelid = c.oid JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE", 1) .. " AND c.relkind = 'f' ORDER BY 1",
    why = "their server must be reachable from the target, and the user mappings are not copied" },
  { id = "event-triggers", name = "event triggers", run = event_triggers },
  objects { id = "tables-without-key", name = "tables without a key", dms = { "postgres-check-pk" }, severity = "info",
    sql = "SELECT " .. NAME .. " AS name, format('ALTER TABLE %I.%I REPLICA IDENTITY FULL; /* or ADD PRIMARY KEY (...) */', n.nspname, c.relname) AS remedy " ..
      RELATIONS .. " AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relreplident <> 'f' AND NOT " .. KEYS .. " ORDER BY 1",
    why = "a copy takes them; change data capture and row by row validation cannot tell their rows apart" },
  objects { id = "unlogged-tables", name = "unlogged tables", severity = "info",
    sql = "SELECT " .. NAME .. " AS name, format('ALTER TABLE %I.%I SET LOGGED;', n.nspname, c.relname) AS remedy " ..
      RELATIONS .. " AND c.relpersistence = 'u' AND c.relkind = 'r' ORDER BY 1",
    why = "they are copied and stay unlogged: a crash or a failover empties them, and replication passes them over" },
  objects { id = "generated-columns", name = "generated columns", severity = "info",
    sql = "SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname) AS name, format('ALTER TABLE %I.%I ALTER COLUMN %I DROP EXPRESSION;', n.nspname, c.relname, a.attname) " ..
      "|| ' /* only if the target must not compute it */' AS remedy " ..
      RELATIONS:gsub("WHERE", "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped WHERE", 1) .. " AND c.relkind IN ('r', 'p') ORDER BY 1",
    why = "the target computes them anew; movers that insert into them fail" },
  objects { id = "sequences-near-end", name = "sequences near their end", severity = "warning", sql = SEQUENCES,
    measure = function(rows) return ("%d %%"):format(rows[1].value) end, why = "inserts fail when the numbers are used up" },
  objects { id = "invalid-indexes", name = "invalid indexes", severity = "warning",
    sql = "SELECT " .. NAME .. " AS name, format('REINDEX INDEX CONCURRENTLY %I.%I;', n.nspname, c.relname) AS remedy " ..
      RELATIONS:gsub("WHERE", "JOIN pg_index i ON i.indexrelid = c.oid AND NOT i.indisvalid WHERE", 1) .. " AND c.relkind = 'i' ORDER BY 1",
    why = "the copy builds them anew, which fails where there are duplicates" },
  objects { id = "constraints-not-valid", name = "constraints that are not valid", severity = "info",
    sql = "SELECT format('%I on %I.%I', k.conname, n.nspname, c.relname) AS name, format('ALTER TABLE %I.%I VALIDATE CONSTRAINT %I;', n.nspname, c.relname, k.conname) AS remedy " ..
      RELATIONS:gsub("WHERE", "JOIN pg_constraint k ON k.conrelid = c.oid AND NOT k.convalidated WHERE", 1) .. " ORDER BY 1",
    why = "rows that break them are copied, and they are not valid on the target either" },
  objects { id = "rules", name = "tables with rules", severity = "info",
    sql = "SELECT DISTINCT " .. NAME .. " AS name, format('DROP RULE %I ON %I.%I;', r.rulename, n.nspname, c.relname) || ' /* if a trigger can take its place */' AS remedy " ..
      RELATIONS:gsub("WHERE", "JOIN pg_rewrite r ON r.ev_class = c.oid WHERE", 1) .. " AND c.relkind IN ('r', 'p') ORDER BY 1",
    why = "the copy makes rules after the rows, so they do not act on them; other movers' inserts meet them" },
  objects { id = "collation-versions", name = "collations of another version", severity = "warning",
    sql = function(c)
      local database = c.from:info().version >= 150000 and [[ UNION ALL SELECT 'the database''s own', format('REINDEX DATABASE %1$I; ALTER DATABASE %1$I REFRESH COLLATION VERSION;', datname)
        FROM pg_database WHERE datname = current_database() AND datcollversion <> pg_database_collation_actual_version(oid)]] or ""
      return "SELECT DISTINCT format('%I.%I', cn.nspname, o.collname) AS name, format('REINDEX TABLE %I.%I; ALTER COLLATION %I.%I REFRESH VERSION;', " ..
        "n.nspname, c.relname, cn.nspname, o.collname) AS remedy " ..
        RELATIONS:gsub("WHERE", "JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped JOIN pg_collation o ON o.oid = a.attcollation " ..
          "JOIN pg_namespace cn ON cn.oid = o.collnamespace WHERE o.collversion <> pg_collation_actual_version(o.oid) AND", 1) .. " AND c.relkind IN ('r', 'p', 'm')" ..
        database .. " ORDER BY 1"
    end, why = "the operating system sorts otherwise than when the indexes were built: look-ups may miss rows, and unique indexes may hold duplicates" },
  { id = "collations-missing", name = "collations that the target lacks", side = "to", run = missing_collations },
}
