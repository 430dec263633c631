--- What RDS refuses in CreateDBInstance and ModifyDBInstance.
local catalog = require "rehearsal.services.rds.catalog"
local secret = require "secret"
local wire = require "rehearsal.wire"

local M = {}

local function combination(fmt, ...) wire.fail("InvalidParameterCombination", 400, fmt, ...) end
local function value(fmt, ...) wire.fail("InvalidParameterValue", 400, fmt, ...) end

--- The version to run: that asked for, or the default minor of a major.
function M.version(asked)
  local version = catalog._version(asked)
  if not version then combination("Cannot find version %s for postgres", tostring(asked)) end
  return version
end

function M.class(class, version)
  if catalog._has_class(class) then return end
  if not class:find "^db%." then value("Invalid DB Instance class: %s", class) end
  combination("RDS does not support creating a DB instance with the following combination: DBInstanceClass=%s, Engine=postgres, EngineVersion=%s, "
    .. "LicenseModel=postgresql-license. For supported combinations of instance class and database engine version, see the documentation.", class,
      version)
end

function M.storage(kind, size, iops, throughput)
  local known = catalog._storage(kind) or value("Invalid storage type: %s", kind)
  if not size then wire.fail("InvalidParameterCombination", 400, "Must specify AllocatedStorage for engine postgres") end
  if size < known.min or size > known.max then
    combination("Invalid storage size for engine name postgres and storage type %s: %d", kind, size)
  end
  if (kind == "io1" or kind == "io2") and not iops then combination("Must specify Iops for storage type %s", kind) end
  if kind == "gp3" and size < 400 and (iops or throughput) then
    combination("You can't specify IOPS or storage throughput for engine postgres and a storage size less than 400.")
  end
  if throughput and kind ~= "gp3" then combination("Storage throughput can be specified only for the storage type gp3.") end
end

--- The master password: its characters cannot be looked at here, its length can.
function M.password(password)
  local size = secret.size(password)
  if size < 8 then value("The parameter MasterUserPassword is not a valid password because it is shorter than 8 characters.") end
  if size > 128 then value("The parameter MasterUserPassword is not a valid password because it is longer than 128 characters.") end
end

local RESERVED = { rdsadmin = true, admin = true, rds_superuser = true, rds_replication = true, rdsrepladmin = true, public = true, user = true,
  master = true }

function M.user(name)
  if not name then wire.fail("InvalidParameterValue", 400, "The parameter MasterUsername must be provided and must not be blank.") end
  if not name:find "^%a[%w_]*$" or #name > 63 then
    value("The parameter MasterUsername is not valid: it must begin with a letter and contain only letters, digits and underscores.")
  end
  if RESERVED[name:lower()] or name:lower():find "^pg_" then
    value("MasterUsername %s cannot be used as it is a reserved word used by the engine", name)
  end
end

function M.database(name)
  if name and (not name:find "^[%a_][%w_]*$" or #name > 63 or RESERVED[name:lower()]) then
    value("The parameter DBName is not valid: DBName must begin with a letter and contain only alphanumeric characters.")
  end
end

function M.backup(days)
  if days and (days < 0 or days > 35) then value("Invalid backup retention period: %d. Must be between 0 and 35.", days) end
end

function M.port(port)
  if port and (port < 1150 or port > 65535) then value("Invalid database port %d: it must be between 1150 and 65535", port) end
end

return M
