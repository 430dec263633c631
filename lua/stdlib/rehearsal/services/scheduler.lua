--- Amazon EventBridge Scheduler in the rehearsal: groups and schedules that
--- really fire, in simulated time, and really call their target.
local C = require "rehearsal.services.scheduler.common"
local expression = require "rehearsal.services.scheduler.expression"
local fire = require "rehearsal.services.scheduler.fire"
local json = require "json"
local managed = require "rehearsal.managed"
local wire = require "rehearsal.wire"

local S = {}

-- Groups -------------------------------------------------------------------

local function shown_group(group)
  return { Arn = group.Arn, Name = group.Name, State = group.State, CreationDate = group.CreationDate, LastModificationDate = group.CreationDate }
end

function S.CreateScheduleGroup(cloud, p, ctx)
  local groups, tokens = C.groups(cloud, ctx), C.tokens(cloud, ctx)
  local before = p.ClientToken and tokens[p.ClientToken]
  if before and groups[before] then return { ScheduleGroupArn = groups[before].Arn } end
  if groups[p.Name] then wire.fail("ConflictException", 409, "Schedule group %s already exists.", p.Name) end
  C.check_name("name", p.Name)
  groups[p.Name] = { Name = p.Name, Arn = C.arn(cloud, ctx, "schedule-group/%s", p.Name), State = "ACTIVE", CreationDate = cloud.clock:now(),
    Tags = managed.tags(p.Tags) }
  if p.ClientToken then tokens[p.ClientToken] = p.Name end
  return { ScheduleGroupArn = groups[p.Name].Arn }
end

function S.GetScheduleGroup(cloud, p, ctx) return shown_group(C.group(cloud, ctx, p.Name)) end

function S.ListScheduleGroups(cloud, p, ctx)
  C.group(cloud, ctx, "default")
  local list = {}
  for _, group in ipairs(managed.sorted(C.groups(cloud, ctx))) do
    if group.Name:sub(1, #(p.NamePrefix or "")) == (p.NamePrefix or "") then list[#list + 1] = shown_group(group) end
  end
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { ScheduleGroups = page, NextToken = token }
end

--- Its schedules go with it, a little later.
function S.DeleteScheduleGroup(cloud, p, ctx)
  if p.Name == "default" then wire.fail("ValidationException", 400, "The default schedule group cannot be deleted.") end
  local group = C.group(cloud, ctx, p.Name)
  group.State = "DELETING"
  cloud:after(5, function()
    for key, schedule in pairs(C.schedules(cloud, ctx)) do
      if schedule.GroupName == p.Name then
        schedule.gone = true
        C.schedules(cloud, ctx)[key] = nil
      end
    end
    C.groups(cloud, ctx)[p.Name] = nil
  end)
end

-- Schedules ----------------------------------------------------------------

local FIELDS = { "Description", "EndDate", "FlexibleTimeWindow", "KmsKeyArn", "ScheduleExpression", "ScheduleExpressionTimezone", "StartDate",
  "State", "Target", "ActionAfterCompletion" }

local function shown(schedule)
  local copy = { Arn = schedule.Arn, Name = schedule.Name, GroupName = schedule.GroupName, CreationDate = schedule.CreationDate,
    LastModificationDate = schedule.LastModificationDate }
  for _, name in ipairs(FIELDS) do copy[name] = schedule[name] end
  return copy
end

local function check_target(cloud, target)
  local iam = cloud:service "iam"
  if not iam._trusts(cloud, target.RoleArn, "scheduler.amazonaws.com") then
    wire.fail("ValidationException", 400, "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.")
  end
  local kind = fire.kind(target.Arn)
  if not kind then wire.fail("ValidationException", 400, "Provided Arn is not in correct format: %s", target.Arn) end
  if kind == "ecs" and not target.EcsParameters then wire.fail("ValidationException", 400, "EcsParameters is required for the target.") end
  if kind ~= "ecs" and target.EcsParameters then
    wire.fail("ValidationException", 400, "EcsParameters can be used only with an ECS cluster as the target.")
  end
  if kind == "universal" and type(json.decode(target.Input or "")) ~= "table" then
    wire.fail("ValidationException", 400, "Invalid request provided: Input must be the JSON of the request.")
  end
  local dead = target.DeadLetterConfig and target.DeadLetterConfig.Arn
  if dead and not dead:find "^arn:aws[%w%-]*:sqs:" then wire.fail("ValidationException", 400, "Provided Arn is not in correct format.") end
end

local function fill(cloud, schedule, p)
  if not expression.parse(p.ScheduleExpression) then
    wire.fail("ValidationException", 400, "Invalid Schedule Expression %s.", p.ScheduleExpression)
  end
  local zone = p.ScheduleExpressionTimezone or "UTC"
  if zone ~= "UTC" then wire.fail("ValidationException", 400, "The rehearsal's schedules are in UTC, not in %s.", zone) end
  if p.FlexibleTimeWindow.Mode == "FLEXIBLE" and not p.FlexibleTimeWindow.MaximumWindowInMinutes then
    wire.fail("ValidationException", 400, "MaximumWindowInMinutes is required for a flexible time window.")
  end
  check_target(cloud, p.Target)
  for _, name in ipairs(FIELDS) do schedule[name] = p[name] end
  schedule.ScheduleExpressionTimezone, schedule.State = zone, p.State or "ENABLED"
  schedule.ActionAfterCompletion = p.ActionAfterCompletion or "NONE"
  schedule.Target.RetryPolicy = schedule.Target.RetryPolicy or {}
  schedule.Target.RetryPolicy.MaximumEventAgeInSeconds = schedule.Target.RetryPolicy.MaximumEventAgeInSeconds or 86400
  schedule.Target.RetryPolicy.MaximumRetryAttempts = schedule.Target.RetryPolicy.MaximumRetryAttempts or 185
  schedule.LastModificationDate = cloud.clock:now()
end

function S.CreateSchedule(cloud, p, ctx)
  local group = p.GroupName or "default"
  C.check_name("name", p.Name)
  C.group(cloud, ctx, group, true)
  local key, tokens = group .. "/" .. p.Name, C.tokens(cloud, ctx)
  local old = C.schedules(cloud, ctx)[key]
  if old and p.ClientToken and tokens[p.ClientToken] == key then return { ScheduleArn = old.Arn } end
  if old then wire.fail("ConflictException", 409, "Schedule %s already exists.", p.Name) end
  local schedule = { Name = p.Name, GroupName = group, Arn = C.arn(cloud, ctx, "schedule/%s/%s", group, p.Name), CreationDate = cloud.clock:now() }
  fill(cloud, schedule, p)
  C.schedules(cloud, ctx)[key] = schedule
  if p.ClientToken then tokens[p.ClientToken] = key end
  fire.begin(cloud, ctx, schedule)
  return { ScheduleArn = schedule.Arn }
end

--- What is not said again goes back to its default.
function S.UpdateSchedule(cloud, p, ctx)
  local schedule = C.schedule(cloud, ctx, p)
  fill(cloud, schedule, p)
  fire.begin(cloud, ctx, schedule)
  return { ScheduleArn = schedule.Arn }
end

function S.GetSchedule(cloud, p, ctx) return shown(C.schedule(cloud, ctx, p)) end

function S.ListSchedules(cloud, p, ctx)
  local list = {}
  for _, s in ipairs(managed.sorted(C.schedules(cloud, ctx))) do
    if (not p.GroupName or s.GroupName == p.GroupName) and (not p.State or s.State == p.State)
       and s.Name:sub(1, #(p.NamePrefix or "")) == (p.NamePrefix or "") then
      list[#list + 1] = { Arn = s.Arn, Name = s.Name, GroupName = s.GroupName, State = s.State, CreationDate = s.CreationDate,
        LastModificationDate = s.LastModificationDate, Target = { Arn = s.Target.Arn } }
    end
  end
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { Schedules = page, NextToken = token }
end

function S.DeleteSchedule(cloud, p, ctx)
  local schedule = C.schedule(cloud, ctx, p)
  schedule.gone = true
  C.schedules(cloud, ctx)[schedule.GroupName .. "/" .. schedule.Name] = nil
end

-- Tags, which only groups have ---------------------------------------------

local function tagged(cloud, ctx, arn)
  return C.group(cloud, ctx, arn:match ":schedule%-group/(.+)$" or wire.fail("ValidationException", 400, "Invalid resource ARN %s.", arn))
end

function S.ListTagsForResource(cloud, p, ctx) return { Tags = tagged(cloud, ctx, p.ResourceArn).Tags } end
function S.TagResource(cloud, p, ctx) managed.add_tags(tagged(cloud, ctx, p.ResourceArn).Tags, p.Tags) end
function S.UntagResource(cloud, p, ctx) managed.remove_tags(tagged(cloud, ctx, p.ResourceArn).Tags, p.TagKeys) end

--- Ends all schedules.
function S._stop(cloud)
  for key in pairs(cloud.state) do
    local region = key:match "^scheduler/(.+)$"
    for _, schedule in pairs(region and C.schedules(cloud, { region = region }) or {}) do schedule.gone = true end
  end
end

return S
