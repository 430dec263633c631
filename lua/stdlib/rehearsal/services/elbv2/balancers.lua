--- Load balancers: a host of ours in the customer's subnets, with an address
--- that the internet reaches.
local C = require "rehearsal.services.elbv2.common"
local ec2_network = require "rehearsal.services.ec2.network"
local engine = require "rehearsal.services.elbv2.engine"
local managed = require "rehearsal.managed"
local wire = require "rehearsal.wire"

local S = {}

local ATTRIBUTES = {
  ["access_logs.s3.enabled"] = "false", ["access_logs.s3.bucket"] = "", ["access_logs.s3.prefix"] = "", ["idle_timeout.timeout_seconds"] = "60",
  ["deletion_protection.enabled"] = "false", ["routing.http2.enabled"] = "true", ["routing.http.drop_invalid_header_fields.enabled"] = "false",
  ["routing.http.xff_client_port.enabled"] = "false", ["routing.http.preserve_host_header.enabled"] = "false",
  ["routing.http.xff_header_processing.mode"] = "append", ["load_balancing.cross_zone.enabled"] = "true",
  ["routing.http.desync_mitigation_mode"] = "defensive", ["waf.fail_open.enabled"] = "false", ["client_keep_alive.seconds"] = "3600",
}

local function described(lb)
  return {
    LoadBalancerArn = lb.LoadBalancerArn, DNSName = lb.DNSName, CanonicalHostedZoneId = lb.CanonicalHostedZoneId, CreatedTime = lb.CreatedTime,
    LoadBalancerName = lb.LoadBalancerName, Scheme = lb.Scheme, VpcId = lb.VpcId, State = { Code = lb.state }, Type = lb.Type,
    AvailabilityZones = lb.AvailabilityZones, SecurityGroups = lb.SecurityGroups, IpAddressType = "ipv4",
  }
end

local function bad_subnet(fmt, ...) wire.fail("InvalidSubnet", 400, fmt, ...) end
local function bad_group(fmt, ...) wire.fail("InvalidSecurityGroup", 400, fmt, ...) end

--- Two subnets at least, of two zones of one VPC; an address of the internet needs a way to it.
local function check_subnets(cloud, ctx, p, is_public)
  local ids = p.Subnets or {}
  for _, mapping in ipairs(p.SubnetMappings or {}) do ids[#ids + 1] = mapping.SubnetId end
  for _, id in ipairs(ids) do
    local ok = pcall(ec2_network._subnet, cloud, ctx, id)
    if not ok then wire.fail("SubnetNotFound", 400, "The subnet ID '%s' does not exist", id) end
  end
  local list, vpc, zones = managed.subnets(cloud, ctx, ids, bad_subnet)
  local count = 0
  for _ in pairs(zones) do count = count + 1 end
  if count < 2 then C.refuse "At least two subnets in two different Availability Zones must be specified" end
  if count < #ids then
    wire.fail("InvalidConfigurationRequest", 400, "A load balancer cannot be attached to multiple subnets in the same Availability Zone")
  end
  for _, id in ipairs(ids) do
    if is_public and not ec2_network._is_public(cloud, ctx, id) then bad_subnet("VPC %s has no internet gateway", vpc) end
  end
  local shown = {}
  for i, subnet in ipairs(list) do
    shown[i] = { SubnetId = subnet.SubnetIdentifier, ZoneName = subnet.SubnetAvailabilityZone.Name, LoadBalancerAddresses = {} }
  end
  return shown, vpc
end

local function same_settings(lb, p, scheme)
  if lb.Scheme ~= scheme or #lb.AvailabilityZones ~= #(p.Subnets or {}) then return false end
  local has = {}
  for _, zone in ipairs(lb.AvailabilityZones) do has[zone.SubnetId] = true end
  for _, id in ipairs(p.Subnets or {}) do if not has[id] then return false end end
  return true
end

function S.CreateLoadBalancer(cloud, p, ctx)
  if (p.Type or "application") ~= "application" then C.refuse("The rehearsal has application load balancers only, not '%s'", p.Type) end
  C.check_name("load balancer", p.Name)
  if p.Name:find "^internal%-" then C.refuse("The load balancer name '%s' cannot begin with 'internal-'", p.Name) end
  local scheme = p.Scheme or "internet-facing"
  for _, other in pairs(C.balancers(cloud, ctx)) do
    if other.LoadBalancerName == p.Name then
      if same_settings(other, p, scheme) then return { LoadBalancers = { described(other) } } end
      wire.fail("DuplicateLoadBalancerName", 400, "A load balancer with the same name '%s' exists, but with different settings", p.Name)
    end
  end
  local subnets, vpc = check_subnets(cloud, ctx, p, scheme == "internet-facing")
  local groups = managed.security_groups(cloud, ctx, vpc, p.SecurityGroups, bad_group)
  local arn = C.arn(cloud, ctx, "loadbalancer/app/%s", p.Name)
  local lb = {
    LoadBalancerArn = arn, LoadBalancerName = p.Name, Scheme = scheme, VpcId = vpc, Type = "application", CreatedTime = cloud.clock:now(),
    CanonicalHostedZoneId = "Z35SXDOTRQ7X7K", AvailabilityZones = subnets, SecurityGroups = groups, state = "provisioning",
    Tags = managed.tags(p.Tags), attributes = {},
  }
  for name, value in pairs(ATTRIBUTES) do lb.attributes[name] = value end
  engine.place(cloud, ctx, lb)
  C.balancers(cloud, ctx)[arn] = lb
  cloud:after(120, function()
    if lb.state == "provisioning" then lb.state = "active" end
  end)
  return { LoadBalancers = { described(lb) } }
end

function S.DescribeLoadBalancers(cloud, p, ctx)
  local list = C.select(managed.sorted(C.balancers(cloud, ctx)), { arns = p.LoadBalancerArns, names = p.Names, arn = "LoadBalancerArn",
    name = "LoadBalancerName", code = "LoadBalancerNotFound", what = "load balancers" })
  local page, marker = cloud.page(list, p.Marker, p.PageSize)
  for i, lb in ipairs(page) do page[i] = described(lb) end
  return { LoadBalancers = page, NextMarker = marker }
end

--- A load balancer that does not exist counts as deleted.
function S.DeleteLoadBalancer(cloud, p, ctx)
  local lb = C.balancers(cloud, ctx)[p.LoadBalancerArn]
  if not lb then return end
  if lb.attributes["deletion_protection.enabled"] == "true" then
    wire.fail("OperationNotPermitted", 400, "Load balancer '%s' cannot be deleted because deletion protection is enabled", p.LoadBalancerArn)
  end
  for arn, listener in pairs(C.listeners(cloud, ctx)) do
    if listener.LoadBalancerArn == p.LoadBalancerArn then C.listeners(cloud, ctx)[arn] = nil end
  end
  C.balancers(cloud, ctx)[p.LoadBalancerArn] = nil
  engine.stop(lb)
  cloud:after(20, function() engine.leave(cloud, ctx, lb) end)      -- its network interfaces go later
end

function S.DescribeLoadBalancerAttributes(cloud, p, ctx)
  return { Attributes = C.attribute_list(C.balancer(cloud, ctx, p.LoadBalancerArn).attributes) }
end

function S.ModifyLoadBalancerAttributes(cloud, p, ctx)
  local lb = C.balancer(cloud, ctx, p.LoadBalancerArn)
  return { Attributes = C.set_attributes(lb.attributes, p.Attributes, ATTRIBUTES, "Load balancer") }
end

function S.SetSecurityGroups(cloud, p, ctx)
  local lb = C.balancer(cloud, ctx, p.LoadBalancerArn)
  lb.SecurityGroups = managed.security_groups(cloud, ctx, lb.VpcId, p.SecurityGroups, bad_group)
  managed.regroup(cloud, ctx, lb.place, lb.SecurityGroups)
  return { SecurityGroupIds = lb.SecurityGroups }
end

function S.SetSubnets(cloud, p, ctx)
  local lb = C.balancer(cloud, ctx, p.LoadBalancerArn)
  lb.AvailabilityZones = check_subnets(cloud, ctx, p, lb.Scheme == "internet-facing")
  engine.hold_subnets(cloud, ctx, lb)
  return { AvailabilityZones = lb.AvailabilityZones }
end

--- Where what a target group stands behind can be asked, for the rehearsal's own checks.
---@return { name: string, url: string }[]
function S._urls(cloud, group_arn)
  local list = {}
  for key in pairs(cloud.state) do
    local region = key:match "^elbv2/(.+)$"
    for _, arn in ipairs(region and C.users_of(cloud, { region = region }, group_arn) or {}) do
      local lb = C.balancers(cloud, { region = region })[arn]
      list[#list + 1] = { name = lb.LoadBalancerName, url = "http://" .. lb.DNSName }
    end
  end
  return list
end

--- The hosted zone that the name of a load balancer is in; nil for other names. Those that Elastic Beanstalk makes share
--- their name here with an environment, whose zone is another.
function S._zone_of(cloud, name)
  for key in pairs(cloud.state) do
    local region = key:match "^elbv2/(.+)$"
    for _, lb in pairs(region and C.balancers(cloud, { region = region }) or {}) do
      if lb.DNSName == name and not lb.LoadBalancerName:find "^awseb%-" then return lb.CanonicalHostedZoneId end
    end
  end
end

--- Tells the load balancers of the region what to do now.
S._refresh = engine.refresh

--- Ends all forwarding.
function S._stop(cloud)
  for key in pairs(cloud.state) do
    local region = key:match "^elbv2/(.+)$"
    for _, lb in pairs(region and C.balancers(cloud, { region = region }) or {}) do engine.stop(lb) end
  end
end

return S
