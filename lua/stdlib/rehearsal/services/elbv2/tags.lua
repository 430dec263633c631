--- Tags of load balancers, target groups and listeners.
local C = require "rehearsal.services.elbv2.common"
local managed = require "rehearsal.managed"

local S = {}

local function tagged(cloud, ctx, arn)
  if arn:find ":loadbalancer/" then return C.balancer(cloud, ctx, arn) end
  if arn:find ":targetgroup/" then return C.group(cloud, ctx, arn) end
  if arn:find ":listener/" then return C.listener(cloud, ctx, arn) end
  C.refuse("'%s' is not a valid resource ARN", arn)
end

function S.DescribeTags(cloud, p, ctx)
  local list = {}
  for i, arn in ipairs(p.ResourceArns) do list[i] = { ResourceArn = arn, Tags = tagged(cloud, ctx, arn).Tags } end
  return { TagDescriptions = list }
end

function S.AddTags(cloud, p, ctx)
  for _, arn in ipairs(p.ResourceArns) do managed.add_tags(tagged(cloud, ctx, arn).Tags, p.Tags) end
end

function S.RemoveTags(cloud, p, ctx)
  for _, arn in ipairs(p.ResourceArns) do managed.remove_tags(tagged(cloud, ctx, arn).Tags, p.TagKeys) end
end

return S
