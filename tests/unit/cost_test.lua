--- What it costs: apps reckoned by hand, what-ifs, unknown prices. Prices are those of recipes/heroku_to_aws/prices.lua, for
--- us-east-1 where no region is named, in millionths of a dollar; a month has 730 hours.
package.path = "recipes/?.lua;" .. package.path
local cost = require "heroku_to_aws.cost"
local cost_report = require "heroku_to_aws.cost_report"
local live_prices = require "heroku_to_aws.live_prices"
local mapping = require "heroku_to_aws.mapping"
local prices = require "heroku_to_aws.prices"
local test = require "test"

local T = test.cases()

local SIZES = { { name = "Eco", cost = { cents = 500, unit = "month" } }, { name = "Standard-1X", cost = { cents = 2500, unit = "month" } },
  { name = "Performance-M", cost = { cents = 25000, unit = "month" } } }

--- An app: dynos as { type, quantity, size }, plans of the stores, other add-ons as { service, plan, price, app }.
local function app(o)
  local facts = { app = { name = "shop" }, addons = {}, formation = {}, dyno_sizes = SIZES, config = { names = {}, postgres = {}, redis = {} } }
  for i, d in ipairs(o) do facts.formation[i] = { type = d[1], quantity = d[2], size = d[3], command = d[1] } end
  local function addon(service, plan, price, of)
    facts.addons[#facts.addons + 1] = { service = service, plan = service .. ":" .. plan, name = service .. "-1", price = price, app = of }
  end
  if o.postgres then
    addon("heroku-postgresql", o.postgres, o.postgres_price)
    facts.postgres = { plan = "heroku-postgresql:" .. o.postgres, version = "16", bytes = o.bytes or 1e9 }
  end
  if o.redis then
    addon("heroku-redis", o.redis, o.redis_price)
    facts.redis = { plan = "heroku-redis:" .. o.redis }
  end
  for _, a in ipairs(o.addons or {}) do addon(table.unpack(a, 1, 4)) end
  return facts
end

local function of(facts, opt) return cost.of(facts, mapping.plan(facts, opt or {}), opt) end

local function month(cents) return { cents = cents, unit = "month", contract = false } end

local function cents_of(side)
  local found = {}
  for _, line in ipairs(side.lines) do found[line.what] = line.cents or "unknown" end
  return found
end

local LEAST = { activate_bastion = false, create_alarm = false, traffic_gigabytes = 0, log_gigabytes = 0 }
local UNKNOWN = { "data transfer out", "CloudWatch, logs", "images and bundles" }

T["by hand, 1: one web dyno and nothing else"] = function()
  -- t3.small 20800 * 730 = 15184000 = 1518 cents; disk 8 * 80000 = 64; one address 5000 * 730 = 365; secret 40; metric 30
  local c = of(app { { "web", 1, "Standard-1X" } }, LEAST)
  test.equal(c.today.total, 2500)
  test.equal(c.aws.total, 1518 + 64 + 365 + 40 + 30)
  test.equal(c.aws.unknown, { "images and bundles" })
end

T["by hand, 2: a hobby app with a small database and a small Redis, the bastion and the alarms"] = function()
  -- t3.small 1518 + disk 64; db.t4g.micro 16000 * 730 = 1168; 20 GB * 115000 = 230; cache.t4g.micro 12800 * 730 = 934;
  -- addresses: machine and bastion 2 * 365 = 730; secrets 3 * 40 = 120; alarms 4 of the database, 5 of the cache, 3 of the
  -- app = 12 * 10 = 120; metric 30; bastion t3.micro 10400 * 730 = 759, disk 64
  local c = of(app { { "web", 1, "Eco" }, { "worker", 1, "Eco" }, postgres = "essential-0", postgres_price = month(500), redis = "mini",
    redis_price = month(300) })
  test.equal(c.today.total, 500 + 500 + 300)                    -- Eco is flat
  local alarms = cents_of(c.aws)["CloudWatch, alarms"]
  test.equal(alarms, 120)
  test.equal(c.aws.total, 1518 + 64 + 1168 + 230 + 934 + 730 + 120 + alarms + 30 + 759 + 64)
  test.equal(c.aws.unknown, UNKNOWN)
end

T["by hand, 3: three web dynos behind a load balancer, Standard-0, Premium-0 of Redis"] = function()
  -- 3 * t3.small 15184000 = 4555; disks 3 * 64 = 192; balancer 22500 * 730 = 1643 (1642.5), LCU 8000 * 730 = 584;
  -- db.t4g.medium 65000 * 730 = 4745; 64 GB = 736; 2 * cache.t4g.micro = 18688000 = 1869; addresses: 3 machines and 2 zones = 1825;
  -- 500 GB out: 400 * 90000 = 3600; 10 GB logs = 500; secrets 120; metric 30
  local c = of(app { { "web", 3, "Standard-1X" }, postgres = "standard-0", postgres_price = month(5000), redis = "premium-0",
    redis_price = month(1500) }, { activate_bastion = false, create_alarm = false, traffic_gigabytes = 500, log_gigabytes = 10 })
  test.equal(c.today.total, 7500 + 5000 + 1500)
  test.equal(c.aws.total, 4555 + 192 + 1643 + 584 + 4745 + 736 + 1869 + 1825 + 3600 + 500 + 120 + 30)
  test.equal(c.aws.unknown, { "images and bundles" })
end

T["by hand, 4: a standby, a private size without a price, an add-on by contract, one that another app pays, one that goes on"] = function()
  -- Performance-M * 2: machines t3.medium (2560 MB + 600) 2 * 41600 * 730 = 6074 (6073.6); disks 128; balancer 1643 + 584;
  -- db.r7g.xlarge 2 * 478000 * 730 = 69788; 2 * 768 GB * 115000 = 17664; addresses 2 + 2 = 1460; secrets 80; metric 30
  local facts = app { { "web", 2, "Performance-M" }, { "clock", 0, "Private-S" }, postgres = "premium-4", postgres_price = month(120000),
    addons = { { "sendgrid", "bronze", month(995) }, { "newrelic", "pro", { cents = 0, unit = "month", contract = true } },
               { "bonsai", "small", month(1000), "other-app" } } }
  local c = of(facts, LEAST)
  test.equal(c.today.total, 50000 + 120000 + 995)
  test.equal(c.today.unknown, { "newrelic" })
  test.equal(c.aws.total, 6074 + 128 + 1643 + 584 + 69788 + 17664 + 1460 + 80 + 30 + 995)
  test.equal(c.aws.unknown, { "images and bundles", "newrelic" })
end

T["by hand, 5: on Fargate, with a NAT gateway and DMS"] = function()
  -- a task of 0.25 vCPU and 0.5 GB: 10120 + 2222 = 12342 an hour; 2 * 730 hours = 1802 (1801.9) for web, 1 for the worker = 901 (901.0);
  -- balancer 1643 + 584; NAT 2 * 45000 * 730 = 6570; addresses 3 tasks, 2 zones, 2 gateways = 7 * 365 = 2555; secret 40;
  -- dms.t3.medium 74500 * 730 = 5439 (5438.5)
  local c = of(app { { "web", 2, "Standard-1X" }, { "worker", 1, "Standard-1X" } },
    setmetatable({ fargate = true, nat = true, data = "dms" }, { __index = LEAST }))
  test.equal(c.aws.total, 1802 + 901 + 1643 + 584 + 6570 + 2555 + 40 + 5439)
  test.equal(c.aws.unknown, { "images and bundles" })
end

T["by hand, 6: an app of Heroku's eu region, in Ireland, and what it costs there more than in us-east-1"] = function()
  -- us-east-1: 2 * t3.small 20800 * 1460 = 3037 (3036.8); disks 2 * 64; balancer 1643 + 584; db.t4g.medium 4745; 64 GB = 736;
  -- addresses 2 machines and 2 zones = 1460; 100 of 200 GB out * 90000 = 900; 10 GB logs = 500; secrets 80; metric 30
  local virginia = 3037 + 128 + 1643 + 584 + 4745 + 736 + 1460 + 900 + 500 + 80 + 30
  -- eu-west-1: 2 * t3.small 22800 * 1460 = 3329 (3328.8); disks 16 * 88000 = 141 (140.8); balancer 25200 * 730 = 1840 (1839.6), LCU 584;
  -- db.t4g.medium 69000 * 730 = 5037; 64 GB * 127000 = 813 (812.8); addresses 1460; 900; 10 * 570000 = 570; secrets 80; metric 30
  local ireland = 3329 + 141 + 1840 + 584 + 5037 + 813 + 1460 + 900 + 570 + 80 + 30
  local facts = app { { "web", 2, "Standard-1X" }, postgres = "standard-0", postgres_price = month(5000) }
  local opt = { activate_bastion = false, create_alarm = false, traffic_gigabytes = 200, log_gigabytes = 10 }
  local there = of(facts, setmetatable({ region = "eu-west-1" }, { __index = opt })).aws
  test.equal({ there.total, there.unknown }, { ireland, { "images and bundles" } })
  local found = {}
  for _, v in ipairs(cost.variants(facts, mapping.plan(facts, {}), opt)) do found[v.what] = v end
  test.equal({ found["in eu-west-1"].total, found["in eu-west-1"].difference }, { ireland, ireland - virginia })
  test.equal(found["in us-west-2"].difference, 0)             -- Oregon asks what Virginia does
  test.equal({ found["in ap-southeast-2"].unknown, found["in ap-southeast-2"].difference },
    { { "PostgreSQL, storage", "images and bundles" }, nil })  -- nothing is said where lines are unknown
end

T["by hand, 7: three apps in eu-west-1 and us-west-2"] = function()
  local function totals(facts, opt)
    local list = {}
    for i, region in ipairs { "eu-west-1", "us-west-2" } do
      local c = of(facts, setmetatable({ region = region }, { __index = opt })).aws
      list[i] = { c.total, c.unknown }
    end
    return list
  end
  -- the first: eu-west-1 t3.small 22800 * 730 = 1664 (1664.4), disk 8 * 88000 = 70 (70.4); us-west-2 20800 * 730 = 1518 (1518.4),
  -- disk 8 * 80000 = 64; address 365; secret 40; metric 30
  test.equal(totals(app { { "web", 1, "Standard-1X" } }, LEAST),
    { { 1664 + 70 + 365 + 40 + 30, { "images and bundles" } }, { 1518 + 64 + 365 + 40 + 30, { "images and bundles" } } })
  -- the second: eu-west-1 db.t4g.micro 17000 * 730 = 1241, 20 GB * 127000 = 254, cache.t4g.micro 13600 * 730 = 993 (992.8), bastion t3.micro
  -- 11400 * 730 = 832 (832.2) and its disk 70; us-west-2 16000 * 730 = 1168, 20 * 115000 = 230, 12800 * 730 = 934 (934.4), 10400 * 730 = 759
  -- (759.2), 64; both: addresses 2 * 365, secrets 3 * 40, alarms 12 * 10, metric 30
  local both = 730 + 120 + 120 + 30
  test.equal(totals(app { { "web", 1, "Eco" }, { "worker", 1, "Eco" }, postgres = "essential-0", redis = "mini" }, {}),
    { { 1664 + 70 + 1241 + 254 + 993 + 832 + 70 + both, UNKNOWN }, { 1518 + 64 + 1168 + 230 + 934 + 759 + 64 + both, UNKNOWN } })
  -- the fourth, whose database has no price there: eu-west-1 2 * t3.medium 45600 * 1460 = 6658 (6657.6), disks 16 * 88000 = 141 (140.8),
  -- balancer 25200 * 730 = 1840 (1839.6), LCU 584, 2 * 768 GB * 127000 = 19507 (19507.2); us-west-2 41600 * 1460 = 6074 (6073.6), 16 * 80000 = 128,
  -- 22500 * 730 = 1643 (1642.5), 584, 1536 * 115000 = 17664; both: addresses 4 * 365, secrets 80, metric 30
  local unknown = { "PostgreSQL", "images and bundles" }
  test.equal(totals(app { { "web", 2, "Performance-M" }, postgres = "premium-4" }, LEAST),
    { { 6658 + 141 + 1840 + 584 + 19507 + 1460 + 80 + 30, unknown }, { 6074 + 128 + 1643 + 584 + 17664 + 1460 + 80 + 30, unknown } })
end

T["what is easily forgotten has a line, also where it costs nothing"] = function()
  local found = cents_of(of(app { { "web", 1, "Standard-1X" }, postgres = "essential-0" }).aws)
  for _, what in ipairs { "NAT gateway", "load balancer", "data transfer out", "bastion, also when idle", "DMS instance", "PostgreSQL, backups",
    "public IPv4 addresses", "CloudWatch, dashboard" } do test.truthy(found[what] ~= nil, what) end
  test.equal({ found["NAT gateway"], found["load balancer"], found["data transfer out"], found["DMS instance"] }, { 0, 0, "unknown", 0 })
end

T["today: hours, a size that only the list knows, a size and a price that nobody knows"] = function()
  local today = cost.today(app { { "web", 2, "Private-M" }, { "worker", 1, "Giant" },
    addons = { { "papertrail", "x", { cents = 2, unit = "hour" } }, { "scout", "y" } } })
  test.equal(today.total, 2 * 45000 + 2 * 730)
  test.equal(today.unknown, { "worker", "scout" })
  test.match(today.lines[1].note, "list price %(2026")
end

T["otherwise: single zone, Graviton, x86 stores, NAT, no bastion, other regions; differences only where the same is known"] = function()
  local facts = app { { "web", 1, "Standard-1X" }, postgres = "premium-0", redis = "mini" }
  local plan = mapping.plan(facts, {})
  local found = {}
  for _, v in ipairs(cost.variants(facts, plan, {})) do found[v.what] = v end
  -- half of db.t4g.medium's 2 * 4745 (9490) and of 2 * 736 GB
  test.equal(found["database in a single zone"].difference, -(4745 + 736))
  test.equal(found["app on Graviton (needs images for arm64)"].difference, 1226 - 1518)         -- t4g.small 16800 * 730
  test.equal(found["with a NAT gateway in each zone"].difference, 6570 + 730)                    -- and two addresses
  test.equal(found["without the bastion"].difference, -(759 + 64 + 365))
  -- db.t3.medium 72000 * 1460 = 10512 for 9490; cache.t3.micro 13600 * 730 = 993 (992.8) for 934
  test.equal(found["stores on x86-64"].difference, 10512 - 9490 + 993 - 934)
  -- Ireland: t3.small 146 more, bastion 73, both disks 12, 2 * db.t4g.medium 10074 for 9490, 2 * 64 GB 1626 for 1472, cache 993 for 934
  test.equal(found["in eu-west-1"].difference, 146 + 73 + 12 + 10074 - 9490 + 1626 - 1472 + 993 - 934)
  test.equal({ found["in ap-southeast-2"].difference, #found["in ap-southeast-2"].unknown }, { nil, 3 + #UNKNOWN })
  test.equal(found["in us-east-1"], nil)
end

T["a region that is not in the table: every priced line is unknown, nothing is counted as free, and it is said"] = function()
  local c = of(app { { "web", 1, "Standard-1X" }, postgres = "essential-0", postgres_price = month(500) },
    setmetatable({ region = "sa-east-1" }, { __index = LEAST }))
  test.equal({ c.known_region, c.aws.total }, { false, 0 })
  test.truthy(#c.aws.unknown >= 8, #c.aws.unknown)
  test.match(cost_report.origin(c), "^the region sa%-east%-1 is not in the table of prices; %-%-live%-prices asks AWS")
end

T["every row of the table has a source with a date, a unit, and a price or a mark for each region"] = function()
  local seen, used = {}, {}
  for _, row in ipairs(prices.rows) do
    local name = row[1] .. " " .. row[2]
    test.truthy(not seen[name], name)
    seen[name] = true
    test.equal(#row, 4 + #prices.regions, name)
    for i = 5, #row do
      test.truthy(row[i] == false or math.type(row[i]) == "integer" and row[i] > 0, name)
      if row[i] then used[row[4] .. " " .. prices.regions[i - 4]] = true end
    end
  end
  for name, source in pairs(prices.sources) do
    test.match(source.of, "^20%d%d%-%d%d")
    test.truthy(used[name .. " us-east-1"], name)
    for region, there in pairs(source.elsewhere or {}) do
      test.match(there.of, "^20%d%d%-%d%d")
      test.truthy(used[name .. " " .. region], name .. " in " .. region .. " is the source of nothing")
    end
  end
end

T["the dates of a region's prices are said"] = function()
  local first, last = prices.dates "us-west-2"
  test.truthy(first < last and prices.dates "sa-east-1" == nil)
  local c = of(app { { "web", 1, "Eco" } }, { region = "us-west-2" })
  test.equal(cost_report.origin(c), ("prices on demand, of %s to %s (recipes/heroku_to_aws/prices.lua)"):format(first, last))
end

--- Families of which AWS asks twice as much for the next size, but for rounding.
local FAMILIES = {
  { "ec2", "t3", "micro", "small", "medium", "large" }, { "ec2", "t4g", "micro", "small", "medium", "large" },
  { "ec2", "m6i", "xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge" }, { "ec2", "m7g", "xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge" },
  { "rds", "db.t4g", "micro", "small", "medium", "large" }, { "rds", "db.t3", "micro", "small", "medium" }, { "rds", "db.m7g", "large", "xlarge" },
  { "rds", "db.m6i", "large", "xlarge" }, { "rds", "db.r7g", "xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge" },
  { "rds", "db.r6i", "xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge" }, { "elasticache", "cache.t4g", "micro", "small", "medium" },
  { "elasticache", "cache.t3", "micro", "small", "medium" },
  { "elasticache", "cache.r7g", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge" },
}

T["a size of a family costs twice the one below it, in every region: no digit has slipped"] = function()
  for _, region in ipairs(prices.regions) do
    local price = prices.of(region)
    for _, f in ipairs(FAMILIES) do
      for i = 4, #f do
        local small, large = price(f[1], f[2] .. "." .. f[i - 1]), price(f[1], f[2] .. "." .. f[i])
        local ratio = small and large and large / small or 2
        test.truthy(ratio > 1.9 and ratio < 2.1, ("%s.%s in %s: %g"):format(f[2], f[i], region, ratio))
      end
    end
  end
end

T["each machine, class and node of the mapping has a price in us-east-1, and its counterpart too"] = function()
  local price, tables = prices.of "us-east-1", require "heroku_to_aws.tables"
  for _, m in ipairs(tables.instances) do test.truthy(price("ec2", m.type), m.type) end
  for _, d in ipairs(tables.databases) do test.truthy(price("rds", d.class), d.class) end
  for _, n in ipairs(tables.nodes) do test.truthy(price("elasticache", n.type), n.type) end
end

T["a product of AWS's price list: the first unit that costs something, exactly"] = function()
  local function product(dimensions) return { terms = { OnDemand = { ["A.B"] = { priceDimensions = dimensions } } } } end
  test.equal(live_prices.price(product { x = { beginRange = "0", pricePerUnit = { USD = "0.0208000000" } } }), 20800)
  test.equal(live_prices.price(product { x = { beginRange = "0", pricePerUnit = { USD = "0.0000000000" } },
    y = { beginRange = "10240", pricePerUnit = { USD = "0.0850000000" } }, z = { beginRange = "100",
    pricePerUnit = { USD = "0.0900000000" } } }), 90000)
  test.equal(live_prices.price { terms = {} }, nil)
end

T["money"] = function()
  test.equal({ cost.money(0), cost.money(5), cost.money(123456), cost.money(-1234), cost.money(nil) },
    { "$0.00", "$0.05", "$1234.56", "-$12.34", "unknown" })
end

return T
