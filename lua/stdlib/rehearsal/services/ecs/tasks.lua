--- Tasks: PROVISIONING, PENDING, RUNNING, STOPPED, each with an address of its
--- own in the VPC and with real processes.
local app = require "rehearsal.planes.app"
local C = require "rehearsal.services.ecs.common"
local container_of = require "rehearsal.services.ecs.container"
local definitions = require "rehearsal.services.ecs.definitions"
local ec2_network = require "rehearsal.services.ec2.network"
local errors = require "errors"
local fs = require "fs"
local log = require "log"
local managed = require "rehearsal.managed"
local now, sleep = require "task".now, require "task".sleep
local secret = require "secret"
local sign = require "sign"

local S = {}

local FORGOTTEN = 3600                  -- simulated seconds that a stopped task is listed
local LEAST = 60                         -- real seconds that it is told at least, however fast the clock is

-- What is shown ------------------------------------------------------------

local function described(task, with_tags)
  local containers = {}
  for i, c in ipairs(task.containers) do
    containers[i] = { containerArn = c.containerArn, taskArn = task.taskArn, name = c.name, image = c.image, lastStatus = c.lastStatus,
      exitCode = c.exitCode, reason = c.reason, cpu = "0", networkBindings = {}, healthStatus = "UNKNOWN",
      networkInterfaces = task.place and { { attachmentId = task.attachment, privateIpv4Address = task.place.address } } or {} }
  end
  local details = { { name = "subnetId", value = task.subnet } }
  if task.place then
    details[2] = { name = "networkInterfaceId", value = task.interface }
    details[3] = { name = "privateIPv4Address", value = task.place.address }
  end
  return {
    taskArn = task.taskArn, clusterArn = task.clusterArn, taskDefinitionArn = task.taskDefinitionArn, lastStatus = task.lastStatus,
    desiredStatus = task.desiredStatus, group = task.group, startedBy = task.startedBy, launchType = "FARGATE", platformVersion = "1.4.0",
    platformFamily = "Linux", cpu = task.definition.cpu, memory = task.definition.memory, createdAt = task.createdAt,
    startedAt = task.startedAt, stoppingAt = task.stoppingAt, stoppedAt = task.stoppedAt, stoppedReason = task.stoppedReason,
    stopCode = task.stopCode, connectivity = "CONNECTED", healthStatus = "UNKNOWN", overrides = task.overrides or { containerOverrides = {} },
    availabilityZone = task.zone, containers = containers, enableExecuteCommand = task.exec or false, version = 1,
    attachments = { { id = task.attachment, type = "ElasticNetworkInterface", status = task.place and "ATTACHED" or "PRECREATED",
                      details = details } }, tags = with_tags and task.tags or {},
  }
end

-- Their life ---------------------------------------------------------------

local function finish(cloud, ctx, task, code, reason)
  if task.lastStatus == "STOPPED" then return end
  task.lastStatus, task.desiredStatus, task.stopCode, task.stoppedReason = "STOPPED", "STOPPED", task.stopCode or code, task.stoppedReason or reason
  task.stoppedAt = cloud.clock:now()
  task.stoppingAt = task.stoppingAt or task.stoppedAt
  for _, c in ipairs(task.containers) do c.lastStatus = "STOPPED" end
  local place = task.place
  task.place = nil
  if place then managed.leave(cloud, ctx, place) end
  cloud:after(math.max(FORGOTTEN, LEAST * cloud.clock.scale), function() task.cluster.tasks[task.id] = nil end)
end

--- Ends a task: its processes get TERM, and KILL if they stay.
---@param code string "UserInitiated"
---@param drained? fun() waits until nobody is sent to it any more
function S._stop_task(cloud, ctx, task, code, reason, drained)
  if task.desiredStatus == "STOPPED" then return end
  task.desiredStatus, task.stopCode, task.stoppedReason, task.stoppingAt = "STOPPED", code, reason, cloud.clock:now()
  cloud:after(0, function()
    while task.starting do sleep(0.05) end
    if task.lastStatus == "RUNNING" then task.lastStatus = drained and "DEACTIVATING" or "STOPPING" end
    if drained then
      drained()
      task.lastStatus = "STOPPING"
    end
    if task.app then task.app:stop() end
    for _, c in ipairs(task.containers) do
      local entry = task.app and task.app.entries[c.entry]
      if entry and entry.code then c.exitCode = entry.code end
    end
    finish(cloud, ctx, task, code, reason)
  end)
end

--- A container has ended by itself.
local function ended(cloud, ctx, task, entry)
  for i, c in ipairs(task.containers) do
    if task.app and task.app.entries[c.entry] == entry then
      c.lastStatus, c.exitCode = "STOPPED", entry.code
      if task.definition.containerDefinitions[i].essential then
        S._stop_task(cloud, ctx, task, "EssentialContainerExited", "Essential container in task exited")
      end
    end
  end
end

--- Without namespaces all hosts share their ports: whoever obeys $PORT gets a free one.
local function settle_ports(cloud, task, service)
  if cloud.net.isolated then return end
  for _, port in ipairs(service.ports) do
    if secret.equal(service.env.PORT or "", tostring(port.inside)) then
      task.local_ports[port.outside] = fs.free_port(task.place.address, true)
      port.inside = task.local_ports[port.outside]
      port.outside = port.inside
      service.env.PORT = tostring(port.inside)
    end
  end
end

local function start(cloud, ctx, task)
  local services, sinks, folders = {}, {}, {}
  for i, container in ipairs(task.definition.containerDefinitions) do
    local service, sink, folder = container_of.process(cloud, ctx, task, container)
    settle_ports(cloud, task, service)
    services[i], sinks[container.name], folders[i] = service, sink, folder
    task.containers[i].entry = i
  end
  if not cloud.servers then return end
  task.app = app.start { services = services, prefix = task.place.host.prefix, folders = folders, restart = false,
    sink = function(name, _, line) if sinks[name] then sinks[name](line) end end,
    ended = function(entry) ended(cloud, ctx, task, entry) end }
end

local function live(cloud, ctx, task)
  cloud.clock:sleep(5)
  if task.desiredStatus == "STOPPED" then return finish(cloud, ctx, task) end
  task.place = managed.place(cloud, ctx, task.subnet, task.groups, task.interface)
  task.zone, task.lastStatus = task.place.zone, "PENDING"
  cloud.clock:sleep(10)
  if task.desiredStatus == "STOPPED" then return finish(cloud, ctx, task) end
  local ok, e = xpcall(function()
    if not ec2_network._reaches_out(cloud, ctx, task.subnet, task.public) then
      errors.raise { kind = "invalid", op = "start the task", message = "ResourceInitializationError: unable to pull secrets or registry auth: "
        .. "The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. "
        .. "Check your task network configuration." }
    end
    task.starting = true
    start(cloud, ctx, task)
  end, errors.handler)
  task.starting = nil
  if not ok then
    if errors.is(e, "cancelled") then error(e, 0) end
    if not errors.is(e, "invalid") then log.warn("the rehearsal's ECS: %s\n%s", tostring(e), e.traceback or "") end
    return finish(cloud, ctx, task, "TaskFailedToStart", errors.is(e, "invalid") and e.message or tostring(e))
  end
  if task.desiredStatus == "STOPPED" then return end
  task.lastStatus, task.startedAt, task.running_since = "RUNNING", cloud.clock:now(), now()
  for _, c in ipairs(task.containers) do if c.lastStatus ~= "STOPPED" then c.lastStatus = "RUNNING" end end
end

--- The subnet, groups and address of a task, checked.
---@return { subnets: string[], groups: string[], public: boolean }
function S._network(cloud, ctx, configuration)
  local vpc_of = configuration and configuration.awsvpcConfiguration
  if not vpc_of then
    C.invalid "Network Configuration must be provided when networkMode 'awsvpc' is specified."
  end
  if #vpc_of.subnets == 0 then C.invalid "subnets can not be empty." end
  local _, vpc = managed.subnets(cloud, ctx, vpc_of.subnets, function(_, ids)
    C.invalid("Error retrieving subnet information for %s.", tostring(ids))
  end)
  local groups = managed.security_groups(cloud, ctx, vpc, vpc_of.securityGroups, function(_, id)
    C.invalid("Error retrieving security group information for %s.", tostring(id))
  end)
  if #groups > 5 then C.invalid "Number of security groups must be less than or equal to 5." end
  return { subnets = vpc_of.subnets, groups = groups, public = vpc_of.assignPublicIp == "ENABLED" }
end

--- Starts a task.
---@param o { cluster: table, definition: table, network: table, group: string, by: string?, overrides: table?, exec: boolean?, tags: table[] }
function S._launch(cloud, ctx, o)
  local id = C.id()
  o.cluster.turn = (o.cluster.turn or 0) + 1
  local task = {
    id = id, taskArn = C.arn(cloud, ctx, "task/%s/%s", o.cluster.clusterName, id), cluster = o.cluster, clusterArn = o.cluster.clusterArn,
    definition = o.definition, taskDefinitionArn = o.definition.taskDefinitionArn, lastStatus = "PROVISIONING", desiredStatus = "RUNNING",
    group = o.group, startedBy = o.by, overrides = o.overrides, createdAt = cloud.clock:now(), exec = o.exec, tags = o.tags, local_ports = {},
    subnet = o.network.subnets[o.cluster.turn % #o.network.subnets + 1], groups = o.network.groups, public = o.network.public,
    attachment = sign.uuid(), interface = cloud:new_id "eni", containers = {},
  }
  for i, container in ipairs(o.definition.containerDefinitions) do
    task.containers[i] = { name = container.name, image = container.image, lastStatus = "PENDING",
      containerArn = C.arn(cloud, ctx, "container/%s/%s/%s", o.cluster.clusterName, id, sign.uuid()) }
  end
  o.cluster.tasks[id] = task
  cloud:after(0, function() live(cloud, ctx, task) end)
  return task
end

-- The API ------------------------------------------------------------------

local function definition_of(cloud, ctx, name)
  local found = definitions._definition(cloud, ctx, name)
  if not found then C.client "TaskDefinition not found." end
  if found.status ~= "ACTIVE" then C.client "TaskDefinition is inactive" end
  return found
end
S._usable_definition = definition_of

--- The same token starts the same tasks.
function S.RunTask(cloud, p, ctx)
  local cluster = C.cluster(cloud, ctx, p.cluster)
  local definition = definition_of(cloud, ctx, p.taskDefinition)
  if (p.launchType or "FARGATE") ~= "FARGATE" then C.invalid "No Container Instances were found in your cluster." end
  C.pass_roles(cloud, ctx, definition)
  if p.startedBy and (#p.startedBy > 128 or not p.startedBy:find "^[%w_/%-]+$") then C.invalid "Invalid startedBy value." end
  if (p.count or 1) > 10 then C.invalid "count cannot be greater than 10." end
  local network = S._network(cloud, ctx, p.networkConfiguration)
  for _, o in ipairs(p.overrides and p.overrides.containerOverrides or {}) do
    local known = false
    for _, c in ipairs(definition.containerDefinitions) do known = known or c.name == o.name end
    if not known then C.invalid("Override for container named %s is not a container in the TaskDefinition.", tostring(o.name)) end
  end
  cluster.tokens = cluster.tokens or {}
  local before = p.clientToken and cluster.tokens[p.clientToken]
  if before then
    for i, task in ipairs(before) do before[i] = task end
  else
    before = {}
    for i = 1, p.count or 1 do
      before[i] = S._launch(cloud, ctx, { cluster = cluster, definition = definition, network = network, overrides = p.overrides, by = p.startedBy,
        group = p.group or "family:" .. definition.family, exec = p.enableExecuteCommand, tags = C.tags(p.tags) })
    end
    if p.clientToken then cluster.tokens[p.clientToken] = before end
  end
  local shown = {}
  for i, task in ipairs(before) do shown[i] = described(task, true) end
  return { tasks = shown, failures = {} }
end

function S.DescribeTasks(cloud, p, ctx)
  local cluster = C.cluster(cloud, ctx, p.cluster)
  local found, failures = {}, {}
  for _, name in ipairs(p.tasks) do
    local task = cluster.tasks[C.short(name)]
    if task then found[#found + 1] = described(task, C.wants_tags(p))
    else failures[#failures + 1] = { arn = C.arn(cloud, ctx, "task/%s/%s", cluster.clusterName, C.short(name)), reason = "MISSING" } end
  end
  return { tasks = found, failures = failures }
end

function S.ListTasks(cloud, p, ctx)
  local cluster = C.cluster(cloud, ctx, p.cluster)
  local list = {}
  for _, task in pairs(cluster.tasks) do
    if task.desiredStatus == (p.desiredStatus or "RUNNING") and (not p.family or task.definition.family == p.family)
       and (not p.startedBy or task.startedBy == p.startedBy) and (not p.serviceName or task.group == "service:" .. C.short(p.serviceName)) then
      list[#list + 1] = task
    end
  end
  table.sort(list, function(a, b) return a.createdAt < b.createdAt or a.createdAt == b.createdAt and a.id < b.id end)
  for i, task in ipairs(list) do list[i] = task.taskArn end
  local page, token = C.page(cloud, p, list)
  return { taskArns = page, nextToken = token }
end

function S.StopTask(cloud, p, ctx)
  local cluster = C.cluster(cloud, ctx, p.cluster)
  local task = cluster.tasks[C.short(p.task)] or C.invalid "The referenced task was not found."
  S._stop_task(cloud, ctx, task, "UserInitiated", p.reason or "Task stopped by user")
  return { task = described(task) }
end

--- Ends all processes of all tasks.
function S._stop_all(cloud)
  for _, where in ipairs(C.everywhere(cloud)) do
    for _, task in pairs(where.cluster.tasks) do
      if task.app then task.app:stop() task.app = nil end
    end
  end
end

return S
