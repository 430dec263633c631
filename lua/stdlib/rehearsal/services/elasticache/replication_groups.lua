--- Replication groups with one node group, and their cache clusters.
local catalog = require "rehearsal.services.elasticache.catalog"
local engine = require "rehearsal.services.elasticache.engine"
local fs = require "fs"
local groups = require "rehearsal.services.elasticache.groups"
local log = require "log"
local managed = require "rehearsal.managed"
local secret = require "secret"
local sign = require "sign"
local snapshots = require "rehearsal.services.elasticache.snapshots"
local wire = require "rehearsal.wire"

local S = {}

local function all_groups(cloud, ctx) return managed.table_of(cloud, ctx, "elasticache", "replication_groups") end

function S._group(cloud, ctx, name)
  return all_groups(cloud, ctx)[name:lower()] or wire.fail("ReplicationGroupNotFoundFault", 404, "ReplicationGroup %s not found.", name)
end

function S._event(cloud, ctx, rg, fmt, ...)
  managed.event(cloud, ctx, "elasticache", { SourceIdentifier = rg.ReplicationGroupId, SourceType = "replication-group",
    Message = fmt:format(...) })
end

function S._is_alive(cloud, ctx, rg) return all_groups(cloud, ctx)[rg.ReplicationGroupId] == rg and rg.Status ~= "deleting" end

local function combination(fmt, ...) wire.fail("InvalidParameterCombination", 400, fmt, ...) end
local function value(fmt, ...) wire.fail("InvalidParameterValue", 400, fmt, ...) end
S._combination = combination

--- The AUTH token as a secret, checked as ElastiCache does.
function S._token(token)
  if secret.is(token) then return token end
  if #token < 16 or #token > 128 or not token:find "^[%w!&#%$%^<>%-]+$" then
    value("Invalid AuthToken provided. It must have 16 to 128 printable characters; of the special ones only "
      .. "!, &, #, $, ^, <, >, and - are permitted.")
  end
  return secret.new(token)
end

function S._security_groups(cloud, ctx, vpc, ids)
  local list = {}
  for i, id in ipairs(managed.security_groups(cloud, ctx, vpc, ids, value)) do list[i] = { SecurityGroupId = id, Status = "active" } end
  return list
end

--- The default parameter group of a version, or the one named.
function S._parameters(cloud, ctx, name, version)
  local group = groups._parameter_group(cloud, ctx, name or "default." .. version.family)
  if group.family ~= version.family then
    combination("Expected a parameter group of family %s but found one of family %s", version.family, group.family)
  end
  return group
end

local function count_of(p)
  if p.NumNodeGroups and p.NumNodeGroups > 1 then combination "The rehearsal cloud runs replication groups of one node group only." end
  return p.NumCacheClusters or (p.ReplicasPerNodeGroup and p.ReplicasPerNodeGroup + 1) or 1
end

local function check(p, version, count)
  if not catalog._memory(p.CacheNodeType or "") then value("Invalid CacheNodeType: %s", tostring(p.CacheNodeType)) end
  if count < 1 or count > 6 then value("The number of cache clusters must be between 1 and 6.") end
  if p.AutomaticFailoverEnabled and count < 2 then
    combination "When using automatic failover, there must be at least 2 cache clusters in the replication group."
  end
  if p.MultiAZEnabled and not p.AutomaticFailoverEnabled then combination "Multi-AZ requires automatic failover to be enabled." end
  if p.AuthToken and not p.TransitEncryptionEnabled then combination "To use an AUTH token, transit encryption must be enabled." end
  if p.TransitEncryptionMode and not p.TransitEncryptionEnabled then combination "TransitEncryptionMode needs TransitEncryptionEnabled." end
  if p.TransitEncryptionMode == "preferred" then combination "Transit encryption mode preferred can be set only by a modification." end
  if p.AtRestEncryptionEnabled == false and version.engine == "valkey" and p.KmsKeyId then combination "A KMS key needs encryption at rest." end
end

local function endpoints(rg, address)
  local endpoint = { Address = address, Port = rg.port }
  local node_group = rg.NodeGroups[1]
  node_group.PrimaryEndpoint, node_group.ReaderEndpoint = endpoint, endpoint
  for _, member in ipairs(node_group.NodeGroupMembers) do member.ReadEndpoint = endpoint end
end

local function launch(cloud, ctx, rg)
  local began = cloud.clock:now()
  local address = engine.place(cloud, ctx, rg)
  local ok, e = pcall(engine.start, cloud, rg)
  if not ok then
    if type(e) == "table" and e.kind == "cancelled" then error(e, 0) end
    log.warn("the rehearsal could not start the replication group %s: %s", rg.ReplicationGroupId, tostring(e))
    rg.Status = "create-failed"
    return S._event(cloud, ctx, rg, "Replication group creation failed: %s", tostring(e))
  end
  cloud.clock:sleep(math.max(0, began + 240 - cloud.clock:now()))
  if not S._is_alive(cloud, ctx, rg) then return end
  endpoints(rg, address)
  rg.NodeGroups[1].Status, rg.Status = "available", "available"
  S._event(cloud, ctx, rg, "Replication group %s created", rg.ReplicationGroupId)
  if not cloud.servers then return end
  S._event(cloud, ctx, rg, "The rehearsal runs %s for the %s %s that was asked for%s", engine.installed(), rg.Engine, rg.version.version,
           #rg.MemberClusters > 1 and "; its replicas are records, read from the primary" or "")
end

local function members(id, count, zones)
  local list, names = {}, {}
  for i = 1, count do
    names[i] = ("%s-%03d"):format(id, i)
    list[i] = { CacheClusterId = names[i], CacheNodeId = "0001", PreferredAvailabilityZone = zones[(i - 1) % #zones + 1],
                CurrentRole = i == 1 and "primary" or "replica" }
  end
  return list, names
end

--- Adds or takes away members, which are records.
function S._resize(rg, count)
  local zones = {}
  for i, subnet in ipairs(rg.subnet_group.Subnets) do zones[i] = subnet.SubnetAvailabilityZone.Name end
  local endpoint = rg.NodeGroups[1].PrimaryEndpoint
  rg.NodeGroups[1].NodeGroupMembers, rg.MemberClusters = members(rg.ReplicationGroupId, count, zones)
  for _, member in ipairs(rg.NodeGroups[1].NodeGroupMembers) do member.ReadEndpoint = endpoint end
end

function S.CreateReplicationGroup(cloud, p, ctx)
  if p.AuthToken then p.AuthToken = S._token(p.AuthToken) end
  local id = catalog._check_name(p.ReplicationGroupId, "ReplicationGroupId", 40)
  local kind = p.Engine or "redis"
  if kind ~= "valkey" and kind ~= "redis" then value("Invalid Engine value: %s", kind) end
  local version = catalog._version(kind, p.EngineVersion) or value("Invalid EngineVersion: %s for engine %s", tostring(p.EngineVersion), kind)
  local count = count_of(p)
  check(p, version, count)
  if all_groups(cloud, ctx)[id] then
    wire.fail("ReplicationGroupAlreadyExists", 400, "Replication group %s already exists.", id)
  end
  local parameter_group = S._parameters(cloud, ctx, p.CacheParameterGroupName, version)
  local subnet_group = groups._subnet_group(cloud, ctx, p.CacheSubnetGroupName or "default")
  local security_groups = S._security_groups(cloud, ctx, subnet_group.VpcId, p.SecurityGroupIds)
  local zones = {}
  for i, subnet in ipairs(subnet_group.Subnets) do zones[i] = subnet.SubnetAvailabilityZone.Name end
  local node_members, names = members(id, count, p.PreferredCacheClusterAZs or zones)
  local at_rest = p.AtRestEncryptionEnabled
  if at_rest == nil then at_rest = kind == "valkey" end
  local rg = {
    ReplicationGroupId = id, Description = p.ReplicationGroupDescription, Status = "creating", PendingModifiedValues = {}, later = {},
    MemberClusters = names,
    NodeGroups = { { NodeGroupId = "0001", Status = "creating", NodeGroupMembers = node_members } },
    AutomaticFailover = p.AutomaticFailoverEnabled and "enabled" or "disabled", MultiAZ = p.MultiAZEnabled and "enabled" or "disabled",
    SnapshotRetentionLimit = p.SnapshotRetentionLimit or 0, SnapshotWindow = p.SnapshotWindow or "06:00-07:00", ClusterEnabled = false,
    CacheNodeType = p.CacheNodeType, AuthTokenEnabled = p.AuthToken ~= nil, AuthTokenLastModifiedDate = p.AuthToken and cloud.clock:now() or nil,
    TransitEncryptionEnabled = p.TransitEncryptionEnabled or false, AtRestEncryptionEnabled = at_rest, KmsKeyId = p.KmsKeyId,
    TransitEncryptionMode = p.TransitEncryptionEnabled and "required" or nil, ARN = cloud:arn("elasticache", ctx.region, "replicationgroup:" .. id),
    UserGroupIds = {}, LogDeliveryConfigurations = {}, ReplicationGroupCreateTime = cloud.clock:now(), DataTiering = "disabled",
    AutoMinorVersionUpgrade = p.AutoMinorVersionUpgrade ~= false, NetworkType = "ipv4", IpDiscovery = "ipv4", ClusterMode = "disabled",
      Engine = kind,
    MemberClustersOutpostArns = {}, maintenance = p.PreferredMaintenanceWindow or "sun:08:00-sun:09:00",
    tags = managed.tags(p.Tags), version = version, parameter_group = parameter_group, subnet_group = subnet_group,
      security_groups = security_groups,
    password = p.AuthToken, port = p.Port or 6379, dir = fs.join(cloud.dir, "cache-" .. sign.hex(sign.random(4))),
  }
  all_groups(cloud, ctx)[id] = rg
  cloud:after(1, function() launch(cloud, ctx, rg) end)
  return { ReplicationGroup = rg }
end

function S.DescribeReplicationGroups(cloud, p, ctx)
  local list = p.ReplicationGroupId and { S._group(cloud, ctx, p.ReplicationGroupId) } or managed.sorted(all_groups(cloud, ctx))
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { ReplicationGroups = page, Marker = marker }
end

local function cluster(cloud, ctx, rg, member, with_nodes)
  local nodes = with_nodes and { { CacheNodeId = "0001", CacheNodeStatus = rg.Status, CacheNodeCreateTime = rg.ReplicationGroupCreateTime,
    ParameterGroupStatus = "in-sync", CustomerAvailabilityZone = member.PreferredAvailabilityZone, Endpoint = member.ReadEndpoint } } or nil
  return {
    CacheClusterId = member.CacheClusterId, CacheNodeType = rg.CacheNodeType, Engine = rg.Engine, EngineVersion = rg.version.shown,
    CacheClusterStatus = rg.Status, NumCacheNodes = 1, PreferredAvailabilityZone = member.PreferredAvailabilityZone,
    CacheClusterCreateTime = rg.ReplicationGroupCreateTime, PreferredMaintenanceWindow = rg.maintenance, PendingModifiedValues = rg.later,
    CacheSecurityGroups = {}, CacheParameterGroup = { CacheParameterGroupName = rg.parameter_group.CacheParameterGroupName,
      ParameterApplyStatus = "in-sync", CacheNodeIdsToReboot = {} }, CacheSubnetGroupName = rg.subnet_group.CacheSubnetGroupName,
        CacheNodes = nodes,
    AutoMinorVersionUpgrade = rg.AutoMinorVersionUpgrade, SecurityGroups = rg.security_groups, ReplicationGroupId = rg.ReplicationGroupId,
    SnapshotRetentionLimit = rg.SnapshotRetentionLimit, SnapshotWindow = rg.SnapshotWindow, AuthTokenEnabled = rg.AuthTokenEnabled,
    AuthTokenLastModifiedDate = rg.AuthTokenLastModifiedDate, TransitEncryptionEnabled = rg.TransitEncryptionEnabled,
    AtRestEncryptionEnabled = rg.AtRestEncryptionEnabled, ARN = cloud:arn("elasticache", ctx.region, "cluster:" .. member.CacheClusterId),
    ReplicationGroupLogDeliveryEnabled = false, LogDeliveryConfigurations = {}, NetworkType = "ipv4", IpDiscovery = "ipv4",
    TransitEncryptionMode = rg.TransitEncryptionMode,
  }
end

function S.DescribeCacheClusters(cloud, p, ctx)
  local list = {}
  for _, rg in ipairs(p.ShowCacheClustersNotInReplicationGroups and {} or managed.sorted(all_groups(cloud, ctx))) do
    for _, member in ipairs(rg.NodeGroups[1].NodeGroupMembers) do
      if not p.CacheClusterId or p.CacheClusterId:lower() == member.CacheClusterId then
        list[#list + 1] = cluster(cloud, ctx, rg, member, p.ShowCacheNodeInfo)
      end
    end
  end
  if p.CacheClusterId and #list == 0 then wire.fail("CacheClusterNotFound", 404, "CacheCluster not found: %s", p.CacheClusterId) end
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { CacheClusters = page, Marker = marker }
end

function S.DeleteReplicationGroup(cloud, p, ctx)
  local rg = S._group(cloud, ctx, p.ReplicationGroupId)
  if rg.Status ~= "available" and rg.Status ~= "create-failed" then
    wire.fail("InvalidReplicationGroupState", 400, "Replication group %s has status %s which is not valid for deletion.", rg.ReplicationGroupId,
      rg.Status)
  end
  if p.RetainPrimaryCluster then combination "The rehearsal cloud does not keep a primary cluster without its group." end
  if p.FinalSnapshotIdentifier then
    if rg.Status ~= "available" then
      wire.fail("InvalidReplicationGroupState", 400, "A final snapshot cannot be taken of a replication group that is %s.", rg.Status)
    end
    snapshots._take(cloud, ctx, rg, p.FinalSnapshotIdentifier)
  end
  rg.Status = "deleting"
  cloud:after(120, function()
    engine.remove(cloud, ctx, rg)
    S._event(cloud, ctx, rg, "Replication group %s deleted", rg.ReplicationGroupId)
    all_groups(cloud, ctx)[rg.ReplicationGroupId] = nil
  end)
  return { ReplicationGroup = rg }
end

--- Ends the servers of a cloud that stops.
function S._stop(cloud)
  for key, store in pairs(cloud.state) do
    for _, rg in pairs(key:find "^elasticache/" and store.replication_groups or {}) do
      local ok, e = pcall(engine.stop, rg)
      if not ok then log.warn("the rehearsal could not stop %s: %s", rg.ReplicationGroupId, tostring(e)) end
    end
  end
end

return S
