--- An ElastiCache replication group: Valkey with TLS and a token, encrypted on disk.
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "ReplicationGroupNotFoundFault ReplicationGroupNotFound"

local look = noun.reader(GONE, function(name)
  local group = aws.elasticache:describe_replication_groups({ ReplicationGroupId = name }).ReplicationGroups[1]
  if not group then return nil end
  local current = {
    id = group.ReplicationGroupId, arn = group.ARN, node_type = group.CacheNodeType, engine = group.Engine, state = group.Status,
    created = group.ReplicationGroupCreateTime,
    replicas = math.max(0, #(group.MemberClusters or {}) - 1), nodes = group.MemberClusters or {},
    deleting = group.Status == "deleting" or nil,
    pending = next(group.PendingModifiedValues or {}) ~= nil,
  }
  local endpoint = group.NodeGroups and group.NodeGroups[1] and group.NodeGroups[1].PrimaryEndpoint
  if endpoint then current.endpoint, current.port = endpoint.Address, endpoint.Port end
  current.description = group.Description
  current.fails_over = group.AutomaticFailover == "enabled" and group.MultiAZ == "enabled"
  if current.deleting then return current end
  local member = current.nodes[1] and noun.found("CacheClusterNotFound CacheClusterNotFoundFault", aws.elasticache.describe_cache_clusters,
    aws.elasticache, { CacheClusterId = current.nodes[1] })
  local cluster = member and member.CacheClusters[1]
  if cluster then                                            -- what the group itself does not tell
    local later = cluster.PendingModifiedValues or {}        -- waits for a maintenance window, unless it is called off
    current.node_type = later.CacheNodeType or current.node_type
    current.version, current.installed, current.subnet_group, current.groups =
      later.EngineVersion or cluster.EngineVersion, cluster.EngineVersion, cluster.CacheSubnetGroupName, {}
    current.parameter_group = cluster.CacheParameterGroup and cluster.CacheParameterGroup.CacheParameterGroupName
    for i, g in ipairs(cluster.SecurityGroups or {}) do current.groups[i] = g.SecurityGroupId end
  end
  current.tags = noun.tag_map(noun.found("InvalidReplicationGroupState InvalidReplicationGroupStateFault",
    function() return aws.elasticache:list_tags_for_resource({ ResourceName = group.ARN }).TagList end))
  return current
end)

--- With replicas it fails over by itself: without that, they are only half of what was asked for.
local function same_replicas(want, have, _, current)
  if want ~= have then return false end
  if want == 0 or current.fails_over then return true end
  return false, ("%d, and it does not fail over"):format(have), want
end

local function wait(id, ctx)
  return noun.wait(ctx, "it is not available", ctx.timeout, function()
    local group = look(id) or errors.raise { kind = "not_found", message = "it is gone" }
    if group.state == "create-failed" then
      errors.raise { kind = "remote", message = "its creation failed: " .. (ctx.event() or "its events in the ElastiCache console say why") }
    end
    if group.state == "available" and not group.pending then return group end
    return nil, group.state
  end)
end

local function set_failover(id, on, ctx)
  wait(id, ctx)
  aws.elasticache:modify_replication_group { ReplicationGroupId = id, ApplyImmediately = true, AutomaticFailoverEnabled = on, MultiAZEnabled = on }
end

local function set_replicas(current, count, ctx)
  if count == 0 and current.fails_over then set_failover(current.id, false, ctx) end
  local args = { ReplicationGroupId = current.id, NewReplicaCount = count, ApplyImmediately = true }
  if count ~= current.replicas then wait(current.id, ctx) end
  if count > current.replicas then aws.elasticache:increase_replica_count(args)
  elseif count < current.replicas then aws.elasticache:decrease_replica_count(args) end
  if count > 0 and not current.fails_over then set_failover(current.id, true, ctx) end
end

--- The same name however often it is asked for, and another one for each group that ever had this id.
local function final_snapshot(current, ctx)
  if not ctx.final_snapshot or current.state == "creating" or current.state == "create-failed" then return nil end
  return ("%s-final-%s"):format(current.id, os.date("!%Y%m%d-%H%M%S", math.floor(current.created)))
end

return recipe.kind {
  name = "aws.replication_group",
  options = {
    { "engine", "valkey or redis", type = "string", default = "valkey", one_of = { "valkey", "redis" } },
    { "version", "8.0, 9.0, ...", type = "string", required = true },
    { "node_type", "cache.t4g.micro, ...", type = "string", required = true },
    { "replicas", "copies beside the primary; with one, it fails over by itself", type = "integer", default = 0 },
    { "subnet_group", "name of the cache subnet group", type = "string", required = true },
    { "parameter_group", "name of the cache parameter group", type = "string" },
    { "groups", "security groups or their ids", type = "list", required = true },
    { "auth_token", "16 to 128 letters, digits and !&#$^<>-", type = "secret", required = true },
    { "description", "what it is for", type = "string" },
    { "final_snapshot", "when it is deleted, ElastiCache keeps a snapshot of it", type = "boolean", default = true },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "endpoint", "port", "nodes" }, fixed = { "engine", "subnet_group" }, summary = { "engine", "version", "node_type", "replicas" },
  idempotent = true, timeout = 5400,
  compare = {
    tags = "given", groups = "set", version = noun.same_version, replicas = same_replicas, auth_token = "ignore", final_snapshot = "ignore",
  },

  read = function(spec) return look(spec.name) end,

  event = function(id, since) return noun.last_event(aws.elasticache, id, "replication-group", since) end,

  create = function(spec, ctx)
    return aws.elasticache:create_replication_group({
      ReplicationGroupId = spec.name, ReplicationGroupDescription = spec.description or spec.name, Engine = spec.engine,
      EngineVersion = spec.version, CacheNodeType = spec.node_type, NumCacheClusters = spec.replicas + 1,
      AutomaticFailoverEnabled = spec.replicas > 0, MultiAZEnabled = spec.replicas > 0, CacheSubnetGroupName = spec.subnet_group,
      CacheParameterGroupName = spec.parameter_group, SecurityGroupIds = noun.ids(spec.groups), TransitEncryptionEnabled = true,
      AtRestEncryptionEnabled = true, AuthToken = spec.auth_token, Tags = noun.tags(spec, ctx),
    }).ReplicationGroup.ReplicationGroupId
  end,

  ready = function(current, ctx)
    if current.state == "available" and not current.pending then return nil end
    return wait(current.id, ctx)
  end,

  update = function(spec, current, changes, ctx)
    local is_installed = changes.version and noun.same_version(spec.version, current.installed)
    if changes.node_type or changes.version or changes.parameter_group or changes.groups or changes.description then
      aws.elasticache:modify_replication_group {
        ReplicationGroupId = current.id, ApplyImmediately = true, CacheNodeType = changes.node_type and spec.node_type,
        EngineVersion = changes.version and (is_installed and current.installed or spec.version),
        CacheParameterGroupName = changes.parameter_group and spec.parameter_group,
        SecurityGroupIds = changes.groups and noun.ids(spec.groups),
        ReplicationGroupDescription = changes.description and spec.description,
      }
    end
    if changes.replicas then set_replicas(current, spec.replicas, ctx) end
    if changes.tags then aws.elasticache:add_tags_to_resource { ResourceName = current.arn, Tags = noun.tag_list(spec.tags) } end
  end,

  leaves = function(current, ctx)
    local name = final_snapshot(current, ctx)
    return name and { {
      what = ("the final snapshot %s of the cache %s"):format(name, current.id),
      cost = "ElastiCache bills what it holds, at about 0.09 $ per GB and month",
      restore = ("aws elasticache create-replication-group --replication-group-id %s --snapshot-name %s ..."):format(current.id, name),
      delete = "aws elasticache delete-snapshot --snapshot-name " .. name,
    } }
  end,

  delete = function(current, ctx)
    local name = final_snapshot(current, ctx)
    noun.delete(GONE, function()
      local ok, e = pcall(aws.elasticache.delete_replication_group, aws.elasticache,
        { ReplicationGroupId = current.id, FinalSnapshotIdentifier = name })
      if ok then return end
      if errors.is(e, "remote") and (e.code == "SnapshotAlreadyExistsFault" or e.code == "SnapshotAlreadyExists") then
        local group = look(current.id)
        if not group or group.deleting then return end       -- an earlier call that nobody heard the answer of
        e.hint = ("an earlier deletion took it and went no further: delete it (aws elasticache delete-snapshot --snapshot-name %s), "
          .. "then destroy again"):format(name)
      end
      error(e, 0)
    end)
  end,
}
