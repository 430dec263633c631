--- Tests the noun @NAME@ in a cloud that is made for each case: `hkrun test @NAME@_test.lua`.
local aws = require "aws"
local @NAME@ = require "@NAME@"
local test = require "test"
local T = test.cases()

-- A recipe may be a function; `value` is what it returned.
local function orders(more)
  return function() return @NAME@ { "orders", seconds = more and more.seconds } end
end

T["it is made once, and deleted"] = function()
  local cloud <close> = test.cloud()
  test.equal(test.plan(orders()).summary.create, 1)
  local made = test.apply(orders()).value
  test.match(made.arn, ":orders$")
  test.equal(test.apply(orders()).changes, 0)
  test.destroy(orders())
  test.equal(cloud:left(), {})
end

T["what differs is changed in place"] = function()
  local cloud <close> = test.cloud()
  test.apply(orders())
  local planned = test.plan(orders { seconds = 120 })
  test.equal({ planned.entries[1].action, planned.entries[1].changes.seconds.new }, { "change", 120 })
  local url = test.apply(orders { seconds = 120 }).value.url
  local have = aws.sqs:get_queue_attributes({ QueueUrl = url, AttributeNames = { "VisibilityTimeout" } }).Attributes
  test.equal(have.VisibilityTimeout, "120")
  test.equal(cloud:calls(), { "sqs CreateQueue", "sqs SetQueueAttributes" })
end

T["what somebody changed by hand is changed back"] = function()
  local cloud <close> = test.cloud()
  local url = test.apply(orders()).value.url
  aws.sqs:set_queue_attributes { QueueUrl = url, Attributes = { VisibilityTimeout = "5" } }
  test.equal(test.apply(orders()).summary.change, 1)
  test.equal(test.plan(orders()).changes, 0)
  test.equal(#cloud:left(), 1)
end

return T
