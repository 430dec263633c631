--- The application load balancer of an environment: one of Elastic Load Balancing's, which Elastic Beanstalk makes, keeps as
--- the settings and the bundle's .ebextensions say, and deletes.
local C = require "rehearsal.services.elasticbeanstalk.common"
local configuration = require "rehearsal.services.elasticbeanstalk.configuration"
local fs = require "fs"
local task = require "task"
local yaml = require "yaml"

local M = {}

local LEAVING = 60                      -- tries, 5 simulated seconds apart, to delete the group of a balancer that goes
local LEAST = 0.05                      -- real seconds between two of them: its network goes in real time, however fast the clock is

local DRAIN = 30                        -- real seconds for what was sent to a machine to end, once the machine leaves

local function option(env, namespace, name) return configuration._option(env.settings, namespace, name) end

--- Whether the settings ask for one; classic and network load balancers have no place of their own here.
function M.is_wanted(env)
  return env.Tier.Name ~= "Worker" and option(env, "aws:elasticbeanstalk:environment", "EnvironmentType") ~= "SingleInstance"
         and option(env, "aws:elasticbeanstalk:environment", "LoadBalancerType") == "application"
end

-- Its parts ----------------------------------------------------------------

local function check(env)
  local function get(name) return option(env, "aws:elasticbeanstalk:environment:process:default", name) end
  return { HealthCheckPath = get "HealthCheckPath", HealthCheckIntervalSeconds = tonumber(get "HealthCheckInterval"),
           HealthCheckTimeoutSeconds = tonumber(get "HealthCheckTimeout"), HealthyThresholdCount = tonumber(get "HealthyThresholdCount"),
           UnhealthyThresholdCount = tonumber(get "UnhealthyThresholdCount"), Matcher = { HttpCode = get "MatcherHTTPCode" } }
end

--- Its security group, open on the ports that it listens on.
local function open_group(cloud, ctx, env, vpc)
  local name = ("awseb-%s-stack-AWSEBLoadBalancerSecurityGroup-%s"):format(env.EnvironmentId, env.EnvironmentId:sub(3):upper())
  local group = cloud:service "ec2".CreateSecurityGroup(cloud, { GroupName = name, Description = "Load Balancer Security Group",
    VpcId = vpc }, ctx).GroupId
  C.event(cloud, ctx, env, "INFO", "Created security group named: %s", name)
  return group
end

local function open_port(cloud, ctx, group, port)
  cloud:service "ec2".AuthorizeSecurityGroupIngress(cloud, { GroupId = group, IpPermissions = { { IpProtocol = "tcp", FromPort = port, ToPort = port,
    IpRanges = { { CidrIp = "0.0.0.0/0" } } } } }, ctx)
end

--- Makes it. Its address is the environment's.
---@return table balancer { arn, group, target_group, dns, ports }
function M.make(cloud, ctx, env, vpc, subnets)
  local elb, suffix = cloud:service "elbv2", env.EnvironmentId:sub(3):upper()
  local group = open_group(cloud, ctx, env, vpc)
  local made = elb.CreateLoadBalancer(cloud, { Name = "awseb-" .. suffix, Subnets = subnets, SecurityGroups = { group },
    Scheme = option(env, "aws:ec2:vpc", "ELBScheme") == "internal" and "internal" or "internet-facing",
    Tags = { { Key = "elasticbeanstalk:environment-name", Value = env.EnvironmentName } } }, ctx).LoadBalancers[1]
  local request = check(env)
  request.Name, request.Protocol, request.Port, request.VpcId = "awseb-tg-" .. suffix, "HTTP", 80, vpc
  local target_group = elb.CreateTargetGroup(cloud, request, ctx).TargetGroups[1].TargetGroupArn
  elb.ModifyTargetGroupAttributes(cloud, { TargetGroupArn = target_group, Attributes = { { Key = "deregistration_delay.timeout_seconds",
    Value = option(env, "aws:elasticbeanstalk:environment:process:default", "DeregistrationDelay") } } }, ctx)
  C.event(cloud, ctx, env, "INFO", "Created load balancer named: %s", made.LoadBalancerArn)
  return { arn = made.LoadBalancerArn, group = group, target_group = target_group, dns = made.DNSName, ports = {} }
end

--- Lets only the load balancer in at port 80 of the machines' group, and no more the one before.
function M.let_in(cloud, ctx, group, before, now)
  local ec2 = cloud:service "ec2"
  local function rule(b)
    return { GroupId = group, IpPermissions = { { IpProtocol = "tcp", FromPort = 80, ToPort = 80, UserIdGroupPairs = { { GroupId = b.group } } } } }
  end
  if before then ec2.RevokeSecurityGroupIngress(cloud, rule(before), ctx) end
  if now then ec2.AuthorizeSecurityGroupIngress(cloud, rule(now), ctx) end
end

-- What it does -------------------------------------------------------------

--- What .ebextensions make of the listener of port 80: a redirect, or nothing.
local function extended_action(folder)
  local dir = folder and fs.join(folder, "current", ".ebextensions")
  for _, name in ipairs(dir and fs.exists(dir) and fs.list(dir) or {}) do
    local document = name:find "%.config$" and yaml.decode(fs.read(fs.join(dir, name)))
    local resource = type(document) == "table" and (document.Resources or {}).AWSEBV2LoadBalancerListener
    local actions = resource and (resource.Properties or {}).DefaultActions
    if actions and actions[1] then return actions[1] end
  end
end

--- The listeners that the settings ask for, by port.
local function wanted_listeners(env, folder)
  local list, forward = {}, { Type = "forward", TargetGroupArn = env.place.balancer.target_group }
  for namespace in pairs(env.settings) do
    local port = tonumber(namespace:match "^aws:elbv2:listener:(%d+)$")
    if port and option(env, namespace, "ListenerEnabled") ~= "false" then
      local certificates = configuration._list(option(env, namespace, "SSLCertificateArns"))
      for i, arn in ipairs(certificates) do certificates[i] = { CertificateArn = arn } end
      list[port] = { Protocol = option(env, namespace, "Protocol") or "HTTP", SslPolicy = option(env, namespace, "SSLPolicy"),
                     Certificates = #certificates > 0 and certificates or nil, DefaultActions = { forward } }
    end
  end
  if option(env, "aws:elbv2:listener:default", "ListenerEnabled") ~= "false" then
    list[80] = { Protocol = "HTTP", DefaultActions = { extended_action(folder) or forward } }
  end
  return list
end

local function listener_at(cloud, ctx, b, port)
  for _, l in ipairs(cloud:service "elbv2".DescribeListeners(cloud, { LoadBalancerArn = b.arn }, ctx).Listeners) do
    if l.Port == port then return l.ListenerArn end
  end
end

--- Brings it to what the settings and the bundle say; raises what Elastic Load Balancing refuses.
function M.follow(cloud, ctx, env, folder)
  local b, elb = env.place.balancer, cloud:service "elbv2"
  local wanted = wanted_listeners(env, folder)
  for port, listener in pairs(wanted) do
    if not b.ports[port] then open_port(cloud, ctx, b.group, port) end
    b.ports[port] = true
    local found = listener_at(cloud, ctx, b, port)
    listener.ListenerArn, listener.LoadBalancerArn, listener.Port = found, b.arn, port
    if found then elb.ModifyListener(cloud, listener, ctx) else elb.CreateListener(cloud, listener, ctx) end
  end
  for _, l in ipairs(elb.DescribeListeners(cloud, { LoadBalancerArn = b.arn }, ctx).Listeners) do
    if not wanted[l.Port] then elb.DeleteListener(cloud, { ListenerArn = l.ListenerArn }, ctx) end
  end
  local request = check(env)
  request.TargetGroupArn = b.target_group
  elb.ModifyTargetGroup(cloud, request, ctx)
  elb.ModifyLoadBalancerAttributes(cloud, { LoadBalancerArn = b.arn, Attributes = {
    { Key = "idle_timeout.timeout_seconds", Value = option(env, "aws:elbv2:loadbalancer", "IdleTimeout") or "60" } } }, ctx)
  elb._refresh(cloud, ctx)
end

--- Lets it forward to machines.
---@param machines Machine[]
function M.register(cloud, ctx, env, machines)
  local b, elb = env.place.balancer, cloud:service "elbv2"
  for _, m in ipairs(machines) do
    local port = cloud.net.isolated and 80 or m.inside_port or 80
    if m.port and m.port ~= port then
      elb.DeregisterTargets(cloud, { TargetGroupArn = b.target_group, Targets = { { Id = m.id, Port = m.port } } }, ctx)
    end
    m.port = port
    elb.RegisterTargets(cloud, { TargetGroupArn = b.target_group, Targets = { { Id = m.id, Port = port } } }, ctx)
  end
end

--- Takes machines out of service: afterwards nothing reaches them through it any more.
---@param machines Machine[]
function M.deregister(cloud, ctx, env, machines)
  local b, elb, stop = env.place.balancer, cloud:service "elbv2", task.now() + DRAIN
  for _, m in ipairs(machines) do
    if m.port then elb.DeregisterTargets(cloud, { TargetGroupArn = b.target_group, Targets = { { Id = m.id, Port = m.port } } }, ctx) end
  end
  for _, m in ipairs(machines) do
    while m.port and not elb._is_out(cloud, ctx, b.target_group, m.id, m.port) and task.now() < stop do task.sleep(0.05) end
    m.port = nil
  end
end

--- What it thinks of a machine: "healthy", "unhealthy", "initial", ...
function M.health(cloud, ctx, env, m)
  return m.port and cloud:service "elbv2"._health(cloud, ctx, env.place.balancer.target_group, m.id, m.port)
end

--- Deletes it. Its network interfaces, which hold the security group, go a while later.
function M.remove(cloud, ctx, env, b)
  local elb, ec2 = cloud:service "elbv2", cloud:service "ec2"
  elb.DeleteLoadBalancer(cloud, { LoadBalancerArn = b.arn }, ctx)
  elb.DeleteTargetGroup(cloud, { TargetGroupArn = b.target_group }, ctx)
  for try = 1, LEAVING do
    local ok, e = pcall(ec2.DeleteSecurityGroup, cloud, { GroupId = b.group }, ctx)
    if ok then return end
    if try == LEAVING then
      C.event(cloud, ctx, env, "WARN", "Deleting security group named: %s failed Reason: %s", b.group,
        type(e) == "table" and e.message or tostring(e))
    end
    cloud.clock:sleep(math.max(5, LEAST * cloud.clock.scale))
  end
end

--- Two environments exchange their addresses: here each takes the other's load balancer, and sets it up as its own.
function M.swap(cloud, ctx, a, b)
  local x, y = a.place.balancer, b.place.balancer
  for _, env in ipairs { a, b } do
    if env.group then M.let_in(cloud, ctx, env.group, env == a and x or y, env == a and y or x) end
  end
  for _, field in ipairs { "arn", "group", "dns", "ports" } do x[field], y[field] = y[field], x[field] end
  for _, env in ipairs { a, b } do M.follow(cloud, ctx, env, env.machines[1].folder) end
end

return M
