--- What the Elastic Beanstalk nouns share: an environment as it is now, its last event, the platform to use, and waiting.
local aws = require "aws"
local eb_logs = require "aws.common.eb_logs"
local effects = require "recipe.effects"
local errors = require "errors"
local noun = require "aws.common.noun"
local task = require "task"

local M = {}

--- The code of the error of a deployment that ended at a command of the bundle, before the version ran.
M.COMMAND_FAILED = "CommandFailed"

--- The code of the error of a version that runs and does not become healthy.
M.UNHEALTHY = "Unhealthy"

M.BRANCH = "Docker running on 64bit Amazon Linux 2023"

--- The environment of that name, if it is not gone.
---@return table? environment as the API describes it
function M.find(name)
  local answer = aws.elasticbeanstalk:describe_environments { EnvironmentNames = { name }, IncludeDeleted = false }
  for _, e in ipairs(answer.Environments or {}) do
    if e.Status ~= "Terminated" then return e end
  end
end

--- What Elastic Beanstalk said last of an environment, at least of this severity.
---@return string?
function M.last_event(name, severity)
  local events = aws.elasticbeanstalk:describe_events({ EnvironmentName = name, Severity = severity, MaxRecords = 1 }).Events
  return events and events[1] and events[1].Message
end

--- The errors of an environment's last update, the first first: the last only says that it failed, those before it why.
---@param name string
---@return string?
function M.update_errors(name)
  local said = {}
  for _, e in ipairs(aws.elasticbeanstalk:describe_events({ EnvironmentName = name, MaxRecords = 50 }).Events or {}) do
    if e.Message == "Environment update is starting." then break end
    if e.Severity == "ERROR" then table.insert(said, 1, e.Message) end
  end
  return said[1] and table.concat(said, " ") or nil
end

--- The newest recommended platform version of the Docker branch.
---@return string arn
function M.platform()
  local list = aws.elasticbeanstalk:list_platform_versions({ Filters = {
    { Type = "PlatformBranchName", Operator = "=", Values = { M.BRANCH } },
    { Type = "PlatformLifecycleState", Operator = "=", Values = { "recommended" } },
  } }).PlatformSummaryList or {}
  local function number(p)
    local n = 0
    for part in p.PlatformVersion:gmatch "%d+" do n = n * 1000 + tonumber(part) end
    return n
  end
  table.sort(list, function(a, b) return number(a) > number(b) end)
  return list[1] and list[1].PlatformArn or errors.raise {
    kind = "not_found", op = "find the platform " .. M.BRANCH, message = "this region offers none",
    hint = "name one with beanstalk_platform_arn",
  }
end

--- Refuses a platform that the region does not have, while nothing has been made yet.
---@param arn string
function M.check_platform(arn)
  local ok, e = pcall(aws.elasticbeanstalk.describe_platform_version, aws.elasticbeanstalk, { PlatformArn = arn })
  if ok then return end
  if not errors.is(e, "remote") then error(e, 0) end
  errors.usage("%s has no platform %s: see `aws elasticbeanstalk list-platform-versions`", aws.elasticbeanstalk.region, arn)
end

--- Waits until an environment is Ready, and Green where that is asked for.
---@param ctx table with note
---@param name string
---@param seconds number
---@param is_done fun(e: table): boolean
---@return table environment
function M.wait(ctx, name, seconds, is_done)
  local ok, result = pcall(noun.wait, ctx, ("the environment %s is not there yet"):format(name), seconds, function()
    local e = M.find(name)
    if not e or e.Status == "Terminating" then
      errors.raise { kind = "remote", op = "wait for the environment " .. name, message = M.last_event(name, "ERROR") or "it was terminated" }
    end
    if is_done(e) then return e end
    local event = not ctx.event and M.last_event(name)         -- a noun's context says it by itself
    return nil, ("%s, %s%s"):format(e.Status, e.Health or "?", event and ": " .. event or "")
  end)
  if ok then return result end
  if errors.is(result, "timeout") then
    result.hint = ("its last warning is: %s; its logs say more; apply again goes on waiting"):format(M.last_event(name, "WARN") or "none")
  end
  error(result, 0)
end

--- Updates an environment as soon as it is Ready. It may look Ready while an update that was just asked for is not seen yet:
--- then the call is refused, and asked again.
---@param ctx table with note
---@param seconds number
---@param args table of UpdateEnvironment
function M.update(ctx, seconds, args)
  local stop = task.now() + seconds
  while true do
    local now = M.wait(ctx, args.EnvironmentName, math.max(1, stop - task.now()), function(e) return e.Status == "Ready" end)
    if args.VersionLabel and now.VersionLabel == args.VersionLabel then return end     -- a call whose reply was lost has done it
    local ok, e = pcall(aws.elasticbeanstalk.update_environment, aws.elasticbeanstalk, args)
    if ok then return end
    local is_busy = errors.is(e, "remote") and tostring(e.message):find("Must be Ready", 1, true)
    if not is_busy or task.now() > stop then error(e, 0) end
    ctx.note "an update is under way"
    task.sleep(2)
  end
end

--- What Elastic Beanstalk said of an environment's last update, the oldest first.
---@param severities table<string, boolean>
---@return string[] of a warning or an error: "WARN: ..."
local function warnings(name, severities)
  local said = {}
  for _, e in ipairs(aws.elasticbeanstalk:describe_events({ EnvironmentName = name, MaxRecords = 50 }).Events or {}) do
    if e.Message == "Environment update is starting." or #said == 5 then break end
    if severities[e.Severity] then table.insert(said, 1, ("%s: %s"):format(e.Severity, e.Message)) end
  end
  return said
end

local function quoted(events)
  return #events > 0 and "\n  what Elastic Beanstalk said:\n    " .. table.concat(events, "\n    ") or ""
end

--- Why a version does not run, with the warnings of its deployment and the last lines of the log that knows it.
local function failed(name, label)
  local why, logs = M.update_errors(name) or "it went back", eb_logs.tail(name)
  local command = logs.failed_command
  errors.raise {
    kind = "remote", op = ("deploy %s to %s"):format(label, name), code = command and M.COMMAND_FAILED or nil,
    message = why .. quoted(warnings(name, { WARN = true })) .. eb_logs.quoted(command and command.output or logs.app),
    hint = command and "nothing of this version has run; apply again tries again once its command works"
           or "the environment's logs say more; apply again tries again",
  }
end

--- What is the matter with an environment that runs a version and is not healthy: causes, events, the app's last lines.
local function unhealthy(name, label, color, seconds)
  local answer = noun.found("InvalidRequestException", aws.elasticbeanstalk.describe_environment_health, aws.elasticbeanstalk,
    { EnvironmentName = name, AttributeNames = { "HealthStatus", "Causes" } }) or {}
  local causes = answer.Causes or {}
  errors.raise {
    kind = "remote", op = ("deploy %s to %s"):format(label, name), code = M.UNHEALTHY,
    message = ("it runs, and after %g s its health is %s (%s): %s%s%s"):format(seconds, color, answer.HealthStatus or "?",
      #causes > 0 and table.concat(causes, " ") or "no cause is told",
      quoted(warnings(name, { WARN = true, ERROR = true })), eb_logs.quoted(eb_logs.tail(name).app)),
    hint = "apply again tries again once the app is mended; an app that needs longer to start needs a longer health_timeout",
  }
end

--- Makes a version the one that runs, and waits until it is healthy. Does nothing where it runs already.
---@param ctx table with note, and taken, which is called once Beanstalk has taken it
---@param name string of the environment
---@param label string of the version
---@param seconds number
---@param patience number? seconds that it may be unhealthy once it runs; nil: it need not be healthy
---@param settings table[]? option settings that change with it
---@return string health
function M.deploy(ctx, name, label, seconds, patience, settings)
  M.update(ctx, seconds, { EnvironmentName = name, VersionLabel = label, OptionSettings = settings })
  ctx.taken()
  local seen, asked, bad_since = false, task.now(), nil
  return M.wait(ctx, name, seconds, function(now)
    local is_old = now.VersionLabel ~= label
    seen = seen or now.Status ~= "Ready" or task.now() > asked + effects.settle   -- until then it may be as it was before the call
    if seen and now.Status == "Ready" and is_old then
      failed(name, label)
    end
    local runs = now.Status == "Ready" and not is_old
    if not runs or not patience or now.Health == "Green" then
      bad_since = nil
      return runs
    end
    bad_since = bad_since or task.now()
    if task.now() > bad_since + patience then unhealthy(name, label, now.Health, patience) end
  end).Health
end

return M
