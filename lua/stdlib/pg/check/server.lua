--- Checks of the servers: versions, roles in a cluster, connections, what runs on the source now.
-- luacheck: no max line length (SQL)
local define = require "pg.check.define"
local process = require "process"

local finding, objects, ok = define.finding, define.objects, define.ok

local OLDEST, NEWEST = 12, 18                        -- majors that the copy has been tried with
local OLDEST_DMS, NEWEST_DMS = 10, 17                -- that DMS 3.6 takes as a source

local function major(conn) return conn:info().version // 10000 end

local function client(version) return ("apt-get install postgresql-client-%d"):format(version) end

local function source_version(c)
  local version, dms = major(c.from), c.o.mover ~= "copy"
  local oldest, newest = dms and OLDEST_DMS or OLDEST, dms and NEWEST_DMS or NEWEST
  if version < oldest then
    return finding("error", version, ("the source is PostgreSQL %d, older than what can be moved"):format(version),
      ("upgrade the source to PostgreSQL %d or later first (heroku pg:upgrade)"):format(oldest))
  elseif version > newest then
    return finding(dms and "error" or "warning", version, ("the source is PostgreSQL %d, newer than what was tried"):format(version),
      dms and "use pg.copy, or a DMS version that supports it" or "copy once into a throw-away target and compare with pg.same")
  end
  return ok(version)
end

local function target_version(c)
  local a, b = major(c.from), major(c.to)
  if b < a then
    return finding("error", b, ("the target is PostgreSQL %d and the source %d: an older server may not understand the schema"):format(b, a),
      ("make the target with PostgreSQL %d or later (aws rds create-db-instance --engine postgres --engine-version %d ...)"):format(a, a))
  end
  return ok(b)
end

local asked = {}                                     -- major versions of pg_dump by path: it does not change while we run

local function pg_dump(c)
  local path, need = process.which "pg_dump", major(c.from)
  if not path then return finding("error", "not installed", "the schema is read by pg_dump, which is not installed", client(need)) end
  local have = asked[path] or math.tointeger(tonumber(process.run({ path, "--version", timeout = 10 }).stdout:match "(%d+)")) or 0
  asked[path] = have
  if have < need then
    return finding("error", have, ("pg_dump %d refuses a server of version %d"):format(have, need), client(need))
  end
  return ok(have)
end

local function follower(c)
  if c.from:value "SELECT pg_is_in_recovery()" then
    return finding("error", "follower", "the source is a follower: it lags behind, and takes neither triggers nor slots",
      "give the leader's URL: heroku config:get DATABASE_URL")
  end
  return ok "leader"
end

--- A pooler between us and the server has its own process ids.
local function pooler(c)
  if c.from:value "SELECT pg_backend_pid()" ~= c.from:info().pid then
    return finding("error", "pooled", "the connection goes through a pooler, which loses a session's snapshot and settings",
      "give the direct URL: heroku config:get DATABASE_URL, not DATABASE_CONNECTION_POOL_URL")
  end
  return ok "direct"
end

-- The tightest of the limits that hold for our sessions: the server's, the role's, the database's. Of other roles'
-- sessions only members of pg_monitor see the type.
local FREE = [[WITH s AS (SELECT usesysid, datid FROM pg_stat_activity WHERE pid <> pg_backend_pid()
    AND (backend_type = 'client backend' OR backend_type IS NULL AND usesysid IS NOT NULL))
  SELECT l.allowed::int8 AS allowed, l.used FROM (
    SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
      - coalesce(current_setting('reserved_connections', true)::int, 0) AS allowed, (SELECT count(*) FROM s) AS used
    UNION ALL SELECT rolconnlimit, (SELECT count(*) FROM s WHERE usesysid = r.oid) FROM pg_roles r
      WHERE rolname = current_user AND rolconnlimit >= 0
    UNION ALL SELECT datconnlimit, (SELECT count(*) FROM s WHERE datid = d.oid) FROM pg_database d
      WHERE datname = current_database() AND datconnlimit >= 0) l ORDER BY l.allowed - l.used LIMIT 1]]

--- Room for the copy's sessions on one side: one for each job, one that holds the snapshot, and pg_dump for a while.
local function connections(side, remedy)
  return function(c)
    local row, need = c[side]:query(FREE)[1], math.min(c.o.jobs + 2, c.o.connections or math.maxinteger)
    local free = row.allowed - row.used
    local measured = ("%d of %d free"):format(math.max(free, 0), row.allowed)
    if free >= need + c.o.reserve then return ok(measured) end
    local jobs = free - c.o.reserve - 2
    return finding(free < need and "error" or "warning", measured,
      ("%d connections are allowed, %d in use, and the copy needs %d%s"):format(row.allowed, row.used, need,
        free < need and "" or (", which leaves fewer than the reserve of %d"):format(c.o.reserve)),
      jobs >= 1 and ("give jobs = %d, or %s"):format(jobs, remedy)
        or free - c.o.reserve >= 2 and ("give connections = %d, or %s"):format(free - c.o.reserve, remedy) or remedy)
  end
end

-- Each relation that pg_dump reads holds a lock in one transaction.
local function lock_table(c)
  local locks = c.from:value "SELECT count(*) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p', 'm', 'v', 'S', 'i', 'f')"
  local room = define.number(c, "max_locks_per_transaction") * (define.number(c, "max_connections") + define.number(c, "max_prepared_transactions"))
  if locks <= room * 0.8 then return ok(locks) end
  return finding("warning", locks, ("the schema has %d relations, and the server's table of locks has room for %d"):format(locks, room),
    ("ALTER SYSTEM SET max_locks_per_transaction = %d; /* and restart the server, or move the schemas one after the other */"):format(
      math.max(64, locks * 2 // define.number(c, "max_connections"))))
end

local function tls(c)
  if c.from:info().tls or require("pg.endpoint").is_loopback(c.host) then return ok(c.from:info().tls and "encrypted" or "loopback") end
  return finding("warning", "plain text", "the connection to the source is not encrypted", "add ?sslmode=require to the source's URL")
end

local function force_ssl(c)
  local value = c.to:value "SELECT current_setting('rds.force_ssl', true)"
  if value == nil or value == "" then return ok "not RDS" end
  if value == "1" or value == "on" then return ok "1" end
  return finding("warning", value, "the target also takes connections in plain text",
    "aws rds modify-db-parameter-group --db-parameter-group-name GROUP --parameters " ..
    "ParameterName=rds.force_ssl,ParameterValue=1,ApplyMethod=pending-reboot; then reboot the instance")
end

local ENCODING = [[SELECT pg_encoding_to_char(encoding)::text AS encoding, datcollate::text AS collate, datctype::text AS ctype
  FROM pg_database WHERE datname = current_database()]]

local function encoding(c)
  local a, b = c.from:query(ENCODING)[1], c.to and c.to:query(ENCODING)[1]
  if a.encoding == "SQL_ASCII" then
    return finding("warning", a.encoding, "the source is SQL_ASCII, which takes any bytes: those that are no UTF-8 stop the copy of their table",
      "run pg.check with deep = true, which names the rows")
  elseif b and a.encoding ~= b.encoding then
    return finding("warning", b.encoding, ("the source's encoding is %s and the target's %s"):format(a.encoding, b.encoding),
      ("CREATE DATABASE name ENCODING '%s' TEMPLATE template0; /* as the target */"):format(a.encoding))
  end
  return ok(a.encoding)
end

local function locale(c)
  local a, b = c.from:query(ENCODING)[1], c.to:query(ENCODING)[1]
  if a.collate == b.collate and a.ctype == b.ctype then return ok(a.collate) end
  return finding("info", b.collate, ("text sorts by %s on the source and by %s on the target"):format(a.collate, b.collate),
    ("CREATE DATABASE name LC_COLLATE '%s' LC_CTYPE '%s' TEMPLATE template0; /* as the target, if the order matters */"):format(a.collate, a.ctype))
end

return {
  { id = "source-version", name = "version of the source", dms = { "postgres-check-dbversion" }, run = source_version },
  { id = "target-version", name = "version of the target", side = "to", run = target_version },
  { id = "pg-dump", name = "pg_dump", mover = "copy", run = pg_dump },
  { id = "follower", name = "follower as source", run = follower },
  { id = "pooler", name = "pooler before the source", run = pooler },
  { id = "connections", name = "connections of the source", run = connections("from", "scale the app down first (heroku ps:scale worker=0)") },
  { id = "target-connections", name = "connections of the target", side = "to", run = connections("to", "end other sessions on the target") },
  { id = "lock-table", name = "locks for the schema", mover = "copy", run = lock_table },
  { id = "source-tls", name = "encryption on the way", run = tls },
  { id = "force-ssl", name = "rds.force_ssl", side = "to", run = force_ssl },
  { id = "encoding", name = "encoding", run = encoding },
  { id = "locale", name = "locale", side = "to", run = locale },
  objects { id = "long-transactions", name = "long transactions", dms = { "postgres-check-longrunningtxn" }, severity = "warning",
    sql = function(c)
      return ([[SELECT format('pid %%s of %%s, %%s since %%s', pid, usename, state, to_char(xact_start, 'HH24:MI:SS')) AS name,
          format('SELECT pg_terminate_backend(%%s);', pid) AS remedy
        FROM pg_stat_activity WHERE xact_start < now() - interval '%d seconds' AND pid <> pg_backend_pid()
          AND backend_type = 'client backend' AND datname = current_database() ORDER BY xact_start]]):format(math.floor(c.o.long_transaction))
    end, why = "their rows are not in a snapshot yet, and what they lock may hold the copy up" },
  objects { id = "prepared-transactions", name = "prepared transactions", dms = { "postgres-check-preparedtxn" }, severity = "warning",
    sql = [[SELECT gid::text AS name, format('ROLLBACK PREPARED %L; /* or COMMIT PREPARED */', gid) AS remedy
      FROM pg_prepared_xacts WHERE database = current_database() ORDER BY 1]],
    why = "their rows are in no copy, and their locks stay" },
  objects { id = "exclusive-locks", name = "locked tables", severity = "warning",
    sql = "SELECT DISTINCT " .. define.NAME .. " AS name, format('SELECT pg_terminate_backend(%s);', l.pid) AS remedy " ..
      define.RELATIONS:gsub("WHERE", "JOIN pg_locks l ON l.relation = c.oid AND l.mode = 'AccessExclusiveLock' AND l.database = " ..
        "(SELECT oid FROM pg_database WHERE datname = current_database()) WHERE l.pid <> pg_backend_pid() AND", 1) .. " ORDER BY 1",
    why = "a session changes or locks them, and readers wait behind it" },
  objects { id = "wraparound-vacuum", name = "vacuum against wraparound", severity = "warning",
    sql = [[SELECT DISTINCT ]] .. define.NAME .. [[ AS name, format('VACUUM (FREEZE) %I.%I;', n.nspname, c.relname) ||
        CASE WHEN p.pid IS NULL THEN '' ELSE format(' /* or wait for pid %s */', p.pid) END AS remedy ]] ..
      define.RELATIONS:gsub("WHERE", "LEFT JOIN (pg_stat_progress_vacuum p JOIN pg_stat_activity a ON a.pid = p.pid AND a.query LIKE " ..
        "'%%to prevent wraparound%%') ON p.relid = c.oid WHERE c.relkind IN ('r', 'm') AND", 1) ..
      [[ AND (p.pid IS NOT NULL OR age(c.relfrozenxid) > least(current_setting('autovacuum_freeze_max_age')::int8,
        (SELECT option_value::int8 FROM pg_options_to_table(c.reloptions) WHERE option_name = 'autovacuum_freeze_max_age'))) ORDER BY 1]],
    why = "it is running or due, is not cancelled by others, and blocks what locks the table (triggers, DDL)" },
  objects { id = "tablespaces", name = "own tablespaces", severity = "info",
    sql = "SELECT " .. define.NAME .. " AS name, format('ALTER TABLE %I.%I SET TABLESPACE pg_default;', n.nspname, c.relname) AS remedy " ..
      define.RELATIONS .. " AND c.reltablespace <> 0 AND c.relkind IN ('r', 'm') ORDER BY 1",
    why = "a managed target has one tablespace, so the copy puts them there" },
  objects { id = "database-settings", name = "settings of the database or the role", severity = "warning",
    sql = function(c)
      return ([[SELECT split_part(e, '=', 1) AS name, format(CASE WHEN s.setrole = 0 THEN 'ALTER DATABASE %1$I SET %3$s = %4$L;'
          ELSE 'ALTER ROLE %2$I SET %3$s = %4$L;' END, '@', r.rolname, split_part(e, '=', 1), substr(e, strpos(e, '=') + 1)) AS remedy
      FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) e LEFT JOIN pg_roles r ON r.oid = s.setrole
      WHERE (s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        OR s.setdatabase = 0 AND s.setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)) ORDER BY 1]]):gsub("@", ((c.to or c.from):info().database:gsub("['%%]", "%%%0")), 1)
    end, why = "no dump of a database has them: set them on the target" },
  objects { id = "subscriptions", name = "subscriptions", severity = "warning",
    sql = [[SELECT subname::text AS name, format('ALTER SUBSCRIPTION %I DISABLE;', subname) AS remedy FROM pg_subscription
      WHERE subenabled AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1]],
    why = "another database writes here, also while the app is stopped" },
  objects { id = "logical-slots", name = "logical replication slots", severity = "info",
    sql = [[SELECT slot_name::text AS name, format('SELECT pg_drop_replication_slot(%L);', slot_name) AS remedy FROM pg_replication_slots
      WHERE slot_type = 'logical' AND database = current_database() ORDER BY 1]],
    why = "somebody follows the changes here: point them at the target, and drop the slots when they have moved" },
}
