--- The coarse nouns: which resources they are made of, and what they tell them.
local aws = require "aws"
local lab = dofile "tests/support/noun_lab.lua"
local recipe_lab = dofile "tests/support/recipe_lab.lua"
local test = require "test"
local T = test.cases()

local ZONES = { AvailabilityZones = { { ZoneName = "us-east-1b" }, { ZoneName = "us-east-1a" }, { ZoneName = "us-east-1c" } } }
local NET = { id = "vpc-1", name = "shop", cidr = "10.9.0.0/16", zones = { "us-east-1a", "us-east-1b" },
              public = { "subnet-1", "subnet-2" }, private = { "subnet-3", "subnet-4" } }

--- What AWS answers while it has nothing.
local EMPTY = {
  ["ec2 DescribeAvailabilityZones"] = ZONES, ["ec2 DescribeVpcs"] = { Vpcs = {} }, ["ec2 DescribeSubnets"] = { Subnets = {} },
  ["ec2 DescribeSecurityGroups"] = { SecurityGroups = {} }, ["ec2 DescribeInstances"] = { Reservations = {} },
  ["ec2 DescribeKeyPairs"] = { KeyPairs = {} }, ["ssm GetParameter"] = { Parameter = { Value = "ami-1" } },
  ["secretsmanager DescribeSecret"] = lab.refusal "ResourceNotFoundException", ["iam GetRole"] = lab.refusal("NoSuchEntity", 404),
  ["iam GetInstanceProfile"] = lab.refusal("NoSuchEntity", 404), ["rds DescribeDBInstances"] = lab.refusal("DBInstanceNotFound", 404),
  ["rds DescribeDBSubnetGroups"] = lab.refusal("DBSubnetGroupNotFoundFault", 404),
  ["rds DescribeDBParameterGroups"] = lab.refusal("DBParameterGroupNotFound", 404),
  ["elasticache DescribeCacheSubnetGroups"] = lab.refusal "CacheSubnetGroupNotFoundFault",
  ["elasticache DescribeCacheParameterGroups"] = lab.refusal("CacheParameterGroupNotFound", 404),
  ["elasticache DescribeReplicationGroups"] = lab.refusal("ReplicationGroupNotFoundFault", 404),
  ["elasticbeanstalk DescribeEnvironments"] = { Environments = {} }, ["sns ListTopics"] = { Topics = {} },
  ["cloudwatch DescribeAlarms"] = { MetricAlarms = {} },
}

local function planned(fn) return lab.planned(fn, lab.merged(EMPTY)) end

T["aws.network: a VPC, a public and a private subnet in each zone, a gateway, two route tables"] = function()
  local net
  test.equal(planned(function() net = aws.network { "shop", cidr = "10.9.0.0/16", zones = 2 } end), {
    "internet_gateway:shop", "route_table:shop-private", "route_table:shop-public", "subnet:shop-private-a", "subnet:shop-private-b",
    "subnet:shop-public-a", "subnet:shop-public-b", "vpc:shop" })
  test.equal(net.zones, { "us-east-1a", "us-east-1b" })
end

T["aws.network: a region with fewer zones is refused"] = function()
  test.raises("us%-east%-1 has 3 availability zones, not 4", function()
    planned(function() aws.network { "shop", cidr = "10.9.0.0/16", zones = 4 } end)
  end)
end

T["aws.bastion: a key in Secrets Manager and in EC2, a group, a machine"] = function()
  test.equal(planned(function() aws.bastion { "shop", network = NET, ssh_from = "203.0.113.7/32" } end), {
    "instance:shop-bastion", "key_pair:shop-bastion", "secret:shop-bastion-key", "security_group:shop-bastion" })
end

T["aws.bastion: ssh for the whole internet is refused before anything is asked"] = function()
  local world = lab.world(EMPTY)
  test.raises("half the internet", function()
    recipe_lab():plan(function() aws.bastion { "shop", network = NET, ssh_from = "0.0.0.0/0" } end)
  end)
  lab.same(world.looks, {})
end

T["aws.postgres: a password, subnets, settings, a group, the instance"] = function()
  test.equal(planned(function() aws.postgres { "shop", network = NET, allow = { "sg-app" } } end), {
    "db_instance:shop", "db_parameter_group:shop-db-pg16", "db_subnet_group:shop-db", "secret:shop-db-password", "security_group:shop-db" })
end

T["aws.cache: a token, subnets, settings, a group, the nodes; their names are known before they are"] = function()
  local cache
  test.equal(planned(function() cache = aws.cache { "Shop", network = NET, allow = { "sg-app" }, replicas = 2 } end), {
    "cache_parameter_group:Shop-cache-valkey8", "cache_subnet_group:Shop-cache", "replication_group:Shop", "secret:Shop-cache-token",
    "security_group:Shop-cache" })
  test.equal(cache.nodes, { "shop-001", "shop-002", "shop-003" })
end

T["a cache that may forget keys is refused unless it is said to hold no queue"] = function()
  local function made(more)
    return planned(function()
      local o = { "Shop", network = NET, parameters = { ["maxmemory-policy"] = "allkeys-lru" } }
      for k, v in pairs(more or {}) do o[k] = v end
      aws.cache(o)
    end)
  end
  test.raises('aws.cache "Shop": with the maxmemory%-policy allkeys%-lru a full server forgets keys, jobs of queues among them', made)
  test.equal(#made { evicting = true }, #made { parameters = { ["maxmemory-policy"] = "noeviction" } })
end

T["aws.environment: two roles, a profile, the environment"] = function()
  test.equal(planned(function() aws.environment { "shop", application = "shop", network = NET } end), {
    "eb_environment:shop", "instance_profile:shop-eb-machine", "role:shop-eb-machine", "role:shop-eb-service" })
end

T["aws.environment: it keeps its logs as long as it is told, and runs with the roles that are made for it"] = function()
  local seen
  local real = aws.eb_environment
  rawset(aws, "eb_environment", function(spec)
    seen = spec
    return { id = "e-1", cname = "shop.example" }
  end)
  test.defer(function() rawset(aws, "eb_environment", real) end)
  local arn = "arn:aws:secretsmanager:us-east-1:1:secret:shop-AbCdEf"
  planned(function()
    aws.environment { "shop", application = "shop", network = NET, log_days = 7, groups = { "sg-1", { id = "sg-2" } },
                      secrets = { URL = arn .. ":URL" }, health_path = "/up" }
  end)
  local s = seen.settings
  test.equal(s["aws:elasticbeanstalk:cloudwatch:logs"], { StreamLogs = "true", DeleteOnTerminate = "true", RetentionInDays = "7" })
  test.equal(s["aws:autoscaling:launchconfiguration"],
    { IamInstanceProfile = "shop-eb-machine", DisableIMDSv1 = "true", SecurityGroups = "sg-1,sg-2" })
  test.equal(s["aws:ec2:vpc"], { VPCId = "vpc-1", Subnets = "subnet-1,subnet-2", AssociatePublicIpAddress = "true" })
  test.equal(s["aws:elasticbeanstalk:environment"], { EnvironmentType = "SingleInstance", ServiceRole = "shop-eb-service" })
  test.equal(s["aws:elasticbeanstalk:application:environmentsecrets"], { URL = arn .. ":URL" })
  test.equal(s["aws:elasticbeanstalk:application"], { ["Application Healthcheck URL"] = "/up" })
end

--- The settings that an environment of these options gets in two namespaces.
local function policy(o)
  local seen, real = nil, aws.eb_environment
  rawset(aws, "eb_environment", function(spec)
    seen = spec.settings
    return { id = "e-1", cname = "shop.example" }
  end)
  test.defer(function() rawset(aws, "eb_environment", real) end)
  planned(function() aws.environment(lab.merged({ "shop", application = "shop", network = NET }, o)) end)
  return { seen["aws:elasticbeanstalk:command"], seen["aws:autoscaling:updatepolicy:rollingupdate"] }
end

T["aws.environment: one machine is replaced at once, several by halves; both can be told to be immutable, one not to roll"] = function()
  local rolling = { { Timeout = "1800", DeploymentPolicy = "Rolling", BatchSizeType = "Percentage", BatchSize = "50" },
                    { RollingUpdateEnabled = "true", RollingUpdateType = "Health" } }
  local immutable = { { Timeout = "1800", DeploymentPolicy = "Immutable" }, { RollingUpdateEnabled = "true", RollingUpdateType = "Immutable" } }
  test.equal(policy {}, { { Timeout = "1800", DeploymentPolicy = "AllAtOnce" } })
  test.equal(policy { load_balanced = true }, rolling)
  test.equal(policy { load_balanced = true, max_instances = 1 }, { { Timeout = "1800", DeploymentPolicy = "AllAtOnce" } })
  test.equal(policy { deployment = "immutable" }, immutable)
  test.equal(policy { load_balanced = true, deployment = "all-at-once" }, { { Timeout = "1800", DeploymentPolicy = "AllAtOnce" } })
  test.equal(test.raises("a rolling deployment needs several machines", policy, { deployment = "rolling" }).kind, "usage")
end

local function alarms(more)
  return lab.merged({ "shop", email = "ops@example.com", db = { id = "shop-db-1" }, cache = { nodes = { "shop-001", "shop-002" } },
                      environment = { name = "shop-env" } }, more or {})
end

T["aws.alarms: a topic, a mail, an alarm on each metric, of the cache on each node"] = function()
  test.equal(planned(function() aws.alarms(alarms()) end), {
    "alarm:shop-app-5xx", "alarm:shop-app-health", "alarm:shop-cache-cpu-001", "alarm:shop-cache-cpu-002", "alarm:shop-cache-evictions-001",
    "alarm:shop-cache-evictions-002", "alarm:shop-cache-memory-001", "alarm:shop-cache-memory-002", "alarm:shop-db-connections",
    "alarm:shop-db-cpu", "alarm:shop-db-memory", "alarm:shop-db-storage", "subscription:shop-alarms-email", "topic:shop-alarms" })
  test.equal(planned(function() aws.alarms { "shop", db = { id = "shop" } } end), {
    "alarm:shop-db-connections", "alarm:shop-db-cpu", "alarm:shop-db-memory", "alarm:shop-db-storage", "topic:shop-alarms" })
end

T["aws.alarms: later ones go to the topic of the first; who is told stands in one place"] = function()
  test.equal(planned(function()
    local first = aws.alarms { "shop", email = "ops@example.com", db = { id = "shop" } }
    local more = aws.alarms { "shop", topic = first.topic, environment = { name = "shop-env" } }
    test.equal(more.topic, first.topic)
  end), {
    "alarm:shop-app-5xx", "alarm:shop-app-health", "alarm:shop-db-connections", "alarm:shop-db-cpu", "alarm:shop-db-memory",
    "alarm:shop-db-storage", "subscription:shop-alarms-email", "topic:shop-alarms" })
  test.raises("either a topic or an email", function()
    planned(function() aws.alarms { "shop", topic = "arn:aws:sns:us-east-1:1:t", email = "ops@example.com" } end)
  end)
end

T["aws.alarms: each watches what CloudWatch has under that name"] = function()
  local made, topic = {}, "arn:aws:sns:us-east-1:1:shop-alarms"
  local world = lab.world(lab.merged(EMPTY))
  world.answers["sns CreateTopic"] = function()
    world.answers["sns ListTopics"] = { Topics = { { TopicArn = topic } } }
    world.answers["sns ListTagsForResource"] = { Tags = lab.tag_list("topic", "shop-alarms") }
    return { TopicArn = topic }
  end
  world.answers["cloudwatch PutMetricAlarm"] = function(args)
    made[args.AlarmName] = args
    return {}
  end
  world.answers["cloudwatch DescribeAlarms"] = function(args)
    local a = made[args.AlarmNames[1]]
    return { MetricAlarms = { a and lab.merged(a, { AlarmArn = "arn:" .. a.AlarmName }) } }
  end
  world.answers["cloudwatch ListTagsForResource"] = function(args)
    return { Tags = lab.tag_list("alarm", args.ResourceARN:sub(5)) }
  end
  local wanted = alarms()
  wanted.email = nil
  recipe_lab():apply(function() aws.alarms(wanted) end)
  local seen = {}
  for name, a in pairs(made) do
    local d = a.Dimensions
    seen[name] = ("%s %s %s=%s"):format(a.Namespace, a.MetricName, d[1].Name, d[1].Value)
    test.equal({ #d, a.AlarmActions, a.OKActions }, { 1, { topic }, { topic } }, name)
  end
  local EB, RDS, CACHE = "AWS/ElasticBeanstalk %s EnvironmentName=shop-env", "AWS/RDS %s DBInstanceIdentifier=shop-db-1",
                         "AWS/ElastiCache %s CacheClusterId=shop-00%d"
  test.equal(seen, {
    ["shop-app-5xx"] = EB:format "ApplicationRequests5xx", ["shop-app-health"] = EB:format "EnvironmentHealth",
    ["shop-db-connections"] = RDS:format "DatabaseConnections", ["shop-db-cpu"] = RDS:format "CPUUtilization",
    ["shop-db-memory"] = RDS:format "FreeableMemory", ["shop-db-storage"] = RDS:format "FreeStorageSpace",
    ["shop-cache-cpu-001"] = CACHE:format("EngineCPUUtilization", 1), ["shop-cache-cpu-002"] = CACHE:format("EngineCPUUtilization", 2),
    ["shop-cache-memory-001"] = CACHE:format("DatabaseMemoryUsagePercentage", 1),
    ["shop-cache-memory-002"] = CACHE:format("DatabaseMemoryUsagePercentage", 2),
    ["shop-cache-evictions-001"] = CACHE:format("Evictions", 1), ["shop-cache-evictions-002"] = CACHE:format("Evictions", 2),
  })
  test.equal(made["shop-db-storage"].ComparisonOperator, "LessThanThreshold")
  test.equal(made["shop-db-cpu"].ComparisonOperator, "GreaterThanThreshold")
end

return T
