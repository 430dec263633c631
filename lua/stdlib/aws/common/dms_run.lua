--- What is done with a migration of AWS DMS once it is made: testing its connections, assessing it, starting, watching and
--- stopping its task. Each waits with a deadline, says how far it is, and may be called again after it was cut off.
local aws = require "aws"
local dms = require "aws.common.dms"
local errors = require "errors"
local log = require "log"
local noun = require "aws.common.noun"
local sign = require "sign"
local task = require "task"

local M = {}

---@class DmsMigration
---@field task string ARN
---@field instance string ARN
---@field source string ARN
---@field target string ARN
local Migration = {}
Migration.__index = Migration

local RUNS = { starting = true, running = true, testing = true, stopping = true, modifying = true, creating = true }
local WORKS = "InvalidResourceStateFault"

---@param o table
---@return DmsMigration
function M.new(o) return setmetatable(o, Migration) end

--- Calls with a line of progress that says what is waited for.
local function waiting(what, fn)
  local p <close> = log.progress { what = what }
  return fn { note = function(s) p:note(s) end, update = function(n) p:update(n) end }
end

--- The task as DMS describes it.
function Migration:describe()
  return dms.find("describe_replication_tasks", "replication-task-arn", self.task, "ReplicationTasks")
    or errors.raise { kind = "not_found", op = "look at the DMS task of " .. self.name, message = "it is gone", hint = "apply again" }
end

-- Connections ----------------------------------------------------------------

local function connection_of(instance, endpoint)
  local answer = noun.found(dms.GONE, aws.dms.describe_connections, aws.dms, { Filters = {
    { Name = "endpoint-arn", Values = { endpoint } }, { Name = "replication-instance-arn", Values = { instance } } } })
  return answer and answer.Connections[1]
end

--- Lets the replication instance connect to both endpoints; raises with what DMS said, and what helps.
---@param seconds number? the most that it may take
function Migration:test(seconds)
  local function one(side, endpoint, hint)
    return function()
      noun.found(WORKS, aws.dms.test_connection, aws.dms, { ReplicationInstanceArn = self.instance, EndpointArn = endpoint })
      local found = waiting(("let DMS connect to the %s of %s"):format(side, self.name), function(ctx)
        return noun.wait(ctx, "the connection is not tested", seconds or 600, function()
          local c = connection_of(self.instance, endpoint)
          if c and c.Status ~= "testing" then return c end
          return nil, c and c.Status or "not begun"
        end)
      end)
      if found.Status ~= "successful" then
        errors.raise { kind = "remote", op = ("let DMS connect to the %s of %s"):format(side, self.name), hint = hint,
                       message = found.LastFailureMessage or found.Status }
      end
    end
  end
  task.all {
    source = one("source", self.source, "the source must take connections from the replication instance's address, with TLS; then apply again"),
    target = one("target", self.target, "the target's security group must let the replication instance in; then apply again"),
  }
end

-- Assessments ----------------------------------------------------------------

local ENDED = { passed = true, warning = true, failed = true, ["error-provisioning"] = true, ["error-executing"] = true, cancelled = true,
                ["invalid state"] = true }

local function latest_run(self)
  local answer = noun.found(dms.GONE, aws.dms.describe_replication_task_assessment_runs, aws.dms,
    { Filters = { { Name = "replication-task-arn", Values = { self.task } } } })
  for _, r in ipairs(answer and answer.ReplicationTaskAssessmentRuns or {}) do
    if r.IsLatestTaskAssessmentRun then return r end
  end
end

--- Starts an assessment, or goes on with one that a killed run has started; DMS takes a new role in a moment only.
local function begin_run(self)
  local run = latest_run(self)
  if run and not ENDED[run.Status] then return run.ReplicationTaskAssessmentRunArn end
  return noun.settled("AccessDeniedFault S3AccessDeniedFault", 60, function()
    return aws.dms:start_replication_task_assessment_run({
      ReplicationTaskArn = self.task, ServiceAccessRoleArn = self.role.arn, ResultLocationBucket = self.bucket,
      AssessmentRunName = "hkrun-" .. sign.hex(sign.random(6)),
    }).ReplicationTaskAssessmentRun.ReplicationTaskAssessmentRunArn
  end)
end

local function checks_of(run)
  local list, marker = {}, nil
  repeat                                                   -- it has pages, but AWS's models know of no paginator
    local answer = aws.dms:describe_replication_task_individual_assessments { Marker = marker,
      Filters = { { Name = "replication-task-assessment-run-arn", Values = { run } } } }
    for _, c in ipairs(answer.ReplicationTaskIndividualAssessments) do list[#list + 1] = { name = c.IndividualAssessmentName, status = c.Status } end
    marker = answer.Marker
  until not marker
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

--- Runs DMS's own assessment of the task before it is started, and waits for it. The task is "testing" meanwhile, which AWS's
--- waiter takes for a failure, so it is asked here.
---@param seconds number? the most that it may take
---@return { status: string, report: string, [integer]: { name: string, status: string } } its checks by name; report: where it is
function Migration:assess(seconds)
  local what = "assess the DMS task of " .. self.name
  local arn = begin_run(self)
  local run = waiting(what, function(ctx)
    return noun.wait(ctx, "the assessment has not ended", seconds or 3600, function()
      local r = dms.find("describe_replication_task_assessment_runs", "replication-task-assessment-run-arn", arn, "ReplicationTaskAssessmentRuns")
      if not r then return nil, "not seen yet" end
      if ENDED[r.Status] and self:describe().Status ~= "testing" then return r end
      local progress = r.AssessmentProgress or {}
      return nil, ("%s, %d of %d checks"):format(r.Status, progress.IndividualAssessmentCompletedCount or 0,
        progress.IndividualAssessmentCount or 0)
    end)
  end)
  if run.Status:find "^error" or run.Status == "cancelled" or run.Status == "invalid state" then
    errors.raise { kind = "remote", op = what, message = ("it is %s: %s"):format(run.Status, run.LastFailureMessage or "DMS does not say why"),
                   hint = "apply again, which starts another one" }
  end
  local result = checks_of(arn)
  result.status = run.Status
  result.report = ("s3://%s/%s"):format(self.bucket, run.ResultLocationFolder or "")
  return result
end

-- The task -------------------------------------------------------------------

--- Starts it: for the first time, from the beginning again (every table is emptied and loaded anew), or from where it stopped.
---@param how "load"|"resume"
function Migration:start(how)
  local t = self:describe()
  if t.Status == "running" or t.Status == "starting" then return end
  local stats = t.ReplicationTaskStats or {}
  local is_fresh = t.ReplicationTaskStartDate == nil and stats.FreshStartDate == nil
  aws.dms:start_replication_task { ReplicationTaskArn = self.task,
    StartReplicationTaskType = how == "resume" and "resume-processing" or is_fresh and "start-replication" or "reload-target" }
end

--- Stops it, and waits until it stands still.
---@param seconds number? the most that it may take
function Migration:stop(seconds)
  if RUNS[self:describe().Status] then
    noun.found(WORKS, aws.dms.stop_replication_task, aws.dms, { ReplicationTaskArn = self.task })
  end
  return waiting("stop the DMS task of " .. self.name, function(ctx)
    return noun.wait(ctx, "it does not stop", seconds or 1800, function()
      local t = self:describe()
      if not RUNS[t.Status] then return t end
      return nil, t.Status
    end)
  end)
end

--- What DMS says of each table.
---@return { name: string, schema: string, table: string, state: string, rows: integer, errors: integer, inserts: integer,
---  updates: integer, deletes: integer, applied: integer, seconds: number? }[]
function Migration:statistics()
  local list = {}
  for s in aws.dms:each("describe_table_statistics", { ReplicationTaskArn = self.task }) do
    list[#list + 1] = {
      schema = s.SchemaName, table = s.TableName, name = ("%s.%s"):format(s.SchemaName, s.TableName), state = s.TableState,
      rows = s.FullLoadRows or 0, errors = s.FullLoadErrorRows or 0, inserts = s.Inserts or 0, updates = s.Updates or 0, deletes = s.Deletes or 0,
      applied = (s.AppliedInserts or 0) + (s.AppliedUpdates or 0) + (s.AppliedDeletes or 0),
      seconds = s.FullLoadEndTime and s.FullLoadStartTime and s.FullLoadEndTime - s.FullLoadStartTime or nil,
    }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

--- How far a load is, in words.
local function far(tables)
  local done, rows, loading = 0, 0, {}
  for _, t in ipairs(tables) do
    rows = rows + t.rows
    if t.state == "Table completed" then done = done + 1 elseif t.state == "Full load" then loading[#loading + 1] = t.name end
  end
  local now = table.concat(loading, ", ", 1, math.min(3, #loading))
  return ("%d of %d tables, %d rows%s"):format(done, #tables, rows, now ~= "" and "; now " .. now or "")
end

local BAD = { ["Table error"] = true, ["Table cancelled"] = true, ["Table does not exist"] = true }

--- Raises if a table is not whole, with what DMS says of it and what can be done.
---@param tables table[] of `statistics`
---@param t table of `describe`
function Migration:refuse_errors(tables, t)
  local bad, reload = {}, {}
  for _, s in ipairs(tables) do
    if BAD[s.state] or s.errors > 0 then
      bad[#bad + 1] = ("%s (%s, %d rows loaded, %d refused)"):format(s.name, s.state, s.rows, s.errors)
      reload[#reload + 1] = ("SchemaName=%s,TableName=%s"):format(s.schema, s.table)
    end
  end
  if #bad == 0 then return end
  local runs = t.Status == "running"
  errors.raise {
    kind = "remote", op = "load the tables of " .. self.name, code = "table-error",
    message = ("DMS could not load %s%s"):format(table.concat(bad, ", "), t.LastFailureMessage and ": " .. t.LastFailureMessage or ""),
    hint = runs and ("remove the reason, then let DMS load it again: aws dms reload-tables --replication-task-arn %s --tables-to-reload %s; "
        .. "and apply again, which goes on from here"):format(self.task, table.concat(reload, " "))
      or ("the log group dms-tasks-%s-dms says more; remove the reason and apply again, which loads again"):format(self.name),
  }
end

--- Raises unless the task has stopped because all its tables are loaded.
---@param t table of `describe`
---@param tables table[] of `statistics`
function Migration:check_loaded(t, tables)
  self:refuse_errors(tables, t)
  local why = t.StopReason or ""
  if t.Status == "failed" or not (why:find "FULL_LOAD_ONLY_FINISHED" or why:find "STOPPED_AFTER_FULL_LOAD") then
    errors.raise { kind = "remote", op = "load the tables of " .. self.name, hint = "remove the reason and apply again, which loads again",
                   message = ("the DMS task is %s: %s"):format(t.Status, t.LastFailureMessage or why) }
  end
end

--- Waits until all rows are loaded: the task has stopped by itself, before it applies the changes that came meanwhile.
---@param progress table? of a once
---@param seconds number? the most that it may take
---@return table[] tables of `statistics`
function Migration:loaded(progress, seconds)
  local what = "load the tables of " .. self.name
  local function wait(ctx)
    return noun.wait(ctx, "not all tables are loaded", seconds or 7 * 86400, function()
      local t, tables = self:describe(), self:statistics()
      if t.Status == "failed" or t.Status == "stopped" then return { t = t, tables = tables } end
      return nil, ("%s: %s"):format(t.Status, far(tables))
    end)
  end
  local done = progress and wait { note = function(s) progress:note(s) end } or waiting(what, wait)
  self:check_loaded(done.t, done.tables)
  return done.tables
end

--- Loads all rows: waits for a load that goes on, and begins again with one that has failed.
---@param progress table? of a once
---@return table[] tables of `statistics`
function Migration:load(progress)
  local t = self:describe()
  if not RUNS[t.Status] and not (pcall(self.check_loaded, self, t, self:statistics())) then self:start "load" end
  return self:loaded(progress)
end

--- Lets it stream changes, from where it is: waits until it does so.
---@param seconds number? the most that it may take
function Migration:stream(seconds)
  if not RUNS[self:describe().Status] then self:start "resume" end
  waiting("stream changes of " .. self.name, function(ctx)
    return noun.wait(ctx, "the task does not run", seconds or 900, function()
      if self:streams() then return true end
      return nil, "starting"
    end)
  end)
end

--- Raises unless the task streams changes; answers whether it does so already.
---@return boolean
function Migration:streams()
  local t = self:describe()
  if t.Status == "running" then
    self:refuse_errors(self:statistics(), t)
    return true
  end
  if RUNS[t.Status] then return false end
  errors.raise { kind = "remote", op = "stream changes of " .. self.name, message = ("the DMS task is %s: %s"):format(t.Status,
    t.LastFailureMessage or t.StopReason or "DMS does not say why"), hint = "remove the reason and apply again" }
end

return M
