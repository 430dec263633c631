--- Replication tasks: made, changed, deleted. What happens while one runs is in execution.lua.
local common = require "rehearsal.services.dms.common"
local connections = require "rehearsal.services.dms.connections"
local execution = require "rehearsal.services.dms.execution"
local fs = require "fs"
local instances = require "rehearsal.services.dms.instances"
local json = require "json"
local managed = require "rehearsal.managed"
local mappings = require "rehearsal.services.dms.mappings"
local settings = require "rehearsal.services.dms.settings"
local sign = require "sign"

local S = {}

local function tasks(cloud, ctx) return common.all(cloud, ctx, "tasks") end

local function endpoint_of(cloud, ctx, arn, kind)
  local endpoint = common.get(cloud, ctx, "endpoints", arn)
  if endpoint.EndpointType ~= kind then common.combination("The endpoint %s is not a %s endpoint.", arn, kind) end
  return endpoint
end

local function check_stop_position(position)
  if position and not position:find "^server_time:%d%d%d%d%-" and not position:find "^commit_time:%s*%d%d%d%d%-" then
    common.invalid("Invalid CdcStopPosition %s: it is server_time:... or commit_time:...", position)
  end
end

local function check_start(p, type)
  if (p.CdcStartTime or p.CdcStartPosition) and type ~= "cdc" then
    common.combination("CdcStartTime and CdcStartPosition are for tasks of the type cdc.")
  end
  if p.CdcStartTime then common.combination("A PostgreSQL source has no start from a time: give CdcStartPosition.") end
end

function S.CreateReplicationTask(cloud, p, ctx)
  local name = common.new_name(cloud, ctx, "tasks", "ReplicationTaskIdentifier", p.ReplicationTaskIdentifier)
  endpoint_of(cloud, ctx, p.SourceEndpointArn, "source")
  endpoint_of(cloud, ctx, p.TargetEndpointArn, "target")
  local instance = instances._available(cloud, ctx, p.ReplicationInstanceArn)
  check_start(p, p.MigrationType)
  check_stop_position(p.CdcStopPosition)
  mappings.read(p.TableMappings, common.invalid)
  local merged = settings.merge(p.ReplicationTaskSettings, nil, common.invalid)
  local arn = common.arn(cloud, ctx, "tasks", p.ResourceIdentifier)
  local t = {
    ReplicationTaskIdentifier = name, SourceEndpointArn = p.SourceEndpointArn, TargetEndpointArn = p.TargetEndpointArn,
    ReplicationInstanceArn = instance.arn, MigrationType = p.MigrationType, TableMappings = p.TableMappings, Status = "creating",
    ReplicationTaskSettings = json.encode(merged, { pretty = true }), ReplicationTaskCreationDate = cloud.clock:now(),
    CdcStartPosition = p.CdcStartPosition, CdcStopPosition = p.CdcStopPosition, ReplicationTaskArn = arn, TaskData = p.TaskData,
    tags = managed.tags(p.Tags), arn = arn, settings = merged, tables = {}, stats = {},
    slot = ("%s_%s"):format(name:gsub("%-", "_"):sub(1, 40), sign.hex(sign.random(8))),
    state = fs.join(instance.dir, arn:match "[^:]+$" .. ".json"),
  }
  tasks(cloud, ctx)[arn] = t
  cloud:after(15, function() if t.Status == "creating" then t.Status = "ready" end end)
  return { ReplicationTask = execution.shown(t) }
end

local FILTERS = { ["replication-task-arn"] = "arn", ["replication-task-id"] = "ReplicationTaskIdentifier", ["migration-type"] = "MigrationType",
  ["endpoint-arn"] = function(t) return { t.SourceEndpointArn, t.TargetEndpointArn } end, ["replication-instance-arn"] = "ReplicationInstanceArn" }

function S.DescribeReplicationTasks(cloud, p, ctx)
  local page, marker = common.page(cloud, p, common.sorted(tasks(cloud, ctx)), FILTERS, "Tasks")
  local list = {}
  for i, t in ipairs(page) do list[i] = execution.shown(t, p.WithoutSettings) end
  return { ReplicationTasks = list, Marker = marker }
end

local AT_REST = { ready = true, stopped = true, failed = true }

--- A task that does nothing now.
function S._resting(cloud, ctx, arn, what)
  local t = common.get(cloud, ctx, "tasks", arn)
  if not AT_REST[t.Status] then common.state("Replication Task cannot be %s, invalid state: %s", what, t.Status) end
  return t
end

function S.ModifyReplicationTask(cloud, p, ctx)
  local t = S._resting(cloud, ctx, p.ReplicationTaskArn, "modified")
  check_start(p, p.MigrationType or t.MigrationType)
  check_stop_position(p.CdcStopPosition)
  if p.TableMappings then mappings.read(p.TableMappings, common.invalid) end
  local merged = p.ReplicationTaskSettings and settings.merge(p.ReplicationTaskSettings, json.decode(t.ReplicationTaskSettings), common.invalid)
  if p.ReplicationTaskIdentifier and p.ReplicationTaskIdentifier:lower() ~= t.ReplicationTaskIdentifier then
    t.ReplicationTaskIdentifier = common.new_name(cloud, ctx, "tasks", "ReplicationTaskIdentifier", p.ReplicationTaskIdentifier)
  end
  for _, field in ipairs { "MigrationType", "TableMappings", "CdcStartPosition", "CdcStopPosition", "TaskData" } do
    t[field] = p[field] or t[field]
  end
  if merged then t.settings, t.ReplicationTaskSettings = merged, json.encode(merged, { pretty = true }) end
  local before = t.Status
  t.Status = "modifying"
  cloud:after(10, function() if t.Status == "modifying" then t.Status = before end end)
  return { ReplicationTask = execution.shown(t) }
end

function S.DeleteReplicationTask(cloud, p, ctx)
  local t = S._resting(cloud, ctx, p.ReplicationTaskArn, "deleted")
  t.Status = "deleting"
  cloud:after(15, function()
    execution.forget(cloud, ctx, t)
    tasks(cloud, ctx)[t.arn] = nil
  end)
  return { ReplicationTask = execution.shown(t) }
end

-- Start and stop -------------------------------------------------------------

function S.StartReplicationTask(cloud, p, ctx)
  local kind = p.StartReplicationTaskType
  local t = common.get(cloud, ctx, "tasks", p.ReplicationTaskArn)
  if not AT_REST[t.Status] then common.state("Replication Task cannot be started, invalid state: %s", t.Status) end
  instances._available(cloud, ctx, t.ReplicationInstanceArn)
  for _, arn in ipairs { t.SourceEndpointArn, t.TargetEndpointArn } do
    if not connections._is_tested(cloud, ctx, t.ReplicationInstanceArn, arn) then
      common.state("Test connection for replication instance and endpoint should be successful for starting the replication task")
    end
  end
  local has_run = t.ReplicationTaskStartDate ~= nil
  if kind == "start-replication" and has_run then
    common.combination("Start Type : START_REPLICATION, valid only for tasks running for the first time")
  elseif kind ~= "start-replication" and not has_run then
    common.combination("Start Type : %s, valid only for tasks that ran before", kind:upper():gsub("%-", "_"))
  elseif kind == "reload-target" and t.MigrationType == "cdc" then
    common.combination("Start Type : RELOAD_TARGET, not valid for tasks of the type cdc")
  end
  check_start(p, t.MigrationType)
  check_stop_position(p.CdcStopPosition)
  t.CdcStartPosition, t.CdcStopPosition = p.CdcStartPosition or t.CdcStartPosition, p.CdcStopPosition or t.CdcStopPosition
  execution.start(cloud, ctx, t, kind)
  return { ReplicationTask = execution.shown(t) }
end

function S.StopReplicationTask(cloud, p, ctx)
  local t = common.get(cloud, ctx, "tasks", p.ReplicationTaskArn)
  if t.Status ~= "running" then common.state("Replication Task cannot be stopped, invalid state: %s", t.Status) end
  execution.stop(cloud, ctx, t)
  return { ReplicationTask = execution.shown(t) }
end

--- Ends the workers of a cloud that stops.
function S._stop(cloud)
  for name, store in pairs(cloud.state) do
    for _, t in pairs(name:find "^dms/" and store.tasks or {}) do
      if t.process then t.process:kill "KILL" end
    end
  end
end

return S
