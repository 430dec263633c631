--- A task of AWS DMS: which tables go from one endpoint to another, and how. That it is made does not start it: see
--- aws.dms_migration. It can be changed only while it does not run; DMS drops its replication slot when it is deleted.
local aws = require "aws"
local dms = require "aws.common.dms"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local RUNS = { starting = true, running = true, stopping = true, testing = true, modifying = true, moving = true }
local WORKS = "InvalidResourceStateFault"

local function look(filter, value)
  local t = dms.find("describe_replication_tasks", filter, value, "ReplicationTasks")
  return t and {
    id = t.ReplicationTaskArn, arn = t.ReplicationTaskArn, name = t.ReplicationTaskIdentifier, source = t.SourceEndpointArn,
    target = t.TargetEndpointArn, instance = t.ReplicationInstanceArn, migration_type = t.MigrationType,
    mappings = dms.decode(t.TableMappings), settings = dms.decode(t.ReplicationTaskSettings), state = t.Status,
    deleting = t.Status == "deleting" or nil, failure = t.LastFailureMessage,
  }
end

--- Waits until it stands still.
local function still(id, ctx, seconds)
  return noun.wait(ctx, "the task does not stand still", seconds, function()
    local t = look("replication-task-arn", id)
    if not t then return {} end
    if RUNS[t.state] or t.state == "creating" then return nil, t.state end
    return t
  end)
end

return recipe.kind {
  name = "aws.dms_task",
  options = {
    { "source", "endpoint or its ARN", type = "any", required = true },
    { "target", "endpoint or its ARN", type = "any", required = true },
    { "instance", "replication instance or its ARN", type = "any", required = true },
    { "migration_type", "full-load, cdc, full-load-and-cdc", type = "string", default = "full-load",
      one_of = { "full-load", "cdc", "full-load-and-cdc" } },
    { "mappings", "which tables, in DMS's words: { rules = { ... } }", type = "table", required = true },
    { "settings", "of the task, in DMS's words; those that are not given stay as they are", type = "table", default = {} },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, fixed = { "source", "target", "instance" }, summary = { "migration_type" }, idempotent = true, timeout = 1800,
  compare = { tags = "given", settings = dms.same_settings },
  event = function(id, since) return noun.last_event(aws.dms, id:match "[^:]+$", "replication-task", since) end,

  read = noun.reader(dms.GONE, function(spec, known)
    local found = look(known and "replication-task-arn" or "replication-task-id", known or spec.name)
    if found then found.tags = dms.tags(found.arn) end
    return found
  end),

  create = function(spec, ctx)
    return aws.dms:create_replication_task({
      ReplicationTaskIdentifier = spec.name, SourceEndpointArn = noun.id(spec.source), TargetEndpointArn = noun.id(spec.target),
      ReplicationInstanceArn = noun.id(spec.instance), MigrationType = spec.migration_type, TableMappings = dms.encode(spec.mappings),
      ReplicationTaskSettings = dms.encode(spec.settings), Tags = noun.tags(spec, ctx),
    }).ReplicationTask.ReplicationTaskArn
  end,

  ready = function(current, ctx)
    if current.state ~= "creating" and current.state ~= "modifying" then return nil end
    return noun.wait(ctx, "it is not ready", ctx.timeout, function()
      local t = look("replication-task-arn", current.id) or errors.raise { kind = "not_found", message = "it is gone" }
      if t.state == "failed" then errors.raise { kind = "remote", message = "it has failed: " .. (t.failure or "DMS does not say why") } end
      if t.state ~= "creating" and t.state ~= "modifying" then return t end
      return nil, t.state
    end)
  end,

  update = function(spec, current, changes)
    if #changes > (changes.tags and 1 or 0) then
      if RUNS[current.state] then
        errors.raise { kind = "invalid", message = ("it is %s, and can be changed only while it stands still"):format(current.state),
                       hint = "stop it first: aws dms stop-replication-task --replication-task-arn " .. current.id }
      end
      aws.dms:modify_replication_task {
        ReplicationTaskArn = current.id, MigrationType = changes.migration_type and spec.migration_type,
        TableMappings = changes.mappings and dms.encode(spec.mappings),
        ReplicationTaskSettings = changes.settings and dms.encode(spec.settings),
      }
    end
    if changes.tags then dms.tag(current.arn, spec.tags) end
  end,

  --- One that runs is stopped first; an assessment that is under way ends by itself.
  delete = function(current, ctx)
    noun.delete(dms.GONE, function()
      if current.state == "running" or current.state == "starting" then
        noun.found(WORKS, aws.dms.stop_replication_task, aws.dms, { ReplicationTaskArn = current.id })
      end
      if RUNS[current.state] then still(current.id, ctx, ctx.timeout) end
      aws.dms:delete_replication_task { ReplicationTaskArn = current.id }
    end)
  end,
}
