--- The nouns against the rehearsal cloud: made, made again without a change, changed, deleted.
local fs = require "fs"
local process = require "process"
local cloud = require "rehearsal.cloud"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"

--- A folder with a recipe, a cloud, and what runs hkrun in it.
local function lab(recipe, faults)
  local dir = test.tmpdir()
  fs.chmod(dir, 493)                                         -- its servers are no roots, and must get in
  local c = cloud.start { dir = fs.join(dir, "cloud"), scale = 600, faults = faults }
  test.defer(function() c:stop() end)
  fs.write(fs.join(dir, "shop.lua"), recipe)
  fs.write(fs.join(dir, "thresholds.lua"), fs.read "recipes/heroku_to_aws/thresholds.lua")
  local l = { dir = dir, cloud = c }
  function l.run(command, more)
    local env = c:env()
    env.HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")
    env.HKRUN_SETTLE = not (faults and faults.stale) and "0" or nil            -- else no read is late
    local o = { exe, command, "shop.lua", table.unpack(more or {}) }
    if command ~= "plan" then o[#o + 1] = "--yes" end
    o.env, o.cwd, o.timeout, o.stdin = env, dir, 60, ""
    local r = process.run(o)
    if r.code ~= 0 then error(("%s: %s%s"):format(command, r.stdout, r.stderr), 2) end
    return r.stdout, r.stderr
  end
  function l.changes()
    local n = 0
    for _, call in ipairs(c.calls) do n = n + (call.mutating and 1 or 0) end
    return n
  end
  return l
end

local network = [[
local recipe, aws = require "recipe", require "aws"
local opt = recipe.options { { "zones", "", type = "integer", default = 2 }, { "colour", "", default = "blue" } }
recipe.stage "network"
local net = aws.network { "shop", cidr = "10.9.0.0/16", zones = opt.zones, tags = { colour = opt.colour } }
local inner = aws.security_group { "shop-app", vpc = net.id, description = "the app" }
aws.security_group { "shop-db", vpc = net.id, rules = { { port = 5432, from = inner.id, why = "the app" } } }
recipe.report("Network", { { "id", net.id }, { "public", net.public[1] }, { "private", net.private[2] } })
]]

--- Plans (nothing happens), applies, applies again (nothing happens), plans again.
local function there_and_stays(l, creates)
  local out = l.run "plan"
  test.match(out, ("Plan: %d to create"):format(creates))
  test.equal(l.changes(), 0, "calls of plan that change something")
  out = l.run "apply"
  test.match(out, ("Done: %d created"):format(creates))
  local n = l.changes()
  test.match(l.run "apply", "no changes\n$")
  test.equal(l.changes(), n, "calls of a second apply that change something")
end

local function left(c)
  local kinds = {}
  for _, entry in pairs(c:store("ec2", "us-east-1").resources) do kinds[#kinds + 1] = entry.kind .. " " .. entry.id end
  table.sort(kinds)
  return kinds
end

T["a network is planned, made, changed and deleted"] = function()
  local l = lab(network)
  there_and_stays(l, 10)
  local out = l.run("apply", { "--colour", "red" })
  test.match(out, "8 changed")
  l.run "destroy"
  test.equal(left(l.cloud), {})
end

T["a rule that someone else put into a security group is taken away"] = function()
  local l = lab(network)
  l.run "apply"
  local store = l.cloud:store("ec2", "us-east-1")
  for _, e in pairs(store.resources) do
    if e.kind == "security-group" and e.value.GroupName == "shop-db" then
      e.value.IpPermissions[2] = { IpProtocol = "tcp", FromPort = 22, ToPort = 22, IpRanges = { { CidrIp = "0.0.0.0/0" } },
                                   Ipv6Ranges = {}, UserIdGroupPairs = {}, PrefixListIds = {} }
    end
  end
  test.match(l.run "apply", "1 changed")
  test.match(l.run "apply", "no changes\n$")
end

local rest = [[
local recipe, aws, secret, fs = require "recipe", require "aws", require "secret", require "fs"
local opt = recipe.options {
  { "from", "", default = "198.18.0.0/15" }, { "days", "", type = "integer", default = 7 }, { "bundle", "", default = "bundle-1" },
  { "limit", "", type = "integer", default = 80 }, { "token", "", type = "secret" },
}
recipe.stage "network"
local net = aws.network { "shop", cidr = "10.9.0.0/16" }
local bastion = aws.bastion { "shop", network = net, ssh_from = opt.from }
recipe.stage "rest"
fs.write("bundle.txt", opt.bundle)
local bucket = aws.bucket { "shop-bundles-7f3a", versions = true }
aws.object { "v1/bundle.txt", bucket = bucket.id, file = "bundle.txt" }
aws.object { "note", bucket = bucket.id, bytes = "hello" }
local config = aws.secret { "shop-config", value = { TOKEN = opt.token or "none", PLAIN = "marked-plain-77" } }
local once = aws.secret { "shop-password", generate = function() return secret.random(32) end }
local role = aws.role { "shop-app", service = "ec2.amazonaws.com", policies = { "AWSElasticBeanstalkWebTier" },
  inline = { ["read-secret"] = { Version = "2012-10-17", Statement = { {
    Effect = "Allow", Action = { "secretsmanager:GetSecretValue" }, Resource = config.arn } } } } }
aws.instance_profile { "shop-app", role = role.id }
aws.log_group { "/shop/web", days = opt.days }
local topic = aws.topic { "shop-alarms" }
aws.subscription { "ops", topic = topic.arn, endpoint = "ops@example.com" }
aws.alarm { "shop-cpu", namespace = "AWS/RDS", metric = "CPUUtilization", dimensions = { DBInstanceIdentifier = "shop" },
  threshold = opt.limit, actions = { topic.arn }, description = "the database is busy" }
recipe.once("log in", function()
  local session <close> = bastion:open()
  fs.write("whoami", session:run("echo in; id -un").stdout)
end)
recipe.report("Bastion", { { "key", bastion.key }, { "address", bastion.address } })
]]

T["bastion, bucket, secrets, roles, logs and alarms: made, entered by ssh, changed, deleted"] = function()
  local l = lab(rest)
  there_and_stays(l, 23)
  test.match(fs.read(fs.join(l.dir, "whoami")), "^in\n")
  local out = l.run("apply", { "--days", "14", "--bundle", "bundle-2", "--limit", "90", "--from", "198.18.0.0/16" })
  test.match(out, "Done: 4 changed")
  local journal = ""
  for _, f in ipairs(fs.list(fs.join(l.dir, ".hkrun"))) do journal = journal .. fs.read(fs.join(l.dir, ".hkrun", f)) end
  test.truthy(not journal:find("marked-plain-77", 1, true), "the journal is free of values of secrets")
  test.truthy(not journal:find("PRIVATE KEY", 1, true))
  l.run "destroy"
  test.equal(#left(l.cloud) - #(function()
    local dead = {}
    for _, kind in ipairs(left(l.cloud)) do if kind:find "^instance " then dead[#dead + 1] = kind end end
    return dead
  end)(), 0, "what is left in EC2 besides terminated instances")
  for _, store in ipairs { { "s3", "buckets" }, { "iam", "roles" }, { "iam", "profiles" }, { "sns", "topics" },
                           { "logs", "groups" }, { "cloudwatch", "alarms" }, { "secretsmanager" } } do
    for _, region in ipairs { "global", "us-east-1" } do
      local s = l.cloud.state[store[1] .. "/" .. region] or {}
      if store[2] then s = s[store[2]] or {} end
      test.equal(next(s), nil, store[1] .. " after destroy")
    end
  end
end

local stores = [[
local recipe, aws, task, text = require "recipe", require "aws", require "task", require "text"
local opt = recipe.options { { "label", "", default = "v1" }, { "days", "", type = "integer", default = 7 } }
recipe.stage "network"
local net = aws.network { "shop", cidr = "10.9.0.0/16" }
local app = aws.security_group { "shop-app", vpc = net.id }
recipe.stage "stores"
local new = task.all {
  db = function() return aws.postgres { "shop", network = net, allow = { app.id }, backup_days = opt.days } end,
  cache = function() return aws.cache { "shop", network = net, allow = { app.id } } end,
}
recipe.stage "deploy"
local config = aws.secret { "shop/config", value = { DATABASE_URL = new.db.url, REDIS_URL = new.cache.url } }
local application = aws.eb_application { "shop" }
local web = aws.environment { "shop-web", application = application.id, network = net, groups = { app.id },
  secrets = { DATABASE_URL = text("%s:DATABASE_URL", config.arn) } }
recipe.stage "alarms"
aws.alarms { "shop", email = "ops@example.com", thresholds = require "thresholds", db = new.db, cache = new.cache, environment = web }
recipe.report("Addresses", { { "db", new.db.endpoint }, { "url", new.db.url }, { "web", web.url } })
]]

T["database, cache, environment and alarms, seen late: made, no change, changed, deleted"] = function()
  local l = lab(stores, { stale = 0.2 })
  there_and_stays(l, 38)
  local env = l.cloud:service "elasticbeanstalk".DescribeEnvironments(l.cloud, {}, { region = "us-east-1" }).Environments[1]
  test.equal({ env.Status, env.EnvironmentName }, { "Ready", "shop-web" })
  test.match(l.run("apply", { "--days", "3" }), "Done: 1 changed")
  l.run "destroy"
  for _, kind in ipairs(left(l.cloud)) do test.match(kind, "^instance ") end
end

T["what was made, changed and deleted a moment ago may not be seen yet: nothing is made twice, nothing is drift"] = function()
  for i, case in ipairs { { network, { "--colour", "red" } }, { rest, { "--days", "14", "--limit", "90", "--from", "198.18.0.0/16" } } } do
    local l = lab(case[1], { stale = 0.2 })
    l.run "apply"
    test.match(l.run "apply", "no changes\n$", i)
    test.match(l.run("apply", case[2]), "changed")
    test.match(l.run("apply", case[2]), "no changes\n$", i)
    test.truthy(l.cloud.stale.old > 20, "old answers")
    l.run "destroy"
    l.cloud.stale = nil
    local running = {}
    for _, kind in ipairs(left(l.cloud)) do if not kind:find "^instance " then running[#running + 1] = kind end end
    test.equal(running, {})
    local made = {}
    for _, call in ipairs(l.cloud.calls) do
      if call.operation and call.operation:find "^Create" then made[call.operation] = (made[call.operation] or 0) + 1 end
    end
    if i == 1 then test.equal({ made.CreateVpc, made.CreateSubnet, made.CreateSecurityGroup, made.CreateRouteTable }, { 1, 4, 2, 2 }) end
    test.cleanup()
  end
end

return T
