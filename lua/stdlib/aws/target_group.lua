--- A target group of a load balancer: addresses of one VPC that speak HTTP on a port, and how the load balancer finds out
--- whether they are well.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "TargetGroupNotFound"
local DELAY = "deregistration_delay.timeout_seconds"

local function set_delay(arn, seconds)
  aws.elbv2:modify_target_group_attributes { TargetGroupArn = arn, Attributes = { { Key = DELAY, Value = tostring(seconds) } } }
end

return recipe.kind {
  name = "aws.target_group",
  options = {
    { "vpc", "the VPC or its id", type = "any", required = true },
    { "port", "port of the targets", type = "integer", default = 80 },
    { "targets", "what is registered: addresses or instances", type = "string", default = "ip", one_of = { "ip", "instance" } },
    { "health_path", "path that is asked", type = "string", default = "/" },
    { "healthy_codes", "statuses that mean well: 200, 200-399, 200,302", type = "string", default = "200" },
    { "interval", "seconds between two checks", type = "integer", default = 15 },
    { "check_timeout", "seconds that an answer may take", type = "integer", default = 5 },
    { "drain", "seconds that requests under way get when a target leaves", type = "integer", default = 30 },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "suffix" }, fixed = { "vpc", "port", "targets" }, summary = { "port", "health_path" }, idempotent = true,
  compare = { tags = "given" },

  read = noun.reader(GONE, function(spec)
    local answer = aws.elbv2:describe_target_groups { Names = { spec.name } }
    local group = answer.TargetGroups[1]
    if not group then return nil end
    local delay
    for _, a in ipairs(aws.elbv2:describe_target_group_attributes({ TargetGroupArn = group.TargetGroupArn }).Attributes) do
      if a.Key == DELAY then delay = math.tointeger(tonumber(a.Value)) end
    end
    return {
      id = group.TargetGroupArn, arn = group.TargetGroupArn, suffix = group.TargetGroupArn:match ":(targetgroup/.*)$", vpc = group.VpcId,
      port = group.Port, targets = group.TargetType, health_path = group.HealthCheckPath, healthy_codes = group.Matcher and group.Matcher.HttpCode,
      interval = group.HealthCheckIntervalSeconds, check_timeout = group.HealthCheckTimeoutSeconds, drain = delay,
      tags = noun.tag_map(aws.elbv2:describe_tags({ ResourceArns = { group.TargetGroupArn } }).TagDescriptions[1].Tags),
    }
  end),

  create = function(spec, ctx)
    local arn = noun.settled("InvalidVpcID.NotFound", 30, function()
      return aws.elbv2:create_target_group({
        Name = spec.name, Protocol = "HTTP", Port = spec.port, VpcId = noun.id(spec.vpc), TargetType = spec.targets, HealthCheckProtocol = "HTTP",
        HealthCheckPath = spec.health_path, HealthCheckIntervalSeconds = spec.interval, HealthCheckTimeoutSeconds = spec.check_timeout,
        HealthyThresholdCount = 2, UnhealthyThresholdCount = 3, Matcher = { HttpCode = spec.healthy_codes }, Tags = noun.tags(spec, ctx),
      }).TargetGroups[1].TargetGroupArn
    end)
    set_delay(arn, spec.drain)
    return arn
  end,

  update = function(spec, current, changes)
    if changes.health_path or changes.healthy_codes or changes.interval or changes.check_timeout then
      aws.elbv2:modify_target_group {
        TargetGroupArn = current.id, HealthCheckPath = changes.health_path and spec.health_path,
        Matcher = changes.healthy_codes and { HttpCode = spec.healthy_codes } or nil,
        HealthCheckIntervalSeconds = changes.interval and spec.interval, HealthCheckTimeoutSeconds = changes.check_timeout and spec.check_timeout,
      }
    end
    if changes.drain then set_delay(current.id, spec.drain) end
    if changes.tags then aws.elbv2:add_tags { ResourceArns = { current.id }, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.elbv2:delete_target_group { TargetGroupArn = current.id } end)
  end,
}
