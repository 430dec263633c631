--- The EB CLI, Amazon's own, on the rehearsal's Elastic Beanstalk: what a developer types every day.
local cloud = require "rehearsal.cloud"
local fs = require "fs"
local http = require "http"
local process = require "process"
local task = require "task"
local test = require "test"

local T = test.cases()

--- The network and the roles, which the EB CLI takes as given.
local GROUND = [==[
import boto3, json
ec2, iam = boto3.client("ec2"), boto3.client("iam")
vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.%d.0/24" % i, AvailabilityZone="us-east-1" + zone)["Subnet"]["SubnetId"] for i, zone in enumerate("ab")]
gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
for subnet in subnets: ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
def role(name, service):
    trust = {"Effect": "Allow", "Principal": {"Service": service + ".amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
role("app", "ec2")
role("beanstalk", "elasticbeanstalk")
iam.create_instance_profile(InstanceProfileName="app")
iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")
print(vpc, ",".join(subnets))
]==]

local WEB = [==[
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(("%s is %s" % (open("/app/version").read().strip(), os.environ.get("COLOR", "plain"))).encode())
    def log_message(self, *args): pass
print("the app listens", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
]==]

local DOCKERFILE = [==[
FROM python:3.13-slim
COPY web.py version /app/
EXPOSE 8080
CMD ["python3", "/app/web.py"]
]==]

local function project(version)
  local dir = fs.join(test.tmpdir(), "project")
  fs.mkdir_p(dir)
  fs.write(dir .. "/Dockerfile", DOCKERFILE)
  fs.write(dir .. "/web.py", WEB)
  fs.write(dir .. "/version", version)
  return dir
end

T["the EB CLI creates, shows, deploys and swaps environments"] = function()
  local c <close> = cloud.start { dir = fs.join(test.tmpdir(), "cloud") }
  test.defer(http.close_idle)
  local dir = project "one"
  local function eb(...)
    local words = { test.tool "eb", ... }
    words.cwd, words.env, words.timeout = dir, c:env(), 600
    local r = process.run(words)
    test.equal(r.code, 0, ("eb %s\n%s%s"):format(table.concat({ ... }, " "), r.stdout, r.stderr))
    return r.stdout
  end
  local ground = process.run { test.tool "python3", "-c", GROUND, env = c:env(), timeout = 600 }
  test.equal(ground.code, 0, ground.stderr)
  local vpc, subnets = ground.stdout:match "^(%S+) (%S+)"

  test.match(eb("init", "shop", "--platform", "docker", "--region", "us-east-1"), "Application shop has been created")
  local function create(name, ...)
    return eb("create", name, "--cname", name, "--vpc.id", vpc, "--vpc.ec2subnets", subnets, "--vpc.elbsubnets", subnets, "--vpc.publicip",
      "--vpc.elbpublic", "--elb-type", "application", "--instance_profile", "app", "--service-role", "beanstalk", ...)
  end
  local made = task.all {
    blue  = function() return create("shop-blue", "--envvars", "COLOR=blue") end,
    green = function() return create("shop-green", "--sample", "--envvars", "COLOR=green") end,
  }
  test.match(made.blue, "Platform: arn:aws:elasticbeanstalk:us%-east%-1::platform/Docker running on 64bit Amazon Linux 2023/")
  for name, out in pairs(made) do test.match(out, "Successfully launched environment: shop%-" .. name) end
  local label = made.blue:match "Deployed Version: (%S+)"

  local function status(name)
    local out = eb("status", name)
    return { health = out:match "Health: (%S+)", status = out:match "Status: (%S+)", version = out:match "Deployed Version: (%S+)",
             cname = out:match "CNAME: (%S+)" }
  end
  local function page(address) return http.get("http://" .. address .. "/", { timeout = 300 }).body end
  fs.write(dir .. "/version", "two")
  local seen = task.all {
    deploy = function() return eb("deploy", "shop-green") end,
    status = function() return status "shop-blue" end,
    health = function() return eb("health", "shop-blue") end,
    events = function() return eb("events", "shop-blue") end,
    tail   = function() return eb("logs", "shop-blue") end,
    bundle = function() return eb("logs", "shop-blue", "--all") end,
    env    = function() return eb("printenv", "shop-blue") end,
  }
  test.equal({ seen.status.status, seen.status.health, seen.status.version }, { "Ready", "Green", label })
  test.equal(page(seen.status.cname), "one is blue")
  test.match(seen.health, "shop%-blue%s+Ok%s")
  test.match(seen.health, "WebServer%s+Docker running on 64bit Amazon Linux 2023/")
  test.match(seen.health, "\n%s+i%-%x+%s+Ok%s")
  test.match(seen.events, "INFO%s+createEnvironment is starting%..*INFO%s+Successfully launched environment: shop%-blue")
  test.match(seen.tail, "the app listens")
  local saved = seen.bundle:match "Logs were saved to (%S+)"
  local lines = process.run { "grep", "-rh", "the app listens", saved, timeout = 300 }
  test.match(lines.stdout, "the app listens", "eb logs --all keeps the bundle's files in " .. saved)
  test.match(seen.env, "COLOR = \"?blue")

  test.match(seen.deploy, "Environment update completed successfully")
  local green = status "shop-green"
  test.truthy(green.version ~= label, "a version of its own")
  test.equal(page(green.cname), "two is green")
  eb("swap", "shop-blue", "--destination_name", "shop-green")
  test.equal({ status "shop-blue".cname, status "shop-green".cname }, { green.cname, seen.status.cname }, "the addresses changed places")
  test.equal(page(seen.status.cname), "two is green", "who asks for blue's address")
end

return T
