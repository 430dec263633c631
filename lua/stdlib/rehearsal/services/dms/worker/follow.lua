--- Change data capture: a slot of the source is read without taking from it, what was read is applied, and only then does the
--- slot move on. Killed at any place, the next worker goes on where the target's last transaction ended.
local apply = require "rehearsal.services.dms.worker.apply"
local connect = require "rehearsal.services.dms.worker.connect"
local ddl = require "rehearsal.services.dms.worker.ddl"
local decode = require "rehearsal.services.dms.worker.decode"
local errors = require "errors"
local pg = require "pg"
local states = require "rehearsal.services.dms.worker.state"
local task = require "task"

local M = {}

local BATCH = 2000                      -- rows of the slot that are read at once, at least
local PAUSE = 0.1                       -- seconds between two looks at a slot without changes

local function fatal(fmt, ...) errors.raise { kind = "invalid", message = fmt:format(...) } end

function M.slot(job)
  local own = job.source.settings.SlotName
  return own and own ~= "" and own or job.slot
end

--- Checks that the source lets its changes be read, and makes the slot where it is not there.
---@param source PgConnection
---@param resumes boolean the slot must be there, else changes are lost
function M.prepare(job, source, resumes)
  local plugin = job.source.settings.PluginName
  if plugin == "pglogical" and not source:value "SELECT true FROM pg_available_extensions WHERE name = 'pglogical'" then
    fatal "The plug-in pglogical is not available on the source."
  end
  if source:value "SHOW wal_level" ~= "logical" then
    fatal("Logical replication is not enabled on the source database: wal_level is '%s', it must be 'logical'.", source:value "SHOW wal_level")
  end
  local slot = M.slot(job)
  local there = source:value("SELECT true FROM pg_replication_slots WHERE slot_name = $1", slot)
  if there and not resumes and slot == job.slot then
    source:query("SELECT pg_drop_replication_slot($1)", slot)
    there = false
  end
  if not there and resumes then fatal("The replication slot '%s' is not there any more: the changes since the task stopped are lost.", slot) end
  if not there then
    local ok, e = pcall(source.query, source, "SELECT pg_create_logical_replication_slot($1, 'test_decoding')", slot)
    if not ok then
      if not errors.is(e, "remote") and not errors.is(e, "auth") then error(e, 0) end
      fatal("Could not create the replication slot '%s': %s.", slot, e.message)
    end
  end
  if ddl.is_on(job) then
    local ok, e = pcall(ddl.install, job, source)
    if not ok then
      if errors.is(e, "cancelled") then error(e, 0) end
      fatal("Could not create the artifacts that capture DDL (CaptureDdls) in the source database: %s.", e.message or tostring(e))
    end
  end
end

--- "commit_time:2026-01-02T03:04:05" as its kind and seconds since 1970.
local function stop_position(text)
  if not text then return nil end
  local kind, at = text:match "^(%w+_time):%s*(%S+)"
  return kind, pg.epoch((at:gsub("T", " "):gsub("Z$", "")))
end

local READ = [[SELECT lsn::text, xid::text, data FROM pg_logical_slot_peek_changes($1, NULL, $2, 'include-timestamp', 'on')]]

--- Says how many changes the tables have had.
local function tell_counts(follow, counts, tell)
  for id in pairs(counts) do
    local entry = follow.state.data.tables[id]
    local event = { event = "table" }
    for name, value in pairs(entry) do event[name] = value end
    event.snapshot, event.started = nil, nil
    tell(event)
  end
end

--- Cuts a list of transactions where the task is to stop; says whether it is there.
local function before_stop(list, kind, at, goal)
  for i, transaction in ipairs(list) do
    if kind and pg.epoch(transaction.at) > at or goal and states.lsn(transaction.lsn) > states.lsn(goal) then
      return table.move(list, 1, i - 1, 1, {}), true
    end
  end
  return list, false
end

--- The heartbeat keeps the slot moving where the task's tables do not change.
local function beat(job, source)
  local settings = job.source.settings
  if not settings.HeartbeatEnable then return end
  local name = pg.quote_name(settings.HeartbeatSchema or "public") .. ".awsdms_heartbeat"
  source:exec(("CREATE TABLE IF NOT EXISTS %s (hb_key integer PRIMARY KEY, hb_at timestamptz); INSERT INTO %s VALUES (1, now()) "
    .. "ON CONFLICT (hb_key) DO UPDATE SET hb_at = now()"):format(name, name))
end

local function skip_applied(list, applied)
  local rest = {}
  for _, transaction in ipairs(list) do
    if states.lsn(transaction.lsn) > states.lsn(applied) then rest[#rest + 1] = transaction end
  end
  return rest
end

--- Moves the slot to what is applied; never back.
local function advance(source, slot, applied)
  source:query([[SELECT pg_replication_slot_advance(slot_name, $2::pg_lsn) FROM pg_replication_slots
    WHERE slot_name = $1 AND confirmed_flush_lsn < $2::pg_lsn]], slot, applied)
end

---@param follow table { job =, state =, source =, target =, known =, mapped = }
---@param tell fun(event: table)
---@param goal? string LSN at which it ends
---@return string reason why it stopped
local function loop(follow, tell, goal)
  local job, source, slot = follow.job, follow.source, M.slot(follow.job)
  local kind, at = stop_position(job.stop_at)
  local every, beaten = (job.source.settings.HeartbeatFrequency or 5) * 60, -math.huge
  while true do
    if task.now() - beaten > every then
      beat(job, source)
      beaten = task.now()
    end
    local now = kind == "server_time" and pg.epoch(source:value "SELECT clock_timestamp()::timestamptz(6)::text")
    local list, is_over = before_stop(skip_applied(decode.transactions(source:query(READ, slot, BATCH)), follow.state.data.applied), kind, at, goal)
    if #list > 0 then
      local counts = apply.run(follow, list)
      advance(source, slot, follow.state.data.applied)
      tell_counts(follow, counts, tell)
      tell { event = "checkpoint", position = ("checkpoint:V1#1#%s#0#0#*#0#0"):format(follow.state.data.applied) }
    elseif goal then return "STOPPED_AFTER_CACHED_EVENTS"
    elseif now and now > at then return "STOPPED_AT_SERVER_TIME"
    elseif not is_over then task.sleep(PAUSE) end
    if is_over then
      return goal and "STOPPED_AFTER_CACHED_EVENTS" or kind == "server_time" and "STOPPED_AT_SERVER_TIME" or "STOPPED_AT_COMMIT_TIME"
    end
  end
end

--- Follows the source until the task ends; connections that break are made again.
---@param list DmsTable[]
---@param goal? string
---@return string reason
function M.run(job, state, list, tell, mapped, goal)
  local known, failures = {}, 0
  for _, t in ipairs(list) do known[t.schema .. "." .. t.name] = t end
  while true do
    local ok, reason = pcall(function()
      local source <close> = connect.open(job, "source")
      local target <close> = connect.open(job, "target")
      apply.prepare(job, target)
      state:resolve(target)
      advance(source, M.slot(job), state.data.applied)
      return loop({ job = job, state = state, source = source, target = target, known = known, mapped = mapped }, tell, goal)
    end)
    if ok then return reason end
    failures = failures + 1
    local broken = errors.is(reason, "network") or errors.is(reason, "closed") or errors.is(reason, "timeout")
    if not broken or failures > 20 then
      if broken then reason.recoverable = true end
      error(reason, 0)
    end
    task.sleep(0.5)
  end
end

return M
