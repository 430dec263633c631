--- Checks of what change data capture by logical replication needs; Heroku offers none of it.
-- luacheck: no max line length (SQL)
local define = require "pg.check.define"

local finding, objects, number, ok = define.finding, define.objects, define.number, define.ok

local HEROKU = " /* Heroku cannot change it: copy within a freeze instead */"

local function wal_level(c)
  local level = define.setting(c, "wal_level")
  if level == "logical" then return ok(level) end
  return finding("error", level, ("wal_level is %s, and change data capture needs logical"):format(level),
    "ALTER SYSTEM SET wal_level = 'logical'; /* and restart; RDS: rds.logical_replication = 1 */" .. HEROKU)
end

local function senders(c)
  local most, used = number(c, "max_wal_senders"), c.from:value "SELECT count(*) FROM pg_stat_replication"
  local measured = ("%d of %d free"):format(most - used, most)
  if most - used >= 2 then return ok(measured) end
  return finding("error", measured, ("of max_wal_senders = %d, %d are free, and the capture needs 2"):format(most, most - used),
    ("ALTER SYSTEM SET max_wal_senders = %d; /* and restart */%s"):format(used + 4, HEROKU))
end

local function slots(c)
  local most, used = number(c, "max_replication_slots"), c.from:value "SELECT count(*) FROM pg_replication_slots"
  local measured = ("%d of %d free"):format(most - used, most)
  if most > used then return ok(measured) end
  return finding("error", measured, ("of max_replication_slots = %d none is free"):format(most),
    ("ALTER SYSTEM SET max_replication_slots = %d; /* and restart, or drop a slot that nobody reads */%s"):format(used + 2, HEROKU))
end

local function sender_timeout(c)
  local ms = number(c, "wal_sender_timeout")
  if ms == 0 or ms >= 10000 then return ok(ms) end
  return finding("error", ms, ("wal_sender_timeout is %d ms, and DMS needs 10 seconds at least, or 0"):format(ms),
    "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf();")
end

local function slot_wal(c)
  local mb = number(c, "max_slot_wal_keep_size")
  if mb == nil or mb == -1 then return ok(-1) end
  return finding("warning", mb, ("max_slot_wal_keep_size is %d MB: a slot that falls behind further is lost, and the capture with it"):format(mb),
    "ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf(); /* and watch the free disk */")
end

local function decoding_memory(c)
  local kb = number(c, "logical_decoding_work_mem")
  if kb == nil or kb > 65536 then return ok(kb or "not there") end
  return finding("info", kb, ("logical_decoding_work_mem is %d kB, the default or less: large transactions are decoded on disk"):format(kb),
    "ALTER SYSTEM SET logical_decoding_work_mem = '256MB'; SELECT pg_reload_conf();")
end

local function pglogical(c)
  local there = c.from:value "SELECT count(*) FROM pg_extension WHERE extname = 'pglogical'" > 0
  if there then return ok "configured" end
  return finding("info", "not configured", "pglogical is not configured, so that changes are decoded by test_decoding",
    "shared_preload_libraries = 'pglogical', restart, CREATE EXTENSION pglogical; if few of many tables are moved")
end

local function full_identity(c)
  if c.from:value "SELECT count(*) FROM pg_extension WHERE extname = 'pglogical'" == 0 then return nil end
  return "SELECT " .. define.NAME .. " AS name, format('ALTER TABLE %I.%I REPLICA IDENTITY DEFAULT;', n.nspname, c.relname) AS remedy " ..
    define.RELATIONS .. " AND c.relreplident = 'f' AND c.relkind IN ('r', 'p') ORDER BY 1"
end

local function may_replicate(c)
  if c.from:value [[SELECT rolreplication OR rolsuper OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'rds_replication' AND pg_has_role(current_user, r.oid, 'MEMBER'))
      FROM pg_roles WHERE rolname = current_user]] then return ok "yes" end
  local role = c.from:value "SELECT format('%I', current_user)"
  local rds = c.from:value "SELECT count(*) FROM pg_roles WHERE rolname = 'rds_replication'" > 0
  return finding("error", "no", ("the role %s may not replicate"):format(role),
    (rds and "GRANT rds_replication TO %s;" or "ALTER ROLE %s REPLICATION;"):format(role) .. HEROKU)
end

return {
  { id = "wal-level", name = "wal_level", mover = "cdc", dms = { "postgres-check-wallevel" }, run = wal_level },
  { id = "wal-senders", name = "max_wal_senders", mover = "cdc", dms = { "postgres-check-maxwalsenders" }, run = senders },
  { id = "replication-slots", name = "free replication slots", mover = "cdc", dms = { "postgres-check-replication-slots-count" }, run = slots },
  { id = "wal-sender-timeout", name = "wal_sender_timeout", mover = "cdc", dms = { "postgres-check-walsenderstimeout" }, run = sender_timeout },
  { id = "slot-wal-size", name = "max_slot_wal_keep_size", mover = "cdc", dms = { "postgres-check-maxslot-wal-keep-size" }, run = slot_wal },
  { id = "decoding-memory", name = "logical_decoding_work_mem", mover = "cdc", dms = { "postgres-check-for-logical-decoding-work-mem" }, run = decoding_memory },
  { id = "pglogical", name = "pglogical", mover = "cdc", dms = { "postgres-check-pglogical" }, run = pglogical },
  objects { id = "full-identity", name = "tables with REPLICA IDENTITY FULL", mover = "cdc", severity = "warning",
    dms = { "REPLICA IDENTITY FULL conflicts with the use of the pglogical plugin" }, sql = full_identity,
    why = "pglogical does not take it, so their updates and deletes are not captured" },
  { id = "replication-right", name = "right to replicate", mover = "cdc", dms = { "the DMS user has the roles that AWS-managed PostgreSQL needs" }, run = may_replicate },
  objects { id = "ddl-trigger", name = "event trigger of DMS", mover = "cdc", dms = { "postgres-check-ddl-event-trigger" }, severity = "warning",
    sql = [[SELECT evtname::text AS name, format('ALTER EVENT TRIGGER %I ENABLE ALWAYS;', evtname) AS remedy FROM pg_event_trigger
      WHERE evtname = 'awsdms_intercept_ddl' AND evtenabled <> 'A']],
    why = "it is not ENABLE ALWAYS, so DDL that another replication applies here is not captured" },
  objects { id = "key-lob", name = "primary keys of large types", mover = "cdc", dms = { "postgres-check-pk-lob" }, severity = "error",
    sql = "SELECT DISTINCT format('%I.%I.%I', n.nspname, c.relname, a.attname) AS name, format('ALTER TABLE %I.%I ALTER COLUMN %I TYPE varchar(255);', " ..
      "n.nspname, c.relname, a.attname) AS remedy " ..
      define.RELATIONS:gsub("WHERE", [[JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
        AND a.atttypid IN ('text'::regtype, 'bytea'::regtype, 'json'::regtype, 'jsonb'::regtype, 'xml'::regtype) WHERE]], 1) .. " ORDER BY 1",
    why = "DMS treats these types as LOBs, and a LOB cannot be its key" },
}
