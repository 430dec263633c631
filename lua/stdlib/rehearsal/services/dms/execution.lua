--- What happens while a replication task runs: its worker is started, its events become statuses and statistics.
local common = require "rehearsal.services.dms.common"
local fs = require "fs"
local json = require "json"
local managed = require "rehearsal.managed"
local roles = require "rehearsal.services.dms.roles"
local runner = require "rehearsal.services.dms.runner"

local M = {}

-- As it is shown ---------------------------------------------------------------

local LOADED = { ["Table completed"] = "TablesLoaded", ["Full load"] = "TablesLoading", ["Before load"] = "TablesQueued",
                 ["Table error"] = "TablesErrored", ["Table is being reloaded"] = "TablesLoading" }

--- A task with its statistics.
---@param without_settings? boolean
function M.shown(t, without_settings)
  local copy = {}
  for name, value in pairs(t) do copy[name] = value end
  if without_settings then copy.ReplicationTaskSettings, copy.TableMappings = nil, nil end
  if not t.ReplicationTaskStartDate then return copy end
  local stats = { TablesLoaded = 0, TablesLoading = 0, TablesQueued = 0, TablesErrored = 0, FullLoadProgressPercent = t.stats.percent or 0,
    ElapsedTimeMillis = math.floor(((t.stats.StopDate or t.now()) - t.ReplicationTaskStartDate) * 1000) }
  for _, name in ipairs { "FreshStartDate", "StartDate", "StopDate", "FullLoadStartDate", "FullLoadFinishDate" } do stats[name] = t.stats[name] end
  for _, row in pairs(t.tables) do
    local field = LOADED[row.TableState]
    if field then stats[field] = stats[field] + 1 end
  end
  copy.ReplicationTaskStats = stats
  return copy
end

-- What a worker tells ------------------------------------------------------------

local COUNTERS = { "Inserts", "Updates", "Deletes", "Ddls", "AppliedInserts", "AppliedUpdates", "AppliedDeletes", "AppliedDdls", "FullLoadRows",
                   "FullLoadErrorRows" }

local function note_table(cloud, t, e)
  local id = e.schema .. "." .. e.table
  local row = t.tables[id] or { SchemaName = e.schema, TableName = e.table, FullLoadCondtnlChkFailedRows = 0, ValidationPendingRecords = 0,
    ValidationFailedRecords = 0, ValidationSuspendedRecords = 0, ValidationState = "Not enabled", FullLoadReloaded = false }
  t.tables[id] = row
  for _, name in ipairs(COUNTERS) do row[name] = e[name] or row[name] or 0 end
  row.LastUpdateTime = cloud.clock:now()
  if e.state and e.state ~= row.TableState then
    row.TableState = e.state
    if e.state == "Full load" then row.FullLoadStartTime, row.FullLoadEndTime = row.LastUpdateTime, nil
    elseif e.state == "Table completed" or e.state == "Table error" then row.FullLoadEndTime = row.LastUpdateTime end
  end
end

local function event(cloud, ctx, t, category, fmt, ...)
  managed.event(cloud, ctx, "dms", { SourceIdentifier = t.ReplicationTaskIdentifier, SourceType = "replication-task",
    EventCategories = { category }, Message = fmt:format(...) })
end

local function over(cloud, ctx, t, status, reason)
  t.Status, t.StopReason, t.stats.StopDate = status, "Stop Reason " .. reason, cloud.clock:now()
  event(cloud, ctx, t, status == "failed" and "failure" or "state change", "Replication task has %s. Stop Reason %s", status, reason)
end

--- What goes into the task's log, where it has one: dms-cloudwatch-logs-role writes it.
local function note(cloud, ctx, t, line)
  if not t.settings.Logging.EnableLogging or not roles.named(cloud, "dms-cloudwatch-logs-role") then return end
  local instance = common.get(cloud, ctx, "instances", t.ReplicationInstanceArn)
  cloud:service("logs")._put(cloud, ctx.region, "dms-tasks-" .. instance.ReplicationInstanceIdentifier, "dms-task-" .. t.arn:match "[^:]+$", { line })
end

local HEARD = {}

function HEARD.log(cloud, ctx, t, e) note(cloud, ctx, t, e.message) end

function HEARD.running(cloud, ctx, t)
  if t.Status ~= "starting" then return end
  t.Status = "running"
  event(cloud, ctx, t, "state change", "Replication task has started.")
end
function HEARD.table(cloud, _, t, e) note_table(cloud, t, e) end
function HEARD.loading(cloud, _, t) t.stats.FullLoadStartDate, t.stats.FullLoadFinishDate = cloud.clock:now(), nil end
function HEARD.progress(_, _, t, e) t.stats.percent = e.percent end
function HEARD.loaded(cloud, _, t) t.stats.percent, t.stats.FullLoadFinishDate = 100, cloud.clock:now() end
function HEARD.checkpoint(_, _, t, e) t.RecoveryCheckpoint = e.position end
function HEARD.stopped(_, _, t, e) t.ending = { "stopped", e.reason } end
function HEARD.failed(cloud, ctx, t, e)
  note(cloud, ctx, t, e.message)
  t.ending = { "failed", e.reason or "FATAL_ERROR" }
  t.LastFailureMessage = ("Last Error %s Stop Reason %s Error Level %s"):format(e.message, t.ending[2],
    t.ending[2] == "FATAL_ERROR" and "FATAL" or "RECOVERABLE")
end

--- The worker is gone: by its own will, because it was stopped, or because it was killed.
local function ended(cloud, ctx, t, code)
  t.process = nil
  if t.Status == "deleting" or common.all(cloud, ctx, "tasks")[t.arn] ~= t then return end
  if t.reload then
    local tables = t.reload
    t.reload = nil
    return M.launch(cloud, ctx, t, "resume-processing", tables)
  end
  local ending = t.ending
  if t.Status == "stopping" and not (ending and ending[1] == "failed") then
    return over(cloud, ctx, t, "stopped", ending and ending[2] or "NORMAL")
  end
  if not ending then
    HEARD.failed(cloud, ctx, t, { reason = "RECOVERABLE_ERROR", message = ("Replication process exited unexpectedly with code %d."):format(code) })
    ending = t.ending
  end
  over(cloud, ctx, t, ending[1], ending[2])
end

-- Starting and stopping ------------------------------------------------------------

local function failed(cloud, ctx, t, message)
  HEARD.failed(cloud, ctx, t, { message = message })
  over(cloud, ctx, t, "failed", "FATAL_ERROR")
end

local function sides_of(cloud, ctx, instance, t)
  local source, no_source = runner.side(cloud, ctx, instance, common.get(cloud, ctx, "endpoints", t.SourceEndpointArn))
  if not source then return nil, no_source end
  local target, no_target = runner.side(cloud, ctx, instance, common.get(cloud, ctx, "endpoints", t.TargetEndpointArn))
  if not target then return nil, no_target end
  return { source = source, target = target }
end
M.sides_of = sides_of

--- Starts the worker of a task.
---@param kind string the start type
---@param reload? table[] tables to load anew, { schema =, table = }
function M.launch(cloud, ctx, t, kind, reload)
  local instance = common.get(cloud, ctx, "instances", t.ReplicationInstanceArn)
  local sides, why = sides_of(cloud, ctx, instance, t)
  if not sides then return failed(cloud, ctx, t, why) end
  if not cloud.servers then
    t.Status = "running"
    if t.MigrationType == "full-load" then over(cloud, ctx, t, "stopped", "FULL_LOAD_ONLY_FINISHED") end
    return
  end
  local job = { mode = "run", task = t.ReplicationTaskIdentifier, type = t.MigrationType, start = kind, settings = t.settings,
    rules = json.decode(t.TableMappings).rules, state = t.state, slot = t.slot, stop_at = t.CdcStopPosition, start_at = t.CdcStartPosition,
    reload = reload }
  t.ending = nil
  t.process = runner.launch(cloud, instance, job, sides, function(e)
    local hear = HEARD[e.event]
    if hear then hear(cloud, ctx, t, e) end
  end, function(code) ended(cloud, ctx, t, code) end)
end

---@param kind string the start type
function M.start(cloud, ctx, t, kind)
  local now = cloud.clock:now()
  t.Status, t.StopReason, t.LastFailureMessage, t.now = "starting", nil, nil, function() return cloud.clock:now() end
  t.ReplicationTaskStartDate = now
  t.stats.StartDate, t.stats.StopDate = now, nil
  if kind ~= "resume-processing" then t.tables, t.stats.FreshStartDate, t.stats.percent = {}, now, 0 end
  cloud:after(20, function() if t.Status == "starting" then M.launch(cloud, ctx, t, kind) end end)
end

function M.stop(cloud, ctx, t)
  t.Status = "stopping"
  if t.process then t.process:kill "TERM"
  else cloud:after(5, function() over(cloud, ctx, t, "stopped", "NORMAL") end) end
end

--- Loads tables of a running task anew.
function M.reload(t, tables)
  t.reload = tables
  for _, at in ipairs(tables) do
    local row = t.tables[at.schema .. "." .. at.table]
    if row then row.TableState, row.FullLoadReloaded = "Table is being reloaded", true end
  end
  t.process:kill "TERM"
end

--- What a task left is removed: its slot at the source, its state. As at AWS, tables that DMS made stay.
function M.forget(cloud, ctx, t)
  if t.ReplicationTaskStartDate and t.MigrationType ~= "full-load" and cloud.servers then
    local instance = common.all(cloud, ctx, "instances")[t.ReplicationInstanceArn]
    local side = instance and instance.place and runner.side(cloud, ctx, instance, common.get(cloud, ctx, "endpoints", t.SourceEndpointArn))
    if side then runner.ask(instance, { mode = "clean", slot = t.slot, state = t.state }, { source = side }) end
  end
  if fs.exists(t.state) then fs.remove(t.state) end
end

return M
