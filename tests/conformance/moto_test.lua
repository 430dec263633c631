--- moto, an AWS that we did not write: create, read, list in pages and delete over all protocols.
-- luacheck: no max line length
local test = require "test"
local aws = require "aws"
local errors = require "errors"
local fs = require "fs"
local http = require "http"
local json = require "json"
local process = require "process"
local retry = require "retry"
local secret = require "secret"
local T = test.cases()

local boto3 = dofile "tests/support/boto3_result.lua"
local scenario = dofile "tests/conformance/moto_scenario.lua"

local url

--- Starts moto, one for all cases of the file, because it takes seconds to start.
local function start()
  local port = fs.free_port()
  local server = process.start { test.tool "moto_server", "-H", "127.0.0.1", "-p", tostring(port), stdout = "null", stderr = "null",
                                 env = { PATH = os.getenv "PATH", HOME = os.getenv "HOME", LANG = "C.UTF-8", MOTO_IAM_LOAD_MANAGED_POLICIES = "true" } }
  test.defer_file(function() server:stop() end)
  url = "http://127.0.0.1:" .. port
  retry.call(function() http.get(url .. "/moto-api/", { timeout = 5 }) end, { attempts = 300, base = 0.2, cap = 0.4 })
end

local function client(service)
  return aws.client { service = service, region = "us-east-1", endpoint = url,
                      credentials = { access_key_id = "AK", secret_access_key = "SK" } }
end

local function code_of(fn, ...)
  local ok, e = pcall(fn, ...)
  test.truthy(not ok, "an error")
  return e.code
end

local function list(iterator)
  local items = {}
  for item in iterator do items[#items + 1] = item end
  return items
end

local cases = {}

function cases.sts()
  local sts = client "sts"
  test.equal(sts:get_caller_identity().Account, "123456789012")
  local role = sts:assume_role { RoleArn = "arn:aws:iam::123456789012:role/r", RoleSessionName = "s-1" }
  test.truthy(secret.is(role.Credentials.SecretAccessKey) and role.Credentials.Expiration > os.time())
end

--- Another's security groups, routes, ACLs, prefix lists, peerings and addresses, read and judged by aws.reach.
function cases.ec2_reach()
  local ec2 = client "ec2"
  local vpc = ec2:create_vpc({ CidrBlock = "10.8.0.0/16" }).Vpc.VpcId
  local far = ec2:create_vpc({ CidrBlock = "10.60.0.0/16" }).Vpc.VpcId
  local subnet = ec2:create_subnet({ VpcId = vpc, CidrBlock = "10.8.1.0/24" }).Subnet.SubnetId
  local gateway = ec2:create_internet_gateway({}).InternetGateway.InternetGatewayId
  ec2:attach_internet_gateway { VpcId = vpc, InternetGatewayId = gateway }
  local peering = ec2:create_vpc_peering_connection({ VpcId = vpc, PeerVpcId = far }).VpcPeeringConnection.VpcPeeringConnectionId
  ec2:accept_vpc_peering_connection { VpcPeeringConnectionId = peering }
  local routes = ec2:describe_route_tables({ Filters = { { Name = "vpc-id", Values = { vpc } } } }).RouteTables[1].RouteTableId
  ec2:create_route { RouteTableId = routes, DestinationCidrBlock = "0.0.0.0/0", GatewayId = gateway }
  ec2:create_route { RouteTableId = routes, DestinationCidrBlock = "10.60.0.0/16", VpcPeeringConnectionId = peering }
  local offices = ec2:create_managed_prefix_list({ PrefixListName = "offices", AddressFamily = "IPv4", MaxEntries = 5,
    Entries = { { Cidr = "198.51.100.0/25" }, { Cidr = "203.0.113.0/24" } } }).PrefixList.PrefixListId
  local acl = ec2:create_network_acl({ VpcId = vpc }).NetworkAcl.NetworkAclId
  for number, e in pairs { [90] = { "deny", false, "203.0.113.128/25" }, [100] = { "allow", false, "0.0.0.0/0" }, [110] = { "allow", true, "0.0.0.0/0" } } do
    ec2:create_network_acl_entry { NetworkAclId = acl, RuleNumber = number, Protocol = "-1", RuleAction = e[1], Egress = e[2], CidrBlock = e[3] }
  end
  for _, a in ipairs(ec2:describe_network_acls({ Filters = { { Name = "association.subnet-id", Values = { subnet } } } }).NetworkAcls[1].Associations) do
    if a.SubnetId == subnet then ec2:replace_network_acl_association { AssociationId = a.NetworkAclAssociationId, NetworkAclId = acl } end
  end
  local app = ec2:create_security_group({ GroupName = "app", Description = "d", VpcId = vpc }).GroupId
  local store = ec2:create_security_group({ GroupName = "store", Description = "d", VpcId = vpc }).GroupId
  local function port(n, peer)
    local p = { IpProtocol = "tcp", FromPort = n, ToPort = n }
    for k, v in pairs(peer) do p[k] = v end
    return p
  end
  ec2:authorize_security_group_ingress { GroupId = store, IpPermissions = { port(5432, { UserIdGroupPairs = { { GroupId = app } } }),
    port(22, { PrefixListIds = { { PrefixListId = offices } } }), port(8080, { IpRanges = { { CidrIp = "10.60.4.0/24" } } }) } }
  local image = ec2:describe_images({ Owners = { "amazon" } }).Images[1].ImageId
  local instance = ec2:run_instances({ ImageId = image, MinCount = 1, MaxCount = 1, InstanceType = "t3.micro", NetworkInterfaces = { {
    DeviceIndex = 0, SubnetId = subnet, Groups = { store }, AssociatePublicIpAddress = true } } }).Instances[1].InstanceId
  ec2:create_tags { Resources = { instance }, Tags = { { Key = "Name", Value = "machine" } } }
  local r = process.run { fs.realpath "/proc/self/exe", "-e", ("for _, o in ipairs(aws.reach { vpc = %q }) do print(o.text) end"):format(vpc), timeout = 300,
    env = { AWS_ENDPOINT_URL = url, AWS_ACCESS_KEY_ID = "AK", AWS_SECRET_ACCESS_KEY = "SK", AWS_REGION = "us-east-1", HOME = "/nonexistent",
            HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB") } }
  test.equal(r.stdout .. r.stderr, table.concat({
    ("22 of instance machine from 198.51.100.0/25 (%s)"):format(offices), ("22 of instance machine from 203.0.113.0/25 (%s)"):format(offices),
    "5432 of instance machine from the group app", ("8080 of instance machine from 10.60.4.0/24 by %s"):format(peering), "" }, "\n"))
end

function cases.ec2()
  local ec2 = client "ec2"
  local vpc = ec2:create_vpc { CidrBlock = "10.7.0.0/16", TagSpecifications = { { ResourceType = "vpc", Tags = { { Key = "Name", Value = "a b&c=é" } } } } }.Vpc
  local function mine() return { Filters = { { Name = "vpc-id", Values = { vpc.VpcId } } } } end
  test.equal(ec2:describe_vpcs(mine()).Vpcs[1].Tags, { { Key = "Name", Value = "a b&c=é" } })
  ec2:modify_vpc_attribute { VpcId = vpc.VpcId, EnableDnsHostnames = { Value = true } }
  test.equal(ec2:describe_vpc_attribute { VpcId = vpc.VpcId, Attribute = "enableDnsHostnames" }.EnableDnsHostnames, { Value = true })
  local subnets = {}
  for i = 0, 3 do subnets[i] = ec2:create_subnet { VpcId = vpc.VpcId, CidrBlock = ("10.7.%d.0/24"):format(i) }.Subnet.SubnetId end
  test.equal(code_of(ec2.create_subnet, ec2, { VpcId = vpc.VpcId, CidrBlock = "10.7.0.0/24" }), "InvalidSubnet.Conflict")
  test.equal(#list(ec2:each("describe_subnets", mine())), 4)
  local group = ec2:create_security_group { GroupName = "g", Description = "d", VpcId = vpc.VpcId }.GroupId
  ec2:authorize_security_group_ingress { GroupId = group, IpPermissions = {
    { IpProtocol = "tcp", FromPort = 5432, ToPort = 5432, UserIdGroupPairs = { { GroupId = group, Description = "own" } } },
    { IpProtocol = "tcp", FromPort = 22, ToPort = 22, IpRanges = { { CidrIp = "192.0.2.0/24" } } } } }
  local rules = ec2:describe_security_groups { GroupIds = { group } }.SecurityGroups[1].IpPermissions
  table.sort(rules, function(a, b) return a.FromPort < b.FromPort end)
  test.equal({ rules[1].IpRanges[1].CidrIp, rules[2].UserIdGroupPairs[1].GroupId }, { "192.0.2.0/24", group })
  local run = ec2:run_instances { ImageId = "ami-12c6146b", MinCount = 3, MaxCount = 3, InstanceType = "t3.micro", SubnetId = subnets[0], UserData = "#!/bin/sh\n" }
  local ids = {}
  for i, instance in ipairs(run.Instances) do ids[i] = instance.InstanceId end
  ec2:wait("instance_running", { InstanceIds = ids })
  local data = ec2:describe_instance_attribute { InstanceId = ids[1], Attribute = "userData" }.UserData.Value
  test.truthy(secret.equal(data, "IyEvYmluL3NoCg=="), "user data is encoded once")
  ec2:terminate_instances { InstanceIds = ids }
  ec2:wait("instance_terminated", { InstanceIds = ids })
  local key = ec2:create_key_pair { KeyName = "k" }
  test.truthy(secret.is(key.KeyMaterial), "a private key is a secret")
  for i = 0, 3 do ec2:delete_subnet { SubnetId = subnets[i] } end
  ec2:delete_security_group { GroupId = group }
  ec2:delete_vpc { VpcId = vpc.VpcId }
  test.equal(code_of(ec2.describe_vpcs, ec2, { VpcIds = { vpc.VpcId } }), "InvalidVpcID.NotFound")
end

function cases.s3()
  local s3, dir = client "s3", test.tmpdir()
  s3:create_bucket { Bucket = "box-1" }
  s3:wait("bucket_exists", { Bucket = "box-1" })
  for i = 1, 7 do s3:put_object { Bucket = "box-1", Key = ("d %d/é+&.txt"):format(i), Body = "body " .. i, Metadata = { n = tostring(i) } } end
  local keys = {}
  for page in s3:pages("list_objects_v2", { Bucket = "box-1", MaxKeys = 3 }) do
    test.truthy(#page.Contents <= 3)
    for _, item in ipairs(page.Contents) do keys[#keys + 1] = item.Key end
  end
  test.equal({ #keys, keys[7] }, { 7, "d 7/é+&.txt" })
  local got = s3:get_object { Bucket = "box-1", Key = keys[2] }
  test.equal({ got.Body, got.Metadata, got.ContentLength }, { "body 2", { n = "2" }, 6 })
  fs.write(dir .. "/big", ("x"):rep(3 * 1024 * 1024))
  s3:put_object { Bucket = "box-1", Key = "big", Body = { file = dir .. "/big" } }
  s3:get_object({ Bucket = "box-1", Key = "big" }, { to = dir .. "/back" })
  test.truthy(fs.read(dir .. "/back") == fs.read(dir .. "/big"), "the same bytes")
  test.equal(s3:head_object { Bucket = "box-1", Key = "big" }.ContentLength, 3 * 1024 * 1024)
  test.equal(code_of(s3.put_object, s3, { Bucket = "box-1", Key = "big", Body = "", IfNoneMatch = "*" }), "PreconditionFailed")
  s3:copy_object { Bucket = "box-1", Key = "copy", CopySource = "box-1/" .. keys[1] }
  s3:put_bucket_tagging { Bucket = "box-1", Tagging = { TagSet = { { Key = "a<b", Value = "c&d" } } } }
  test.equal(s3:get_bucket_tagging { Bucket = "box-1" }.TagSet, { { Key = "a<b", Value = "c&d" } })
  test.equal(http.get(s3:presign("get_object", { Bucket = "box-1", Key = "copy" })).body, "body 1")
  test.equal(code_of(s3.get_object, s3, { Bucket = "box-1", Key = "none" }), "NoSuchKey")
  test.equal(code_of(s3.head_object, s3, { Bucket = "box-1", Key = "none" }), "404")
  local doomed = { { Key = "big" }, { Key = "copy" } }
  for _, key in ipairs(keys) do doomed[#doomed + 1] = { Key = key } end
  test.equal(#s3:delete_objects { Bucket = "box-1", Delete = { Objects = doomed } }.Deleted, 9)
  s3:delete_bucket { Bucket = "box-1" }
  s3:wait("bucket_not_exists", { Bucket = "box-1" })
end

function cases.s3_in_parts()
  local s3, dir = client "s3", test.tmpdir()
  s3:create_bucket { Bucket = "parts" }
  test.equal(process.run({ "sh", "-c", "head -c 11000001 /dev/urandom > " .. dir .. "/file" }).code, 0)
  local function same(name) test.equal(process.run({ "cmp", dir .. "/file", dir .. "/" .. name }).stdout, "", name) end
  for _, sum in ipairs { "CRC32", "SHA256" } do
    local up = s3:upload { file = dir .. "/file", to = "s3://parts/" .. sum, part_size = 5 << 20, checksum = sum }
    test.equal({ up.parts, up.size }, { 3, 11000001 })
    local down = s3:download { from = "s3://parts/" .. sum, file = dir .. "/" .. sum, part_size = 5 << 20 }
    test.equal({ down.parts, down.checksum, down.etag }, { 3, up.checksum, up.etag })
    same(sum)
  end
  s3:upload { from = process.start { "cat", dir .. "/file", stdout = "pipe" }, to = "s3://parts/stream", part_size = 5 << 20 }
  s3:copy { from = "s3://parts/stream", to = "s3://parts/copy", part_size = 5 << 20 }
  s3:download { from = "s3://parts/copy", file = dir .. "/copy" }
  same "copy"
  local begun = s3:create_multipart_upload { Bucket = "parts", Key = "again", ChecksumAlgorithm = "CRC32", ChecksumType = "FULL_OBJECT" }
  s3:upload_part { Bucket = "parts", Key = "again", UploadId = begun.UploadId, PartNumber = 2,
                   Body = { file = dir .. "/file", offset = 5 << 20, length = 5 << 20 } }
  local up = s3:upload { file = dir .. "/file", to = "s3://parts/again", part_size = 5 << 20 }
  test.equal({ up.resumed, up.parts }, { 5 << 20, 3 })
  s3:download { from = "s3://parts/again", file = dir .. "/again" }
  same "again"
  test.equal(s3:abort_uploads { bucket = "parts" }, {})
end

function cases.iam()
  local iam = client "iam"
  local trust = json.encode { Version = "2012-10-17", Statement = { { Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" } } }
  for i = 1, 5 do iam:create_role { RoleName = "role-" .. i, Path = "/mine/", AssumeRolePolicyDocument = trust, Tags = { { Key = "n", Value = tostring(i) } } } end
  test.equal(iam:get_role { RoleName = "role-1" }.Role.AssumeRolePolicyDocument, json.decode(trust))
  test.equal(#list(iam:each("list_roles", { PathPrefix = "/mine/", MaxItems = 2 })), 5)
  iam:attach_role_policy { RoleName = "role-1", PolicyArn = "arn:aws:iam::aws:policy/AWSElasticBeanstalkWebTier" }
  test.equal(code_of(iam.delete_role, iam, { RoleName = "role-1" }), "DeleteConflict")
  iam:detach_role_policy { RoleName = "role-1", PolicyArn = "arn:aws:iam::aws:policy/AWSElasticBeanstalkWebTier" }
  iam:create_instance_profile { InstanceProfileName = "p" }
  iam:wait("instance_profile_exists", { InstanceProfileName = "p" })
  for i = 1, 5 do iam:delete_role { RoleName = "role-" .. i } end
  test.equal(code_of(iam.get_role, iam, { RoleName = "role-1" }), "NoSuchEntity")
end

function cases.secretsmanager()
  local sm = client "secretsmanager"
  for i = 1, 5 do sm:create_secret { Name = "s/" .. i, SecretString = secret.new('{"k":"' .. i .. '"}'), Tags = { { Key = "a", Value = "b" } } } end
  local value = sm:get_secret_value { SecretId = "s/3" }.SecretString
  test.truthy(secret.is(value) and secret.equal(value, '{"k":"3"}'), "the value comes back as a secret")
  test.equal(#list(sm:each("list_secrets", { MaxResults = 2 })), 5)
  test.equal(code_of(sm.create_secret, sm, { Name = "s/1", SecretString = "x" }), "ResourceExistsException")
  sm:put_secret_value { SecretId = "s/3", SecretString = value }
  for i = 1, 5 do sm:delete_secret { SecretId = "s/" .. i, ForceDeleteWithoutRecovery = true } end
  test.equal(code_of(sm.get_secret_value, sm, { SecretId = "s/3" }), "ResourceNotFoundException")
end

function cases.sns()
  local sns = client "sns"
  local topic = sns:create_topic { Name = "alarms", Attributes = { DisplayName = "A & B" }, Tags = { { Key = "k", Value = "v" } } }.TopicArn
  test.equal(sns:get_topic_attributes { TopicArn = topic }.Attributes.DisplayName, "A & B")
  sns:subscribe { TopicArn = topic, Protocol = "email", Endpoint = "ops@example.com" }
  test.equal(list(sns:each("list_subscriptions_by_topic", { TopicArn = topic }))[1].Endpoint, "ops@example.com")
  sns:delete_topic { TopicArn = topic }
  test.equal(code_of(sns.get_topic_attributes, sns, { TopicArn = topic }), "NotFound")
end

function cases.logs()
  local logs = client "logs"
  for i = 1, 5 do logs:create_log_group { logGroupName = "/app/" .. i, tags = { a = "b" } } end
  test.equal(#list(logs:each("describe_log_groups", { logGroupNamePrefix = "/app/", limit = 2 })), 5)
  logs:put_retention_policy { logGroupName = "/app/1", retentionInDays = 7 }
  test.equal(logs:describe_log_groups { logGroupNamePrefix = "/app/1" }.logGroups[1].retentionInDays, 7)
  logs:create_log_stream { logGroupName = "/app/1", logStreamName = "s" }
  local now = os.time() * 1000
  logs:put_log_events { logGroupName = "/app/1", logStreamName = "s", logEvents = { { timestamp = now, message = "hello \"é\"" } } }
  local event = logs:filter_log_events { logGroupName = "/app/1" }.events[1]
  test.equal({ event.message, event.timestamp }, { 'hello "é"', now })
  test.equal(code_of(logs.create_log_group, logs, { logGroupName = "/app/1" }), "ResourceAlreadyExistsException")
  for i = 1, 5 do logs:delete_log_group { logGroupName = "/app/" .. i } end
end

function cases.cloudwatch()
  local cw = client "cloudwatch"
  for i = 1, 3 do
    cw:put_metric_alarm { AlarmName = "cpu-" .. i, Namespace = "AWS/EC2", MetricName = "CPUUtilization", Statistic = "Average", Period = 300, EvaluationPeriods = 1,
                          Threshold = 80.5, ComparisonOperator = "GreaterThanThreshold", Dimensions = { { Name = "InstanceId", Value = "i-1" } }, AlarmActions = {} }
  end
  local alarms = list(cw:each("describe_alarms", { AlarmNamePrefix = "cpu-", MaxRecords = 2 }))
  test.equal({ #alarms, alarms[1].Threshold, alarms[1].Dimensions }, { 3, 80.5, { { Name = "InstanceId", Value = "i-1" } } })
  cw:put_metric_data { Namespace = "App", MetricData = { { MetricName = "m", Value = 1.25, Timestamp = os.time() - 60, Unit = "Count" } } }
  cw:delete_alarms { AlarmNames = { "cpu-1", "cpu-2", "cpu-3" } }
  test.equal(cw:describe_alarms { AlarmNamePrefix = "cpu-" }.MetricAlarms, {})
end

function cases.rds()
  local rds = client "rds"
  rds:create_db_parameter_group { DBParameterGroupName = "pg", DBParameterGroupFamily = "postgres16", Description = "d" }
  rds:modify_db_parameter_group { DBParameterGroupName = "pg", Parameters = {
    { ParameterName = "rds.logical_replication", ParameterValue = "1", ApplyMethod = "pending-reboot" } } }
  for i = 1, 3 do
    rds:create_db_instance { DBInstanceIdentifier = "db-" .. i, Engine = "postgres", DBInstanceClass = "db.t3.micro", AllocatedStorage = 20, MasterUsername = "u",
                             MasterUserPassword = secret.new "p&w=+%", Tags = { { Key = "a", Value = "b c" } }, EnableCloudwatchLogsExports = { "postgresql" } }
  end
  rds:wait("db_instance_available", { DBInstanceIdentifier = "db-1" })
  local db = rds:describe_db_instances { DBInstanceIdentifier = "db-1" }.DBInstances[1]
  test.equal({ db.Endpoint.Port, db.TagList, db.EnabledCloudwatchLogsExports }, { 5432, { { Key = "a", Value = "b c" } }, { "postgresql" } })
  test.equal(#list(rds:each "describe_db_instances"), 3)
  for i = 1, 3 do rds:delete_db_instance { DBInstanceIdentifier = "db-" .. i, SkipFinalSnapshot = true } end
  rds:wait("db_instance_deleted", { DBInstanceIdentifier = "db-1" })
  test.equal(code_of(rds.describe_db_instances, rds, { DBInstanceIdentifier = "db-1" }), "DBInstanceNotFound")
end

function cases.route53()
  local r53 = client "route53"
  local zone = r53:create_hosted_zone { Name = "example.com.", CallerReference = "c-1" }.HostedZone
  local changes = {}
  for i = 1, 5 do
    changes[i] = { Action = "CREATE", ResourceRecordSet = { Name = ("h%d.example.com."):format(i), Type = "A", TTL = 60, ResourceRecords = { { Value = "192.0.2." .. i } } } }
  end
  r53:change_resource_record_sets { HostedZoneId = zone.Id, ChangeBatch = { Changes = changes } }
  test.equal(#list(r53:each("list_resource_record_sets", { HostedZoneId = zone.Id, MaxItems = "2" })), 7)
  for _, change in ipairs(changes) do change.Action = "DELETE" end
  r53:change_resource_record_sets { HostedZoneId = zone.Id, ChangeBatch = { Changes = changes } }
  r53:delete_hosted_zone { Id = zone.Id }
end

function cases.scheduler()
  local scheduler = client "scheduler"
  scheduler:create_schedule { Name = "every hour", ScheduleExpression = "rate(1 hour)", FlexibleTimeWindow = { Mode = "OFF" }, StartDate = os.time() + 60,
                              Target = { Arn = "arn:aws:sqs:us-east-1:1:q", RoleArn = "arn:aws:iam::123456789012:role/r" } }
  test.equal(scheduler:get_schedule { Name = "every hour" }.ScheduleExpression, "rate(1 hour)")
  test.equal(#list(scheduler:each "list_schedules"), 1)
  scheduler:delete_schedule { Name = "every hour" }
end

cases["an operation that moto lacks"] = function()
  -- moto answers 500 with a page of HTML
  local eb = client "elasticbeanstalk"
  test.equal(code_of(eb.describe_events, eb, {}), "500")
end

T["moto: create, read, list in pages, wait, delete over all protocols"] = function()
  start()
  local names, wrong = {}, {}
  for name in pairs(cases) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local ok, e = xpcall(cases[name], errors.handler)
    if not ok then wrong[#wrong + 1] = ("%s: %s%s"):format(name, tostring(e), errors.is(e, "bug") and e.traceback or "") end
  end
  test.truthy(#wrong == 0, "agreement with moto:\n  " .. table.concat(wrong, "\n  ") .. "\n")
end

--- An empty moto whose made-up ids are the same each time.
local function reset()
  http.post(url .. "/moto-api/reset")
  http.post(url .. "/moto-api/seed?a=7")
end

--- "$name.Path.1.To" in arguments as what is there in an earlier result.
local function resolve(value, named)
  if type(value) == "table" then
    local found = {}
    for k, v in pairs(value) do found[k] = resolve(v, named) end
    return found
  end
  local name, path = tostring(value):match "^%$(%w+)%.(.+)$"
  if not name then return value end
  local found = test.truthy(named[name], name)
  for step in path:gmatch "[^.]+" do found = found[tonumber(step) or step] end
  return found
end

--- Text without what time and chance made: dates, and the runs of letters and digits that an id is.
local function plain(text)
  return (text:gsub("%d%d%d%d%-%d%d%-%d%dT[%d:.]+", "(time)"):gsub("^%d%d%d%d%d%d%d%d%d%d%.%d+$", "(time)"):gsub("rg%.%w+%.use1", "rg.(id).use1"):gsub("[%w+/=-]+", function(word)
    return (#word >= 8 and word:find "%d" and word:find "%a" or #word >= 16) and "(id)" or nil
  end))
end

--- What may differ between two runs: times within an hour, ids, and secrets, of which only the caller knows more.
local function alike(ours, theirs)
  if secret.is(ours) then return secret.size(ours) == #theirs end
  if type(ours) == "number" and type(theirs) == "number" then
    return ours > 1e9 and math.abs(ours - theirs) < (ours > 1e12 and 3.6e6 or 3600)
  end
  return type(ours) == "string" and type(theirs) == "string" and plain(ours) == plain(theirs)
end

T["moto: the results that boto3 gets, of 150 operations of 25 services and more"] = function()
  reset()
  local run = process.run { test.tool "python3", "-B", "tests/conformance/moto_judge.py", url, stdin = json.encode(scenario), timeout = 600 }
  test.equal(run.code, 0, run.stderr)
  reset()
  local theirs, named, wrong, operations, services = run.stdout:gmatch "[^\n]+", {}, {}, {}, 0
  for _, part in ipairs(scenario) do
    local service = part[1]
    local c = client(service)
    services = services + 1
    for i = 2, #part do
      local operation, args, name = table.unpack(part[i])
      local want = json.decode(theirs())
      local ok, result = pcall(c.call, c, operation, resolve(args, named))
      operations[service .. "." .. operation] = true
      if ok and name then named[name] = result end
      local same, e = pcall(function()
        if want.error then
          test.truthy(not ok and errors.is(result, "remote"), "an error of the service")
          boto3.compare({ result.code, result.status }, want.error, "error")
        else
          if not ok then error(result, 0) end
          boto3.compare(result, boto3.native(want.result), "result", alike)
        end
      end)
      if not same then wrong[#wrong + 1] = ("%s.%s: %s"):format(service, operation, tostring(e)) end
    end
  end
  test.truthy(#wrong == 0, ("the same results (%d differ):\n  %s\n"):format(#wrong, table.concat(wrong, "\n  ", 1, math.min(#wrong, 20))))
  local count = 0
  for _ in pairs(operations) do count = count + 1 end
  test.truthy(count >= 150, ("150 operations, not %d,"):format(count))
  test.truthy(services >= 25, ("25 services, not %d,"):format(services))
end

T.order[1].opens = true                 -- moto, for all cases

return T
