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
class Client:                          # made when it is first needed
    def __init__(self, name): self.name = name
    def __getattr__(self, operation):
        if "made" not in self.__dict__: self.made = boto3.client(self.name)
        return getattr(self.made, operation)
dms, rds, iam, ec2, s3 = [Client(name) for name in ("dms", "rds", "iam", "ec2", "s3")]
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
local function start(settings)
  local c, ids = lab.start(5432)
  local source = postgres.start { dir = test.tmpdir(), user = "shop", password = secret.new(PASSWORD), database = "shop",
    settings = settings or {}, admin = "rdsadmin", template = c.dir .. "/postgres.template" }        -- RDS copies what initdb made
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

T["a full load copies every row that the mappings take, as boto3 and the AWS CLI see it"] = function()
  local c, ids, source = start()
  local db <close> = pg.open(source.admin)
  db:exec("SET ROLE shop;" .. TABLES .. [[
    INSERT INTO customers (name, active, born, data, tags, price) SELECT E'n\\' || i || E'\t\n''"', i % 3 = 0, date '2020-01-01' + i,
      jsonb_build_object('i', i), ARRAY['a', 'b,' || i], i / 7.0 FROM generate_series(1, 5000) i;
    INSERT INTO orders (customer_id, note) SELECT i % 5000 + 1, repeat('x', i % 100) FROM generate_series(1, 3000) i;
    INSERT INTO "Odd Name" VALUES (1, NULL), (NULL, E'\\N');
    CREATE TABLE left_out AS SELECT 1 AS n]])
  at_target(c, ids, TABLES)
  db:exec "BEGIN; LOCK TABLE orders"                                          -- its load waits
  ask(c, ids, [==[
iam.create_role(RoleName="dms-cloudwatch-logs-role", AssumeRolePolicyDocument=trust("dms.amazonaws.com"))
made = dms.create_replication_task(ReplicationTaskIdentifier="Move", SourceEndpointArn=ids["source"], TargetEndpointArn=ids["target"],
  ReplicationInstanceArn=ids["instance"], MigrationType="full-load", TableMappings=mapping(take("public", "%"), take("public", "left_%", "exclude")),
  ReplicationTaskSettings=json.dumps({"FullLoadSettings": {"MaxFullLoadSubTasks": 2, "CommitRate": 1000},
    "Logging": {"EnableLogging": True}}))["ReplicationTask"]
assert made["Status"] == "creating", made
wait_for(status, "ready")
dms.start_replication_task(ReplicationTaskArn=made["ReplicationTaskArn"], StartReplicationTaskType="start-replication")
wait_for(lambda: (lambda s: (s["TablesLoaded"], s["TablesLoading"]))(task()["ReplicationTaskStats"]), (2, 1))
]==])
  select(2, next(c:store("dms", "us-east-1").tasks)).process:kill "KILL"
  at_target(c, ids, "INSERT INTO orders (id) VALUES (1), (77777)")            -- what a worker that was killed had written
  db:exec "ROLLBACK"
  test.equal(ask(c, ids, [==[
wait_for(status, "failed")
dms.start_replication_task(ReplicationTaskArn=task()["ReplicationTaskArn"], StartReplicationTaskType="resume-processing")
wait_for(status, "stopped")
print(task()["StopReason"], task()["ReplicationTaskStats"]["FullLoadProgressPercent"], task()["ReplicationTaskStats"]["TablesLoaded"])
]==]), "Stop Reason FULL_LOAD_ONLY_FINISHED 100 3\n")
  local arn = c:service "dms".DescribeReplicationTasks(c, {}, { region = "us-east-1" }).ReplicationTasks[1].ReplicationTaskArn
  local cli = process.run { test.tool "aws", "--endpoint-url", c.url, "--output", "text", "dms", "describe-table-statistics", env = c:env(),
    timeout = 60, "--replication-task-arn", arn, "--query", "sort_by(TableStatistics, &TableName)[].[TableName, TableState, FullLoadRows]" }
  test.equal(cli.stdout, "Odd Name\tTable completed\t2\ncustomers\tTable completed\t5000\norders\tTable completed\t3000\n", cli.stderr)
  test.equal(at_target(c, ids, SUMS), at_source(ids, SUMS), "every row")
  test.equal(at_target(c, ids, "SELECT to_regclass('left_out') IS NULL, nextval('customers_id_seq')"), "t|1\n")   -- nor sequences
  -- rows that the target refuses are left out, and counted; tables that DMS makes itself are DMS's
  at_target(c, ids, "TRUNCATE customers, orders; ALTER TABLE orders ADD CHECK (length(note) < 99)")
  db:exec [[INSERT INTO customers (name) VALUES (repeat('x', 3000))]]
  test.equal(ask(c, ids, [==[
dms.modify_endpoint(EndpointArn=ids["target"], PostgreSQLSettings={"MapBooleanAsBoolean": False})
arn = task()["ReplicationTaskArn"]
print(code_of(dms.start_replication_task, ReplicationTaskArn=arn, StartReplicationTaskType="start-replication"))
dms.start_replication_task(ReplicationTaskArn=arn, StartReplicationTaskType="reload-target")
wait_for(status, "stopped")
found = statistics()["orders"]
print(found["TableState"], found["FullLoadRows"], found["FullLoadErrorRows"])
lines = [e["message"] for e in boto3.client("logs").filter_log_events(logGroupName="dms-tasks-shop")["events"]]
assert len(lines) >= 30 and "orders_note_check" in lines[-1], lines[-3:]
dms.modify_replication_task(ReplicationTaskArn=arn, ReplicationTaskSettings=json.dumps({"TargetMetadata": {"LobMaxSize": 1}}), TableMappings=mapping(
  take("public", "customers"), {"rule-type": "transformation", "rule-target": "schema", "rule-action": "rename", "value": "made",
  "object-locator": {"schema-name": "public"}}, {"rule-type": "transformation", "rule-target": "column", "rule-action": "remove-column",
  "object-locator": {"schema-name": "public", "table-name": "customers", "column-name": "b%"}}))
wait_for(status, "stopped")
dms.start_replication_task(ReplicationTaskArn=arn, StartReplicationTaskType="reload-target")
wait_for(status, "stopped")
print(sorted(statistics()), statistics()["customers"]["FullLoadRows"])
]==]), "InvalidParameterCombinationException\nTable completed 2970 30\n['customers'] 5001\n")
  test.equal(at_target(c, ids, [[SELECT string_agg(column_name || ' ' || data_type || coalesce(' ' || character_maximum_length, '') || coalesce(' ' ||
      column_default, ''), ', ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_schema = 'made';
    SELECT active, length(name), tags FROM made.customers WHERE id IN (3, 5001) ORDER BY id]]), "id integer, name text, active character varying 5, "
    .. "data jsonb, tags text, price numeric\ntrue|7|{a,\"b,3\"}\n|1024|\n")
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
dms.modify_endpoint(EndpointArn=ids["source"], PostgreSQLSettings={"CaptureDdls": True, "HeartbeatEnable": True})
made = dms.create_replication_task(ReplicationTaskIdentifier="Move", SourceEndpointArn=ids["source"], TargetEndpointArn=ids["target"],
  ReplicationInstanceArn=ids["instance"], MigrationType="full-load-and-cdc", TableMappings=mapping(take("public", "%")),
  ReplicationTaskSettings=json.dumps({"ControlTablesSettings": {"ControlSchema": "dms"}}))["ReplicationTask"]
wait_for(status, "ready")
dms.start_replication_task(ReplicationTaskArn=made["ReplicationTaskArn"], StartReplicationTaskType="start-replication")
wait_for(lambda: (status(), task().get("LastFailureMessage")), ("running", None))
wait_for(lambda: task()["ReplicationTaskStats"]["TablesLoaded"], 3)
wait_for(lambda: statistics()["customers"]["AppliedUpdates"] > 100, True)
]==])
  local running = select(2, next(c:store("dms", "us-east-1").tasks))
  running.process:kill "KILL"
  db:exec "ALTER TABLE orders ADD COLUMN extra text"
  db:exec "INSERT INTO orders (note, extra) VALUES ('one more', 'x')"
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
    print(t["FullLoadRows"] + t["AppliedInserts"] - t["AppliedDeletes"], t["Ddls"], t["AppliedDdls"])
]==]), at_source(ids, [[SELECT (SELECT count(*) FROM "Odd Name") || E' 0 0\n' || (SELECT count(*) FROM customers) || E' 0 0\n'
    || (SELECT count(*) FROM orders) || ' 1 1']]))
  -- a table that was damaged is loaded again; what has no key loses its updates; a time can end the task
  at_target(c, ids, "DELETE FROM customers WHERE id % 2 = 0")
  local before = at_source(ids, [[INSERT INTO "Odd Name" VALUES (1, 'a'); UPDATE "Odd Name" SET a = 2; SELECT count(*) FROM customers]])
  ask(c, ids, [==[
arn = task()["ReplicationTaskArn"]
dms.reload_tables(ReplicationTaskArn=arn, TablesToReload=[{"SchemaName": "public", "TableName": "customers"}])
wait_for(lambda: (statistics()["customers"]["TableState"], statistics()["customers"]["FullLoadReloaded"]), ("Table completed", True))
wait_for(lambda: (statistics()["Odd Name"]["AppliedInserts"], statistics()["Odd Name"]["Updates"], statistics()["Odd Name"]["AppliedUpdates"]), (1, 1, 0))
assert code_of(dms.delete_replication_task, ReplicationTaskArn=arn) == "InvalidResourceStateFault"
dms.stop_replication_task(ReplicationTaskArn=arn)
wait_for(status, "stopped")
assert task()["StopReason"] == "Stop Reason NORMAL" and task()["RecoveryCheckpoint"].startswith("checkpoint:V1#"), task()
]==])
  test.equal(at_target(c, ids, 'SELECT count(*) FROM customers; SELECT a FROM "Odd Name"'), before .. "1\n")
  local limit = at_source(ids, [[INSERT INTO orders (note) VALUES ('in time');
    SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC' + interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS')]]):gsub("%s+$", "")
  at_source(ids, "SELECT pg_sleep(1.1); INSERT INTO orders (note) VALUES ('too late')")
  test.equal(ask(c, ids, [==[
arn = task()["ReplicationTaskArn"]
dms.start_replication_task(ReplicationTaskArn=arn, StartReplicationTaskType="resume-processing", CdcStopPosition="server_time:" + sys.argv[2])
wait_for(status, "stopped")
print(task()["StopReason"])
dms.delete_replication_task(ReplicationTaskArn=arn)
dms.get_waiter("replication_task_deleted").wait(Filters=[{"Name": "replication-task-arn", "Values": [arn]}], WaiterConfig={"Delay": 1})
]==], limit), "Stop Reason STOPPED_AT_SERVER_TIME\n")
  test.equal(at_target(c, ids, "SELECT note FROM orders WHERE note LIKE '% %' ORDER BY id; SELECT count(*) FROM dms.awsdms_apply_exceptions"),
    "one more\nin time\n0\n")
  test.equal(at_source(ids, "SELECT count(*) FROM pg_replication_slots"), "0\n")
end

--- What an assessment finds on the source of the case below.
local FOUND = {
  ["postgres-check-similar-table-name"] = "failed public.ORDERS and public.orders differ in case only.",
  ["postgres-check-pk-lob"] = "failed public.ORDERS has a LOB in its primary key.",
  ["postgres-check-limited-lob-size"] = "warning public.customers.name has values of up to 40000 bytes; LobMaxSize is 32 KB.",
  ["postgres-check-table-with-array"] = "failed public.lists has an array and no primary key.",
  ["postgres-check-target-secondary-indexes"] = "warning public.orders has secondary indexes at the target.",
  ["postgres-check-select-object-privileges"] = "failed public.hidden may not be read.",
  ["postgres-check-pk"] = "failed public.Odd Name has no primary key. public.lists has no primary key.",
  ["postgres-check-maxslot-wal-keep-size"] = "warning max_slot_wal_keep_size is 100 MB.",
  ["postgres-check-for-logical-decoding-work-mem"] = "warning logical_decoding_work_mem is 65536 kB.",
  ["postgres-check-preparedtxn"] = "failed The transaction 'half' is prepared.",
  ["postgres-check-pglogical"] = "warning shared_preload_libraries has no pglogical.",
}

T["what DMS refuses, and what an assessment finds on a source like Heroku's"] = function()
  local c, ids, source = start { wal_level = "logical", max_slot_wal_keep_size = 100, max_prepared_transactions = 2 }
  local db <close> = pg.open(source.admin)
  db:exec(TABLES .. [[
    ALTER TABLE customers OWNER TO shop; ALTER TABLE "Odd Name" OWNER TO shop; ALTER TABLE orders OWNER TO shop;
    CREATE TABLE "ORDERS" (id text PRIMARY KEY, tags text[]); CREATE TABLE lists (tags text[]); CREATE TABLE hidden (id integer PRIMARY KEY);
    GRANT SELECT ON "ORDERS", lists TO shop; ALTER ROLE shop NOSUPERUSER;
    INSERT INTO customers (name) VALUES (repeat('x', 40000));]])
  at_target(c, ids, TABLES .. "CREATE INDEX ON orders (note)")
  db:exec "BEGIN; CREATE TABLE half (); PREPARE TRANSACTION 'half'"
  local RUN = [==[
def begin(**more): return dms.start_replication_task_assessment_run(**dict(base, **more))["ReplicationTaskAssessmentRun"]["ReplicationTaskAssessmentRunArn"]
def look(run): return dms.describe_replication_task_assessment_runs(Filters=[
  {"Name": "replication-task-assessment-run-arn", "Values": [run]}])["ReplicationTaskAssessmentRuns"][0]
]==]
  local lock <close> = pg.open(source.admin)
  lock:exec "BEGIN; LOCK TABLE customers"                                     -- an assessment that looks into it waits
  local first = ask(c, ids, RUN .. [==[
s3.create_bucket(Bucket="reports")
iam.create_role(RoleName="reports", AssumeRolePolicyDocument=trust("dms.amazonaws.com"))
role = iam.get_role(RoleName="reports")["Role"]["Arn"]
made = dms.create_replication_task(ReplicationTaskIdentifier="Move", SourceEndpointArn=ids["source"], TargetEndpointArn=ids["target"],
  ReplicationInstanceArn=ids["instance"], MigrationType="full-load-and-cdc", TableMappings=mapping(take("public", "%")))["ReplicationTask"]
arn = made["ReplicationTaskArn"]
wait_for(status, "ready")
names = dms.describe_applicable_individual_assessments(ReplicationTaskArn=arn)["IndividualAssessmentNames"]
base = dict(ReplicationTaskArn=arn, ServiceAccessRoleArn=role, ResultLocationBucket="reports", ResultLocationFolder="dms", AssessmentRunName="first")
def refused(**more): return code_of(dms.start_replication_task_assessment_run, **dict(base, **more))
codes = [refused(), refused(ResultLocationBucket="nowhere"), refused(IncludeOnly=names[:1], Exclude=names[1:2]), refused(IncludeOnly=["postgres-check-x"])]
assert codes == ["S3AccessDeniedFault", "S3ResourceNotFoundFault", "InvalidParameterCombinationException", "InvalidParameterValueException"], codes
iam.put_role_policy(RoleName="reports", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": "arn:aws:s3:::reports/*"}]}))
run = begin()
assert (status(), look(run)["Status"] in ("starting", "provisioning", "running"), refused(AssessmentRunName="second"),
  code_of(dms.delete_replication_task_assessment_run, ReplicationTaskAssessmentRunArn=run)) == ("testing", True, "InvalidResourceStateFault",
  "InvalidResourceStateFault"), look(run)
print(dms.cancel_replication_task_assessment_run(ReplicationTaskAssessmentRunArn=run)["ReplicationTaskAssessmentRun"]["Status"], run)
]==]):match "^cancelling (%S+)"
  lock:exec "ROLLBACK"
  local found = json.decode(ask(c, ids, RUN .. [==[
first, arn = sys.argv[2], task()["ReplicationTaskArn"]
wait_for(lambda: look(first)["Status"], "cancelled")
dms.delete_replication_task_assessment_run(ReplicationTaskAssessmentRunArn=first)
wait_for(lambda: code_of(look, run=first), "ResourceNotFoundFault")
wait_for(status, "ready")
names = dms.describe_applicable_individual_assessments(ReplicationTaskArn=arn)["IndividualAssessmentNames"]
base = dict(ReplicationTaskArn=arn, ServiceAccessRoleArn=iam.get_role(RoleName="reports")["Role"]["Arn"], ResultLocationBucket="reports",
  ResultLocationFolder="dms", AssessmentRunName="first")
run = begin()
wait_for(lambda: look(run)["Status"], "failed")
wait_for(status, "ready")
assert look(run)["AssessmentProgress"] == {"IndividualAssessmentCount": len(names), "IndividualAssessmentCompletedCount": len(names)}, look(run)
found = {}
for one in dms.describe_replication_task_individual_assessments(Filters=[
  {"Name": "replication-task-assessment-run-arn", "Values": [run]}])["ReplicationTaskIndividualAssessments"]:
    body = json.loads(s3.get_object(Bucket="reports", Key="dms/first/%s.json" % one["IndividualAssessmentName"])["Body"].read())
    if one["Status"] != "passed": found[one["IndividualAssessmentName"]] = " ".join([one["Status"]] + body["details"])
print(json.dumps(found))
]==], first))
  test.equal(found, FOUND)
  db:exec "ROLLBACK PREPARED 'half'"
  local ca = require "fs".read(c.ca.file)
  local said = ask(c, ids, [==[
arn = task()["ReplicationTaskArn"]
def why(how, **settings):
    dms.modify_endpoint(EndpointArn=ids["source"], PostgreSQLSettings=settings)
    dms.start_replication_task(ReplicationTaskArn=arn, StartReplicationTaskType=how)
    wait_for(status, "failed")
    print(task()["LastFailureMessage"])
why("start-replication")
why("reload-target", PluginName="pglogical")
ec2.revoke_security_group_egress(GroupId=ids["app"], IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
print(tested(ids["source"])["LastFailureMessage"])
print(message_of(dms.start_replication_task, ReplicationTaskArn=arn, StartReplicationTaskType="resume-processing"))
ec2.authorize_security_group_egress(GroupId=ids["app"], IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
dms.modify_endpoint(EndpointArn=ids["source"], Password="wrong", PostgreSQLSettings={"PluginName": "test-decoding"})
print(tested(ids["source"])["LastFailureMessage"])
dms.modify_endpoint(EndpointArn=ids["source"], Password=ids["password"], SslMode="require")
print(tested(ids["source"])["LastFailureMessage"])
# a target in a secret, verified
vault = boto3.client("secretsmanager").create_secret(Name="target", SecretString=json.dumps(
  {"username": "shop", "password": "tr0ub4dor&3", "host": ids["host"], "port": 5432}))["ARN"]
iam.create_role(RoleName="secrets", AssumeRolePolicyDocument=trust("dms.us-east-1.amazonaws.com"))
base = dict(EndpointIdentifier="vault", EndpointType="target", EngineName="postgres", DatabaseName="shop", SslMode="verify-full",
  PostgreSQLSettings={"SecretsManagerSecretId": vault, "SecretsManagerAccessRoleArn": iam.get_role(RoleName="secrets")["Role"]["Arn"]})
print(code_of(dms.create_endpoint, **base), code_of(dms.create_endpoint, **dict(base, SslMode="none", Username="x")),
  code_of(dms.create_endpoint, **dict(base, SslMode="none", ExtraConnectionAttributes="captureDdls=N;password=x")),
  code_of(dms.import_certificate, CertificateIdentifier="ca", CertificatePem="nothing"))
pem = dms.import_certificate(CertificateIdentifier="ca", CertificatePem=sys.argv[2])["Certificate"]
endpoint = dms.create_endpoint(CertificateArn=pem["CertificateArn"], **base)["Endpoint"]["EndpointArn"]
print(tested(endpoint)["LastFailureMessage"])
iam.put_role_policy(RoleName="secrets", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement":
  [{"Effect": "Allow", "Action": "secretsmanager:Get*", "Resource": vault}]}))
print(tested(endpoint)["Status"], code_of(dms.delete_certificate, CertificateArn=pem["CertificateArn"]))
dms.refresh_schemas(EndpointArn=endpoint, ReplicationInstanceArn=ids["instance"])
wait_for(lambda: dms.describe_refresh_schemas_status(EndpointArn=endpoint)["RefreshSchemasStatus"]["Status"], "successful")
print(dms.describe_schemas(EndpointArn=endpoint)["Schemas"])
]==], ca)
  local lines = {}
  for line in said:gmatch "[^\n]+" do lines[#lines + 1] = line end
  for i, wanted in ipairs {
    "Last Error Could not create the replication slot 'move_%x+': must be superuser or replication role.*Stop Reason FATAL_ERROR Error Level FATAL",
    "The plug%-in pglogical is not available", "timeout expired: 127.0.0.1 is not in the VPC, and the replication instance does not reach",
    "^Test connection for replication instance and endpoint should be successful", "password authentication failed for user",
    "server does not support SSL", "^" .. ("InvalidParameterCombinationException "):rep(3) .. "InvalidCertificateFault$",
    "The IAM role arn:aws:iam::%d+:role/secrets does not allow secretsmanager:GetSecretValue on", "^successful InvalidResourceStateFault$",
    "^%['public'%]$" } do test.match(lines[i] or "", wanted) end
  db:exec "ALTER ROLE shop REPLICATION"
  test.equal(ask(c, ids, [==[
dms.modify_endpoint(EndpointArn=ids["source"], SslMode="none", PostgreSQLSettings={"CaptureDdls": True})
assert tested(ids["source"])["Status"] == "successful"
dms.start_replication_task(ReplicationTaskArn=task()["ReplicationTaskArn"], StartReplicationTaskType="reload-target")
wait_for(status, "failed")
assert "permission denied to create event trigger" in task()["LastFailureMessage"], task()
arn = ids["instance"]
dms.add_tags_to_resource(ResourceArn=arn, Tags=[{"Key": "c", "Value": "d"}])
dms.remove_tags_from_resource(ResourceArn=arn, TagKeys=["a"])
print([(t["Key"], t["Value"]) for t in dms.list_tags_for_resource(ResourceArn=arn)["TagList"]])
print(code_of(dms.delete_replication_instance, ReplicationInstanceArn=arn), code_of(dms.delete_endpoint, EndpointArn=ids["source"]),
  code_of(dms.delete_replication_subnet_group, ReplicationSubnetGroupIdentifier="shop"), code_of(ec2.delete_security_group, GroupId=ids["app"]))
def mapped(*rules): return code_of(dms.modify_replication_task, ReplicationTaskArn=task()["ReplicationTaskArn"], TableMappings=mapping(*rules))
print(mapped({"rule-type": "selection"}), mapped(take("public", "%", "exclude")), mapped(take("public", "%"), {"rule-type": "transformation",
  "rule-target": "column", "rule-action": "rename", "value": "x", "object-locator": {"schema-name": "public", "table-name": "%"}}),
  code_of(dms.describe_replication_tasks, Filters=[{"Name": "replication-task-id", "Values": ["nothing"]}]),
  code_of(dms.modify_replication_task, ReplicationTaskArn=task()["ReplicationTaskArn"], ReplicationTaskSettings="{"))
dms.delete_replication_task(ReplicationTaskArn=task()["ReplicationTaskArn"])
dms.get_waiter("replication_task_deleted").wait(Filters=[{"Name": "replication-task-id", "Values": ["move"]}], WaiterConfig={"Delay": 1})
for endpoint in dms.describe_endpoints()["Endpoints"]: dms.delete_endpoint(EndpointArn=endpoint["EndpointArn"])
dms.get_waiter("endpoint_deleted").wait(Filters=[{"Name": "endpoint-arn", "Values": [ids["source"]]}], WaiterConfig={"Delay": 1})
dms.delete_replication_instance(ReplicationInstanceArn=arn)
dms.get_waiter("replication_instance_deleted").wait(Filters=[{"Name": "replication-instance-arn", "Values": [arn]}], WaiterConfig={"Delay": 1})
dms.delete_replication_subnet_group(ReplicationSubnetGroupIdentifier="shop")
print(dms.describe_connections()["Connections"], dms.describe_replication_subnet_groups()["ReplicationSubnetGroups"],
  [e["Message"] for e in dms.describe_events(SourceType="replication-instance", Duration=600)["Events"]][-1])
]==]), [[
[('c', 'd')]
InvalidResourceStateFault InvalidResourceStateFault InvalidResourceStateFault DependencyViolation
InvalidParameterValueException InvalidParameterValueException InvalidParameterValueException ResourceNotFoundFault InvalidParameterValueException
[] [] Replication instance deleted
]])
  test.equal(db:value "SELECT count(*) FROM pg_replication_slots", 0)
end

return T
