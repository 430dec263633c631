--- A rehearsal cloud with a VPC for conformance tests: boto3 makes it, the test
--- gets its ids and a host inside it.
local test = require "test"
local cloud = require "rehearsal.cloud"
local process = require "process"
local task = require "task"

local M = {}

--- Runs Python with boto3 in the cloud's environment; returns what it printed.
function M.python(c, code, args)
  local words = { test.tool "python3", "-c", [[
import sys, json, time, boto3, botocore
def code_of(fn, **args):
    try:
        fn(**args)
        return "no error"
    except botocore.exceptions.ClientError as e:
        return e.response["Error"]["Code"]
def wait_for(read, wanted, seconds=200):
    end = time.time() + seconds
    seen = []
    while True:
        now = read()
        if not seen or seen[-1] != now: seen.append(now)
        if now == wanted: return seen
        if time.time() > end: raise SystemExit("still %s, not %s" % (seen, wanted))
        time.sleep(0.05)
]] .. code, env = c:env(), timeout = 800 }
  for _, arg in ipairs(args or {}) do words[#words + 1] = arg end
  local r = process.run(words)
  if r.code ~= 0 then error(r.stdout .. r.stderr, 2) end
  return r.stdout
end

--- Starts a cloud and makes a VPC with two private subnets in two zones, a
--- public one, and the security groups app, store (open to app on `port`) and other.
---@param port integer
---@return Cloud, { vpc: string, subnets: string[], public: string, app: string, store: string, other: string }
function M.start(port)
  local c = cloud.start { dir = test.tmpdir(), scale = 400 }
  test.defer(function() c:stop() end)
  local out = M.python(c, [[
ec2 = boto3.client("ec2")
vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
ids = {"vpc": vpc, "subnets": [ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.%d.0/24" % i, AvailabilityZone="us-east-1" + z)["Subnet"]["SubnetId"]
       for i, z in ((1, "a"), (2, "b"))]}
ids["public"] = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.9.0/24", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
ec2.associate_route_table(RouteTableId=table, SubnetId=ids["public"])
for name in ("app", "store", "other"):
    ids[name] = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
ec2.authorize_security_group_ingress(GroupId=ids["store"], IpPermissions=[{"IpProtocol": "tcp", "FromPort": int(sys.argv[1]),
  "ToPort": int(sys.argv[1]),
  "UserIdGroupPairs": [{"GroupId": ids["app"]}]}])
print(json.dumps(ids))
]], { tostring(port) })
  return c, require "json".decode(out)
end

--- The states that something goes through, as they come: looked at whenever the cloud begins to wait for time to pass. Who
--- asks now and then misses those that are short.
---@param read fun(): string? the state now
---@return string[]
function M.states(c, read)
  local seen, sleep = {}, c.clock.sleep
  local function look()
    local now = read()
    if now and seen[#seen] ~= now then seen[#seen + 1] = now end
  end
  c.clock.sleep = function(clock, seconds)
    look()
    sleep(clock, seconds)
  end
  return setmetatable(seen, { __call = function() look() return seen end })
end

--- Runs fn while nothing that the cloud waits for comes, however long it takes.
function M.held(c, fn)
  local sleep, held = c.clock.sleep, true
  c.clock.sleep = function(clock, seconds)
    sleep(clock, seconds)
    while held do task.sleep(0.01) end
  end
  local r = table.pack(pcall(fn))
  held, c.clock.sleep = false, sleep
  if not r[1] then error(r[2], 0) end
  return table.unpack(r, 2, r.n)
end

--- A machine of the customer's in the VPC; its `prefix` runs programs there.
function M.host(c, ids, address, group)
  return c.net:add_host(ids.vpc, address, { ids[group] })
end

return M
