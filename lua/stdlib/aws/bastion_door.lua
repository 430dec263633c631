--- The security group of a bastion, which lets ssh in from one range. Made before the bastion, it can be let in by stores
--- that are made beside the machine.
---
---     local door = aws.bastion_door { "shop", network = net, ssh_from = "203.0.113.7/32" }
---     local bastion = aws.bastion { "shop", network = net, door = door }
local aws = require "aws"
local cidr = require "aws.common.cidr"
local errors = require "errors"
local log = require "log"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local declared = {
  { "name", "the bastion's name", type = "string", required = true },
  { "network", "of aws.network", type = "table", required = true },
  { "ssh_from", "address range that may connect: your own address and /32", type = "string", required = true },
  { "tags", "its tags", type = "table" },
  { "keep", "never delete or replace it", type = "boolean" },
}

local WIDE = 24                                              -- bits: a range with fewer is warned of

--- Refuses what would let everybody try; warns of what lets many.
local function check_range(ssh_from)
  if ssh_from == "::/0" then errors.usage "::/0 would let the whole internet try the bastion's ssh port: give your own IPv4 address with /32" end
  local bits = cidr.parse(ssh_from).bits
  if bits < 8 then
    errors.usage("%s would let half the internet try the bastion's ssh port: give your own address with /32", ssh_from)
  end
  if bits < WIDE and recipe.planning() then
    log.warn("%d addresses may try the bastion's ssh port (%s): your own with /32 is enough", 1 << (32 - bits), ssh_from)
  end
end

--- Makes or finds a bastion's security group. ssh for the whole internet, of IPv4 or IPv6, is refused; of a wide range it
--- warns.
---@param o { [1]: string, network: table, ssh_from: string, tags?: table, keep?: boolean }
---@return { id: string } group
return function(o)
  o = noun.options(o, declared, "aws.bastion_door")
  if not recipe.is_unknown(o.ssh_from) then check_range(o.ssh_from) end
  return aws.security_group {
    o.name .. "-bastion", vpc = o.network.id, description = "ssh to the bastion", tags = o.tags, keep = o.keep,
    rules = { { port = 22, from = o.ssh_from, why = "ssh from the given range only" } },
  }
end
