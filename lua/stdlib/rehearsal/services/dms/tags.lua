--- Tags of DMS resources, by ARN.
local common = require "rehearsal.services.dms.common"
local managed = require "rehearsal.managed"

local S = {}

local TABLES = { rep = "instances", endpoint = "endpoints", task = "tasks", subgrp = "subnet_groups", cert = "certificates",
                 ["assessment-run"] = "runs" }

local function tags_of(cloud, ctx, arn)
  local region, kind = arn:match "^arn:aws:dms:([^:]*):%d*:([^:]+):.+$"
  if not kind or not TABLES[kind] or region ~= ctx.region then common.invalid("The ARN %s is not one of a DMS resource in this region.", arn) end
  local found = common.all(cloud, ctx, TABLES[kind])[arn]
  return found and found.tags or common.missing("No resource found with the ARN %s", arn)
end

function S.AddTagsToResource(cloud, p, ctx) managed.add_tags(tags_of(cloud, ctx, p.ResourceArn), p.Tags) end
function S.RemoveTagsFromResource(cloud, p, ctx) managed.remove_tags(tags_of(cloud, ctx, p.ResourceArn), p.TagKeys) end

function S.ListTagsForResource(cloud, p, ctx)
  local list = {}
  local arns = p.ResourceArnList and #p.ResourceArnList > 0 and p.ResourceArnList or { p.ResourceArn or common.invalid("ResourceArn is needed.") }
  for _, arn in ipairs(arns) do
    for _, tag in ipairs(tags_of(cloud, ctx, arn)) do list[#list + 1] = { Key = tag.Key, Value = tag.Value, ResourceArn = arn } end
  end
  return { TagList = list }
end

return S
