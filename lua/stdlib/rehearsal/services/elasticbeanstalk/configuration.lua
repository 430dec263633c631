--- The configuration of environments: what is refused, what is kept, what is shown.
local C = require "rehearsal.services.elasticbeanstalk.common"
local cidr_common = require "rehearsal.services.ec2.common"
local options = require "rehearsal.services.elasticbeanstalk.options"
local platforms = require "rehearsal.services.elasticbeanstalk.platforms"
local sorted_keys = require "sorted_keys"
local wire = require "rehearsal.wire"

local S = {}

local ENVIRONMENT = "aws:elasticbeanstalk:application:environment"
local SECRETS = "aws:elasticbeanstalk:application:environmentsecrets"
local PROPERTIES_LIMIT = 4096           -- bytes of all NAME=value, developer guide "Environment properties"

local function family(namespace)
  for _, entry in ipairs(options.families) do
    if namespace:find(entry[1]) then return entry[2] and options.defaults[entry[2]] or "any" end
  end
end

--- Why an option cannot be set; nil when it can.
local function problem(o)
  local known = options.defaults[o.Namespace]
  local where = ("(Namespace: '%s', OptionName: '%s')"):format(o.Namespace, o.OptionName)
  if options.free[o.Namespace] then
    if o.Namespace == SECRETS and not (o.Value or ""):find "^arn:aws[%w%-]*:secretsmanager:" and not (o.Value or ""):find "^arn:aws[%w%-]*:ssm:" then
      return ("Invalid option value: '%s' %s: the value must be the ARN of a secret or a parameter."):format(tostring(o.Value), where)
    end
    return nil
  end
  known = known or family(o.Namespace)
  if not known then return ("Invalid option specification %s: Unknown configuration setting."):format(where) end
  if known ~= "any" and known[o.OptionName] == nil then
    return ("Invalid option specification %s: Unknown configuration setting."):format(where)
  end
  local allowed = options.values[o.Namespace] and options.values[o.Namespace][o.OptionName]
  if allowed then
    for _, value in ipairs(allowed) do if value == o.Value then return nil end end
    return ("Invalid option value: '%s' %s: Value is not one of the allowed values: [%s]"):format(tostring(o.Value), where, table.concat(allowed,
      ", "))
  end
end

--- "a, b" -> { "a", "b" }
function S._list(value)
  local list = {}
  for word in (value or ""):gmatch "[^,%s]+" do list[#list + 1] = word end
  return list
end

--- The value of an option: as set, else the default, else nil.
function S._option(settings, namespace, name)
  local set = settings[namespace] and settings[namespace][name]
  if set ~= nil then return set end
  local default = options.defaults[namespace] and options.defaults[namespace][name]
  return default ~= true and default or nil
end

local function properties_size(settings)
  local size = 0
  for name, value in pairs(settings[ENVIRONMENT] or {}) do size = size + #name + 1 + #value end
  return size
end

--- What is wrong with the VPC that the settings name.
local function network_problem(cloud, ctx, settings)
  local all = cidr_common._all(cloud, ctx.region)
  local vpc = S._option(settings, "aws:ec2:vpc", "VPCId")
  if vpc and vpc ~= "" and not (all[vpc] and all[vpc].kind == "vpc") then
    return ("Invalid option value: '%s' (Namespace: 'aws:ec2:vpc', OptionName: 'VPCId'): The VPC '%s' does not exist."):format(vpc, vpc)
  end
  for _, name in ipairs { "Subnets", "ELBSubnets" } do
    for _, id in ipairs(S._list(S._option(settings, "aws:ec2:vpc", name))) do
      local found = all[id]
      if not found or found.kind ~= "subnet" or found.value.VpcId ~= vpc then
        return ("Invalid option value: '%s' (Namespace: 'aws:ec2:vpc', OptionName: '%s'): The subnet '%s' does not exist."):format(id, name, id)
      end
    end
  end
  for _, id in ipairs(S._list(S._option(settings, "aws:autoscaling:launchconfiguration", "SecurityGroups"))) do
    if id:find "^sg%-" and not (all[id] and all[id].kind == "security-group" and all[id].value.VpcId == vpc) then
      return ("Invalid option value: '%s' (Namespace: 'aws:autoscaling:launchconfiguration', OptionName: 'SecurityGroups'): "
              .. "The security group '%s' does not exist")
        :format(id, id)
    end
  end
end

--- The settings after a change; raises as CreateEnvironment and UpdateEnvironment do.
---@param old? table<string, table<string, string>>
---@return table<string, table<string, string>> settings by namespace and name
function S._merge(cloud, ctx, old, set, remove)
  local settings = {}
  for namespace, values in pairs(old or {}) do
    settings[namespace] = {}
    for name, value in pairs(values) do settings[namespace][name] = value end
  end
  for _, o in ipairs(remove or {}) do
    if settings[o.Namespace] then settings[o.Namespace][o.OptionName] = nil end
  end
  for _, o in ipairs(set or {}) do
    local why = problem(o)
    if why then wire.fail("ConfigurationValidationException", 400, "Configuration validation exception: %s", why) end
    settings[o.Namespace] = settings[o.Namespace] or {}
    settings[o.Namespace][o.OptionName] = o.Value or ""
  end
  local size = properties_size(settings)
  if size > PROPERTIES_LIMIT then
    C.refuse("The size of all environment properties is %d bytes; the limit is %d bytes.", size, PROPERTIES_LIMIT)
  end
  local why = network_problem(cloud, ctx, settings)
  if why then wire.fail("ConfigurationValidationException", 400, "Configuration validation exception: %s", why) end
  return settings
end

--- The settings as the API lists them: defaults among them, the group that Elastic Beanstalk adds, sorted.
local function listed(env)
  local settings, list = env.settings, {}
  local function add(namespace, name, value)
    list[#list + 1] = { Namespace = namespace, OptionName = name, Value = value ~= true and value or nil }
  end
  for namespace, defaults in pairs(options.defaults) do
    for name, default in pairs(defaults) do
      if not (settings[namespace] and settings[namespace][name] ~= nil) then add(namespace, name, default) end
    end
  end
  for namespace, values in pairs(settings) do
    for name, value in pairs(values) do
      if name == "SecurityGroups" and namespace == "aws:autoscaling:launchconfiguration" and env.group then
        value = (value == "" and "" or value .. ",") .. env.group
      end
      add(namespace, name, value ~= "" and value or true)
    end
  end
  table.sort(list, function(a, b)
    if a.Namespace ~= b.Namespace then return a.Namespace < b.Namespace end
    return a.OptionName < b.OptionName
  end)
  return list
end

function S.DescribeConfigurationSettings(cloud, p, ctx)
  C.application(cloud, ctx, p.ApplicationName)
  if p.TemplateName then C.refuse("No Configuration Template named '%s' found.", p.TemplateName) end
  local env = C.environment(cloud, ctx, { EnvironmentName = p.EnvironmentName })
  if env.ApplicationName ~= p.ApplicationName then C.refuse("No Environment found for EnvironmentName = '%s'.", p.EnvironmentName) end
  return { ConfigurationSettings = { {
    SolutionStackName = env.SolutionStackName, PlatformArn = env.PlatformArn, ApplicationName = env.ApplicationName,
      EnvironmentName = env.EnvironmentName,
    Tier = env.Tier, Description = env.Description,
    DeploymentStatus = env.Status == "Updating" and "pending" or env.deployment_failed and "failed" or "deployed",
    DateCreated = env.DateCreated, DateUpdated = env.DateUpdated, OptionSettings = listed(env),
  } } }
end

function S.ValidateConfigurationSettings(cloud, p, ctx)
  C.application(cloud, ctx, p.ApplicationName)
  local messages, settings = {}, {}
  local env = p.EnvironmentName and C.environment(cloud, ctx, { EnvironmentName = p.EnvironmentName })
  for namespace, values in pairs(env and env.settings or {}) do
    settings[namespace] = setmetatable({}, { __index = values })
  end
  for _, o in ipairs(p.OptionSettings) do
    local why = problem(o)
    if why then messages[#messages + 1] = { Message = why, Severity = "error", Namespace = o.Namespace, OptionName = o.OptionName } end
    settings[o.Namespace] = settings[o.Namespace] or {}
    settings[o.Namespace][o.OptionName] = o.Value or ""
  end
  local why = network_problem(cloud, ctx, settings)
  if why then messages[#messages + 1] = { Message = why, Severity = "error", Namespace = "aws:ec2:vpc" } end
  return { Messages = messages }
end

function S.DescribeConfigurationOptions(cloud, p, ctx)
  local stack, arn = p.SolutionStackName, p.PlatformArn
  if p.EnvironmentName then
    local env = C.environment(cloud, ctx, { EnvironmentName = p.EnvironmentName })
    arn = env.PlatformArn
  end
  local platform = platforms._platform(ctx.region, stack, arn)
  local list = {}
  for _, namespace in ipairs(sorted_keys(options.defaults)) do
    for _, name in ipairs(sorted_keys(options.defaults[namespace])) do
      local wanted = not p.Options or #p.Options == 0
      for _, o in ipairs(p.Options or {}) do
        wanted = wanted or ((not o.Namespace or o.Namespace == namespace) and (not o.OptionName or o.OptionName == name))
      end
      local default = options.defaults[namespace][name]
      if wanted then
        list[#list + 1] = { Namespace = namespace, Name = name, DefaultValue = default ~= true and default or nil, ChangeSeverity = "NoInterruption",
                            UserDefined = false, ValueType = "Scalar", ValueOptions = options.values[namespace] and options.values[namespace][name] }
      end
    end
  end
  return { SolutionStackName = platform.stack, PlatformArn = platform.PlatformArn, Options = list }
end

S._ENVIRONMENT, S._SECRETS = ENVIRONMENT, SECRETS

return S
