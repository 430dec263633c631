--- When a call is sent again, how long it waits, and at what pace.
-- luacheck: no max line length
local test = require "test"
local aws = require "aws"
local config = require "aws.config"
local errors = require "errors"
local fs = require "fs"
local pace = require "aws.pace"
local retries = require "aws.retries"
local serve = require "rehearsal.serve"
local task = require "task"
local T = test.cases()

--- Runs the case with these variables and this config file; math.random gives `dice`.
local function setting(env, config_text, dice)
  local home = test.tmpdir()
  fs.mkdir_p(home .. "/.aws")
  fs.write(home .. "/.aws/config", config_text or "")
  local real, random = config.getenv, math.random
  config.getenv = function(name) return name == "HOME" and home or env[name] end
  math.random = function() return dice or 0 end              -- luacheck: ignore
  test.defer(function()
    config.getenv, math.random = real, random                -- luacheck: ignore
  end)
end

local function client(service, handler, more)
  local seen = {}
  local server = serve.start { handler = function(req)
    seen[#seen + 1] = req
    return handler(#seen)
  end }
  test.defer(function() server:stop() end)
  local o = { service = service, region = "eu-west-1", endpoint = server.url,
              credentials = { access_key_id = "AK", secret_access_key = "SK" } }
  for k, v in pairs(more or {}) do o[k] = v end
  return aws.client(o), seen
end

local function failed(fields)
  fields.kind = "remote"
  return errors.new(fields)
end

T["the pauses: 50 ms and its doubles, a second after throttling, 25 ms for DynamoDB, 20 seconds at most"] = function()
  setting({}, nil, 1)
  local ec2, dynamodb = retries.new("ec2", {}), retries.new("dynamodb", {})
  local function pauses(r, e) return { r:pause(e, 1), r:pause(e, 2), r:pause(e, 5), r:pause(e, 12) } end
  test.equal(pauses(ec2, failed {}), { 0.05, 0.1, 0.8, 20 })
  test.equal(pauses(ec2, failed { throttled = true }), { 1.0, 2.0, 16.0, 20 })
  test.equal(pauses(dynamodb, failed {}), { 0.025, 0.05, 0.4, 20 })
end

T["a service that says how long to wait is waited for, up to five seconds more"] = function()
  setting({}, nil, 1)
  local r = retries.new("ec2", {})
  test.equal({ r:pause(failed { asked = 3 }, 1), r:pause(failed { asked = 60 }, 1), r:pause(failed { asked = 0.01 }, 1) }, { 3, 5.05, 0.05 })
end

T["how often: three, four for DynamoDB, or what option, AWS_MAX_ATTEMPTS or the profile says"] = function()
  local env = {}
  setting(env, "[default]\nmax_attempts = 2\n[profile none]\n[profile odd]\nmax_attempts = many\n")
  local function tried(service, operation, more)
    local c, seen = client(service, function() return { status = 500 } end, more)
    local e = test.raises("500", c.call, c, operation, {})
    test.equal(e.attempts, #seen)
    return #seen
  end
  env.AWS_PROFILE = "none"
  test.equal({ tried("ec2", "describe_vpcs"), tried("ec2", "describe_vpcs", { attempts = 5 }) }, { 3, 5 })
  test.equal(retries.new("dynamodb", {}):begin().allowed, 4)
  env.AWS_MAX_ATTEMPTS = "1"
  test.equal(tried("ec2", "describe_vpcs"), 1)
  env.AWS_MAX_ATTEMPTS, env.AWS_PROFILE = nil, "default"
  test.equal(tried("ec2", "describe_vpcs"), 2)
  local c = client("ec2", function() return {} end, { profile = "odd" })
  test.equal(test.raises("max_attempts must be a whole number from 1, not many", c.call, c, "describe_vpcs").kind, "usage")
  env.AWS_MAX_ATTEMPTS = "0"
  test.raises("not 0", c.call, c, "describe_vpcs")
end

T["the answer says how many attempts it took"] = function()
  setting {}
  local ec2 = client("ec2", function(n) return n < 3 and { status = 502 } or { body = "<R/>" } end)
  local _, meta = ec2:describe_vpcs {}
  test.equal(meta.attempts, 3)
  _, meta = ec2:describe_vpcs {}
  test.equal(meta.attempts, 1)
end

T["the mode: option, AWS_RETRY_MODE, profile; an unknown one is refused"] = function()
  local env = {}
  setting(env, "[default]\nretry_mode = adaptive\n")
  local function mode(o) return retries.new("ec2", o or {}):is_adaptive() end
  test.equal(mode(), true)
  env.AWS_RETRY_MODE = "legacy"
  test.equal({ mode(), mode { retry_mode = "adaptive" } }, { false, true })
  env.AWS_RETRY_MODE = "fast"
  test.raises("retry_mode must be legacy, standard or adaptive, not fast", mode)
  test.raises("retry_mode", aws.client, { service = "ec2", retry_mode = "fast" })
end

T["HTML in place of an error is a failed call that is tried again, in every protocol"] = function()
  setting {}
  for service, operation in pairs { ec2 = "describe_vpcs", sts = "get_caller_identity", logs = "describe_log_groups", s3 = "list_buckets",
                                    scheduler = "list_schedules", route53 = "list_hosted_zones" } do
    local c, seen = client(service, function() return { status = 500, headers = { ["Content-Type"] = "text/html" },
      body = "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n<h1>Internal & Server < Error</h1>\n<p>oops" } end)
    local e = test.raises("status 500", c.call, c, operation, {})
    test.equal({ service, e.kind, e.code, e.status, #seen }, { service, "remote", "500", 500, 3 })
  end
end

T["a call ends by its deadline, and nothing is sent again after it"] = function()
  setting({}, nil, 1)
  local ec2, seen = client("ec2", function() return { status = 503, headers = { ["x-amz-retry-after"] = "4000" } } end)
  test.raises("503", ec2.describe_vpcs, ec2, {}, { deadline = task.now() + 3 })
  test.equal(#seen, 1)
  local slow = client("ec2", function() return { delay = 30, body = "<R/>" } end)
  test.equal(test.raises("ec2.DescribeVpcs", slow.describe_vpcs, slow, {}, { deadline = task.now() + 0.2 }).kind, "timeout")
  test.raises("has no option tmeout", slow.describe_vpcs, slow, {}, { tmeout = 1 })
end

T["a pace: free until the first throttling, then slower, and free again after a while"] = function()
  local now = 100
  local p = pace.new(function() return now end)
  for _ = 1, 40 do                                            -- ten calls a second
    test.equal(p:take(), 0)
    p:answered(false)
    now = now + 0.1
  end
  test.equal(p.rate, nil)
  p:answered(true)
  local slower = p.rate
  test.truthy(slower > 5 and slower < 8, "0.7 of what was sent: " .. slower)
  local waited = 0
  for _ = 1, 20 do waited = math.max(waited, p:take()) end
  test.truthy(math.abs(waited - 20 / slower) < 0.5, "twenty at once stand in a row: " .. waited)
  p:answered(true)
  test.truthy(p.rate < slower, "slower still")
  now = now + 60
  for _ = 1, 100 do                                           -- asked for no more than ten a second, it is granted
    now = now + 0.1
    p:answered(false)
  end
  test.truthy(p.rate > 10, "the rate is back: " .. p.rate)
  test.equal(p:take(), 0)
end

T["a pace never falls below one call in two seconds"] = function()
  local now = 0
  local p = pace.new(function() return now end)
  for _ = 1, 10 do p:answered(true) end
  test.equal(p.rate, 0.5)
  test.equal({ p:take(), p:take() }, { 2, 4 })
  now = now + 8
  test.equal(p:take(), 0, "what was not sent has come back")
end

T["the adaptive mode takes its turn before each attempt and learns from each answer"] = function()
  setting {}
  local c = client("ec2", function(n)
    return n == 1 and { status = 503, body = "<R><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></R>" } or { body = "<R/>" }
  end, { retry_mode = "adaptive" })
  local told = {}
  c.retries.pace = { take = function() told[#told + 1] = "take" return 0 end, answered = function(_, throttled) told[#told + 1] = throttled end }
  c:describe_vpcs {}
  test.equal(told, { "take", true, "take", false })
end

return T
