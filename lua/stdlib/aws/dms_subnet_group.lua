--- A replication subnet group: the subnets, in two zones at least, that AWS DMS may put a replication instance into.
local aws = require "aws"
local dms = require "aws.common.dms"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local HINTS = {
  AccessDeniedFault = "DMS looks for the role dms-vpc-role by its name; a role that was just made may take a minute: apply again",
  ReplicationSubnetGroupDoesNotCoverEnoughAZs = "the subnets must lie in two availability zones at least",
}

return recipe.kind {
  name = "aws.dms_subnet_group",
  options = {
    { "subnets", "subnets or their ids, in two zones at least", type = "list", required = true },
    { "role", "the role dms-vpc-role or its ARN, which must be there first: DMS finds it by its name", type = "any" },
    { "description", "what it is for", type = "string" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, summary = { "subnets" }, idempotent = true,
  compare = { tags = "given", subnets = "set", role = "ignore" },

  read = noun.reader(dms.GONE, function(spec)
    local group = dms.find("describe_replication_subnet_groups", "replication-subnet-group-id", spec.name, "ReplicationSubnetGroups")
    if not group then return nil end
    local arn, subnets = dms.arn("subgrp", group.ReplicationSubnetGroupIdentifier), {}
    for i, s in ipairs(group.Subnets) do subnets[i] = s.SubnetIdentifier end
    return { id = group.ReplicationSubnetGroupIdentifier, arn = arn, subnets = subnets, description = group.ReplicationSubnetGroupDescription,
             tags = dms.tags(arn) }
  end),

  create = function(spec, ctx)
    return noun.hinted(HINTS, noun.settled, "AccessDeniedFault", 60, function()   -- IAM takes seconds to know a new role everywhere
      return aws.dms:create_replication_subnet_group({
        ReplicationSubnetGroupIdentifier = spec.name, ReplicationSubnetGroupDescription = spec.description or spec.name,
        SubnetIds = noun.ids(spec.subnets), Tags = noun.tags(spec, ctx),
      }).ReplicationSubnetGroup.ReplicationSubnetGroupIdentifier
    end)
  end,

  update = function(spec, current, changes)
    if changes.subnets or changes.description then
      aws.dms:modify_replication_subnet_group {
        ReplicationSubnetGroupIdentifier = current.id, SubnetIds = noun.ids(spec.subnets),
        ReplicationSubnetGroupDescription = changes.description and spec.description,
      }
    end
    if changes.tags then dms.tag(current.arn, spec.tags) end
  end,

  delete = function(current)
    noun.delete(dms.GONE, function()
      aws.dms:delete_replication_subnet_group { ReplicationSubnetGroupIdentifier = current.id }
    end)
  end,
}
