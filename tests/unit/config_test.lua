--- The config vars of an app: what is found out of their values, where they are kept, and what the platform can read.
package.path = "recipes/?.lua;" .. package.path
local aws = require "aws"
local config = require "heroku_to_aws.config"
local lab = dofile "tests/support/noun_lab.lua"
local platform = require "heroku_to_aws.platform"
local secret = require "secret"
local test = require "test"
local T = test.cases()

local DB = "postgres://owner:pw@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d1"

local function app(vars)
  local values = {}
  for name, value in pairs(vars) do values[name] = secret.new(value) end
  return { name = "shop", config = values, buildpacks = { { buildpack = { name = "heroku/nodejs" } } },
    postgres = { url = secret.new(DB), addon = { id = "pg-1" } },
    redis = { url = secret.new "rediss://:pw@ec2-9-9-9-9.compute-1.amazonaws.com:6380", addon = { id = "r-1" } },
    attachments = { { name = "DATABASE", addon = { id = "pg-1" } }, { name = "HEROKU_POSTGRESQL_PINK", addon = { id = "pg-1" } } },
    addons = { { addon_service = { name = "cloudamqp" }, config_vars = { "CLOUDAMQP_URL" } }, { addon_service = { name = "scheduler" } } } }
end

T["values that lead to the stores are found: by attachment, by value, through a pool, as a bare host, and into another store"] = function()
  local facts = config.facts(app {
    DATABASE_URL = DB, COPY = DB, POOL_URL = "postgres://other:pw2@ec2-1-2-3-4.compute-1.amazonaws.com:6432/d1",
    PGHOST = "ec2-1-2-3-4.compute-1.amazonaws.com",
    REDIS_URL = "rediss://:pw@ec2-9-9-9-9.compute-1.amazonaws.com:6380", SIDEKIQ = "redis://:pw@ec2-9-9-9-9.compute-1.amazonaws.com:6379",
    LEGACY_URL = "postgres://a:b@ec2-5-5-5-5.compute-1.amazonaws.com:5432/d9", CLOUDAMQP_URL = "amqps://u:p@host/v", SITE = "https://example.com",
    MODE = "live" })
  test.equal(facts.postgres, { DATABASE_URL = true, COPY = true, POOL_URL = true })
  test.equal(facts.redis, { REDIS_URL = true, SIDEKIQ = true })
  test.equal(facts.addons, { CLOUDAMQP_URL = "cloudamqp" })
  test.equal(facts.sizes.MODE, 4)
  test.truthy(facts.passwords.LEGACY_URL and facts.passwords.CLOUDAMQP_URL and not facts.passwords.SITE)
  test.match(facts.stale.POOL_URL, "another way to the same store")
  test.match(facts.stale.PGHOST, "the host of the store on Heroku")
  test.match(facts.stale.LEGACY_URL, "does not move")
  test.equal({ facts.stale.DATABASE_URL, facts.stale.CLOUDAMQP_URL, facts.stale.SITE }, {})
end

local PLAN = { name = "shop", config = { DATABASE_URL = "database", REDIS_URL = "cache", MODE = "plain", API_KEY = "secret", CLOUDAMQP_URL = "addon",
               DYNO = "noise" } }
local NEW = { db = { url = secret.new "postgres://rds" }, cache = { url = secret.new "rediss://valkey" } }

--- Keeps the vars on a platform of that kind; the nouns that are made, by kind and name.
local function keep(kind)
  local made = {}
  for _, noun in ipairs { "secret", "parameter" } do
    local real = aws[noun]
    rawset(aws, noun, function(spec)
      made[noun .. " " .. spec[1]] = spec.value
      return { arn = "arn:" .. spec[1] }
    end)
    test.defer(function() rawset(aws, noun, real) end)
  end
  local plan = setmetatable({ platform = { secrets = kind } }, { __index = PLAN })
  local vars = { DATABASE_URL = DB, REDIS_URL = "x", MODE = "live", API_KEY = "k", CLOUDAMQP_URL = "amqps://u:p@h", DYNO = "web.1" }
  return config.keep(app(vars), plan, NEW), made
end

T["secrets are keys of one secret; plain ones are properties; Heroku's own are nowhere"] = function()
  local vars, made = keep "key"
  test.equal(vars.secrets, { DATABASE_URL = "arn:shop/config:DATABASE_URL", REDIS_URL = "arn:shop/config:REDIS_URL",
    API_KEY = "arn:shop/config:API_KEY", CLOUDAMQP_URL = "arn:shop/config:CLOUDAMQP_URL" })
  test.truthy(secret.equal(vars.plain.MODE, secret.new "live") and next(vars.plain, "MODE") == nil)
  local value = made["secret shop/config"]
  test.truthy(secret.equal(value.DATABASE_URL, NEW.db.url) and secret.equal(value.REDIS_URL, NEW.cache.url) and value.DYNO == nil)
  test.equal(next(made, "secret shop/config"), nil)
end

T["on a platform that knows no keys each secret is a parameter"] = function()
  local vars, made = keep "parameter"
  test.equal(vars.secrets, { DATABASE_URL = "arn:/shop/config/DATABASE_URL", REDIS_URL = "arn:/shop/config/REDIS_URL",
    API_KEY = "arn:/shop/config/API_KEY", CLOUDAMQP_URL = "arn:/shop/config/CLOUDAMQP_URL" })
  test.truthy(secret.equal(made["parameter /shop/config/DATABASE_URL"], NEW.db.url) and not made["secret shop/config"])
end

local ARN = "arn:aws:elasticbeanstalk:us-east-1::platform/"
local function found(branch, date, o)
  lab.world {
    ["elasticbeanstalk DescribeEnvironments"] = { Environments = {} },
    ["elasticbeanstalk ListPlatformVersions"] = { PlatformSummaryList = { { PlatformArn = ARN .. "d/4.9.9", PlatformVersion = "4.9.9" },
      { PlatformArn = ARN .. "d/4.10.1", PlatformVersion = "4.10.1" } } },
    ["elasticbeanstalk DescribePlatformVersion"] = { PlatformDescription = { PlatformBranchName = branch, DateCreated = date } },
  }
  return platform.find(o and o.app or app {}, o and o.opt or {})
end
local DOCKER, AL = "Docker running on 64bit Amazon Linux 2023", " running on 64bit Amazon Linux 2023"
local function day(y, m, d) return os.time { year = y, month = m, day = d, hour = 12 } end

T["the newest Docker platform is taken, and read for what it can: keys since January 2026, parameters since March 2025"] = function()
  test.equal(found(DOCKER, day(2026, 4, 1)), { arn = ARN .. "d/4.10.1", branch = DOCKER, kind = "docker", secrets = "key" })
  test.equal(found(DOCKER, day(2026, 1, 13)).secrets, "key")
  test.equal(found(DOCKER, day(2026, 1, 12)).secrets, "parameter")
  test.equal(found(DOCKER, day(2025, 3, 26)).secrets, "parameter")
  test.equal(test.raises("is of 2025%-03%-25, and only versions since March 2025 can read secrets", found, DOCKER, day(2025, 3, 25)).kind, "usage")
end

T["a platform that is named must fit the app: Docker for all, Node.js for an app of Node.js"] = function()
  local opt, node = { beanstalk_platform_arn = ARN .. "x/1" }, "Node.js 22" .. AL
  test.equal(found(node, day(2026, 4, 1), { opt = opt }), { arn = ARN .. "x/1", branch = node, kind = "node", secrets = "key" })
  local rails = app {}
  rails.buildpacks = { { buildpack = { name = "heroku/ruby" } } }
  test.match(test.raises("platform of Node.js", found, node, day(2026, 4, 1), { opt = opt, app = rails }).message, "no buildpack of shop")
  local dir = test.tmpdir()
  opt.source = dir
  test.raises("has no package.json", found, node, day(2026, 4, 1), { opt = opt })
  test.raises("platform Tomcat", found, "Tomcat 10" .. AL, day(2026, 4, 1), { opt = opt })
  test.raises("platform ECS", found, "ECS" .. AL, day(2026, 4, 1), { opt = opt })
end

return T
