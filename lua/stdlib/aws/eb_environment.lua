--- An Elastic Beanstalk environment: machines that run one version of an application. Which version is not managed here,
--- it is deployed (see aws.environment); without one, Beanstalk's sample application answers.
local aws = require "aws"
local beanstalk = require "aws.common.beanstalk"
local diff = require "recipe.diff"
local json = require "json"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local secret = require "secret"
local unknown = require "recipe.unknown"

local GONE = "ResourceNotFoundException"

--- Settings whose value is a list, in any order.
local LISTS = { Subnets = true, ELBSubnets = true, SecurityGroups = true, InstanceTypes = true }
local LAUNCH = "aws:autoscaling:launchconfiguration"

--- A value as Elastic Beanstalk keeps it.
local function text(value)
  if type(value) == "number" then return tostring(math.tointeger(value) or value) end
  return type(value) == "boolean" and tostring(value) or value
end

local function option_list(settings)
  local list = {}
  for namespace, options in pairs(settings) do
    for name, value in pairs(options) do
      list[#list + 1] = { Namespace = namespace, OptionName = name, Value = text(value) }
    end
  end
  table.sort(list, function(a, b) return a.Namespace .. a.OptionName < b.Namespace .. b.OptionName end)
  return list
end

local function words(value)
  local list = {}
  for part in value:gmatch "[^,%s]+" do list[#list + 1] = part end
  return list
end

local function sorted(value)
  local list = words(value)
  table.sort(list)
  return table.concat(list, ",")
end

--- Whether a document says all that another one does; Elastic Beanstalk writes members into it.
local function covers(want, have)
  if type(want) ~= "table" or type(have) ~= "table" then return want == have end
  for k, v in pairs(want) do
    if not covers(v, have[k]) then return false end
  end
  return true
end

local function same_value(want, have, name)
  want = text(want)
  if unknown.is(want) then return false end
  if secret.is(want) or secret.is(have) then return have ~= nil and secret.equal(want, have) end
  have = have or ""                                          -- an empty value is answered as none
  if want == have or LISTS[name] and sorted(want) == sorted(have) then return true end
  local a, b = want:find "^%s*{" and json.decode(want), have:find "^%s*{" and json.decode(have)
  return a and b and covers(a, b) or false
end

--- Only what the recipe says is compared: defaults, and what AWS adds, are no difference.
local function same_settings(want, have)
  local old, new = {}, {}
  for namespace, options in pairs(want) do
    local same, is, should = diff.given(options, have[namespace] or {}, same_value)
    if not same then old[namespace], new[namespace] = is, should end
  end
  if next(new) == nil then return true end
  return false, old, new
end

--- The groups of a list without that which Elastic Beanstalk made for the machines and shows among ours.
local function without_own(value, wanted)
  if unknown.is(wanted) then return value end
  local others = {}
  for _, id in ipairs(noun.minus(words(value), words(wanted))) do
    if id:find "^sg%-" then others[#others + 1] = id end
  end
  if #others == 0 then return value end
  local own = {}
  for _, g in ipairs(aws.ec2:describe_security_groups({ Filters = { { Name = "group-id", Values = others } } }).SecurityGroups) do
    if g.GroupName:find "^awseb%-" then own[#own + 1] = g.GroupId end
  end
  return table.concat(noun.minus(words(value), own), ",")
end

--- Nil when it is gone: both names came from Elastic Beanstalk, so one that it does not know was deleted since.
local function settings_of(e, spec)
  local answer = noun.found("InvalidParameterValue", aws.elasticbeanstalk.describe_configuration_settings, aws.elasticbeanstalk,
    { ApplicationName = e.ApplicationName, EnvironmentName = e.EnvironmentName })
  if not answer then return nil end
  local settings = {}
  for _, o in ipairs(answer.ConfigurationSettings[1].OptionSettings or {}) do
    settings[o.Namespace] = settings[o.Namespace] or {}
    settings[o.Namespace][o.OptionName] = o.Value
  end
  local wanted = (spec.settings[LAUNCH] or {}).SecurityGroups
  local launch = settings[LAUNCH]
  if wanted and launch and launch.SecurityGroups then launch.SecurityGroups = without_own(launch.SecurityGroups, wanted) end
  return settings
end

--- A newer version of the platform is no difference where Elastic Beanstalk updates it by itself.
local function same_platform(want, have, _, current)
  if want == have then return true end
  local managed = (current.settings["aws:elasticbeanstalk:managedactions"] or {}).ManagedActionsEnabled
  local wanted, there = want:match "^(.*/)[^/]*$", have and have:match "^(.*/)[^/]*$"
  return managed == "true" and wanted == there and noun.same_version(want:match "[^/]*$", have:match "[^/]*$")
end

--- Elastic Beanstalk gives the tag Name itself, and takes none.
local function tag_list(map)
  local list = {}
  for _, t in ipairs(noun.tag_list(map)) do
    if t.Key ~= "Name" then list[#list + 1] = t end
  end
  return list
end

local PLAIN, SECRETS = "aws:elasticbeanstalk:application:environment", "aws:elasticbeanstalk:application:environmentsecrets"

--- Variables that were plain and become secrets, or the other way round: they must not stay as what they were.
local function moved(wanted, have)
  local list = {}
  for from, to in pairs { [PLAIN] = SECRETS, [SECRETS] = PLAIN } do
    for name in pairs(wanted[to] or {}) do
      if (have[from] or {})[name] ~= nil and not (wanted[from] or {})[name] then list[#list + 1] = { Namespace = from, OptionName = name } end
    end
  end
  table.sort(list, function(a, b) return a.Namespace .. a.OptionName < b.Namespace .. b.OptionName end)
  return #list > 0 and list or nil
end

local STREAM = "aws:elasticbeanstalk:cloudwatch:logs"

--- The log groups that outlive the environment, as its settings say.
local function kept_groups(current)
  local keeps, list = {}, {}
  for namespace, switch in pairs { [STREAM] = "StreamLogs", [STREAM .. ":health"] = "HealthStreamingEnabled" } do
    local settings = current.settings[namespace] or {}
    keeps[namespace] = settings[switch] == "true" and settings.DeleteOnTerminate ~= "true" or nil
  end
  if not next(keeps) then return list end
  for group in aws.logs:each("describe_log_groups", { logGroupNamePrefix = ("/aws/elasticbeanstalk/%s/"):format(current.id) }) do
    if keeps[group.logGroupName:find "/environment%-health%.log$" and STREAM .. ":health" or STREAM] then list[#list + 1] = group end
  end
  return list
end

return recipe.kind {
  name = "aws.eb_environment",
  options = {
    { "application", "of aws.eb_application, or its name", type = "any", required = true },
    { "platform", "platform ARN; by default the newest Docker on Amazon Linux 2023 when it is made", type = "string" },
    { "settings", "option settings: { [namespace] = { Option = \"value\" } }; others are left as they are", type = "table", default = {} },
    { "description", "what it is for", type = "string" },
    { "worker", "of the worker tier: machines without a web server, and a queue that nobody has to use", type = "boolean" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "environment_id", "cname", "version", "health" }, fixed = { "application", "worker" }, summary = { "application", "platform" },
  idempotent = true, timeout = 3600,
  compare = { tags = "given", settings = same_settings, platform = same_platform },

  read = noun.reader(GONE, function(spec)
    local e = beanstalk.find(spec.name)
    local settings = e and settings_of(e, spec)
    return settings and {
      id = e.EnvironmentName, environment_id = e.EnvironmentId, arn = e.EnvironmentArn, application = e.ApplicationName, cname = e.CNAME,
      worker = e.Tier ~= nil and e.Tier.Name == "Worker" or nil,
      platform = e.PlatformArn, version = e.VersionLabel, health = e.Health, description = e.Description,
      settings = settings,
      tags = noun.tag_map(aws.elasticbeanstalk:list_tags_for_resource({ ResourceArn = e.EnvironmentArn }).ResourceTags),
      state = e.Status, deleting = e.Status == "Terminating" or nil,
    }
  end),

  event = function(id) return beanstalk.last_event(id) end,

  create = function(spec, ctx)
    aws.elasticbeanstalk:create_environment {
      ApplicationName = noun.id(spec.application), EnvironmentName = spec.name, Description = spec.description,
      Tier = spec.worker and { Name = "Worker", Type = "SQS/HTTP" } or { Name = "WebServer", Type = "Standard" },
      PlatformArn = spec.platform or beanstalk.platform(),
      OptionSettings = option_list(spec.settings),
      Tags = tag_list(noun.tag_map(noun.tags(spec, ctx))),
    }
    return spec.name
  end,

  update = function(spec, current, changes, ctx)
    if changes.settings or changes.platform or changes.description then
      beanstalk.update(ctx, ctx.timeout, {
        EnvironmentName = current.id, Description = changes.description and spec.description or nil,
        PlatformArn = changes.platform and spec.platform or nil,
        OptionSettings = changes.settings and option_list(changes.settings.new) or nil,
        OptionsToRemove = changes.settings and moved(spec.settings, current.settings) or nil,
      })
    end
    if changes.tags then
      beanstalk.wait(ctx, current.id, ctx.timeout, function(e) return e.Status == "Ready" end)
      aws.elasticbeanstalk:update_tags_for_resource { ResourceArn = current.arn, TagsToAdd = tag_list(spec.tags) }
    end
  end,

  ready = function(current, ctx)
    local e = beanstalk.wait(ctx, current.id, ctx.timeout, function(e) return e.Status == "Ready" end)
    if e.CNAME == current.cname and e.Health == current.health then return nil end
    current.cname, current.health, current.version = e.CNAME, e.Health, e.VersionLabel
    return current
  end,

  --- Elastic Beanstalk never deletes its bucket, and protects it with a policy (Developer Guide, "Using Elastic Beanstalk with
  --- Amazon S3"). Machines, groups and network interfaces go with the environment.
  leaves = function(current)
    local region, account = current.arn:match "^arn:[^:]*:[^:]*:([^:]*):([^:]*):"
    local bucket = ("elasticbeanstalk-%s-%s"):format(region, account)
    local list = { {
      what = ("the bucket %s, which Elastic Beanstalk has for all environments of the region,"):format(bucket),
      cost = "S3 bills what it holds, at about 0.023 $ per GB and month",
      delete = ("where no environment is left: aws s3api delete-bucket-policy --bucket %s && aws s3 rb --force s3://%s"):format(bucket, bucket),
    } }
    for _, group in ipairs(kept_groups(current)) do
      list[#list + 1] = {
        what = "the log group " .. group.logGroupName,
        cost = ("CloudWatch bills what it holds, at about 0.03 $ per GB and month%s"):format(
          group.retentionInDays and (", until it is %d days old"):format(group.retentionInDays) or ""),
        delete = "aws logs delete-log-group --log-group-name " .. group.logGroupName,
      }
    end
    return list
  end,

  delete = function(current)
    noun.delete("", function() aws.elasticbeanstalk:terminate_environment { EnvironmentName = current.id, TerminateResources = true } end)
  end,
}
