--- Tags of ElastiCache resources, by ARN.
local managed = require "rehearsal.managed"
local wire = require "rehearsal.wire"

local S = {}

local TABLES = {
  replicationgroup = { "replication_groups", "ReplicationGroupNotFoundFault", "ReplicationGroup %s not found." },
  snapshot = { "snapshots", "SnapshotNotFoundFault", "%s is either not present or not available." },
  subnetgroup = { "subnet_groups", "CacheSubnetGroupNotFoundFault", "Cache Subnet Group %s does not exist.", 400 },
  parametergroup = { "parameter_groups", "CacheParameterGroupNotFound", "CacheParameterGroup %s not found." },
}

local function tags_of(cloud, p, ctx)
  local region, kind, name = p.ResourceName:match "^arn:aws:elasticache:([^:]*):%d*:([^:]+):(.+)$"
  if kind == "cluster" then kind, name = "replicationgroup", name:match "^(.+)%-%d+$" end
  local place = region == ctx.region and TABLES[kind]
  if not place then wire.fail("InvalidARN", 400, "ARN %s is invalid", p.ResourceName) end
  local found = managed.table_of(cloud, ctx, "elasticache", place[1])[name]
  return found and found.tags or wire.fail(place[2], place[4] or 404, place[3], name)
end

function S.ListTagsForResource(cloud, p, ctx) return { TagList = tags_of(cloud, p, ctx) } end

function S.AddTagsToResource(cloud, p, ctx)
  local tags = tags_of(cloud, p, ctx)
  managed.add_tags(tags, p.Tags)
  return { TagList = tags }
end

function S.RemoveTagsFromResource(cloud, p, ctx)
  local tags = tags_of(cloud, p, ctx)
  for _, key in ipairs(p.TagKeys) do
    local found = false
    for _, tag in ipairs(tags) do found = found or tag.Key == key end
    if not found then wire.fail("TagNotFound", 404, "%s is not a tag of the resource", key) end
  end
  managed.remove_tags(tags, p.TagKeys)
  return { TagList = tags }
end

return S
