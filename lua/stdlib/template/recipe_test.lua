--- Tests @NAME@.lua in a cloud that is made for each case: `hkrun test @NAME@_test.lua`.
local aws = require "aws"
local test = require "test"
local T = test.cases()

local options = { email = "ops@example.com" }

T["a plan changes nothing"] = function()
  local cloud <close> = test.cloud()
  local planned = test.plan("@NAME@.lua", options)
  test.equal({ planned.summary.create, planned.summary.run }, { 2, 1 })
  test.equal(cloud:calls(), {})
end

T["the first run makes it, the second changes nothing, destroy leaves nothing"] = function()
  local cloud <close> = test.cloud()
  local first = test.apply("@NAME@.lua", options)
  test.equal(first.reports["@NAME@"][1][2], "arn:aws:sns:us-east-1:123456789012:@name@")
  local subscription = aws.sns:list_subscriptions().Subscriptions[1]
  test.equal({ subscription.Protocol, subscription.Endpoint }, { "email", "ops@example.com" })
  test.equal(test.apply("@NAME@.lua", options).changes, 0)
  test.destroy("@NAME@.lua")
  test.equal(cloud:left(), {})
end

T["without an address nothing is done"] = function()
  local cloud <close> = test.cloud()
  test.raises("%-%-email is needed", test.apply, "@NAME@.lua")
  test.equal(cloud:calls(), {})
end

return T
