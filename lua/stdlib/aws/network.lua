--- A network: a VPC with public and private subnets in two or more zones, an internet gateway, and route tables that
--- lead only the public subnets to it.
---
---     local net = aws.network { "shop", cidr = "10.40.0.0/16", zones = 2 }
---     net.id, net.public[1], net.private[1], net.cidr
local aws = require "aws"
local cidr = require "aws.common.cidr"
local errors = require "errors"
local noun = require "aws.common.noun"
local task = require "task"

local declared = {
  { "name", "its name", type = "string", required = true },
  { "cidr", "address range, /16 to /24", type = "string", default = "10.40.0.0/16" },
  { "zones", "in how many availability zones", type = "integer", default = 2 },
  { "tags", "tags of all its parts", type = "table" },
  { "keep", "never delete or replace it", type = "boolean" },
}

local PARTS = 4 -- the range is cut into 2^4 parts: the first eight are for public subnets, the others for private ones

local function zone_names(count)
  local found = aws.ec2:describe_availability_zones {
    Filters = { { Name = "zone-type", Values = { "availability-zone" } }, { Name = "state", Values = { "available" } } },
  }
  local names = {}
  for _, z in ipairs(found.AvailabilityZones) do names[#names + 1] = z.ZoneName end
  table.sort(names)
  if #names < count then
    errors.raise { kind = "invalid", op = "lay out the network",
                   message = ("%s has %d availability zones, not %d"):format(aws.ec2.region, #names, count) }
  end
  return table.move(names, 1, count, 1, {})
end

local function ids(nouns)
  local list = {}
  for i, n in ipairs(nouns) do list[i] = n.id end
  return list
end

--- Makes or finds a network.
---@param o { [1]: string, cidr?: string, zones?: integer, tags?: table }
---@return { id: string, name: string, cidr: string, zones: string[], public: string[], private: string[] } network
return function(o)
  o = noun.options(o, declared, "aws.network")
  local range = cidr.vpc(o.cidr)
  if o.zones < 1 or o.zones > 6 then errors.usage("aws.network: zones must be from 1 to 6, not %d", o.zones) end
  local zones = zone_names(o.zones)
  local with = { tags = o.tags, keep = o.keep }

  local vpc = aws.vpc { o.name, cidr = o.cidr, tags = o.tags, keep = o.keep }
  local function subnets(what, first, public)
    return function()
      return task.map(zones, function(zone)
        local i = assert(zone:match "%a$"):byte() - 97       -- by the zone's letter: a new zone moves no addresses
        return aws.subnet {
          ("%s-%s-%s"):format(o.name, what, zone:match "%a$"), vpc = vpc.id, cidr = cidr.part(range, PARTS, first + i),
          zone = zone, public = public, tags = with.tags, keep = with.keep,
        }
      end)
    end
  end
  local parts = task.all {
    public = subnets("public", 0, true),
    private = subnets("private", 8, false),
    gateway = function() return aws.internet_gateway { o.name, vpc = vpc.id, tags = o.tags, keep = o.keep } end,
  }
  local public, private = ids(parts.public), ids(parts.private)
  task.all {
    public = function()
      aws.route_table { o.name .. "-public", vpc = vpc.id, subnets = public, tags = o.tags, keep = o.keep,
                        routes = { { to = "0.0.0.0/0", gateway = parts.gateway.id } } }
    end,
    private = function()
      aws.route_table { o.name .. "-private", vpc = vpc.id, subnets = private, tags = o.tags, keep = o.keep }
    end,
  }
  return { id = vpc.id, name = o.name, cidr = o.cidr, zones = zones, public = public, private = private }
end
