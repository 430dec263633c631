--- An ECS service on Fargate: so many tasks of a task definition, kept running. How many, and of which revision, is said
--- here only when it is made; from then on it is deployed (recipes/heroku_to_aws/fargate.lua).
local aws = require "aws"
local ecs = require "aws.common.ecs"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "ServiceNotFoundException ClusterNotFoundException ServiceNotActiveException"

local function network(spec)
  return { awsvpcConfiguration = { subnets = noun.ids(spec.subnets), securityGroups = noun.ids(spec.groups),
                                   assignPublicIp = spec.public_ip and "ENABLED" or "DISABLED" } }
end

--- A failing deployment goes back to the last one that worked; without ECS's circuit breaker it would try for ever.
local function configuration(spec)
  return { deploymentCircuitBreaker = { enable = true, rollback = true }, maximumPercent = spec.most_percent,
           minimumHealthyPercent = spec.least_percent }
end

return recipe.kind {
  name = "aws.ecs_service",
  options = {
    { "cluster", "of aws.ecs_cluster, or its name", type = "any", required = true },
    { "task_definition", "its ARN, when the service is made", type = "string", required = true },
    { "desired", "tasks, when the service is made", type = "integer", default = 0 },
    { "subnets", "where the tasks stand", type = "list", required = true },
    { "groups", "security groups of the tasks", type = "list", required = true },
    { "public_ip", "the tasks get public addresses, which is their way out of a public subnet", type = "boolean", default = false },
    { "target_group", "of aws.target_group, or its ARN: a load balancer sends requests to the tasks", type = "any" },
    { "container", "name of the container that gets them", type = "string" },
    { "port", "and its port", type = "integer" },
    { "grace", "seconds after its start in which nobody minds that a task is not healthy", type = "integer", default = 60 },
    { "least_percent", "of the tasks that run during a deployment at least", type = "integer", default = 100 },
    { "most_percent", "and at most", type = "integer", default = 200 },
    { "exec", "a shell in a task: aws ecs execute-command", type = "boolean", default = false },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "running" }, fixed = { "cluster" }, summary = { "desired" }, idempotent = true, timeout = 1800,
  compare = { tags = "given", groups = "set", subnets = "set", task_definition = "ignore", desired = "ignore", grace = function(want, have, spec)
    return want == have or not spec.target_group             -- without a load balancer it means nothing
  end },

  read = noun.reader(GONE, function(spec, known)
    local s = ecs.service(known and known:match ":service/([^/]+)/" or noun.id(spec.cluster), spec.name)
    if not s then return nil end
    local vpc, lb, c = s.networkConfiguration.awsvpcConfiguration, s.loadBalancers and s.loadBalancers[1] or {}, s.deploymentConfiguration
    return {
      id = s.serviceArn, arn = s.serviceArn, cluster = s.clusterArn:match "[^/]*$", name = s.serviceName, task_definition = s.taskDefinition,
      desired = s.desiredCount, running = s.runningCount, subnets = vpc.subnets, groups = vpc.securityGroups or {},
      public_ip = vpc.assignPublicIp == "ENABLED", target_group = lb.targetGroupArn, container = lb.containerName, port = lb.containerPort,
      grace = s.healthCheckGracePeriodSeconds or 0, least_percent = c.minimumHealthyPercent, most_percent = c.maximumPercent,
      exec = s.enableExecuteCommand or false, tags = ecs.tag_map(s.tags), deleting = s.status == "DRAINING" or nil,
    }
  end),

  create = function(spec, ctx)
    return noun.settled("ClusterNotFoundException", 30, function()
      return aws.ecs:create_service({
        cluster = noun.id(spec.cluster), serviceName = spec.name, taskDefinition = spec.task_definition, desiredCount = spec.desired,
        launchType = "FARGATE", networkConfiguration = network(spec), deploymentConfiguration = configuration(spec),
        loadBalancers = spec.target_group and { { targetGroupArn = noun.id(spec.target_group), containerName = spec.container,
                                                 containerPort = spec.port } } or nil,
        healthCheckGracePeriodSeconds = spec.target_group and spec.grace or nil, enableExecuteCommand = spec.exec,
        propagateTags = "SERVICE", tags = ecs.tags(spec, ctx), clientToken = ctx.token,
      }).service.serviceArn
    end)
  end,

  update = function(spec, current, changes)
    local is_place = changes.subnets or changes.groups or changes.public_ip
    local is_group = changes.target_group or changes.container or changes.port
    if is_place or is_group or changes.grace or changes.least_percent or changes.most_percent or changes.exec then
      aws.ecs:update_service {
        cluster = current.cluster, service = current.name, networkConfiguration = is_place and network(spec) or nil,
        loadBalancers = is_group and { { targetGroupArn = noun.id(spec.target_group), containerName = spec.container,
                                         containerPort = spec.port } } or nil,
        healthCheckGracePeriodSeconds = changes.grace and spec.grace or nil, enableExecuteCommand = changes.exec and spec.exec,
        deploymentConfiguration = (changes.least_percent or changes.most_percent) and configuration(spec) or nil,
      }
    end
    if changes.tags then aws.ecs:tag_resource { resourceArn = current.arn, tags = ecs.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.ecs:delete_service { cluster = current.cluster, service = current.name, force = true } end)
  end,
}
