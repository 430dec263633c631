--- A VPC: a private network of its own in one region.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "InvalidVpcID.NotFound"

local function find(spec, known, ctx)
  local found = aws.ec2:describe_vpcs { Filters = noun.ec2_filters(spec, known, ctx, "vpc-id") }
  return noun.only(found.Vpcs, spec, "VpcId")
end

local function attribute(id, name)
  local r = aws.ec2:describe_vpc_attribute { VpcId = id, Attribute = name }
  return r[name:sub(1, 1):upper() .. name:sub(2)].Value
end

local function set_dns(id, fields)
  for field, member in pairs { dns_support = "EnableDnsSupport", dns_hostnames = "EnableDnsHostnames" } do
    if fields[field] ~= nil then
      noun.settled(GONE, 30, function()
        aws.ec2:modify_vpc_attribute { VpcId = id, [member] = { Value = fields[field] } }
      end)
    end
  end
end

return recipe.kind {
  name = "aws.vpc",
  options = {
    { "cidr", "address range: 10.40.0.0/16", type = "string", required = true },
    { "dns_support", "names are resolved inside", type = "boolean", default = true },
    { "dns_hostnames", "instances get names; RDS and ElastiCache need it", type = "boolean", default = true },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  fixed = { "cidr" }, summary = { "cidr" }, compare = { tags = "given" },

  read = noun.reader(GONE, function(spec, known, ctx)
    local vpc = find(spec, known, ctx)
    return vpc and {
      id = vpc.VpcId, cidr = vpc.CidrBlock, state = vpc.State, tags = noun.tag_map(vpc.Tags),
      dns_support = attribute(vpc.VpcId, "enableDnsSupport"), dns_hostnames = attribute(vpc.VpcId, "enableDnsHostnames"),
    }
  end),

  create = function(spec, ctx)
    local vpc = noun.hinted({ VpcLimitExceeded = "ask AWS for a higher quota of VPCs, or delete one" }, noun.made_once,
      function() return find(spec, nil, ctx) end,
      function(opts)
        return aws.ec2:create_vpc({ CidrBlock = spec.cidr, TagSpecifications = noun.ec2_tags("vpc", spec, ctx) }, opts).Vpc
      end)
    set_dns(vpc.VpcId, { dns_hostnames = spec.dns_hostnames or nil, dns_support = spec.dns_support == false and false or nil })
    return vpc.VpcId
  end,

  ready = function(current)
    if current.state ~= "pending" then return nil end
    aws.ec2:wait("vpc_available", { VpcIds = { current.id } })
    current.state = "available"
    return current
  end,

  update = function(spec, current, changes)
    set_dns(current.id, { dns_support = changes.dns_support and spec.dns_support,
                          dns_hostnames = changes.dns_hostnames and spec.dns_hostnames })
    if changes.tags then aws.ec2:create_tags { Resources = { current.id }, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.ec2:delete_vpc { VpcId = current.id } end)
  end,
}
