--- DMS in the rehearsal: boto3 and the AWS CLI move a database from a server outside into RDS, all at once and with changes
--- that go on.
local test = require "test"
local dms = dofile "tests/support/dms_lab.lua"
local pg = require "pg"
local process = require "process"
local task = require "task"

local T = test.cases()

local ask, start, at_source, at_target, TABLES, SUMS = dms.ask, dms.start, dms.at_source, dms.at_target, dms.TABLES, dms.SUMS

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
    timeout = 300, "--replication-task-arn", arn, "--query", "sort_by(TableStatistics, &TableName)[].[TableName, TableState, FullLoadRows]" }
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
    while not (stopped and n > 50) do
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
  local wanted, deadline = at_source(ids, sql), task.now() + 120
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
  at_target(c, ids, "SET session_replication_role = replica; DELETE FROM customers WHERE id % 2 = 0")   -- orders refer to them
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
  at_source(ids, "INSERT INTO orders (note) VALUES ('in time')")          -- committed before the second that is the limit
  local limit = at_source(ids, [[SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC' + interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS')]])
    :gsub("%s+$", "")
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

return T
