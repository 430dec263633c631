--- The rehearsal cloud, read and written by boto3, which none of us wrote.
local test = require "test"
local fs = require "fs"
local process = require "process"
local cloud = require "rehearsal.cloud"

local T = test.cases()

local function python(c, code)
  local r = process.run { test.tool "python3", "-c", "import boto3, botocore\n" .. code, env = c:env(), timeout = 60 }
  if r.code ~= 0 then error(r.stderr) end
  return r.stdout
end

T["boto3 builds a network, and wrong requests get AWS's own errors"] = function()
  local c <close> = cloud.start { dir = fs.join(test.tmpdir(), "cloud") }
  local out = python(c, [[
ec2 = boto3.client("ec2")
print(boto3.client("sts").get_caller_identity()["Account"])
vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "shop"}]}])["Vpc"]["VpcId"]
ec2.get_waiter("vpc_available").wait(VpcIds=[vpc], WaiterConfig={"Delay": 1})
ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
assert ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"]
subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
rt = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
ec2.create_route(RouteTableId=rt, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
ec2.associate_route_table(RouteTableId=rt, SubnetId=subnet)
sg = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
ec2.authorize_security_group_ingress(GroupId=sg, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
  "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "all"}]}])
g = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["web"]}])["SecurityGroups"][0]
print(g["IpPermissions"][0]["IpRanges"][0]["CidrIp"], g["IpPermissionsEgress"][0]["IpProtocol"])
print(ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["sh*"]}])["Vpcs"][0]["VpcId"] == vpc)
for call, args in ((ec2.delete_vpc, {"VpcId": vpc}), (ec2.create_subnet, {"VpcId": vpc, "CidrBlock": "10.9.1.0/25"}),
                   (ec2.describe_vpcs, {"VpcIds": ["vpc-00000000"]}), (ec2.create_security_group, {"GroupName": "web", "Description": "x", "VpcId": vpc})):
    try: call(**args); print("no error")
    except botocore.exceptions.ClientError as e: print(e.response["Error"]["Code"])
bad = boto3.client("ec2", aws_access_key_id="AKIAWRONG", aws_secret_access_key="x")
for c in (bad, boto3.client("ec2", aws_secret_access_key="wrong", aws_access_key_id=boto3.Session().get_credentials().access_key)):
    try: c.describe_vpcs(); print("let in")
    except botocore.exceptions.ClientError as e: print(e.response["Error"]["Code"])
]])
  test.equal(out, table.concat({ "123456789012", "0.0.0.0/0 -1", "True", "DependencyViolation", "InvalidSubnet.Conflict", "InvalidVpcID.NotFound",
    "InvalidGroup.Duplicate", "InvalidClientTokenId", "SignatureDoesNotMatch", "" }, "\n"))
end

return T
