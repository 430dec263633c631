--- Task settings: what DMS takes where a task says nothing, and what a task says.
--- docs.aws.amazon.com/dms/latest/userguide/CHAP_Tasks.CustomizingTasks.TaskSettings.html
local json = require "json"

local M = {}

local DEFAULTS = [[{
  "TargetMetadata": { "TargetSchema": "", "SupportLobs": true, "FullLobMode": false, "LobChunkSize": 0, "LimitedSizeLobMode": true,
    "LobMaxSize": 32, "InlineLobMaxSize": 0, "LoadMaxFileSize": 0, "ParallelLoadThreads": 0, "ParallelLoadBufferSize": 0,
    "BatchApplyEnabled": false, "TaskRecoveryTableEnabled": false, "ParallelLoadQueuesPerThread": 0, "ParallelApplyThreads": 0,
    "ParallelApplyBufferSize": 0, "ParallelApplyQueuesPerThread": 0 },
  "FullLoadSettings": { "TargetTablePrepMode": "DO_NOTHING", "CreatePkAfterFullLoad": false, "StopTaskCachedChangesApplied": false,
    "StopTaskCachedChangesNotApplied": false, "MaxFullLoadSubTasks": 8, "TransactionConsistencyTimeout": 600, "CommitRate": 10000 },
  "Logging": { "EnableLogging": false, "EnableLogContext": false, "LogComponents": [] },
  "ControlTablesSettings": { "ControlSchema": "", "HistoryTimeslotInMinutes": 5, "HistoryTableEnabled": false,
    "SuspendedTablesTableEnabled": false, "StatusTableEnabled": false, "FullLoadExceptionTableEnabled": false },
  "StreamBufferSettings": { "StreamBufferCount": 3, "StreamBufferSizeInMB": 8, "CtrlStreamBufferSizeInMB": 5 },
  "ChangeProcessingDdlHandlingPolicy": { "HandleSourceTableDropped": true, "HandleSourceTableTruncated": true,
    "HandleSourceTableAltered": true },
  "ErrorBehavior": { "DataErrorPolicy": "LOG_ERROR", "DataTruncationErrorPolicy": "LOG_ERROR", "DataErrorEscalationPolicy": "SUSPEND_TABLE",
    "DataErrorEscalationCount": 0, "TableErrorPolicy": "SUSPEND_TABLE", "TableErrorEscalationPolicy": "STOP_TASK",
    "TableErrorEscalationCount": 0, "RecoverableErrorCount": -1, "RecoverableErrorInterval": 5, "RecoverableErrorThrottling": true,
    "RecoverableErrorThrottlingMax": 1800, "RecoverableErrorStopRetryAfterThrottlingMax": true, "ApplyErrorDeletePolicy": "IGNORE_RECORD",
    "ApplyErrorInsertPolicy": "LOG_ERROR", "ApplyErrorUpdatePolicy": "LOG_ERROR", "ApplyErrorEscalationPolicy": "LOG_ERROR",
    "ApplyErrorEscalationCount": 0, "ApplyErrorFailOnTruncationDdl": false, "FullLoadIgnoreConflicts": true,
    "FailOnTransactionConsistencyBreached": false, "FailOnNoTablesCaptured": true, "EventErrorPolicy": "IGNORE" },
  "ChangeProcessingTuning": { "BatchApplyPreserveTransaction": true, "BatchApplyTimeoutMin": 1, "BatchApplyTimeoutMax": 30,
    "BatchApplyMemoryLimit": 500, "BatchSplitSize": 0, "MinTransactionSize": 1000, "CommitTimeout": 1, "MemoryLimitTotal": 1024,
    "MemoryKeepTime": 60, "StatementCacheSize": 50, "RecoveryTimeout": -1 },
  "ValidationSettings": { "EnableValidation": false, "ThreadCount": 5, "FailureMaxCount": 10000, "TableFailureMaxCount": 1000 },
  "CharacterSetSettings": null, "BeforeImageSettings": null, "LoopbackPreventionSettings": null, "PostProcessingRules": null,
  "FailTaskWhenCleanTaskResourceFailed": false, "TTSettings": null }]]

local PREP = { DO_NOTHING = true, DROP_AND_CREATE = true, TRUNCATE_BEFORE_LOAD = true }

local function integer(settings, group, name, least, most, fail)
  local v = settings[group][name]
  if math.type(v) ~= "integer" or v < least or v > most then
    fail("Task Settings: %s.%s must be a number from %d to %d", group, name, least, most)
  end
end

local function flag(settings, group, name, fail)
  if type(settings[group][name]) ~= "boolean" then fail("Task Settings: %s.%s must be true or false", group, name) end
end

--- The settings that are in force: what is given over what was, or over DMS's own.
---@param text string? JSON
---@param before table? the settings until now
---@param fail fun(fmt: string, ...)
---@return table
function M.merge(text, before, fail)
  local settings = before or json.decode(DEFAULTS)
  local given = text and text ~= "" and json.decode(text) or not text and {} or nil
  if type(given) ~= "table" then fail("Replication Task Settings document error: Invalid json") end
  local known = json.decode(DEFAULTS)
  for group, members in pairs(given) do
    if known[group] == nil then fail("Replication Task Settings document error: Unknown setting %s", group) end
    if type(members) == "table" and members ~= json.null and type(settings[group]) == "table" and settings[group] ~= json.null then
      for name, value in pairs(members) do settings[group][name] = value end
    else
      settings[group] = members
    end
  end
  if given.Logging and (given.Logging.CloudWatchLogGroup or given.Logging.CloudWatchLogStream) and not before then
    fail("Task Settings CloudWatchLogGroup or CloudWatchLogStream cannot be set on create.")
  end
  if not PREP[settings.FullLoadSettings.TargetTablePrepMode] then
    fail("Task Settings: TargetTablePrepMode cannot be %s", tostring(settings.FullLoadSettings.TargetTablePrepMode))
  end
  integer(settings, "FullLoadSettings", "MaxFullLoadSubTasks", 1, 49, fail)
  integer(settings, "FullLoadSettings", "CommitRate", 1, 50000, fail)
  integer(settings, "TargetMetadata", "LobMaxSize", 1, 102400, fail)
  for _, name in ipairs { "StopTaskCachedChangesApplied", "StopTaskCachedChangesNotApplied" } do flag(settings, "FullLoadSettings", name, fail) end
  for _, name in ipairs { "FullLobMode", "LimitedSizeLobMode", "SupportLobs", "BatchApplyEnabled" } do
    flag(settings, "TargetMetadata", name, fail)
  end
  if settings.TargetMetadata.FullLobMode and given.TargetMetadata and given.TargetMetadata.LimitedSizeLobMode == nil then
    settings.TargetMetadata.LimitedSizeLobMode = false
  end
  if settings.ValidationSettings.EnableValidation then fail("the rehearsal cloud's DMS has no data validation (ValidationSettings)") end
  return settings
end

return M
