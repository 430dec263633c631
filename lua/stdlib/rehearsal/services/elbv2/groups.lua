--- Target groups: who is registered, and what the load balancer thinks of them.
local C = require "rehearsal.services.elbv2.common"
local engine = require "rehearsal.services.elbv2.engine"
local managed = require "rehearsal.managed"
local task = require "task"
local wire = require "rehearsal.wire"

local S = {}

local ATTRIBUTES = {
  ["deregistration_delay.timeout_seconds"] = "300", ["stickiness.enabled"] = "false", ["stickiness.type"] = "lb_cookie",
  ["stickiness.lb_cookie.duration_seconds"] = "86400", ["slow_start.duration_seconds"] = "0",
  ["load_balancing.algorithm.type"] = "round_robin", ["load_balancing.cross_zone.enabled"] = "use_load_balancer_configuration",
}

local CUT = 5                           -- real seconds for the load balancer to say that nothing runs at a target any more

local CHECK = { "HealthCheckProtocol", "HealthCheckPort", "HealthCheckPath", "HealthCheckEnabled", "HealthCheckIntervalSeconds",
  "HealthCheckTimeoutSeconds", "HealthyThresholdCount", "UnhealthyThresholdCount", "Matcher" }

local function described(cloud, ctx, group)
  local copy = { TargetGroupArn = group.TargetGroupArn, TargetGroupName = group.TargetGroupName, Protocol = group.Protocol, Port = group.Port,
    VpcId = group.VpcId, TargetType = group.TargetType, ProtocolVersion = "HTTP1", IpAddressType = "ipv4",
    LoadBalancerArns = C.users_of(cloud, ctx, group.TargetGroupArn) }
  for _, name in ipairs(CHECK) do copy[name] = group[name] end
  return copy
end

--- "200", "200,302", "200-399", as the load balancer understands it.
local function check_matcher(matcher)
  for part in ((matcher or {}).HttpCode or "200"):gmatch "[^,]+" do
    local from, to = part:match "^%s*(%d%d%d)%-?(%d*)%s*$"
    from, to = tonumber(from), tonumber(to) or tonumber(from)
    if not from or from < 200 or to > 499 or to < from then
      C.refuse("Health check matcher HTTP code '%s' must be within '200-499' inclusive", part)
    end
  end
end

local function check(group)
  check_matcher(group.Matcher)
  if not group.HealthCheckPath:find "^/" then C.refuse "Health check path must begin with a '/' character" end
  if group.HealthCheckTimeoutSeconds >= group.HealthCheckIntervalSeconds then
    C.refuse("Health check interval must be greater than the timeout.")
  end
end

function S.CreateTargetGroup(cloud, p, ctx)
  C.check_name("target group", p.Name)
  local kind = p.TargetType or "instance"
  if kind ~= "ip" and kind ~= "instance" then C.refuse("The rehearsal has no target groups of type '%s'", kind) end
  if not p.Protocol then C.refuse "A protocol must be specified" end
  if p.Protocol ~= "HTTP" then C.refuse("The rehearsal's target groups speak HTTP, not '%s'", p.Protocol) end
  if not p.Port then C.refuse "A port must be specified" end
  if not p.VpcId then C.refuse "A VPC ID must be specified" end
  local found = pcall(cloud:service "ec2".DescribeVpcs, cloud, { VpcIds = { p.VpcId } }, ctx)
  if not found then C.refuse("The VPC ID '%s' is not found", p.VpcId) end
  for _, other in pairs(C.groups(cloud, ctx)) do
    if other.TargetGroupName == p.Name then
      local same = other.VpcId == p.VpcId and other.Port == p.Port and other.TargetType == kind
        and other.HealthCheckPath == (p.HealthCheckPath or "/")
      if same then return { TargetGroups = { described(cloud, ctx, other) } } end
      wire.fail("DuplicateTargetGroupName", 400, "A target group with the same name '%s' exists, but with different settings", p.Name)
    end
  end
  local arn = C.arn(cloud, ctx, "targetgroup/%s", p.Name)
  local group = {
    TargetGroupArn = arn, TargetGroupName = p.Name, Protocol = p.Protocol, Port = p.Port, VpcId = p.VpcId, TargetType = kind,
    HealthCheckProtocol = p.HealthCheckProtocol or "HTTP", HealthCheckPort = p.HealthCheckPort or "traffic-port",
    HealthCheckPath = p.HealthCheckPath or "/", HealthCheckEnabled = p.HealthCheckEnabled ~= false,
    HealthCheckIntervalSeconds = p.HealthCheckIntervalSeconds or 30, HealthCheckTimeoutSeconds = p.HealthCheckTimeoutSeconds or 5,
    HealthyThresholdCount = p.HealthyThresholdCount or 5, UnhealthyThresholdCount = p.UnhealthyThresholdCount or 2,
    Matcher = p.Matcher or { HttpCode = "200" }, Tags = managed.tags(p.Tags), attributes = {}, targets = {},
  }
  check(group)
  for name, value in pairs(ATTRIBUTES) do group.attributes[name] = value end
  C.groups(cloud, ctx)[arn] = group
  return { TargetGroups = { described(cloud, ctx, group) } }
end

function S.DescribeTargetGroups(cloud, p, ctx)
  local all = managed.sorted(C.groups(cloud, ctx))
  if p.LoadBalancerArn then
    C.balancer(cloud, ctx, p.LoadBalancerArn)
    local used = {}
    for _, group in ipairs(all) do
      for _, arn in ipairs(C.users_of(cloud, ctx, group.TargetGroupArn)) do
        if arn == p.LoadBalancerArn then used[#used + 1] = group end
      end
    end
    all = used
  end
  local list = C.select(all, { arns = p.TargetGroupArns, names = p.Names, arn = "TargetGroupArn", name = "TargetGroupName",
    code = "TargetGroupNotFound", what = "target groups" })
  local page, marker = cloud.page(list, p.Marker, p.PageSize)
  for i, group in ipairs(page) do page[i] = described(cloud, ctx, group) end
  return { TargetGroups = page, NextMarker = marker }
end

function S.ModifyTargetGroup(cloud, p, ctx)
  local group = C.group(cloud, ctx, p.TargetGroupArn)
  local wanted = {}
  for _, name in ipairs(CHECK) do
    if p[name] ~= nil then wanted[name] = p[name] else wanted[name] = group[name] end
  end
  check(wanted)
  for name, value in pairs(wanted) do group[name] = value end
  engine.refresh(cloud, ctx)
  return { TargetGroups = { described(cloud, ctx, group) } }
end

function S.DeleteTargetGroup(cloud, p, ctx)
  local group = C.groups(cloud, ctx)[p.TargetGroupArn]
  if not group then return end
  if #C.users_of(cloud, ctx, p.TargetGroupArn) > 0 then
    wire.fail("ResourceInUse", 400, "Target group '%s' is currently in use by a listener or a rule", p.TargetGroupArn)
  end
  C.groups(cloud, ctx)[p.TargetGroupArn] = nil
end

function S.DescribeTargetGroupAttributes(cloud, p, ctx)
  return { Attributes = C.attribute_list(C.group(cloud, ctx, p.TargetGroupArn).attributes) }
end

function S.ModifyTargetGroupAttributes(cloud, p, ctx)
  local group = C.group(cloud, ctx, p.TargetGroupArn)
  return { Attributes = C.set_attributes(group.attributes, p.Attributes, ATTRIBUTES, "Target group") }
end

-- Targets ------------------------------------------------------------------

local function key_of(group, target) return ("%s:%d"):format(target.Id, target.Port or group.Port) end

local function check_target(group, target)
  if group.TargetType == "ip" and not target.Id:find "^%d+%.%d+%.%d+%.%d+$" then
    wire.fail("InvalidTarget", 400, "The IP address '%s' is not a valid IPv4 address", target.Id)
  elseif group.TargetType == "instance" and not target.Id:find "^i%-" then
    wire.fail("InvalidTarget", 400, "The following targets are not in a running state: '%s'", target.Id)
  end
end

--- The address that a target is reached at.
local function address_of(cloud, ctx, group, target)
  if group.TargetType == "ip" then return target.Id end
  local found = cloud:service "ec2".DescribeInstances(cloud, { InstanceIds = { target.Id } }, ctx).Reservations[1].Instances[1]
  return found.host and found.host.address or found.PrivateIpAddress
end

function S.RegisterTargets(cloud, p, ctx)
  local group = C.group(cloud, ctx, p.TargetGroupArn)
  for _, target in ipairs(p.Targets) do check_target(group, target) end
  for _, target in ipairs(p.Targets) do
    local key = key_of(group, target)
    local old = group.targets[key]
    if not old or old.state == "draining" then
      group.serial = (group.serial or 0) + 1                 -- one that comes back is a new one: nothing is known of its health
      group.targets[key] = { serial = group.serial, id = target.Id, port = target.Port or group.Port, address = address_of(cloud, ctx, group, target),
        state = "initial", reason = "Elb.RegistrationInProgress", description = "Target registration is in progress" }
    end
  end
  engine.refresh(cloud, ctx)
end

--- Whether nothing is sent to a target that leaves, and nothing that was sent to it runs any more.
local function is_drained(cloud, ctx, group, target)
  return target.drained or not cloud.servers or #C.users_of(cloud, ctx, group.TargetGroupArn) == 0
end

--- Takes a target out that has had its time to end what it was asked; what still runs at it then is cut off.
local function take_out(cloud, ctx, group, key, target)
  local stop = task.now() + CUT
  while not is_drained(cloud, ctx, group, target) and task.now() < stop do task.sleep(0.05) end
  if group.targets[key] == target then group.targets[key] = nil end
end

function S.DeregisterTargets(cloud, p, ctx)
  local group = C.group(cloud, ctx, p.TargetGroupArn)
  for _, wanted in ipairs(p.Targets) do
    for key, target in pairs(group.targets) do
      if target.id == wanted.Id and (not wanted.Port or wanted.Port == target.port) and target.state ~= "draining" then
        target.state, target.reason = "draining", "Target.DeregistrationInProgress"
        target.description = "Target deregistration is in progress"
        cloud:after(tonumber(group.attributes["deregistration_delay.timeout_seconds"]), function() take_out(cloud, ctx, group, key, target) end)
      end
    end
  end
  engine.refresh(cloud, ctx)
end

local function health_of(target, in_use)
  if target.state == "draining" or in_use then return { State = target.state, Reason = target.reason, Description = target.description } end
  return { State = "unused", Reason = "Target.NotInUse",
           Description = "Target group is not configured to receive traffic from the load balancer" }
end

function S.DescribeTargetHealth(cloud, p, ctx)
  local group = C.group(cloud, ctx, p.TargetGroupArn)
  local in_use = #C.users_of(cloud, ctx, p.TargetGroupArn) > 0
  local list = {}
  local function add(target, health)
    list[#list + 1] = { Target = { Id = target.id, Port = target.port }, HealthCheckPort = tostring(target.port), TargetHealth = health }
  end
  if p.Targets and #p.Targets > 0 then
    for _, wanted in ipairs(p.Targets) do
      local target = group.targets[key_of(group, wanted)]
      if target then add(target, health_of(target, in_use))
      else
        add({ id = wanted.Id, port = wanted.Port or group.Port }, { State = "unused", Reason = "Target.NotRegistered",
          Description = "Target is not registered to the target group" })
      end
    end
  else
    for _, target in ipairs(managed.sorted(group.targets)) do add(target, health_of(target, in_use)) end
  end
  return { TargetHealthDescriptions = list }
end

--- The target groups behind load balancers, by their names in CloudWatch, and how many of their targets are well and ill.
---@return { balancer: string, group: string, well: integer, ill: integer }[]
function S._hosts(cloud, region)
  local ctx, list = { region = region }, {}
  for _, group in ipairs(managed.sorted(C.groups(cloud, ctx))) do
    local well, ill = 0, 0
    for _, target in pairs(group.targets) do
      if target.state == "healthy" then well = well + 1 elseif target.state == "unhealthy" then ill = ill + 1 end
    end
    for _, arn in ipairs(C.users_of(cloud, ctx, group.TargetGroupArn)) do
      list[#list + 1] = { balancer = arn:match "loadbalancer/(.*)$", group = group.TargetGroupArn:match "(targetgroup/.*)$", well = well, ill = ill }
    end
  end
  return list
end

--- What a load balancer thinks of a target now: "healthy", "initial", ...; nil when it is not registered.
function S._health(cloud, ctx, group_arn, id, port)
  local group = C.groups(cloud, ctx)[group_arn]
  local target = group and group.targets[("%s:%d"):format(id, port)]
  return target and health_of(target, #C.users_of(cloud, ctx, group_arn) > 0).State, target and target.description
end

--- Whether a target is out of service: nothing reaches it through a load balancer any more.
function S._is_out(cloud, ctx, group_arn, id, port)
  local group = C.groups(cloud, ctx)[group_arn]
  local target = group and group.targets[("%s:%d"):format(id, port)]
  return not target or target.state == "draining" and is_drained(cloud, ctx, group, target)
end

return S
