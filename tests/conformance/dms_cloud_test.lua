--- DMS in the rehearsal: boto3 and the AWS CLI move a database from a server outside into RDS, all at once and with changes
--- that go on; what DMS refuses is refused as at AWS.
local test = require "test"
local json = require "json"
local lab = dofile "tests/support/vpc_lab.lua"
local pg = require "pg"
local postgres = require "rehearsal.planes.postgres"
local process = require "process"
local secret = require "secret"
local task = require "task"

local T = test.cases()

local PASSWORD = "tr0ub4dor&3/x"

local SETUP = [[
ids = json.loads(sys.argv[1])
dms, rds, iam, ec2 = boto3.client("dms"), boto3.client("rds"), boto3.client("iam"), boto3.client("ec2")
def trust(service): return json.dumps({"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]})
def task(): return dms.describe_replication_tasks(Filters=[{"Name": "replication-task-id", "Values": ["move"]}])["ReplicationTasks"][0]
def status(): return task()["Status"]
def statistics(): return {t["TableName"]: t for t in dms.describe_table_statistics(ReplicationTaskArn=task()["ReplicationTaskArn"])["TableStatistics"]}
def mapping(*rules): return json.dumps({"rules": [dict({"rule-id": str(i + 1), "rule-name": str(i + 1)}, **r) for i, r in enumerate(rules)]})
def take(schema, table, action="include"): return {"rule-type": "selection", "rule-action": action,
  "object-locator": {"schema-name": schema, "table-name": table}}
def message_of(fn, **args):
    try:
        fn(**args)
        return "no error"
    except botocore.exceptions.ClientError as e:
        return e.response["Error"]["Message"]
def tested(endpoint):
    dms.test_connection(ReplicationInstanceArn=ids["instance"], EndpointArn=endpoint)
    def read(): return dms.describe_connections(Filters=[{"Name": "endpoint-arn", "Values": [endpoint]}])["Connections"][0]
    end = time.time() + 40
    while read()["Status"] == "testing" and time.time() < end: time.sleep(0.05)
    return read()
]]

local function ask(c, ids, code, ...) return lab.python(c, SETUP .. code, { json.encode(ids), ... }) end

--- A source outside, a target in RDS, a replication instance in a public subnet between them.
local function start(settings, rights)
  local c, ids = lab.start(5432)
  local source = postgres.start { dir = test.tmpdir(), user = "shop", password = secret.new(PASSWORD), database = "shop",
    rights = rights or "superuser", settings = settings or {} }
  test.defer(function() source:stop() end)
  ids.source_port, ids.password = source.port, PASSWORD
  local found = json.decode(ask(c, ids, [==[
ids["public2"] = ec2.create_subnet(VpcId=ids["vpc"], CidrBlock="10.77.8.0/24", AvailabilityZone="us-east-1b")["Subnet"]["SubnetId"]
table = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [ids["public"]]}])["RouteTables"][0]["RouteTableId"]
ec2.associate_route_table(RouteTableId=table, SubnetId=ids["public2"])
rds.create_db_subnet_group(DBSubnetGroupName="shop", DBSubnetGroupDescription="d", SubnetIds=ids["subnets"])
rds.create_db_instance(DBInstanceIdentifier="shop", DBInstanceClass="db.t4g.small", Engine="postgres", EngineVersion="15", AllocatedStorage=20,
  MasterUsername="shop", MasterUserPassword="tr0ub4dor&3", DBName="shop", DBSubnetGroupName="shop", VpcSecurityGroupIds=[ids["store"]],
  BackupRetentionPeriod=0)
try:
    dms.create_replication_subnet_group(ReplicationSubnetGroupIdentifier="Shop", ReplicationSubnetGroupDescription="d", SubnetIds=ids["subnets"])
except botocore.exceptions.ClientError as e:
    assert e.response["Error"]["Code"] == "AccessDeniedFault" and "role/dms-vpc-role is not configured properly" in str(e), e
iam.create_role(RoleName="dms-vpc-role", AssumeRolePolicyDocument=trust("dms.amazonaws.com"))
iam.attach_role_policy(RoleName="dms-vpc-role", PolicyArn="arn:aws:iam::aws:policy/service-role/AmazonDMSVPCManagementRole")
dms.create_replication_subnet_group(ReplicationSubnetGroupIdentifier="Shop", ReplicationSubnetGroupDescription="d",
  SubnetIds=[ids["public"], ids["public2"]])
made = dms.create_replication_instance(ReplicationInstanceIdentifier="Shop", ReplicationInstanceClass="dms.t3.medium",
  ReplicationSubnetGroupIdentifier="shop", VpcSecurityGroupIds=[ids["app"]], PubliclyAccessible=True, MultiAZ=False,
  EngineVersion="3.6.1", Tags=[{"Key": "a", "Value": "b"}])["ReplicationInstance"]
assert made["ReplicationInstanceStatus"] == "creating", made
ids["instance"] = made["ReplicationInstanceArn"]
dms.get_waiter("replication_instance_available").wait(WaiterConfig={"Delay": 1},
  Filters=[{"Name": "replication-instance-id", "Values": ["shop"]}])
wait_for(lambda: rds.describe_db_instances()["DBInstances"][0]["DBInstanceStatus"], "available")
ids["host"] = rds.describe_db_instances()["DBInstances"][0]["Endpoint"]["Address"]
for kind, host, port, password, mode in (("source", "127.0.0.1", ids["source_port"], ids["password"], "none"),
                                         ("target", ids["host"], 5432, "tr0ub4dor&3", "require")):
    made = dms.create_endpoint(EndpointIdentifier=kind, EndpointType=kind, EngineName="postgres", Username="shop", Password=password,
      ServerName=host, Port=port, DatabaseName="shop", SslMode=mode, PostgreSQLSettings=dict(MapBooleanAsBoolean=True,
      **({"CaptureDdls": False} if kind == "source" else {"AfterConnectScript": "SET session_replication_role = replica"})))["Endpoint"]
    assert "tr0ub4dor" not in str(made), made
    ids[kind] = made["EndpointArn"]
    found = tested(ids[kind])
    assert found["Status"] == "successful", found
print(json.dumps(ids))
]==]))
  return c, found, source
end

local function psql(prefix, host, port, password, sql)
  local r = process.run { "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, prefix = prefix, timeout = 20,
    env = { PATH = os.getenv "PATH", PGHOST = host, PGPORT = tostring(port), PGUSER = "shop", PGPASSWORD = password, PGDATABASE = "shop",
            PGCONNECT_TIMEOUT = "5" } }
  test.equal(r.code, 0, r.stderr)
  return r.stdout
end

--- What a query answers at the target, asked from the app's machine.
local function at_target(c, ids, sql)
  c.app = c.app or lab.host(c, ids, "10.77.1.200", "app")
  return psql(c.app.prefix, ids.host, 5432, "tr0ub4dor&3", sql)
end

local function at_source(ids, sql) return psql(nil, "127.0.0.1", ids.source_port, PASSWORD, sql) end

local TABLES = [[
  CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL, active boolean, born date, data jsonb, tags text[], price numeric(12,2));
  CREATE TABLE orders (id bigserial PRIMARY KEY, customer_id integer REFERENCES customers, note varchar(200), at timestamptz DEFAULT now());
  CREATE TABLE "Odd Name" (a integer, "B c" text);
]]

local SUMS = [[SELECT (SELECT count(*) || md5(string_agg(t::text, '|' ORDER BY id)) FROM customers t),
    (SELECT count(*) || md5(string_agg(t::text, '|' ORDER BY id)) FROM orders t), (SELECT string_agg(t::text, '|' ORDER BY a) FROM "Odd Name" t)]]

T["a full load copies every row that the mappings take, and nothing else"] = function()
  local c, ids, source = start()
  local db <close> = pg.open(source.admin)
  db:exec("SET ROLE shop;" .. TABLES .. [[
    INSERT INTO customers (name, active, born, data, tags, price) SELECT E'n\\' || i || E'\t\n''"', i % 3 = 0, date '2020-01-01' + i,
      jsonb_build_object('i', i), ARRAY['a', 'b,' || i], i / 7.0 FROM generate_series(1, 5000) i;
    INSERT INTO orders (customer_id, note) SELECT i % 5000 + 1, repeat('x', i % 100) FROM generate_series(1, 30000) i;
    INSERT INTO "Odd Name" VALUES (1, NULL), (NULL, E'\\N');
    CREATE TABLE left_out AS SELECT 1 AS n]])
  at_target(c, ids, TABLES)
  test.equal(ask(c, ids, [==[
made = dms.create_replication_task(ReplicationTaskIdentifier="Move", SourceEndpointArn=ids["source"], TargetEndpointArn=ids["target"],
  ReplicationInstanceArn=ids["instance"], MigrationType="full-load", TableMappings=mapping(take("public", "%"), take("public", "left_%", "exclude")),
  ReplicationTaskSettings=json.dumps({"FullLoadSettings": {"MaxFullLoadSubTasks": 2}}))["ReplicationTask"]
assert made["Status"] == "creating", made
wait_for(status, "ready")
dms.start_replication_task(ReplicationTaskArn=made["ReplicationTaskArn"], StartReplicationTaskType="start-replication")
seen = wait_for(status, "stopped")
assert seen == ["starting", "running", "stopped"], seen
print(task()["StopReason"], task()["ReplicationTaskStats"]["FullLoadProgressPercent"], task()["ReplicationTaskStats"]["TablesLoaded"])
for name, t in sorted(statistics().items()): print(name, t["TableState"], t["FullLoadRows"])
]==]), table.concat({ "Stop Reason FULL_LOAD_ONLY_FINISHED 100 3", "Odd Name Table completed 2", "customers Table completed 5000",
    "orders Table completed 30000", "" }, "\n"))
  test.equal(at_target(c, ids, SUMS), at_source(ids, SUMS), "every row")
  test.equal(at_target(c, ids, "SELECT to_regclass('left_out') IS NULL, nextval('customers_id_seq')"), "t|1\n")   -- nor sequences
end

--- Writes into the source until it is told to stop, in transactions of all kinds.
local function writer(source)
  local stopped = false
  local t = task.spawn(function()
    local db <close> = pg.open(source.admin)
    db:exec "SET ROLE shop"
    local n = 0
    while not stopped do
      n = n + 1
      db:query("INSERT INTO customers (name, active, data, tags, price) VALUES ($1, $2, $3, $4, $5)", "it's \\ " .. n .. " ü\t\n", n % 2 == 0,
        { n = n }, { "a", "b" }, n / 3)
      db:exec(([[BEGIN; UPDATE customers SET name = name || '.', price = NULL WHERE id %% 50 = %d; DELETE FROM customers WHERE id %% 97 = %d;
        INSERT INTO orders (note) SELECT 'live' FROM generate_series(1, 3); %s]]):format(n % 50, n % 97, n % 5 == 0 and "ROLLBACK" or "COMMIT"))
      db:exec(("UPDATE customers SET id = id + 1000000 WHERE id = (SELECT max(id) FROM customers WHERE id < 1000000)"))
      task.sleep(0.005)
    end
    return n
  end)
  return function() stopped = true return t:join() end
end

--- Waits until a query answers the same at the target as at the source.
local function same_soon(c, ids, sql)
  local wanted, deadline = at_source(ids, sql), task.now() + 30
  local found = at_target(c, ids, sql)
  while found ~= wanted and task.now() < deadline do
    task.sleep(0.2)
    found = at_target(c, ids, sql)
  end
  test.equal(found, wanted, sql)
end

T["changes go on during and after the load, and none is lost or doubled when the worker is killed"] = function()
  local c, ids, source = start { wal_level = "logical" }
  local db <close> = pg.open(source.admin)
  db:exec("SET ROLE shop;" .. TABLES .. [[
    INSERT INTO customers (name) SELECT i::text FROM generate_series(1, 2000) i;
    INSERT INTO orders (customer_id, note) SELECT i % 2000 + 1, repeat('x', i % 100) FROM generate_series(1, 20000) i;
    ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey]])
  at_target(c, ids, TABLES)
  local stop = writer(source)
  ask(c, ids, [==[
made = dms.create_replication_task(ReplicationTaskIdentifier="Move", SourceEndpointArn=ids["source"], TargetEndpointArn=ids["target"],
  ReplicationInstanceArn=ids["instance"], MigrationType="full-load-and-cdc", TableMappings=mapping(take("public", "%")))["ReplicationTask"]
wait_for(status, "ready")
dms.start_replication_task(ReplicationTaskArn=made["ReplicationTaskArn"], StartReplicationTaskType="start-replication")
wait_for(status, "running")
wait_for(lambda: task()["ReplicationTaskStats"]["TablesLoaded"], 3)
wait_for(lambda: statistics()["customers"]["AppliedUpdates"] > 100, True)
]==])
  local running = select(2, next(c:store("dms", "us-east-1").tasks))
  running.process:kill "KILL"
  ask(c, ids, [==[
wait_for(status, "failed")
assert "exited unexpectedly with code 137. Stop Reason RECOVERABLE_ERROR" in task()["LastFailureMessage"], task()
arn = task()["ReplicationTaskArn"]
said = message_of(dms.start_replication_task, ReplicationTaskArn=arn, StartReplicationTaskType="start-replication")
assert said == "Start Type : START_REPLICATION, valid only for tasks running for the first time", said
dms.start_replication_task(ReplicationTaskArn=arn, StartReplicationTaskType="resume-processing")
wait_for(status, "running")
before = statistics()["customers"]["AppliedUpdates"]
wait_for(lambda: statistics()["customers"]["AppliedUpdates"] > before + 100, True)
]==])
  test.truthy(stop() > 50, "transactions that were written meanwhile")
  same_soon(c, ids, SUMS)
  test.equal(ask(c, ids, [==[
for name, t in sorted(statistics().items()):
    assert t["Inserts"] == t["AppliedInserts"] and t["Updates"] == t["AppliedUpdates"] and t["Deletes"] == t["AppliedDeletes"], t
    print(t["FullLoadRows"] + t["AppliedInserts"] - t["AppliedDeletes"])
dms.stop_replication_task(ReplicationTaskArn=task()["ReplicationTaskArn"])
wait_for(status, "stopped")
print(task()["StopReason"])
assert task()["RecoveryCheckpoint"].startswith("checkpoint:V1#"), task()
]==]), at_source(ids, [[SELECT (SELECT count(*) FROM "Odd Name") || E'\n' || (SELECT count(*) FROM customers) || E'\n'
    || (SELECT count(*) FROM orders)]]) .. "Stop Reason NORMAL\n")
end

return T
