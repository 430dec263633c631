--- Changes to replication groups.
local catalog = require "rehearsal.services.elasticache.catalog"
local engine = require "rehearsal.services.elasticache.engine"
local groups = require "rehearsal.services.elasticache.replication_groups"
local managed = require "rehearsal.managed"
local wire = require "rehearsal.wire"

local S = {}

--- What happens in the background, in this order.
local function works_of(cloud, p, ctx, rg)
  local works = {}
  local function add(what, fn) works[#works + 1] = { what = what, fn = fn } end
  if p.AuthToken or p.AuthTokenUpdateStrategy == "DELETE" then
    if not rg.TransitEncryptionEnabled then groups._combination "To use an AUTH token, transit encryption must be enabled." end
    local strategy = p.AuthTokenUpdateStrategy or "ROTATE"
    rg.PendingModifiedValues.AuthTokenStatus = strategy == "ROTATE" and "ROTATING" or "SETTING"
    add("AUTH token", function()
      engine.change_token(rg, p.AuthToken, strategy)
      rg.AuthTokenEnabled, rg.AuthTokenLastModifiedDate = strategy ~= "DELETE", cloud.clock:now()
      rg.PendingModifiedValues.AuthTokenStatus = nil
    end)
  end
  if p.EngineVersion or p.Engine then
    local version = catalog._version(p.Engine or rg.Engine, p.EngineVersion)
                    or wire.fail("InvalidParameterValue", 400, "Invalid EngineVersion: %s", tostring(p.EngineVersion))
    local group = groups._parameters(cloud, ctx, p.CacheParameterGroupName or (version.family == rg.parameter_group.family
      and rg.parameter_group.CacheParameterGroupName or nil), version)
    add("engine version", function() rg.version, rg.Engine, rg.parameter_group = version, version.engine, group engine.apply(rg) end)
  elseif p.CacheParameterGroupName then
    local group = groups._parameters(cloud, ctx, p.CacheParameterGroupName, rg.version)
    add("cache parameter group", function() rg.parameter_group = group engine.apply(rg) end)
  end
  if p.CacheNodeType then
    if not catalog._memory(p.CacheNodeType) then wire.fail("InvalidParameterValue", 400, "Invalid CacheNodeType: %s", p.CacheNodeType) end
    add("cache node type", function() rg.CacheNodeType = p.CacheNodeType engine.apply(rg) end)
  end
  return works
end

local function must_be_available(rg)
  if rg.Status == "available" then return end
  wire.fail("InvalidReplicationGroupState", 400, "Replication group %s has status %s which is not valid for modification.",
    rg.ReplicationGroupId, rg.Status)
end

local function do_works(cloud, ctx, rg, works)
  rg.Status = "modifying"
  cloud:after(60, function()
    if not groups._is_alive(cloud, ctx, rg) then return end
    for _, work in ipairs(works) do
      work.fn()
      groups._event(cloud, ctx, rg, "Finished changing the %s of %s", work.what, rg.ReplicationGroupId)
    end
    rg.Status = "available"
  end)
end

function S.ModifyReplicationGroup(cloud, p, ctx)
  if p.AuthToken then p.AuthToken = groups._token(p.AuthToken) end
  local rg = groups._group(cloud, ctx, p.ReplicationGroupId)
  must_be_available(rg)
  if p.AutomaticFailoverEnabled and #rg.MemberClusters < 2 then
    groups._combination "When using automatic failover, there must be at least 2 cache clusters in the replication group."
  end
  if p.TransitEncryptionEnabled ~= nil and p.TransitEncryptionEnabled ~= rg.TransitEncryptionEnabled then
    groups._combination "The rehearsal cloud does not change transit encryption of a running replication group."
  end
  local works = works_of(cloud, p, ctx, rg)
  if p.SecurityGroupIds then
    rg.security_groups = groups._security_groups(cloud, ctx, rg.subnet_group.VpcId, p.SecurityGroupIds)
    managed.regroup(cloud, ctx, rg.place, p.SecurityGroupIds)
  end
  rg.Description = p.ReplicationGroupDescription or rg.Description
  rg.SnapshotRetentionLimit, rg.SnapshotWindow = p.SnapshotRetentionLimit or rg.SnapshotRetentionLimit, p.SnapshotWindow or rg.SnapshotWindow
  rg.maintenance = p.PreferredMaintenanceWindow or rg.maintenance
  if p.AutoMinorVersionUpgrade ~= nil then rg.AutoMinorVersionUpgrade = p.AutoMinorVersionUpgrade end
  if p.AutomaticFailoverEnabled ~= nil then rg.AutomaticFailover = p.AutomaticFailoverEnabled and "enabled" or "disabled" end
  if p.MultiAZEnabled ~= nil then rg.MultiAZ = p.MultiAZEnabled and "enabled" or "disabled" end
  for _, name in ipairs { "CacheNodeType", "EngineVersion" } do
    if p[name] then rg.later[name] = not p.ApplyImmediately and p[name] or nil end  -- else in a maintenance window, which does not come
  end
  if #works > 0 and p.ApplyImmediately then do_works(cloud, ctx, rg, works) end
  return { ReplicationGroup = rg }
end

local function resized(cloud, p, ctx, count)
  local rg = groups._group(cloud, ctx, p.ReplicationGroupId)
  must_be_available(rg)
  local before = #rg.MemberClusters - 1
  if count(rg, before) then
    do_works(cloud, ctx, rg, { { what = "number of replicas", fn = function() groups._resize(rg, p.NewReplicaCount + 1) end } })
  end
  return { ReplicationGroup = rg }
end

function S.IncreaseReplicaCount(cloud, p, ctx)
  return resized(cloud, p, ctx, function(_, before)
    if (p.NewReplicaCount or 0) > 5 then groups._combination "A node group has 5 replicas at most." end
    if (p.NewReplicaCount or 0) <= before then
      wire.fail("InvalidParameterValue", 400, "NewReplicaCount must be greater than the current number of replicas, %d.", before)
    end
    return true
  end)
end

function S.DecreaseReplicaCount(cloud, p, ctx)
  return resized(cloud, p, ctx, function(rg, before)
    if (p.NewReplicaCount or before) >= before then
      wire.fail("InvalidParameterValue", 400, "NewReplicaCount must be less than the current number of replicas, %d.", before)
    elseif p.NewReplicaCount == 0 and rg.AutomaticFailover == "enabled" then
      groups._combination "A replication group with automatic failover needs one replica at least."
    end
    return true
  end)
end

return S
