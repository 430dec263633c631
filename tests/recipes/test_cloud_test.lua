--- test.cloud: a cloud of a case's own, in simulated time, and recipes in it.
local aws = require "aws"
local fs = require "fs"
local heroku = require "heroku"
local http = require "http"
local log = require "log"
local process = require "process"
local recipe = require "recipe"
local secret = require "secret"
local task = require "task"
local test = require "test"
local text = require "text"
local T = test.cases()

local function stores()
  local net = aws.network { "shop", cidr = "10.40.0.0/16", zones = 2 }
  return task.all {
    db = function() return aws.postgres { "shop", network = net, version = "16" } end,
    cache = function() return aws.cache { "shop", network = net, engine = "valkey" } end,
    door = function() return aws.bastion { "shop", network = net, ssh_from = "203.0.113.7/32" } end,
  }
end

T["what takes AWS ten minutes, and a recipe's own hour, is over at once, and leaves nothing"] = function()
  local cloud <close> = test.cloud()
  local began, real = task.now(), os.time()
  local made = test.apply(function()
    local all = stores()
    recipe.once("wait", function() task.sleep(3600) end)
    return all
  end)
  test.truthy(task.now() - began > 3600, "an hour passed")
  test.truthy(os.time() - real < 600, "but not outside")
  test.equal(made.summary.create, 22)
  test.equal(made.summary.run, 1)
  test.truthy(made.value.door.address and made.value.cache, "what the nouns returned")
  test.equal(test.plan(stores).changes, 0)
  for _, server in ipairs { "postgres", "redis%-server", "sshd" } do
    test.truthy(not process.run({ "ps", "--ppid", tostring(process.pid()), "-o", "args=" }).stdout:find(server), "no " .. server)
  end
  test.destroy(stores)
  test.equal(cloud:left(), {})
end

T["an environment of the worker tier has a queue and no address; without its policy it is not well; it goes whole"] = function()
  local cloud <close> = test.cloud()
  local function workers(name, policies)
    local net = aws.network { "shop", cidr = "10.40.0.0/16", zones = 2 }
    local machine = aws.role { "shop-machine", service = "ec2.amazonaws.com", policies = policies }
    return aws.eb_environment { name, application = aws.eb_application { "shop" }, worker = true, settings = {
      ["aws:ec2:vpc"] = { VPCId = net.id, Subnets = text("%s,%s", net.public[1], net.public[2]), AssociatePublicIpAddress = "true" },
      ["aws:autoscaling:launchconfiguration"] = { IamInstanceProfile = aws.instance_profile { "shop-machine", role = machine }.name },
      ["aws:elasticbeanstalk:environment"] = { EnvironmentType = "LoadBalanced" },
      ["aws:autoscaling:asg"] = { MinSize = "3", MaxSize = "3" },
    } }
  end
  test.apply(function() workers("shop-poor", {}) end)
  local poor = aws.elasticbeanstalk:describe_environment_health { EnvironmentName = "shop-poor", AttributeNames = { "All" } }
  test.equal(poor.Color, "Red")
  test.match(poor.Causes[1], "is denied")
  local function recipe_of() return workers("shop-worker", { "AWSElasticBeanstalkWorkerTier" }) end
  test.apply(recipe_of)
  local found = aws.elasticbeanstalk:describe_environments({ EnvironmentNames = { "shop-worker" } }).Environments[1]
  test.equal({ found.Tier.Name, found.Health, found.CNAME }, { "Worker", "Green" })
  local parts = aws.elasticbeanstalk:describe_environment_resources({ EnvironmentName = "shop-worker" }).EnvironmentResources
  test.equal({ #parts.LoadBalancers, parts.Queues[1].Name, #aws.sqs:list_queues({}).QueueUrls }, { 0, "WorkerQueue", 2 })
  test.equal(test.plan(recipe_of).changes, 0)
  test.destroy(recipe_of)
  test.equal(cloud:left(), {})
  test.equal(#(aws.sqs:list_queues({}).QueueUrls or {}), 0)
end

T["destroy tells of the bucket and the log groups that Elastic Beanstalk leaves, and they are there"] = function()
  local cloud <close> = test.cloud()
  local function site(delete)
    return function()
      local net = aws.network { "shop", cidr = "10.40.0.0/16", zones = 2 }
      local machine = aws.role { "shop-machine", service = "ec2.amazonaws.com" }
      local profile = aws.instance_profile { "shop-machine", role = machine }
      local app = aws.eb_application { "shop" }
      for _, name in ipairs { "shop-web", "shop-api" } do
        aws.eb_environment { name, application = app, settings = {
          ["aws:ec2:vpc"] = { VPCId = net.id, Subnets = text("%s,%s", net.public[1], net.public[2]), AssociatePublicIpAddress = "true" },
          ["aws:autoscaling:launchconfiguration"] = { IamInstanceProfile = profile.name },
          ["aws:elasticbeanstalk:environment"] = { EnvironmentType = "SingleInstance" },
          ["aws:elasticbeanstalk:cloudwatch:logs"] = { StreamLogs = "true", DeleteOnTerminate = delete, RetentionInDays = "14" },
        } }
      end
    end
  end
  local group, bucket = "/aws/elasticbeanstalk/shop-web/web", "elasticbeanstalk-us-east-1-123456789012"
  test.apply(site "false")
  aws.logs:create_log_group { logGroupName = group }
  aws.logs:put_retention_policy { logGroupName = group, retentionInDays = 14 }
  local said = test.destroy(site "false").output
  for _, name in ipairs { "shop%-web", "shop%-api" } do
    test.match(said, "\nthe log group /aws/elasticbeanstalk/" .. name .. "/var/log/eb%-engine%.log stays;")
  end
  test.match(said, "\nthe log group /aws/elasticbeanstalk/shop%-web/web stays; CloudWatch bills [^\n]* until it is 14 days old\n"
    .. "    to delete it:   aws logs delete%-log%-group %-%-log%-group%-name /aws/elasticbeanstalk/shop%-web/web\n")
  local _, times = said:gsub("the bucket " .. bucket:gsub("%-", "%%-"), "")
  test.equal(times, 1, "two environments, one bucket")
  local engine = "logs logGroups /aws/elasticbeanstalk/shop-%s/var/log/eb-engine.log"
  test.equal(cloud:left(), { engine:format "api", engine:format "web", "logs logGroups " .. group })
  local e = test.raises("explicit deny", function() aws.s3:delete_bucket { Bucket = bucket } end)
  test.equal(e.code, "AccessDenied")
  aws.s3:delete_bucket_policy { Bucket = bucket }            -- as it was told
  aws.s3:delete_bucket { Bucket = bucket }
  test.apply(site "true")
  test.truthy(not test.destroy(site "true").output:find("log group", 1, true), "nothing to tell where all groups go")
end

T["a wait that never ends finds its deadline in simulated time"] = function()
  local cloud <close> = test.cloud()
  local slow = recipe.kind {
    name = "slow", options = {}, tagless = true, timeout = 1800,
    read = function() return cloud.made and { id = "slow-1" } or nil end,
    create = function() cloud.made = true return "slow-1" end,
    ready = function() repeat task.sleep(20) until false end,
    delete = function() cloud.made = nil end,
  }
  local e = test.raises('wait for slow "a"', test.apply, function() slow "a" end)
  test.equal(e.kind, "timeout")
end

T["with servers a database is a database"] = function()
  local cloud <close> = test.cloud { servers = true }
  test.apply(function()
    aws.postgres { "shop", network = aws.network { "shop", cidr = "10.41.0.0/16", zones = 2 }, version = "16" }
  end)
  local server = cloud.cloud:store("rds", "us-east-1").instances.shop.server
  test.match(process.run({ "ps", "-o", "args=", "-p", tostring(server.pid) }).stdout, "postgres")
end

T["nothing of the user's reaches a recipe that is tested, and all is back afterwards"] = function()
  process.setenv { AWS_PROFILE = "production", HKRUN_SIZE = "7", AWS_ENDPOINT_URL = "http://127.0.0.1:9" }
  test.defer(function() process.setenv { AWS_PROFILE = false, HKRUN_SIZE = false, AWS_ENDPOINT_URL = false } end)
  local home = os.getenv "HOME"
  local function sized()
    local opt = recipe.options { { "size", "how big", default = 1 }, { "key", "a key", type = "secret" } }
    return opt
  end
  do
    local cloud <close> = test.cloud { region = "eu-west-1" }
    test.equal({ os.getenv "AWS_PROFILE", os.getenv "HKRUN_SIZE", os.getenv "AWS_REGION" }, { nil, nil, "eu-west-1" })
    test.equal(test.plan(sized).value.size, 1)
    local opt = test.plan(sized, { size = 3, key = "k" }).value
    test.equal(opt.size, 3)
    test.truthy(secret.is(opt.key), "what a test gives for a secret is one")
    test.raises("no option siz %(did you mean size%?%)", test.plan, sized, { siz = 3 })
    test.raises("%-%-size: x is not a whole number", test.plan, sized, { size = "x" })
    test.raises("one cloud at a time", test.cloud)
    test.equal(cloud:left(), {})
  end
  test.equal({ os.getenv "AWS_PROFILE", os.getenv "HKRUN_SIZE", os.getenv "HOME" }, { "production", "7", home })
  test.raises("needs a cloud", test.plan, sized)
end

T["a run tells what there was to do, what was reported, printed and returned"] = function()
  local cloud <close> = test.cloud()
  local function alerts(name)
    return function()
      recipe.stage "make"
      local topic = aws.topic { "alerts", tags = { team = name } }
      recipe.confirm "Go on?"
      recipe.stage "more"
      recipe.once("greet", function() return 1 end)
      recipe.report("Made", { { "topic", topic.arn } })
      return topic
    end
  end
  test.raises("the answer was no", test.apply, alerts "a", {}, { answer = function() return false end })
  test.equal(cloud:calls(), {})
  local asked = {}
  local first = test.apply(alerts "a", {}, { answer = function(q) asked[#asked + 1] = q return true end, until_stage = "more" })
  test.equal({ first.summary.create, first.summary.run, #asked }, { 1, 0, 2 })
  local second = test.apply(alerts "b")
  test.equal({ second.summary.change, second.summary.run, second.changes }, { 1, 1, 2 })
  test.equal(second.reports.Made, { { "topic", "arn:aws:sns:us-east-1:123456789012:alerts" } })
  test.match(second.output, '~ aws%.topic "alerts" changed')
  test.equal(test.apply(alerts "b").reports.Made[1][1], "topic")
  test.match(test.destroy(alerts "b").output, "nothing left")
  test.equal(cloud:calls(), { "sns CreateTopic", "sns TagResource", "sns DeleteTopic" })
end

--- What there is to see of an app from outside: dynos by type, maintenance, the names of its config vars.
local function seen(app)
  local dynos, vars = {}, {}
  for _, p in ipairs(app.formation) do dynos[p.type] = ("%d %s"):format(p.quantity, p.size) end
  for name, value in pairs(app.config) do vars[#vars + 1] = test.truthy(secret.is(value)) and name end
  table.sort(vars)
  return { dynos = dynos, vars = table.concat(vars, " "), maintenance = app.maintenance }
end

local SHOP = {
  app = "shop", formation = { web = 2, worker = { quantity = 1, size = "Standard-2X" } }, config = { COLOR = "red" },
  domains = { "shop.example.com" }, drains = { "syslog+tls://logs.example.com:6514" },
  addons = { "heroku-postgresql:standard-0", "heroku-redis:premium-0",
             { plan = "papertrail:choklad", as = "LOGS", config = { LOGS_API_TOKEN = "t" } }, "scheduler:standard" },
}

T["a Heroku side: an app as it was told, frozen and thawed by a recipe"] = function()
  local cloud <close> = test.cloud { heroku = SHOP }
  local app = heroku.app "shop"
  local before = seen(app)
  test.equal(before, { dynos = { web = "2 Standard-1X", worker = "1 Standard-2X" }, maintenance = false,
                       vars = "COLOR DATABASE_URL LOGS_API_TOKEN REDIS_URL" })
  test.equal({ app.postgres.plan, app.redis.plan, #app.addons }, { "heroku-postgresql:standard-0", "heroku-redis:premium-0", 4 })
  test.equal(secret.parse_url(app.postgres.url).host, "postgres.invalid")
  local function frozen(fails)
    return function()
      local freeze <close> = heroku.app "shop":freeze()
      if fails then error "it broke" end
      freeze:keep()
    end
  end
  test.raises("it broke", test.apply, frozen(true))
  test.equal(seen(heroku.app "shop"), before, "it goes on by itself")
  test.apply(frozen(false))
  test.equal(seen(heroku.app "shop"), { dynos = { web = "0 Standard-1X", worker = "0 Standard-2X" }, maintenance = true, vars = before.vars })
  test.equal(#cloud.cloud.heroku.app.dynos, 0, "and its dynos are down")
  test.equal(cloud:calls()[1], "heroku PATCH /apps/{app}")
end

T["a Heroku side is asked for in the right words"] = function()
  for pattern, given in pairs {
    ["no option confg %(did you mean config%?%)"] = { app = "shop", confg = {} },
    ["app is the app's name"] = { app = {} }, ["an add%-on is \"SERVICE:PLAN\""] = { app = "shop", addons = { "papertrail" } },
    ["must begin with LOGS_"] = { app = "shop", addons = { { plan = "papertrail:x", as = "LOGS", config = { TOKEN = "t" } } } },
  } do
    local cloud
    test.raises(pattern, function() cloud = test.cloud { heroku = given } end)
    test.raises("give it a source", function() cloud = test.cloud { servers = true, heroku = { app = "shop" } } end)
    test.equal(cloud, nil)
  end
end

T["with servers the app on Heroku runs"] = function()
  local dir = test.tmpdir()
  fs.chmod(dir, 493)
  fs.write(dir .. "/web.js", [[require('node:http').createServer((q, r) => r.end(process.env.COLOR)).listen(process.env.PORT)]], 420)
  fs.write(dir .. "/Procfile", "web: node web.js\n", 420)
  local cloud <close> = test.cloud { servers = true, heroku = { app = "tiny", source = dir, formation = { web = 1 }, config = { COLOR = "red" } } }
  test.equal(http.get(cloud.cloud.heroku.app.router.url, { timeout = 120 }).body, "red")
end

T["a cloud that nobody closes ends with its case"] = function()
  local before = log.sink
  local cloud = test.cloud()
  cloud:pass(86400)
  test.truthy(cloud.cloud.clock:now() > os.time() + 86000, "a day has passed")
  test.truthy(fs.exists(cloud.dir) and log.sink ~= before)
end

return T
