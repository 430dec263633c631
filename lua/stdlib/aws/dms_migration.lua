--- A migration of one PostgreSQL database into another by AWS DMS: its roles, a replication instance, both endpoints with
--- their passwords in Secrets Manager, a bucket for the reports of assessments, and the task.
---
---     local dms = aws.dms_migration { "shop", network = net, groups = { app.id }, source = url, target = db,
---       tables = { { schema = "public", name = "orders" } } }
---     dms:test()      dms:assess()      dms:start()      dms:loaded()      dms:stop()
---
--- The methods (aws/common/dms_run.lua) belong into onces. The schema must be on the target before: DMS makes no indexes,
--- defaults, sequences or foreign keys.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local run = require "aws.common.dms_run"
local runs = require "recipe.run"
local secret = require "secret"
local task = require "task"
local text = require "text"

local declared = {
  { "name", "its name: letters, digits and -", type = "string", required = true },
  { "network", "of aws.network", type = "table", required = true },
  { "groups", "security groups of the replication instance, or their ids: the target must let them in", type = "list", required = true },
  { "source", "postgres:// URL of the source", type = "any", required = true },
  { "target", "of aws.postgres", type = "table", required = true },
  { "target_roots", "PEM: the authorities of RDS; the target's certificate is verified by them, its name too", type = "secret" },
  { "strategy", "all rows at once, or then the changes too", type = "string", default = "full-load",
    one_of = { "full-load", "full-load-and-cdc" } },
  { "tables", "what it carries: { { schema =, name =, generated = { columns that the target computes } } }", type = "any", required = true },
  { "lob_kilobytes", "the largest value of a text, json or bytea column", type = "any", default = 32 },
  { "schema", "schema of the target for DMS's own tables", type = "string", default = "hkrun_dms" },
  { "public", "the replication instance has a public address, to reach a source on the internet; nobody is let in", type = "boolean",
    default = true },
  { "class", "instance class", type = "string", default = "dms.t3.medium" },
  { "version", "engine version (default: see aws.dms_instance)", type = "string" },
  { "bucket", "name of the bucket for reports: one for the whole world", type = "string", required = true },
  { "tags", "tags of all its parts", type = "table" },
}

--- One of the two roles that DMS finds by their names, in every account the same ones. Somebody else's is used as it is.
local function fixed_role(name, policy, tags)
  local answer = noun.found("NoSuchEntity", aws.iam.get_role, aws.iam, { RoleName = name })
  local is_ours = answer and noun.tag_map(answer.Role.Tags)["hkrun:recipe"] == runs.current("aws.dms_migration").id
  if answer and not is_ours then return { id = name, arn = answer.Role.Arn } end
  return aws.role { name, service = "dms.amazonaws.com", policies = { "service-role/" .. policy }, tags = tags,
                    description = "AWS DMS finds it by its name" }
end

local function allow(actions, resources)
  return { Effect = "Allow", Action = actions, Resource = resources }
end

local function document(...) return { Version = "2012-10-17", Statement = { ... } } end

--- Which tables go, and which of their columns do not.
local function mappings(tables)
  if recipe.is_unknown(tables) then return tables end
  local rules = {}
  local function rule(type, action, locator, target)
    local id = tostring(#rules + 1)
    rules[#rules + 1] = { ["rule-type"] = type, ["rule-id"] = id, ["rule-name"] = id, ["rule-action"] = action, ["object-locator"] = locator,
                          ["rule-target"] = target }
  end
  for _, t in ipairs(tables) do
    rule("selection", "include", { ["schema-name"] = t.schema, ["table-name"] = t.name })
    for _, column in ipairs(t.generated or {}) do
      rule("transformation", "remove-column", { ["schema-name"] = t.schema, ["table-name"] = t.name, ["column-name"] = column }, "column")
    end
  end
  return { rules = rules }
end

--- Nothing is left out in silence: what cannot be written stops the task, or at least its table.
local function settings(o)
  local changes = o.strategy == "full-load-and-cdc"
  return {
    TargetMetadata = { SupportLobs = true, FullLobMode = false, LimitedSizeLobMode = true, LobMaxSize = o.lob_kilobytes, BatchApplyEnabled = false },
    FullLoadSettings = { TargetTablePrepMode = "TRUNCATE_BEFORE_LOAD", CreatePkAfterFullLoad = false, MaxFullLoadSubTasks = 8,
                         StopTaskCachedChangesNotApplied = changes, StopTaskCachedChangesApplied = false },
    ErrorBehavior = { DataErrorPolicy = "STOP_TASK", DataTruncationErrorPolicy = "STOP_TASK", TableErrorPolicy = "SUSPEND_TABLE",
                      ApplyErrorDeletePolicy = "STOP_TASK", ApplyErrorInsertPolicy = "STOP_TASK", ApplyErrorUpdatePolicy = "STOP_TASK",
                      FullLoadIgnoreConflicts = true, ApplyErrorFailOnTruncationDdl = true, FailOnNoTablesCaptured = true },
    ControlTablesSettings = { ControlSchema = o.schema },
    Logging = { EnableLogging = true },
  }
end

local SOURCE = { CaptureDdls = false, MapBooleanAsBoolean = true, FailTasksOnLobTruncation = true, PluginName = "test-decoding" }
local TARGET = { MapBooleanAsBoolean = true, AfterConnectScript = "SET session_replication_role = 'replica'" }

--- Makes or finds a migration; nothing of it runs yet.
---@param o table
---@return DmsMigration
return function(o)
  o = noun.options(o, declared, "aws.dms_migration")
  local name, tags, from, to = o.name .. "-dms", o.tags, secret.parse_url(o.source), o.target
  local parts = task.all {
    vpc_role = function() return fixed_role("dms-vpc-role", "AmazonDMSVPCManagementRole", tags) end,
    logs_role = function() return fixed_role("dms-cloudwatch-logs-role", "AmazonDMSCloudWatchLogsRole", tags) end,
    source = function()
      return aws.secret { name .. "-source", tags = tags, description = "the database that DMS reads",
        value = { username = from.user, password = from.password, host = from.host, port = from.port or 5432 } }
    end,
    target = function()
      return aws.secret { name .. "-target", tags = tags, description = "the database that DMS writes",
        value = { username = to.user, password = to.password, host = to.endpoint, port = to.port or 5432 } }
    end,
    bucket = function() return aws.bucket { o.bucket, tags = tags } end,
  }
  local more = task.all {
    instance = function()
      local group = aws.dms_subnet_group { name, subnets = o.public and o.network.public or o.network.private, role = parts.vpc_role, tags = tags,
                                           description = "subnets of the replication instance" }
      return aws.dms_instance { name, class = o.class, version = o.version, subnet_group = group.name, groups = o.groups, public = o.public,
                                tags = tags }
    end,
    reports = function()
      return aws.role { name .. "-reports", service = "dms.amazonaws.com", tags = tags, description = "DMS writes its assessments in it",
        inline = { ["write-reports"] = document(
          allow({ "s3:PutObject", "s3:DeleteObject", "s3:GetObject", "s3:PutObjectTagging" }, text("%s/*", parts.bucket.arn)),
          allow({ "s3:ListBucket", "s3:GetBucketLocation" }, parts.bucket.arn)) } }
    end,
    endpoints = function()
      local reader = aws.role { name .. "-secrets", service = ("dms.%s.amazonaws.com"):format(aws.dms.region), tags = tags,
        description = "DMS reads the passwords of both databases in it",
        inline = { ["read-secrets"] = document(allow({ "secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret" },
          { parts.source.arn, parts.target.arn })) } }
      -- A name for each text: an endpoint goes over to another one before the old one is deleted.
      local roots = o.target_roots and aws.dms_certificate { ("%s-rds-%s"):format(name, secret.sha256(o.target_roots):sub(1, 12)),
                                                             pem = o.target_roots, tags = tags }
      return task.all {
        source = function()
          return aws.dms_endpoint { name .. "-source", type = "source", database = from.path:sub(2), secret = parts.source.arn, role = reader,
                                    settings = SOURCE, tags = tags }
        end,
        target = function()
          return aws.dms_endpoint { name .. "-target", type = "target", database = to.database, secret = parts.target.arn, role = reader,
                                    ssl_mode = roots and "verify-full" or nil, certificate = roots and roots.arn, settings = TARGET, tags = tags }
        end,
      }
    end,
  }
  local made = aws.dms_task {
    name, source = more.endpoints.source.id, target = more.endpoints.target.id, instance = more.instance.id, migration_type = o.strategy,
    mappings = mappings(o.tables), settings = settings(o), tags = tags,
  }
  return run.new { name = o.name, task = made.id, instance = more.instance.id, source = more.endpoints.source.id,
                   target = more.endpoints.target.id, bucket = o.bucket, role = more.reports, logs_role = parts.logs_role, strategy = o.strategy,
                   tables = o.tables }
end
