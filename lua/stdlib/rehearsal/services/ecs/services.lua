--- Services: so many tasks of a definition, kept running, behind a target
--- group if there is one. How they come and go stands in steer.lua.
local C = require "rehearsal.services.ecs.common"
local managed = require "rehearsal.managed"
local steer = require "rehearsal.services.ecs.steer"
local tasks = require "rehearsal.services.ecs.tasks"
local wire = require "rehearsal.wire"

local S = {}

local function deployment_of(service, d)
  local up, pending = steer.counts(service, d)
  return { id = d.id, status = d.status, taskDefinition = d.definition.taskDefinitionArn, desiredCount = d.desired, pendingCount = pending,
    runningCount = up, failedTasks = d.failed, createdAt = d.createdAt, updatedAt = d.updatedAt, launchType = "FARGATE", platformVersion = "1.4.0",
    platformFamily = "Linux", networkConfiguration = service.networkConfiguration, rolloutState = d.rollout, rolloutStateReason = d.reason }
end

local function described(cloud, service, with_tags)
  local up, pending = steer.counts(service)
  local deployments, events = {}, {}
  for i, d in ipairs(service.deployments) do deployments[i] = deployment_of(service, d) end
  for i = #service.events, math.max(1, #service.events - 99), -1 do events[#events + 1] = service.events[i] end
  local configuration = service.deploymentConfiguration
  return {
    serviceArn = service.serviceArn, serviceName = service.serviceName, clusterArn = service.clusterArn, loadBalancers = service.loadBalancers,
    serviceRegistries = {}, status = service.status, desiredCount = service.desired, runningCount = up, pendingCount = pending,
    launchType = "FARGATE", platformVersion = "LATEST", platformFamily = "Linux", taskDefinition = service.definition.taskDefinitionArn,
    deploymentConfiguration = configuration, deployments = deployments, events = events, createdAt = service.createdAt,
    networkConfiguration = service.networkConfiguration, healthCheckGracePeriodSeconds = service.grace, schedulingStrategy = "REPLICA",
    deploymentController = { type = "ECS" }, tags = with_tags and service.tags or {}, createdBy = cloud:arn("iam", nil, "root"),
    enableECSManagedTags = service.managed_tags, propagateTags = service.propagateTags or "NONE", enableExecuteCommand = service.exec,
    placementConstraints = {}, placementStrategy = {},
    roleArn = #service.loadBalancers > 0 and cloud:arn("iam", nil, "role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS") or nil,
  }
end

local function service_of(cluster, name)
  local service = cluster.services[C.short(name)]
  if not service or service.status == "INACTIVE" then wire.fail("ServiceNotFoundException", 400, "Service not found.") end
  return service
end

local function configuration_of(given, before)
  local c = { maximumPercent = 200, minimumHealthyPercent = 100, deploymentCircuitBreaker = { enable = false, rollback = false } }
  for _, from in ipairs { before or {}, given or {} } do
    for name in pairs(c) do if from[name] ~= nil then c[name] = from[name] end end
  end
  if c.maximumPercent <= c.minimumHealthyPercent and c.maximumPercent <= 100 and c.minimumHealthyPercent >= 100 then
    C.invalid "The maximumPercent must be greater than minimumHealthyPercent to allow a deployment."
  end
  return c
end

--- A container of the definition must listen on the port, and the group must belong to a load balancer.
local function check_load_balancers(cloud, ctx, definition, list)
  local elb = cloud:service "elbv2"
  for _, lb in ipairs(list) do
    local known = false
    for _, container in ipairs(definition.containerDefinitions) do
      for _, port in ipairs(container.portMappings) do
        known = known or container.name == lb.containerName and port.containerPort == lb.containerPort
      end
    end
    if not known then
      C.invalid("The container %s did not have a container port %s defined.", tostring(lb.containerName), tostring(lb.containerPort))
    end
    local ok, answer = pcall(elb.DescribeTargetGroups, cloud, { TargetGroupArns = { lb.targetGroupArn } }, ctx)
    local group = ok and answer.TargetGroups[1]
    if not group then C.invalid("The target group %s does not exist.", tostring(lb.targetGroupArn)) end
    if group.TargetType ~= "ip" then
      C.invalid("The provided target group %s has target type %s, which is incompatible with the awsvpc network mode specified in the task "
        .. "definition.", lb.targetGroupArn, group.TargetType)
    end
    if #group.LoadBalancerArns == 0 then
      C.invalid("The target group with targetGroupArn %s does not have an associated load balancer.", lb.targetGroupArn)
    end
  end
end

function S.CreateService(cloud, p, ctx)
  local cluster = C.cluster(cloud, ctx, p.cluster)
  if not p.serviceName:find "^[%w_%-]+$" or #p.serviceName > 255 then C.invalid "Service name contains invalid characters." end
  if (p.launchType or "FARGATE") ~= "FARGATE" or p.schedulingStrategy == "DAEMON" then C.invalid "The rehearsal runs services on Fargate only." end
  if not p.taskDefinition then C.invalid "TaskDefinition can not be blank." end
  if not p.desiredCount then C.invalid "Create service: the desired count is missing." end
  local definition = tasks._usable_definition(cloud, ctx, p.taskDefinition)
  local old = cluster.services[p.serviceName]
  if old and old.status ~= "INACTIVE" then
    if p.clientToken and old.token == p.clientToken then return { service = described(cloud, old, true) } end
    if old.status == "DRAINING" then C.invalid "Unable to Start a service that is still Draining." end
    C.invalid "Creation of service was not idempotent."
  end
  local network = tasks._network(cloud, ctx, p.networkConfiguration)
  check_load_balancers(cloud, ctx, definition, p.loadBalancers or {})
  local service = {
    serviceName = p.serviceName, serviceArn = C.arn(cloud, ctx, "service/%s/%s", cluster.clusterName, p.serviceName), cluster = cluster,
    clusterArn = cluster.clusterArn, status = "ACTIVE", desired = p.desiredCount, definition = definition, loadBalancers = p.loadBalancers or {},
    network = network, networkConfiguration = p.networkConfiguration, deploymentConfiguration = configuration_of(p.deploymentConfiguration),
    grace = p.healthCheckGracePeriodSeconds or 0, exec = p.enableExecuteCommand or false, managed_tags = p.enableECSManagedTags or false,
    propagateTags = p.propagateTags, tags = C.tags(p.tags), createdAt = cloud.clock:now(), deployments = {}, events = {}, token = p.clientToken,
  }
  cluster.services[p.serviceName] = service
  steer.deploy(cloud, service, definition)
  steer.begin(cloud, ctx, service)
  return { service = described(cloud, service, true) }
end

function S.UpdateService(cloud, p, ctx)
  local cluster = C.cluster(cloud, ctx, p.cluster)
  local service = service_of(cluster, p.service)
  if service.status ~= "ACTIVE" then wire.fail("ServiceNotActiveException", 400, "Service was not ACTIVE.") end
  local definition = p.taskDefinition and tasks._usable_definition(cloud, ctx, p.taskDefinition) or service.definition
  if p.loadBalancers then check_load_balancers(cloud, ctx, definition, p.loadBalancers) end
  local network = p.networkConfiguration and tasks._network(cloud, ctx, p.networkConfiguration)
  if p.deploymentConfiguration then
    service.deploymentConfiguration = configuration_of(p.deploymentConfiguration, service.deploymentConfiguration)
  end
  service.grace = p.healthCheckGracePeriodSeconds or service.grace
  if p.enableExecuteCommand ~= nil then service.exec = p.enableExecuteCommand end
  if p.propagateTags then service.propagateTags = p.propagateTags end
  if p.desiredCount then
    service.desired = p.desiredCount
    service.deployments[1].desired = p.desiredCount
    service.deployments[1].updatedAt = cloud.clock:now()
  end
  local is_new = definition ~= service.definition or p.forceNewDeployment or network or p.loadBalancers
  service.loadBalancers = p.loadBalancers or service.loadBalancers
  if network then service.network, service.networkConfiguration = network, p.networkConfiguration end
  service.definition = definition
  if is_new then steer.deploy(cloud, service, definition)
  elseif p.desiredCount then steer.unsettle(service) end
  return { service = described(cloud, service) }
end

--- Active tasks must be scaled away first, or the deletion forced.
function S.DeleteService(cloud, p, ctx)
  local cluster = C.cluster(cloud, ctx, p.cluster)
  local service = service_of(cluster, p.service)
  if not p.force and service.desired > 0 then C.invalid "The service cannot be stopped while it is scaled above 0." end
  service.status, service.desired = "DRAINING", 0
  for _, d in ipairs(service.deployments) do d.desired = 0 end
  return { service = described(cloud, service) }
end

function S.DescribeServices(cloud, p, ctx)
  local cluster = C.cluster(cloud, ctx, p.cluster)
  if #p.services > 10 then C.invalid "Cannot describe more than 10 services." end
  local found, failures = {}, {}
  for _, name in ipairs(p.services) do
    local service = cluster.services[C.short(name)]
    if service then found[#found + 1] = described(cloud, service, C.wants_tags(p))
    else failures[#failures + 1] = { arn = C.arn(cloud, ctx, "service/%s/%s", cluster.clusterName, C.short(name)), reason = "MISSING" } end
  end
  return { services = found, failures = failures }
end

function S.ListServices(cloud, p, ctx)
  local arns = {}
  for _, service in ipairs(managed.sorted(C.cluster(cloud, ctx, p.cluster).services)) do
    if service.status ~= "INACTIVE" then arns[#arns + 1] = service.serviceArn end
  end
  local page, token = C.page(cloud, { nextToken = p.nextToken, maxResults = p.maxResults or 10 }, arns)
  return { serviceArns = page, nextToken = token }
end

--- The services of a region, and how many of their tasks run.
---@return { cluster: string, service: string, running: integer }[]
function S._running(cloud, region)
  local list = {}
  for _, cluster in ipairs(managed.sorted(C.clusters(cloud, { region = region }))) do
    for _, service in ipairs(managed.sorted(cluster.services)) do
      list[#list + 1] = { cluster = cluster.clusterName, service = service.serviceName, running = (steer.counts(service)) }
    end
  end
  return list
end

--- The app that a service with a load balancer runs, for the rehearsal's own checks.
---@return { environment: string, url: string, env: table<string, string|Secret> }[]
function S._app(cloud)
  local list = {}
  for _, where in ipairs(C.everywhere(cloud)) do
    for _, task in pairs(where.cluster.tasks) do
      local service = where.cluster.services[(task.group or ""):match "^service:(.*)$" or ""]
      local lb = service and service.loadBalancers[1]
      if lb and task.lastStatus == "RUNNING" and task.app then
        for _, balancer in ipairs(cloud:service "elbv2"._urls(cloud, lb.targetGroupArn)) do
          list[#list + 1] = { environment = service.serviceName, url = balancer.url, env = task.app.services[1].env, status = service.status }
        end
      end
    end
  end
  return list
end

function S._stop(cloud)
  for _, where in ipairs(C.everywhere(cloud)) do
    for _, service in pairs(where.cluster.services) do service.status = "INACTIVE" end
  end
  tasks._stop_all(cloud)
end

return S
