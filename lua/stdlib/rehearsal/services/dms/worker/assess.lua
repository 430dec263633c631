--- The individual assessments, each put to the source or the target as a question. An answer is a status ("passed", "warning",
--- "failed") and what was found, one line for each finding.
local connect = require "rehearsal.services.dms.worker.connect"
local ddl = require "rehearsal.services.dms.worker.ddl"
local pg = require "pg"
local tables = require "rehearsal.services.dms.worker.tables"

local CHECKS = {}
local POSTGRES = "postgres-check-"

--- "passed", or the status for what was found.
local function unless(findings, status)
  if #findings == 0 then return "passed" end
  return status or "failed", findings
end

local function verdict(ok, fmt, ...) return ok and "passed" or "failed", { fmt:format(...) } end

local function name_of(t) return t.schema .. "." .. t.name end

--- Tables of which something is true, by name.
local function those(list, is, what)
  local found = {}
  for _, t in ipairs(list) do if is(t) then found[#found + 1] = ("%s %s"):format(name_of(t), what) end end
  return found
end

local function number(conn, sql, ...) return tonumber((conn:value(sql, ...))) end
local function setting(conn, name) return number(conn, "SELECT setting FROM pg_settings WHERE name = $1", name) end

-- The source's server -----------------------------------------------------------------

--- The oldest engine of DMS that reads a major version of PostgreSQL.
local SINCE = { [17] = { 3, 6, 1 }, [16] = { 3, 5, 3 }, [15] = { 3, 5, 1 }, [14] = { 3, 4, 7 }, [13] = { 3, 4, 3 } }

CHECKS[POSTGRES .. "dbversion"] = function(a)
  local major = a.source:info().version // 10000
  local since = SINCE[major]
  local engine = {}
  for part in a.job.engine:gmatch "%d+" do engine[#engine + 1] = tonumber(part) end
  local ok = since ~= nil or major >= 9 and major < 13
  for i = 1, 3 do
    if since and engine[i] ~= since[i] then
      ok = engine[i] > since[i]
      break
    end
  end
  return verdict(ok, "The source is PostgreSQL %d, the replication engine %s.", major, a.job.engine)
end

CHECKS[POSTGRES .. "wallevel"] = function(a)
  local level = a.source:value "SHOW wal_level"
  return verdict(level == "logical", "wal_level is %s.", level)
end

CHECKS[POSTGRES .. "maxwalsenders"] = function(a)
  local n = setting(a.source, "max_wal_senders")
  return verdict(n > 1, "max_wal_senders is %d.", n)
end

CHECKS[POSTGRES .. "walsenderstimeout"] = function(a)
  local n = setting(a.source, "wal_sender_timeout")
  return verdict(n == 0 or n >= 10000, "wal_sender_timeout is %d milliseconds.", n)
end

CHECKS[POSTGRES .. "maxslot-wal-keep-size"] = function(a)
  local n = setting(a.source, "max_slot_wal_keep_size")
  return n == -1 and "passed" or "warning", { ("max_slot_wal_keep_size is %d MB."):format(n) }
end

CHECKS[POSTGRES .. "replication-slots-count"] = function(a)
  local most, used = setting(a.source, "max_replication_slots"), number(a.source, "SELECT count(*) FROM pg_replication_slots")
  return verdict(used < most, "%d of %d replication slots are in use.", used, most)
end

CHECKS[POSTGRES .. "for-logical-decoding-work-mem"] = function(a)
  local n = setting(a.source, "logical_decoding_work_mem")
  return n > 65536 and "passed" or "warning", { ("logical_decoding_work_mem is %d kB."):format(n) }
end

CHECKS[POSTGRES .. "longrunningtxn"] = function(a)
  local found = {}
  for row in a.source:rows [[SELECT pid, xact_start::text AS since FROM pg_stat_activity
      WHERE xact_start < now() - interval '10 minutes' AND pid <> pg_backend_pid()]] do
    found[#found + 1] = ("The session %d has a transaction open since %s."):format(row.pid, row.since)
  end
  return unless(found)
end

CHECKS[POSTGRES .. "preparedtxn"] = function(a)
  local found = {}
  for row in a.source:rows "SELECT gid FROM pg_prepared_xacts" do found[#found + 1] = ("The transaction '%s' is prepared."):format(row.gid) end
  return unless(found)
end

CHECKS[POSTGRES .. "pglogical"] = function(a)
  local libraries = a.source:value "SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries'"   -- not everybody sees it
  if (libraries or ""):find "pglogical" then return "passed" end
  return a.job.source.settings.PluginName == "pglogical" and "failed" or "warning", { "shared_preload_libraries has no pglogical." }
end

CHECKS[POSTGRES .. "ddl-event-trigger"] = function(a)
  local enabled = ddl.is_on(a.job) and a.source:value "SELECT evtenabled::text FROM pg_event_trigger WHERE evtname = 'awsdms_intercept_ddl'"
  if not enabled or enabled == "A" then return "passed" end
  return "warning", { "The event trigger awsdms_intercept_ddl is not set to ENABLE ALWAYS." }
end

-- The source's tables --------------------------------------------------------------------

CHECKS[POSTGRES .. "similar-table-name"] = function(a)
  local seen, found = {}, {}
  for _, t in ipairs(a.tables) do
    local id = name_of(t):lower()
    if seen[id] then found[#found + 1] = ("%s and %s differ in case only."):format(seen[id], name_of(t)) end
    seen[id] = name_of(t)
  end
  return unless(found)
end

CHECKS[POSTGRES .. "pk"] = function(a)
  return unless(those(a.tables, function(t)
    return not t.has_key and a.source:value("SELECT relreplident::text FROM pg_class WHERE oid = $1::bigint::oid", t.oid) ~= "f"
  end, "has no primary key."))
end

CHECKS[POSTGRES .. "pk-lob"] = function(a)
  return unless(those(a.tables, function(t)
    for _, column in ipairs(t.columns) do if column.is_key and tables.is_lob(column) then return true end end
  end, "has a LOB in its primary key."))
end

CHECKS[POSTGRES .. "table-with-array"] = function(a) return unless(those(a.tables, tables.is_ignored, "has an array and no primary key.")) end

CHECKS[POSTGRES .. "select-object-privileges"] = function(a)
  return unless(those(a.tables, function(t)
    return not a.source:value("SELECT has_schema_privilege($1, 'USAGE') AND has_table_privilege($2::bigint::oid, 'SELECT')", t.schema, t.oid)
  end, "may not be read."))
end

CHECKS[POSTGRES .. "limited-lob-size"] = function(a)
  local metadata, found = a.job.settings.TargetMetadata, {}
  if metadata.FullLobMode or not metadata.LimitedSizeLobMode then return "passed" end
  for _, t in ipairs(a.tables) do
    for _, column in ipairs(t.columns) do
      local longest = tables.is_lob(column) and number(a.source, ("SELECT max(octet_length(%s::text)) FROM %s.%s"):format(
        pg.quote_name(column.name), pg.quote_name(t.schema), pg.quote_name(t.name)))
      if longest and longest > metadata.LobMaxSize * 1024 then
        found[#found + 1] = ("%s.%s has values of up to %d bytes; LobMaxSize is %d KB."):format(name_of(t), column.name, longest,
          metadata.LobMaxSize)
      end
    end
  end
  return unless(found, "warning")
end

-- The target -----------------------------------------------------------------------------

local function at_target(a, t) return a.target:value("SELECT to_regclass($1)::oid::bigint", pg.quote_name(t.to_schema) .. "."
  .. pg.quote_name(t.to_name)) end

--- How many indexes of a kind a table of the target has.
local function indexes(a, t, condition)
  local oid = at_target(a, t)
  return oid and number(a.target, "SELECT count(*) FROM pg_index WHERE indrelid = $1::bigint::oid AND " .. condition, oid) or nil
end

CHECKS[POSTGRES .. "target-privileges"] = function(a)
  local found = {}
  if not a.target:value "SELECT has_database_privilege(current_database(), 'CREATE')" then
    found[1] = "The user may not create schemas in the target database."
  end
  for _, t in ipairs(a.tables) do
    local oid = at_target(a, t)
    for _, privilege in ipairs { "SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE" } do
      if oid and not a.target:value("SELECT has_table_privilege($1::bigint::oid, $2)", oid, privilege) then
        found[#found + 1] = ("The user has no %s on %s.%s."):format(privilege, t.to_schema, t.to_name)
      end
    end
  end
  return unless(found)
end

CHECKS[POSTGRES .. "session-replication-role"] = function(a)
  local role = a.target:value "SHOW session_replication_role"
  return verdict(role == "replica", "session_replication_role is %s at the target.", role)
end

CHECKS[POSTGRES .. "target-secondary-indexes"] = function(a)
  local function has_some(t) return (indexes(a, t, "NOT indisprimary") or 0) > 0 end
  return unless(those(a.tables, has_some, "has secondary indexes at the target."), "warning")
end

local function batch(a) return a.job.settings.TargetMetadata.BatchApplyEnabled end

CHECKS[POSTGRES .. "batch-apply-target-pk-ui-absence"] = function(a)
  if not batch(a) then return "passed" end
  return unless(those(a.tables, function(t) return indexes(a, t, "indisunique") == 0 end, "has no primary key and no unique index at the target."))
end

CHECKS[POSTGRES .. "batch-apply-target-pk-ui-simultaneously"] = function(a)
  if not batch(a) then return "passed" end
  return unless(those(a.tables, function(t)
    return (indexes(a, t, "indisprimary") or 0) > 0 and (indexes(a, t, "indisunique AND NOT indisprimary") or 0) > 0
  end, "has a primary key and a unique index at the target."))
end

CHECKS["postgres-batch-apply-lob-mode"] = function(a)
  if not batch(a) or a.job.settings.TargetMetadata.LimitedSizeLobMode then return "passed" end
  return unless(those(a.tables, function(t)
    for _, column in ipairs(t.columns) do if tables.is_lob(column) then return true end end
  end, "has LOBs, which batch apply takes in limited LOB mode only."))
end

-- What a task of the rehearsal cannot have: other engines, masking rules, data validation ---------

local function cannot_be() return "passed" end
for _, name in ipairs { POSTGRES .. "postgis-data-type", POSTGRES .. "pk-validity", "postgres-datamasking-digits-randomize",
  "postgres-datamasking-digits-mask", "postgres-datamasking-hash-mask", "all-to-all-validation-with-datamasking-digits-randomize",
  "all-to-all-validation-with-datamasking-hash-mask", "all-to-all-validation-with-digit-mask" } do CHECKS[name] = cannot_be end

--- All assessments that a job names.
---@return table<string, { status: string, details: string[]? }>
return function(job)
  local source <close> = connect.open(job, "source")
  local target <close> = connect.open(job, "target")
  local a = { job = job, source = source, target = target, tables = tables.list(source, job.rules) }
  local results = {}
  for _, name in ipairs(job.names) do
    local ok, status, details = pcall(CHECKS[name], a)
    if not ok then
      if require("errors").is(status, "cancelled") then error(status, 0) end
      status, details = "error", { tostring(status) }
    end
    results[name] = { status = status, details = details }
  end
  return results
end
