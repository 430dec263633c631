--- The nouns of the migration's provisioning stages against moto, an AWS that none of us wrote: made, found unchanged
--- by a second apply, read back by boto3, deleted. What moto 5.2 does not have is left out here, and only that:
---   EC2 GetConsoleOutput shows no ssh host key, so the parts of aws.bastion stand here without its wait for that key;
---   ElastiCache has no CreateCacheParameterGroup, ModifyReplicationGroup, DeleteCacheSubnetGroup, and does not know the
---   engine valkey: aws.cache is judged in the rehearsal cloud only (tests/recipes/rehearsal_test.lua);
---   Elastic Beanstalk has no application versions, no configuration of environments, and cannot end one: likewise.
local fs = require "fs"
local http = require "http"
local json = require "json"
local process = require "process"
local retry = require "retry"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"

local recipe = [[
local recipe, task = require "recipe", require "task"
local aws, json = require "aws", require "json"
local secret, ssh = require "secret", require "ssh"
local opt = recipe.options { { "colour", "tag of the network", default = "blue" }, { "days", "of the logs", default = 30 } }

recipe.stage "network"
local net = aws.network { "moto-shop", cidr = "10.40.0.0/16", zones = 2, tags = { colour = opt.colour } }
local app = aws.security_group { "moto-shop-app", vpc = net.id, description = "the machines of the app" }

recipe.stage "bastion"
local key = aws.secret { "moto-shop-bastion-key", generate = function() return ssh.keygen().private end }
local public = recipe.is_unknown(key.value) and key.value or ssh.public_key(key.value)
local pair = aws.key_pair { "moto-shop-bastion", public_key = public }
local door = aws.security_group { "moto-shop-bastion", vpc = net.id, rules = { { port = 22, from = "203.0.113.7/32", why = "me" } } }
local image = aws.ssm:get_parameter({ Name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64" }).Parameter.Value
local machine = aws.instance { "moto-shop-bastion", image = image, type = "t3.micro", subnet = net.public[1], groups = { door.id },
                               key = pair.name, public = true, gigabytes = 8 }

recipe.stage "stores"
local db = aws.postgres { "moto-shop", network = net, allow = { app.id, door.id }, version = "16", class = "db.t4g.micro", gigabytes = 20 }

recipe.stage "config"
aws.secret { "moto-shop/config", value = { SESSION_SECRET = "s", SHOP_NAME = "Rehearsal & Sons" }, description = "config vars" }

recipe.stage "deploy"
local role = aws.role { "moto-shop-machine", service = "ec2.amazonaws.com", policies = { "AWSElasticBeanstalkWebTier" } }
aws.instance_profile { "moto-shop-machine", role = role.name }
local bucket = aws.bucket { "hkrun-moto-shop-123456789012-us-east-1" }
aws.object { "shop v1.zip", bucket = bucket.id, file = "bundle.zip", type = "application/zip" }
aws.log_group { "/moto/shop", days = opt.days }

recipe.stage "alarms"
local topic = aws.topic { "moto-shop-alarms" }
aws.subscription { "moto-shop-alarms", topic = topic.arn, protocol = "email", endpoint = "ops@example.com" }
aws.alarm { "moto-shop-db-cpu", namespace = "AWS/RDS", metric = "CPUUtilization", dimensions = { DBInstanceIdentifier = db.id },
            threshold = 80, actions = { topic.arn } }
recipe.report("Made", { { "machine", machine.id } })
]]

--- What boto3 sees, as plain data; ids are resolved to names so that it can be compared with what was asked for.
local READ = [==[
import json, sys, boto3
def c(name): return boto3.client(name, endpoint_url=sys.argv[1], region_name="us-east-1")
ec2, rds, iam, s3, sm, logs, sns, cw = (c(n) for n in "ec2 rds iam s3 secretsmanager logs sns cloudwatch".split())
mine = lambda key: [{"Name": key, "Values": ["moto-shop*"]}]
tags = lambda x: {t["Key"]: t["Value"] for t in x.get("Tags", x.get("TagList", []))}
out = {}
vpcs = ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["moto-shop"]}])["Vpcs"]
out["vpcs"] = [[v["CidrBlock"], tags(v).get("colour")] for v in vpcs]
vpc = vpcs[0]["VpcId"] if vpcs else "vpc-none"
here = [{"Name": "vpc-id", "Values": [vpc]}]
subnets = ec2.describe_subnets(Filters=here)["Subnets"]
out["subnets"] = sorted([s["AvailabilityZone"], s["CidrBlock"], s["MapPublicIpOnLaunch"]] for s in subnets)
gateways = ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [vpc]}])["InternetGateways"]
out["gateways"] = len(gateways)
open_subnets = set()
for t in ec2.describe_route_tables(Filters=here)["RouteTables"]:
    if any(r.get("GatewayId") == gateways[0]["InternetGatewayId"] and r["DestinationCidrBlock"] == "0.0.0.0/0" for r in t["Routes"]):
        open_subnets |= {a["SubnetId"] for a in t["Associations"] if "SubnetId" in a}
out["routed_to_internet"] = sorted(s["CidrBlock"] for s in subnets if s["SubnetId"] in open_subnets)
groups = ec2.describe_security_groups(Filters=here)["SecurityGroups"]
name = {g["GroupId"]: g["GroupName"] for g in groups}
out["rules"] = sorted([g["GroupName"], p.get("FromPort"), peer] for g in groups if g["GroupName"] != "default" for p in g["IpPermissions"]
    for peer in [r["CidrIp"] for r in p["IpRanges"]] + [name[x["GroupId"]] for x in p["UserIdGroupPairs"]])
out["groups"] = sorted(g["GroupName"] for g in groups if g["GroupName"] != "default")
machines = [i for r in ec2.describe_instances(Filters=here)["Reservations"] for i in r["Instances"]
            if i["State"]["Name"] not in ("terminated", "shutting-down")]
out["machines"] = [[i["InstanceType"], i["KeyName"], [name[g["GroupId"]] for n in i["NetworkInterfaces"] for g in n["Groups"]], i["SubnetId"] in open_subnets] for i in machines]
out["keys"] = [k["KeyName"] for k in ec2.describe_key_pairs()["KeyPairs"]]
dbs = rds.describe_db_instances()["DBInstances"]
out["dbs"] = [[d["DBInstanceIdentifier"], d["Engine"], d["EngineVersion"].split(".")[0], d["DBInstanceClass"], d["AllocatedStorage"],
               d["PubliclyAccessible"], d["StorageEncrypted"], d["DBInstanceStatus"],
               sorted(name.get(g["VpcSecurityGroupId"], "?") for g in d["VpcSecurityGroups"])] for d in dbs]
out["db_subnets"] = [sorted(s["SubnetIdentifier"] in open_subnets for s in g["Subnets"])
                     for g in rds.describe_db_subnet_groups()["DBSubnetGroups"] if g["DBSubnetGroupName"].startswith("moto-shop")]
out["db_parameter_groups"] = [g["DBParameterGroupFamily"] for g in rds.describe_db_parameter_groups()["DBParameterGroups"]
                              if g["DBParameterGroupName"].startswith("moto-shop")]
out["roles"] = [[p["PolicyName"] for p in iam.list_attached_role_policies(RoleName=r["RoleName"])["AttachedPolicies"]]
                for r in iam.list_roles()["Roles"] if r["RoleName"] == "moto-shop-machine"]
out["profiles"] = [[p["InstanceProfileName"], [r["RoleName"] for r in p["Roles"]]] for p in iam.list_instance_profiles()["InstanceProfiles"]]
buckets = [b["Name"] for b in s3.list_buckets()["Buckets"]]
out["objects"] = [[b, o["Key"], o["Size"]] for b in buckets for o in s3.list_objects_v2(Bucket=b).get("Contents", [])]
out["blocked"] = [sorted(set(s3.get_public_access_block(Bucket=b)["PublicAccessBlockConfiguration"].values())) for b in buckets]
out["secrets"] = sorted(s["Name"] for s in sm.list_secrets()["SecretList"] if s["Name"].startswith("moto-shop"))
if "moto-shop/config" in out["secrets"]:
    out["config"] = json.loads(sm.get_secret_value(SecretId="moto-shop/config")["SecretString"])
out["logs"] = [[g["logGroupName"], g.get("retentionInDays")] for g in logs.describe_log_groups(logGroupNamePrefix="/moto")["logGroups"]]
out["subscriptions"] = [[s["Protocol"], s["Endpoint"]] for s in sns.list_subscriptions()["Subscriptions"]]
out["topics"] = [t["TopicArn"].split(":")[-1] for t in sns.list_topics()["Topics"]]
out["alarms"] = [[a["AlarmName"], a["Namespace"], a["MetricName"], a["Threshold"], [x.split(":")[-1] for x in a["AlarmActions"]],
                  {d["Name"]: d["Value"] for d in a["Dimensions"]}] for a in cw.describe_alarms()["MetricAlarms"]]
print(json.dumps(out))
]==]

local MADE = {
  vpcs = { { "10.40.0.0/16", "blue" } },
  subnets = { { "us-east-1a", "10.40.0.0/20", true }, { "us-east-1a", "10.40.128.0/20", false },
              { "us-east-1b", "10.40.144.0/20", false }, { "us-east-1b", "10.40.16.0/20", true } },
  gateways = 1, routed_to_internet = { "10.40.0.0/20", "10.40.16.0/20" },
  groups = { "moto-shop-app", "moto-shop-bastion", "moto-shop-db" },
  rules = { { "moto-shop-bastion", 22, "203.0.113.7/32" }, { "moto-shop-db", 5432, "moto-shop-app" }, { "moto-shop-db", 5432, "moto-shop-bastion" } },
  machines = { { "t3.micro", "moto-shop-bastion", { "moto-shop-bastion" }, true } }, keys = { "moto-shop-bastion" },
  dbs = { { "moto-shop", "postgres", "16", "db.t4g.micro", 20, false, true, "available", { "moto-shop-db" } } },
  db_subnets = { { false, false } }, db_parameter_groups = { "postgres16" },
  roles = { { "AWSElasticBeanstalkWebTier" } }, profiles = { { "moto-shop-machine", { "moto-shop-machine" } } },
  objects = { { "hkrun-moto-shop-123456789012-us-east-1", "shop v1.zip", 1000 } }, blocked = { { true } },
  config = { SESSION_SECRET = "s", SHOP_NAME = "Rehearsal & Sons" },
  logs = { { "/moto/shop", 30 } }, topics = { "moto-shop-alarms" }, subscriptions = { { "email", "ops@example.com" } },
  alarms = { { "moto-shop-db-cpu", "AWS/RDS", "CPUUtilization", 80.0, { "moto-shop-alarms" }, { DBInstanceIdentifier = "moto-shop" } } },
}

local function start_moto()
  local port = fs.free_port()
  local server = process.start { test.tool "moto_server", "-H", "127.0.0.1", "-p", tostring(port), stdout = "null", stderr = "null",
                                 env = { PATH = os.getenv "PATH", HOME = os.getenv "HOME", LANG = "C.UTF-8",
                                         MOTO_IAM_LOAD_MANAGED_POLICIES = "true" } }
  test.defer(function() server:stop() end)
  local url = "http://127.0.0.1:" .. port
  retry.call(function() http.get(url .. "/moto-api/", { timeout = 5 }) end, { attempts = 300, base = 0.2, cap = 0.4 })
  return url
end

T["moto: the provisioning nouns are made, found unchanged, read back by boto3, changed, and deleted"] = function()
  local url, dir = start_moto(), test.tmpdir()
  local env = { AWS_ENDPOINT_URL = url, AWS_ACCESS_KEY_ID = "AK", AWS_SECRET_ACCESS_KEY = "SK", AWS_REGION = "us-east-1", HOME = dir,
                LANG = "C.UTF-8",
                PATH = os.getenv "PATH", NO_PROXY = "*", HKRUN_SETTLE = "0",
                HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB") }
  fs.write(dir .. "/provision.lua", recipe)
  fs.write(dir .. "/bundle.zip", ("x"):rep(1000))
  local function hkrun(...)
    local r = process.run { env = env, cwd = dir, stdin = "", timeout = 600, exe, ... }
    if r.code ~= 0 then error(table.concat({ ... }, " ") .. ": " .. r.stdout .. r.stderr, 2) end
    return r.stdout
  end
  local function world()
    local r = process.run { test.tool "python3", "-c", READ, url, env = env, timeout = 300 }
    if r.code ~= 0 then error(r.stderr, 2) end
    return json.decode(r.stdout)
  end

  test.match(hkrun("plan", "provision.lua"), "moto%-shop")
  test.equal(world().vpcs, {}, "what plan made")
  test.match(hkrun("apply", "provision.lua", "--yes"), "Done: %d+ created")
  local have = world()
  for name, want in pairs(MADE) do test.equal(have[name], want, name) end
  for _, name in ipairs { "moto-shop-bastion-key", "moto-shop/config" } do
    test.truthy(table.concat(have.secrets, "\n"):find(name, 1, true), name .. " in Secrets Manager")
  end
  test.match(hkrun("apply", "provision.lua", "--yes"), "no changes\n$")

  test.match(hkrun("apply", "provision.lua", "--yes", "--colour", "red", "--days", "14"), "changed")
  have = world()
  test.equal({ have.vpcs, have.logs }, { { { "10.40.0.0/16", "red" } }, { { "/moto/shop", 14 } } }, "after a change")

  hkrun("destroy", "provision.lua", "--yes")
  have = world()
  for _, name in ipairs { "vpcs", "subnets", "groups", "machines", "keys", "dbs", "db_subnets", "db_parameter_groups", "roles", "profiles", "objects",
                          "blocked", "secrets", "logs", "subscriptions", "topics", "alarms" } do
    test.equal(have[name], {}, name .. " after destroy")
  end
  test.equal(have.gateways, 0)
end

return T
