--- RDS in the rehearsal, asked by boto3 and reached by psql.
local test = require "test"
local fs = require "fs"
local json = require "json"
local lab = dofile "tests/support/vpc_lab.lua"
local process = require "process"

local T = test.cases()

local SETUP = [[
ids = json.loads(sys.argv[1])
rds = boto3.client("rds")
def status(): return rds.describe_db_instances(DBInstanceIdentifier="shop")["DBInstances"][0]["DBInstanceStatus"]
]]

local function ask(c, ids, code) return lab.python(c, SETUP .. code, { json.encode(ids) }) end

--- What the instance went through.
local function states_of(c)
  return lab.states(c, function()
    local db = (c:store("rds", "us-east-1").instances or {}).shop
    return db and db.DBInstanceStatus
  end)
end

local function create(c, ids, more)
  local states = states_of(c)
  local address = ask(c, ids, ([==[
rds.create_db_subnet_group(DBSubnetGroupName="Shop", DBSubnetGroupDescription="d", SubnetIds=ids["subnets"])
rds.create_db_parameter_group(DBParameterGroupName="shop16", DBParameterGroupFamily="postgres16", Description="d")
rds.modify_db_parameter_group(DBParameterGroupName="shop16", Parameters=[
  {"ParameterName": "rds.logical_replication", "ParameterValue": "1", "ApplyMethod": "pending-reboot"},
  {"ParameterName": "work_mem", "ParameterValue": "8192", "ApplyMethod": "immediate"}])
db = rds.create_db_instance(DBInstanceIdentifier="Shop", DBInstanceClass="db.t4g.small", Engine="postgres", EngineVersion="16", AllocatedStorage=20,
  StorageType="gp3", MasterUsername="shop", DBName="shop", DBSubnetGroupName="shop", VpcSecurityGroupIds=[ids["store"]],
  DBParameterGroupName="shop16", Tags=[{"Key": "a", "Value": "b"}], %s)["DBInstance"]
assert db["DBInstanceStatus"] == "creating" and "Endpoint" not in db and db["DBInstanceIdentifier"] == "shop", db
wait_for(status, "available")
db = rds.describe_db_instances(Filters=[{"Name": "db-instance-id", "Values": ["shop"]}])["DBInstances"][0]
print(db["Endpoint"]["Address"])
]==]):format(more)):match "[%d.]+"
  test.equal(states(), { "creating", "backing-up", "available" })
  return address
end

--- psql in a machine of the VPC, or (prefix nil) outside.
local function psql(c, prefix, address, sql, o)
  o = o or {}
  return process.run { "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, prefix = prefix, timeout = 600,
    env = { PATH = os.getenv "PATH", PGHOST = address, PGPORT = "5432", PGUSER = o.user or "shop", PGPASSWORD = o.password or "tr0ub4dor&3",
            PGDATABASE = o.database or "shop", PGSSLMODE = o.sslmode or "verify-full", PGSSLROOTCERT = c.ca.file,
            PGCONNECT_TIMEOUT = o.patience or "60" } }
end

T["a DB instance is a PostgreSQL in the VPC, with RDS's rights, groups and states"] = function()
  local c, ids = lab.start(5432)
  local address = create(c, ids, 'MasterUserPassword="tr0ub4dor&3", BackupRetentionPeriod=7')
  local app = lab.host(c, ids, "10.77.1.200", "app")
  local function sql(text, o) return psql(c, app.prefix, address, text, o) end
  test.equal(sql("SELECT current_user, current_setting('work_mem'), current_setting('wal_level'), current_setting('ssl')").stdout,
    "shop|8MB|logical|on\n")
  test.equal(sql([[SELECT rolsuper, rolcreatedb, rolcreaterole, pg_has_role('rds_superuser', 'member')
    FROM pg_roles WHERE rolname = 'shop']]).stdout, "f|t|t|t\n")
  test.equal(sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'").stdout, "shop\n")
  test.equal(sql("SET session_replication_role = replica; SELECT 1").stdout, "1\n")
  test.match(sql("ALTER SYSTEM SET work_mem = 1").stderr, "permission denied")
  test.equal(sql("SELECT slot_name FROM pg_create_logical_replication_slot('s', 'test_decoding')").stdout, "s\n")
  test.match(sql("SELECT 1", { sslmode = "disable" }).stderr, "no pg_hba.conf entry.*no encryption")
  test.match(sql("SELECT 1", { password = "wrong-one" }).stderr, "password authentication failed")
  test.match(sql("SELECT 1", { user = "rdsadmin" }).stderr, "pg_hba.conf rejects")
  if c.net.isolated then
    local other = lab.host(c, ids, "10.77.1.201", "other")
    local soon = { patience = "2" }
    test.match(psql(c, other.prefix, address, "SELECT 1", soon).stderr, "timeout expired")
    test.truthy(psql(c, nil, address, "SELECT 1", soon).code ~= 0, "the internet does not reach it")
    ask(c, ids, 'rds.modify_db_instance(DBInstanceIdentifier="shop", VpcSecurityGroupIds=[ids["other"]])')
    test.match(sql("SELECT 1", { patience = "2" }).stderr, "timeout expired")
    ask(c, ids, 'rds.modify_db_instance(DBInstanceIdentifier="shop", VpcSecurityGroupIds=[ids["store"]])')
  end
  sql "CREATE TABLE kept AS SELECT 7 AS n"
  local states = states_of(c)
  test.equal(ask(c, ids, [==[
rds.modify_db_parameter_group(DBParameterGroupName="shop16", Parameters=[
  {"ParameterName": "rds.force_ssl", "ParameterValue": "0", "ApplyMethod": "immediate"},
  {"ParameterName": "max_connections", "ParameterValue": "44", "ApplyMethod": "pending-reboot"}])
group = lambda: rds.describe_db_instances(DBInstanceIdentifier="shop")["DBInstances"][0]["DBParameterGroups"][0]["ParameterApplyStatus"]
print(group())
rds.modify_db_instance(DBInstanceIdentifier="shop", MasterUserPassword="another-one-9", AllocatedStorage=50, DBInstanceClass="db.t4g.medium", ApplyImmediately=True)
print(wait_for(lambda: rds.describe_db_instances(DBInstanceIdentifier="shop")["DBInstances"][0]["DBInstanceClass"], "db.t4g.medium")[-1])
wait_for(status, "available")
rds.reboot_db_instance(DBInstanceIdentifier="shop")
print(wait_for(status, "available")[-1], group())
]==]), "pending-reboot\ndb.t4g.medium\navailable in-sync\n")
  test.equal(states(), { "available", "modifying", "rebooting", "available" })
  test.equal(sql("SELECT n, current_setting('max_connections') FROM kept", { password = "another-one-9", sslmode = "disable" }).stdout, "7|44\n")
  test.match(sql("SELECT 1").stderr, "password authentication failed")
  test.equal(ask(c, ids, [==[
arn = rds.describe_db_instances()["DBInstances"][0]["DBInstanceArn"]
rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "c", "Value": "d"}])
rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["a"])
print(rds.list_tags_for_resource(ResourceName=arn)["TagList"])
ec2 = boto3.client("ec2")
print(code_of(rds.delete_db_instance, DBInstanceIdentifier="shop"))
print(code_of(rds.delete_db_subnet_group, DBSubnetGroupName="shop"), code_of(rds.delete_db_parameter_group, DBParameterGroupName="shop16"))
print(code_of(ec2.delete_subnet, SubnetId=ids["subnets"][0]), code_of(ec2.delete_security_group, GroupId=ids["store"]))
rds.modify_db_instance(DBInstanceIdentifier="shop", DeletionProtection=True)
print(code_of(rds.delete_db_instance, DBInstanceIdentifier="shop", SkipFinalSnapshot=True))
rds.modify_db_instance(DBInstanceIdentifier="shop", DeletionProtection=False)
rds.delete_db_instance(DBInstanceIdentifier="shop", FinalDBSnapshotIdentifier="last")
rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier="shop", WaiterConfig={"Delay": 1, "MaxAttempts": 120})
print(code_of(rds.describe_db_instances, DBInstanceIdentifier="shop"))
rds.get_waiter("db_snapshot_available").wait(DBSnapshotIdentifier="last", WaiterConfig={"Delay": 1})
rds.delete_db_snapshot(DBSnapshotIdentifier="last")
rds.delete_db_subnet_group(DBSubnetGroupName="shop")
rds.delete_db_parameter_group(DBParameterGroupName="shop16")
ec2.delete_subnet(SubnetId=ids["subnets"][0])
ec2.delete_security_group(GroupId=ids["store"])
messages = [e["Message"] for e in rds.describe_events(SourceIdentifier="shop", SourceType="db-instance", Duration=20160)["Events"]]
print(messages[0], "|", messages[-1])
]==]), table.concat({ "[{'Key': 'c', 'Value': 'd'}]", "InvalidParameterCombination", "InvalidDBSubnetGroupStateFault InvalidDBParameterGroupState",
    "DependencyViolation DependencyViolation", "InvalidParameterCombination", "DBInstanceNotFound", "DB instance created | DB instance deleted",
      "" }, "\n"))
  test.equal(psql(c, app.prefix, address, "SELECT 1", { patience = "2" }).code, 2)
  for _, name in ipairs(fs.list(c.dir)) do test.truthy(not name:find "^rds", "no data folder is left") end
end

T["RDS keeps the master user's password in a secret when it manages it"] = function()
  local c, ids = lab.start(5432)
  local address = create(c, ids, "ManageMasterUserPassword=True, BackupRetentionPeriod=7")
  local stored = json.decode(ask(c, ids, [==[
owned = rds.describe_db_instances()["DBInstances"][0]["MasterUserSecret"]
assert owned["SecretStatus"] == "active", owned
print(boto3.client("secretsmanager").get_secret_value(SecretId=owned["SecretArn"])["SecretString"])
]==]))
  test.equal(stored.username, "shop")
  local app = lab.host(c, ids, "10.77.1.200", "app")
  test.equal(psql(c, app.prefix, address, "SELECT current_user", { password = stored.password }).stdout, "shop\n")
  test.equal(ask(c, ids, [==[
arn = rds.describe_db_instances()["DBInstances"][0]["MasterUserSecret"]["SecretArn"]
print(code_of(rds.modify_db_instance, DBInstanceIdentifier="shop", MasterUserPassword="my own password"))
rds.delete_db_instance(DBInstanceIdentifier="shop", SkipFinalSnapshot=True)
rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier="shop", WaiterConfig={"Delay": 1, "MaxAttempts": 120})
print(code_of(boto3.client("secretsmanager").get_secret_value, SecretId=arn))
]==]), "InvalidParameterCombination\nResourceNotFoundException\n")
end

T["wrong requests get RDS's own errors, and its lists are whole"] = function()
  local c, ids = lab.start(5432)
  local lines = ask(c, ids, [==[
base = dict(DBInstanceIdentifier="x", DBInstanceClass="db.t4g.small", Engine="postgres", AllocatedStorage=20, MasterUsername="shop",
            MasterUserPassword="long enough", DBSubnetGroupName="g")
def create(**change): return code_of(rds.create_db_instance, **{**base, **change})
print(code_of(rds.create_db_subnet_group, DBSubnetGroupName="g", DBSubnetGroupDescription="d", SubnetIds=[ids["subnets"][0], ids["public"]]))
print(code_of(rds.create_db_subnet_group, DBSubnetGroupName="g", DBSubnetGroupDescription="d", SubnetIds=["subnet-nowhere"]))
print(create())
rds.create_db_subnet_group(DBSubnetGroupName="g", DBSubnetGroupDescription="d", SubnetIds=ids["subnets"])
print(code_of(rds.create_db_subnet_group, DBSubnetGroupName="g", DBSubnetGroupDescription="d", SubnetIds=ids["subnets"]))
print(create(EngineVersion="9.9"), create(DBInstanceClass="db.zz.huge"), create(AllocatedStorage=1), create(MasterUserPassword="short"))
print(create(MasterUsername="rdsadmin"), create(DBInstanceIdentifier="a--b"), create(ManageMasterUserPassword=True), create(DBParameterGroupName="nope"))
print(create(DBParameterGroupName="default.postgres13", EngineVersion="16"), create(VpcSecurityGroupIds=["sg-nowhere"]))
print(code_of(rds.describe_db_instances, DBInstanceIdentifier="x"), code_of(rds.describe_db_instances, Filters=[{"Name": "colour", "Values": ["x"]}]))
rds.create_db_parameter_group(DBParameterGroupName="p", DBParameterGroupFamily="postgres15", Description="d")
def modify(name, value, method): return code_of(rds.modify_db_parameter_group, DBParameterGroupName="p",
  Parameters=[{"ParameterName": name, "ParameterValue": value, "ApplyMethod": method}])
print(modify("rds.logical_replication", "1", "immediate"), modify("no_such", "1", "immediate"), modify("work_mem", "1", "immediate"), modify("fsync", "0", "pending-reboot"))
modify("rds.force_ssl", "0", "immediate")
def values(**args): return {p["ParameterName"]: p.get("ParameterValue") for page in rds.get_paginator("describe_db_parameters").paginate(**args) for p in page["Parameters"]}
print(values(DBParameterGroupName="p", Source="user"), values(DBParameterGroupName="default.postgres16")["rds.force_ssl"],
      values(DBParameterGroupName="default.postgres14")["rds.force_ssl"], len(values(DBParameterGroupName="p")) > 300)
rds.reset_db_parameter_group(DBParameterGroupName="p", ResetAllParameters=True)
print(values(DBParameterGroupName="p", Source="user"))
versions = [v["EngineVersion"] for v in rds.describe_db_engine_versions(Engine="postgres")["DBEngineVersions"]]
print(sorted({v.split(".")[0] for v in versions}), rds.describe_db_engine_versions(Engine="postgres", EngineVersion="16", DefaultOnly=True)["DBEngineVersions"][0]["DBParameterGroupFamily"])
print({o["StorageType"] for o in rds.describe_orderable_db_instance_options(Engine="postgres", EngineVersion=versions[-1], DBInstanceClass="db.t4g.micro")["OrderableDBInstanceOptions"]} == {"gp2", "gp3"})
print(rds.describe_certificates()["DefaultCertificateForNewLaunches"])
]==])
  local expected, n = { "DBSubnetGroupDoesNotCoverEnoughAZs", "InvalidSubnet", "DBSubnetGroupNotFoundFault", "DBSubnetGroupAlreadyExists",
    "InvalidParameterCombination InvalidParameterCombination InvalidParameterCombination InvalidParameterValue",
    "InvalidParameterValue InvalidParameterValue InvalidParameterCombination DBParameterGroupNotFound",
      "InvalidParameterCombination InvalidParameterCombination",
    "DBInstanceNotFound InvalidParameterValue", "InvalidParameterCombination InvalidParameterValue InvalidParameterValue InvalidParameterValue",
    "{'rds.force_ssl': '0'} 1 0 True", "{}", "['13', '14', '15', '16', '17', '18'] postgres16", "True", "rds-ca-rsa2048-g1" }, 0
  for line in lines:gmatch "[^\n]+" do
    n = n + 1
    test.equal(line, expected[n])
  end
  test.equal(n, #expected)
end

return T
