--- A subnet: one address range of a VPC in one availability zone.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local function find(spec, known, ctx)
  local found = aws.ec2:describe_subnets { Filters = noun.ec2_filters(spec, known, ctx, "subnet-id") }
  return noun.only(found.Subnets, spec, "SubnetId")
end

local function set_public(id, public)
  noun.settled("InvalidSubnetID.NotFound", 30, function()
    aws.ec2:modify_subnet_attribute { SubnetId = id, MapPublicIpOnLaunch = { Value = public } }
  end)
end

return recipe.kind {
  name = "aws.subnet",
  options = {
    { "vpc", "the VPC or its id", type = "any", required = true },
    { "cidr", "address range inside the VPC's", type = "string", required = true },
    { "zone", "availability zone: us-east-1a", type = "string", required = true },
    { "public", "instances get a public address", type = "boolean", default = false },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  fixed = { "vpc", "cidr", "zone" }, summary = { "cidr", "zone", "public" }, compare = { tags = "given" },

  read = function(spec, known, ctx)
    local subnet = find(spec, known, ctx)
    return subnet and {
      id = subnet.SubnetId, vpc = subnet.VpcId, cidr = subnet.CidrBlock, zone = subnet.AvailabilityZone,
      public = subnet.MapPublicIpOnLaunch, state = subnet.State, tags = noun.tag_map(subnet.Tags),
    }
  end,

  create = function(spec, ctx)
    local hints = { ["InvalidSubnet.Conflict"] = "another subnet of the VPC has these addresses" }
    local function make(opts)
      return aws.ec2:create_subnet({
        VpcId = noun.id(spec.vpc), CidrBlock = spec.cidr, AvailabilityZone = spec.zone,
        TagSpecifications = noun.ec2_tags("subnet", spec, ctx),
      }, opts).Subnet
    end
    local function look() return find(spec, nil, ctx) end
    local subnet = noun.hinted(hints, noun.settled, "InvalidVpcID.NotFound", 30, noun.made_once, look, make)
    if spec.public then set_public(subnet.SubnetId, true) end
    return subnet.SubnetId
  end,

  ready = function(current)
    if current.state ~= "pending" then return nil end
    aws.ec2:wait("subnet_available", { SubnetIds = { current.id } })
    current.state = "available"
    return current
  end,

  update = function(spec, current, changes)
    if changes.public then set_public(current.id, spec.public) end
    if changes.tags then aws.ec2:create_tags { Resources = { current.id }, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete("InvalidSubnetID.NotFound", function() aws.ec2:delete_subnet { SubnetId = current.id } end)
  end,
}
