--- DB snapshots. The rehearsal keeps the record of a snapshot, not its data;
--- the event of its creation says so.
local managed = require "rehearsal.managed"
local wire = require "rehearsal.wire"

local S = {}

local function snapshots(cloud, ctx) return managed.table_of(cloud, ctx, "rds", "snapshots") end

--- Takes a snapshot of an instance.
function S._take(cloud, ctx, db, name, kind, tags)
  name = name:lower()
  if snapshots(cloud, ctx)[name] then
    wire.fail("DBSnapshotAlreadyExists", 400, "Cannot create the snapshot because a snapshot with the identifier %s already exists.", name)
  end
  local now = cloud.clock:now()
  local snapshot = {
    DBSnapshotIdentifier = name, DBInstanceIdentifier = db.DBInstanceIdentifier, SnapshotCreateTime = now, OriginalSnapshotCreateTime = now,
    Engine = db.Engine, AllocatedStorage = db.AllocatedStorage, Status = "creating", Port = db.DbInstancePort,
      AvailabilityZone = db.AvailabilityZone,
    VpcId = db.DBSubnetGroup.VpcId, InstanceCreateTime = db.InstanceCreateTime, MasterUsername = db.MasterUsername,
      EngineVersion = db.EngineVersion,
    LicenseModel = db.LicenseModel, SnapshotType = kind, StorageType = db.StorageType, Encrypted = db.StorageEncrypted, KmsKeyId = db.KmsKeyId,
    DBSnapshotArn = cloud:arn("rds", ctx.region, "snapshot:" .. name), IAMDatabaseAuthenticationEnabled = db.IAMDatabaseAuthenticationEnabled,
    PercentProgress = 0, DbiResourceId = db.DbiResourceId, Iops = db.Iops, StorageThroughput = db.StorageThroughput, SnapshotTarget = "region",
    tags = managed.tags(tags),
  }
  snapshot.TagList = snapshot.tags
  snapshots(cloud, ctx)[name] = snapshot
  cloud:after(60, function()
    snapshot.Status, snapshot.PercentProgress = "available", 100
    managed.event(cloud, ctx, "rds", { SourceIdentifier = name, SourceType = "db-snapshot", EventCategories = { "creation" },
      SourceArn = snapshot.DBSnapshotArn,
      Message = (kind == "manual" and "Manual" or "Automated") .. " snapshot created (the rehearsal keeps its record, not its data)" })
  end)
  return snapshot
end

function S.CreateDBSnapshot(cloud, p, ctx)
  local instances = require "rehearsal.services.rds.instances"
  local db = instances._instance(cloud, ctx, p.DBInstanceIdentifier)
  instances._must_be_available(db)
  db.DBInstanceStatus = "backing-up"
  local snapshot = S._take(cloud, ctx, db, p.DBSnapshotIdentifier, "manual", p.Tags)
  cloud:after(30, function()
    if db.DBInstanceStatus == "backing-up" then db.DBInstanceStatus = "available" end
  end)
  return { DBSnapshot = snapshot }
end

local function snapshot_of(cloud, ctx, name)
  return snapshots(cloud, ctx)[name:lower()] or wire.fail("DBSnapshotNotFound", 404, "DBSnapshot %s not found.", name)
end

function S.DescribeDBSnapshots(cloud, p, ctx)
  local list = {}
  for _, snapshot in ipairs(p.DBSnapshotIdentifier and { snapshot_of(cloud, ctx, p.DBSnapshotIdentifier) } or managed.sorted(snapshots(cloud,
    ctx))) do
    if (not p.DBInstanceIdentifier or p.DBInstanceIdentifier:lower() == snapshot.DBInstanceIdentifier)
       and (not p.SnapshotType or p.SnapshotType == snapshot.SnapshotType) and (not p.DbiResourceId
         or p.DbiResourceId == snapshot.DbiResourceId) then
      list[#list + 1] = snapshot
    end
  end
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { DBSnapshots = page, Marker = marker }
end

function S.DeleteDBSnapshot(cloud, p, ctx)
  local snapshot = snapshot_of(cloud, ctx, p.DBSnapshotIdentifier)
  if snapshot.SnapshotType ~= "manual" then
    wire.fail("InvalidDBSnapshotState", 400, "Only manual snapshots may be deleted.")
  end
  if snapshot.Status ~= "available" then
    wire.fail("InvalidDBSnapshotState", 400, "Cannot delete the snapshot because it is not currently in the available or failed state.")
  end
  snapshots(cloud, ctx)[snapshot.DBSnapshotIdentifier] = nil
  snapshot.Status = "deleted"
  return { DBSnapshot = snapshot }
end

return S
