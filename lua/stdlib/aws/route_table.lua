--- A route table: where the traffic of its subnets goes. The VPC's own range always stays inside.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

--- A route's target by what its id begins with.
local TARGETS = { igw = "GatewayId", vgw = "GatewayId", nat = "NatGatewayId", pcx = "VpcPeeringConnectionId",
                  tgw = "TransitGatewayId", eni = "NetworkInterfaceId" }

local function with_target(args, gateway)
  local id = noun.id(gateway)
  args[TARGETS[id:match "^%a+"] or "GatewayId"] = id
  return args
end

local function route_list(routes)
  local list = {}
  for _, r in ipairs(routes or {}) do
    local target = r.GatewayId or r.NatGatewayId or r.VpcPeeringConnectionId or r.TransitGatewayId or r.NetworkInterfaceId
    if r.Origin == "CreateRoute" and target then list[#list + 1] = { to = r.DestinationCidrBlock, gateway = target } end
  end
  return list
end

local function set_routes(id, want, have)
  local old = {}
  for _, r in ipairs(have) do old[r.to] = r.gateway end
  for _, r in ipairs(want or {}) do
    local args = with_target({ RouteTableId = id, DestinationCidrBlock = r.to }, r.gateway)
    if not old[r.to] then
      noun.settled("InvalidRouteTableID.NotFound InvalidInternetGatewayID.NotFound", 30, function() aws.ec2:create_route(args) end)
    elseif old[r.to] ~= noun.id(r.gateway) then
      aws.ec2:replace_route(args)
    end
    old[r.to] = nil
  end
  for _, r in ipairs(have) do
    if old[r.to] then aws.ec2:delete_route { RouteTableId = id, DestinationCidrBlock = r.to } end
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
  fixed = { "vpc" }, summary = { "routes", "subnets" }, compare = { routes = "set", subnets = "set", tags = "given" },

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
