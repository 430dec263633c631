--- What an audit proposes: of one app line by line, of several as sums; what is not known is deferred, and the rest goes on.
package.path = "recipes/?.lua;" .. package.path
local cost = require "heroku_to_aws.cost"
local mapping = require "heroku_to_aws.mapping"
local proposal = require "audit.proposal"
local test = require "test"

local T = test.cases()

local GB = 1 << 30

local function shop()
  return { name = "shop", region = "eu", stack = "heroku-24", generation = "cedar", gaps = {},
    formation = { { type = "web", quantity = 1, size = "Standard-1X", command = "web" }, { type = "old", quantity = 0, size = "Giant" } },
    attachments = { { name = "DATABASE", addon = "pg-2" }, { name = "REDIS", addon = "redis-1" } },
    addons = {
      { name = "pg-1", service = "heroku-postgresql", plan = "heroku-postgresql:standard-0", billed_price = { cents = 5000, unit = "month" } },
      { name = "pg-2", service = "heroku-postgresql", plan = "heroku-postgresql:premium-4", billed_price = { cents = 120000, unit = "month" } },
      { name = "redis-1", service = "heroku-redis", plan = "heroku-redis:premium-0", billed_price = { cents = 1500, unit = "month" } },
      { name = "kafka-1", service = "heroku-kafka", plan = "heroku-kafka:basic-0", billed_price = { cents = 10000, unit = "month" } } },
    postgres = { version = "16.4", bytes = 3 * GB, connections_used = 12 }, redis = { memory = 10 << 20 } }
end

local SIZES = { { name = "Standard-1X", cost = { cents = 2500, unit = "month" } } }

T["an app of an audit is planned and reckoned as it stands: the store behind DATABASE_URL is the one that moves"] = function()
  local app = shop()
  local plan = mapping.plan(app, {})
  test.equal({ plan.postgres.class, plan.cache.node_type, plan.environments[1].instance_type }, { "db.r7g.xlarge", "cache.t4g.micro", "t3.small" })
  local becomes = {}
  for i, a in ipairs(plan.addons) do becomes[i] = a.name .. " " .. a.becomes end
  test.equal(becomes, { "pg-1 deferred", "pg-2 moved", "redis-1 moved", "kafka-1 deferred" })
  local c = cost.of(app, plan, { dyno_sizes = SIZES })
  test.equal(c.today.total, 2500 + 5000 + 120000 + 1500 + 10000)
end

T["one app: what each becomes, measured beside it, what is deferred, and the cost line by line in the nearest region"] = function()
  local found, titles = proposal.tables({ account = { dyno_sizes = SIZES }, apps = { shop() } }, {}), {}
  for i, t in ipairs(found) do titles[i] = t[1]:match "^[^:]+" end
  test.equal(titles, { "What it becomes on AWS", "Cost on Heroku today", "Cost on AWS, eu-west-1", "Cost, what if" })
  local lines = {}
  for i, row in ipairs(found[1][2]) do lines[i] = table.concat(row, " | ") end
  local text = table.concat(lines, "\n")
  test.match(text, "shop | web 1 x Standard%-1X | 1 x t3.small")
  test.match(text, "premium%-4 | db.r7g.xlarge, 768 GB, Multi%-AZ | as measured: db.m7g.large, for all of its 3.0 GB")
  test.match(text, "heroku%-kafka:basic%-0 | deferred | Amazon MSK")
  test.match(text, "standard%-0 | deferred | only the store behind")
end

T["plans and sizes that no table knows are deferred with the reason; an app that runs nothing says so"] = function()
  local app = shop()
  app.addons[2].plan, app.addons[3].plan = "heroku-postgresql:gold-1", "heroku-redis:gold-1"
  app.formation[2].quantity = 2
  app.generation = "fir"
  local facts, plan, deferred = proposal.plan(app, SIZES, {})
  test.equal({ facts.postgres, facts.redis, plan.postgres, plan.cache }, {})
  local what = {}
  for _, d in ipairs(deferred) do what[d[1]] = d[2] end
  test.match(what["heroku-postgresql:gold-1"], "no such plan")
  test.match(what["heroku-redis:gold-1"], "no such plan")
  test.match(what["2 x Giant of old"], "no such dyno size")
  test.match(what["the move itself"], "Fir")
  app.formation = { { type = "web", quantity = 0, size = "Basic" } }
  facts, plan, deferred = proposal.plan(app, SIZES, {})
  test.equal({ #facts.formation, plan }, { 1 })
  test.equal(deferred[3][1], "the app")
  test.match(deferred[3][2], "runs no dyno")
end

T["several apps: a row of the cost each; one that could not be read does not hold up the rest"] = function()
  local closed = { name = "closed", gaps = { { what = "the app", why = "403" } } }
  local found = proposal.tables({ account = {}, apps = { shop(), closed } }, { region = "us-east-1" })
  test.equal({ #found, found[2][1] }, { 2, "Cost" })
  local rows = found[2][2]
  test.match(table.concat(rows[2], " "), "^shop %$1390%.00 at least %$%d+%.%d%d us%-east%-1")
  test.match(table.concat(rows[3], " "), "^closed %$0%.00 nothing")
end

return T
