--- Drift: between two runs boto3 changes one thing after another by hand. A plan reports exactly those nouns and fields,
--- apply makes exactly the calls that put them back, and nothing else is touched.
local cloud = require "rehearsal.cloud"
local fs = require "fs"
local json = require "json"
local process = require "process"
local sorted_keys = require "sorted_keys"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"

local RECIPE = [[
local recipe, aws, fs, secret, zip = require "recipe", require "aws", require "fs", require "secret", require "zip"
recipe.options {}
local tags = { team = "shop", cost = 12 }
local vpc = aws.vpc { "shop", cidr = "10.9.0.0/16", tags = tags }
local function subnet(letter, n, public)
  return aws.subnet { letter, vpc = vpc, cidr = ("10.9.%d.0/24"):format(n), zone = "us-east-1" .. letter, public = public, tags = tags }
end
local a, b, c = subnet("a", 1, true), subnet("b", 2, false), subnet("c", 3, false)
local gateway = aws.internet_gateway { "shop", vpc = vpc, tags = tags }
local spare = aws.vpc { "spare", cidr = "10.8.0.0/16", tags = tags }       -- a gateway with machines behind it cannot be detached
aws.internet_gateway { "spare", vpc = spare, tags = tags }
aws.route_table { "public", vpc = vpc, subnets = { a }, routes = { { to = "0.0.0.0/0", gateway = gateway } }, tags = tags }
local private = aws.route_table { "private", vpc = vpc, subnets = { b, c }, tags = tags }
local app = aws.security_group { "app", vpc = vpc, description = "the app", tags = tags,
  rules = { { port = 8080, from = "self", why = "itself" }, { port = 8081, from = "2001:DB8::/32" }, { port = 22, from = "10.9.0.7/24" } } }
local other = aws.security_group { "other", vpc = vpc, tags = tags }
local store = aws.security_group { "store", vpc = vpc, tags = tags,
  rules = { { port = 5432, from = app, why = "PostgreSQL" }, { port = 6379, from = app, why = "Valkey" } } }
local key = aws.key_pair { "shop", public_key = fs.read "key.pub", tags = tags }
local role = aws.role { "machine", service = "ec2.amazonaws.com", description = "the machine", policies = { "AmazonSSMManagedInstanceCore" },
  inline = { read = { Version = "2012-10-17", Statement = { { Effect = "Allow", Action = "s3:GetObject", Resource = "*" } } } }, tags = tags }
local profile = aws.instance_profile { "machine", role = role, tags = tags }
aws.instance { "machine", image = aws.ssm:get_parameter({ Name =
  "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64" }).Parameter.Value, subnet = b, groups = { app }, key = key.name,
  profile = profile.id, tags = tags }
local bucket = aws.bucket { "shop-7f3a", versions = true, tags = tags }
aws.object { "note", bucket = bucket.id, bytes = "hello", type = "text/plain" }
aws.secret { "shop/config", value = { MODE = "live" }, description = "config vars", tags = tags }
aws.secret { "shop/password", generate = function() return secret.random(32) end, tags = tags }
aws.log_group { "/shop/web", days = 30, tags = tags }
local topic = aws.topic { "alarms", tags = tags }
aws.subscription { "hook", topic = topic, protocol = "https", endpoint = "https://ops.example.com/hook" }
aws.alarm { "cpu", namespace = "AWS/RDS", metric = "CPUUtilization", dimensions = { DBInstanceIdentifier = "shop" }, threshold = 80,
  actions = { topic }, tags = tags }
local subnets = { a, b, c }
local db_subnets = aws.db_subnet_group { "db", subnets = subnets, description = "the database", tags = tags }
local db_parameters = aws.db_parameter_group { "db", family = "postgres16", parameters = { work_mem = 8192, ["rds.force_ssl"] = true }, tags = tags }
aws.db_instance { "shop", class = "db.t4g.micro", version = "16", database = "app", user = "app", password = secret.new "not-a-word-7",
  subnet_group = db_subnets.name, parameter_group = db_parameters.name, groups = { store }, tags = tags }
local cache_subnets = aws.cache_subnet_group { "cache", subnets = subnets, description = "the cache", tags = tags }
local cache_parameters = aws.cache_parameter_group { "cache", family = "valkey8", parameters = { ["maxmemory-policy"] = "noeviction" }, tags = tags }
aws.replication_group { "shop", version = "8.0", node_type = "cache.t4g.micro", replicas = 1, subnet_group = cache_subnets.name,
  parameter_group = cache_parameters.name, groups = { store }, auth_token = secret.new "long-enough-token-7", description = "jobs", tags = tags }
local application = aws.eb_application { "shop", description = "the shop", tags = tags }
fs.write("bundle.zip", zip.pack { { path = "Dockerfile", data = "FROM scratch\n" } })
local bundle = aws.object { "v1.zip", bucket = bucket.id, file = "bundle.zip" }
aws.eb_version { "v1", application = application, bucket = bucket.id, key = bundle.name, description = "the first", tags = tags }
aws.environment { "shop-web", application = application, network = { id = vpc.id, public = { a.id } }, groups = { app, other },
  env = { MODE = "live", EMPTY = "" }, tags = tags }
]]

--- What an apply of the recipe is run in, and boto3 beside it.
local function lab()
  local dir = test.tmpdir()
  fs.chmod(dir, 493)
  local c = cloud.start { dir = fs.join(dir, "cloud"), scale = 1200 }
  test.defer(function() c:stop() end)
  fs.write(fs.join(dir, "shop.lua"), RECIPE)
  fs.write(fs.join(dir, "key.pub"), require("ssh").keygen().public .. "\n")
  local l = { dir = dir, cloud = c }

  function l.run(command, ...)
    local env = c:env()
    env.HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")
    env.HKRUN_SETTLE = "0"                                   -- no read is late here, so no difference is waited for
    local o = { exe, command, "shop.lua", ..., env = env, cwd = dir, timeout = 600, stdin = "" }
    local r = process.run(o)
    if r.code ~= 0 then error(("%s: %s%s"):format(command, r.stdout, r.stderr), 2) end
    return r.stdout
  end

  --- The mutating calls since call n of the cloud's record.
  function l.changing(n)
    local list = {}
    for i = n + 1, #c.calls do
      if c.calls[i].mutating then list[#list + 1] = c.calls[i] end
    end
    return list
  end

  local judge = process.start { test.tool "python3", fs.realpath "tests/conformance/drift_judge.py", env = c:env(), cwd = dir,
                                stdin = "pipe", stdout = "pipe", stderr = fs.join(dir, "judge.log") }
  test.defer(function() judge:stop() end)
  function l.boto3(service, operation, args)
    local line = json.encode { service = service, operation = operation, args = args } .. "\n"
    test.equal(judge.handle:write(line, 0), true)
    local answer = judge:read_line() or error(fs.read(fs.join(dir, "judge.log")), 2)
    answer = json.decode(answer)
    if answer.error then error(("%s %s: %s"):format(service, operation, answer.error), 2) end
    return answer.result
  end

  --- The id in EC2 of a noun: "vpc:shop".
  function l.id(noun)
    for id, entry in pairs(c:store("ec2", "us-east-1").resources) do
      for _, tag in ipairs(entry.value.Tags or {}) do
        if tag.Key == "hkrun:key" and tag.Value == "aws." .. noun and entry.kind ~= "volume" then return id end
      end
    end
    error("there is no " .. noun, 2)
  end
  return l
end

local function mentions(v, target)
  if type(v) == "string" then return v:find(target, 1, true) ~= nil end
  if type(v) ~= "table" then return false end
  for k, x in next, v do
    if mentions(k, target) or mentions(x, target) then return true end
  end
  return false
end

--- Makes the changes, each { noun, fields, { service, operation, args }, target, calls }, and has them put back.
--- fields: "a b", or "+" where the noun is made again; target: what each call to put it back must name.
local function round(l, changes)
  local expected, calls, targets = {}, {}, {}
  for _, change in ipairs(changes) do
    local noun, fields, by_hand, target, back = table.unpack(change, 1, 5)
    local ok, e = pcall(l.boto3, table.unpack(by_hand))
    if not ok then error(noun .. ": " .. tostring(e), 2) end
    expected[#expected + 1] = ("aws.%s: %s"):format(noun, fields)
    for call in back:gmatch "[^,]+" do
      calls[#calls + 1] = call:match "^%s*(.-)%s*$"
      targets[#targets + 1] = { call = calls[#calls], target = target, noun = noun }
    end
  end
  local at = #l.cloud.calls
  local seen = {}
  for _, e in ipairs(json.decode(l.run("plan", "--json")).entries) do
    local fields = sorted_keys(e.changes)
    if e.action == "create" then fields = { "+" }
    elseif e.action ~= "change" then fields = { e.action } end
    if e.action ~= "none" and e.action ~= "read" then seen[#seen + 1] = ("%s: %s"):format(e.key, table.concat(fields, " ")) end
  end
  table.sort(seen)
  table.sort(expected)
  test.equal(seen, expected, "what the plan reports")
  test.equal(#l.changing(at), 0, "mutating calls of the plan")
  l.run("apply", "--yes")
  local made, names = l.changing(at), {}
  for i, call in ipairs(made) do names[i] = ("%s %s"):format(call.api, call.operation) end
  table.sort(names)
  table.sort(calls)
  test.equal(names, calls, "mutating calls of apply")
  for _, t in ipairs(targets) do
    local found
    for i, call in ipairs(made) do
      if not found and ("%s %s"):format(call.api, call.operation) == t.call and mentions(call.params, t.target) then found = i end
    end
    if not found then error(("no %s names %s, for aws.%s"):format(t.call, t.target, t.noun), 2) end
    table.remove(made, found)
  end
  return #changes
end

T["what boto3 changed by hand is reported field by field and put back call by call, and nothing else is touched"] = function()
  local l = lab()
  l.run("apply", "--yes")
  local at = #l.cloud.calls
  test.match(l.run("apply", "--yes"), "no changes\n$")
  test.equal(l.changing(at), {}, "mutating calls of a second apply")

  local id, arn = l.id, function(service, rest) return l.cloud:arn(service, "us-east-1", rest) end
  local vpc, app, store = id "vpc:shop", id "security_group:app", id "security_group:store"
  local public, private, machine = id "route_table:public", id "route_table:private", id "instance:machine"
  local function ec2_tag(noun, key, value) return { "ec2", "create_tags", { Resources = { id(noun) }, Tags = { { Key = key, Value = value } } } } end
  local function with_role(more)
    more.RoleName = "machine"
    return more
  end
  local secret_arn = l.boto3("secretsmanager", "describe_secret", { SecretId = "shop/config" }).ARN
  local password_arn = l.boto3("secretsmanager", "describe_secret", { SecretId = "shop/password" }).ARN
  local topic = arn("sns", "alarms")
  local hook = l.boto3("sns", "list_subscriptions_by_topic", { TopicArn = topic }).Subscriptions[1].SubscriptionArn
  local version = arn("elasticbeanstalk", "applicationversion/shop/v1")
  local environment = arn("elasticbeanstalk", "environment/shop/shop-web")
  local function tcp(port, more)
    more.IpProtocol, more.FromPort, more.ToPort = "tcp", port, port
    return { GroupId = app, IpPermissions = { more } }
  end
  local function association(table_id, subnet)
    local t = l.boto3("ec2", "describe_route_tables", { RouteTableIds = { table_id } }).RouteTables[1]
    for _, a in ipairs(t.Associations) do
      if a.SubnetId == subnet then return a.RouteTableAssociationId end
    end
  end
  local FOREIGN = { { Key = "owner", Value = "them" } }
  l.boto3("ec2", "create_tags", { Resources = { vpc, app, machine }, Tags = FOREIGN })
  l.boto3("rds", "add_tags_to_resource", { ResourceName = arn("rds", "db:shop"), Tags = FOREIGN })
  l.boto3("iam", "tag_role", with_role { Tags = FOREIGN })

  local n = round(l, {
    { "vpc:shop", "dns_hostnames", { "ec2", "modify_vpc_attribute", { VpcId = vpc, EnableDnsHostnames = { Value = false } } }, vpc,
      "ec2 ModifyVpcAttribute" },
    { "subnet:b", "public", { "ec2", "modify_subnet_attribute", { SubnetId = id "subnet:b", MapPublicIpOnLaunch = { Value = true } } },
      id "subnet:b", "ec2 ModifySubnetAttribute" },
    { "internet_gateway:spare", "attached", { "ec2", "detach_internet_gateway",
      { InternetGatewayId = id "internet_gateway:spare", VpcId = id "vpc:spare" } }, id "internet_gateway:spare", "ec2 AttachInternetGateway" },
    { "route_table:public", "routes", { "ec2", "delete_route", { RouteTableId = public, DestinationCidrBlock = "0.0.0.0/0" } }, public,
      "ec2 CreateRoute" },
    { "route_table:private", "subnets", { "ec2", "disassociate_route_table", { AssociationId = association(private, id "subnet:c") } }, private,
      "ec2 AssociateRouteTable" },
    { "security_group:app", "rules", { "ec2", "authorize_security_group_ingress", tcp(22, { Ipv6Ranges = { { CidrIpv6 = "::/0" } } }) }, app,
      "ec2 RevokeSecurityGroupIngress" },
    { "key_pair:shop", "tags", ec2_tag("key_pair:shop", "team", "theirs"), id "key_pair:shop", "ec2 CreateTags" },
    { "instance:machine", "running", { "ec2", "stop_instances", { InstanceIds = { machine } } }, machine, "ec2 StartInstances" },
    { "role:machine", "policies", { "iam", "attach_role_policy", with_role { PolicyArn = "arn:aws:iam::aws:policy/AdministratorAccess" } },
      "AdministratorAccess", "iam DetachRolePolicy" },
    { "instance_profile:machine", "role", { "iam", "remove_role_from_instance_profile", with_role { InstanceProfileName = "machine" } },
      "machine", "iam AddRoleToInstanceProfile" },
    { "bucket:shop-7f3a", "versions", { "s3", "put_bucket_versioning", { Bucket = "shop-7f3a", VersioningConfiguration = { Status = "Suspended" } } },
      "shop-7f3a", "s3 PutBucketVersioning" },
    { "object:note", "bytes type", { "s3", "put_object", { Bucket = "shop-7f3a", Key = "note", Body = "good-bye" } }, "note", "s3 PutObject" },
    { "secret:shop/config", "value", { "secretsmanager", "put_secret_value", { SecretId = "shop/config", SecretString = '{"MODE":"test"}' } },
      secret_arn, "secretsmanager PutSecretValue" },
    { "log_group:/shop/web", "days", { "logs", "delete_retention_policy", { logGroupName = "/shop/web" } }, "/shop/web",
      "logs PutRetentionPolicy" },
    { "topic:alarms", "tags", { "sns", "untag_resource", { ResourceArn = topic, TagKeys = { "team", "hkrun:key" } } }, topic, "sns TagResource" },
    { "subscription:hook", "+", { "sns", "unsubscribe", { SubscriptionArn = hook } }, topic, "sns Subscribe" },
    { "alarm:cpu", "enabled", { "cloudwatch", "disable_alarm_actions", { AlarmNames = { "cpu" } } }, "cpu", "cloudwatch PutMetricAlarm" },
    { "db_subnet_group:db", "subnets", { "rds", "modify_db_subnet_group", { DBSubnetGroupName = "db",
      SubnetIds = { id "subnet:a", id "subnet:b" } } }, "db", "rds ModifyDBSubnetGroup" },
    { "db_parameter_group:db", "parameters", { "rds", "modify_db_parameter_group", { DBParameterGroupName = "db",
      Parameters = { { ParameterName = "work_mem", ParameterValue = "64", ApplyMethod = "immediate" } } } }, "work_mem",
      "rds ModifyDBParameterGroup" },
    { "db_instance:shop", "backup_days public", { "rds", "modify_db_instance", { DBInstanceIdentifier = "shop", PubliclyAccessible = true,
      BackupRetentionPeriod = 1 } }, "shop", "rds ModifyDBInstance" },
    { "cache_subnet_group:cache", "description", { "elasticache", "modify_cache_subnet_group", { CacheSubnetGroupName = "cache",
      CacheSubnetGroupDescription = "mine" } }, "cache", "elasticache ModifyCacheSubnetGroup" },
    { "cache_parameter_group:cache", "parameters", { "elasticache", "modify_cache_parameter_group", { CacheParameterGroupName = "cache",
      ParameterNameValues = { { ParameterName = "maxmemory-policy", ParameterValue = "allkeys-lru" } } } }, "maxmemory-policy",
      "elasticache ModifyCacheParameterGroup" },
    { "replication_group:shop", "description groups", { "elasticache", "modify_replication_group", { ReplicationGroupId = "shop",
      ReplicationGroupDescription = "mine", SecurityGroupIds = { id "security_group:other" } } }, store, "elasticache ModifyReplicationGroup" },
    { "eb_application:shop", "description", { "elasticbeanstalk", "update_application", { ApplicationName = "shop", Description = "mine" } },
      "shop", "elasticbeanstalk UpdateApplication" },
    { "eb_version:v1", "tags", { "elasticbeanstalk", "update_tags_for_resource", { ResourceArn = version, TagsToRemove = { "team" } } },
      version, "elasticbeanstalk UpdateTagsForResource" },
    { "eb_environment:shop-web", "tags", { "elasticbeanstalk", "update_tags_for_resource", { ResourceArn = environment,
      TagsToRemove = { "hkrun:key" }, TagsToAdd = { { Key = "team", Value = "theirs" } } } }, environment, "elasticbeanstalk UpdateTagsForResource" },
  })

  n = n + round(l, {
    { "vpc:shop", "tags", ec2_tag("vpc:shop", "Name", "renamed"), vpc, "ec2 CreateTags" },
    { "subnet:b", "tags", { "ec2", "delete_tags", { Resources = { id "subnet:b" }, Tags = { { Key = "hkrun:recipe" } } } }, id "subnet:b",
      "ec2 CreateTags" },
    { "security_group:app", "rules", { "ec2", "update_security_group_rule_descriptions_ingress",
      tcp(8080, { UserIdGroupPairs = { { GroupId = app, Description = "mine" } } }) }, app, "ec2 UpdateSecurityGroupRuleDescriptionsIngress" },
    { "security_group:store", "egress", { "ec2", "revoke_security_group_egress", { GroupId = store,
      IpPermissions = { { IpProtocol = "-1", IpRanges = { { CidrIp = "0.0.0.0/0" } } } } } }, store, "ec2 AuthorizeSecurityGroupEgress" },
    { "instance:machine", "imdsv2", { "ec2", "modify_instance_metadata_options", { InstanceId = machine, HttpTokens = "optional" } }, machine,
      "ec2 ModifyInstanceMetadataOptions" },
    { "role:machine", "service", { "iam", "update_assume_role_policy", with_role { PolicyDocument = json.encode {
      Version = "2012-10-17", Statement = { { Effect = "Allow", Action = "sts:AssumeRole",
        Principal = { Service = { "ec2.amazonaws.com", "lambda.amazonaws.com" } } } } } } }, "machine", "iam UpdateAssumeRolePolicy" },
    { "bucket:shop-7f3a", "private", { "s3", "delete_public_access_block", { Bucket = "shop-7f3a" } }, "shop-7f3a", "s3 PutPublicAccessBlock" },
    { "object:note", "+", { "s3", "delete_object", { Bucket = "shop-7f3a", Key = "note" } }, "note", "s3 PutObject" },
    { "secret:shop/config", "description", { "secretsmanager", "update_secret", { SecretId = "shop/config", Description = "mine" } }, secret_arn,
      "secretsmanager UpdateSecret" },
    { "secret:shop/password", "active", { "secretsmanager", "delete_secret", { SecretId = "shop/password", RecoveryWindowInDays = 7 } },
      password_arn, "secretsmanager RestoreSecret" },
    { "log_group:/shop/web", "+", { "logs", "delete_log_group", { logGroupName = "/shop/web" } }, "/shop/web",
      "logs CreateLogGroup, logs PutRetentionPolicy" },
    { "alarm:cpu", "actions periods threshold", { "cloudwatch", "put_metric_alarm", { AlarmName = "cpu", Namespace = "AWS/RDS",
      MetricName = "CPUUtilization", Dimensions = { { Name = "DBInstanceIdentifier", Value = "shop" } }, Statistic = "Average", Period = 300,
      EvaluationPeriods = 2, DatapointsToAlarm = 1, Threshold = 99, ComparisonOperator = "GreaterThanThreshold" } }, topic,
      "cloudwatch PutMetricAlarm" },
    { "db_instance:shop", "class", { "rds", "modify_db_instance", { DBInstanceIdentifier = "shop", DBInstanceClass = "db.t4g.large",
      ApplyImmediately = false } }, "db.t4g.micro", "rds ModifyDBInstance" },
    { "replication_group:shop", "replicas", { "elasticache", "modify_replication_group", { ReplicationGroupId = "shop",
      AutomaticFailoverEnabled = false, MultiAZEnabled = false, ApplyImmediately = true } }, "shop", "elasticache ModifyReplicationGroup" },
    { "eb_environment:shop-web", "settings", { "elasticbeanstalk", "update_environment", { EnvironmentName = "shop-web", OptionSettings = {
      { Namespace = "aws:elasticbeanstalk:application:environment", OptionName = "MODE", Value = "test" },
      { Namespace = "aws:autoscaling:launchconfiguration", OptionName = "SecurityGroups", Value = app } } } }, "MODE",
      "elasticbeanstalk UpdateEnvironment" },
  })

  n = n + round(l, {
    { "security_group:store", "rules", { "ec2", "revoke_security_group_ingress", { GroupId = store, IpPermissions = { { IpProtocol = "tcp",
      FromPort = 5432, ToPort = 5432, UserIdGroupPairs = { { GroupId = app } } } } } }, app, "ec2 AuthorizeSecurityGroupIngress" },
    { "instance:machine", "groups", { "ec2", "modify_instance_attribute", { InstanceId = machine, Groups = { store } } }, app,
      "ec2 ModifyInstanceAttribute" },
    { "role:machine", "inline", { "iam", "put_role_policy", with_role { PolicyName = "read", PolicyDocument =
      '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}' } }, "read", "iam PutRolePolicy" },
    { "bucket:shop-7f3a", "tags", { "s3", "put_bucket_tagging", { Bucket = "shop-7f3a", Tagging = { TagSet = FOREIGN } } }, "owner",
      "s3 PutBucketTagging" },
    { "alarm:cpu", "+", { "cloudwatch", "delete_alarms", { AlarmNames = { "cpu" } } }, "cpu", "cloudwatch PutMetricAlarm" },
    { "db_instance:shop", "running", { "rds", "stop_db_instance", { DBInstanceIdentifier = "shop" } }, "shop", "rds StartDBInstance" },
    { "eb_environment:shop-web", "settings", { "elasticbeanstalk", "update_environment", { EnvironmentName = "shop-web", OptionSettings = {
      { Namespace = "aws:elasticbeanstalk:command", OptionName = "Timeout", Value = "60" } } } }, "Timeout",
      "elasticbeanstalk UpdateEnvironment" },
  })
  test.truthy(n >= 30, "changes by hand")
  test.match(l.run("plan"), "Plan: no changes%.")

  local function owner(list)
    for _, tag in ipairs(list) do
      if tag.Key == "owner" then return tag.Value end
    end
  end
  test.equal({
    owner(l.boto3("ec2", "describe_vpcs", { VpcIds = { vpc } }).Vpcs[1].Tags),
    owner(l.boto3("rds", "describe_db_instances", {}).DBInstances[1].TagList),
    owner(l.boto3("iam", "get_role", with_role {}).Role.Tags),
    owner(l.boto3("s3", "get_bucket_tagging", { Bucket = "shop-7f3a" }).TagSet),
  }, { "them", "them", "them", "them" }, "foreign tags")
end

return T
