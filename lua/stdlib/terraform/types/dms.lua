--- AWS DMS. See terraform/types.lua.
local aws = require "aws"
local hcl = require "terraform.hcl"
local tags = require "terraform.tags"

local M = {}

M["aws.dms_subnet_group"] = {
  type = "aws_dms_replication_subnet_group", import = "{name}", named = "replication_subnet_group_id",
  gives = { arn = "replication_subnet_group_arn" },
  body = function(v)
    return { { "replication_subnet_group_id", v.name }, { "replication_subnet_group_description", v.description }, { "subnet_ids", v.subnets },
             { "tags", tags(v) } }
  end,
}

M["aws.dms_instance"] = {
  type = "aws_dms_replication_instance", import = "{name}", gives = { arn = "replication_instance_arn" },
  read = function(v)
    local filters = { { Name = "replication-instance-arn", Values = { v.arn } } }
    local i = aws.dms:describe_replication_instances({ Filters = filters }).ReplicationInstances[1]
    return { installed = i.EngineVersion, upgrades = i.AutoMinorVersionUpgrade }
  end,
  body = function(v, x)
    return {
      { "replication_instance_id", v.name }, { "replication_instance_class", v.class }, { "engine_version", v.installed },
      { "allocated_storage", v.gigabytes }, { "multi_az", v.multi_az }, { "publicly_accessible", v.public },
      { "replication_subnet_group_id", x:named("aws.dms_subnet_group", v.subnet_group) }, { "vpc_security_group_ids", v.groups },
      { "auto_minor_version_upgrade", v.upgrades }, { "tags", tags(v) },
    }
  end,
}

M["aws.dms_certificate"] = {
  type = "aws_dms_certificate", import = "{name}", gives = { arn = "certificate_arn" }, ignore = { "certificate_pem", "certificate_wallet" },
  note = "The certificate itself is not in these files: Terraform leaves it alone.",
  body = function(v) return { { "certificate_id", v.name }, { "tags", tags(v) } } end,
}

--- The argument of an engine's setting, where the provider has one.
local POSTGRES = {
  AfterConnectScript = "after_connect_script", CaptureDdls = "capture_ddls", MapBooleanAsBoolean = "map_boolean_as_boolean",
  FailTasksOnLobTruncation = "fail_tasks_on_lob_truncation", PluginName = "plugin_name", SlotName = "slot_name", MaxFileSize = "max_file_size",
  HeartbeatEnable = "heartbeat_enable", HeartbeatFrequency = "heartbeat_frequency", HeartbeatSchema = "heartbeat_schema",
  ExecuteTimeout = "execute_timeout", DdlArtifactsSchema = "ddl_artifacts_schema", MapJsonbAsClob = "map_jsonb_as_clob",
  MapLongVarcharAs = "map_long_varchar_as", BabelfishDatabaseName = "babelfish_database_name", DatabaseMode = "database_mode",
}

M["aws.dms_endpoint"] = {
  type = "aws_dms_endpoint", import = "{name}", gives = { arn = "endpoint_arn" },
  body = function(v)
    local names, settings = {}, {}
    for name in pairs(v.settings) do names[#names + 1] = POSTGRES[name] and name end
    table.sort(names)
    for i, name in ipairs(names) do settings[i] = { POSTGRES[name], v.settings[name] } end
    return {
      { "endpoint_id", v.name }, { "endpoint_type", v.type }, { "engine_name", v.engine }, { "database_name", v.database },
      { "ssl_mode", v.ssl_mode }, { "certificate_arn", v.certificate }, { "secrets_manager_arn", v.secret },
      { "secrets_manager_access_role_arn", v.role }, { "tags", tags(v) },
      { "postgres_settings", v.engine == "postgres" and settings[1] and hcl.blocks(settings) or nil },
    }
  end,
}

M["aws.dms_task"] = {
  type = "aws_dms_replication_task", import = "{name}", gives = { arn = "replication_task_arn" },
  body = function(v)
    return {
      { "replication_task_id", v.name }, { "migration_type", v.migration_type }, { "source_endpoint_arn", v.source },
      { "target_endpoint_arn", v.target }, { "replication_instance_arn", v.instance }, { "table_mappings", hcl.json(v.mappings) },
      { "replication_task_settings", hcl.json(v.settings) }, { "tags", tags(v) },
    }
  end,
}

return M
