--- Tags of RDS resources, by ARN.
local managed = require "rehearsal.managed"
local wire = require "rehearsal.wire"

local S = {}

local TABLES = { db = "instances", subgrp = "subnet_groups", pg = "parameter_groups", snapshot = "snapshots" }

local MISSING = {
  db = { "DBInstanceNotFound", 404, "DBInstance %s not found." },
  subgrp = { "InvalidParameterValue", 400, "Unable to find a subnet group matching the resource name: %s" },
  pg = { "DBParameterGroupNotFound", 404, "DBParameterGroup not found: %s" },
  snapshot = { "DBSnapshotNotFound", 404, "DBSnapshot %s not found." },
}

local function tags_of(cloud, p, ctx)
  local region, kind, name = p.ResourceName:match "^arn:aws:rds:([^:]*):%d*:([^:]+):(.+)$"
  if region ~= ctx.region or not TABLES[kind] then
    wire.fail("InvalidParameterValue", 400, "The specified resource name does not match an RDS resource in this region.")
  end
  local found = managed.table_of(cloud, ctx, "rds", TABLES[kind])[name]
  return found and found.tags or wire.fail(MISSING[kind][1], MISSING[kind][2], MISSING[kind][3],
    kind == "subgrp" and p.ResourceName or name)
end

function S.ListTagsForResource(cloud, p, ctx) return { TagList = tags_of(cloud, p, ctx) } end
function S.AddTagsToResource(cloud, p, ctx) managed.add_tags(tags_of(cloud, p, ctx), p.Tags) end
function S.RemoveTagsFromResource(cloud, p, ctx) managed.remove_tags(tags_of(cloud, p, ctx), p.TagKeys) end

return S
