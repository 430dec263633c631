--- Changes to DB instances: at once, or in a maintenance window that does not
--- come in the rehearsal.
local catalog = require "rehearsal.services.rds.catalog"
local engine = require "rehearsal.services.rds.engine"
local groups = require "rehearsal.services.rds.groups"
local instances = require "rehearsal.services.rds.instances"
local managed = require "rehearsal.managed"
local validate = require "rehearsal.services.rds.validate"
local wire = require "rehearsal.wire"

local S = {}

--- Members that change at once when asked to, else in the maintenance window.
local LATER = { "DBInstanceClass", "AllocatedStorage", "MultiAZ", "EngineVersion", "Iops", "StorageThroughput", "StorageType",
  "CACertificateIdentifier" }
--- Members that change as soon as possible whatever was asked.
local AT_ONCE = { "BackupRetentionPeriod", "PreferredBackupWindow", "AutoMinorVersionUpgrade", "CopyTagsToSnapshot", "DeletionProtection",
                  "MaxAllocatedStorage", "MonitoringInterval", "MonitoringRoleArn", "PubliclyAccessible", "DatabaseInsightsMode",
                    "PreferredMaintenanceWindow" }

local function check_modify(p, db)
  if p.AllocatedStorage and p.AllocatedStorage < db.AllocatedStorage then
    wire.fail("InvalidParameterCombination", 400, "Requested size %d cannot be less than the current size %d", p.AllocatedStorage,
      db.AllocatedStorage)
  end
  if p.AllocatedStorage or p.StorageType or p.Iops or p.StorageThroughput then
    validate.storage(p.StorageType or db.StorageType, p.AllocatedStorage or db.AllocatedStorage, p.Iops, p.StorageThroughput)
  end
  if p.EngineVersion then
    p.EngineVersion = validate.version(p.EngineVersion)
    local from, to = tonumber(db.EngineVersion:match "^%d+"), tonumber(p.EngineVersion:match "^%d+")
    if to < from then wire.fail("InvalidParameterCombination", 400, "Cannot upgrade postgres from %s to %s", db.EngineVersion, p.EngineVersion) end
    if to > from and not p.AllowMajorVersionUpgrade then
      wire.fail("InvalidParameterCombination", 400, "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.")
    end
  end
  if p.DBInstanceClass then validate.class(p.DBInstanceClass, p.EngineVersion or db.EngineVersion) end
  if p.MasterUserPassword then validate.password(p.MasterUserPassword) end
  if p.MasterUserPassword and (db.MasterUserSecret or p.ManageMasterUserPassword) then
    wire.fail("InvalidParameterCombination", 400, "You can't specify MasterUserPassword for an instance with ManageMasterUserPassword enabled.")
  end
  validate.backup(p.BackupRetentionPeriod)
end

local function change_groups(cloud, p, ctx, db)
  if p.VpcSecurityGroupIds then
    local ids = managed.security_groups(cloud, ctx, db.DBSubnetGroup.VpcId, p.VpcSecurityGroupIds, instances._vpc_fail)
    db.VpcSecurityGroups = instances._memberships(ids)
    if db.place then managed.regroup(cloud, ctx, db.place, ids) end
  end
  if p.DBParameterGroupName then
    local group = groups._parameter_group(cloud, ctx, p.DBParameterGroupName)
    local family = catalog._family(p.EngineVersion or db.EngineVersion)
    if group.family ~= family then
      wire.fail("InvalidParameterCombination", 400, "The parameter group %s with DBParameterGroupFamily %s can't be used for "
        .. "this instance. Please use a parameter group with DBParameterGroupFamily %s.", group.DBParameterGroupName, group.family, family)
    end
    if group ~= db.parameter_group then
      db.parameter_group = group
      db.DBParameterGroups = { { DBParameterGroupName = group.DBParameterGroupName, ParameterApplyStatus = "pending-reboot" } }
    end
  end
end

function S.ModifyDBInstance(cloud, p, ctx)
  local db = instances._instance(cloud, ctx, p.DBInstanceIdentifier)
  instances._must_be_available(db)
  check_modify(p, db)
  change_groups(cloud, p, ctx, db)
  local works = {}
  for _, name in ipairs(AT_ONCE) do
    if p[name] ~= nil then db[name] = p[name] end
  end
  if p.EnableIAMDatabaseAuthentication ~= nil then db.IAMDatabaseAuthenticationEnabled = p.EnableIAMDatabaseAuthentication end
  if p.EnablePerformanceInsights ~= nil then db.PerformanceInsightsEnabled = p.EnablePerformanceInsights end
  if p.MasterUserPassword then
    db.PendingModifiedValues.MasterUserPassword = "****"
    works[#works + 1] = function()
      db.server:set_password(db.MasterUsername, p.MasterUserPassword)
      db.password, db.PendingModifiedValues.MasterUserPassword = p.MasterUserPassword, nil
      instances._event(cloud, ctx, db, "configuration change", "Reset master credentials")
    end
  end
  for _, name in ipairs(LATER) do
    if p[name] ~= nil and p[name] == db[name] then
      db.PendingModifiedValues[name] = nil                   -- asked for what there is: a change that waits is called off
    elseif p[name] ~= nil then
      db.PendingModifiedValues[name] = p[name]
      if p.ApplyImmediately then
        works[#works + 1] = function()
          db[name], db.PendingModifiedValues[name] = p[name], nil
          if name == "EngineVersion" then db.parameter_group = groups._parameter_group(cloud, ctx, p.DBParameterGroupName or
            (db.parameter_group.is_default and "default." .. catalog._family(p[name]) or db.parameter_group.DBParameterGroupName)) end
          instances._event(cloud, ctx, db, "configuration change", "Finished applying modification to %s", name)
        end
      end
    end
  end
  if #works > 0 then
    cloud:after(5, function()
      if not instances._is_alive(cloud, ctx, db) then return end
      db.DBInstanceStatus = "modifying"
      cloud.clock:sleep(60)
      if not instances._is_alive(cloud, ctx, db) then return end
      for _, work in ipairs(works) do work() end
      db.DBInstanceStatus = "available"
    end)
  end
  return { DBInstance = db }
end

--- A stopped instance keeps its place and its data; its engine does not run.
function S.StopDBInstance(cloud, p, ctx)
  local db = instances._instance(cloud, ctx, p.DBInstanceIdentifier)
  instances._must_be_available(db)
  db.DBInstanceStatus = "stopping"
  cloud:after(60, function()
    if not instances._is_alive(cloud, ctx, db) then return end
    engine.stop(db)
    db.DBInstanceStatus = "stopped"
    instances._event(cloud, ctx, db, "notification", "DB instance stopped")
  end)
  return { DBInstance = db }
end

function S.StartDBInstance(cloud, p, ctx)
  local db = instances._instance(cloud, ctx, p.DBInstanceIdentifier)
  if db.DBInstanceStatus ~= "stopped" then
    wire.fail("InvalidDBInstanceState", 400, "Instance %s is not stopped.", db.DBInstanceIdentifier)
  end
  db.DBInstanceStatus = "starting"
  cloud:after(60, function()
    if not instances._is_alive(cloud, ctx, db) then return end
    local ok, e = pcall(engine.start, cloud, db)
    if not ok and type(e) == "table" and e.kind == "cancelled" then error(e, 0) end
    if not instances._is_alive(cloud, ctx, db) then return end
    instances._event(cloud, ctx, db, "notification", ok and "DB instance started" or "The database engine did not start: %s", tostring(e))
    db.DBInstanceStatus = ok and "available" or "incompatible-parameters"
  end)
  return { DBInstance = db }
end

function S.RebootDBInstance(cloud, p, ctx)
  local db = instances._instance(cloud, ctx, p.DBInstanceIdentifier)
  instances._must_be_available(db)
  if p.ForceFailover and not db.MultiAZ then
    wire.fail("InvalidParameterCombination", 400, "Cannot force failover: the DB instance is not a Multi-AZ deployment.")
  end
  db.DBInstanceStatus = "rebooting"
  cloud:after(5, function()
    engine.stop(db)
    instances._event(cloud, ctx, db, "availability", "DB instance shutdown")
    local ok, e = pcall(engine.start, cloud, db)
    if not ok and type(e) == "table" and e.kind == "cancelled" then error(e, 0) end
    cloud.clock:sleep(20)
    instances._event(cloud, ctx, db, "availability", ok and "DB instance restarted" or ("The database engine did not start: " .. tostring(e)))
    if instances._is_alive(cloud, ctx, db) then db.DBInstanceStatus = ok and "available" or "incompatible-parameters" end
  end)
  return { DBInstance = db }
end

return S
