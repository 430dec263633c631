--- An RDS instance of PostgreSQL: encrypted, not reachable from the internet, with backups.
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local MISSING = "DBInstanceNotFound DBInstanceNotFoundFault"
local BAD = { failed = true, ["incompatible-parameters"] = true, ["incompatible-network"] = true, ["incompatible-option-group"] = true,
              ["restore-error"] = true, ["storage-full"] = true, ["inaccessible-encryption-credentials"] = true }

--- What waits for a maintenance window, unless it is called off, is what the instance will be.
local PENDING = { "DBInstanceClass", "EngineVersion", "AllocatedStorage", "MultiAZ", "BackupRetentionPeriod" }

local function settled(db)
  local values, pending = {}, db.PendingModifiedValues or {}
  local waits = pending.MasterUserPassword ~= nil
  for _, member in ipairs(PENDING) do
    values[member] = db[member]
    if pending[member] ~= nil then values[member], waits = pending[member], true end
  end
  return values, waits
end

local function look(name)
  local r = noun.found(MISSING, aws.rds.describe_db_instances, aws.rds, { DBInstanceIdentifier = name })
  local db = r and r.DBInstances[1]
  if not db then return nil end
  local groups, state = {}, db.DBInstanceStatus
  local will, pending = settled(db)
  for i, g in ipairs(db.VpcSecurityGroups or {}) do groups[i] = g.VpcSecurityGroupId end
  return {
    id = db.DBInstanceIdentifier, arn = db.DBInstanceArn, class = will.DBInstanceClass, version = will.EngineVersion,
    gigabytes = will.AllocatedStorage, multi_az = will.MultiAZ, database = db.DBName, user = db.MasterUsername, groups = groups,
    subnet_group = db.DBSubnetGroup and db.DBSubnetGroup.DBSubnetGroupName, backup_days = will.BackupRetentionPeriod,
    parameter_group = db.DBParameterGroups[1] and db.DBParameterGroups[1].DBParameterGroupName,
    deletion_protection = db.DeletionProtection, endpoint = db.Endpoint and db.Endpoint.Address, port = db.Endpoint and db.Endpoint.Port,
    resource_id = db.DbiResourceId, state = state, pending = pending, tags = noun.tag_map(db.TagList),
    deleting = state == "deleting" or nil, running = state ~= "stopping" and state ~= "stopped", public = db.PubliclyAccessible or false,
    autoscales = db.MaxAllocatedStorage ~= nil, installed = db.EngineVersion,
  }
end

--- What autoscaling let it grow to is no difference.
local function same_storage(want, have, _, current)
  return have == want or have ~= nil and current.autoscales and have > want
end

--- Waits until it is usable, or stopped.
local function wait(id, ctx)
  return noun.wait(ctx, "it is not available", ctx.timeout, function()
    local db = look(id) or errors.raise { kind = "not_found", message = "it is gone" }
    if BAD[db.state] then
      errors.raise { kind = "remote", message = ("it is %s: %s"):format(db.state, ctx.event() or "its events in the RDS console say why") }
    end
    if (db.state == "available" or db.state == "stopped") and not db.pending then return db end
    return nil, db.state
  end)
end

--- Starts or stops it. What else is to change waits until it runs.
local function set_running(current, running, ctx)
  if current.state == "stopping" then wait(current.id, ctx) end
  if not running then
    aws.rds:stop_db_instance { DBInstanceIdentifier = current.id }
    return
  end
  aws.rds:start_db_instance { DBInstanceIdentifier = current.id }
  wait(current.id, ctx)
end

--- The version to ask for. Asking for the one that is installed calls off an upgrade that waits.
local function version_for(spec, current)
  if noun.same_version(spec.version, current.installed) then return current.installed end
  if tonumber(spec.version:match "^%d+") < tonumber(current.installed:match "^%d+") then
    errors.raise { kind = "invalid", message = ("PostgreSQL %s cannot go back to %s"):format(current.installed, spec.version),
                   hint = "change the version in the recipe, or restore a snapshot" }
  end
  return spec.version
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
    { "version", "PostgreSQL: 16 (the newest of them) or 16.4 (or a newer one of 16)", type = "string", required = true },
    { "gigabytes", "storage (gp3); it can only grow, by itself too where autoscaling is on", type = "integer", default = 20 },
    { "multi_az", "a standby in another zone", type = "boolean", default = false },
    { "database", "name of the first database", type = "string" },
    { "user", "name of the master user", type = "string", required = true },
    { "password", "of the master user", type = "secret", required = true },
    { "subnet_group", "name of the DB subnet group", type = "string", required = true },
    { "parameter_group", "name of the DB parameter group", type = "string" },
    { "groups", "security groups or their ids", type = "list", required = true },
    { "backup_days", "days that backups are kept", type = "integer", default = 7 },
    { "deletion_protection", "cannot be deleted until this is off", type = "boolean", default = false },
    { "public", "reachable from the internet", type = "boolean", default = false, one_of = { false } },
    { "running", "it runs", type = "boolean", default = true },
    { "final_snapshot", "when it is deleted, RDS keeps a snapshot of it", type = "boolean", default = true },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "endpoint", "port" }, fixed = { "database", "user", "subnet_group" },
  summary = { "class", "version", "gigabytes", "multi_az" }, idempotent = true, timeout = 5400,
  compare = {
    tags = "given", groups = "set", version = noun.same_version, gigabytes = same_storage, password = "ignore", final_snapshot = "ignore",
  },

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
    if (current.state == "available" or current.state == "stopped") and not current.pending then return nil end
    return wait(current.id, ctx)
  end,

  update = function(spec, current, changes, ctx)
    if changes.gigabytes and spec.gigabytes < current.gigabytes then
      errors.raise { kind = "invalid", message = ("its storage has %d GB and cannot shrink to %d"):format(current.gigabytes, spec.gigabytes) }
    end
    local version = changes.version and version_for(spec, current)
    local major = version and version:match "^%d+" ~= current.installed:match "^%d+"
    if changes.running and spec.running then set_running(current, true, ctx) end
    if #changes > (changes.tags and 1 or 0) + (changes.running and 1 or 0) then
      aws.rds:modify_db_instance {
        DBInstanceIdentifier = current.id, ApplyImmediately = true, DBInstanceClass = changes.class and spec.class,
        EngineVersion = version, AllowMajorVersionUpgrade = major or nil,
        AllocatedStorage = changes.gigabytes and spec.gigabytes, MultiAZ = changes.multi_az and spec.multi_az,
        DBParameterGroupName = changes.parameter_group and spec.parameter_group,
        VpcSecurityGroupIds = changes.groups and noun.ids(spec.groups), BackupRetentionPeriod = changes.backup_days and spec.backup_days,
        DeletionProtection = changes.deletion_protection and spec.deletion_protection, PubliclyAccessible = changes.public and spec.public,
      }
    end
    if changes.running and not spec.running then set_running(current, false, ctx) end
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
