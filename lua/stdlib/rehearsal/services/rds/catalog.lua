--- What RDS offers for PostgreSQL: versions, instance classes, certificates.
--- Versions as RDS listed them in November 2025; classes as in its pricing pages of the same month.
local sorted_keys = require "sorted_keys"
local wire = require "rehearsal.wire"
local managed = require "rehearsal.managed"

local S = {}

--- Newest first; the first of each major is its default.
local VERSIONS = {
  { "18", "18.1" },
  { "17", "17.7", "17.6", "17.5", "17.4", "17.2" },
  { "16", "16.11", "16.10", "16.9", "16.8", "16.6", "16.4", "16.3" },
  { "15", "15.15", "15.14", "15.13", "15.12", "15.10", "15.8", "15.7" },
  { "14", "14.20", "14.19", "14.18", "14.17", "14.15", "14.13", "14.12" },
  { "13", "13.23", "13.22", "13.21", "13.20", "13.18", "13.16", "13.15" },
}
local DEFAULT_MAJOR = "17"

local SIZES = {
  ["t3"] = { "micro", "small", "medium", "large", "xlarge", "2xlarge" }, ["t4g"] = { "micro", "small", "medium", "large", "xlarge", "2xlarge" },
  ["m5"] = { "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge" },
  ["m6g"] = { "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge" },
  ["m6i"] = { "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "32xlarge" },
  ["m7g"] = { "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge" },
  ["m7i"] = { "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge" },
  ["m8g"] = { "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge" },
  ["r5"] = { "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge" },
  ["r6g"] = { "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge" },
  ["r6i"] = { "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "32xlarge" },
  ["r7g"] = { "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge" },
  ["r7i"] = { "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge" },
  ["r8g"] = { "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge" },
}

local STORAGE = {
  gp2 = { min = 20, max = 65536 }, gp3 = { min = 20, max = 65536, iops = true, throughput = true },
  io1 = { min = 100, max = 65536, iops = true }, io2 = { min = 100, max = 65536, iops = true }, standard = { min = 5, max = 3072 },
}

--- The full version that "16" or "16.8" asks for, and its major; nil when RDS has none.
---@return string? version, string? major
function S._version(asked)
  for _, row in ipairs(VERSIONS) do
    if asked == row[1] or (asked == nil and row[1] == DEFAULT_MAJOR) then return row[2], row[1] end
    for i = 2, #row do
      if row[i] == asked then return asked, row[1] end
    end
  end
end

function S._has_class(class)
  local family, size = class:match "^db%.(%w+)%.(%w+)$"
  for _, known in ipairs(family and SIZES[family] or {}) do
    if known == size then return true end
  end
  return false
end

function S._storage(kind) return STORAGE[kind] end

--- "postgres16" for 16.8.
function S._family(version) return "postgres" .. version:match "^%d+" end

function S._has_family(family)
  for _, row in ipairs(VERSIONS) do
    if family == "postgres" .. row[1] then return true end
  end
  return false
end

local function upgrades(row_index, version)
  local list = {}
  for i = #VERSIONS, 1, -1 do
    for j = #VERSIONS[i], 2, -1 do
      local target = VERSIONS[i][j]
      local minor, target_minor = tonumber(version:match "%.(%d+)"), tonumber(target:match "%.(%d+)")
      if i < row_index or (i == row_index and target_minor > minor) then
        list[#list + 1] = { Engine = "postgres", EngineVersion = target, Description = "PostgreSQL " .. target .. "-R1", AutoUpgrade = false,
                            IsMajorVersionUpgrade = i < row_index }
      end
    end
  end
  return list
end

function S.DescribeDBEngineVersions(cloud, p, ctx)
  local list = {}
  for i = #VERSIONS, 1, -1 do
    local row = VERSIONS[i]
    for j = #row, 2, -1 do
      local version, is_default = row[j], row[1] == DEFAULT_MAJOR and j == 2
      local asked = p.EngineVersion
      if (not p.Engine or p.Engine == "postgres") and (not asked or asked == version or asked == row[1])
         and (not p.DBParameterGroupFamily or p.DBParameterGroupFamily == "postgres" .. row[1])
         and (not p.DefaultOnly or (asked == row[1] and j == 2) or (asked ~= row[1] and is_default)) then
        list[#list + 1] = {
          Engine = "postgres", MajorEngineVersion = row[1], EngineVersion = version, DBParameterGroupFamily = "postgres" .. row[1],
          DBEngineDescription = "PostgreSQL", DBEngineVersionDescription = "PostgreSQL " .. version .. "-R1", Status = "available",
          DBEngineVersionArn = ("arn:aws:rds:%s::engine-version:postgres/%s"):format(ctx.region, version), ValidUpgradeTarget = upgrades(i,
            version),
          ExportableLogTypes = { "postgresql", "upgrade", "iam-db-auth-error" }, SupportsLogExportsToCloudwatchLogs = true,
            SupportsReadReplica = true,
          SupportedFeatureNames = { "Lambda", "s3Export", "s3Import" }, SupportsParallelQuery = false, SupportsGlobalDatabases = false,
          SupportsBabelfish = false, SupportsCertificateRotationWithoutRestart = true, SupportedEngineModes = { "provisioned" },
          SupportedCACertificateIdentifiers = { "rds-ca-rsa2048-g1", "rds-ca-rsa4096-g1", "rds-ca-ecc384-g1" }, TagList = {},
        }
      end
    end
  end
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { DBEngineVersions = page, Marker = marker }
end

function S.DescribeOrderableDBInstanceOptions(cloud, p, ctx)
  if p.Engine ~= "postgres" then wire.fail("InvalidParameterValue", 400, "Unrecognized engine name: %s", p.Engine) end
  local zones = { { Name = ctx.region .. "a" }, { Name = ctx.region .. "b" }, { Name = ctx.region .. "c" } }
  local families = sorted_keys(SIZES)
  local list = {}
  local function add(version, class, kind)
    if (p.EngineVersion and p.EngineVersion ~= version) or (p.DBInstanceClass and p.DBInstanceClass ~= class) then return end
    local storage = STORAGE[kind]
    list[#list + 1] = {
      Engine = "postgres", EngineVersion = version, DBInstanceClass = class, LicenseModel = "postgresql-license", AvailabilityZones = zones,
      MultiAZCapable = true, ReadReplicaCapable = true, Vpc = true, SupportsStorageEncryption = true, StorageType = kind,
      SupportsIops = storage.iops or false, SupportsStorageThroughput = storage.throughput or false, SupportsEnhancedMonitoring = true,
      SupportsIAMDatabaseAuthentication = true, SupportsPerformanceInsights = true, MinStorageSize = storage.min, MaxStorageSize = storage.max,
      SupportsStorageAutoscaling = true, SupportsKerberosAuthentication = true, OutpostCapable = false, SupportedNetworkTypes = { "IPV4", "DUAL" },
      SupportedEngineModes = { "provisioned" }, SupportsGlobalDatabases = false, SupportsClusters = false,
    }
  end
  for _, row in ipairs(VERSIONS) do
    for i = 2, #row do
      for _, family in ipairs(families) do
        for _, size in ipairs(SIZES[family]) do
          add(row[i], ("db.%s.%s"):format(family, size), "gp2")
          add(row[i], ("db.%s.%s"):format(family, size), "gp3")
        end
      end
    end
  end
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { OrderableDBInstanceOptions = page, Marker = marker }
end

local CERTIFICATES = { "rds-ca-rsa2048-g1", "rds-ca-rsa4096-g1", "rds-ca-ecc384-g1" }

function S._has_certificate(id)
  for _, known in ipairs(CERTIFICATES) do if known == id then return true end end
  return false
end

function S.DescribeCertificates(_, p, ctx)
  local list = {}
  for _, id in ipairs(CERTIFICATES) do
    if not p.CertificateIdentifier or p.CertificateIdentifier == id then
      list[#list + 1] = { CertificateIdentifier = id, CertificateType = "CA", CertificateArn = ("arn:aws:rds:%s::cert:%s"):format(ctx.region, id),
                          ValidFrom = 1621900800, ValidTill = 2882822400, CustomerOverride = false }
    end
  end
  if p.CertificateIdentifier and #list == 0 then
    wire.fail("CertificateNotFound", 404, "Certificate %s not found.", p.CertificateIdentifier)
  end
  return { DefaultCertificateForNewLaunches = CERTIFICATES[1], Certificates = list }
end

function S.DescribeEvents(cloud, p, ctx) return managed.describe_events(cloud, p, ctx, "rds") end

return S
