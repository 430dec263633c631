--- What the ECS nouns share: tags, which ECS writes in lower case; a service as it is now; waiting for it; tasks that run once.
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"

local M = {}

function M.tag_list(map)
  local list = {}
  for i, t in ipairs(noun.tag_list(map)) do list[i] = { key = t.Key, value = t.Value } end
  return list
end

function M.tags(spec, ctx) return M.tag_list(noun.tag_map(noun.tags(spec, ctx))) end

function M.tag_map(list)
  local map = {}
  for _, t in ipairs(list or {}) do map[t.key] = t.value end
  return map
end

--- A service of a cluster, if it is not gone.
---@return table? service as the API describes it
function M.service(cluster, name)
  local answer = noun.found("ClusterNotFoundException", aws.ecs.describe_services, aws.ecs,
    { cluster = cluster, services = { name }, include = { "TAGS" } })
  local service = answer and answer.services[1]
  return service and service.status ~= "INACTIVE" and service or nil
end

--- Why tasks of a deployment ended, in ECS's words.
local function why(cluster, service, deployment)
  local arns = aws.ecs:list_tasks({ cluster = cluster, serviceName = service, desiredStatus = "STOPPED" }).taskArns
  if #arns == 0 then return nil end
  for _, t in ipairs(aws.ecs:describe_tasks({ cluster = cluster, tasks = table.move(arns, 1, math.min(#arns, 100), 1, {}) }).tasks) do
    if t.startedBy == deployment and t.stoppedReason then
      local code = t.containers[1] and t.containers[1].exitCode
      return code and ("%s, with code %d"):format(t.stoppedReason, code) or t.stoppedReason
    end
  end
end

--- Waits until a service runs what it was told to, as often as it was told to. Raises what ECS says of tasks that fail.
---@param ctx table with note
---@param cluster string
---@param name string of the service
---@param seconds number
---@param is_done fun(service: table, primary: table): boolean
---@return table service
function M.wait(ctx, cluster, name, seconds, is_done)
  return noun.wait(ctx, ("the service %s is not steady"):format(name), seconds, function()
    local s = M.service(cluster, name)
    if not s then errors.raise { kind = "not_found", op = "wait for the service " .. name, message = "it is gone" } end
    local primary
    for _, d in ipairs(s.deployments) do
      if d.status == "PRIMARY" then primary = d end
    end
    if primary.rolloutState == "FAILED" or (primary.rolloutStateReason or ""):find("rolling back", 1, true) then
      local failed = primary
      for _, d in ipairs(s.deployments) do if d.rolloutState == "FAILED" then failed = d end end
      errors.raise { kind = "remote", op = "deploy to the service " .. name,
        message = why(cluster, name, failed.id) or failed.rolloutStateReason or "its tasks failed to start",
        hint = "the log group of the service says more; apply again tries again" }
    end
    if is_done(s, primary) then return s end
    return nil, ("%d of %d tasks run%s"):format(primary.runningCount, s.desiredCount,
      s.events[1] and ": " .. s.events[1].message:gsub("^%(service [^)]*%) ", "") or "")
  end)
end

--- Runs one task to its end. The call has a token, so that one whose answer is lost starts no second task.
---@param ctx table with note
---@param args table of RunTask
---@param seconds number
---@param under_way? string ARN of a task that runs already: it is only waited for
---@return { id: string, code: integer } ended
function M.run(ctx, args, seconds, under_way)
  local arn = under_way
  if not arn then
    local answer = aws.ecs:run_task(args)
    local task = answer.tasks[1] or errors.raise { kind = "remote", op = "run a task of " .. args.taskDefinition,
      message = answer.failures[1] and answer.failures[1].reason or "ECS started none" }
    arn = task.taskArn
  end
  local seen = false
  local ended = noun.wait(ctx, "the task has not ended", seconds, function()
    local now = aws.ecs:describe_tasks({ cluster = args.cluster, tasks = { arn } }).tasks[1]
    if now and now.lastStatus == "STOPPED" then return now end
    if seen and not now then                                 -- ECS tells of one that has ended for an hour
      errors.raise { kind = "remote", op = "run a task of " .. args.taskDefinition, message = "it ended so long ago that ECS does not know how" }
    end
    seen = seen or now ~= nil
    return nil, now and now.lastStatus or "starting"
  end)
  local code = ended.containers[1] and ended.containers[1].exitCode
  if not code then
    errors.raise { kind = "remote", op = "run a task of " .. args.taskDefinition, message = ended.stoppedReason or "it ended without an exit code" }
  end
  return { id = arn:match "[^/]*$", code = code }
end

return M
