--- ElastiCache in the rehearsal, asked by boto3 and reached by redis-cli.
local test = require "test"
local fs = require "fs"
local json = require "json"
local lab = dofile "tests/support/vpc_lab.lua"
local process = require "process"
local task = require "task"

local T = test.cases()

local SETUP = [==[
ids = json.loads(sys.argv[1])
ec = boto3.client("elasticache")
def group(): return ec.describe_replication_groups(ReplicationGroupId="shop")["ReplicationGroups"][0]
def status(): return group()["Status"]
]==]

local function ask(c, ids, code) return lab.python(c, SETUP .. code, { json.encode(ids) }) end

local TOKEN = "Sixteen-or-more-chars"

--- What redis-cli says; who is kept out would wait for ever, and is given up after so many seconds.
local function cli(c, prefix, address, command, token, patience)
  return process.run { "timeout", patience or "60", "redis-cli", "-h", address, "--tls", "--cacert", c.ca.file, prefix = prefix,
    stdin = command .. "\n", timeout = 90,
    env = { PATH = os.getenv "PATH", REDISCLI_AUTH = token or TOKEN } }
end

T["a replication group is a redis-server in the VPC, with TLS, AUTH and its parameters"] = function()
  local c, ids = lab.start(6379)
  local states = lab.states(c, function()
    local group = (c:store("elasticache", "us-east-1").replication_groups or {}).shop
    return group and group.Status
  end)
  lab.held(c, function() ask(c, ids, [==[
ec.create_cache_subnet_group(CacheSubnetGroupName="Shop", CacheSubnetGroupDescription="d", SubnetIds=ids["subnets"])
ec.create_cache_parameter_group(CacheParameterGroupName="shop8", CacheParameterGroupFamily="valkey8", Description="d")
ec.modify_cache_parameter_group(CacheParameterGroupName="shop8", ParameterNameValues=[{"ParameterName": "maxmemory-policy", "ParameterValue": "noeviction"}])
rg = ec.create_replication_group(ReplicationGroupId="Shop", ReplicationGroupDescription="d", Engine="valkey", EngineVersion="8.0",
  CacheNodeType="cache.t4g.micro", NumCacheClusters=2, AutomaticFailoverEnabled=True, CacheSubnetGroupName="shop", SecurityGroupIds=[ids["store"]],
  CacheParameterGroupName="shop8", TransitEncryptionEnabled=True, AtRestEncryptionEnabled=True, AuthToken="Sixteen-or-more-chars",
  Tags=[{"Key": "a", "Value": "b"}])["ReplicationGroup"]
assert rg["Status"] == "creating" and "PrimaryEndpoint" not in rg["NodeGroups"][0]
assert code_of(ec.delete_replication_group, ReplicationGroupId="shop") == "InvalidReplicationGroupState"
]==]) end)
  local address = ask(c, ids, [==[
wait_for(status, "available")
clusters = ec.describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]
assert [(x["CacheClusterId"], x["EngineVersion"][:3]) for x in clusters] == [("shop-001", "8.0"), ("shop-002", "8.0")], clusters
assert clusters[0]["CacheNodes"][0]["Endpoint"] == group()["NodeGroups"][0]["PrimaryEndpoint"]
print(group()["NodeGroups"][0]["PrimaryEndpoint"]["Address"])
]==]):match "[%d.]+"
  test.equal(states(), { "creating", "available" })
  local app = lab.host(c, ids, "10.77.1.200", "app")
  local function run(command, token) return cli(c, app.prefix, address, command, token).stdout:gsub("%s+$", "") end
  test.equal(run "SET k v", "OK")
  test.match(run "INFO memory", "maxmemory_policy:noeviction")
  test.match(run "INFO memory", "maxmemory:402653184")
  test.match(run "CONFIG GET maxmemory", "unknown command")
  test.match(run("GET k", "wrong-token-wrong-token"), "NOAUTH")
  local plain = process.run { "timeout", "3", "redis-cli", "-h", address, prefix = app.prefix, stdin = "PING\n", timeout = 300 }
  test.truthy(not plain.stdout:find "PONG", "without TLS nobody answers")
  if c.net.isolated then
    local other = lab.host(c, ids, "10.77.1.201", "other")
    test.truthy(not cli(c, other.prefix, address, "GET k", nil, "3").stdout:find "v", "a stranger in the VPC is kept out")
    test.truthy(not cli(c, nil, address, "GET k", nil, "3").stdout:find "v", "the internet is kept out")
  end
  test.equal(ask(c, ids, [==[
ec.modify_replication_group(ReplicationGroupId="shop", AuthToken="Another-token-of-mine", AuthTokenUpdateStrategy="ROTATE", ApplyImmediately=True)
wait_for(status, "available")
ec.modify_cache_parameter_group(CacheParameterGroupName="shop8", ParameterNameValues=[
  {"ParameterName": "maxmemory-policy", "ParameterValue": "allkeys-lru"}, {"ParameterName": "notify-keyspace-events", "ParameterValue": "Ex"}])
print(group()["AuthTokenEnabled"], group()["AtRestEncryptionEnabled"])
]==]), "True True\n")
  test.equal(states(), { "creating", "available", "modifying", "available" })
  test.equal(run "GET k", "v")
  test.equal(run("GET k", "Another-token-of-mine"), "v")
  local policy                            -- it follows a while later
  local deadline = task.now() + 120
  repeat policy = run "INFO memory":match "maxmemory_policy:(%S+)" until policy == "allkeys-lru" or task.now() > deadline
  test.equal(policy, "allkeys-lru")
  test.equal(ask(c, ids, [==[
ec.modify_replication_group(ReplicationGroupId="shop", AuthToken="Another-token-of-mine", AuthTokenUpdateStrategy="SET", ApplyImmediately=True)
wait_for(status, "available")
arn = group()["ARN"]
ec.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "c", "Value": "d"}])
ec.remove_tags_from_resource(ResourceName=arn, TagKeys=["a"])
print(ec.list_tags_for_resource(ResourceName=arn)["TagList"])
]==]), "[{'Key': 'c', 'Value': 'd'}]\n")
  test.match(run "GET k", "NOAUTH")
  test.equal(run("GET k", "Another-token-of-mine"), "v")
  test.equal(ask(c, ids, [==[
ec2 = boto3.client("ec2")
print(code_of(ec.delete_cache_subnet_group, CacheSubnetGroupName="shop"), code_of(ec.delete_cache_parameter_group, CacheParameterGroupName="shop8"),
      code_of(ec2.delete_subnet, SubnetId=ids["subnets"][0]))
ec.delete_replication_group(ReplicationGroupId="shop")
ec.get_waiter("replication_group_deleted").wait(ReplicationGroupId="shop", WaiterConfig={"Delay": 1, "MaxAttempts": 120})
print(code_of(ec.describe_replication_groups, ReplicationGroupId="shop"), code_of(ec.describe_cache_clusters, CacheClusterId="shop-001"))
ec.delete_cache_subnet_group(CacheSubnetGroupName="shop")
ec.delete_cache_parameter_group(CacheParameterGroupName="shop8")
ec2.delete_subnet(SubnetId=ids["subnets"][0])
messages = [e["Message"] for e in ec.describe_events(SourceIdentifier="shop", Duration=20160)["Events"]]
print(messages[0], "|", messages[-1])
]==]), "CacheSubnetGroupInUse InvalidCacheParameterGroupState DependencyViolation\nReplicationGroupNotFoundFault CacheClusterNotFound\n"
    .. "Replication group shop created | Replication group shop deleted\n")
  for _, name in ipairs(fs.list(c.dir)) do test.truthy(not name:find "^cache", "no data folder is left") end
end

T["wrong requests get ElastiCache's own errors"] = function()
  local c, ids = lab.start(6379)
  local lines = ask(c, ids, [==[
base = dict(ReplicationGroupId="x", ReplicationGroupDescription="d", Engine="valkey", CacheNodeType="cache.t4g.micro", CacheSubnetGroupName="g",
            TransitEncryptionEnabled=True)
def create(**change): return code_of(ec.create_replication_group, **{**base, **change})
print(create(), code_of(ec.create_cache_subnet_group, CacheSubnetGroupName="g", CacheSubnetGroupDescription="d", SubnetIds=["subnet-nowhere"]))
ec.create_cache_subnet_group(CacheSubnetGroupName="g", CacheSubnetGroupDescription="d", SubnetIds=ids["subnets"])
print(code_of(ec.create_cache_subnet_group, CacheSubnetGroupName="g", CacheSubnetGroupDescription="d", SubnetIds=ids["subnets"]))
print(create(AutomaticFailoverEnabled=True), create(EngineVersion="9.0.0"), create(CacheNodeType="cache.z9.huge"), create(AuthToken="too short"))
print(create(AuthToken="has an @ and blanks in it"), create(TransitEncryptionEnabled=False, AuthToken="Sixteen-or-more-chars"))
print(create(CacheParameterGroupName="default.redis7"), create(CacheParameterGroupName="nope"), create(ReplicationGroupId="9x"))
ec.create_cache_parameter_group(CacheParameterGroupName="p", CacheParameterGroupFamily="valkey9", Description="d")
def modify(name, value): return code_of(ec.modify_cache_parameter_group, CacheParameterGroupName="p", ParameterNameValues=[{"ParameterName": name, "ParameterValue": value}])
print(modify("maxmemory-policy", "forget-all"), modify("no-such", "1"), modify("appendonly", "yes"), modify("timeout", "30"))
def values(**args): return {p["ParameterName"]: p["ParameterValue"] for p in ec.describe_cache_parameters(**args)["Parameters"]}
print(values(CacheParameterGroupName="p", Source="user"), values(CacheParameterGroupName="default.valkey8")["maxmemory-policy"])
ec.reset_cache_parameter_group(CacheParameterGroupName="p", ResetAllParameters=True)
print(values(CacheParameterGroupName="p", Source="user"), code_of(ec.modify_cache_parameter_group, CacheParameterGroupName="default.valkey8",
      ParameterNameValues=[{"ParameterName": "timeout", "ParameterValue": "30"}]))
print(sorted({v["CacheParameterGroupFamily"] for v in ec.describe_cache_engine_versions(Engine="valkey")["CacheEngineVersions"]}))
print(code_of(ec.list_tags_for_resource, ResourceName="arn:aws:elasticache:us-east-1:123456789012:replicationgroup:nope"))
]==])
  local expected, n = {
    "CacheSubnetGroupNotFoundFault InvalidSubnet", "CacheSubnetGroupAlreadyExists",
    "InvalidParameterCombination InvalidParameterValue InvalidParameterValue InvalidParameterValue",
      "InvalidParameterValue InvalidParameterCombination",
    "InvalidParameterCombination CacheParameterGroupNotFound InvalidParameterValue",
    "InvalidParameterValue InvalidParameterValue InvalidParameterValue no error", "{'timeout': '30'} volatile-lru",
      "{} InvalidCacheParameterGroupState",
    "['valkey7', 'valkey8', 'valkey9']", "ReplicationGroupNotFoundFault" }, 0
  for line in lines:gmatch "[^\n]+" do
    n = n + 1
    test.equal(line, expected[n])
  end
  test.equal(n, #expected)
end

return T
