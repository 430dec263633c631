--- The nouns of ElastiCache, request by request (see tests/support/noun_lab.lua).
local lab = dofile "tests/support/noun_lab.lua"
local T = require("test").cases()

local TEAM, ADDED = { tags = { team = "shop" } }, { { Key = "team", Value = "shop" } }
local function tagging(arn) return { "elasticache AddTagsToResource", { ResourceName = arn, Tags = ADDED } } end
local function tagged(noun, name) return { TagList = lab.tag_list(noun, name) } end

lab.case(T, {
  noun = "cache_subnet_group", want = { "shop-cache", subnets = { "subnet-1", "subnet-2" } },
  absent = { ["elasticache DescribeCacheSubnetGroups"] = lab.refusal "CacheSubnetGroupNotFoundFault" },
  there = {
    ["elasticache DescribeCacheSubnetGroups"] = { CacheSubnetGroups = { { CacheSubnetGroupName = "shop-cache", ARN = "arn:g",
      Subnets = { { SubnetIdentifier = "subnet-2" }, { SubnetIdentifier = "subnet-1" } } } } },
    ["elasticache ListTagsForResource"] = tagged("cache_subnet_group", "shop-cache"),
  },
  looks = { { "elasticache DescribeCacheSubnetGroups", { CacheSubnetGroupName = "shop-cache" } },
            { "elasticache ListTagsForResource", { ResourceName = "arn:g" } } },
  gone = { ["elasticache ListTagsForResource"] = "CacheSubnetGroupNotFoundFault" },
  create = { { "elasticache CreateCacheSubnetGroup", { CacheSubnetGroupName = "shop-cache", CacheSubnetGroupDescription = "shop-cache",
    SubnetIds = { "subnet-1", "subnet-2" }, Tags = lab.tag_list("cache_subnet_group", "shop-cache") },
    { CacheSubnetGroup = { CacheSubnetGroupName = "shop-cache" } } } },
  change = {
    { "it gets other subnets", want = { subnets = { "subnet-3" } },
      calls = { { "elasticache ModifyCacheSubnetGroup", { CacheSubnetGroupName = "shop-cache", SubnetIds = { "subnet-3" } } } } },
    { "a tag is added", want = TEAM, calls = { tagging "arn:g" } },
  },
  delete = { { "elasticache DeleteCacheSubnetGroup", { CacheSubnetGroupName = "shop-cache" } } },
})

local function policy(value) return { { ParameterName = "maxmemory-policy", ParameterValue = value } } end
local function modify(value)
  return { "elasticache ModifyCacheParameterGroup", { CacheParameterGroupName = "shop-valkey8", ParameterNameValues = policy(value) } }
end

lab.case(T, {
  noun = "cache_parameter_group", want = { "shop-valkey8", family = "valkey8", parameters = { ["maxmemory-policy"] = "noeviction" } },
  absent = { ["elasticache DescribeCacheParameterGroups"] = lab.refusal("CacheParameterGroupNotFound", 404) },
  there = {
    ["elasticache DescribeCacheParameterGroups"] = { CacheParameterGroups = { { CacheParameterGroupName = "shop-valkey8", ARN = "arn:p",
      CacheParameterGroupFamily = "valkey8" } } },
    ["elasticache DescribeCacheParameters"] = { Parameters = policy "noeviction" },
    ["elasticache ListTagsForResource"] = tagged("cache_parameter_group", "shop-valkey8"),
  },
  looks = {
    { "elasticache DescribeCacheParameterGroups", { CacheParameterGroupName = "shop-valkey8" } },
    { "elasticache DescribeCacheParameters", { CacheParameterGroupName = "shop-valkey8", Source = "user" } },
    { "elasticache ListTagsForResource", { ResourceName = "arn:p" } },
  },
  gone = { ["elasticache DescribeCacheParameters"] = "CacheParameterGroupNotFound",
           ["elasticache ListTagsForResource"] = "CacheParameterGroupNotFound" },
  create = {
    { "elasticache CreateCacheParameterGroup", { CacheParameterGroupName = "shop-valkey8", CacheParameterGroupFamily = "valkey8",
      Description = "shop-valkey8", Tags = lab.tag_list("cache_parameter_group", "shop-valkey8") } },
    modify "noeviction",
  },
  change = {
    { "a setting that someone changed is put back", there = { ["elasticache DescribeCacheParameters"] = { Parameters = policy "allkeys-lru" } },
      calls = { modify "noeviction" } },
    { "a tag is added", want = TEAM, calls = { tagging "arn:p" } },
  },
  fixed = { family = "valkey9" },
  delete = { { "elasticache DeleteCacheParameterGroup", { CacheParameterGroupName = "shop-valkey8" } } },
})

local function group(more)
  return { ReplicationGroups = { lab.merged({ ReplicationGroupId = "shop", ARN = "arn:rg", CacheNodeType = "cache.t4g.micro", Engine = "valkey",
    ReplicationGroupCreateTime = 1767323045.25,
    Status = "available", MemberClusters = { "shop-001" }, NodeGroups = { { PrimaryEndpoint = { Address = "c.example", Port = 6379 } } } },
    more or {}) } }
end

local function change(more)
  return { "elasticache ModifyReplicationGroup", lab.merged({ ReplicationGroupId = "shop", ApplyImmediately = true }, more) }
end

local function failover(on) return change { AutomaticFailoverEnabled = on, MultiAZEnabled = on } end

local function replicated(members) return group { MemberClusters = members, AutomaticFailover = "enabled", MultiAZ = "enabled" } end

local function member(more)
  return { CacheClusters = { lab.merged({ CacheClusterId = "shop-001", EngineVersion = "8.0.1", CacheSubnetGroupName = "shop-cache",
    CacheParameterGroup = { CacheParameterGroupName = "shop-valkey8" }, SecurityGroups = { { SecurityGroupId = "sg-1" } } }, more or {}) } }
end

lab.case(T, {
  noun = "replication_group",
  want = { "shop", version = "8.0", node_type = "cache.t4g.micro", subnet_group = "shop-cache", parameter_group = "shop-valkey8",
           groups = { "sg-1" }, auth_token = "marked-token-4417-0000" },
  absent = { ["elasticache DescribeReplicationGroups"] = lab.refusal("ReplicationGroupNotFoundFault", 404) },
  there = {
    ["elasticache DescribeReplicationGroups"] = group(),
    ["elasticache DescribeCacheClusters"] = member(),
    ["elasticache ListTagsForResource"] = tagged("replication_group", "shop"),
  },
  looks = {
    { "elasticache DescribeReplicationGroups", { ReplicationGroupId = "shop" } },
    { "elasticache DescribeCacheClusters", { CacheClusterId = "shop-001" } },
    { "elasticache ListTagsForResource", { ResourceName = "arn:rg" } },
  },
  gone = { ["elasticache DescribeCacheClusters"] = "CacheClusterNotFound",
           ["elasticache ListTagsForResource"] = "ReplicationGroupNotFoundFault" },
  create = { { "elasticache CreateReplicationGroup", {
    ReplicationGroupId = "shop", ReplicationGroupDescription = "shop", Engine = "valkey", EngineVersion = "8.0",
    CacheNodeType = "cache.t4g.micro", NumCacheClusters = 1, AutomaticFailoverEnabled = false, MultiAZEnabled = false,
    CacheSubnetGroupName = "shop-cache", CacheParameterGroupName = "shop-valkey8", SecurityGroupIds = { "sg-1" },
    TransitEncryptionEnabled = true, AtRestEncryptionEnabled = true, AuthToken = "(secret)", Tags = lab.tag_list("replication_group", "shop"),
  }, { ReplicationGroup = { ReplicationGroupId = "shop" } } } },
  change = {
    { "it gets larger nodes", want = { node_type = "cache.m7g.large" }, calls = { change { CacheNodeType = "cache.m7g.large" } } },
    { "it gets another version with its settings", want = { version = "9.0", parameter_group = "shop-valkey9" },
      calls = { change { EngineVersion = "9.0", CacheParameterGroupName = "shop-valkey9" } } },
    { "other groups may connect", want = { groups = { "sg-2" } }, calls = { change { SecurityGroupIds = { "sg-2" } } } },
    { "it gets a replica, to fail over to", want = { replicas = 1 },
      calls = { { "elasticache IncreaseReplicaCount", { ReplicationGroupId = "shop", NewReplicaCount = 1, ApplyImmediately = true } },
                failover(true) } },
    { "it loses a replica", want = { replicas = 1 },
      there = { ["elasticache DescribeReplicationGroups"] = replicated { "shop-001", "shop-002", "shop-003" } },
      calls = { { "elasticache DecreaseReplicaCount", { ReplicationGroupId = "shop", NewReplicaCount = 1, ApplyImmediately = true } } } },
    { "it loses its only replica", there = { ["elasticache DescribeReplicationGroups"] = replicated { "shop-001", "shop-002" } },
      calls = { failover(false),
                { "elasticache DecreaseReplicaCount", { ReplicationGroupId = "shop", NewReplicaCount = 0, ApplyImmediately = true } } } },
    { "someone switched its failover off", want = { replicas = 1 },
      there = { ["elasticache DescribeReplicationGroups"] = group { MemberClusters = { "shop-001", "shop-002" }, MultiAZ = "disabled",
        AutomaticFailover = "disabled" } }, calls = { failover(true) } },
    { "larger nodes that someone ordered for the maintenance window are called off",
      there = { ["elasticache DescribeCacheClusters"] = member { PendingModifiedValues = { CacheNodeType = "cache.m7g.large" } } },
      calls = { change { CacheNodeType = "cache.t4g.micro" } } },
    { "a version that someone ordered for the maintenance window is called off",
      there = { ["elasticache DescribeCacheClusters"] = member { PendingModifiedValues = { EngineVersion = "9.0" } } },
      calls = { change { EngineVersion = "8.0.1" } } },
    { "its description is put back", want = { description = "jobs" }, calls = { change { ReplicationGroupDescription = "jobs" } } },
    { "a tag is added", want = TEAM, calls = { tagging "arn:rg" } },
  },
  fixed = { engine = "redis", subnet_group = "other" },
  delete = { { "elasticache DeleteReplicationGroup", { ReplicationGroupId = "shop", FinalSnapshotIdentifier = "shop-final-20260102-030405" } } },
})

return T
