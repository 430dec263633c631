--- A subscription of an SNS topic. An e-mail address must confirm it, with the link in the mail that it gets; until
--- then it is pending, which is reported and is no error.
local aws = require "aws"
local log = require "log"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "NotFound"

local function unconfirmed(topic, address)
  return ("%s gets no messages until it confirms the subscription with the link in its mail; another mail: hkrun -e "
    .. "'aws.confirmations(%q):resend(%q)'"):format(address, topic, address)
end

return recipe.kind {
  name = "aws.subscription",
  options = {
    { "topic", "the topic or its ARN", type = "any", required = true },
    { "protocol", "email, sqs, https, lambda, ...", type = "string", default = "email" },
    { "endpoint", "the address", type = "string", required = true },
  },
  outputs = { "arn", "confirmed" }, fixed = { "topic", "protocol", "endpoint" }, summary = { "protocol", "endpoint" },
  tagless = true, idempotent = true,                         -- Subscribe answers with the one that there is

  read = noun.reader(GONE, function(spec, known, ctx)
    if ctx.left_pending then return nil end
    local topic, protocol, endpoint = noun.id(spec.topic), spec.protocol, spec.endpoint
    if known then topic, protocol, endpoint = known:match "^(%S+) (%S+) (.+)$" end  -- another address in the recipe: the old one must go
    for s in aws.sns:each("list_subscriptions_by_topic", { TopicArn = topic }) do
      if s.Protocol == protocol and s.Endpoint == endpoint and s.SubscriptionArn ~= "Deleted" then  -- SNS shows it for a while
        local confirmed = s.SubscriptionArn:find "^arn:" ~= nil
        return { id = ("%s %s %s"):format(topic, s.Protocol, s.Endpoint), topic = topic, protocol = s.Protocol,
                 endpoint = s.Endpoint, confirmed = confirmed, arn = confirmed and s.SubscriptionArn or nil }
      end
    end
    return nil
  end),

  create = function(spec)
    local topic = noun.id(spec.topic)
    aws.sns:subscribe { TopicArn = topic, Protocol = spec.protocol, Endpoint = spec.endpoint, ReturnSubscriptionArn = true }
    return ("%s %s %s"):format(topic, spec.protocol, spec.endpoint)
  end,

  ready = function(current)
    if not current.confirmed then log.info("    %s", unconfirmed(current.topic, current.endpoint)) end
    return nil
  end,

  waits_for = function(id)
    local topic, _, endpoint = id:match "^(%S+) (%S+) (.+)$"
    for _, address in ipairs(aws.confirmations(topic):pending()) do
      if address == endpoint then return unconfirmed(topic, endpoint) end
    end
  end,

  --- AWS cannot end a subscription that is pending: it ends by itself, with its topic or after two days.
  delete = function(current, ctx)
    ctx.left_pending = not current.confirmed
    if current.confirmed then
      noun.delete(GONE, function() aws.sns:unsubscribe { SubscriptionArn = current.arn } end)
    end
  end,
}
