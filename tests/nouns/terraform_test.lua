--- hkrun export terraform: one of each noun, made in a cloud, written as files, and judged by HashiCorp's formatter and
--- parser and the AWS provider's schema. The files of the whole migration are judged in tests/recipes/rehearsal_test.lua.
local export = require "terraform.export"
local fs = require "fs"
local hcl = require "terraform.hcl"
local json = require "json"
local judge = dofile "tests/support/terraform_judge.lua"
local load = require "recipe.load"
local run = require "recipe.run"
local secret = require "secret"
local test = require "test"
local types = require "terraform.types"
local T = test.cases()

local everything, PASSWORD = dofile "tests/support/one_of_each.lua"

--- Applies a recipe in the cloud, and exports it.
local function exported(cloud, chunk)
  test.apply(chunk)
  local r = load.upto_options({ recipe = { name = "test", file = "(test)", chunk = chunk }, rest = { given = {} },
                                dir = fs.join(cloud.dir, "journal") }, false)
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
