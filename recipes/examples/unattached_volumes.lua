--- Lists the EBS volumes that are attached to nothing, and what they hold: the largest first.
---
---     hkrun recipes/examples/unattached_volumes.lua --region eu-west-1
local recipe, aws = require "recipe", require "aws"

recipe.options {
  { "region", "AWS region", default = "us-east-1", use = function(v) aws.use { region = v } end },
}

recipe.stage "look"
local volumes = {}
for v in aws.ec2:each("describe_volumes", { Filters = { { Name = "status", Values = { "available" } } } }) do
  volumes[#volumes + 1] = v
end
table.sort(volumes, function(a, b) return a.Size > b.Size end)

local rows, total = { { "volume", "GB", "type", "zone", "made" } }, 0
for _, v in ipairs(volumes) do
  rows[#rows + 1] = { v.VolumeId, v.Size, v.VolumeType, v.AvailabilityZone, os.date("!%Y-%m-%d", math.floor(v.CreateTime)) }
  total = total + v.Size
end
rows[#rows + 1] = { "all", total }
recipe.report("Unattached volumes", rows)
