--- AWS's price list in the rehearsal: asked by boto3, and by --live-prices of the recipes.
package.path = "recipes/?.lua;" .. package.path
local aws = require "aws"
local cost = require "heroku_to_aws.cost"
local cost_report = require "heroku_to_aws.cost_report"
local lab = dofile "tests/support/vpc_lab.lua"
local live_prices = require "heroku_to_aws.live_prices"
local mapping = require "heroku_to_aws.mapping"
local prices = require "heroku_to_aws.prices"
local rehearsal = require "rehearsal.cloud"
local test = require "test"
local T = test.cases()

T["boto3 asks for products, pages, attributes and what is not there"] = function()
  local c = rehearsal.start { dir = test.tmpdir(), servers = false }
  test.defer(function() c:stop() end)
  test.equal(lab.python(c, [==[
pricing = boto3.client("pricing", region_name="us-east-1")
def products(code, **want):
  filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in want.items()]
  pages = pricing.get_paginator("get_products").paginate(ServiceCode=code, Filters=filters, PaginationConfig={"PageSize": 2})
  return [json.loads(text) for page in pages for text in page["PriceList"]]
one, = products("AmazonEC2", instanceType="t3.small", regionCode="eu-west-1", operatingSystem="linux")
term, = one["terms"]["OnDemand"].values()
price, = term["priceDimensions"].values()
print(one["product"]["attributes"]["usagetype"], price["unit"], price["pricePerUnit"]["USD"], price["beginRange"], price["endRange"],
      list(one["terms"]["OnDemand"]) == [one["product"]["sku"] + "." + term["offerTermCode"]])
print(len(products("AmazonEC2", productFamily="Compute Instance")), len(products("AmazonRDS", instanceType="db.x9.large")),
      code_of(pricing.get_products, ServiceCode="AmazonNothing"))
print([s["ServiceCode"] for s in pricing.describe_services()["Services"]][:2],
      [v["Value"] for v in pricing.get_attribute_values(ServiceCode="AmazonElastiCache", AttributeName="cacheEngine")["AttributeValues"]],
      code_of(pricing.get_attribute_values, ServiceCode="AmazonElastiCache", AttributeName="color"))
def count(kind, value): return len(pricing.get_products(ServiceCode="AmazonRDS", Filters=[{"Type": "TERM_MATCH", "Field": "regionCode",
  "Value": "us-east-1"}, {"Type": kind, "Field": "instanceType", "Value": value}])["PriceList"])
print(count("EQUALS", "db.t4g.micro"), count("CONTAINS", "t4g"), count("ANY_OF", "db.t4g.micro, db.m7g.large"), count("NONE_OF", "db.t4g.micro"))
]==]), table.concat({
    "EU-BoxUsage:t3.small Hrs 0.0228000000 0 Inf True",
    "16 0 NotFoundException",
    "['AWSDatabaseMigrationSvc', 'AWSELB'] ['Valkey'] NotFoundException",
    "1 3 2 4", "" }, "\n"))
end

local function facts()
  return { app = { name = "shop" }, addons = {}, config = { names = {}, postgres = {}, redis = {} },
    formation = { { type = "web", quantity = 1, size = "Standard-1X", command = "web" } },
    postgres = { plan = "heroku-postgresql:standard-0", version = "16", bytes = 1e9 }, redis = { plan = "heroku-redis:mini" } }
end

T["live prices: what AWS tells counts, the rest is the table's, and a region beyond the table has what was told"] = function()
  local _ <close> = test.cloud()
  local f = facts()
  local plan = mapping.plan(f, {})
  local live = live_prices.ask(f, plan, { region = "us-east-1" })
  test.equal(live.failed, nil)
  test.truthy(live.count >= 12, live.count)
  test.equal({ live.prices["ec2 t3.small"], live.prices["rds db.t4g.medium"], live.prices["elasticache cache.t4g.micro"], live.prices["rds gp3"],
    live.prices["alb hour"], live.prices["nat hour"], live.prices["ec2 t4g.small"] }, { 20800, 65000, 12800, 115000, nil, 45000, 16800 })
  live.prices["ec2 t3.small"] = 30000                         -- as if AWS had said so
  local found = cost.of(f, plan, { live = live })
  test.equal(found.aws.lines[1].cents, 2190)                  -- 30000 * 730
  test.match(cost_report.origin(found), "^%d+ prices as AWS told them now")
end

T["live prices: what AWS tells of a region is what the table has, and what is beside a product is not taken for it"] = function()
  local _ <close> = test.cloud()
  local large = facts()                                       -- its classes and nodes have names that the price list shortens, and neighbours
  large.formation[1].quantity, large.postgres.plan, large.redis.plan = 2, "heroku-postgresql:standard-4", "heroku-redis:premium-7"
  for _, region in ipairs { "us-east-1", "eu-west-1" } do
    local price, asked = prices.of(region), {}
    for _, f in ipairs { facts(), large } do
      local live = live_prices.ask(f, mapping.plan(f, {}), { region = region, data = "dms" })
      for key, millionths in pairs(live.prices) do
        local service, name = key:match "^(%S+) (.+)$"
        test.equal(millionths, price(service, name), key .. " in " .. region)
        asked[key] = true
      end
    end
    test.truthy(asked["ec2 t3.small"] and asked["alb hour"] and asked["elasticache cache.t4g.micro"] and asked["nat gigabyte"], region)
    local only = region == "us-east-1" or nil
    test.equal({ asked["rds db.r7g.xlarge"], asked["elasticache cache.r7g.large"], asked["dms dms.t3.medium"] }, { only, only, only }, region)
  end
end

T["live prices that are not to be had never fail a run: the table's are taken, and the reason is said"] = function()
  local _ <close> = test.cloud { faults = { error = 1, seed = 7 } }
  local f = facts()
  local plan, real = mapping.plan(f, {}), aws.client
  rawset(aws, "client", function(o)
    o.attempts = 1
    return real(o)
  end)
  test.defer(function() rawset(aws, "client", real) end)
  local live = live_prices.ask(f, plan, { region = "us-east-1" })
  test.equal(live.count, 0)
  test.match(live.failed, "pricing.*5%d%d")
  local found = cost.of(f, plan, { live = live })
  test.equal(found.aws.total, cost.of(f, plan, {}).aws.total)
  test.match(cost_report.origin(found), "AWS's own were not to be had: ")
end

return T
