--- Nouns, request by request: `have` is what the API answers, `want` the spec, `calls` the changing requests expected.
local aws = require "aws"
local errors = require "errors"
local lab = dofile "tests/support/recipe_lab.lua"
local secret = require "secret"
local test = require "test"
local T = test.cases()

--- Answers the operations of a service from a table; returns the list of the changing calls, which it fills.
local function fake(service, have, made)
  aws.use { region = "us-east-1" }
  local client, calls = aws[service], {}
  for op, answer in pairs(have) do rawset(client, op, function() return answer end) end
  for op, answer in pairs(made) do
    rawset(client, op, function(_, args)
      calls[#calls + 1] = { op, args }
      for name, value in pairs(answer.then_have or {}) do rawset(client, name, function() return value end) end
      return answer
    end)
  end
  test.defer(function() aws.use { region = "us-east-1" } end)
  return calls
end

local function without_tags(calls)
  for _, c in ipairs(calls) do c[2].TagSpecifications, c[2].Tags = nil, nil end
  return calls
end

local function ours(noun, name)
  return { { Key = "hkrun:recipe", Value = "lab" }, { Key = "hkrun:key", Value = ("aws.%s:%s"):format(noun, name) }, { Key = "Name", Value = name } }
end

local function vpc(more)
  local v = { VpcId = "vpc-1", CidrBlock = "10.9.0.0/16", State = "available", Tags = ours("vpc", "shop") }
  for k, x in pairs(more or {}) do v[k] = x end
  return { Vpcs = { v } }
end

local on = { EnableDnsHostnames = { Value = true }, EnableDnsSupport = { Value = true } }
local off = { EnableDnsHostnames = { Value = false }, EnableDnsSupport = { Value = true } }
local function recipe() aws.vpc { "shop", cidr = "10.9.0.0/16" } end

T["a VPC that is not there is made, with names for its instances"] = function()
  local l = lab()
  local calls = fake("ec2", { describe_vpcs = { Vpcs = {} }, describe_vpc_attribute = on }, {
    create_vpc = { Vpc = { VpcId = "vpc-1" }, then_have = { describe_vpcs = vpc() } }, modify_vpc_attribute = {},
  })
  l:plan(recipe)
  test.equal(#calls, 0, "calls of a plan")
  l:apply(recipe)
  test.equal(without_tags(calls), {
    { "create_vpc", { CidrBlock = "10.9.0.0/16" } },
    { "modify_vpc_attribute", { VpcId = "vpc-1", EnableDnsHostnames = { Value = true } } },
  })
end

T["a VPC that is as it should be is left alone, and one that is not is changed in place"] = function()
  local l = lab()
  local calls = fake("ec2", { describe_vpcs = vpc(), describe_vpc_attribute = on }, { modify_vpc_attribute = {} })
  l:apply(recipe)
  test.equal(calls, {})
  calls = fake("ec2", { describe_vpcs = vpc(), describe_vpc_attribute = off }, { modify_vpc_attribute = {} })
  l:apply(recipe)
  test.equal(calls, { { "modify_vpc_attribute", { VpcId = "vpc-1", EnableDnsHostnames = { Value = true } } } })
end

T["a VPC with another range is not replaced when it is kept"] = function()
  local l = lab()
  local calls = fake("ec2", { describe_vpcs = vpc { CidrBlock = "10.8.0.0/16" }, describe_vpc_attribute = on }, { delete_vpc = {} })
  test.raises("keep = true protects it", function()
    l:apply(function() aws.vpc { "shop", cidr = "10.9.0.0/16", keep = true } end)
  end)
  test.equal(calls, {})
end

T["a security group gets what is missing, then loses what is too much"] = function()
  local l = lab()
  local tags = ours("security_group", "db")
  local calls = fake("ec2", { describe_security_groups = { SecurityGroups = { {
    GroupId = "sg-1", VpcId = "vpc-1", Tags = tags,
    IpPermissions = { { IpProtocol = "tcp", FromPort = 5432, ToPort = 5432, IpRanges = { { CidrIp = "0.0.0.0/0" } } } },
  } } } }, { authorize_security_group_ingress = {}, revoke_security_group_ingress = {} })
  l:apply(function() aws.security_group { "db", vpc = "vpc-1", rules = { { port = 5432, from = "sg-9", why = "app" } } } end)
  test.equal(calls, {
    { "authorize_security_group_ingress", { GroupId = "sg-1", IpPermissions = { { IpProtocol = "tcp", FromPort = 5432, ToPort = 5432,
      UserIdGroupPairs = { { GroupId = "sg-9", Description = "app" } } } } } },
    { "revoke_security_group_ingress", { GroupId = "sg-1", IpPermissions = { { IpProtocol = "tcp", FromPort = 5432, ToPort = 5432,
      IpRanges = { { CidrIp = "0.0.0.0/0" } } } } } },
  })
end

T["a database grows in place and never shrinks"] = function()
  local l = lab()
  local tags = ours("db_instance", "shop")
  local have = { describe_db_instances = { DBInstances = { {
    DBInstanceIdentifier = "shop", DBInstanceClass = "db.t4g.micro", EngineVersion = "16.4", AllocatedStorage = 20, MultiAZ = false,
    MasterUsername = "app", DBSubnetGroup = { DBSubnetGroupName = "s" }, VpcSecurityGroups = { { VpcSecurityGroupId = "sg-1" } },
    BackupRetentionPeriod = 7, DBParameterGroups = {}, DeletionProtection = false, DBInstanceStatus = "available", TagList = tags,
    Endpoint = { Address = "db.example", Port = 5432 },
  } } } }
  local function db(gigabytes)
    return function()
      aws.db_instance { "shop", class = "db.t4g.micro", version = "16", gigabytes = gigabytes, user = "app", subnet_group = "s",
                        groups = { "sg-1" }, password = secret.new "not-shown" }
    end
  end
  local calls = fake("rds", have, { modify_db_instance = {} })
  l:apply(db(20))
  test.equal(calls, {})
  test.raises("cannot shrink to 10", function() l:apply(db(10)) end)
  l:apply(db(40))
  test.equal(calls, { { "modify_db_instance", { DBInstanceIdentifier = "shop", ApplyImmediately = true, AllocatedStorage = 40 } } })
end

T["a VPC is deleted once nothing hangs on it any more"] = function()
  local l = lab()
  local errors, tries = require "errors", 0
  fake("ec2", { describe_vpcs = { Vpcs = {} }, describe_vpc_attribute = on }, {
    create_vpc = { Vpc = { VpcId = "vpc-1" }, then_have = { describe_vpcs = vpc() } }, modify_vpc_attribute = {},
  })
  l:apply(recipe)
  rawset(aws.ec2, "delete_vpc", function(_, args)
    tries = tries + 1
    test.equal(args, { VpcId = "vpc-1" })
    if tries == 1 then errors.raise { kind = "remote", code = "DependencyViolation", message = "it has dependencies" } end
    rawset(aws.ec2, "describe_vpcs", function() return { Vpcs = {} } end)
  end)
  l:destroy(recipe)
  test.equal(tries, 2)
end

T["a role whose policy is gone already, because nobody heard the first answer, is deleted all the same"] = function()
  local l = lab()
  local role = { Role = { RoleName = "shop", Arn = "arn:aws:iam::1:role/shop", Tags = ours("role", "shop"),
    AssumeRolePolicyDocument = { Statement = { { Principal = { Service = "ec2.amazonaws.com" } } } } } }
  local function absent() errors.raise { kind = "remote", code = "NoSuchEntity", message = "it is not there" } end
  local calls = fake("iam", { get_role_policy = { PolicyDocument = {} } }, { attach_role_policy = {}, put_role_policy = {} })
  local there = false
  for name, fn in pairs {
    create_role = function() there = true return role end,
    get_role = function() return there and role or absent() end,
    detach_role_policy = absent, delete_role_policy = absent,
    delete_role = function(_, args) there = false calls[#calls + 1] = { "delete_role", args } return {} end,
    each = function(_, op)
      local list = op == "list_role_policies" and { "read" } or { { PolicyArn = "arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess" } }
      return function() return table.remove(list) end
    end,
  } do rawset(aws.iam, name, fn) end
  l:apply(function() aws.role { "shop", service = "ec2.amazonaws.com", policies = { "AmazonEC2ReadOnlyAccess" }, inline = { read = {} } } end)
  test.equal(#calls, 2)
  l:destroy(function() end)
  test.equal({ table.unpack(calls, 3) }, { { "delete_role", { RoleName = "shop" } } })
end

return T
