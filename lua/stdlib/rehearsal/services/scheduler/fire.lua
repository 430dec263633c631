--- What happens when a schedule's time has come: its target is called with the
--- rights of its role, again and again if it fails, and in the end a message
--- goes to the dead-letter queue.
local errors = require "errors"
local expression = require "rehearsal.services.scheduler.expression"
local json = require "json"
local log = require "log"
local model = require "aws.model"
local sign = require "sign"

local M = {}

local LEAST = 2                         -- real seconds between two starts

--- "ecs", "universal" (any operation of a service, as arn:aws:scheduler:::aws-sdk:ssm:sendCommand), or nil.
function M.kind(arn)
  if arn:find "^arn:aws[%w%-]*:ecs:[%w%-]+:%d+:cluster/" then return "ecs" end
  if arn:find "^arn:aws[%w%-]*:scheduler:::aws%-sdk:[%w%-]+:%a+$" then return "universal" end
end

local function may(cloud, role, action, resource)
  if cloud:service "iam"._may(cloud, role, action, resource) then return end
  error({ aws = true, code = "AccessDeniedException", status = 403,
    message = ("User: %s is not authorized to perform: %s on resource: %s"):format(role, action, resource) }, 0)
end

--- A task of the cluster. The input is the task's overrides.
local function run_task(cloud, ctx, target)
  local e, ecs = target.EcsParameters, cloud:service "ecs"
  local definition = ecs._definition(cloud, ctx, e.TaskDefinitionArn)
  may(cloud, target.RoleArn, "ecs:RunTask", definition and definition.taskDefinitionArn or e.TaskDefinitionArn)
  for _, role in ipairs(definition and { definition.executionRoleArn, definition.taskRoleArn } or {}) do
    may(cloud, target.RoleArn, "iam:PassRole", role)
  end
  local network = e.NetworkConfiguration and e.NetworkConfiguration.awsvpcConfiguration
  local overrides = target.Input and json.decode(target.Input) or nil
  local answer = ecs.RunTask(cloud, {
    cluster = target.Arn, taskDefinition = e.TaskDefinitionArn, count = e.TaskCount or 1, launchType = e.LaunchType, group = e.Group,
    enableExecuteCommand = e.EnableExecuteCommand, startedBy = "scheduler", overrides = overrides, networkConfiguration = network and {
      awsvpcConfiguration = { subnets = network.Subnets, securityGroups = network.SecurityGroups, assignPublicIp = network.AssignPublicIp } },
  }, ctx)
  return answer.tasks[1].taskArn
end

--- Any operation, with the input as its request.
local function call(cloud, ctx, target)
  local service, operation = target.Arn:match ":aws%-sdk:([%w%-]+):(%a+)$"
  operation = operation:sub(1, 1):upper() .. operation:sub(2)
  local emulated = cloud:service(service)
  local known = model.load(service).operations[operation]
  if not (known and emulated and emulated[operation]) then
    error({ aws = true, code = "InvalidRequest", status = 400, message = ("the rehearsal has no %s of %s"):format(operation, service) }, 0)
  end
  may(cloud, target.RoleArn, ("%s:%s"):format(service, operation), "*")
  local answer = emulated[operation](cloud, json.decode(target.Input), ctx)
  return answer and answer.Command and answer.Command.CommandId
end

local function attempt(cloud, ctx, schedule)
  local target = schedule.Target
  return (M.kind(target.Arn) == "ecs" and run_task or call)(cloud, ctx, target)
end

local function bury(cloud, ctx, schedule, e)
  local dead = schedule.Target.DeadLetterConfig and schedule.Target.DeadLetterConfig.Arn
  if not dead then return log.debug("the schedule %s gave up: %s", schedule.Name, tostring(e.message)) end
  local ok, why = pcall(function()
    may(cloud, schedule.Target.RoleArn, "sqs:SendMessage", dead)
    local sqs = cloud:service "sqs"
    local url = sqs.GetQueueUrl(cloud, { QueueName = dead:match "[^:]*$" }, ctx).QueueUrl
    sqs.SendMessage(cloud, { QueueUrl = url, MessageBody = schedule.Target.Input or "{}", MessageAttributes = {
      ERROR_CODE = { DataType = "String", StringValue = e.code }, ERROR_MESSAGE = { DataType = "String", StringValue = e.message },
      SCHEDULE_ARN = { DataType = "String", StringValue = schedule.Arn },
      TARGET_ARN = { DataType = "String", StringValue = schedule.Target.Arn } } }, ctx)
  end)
  if not ok then log.debug("the rehearsal's Scheduler, %s: %s", schedule.Name, type(why) == "table" and why.message or tostring(why)) end
end

--- One firing, with its retries.
local function fire(cloud, ctx, schedule)
  local policy, began, tries = schedule.Target.RetryPolicy, cloud.clock:now(), 0
  while not schedule.gone do
    local ok, e = xpcall(attempt, function(e) return type(e) == "table" and e.aws and e or errors.handler(e) end, cloud, ctx, schedule)
    if ok then
      schedule.started = e
      return
    end
    if not e.aws then error(e, 0) end
    tries = tries + 1
    if tries > policy.MaximumRetryAttempts or cloud.clock:now() - began > policy.MaximumEventAgeInSeconds then
      return bury(cloud, ctx, schedule, e)
    end
    cloud.clock:sleep(math.min(2 ^ tries, 900))
  end
end

--- Whether what the last firing started still runs.
local function is_busy(cloud, ctx, schedule)
  local id, target = schedule.started, schedule.Target
  if not id then return false end
  if M.kind(target.Arn) == "ecs" then
    local ok, found = pcall(cloud:service "ecs".DescribeTasks, cloud, { cluster = target.Arn, tasks = { id } }, ctx)
    return ok and found.tasks[1] and found.tasks[1].lastStatus ~= "STOPPED"
  end
  return cloud:service "ssm".ListCommands(cloud, { CommandId = id }, ctx).Commands[1].Status == "InProgress"
end

--- Has a schedule fire at its times, from now on. After a change it begins anew. What is started runs in real time, so times
--- that a fast clock brings too soon are left out: those right after the last one, and those while what it started still runs.
function M.begin(cloud, ctx, schedule)
  schedule.turn, schedule.started = sign.uuid(), nil
  local turn, kept = schedule.turn, { region = ctx.region, request_id = "scheduler" }
  local parsed = expression.parse(schedule.ScheduleExpression)
  cloud:after(0, function()
    local last, fired = cloud.clock:now(), -math.huge
    while schedule.turn == turn and not schedule.gone do
      local at = expression.next(parsed, last, schedule.CreationDate)
      if not at then return end
      cloud.clock:sleep(math.max(0, at - cloud.clock:now()))
      last = at
      local in_time = at >= (schedule.StartDate or 0) and at <= (schedule.EndDate or math.huge)
      local rested = at - fired >= LEAST * cloud.clock.scale and not is_busy(cloud, kept, schedule)
      if schedule.turn == turn and not schedule.gone and schedule.State == "ENABLED" and in_time and rested then
        fired = at
        cloud:after(0, function() fire(cloud, kept, schedule) end)
      end
    end
  end)
end

return M
