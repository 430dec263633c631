--- The parameters of a DB parameter group: those of the installed PostgreSQL,
--- as it describes them itself, and those that RDS adds.
local catalog = require "rehearsal.services.rds.catalog"
local fs = require "fs"
local process = require "process"
local wire = require "rehearsal.wire"

local M = {}

local function words(text)
  local set = {}
  for word in text:gmatch "%S+" do set[word] = true end
  return set
end

--- What RDS keeps to itself.
local FIXED = words [[data_directory config_file hba_file ident_file external_pid_file listen_addresses port unix_socket_directories
  unix_socket_group unix_socket_permissions ssl ssl_ca_file ssl_cert_file ssl_key_file ssl_crl_file ssl_crl_dir ssl_dh_params_file
  archive_mode archive_command archive_library archive_cleanup_command restore_command recovery_end_command recovery_target
  recovery_target_name recovery_target_time recovery_target_xid recovery_target_lsn recovery_target_action recovery_target_inclusive
  recovery_target_timeline primary_conninfo primary_slot_name promote_trigger_file fsync full_page_writes wal_level wal_sync_method
  log_directory logging_collector log_file_mode syslog_facility syslog_ident syslog_split_messages syslog_sequence_numbers event_source
  cluster_name allow_system_table_mods zero_damaged_pages ignore_checksum_failure ignore_invalid_pages ignore_system_indexes
  dynamic_library_path krb_server_keyfile bonjour bonjour_name db_user_namespace dynamic_shared_memory_type shared_memory_type
  superuser_reserved_connections restart_after_crash data_sync_retry]]

--- Settings that would ask more of the machine of the rehearsal than it has.
local NOT_PASSED = words "shared_buffers huge_pages huge_page_size min_dynamic_shared_memory effective_io_concurrency maintenance_io_concurrency"

--- What RDS sets itself where PostgreSQL would have another default.
local RDS_DEFAULTS = {
  max_connections = "LEAST({DBInstanceClassMemory/9531392},5000)", shared_buffers = "{DBInstanceClassMemory/32768}",
  effective_cache_size = "{DBInstanceClassMemory/16384}", maintenance_work_mem = "GREATEST({DBInstanceClassMemory*1024/63963136},65536)",
  autovacuum_max_workers = "GREATEST({DBInstanceClassMemory/64371566592},3)", password_encryption = "md5",
  shared_preload_libraries = "pg_stat_statements", max_replication_slots = "20", max_wal_senders = "20", checkpoint_completion_target = "0.9",
  ["rds.logical_replication"] = "0", ["rds.log_retention_period"] = "4320", ["rds.restrict_password_commands"] = "0",
  ["rds.rds_superuser_reserved_connections"] = "2", ["rds.force_admin_logging_level"] = "disabled",
    ["rds.force_autovacuum_logging_level"] = "warning",
}

local RDS_OWN = {
  { "rds.force_ssl", "boolean", "0,1", "dynamic", "Force SSL connections." },
  { "rds.logical_replication", "boolean", "0,1", "static", "Enables logical decoding." },
  { "rds.log_retention_period", "integer", "1440-10080", "dynamic", "Amazon RDS will delete PostgreSQL log that are older than N minutes." },
  { "rds.restrict_password_commands", "boolean", "0,1", "static", "Restricts password-related commands to members of rds_password." },
  { "rds.rds_superuser_reserved_connections", "integer", "0-8388607", "static",
    "Sets the number of connection slots reserved for rds_superusers." },
  { "rds.force_admin_logging_level", "string", "disabled,debug5,debug4,debug3,debug2,debug1,info,notice,warning,error,log,fatal,panic", "dynamic",
    "See log messages for RDS admin user actions in customer databases." },
  { "rds.force_autovacuum_logging_level", "string", "disabled,debug5,debug4,debug3,debug2,debug1,info,notice,warning,error,log,fatal,panic",
    "dynamic",
    "See log messages related to autovacuum operations." },
}

local TYPES = { BOOLEAN = "boolean", INTEGER = "integer", REAL = "float", STRING = "string", ENUM = "string" }
local described                          -- of the installed server, read once

local function describe()
  local list, by_name = {}, {}
  local function add(parameter)
    list[#list + 1] = parameter
    by_name[parameter.name] = parameter
  end
  local r = process.run { "postgres", "--describe-config", timeout = 20, user = "postgres", env = { PATH = "/usr/bin:/bin" }, cwd = "/" }
  for line in r.stdout:gmatch "[^\n]+" do
    local name, context, _, kind, _, min, max, text = line:match "^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)"
    if name then
      add { name = name, is_static = context == "postmaster", type = TYPES[kind] or "string", text = text,
            allowed = kind == "BOOLEAN" and "0,1" or (min ~= "" and min .. "-" .. max) or nil, is_modifiable = context ~= "internal"
              and not FIXED[name] }
    end
  end
  for _, row in ipairs(RDS_OWN) do
    add { name = row[1], type = row[2], allowed = row[3], is_static = row[4] == "static", text = row[5], is_modifiable = true, is_rds = true }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return { list = list, by_name = by_name }
end

local function all()
  described = described or describe()
  return described
end

--- rds.force_ssl is on since PostgreSQL 15.
local function default_of(family, name)
  if name == "rds.force_ssl" then return tonumber(family:match "%d+") >= 15 and "1" or "0" end
  if name == "password_encryption" and tonumber(family:match "%d+") >= 14 then return "scram-sha-256" end
  return RDS_DEFAULTS[name]
end

--- The parameters of a group (or of a family) as DescribeDBParameters shows them.
---@param group { family: string, set: table<string, { value: string, method: string }> }
---@param source? string "user", "system" or "engine-default"
function M.show(group, source)
  local result = {}
  for _, parameter in ipairs(all().list) do
    local own, default = group.set[parameter.name], default_of(group.family, parameter.name)
    local from = own and "user" or default and "system" or "engine-default"
    if not source or source == from then
      result[#result + 1] = {
        ParameterName = parameter.name, ParameterValue = own and own.value or default, Description = parameter.text, Source = from,
        ApplyType = parameter.is_static and "static" or "dynamic", DataType = parameter.type, AllowedValues = parameter.allowed,
        IsModifiable = parameter.is_modifiable, ApplyMethod = own and own.method or "pending-reboot",
      }
    end
  end
  return result
end

local function fits(parameter, value)
  if not parameter.allowed then return true end
  local min, max = parameter.allowed:match "^(%-?[%d.e+]+)%-(%-?[%d.e+]+)$"
  if min then
    local n = tonumber(value)
    return (n ~= nil and n >= tonumber(min) and n <= tonumber(max)) or value:find "^[%w(].*{.*}" ~= nil or value:find "^{" ~= nil
  end
  for choice in parameter.allowed:gmatch "[^,]+" do if choice == value then return true end end
  return false
end

--- Checks a change and returns its parameter.
---@param change { ParameterName?: string, ParameterValue?: string, ApplyMethod?: string }
function M.check(change)
  local name = change.ParameterName or wire.fail("MissingParameter", 400, "The request must contain the parameter ParameterName")
  local parameter = all().by_name[name] or wire.fail("InvalidParameterValue", 400, "Could not find parameter with name: %s", name)
  if not parameter.is_modifiable then wire.fail("InvalidParameterValue", 400, "The parameter %s cannot be modified.", name) end
  if parameter.is_static and change.ApplyMethod == "immediate" then
    wire.fail("InvalidParameterCombination", 400, "cannot use immediate apply method for static parameter")
  end
  if change.ParameterValue and not fits(parameter, change.ParameterValue) then
    wire.fail("InvalidParameterValue", 400, "Invalid parameter value: %s for: %s allowed values are: %s", change.ParameterValue, name,
      parameter.allowed)
  end
  return parameter
end

--- Of the libraries to preload, those that the installed PostgreSQL has.
local function installed_libraries(value)
  local folder, list = (process.which "postgres" or ""):gsub("/bin/postgres$", "/lib/"), {}
  for name in value:gmatch "[%w_]+" do
    if fs.exists(folder .. name .. ".so") then list[#list + 1] = name end
  end
  return table.concat(list, ",")
end

--- What the group means for the server: its settings, and whether TLS is forced.
---@return table<string, string> settings, boolean force_ssl
function M.settings(group)
  local settings, by_name = {}, all().by_name
  local function value(name)
    return group.set[name] and group.set[name].value or default_of(group.family, name)
  end
  for name, own in pairs(group.set) do
    local parameter = by_name[name]
    if not parameter.is_rds and not NOT_PASSED[name] and not own.value:find "{" then settings[name] = own.value end
  end
  settings.shared_preload_libraries = installed_libraries(value "shared_preload_libraries")
  settings.password_encryption = settings.password_encryption or "scram-sha-256"
  if value "rds.logical_replication" == "1" then settings.wal_level = "logical" end
  return settings, value "rds.force_ssl" == "1"
end

M.has_family = catalog._has_family

return M
