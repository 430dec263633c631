--- An application load balancer (Elastic Load Balancing v2). What it does with what arrives is said by its listeners.
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "LoadBalancerNotFound"
local IDLE = "idle_timeout.timeout_seconds"

local function look(name)
  local answer = noun.found(GONE, aws.elbv2.describe_load_balancers, aws.elbv2, { Names = { name } })
  return answer and answer.LoadBalancers[1]
end

local function check_subnets(spec)
  local n = recipe.is_unknown(spec.subnets) and 2 or #spec.subnets
  if n < 2 then errors.usage("aws.load_balancer %q needs subnets in two zones, not %d", spec.name, n) end
end

return recipe.kind {
  name = "aws.load_balancer",
  options = {
    { "subnets", "subnets of two zones at least: public ones, unless it is internal", type = "list", required = true },
    { "groups", "security groups or their ids", type = "list", required = true },
    { "internal", "only the VPC reaches it", type = "boolean", default = false },
    { "idle_timeout", "seconds without a byte after which it closes a connection; Heroku's router takes 55", type = "integer", default = 60 },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "dns_name", "zone_id", "suffix" }, fixed = { "internal" }, summary = { "internal" }, idempotent = true, timeout = 1800,
  compare = { tags = "given", groups = "set", subnets = "set" },

  read = noun.reader(GONE, function(spec)
    local lb = look(spec.name)
    if not lb then return nil end
    local subnets, idle = {}, nil
    for i, zone in ipairs(lb.AvailabilityZones) do subnets[i] = zone.SubnetId end
    for _, a in ipairs(aws.elbv2:describe_load_balancer_attributes({ LoadBalancerArn = lb.LoadBalancerArn }).Attributes) do
      if a.Key == IDLE then idle = math.tointeger(tonumber(a.Value)) end
    end
    return {
      id = lb.LoadBalancerArn, arn = lb.LoadBalancerArn, dns_name = lb.DNSName, zone_id = lb.CanonicalHostedZoneId,
      suffix = lb.LoadBalancerArn:match ":loadbalancer/(.*)$",         -- its dimension in CloudWatch
      internal = lb.Scheme == "internal", groups = lb.SecurityGroups or {}, subnets = subnets, idle_timeout = idle, state = lb.State.Code,
      tags = noun.tag_map(aws.elbv2:describe_tags({ ResourceArns = { lb.LoadBalancerArn } }).TagDescriptions[1].Tags),
    }
  end),

  create = function(spec, ctx)
    check_subnets(spec)
    local lb = noun.settled("SubnetNotFound InvalidSecurityGroup InvalidSubnet", 60, function()
      return aws.elbv2:create_load_balancer({
        Name = spec.name, Type = "application", Scheme = spec.internal and "internal" or "internet-facing", Subnets = noun.ids(spec.subnets),
        SecurityGroups = noun.ids(spec.groups), Tags = noun.tags(spec, ctx),
      }).LoadBalancers[1]
    end)
    if spec.idle_timeout ~= 60 then
      aws.elbv2:modify_load_balancer_attributes { LoadBalancerArn = lb.LoadBalancerArn,
        Attributes = { { Key = IDLE, Value = tostring(spec.idle_timeout) } } }
    end
    return lb.LoadBalancerArn
  end,

  ready = function(current, ctx)
    if current.state == "active" then return nil end
    return noun.wait(ctx, "it is not active", ctx.timeout, function()
      local lb = aws.elbv2:describe_load_balancers({ LoadBalancerArns = { current.id } }).LoadBalancers[1]
      if lb.State.Code == "failed" then
        errors.raise { kind = "remote", message = "it could not be set up: " .. (lb.State.Reason or "AWS does not say why") }
      end
      current.state, current.dns_name = lb.State.Code, lb.DNSName
      return lb.State.Code == "active" and current, lb.State.Code
    end)
  end,

  update = function(spec, current, changes)
    if changes.groups then aws.elbv2:set_security_groups { LoadBalancerArn = current.id, SecurityGroups = noun.ids(spec.groups) } end
    if changes.subnets then aws.elbv2:set_subnets { LoadBalancerArn = current.id, Subnets = noun.ids(spec.subnets) } end
    if changes.idle_timeout then
      aws.elbv2:modify_load_balancer_attributes { LoadBalancerArn = current.id,
        Attributes = { { Key = IDLE, Value = tostring(spec.idle_timeout) } } }
    end
    if changes.tags then aws.elbv2:add_tags { ResourceArns = { current.id }, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.elbv2:delete_load_balancer { LoadBalancerArn = current.id } end)
  end,
}
