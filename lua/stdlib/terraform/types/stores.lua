--- Databases and caches. See terraform/types.lua.
local aws = require "aws"
local hcl = require "terraform.hcl"
local tags = require "terraform.tags"

local M = {}

M["aws.db_subnet_group"] = {
  type = "aws_db_subnet_group", import = "{name}", named = "name", gives = { arn = "arn" },
  body = function(v) return { { "name", v.name }, { "description", v.description }, { "subnet_ids", v.subnets }, { "tags", tags(v) } } end,
}

M["aws.db_parameter_group"] = {
  type = "aws_db_parameter_group", import = "{name}", named = "name", gives = { arn = "arn" },
  read = function(v)
    local group, list = aws.rds:describe_db_parameter_groups({ DBParameterGroupName = v.name }).DBParameterGroups[1], {}
    for p in aws.rds:each("describe_db_parameters", { DBParameterGroupName = v.name, Source = "user" }) do list[#list + 1] = p end
    table.sort(list, function(a, b) return a.ParameterName < b.ParameterName end)
    return { described = list, description = group.Description }
  end,
  body = function(v)
    local blocks = {}
    for i, p in ipairs(v.described) do
      blocks[i] = { { "name", p.ParameterName }, { "value", p.ParameterValue }, { "apply_method", p.ApplyMethod } }
    end
    return { { "name", v.name }, { "family", v.family }, { "description", v.description }, { "tags", tags(v) },
             { "parameter", hcl.blocks(table.unpack(blocks)) } }
  end,
}

M["aws.db_instance"] = {
  type = "aws_db_instance", import = "{name}", ignore = { "password" }, named = "identifier",
  gives = { arn = "arn", endpoint = "address" },
  note = "Its password stays what it is: Terraform neither knows nor changes it.",
  read = function(v)
    local db = aws.rds:describe_db_instances({ DBInstanceIdentifier = v.name }).DBInstances[1]
    return { engine = db.Engine, storage = db.StorageType, encrypted = db.StorageEncrypted, upgrades = db.AutoMinorVersionUpgrade,
             most_gigabytes = db.MaxAllocatedStorage, copies_tags = db.CopyTagsToSnapshot, key = db.StorageEncrypted and db.KmsKeyId or nil,
             insights = db.PerformanceInsightsEnabled or nil, installed = db.EngineVersion,
             final = v.final_snapshot ~= false and ("%s-final"):format(v.name) or nil }
  end,
  body = function(v, x)
    return {
      { "identifier", v.name }, { "engine", v.engine }, { "engine_version", v.installed }, { "instance_class", v.class },
      { "allocated_storage", v.gigabytes }, { "max_allocated_storage", v.most_gigabytes }, { "storage_type", v.storage },
      { "storage_encrypted", v.encrypted }, { "kms_key_id", v.key }, { "db_name", v.database }, { "username", v.user },
      { "multi_az", v.multi_az }, { "publicly_accessible", v.public },
      { "db_subnet_group_name", x:named("aws.db_subnet_group", v.subnet_group) },
      { "parameter_group_name", v.parameter_group and x:named("aws.db_parameter_group", v.parameter_group) },
      { "vpc_security_group_ids", v.groups }, { "backup_retention_period", v.backup_days }, { "copy_tags_to_snapshot", v.copies_tags },
      { "auto_minor_version_upgrade", v.upgrades }, { "performance_insights_enabled", v.insights }, { "deletion_protection", v.deletion_protection },
      { "skip_final_snapshot", v.final == nil }, { "final_snapshot_identifier", v.final }, { "tags", tags(v) },
    }
  end,
}

M["aws.cache_subnet_group"] = {
  type = "aws_elasticache_subnet_group", import = "{name}", named = "name", gives = { arn = "arn" },
  body = M["aws.db_subnet_group"].body,
}

M["aws.cache_parameter_group"] = {
  type = "aws_elasticache_parameter_group", import = "{name}", named = "name", gives = { arn = "arn" },
  read = function(v)
    local group, list = aws.elasticache:describe_cache_parameter_groups({ CacheParameterGroupName = v.name }).CacheParameterGroups[1], {}
    for page in aws.elasticache:pages("describe_cache_parameters", { CacheParameterGroupName = v.name, Source = "user" }) do
      for _, p in ipairs(page.Parameters or {}) do list[#list + 1] = p end
    end
    table.sort(list, function(a, b) return a.ParameterName < b.ParameterName end)
    return { described = list, description = group.Description }
  end,
  body = function(v)
    local blocks = {}
    for i, p in ipairs(v.described) do blocks[i] = { { "name", p.ParameterName }, { "value", p.ParameterValue } } end
    return { { "name", v.name }, { "family", v.family }, { "description", v.description }, { "tags", tags(v) },
             { "parameter", hcl.blocks(table.unpack(blocks)) } }
  end,
}

--- "8.0.1" as the provider takes it: from 7 on, major and minor.
local function minor(version) return version and version:match "^%d+%.%d+" or version end

M["aws.replication_group"] = {
  type = "aws_elasticache_replication_group", import = "{name}", ignore = { "auth_token", "auth_token_update_strategy" },
  gives = { arn = "arn", endpoint = "primary_endpoint_address" },
  note = "Its token stays what it is: Terraform neither knows nor changes it.",
  read = function(v)
    local group = aws.elasticache:describe_replication_groups({ ReplicationGroupId = v.name }).ReplicationGroups[1]
    return { tls = group.TransitEncryptionEnabled, encrypted = group.AtRestEncryptionEnabled, snapshot_days = group.SnapshotRetentionLimit,
             final = v.final_snapshot ~= false and ("%s-final"):format(v.name) or nil }
  end,
  body = function(v, x)
    return {
      { "replication_group_id", v.name }, { "description", v.description }, { "engine", v.engine }, { "engine_version", minor(v.installed) },
      { "node_type", v.node_type }, { "num_cache_clusters", v.replicas + 1 }, { "automatic_failover_enabled", v.fails_over },
      { "multi_az_enabled", v.fails_over }, { "port", v.port }, { "subnet_group_name", x:named("aws.cache_subnet_group", v.subnet_group) },
      { "parameter_group_name", v.parameter_group and x:named("aws.cache_parameter_group", v.parameter_group) },
      { "security_group_ids", v.groups }, { "transit_encryption_enabled", v.tls }, { "at_rest_encryption_enabled", v.encrypted },
      { "snapshot_retention_limit", v.snapshot_days }, { "final_snapshot_identifier", v.final }, { "tags", tags(v) },
    }
  end,
}

return M
