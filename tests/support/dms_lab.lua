--- DMS in a rehearsal cloud for conformance tests: a source outside, a target in RDS, a replication instance between them, and
--- Python with what its cases ask boto3 in common.
local test = require "test"
local json = require "json"
local lab = dofile "tests/support/vpc_lab.lua"
local postgres = require "rehearsal.planes.postgres"
local process = require "process"
local secret = require "secret"

local M = {}

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
    end = time.time() + 200
    while read()["Status"] == "testing" and time.time() < end: time.sleep(0.05)
    return read()
]]

function M.ask(c, ids, code, ...) return lab.python(c, SETUP .. code, { json.encode(ids), ... }) end

--- A source outside, a target in RDS, a replication instance in a public subnet between them.
function M.start(settings)
  local c, ids = lab.start(5432)
  local source = postgres.start { dir = test.tmpdir(), user = "shop", password = secret.new(PASSWORD), database = "shop",
    settings = settings or {}, admin = "rdsadmin", template = c.dir .. "/postgres.template" }        -- RDS copies what initdb made
  test.defer(function() source:stop() end)
  ids.source_port, ids.password = source.port, PASSWORD
  local found = json.decode(M.ask(c, ids, [==[
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
  local r = process.run { "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, prefix = prefix, timeout = 600,
    env = { PATH = os.getenv "PATH", PGHOST = host, PGPORT = tostring(port), PGUSER = "shop", PGPASSWORD = password, PGDATABASE = "shop",
            PGCONNECT_TIMEOUT = "60" } }
  test.equal(r.code, 0, r.stderr)
  return r.stdout
end

--- What a query answers at the target, asked from the app's machine.
function M.at_target(c, ids, sql)
  c.app = c.app or lab.host(c, ids, "10.77.1.200", "app")
  return psql(c.app.prefix, ids.host, 5432, "tr0ub4dor&3", sql)
end

function M.at_source(ids, sql) return psql(nil, "127.0.0.1", ids.source_port, PASSWORD, sql) end

M.TABLES = [[
  CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL, active boolean, born date, data jsonb, tags text[], price numeric(12,2));
  CREATE TABLE orders (id bigserial PRIMARY KEY, customer_id integer REFERENCES customers, note varchar(200), at timestamptz DEFAULT now());
  CREATE TABLE "Odd Name" (a integer, "B c" text);
]]

M.SUMS = [[SELECT (SELECT count(*) || md5(string_agg(t::text, '|' ORDER BY id)) FROM customers t),
    (SELECT count(*) || md5(string_agg(t::text, '|' ORDER BY id)) FROM orders t), (SELECT string_agg(t::text, '|' ORDER BY a) FROM "Odd Name" t)]]

return M
