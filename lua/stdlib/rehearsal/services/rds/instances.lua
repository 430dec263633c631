--- DB instances.
local catalog = require "rehearsal.services.rds.catalog"
local engine = require "rehearsal.services.rds.engine"
local fs = require "fs"
local groups = require "rehearsal.services.rds.groups"
local log = require "log"
local managed = require "rehearsal.managed"
local secret = require "secret"
local sign = require "sign"
local snapshots = require "rehearsal.services.rds.snapshots"
local text = require "text"
local validate = require "rehearsal.services.rds.validate"
local wire = require "rehearsal.wire"

local S = {}

local function instances(cloud, ctx) return managed.table_of(cloud, ctx, "rds", "instances") end

function S._instance(cloud, ctx, name)
  name = name:match "^arn:aws:rds:[^:]*:%d*:db:(.+)$" or name
  return instances(cloud, ctx)[name:lower()] or wire.fail("DBInstanceNotFound", 404, "DBInstance %s not found.", name)
end

function S._must_be_available(db)
  if db.DBInstanceStatus ~= "available" then
    wire.fail("InvalidDBInstanceState", 400, "Database instance is not in available state.")
  end
end

function S._event(cloud, ctx, db, category, fmt, ...)
  managed.event(cloud, ctx, "rds", { SourceIdentifier = db.DBInstanceIdentifier, SourceType = "db-instance", SourceArn = db.DBInstanceArn,
    EventCategories = { category }, Message = fmt:format(...) })
end

function S._is_alive(cloud, ctx, db) return instances(cloud, ctx)[db.DBInstanceIdentifier] == db and db.DBInstanceStatus ~= "deleting" end

local event, alive = S._event, S._is_alive

-- The secret of ManageMasterUserPassword -----------------------------------

local function managed_secret(cloud, ctx, db, key)
  local secrets = cloud:service "secretsmanager"
  if not secrets then wire.fail("InvalidParameterCombination", 400,
    "the rehearsal cloud has no Secrets Manager to keep the master user's password in") end
  local made = secrets.CreateSecret(cloud, {
    Name = "rds!db-" .. sign.uuid(), KmsKeyId = key, Description = "Secret associated with primary RDS DB instance: " .. db.DBInstanceArn,
    SecretString = text('{"username":"%s","password":%s}', db.MasterUsername, secret.encode(db.password, "json")),
  }, { region = ctx.region, service = "secretsmanager", operation = "CreateSecret", request_id = ctx.request_id })
  return { SecretArn = made.ARN, SecretStatus = "active", KmsKeyId = key or cloud:arn("kms", ctx.region, "key/" .. sign.uuid()) }
end

local function drop_secret(cloud, ctx, db)
  if not db.MasterUserSecret then return end
  cloud:service("secretsmanager").DeleteSecret(cloud, { SecretId = db.MasterUserSecret.SecretArn, ForceDeleteWithoutRecovery = true },
    { region = ctx.region, service = "secretsmanager", operation = "DeleteSecret", request_id = ctx.request_id })
  db.MasterUserSecret = nil
end

-- Create -------------------------------------------------------------------

function S._memberships(ids)
  local list = {}
  for i, id in ipairs(ids) do list[i] = { VpcSecurityGroupId = id, Status = "active" } end
  return list
end

function S._vpc_fail(fmt, ...) wire.fail("InvalidParameterCombination", 400, fmt, ...) end

local function launch(cloud, ctx, db)
  local began = cloud.clock:now()
  local address = engine.place(cloud, ctx, db)
  local endpoint = { Address = address, Port = db.DbInstancePort, HostedZoneId = "Z2R2ITUGPM61AM" }
  local ok, e = pcall(function() engine.start(cloud, db) end)
  if not ok then
    if type(e) == "table" and e.kind == "cancelled" then error(e, 0) end
    log.warn("the rehearsal could not start the DB instance %s: %s", db.DBInstanceIdentifier, tostring(e))
    db.DBInstanceStatus = next(db.parameter_group.set) and "incompatible-parameters" or "failed"
    return event(cloud, ctx, db, "failure", "The database engine did not start: %s", tostring(e))
  end
  cloud.clock:sleep(math.max(0, began + 240 - cloud.clock:now()))
  if not alive(cloud, ctx, db) then return end
  db.Endpoint = endpoint
  event(cloud, ctx, db, "creation", "DB instance created")
  if cloud.servers then
    event(cloud, ctx, db, "notification", "The rehearsal runs %s for the PostgreSQL %s that was asked for", engine.installed(), db.EngineVersion)
  end
  if db.BackupRetentionPeriod > 0 then
    db.DBInstanceStatus = "backing-up"
    event(cloud, ctx, db, "backup", "Backing up DB instance")
    cloud.clock:sleep(60)
    if not alive(cloud, ctx, db) then return end
    db.LatestRestorableTime = cloud.clock:now()
    event(cloud, ctx, db, "backup", "Finished DB Instance backup")
  end
  db.DBInstanceStatus = "available"
end

function S.CreateDBInstance(cloud, p, ctx)
  local name = groups._check_name(p.DBInstanceIdentifier, "DBInstanceIdentifier")
  if p.Engine ~= "postgres" then
    wire.fail("InvalidParameterValue", 400, "Invalid DB engine: %s (the rehearsal cloud runs postgres)", p.Engine)
  end
  if instances(cloud, ctx)[name] then wire.fail("DBInstanceAlreadyExists", 400, "DB instance already exists") end
  local version, kind = validate.version(p.EngineVersion), p.StorageType or (p.Iops and "io1" or "gp2")
  validate.class(p.DBInstanceClass, version)
  validate.storage(kind, p.AllocatedStorage, p.Iops, p.StorageThroughput)
  validate.user(p.MasterUsername)
  validate.database(p.DBName)
  validate.backup(p.BackupRetentionPeriod)
  validate.port(p.Port)
  if p.ManageMasterUserPassword and p.MasterUserPassword then
    wire.fail("InvalidParameterCombination", 400, "You can't specify MasterUserPassword when ManageMasterUserPassword is enabled.")
  elseif not p.ManageMasterUserPassword then
    validate.password(p.MasterUserPassword or wire.fail("InvalidParameterValue", 400,
      "The parameter MasterUserPassword must be provided and must not be blank."))
  end
  if p.MultiAZ and p.AvailabilityZone then
    wire.fail("InvalidParameterCombination", 400, "Requesting a specific availability zone is not valid for Multi-AZ instances.")
  end
  if p.CACertificateIdentifier and not catalog._has_certificate(p.CACertificateIdentifier) then
    wire.fail("CertificateNotFound", 404, "Certificate %s not found.", p.CACertificateIdentifier)
  end
  local group = groups._parameter_group(cloud, ctx, p.DBParameterGroupName or "default." .. catalog._family(version))
  if group.family ~= catalog._family(version) then
    wire.fail("InvalidParameterCombination", 400, "The parameter group %s with DBParameterGroupFamily %s can't be used for "
      .. "this instance. Please use a parameter group with DBParameterGroupFamily %s.", group.DBParameterGroupName, group.family,
        catalog._family(version))
  end
  if not p.DBSubnetGroupName then
    wire.fail("InvalidSubnet", 400, "No default subnet detected in VPC. Please contact AWS Support to recreate default Subnets.")
  end
  local subnets = groups._subnet_group(cloud, ctx, p.DBSubnetGroupName)
  local ids = managed.security_groups(cloud, ctx, subnets.VpcId, p.VpcSecurityGroupIds, S._vpc_fail)
  local resource_id = "db-" .. sign.hex(sign.random(13)):upper()
  local encrypted = p.StorageEncrypted or p.KmsKeyId ~= nil
  local db = {
    DBInstanceIdentifier = name, DBInstanceClass = p.DBInstanceClass, Engine = "postgres", EngineVersion = version, DBInstanceStatus = "creating",
    MasterUsername = p.MasterUsername, DBName = p.DBName, AllocatedStorage = p.AllocatedStorage, InstanceCreateTime = cloud.clock:now(),
    PreferredBackupWindow = p.PreferredBackupWindow or "03:10-03:40", PreferredMaintenanceWindow = (p.PreferredMaintenanceWindow
      or "sun:05:10-sun:05:40"):lower(),
    BackupRetentionPeriod = p.BackupRetentionPeriod or 1, DBSecurityGroups = {}, VpcSecurityGroups = S._memberships(ids), MultiAZ = p.MultiAZ
      or false,
    DBParameterGroups = { { DBParameterGroupName = group.DBParameterGroupName, ParameterApplyStatus = "in-sync" } }, DBSubnetGroup = subnets,
    AvailabilityZone = p.AvailabilityZone, AutoMinorVersionUpgrade = p.AutoMinorVersionUpgrade ~= false, LicenseModel = "postgresql-license",
    StorageType = kind, Iops = p.Iops or (kind == "gp3" and 3000 or nil), StorageThroughput = kind == "gp3" and (p.StorageThroughput or 125) or nil,
    OptionGroupMemberships = { { OptionGroupName = "default:postgres-" .. version:match "^%d+", Status = "in-sync" } },
    PubliclyAccessible = p.PubliclyAccessible or false, StorageEncrypted = encrypted,
    KmsKeyId = encrypted and (p.KmsKeyId or cloud:arn("kms", ctx.region, "key/" .. sign.uuid())) or nil, DbInstancePort = p.Port or 5432,
    DbiResourceId = resource_id, CACertificateIdentifier = p.CACertificateIdentifier or "rds-ca-rsa2048-g1",
    CertificateDetails = { CAIdentifier = p.CACertificateIdentifier or "rds-ca-rsa2048-g1", ValidTill = cloud.clock:now() + 365 * 86400 },
    CopyTagsToSnapshot = p.CopyTagsToSnapshot or false, MonitoringInterval = p.MonitoringInterval or 0, MonitoringRoleArn = p.MonitoringRoleArn,
    DBInstanceArn = cloud:arn("rds", ctx.region, "db:" .. name), IAMDatabaseAuthenticationEnabled = p.EnableIAMDatabaseAuthentication or false,
    PerformanceInsightsEnabled = p.EnablePerformanceInsights or false, EnabledCloudwatchLogsExports = p.EnableCloudwatchLogsExports,
    DeletionProtection = p.DeletionProtection or false, MaxAllocatedStorage = p.MaxAllocatedStorage, NetworkType = p.NetworkType or "IPV4",
    EngineLifecycleSupport = p.EngineLifecycleSupport or "open-source-rds-extended-support", PendingModifiedValues = {}, BackupTarget = "region",
    ReadReplicaDBInstanceIdentifiers = {}, AssociatedRoles = {}, DomainMemberships = {}, CustomerOwnedIpEnabled = false,
      ActivityStreamStatus = "stopped",
    PromotionTier = nil, DatabaseInsightsMode = p.DatabaseInsightsMode or "standard", DedicatedLogVolume = p.DedicatedLogVolume or false,
    tags = managed.tags(p.Tags), parameter_group = group, password = p.MasterUserPassword,
    dir = fs.join(cloud.dir, "rds-" .. resource_id:sub(-8):lower()),
  }
  db.TagList = db.tags
  if p.ManageMasterUserPassword then
    db.password = secret.random(28)
    db.MasterUserSecret = managed_secret(cloud, ctx, db, p.MasterUserSecretKmsKeyId)
  end
  instances(cloud, ctx)[name] = db
  cloud:after(1, function() launch(cloud, ctx, db) end)
  return { DBInstance = db }
end

-- Describe -----------------------------------------------------------------

local FILTERS = { ["db-instance-id"] = "DBInstanceIdentifier", ["dbi-resource-id"] = "DbiResourceId", engine = "Engine",
                  ["db-cluster-id"] = "DBClusterIdentifier", domain = "Domain" }

local function fits(db, filter)
  for _, wanted in ipairs(filter.Values) do
    if wanted == db[FILTERS[filter.Name]] or wanted == db.DBInstanceArn then return true end
  end
  return false
end

function S.DescribeDBInstances(cloud, p, ctx)
  for _, filter in ipairs(p.Filters or {}) do
    if not FILTERS[filter.Name] then wire.fail("InvalidParameterValue", 400, "Unrecognized filter name: %s", filter.Name) end
  end
  local list = {}
  for _, db in ipairs(p.DBInstanceIdentifier and { S._instance(cloud, ctx, p.DBInstanceIdentifier) } or managed.sorted(instances(cloud, ctx))) do
    local ok = true
    for _, filter in ipairs(p.Filters or {}) do ok = fits(db, filter) and ok end
    if ok then list[#list + 1] = db end
  end
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { DBInstances = page, Marker = marker }
end

-- Delete -------------------------------------------------------------------

function S.DeleteDBInstance(cloud, p, ctx)
  local db = S._instance(cloud, ctx, p.DBInstanceIdentifier)
  if db.DBInstanceStatus == "deleting" then
    wire.fail("InvalidDBInstanceState", 400, "Instance %s is already being deleted.", db.DBInstanceIdentifier)
  end
  if db.DeletionProtection then
    wire.fail("InvalidParameterCombination", 400, "Cannot delete protected DB Instance, please disable deletion protection and try again.")
  end
  if not p.SkipFinalSnapshot and not p.FinalDBSnapshotIdentifier then
    wire.fail("InvalidParameterCombination", 400, "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.")
  elseif p.SkipFinalSnapshot and p.FinalDBSnapshotIdentifier then
    wire.fail("InvalidParameterCombination", 400, "FinalDBSnapshotIdentifier can not be specified when deleting a DB "
      .. "instance with SkipFinalSnapshot.")
  end
  if p.FinalDBSnapshotIdentifier then
    if not db.server then wire.fail("InvalidDBInstanceState", 400,
      "Cannot create a snapshot because the database instance %s is not currently in the available state.", db.DBInstanceIdentifier) end
    snapshots._take(cloud, ctx, db, p.FinalDBSnapshotIdentifier, "manual", db.CopyTagsToSnapshot and db.tags)
  end
  local was_creating = db.DBInstanceStatus == "creating"
  db.DBInstanceStatus = "deleting"
  cloud:after(was_creating and 300 or 120, function()
    engine.remove(cloud, ctx, db)
    drop_secret(cloud, ctx, db)
    event(cloud, ctx, db, "deletion", "DB instance deleted")
    instances(cloud, ctx)[db.DBInstanceIdentifier] = nil
  end)
  return { DBInstance = db }
end

--- Ends the clusters of a cloud that stops.
function S._stop(cloud)
  for key, store in pairs(cloud.state) do
    for _, db in pairs(key:find "^rds/" and store.instances or {}) do
      local ok, e = pcall(engine.stop, db)
      if not ok then log.warn("the rehearsal could not stop %s: %s", db.DBInstanceIdentifier, tostring(e)) end
    end
  end
end

return S
