--- What DMS in the rehearsal refuses and finds, in AWS's words, as boto3 sees it.
local test = require "test"
local dms = dofile "tests/support/dms_lab.lua"
local authority = require "rehearsal.planes.ca"
local fs = require "fs"
local json = require "json"
local pg = require "pg"

local T = test.cases()

local ask, start, at_target, TABLES = dms.ask, dms.start, dms.at_target, dms.TABLES

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
  local ca, other = fs.read(c.ca.file), fs.read(authority.new(test.tmpdir(), "another").file)
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
other = dms.import_certificate(CertificateIdentifier="other", CertificatePem=sys.argv[3])["Certificate"]["CertificateArn"]
dms.modify_endpoint(EndpointArn=endpoint, CertificateArn=other)
print(tested(endpoint)["LastFailureMessage"])
dms.modify_endpoint(EndpointArn=endpoint, CertificateArn=pem["CertificateArn"])
dms.delete_certificate(CertificateArn=other)
print([c["CertificatePem"] == sys.argv[2] for c in dms.describe_certificates()["Certificates"]], tested(endpoint)["Status"])
dms.refresh_schemas(EndpointArn=endpoint, ReplicationInstanceArn=ids["instance"])
wait_for(lambda: dms.describe_refresh_schemas_status(EndpointArn=endpoint)["RefreshSchemasStatus"]["Status"], "successful")
print(dms.describe_schemas(EndpointArn=endpoint)["Schemas"])
]==], ca, other)
  local lines = {}
  for line in said:gmatch "[^\n]+" do lines[#lines + 1] = line end
  for i, wanted in ipairs {
    "Last Error Could not create the replication slot 'move_%x+': must be superuser or replication role.*Stop Reason FATAL_ERROR Error Level FATAL",
    "The plug%-in pglogical is not available", "timeout expired: 127.0.0.1 is not in the VPC, and the replication instance does not reach",
    "^Test connection for replication instance and endpoint should be successful", "password authentication failed for user",
    "server does not support SSL", "^" .. ("InvalidParameterCombinationException "):rep(3) .. "InvalidCertificateFault$",
    "The IAM role arn:aws:iam::%d+:role/secrets does not allow secretsmanager:GetSecretValue on", "^successful InvalidResourceStateFault$",
    "^Test Endpoint failed: Application%-Status: 1020912, Application%-Message: Failed to connect .*SSL error: certificate verify failed",
    "^%[True%] successful$", "^%['public'%]$" } do test.match(lines[i] or "", wanted) end
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
