--- hkrun export terraform: one of each noun, made in a cloud, written as files, and judged by HashiCorp's formatter and
--- parser and the AWS provider's schema. The files of the whole migration are judged in tests/recipes/rehearsal_test.lua.
local aws = require "aws"
local export = require "terraform.export"
local fs = require "fs"
local hcl = require "terraform.hcl"
local json = require "json"
local judge = dofile "tests/support/terraform_judge.lua"
local load = require "recipe.load"
local recipe = require "recipe"
local run = require "recipe.run"
local secret = require "secret"
local test = require "test"
local text = require "text"
local types = require "terraform.types"
local T = test.cases()

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
  local definition = aws.ecs_task_definition { "one-web", image = text("%s:1", repository.uri), port = 80, env = { MODE = "live", PASSWORD = PASSWORD },
    log_group = logs, execution_role = role.arn, command = { "echo", "${x}" } }
  local balancer = aws.load_balancer { "one", subnets = net.subnets, groups = { net.app } }
  local target = aws.target_group { "one", vpc = net.vpc, port = 80 }
  aws.listener { "one", load_balancer = balancer, port = 80, target_group = target }
  aws.listener { "one-old", load_balancer = balancer, port = 81, redirect = true }
  aws.ecs_service { "one", cluster = cluster, task_definition = definition.arn, subnets = net.subnets, groups = { net.app }, target_group = target,
                    container = "one-web", port = 80 }
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
  aws.dms_task { "one", source = source, target = target, instance = instance, mappings = MAPPINGS, settings = { Logging = { EnableLogging = true } } }
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

--- Applies a recipe in the cloud, and exports it.
local function exported(cloud, chunk)
  test.apply(chunk)
  local r = load.upto_options({ recipe = { name = "test", file = "(test)", chunk = chunk }, rest = { given = {} }, dir = fs.join(cloud.dir, "journal") },
    false)
  local before = #cloud:calls()
  local files, left, count = run.with(r, export.files, r, "us-east-1")
  test.equal(#cloud:calls(), before, "calls of an export that could change something")
  local dir = test.tmpdir()
  for name, text in pairs(files) do fs.write(fs.join(dir, name), text) end
  return dir, left, count, r
end

T["one of each noun becomes what Terraform takes, with references in place of ids, and without a secret"] = function()
  local cloud <close> = test.cloud()
  local dir, left, count, r = exported(cloud, everything)
  local said = judge.check(dir)
  local resources, imports, n = said.resources, said.imports, 0
  for _ in pairs(resources) do n = n + 1 end
  test.equal(count, n, "resources that it says it wrote")
  test.equal(left, { { key = "aws.subscription:one", file = "imports_stage.tf",
                       why = "nobody has confirmed it yet, and until then SNS gives it no ARN to import it by" } })
  test.match(said.text, "# Not here: aws.subscription one: nobody has confirmed")
  local ids = {}
  for _, key in ipairs(r.memory.order) do ids[key] = r.memory.nouns[key].id end
  local vpc, subnet, group = ids["aws.vpc:one"], ids["aws.subnet:one-a"], ids["aws.security_group:1 app"]

  test.equal(resources["aws_subnet.one_b"].vpc_id, "${aws_vpc.one.id}")
  test.equal(resources["aws_security_group._1_app"].name, "1 app")
  test.equal(resources["aws_vpc_security_group_ingress_rule.one_db_in_5432"].referenced_security_group_id, "${aws_security_group._1_app.id}")
  test.equal(resources["aws_vpc_security_group_ingress_rule.one_db_in_5432"].description, 'the app, "quoted"\\')
  test.equal(resources["aws_db_instance.one"].parameter_group_name, "${aws_db_parameter_group.one_16.name}")
  test.match(resources["aws_iam_role_policy.one_read_it"].policy, "Resource = aws_secretsmanager_secret%.one_password%.arn")
  test.match(resources["aws_dms_replication_task.one"].table_mappings, "%$%${not_a_template}")
  local settings = {}
  for _, s in ipairs(resources["aws_elastic_beanstalk_environment.only"].setting) do settings[s.name] = s.value end
  test.equal(settings, { IamInstanceProfile = "${aws_iam_instance_profile.one.name}", SecurityGroups = "${aws_security_group._1_app.id}",
                         MODE = "live", VPCId = "${aws_vpc.one.id}", Subnets = "${aws_subnet.one_a.id},${aws_subnet.one_b.id}" })

  local rtb = ids["aws.route_table:one"]
  test.equal(imports["aws_vpc.one"], vpc)
  test.equal(imports["aws_route.one"], rtb .. "_0.0.0.0/0")
  test.equal(imports["aws_route_table_association.one_one_a"], subnet .. "/" .. rtb)
  test.match(imports["aws_vpc_security_group_ingress_rule._1_app_in_80"], "^sgr%-%x+$")
  test.equal(imports["aws_iam_role_policy_attachment.one_amazonssmmanagedinstancecore"],
    "one/arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")
  test.equal(imports["aws_iam_role_policy.one_read_it"], "one:read it")
  test.equal(imports["aws_s3_object.a_file_txt"], "one-files-123/a/file.txt")
  test.match(imports["aws_elastic_beanstalk_environment.only"], "^e%-%w+$")
  test.equal(imports["aws_ecs_service.one"], "one/one")
  test.match(imports["aws_lb_listener.one"], "^arn:aws:elasticloadbalancing:us%-east%-1:%d+:listener/app/one/")
  test.match(imports["aws_sqs_queue.one_dead"], "^http.*/one%-dead$")
  test.equal(imports["aws_dms_endpoint.one_source"], "one-source")

  local bodies = {}
  for name in pairs(resources) do bodies[#bodies + 1] = json.encode(resources[name]) end
  local all = table.concat(bodies, "\n")
  for _, id in ipairs { vpc, subnet, group, rtb } do test.equal(all:find(id, 1, true), nil, "an id in place of a reference") end
  test.equal(said.text:find("PASSWORD", 1, true), nil, "a variable that was a secret")
  for line in said.text:gmatch "[^\n]+" do
    for word in line:gmatch "[%w]+" do
      test.truthy(#word ~= secret.size(PASSWORD) or not secret.equal(PASSWORD, word), "a secret in a file")
    end
  end
end

T["each noun has its resource type, or a reason why it has none; all types and arguments are in the provider's schema"] = function()
  local schema = json.decode(fs.read "tests/support/terraform_schema.json").types
  for _, name in ipairs(fs.list "lua/stdlib/aws") do
    local kind = name:find "%.lua$" and fs.read("lua/stdlib/aws/" .. name):match 'recipe%.kind {\n  name = "([%w_.]+)"'
    if kind then test.truthy(types[kind], kind .. " is not in lua/stdlib/terraform/types") end
  end
  for kind, entry in pairs(types) do
    if type(entry) == "table" then
      test.truthy(entry.none or entry.import, kind .. " says neither how it is imported nor why not")
      local declared = schema[entry.type]
      test.truthy(entry.none or declared, kind)
      for _, name in ipairs(type(entry.ignore) == "table" and entry.ignore or {}) do
        test.truthy(declared.arguments[name] ~= nil, ("%s ignores %s, which the provider does not have"):format(kind, name))
      end
    end
  end
end

T["names become identifiers, each once"] = function()
  local taken = {}
  local function label(name) return export.label(taken, "aws_vpc", name) end
  test.equal({ label "shop", label "Shop", label "sh.op/x y", label "9lives", label "--", label "shop_2", label "é" },
    { "shop", "shop_2", "sh_op_x_y", "_9lives", "_", "shop_2_2", "__2" })
  test.equal({ export.file_of "cutover", export.file_of "Go Live!", export.file_of(nil), export.file_of "provider" },
    { "cutover.tf", "go_live.tf", "main.tf", "provider_stage.tf" })
end

T["what HCL would take for a template or an escape stays text"] = function()
  local written = hcl.block({ "x" }, { { "a", 'say "${b}" and %{if} \\ é\n' }, { "long_name", true }, { "m", { ["k k"] = 1, k = {} } }, { "n", 0.5 },
    { "b", hcl.blocks { { "c", 1 } } }, { "d", hcl.blocks {} } })
  test.equal(written, [[
x {
  a         = "say \"$${b}\" and %%{if} \\ é\n"
  long_name = true
  m = {
    k     = {}
    "k k" = 1
  }
  n = 0.5

  b {
    c = 1
  }

  d {
  }
}
]])
end

return T
