--- A schedule of EventBridge Scheduler: calls an operation of AWS, or starts a task of ECS, at its times. It is made
--- disabled; aws.common.scheduler switches it on and off, and what it is then is no difference here.
---
---     aws.schedule { "report", group = group, expression = "cron(30 3 * * ? *)", role = role.arn,
---       target = "arn:aws:scheduler:::aws-sdk:ssm:sendCommand", input = { DocumentName = "AWS-RunShellScript", ... } }
local aws = require "aws"
local diff = require "recipe.diff"
local json = require "json"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "ResourceNotFoundException"

--- A task of Fargate as Scheduler is told it.
local function ecs_parameters(t)
  return t and {
    TaskDefinitionArn = t.task_definition, LaunchType = "FARGATE", TaskCount = 1, EnableExecuteCommand = t.exec or false,
    PropagateTags = "TASK_DEFINITION",
    NetworkConfiguration = { awsvpcConfiguration = { Subnets = noun.ids(t.subnets), SecurityGroups = noun.ids(t.groups),
                                                     AssignPublicIp = t.public_ip and "ENABLED" or "DISABLED" } } } or nil
end

local function body(spec, enabled)
  return {
    Name = spec.name, GroupName = noun.id(spec.group), Description = spec.description, ScheduleExpression = spec.expression,
    ScheduleExpressionTimezone = spec.timezone, FlexibleTimeWindow = { Mode = "OFF" }, State = enabled and "ENABLED" or "DISABLED",
    Target = {
      Arn = spec.target, RoleArn = spec.role, Input = spec.input and json.encode(spec.input, { sort = true }) or nil,
      EcsParameters = ecs_parameters(spec.task), DeadLetterConfig = spec.dead_letter and { Arn = spec.dead_letter } or nil,
      RetryPolicy = { MaximumRetryAttempts = spec.retries, MaximumEventAgeInSeconds = spec.max_age },
    },
  }
end

local function same_task(want, have)
  return diff.same(noun.ids { want.task_definition }, { have and have.task_definition }) and (want.public_ip or false) == have.public_ip
         and (want.exec or false) == have.exec and diff.comparer "set"(noun.ids(want.subnets), have.subnets)
         and diff.comparer "set"(noun.ids(want.groups), have.groups)
end

return recipe.kind {
  name = "aws.schedule",
  options = {
    { "group", "of aws.schedule_group, or its name", type = "any", required = true },
    { "expression", "rate(10 minutes), cron(30 3 * * ? *), at(2026-11-23T14:00:00)", type = "string", required = true },
    { "timezone", "in which the expression is read", type = "string", default = "UTC" },
    { "target", "ARN of an ECS cluster, or arn:aws:scheduler:::aws-sdk:SERVICE:OPERATION", type = "string", required = true },
    { "input", "the request of that operation, in AWS's names", type = "table" },
    { "task", "of a cluster: { task_definition =, subnets =, groups =, public_ip =, exec = }", type = "table" },
    { "role", "ARN of the role that it calls the target with", type = "string", required = true },
    { "dead_letter", "ARN of the SQS queue that gets what could not be started", type = "string" },
    { "retries", "times that a call is tried again", type = "integer", default = 3 },
    { "max_age", "seconds after its time in which it is still tried", type = "integer", default = 600 },
    { "description", "what it is for", type = "string" },
  },
  outputs = { "arn", "enabled" }, fixed = { "group" }, summary = { "expression", "description" }, idempotent = true, tagless = true,
  compare = { task = same_task },

  read = noun.reader(GONE, function(spec)
    local s = aws.scheduler:get_schedule { GroupName = noun.id(spec.group), Name = spec.name }
    local e = s.Target.EcsParameters
    local vpc = e and e.NetworkConfiguration and e.NetworkConfiguration.awsvpcConfiguration or {}
    return {
      id = ("%s/%s"):format(s.GroupName, s.Name), arn = s.Arn, group = s.GroupName, expression = s.ScheduleExpression,
      timezone = s.ScheduleExpressionTimezone, target = s.Target.Arn, role = s.Target.RoleArn, description = s.Description,
      input = s.Target.Input and json.decode(s.Target.Input) or nil, dead_letter = s.Target.DeadLetterConfig and s.Target.DeadLetterConfig.Arn,
      retries = s.Target.RetryPolicy and s.Target.RetryPolicy.MaximumRetryAttempts,
      max_age = s.Target.RetryPolicy and s.Target.RetryPolicy.MaximumEventAgeInSeconds, enabled = s.State == "ENABLED",
      task = e and { task_definition = e.TaskDefinitionArn, subnets = vpc.Subnets, groups = vpc.SecurityGroups,
                     exec = e.EnableExecuteCommand or false, public_ip = vpc.AssignPublicIp == "ENABLED" } or nil,
    }
  end),

  create = function(spec, ctx)
    local args = body(spec, false)
    args.ClientToken = ctx.token
    -- a role that was just made is not known everywhere yet, and is refused as one that does not trust Scheduler
    noun.settled("ValidationException ResourceNotFoundException", 60, function() aws.scheduler:create_schedule(args) end)
    return ("%s/%s"):format(args.GroupName, spec.name)
  end,

  update = function(spec, current)
    aws.scheduler:update_schedule(body(spec, current.enabled))
  end,

  delete = function(current)
    local group, name = current.id:match "^(.-)/(.*)$"
    noun.delete(GONE, function() aws.scheduler:delete_schedule { GroupName = group, Name = name } end)
  end,
}
