--- What DMS offers: engine versions, classes of instances, kinds of endpoints (as of November 2025; the instance classes and
--- engines that the rehearsal can serve).
local common = require "rehearsal.services.dms.common"

local S = {}

local DAY = 86400
--- Version, upgrades, the day of its launch.
local VERSIONS = {
  { Version = "3.6.1", upgrades = {}, launched = 1748736000 },
  { Version = "3.5.4", upgrades = { "3.6.1" }, launched = 1731628800 },
  { Version = "3.5.3", upgrades = { "3.5.4", "3.6.1" }, launched = 1715299200 },
}
S._default_version = "3.5.4"

local CLASSES = {}
for family, sizes in pairs {
  t3 = { "micro", "small", "medium", "large" }, c5 = { "large", "xlarge", "2xlarge", "4xlarge" }, c6i = { "large", "xlarge", "2xlarge", "4xlarge" },
  r5 = { "large", "xlarge", "2xlarge", "4xlarge" }, r6i = { "large", "xlarge", "2xlarge", "4xlarge" },
} do
  for _, size in ipairs(sizes) do CLASSES[#CLASSES + 1] = ("dms.%s.%s"):format(family, size) end
end
table.sort(CLASSES)

function S._check_class(class)
  for _, known in ipairs(CLASSES) do if known == class then return class end end
  common.invalid("Invalid replication instance class: %s", class)
end

--- A whole version for what was asked for; "3.5" stands for its newest.
function S._version(asked)
  if not asked then return S._default_version end
  for _, v in ipairs(VERSIONS) do
    if v.Version == asked or v.Version:sub(1, #asked + 1) == asked .. "." then return v.Version end
  end
  common.invalid("No replication engine found with version: %s", asked)
end

local function zones(region) return { region .. "a", region .. "b", region .. "c" } end

function S.DescribeOrderableReplicationInstances(cloud, p, ctx)
  local list = {}
  for _, v in ipairs(VERSIONS) do
    for _, class in ipairs(CLASSES) do
      local included = class:find "%.t3%." and 50 or 100
      list[#list + 1] = { EngineVersion = v.Version, ReplicationInstanceClass = class, StorageType = "gp2", MinAllocatedStorage = 5,
        MaxAllocatedStorage = 6144, DefaultAllocatedStorage = included, IncludedAllocatedStorage = included, AvailabilityZones = zones(ctx.region),
        ReleaseStatus = "prod" }
    end
  end
  local page, marker = common.page(cloud, p, list, {})
  return { OrderableReplicationInstances = page, Marker = marker }
end

function S.DescribeEngineVersions(cloud, p)
  local list = {}
  for i, v in ipairs(VERSIONS) do
    list[i] = { Version = v.Version, Lifecycle = v.Version == S._default_version and "DEFAULT" or "SUPPORTED", ReleaseStatus = "prod",
      LaunchDate = v.launched, DeprecationDate = v.launched + 730 * DAY, AvailableUpgrades = v.upgrades }
  end
  local page, marker = common.page(cloud, p, list, {})
  return { EngineVersions = page, Marker = marker }
end

S._engines = { postgres = "PostgreSQL", ["aurora-postgresql"] = "Amazon Aurora PostgreSQL" }

function S.DescribeEndpointTypes(cloud, p)
  local list = {}
  for _, engine in ipairs { "aurora-postgresql", "postgres" } do
    for _, kind in ipairs { "source", "target" } do
      list[#list + 1] = { EngineName = engine, EngineDisplayName = S._engines[engine], EndpointType = kind, SupportsCDC = true,
        ReplicationInstanceEngineMinimumVersion = "3.4.7" }
    end
  end
  local page, marker = common.page(cloud, p, list, { ["engine-name"] = "EngineName", ["endpoint-type"] = "EndpointType" })
  return { SupportedEndpointTypes = page, Marker = marker }
end

return S
