--- A DB subnet group: the subnets, in two zones at least, that RDS may put an instance into.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "DBSubnetGroupNotFoundFault DBSubnetGroupNotFound"

return recipe.kind {
  name = "aws.db_subnet_group",
  options = {
    { "subnets", "subnets or their ids, in two zones at least", type = "list", required = true },
    { "description", "what it is for", type = "string" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, summary = { "subnets" }, compare = { tags = "given", subnets = "set" }, idempotent = true,

  read = noun.reader(GONE, function(spec)
    local group = aws.rds:describe_db_subnet_groups({ DBSubnetGroupName = spec.name }).DBSubnetGroups[1]
    local tags = group and noun.found("InvalidParameterValue",               -- so RDS says here that there is no such ARN
      aws.rds.list_tags_for_resource, aws.rds, { ResourceName = group.DBSubnetGroupArn })
    if not tags then return nil end
    local subnets = {}
    for i, s in ipairs(group.Subnets) do subnets[i] = s.SubnetIdentifier end
    return { id = group.DBSubnetGroupName, arn = group.DBSubnetGroupArn, subnets = subnets, description = group.DBSubnetGroupDescription,
             tags = noun.tag_map(tags.TagList) }
  end),

  create = function(spec, ctx)
    return aws.rds:create_db_subnet_group({
      DBSubnetGroupName = spec.name, DBSubnetGroupDescription = spec.description or spec.name, SubnetIds = noun.ids(spec.subnets),
      Tags = noun.tags(spec, ctx),
    }).DBSubnetGroup.DBSubnetGroupName
  end,

  update = function(spec, current, changes)
    if changes.subnets or changes.description then
      aws.rds:modify_db_subnet_group {
        DBSubnetGroupName = current.id, SubnetIds = noun.ids(spec.subnets), DBSubnetGroupDescription = changes.description and spec.description,
      }
    end
    if changes.tags then aws.rds:add_tags_to_resource { ResourceName = current.arn, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete(GONE, function()
      aws.rds:delete_db_subnet_group { DBSubnetGroupName = current.id }
    end)
  end,
}
