--- Route tables, their routes and their subnets.
local C = require "rehearsal.services.ec2.common"
local canonical = require "aws.common.cidr".canonical
local wire = require "rehearsal.wire"

local S = {}

local function vpc_of(cloud, ctx, id) return C._get(cloud, ctx, "vpc", id, "InvalidVpcID.NotFound") end
local function subnet_of(cloud, ctx, id) return C._get(cloud, ctx, "subnet", id, "InvalidSubnetID.NotFound") end
local function table_of(cloud, ctx, id) return C._get(cloud, ctx, "route-table", id, "InvalidRouteTableID.NotFound") end
local function gateway_of(cloud, ctx, id) return C._get(cloud, ctx, "internet-gateway", id, "InvalidInternetGatewayID.NotFound") end

local function in_use(kind, id, fmt, ...)
  wire.fail("DependencyViolation", 400, "The %s '%s' has dependencies and cannot be deleted: " .. fmt, kind, id, ...)
end

function S.CreateRouteTable(cloud, p, ctx)
  local vpc = vpc_of(cloud, ctx, p.VpcId)
  local before = C._by_token(cloud, ctx, p.ClientToken)
  if before then return before end
  local id = cloud:new_id "rtb"
  return C._keep_token(cloud, ctx, p.ClientToken, { RouteTable = C._add(cloud, ctx, "route-table", id, {
    RouteTableId = id, VpcId = p.VpcId, OwnerId = cloud.account, Associations = {}, PropagatingVgws = {},
    Routes = { { DestinationCidrBlock = vpc.CidrBlock, GatewayId = "local", Origin = "CreateRouteTable", State = "active" } },
  }, p.TagSpecifications) })
end

function S.DescribeRouteTables(cloud, p, ctx)
  local list = C._select(C._list(cloud, ctx.region, "route-table"), "RouteTableId", p.RouteTableIds, p.Filters, "InvalidRouteTableID.NotFound")
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { RouteTables = page, NextToken = token }
end

local DESTINATIONS = { "DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId" }
local TARGETS = { "GatewayId", "NatGatewayId", "NetworkInterfaceId", "VpcPeeringConnectionId", "TransitGatewayId", "InstanceId",
                  "EgressOnlyInternetGatewayId" }

--- The route of a request's destination; ranges as EC2 keeps them.
local function route_in(t, p)
  for _, name in ipairs { "DestinationCidrBlock", "DestinationIpv6CidrBlock" } do
    if p[name] then p[name] = canonical(p[name]) end
  end
  for i, route in ipairs(t.Routes) do
    for _, name in ipairs(DESTINATIONS) do
      if p[name] and route[name] == p[name] then return route, i end
    end
  end
end

local function destination(p) return p.DestinationCidrBlock or p.DestinationIpv6CidrBlock or p.DestinationPrefixListId end

local function aim(cloud, ctx, route, p)
  if p.GatewayId and p.GatewayId:find "^igw" then gateway_of(cloud, ctx, p.GatewayId) end
  for _, name in ipairs(TARGETS) do route[name] = p[name] end
end

function S.CreateRoute(cloud, p, ctx)
  local t = table_of(cloud, ctx, p.RouteTableId)
  local old = route_in(t, p)
  for _, name in ipairs(TARGETS) do
    if old and old[name] ~= p[name] then wire.fail("RouteAlreadyExists", 400, "The route identified by %s already exists.", destination(p)) end
  end
  local route = { Origin = "CreateRoute", State = "active" }
  for _, name in ipairs(DESTINATIONS) do route[name] = p[name] end
  aim(cloud, ctx, route, p)
  if not old then table.insert(t.Routes, route) end
  return { Return = true }
end

function S.ReplaceRoute(cloud, p, ctx)
  local route = route_in(table_of(cloud, ctx, p.RouteTableId), p)
                or wire.fail("InvalidParameterValue", 400, "There is no route defined for '%s' in the route table.", destination(p))
  aim(cloud, ctx, route, p)
end

function S.DeleteRoute(cloud, p, ctx)
  local t = table_of(cloud, ctx, p.RouteTableId)
  local _, i = route_in(t, p)
  if not i then
    wire.fail("InvalidRoute.NotFound", 400, "no route with destination-cidr-block %s in route table %s", tostring(destination(p)), p.RouteTableId)
  end
  table.remove(t.Routes, i)
end

function S.AssociateRouteTable(cloud, p, ctx)
  local t = table_of(cloud, ctx, p.RouteTableId)
  subnet_of(cloud, ctx, p.SubnetId)
  for _, other in ipairs(C._list(cloud, ctx.region, "route-table")) do
    for _, a in ipairs(other.Associations) do
      if a.SubnetId == p.SubnetId then
        if other == t then return { AssociationId = a.RouteTableAssociationId, AssociationState = { State = "associated" } } end
        wire.fail("Resource.AlreadyAssociated", 400,
          "the specified association for route table %s conflicts with an existing association", p.RouteTableId)
      end
    end
  end
  local id = cloud:new_id "rtbassoc"
  table.insert(t.Associations, { Main = false, RouteTableId = p.RouteTableId, RouteTableAssociationId = id, SubnetId = p.SubnetId,
                                 AssociationState = { State = "associated" } })
  return { AssociationId = id, AssociationState = { State = "associated" } }
end

function S.DisassociateRouteTable(cloud, p, ctx)
  for _, t in ipairs(C._list(cloud, ctx.region, "route-table")) do
    for i, a in ipairs(t.Associations) do
      if a.RouteTableAssociationId == p.AssociationId then table.remove(t.Associations, i) return end
    end
  end
  wire.fail("InvalidAssociationID.NotFound", 400, "The association ID '%s' does not exist", p.AssociationId)
end

--- Moves an association to another table, under a new id.
function S.ReplaceRouteTableAssociation(cloud, p, ctx)
  local t = table_of(cloud, ctx, p.RouteTableId)
  for _, other in ipairs(C._list(cloud, ctx.region, "route-table")) do
    for i, a in ipairs(other.Associations) do
      if a.RouteTableAssociationId == p.AssociationId then
        table.remove(other.Associations, i)
        a.RouteTableAssociationId, a.RouteTableId = cloud:new_id "rtbassoc", p.RouteTableId
        table.insert(t.Associations, a.Main and 1 or #t.Associations + 1, a)
        return { NewAssociationId = a.RouteTableAssociationId, AssociationState = { State = "associated" } }
      end
    end
  end
  wire.fail("InvalidAssociationID.NotFound", 400, "The association ID '%s' does not exist", p.AssociationId)
end

function S.DeleteRouteTable(cloud, p, ctx)
  local t = table_of(cloud, ctx, p.RouteTableId)
  if t.Associations[1] then in_use("routeTable", p.RouteTableId, "%s", t.Associations[1].RouteTableAssociationId) end
  C._remove(cloud, ctx, p.RouteTableId)
end

return S
