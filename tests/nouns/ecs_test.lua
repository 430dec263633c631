--- The nouns of ECS, request by request (see tests/support/noun_lab.lua).
local lab = dofile "tests/support/noun_lab.lua"
local T = require("test").cases()

local CLUSTER = "arn:aws:ecs:us-east-1:1:cluster/shop"
local DEFINITION = "arn:aws:ecs:us-east-1:1:task-definition/shop-web:1"
local SERVICE = "arn:aws:ecs:us-east-1:1:service/shop/shop-web"
local SECRET = "arn:aws:secretsmanager:us-east-1:1:secret:shop/config-AbCdEf"
local TEAM, ADDED = { tags = { team = "shop" } }, { { key = "team", value = "shop" } }

local function tagging(arn) return { "ecs TagResource", { resourceArn = arn, tags = ADDED } } end
local function tags(noun, name, more)
  local list = lab.tag_list(noun, name, more)
  for i, t in ipairs(list) do list[i] = { key = t.Key, value = t.Value } end
  return list
end

local function cluster(more)
  return { clusters = { lab.merged({ clusterArn = CLUSTER, clusterName = "shop", status = "ACTIVE", tags = tags("ecs_cluster", "shop"),
    settings = { { name = "containerInsights", value = "disabled" } } }, more or {}) } }
end

lab.case(T, {
  noun = "ecs_cluster", want = { "shop" },
  absent = { ["ecs DescribeClusters"] = cluster { status = "INACTIVE" } },                -- ECS shows it for a while
  there = { ["ecs DescribeClusters"] = cluster(), ["ecs ListTasks"] = { taskArns = { "arn:task" } } },
  looks = { { "ecs DescribeClusters", { clusters = { "shop" }, include = { "TAGS", "SETTINGS" } } } },
  gone = {},
  create = { { "ecs CreateCluster", { clusterName = "shop", settings = { { name = "containerInsights", value = "disabled" } },
    tags = tags("ecs_cluster", "shop") }, { cluster = { clusterName = "shop" } } } },
  change = {
    { "it gets metrics of each task", want = { insights = true }, calls = { { "ecs UpdateClusterSettings", { cluster = "shop",
      settings = { { name = "containerInsights", value = "enabled" } } } } } },
    { "a tag is added", want = TEAM, calls = { tagging(CLUSTER) } },
  },
  fixed = {},
  delete = { { "ecs StopTask", { cluster = "shop", task = "arn:task", reason = "its cluster is deleted" } },
             { "ecs DeleteCluster", { cluster = "shop" } } },
})

local function container(more)
  return lab.merged({ name = "shop-web", image = "repo@sha256:1", command = { "/bin/sh", "-c", "node web.js" }, essential = true,
    environment = { { name = "PORT", value = "8080" } }, secrets = { { name = "KEY", valueFrom = SECRET .. ":KEY::" } },
    portMappings = { { containerPort = 8080, protocol = "tcp" } }, stopTimeout = 30, linuxParameters = { initProcessEnabled = true },
    logConfiguration = { logDriver = "awslogs", options = { ["awslogs-group"] = "/shop/web", ["awslogs-region"] = "us-east-1",
      ["awslogs-stream-prefix"] = "shop-web" } } }, more or {})
end

local function definition(of, more)
  return { taskDefinition = lab.merged({ taskDefinitionArn = DEFINITION, family = "shop-web", revision = 1, status = "ACTIVE", cpu = "256",
    memory = "512", executionRoleArn = "arn:role", containerDefinitions = { container(of) },
    runtimePlatform = { cpuArchitecture = "X86_64", operatingSystemFamily = "LINUX" } }, more or {}),
    tags = tags("ecs_task_definition", "shop-web") }
end

local function register(of, more)
  return { "ecs RegisterTaskDefinition", lab.merged({ family = "shop-web", networkMode = "awsvpc", requiresCompatibilities = { "FARGATE" },
    cpu = "256", memory = "512", executionRoleArn = "arn:role", containerDefinitions = { container(of) },
    runtimePlatform = { cpuArchitecture = "X86_64", operatingSystemFamily = "LINUX" }, tags = tags("ecs_task_definition", "shop-web") }, more or {}),
    definition() }
end

lab.case(T, {
  noun = "ecs_task_definition",
  want = { "shop-web", image = "repo@sha256:1", command = { "/bin/sh", "-c", "node web.js" }, port = 8080, env = { PORT = "8080" },
           secrets = { KEY = SECRET .. ":KEY" }, log_group = "/shop/web", execution_role = "arn:role" },
  absent = { ["ecs DescribeTaskDefinition"] = lab.refusal "ClientException" },
  there = { ["ecs DescribeTaskDefinition"] = definition(), ["ecs ListTaskDefinitions"] = function(args)
    return { taskDefinitionArns = args.status == "ACTIVE" and { DEFINITION } or {} }
  end },
  looks = { { "ecs DescribeTaskDefinition", { taskDefinition = "shop-web", include = { "TAGS" } } } },
  gone = {},
  create = { register() },
  change = {
    { "a new image makes a new revision", want = { image = "repo@sha256:2" }, calls = { register { image = "repo@sha256:2" } } },
    { "a larger size makes a new revision", want = { cpu = 1024, memory = 2048 }, calls = { register(nil, { cpu = "1024", memory = "2048" }) } },
    { "a key of the secret that someone changed is put back",
      there = { ["ecs DescribeTaskDefinition"] = definition { secrets = { { name = "KEY", valueFrom = SECRET .. ":OLD::" } } } },
      calls = { register() } },
    { "a tag is added", want = TEAM, calls = { tagging(DEFINITION) } },
  },
  fixed = {},
  delete = { { "ecs DeregisterTaskDefinition", { taskDefinition = DEFINITION } },
             { "ecs DeleteTaskDefinitions", { taskDefinitions = { DEFINITION } } } },
})

local function network(more)
  return { awsvpcConfiguration = lab.merged({ subnets = { "subnet-1", "subnet-2" }, securityGroups = { "sg-1" }, assignPublicIp = "ENABLED" },
    more or {}) }
end

local BALANCER = { { targetGroupArn = "arn:tg", containerName = "shop-web", containerPort = 8080 } }
local function rolling(least)
  return { deploymentCircuitBreaker = { enable = true, rollback = true }, maximumPercent = 200, minimumHealthyPercent = least }
end

local function service(more)
  return { services = { lab.merged({ serviceArn = SERVICE, serviceName = "shop-web", clusterArn = CLUSTER, status = "ACTIVE", desiredCount = 3,
    runningCount = 3, taskDefinition = DEFINITION, networkConfiguration = network(), loadBalancers = BALANCER, deploymentConfiguration = rolling(100),
    healthCheckGracePeriodSeconds = 60, enableExecuteCommand = false, tags = tags("ecs_service", "shop-web") }, more or {}) } }
end

local function update(args) return { "ecs UpdateService", lab.merged({ cluster = "shop", service = SERVICE:match "[^/]*$" }, args) } end

lab.case(T, {
  noun = "ecs_service",
  want = { "shop-web", cluster = "shop", task_definition = DEFINITION, subnets = { "subnet-1", "subnet-2" }, groups = { "sg-1" }, public_ip = true,
           target_group = "arn:tg", container = "shop-web", port = 8080 },
  absent = { ["ecs DescribeServices"] = { services = {}, failures = { { reason = "MISSING" } } } },
  there = { ["ecs DescribeServices"] = service() },                                       -- 3 tasks run: how many is no difference
  looks = { { "ecs DescribeServices", { cluster = "shop", services = { "shop-web" }, include = { "TAGS" } } } },
  gone = {},
  create = { { "ecs CreateService", { cluster = "shop", serviceName = "shop-web", taskDefinition = DEFINITION, desiredCount = 0,
    launchType = "FARGATE", networkConfiguration = network(), deploymentConfiguration = rolling(100), loadBalancers = BALANCER,
    healthCheckGracePeriodSeconds = 60, enableExecuteCommand = false, propagateTags = "SERVICE", tags = tags("ecs_service", "shop-web"),
    clientToken = "(token)" }, { service = { serviceArn = SERVICE } } } },
  change = {
    { "its tasks get another group", want = { groups = { "sg-2" } },
      calls = { update { networkConfiguration = network { securityGroups = { "sg-2" } } } } },
    { "its tasks lose their public addresses", want = { public_ip = false },
      calls = { update { networkConfiguration = network { assignPublicIp = "DISABLED" } } } },
    { "fewer need to run during a deployment", want = { least_percent = 50 }, calls = { update { deploymentConfiguration = rolling(50) } } },
    { "a tag is added", want = TEAM, calls = { tagging(SERVICE) } },
  },
  fixed = { cluster = "other" },
  delete = { { "ecs DeleteService", { cluster = "shop", service = "shop-web", force = true } } },
})

return T
