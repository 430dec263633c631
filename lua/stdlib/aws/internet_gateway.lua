--- An internet gateway, attached to a VPC: the way in and out for its public subnets.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local function find(spec, known, ctx)
  local found = aws.ec2:describe_internet_gateways { Filters = noun.ec2_filters(spec, known, ctx, "internet-gateway-id") }
  return noun.only(found.InternetGateways, spec, "InternetGatewayId")
end

local function attach(id, vpc)
  noun.settled("InvalidInternetGatewayID.NotFound InvalidVpcID.NotFound", 30, function()
    aws.ec2:attach_internet_gateway { InternetGatewayId = id, VpcId = noun.id(vpc) }
  end)
end

return recipe.kind {
  name = "aws.internet_gateway",
  options = {
    { "vpc", "the VPC or its id", type = "any", required = true },
    { "attached", "connected to the VPC", type = "boolean", default = true },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  fixed = { "vpc" }, summary = { "vpc" },
  compare = {
    tags = "given",
    vpc = function(want, have) return have == nil or noun.id(want) == have end,   -- a run that broke off: not attached yet
  },

  read = function(spec, known, ctx)
    local gateway = find(spec, known, ctx)
    local to = gateway and gateway.Attachments and gateway.Attachments[1]
    return gateway and {
      id = gateway.InternetGatewayId, vpc = to and to.VpcId, attached = to ~= nil, tags = noun.tag_map(gateway.Tags),
    }
  end,

  create = function(spec, ctx)
    local id = noun.made_once(function() return find(spec, nil, ctx) end, function(opts)
      return aws.ec2:create_internet_gateway({ TagSpecifications = noun.ec2_tags("internet-gateway", spec, ctx) }, opts).InternetGateway
    end).InternetGatewayId
    if spec.attached then attach(id, spec.vpc) end
    return id
  end,

  update = function(spec, current, changes)
    if changes.attached and spec.attached then
      attach(current.id, spec.vpc)
    elseif changes.attached then
      aws.ec2:detach_internet_gateway { InternetGatewayId = current.id, VpcId = current.vpc }
    end
    if changes.tags then aws.ec2:create_tags { Resources = { current.id }, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    if current.attached then
      noun.delete("Gateway.NotAttached InvalidInternetGatewayID.NotFound", function()
        aws.ec2:detach_internet_gateway { InternetGatewayId = current.id, VpcId = current.vpc }
      end)
    end
    noun.delete("InvalidInternetGatewayID.NotFound", function()
      aws.ec2:delete_internet_gateway { InternetGatewayId = current.id }
    end)
  end,
}
