--- PostgreSQL on RDS: encrypted on disk and on the wire, with backups, and let in only by the security groups that are
--- given. The master user's password is made here, and is in Secrets Manager before the instance exists.
---
---     local db = aws.postgres { "shop", network = net, allow = { app.id, bastion.group }, version = "16" }
---     db.url (a secret), db.endpoint, db.port, db.secret_arn
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local secret = require "secret"
local task = require "task"
local text = require "text"

local declared = {
  { "name", "its name: letters, digits and -", type = "string", required = true },
  { "network", "of aws.network", type = "table", required = true },
  { "allow", "security groups, or their ids, that may connect", type = "list", default = {} },
  { "version", "PostgreSQL: 16 (the newest of them) or 16.4", type = "string", default = "16" },
  { "class", "instance class", type = "string", default = "db.t4g.micro" },
  { "gigabytes", "storage (gp3)", type = "integer", default = 20 },
  { "multi_az", "a standby in another zone", type = "boolean", default = false },
  { "database", "name of the database", type = "string", default = "app" },
  { "user", "name of the master user", type = "string", default = "app" },
  { "parameters", "settings of PostgreSQL by name", type = "table", default = {} },
  { "backup_days", "days that backups are kept", type = "integer", default = 7 },
  { "deletion_protection", "cannot be deleted until this is off; on where it is kept", type = "boolean" },
  { "final_snapshot", "when it is deleted, RDS keeps a snapshot of it", type = "boolean", default = true },
  { "tags", "tags of all its parts", type = "table" },
  { "keep", "never delete or replace it", type = "boolean" },
  { "timeout", "seconds that each wait may take; else as long as RDS usually needs", type = "number" },
}

--- Makes or finds a database.
---@param o table
---@return { id: string, name: string, endpoint: string, port: integer, url: Secret, secret_arn: string, group: string }
return function(o)
  o = noun.options(o, declared, "aws.postgres")
  local name, tags, keep, rules = o.name .. "-db", o.tags, o.keep, {}
  for _, group in ipairs(o.allow) do rules[#rules + 1] = { port = 5432, from = noun.id(group), why = "PostgreSQL" } end
  local parameters = { ["rds.force_ssl"] = 1 }
  for k, v in pairs(o.parameters) do parameters[k] = v end
  local major = o.version:match "^%d+" or o.version

  local parts = task.all {
    password = function()
      return aws.secret { name .. "-password", generate = function() return secret.random(40) end,
                          description = "master password of the database " .. o.name, tags = tags, keep = keep }
    end,
    subnets = function()
      return aws.db_subnet_group { name, subnets = o.network.private, description = "private subnets of " .. o.name, tags = tags, keep = keep }
    end,
    parameters = function()
      return aws.db_parameter_group { name .. "-pg" .. major, family = "postgres" .. major, parameters = parameters, tags = tags, keep = keep }
    end,
    group = function()
      return aws.security_group { name, vpc = o.network.id, description = "the database", rules = rules, tags = tags, keep = keep }
    end,
  }
  local db = aws.db_instance {
    o.name, class = o.class, version = o.version, gigabytes = o.gigabytes, multi_az = o.multi_az, database = o.database, user = o.user,
    password = parts.password.value, subnet_group = parts.subnets.name, parameter_group = parts.parameters.name,
    groups = { parts.group.id }, backup_days = o.backup_days, deletion_protection = o.deletion_protection,
    final_snapshot = o.final_snapshot, tags = tags, keep = keep, timeout = o.timeout,
  }
  local endpoint = db.endpoint or recipe.unknown(("aws.postgres %q.endpoint"):format(o.name))  -- planned while it is being made
  return {
    id = db.id, name = o.name, endpoint = endpoint, port = db.port, database = o.database, user = o.user, group = parts.group.id,
    class = o.class, gigabytes = o.gigabytes, arn = db.arn, secret_arn = parts.password.arn, password = parts.password.value,
    -- Without parameters, as Heroku's: drivers read sslmode differently, and node-postgres then forgets the app's own settings.
    url = recipe.is_unknown(endpoint) and endpoint
      or text("postgres://%s:%s@%s:%d/%s", o.user, parts.password.value, endpoint, db.port, o.database),
  }
end
