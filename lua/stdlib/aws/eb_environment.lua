--- An Elastic Beanstalk environment: machines that run one version of an application. Which version is not managed here,
--- it is deployed (see aws.environment); without one, Beanstalk's sample application answers.
local aws = require "aws"
local beanstalk = require "aws.common.beanstalk"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local secret = require "secret"
local unknown = require "recipe.unknown"

--- Settings whose value is a list, in any order.
local LISTS = { Subnets = true, ELBSubnets = true, SecurityGroups = true, InstanceTypes = true }

local function option_list(settings)
  local list = {}
  for namespace, options in pairs(settings) do
    for name, value in pairs(options) do
      list[#list + 1] = { Namespace = namespace, OptionName = name, Value = value }
    end
  end
  table.sort(list, function(a, b) return a.Namespace .. a.OptionName < b.Namespace .. b.OptionName end)
  return list
end

local function sorted(value)
  local parts = {}
  for part in value:gmatch "[^,%s]+" do parts[#parts + 1] = part end
  table.sort(parts)
  return table.concat(parts, ",")
end

local function same_value(name, want, have)
  if unknown.is(want) or have == nil then return false end
  if secret.is(want) or secret.is(have) then return secret.equal(want, have) end
  return want == have or LISTS[name] and sorted(want) == sorted(have)
end

--- Only what the recipe says is compared: defaults, and what AWS adds, are no difference.
local function same_settings(want, have)
  for namespace, options in pairs(want) do
    for name, value in pairs(options) do
      if not same_value(name, value, have[namespace] and have[namespace][name]) then return false end
    end
  end
  return true
end

local function settings_of(e)
  local answer = aws.elasticbeanstalk:describe_configuration_settings { ApplicationName = e.ApplicationName, EnvironmentName = e.EnvironmentName }
  local settings = {}
  for _, o in ipairs(answer.ConfigurationSettings[1].OptionSettings or {}) do
    settings[o.Namespace] = settings[o.Namespace] or {}
    settings[o.Namespace][o.OptionName] = o.Value
  end
  return settings
end

return recipe.kind {
  name = "aws.eb_environment",
  options = {
    { "application", "of aws.eb_application, or its name", type = "any", required = true },
    { "platform", "platform ARN; by default the newest Docker on Amazon Linux 2023 when it is made", type = "string" },
    { "settings", "option settings: { [namespace] = { Option = \"value\" } }; others are left as they are", type = "table", default = {} },
    { "description", "what it is for", type = "string" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "environment_id", "cname", "version", "health" }, fixed = { "application" }, summary = { "application", "platform" },
  idempotent = true, timeout = 3600, compare = { tags = "given", settings = same_settings },

  read = function(spec)
    local e = beanstalk.find(spec.name)
    return e and {
      id = e.EnvironmentName, environment_id = e.EnvironmentId, arn = e.EnvironmentArn, application = e.ApplicationName, cname = e.CNAME,
      platform = e.PlatformArn, version = e.VersionLabel, health = e.Health, description = e.Description, settings = settings_of(e),
      tags = noun.tag_map(aws.elasticbeanstalk:list_tags_for_resource({ ResourceArn = e.EnvironmentArn }).ResourceTags),
      state = e.Status, deleting = e.Status == "Terminating" or nil,
    }
  end,

  event = function(id) return beanstalk.last_event(id) end,

  create = function(spec, ctx)
    aws.elasticbeanstalk:create_environment {
      ApplicationName = noun.id(spec.application), EnvironmentName = spec.name, Description = spec.description,
      Tier = { Name = "WebServer", Type = "Standard" }, PlatformArn = spec.platform or beanstalk.platform(),
      OptionSettings = option_list(spec.settings), Tags = noun.tags(spec, ctx),
    }
    return spec.name
  end,

  update = function(spec, current, changes, ctx)
    beanstalk.wait(ctx, current.id, ctx.timeout, function(e) return e.Status == "Ready" end)
    if changes.settings or changes.platform or changes.description then
      aws.elasticbeanstalk:update_environment {
        EnvironmentName = current.id, Description = spec.description, PlatformArn = changes.platform and spec.platform or nil,
        OptionSettings = changes.settings and option_list(spec.settings) or nil,
      }
    end
    if changes.tags then
      aws.elasticbeanstalk:update_tags_for_resource { ResourceArn = current.arn, TagsToAdd = noun.tag_list(spec.tags) }
    end
  end,

  ready = function(current, ctx)
    local e = beanstalk.wait(ctx, current.id, ctx.timeout, function(e) return e.Status == "Ready" end)
    if e.CNAME == current.cname and e.Health == current.health then return nil end
    current.cname, current.health, current.version = e.CNAME, e.Health, e.VersionLabel
    return current
  end,

  delete = function(current)
    noun.delete("", function() aws.elasticbeanstalk:terminate_environment { EnvironmentName = current.id, TerminateResources = true } end)
  end,
}
