--- A recipe that makes one of each noun: for what must know them all. `dofile` gives the function; its secret is `PASSWORD`
--- of what `dofile` gives second.
local aws = require "aws"
local recipe = require "recipe"
local secret = require "secret"
local text = require "text"

local PASSWORD = secret.random(24)
local MAPPINGS = { rules = { { ["rule-type"] = "selection", ["rule-id"] = "1", ["rule-name"] = "1", ["rule-action"] = "include",
                               ["object-locator"] = { ["schema-name"] = "public", ["table-name"] = "${not_a_template}" } } } }

local function network()
  recipe.stage "the network"
  local vpc = aws.vpc { "one", cidr = "10.9.0.0/16" }
  local a = aws.subnet { "one-a", vpc = vpc, cidr = "10.9.0.0/24", zone = "us-east-1a", public = true }
  local b = aws.subnet { "one b", vpc = vpc, cidr = "10.9.1.0/24", zone = "us-east-1b" }
  local igw = aws.internet_gateway { "one", vpc = vpc }
  aws.route_table { "one", vpc = vpc, routes = { { to = "0.0.0.0/0", gateway = igw } }, subnets = { a, b } }
  local app = aws.security_group { "1 app", vpc = vpc, rules = { { port = 80, from = "0.0.0.0/0" }, { port = 22, from = "self" } } }
  local db = aws.security_group { "one-db", vpc = vpc, rules = { { port = 5432, from = app, why = 'the app, "quoted"\\' } } }
  return { vpc = vpc, subnets = { a, b }, app = app, db = db }
end

local function stores(net)
  recipe.stage "stores"
  local group = aws.db_subnet_group { "one", subnets = net.subnets }
  local parameters = aws.db_parameter_group { "one-16", family = "postgres16", parameters = { ["rds.force_ssl"] = 1, work_mem = 8192 } }
  aws.db_instance { "one", class = "db.t4g.micro", version = "16", user = "owner", password = PASSWORD, subnet_group = group.name,
                    parameter_group = parameters.name, groups = { net.db } }
  local caches = aws.cache_subnet_group { "one", subnets = net.subnets }
  aws.cache_parameter_group { "one-8", family = "valkey8", parameters = { ["maxmemory-policy"] = "noeviction" } }
  aws.replication_group { "one", version = "8.0", node_type = "cache.t4g.micro", replicas = 1, subnet_group = caches.name, parameter_group = "one-8",
                          groups = { net.db }, auth_token = PASSWORD }
  local bucket = aws.bucket { "one-files-123", versions = true }
  aws.object { "a/file.txt", bucket = bucket, bytes = PASSWORD }
  aws.parameter { "/one/password", value = PASSWORD }
  return aws.secret { "one/password", value = { password = PASSWORD, username = "owner", host = "h", port = 5432 } }
end

local function roles(kept)
  recipe.stage "roles"
  aws.key_pair { "one", public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMDfy1ZJ6G3vNcb0dDFbnxr1FZaLKhKYz1aVRZJvHfIb one" }
  local document = { Version = "2012-10-17", Statement = { { Effect = "Allow", Action = "secretsmanager:GetSecretValue", Resource = kept.arn } } }
  local role = aws.role { "one", service = "ec2.amazonaws.com", policies = { "AmazonSSMManagedInstanceCore" }, inline = { ["read it"] = document } }
  local github = aws.oidc_provider { "token.actions.githubusercontent.com", audiences = { "sts.amazonaws.com" } }
  aws.role { "one-deploy", web_identity = { provider = github, audience = "sts.amazonaws.com", subjects = { "repo:o/r:ref:refs/heads/main" } } }
  return role, aws.instance_profile { "one", role = role }
end

local function beanstalk(net, profile)
  recipe.stage "beanstalk"
  local app = aws.eb_application { "one" }
  aws.eb_environment { "only", application = app, settings = {
    ["aws:autoscaling:launchconfiguration"] = { IamInstanceProfile = profile.name, SecurityGroups = net.app.id },
    ["aws:elasticbeanstalk:application:environment"] = { MODE = "live", PASSWORD = PASSWORD },
    ["aws:ec2:vpc"] = { VPCId = net.vpc.id, Subnets = text("%s,%s", net.subnets[1].id, net.subnets[2].id) },
  } }
end

local function containers(net, role)
  recipe.stage "containers"
  local repository = aws.ecr_repository { "one" }
  local logs = aws.log_group { "/one/web" }
  local cluster = aws.ecs_cluster { "one" }
  local definition = aws.ecs_task_definition { "one-web", image = text("%s:1", repository.uri), port = 80,
    env = { MODE = "live", PASSWORD = PASSWORD },
    log_group = logs, execution_role = role.arn, command = { "echo", "${x}" } }
  local balancer = aws.load_balancer { "one", subnets = net.subnets, groups = { net.app } }
  local target = aws.target_group { "one", vpc = net.vpc, port = 80 }
  aws.listener { "one", load_balancer = balancer, port = 80, target_group = target }
  aws.listener { "one-old", load_balancer = balancer, port = 81, redirect = true }
  aws.ecs_service { "one", cluster = cluster, task_definition = definition.arn, subnets = net.subnets, groups = { net.app },
                    target_group = target, container = "one-web", port = 80 }
  local queue, group = aws.queue { "one-dead" }, aws.schedule_group { "one" }
  local invoker = aws.role { "one-scheduler", service = "scheduler.amazonaws.com" }
  aws.schedule { "one", group = group, expression = "rate(10 minutes)", target = cluster.arn, role = invoker.arn, dead_letter = queue.arn,
                 input = { containerOverrides = { { name = "one-web", command = { "true" } } } },
                 task = { task_definition = definition.arn, subnets = net.subnets, groups = { net.app }, public_ip = true, exec = false } }
end

local function watch()
  recipe.stage "imports"                                     -- a name that a file of the export has
  local topic = aws.topic { "one" }
  aws.subscription { "one", topic = topic, endpoint = "ops@example.com" }
  aws.alarm { "one cpu", namespace = "AWS/RDS", metric = "CPUUtilization", dimensions = { DBInstanceIdentifier = "one" }, threshold = 80.5,
              actions = { topic } }
  aws.dashboard { "one", body = { widgets = { { type = "text", width = 24, height = 1, properties = { markdown = "one <b>" } } } } }
  aws.certificate { "one.example.com", names = { "*.one.example.com" } }
end

local function dms(net, kept)
  recipe.stage "dms"
  local own = aws.role { "dms-vpc-role", service = "dms.amazonaws.com", policies = { "service-role/AmazonDMSVPCManagementRole" } }
  local reader = aws.role { "one-dms", service = "dms.us-east-1.amazonaws.com", inline = { secrets = { Version = "2012-10-17", Statement = { {
    Effect = "Allow", Action = { "secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret" }, Resource = kept.arn } } } } }
  local group = aws.dms_subnet_group { "one", subnets = net.subnets, role = own }
  local instance = aws.dms_instance { "one", subnet_group = group.name, groups = { net.app } }
  local source = aws.dms_endpoint { "one-source", type = "source", database = "a", secret = kept, role = reader, settings = { CaptureDdls = false } }
  local target = aws.dms_endpoint { "one-target", type = "target", database = "b", secret = kept, role = reader }
  aws.dms_task { "one", source = source, target = target, instance = instance, mappings = MAPPINGS,
                 settings = { Logging = { EnableLogging = true } } }
end

local function everything()
  local net = network()
  local kept = stores(net)
  local role, profile = roles(kept)
  beanstalk(net, profile)
  containers(net, role)
  watch()
  dms(net, kept)
end

return everything, PASSWORD
