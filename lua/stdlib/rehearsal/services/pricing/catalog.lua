--- Products of AWS's price list. Attributes and usage types are those of the price list; figures are AWS's prices on demand of
--- 2026 as public programs quote them: those of recipes/heroku_to_aws/prices.lua, where each says its source.
local M = { rows = {} }

M.regions = {
  { code = "us-east-1", name = "US East (N. Virginia)", prefix = "" },
  { code = "eu-west-1", name = "EU (Ireland)", prefix = "EU-" },
}

local function add(service, family, usage, unit, attributes, us, eu)
  M.rows[#M.rows + 1] = { service = service, family = family, usage = usage, unit = unit, attributes = attributes,
                          prices = { ["us-east-1"] = us, ["eu-west-1"] = eu } }
end

local function machine(type, us, eu)
  add("AmazonEC2", "Compute Instance", "BoxUsage:" .. type, "Hrs", { instanceType = type, operatingSystem = "Linux", tenancy = "Shared",
    preInstalledSw = "NA", capacitystatus = "Used", operation = "RunInstances" }, us, eu)
end
machine("t3.micro", "0.0104000000", "0.0114000000")
machine("t3.small", "0.0208000000", "0.0228000000")
machine("t3.medium", "0.0416000000", "0.0456000000")
machine("t3.large", "0.0832000000", "0.0912000000")
machine("t4g.small", "0.0168000000", "0.0184000000")
machine("t4g.medium", "0.0336000000", "0.0368000000")
machine("m6i.xlarge", "0.1920000000", "0.2140000000")
machine("m7g.xlarge", "0.1632000000", "0.1819000000")

local function database(class, us, eu)
  add("AmazonRDS", "Database Instance", "InstanceUsage:" .. class:gsub("xlarge$", "xl"), "Hrs", { instanceType = class, databaseEngine = "PostgreSQL",
    deploymentOption = "Single-AZ", operation = "CreateDBInstance:0014" }, us, eu)
end
database("db.t4g.micro", "0.0160000000", "0.0170000000")
database("db.t4g.small", "0.0320000000", "0.0350000000")
database("db.t4g.medium", "0.0650000000", "0.0690000000")
database("db.m7g.large", "0.1680000000", "0.1860000000")
database("db.r7g.xlarge", "0.4780000000")
add("AmazonRDS", "Database Storage", "RDS:GP3-Storage", "GB-Mo", { volumeType = "General Purpose-GP3", deploymentOption = "Single-AZ",
  databaseEngine = "PostgreSQL" }, "0.1150000000", "0.1270000000")

local function node(usage, type, us, eu)
  add("AmazonElastiCache", "Cache Instance", usage .. type, "Hrs", { instanceType = type, cacheEngine = "Valkey",
    operation = "CreateCacheCluster:Valkey" }, us, eu)
end
node("NodeUsage:", "cache.t4g.micro", "0.0128000000", "0.0136000000")
node("NodeUsage:", "cache.t4g.small", "0.0256000000", "0.0272000000")
node("SyncDurability-NodeUsage:", "cache.r7g.large", "0.0315360000")           -- another product of the same node
node("NodeUsage:", "cache.r7g.large", "0.1752000000")

add("AmazonEC2", "Storage", "EBS:VolumeUsage.gp3", "GB-Mo", { volumeApiName = "gp3" }, "0.0800000000", "0.0880000000")
add("AmazonEC2", "NAT Gateway", "NatGateway-Hours", "Hrs", { operation = "NatGateway" }, "0.0450000000", "0.0480000000")
add("AmazonEC2", "NAT Gateway", "NatGateway-Bytes", "GB", { operation = "NatGateway" }, "0.0450000000", "0.0480000000")
add("AWSELB", "Load Balancer-Application", "TS-LoadBalancerUsage", "Hrs", { operation = "LoadBalancing:Application" }, "0.0055000000", "0.0060000000")
add("AWSELB", "Load Balancer-Application", "LoadBalancerUsage", "Hrs", { operation = "LoadBalancing:Application" }, "0.0225000000", "0.0252000000")
add("AWSELB", "Load Balancer-Application", "LCUUsage", "LCU-Hrs", { operation = "LoadBalancing:Application" }, "0.0080000000")
add("AmazonVPC", "VpcPublicIPv4", "PublicIPv4:InUseAddress", "Hrs", { groupDescription = "Hourly charge for In-use Public IPv4 Addresses" },
  "0.0050000000", "0.0050000000")
add("AmazonECS", "Compute", "Fargate-vCPU-Hours:perCPU", "hours", { cputype = "perCPU" }, "0.0404800000", "0.0404800000")
add("AmazonECS", "Compute", "Fargate-GB-Hours", "hours", { memorytype = "perGB" }, "0.0044450000", "0.0044450000")
add("AWSSecretsManager", "Secret", "AWSSecretsManager-Secrets", "Secrets", {}, "0.4000000000")
add("AmazonCloudWatch", "Alarm", "CW:AlarmMonitorUsage", "Alarms", { alarmType = "Standard" }, "0.1000000000")
add("AmazonCloudWatch", "Metric", "CW:MetricMonitorUsage", "Metrics", {}, "0.3000000000")
add("AmazonCloudWatch", "Data Payload", "DataProcessing-Bytes", "GB", { group = "Ingested Logs" }, "0.5000000000")
add("AWSDatabaseMigrationSvc", "Replication Server", "InstanceUsg:dms.t3.medium", "Hrs", { instanceType = "dms.t3.medium" }, "0.0745000000")
add("AmazonECR", "EC2 Container Registry", "TimedStorage-ByteHrs", "GB-Mo", {}, "0.1000000000")

return M
