--- Premigration assessments: runs over a task, their individual assessments, their reports in a bucket.
local catalog = require "rehearsal.services.dms.catalog"
local checks = require "rehearsal.services.dms.checks"
local common = require "rehearsal.services.dms.common"
local connections = require "rehearsal.services.dms.connections"
local execution = require "rehearsal.services.dms.execution"
local json = require "json"
local managed = require "rehearsal.managed"
local roles = require "rehearsal.services.dms.roles"
local runner = require "rehearsal.services.dms.runner"
local tasks = require "rehearsal.services.dms.tasks"
local wire = require "rehearsal.wire"

local S = {}

local function runs(cloud, ctx) return common.all(cloud, ctx, "runs") end

function S.DescribeApplicableIndividualAssessments(cloud, p, ctx)
  local type = p.MigrationType
  if p.ReplicationTaskArn then
    if p.SourceEngineName or p.TargetEngineName or type then
      common.combination("Give ReplicationTaskArn alone, or SourceEngineName, TargetEngineName and MigrationType.")
    end
    type = common.get(cloud, ctx, "tasks", p.ReplicationTaskArn).MigrationType
  elseif not (p.SourceEngineName and p.TargetEngineName and type) then
    common.combination("Give ReplicationTaskArn, or SourceEngineName, TargetEngineName and MigrationType.")
  elseif not (catalog._engines[p.SourceEngineName] and catalog._engines[p.TargetEngineName]) then
    common.invalid("The rehearsal cloud assesses tasks between postgres and aurora-postgresql.")
  end
  local page, marker = common.page(cloud, p, checks.applicable(type), {})
  return { IndividualAssessmentNames = page, Marker = marker }
end

-- Starting -----------------------------------------------------------------------

--- The names that a request chooses among those that are applicable.
local function chosen(p, applicable)
  local include, exclude = p.IncludeOnly or {}, p.Exclude or {}
  if #include > 0 and #exclude > 0 then common.combination("IncludeOnly and Exclude cannot both be given.") end
  local known, left_out, list = {}, {}, {}
  for _, name in ipairs(applicable) do known[name] = true end
  for _, names in ipairs { include, exclude } do
    for _, name in ipairs(names) do
      if not known[name] then common.invalid("The individual assessment %s is not applicable to the task.", name) end
    end
  end
  if #include > 0 then return include end
  for _, name in ipairs(exclude) do left_out[name] = true end
  for _, name in ipairs(applicable) do if not left_out[name] then list[#list + 1] = name end end
  return list
end

local function check_bucket(cloud, p, ctx)
  local ok = pcall(cloud:service "s3".HeadBucket, cloud, { Bucket = p.ResultLocationBucket }, ctx)
  if not ok then wire.fail("S3ResourceNotFoundFault", 400, "The bucket %s does not exist.", p.ResultLocationBucket) end
  local refusal = roles.refusal(cloud, ctx, p.ServiceAccessRoleArn, "s3:PutObject", ("arn:aws:s3:::%s/report"):format(p.ResultLocationBucket),
    { AmazonS3FullAccess = true, AdministratorAccess = true })
  if refusal then wire.fail(refusal:find "does not allow" and "S3AccessDeniedFault" or "AccessDeniedFault", 400, "%s", refusal) end
end

--- How a run stands, counted from its individual assessments.
local function shown(run)
  local copy, statistic, done = {}, { Passed = 0, Failed = 0, Error = 0, Warning = 0, Cancelled = 0, Skipped = 0 }, 0
  for name, value in pairs(run) do copy[name] = value end
  for _, one in ipairs(run.list) do
    local field = one.Status:gsub("^%l", string.upper)
    if statistic[field] then statistic[field], done = statistic[field] + 1, done + 1 end
  end
  copy.AssessmentProgress = { IndividualAssessmentCount = #run.list, IndividualAssessmentCompletedCount = done }
  copy.ResultStatistic = statistic
  return copy
end

local function report(cloud, ctx, run, one, details)
  local folder = run.ResultLocationFolder and run.ResultLocationFolder:gsub("^/+", ""):gsub("/+$", "") .. "/" or ""
  cloud:service "s3".PutObject(cloud, { Bucket = run.ResultLocationBucket, ContentType = "application/json",
    Key = ("%s%s/%s.json"):format(folder, run.AssessmentRunName, one.IndividualAssessmentName),
    Body = json.encode({ assessment = one.IndividualAssessmentName, status = one.Status, details = json.array(details or {}),
      assessmentRun = run.AssessmentRunName, replicationTaskArn = run.ReplicationTaskArn }, { pretty = true }),
  }, { region = ctx.region, operation = "PutObject", service = "s3", request_id = ctx.request_id, request = { headers = {} } })
end

--- Asks a worker for all results, in the task's own instance.
local function results_of(cloud, ctx, run, t)
  local instance = common.get(cloud, ctx, "instances", t.ReplicationInstanceArn)
  local sides, why = execution.sides_of(cloud, ctx, instance, t)
  if not sides then return nil, why end
  local names = {}
  for i, one in ipairs(run.list) do names[i] = one.IndividualAssessmentName end
  if not cloud.servers then
    local passed = {}
    for _, name in ipairs(names) do passed[name] = { status = "passed" } end
    return passed
  end
  return runner.ask(instance, { mode = "assess", names = names, settings = t.settings, rules = json.decode(t.TableMappings).rules,
    engine = instance.EngineVersion, type = t.MigrationType }, sides)
end

local function walk(cloud, ctx, run, results)
  local failed = {}
  for _, one in ipairs(run.list) do
    if run.Status == "cancelling" then one.Status = "cancelled"
    else
      one.Status, one.ReplicationTaskIndividualAssessmentStartDate = "running", cloud.clock:now()
      cloud.clock:sleep(2)
      local result = results[one.IndividualAssessmentName] or { status = "error" }
      one.Status = result.status
      if one.Status == "failed" then failed[#failed + 1] = one.IndividualAssessmentName end
      report(cloud, ctx, run, one, result.details)
    end
  end
  if #failed > 0 then run.LastFailureMessage = "Failed assessments: " .. table.concat(failed, ", ") end
end

local function verdict(run)
  local seen = {}
  for _, one in ipairs(run.list) do seen[one.Status] = true end
  return seen.cancelled and "cancelled" or seen.failed and "failed" or seen.error and "error-executing" or seen.warning and "warning" or "passed"
end

local function execute(cloud, ctx, run, t)
  if run.Status == "starting" then run.Status = "provisioning" end
  cloud.clock:sleep(10)
  if run.Status == "provisioning" then run.Status = "running" end
  local ok, results, why = pcall(results_of, cloud, ctx, run, t)
  if ok and results then walk(cloud, ctx, run, results)
  else
    if not ok then
      runner.report(results)
      why = tostring(results)
    end
    for _, one in ipairs(run.list) do one.Status = "error" end
    run.LastFailureMessage = why
  end
  run.Status = verdict(run)
end

function S.StartReplicationTaskAssessmentRun(cloud, p, ctx)
  local t = tasks._resting(cloud, ctx, p.ReplicationTaskArn, "assessed")
  for _, arn in ipairs { t.SourceEndpointArn, t.TargetEndpointArn } do
    if not connections._is_tested(cloud, ctx, t.ReplicationInstanceArn, arn) then
      common.state("Test connection for replication instance and endpoint should be successful for starting the assessment run")
    end
  end
  local names = chosen(p, checks.applicable(t.MigrationType))
  check_bucket(cloud, p, ctx)
  for _, other in pairs(runs(cloud, ctx)) do
    if other.ReplicationTaskArn == t.arn and other.AssessmentRunName == p.AssessmentRunName then
      common.exists("An assessment run with the name %s already exists.", p.AssessmentRunName)
    end
  end
  local arn = common.arn(cloud, ctx, "runs")
  local run = { ReplicationTaskAssessmentRunArn = arn, ReplicationTaskArn = t.arn, Status = "starting", arn = arn, list = {},
    ReplicationTaskAssessmentRunCreationDate = cloud.clock:now(), ServiceAccessRoleArn = p.ServiceAccessRoleArn,
    ResultLocationBucket = p.ResultLocationBucket, ResultLocationFolder = p.ResultLocationFolder, ResultEncryptionMode = p.ResultEncryptionMode,
    ResultKmsKeyArn = p.ResultKmsKeyArn, AssessmentRunName = p.AssessmentRunName, IsLatestTaskAssessmentRun = true, tags = managed.tags(p.Tags) }
  for _, other in pairs(runs(cloud, ctx)) do
    if other.ReplicationTaskArn == t.arn then other.IsLatestTaskAssessmentRun = false end
  end
  for i, name in ipairs(names) do
    run.list[i] = { ReplicationTaskIndividualAssessmentArn = common.arn(cloud, ctx, "assessments"), ReplicationTaskAssessmentRunArn = arn,
      IndividualAssessmentName = name, Status = "pending", task = t.arn }
  end
  runs(cloud, ctx)[arn] = run
  local before = t.Status
  t.Status = "testing"
  cloud:after(5, function()
    execute(cloud, ctx, run, t)
    if t.Status == "testing" then t.Status = before end
  end)
  return { ReplicationTaskAssessmentRun = shown(run) }
end

-- Afterwards -----------------------------------------------------------------------

local RUN_FILTERS = { ["replication-task-assessment-run-arn"] = "arn", ["replication-task-arn"] = "ReplicationTaskArn", status = "Status",
                      ["replication-instance-arn"] = "ReplicationInstanceArn" }
local FILTERS = { ["replication-task-assessment-run-arn"] = "ReplicationTaskAssessmentRunArn", ["replication-task-arn"] = "task", status = "Status" }

function S.DescribeReplicationTaskAssessmentRuns(cloud, p, ctx)
  local list = {}
  for i, run in ipairs(common.sorted(runs(cloud, ctx))) do
    list[i] = shown(run)
    local t = common.all(cloud, ctx, "tasks")[run.ReplicationTaskArn]
    list[i].ReplicationInstanceArn = t and t.ReplicationInstanceArn
  end
  table.sort(list, function(a, b) return a.ReplicationTaskAssessmentRunCreationDate > b.ReplicationTaskAssessmentRunCreationDate end)
  local page, marker = common.page(cloud, p, list, RUN_FILTERS, "assessment runs")
  return { ReplicationTaskAssessmentRuns = page, Marker = marker }
end

function S.DescribeReplicationTaskIndividualAssessments(cloud, p, ctx)
  local list = {}
  for _, run in ipairs(common.sorted(runs(cloud, ctx))) do table.move(run.list, 1, #run.list, #list + 1, list) end
  local page, marker = common.page(cloud, p, list, FILTERS, "individual assessments")
  return { ReplicationTaskIndividualAssessments = page, Marker = marker }
end

local AT_WORK = { starting = true, provisioning = true, running = true }

function S.CancelReplicationTaskAssessmentRun(cloud, p, ctx)
  local run = common.get(cloud, ctx, "runs", p.ReplicationTaskAssessmentRunArn)
  if not AT_WORK[run.Status] then common.state("The assessment run %s cannot be cancelled, its status is %s.", run.arn, run.Status) end
  run.Status = "cancelling"
  return { ReplicationTaskAssessmentRun = shown(run) }
end

function S.DeleteReplicationTaskAssessmentRun(cloud, p, ctx)
  local run = common.get(cloud, ctx, "runs", p.ReplicationTaskAssessmentRunArn)
  if AT_WORK[run.Status] or run.Status == "cancelling" then
    common.state("The assessment run %s cannot be deleted, its status is %s.", run.arn, run.Status)
  end
  run.Status = "deleting"
  cloud:after(5, function() runs(cloud, ctx)[run.arn] = nil end)
  return { ReplicationTaskAssessmentRun = shown(run) }
end

return S
