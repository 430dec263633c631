--- Snapshots of replication groups. The rehearsal keeps the record of a snapshot, not its data.
local catalog = require "rehearsal.services.elasticache.catalog"
local managed = require "rehearsal.managed"
local wire = require "rehearsal.wire"

local S = {}

local function snapshots(cloud, ctx) return managed.table_of(cloud, ctx, "elasticache", "snapshots") end

local function snapshot_of(cloud, ctx, name)
  return snapshots(cloud, ctx)[name:lower()] or wire.fail("SnapshotNotFoundFault", 404, "%s is either not present or not available.", name)
end

--- Takes a snapshot of a group: its record is there at once, and available a little later.
function S._take(cloud, ctx, rg, name, tags)
  name = catalog._check_name(name, "SnapshotName", 255)
  if snapshots(cloud, ctx)[name] then
    wire.fail("SnapshotAlreadyExistsFault", 400, "Snapshot with specified name already exists: %s", name)
  end
  local primary = rg.NodeGroups[1].NodeGroupMembers[1]
  local snapshot = {
    SnapshotName = name, ReplicationGroupId = rg.ReplicationGroupId, ReplicationGroupDescription = rg.Description, SnapshotStatus = "creating",
    SnapshotSource = "manual", CacheNodeType = rg.CacheNodeType, Engine = rg.Engine, EngineVersion = rg.version.shown, NumNodeGroups = 1,
    PreferredMaintenanceWindow = rg.maintenance, Port = rg.port, CacheParameterGroupName = rg.parameter_group.CacheParameterGroupName,
    CacheSubnetGroupName = rg.subnet_group.CacheSubnetGroupName, VpcId = rg.subnet_group.VpcId, AutoMinorVersionUpgrade = rg.AutoMinorVersionUpgrade,
    SnapshotRetentionLimit = rg.SnapshotRetentionLimit, SnapshotWindow = rg.SnapshotWindow, AutomaticFailover = rg.AutomaticFailover,
    KmsKeyId = rg.KmsKeyId, DataTiering = "disabled", ARN = cloud:arn("elasticache", ctx.region, "snapshot:" .. name), tags = managed.tags(tags),
    NodeSnapshots = { { CacheClusterId = primary.CacheClusterId, NodeGroupId = "0001", CacheNodeId = "0001",
                        CacheNodeCreateTime = rg.ReplicationGroupCreateTime, SnapshotCreateTime = cloud.clock:now() } },
  }
  snapshots(cloud, ctx)[name] = snapshot
  cloud:after(60, function() snapshot.SnapshotStatus = "available" end)
  return snapshot
end

function S.CreateSnapshot(cloud, p, ctx)
  local groups = require "rehearsal.services.elasticache.replication_groups"
  if not p.ReplicationGroupId then
    wire.fail("InvalidParameterCombination", 400, "The rehearsal cloud takes snapshots of replication groups: give ReplicationGroupId.")
  end
  local rg = groups._group(cloud, ctx, p.ReplicationGroupId)
  if rg.Status ~= "available" then
    wire.fail("InvalidReplicationGroupState", 400, "Replication group %s is not in available state.", rg.ReplicationGroupId)
  end
  return { Snapshot = S._take(cloud, ctx, rg, p.SnapshotName, p.Tags) }
end

function S.DescribeSnapshots(cloud, p, ctx)
  local list = {}
  for _, snapshot in ipairs(p.SnapshotName and { snapshot_of(cloud, ctx, p.SnapshotName) } or managed.sorted(snapshots(cloud, ctx))) do
    if (not p.ReplicationGroupId or p.ReplicationGroupId:lower() == snapshot.ReplicationGroupId) and p.SnapshotSource ~= "system" then
      list[#list + 1] = snapshot
    end
  end
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords or 50)
  return { Snapshots = page, Marker = marker }
end

function S.DeleteSnapshot(cloud, p, ctx)
  local snapshot = snapshot_of(cloud, ctx, p.SnapshotName)
  if snapshot.SnapshotStatus ~= "available" then
    wire.fail("InvalidSnapshotState", 400, "Snapshot %s is not in available state.", snapshot.SnapshotName)
  end
  snapshots(cloud, ctx)[snapshot.SnapshotName] = nil
  snapshot.SnapshotStatus = "deleting"
  return { Snapshot = snapshot }
end

return S
