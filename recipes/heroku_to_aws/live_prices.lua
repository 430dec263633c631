--- Asks AWS's own price list (service "pricing", GetProducts) for the prices that a plan needs. What it does not say, or not in
--- time, stays the table's: prices never stop a run.
local aws = require "aws"
local cost = require "heroku_to_aws.cost"
local errors = require "errors"
local json = require "json"
local prices = require "heroku_to_aws.prices"
local task = require "task"

local M = {}

local AT = "us-east-1"                  -- the price list is asked in few regions, and tells of all
local SECONDS = 60                      -- for all questions together

local function machine(name)
  return { instanceType = name, operatingSystem = "Linux", tenancy = "Shared", preInstalledSw = "NA", capacitystatus = "Used" }
end
local function database(name) return { instanceType = name, databaseEngine = "PostgreSQL", deploymentOption = "Single-AZ" } end
local function node(name) return { instanceType = name, cacheEngine = "Valkey" } end

--- Where the price list has each row of prices.lua: the service, its usage type (the region's short name stands before it), and
--- further filters; by service and name, or by service for all its names.
local PLACES = {
  ["ec2"] = { "AmazonEC2", "BoxUsage:%s", machine },
  ["rds"] = { "AmazonRDS", "InstanceUsage:%s", database },
  ["elasticache"] = { "AmazonElastiCache", "NodeUsage:%s", node },
  ["dms"] = { "AWSDatabaseMigrationSvc", "InstanceUsg:%s", function() return {} end },
  ["ebs gp3"] = { "AmazonEC2", "EBS:VolumeUsage.gp3", { productFamily = "Storage" } },
  ["rds gp3"] = { "AmazonRDS", "RDS:GP3-Storage", { deploymentOption = "Single-AZ", databaseEngine = "PostgreSQL" } },
  ["alb hour"] = { "AWSELB", "LoadBalancerUsage", { productFamily = "Load Balancer-Application" } },
  ["alb lcu"] = { "AWSELB", "LCUUsage", { productFamily = "Load Balancer-Application" } },
  ["nat hour"] = { "AmazonEC2", "NatGateway-Hours", { productFamily = "NAT Gateway" } },
  ["nat gigabyte"] = { "AmazonEC2", "NatGateway-Bytes", { productFamily = "NAT Gateway" } },
  ["ipv4 address"] = { "AmazonVPC", "PublicIPv4:InUseAddress", {} },
  ["fargate vcpu"] = { "AmazonECS", "Fargate-vCPU-Hours:perCPU", {} },
  ["fargate gigabyte"] = { "AmazonECS", "Fargate-GB-Hours", {} },
  ["fargate arm-vcpu"] = { "AmazonECS", "Fargate-ARM-vCPU-Hours:perCPU", {} },
  ["fargate arm-gigabyte"] = { "AmazonECS", "Fargate-ARM-GB-Hours", {} },
  ["secretsmanager secret"] = { "AWSSecretsManager", "AWSSecretsManager-Secrets", {} },
  ["cloudwatch alarm"] = { "AmazonCloudWatch", "CW:AlarmMonitorUsage", {} },
  ["cloudwatch metric"] = { "AmazonCloudWatch", "CW:MetricMonitorUsage", {} },
  ["cloudwatch logs"] = { "AmazonCloudWatch", "DataProcessing-Bytes", {} },
  ["ecr gigabyte"] = { "AmazonECR", "TimedStorage-ByteHrs", {} },
}

--- The price on demand of a product in millionths of a dollar: that of the first unit that costs something.
---@param product string|table as GetProducts answers it
---@return integer?
function M.price(product)
  local item = type(product) == "string" and json.decode(product) or product
  local first, at
  for _, term in pairs(item.terms and item.terms.OnDemand or {}) do
    for _, dimension in pairs(term.priceDimensions) do
      local usd, from = tonumber(dimension.pricePerUnit.USD), tonumber(dimension.beginRange) or 0
      if usd and usd > 0 and (not at or from < at) then first, at = usd, from end
    end
  end
  return first and math.floor(first * 1e6 + 0.5)
end

local function usage_of(product)
  local item = type(product) == "string" and json.decode(product) or product
  return item.product.attributes.usagetype or "", item
end

--- Whether a usage type is the one that is looked for. A region's short name may stand before it ("EU-", "USW2-"); other words
--- there make it another product ("USW2-TS-LoadBalancerUsage"). RDS writes "db.r7g.2xl" for db.r7g.2xlarge.
local function is_usage(found, wanted)
  local bare = found:gsub("^EU%-", ""):gsub("^%u%u+%d%-", "")
  return bare == wanted or bare == wanted:gsub("(InstanceUsage:.*)xlarge$", "%1xl")
end

--- One row of prices.lua, asked for.
---@return integer? millionths
local function ask(client, region, service, name)
  local place = PLACES[service .. " " .. name] or PLACES[service]
  if not place then return nil end
  local code, usage, more = table.unpack(place)
  usage = usage:gsub("%%s", name)
  local filters = { { Type = "TERM_MATCH", Field = "regionCode", Value = region } }
  for field, value in pairs(type(more) == "function" and more(name) or more) do
    filters[#filters + 1] = { Type = "TERM_MATCH", Field = field, Value = value }
  end
  table.sort(filters, function(a, b) return a.Field < b.Field end)
  for _, product in ipairs(client:get_products({ ServiceCode = code, Filters = filters, MaxResults = 100 }).PriceList) do
    local its, item = usage_of(product)
    if is_usage(its, usage) then return M.price(item) end
  end
end

--- What a plan and its variants in the same region ask of the table.
local function wanted(facts, plan, opt)
  local names, list = {}, {}
  local recorder = setmetatable({}, { __index = function(_, key)
    if not names[key] then list[#list + 1] = key end
    names[key] = true
  end })
  local recorded = setmetatable({ live = { prices = recorder } }, { __index = opt })
  cost.of(facts, plan, recorded)
  for _, more in ipairs { { graviton = true }, { x86_stores = true }, { nat = true } } do
    cost.of(facts, plan, setmetatable(more, { __index = recorded }))
  end
  table.sort(list)
  return list
end

--- Asks for the prices of a plan.
---@param facts table
---@param plan table of mapping.plan
---@param opt table of cost.of
---@return { prices: table<string, integer>, count: integer, failed: string? } live for cost.of; failed: why there is none
function M.ask(facts, plan, opt)
  local found, count, why = {}, 0, nil
  local ok, failure = pcall(task.within, SECONDS, "AWS's price list", function()
    local client = aws.client { service = "pricing", region = AT }
    task.map(wanted(facts, plan, opt), function(key)
      local service, name = key:match "^(%S+) (.+)$"
      local told, price = pcall(ask, client, opt.region or prices.regions[1], service, name)
      if not told and errors.is(price, "cancelled") then error(price, 0) end
      if not told then why = why or price
      elseif price then found[key], count = price, count + 1 end
    end, { limit = 4 })
  end)
  if not ok and errors.is(failure, "cancelled") then error(failure, 0) end
  why = why or not ok and failure or nil
  return { prices = found, count = count, failed = count == 0 and (why and tostring(why) or "it told none") or nil }
end

return M
