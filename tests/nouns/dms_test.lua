--- The nouns of AWS DMS, request by request.
local aws = require "aws"
local lab = dofile "tests/support/noun_lab.lua"
local recipe_lab = dofile "tests/support/recipe_lab.lua"
local run = require "aws.common.dms_run"
local secret, sign = require "secret", require "sign"
local test = require "test"
local T = test.cases()

local GONE, BUSY = lab.refusal("ResourceNotFoundFault", 400), lab.refusal("InvalidResourceStateFault", 400)
local WHO = { Account = "123456789012", Arn = "arn:aws:iam::123456789012:user/me" }
local TEAM = { tags = { team = "a" } }

local function filter(name, value) return { Filters = { { Name = name, Values = { value } } } } end
local function tagging(arn) return { "dms AddTagsToResource", { ResourceArn = arn, Tags = { { Key = "team", Value = "a" } } } } end

-- Subnet groups ------------------------------------------------------------

local GROUP = "arn:aws:dms:us-east-1:123456789012:subgrp:shop-dms"

lab.case(T, {
  noun = "dms_subnet_group",
  want = { "shop-dms", subnets = { "subnet-1", "subnet-2" }, role = "dms-vpc-role" },
  absent = { ["dms DescribeReplicationSubnetGroups"] = GONE },
  there = {
    ["dms DescribeReplicationSubnetGroups"] = { ReplicationSubnetGroups = { { ReplicationSubnetGroupIdentifier = "shop-dms",
      ReplicationSubnetGroupDescription = "shop-dms", Subnets = { { SubnetIdentifier = "subnet-2" }, { SubnetIdentifier = "subnet-1" } } } } },
    ["sts GetCallerIdentity"] = WHO, ["dms ListTagsForResource"] = { TagList = lab.tag_list("dms_subnet_group", "shop-dms") },
  },
  looks = {
    { "dms DescribeReplicationSubnetGroups", filter("replication-subnet-group-id", "shop-dms") }, { "sts GetCallerIdentity" },
    { "dms ListTagsForResource", { ResourceArn = GROUP } },
  },
  gone = { ["sts GetCallerIdentity"] = false, ["dms ListTagsForResource"] = "ResourceNotFoundFault" },
  create = { { "dms CreateReplicationSubnetGroup", { ReplicationSubnetGroupIdentifier = "shop-dms", ReplicationSubnetGroupDescription = "shop-dms",
    SubnetIds = { "subnet-1", "subnet-2" }, Tags = lab.tag_list("dms_subnet_group", "shop-dms") },
    { ReplicationSubnetGroup = { ReplicationSubnetGroupIdentifier = "shop-dms" } } } },
  change = {
    { "it gets another subnet", want = { subnets = { "subnet-1", "subnet-3" } }, calls = { { "dms ModifyReplicationSubnetGroup",
      { ReplicationSubnetGroupIdentifier = "shop-dms", SubnetIds = { "subnet-1", "subnet-3" } } } } },
    { "a tag is added", want = TEAM, calls = { tagging(GROUP) } },
  },
  delete = { { "dms DeleteReplicationSubnetGroup", { ReplicationSubnetGroupIdentifier = "shop-dms" } } },
})

-- Instances ----------------------------------------------------------------

local function instance(more)
  return { ReplicationInstances = { lab.merged({
    ReplicationInstanceIdentifier = "shop", ReplicationInstanceArn = "arn:i", ReplicationInstanceClass = "dms.t3.medium", EngineVersion = "3.6.1",
    AllocatedStorage = 50, PubliclyAccessible = false, MultiAZ = false, ReplicationInstanceStatus = "available", PendingModifiedValues = {},
    VpcSecurityGroups = { { VpcSecurityGroupId = "sg-1" } }, ReplicationSubnetGroup = { ReplicationSubnetGroupIdentifier = "shop-dms" },
  }, more or {}) } }
end

local function orderable(versions)
  local list = {}
  for i, v in ipairs(versions) do list[i] = { ReplicationInstanceClass = "dms.t3.medium", EngineVersion = v, StorageType = "gp2" } end
  list[#list + 1] = { ReplicationInstanceClass = "dms.c5.large", EngineVersion = "9.9.9" }
  return { OrderableReplicationInstances = list }
end

local function created(more)
  return { "dms CreateReplicationInstance", lab.merged({
    ReplicationInstanceIdentifier = "shop", ReplicationInstanceClass = "dms.t3.medium", EngineVersion = "3.6.1", AllocatedStorage = 50,
    ReplicationSubnetGroupIdentifier = "shop-dms", VpcSecurityGroupIds = { "sg-1" }, PubliclyAccessible = false, MultiAZ = false,
    AutoMinorVersionUpgrade = false, Tags = lab.tag_list("dms_instance", "shop"),
  }, more or {}), { ReplicationInstance = { ReplicationInstanceArn = "arn:i" } } }
end

local function modified(more)
  return { "dms ModifyReplicationInstance", lab.merged({ ReplicationInstanceArn = "arn:i", ApplyImmediately = true }, more) }
end

local INSTANCE = { "shop", subnet_group = "shop-dms", groups = { "sg-1" } }

lab.case(T, {
  noun = "dms_instance", want = INSTANCE,
  absent = { ["dms DescribeReplicationInstances"] = GONE,
             ["dms DescribeOrderableReplicationInstances"] = orderable { "3.5.4", "3.6.1", "3.7.0" } },
  there = { ["dms DescribeReplicationInstances"] = instance(), ["dms ListTagsForResource"] = { TagList = lab.tag_list("dms_instance", "shop") } },
  looks = { { "dms DescribeReplicationInstances", filter("replication-instance-id", "shop") },
            { "dms ListTagsForResource", { ResourceArn = "arn:i" } } },
  gone = { ["dms ListTagsForResource"] = "ResourceNotFoundFault" },
  create = { created() },
  change = {
    { "it gets a larger class", want = { class = "dms.c5.large" }, calls = { modified { ReplicationInstanceClass = "dms.c5.large" } } },
    { "other groups", want = { groups = { "sg-2" } }, calls = { modified { VpcSecurityGroupIds = { "sg-2" } } } },
    { "another version", want = { version = "3.7.0" }, calls = { modified { EngineVersion = "3.7.0", AllowMajorVersionUpgrade = true } } },
    { "more storage", want = { gigabytes = 100 }, calls = { modified { AllocatedStorage = 100 } } },
    { "someone gave it a standby", there = { ["dms DescribeReplicationInstances"] = instance { MultiAZ = true } },
      calls = { modified { MultiAZ = false } } },
    { "a tag is added", want = TEAM, calls = { tagging "arn:i" } },
  },
  fixed = { subnet_group = "other", public = true },
  delete = { { "dms DeleteReplicationInstance", { ReplicationInstanceArn = "arn:i" } } },
})

--- What version is asked for where the region offers these.
local function version_of(offered, more)
  local there, asked = false, nil
  local world = lab.world { ["dms DescribeOrderableReplicationInstances"] = orderable(offered),
    ["dms ListTagsForResource"] = { TagList = lab.tag_list("dms_instance", "shop") } }
  world.answers["dms DescribeReplicationInstances"] = function()
    return there and instance { EngineVersion = asked } or { ReplicationInstances = {} }
  end
  world.answers["dms CreateReplicationInstance"] = function(args)
    there, asked = true, args.EngineVersion
    return { ReplicationInstance = { ReplicationInstanceArn = "arn:i" } }
  end
  recipe_lab():apply(function() aws.dms_instance(lab.merged(INSTANCE, more or {})) end)
  return asked
end

T["aws.dms_instance: without a version it is 3.6.1, else the newest that the region has for its class, else an error"] = function()
  test.equal(version_of { "3.5.4", "3.6.1", "3.10.0" }, "3.6.1")
  test.equal(version_of { "3.9.2", "3.10.0", "3.5.4" }, "3.10.0")
  test.equal(version_of({ "3.5.4", "3.6.1" }, { version = "3.5.4" }), "3.5.4")
  test.raises("no replication instance of the class dms.t3.medium", version_of, {})
end

T["aws.dms_instance: one that is being made is waited for, and a failure is told with what DMS said"] = function()
  local states = { "creating", "creating", "available" }
  local world = lab.world { ["dms ListTagsForResource"] = { TagList = lab.tag_list("dms_instance", "shop") },
    ["dms DescribeEvents"] = { Events = { { Date = 1, Message = "no capacity in the zone" } } } }
  world.answers["dms DescribeReplicationInstances"] = function()
    return instance { ReplicationInstanceStatus = #states > 1 and table.remove(states, 1) or states[1] }
  end
  recipe_lab():apply(function() aws.dms_instance(INSTANCE) end)
  lab.same(world.changing, {})
  test.equal(#states, 1, "it was asked until it was available")
  states = { "creating", "failed" }
  test.raises("it is failed: no capacity in the zone", function() recipe_lab():apply(function() aws.dms_instance(INSTANCE) end) end)
end

T["aws.dms_subnet_group: DMS that does not see the role yet is asked again"] = function()
  local asked, there = 0, false
  local world = lab.world { ["sts GetCallerIdentity"] = WHO,
    ["dms ListTagsForResource"] = { TagList = lab.tag_list("dms_subnet_group", "shop-dms") } }
  world.answers["dms DescribeReplicationSubnetGroups"] = function()
    return { ReplicationSubnetGroups = there and { { ReplicationSubnetGroupIdentifier = "shop-dms", Subnets = {} } } or {} }
  end
  world.answers["dms CreateReplicationSubnetGroup"] = function()
    asked = asked + 1
    if asked < 3 then error(lab.refusal("AccessDeniedFault", 400), 0) end
    there = true
    return { ReplicationSubnetGroup = { ReplicationSubnetGroupIdentifier = "shop-dms" } }
  end
  recipe_lab():apply(function() aws.dms_subnet_group { "shop-dms", subnets = { "subnet-1", "subnet-2" } } end)
  test.equal(asked, 3)
end

-- Endpoints ----------------------------------------------------------------

local SETTINGS = { SecretsManagerSecretId = "arn:s", SecretsManagerAccessRoleArn = "arn:r", CaptureDdls = false }

local function endpoint(more)
  return { Endpoints = { lab.merged({ EndpointIdentifier = "shop-old", EndpointArn = "arn:e", EndpointType = "SOURCE", EngineName = "postgres",
    DatabaseName = "d1", SslMode = "require", Status = "active",
    PostgreSQLSettings = lab.merged(SETTINGS, { DatabaseName = "d1", MapBooleanAsBoolean = false, ExecuteTimeout = 60 }) }, more or {}) } }
end

local function endpoint_change(more) return { "dms ModifyEndpoint", lab.merged({ EndpointArn = "arn:e", EngineName = "postgres" }, more) } end

lab.case(T, {
  noun = "dms_endpoint",
  want = { "shop-old", type = "source", database = "d1", secret = "arn:s", role = { id = "shop-dms", arn = "arn:r" },
           settings = { CaptureDdls = false } },
  absent = { ["dms DescribeEndpoints"] = { Endpoints = {} } },
  there = { ["dms DescribeEndpoints"] = endpoint(), ["dms ListTagsForResource"] = { TagList = lab.tag_list("dms_endpoint", "shop-old") } },
  looks = { { "dms DescribeEndpoints", filter("endpoint-id", "shop-old") }, { "dms ListTagsForResource", { ResourceArn = "arn:e" } } },
  gone = { ["dms ListTagsForResource"] = "ResourceNotFoundFault" },
  create = { { "dms CreateEndpoint", { EndpointIdentifier = "shop-old", EndpointType = "source", EngineName = "postgres", DatabaseName = "d1",
    SslMode = "require", PostgreSQLSettings = SETTINGS, Tags = lab.tag_list("dms_endpoint", "shop-old") },
    { Endpoint = { EndpointArn = "arn:e" } } } },
  change = {
    { "another setting", want = { settings = { CaptureDdls = false, MapBooleanAsBoolean = true } },
      calls = { endpoint_change { PostgreSQLSettings = lab.merged(SETTINGS, { MapBooleanAsBoolean = true }) } } },
    { "another database", want = { database = "d2" }, calls = { endpoint_change { DatabaseName = "d2" } } },
    { "another secret", want = { secret = "arn:t" },
      calls = { endpoint_change { PostgreSQLSettings = lab.merged(SETTINGS, { SecretsManagerSecretId = "arn:t" }) } } },
    { "the server's name is verified", want = { ssl_mode = "verify-full", certificate = "arn:c" },
      calls = { endpoint_change { SslMode = "verify-full", CertificateArn = "arn:c" } } },
    { "a tag is added", want = TEAM, calls = { tagging "arn:e" } },
  },
  fixed = { type = "target" },
  delete = { { "dms DeleteEndpoint", { EndpointArn = "arn:e" } } },
})

-- Certificates -------------------------------------------------------------

local ROOTS, OTHER = "-----BEGIN CERTIFICATE-----\nroots\n", "-----BEGIN CERTIFICATE-----\nothers\n"
local IMPORTED = lab.tag_list("dms_certificate", "shop-rds")
table.insert(IMPORTED, { Key = "hkrun:sha256", Value = sign.sha256(ROOTS) })

lab.case(T, {
  noun = "dms_certificate", want = { "shop-rds", pem = ROOTS },
  absent = { ["dms DescribeCertificates"] = GONE },
  there = { ["dms DescribeCertificates"] = { Certificates = { { CertificateIdentifier = "shop-rds", CertificateArn = "arn:c",
    CertificatePem = "as AWS gives it back" } } }, ["dms ListTagsForResource"] = { TagList = IMPORTED } },
  looks = { { "dms DescribeCertificates", filter("certificate-id", "shop-rds") }, { "dms ListTagsForResource", { ResourceArn = "arn:c" } } },
  gone = { ["dms ListTagsForResource"] = "ResourceNotFoundFault" },
  create = { { "dms ImportCertificate", { CertificateIdentifier = "shop-rds", CertificatePem = secret.new(ROOTS), Tags = IMPORTED },
    { Certificate = { CertificateArn = "arn:c" } } } },
  change = { { "a tag is added", want = TEAM, calls = { tagging "arn:c" } } },
  fixed = { pem = OTHER },
  delete = { { "dms DeleteCertificate", { CertificateArn = "arn:c" } } },
})

T["aws.dms_certificate: one that is adopted is the same if its text is, and another one is replaced"] = function()
  local world = lab.world { ["dms DescribeCertificates"] = { Certificates = { { CertificateIdentifier = "shop-rds", CertificateArn = "arn:c",
    CertificatePem = ROOTS } } }, ["dms ListTagsForResource"] = { TagList = {} }, ["dms AddTagsToResource"] = {} }
  local l = recipe_lab()
  l:apply(function() aws.dms_certificate { "shop-rds", pem = ROOTS, adopt = true } end)
  test.equal(#world.changing, 1, "it gets tags")
  test.raises("it was not made by this recipe", l.apply, l, function() aws.dms_certificate { "shop-rds", pem = OTHER, adopt = true } end)
end

-- Tasks --------------------------------------------------------------------

local RULES = { rules = { { ["rule-type"] = "selection", ["rule-id"] = "1", ["rule-name"] = "1", ["rule-action"] = "include",
  ["object-locator"] = { ["schema-name"] = "public", ["table-name"] = "orders" } } } }
local RULES_TEXT = '{"rules":[{"object-locator":{"schema-name":"public","table-name":"orders"},"rule-action":"include","rule-id":"1",' ..
  '"rule-name":"1","rule-type":"selection"}]}'

local function task(more)
  return { ReplicationTasks = { lab.merged({ ReplicationTaskIdentifier = "shop", ReplicationTaskArn = "arn:t", SourceEndpointArn = "arn:e1",
    TargetEndpointArn = "arn:e2", ReplicationInstanceArn = "arn:i", MigrationType = "full-load", Status = "ready", TableMappings = RULES_TEXT,
    ReplicationTaskSettings = '{"TargetMetadata":{"LobMaxSize":32,"LimitedSizeLobMode":true},"Logging":{"EnableLogging":false}}' }, more or {}) } }
end

local TASK = { "shop", source = "arn:e1", target = "arn:e2", instance = "arn:i", mappings = RULES,
               settings = { TargetMetadata = { LobMaxSize = 32 } } }

lab.case(T, {
  noun = "dms_task", want = TASK,
  absent = { ["dms DescribeReplicationTasks"] = GONE },
  there = { ["dms DescribeReplicationTasks"] = task(), ["dms ListTagsForResource"] = { TagList = lab.tag_list("dms_task", "shop") } },
  looks = { { "dms DescribeReplicationTasks", filter("replication-task-id", "shop") }, { "dms ListTagsForResource", { ResourceArn = "arn:t" } } },
  gone = { ["dms ListTagsForResource"] = "ResourceNotFoundFault" },
  create = { { "dms CreateReplicationTask", { ReplicationTaskIdentifier = "shop", SourceEndpointArn = "arn:e1", TargetEndpointArn = "arn:e2",
    ReplicationInstanceArn = "arn:i", MigrationType = "full-load", TableMappings = RULES_TEXT,
    ReplicationTaskSettings = '{"TargetMetadata":{"LobMaxSize":32}}', Tags = lab.tag_list("dms_task", "shop") },
    { ReplicationTask = { ReplicationTaskArn = "arn:t" } } } },
  change = {
    { "larger values", want = { settings = { TargetMetadata = { LobMaxSize = 64 } } },
      calls = { { "dms ModifyReplicationTask", { ReplicationTaskArn = "arn:t",
        ReplicationTaskSettings = '{"TargetMetadata":{"LobMaxSize":64}}' } } } },
    { "changes too", want = { migration_type = "full-load-and-cdc" },
      calls = { { "dms ModifyReplicationTask", { ReplicationTaskArn = "arn:t", MigrationType = "full-load-and-cdc" } } } },
    { "a tag is added", want = TEAM, calls = { tagging "arn:t" } },
  },
  fixed = { instance = "arn:other" },
  delete = { { "dms DeleteReplicationTask", { ReplicationTaskArn = "arn:t" } } },
})

T["aws.dms_task: one that runs is not changed, and stopped before it is deleted"] = function()
  local l, status = recipe_lab(), "running"
  local world = lab.world { ["dms ListTagsForResource"] = { TagList = lab.tag_list("dms_task", "shop") } }
  world.answers["dms DescribeReplicationTasks"] = function()
    if status == "gone" then return { ReplicationTasks = {} } end
    local answer = task { Status = status }
    if status == "stopping" then status = "stopped" end
    return answer
  end
  world.answers["dms StopReplicationTask"] = function() status = "stopping" return {} end
  world.answers["dms DeleteReplicationTask"] = function()
    if status ~= "stopped" then error(BUSY, 0) end
    status = "gone"
    return {}
  end
  l:apply(function() aws.dms_task(TASK) end)
  test.raises("it is running, and can be changed only while it stands still", function()
    l:apply(function() aws.dms_task(lab.merged(TASK, { settings = { TargetMetadata = { LobMaxSize = 64 } } })) end)
  end)
  lab.same(world.changing, {})
  l:destroy(function() aws.dms_task(TASK) end)
  lab.same(world.changing, { { "dms StopReplicationTask", { ReplicationTaskArn = "arn:t" } },
    { "dms DeleteReplicationTask", { ReplicationTaskArn = "arn:t" } } })
end

-- What is done with a migration ----------------------------------------------

local function migration()
  return run.new { name = "shop", task = "arn:t", instance = "arn:i", source = "arn:e1", target = "arn:e2", bucket = "reports",
                   role = { arn = "arn:r" } }
end

--- A world with a task in this state, and these tables.
local function with_task(more, tables)
  return lab.world { ["dms DescribeReplicationTasks"] = task(more), ["dms DescribeTableStatistics"] = { TableStatistics = tables } }
end

local ORDERS = { SchemaName = "public", TableName = "orders", TableState = "Table error", FullLoadRows = 7, FullLoadErrorRows = 3 }
local LINES = { SchemaName = "public", TableName = "lines", TableState = "Table completed", FullLoadRows = 9, FullLoadErrorRows = 0 }

T["a table that DMS could not load is named, with how it is loaded again: while the task runs, and when it has stopped"] = function()
  local world = with_task({ Status = "running", LastFailureMessage = "value too long" }, { ORDERS, LINES })
  local e = test.raises("could not load public.orders %(Table error, 7 rows loaded, 3 refused%): value too long",
    function() migration():streams() end)
  test.match(e.hint, "aws dms reload%-tables %-%-replication%-task%-arn arn:t %-%-tables%-to%-reload SchemaName=public,TableName=orders;")
  world.answers["dms DescribeReplicationTasks"] = task { Status = "stopped", StopReason = "Stop Reason FULL_LOAD_ONLY_FINISHED" }
  e = test.raises("could not load public.orders", function() migration():loaded() end)
  test.match(e.hint, "the log group dms%-tasks%-shop%-dms says more; .* apply again")
  lab.same(world.changing, {})
end

T["a load that failed is begun again from the start, one that ended well is not; a task that somebody stopped is not taken for loaded"] = function()
  local finished = { Status = "stopped", StopReason = "Stop Reason FULL_LOAD_ONLY_FINISHED", ReplicationTaskStartDate = 1 }
  local world = with_task(finished, { LINES })
  test.equal(migration():load()[1].rows, 9)
  lab.same(world.changing, {})
  world = with_task({ Status = "failed", LastFailureMessage = "no route", ReplicationTaskStartDate = 1 }, { LINES })
  world.answers["dms StartReplicationTask"] = function()
    world.answers["dms DescribeReplicationTasks"] = task(finished)
    return {}
  end
  migration():load()
  lab.same(world.changing, { { "dms StartReplicationTask", { ReplicationTaskArn = "arn:t", StartReplicationTaskType = "reload-target" } } })
  with_task({ Status = "stopped", StopReason = "Stop Reason NORMAL" }, { LINES })
  test.raises("the DMS task is stopped: Stop Reason NORMAL", function() migration():loaded() end)
end

T["a connection that does not work is told with what DMS said of it"] = function()
  local world = lab.world { ["dms TestConnection"] = {} }
  world.answers["dms DescribeConnections"] = function(args)
    local is_source = args.Filters[1].Values[1] == "arn:e1"
    return { Connections = { { Status = is_source and "failed" or "successful", LastFailureMessage = "timeout expired" } } }
  end
  local e = test.raises("let DMS connect to the source of shop: timeout expired", function() migration():test() end)
  test.match(e.hint, "apply again")
end

T["an assessment that a killed run began is gone on with, and waited for while its task is testing"] = function()
  local progress, run_arn = { "starting", "running", "passed" }, "arn:run"
  local world = lab.world {
    ["dms DescribeReplicationTaskIndividualAssessments"] = { ReplicationTaskIndividualAssessments = {
      { IndividualAssessmentName = "b", Status = "failed" }, { IndividualAssessmentName = "a", Status = "passed" } } },
  }
  world.answers["dms DescribeReplicationTaskAssessmentRuns"] = function()
    return { ReplicationTaskAssessmentRuns = { { ReplicationTaskAssessmentRunArn = run_arn, IsLatestTaskAssessmentRun = true,
      Status = #progress > 1 and table.remove(progress, 1) or progress[1], ResultLocationFolder = "shop" } } }
  end
  local states = { "testing", "ready" }
  world.answers["dms DescribeReplicationTasks"] = function() return task { Status = #states > 1 and table.remove(states, 1) or states[1] } end
  local result = migration():assess()
  test.equal({ result[1], result[2], result.report, #states }, { { name = "a", status = "passed" }, { name = "b", status = "failed" },
    "s3://reports/shop", 1 })
  lab.same(world.changing, {})
end

return T
