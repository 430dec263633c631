--- --adopt against the rehearsal cloud: what somebody made by hand, through each service's own way of tagging.
local cloud = require "rehearsal.cloud"
local fs = require "fs"
local process = require "process"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"

local by_hand = [[
local trust = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
local vpc = aws.ec2:create_vpc { CidrBlock = "10.9.0.0/16", TagSpecifications = { { ResourceType = "vpc", Tags = { { Key = "Name", Value = "old" } } } } }.Vpc
local subnets = {}
for i, zone in ipairs { "a", "b" } do
  subnets[i] = aws.ec2:create_subnet { VpcId = vpc.VpcId, CidrBlock = "10.9." .. i .. ".0/24", AvailabilityZone = "us-east-1" .. zone,
    TagSpecifications = { { ResourceType = "subnet", Tags = { { Key = "Name", Value = "old-" .. zone } } } } }.Subnet.SubnetId
end
aws.ec2:create_security_group { GroupName = "old", Description = "the app", VpcId = vpc.VpcId }
aws.iam:create_role { RoleName = "old", AssumeRolePolicyDocument = trust }
aws.s3:create_bucket { Bucket = "old-files" }
aws.sns:create_topic { Name = "old" }
aws.logs:create_log_group { logGroupName = "old" }
aws.secretsmanager:create_secret { Name = "old", SecretString = "swordfish" }
aws.rds:create_db_subnet_group { DBSubnetGroupName = "old", DBSubnetGroupDescription = "x", SubnetIds = subnets }
aws.elasticache:create_cache_subnet_group { CacheSubnetGroupName = "old", CacheSubnetGroupDescription = "x", SubnetIds = subnets }
aws.elasticbeanstalk:create_application { ApplicationName = "old" }
aws.cloudwatch:put_metric_alarm { AlarmName = "old", Namespace = "AWS/EC2", MetricName = "CPUUtilization", Statistic = "Average", Period = 60,
  EvaluationPeriods = 1, Threshold = 90, ComparisonOperator = "GreaterThanThreshold" }
]]

local recipe = [[
local recipe, aws, secret = require "recipe", require "aws", require "secret"
local vpc = aws.vpc { "old", cidr = "10.9.0.0/16" }
local a = aws.subnet { "old-a", vpc = vpc.id, cidr = "10.9.1.0/24", zone = "us-east-1a" }
local b = aws.subnet { "old-b", vpc = vpc.id, cidr = "10.9.2.0/24", zone = "us-east-1b" }
aws.security_group { "old", vpc = vpc.id, rules = { { port = 443, from = "10.0.0.0/8", why = "us" } } }
aws.role { "old", service = "ec2.amazonaws.com" }
aws.bucket { "old-files", versions = true }
aws.topic { "old", tags = { team = "shop" } }
aws.log_group { "old", days = 30 }
aws.secret { "old", value = secret.new "swordfish" }
aws.db_subnet_group { "old", subnets = { a.id, b.id } }
aws.cache_subnet_group { "old", subnets = { a.id, b.id } }
aws.eb_application { "old" }
]]

local function lab()
  local dir = test.tmpdir()
  fs.chmod(dir, 493)
  local c = cloud.start { dir = fs.join(dir, "cloud"), scale = 600 }
  test.defer(function() c:stop() end)
  fs.write(fs.join(dir, "shop.lua"), recipe)
  local l = { dir = dir, cloud = c }
  function l.run(...)
    local env = c:env()
    env.HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")
    env.HKRUN_SETTLE = "0"                                   -- no read is late here, so no difference is waited for
    return process.run { exe, env = env, cwd = dir, timeout = 300, stdin = "", ... }
  end
  function l.ok(...)
    local r = l.run(...)
    if r.code ~= 0 then error(r.stdout .. r.stderr, 2) end
    return r.stdout
  end
  return l
end

T["what was made by hand is shown, taken over with its tags, found without a journal, and never deleted"] = function()
  local l = lab()
  l.ok("-e", by_hand)
  local r = l.run("plan", "shop.lua")
  test.equal(r.code, 2)
  local plan = l.ok("plan", "shop.lua", "--adopt")
  test.match(plan, "Plan: 12 to adopt%.")
  test.match(plan, '  = aws.log_group "old"  days: %(none%) %-> 30 %(take over old, which this recipe did not make%)')
  test.match(plan, '  = aws.bucket "old%-files"  [^\n]*versions: false %-> true')
  test.match(plan, '  = aws.security_group "old"  rules: [^\n]*443')
  local before = #l.cloud.calls
  test.equal(l.run("shop.lua", "--adopt").code, 1, "without --yes")
  for i = before + 1, #l.cloud.calls do test.truthy(not l.cloud.calls[i].mutating, l.cloud.calls[i].operation) end
  test.match(l.ok("shop.lua", "--adopt", "--yes"), "Done: 12 taken over%.")
  test.match(l.ok("plan", "shop.lua"), "Plan: no changes%.")
  fs.rmtree(l.dir .. "/.hkrun")
  test.match(l.ok("plan", "shop.lua"), "Plan: no changes%.")
  test.match(l.ok("shop.lua", "--yes"), "no changes\n$")
  test.match(l.ok("destroy", "shop.lua", "--yes"), "nothing left but 12 that stay\n$")
  test.match(l.ok("plan", "shop.lua"), "Plan: no changes%.")
end

return T
