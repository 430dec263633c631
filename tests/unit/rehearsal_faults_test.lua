--- What the fault plan answers, as each service would.
local faults = require "rehearsal.faults"
local test = require "test"
local T = test.cases()

local function request(service)
  local scope = ("AK/20260101/us-east-1/%s/aws4_request"):format(service)
  return { headers = { authorization = ("AWS4-HMAC-SHA256 Credential=%s, SignedHeaders=host, Signature=0"):format(scope) } }
end

T["S3 throttles with a status that the answer to a HEAD can carry; the others with their code in a 400"] = function()
  local plan = faults { throttle = 1 }
  local s3, rds = plan(request "s3").answer, plan(request "rds").answer
  test.equal({ s3.status, s3.headers["x-amzn-errortype"] }, { 503, "SlowDown" })
  test.equal({ rds.status, rds.headers["x-amzn-errortype"] }, { 400, "ThrottlingException" })
end

T["the same seed gives the same faults, and shares are about what they say"] = function()
  local function roll(seed)
    local plan, names = faults { drop = 0.2, lost = 0.1, seed = seed }, {}
    for i = 1, 1000 do names[i] = (plan(request "ec2") or { name = "-" }).name end
    return names
  end
  local one, count = roll(7), 0
  test.equal(roll(7), one)
  test.truthy(table.concat(roll(8)) ~= table.concat(one))
  for _, name in ipairs(one) do if name == "drop" then count = count + 1 end end
  test.truthy(count > 140 and count < 260, "drops: " .. count)
end

return T
