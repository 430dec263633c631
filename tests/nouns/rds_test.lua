--- The nouns of RDS, request by request (see tests/support/noun_lab.lua).
local aws = require "aws"
local lab = dofile "tests/support/noun_lab.lua"
local recipe_lab = dofile "tests/support/recipe_lab.lua"
local test = require "test"
local T = test.cases()

local TEAM, ADDED = { tags = { team = "shop" } }, { { Key = "team", Value = "shop" } }
local function tagging(arn) return { "rds AddTagsToResource", { ResourceName = arn, Tags = ADDED } } end

lab.case(T, {
  noun = "db_subnet_group", want = { "shop-db", subnets = { "subnet-1", "subnet-2" } },
  absent = { ["rds DescribeDBSubnetGroups"] = lab.refusal("DBSubnetGroupNotFoundFault", 404) },
  there = {
    ["rds DescribeDBSubnetGroups"] = { DBSubnetGroups = { { DBSubnetGroupName = "shop-db", DBSubnetGroupArn = "arn:g",
      Subnets = { { SubnetIdentifier = "subnet-2" }, { SubnetIdentifier = "subnet-1" } } } } },
    ["rds ListTagsForResource"] = { TagList = lab.tag_list("db_subnet_group", "shop-db") },
  },
  looks = { { "rds DescribeDBSubnetGroups", { DBSubnetGroupName = "shop-db" } }, { "rds ListTagsForResource", { ResourceName = "arn:g" } } },
  gone = { ["rds ListTagsForResource"] = "InvalidParameterValue" },
  create = { { "rds CreateDBSubnetGroup", { DBSubnetGroupName = "shop-db", DBSubnetGroupDescription = "shop-db",
    SubnetIds = { "subnet-1", "subnet-2" }, Tags = lab.tag_list("db_subnet_group", "shop-db") },
    { DBSubnetGroup = { DBSubnetGroupName = "shop-db" } } } },
  change = {
    { "it gets other subnets", want = { subnets = { "subnet-1", "subnet-3" } },
      calls = { { "rds ModifyDBSubnetGroup", { DBSubnetGroupName = "shop-db", SubnetIds = { "subnet-1", "subnet-3" } } } } },
    { "a tag is added", want = TEAM, calls = { tagging "arn:g" } },
  },
  delete = { { "rds DeleteDBSubnetGroup", { DBSubnetGroupName = "shop-db" } } },
})

local function parameter(name, value, method) return { ParameterName = name, ParameterValue = value, ApplyMethod = method } end

--- The parameters of the group: those of the user, or all.
local function parameters(user)
  return function(args)
    if args.Source == "user" then return { Parameters = user } end
    return { Parameters = { { ParameterName = "log_statement", ApplyType = "dynamic" }, { ParameterName = "max_connections", ApplyType = "static" },
                            { ParameterName = "rds.force_ssl", ApplyType = "dynamic" } } }
  end
end

local function modify(list) return { "rds ModifyDBParameterGroup", { DBParameterGroupName = "shop-pg16", Parameters = list } } end

local PARAMETERS_GONE = { ["rds DescribeDBParameters"] = "DBParameterGroupNotFound", ["rds ListTagsForResource"] = "DBParameterGroupNotFound" }

lab.case(T, {
  noun = "db_parameter_group",
  want = { "shop-pg16", family = "postgres16", parameters = { ["rds.force_ssl"] = 1, max_connections = 200 } },
  absent = { ["rds DescribeDBParameterGroups"] = lab.refusal("DBParameterGroupNotFound", 404) },
  there = {
    ["rds DescribeDBParameterGroups"] = { DBParameterGroups = { { DBParameterGroupName = "shop-pg16", DBParameterGroupArn = "arn:p",
      DBParameterGroupFamily = "postgres16" } } },
    ["rds DescribeDBParameters"] = parameters { parameter("rds.force_ssl", "1"), parameter("max_connections", "200"),
                                                parameter("log_statement", "ddl") },
    ["rds ListTagsForResource"] = { TagList = lab.tag_list("db_parameter_group", "shop-pg16") },
  },
  looks = {
    { "rds DescribeDBParameterGroups", { DBParameterGroupName = "shop-pg16" } },
    { "rds DescribeDBParameters", { DBParameterGroupName = "shop-pg16", Source = "user" } },
    { "rds ListTagsForResource", { ResourceName = "arn:p" } },
  },
  gone = PARAMETERS_GONE,
  create = {
    { "rds CreateDBParameterGroup", { DBParameterGroupName = "shop-pg16", DBParameterGroupFamily = "postgres16", Description = "shop-pg16",
      Tags = lab.tag_list("db_parameter_group", "shop-pg16") } },
    modify { parameter("max_connections", "200", "pending-reboot"), parameter("rds.force_ssl", "1", "pending-reboot") },
  },
  change = {
    { "a static setting waits for a restart, a dynamic one does not",
      want = { parameters = { log_statement = "all", max_connections = 300 } },
      calls = { modify { parameter("log_statement", "all", "immediate"), parameter("max_connections", "300", "pending-reboot") } } },
    { "a tag is added", want = TEAM, calls = { tagging "arn:p" } },
  },
  fixed = { family = "postgres17" },
  delete = { { "rds DeleteDBParameterGroup", { DBParameterGroupName = "shop-pg16" } } },
})

local many, expected = {}, { {}, {} }
for i = 1, 23 do
  local name = ("p%02d"):format(i)
  many[name] = i
  local list = i <= 20 and expected[1] or expected[2]
  list[#list + 1] = parameter(name, tostring(i), "pending-reboot")
end
local user = {}
for name, value in pairs(many) do user[#user + 1] = parameter(name, tostring(value)) end

lab.case(T, {
  noun = "db_parameter_group", title = "with more settings than go into a call",
  want = { "shop-pg16", family = "postgres16", parameters = many },
  absent = { ["rds DescribeDBParameterGroups"] = lab.refusal("DBParameterGroupNotFound", 404) },
  there = {
    ["rds DescribeDBParameterGroups"] = { DBParameterGroups = { { DBParameterGroupName = "shop-pg16", DBParameterGroupArn = "arn:p",
      DBParameterGroupFamily = "postgres16" } } },
    ["rds DescribeDBParameters"] = { Parameters = user },
    ["rds ListTagsForResource"] = { TagList = lab.tag_list("db_parameter_group", "shop-pg16") },
  },
  gone = PARAMETERS_GONE,
  create = {
    { "rds CreateDBParameterGroup", { DBParameterGroupName = "shop-pg16", DBParameterGroupFamily = "postgres16", Description = "shop-pg16",
      Tags = lab.tag_list("db_parameter_group", "shop-pg16") } },
    modify(expected[1]), modify(expected[2]),
  },
  delete = { { "rds DeleteDBParameterGroup", { DBParameterGroupName = "shop-pg16" } } },
})

local function db(more)
  return { DBInstances = { lab.merged({
    DBInstanceIdentifier = "shop", DBInstanceArn = "arn:db", DBInstanceClass = "db.t4g.micro", EngineVersion = "16.4", AllocatedStorage = 20,
    MultiAZ = false, DBName = "app", MasterUsername = "app", DBSubnetGroup = { DBSubnetGroupName = "shop-db" },
    VpcSecurityGroups = { { VpcSecurityGroupId = "sg-1" } }, BackupRetentionPeriod = 7,
    DBParameterGroups = { { DBParameterGroupName = "shop-pg16" } }, DeletionProtection = false, DBInstanceStatus = "available",
    DbiResourceId = "db-K4WQ7YZ2LMNOPQRSTUVWX23456",
    TagList = lab.tag_list("db_instance", "shop"), Endpoint = { Address = "db.example", Port = 5432 } }, more or {}) } }
end

local function change(more)
  return { "rds ModifyDBInstance", lab.merged({ DBInstanceIdentifier = "shop", ApplyImmediately = true }, more) }
end

lab.case(T, {
  noun = "db_instance",
  want = { "shop", class = "db.t4g.micro", version = "16", database = "app", user = "app", password = "marked-5521", subnet_group = "shop-db",
           parameter_group = "shop-pg16", groups = { "sg-1" } },
  absent = { ["rds DescribeDBInstances"] = lab.refusal("DBInstanceNotFound", 404) }, there = { ["rds DescribeDBInstances"] = db() },
  looks = { { "rds DescribeDBInstances", { DBInstanceIdentifier = "shop" } } },
  create = { { "rds CreateDBInstance", {
    DBInstanceIdentifier = "shop", Engine = "postgres", EngineVersion = "16", DBInstanceClass = "db.t4g.micro", AllocatedStorage = 20,
    StorageType = "gp3", StorageEncrypted = true, MultiAZ = false, DBName = "app", MasterUsername = "app", MasterUserPassword = "(secret)",
    DBSubnetGroupName = "shop-db", DBParameterGroupName = "shop-pg16", VpcSecurityGroupIds = { "sg-1" }, PubliclyAccessible = false,
    BackupRetentionPeriod = 7, DeletionProtection = false, CopyTagsToSnapshot = true,
    EngineLifecycleSupport = "open-source-rds-extended-support-disabled", Tags = lab.tag_list("db_instance", "shop"),
  }, { DBInstance = { DBInstanceIdentifier = "shop" } } } },
  change = {
    { "it gets a larger class", want = { class = "db.t4g.small" }, calls = { change { DBInstanceClass = "db.t4g.small" } } },
    { "it gets another minor version", want = { version = "16.6" }, calls = { change { EngineVersion = "16.6" } } },
    { "it gets another major version", want = { version = "17", parameter_group = "shop-pg17" },
      calls = { change { EngineVersion = "17", AllowMajorVersionUpgrade = true, DBParameterGroupName = "shop-pg17" } } },
    { "it gets a standby", want = { multi_az = true }, calls = { change { MultiAZ = true } } },
    { "its standby goes", there = { ["rds DescribeDBInstances"] = db { MultiAZ = true } }, calls = { change { MultiAZ = false } } },
    { "it is protected", want = { deletion_protection = true }, calls = { change { DeletionProtection = true } } },
    { "backups are kept longer, and other groups may connect", want = { backup_days = 14, groups = { "sg-1", "sg-2" } },
      calls = { change { BackupRetentionPeriod = 14, VpcSecurityGroupIds = { "sg-1", "sg-2" } } } },
    { "someone opened it to the internet", there = { ["rds DescribeDBInstances"] = db { PubliclyAccessible = true } },
      calls = { change { PubliclyAccessible = false } } },
    { "a tag is added", want = TEAM, calls = { tagging "arn:db" } },
  },
  fixed = { database = "other", user = "other", subnet_group = "other" },
  delete = { { "rds DeleteDBInstance", { DBInstanceIdentifier = "shop", SkipFinalSnapshot = false,
    FinalDBSnapshotIdentifier = "shop-final-k4wq7yz2lm", DeleteAutomatedBackups = true } } },
})

--- What someone ordered for the maintenance window is called off by asking for what there is.
local function called_off(title, pending, asked)
  T[("aws.db_instance: %s that someone ordered for the maintenance window is called off"):format(title)] = function()
    local l, world = recipe_lab(), lab.world { ["rds DescribeDBInstances"] = db { PendingModifiedValues = pending } }
    world.answers["rds ModifyDBInstance"] = function()
      world.answers["rds DescribeDBInstances"] = db()
      return {}
    end
    l:apply(function()
      aws.db_instance { "shop", class = "db.t4g.micro", version = "16", user = "app", password = "marked-5521", subnet_group = "shop-db",
                        groups = { "sg-1" } }
    end)
    lab.same(world.changing, { change(asked) })
  end
end

called_off("a class", { DBInstanceClass = "db.m7g.large" }, { DBInstanceClass = "db.t4g.micro" })
called_off("an upgrade", { EngineVersion = "17.2" }, { EngineVersion = "16.4" })

local function unchanged(title, want, there)
  T["aws.db_instance: " .. title] = function()
    local l, world = recipe_lab(), lab.world { ["rds DescribeDBInstances"] = db(there) }
    l:apply(function()
      aws.db_instance(lab.merged({ "shop", class = "db.t4g.micro", version = "16", user = "app", password = "marked-5521",
        subnet_group = "shop-db", groups = { "sg-1" } }, want))
    end)
    lab.same(world.changing, {})
  end
end

unchanged("storage that autoscaling added is no difference", {}, { AllocatedStorage = 50, MaxAllocatedStorage = 100 })
unchanged("a newer minor version than the one that is named is no difference", { version = "16.3" }, {})
unchanged("what waits for the maintenance window and is not ours is not waited for", {},
  { PendingModifiedValues = { CACertificateIdentifier = "x" } })
unchanged("one that is stopped and may be is not waited for", { running = false }, { DBInstanceStatus = "stopped" })

T["aws.db_instance: a major version that is newer than the recipe's stays, and that is said"] = function()
  local l, world = recipe_lab(), lab.world { ["rds DescribeDBInstances"] = db { EngineVersion = "17.2" } }
  test.raises("PostgreSQL 17.2 cannot go back to 16", function()
    l:apply(function()
      aws.db_instance { "shop", class = "db.t4g.micro", version = "16", user = "app", password = "marked-5521", subnet_group = "shop-db",
                        groups = { "sg-1" } }
    end)
  end)
  lab.same(world.changing, {})
end

--- What a plan says of the parameters.
local function parameter_changes(want, parameters)
  lab.world {
    ["rds DescribeDBParameterGroups"] = { DBParameterGroups = { { DBParameterGroupName = "p", DBParameterGroupArn = "arn:p",
      DBParameterGroupFamily = "postgres16" } } },
    ["rds DescribeDBParameters"] = function(args)
      local list = {}
      for _, p in ipairs(parameters) do
        if not args.Source or args.Source == p.Source then list[#list + 1] = p end
      end
      return { Parameters = list }
    end,
    ["rds ListTagsForResource"] = { TagList = lab.tag_list("db_parameter_group", "p") },
  }
  local e = recipe_lab():plan(function() aws.db_parameter_group { "p", family = "postgres16", parameters = want } end).entries[1]
  return e.changes and e.changes.parameters and { e.changes.parameters.old, e.changes.parameters.new }
end

local function value(name, v, source) return { ParameterName = name, ParameterValue = v, Source = source or "user" } end

T["aws.db_parameter_group: what RDS writes in another way is no difference"] = function()
  test.equal(parameter_changes({ ["rds.force_ssl"] = true, jit = "off", checkpoint_completion_target = 0.9, max_connections = 200.0,
                                 shared_preload_libraries = "a, b" },
    { value("rds.force_ssl", "1"), value("jit", "0"), value("checkpoint_completion_target", "0.90"), value("max_connections", "200"),
      value("shared_preload_libraries", "a,b"), value("work_mem", "64") }), nil)
end

T["aws.db_parameter_group: a value that is the service's default need not be set by a user"] = function()
  test.equal(parameter_changes({ ["rds.force_ssl"] = 1, work_mem = 64 },
    { value("rds.force_ssl", "1", "system"), value("work_mem", "4096", "engine-default") }),
    { { work_mem = "4096" }, { work_mem = 64 } })
end

return T
