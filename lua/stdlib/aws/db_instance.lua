--- An RDS instance of PostgreSQL: encrypted, not reachable from the internet, with backups.
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local MISSING = "DBInstanceNotFound DBInstanceNotFoundFault"
local BAD = { failed = true, ["incompatible-parameters"] = true, ["incompatible-network"] = true, ["incompatible-option-group"] = true,
              ["restore-error"] = true, ["storage-full"] = true, ["inaccessible-encryption-credentials"] = true }

local function look(name)
  local r = noun.found(MISSING, aws.rds.describe_db_instances, aws.rds, { DBInstanceIdentifier = name })
  local db = r and r.DBInstances[1]
  if not db then return nil end
  local groups = {}
  for i, g in ipairs(db.VpcSecurityGroups or {}) do groups[i] = g.VpcSecurityGroupId end
  return {
    id = db.DBInstanceIdentifier, arn = db.DBInstanceArn, class = db.DBInstanceClass, version = db.EngineVersion,
    gigabytes = db.AllocatedStorage, multi_az = db.MultiAZ, database = db.DBName, user = db.MasterUsername, groups = groups,
    subnet_group = db.DBSubnetGroup and db.DBSubnetGroup.DBSubnetGroupName, backup_days = db.BackupRetentionPeriod,
    parameter_group = db.DBParameterGroups[1] and db.DBParameterGroups[1].DBParameterGroupName,
    deletion_protection = db.DeletionProtection, endpoint = db.Endpoint and db.Endpoint.Address, port = db.Endpoint and db.Endpoint.Port,
    resource_id = db.DbiResourceId, state = db.DBInstanceStatus, pending = next(db.PendingModifiedValues or {}) ~= nil,
    tags = noun.tag_map(db.TagList),
    deleting = db.DBInstanceStatus == "deleting" or nil,
  }
end

--- "16" is every 16.x, "16.4" only that one.
local function same_version(want, have)
  return have == want or have ~= nil and have:sub(1, #want + 1) == want .. "."
end

local HINTS = {
  DBSubnetGroupDoesNotCoverEnoughAZs = "the subnets must lie in two availability zones at least",
  InsufficientDBInstanceCapacity = "take another instance class",
  InstanceQuotaExceeded = "ask AWS for a higher quota of DB instances",
  StorageQuotaExceeded = "ask AWS for a higher quota of storage",
}

--- There is nothing in it yet, or RDS cannot take a snapshot of it any more.
local UNSAVED = { creating = true, failed = true, ["incompatible-restore"] = true, ["incompatible-network"] = true }

--- The same name however often it is asked for, and another one for each instance that ever had this identifier.
local function final_snapshot(current, ctx)
  if not ctx.final_snapshot or UNSAVED[current.state] then return nil end
  return ("%s-final-%s"):format(current.id, current.resource_id:sub(4, 13):lower())
end

local kind = recipe.kind {
  name = "aws.db_instance",
  options = {
    { "class", "instance class: db.t4g.micro", type = "string", required = true },
    { "version", "PostgreSQL: 16 (the newest of them) or 16.4", type = "string", required = true },
    { "gigabytes", "storage (gp3); it can only grow", type = "integer", default = 20 },
    { "multi_az", "a standby in another zone", type = "boolean", default = false },
    { "database", "name of the first database", type = "string" },
    { "user", "name of the master user", type = "string", required = true },
    { "password", "of the master user", type = "secret", required = true },
    { "subnet_group", "name of the DB subnet group", type = "string", required = true },
    { "parameter_group", "name of the DB parameter group", type = "string" },
    { "groups", "security groups or their ids", type = "list", required = true },
    { "backup_days", "days that backups are kept", type = "integer", default = 7 },
    { "deletion_protection", "cannot be deleted until this is off", type = "boolean", default = false },
    { "final_snapshot", "when it is deleted, RDS keeps a snapshot of it", type = "boolean", default = true },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "endpoint", "port" }, fixed = { "database", "user", "subnet_group" },
  summary = { "class", "version", "gigabytes", "multi_az" }, idempotent = true, timeout = 5400,
  compare = { tags = "given", groups = "set", version = same_version, password = "ignore", final_snapshot = "ignore" },

  read = function(spec) return look(spec.name) end,

  event = function(id, since) return noun.last_event(aws.rds, id, "db-instance", since) end,

  create = function(spec, ctx)
    return noun.hinted(HINTS, function()
      return aws.rds:create_db_instance({
        DBInstanceIdentifier = spec.name, Engine = "postgres", EngineVersion = spec.version, DBInstanceClass = spec.class,
        AllocatedStorage = spec.gigabytes, StorageType = "gp3", StorageEncrypted = true, MultiAZ = spec.multi_az, DBName = spec.database,
        MasterUsername = spec.user, MasterUserPassword = spec.password, DBSubnetGroupName = spec.subnet_group,
        DBParameterGroupName = spec.parameter_group, VpcSecurityGroupIds = noun.ids(spec.groups), PubliclyAccessible = false,
        BackupRetentionPeriod = spec.backup_days, DeletionProtection = spec.deletion_protection, CopyTagsToSnapshot = true,
        EngineLifecycleSupport = "open-source-rds-extended-support-disabled", Tags = noun.tags(spec, ctx),
      }).DBInstance.DBInstanceIdentifier
    end)
  end,

  ready = function(current, ctx)
    if current.state == "available" and not current.pending then return nil end
    return noun.wait(ctx, "it is not available", ctx.timeout, function()
      local db = look(current.id) or errors.raise { kind = "not_found", message = "it is gone" }
      if BAD[db.state] then
        errors.raise { kind = "remote", message = ("it is %s: %s"):format(db.state, ctx.event() or "its events in the RDS console say why") }
      end
      if db.state == "available" and not db.pending then return db end
      return nil, db.state
    end)
  end,

  update = function(spec, current, changes)
    if changes.gigabytes and spec.gigabytes < current.gigabytes then
      errors.raise { kind = "invalid", message = ("its storage has %d GB and cannot shrink to %d"):format(current.gigabytes, spec.gigabytes) }
    end
    local major = changes.version and spec.version:match "^%d+" ~= current.version:match "^%d+"
    if #changes > (changes.tags and 1 or 0) then
      aws.rds:modify_db_instance {
        DBInstanceIdentifier = current.id, ApplyImmediately = true, DBInstanceClass = changes.class and spec.class,
        EngineVersion = changes.version and spec.version, AllowMajorVersionUpgrade = major or nil,
        AllocatedStorage = changes.gigabytes and spec.gigabytes, MultiAZ = changes.multi_az and spec.multi_az,
        DBParameterGroupName = changes.parameter_group and spec.parameter_group,
        VpcSecurityGroupIds = changes.groups and noun.ids(spec.groups), BackupRetentionPeriod = changes.backup_days and spec.backup_days,
        DeletionProtection = changes.deletion_protection and spec.deletion_protection,
      }
    end
    if changes.tags then aws.rds:add_tags_to_resource { ResourceName = current.arn, Tags = noun.tag_list(spec.tags) } end
  end,

  leaves = function(current, ctx)
    local name = final_snapshot(current, ctx)
    return name and { {
      what = ("the final snapshot %s of the database %s"):format(name, current.id),
      cost = ("RDS bills what it holds, %d GB at most, at about 0.10 $ per GB and month"):format(current.gigabytes),
      restore = ("aws rds restore-db-instance-from-db-snapshot --db-instance-identifier %s --db-snapshot-identifier %s"):format(current.id, name),
      delete = "aws rds delete-db-snapshot --db-snapshot-identifier " .. name,
    } }
  end,

  delete = function(current, ctx)
    if current.deletion_protection then
      errors.raise { kind = "invalid", message = "its deletion protection is on",
                     hint = "apply with deletion_protection = false first, if its data may go" }
    end
    local name = final_snapshot(current, ctx)
    noun.delete(MISSING, function()
      local ok, e = pcall(aws.rds.delete_db_instance, aws.rds, { DBInstanceIdentifier = current.id, SkipFinalSnapshot = name == nil,
                                                                 FinalDBSnapshotIdentifier = name, DeleteAutomatedBackups = true })
      if ok then return end
      if errors.is(e, "remote") and e.code == "DBSnapshotAlreadyExists" then
        local db = look(current.id)
        if not db or db.deleting then return end             -- an earlier call that nobody heard the answer of
        e.hint = ("an earlier deletion took it and went no further: delete it (aws rds delete-db-snapshot --db-snapshot-identifier %s), "
          .. "then destroy again"):format(name)
      end
      error(e, 0)
    end)
  end,
}

--- What is kept is protected in RDS too.
return function(spec)
  if type(spec) ~= "table" or not spec.keep or spec.deletion_protection ~= nil then return kind(spec) end
  local copy = {}
  for k, v in pairs(spec) do copy[k] = v end
  copy.deletion_protection = true
  return kind(copy)
end
