--- Task definitions: families of revisions, checked as Fargate checks them.
local C = require "rehearsal.services.ecs.common"

local S = {}

--- Memory in MiB that Fargate has for each cpu: from, to, step.
--- https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html
local SIZES = { [256] = { 512, 1024, 2048 }, [512] = { from = 1024, to = 4096, step = 1024 }, [1024] = { from = 2048, to = 8192, step = 1024 },
  [2048] = { from = 4096, to = 16384, step = 1024 }, [4096] = { from = 8192, to = 30720, step = 1024 },
  [8192] = { from = 16384, to = 61440, step = 4096 }, [16384] = { from = 32768, to = 122880, step = 8192 } }

local function fits(cpu, memory)
  local sizes = SIZES[cpu]
  if not sizes then return false end
  for _, size in ipairs(sizes) do if size == memory then return true end end
  return sizes.from ~= nil and memory >= sizes.from and memory <= sizes.to and (memory - sizes.from) % sizes.step == 0
end

--- "1024", "1 vCPU", "2 GB" as a number.
local function units(text, unit)
  local n, word = text:match "^(%d*%.?%d+)%s*([%a]*)$"
  n = tonumber(n)
  if not n then return nil end
  return math.tointeger(word == "" and n or word:lower() == unit and n * 1024 or nil)
end

local function check_fargate(p)
  if p.networkMode ~= "awsvpc" then C.client "Fargate only supports network mode 'awsvpc'." end
  if not p.cpu or not p.memory then C.client "Fargate requires that 'cpu' and 'memory' be defined at the task level." end
  if not fits(units(p.cpu, "vcpu"), units(p.memory, "gb") or 0) then
    C.client("No Fargate configuration exists for given values: %s CPU, %s memory. See the Amazon ECS documentation for the valid values.",
      p.cpu, p.memory)
  end
  for _, container in ipairs(p.containerDefinitions) do
    local driver = container.logConfiguration and container.logConfiguration.logDriver
    if not p.executionRoleArn and (driver == "awslogs" or #(container.secrets or {}) > 0) then
      C.client("Fargate requires task definition to have execution role ARN to support %s.",
        driver == "awslogs" and "log driver awslogs" or "secrets")
    end
  end
end

local function check_containers(list)
  if #list == 0 then C.client "Container list cannot be empty." end
  local names, essential = {}, false
  for _, container in ipairs(list) do
    if not container.name or not container.name:find "^[%w_%-]+$" then C.client "Container.name contains invalid characters." end
    if names[container.name] then C.client("Container.name '%s' is not unique.", container.name) end
    names[container.name] = true
    if not container.image or container.image == "" then C.client "Container.image should not be null or empty." end
    if container.essential == nil then container.essential = true end
    essential = essential or container.essential
    container.environment, container.secrets = container.environment or {}, container.secrets or {}
    container.portMappings = container.portMappings or {}
    container.cpu, container.mountPoints, container.volumesFrom = container.cpu or 0, container.mountPoints or {}, container.volumesFrom or {}
    local seen = {}
    for _, entry in ipairs(container.secrets) do
      if not entry.valueFrom:find "^arn:aws[%w%-]*:secretsmanager:" and not entry.valueFrom:find "^arn:aws[%w%-]*:ssm:"
         and not entry.valueFrom:find "^/?[%w_%.%-/]+$" then
        C.client("Invalid secret: the value of '%s' is no ARN and no name of a parameter.", entry.name)
      end
      seen[entry.name] = true
    end
    for _, entry in ipairs(container.environment) do
      if seen[entry.name] then
        C.client("The secret name must be unique and not shared with any new or existing environment variables set on the container, "
          .. "such as '%s'.", entry.name)
      end
    end
    for _, port in ipairs(container.portMappings) do
      port.hostPort, port.protocol = port.hostPort or port.containerPort, port.protocol or "tcp"
      if port.hostPort ~= port.containerPort then
        C.client "When networkMode=awsvpc, the host ports and container ports in port mappings must match."
      end
    end
  end
  if not essential then C.client "At least one container must be essential." end
end

function S.RegisterTaskDefinition(cloud, p, ctx)
  if #p.family > 255 or not p.family:find "^[%w_%-]+$" then C.client "Family contains invalid characters." end
  check_containers(p.containerDefinitions)
  local is_fargate = false
  for _, kind in ipairs(p.requiresCompatibilities or {}) do is_fargate = is_fargate or kind == "FARGATE" end
  if not is_fargate then C.client "The rehearsal runs tasks on Fargate only: requiresCompatibilities must name FARGATE." end
  check_fargate(p)
  C.pass_roles(cloud, ctx, p)
  local families = C.families(cloud, ctx)
  local family = families[p.family] or { latest = 0 }
  families[p.family] = family
  family.latest = family.latest + 1
  local definition = {
    taskDefinitionArn = C.arn(cloud, ctx, "task-definition/%s:%d", p.family, family.latest), family = p.family, revision = family.latest,
    containerDefinitions = p.containerDefinitions, taskRoleArn = p.taskRoleArn, executionRoleArn = p.executionRoleArn,
    networkMode = p.networkMode, volumes = p.volumes or {}, status = "ACTIVE", placementConstraints = {}, requiresAttributes = {},
    compatibilities = { "EC2", "FARGATE" }, requiresCompatibilities = p.requiresCompatibilities, cpu = p.cpu, memory = p.memory,
    runtimePlatform = p.runtimePlatform, registeredAt = cloud.clock:now(), registeredBy = cloud:arn("iam", nil, "root"), tags = C.tags(p.tags),
  }
  family[family.latest] = definition
  return { taskDefinition = definition, tags = definition.tags }
end

--- "family", "family:3" or an ARN; without a revision the latest that is active.
function S._definition(cloud, ctx, name)
  local family, revision = C.short(name):match "^([^:]+):?(%d*)$"
  local all = family and C.families(cloud, ctx)[family]
  if all and revision ~= "" then return all[math.tointeger(tonumber(revision))] end
  for i = all and all.latest or 0, 1, -1 do
    if all[i] and all[i].status == "ACTIVE" then return all[i] end
  end
end

local function get(cloud, ctx, name)
  return S._definition(cloud, ctx, name) or C.client "Unable to describe task definition."
end

function S.DescribeTaskDefinition(cloud, p, ctx)
  local definition = get(cloud, ctx, p.taskDefinition)
  return { taskDefinition = definition, tags = C.wants_tags(p) and definition.tags or {} }
end

function S.ListTaskDefinitions(cloud, p, ctx)
  local list = {}
  for name, family in pairs(C.families(cloud, ctx)) do
    if not p.familyPrefix or name == p.familyPrefix then
      for i = 1, family.latest do
        if family[i] and family[i].status == (p.status or "ACTIVE") then list[#list + 1] = family[i] end
      end
    end
  end
  local down = p.sort == "DESC"
  table.sort(list, function(a, b)
    if down then a, b = b, a end
    return a.family < b.family or a.family == b.family and a.revision < b.revision
  end)
  for i, definition in ipairs(list) do list[i] = definition.taskDefinitionArn end
  local page, token = C.page(cloud, p, list)
  return { taskDefinitionArns = page, nextToken = token }
end

--- Families by name; "ACTIVE" are those with an active revision.
function S.ListTaskDefinitionFamilies(cloud, p, ctx)
  local list = {}
  for name, family in pairs(C.families(cloud, ctx)) do
    local active, any = false, false
    for i = 1, family.latest do
      any = any or family[i] ~= nil
      active = active or family[i] ~= nil and family[i].status == "ACTIVE"
    end
    local status = p.status or "ACTIVE"
    if any and (status == "ALL" or (status == "ACTIVE") == active) and name:sub(1, #(p.familyPrefix or "")) == (p.familyPrefix or "") then
      list[#list + 1] = name
    end
  end
  table.sort(list)
  local page, token = C.page(cloud, p, list)
  return { families = page, nextToken = token }
end

function S.DeregisterTaskDefinition(cloud, p, ctx)
  if not C.short(p.taskDefinition):find ":%d+$" then C.client "Invalid revision number. Number must be positive." end
  local definition = get(cloud, ctx, p.taskDefinition)
  definition.status, definition.deregisteredAt = "INACTIVE", cloud.clock:now()
  return { taskDefinition = definition }
end

--- Only what is inactive can be deleted; it is gone when no task uses it any more.
function S.DeleteTaskDefinitions(cloud, p, ctx)
  local deleted, failures = {}, {}
  for _, name in ipairs(p.taskDefinitions) do
    local definition = S._definition(cloud, ctx, name)
    if not definition then failures[#failures + 1] = { arn = name, reason = "The specified task definition was not found." }
    elseif definition.status == "ACTIVE" then
      failures[#failures + 1] = { arn = definition.taskDefinitionArn, reason = "The specified task definition is still in ACTIVE status. "
        .. "Please deregister the target and try again." }
    else
      definition.status, definition.deleteRequestedAt = "DELETE_IN_PROGRESS", cloud.clock:now()
      deleted[#deleted + 1] = definition
      cloud:after(30, function()
        local family = C.families(cloud, ctx)[definition.family]
        if family then family[definition.revision] = nil end
      end)
    end
  end
  return { taskDefinitions = deleted, failures = failures }
end

return S
