--- VPCs, subnets and internet gateways.
local C = require "rehearsal.services.ec2.common"
local cidr = require "rehearsal.services.ec2.cidr"
local wire = require "rehearsal.wire"

local S = {}

local function vpc_of(cloud, ctx, id) return C._get(cloud, ctx, "vpc", id, "InvalidVpcID.NotFound") end
local function subnet_of(cloud, ctx, id) return C._get(cloud, ctx, "subnet", id, "InvalidSubnetID.NotFound") end
local function gateway_of(cloud, ctx, id) return C._get(cloud, ctx, "internet-gateway", id, "InvalidInternetGatewayID.NotFound") end

local function in_use(kind, id, fmt, ...)
  wire.fail("DependencyViolation", 400, "The %s '%s' has dependencies and cannot be deleted: " .. fmt, kind, id, ...)
end

-- VPCs ---------------------------------------------------------------------

local function main_table(cloud, ctx, vpc_id, block)
  local id = cloud:new_id "rtb"
  C._add(cloud, ctx, "route-table", id, {
    RouteTableId = id, VpcId = vpc_id, OwnerId = cloud.account, PropagatingVgws = {},
    Routes = { { DestinationCidrBlock = block, GatewayId = "local", Origin = "CreateRouteTable", State = "active" } },
    Associations = { { Main = true, RouteTableId = id, RouteTableAssociationId = cloud:new_id "rtbassoc",
                       AssociationState = { State = "associated" } } },
  })
end

function S.CreateVpc(cloud, p, ctx)
  local block = cidr.parse(p.CidrBlock)
    or wire.fail("InvalidParameterValue", 400, "Value (%s) for parameter cidrBlock is invalid.", tostring(p.CidrBlock))
  if block.bits < 16 or block.bits > 28 then wire.fail("InvalidVpc.Range", 400, "The CIDR '%s' is invalid.", p.CidrBlock) end
  local id = cloud:new_id "vpc"
  local vpc = C._add(cloud, ctx, "vpc", id, {
    VpcId = id, CidrBlock = tostring(block), State = "pending", IsDefault = false, OwnerId = cloud.account, InstanceTenancy = "default",
    DhcpOptionsId = "dopt-0" .. id:sub(6), CidrBlockAssociationSet = { { AssociationId = cloud:new_id "vpc-cidr-assoc", CidrBlock = tostring(block),
      CidrBlockState = { State = "associated" } } },
  }, p.TagSpecifications)
  vpc.attributes = { EnableDnsSupport = true, EnableDnsHostnames = false, EnableNetworkAddressUsageMetrics = false }
  main_table(cloud, ctx, id, vpc.CidrBlock)
  require("rehearsal.services.ec2.security")._default_group(cloud, ctx, id)
  cloud.net:add_vpc(id)
  cloud:after(2, function() vpc.State = "available" end)
  return { Vpc = vpc }
end

function S.DescribeVpcs(cloud, p, ctx)
  local list = C._select(C._list(cloud, ctx.region, "vpc"), "VpcId", p.VpcIds, p.Filters, "InvalidVpcID.NotFound")
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { Vpcs = page, NextToken = token }
end

function S.ModifyVpcAttribute(cloud, p, ctx)
  local vpc = vpc_of(cloud, ctx, p.VpcId)
  for name in pairs(vpc.attributes) do
    if p[name] then vpc.attributes[name] = p[name].Value end
  end
end

function S.DescribeVpcAttribute(cloud, p, ctx)
  local vpc = vpc_of(cloud, ctx, p.VpcId)
  local name = p.Attribute:sub(1, 1):upper() .. p.Attribute:sub(2)
  return { VpcId = p.VpcId, [name] = { Value = vpc.attributes[name] } }
end

function S.DeleteVpc(cloud, p, ctx)
  vpc_of(cloud, ctx, p.VpcId)
  for _, subnet in ipairs(C._list(cloud, ctx.region, "subnet")) do
    if subnet.VpcId == p.VpcId then in_use("vpc", p.VpcId, "%s", subnet.SubnetId) end
  end
  for _, gateway in ipairs(C._list(cloud, ctx.region, "internet-gateway")) do
    for _, a in ipairs(gateway.Attachments) do if a.VpcId == p.VpcId then in_use("vpc", p.VpcId, "%s", gateway.InternetGatewayId) end end
  end
  for _, group in ipairs(C._list(cloud, ctx.region, "security-group")) do
    if group.VpcId == p.VpcId and group.GroupName ~= "default" then in_use("vpc", p.VpcId, "%s", group.GroupId) end
  end
  for _, t in ipairs(C._list(cloud, ctx.region, "route-table")) do
    if t.VpcId == p.VpcId then
      if not (t.Associations[1] and t.Associations[1].Main) then in_use("vpc", p.VpcId, "%s", t.RouteTableId) end
      C._remove(cloud, ctx, t.RouteTableId)
    end
  end
  for _, group in ipairs(C._list(cloud, ctx.region, "security-group")) do
    if group.VpcId == p.VpcId then C._remove(cloud, ctx, group.GroupId) end
  end
  C._remove(cloud, ctx, p.VpcId)
  cloud.net:remove_vpc(p.VpcId)
end

-- Subnets ------------------------------------------------------------------

function S.CreateSubnet(cloud, p, ctx)
  local vpc = vpc_of(cloud, ctx, p.VpcId)
  local block = cidr.parse(p.CidrBlock or "")
    or wire.fail("InvalidParameterValue", 400, "Value (%s) for parameter cidrBlock is invalid.", tostring(p.CidrBlock))
  if not cidr.parse(vpc.CidrBlock):holds(block) then wire.fail("InvalidSubnet.Range", 400, "The CIDR '%s' is invalid.", p.CidrBlock) end
  for _, other in ipairs(C._list(cloud, ctx.region, "subnet")) do
    if other.VpcId == p.VpcId and cidr.parse(other.CidrBlock):overlaps(block) then
      wire.fail("InvalidSubnet.Conflict", 400, "The CIDR '%s' conflicts with another subnet", p.CidrBlock)
    end
  end
  local zone = p.AvailabilityZone or ctx.region .. "a"
  if not zone:find("^" .. ctx.region:gsub("%-", "%%-") .. "[abc]$") then
    wire.fail("InvalidParameterValue", 400, "Value (%s) for parameter availabilityZone is invalid.", zone)
  end
  local id = cloud:new_id "subnet"
  local subnet = C._add(cloud, ctx, "subnet", id, {
    SubnetId = id, VpcId = p.VpcId, CidrBlock = tostring(block), AvailabilityZone = zone, State = "pending", MapPublicIpOnLaunch = false,
    DefaultForAz = false, AssignIpv6AddressOnCreation = false, OwnerId = cloud.account, AvailableIpAddressCount = block:size() - 5,
    SubnetArn = cloud:arn("ec2", ctx.region, "subnet/" .. id), Ipv6CidrBlockAssociationSet = {}, EnableDns64 = false,
  }, p.TagSpecifications)
  subnet.next_address = 10
  cloud:after(2, function() subnet.State = "available" end)
  return { Subnet = subnet }
end

function S.DescribeSubnets(cloud, p, ctx)
  local list = C._select(C._list(cloud, ctx.region, "subnet"), "SubnetId", p.SubnetIds, p.Filters, "InvalidSubnetID.NotFound")
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { Subnets = page, NextToken = token }
end

function S.ModifySubnetAttribute(cloud, p, ctx)
  local subnet = subnet_of(cloud, ctx, p.SubnetId)
  if p.MapPublicIpOnLaunch then subnet.MapPublicIpOnLaunch = p.MapPublicIpOnLaunch.Value end
end

function S.DeleteSubnet(cloud, p, ctx)
  local subnet = subnet_of(cloud, ctx, p.SubnetId)
  if next(subnet.used or {}) then in_use("subnet", p.SubnetId, "%s", (next(subnet.used))) end
  for _, t in ipairs(C._list(cloud, ctx.region, "route-table")) do
    for i = #t.Associations, 1, -1 do
      if t.Associations[i].SubnetId == p.SubnetId then table.remove(t.Associations, i) end
    end
  end
  C._remove(cloud, ctx, p.SubnetId)
end

--- Takes a free address of a subnet for a resource of any service; `owner` is
--- named when someone tries to delete the subnet.
---@return string address
function S._take_address(cloud, ctx, subnet_id, owner)
  local subnet = subnet_of(cloud, ctx, subnet_id)
  local address = cidr.parse(subnet.CidrBlock):address(subnet.next_address)
  subnet.next_address = subnet.next_address + 1
  subnet.used = subnet.used or {}
  subnet.used[owner] = address
  subnet.AvailableIpAddressCount = subnet.AvailableIpAddressCount - 1
  return address, subnet.VpcId
end

function S._free_address(cloud, ctx, subnet_id, owner)
  local found = C._all(cloud, ctx.region)[subnet_id]
  if found and found.value.used and found.value.used[owner] then
    found.value.used[owner] = nil
    if found.value.interfaces then found.value.interfaces[owner] = nil end
    found.value.AvailableIpAddressCount = found.value.AvailableIpAddressCount + 1
  end
end

--- The routes of the table that holds for a subnet: its own, else the VPC's main one.
local function routes_of(cloud, ctx, subnet_id)
  local subnet, chosen = subnet_of(cloud, ctx, subnet_id), nil
  for _, t in ipairs(C._list(cloud, ctx.region, "route-table")) do
    for _, a in ipairs(t.Associations) do
      if a.SubnetId == subnet_id then chosen = t
      elseif a.Main and t.VpcId == subnet.VpcId then chosen = chosen or t end
    end
  end
  return chosen and chosen.Routes or {}
end

--- Whether a subnet's route table leads to an internet gateway.
function S._is_public(cloud, ctx, subnet_id)
  for _, route in ipairs(routes_of(cloud, ctx, subnet_id)) do
    if route.DestinationCidrBlock == "0.0.0.0/0" and (route.GatewayId or ""):find "^igw%-" then return true end
  end
  return false
end

--- Whether something in a subnet reaches the internet, and AWS's services there: by a public address or a NAT gateway.
--- Endpoints of services in the VPC are not rehearsed.
function S._reaches_out(cloud, ctx, subnet_id, has_address)
  if S._is_public(cloud, ctx, subnet_id) then return has_address end
  for _, route in ipairs(routes_of(cloud, ctx, subnet_id)) do
    if route.NatGatewayId then return true end
  end
  return false
end

S._subnet = subnet_of

-- Internet gateways --------------------------------------------------------

function S.CreateInternetGateway(cloud, p, ctx)
  local id = cloud:new_id "igw"
  return { InternetGateway = C._add(cloud, ctx, "internet-gateway", id, { InternetGatewayId = id, Attachments = {}, OwnerId = cloud.account },
                                    p.TagSpecifications) }
end

function S.DescribeInternetGateways(cloud, p, ctx)
  return { InternetGateways = C._select(C._list(cloud, ctx.region, "internet-gateway"), "InternetGatewayId", p.InternetGatewayIds, p.Filters,
                                        "InvalidInternetGatewayID.NotFound") }
end

function S.AttachInternetGateway(cloud, p, ctx)
  local gateway = gateway_of(cloud, ctx, p.InternetGatewayId)
  vpc_of(cloud, ctx, p.VpcId)
  if gateway.Attachments[1] then
    wire.fail("Resource.AlreadyAssociated", 400, "resource %s is already attached to network %s", p.InternetGatewayId, gateway.Attachments[1].VpcId)
  end
  gateway.Attachments[1] = { VpcId = p.VpcId, State = "available" }
end

function S.DetachInternetGateway(cloud, p, ctx)
  local gateway = gateway_of(cloud, ctx, p.InternetGatewayId)
  if not gateway.Attachments[1] or gateway.Attachments[1].VpcId ~= p.VpcId then
    wire.fail("Gateway.NotAttached", 400, "resource %s is not attached to network %s", p.InternetGatewayId, p.VpcId)
  end
  for _, host in ipairs(C._list(cloud, ctx.region, "instance")) do
    if host.VpcId == p.VpcId and host.PublicIpAddress and host.State.Name ~= "terminated" then
      wire.fail("DependencyViolation", 400, "Network %s has some mapped public address(es).", p.VpcId)
    end
  end
  gateway.Attachments = {}
end

function S.DeleteInternetGateway(cloud, p, ctx)
  local gateway = gateway_of(cloud, ctx, p.InternetGatewayId)
  if gateway.Attachments[1] then in_use("internetGateway", p.InternetGatewayId, "%s", gateway.Attachments[1].VpcId) end
  C._remove(cloud, ctx, p.InternetGatewayId)
end

return S
