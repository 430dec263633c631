--- A cache subnet group: the subnets that ElastiCache may put its nodes into.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "CacheSubnetGroupNotFoundFault CacheSubnetGroupNotFound"

return recipe.kind {
  name = "aws.cache_subnet_group",
  options = {
    { "subnets", "subnets or their ids", type = "list", required = true },
    { "description", "what it is for", type = "string" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, summary = { "subnets" }, compare = { tags = "given", subnets = "set" }, idempotent = true,

  read = noun.reader(GONE, function(spec)
    local group = aws.elasticache:describe_cache_subnet_groups({ CacheSubnetGroupName = spec.name }).CacheSubnetGroups[1]
    if not group then return nil end
    local subnets = {}
    for i, s in ipairs(group.Subnets) do subnets[i] = s.SubnetIdentifier end
    return { id = group.CacheSubnetGroupName, arn = group.ARN, subnets = subnets, description = group.CacheSubnetGroupDescription,
             tags = noun.tag_map(aws.elasticache:list_tags_for_resource({ ResourceName = group.ARN }).TagList) }
  end),

  create = function(spec, ctx)
    return aws.elasticache:create_cache_subnet_group({
      CacheSubnetGroupName = spec.name, CacheSubnetGroupDescription = spec.description or spec.name,
      SubnetIds = noun.ids(spec.subnets), Tags = noun.tags(spec, ctx),
    }).CacheSubnetGroup.CacheSubnetGroupName
  end,

  update = function(spec, current, changes)
    if changes.subnets or changes.description then
      aws.elasticache:modify_cache_subnet_group {
        CacheSubnetGroupName = current.id, SubnetIds = changes.subnets and noun.ids(spec.subnets),
        CacheSubnetGroupDescription = changes.description and spec.description,
      }
    end
    if changes.tags then aws.elasticache:add_tags_to_resource { ResourceName = current.arn, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.elasticache:delete_cache_subnet_group { CacheSubnetGroupName = current.id } end)
  end,
}
