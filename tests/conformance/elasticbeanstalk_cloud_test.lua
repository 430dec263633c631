--- Elastic Beanstalk in the rehearsal, driven by boto3: the app is really there.
local test = require "test"
local cloud = require "rehearsal.cloud"
local fs = require "fs"
local process = require "process"
local zip = require "zip"

local T = test.cases()

local HEAD = [==[
import boto3, botocore, json, time, urllib.request, urllib.error, sys
ec2, iam, s3, sm, logs = (boto3.client(n) for n in ("ec2", "iam", "s3", "secretsmanager", "logs"))
eb = boto3.client("elasticbeanstalk")
Error = botocore.exceptions.ClientError

facing = []                              # the second subnet, where load balancers stand, too

def network(public=True):
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
    facing.append(ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.2.0/24", AvailabilityZone="us-east-1b")["Subnet"]["SubnetId"])
    if public:
        igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
        rt = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=rt, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
        for s in (subnet, facing[-1]): ec2.associate_route_table(RouteTableId=rt, SubnetId=s)
    return vpc, subnet

def profile():
    trust = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=trust)
    iam.create_instance_profile(InstanceProfileName="app")
    iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")

def option(namespace, name, value): return {"Namespace": namespace, "OptionName": name, "Value": value}

def options(vpc, subnet):
    return [option("aws:ec2:vpc", "VPCId", vpc), option("aws:ec2:vpc", "Subnets", subnet), option("aws:ec2:vpc", "ELBSubnets", subnet + "," + facing[-1]),
            option("aws:ec2:vpc", "AssociatePublicIpAddress", "true"), option("aws:autoscaling:launchconfiguration", "IamInstanceProfile", "app"),
            option("aws:elasticbeanstalk:environment", "LoadBalancerType", "application")]

STACK = "64bit Amazon Linux 2023 v4.9.3 running Docker"

def env(name="shop-production", deleted=False):
    found = eb.describe_environments(EnvironmentNames=[name], IncludeDeleted=deleted)["Environments"]
    return found[-1] if found else None

def until(what, fn, seconds=200):
    end = time.time() + seconds
    while time.time() < end:
        value = fn()
        if value: return value
        time.sleep(0.2)
    show()
    sys.exit("waited for " + what)

def status(wanted, name="shop-production", deleted=False):
    return until(wanted, lambda: (lambda e: e if e and e["Status"] == wanted else None)(env(name, deleted)))

def show(*_):
    for e in eb.describe_events()["Events"]: print(e["Severity"], e["Message"], file=sys.stderr)
sys.excepthook = (lambda before: lambda *args: (show(), before(*args)))(sys.excepthook)

def get(path="/"):
    try: return urllib.request.urlopen("http://" + env()["CNAME"] + path, timeout=60).read().decode()
    except urllib.error.HTTPError as e: return str(e.code)

def code(call, **args):
    try: call(**args); return "no error"
    except Error as e: return e.response["Error"]["Code"]

def messages(): return [e["Message"] for e in eb.describe_events()["Events"]]
]==]

local function python(c, code)
  local isolated = ("ISOLATED = %s\n"):format(c.net.isolated and "True" or "False")
  local r = process.run { test.tool "python3", "-c", HEAD .. isolated .. code, env = c:env(), timeout = 800 }
  if r.code ~= 0 then error(r.stderr) end
  return r.stdout
end

local function start()
  return cloud.start { dir = fs.join(test.tmpdir(), "cloud") }
end

--- Who the app is: nobody, or root of a user namespace where hkrun is an ordinary user.
local UID = fs.uid() == 0 and "65534" or "0"

local WEB = [==[
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = {"/": "ok", "/env": os.environ.get("PLAIN", "-") + " " + os.environ.get("API_KEY", "-") + " " + os.environ.get("GREETING", "-") + os.environ.get("PARAMETER", ""),
                "/who": str(os.getuid()) + " " + os.path.basename(os.getcwd())}.get(self.path)
        if os.environ.get("BROKEN"): body = None
        self.send_response(200 if body else 500)
        self.end_headers()
        self.wfile.write((body or "broken").encode())
    def log_message(self, *args): print("asked", self.path, flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
]==]

local COMPOSE = [==[
services:
  web:
    build: .
    env_file: .env
    environment: { PORT: "8080" }
    ports: ["80:8080"]
  worker:
    build: .
    command: ["sh", "/app/worker.sh"]
    env_file: [.env]
    deploy: { replicas: "${WORKERS:-1}" }
]==]

local DOCKERFILE = [==[
FROM python:3.13-slim
WORKDIR /app
COPY app/ /app
RUN apt-get update
ENV GREETING="hello world" PYTHONUNBUFFERED=1
CMD ["python3", "/app/web.py"]
]==]

--- A bundle in a file that python can upload.
local function bundle(files)
  local list = {}
  for path, data in pairs(files) do list[#list + 1] = { path = path, data = data } end
  local file = fs.join(test.tmpdir(), "bundle.zip")
  zip.pack(list, { to = file })
  return file
end

T["an environment runs the sample app, then a bundle with web and worker, and leaves nothing"] = function()
  local c <close> = start()
  local file = bundle { ["docker-compose.yml"] = COMPOSE, Dockerfile = DOCKERFILE, ["app/web.py"] = WEB,
    ["app/worker.sh"] = "echo worker has $PLAIN\nwhile true; do sleep 1; done\n" }
  local out = python(c, ("FILE = %q\n"):format(file) .. [==[
vpc, subnet = network()
profile()
print(code(eb.create_application_version, ApplicationName="shop", VersionLabel="v1"), env())
eb.create_application(ApplicationName="shop", Tags=[{"Key": "a", "Value": "b"}])
print(code(eb.create_application, ApplicationName="shop"))
s3.create_bucket(Bucket="bundles-1")
s3.upload_file(FILE, "bundles-1", "v1.zip")
print(code(eb.create_application_version, ApplicationName="shop", VersionLabel="v1", SourceBundle={"S3Bucket": "bundles-1", "S3Key": "none.zip"}))
v = eb.create_application_version(ApplicationName="shop", VersionLabel="v1", SourceBundle={"S3Bucket": "bundles-1", "S3Key": "v1.zip"}, Process=True)
print(v["ApplicationVersion"]["Status"])
until("PROCESSED", lambda: eb.describe_application_versions(ApplicationName="shop")["ApplicationVersions"][0]["Status"] == "PROCESSED")
e = eb.create_environment(ApplicationName="shop", EnvironmentName="shop-production", SolutionStackName=STACK, OptionSettings=options(vpc, subnet))
print(e["Status"], e["Health"], code(eb.update_environment, EnvironmentName="shop-production", Description="x"))
e = status("Ready")
until("Green", lambda: env()["Health"] == "Green")
print("Congratulations" in get("/"), get("/none"))
print(ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["awseb-*"]}])["SecurityGroups"][0]["IpPermissions"][0]["FromPort"])
print(code(ec2.delete_subnet, SubnetId=subnet))
arn = sm.create_secret(Name="shop/config", SecretString='{"API_KEY":"s3cr3t"}')["ARN"]
E, L = "aws:elasticbeanstalk:application:environment", "aws:elasticbeanstalk:cloudwatch:logs"
ssm = boto3.client("ssm")
ssm.put_parameter(Name="/shop/p", Value=", said a parameter", Type="SecureString", Tags=[{"Key": "a", "Value": "b"}])
print(code(ssm.put_parameter, Name="/shop/p", Value="x", Type="SecureString"), code(ssm.get_parameter, Name="/shop/q"),
      code(ssm.put_parameter, Name="/shop/q", Value="x" * 4097, Type="SecureString"), ssm.get_parameter(Name="/shop/p")["Parameter"]["Value"] == ", said a parameter",
      ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/shop/p")["TagList"], [p["Name"] for p in ssm.describe_parameters()["Parameters"]])
eb.update_environment(EnvironmentName="shop-production", VersionLabel="v1", OptionSettings=[option(E, "PLAIN", "plain"),
  option("aws:elasticbeanstalk:application:environmentsecrets", "PARAMETER", ssm.get_parameter(Name="/shop/p")["Parameter"]["ARN"]),
  option("aws:elasticbeanstalk:application:environmentsecrets", "API_KEY", arn + ":API_KEY"), option(L, "StreamLogs", "true"), option(L, "DeleteOnTerminate", "true"),
  option(L, "RetentionInDays", "14")])
print(env()["Status"], env()["AbortableOperationInProgress"])
e = status("Ready")
until("Green", lambda: env()["Health"] == "Green")
print(e["VersionLabel"], get("/env"), "|", get("/who"))
print(code(eb.delete_application_version, ApplicationName="shop", VersionLabel="v1"))
group = "/aws/elasticbeanstalk/shop-production/worker"
print(until("worker's line", lambda: [x["message"] for x in logs.filter_log_events(logGroupName=group)["events"]])[0],
      logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["retentionInDays"])
eb.request_environment_info(EnvironmentName="shop-production", InfoType="tail")
info = until("logs", lambda: eb.retrieve_environment_info(EnvironmentName="shop-production", InfoType="tail")["EnvironmentInfo"])[0]
print("worker has plain" in urllib.request.urlopen(info["Message"]).read().decode())
settings = eb.describe_configuration_settings(ApplicationName="shop", EnvironmentName="shop-production")["ConfigurationSettings"][0]["OptionSettings"]
found = {(s["Namespace"], s["OptionName"]): s.get("Value") for s in settings}
print(found[(E, "PLAIN")], found[("aws:elasticbeanstalk:command", "Timeout")], found[(L, "RetentionInDays")],
      [(s["Namespace"], s["OptionName"]) for s in settings] == sorted(found))
h = eb.describe_environment_health(EnvironmentName="shop-production", AttributeNames=["All"])
i = eb.describe_instances_health(EnvironmentName="shop-production", AttributeNames=["All"])["InstanceHealthList"][0]
print(h["Color"], h["HealthStatus"], h["InstancesHealth"]["Ok"], len(i["System"]["LoadAverage"]), i["Deployment"]["VersionLabel"])
print(any("does not build images: RUN apt-get update" in m for m in messages()))
eb.update_environment(EnvironmentName="shop-production", OptionSettings=[option(E, "BROKEN", "1"), option(E, "WORKERS", "0")])
status("Ready")
print(env()["Health"], eb.describe_environment_health(EnvironmentName="shop-production", AttributeNames=["All"])["Causes"][0])
eb.terminate_environment(EnvironmentName="shop-production")
print(env()["Status"])
e = status("Terminated", deleted=True)
print(env(), ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["awseb-*"]}])["SecurityGroups"],
      logs.describe_log_groups(logGroupNamePrefix="/aws/elasticbeanstalk")["logGroups"])
eb.delete_application_version(ApplicationName="shop", VersionLabel="v1")
ec2.delete_subnet(SubnetId=subnet)
eb.delete_application(ApplicationName="shop")
print(eb.describe_applications(ApplicationNames=["shop"])["Applications"])
]==])
  test.equal(out, table.concat({
    "InvalidParameterValue None", "InvalidParameterValue", "InvalidParameterValue", "PROCESSING", "Launching Grey InvalidParameterValue",
    "True 404", "80", "DependencyViolation",
    "ParameterAlreadyExists ParameterNotFound ValidationException False [{'Key': 'a', 'Value': 'b'}] ['/shop/p']",
    "Updating True", "v1 plain s3cr3t hello world, said a parameter | " .. UID .. " app", "SourceBundleDeletionFailure",
    "worker has plain 14", "True", "plain 600 14 True", "Green Ok 1 3 v1", "True",
    "Red 100.0 % of the requests to the path / are failing with HTTP 500.", "Terminating", "None [] []", "[]", "" }, "\n"))
end

local START = [==[
#!/bin/bash
export HOME=/app
cd /app
for file in /app/.profile.d/*.sh; do [ -r "$file" ] && . "$file"; done
exec "$@"
]==]

local SLUG = [==[
FROM heroku/heroku:24
USER root
COPY --chown=1000:1000 app/ /app/
COPY start /start
ENV HOME=/app
WORKDIR /app
ENTRYPOINT ["/start"]
]==]

local SLUG_COMPOSE = [==[
services:
  web:
    build: .
    command: ["/bin/bash", "-c", "exec python3 $$WEB_FILE"]
    env_file: [".env"]
    environment: { PORT: "8080" }
    ports: ["80:8080"]
  clock:
    build: .
    command: ["/bin/bash", "-c", "echo tick; sleep 1; exit 3"]
    env_file: [".env"]
]==]

T["a slug sees itself in /app, and a process that ends makes the environment Red"] = function()
  local c <close> = start()
  local files = { ["docker-compose.yml"] = SLUG_COMPOSE, Dockerfile = SLUG, ["app/web.py"] = WEB,
                  ["app/.profile.d/python.sh"] = "export GREETING=$HOME/lib WEB_FILE=/app/web.py\n" }
  local list = { { path = "start", data = START, mode = 493 } }
  for path, data in pairs(files) do list[#list + 1] = { path = path, data = data } end
  local file = fs.join(test.tmpdir(), "slug.zip")
  zip.pack(list, { to = file })
  local out = python(c, ("FILE = %q\n"):format(file) .. [==[
vpc, subnet = network()
profile()
eb.create_application(ApplicationName="shop")
s3.create_bucket(Bucket="bundles-1")
s3.upload_file(FILE, "bundles-1", "v1.zip")
eb.create_application_version(ApplicationName="shop", VersionLabel="v1", SourceBundle={"S3Bucket": "bundles-1", "S3Key": "v1.zip"})
e = eb.create_environment(ApplicationName="shop", EnvironmentName="shop-production", SolutionStackName=STACK, OptionSettings=options(vpc, subnet), VersionLabel="v1")
status("Ready")
until("Red", lambda: env()["Health"] == "Red")
h = eb.describe_environment_health(EnvironmentName="shop-production", AttributeNames=["All"])
print(get("/env"), get("/who"), h["HealthStatus"], h["Causes"])
print(eb.describe_instances_health(EnvironmentName="shop-production", AttributeNames=["All"])["InstanceHealthList"][0]["Color"])
]==])
  test.equal(out, "- - /app/lib " .. UID .. " app Degraded ['clock-1 ended with code 3']\nRed\n")
end

T["a restart reads secrets again, a broken version leaves the old one, addresses can be swapped"] = function()
  local c <close> = start()
  local file = bundle { ["docker-compose.yml"] = COMPOSE:gsub("worker:.*$", ""):gsub("%s+$", "\n"), Dockerfile = DOCKERFILE, ["app/web.py"] = WEB }
  local quiet = bundle { ["docker-compose.yml"] = "services: { worker: { build: ., command: sleep 1000 } }\n", Dockerfile = "FROM debian:12\n" }
  local image = bundle { ["docker-compose.yml"] = "services: { web: { image: nginx, ports: ['80:80'] } }\n" }
  local out = python(c, ("FILE, IMAGE, QUIET = %q, %q, %q\n"):format(file, image, quiet) .. [==[
vpc, subnet = network()
profile()
eb.create_application(ApplicationName="shop")
s3.create_bucket(Bucket="bundles-1")
for label, name in (("v1", FILE), ("v2", IMAGE), ("w1", QUIET)):
    s3.upload_file(name, "bundles-1", label)
    eb.create_application_version(ApplicationName="shop", VersionLabel=label, SourceBundle={"S3Bucket": "bundles-1", "S3Key": label})
arn = sm.create_secret(Name="shop/config", SecretString='{"API_KEY":"old"}')["ARN"]
settings = options(vpc, subnet) + [option("aws:elasticbeanstalk:application:environmentsecrets", "API_KEY", arn + ":API_KEY")]
eb.create_environment(ApplicationName="shop", EnvironmentName="shop-production", SolutionStackName=STACK, OptionSettings=settings, VersionLabel="v1")
eb.create_environment(ApplicationName="shop", EnvironmentName="shop-staging", SolutionStackName=STACK, OptionSettings=options(vpc, subnet))
status("Ready")
status("Ready", "shop-staging")
sm.put_secret_value(SecretId=arn, SecretString='{"API_KEY":"new"}')
before = get("/env")
eb.restart_app_server(EnvironmentName="shop-production")
status("Ready")
print(before, "|", get("/env"))
eb.update_environment(EnvironmentName="shop-production", VersionLabel="v2", OptionSettings=[option("aws:elasticbeanstalk:application:environment", "PLAIN", "x")])
status("Ready")
e = env()
print(e["VersionLabel"], get("/env"), any("the image nginx is in no registry" in m for m in messages()))
eb.update_environment(EnvironmentName="shop-production", OptionSettings=[option("aws:elasticbeanstalk:application:environmentsecrets", "OTHER", arn + ":NONE")])
eb.abort_environment_update(EnvironmentName="shop-production")
print(env()["Status"])
status("Ready")
print(get("/"), code(eb.abort_environment_update, EnvironmentName="shop-production"))
if ISOLATED:
    eb.swap_environment_cnames(SourceEnvironmentName="shop-production", DestinationEnvironmentName="shop-staging")
    other = env("shop-staging")["CNAME"]
    print(e["CNAME"] == other, "Congratulations" in urllib.request.urlopen("http://" + other, timeout=60).read().decode(), get("/env"))
else: print("True True - new hello world")
eb.create_environment(ApplicationName="shop", EnvironmentName="shop-worker", SolutionStackName=STACK, VersionLabel="w1",
  OptionSettings=options(vpc, subnet) + [option("aws:elasticbeanstalk:environment", "EnvironmentType", "SingleInstance")])
print(status("Ready", "shop-worker")["Health"])
eb.delete_application(ApplicationName="shop", TerminateEnvByForce=True)
until("the end of the application", lambda: not eb.describe_applications()["Applications"])
print(eb.describe_environments()["Environments"])
]==])
  test.equal(out, table.concat({ "- old hello world | - new hello world", "v1 - new hello world True", "Aborting", "ok InvalidParameterValue",
    "True True - new hello world", "Green", "[]", "" }, "\n"))
end

T["what AWS refuses is refused"] = function()
  local c <close> = start()
  local out = python(c, [==[
vpc, subnet = network(public=False)
eb.create_application(ApplicationName="shop")
def create(name, settings, **more): return dict(ApplicationName="shop", EnvironmentName=name, SolutionStackName=STACK, OptionSettings=settings, **more)
good = options(vpc, subnet)
E = "aws:elasticbeanstalk:application:environment"
for settings in (good + [option(E, "BIG", "x" * 4096)], good + [option("aws:ec2:vpc", "Subnet", "x")], good + [option("aws:none", "Subnet", "x")],
                 good + [option("aws:ec2:vpc", "Subnets", "subnet-1")], good + [option("aws:elasticbeanstalk:environment", "LoadBalancerType", "big")]):
    print(code(eb.create_environment, **create("shop-production", settings)))
print(code(eb.create_environment, **dict(create("shop-production", good), SolutionStackName="64bit Windows")), code(eb.create_environment, **create("shop-production", good, VersionLabel="none")))
print(code(eb.terminate_environment, EnvironmentName="shop-production"), code(eb.describe_environment_resources, EnvironmentName="shop-production"))
eb.create_environment(**create("no-profile", good))
status("Terminated", "no-profile", True)
print("The instance profile app associated with the environment does not exist." in messages(), "Failed to launch environment." in messages())
profile()
eb.create_environment(**create("no-internet", good))
status("Terminated", "no-internet", True)
print(any("failed to communicate with AWS Elastic Beanstalk" in m for m in messages()))
ec2.delete_subnet(SubnetId=subnet)
print([p["PlatformVersion"] for p in eb.list_platform_versions(Filters=[{"Type": "PlatformBranchName", "Operator": "=", "Values": ["Docker running on 64bit Amazon Linux 2023"]},
  {"Type": "PlatformLifecycleState", "Operator": "=", "Values": ["recommended"]}])["PlatformSummaryList"]])
print(STACK in eb.list_available_solution_stacks()["SolutionStacks"], eb.check_dns_availability(CNAMEPrefix="shop")["Available"])
]==])
  test.equal(out, table.concat({ "InvalidParameterValue", "ConfigurationValidationException", "ConfigurationValidationException",
    "ConfigurationValidationException", "ConfigurationValidationException", "InvalidParameterValue InvalidParameterValue",
    "InvalidParameterValue InvalidParameterValue", "True True", "True", "['4.9.3']", "True True", "" }, "\n"))
end

return T
