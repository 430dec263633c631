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

T["aws.bastion_door: everybody is refused in both families, a wide range is warned of, one address is not"] = function()
  local function said(from)
    local l = recipe_lab()
    lab.world(lab.merged(EMPTY))
    l:plan(function() aws.bastion_door { "shop", network = NET, ssh_from = from } end)
    return l:text()
  end
  for _, from in ipairs { "0.0.0.0/0", "::/0", "10.0.0.0/7", "2001:db8::/32" } do test.equal(test.raises("", said, from).kind, "usage", from) end
  test.match(said "198.51.0.0/16", "65536 addresses may try the bastion's ssh port %(198%.51%.0%.0/16%)")
  test.truthy(not said "203.0.113.7/32":find "may try")
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

T["aws.environment: workers stand on several machines without a load balancer, and may look into their queue"] = function()
  local seen, policies, real, role = nil, {}, aws.eb_environment, aws.role
  rawset(aws, "eb_environment", function(spec)
    seen = spec
    return { id = "e-1" }
  end)
  rawset(aws, "role", function(spec)
    policies[spec[1]] = spec.policies
    return role(spec)
  end)
  test.defer(function()
    rawset(aws, "eb_environment", real)
    rawset(aws, "role", role)
  end)
  local made
  planned(function()
    made = aws.environment { "shop", application = "shop", network = NET, worker = true, min_instances = 3, max_instances = 3 }
  end)
  test.equal({ seen.worker, made.url, made.cname }, { true })
  local s = seen.settings
  test.equal(s["aws:elasticbeanstalk:environment"], { EnvironmentType = "LoadBalanced", ServiceRole = "shop-eb-service" })
  test.equal(s["aws:autoscaling:asg"], { MinSize = "3", MaxSize = "3" })
  test.equal(s["aws:elasticbeanstalk:command"].DeploymentPolicy, "Rolling")
  test.equal(policies["shop-eb-machine"][1], "AWSElasticBeanstalkWorkerTier")
  test.equal(test.raises("behind no load balancer", planned, function()
    aws.environment { "shop", application = "shop", network = NET, worker = true, load_balanced = true }
  end).kind, "usage")
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
  local function command(o) return lab.merged({ Timeout = "1800", IgnoreHealthCheck = "false" }, o) end
  local rolling = { command { DeploymentPolicy = "Rolling", BatchSizeType = "Percentage", BatchSize = "50" },
                    { RollingUpdateEnabled = "true", RollingUpdateType = "Health" } }
  local immutable = { command { DeploymentPolicy = "Immutable" }, { RollingUpdateEnabled = "true", RollingUpdateType = "Immutable" } }
  test.equal(policy {}, { command { DeploymentPolicy = "AllAtOnce" } })
  test.equal(policy { load_balanced = true }, rolling)
  test.equal(policy { load_balanced = true, max_instances = 1 }, { command { DeploymentPolicy = "AllAtOnce" } })
  test.equal(policy { deployment = "immutable" }, immutable)
  test.equal(policy { load_balanced = true, deployment = "all-at-once" }, { command { DeploymentPolicy = "AllAtOnce" } })
  test.equal(test.raises("a rolling deployment needs several machines", policy, { deployment = "rolling" }).kind, "usage")
end

T["aws.environment: closed, its machines are in the groups alone, so it needs some"] = function()
  for _, o in ipairs { { closed = true }, { closed = true, groups = { "sg-1" }, key = "me", ssh_from = "sg-2" } } do
    test.equal(test.raises("closed needs groups of your own, and no key", policy, o).kind, "usage")
  end
end

package.path = "recipes/?.lua;" .. package.path
local thresholds = require "heroku_to_aws.thresholds"

local DB = { id = "shop-db-1", class = "db.t4g.small", gigabytes = 20 }
local RESOURCES = { ["elasticbeanstalk DescribeEnvironmentResources"] = { EnvironmentResources = {
  AutoScalingGroups = { { Name = "asg-1" } },
  LoadBalancers = { { Name = "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/awseb/50dc" } } } } }

local function alarms(more)
  return lab.merged({ "shop", email = "ops@example.com", thresholds = thresholds, db = DB, cache = { nodes = { "shop-001", "shop-002" } },
                      environment = { id = "e-1", name = "shop" } }, more or {})
end

local function planned_alarms(fn)
  local names = {}
  for _, name in ipairs(lab.planned(fn, lab.merged(EMPTY, RESOURCES))) do
    names[#names + 1] = name:match "^alarm:shop%-(.*)$" or name
  end
  return names
end

T["aws.alarms: a topic, a mail, an alarm on each metric, of the cache on each node"] = function()
  test.equal(planned_alarms(function() aws.alarms(alarms()) end), {
    "app-5xx", "app-cpu", "app-health", "cache-connections-001", "cache-connections-002", "cache-cpu-001", "cache-cpu-002",
    "cache-evictions-001", "cache-evictions-002", "cache-lag-001", "cache-lag-002", "cache-memory-001", "cache-memory-002",
    "db-connections", "db-cpu", "db-memory", "db-storage", "lb-5xx", "lb-app-5xx", "subscription:shop-alarms-email", "topic:shop-alarms" })
  test.equal(planned_alarms(function() aws.alarms { "shop", thresholds = thresholds, cache = { nodes = { "one-001" } } } end), {
    "cache-connections-001", "cache-cpu-001", "cache-evictions-001", "cache-memory-001", "topic:shop-alarms" })
  test.equal(planned_alarms(function()
    aws.alarms { "shop", thresholds = thresholds, replicas = { "shop-r1" }, queues = { "orders" }, jobs = { "emails" },
                 services = { { cluster = "shop", name = "web" } }, environment = { id = "e-2", name = "shop-worker" } }
  end), { "app-5xx-shop-worker", "app-cpu-shop-worker", "app-health-shop-worker", "db-lag-shop-r1", "jobs-age-emails",
          "lb-5xx-shop-worker", "lb-app-5xx-shop-worker", "queue-age-orders", "service-cpu-web", "service-memory-web", "service-tasks-web",
          "topic:shop-alarms" })
  test.equal(planned_alarms(function()
    aws.alarms { "shop", thresholds = thresholds, balancer = "app/shop/50dc",
                 targets = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/web/6d0e" }
  end), { "lb-5xx", "lb-app-5xx", "targets-ill", "topic:shop-alarms" })
  test.raises("the balancer before them", function()
    planned(function() aws.alarms { "shop", thresholds = thresholds, targets = "targetgroup/web/6d0e" } end)
  end)
end

T["aws.alarms: later ones go to the topic of the first; who is told stands in one place"] = function()
  test.equal(planned_alarms(function()
    local first = aws.alarms { "shop", email = "ops@example.com", thresholds = thresholds, db = DB }
    local more = aws.alarms { "shop", topic = first.topic, thresholds = thresholds, queues = { "orders" } }
    test.equal(more.topic, first.topic)
  end), { "db-connections", "db-cpu", "db-memory", "db-storage", "queue-age-orders", "subscription:shop-alarms-email", "topic:shop-alarms" })
  test.raises("either a topic or an email", function()
    planned(function() aws.alarms { "shop", topic = "arn:aws:sns:us-east-1:1:t", email = "ops@example.com", thresholds = thresholds } end)
  end)
end

T["aws.alarms: a row that lacks something is named"] = function()
  for why, change in pairs { ["has no unit"] = { unit = false }, ["of nothing that is watched: moon"] = { of = "moon" },
                             ["either over or under"] = { under = 1 } } do
    local row = { "slow", of = "db", metric = "M", statistic = "Sum", over = 1, unit = "s", period = 60, periods = 1, missing = "missing", why = "w" }
    for k, v in pairs(change) do row[k] = v or nil end
    test.raises("the threshold slow .*" .. why, function() planned(function() aws.alarms { "shop", thresholds = { row }, db = DB } end) end)
  end
end

T["the thresholds: each says its unit and why, and the limits of a database are those of its class"] = function()
  local limits = {}
  for _, row in ipairs(thresholds) do
    test.truthy(#row.unit > 0 and #row.why > 20 and row.period % 60 == 0, row[1])
    local limit = row.over or row.under
    if row.of == "db" and type(limit) == "function" then
      limits[row[1]] = { limit { class = "db.t4g.micro", gigabytes = 20 }, limit { class = "db.r7g.2xlarge", gigabytes = 1000 } }
    end
  end
  test.equal(limits, { ["db-memory"] = { 107374182, 6871947673 }, ["db-storage"] = { 2147483648, 107374182400 }, ["db-connections"] = { 89, 4000 } })
end

T["aws.alarms: each watches what CloudWatch has under that name"] = function()
  local made, topic = {}, "arn:aws:sns:us-east-1:1:shop-alarms"
  local world = lab.world(lab.merged(EMPTY, RESOURCES))
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
  local EB, RDS, CACHE = "AWS/ElasticBeanstalk %s EnvironmentName=shop", "AWS/RDS %s DBInstanceIdentifier=shop-db-1",
                         "AWS/ElastiCache %s CacheClusterId=shop-00%d"
  local want = {
    ["shop-app-5xx"] = EB:format "ApplicationRequests5xx", ["shop-app-health"] = EB:format "EnvironmentHealth",
    ["shop-app-cpu"] = "AWS/EC2 CPUUtilization AutoScalingGroupName=asg-1",
    ["shop-lb-app-5xx"] = "AWS/ApplicationELB HTTPCode_Target_5XX_Count LoadBalancer=app/awseb/50dc",
    ["shop-lb-5xx"] = "AWS/ApplicationELB HTTPCode_ELB_5XX_Count LoadBalancer=app/awseb/50dc",
    ["shop-db-connections"] = RDS:format "DatabaseConnections", ["shop-db-cpu"] = RDS:format "CPUUtilization",
    ["shop-db-memory"] = RDS:format "FreeableMemory", ["shop-db-storage"] = RDS:format "FreeStorageSpace",
  }
  for name, metric in pairs { cpu = "EngineCPUUtilization", memory = "DatabaseMemoryUsagePercentage", evictions = "Evictions",
                              connections = "CurrConnections", lag = "ReplicationLag" } do
    for i = 1, 2 do want[("shop-cache-%s-00%d"):format(name, i)] = CACHE:format(metric, i) end
  end
  test.equal(seen, want)
  test.equal({ made["shop-db-storage"].ComparisonOperator, made["shop-db-storage"].TreatMissingData, made["shop-db-storage"].Threshold },
    { "LessThanThreshold", "missing", 2147483648 })
  test.equal({ made["shop-cache-evictions-001"].ComparisonOperator, made["shop-cache-evictions-001"].TreatMissingData },
    { "GreaterThanThreshold", "notBreaching" })
end

return T
