--- Who has been asked by SNS to confirm an e-mail address, and has not done so. Nothing reaches an address before its owner
--- follows the link in the mail that AWS sent; the link is good for two days.
---
---     for _, address in ipairs(aws.confirmations(topic):pending()) do print(address) end
---     aws.confirmations(topic):resend "ops@example.com"
---     aws.confirmations(topic):wait("ops@example.com", 3600)
local aws = require "aws"
local errors = require "errors"
local log = require "log"
local noun = require "aws.common.noun"
local task = require "task"

---@class Confirmations of a topic
---@field topic string its ARN
local Confirmations = {}
Confirmations.__index = Confirmations

--- The subscription of an address: "pending", "confirmed", or nil where there is none.
local function state_of(topic, address)
  for s in aws.sns:each("list_subscriptions_by_topic", { TopicArn = topic }) do
    if s.Endpoint == address and s.SubscriptionArn ~= "Deleted" then
      return s.SubscriptionArn:find "^arn:" and "confirmed" or "pending", s.Protocol
    end
  end
end

--- The addresses that are not confirmed.
---@return string[]
function Confirmations:pending()
  local list = {}
  for s in aws.sns:each("list_subscriptions_by_topic", { TopicArn = self.topic }) do
    if not s.SubscriptionArn:find "^arn:" and s.SubscriptionArn ~= "Deleted" then list[#list + 1] = s.Endpoint end
  end
  return list
end

--- Has AWS send the mail with the link again. Raises kind "invalid" for an address that is confirmed already.
---@param address string
function Confirmations:resend(address)
  local state, protocol = state_of(self.topic, address)
  if state == "confirmed" then
    errors.raise { kind = "invalid", op = "send the mail again", message = address .. " is confirmed already" }
  end
  aws.sns:subscribe { TopicArn = self.topic, Protocol = protocol or "email", Endpoint = address, ReturnSubscriptionArn = true }
end

--- Waits until an address is confirmed. Raises kind "timeout" after so many seconds; nothing is lost by that.
---@param address string
---@param seconds? number 3600
function Confirmations:wait(address, seconds)
  seconds = seconds or 3600
  local p <close> = log.progress { what = "wait until " .. address .. " is confirmed" }
  local stop = task.now() + seconds
  while state_of(self.topic, address) ~= "confirmed" do
    if task.now() >= stop then
      errors.raise { kind = "timeout", op = "wait for " .. address, message = ("nobody followed the link in the mail in %g s"):format(seconds),
                     hint = "look for a mail from AWS Notifications, also among the junk; aws.confirmations(topic):resend sends another" }
    end
    p:note "someone must follow the link in the mail of AWS Notifications"
    task.sleep(math.max(0.05, math.min(5, stop - task.now())))
  end
end

--- Those of a topic.
---@param topic any a topic or its ARN
---@return Confirmations
return function(topic) return setmetatable({ topic = noun.id(topic) }, Confirmations) end
