--- A listener of a load balancer: a port, and where what arrives there goes. With a certificate it speaks HTTPS.
---
---     aws.listener { "shop-80", load_balancer = lb, port = 80, target_group = group }
---     aws.listener { "shop-443", load_balancer = lb, port = 443, certificate = cert.arn, target_group = group }
---     aws.listener { "shop-80", load_balancer = lb, port = 80, redirect = true }        -- to https
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "ListenerNotFound LoadBalancerNotFound"
local POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"         -- TLS 1.2 and 1.3

local function actions(spec)
  if spec.redirect then
    return { { Type = "redirect", RedirectConfig = { Protocol = "HTTPS", Port = "443", StatusCode = "HTTP_301" } } }
  end
  return { { Type = "forward", TargetGroupArn = noun.id(spec.target_group) } }
end

local function protocol_of(spec)
  if spec.certificate then
    return { Protocol = "HTTPS", SslPolicy = POLICY, Certificates = { { CertificateArn = noun.id(spec.certificate) } } }
  end
  return { Protocol = "HTTP" }
end

local kind = recipe.kind {
  name = "aws.listener",
  options = {
    { "load_balancer", "of aws.load_balancer, or its ARN", type = "any", required = true },
    { "port", "the port", type = "integer", required = true },
    { "target_group", "where it goes: of aws.target_group, or its ARN", type = "any" },
    { "redirect", "it answers with a redirect to https", type = "boolean", default = false },
    { "certificate", "ARN of a certificate in ACM, which makes it HTTPS", type = "any" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, fixed = { "load_balancer" }, summary = { "port", "redirect" }, idempotent = true,          -- a port is taken once
  compare = { tags = "given" },

  read = noun.reader(GONE, function(spec)
    local arn = noun.id(spec.load_balancer)
    for listener in aws.elbv2:each("describe_listeners", { LoadBalancerArn = arn }) do
      if listener.Port == spec.port then
        local action = listener.DefaultActions[1] or {}
        local redirect = action.Type == "redirect"
        return {
          id = listener.ListenerArn, arn = listener.ListenerArn, load_balancer = listener.LoadBalancerArn, port = listener.Port, redirect = redirect,
          target_group = action.TargetGroupArn or not redirect and action.Type or nil,
          certificate = listener.Certificates and listener.Certificates[1] and listener.Certificates[1].CertificateArn,
          tags = noun.tag_map(aws.elbv2:describe_tags({ ResourceArns = { listener.ListenerArn } }).TagDescriptions[1].Tags),
        }
      end
    end
    return nil
  end),

  create = function(spec, ctx)
    local args = protocol_of(spec)
    args.LoadBalancerArn, args.Port, args.DefaultActions = noun.id(spec.load_balancer), spec.port, actions(spec)
    args.Tags = noun.tags(spec, ctx)
    return aws.elbv2:create_listener(args).Listeners[1].ListenerArn
  end,

  update = function(spec, current, changes)
    if changes.target_group or changes.redirect or changes.certificate then
      local args = protocol_of(spec)
      args.ListenerArn, args.DefaultActions = current.id, actions(spec)
      aws.elbv2:modify_listener(args)
    end
    if changes.tags then aws.elbv2:add_tags { ResourceArns = { current.id }, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.elbv2:delete_listener { ListenerArn = current.id } end)
  end,
}

return function(spec)
  if type(spec) == "table" and (spec.target_group == nil) == not spec.redirect then
    errors.usage("aws.listener %q needs either a target_group or redirect = true", tostring(spec[1] or spec.name))
  end
  return kind(spec)
end
