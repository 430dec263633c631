--- pg.check: what would make a migration fail or surprise, looked for before
--- anything is done. Read-only: both sessions are, with short lock and statement
--- timeouts, so it is safe on a production database.
-- luacheck: no max line length (SQL)
local catalog = require "pg.catalog"
local connection = require "pg.connection"
local errors = require "errors"
local options = require "options"
local process = require "process"

local M = {}

local DECLARED = {
  { "from", "source database", type = "any", required = true },
  { "to", "target database, where it exists already", type = "any" },
  { "jobs", "workers that the copy will use", type = "integer", default = 2 },
  { "reserve", "connections to leave to others", type = "integer", default = 3 },
  { "space", "bytes that the target can hold", type = "integer" },
  { "cdc", "also check what change data capture needs", type = "boolean", default = false },
  { "schema_map", "schemas that the copy renames", type = "table", default = { heroku_ext = "public" } },
  { "timeout", "seconds for one check", type = "number", default = 60 },
}

local function list_of(conn, sql, ...)
  local names = {}
  for row in conn:rows(sql, ...) do names[#names + 1] = row.name end
  return names
end

local function some(names)
  return table.concat(names, ", ", 1, math.min(5, #names)) .. (#names > 5 and (" and %d more"):format(#names - 5) or "")
end

local USER_TABLE = "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relpersistence <> 't' AND " ..
  catalog.is_user("pg_class", "c.oid")

--- One result: severity "ok" | "note" | "warning" | "error".
local function finding(severity, value, remedy) return { severity = severity, value = value, remedy = remedy } end

--- A check of names that should be none.
local function none(sql, severity, remedy)
  return function(c)
    local names = list_of(c.from, sql)
    if #names == 0 then return finding("ok", "none") end
    return finding(severity, some(names), remedy)
  end
end

local CHECKS = {
  { "server versions", function(c)
    local a, b = c.from:info().version // 10000, c.to and c.to:info().version // 10000
    if a < 12 then return finding("error", "source " .. a, "upgrade the source to PostgreSQL 12 or later first") end
    if b and b < a then return finding("error", ("source %d, target %d"):format(a, b), ("make the target with version %d or later"):format(a)) end
    return finding("ok", b and ("source %d, target %d"):format(a, b) or "source " .. a)
  end },
  { "pg_dump", function(c)
    local path, need = process.which "pg_dump", c.from:info().version // 10000
    if not path then return finding("error", "not installed", "install postgresql-client-" .. need) end
    local have = math.tointeger(tonumber(process.run({ path, "--version", timeout = 10 }).stdout:match "(%d+)"))
    if have < need then return finding("error", ("version %d, server %d"):format(have, need), "install postgresql-client-" .. need) end
    return finding("ok", ("version %d"):format(have))
  end },
  { "extensions", function(c)
    local used = list_of(c.from, "SELECT extname AS name FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1")
    if not c.to then return finding(#used > 0 and "note" or "ok", #used > 0 and some(used) or "none") end
    local offered, missing = {}, {}
    for row in c.to:rows "SELECT name FROM pg_available_extensions" do offered[row.name] = true end
    for _, name in ipairs(used) do if not offered[name] then missing[#missing + 1] = name end end
    if #missing > 0 then return finding("error", "not on the target: " .. some(missing), "drop what nothing uses on the source, or choose a target that has it") end
    return finding("ok", #used > 0 and some(used) or "none")
  end },
  { "extension schemas", function(c)
    local names = list_of(c.from, [[SELECT DISTINCT n.nspname AS name FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
      WHERE n.nspname NOT IN ('pg_catalog', 'public')]])
    local mapped = {}
    for _, name in ipairs(names) do if c.o.schema_map[name] then mapped[#mapped + 1] = name .. " -> " .. c.o.schema_map[name] end end
    return finding(#mapped > 0 and "note" or "ok", #mapped > 0 and some(mapped) or "none to map",
      #mapped > 0 and "take the schema out of any search_path that the app sets itself" or nil)
  end },
  { "large objects", function(c)
    local n = c.from:value "SELECT count(*) FROM pg_largeobject_metadata"
    return finding(n > 0 and "note" or "ok", tostring(n), n > 0 and "pg.copy brings them; change data capture does not" or nil)
  end },
  { "tables without a key", none("SELECT format('%I.%I', n.nspname, c.relname) AS name " .. USER_TABLE .. [[ AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL) ORDER BY 1]], "note",
    "a full copy takes them; change data capture needs a primary key or REPLICA IDENTITY FULL") },
  { "unlogged tables", none("SELECT format('%I.%I', n.nspname, c.relname) AS name " .. USER_TABLE .. " AND c.relpersistence = 'u' AND c.relkind = 'r' ORDER BY 1", "note",
    "they are copied and stay unlogged; a crash of the server empties them") },
  { "foreign tables", none("SELECT format('%I.%I', n.nspname, c.relname) AS name " .. USER_TABLE .. " AND c.relkind = 'f' ORDER BY 1", "warning",
    "their server must be reachable from the target, and user mappings made by hand") },
  { "tables that the role cannot read", none("SELECT format('%I.%I', n.nspname, c.relname) AS name " .. USER_TABLE ..
    " AND c.relkind IN ('r', 'p', 'S') AND NOT has_table_privilege(c.oid, 'SELECT') ORDER BY 1", "error", "GRANT SELECT on them to the role of the copy") },
  { "row security that hides rows", none("SELECT format('%I.%I', n.nspname, c.relname) AS name " .. USER_TABLE .. [[ AND c.relrowsecurity
    AND row_security_active(c.oid) ORDER BY 1]], "error", "copy as a role that bypasses it: the owner without FORCE, or one with BYPASSRLS") },
  { "invalid indexes", none("SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n " ..
    "ON n.oid = c.relnamespace WHERE NOT i.indisvalid AND c.relkind = 'i' AND " .. catalog.is_user("pg_class", "i.indrelid") .. " ORDER BY 1", "warning",
    "REINDEX or drop them first: the copy builds them anew, and may fail on duplicates") },
  { "generated columns", none([[SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname) AS name FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE a.attgenerated <> '' AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND ]] ..
    catalog.is_user("pg_class", "c.oid") .. " ORDER BY 1", "note", "the target computes them anew") },
  { "sequences near their end", none([[SELECT format('%I.%I (%s %%)', schemaname, sequencename, round(100.0 * last_value / max_value)) AS name FROM pg_sequences
    WHERE last_value IS NOT NULL AND increment_by > 0 AND NOT cycle AND last_value::numeric / max_value > 0.8 ORDER BY 1]], "warning",
    "change the column to bigint before the app runs out of numbers") },
  { "long transactions", none([[SELECT format('pid %s of %s since %s', pid, usename, date_trunc('second', now() - xact_start)) AS name FROM pg_stat_activity
    WHERE xact_start < now() - interval '5 minutes' AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND datname = current_database()]], "warning",
    "wait for them, or end them with pg_terminate_backend(pid)") },
  { "prepared transactions", none("SELECT gid AS name FROM pg_prepared_xacts WHERE database = current_database()", "warning",
    "COMMIT PREPARED or ROLLBACK PREPARED them: their rows are not in the copy") },
  { "replica as source", function(c)
    if c.from:value "SELECT pg_is_in_recovery()" then return finding("error", "the source is a follower", "copy from the leader: a follower cannot export the snapshot of its writers") end
    return finding("ok", "the source is the leader")
  end },
  { "vacuum against wraparound", none([[SELECT relid::regclass::text AS name FROM pg_stat_progress_vacuum p JOIN pg_stat_activity a USING (pid)
    WHERE a.query LIKE '%to prevent wraparound%']], "warning", "wait until it ends: it blocks statements that lock the table") },
  { "encoding", function(c)
    local sql = "SELECT pg_encoding_to_char(encoding) || ', ' || datcollate FROM pg_database WHERE datname = current_database()"
    local a, b = c.from:value(sql), c.to and c.to:value(sql)
    local enc_a, enc_b = a:match "^[^,]+", b and b:match "^[^,]+"
    if enc_a == "SQL_ASCII" then return finding("warning", a, "bytes that are no UTF-8 will stop the copy of their table: clean them first") end
    if b and enc_a ~= enc_b then return finding("warning", ("source %s, target %s"):format(a, b), "make the target database with ENCODING '" .. enc_a .. "'") end
    if b and a ~= b then return finding("note", ("source %s, target %s"):format(a, b), "text sorts differently: make the target with the same LC_COLLATE if that matters") end
    return finding("ok", a)
  end },
  { "connections", function(c)
    local row = c.from:query [[SELECT least(current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
        nullif((SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user), -1)) AS allowed,
      (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()) AS used]][1]
    local need, free = c.o.jobs + 2, row.allowed - row.used
    local value = ("%d allowed, %d in use, the copy needs %d"):format(row.allowed, row.used, need)
    if free < need then return finding("error", value, "scale the app down first, or give fewer jobs") end
    if free < need + c.o.reserve then return finding("warning", value, "few are left for the app: fewer jobs, or scale it down first") end
    return finding("ok", value)
  end },
  { "size", function(c)
    local bytes = c.from:value "SELECT pg_database_size(current_database())"
    local value = ("%.1f MB"):format(bytes / 1e6)
    if c.o.space and bytes > c.o.space * 0.8 then
      return finding(bytes > c.o.space and "error" or "warning", ("%s, target %.1f MB"):format(value, c.o.space / 1e6), "give the target more storage: the copy needs room for WAL and sorting too")
    end
    return finding("ok", value)
  end },
  { "rules on INSERT", none("SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class " ..
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.ev_type = '3' AND c.relkind = 'r' AND " .. catalog.is_user("pg_class", "c.oid"), "note",
    "the copy makes rules after the rows, so they do not act on them") },
  { "target is empty", function(c)
    if not c.to then return nil end
    local names = list_of(c.to, "SELECT format('%I.%I', n.nspname, c.relname) AS name " .. USER_TABLE .. " AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') ORDER BY 1")
    if #names > 0 then return finding("error", some(names), "give an empty database, or pg.copy's restart or reset") end
    return finding("ok", "yes")
  end },
  { "rights on the target", function(c)
    if not c.to then return nil end
    if not c.to:value "SELECT has_database_privilege(current_database(), 'CREATE')" then
      return finding("error", "the role may not create schemas", "GRANT CREATE ON DATABASE to it, or let it own the database") end
    if not c.to:value "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()" then
      return finding("error", "the role does not own the database", "ALTER DATABASE ... OWNER TO it") end
    return finding("ok", "owner")
  end },
  { "roles in policies", function(c)
    if not c.to then return nil end
    local missing = {}
    for _, name in ipairs(list_of(c.from, "SELECT DISTINCT r.rolname AS name FROM pg_policy p JOIN pg_roles r ON r.oid = ANY (p.polroles) ORDER BY 1")) do
      if not c.to:value("SELECT 1 FROM pg_roles WHERE rolname = $1", name) then missing[#missing + 1] = name end
    end
    if #missing > 0 then return finding("error", "not on the target: " .. some(missing), "CREATE ROLE them there first") end
    return finding("ok", "all there")
  end },
  { "wal_level", function(c)
    if not c.o.cdc then return nil end
    local level = c.from:value "SELECT current_setting('wal_level')"
    if level ~= "logical" then return finding("error", level, "Heroku cannot change it: use a full copy within a freeze; elsewhere set wal_level = logical and restart") end
    return finding("ok", level)
  end },
  { "replication right", function(c)
    if not c.o.cdc then return nil end
    if not c.from:value [[SELECT rolreplication OR rolsuper OR pg_has_role(current_user, coalesce((SELECT oid FROM pg_roles WHERE rolname = 'rds_replication'), oid), 'MEMBER')
        AND EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication') FROM pg_roles WHERE rolname = current_user]] then
      return finding("error", "the role may not replicate", "ALTER ROLE ... REPLICATION (RDS: GRANT rds_replication), which Heroku does not offer")
    end
    return finding("ok", "yes")
  end },
}

local READ_ONLY = "SET default_transaction_read_only = on; SET statement_timeout = '%ds'; SET lock_timeout = '2s'; SET search_path = ''"

--- Checks a source, and a target where it exists.
---@param given table see DECLARED
---@return { name: string, severity: "ok"|"note"|"warning"|"error", value: string, remedy: string? }[] list with .errors and .warnings (counts)
function M.check(given)
  local o = options.check(given, DECLARED, "pg.check")
  local from <close> = connection.open(o.from, { timeout = o.timeout, application_name = "hkrun check" })
  local to <close> = o.to and connection.open(o.to, { timeout = o.timeout, application_name = "hkrun check" }) or nil
  for _, conn in ipairs { from, to } do conn:exec(READ_ONLY:format(math.ceil(o.timeout))) end
  local context = { from = from, to = to, o = o }
  local list = { errors = 0, warnings = 0 }
  for _, check in ipairs(CHECKS) do
    local ok, f = pcall(check[2], context)
    if not ok then
      if not errors.is(f) or f.kind == "cancelled" or f.kind == "network" then error(f, 0) end
      f = finding("warning", "could not be checked: " .. f.message, "check it by hand")
    end
    if f then
      f.name = check[1]
      list[#list + 1] = f
      if f.severity == "error" then list.errors = list.errors + 1 elseif f.severity == "warning" then list.warnings = list.warnings + 1 end
    end
  end
  return list
end

return M
