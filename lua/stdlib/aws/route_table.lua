--- A route table: where the traffic of its subnets goes. The VPC's own range always stays inside.
local aws = require "aws"
local canonical = require "aws.common.cidr".canonical
local diff = require "recipe.diff"
local noun = require "aws.common.noun"
local recipe = require "recipe"

--- A route's target by what its id begins with.
local TARGETS = { igw = "GatewayId", vgw = "GatewayId", nat = "NatGatewayId", pcx = "VpcPeeringConnectionId",
                  tgw = "TransitGatewayId", eni = "NetworkInterfaceId", i = "InstanceId", eigw = "EgressOnlyInternetGatewayId" }

--- What a call about a route says: its destination, by its kind.
local function route_args(id, to)
  local member = to:find "^pl%-" and "DestinationPrefixListId" or to:find(":", 1, true) and "DestinationIpv6CidrBlock" or "DestinationCidrBlock"
  return { RouteTableId = id, [member] = to }
end

local function with_target(args, gateway)
  local id = noun.id(gateway)
  args[TARGETS[id:match "^%a+"] or "GatewayId"] = id
  return args
end

local function target_of(r)
  if r.NetworkInterfaceId and r.InstanceId then return r.InstanceId end
  for _, member in pairs(TARGETS) do
    if r[member] then return r[member] end
  end
  return r.CarrierGatewayId or r.LocalGatewayId or r.CoreNetworkArn
end

--- The routes that were made by hand or by a recipe. Those of a VPC endpoint come and go with it.
local function route_list(routes)
  local list = {}
  for _, r in ipairs(routes or {}) do
    local to, target = r.DestinationCidrBlock or r.DestinationIpv6CidrBlock or r.DestinationPrefixListId, target_of(r)
    if r.Origin == "CreateRoute" and target and not target:find "^vpce%-" then list[#list + 1] = { to = to, gateway = target } end
  end
  return list
end

local function canonical_list(routes)
  local list = {}
  for i, r in ipairs(routes) do list[i] = { to = canonical(r.to), gateway = r.gateway } end
  return list
end

local function set_routes(id, want, have)
  local old = {}
  for _, r in ipairs(have) do old[r.to] = r.gateway end
  for _, r in ipairs(canonical_list(want)) do
    local args = with_target(route_args(id, r.to), r.gateway)
    if not old[r.to] then
      noun.settled("InvalidRouteTableID.NotFound InvalidInternetGatewayID.NotFound", 30, function() aws.ec2:create_route(args) end)
    elseif old[r.to] ~= noun.id(r.gateway) then
      aws.ec2:replace_route(args)
    end
    old[r.to] = nil
  end
  for _, r in ipairs(have) do
    if old[r.to] then aws.ec2:delete_route(route_args(id, r.to)) end
  end
end

--- A subnet has one table: one that is in another is moved.
local function associate(id, subnet)
  local other = aws.ec2:describe_route_tables { Filters = { { Name = "association.subnet-id", Values = { subnet } } } }.RouteTables[1]
  for _, a in ipairs(other and other.Associations or {}) do
    if a.SubnetId == subnet then
      if other.RouteTableId == id then return end
      aws.ec2:replace_route_table_association { AssociationId = a.RouteTableAssociationId, RouteTableId = id }
      return
    end
  end
  noun.settled("InvalidRouteTableID.NotFound InvalidSubnetID.NotFound", 30, function()
    aws.ec2:associate_route_table { RouteTableId = id, SubnetId = subnet }
  end)
end

local function disassociate(current, subnet)
  noun.found("InvalidAssociationID.NotFound", function()
    aws.ec2:disassociate_route_table { AssociationId = current.associations[subnet] }
  end)
end

return recipe.kind {
  name = "aws.route_table",
  options = {
    { "vpc", "the VPC or its id", type = "any", required = true },
    { "routes", "all routes: { { to = \"0.0.0.0/0\", gateway = igw }, ... }", type = "list", default = {} },
    { "subnets", "all subnets that use it, or their ids", type = "list", default = {} },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  fixed = { "vpc" }, summary = { "routes", "subnets" },
  compare = {
    subnets = "set", tags = "given",
    routes = function(want, have) return diff.comparer "set"(canonical_list(want), have) end,
  },

  read = function(spec, known, ctx)
    local found = aws.ec2:describe_route_tables { Filters = noun.ec2_filters(spec, known, ctx, "route-table-id") }
    local t = noun.only(found.RouteTables, spec, "RouteTableId")
    if not t then return nil end
    local subnets, associations = {}, {}
    for _, a in ipairs(t.Associations or {}) do
      if a.SubnetId then
        subnets[#subnets + 1] = a.SubnetId
        associations[a.SubnetId] = a.RouteTableAssociationId
      end
    end
    return { id = t.RouteTableId, vpc = t.VpcId, routes = route_list(t.Routes), subnets = subnets,
             associations = associations, tags = noun.tag_map(t.Tags) }
  end,

  create = function(spec, ctx)
    local made = aws.ec2:create_route_table {
      VpcId = noun.id(spec.vpc), TagSpecifications = noun.ec2_tags("route-table", spec, ctx), ClientToken = ctx.token,
    }
    local id = made.RouteTable.RouteTableId
    set_routes(id, spec.routes, {})
    for _, subnet in ipairs(noun.ids(spec.subnets)) do associate(id, subnet) end
    return id
  end,

  update = function(spec, current, changes)
    if changes.routes then set_routes(current.id, spec.routes, current.routes) end
    if changes.subnets then
      local want = noun.ids(spec.subnets)
      for _, subnet in ipairs(noun.minus(want, current.subnets)) do associate(current.id, subnet) end
      for _, subnet in ipairs(noun.minus(current.subnets, want)) do disassociate(current, subnet) end
    end
    if changes.tags then aws.ec2:create_tags { Resources = { current.id }, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    for _, subnet in ipairs(current.subnets) do disassociate(current, subnet) end
    noun.delete("InvalidRouteTableID.NotFound", function()
      aws.ec2:delete_route_table { RouteTableId = current.id }
    end)
  end,
}
