--- An endpoint of AWS DMS: a database that a task reads from or writes to. Who logs in, and where, stands in a secret of
--- Secrets Manager (username, password, host, port), which DMS reads in a role: no password is here.
local aws = require "aws"
local dms = require "aws.common.dms"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local SETTINGS = { postgres = "PostgreSQLSettings", mysql = "MySQLSettings" }

--- The settings in AWS's words, the secret among them.
local function settings_of(spec)
  local role = type(spec.role) == "table" and spec.role.arn or spec.role
  local all = { SecretsManagerSecretId = noun.id(spec.secret), SecretsManagerAccessRoleArn = role }
  for name, value in pairs(spec.settings) do all[name] = value end
  return all
end

local function look(filter, value)
  local e = dms.find("describe_endpoints", filter, value, "Endpoints")
  if not e then return nil end
  local settings = e[SETTINGS[e.EngineName]] or {}
  return {
    id = e.EndpointArn, arn = e.EndpointArn, name = e.EndpointIdentifier, type = e.EndpointType:lower(), engine = e.EngineName,
    database = e.DatabaseName or settings.DatabaseName, secret = settings.SecretsManagerSecretId, role = settings.SecretsManagerAccessRoleArn,
    ssl_mode = e.SslMode, certificate = e.CertificateArn, settings = settings, state = e.Status, deleting = e.Status == "deleting" or nil,
  }
end

return recipe.kind {
  name = "aws.dms_endpoint",
  options = {
    { "type", "what a task does with it", type = "string", required = true, one_of = { "source", "target" } },
    { "engine", "of the database", type = "string", default = "postgres", one_of = { "postgres", "mysql" } },
    { "database", "name of the database", type = "string", required = true },
    { "secret", "the secret or its ARN: JSON with username, password, host and port", type = "any", required = true },
    { "role", "the role in which DMS reads the secret, or its ARN", type = "any", required = true },
    { "ssl_mode", "none, require, verify-ca or verify-full; the last two need a certificate", type = "string", default = "require",
      one_of = { "none", "require", "verify-ca", "verify-full" } },
    { "certificate", "of aws.dms_certificate, or its ARN: the authority that signed the server's", type = "any" },
    { "settings", "of the engine, in AWS's names: { CaptureDdls = false }; others are left as they are", type = "table", default = {} },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, fixed = { "type", "engine" }, summary = { "type", "database", "ssl_mode" }, idempotent = true,
  compare = {
    tags = "given", settings = dms.same_settings,
    role = function(want, have)
      local arn = want
      if type(want) == "table" and not recipe.is_unknown(want) then arn = want.arn end
      return not recipe.is_unknown(arn) and arn == have
    end,
  },

  read = noun.reader(dms.GONE, function(spec, known)
    local found = look(known and "endpoint-arn" or "endpoint-id", known or spec.name)
    if found then found.tags = dms.tags(found.arn) end
    return found
  end),

  create = function(spec, ctx)
    return noun.settled("AccessDeniedFault", 60, function()  -- IAM takes seconds to know a new role everywhere
      return aws.dms:create_endpoint({
        EndpointIdentifier = spec.name, EndpointType = spec.type, EngineName = spec.engine, DatabaseName = spec.database, SslMode = spec.ssl_mode,
        CertificateArn = noun.id(spec.certificate), [SETTINGS[spec.engine]] = settings_of(spec), Tags = noun.tags(spec, ctx),
      }).Endpoint.EndpointArn
    end)
  end,

  update = function(spec, current, changes)
    if #changes > (changes.tags and 1 or 0) then
      aws.dms:modify_endpoint {
        EndpointArn = current.id, EngineName = spec.engine, DatabaseName = changes.database and spec.database,
        SslMode = changes.ssl_mode and spec.ssl_mode, CertificateArn = changes.certificate and noun.id(spec.certificate),
        [SETTINGS[spec.engine]] = (changes.secret or changes.role or changes.settings) and settings_of(spec) or nil,
      }
    end
    if changes.tags then dms.tag(current.arn, spec.tags) end
  end,

  delete = function(current)
    noun.delete(dms.GONE, function() aws.dms:delete_endpoint { EndpointArn = current.id } end)
  end,
}
