--- Where the app runs: an Elastic Beanstalk environment with the roles that it needs. One machine, several behind a load
--- balancer, or several that only work (the worker tier, whose queue nobody has to use).
---
---     local env = aws.environment { "shop", application = app, network = net, groups = { group.id },
---       secrets = { DATABASE_URL = vars.arn .. ":DATABASE_URL" } }
---     env:deploy(version)      -- waits until it is healthy
---     env.url                  -- "http://..."
local aws = require "aws"
local beanstalk = require "aws.common.beanstalk"
local errors = require "errors"
local json = require "json"
local log = require "log"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local secret = require "secret"
local task = require "task"
local text = require "text"

local declared = {
  { "name", "its name", type = "string", required = true },
  { "application", "of aws.eb_application, or its name", type = "any", required = true },
  { "network", "of aws.network: it stands in the public subnets", type = "table", required = true },
  { "groups", "security groups of its machines, beside Beanstalk's own", type = "list", default = {} },
  { "platform", "platform ARN; by default the newest Docker on Amazon Linux 2023", type = "string" },
  { "instance_type", "machine", type = "string", default = "t3.small" },
  { "key", "name of the key pair for ssh to its machines (eb.ssh); without one nobody can log in", type = "string" },
  { "ssh_from", "who reaches their ssh port: a security group like the bastion's, or an address range; needed with key", type = "any" },
  { "load_balanced", "several machines behind a load balancer", type = "boolean", default = false },
  { "worker", "several machines that answer no requests, without a load balancer", type = "boolean", default = false },
  { "closed", "nobody reaches its machines but those whom the groups let in: without Beanstalk's own group, which opens port 80 to everybody",
    type = "boolean", default = false },
  { "min_instances", "machines at least, behind a load balancer or as workers", type = "integer", default = 1 },
  { "certificate", "of aws.certificate, or its ARN: HTTPS on port 443 of the load balancer", type = "any" },
  { "idle_timeout", "seconds after which the load balancer cuts a silent connection; Heroku's router waits 30", type = "integer", default = 60 },
  { "max_instances", "machines at most, behind a load balancer or as workers", type = "integer", default = 2 },
  { "deployment", "how a version replaces the one before: \"all-at-once\", \"rolling\" (half of the machines at a time) or \"immutable\" (new "
      .. "machines first); rolling by default where there are several", type = "string", one_of = { "all-at-once", "rolling", "immutable" } },
  { "health_path", "path that answers 200 when the app is well", type = "string" },
  { "health_timeout", "seconds that a deployed version may need to become healthy", type = "number", default = 300 },
  { "hide", "secrets that no error shows, where it shows what the app printed", type = "table", default = {} },
  { "env", "plain environment variables, 4,096 bytes in all as NAME=value", type = "table", default = {} },
  { "secrets", "variables from Secrets Manager or the Parameter Store: { NAME = \"arn:...\" }", type = "table", default = {} },
  { "log_days", "days to keep the logs", type = "integer", default = 30 },
  { "tags", "tags of all its parts", type = "table" },
  { "keep", "never delete or replace it", type = "boolean" },
  { "timeout", "seconds that each wait may take; else as long as Beanstalk usually needs", type = "number" },
}

--- What its machines may do: report, write logs, be reached by Session Manager.
local MACHINE = { "AWSElasticBeanstalkWebTier", "AWSElasticBeanstalkMulticontainerDocker", "AmazonEC2ContainerRegistryReadOnly",
                  "CloudWatchAgentServerPolicy", "AmazonSSMManagedInstanceCore" }
local WORKER = "AWSElasticBeanstalkWorkerTier"               -- its machines look into the queue of their environment
local SERVICE = { "service-role/AWSElasticBeanstalkEnhancedHealth", "AWSElasticBeanstalkManagedUpdatesCustomerRolePolicy" }

--- What Beanstalk publishes beside EnvironmentHealth, every minute; CloudWatch charges for each (Elastic Beanstalk Developer
--- Guide, "Publishing Amazon CloudWatch custom metrics for an environment").
local PUBLISHED = json.encode({ CloudWatchMetrics = { Environment = { ApplicationRequests5xx = 60 }, Instance = {} }, Version = 1 }, { sort = true })

local TLS = "ELBSecurityPolicy-TLS13-1-2-2021-06"           -- TLS 1.2 and 1.3 only, as AWS recommends
local DEPLOY = 1800                                          -- seconds that a deployment may take

--- Who keeps a variable's value, and what a machine must be allowed to get it.
local KEEPERS = {
  { "^(arn:[^:]+:secretsmanager:[^:]+:[^:]+:secret:[^:]+)", "secretsmanager:GetSecretValue" },
  { "^(arn:[^:]+:ssm:[^:]+:[^:]+:parameter/.+)", "ssm:GetParameter*" },
}

local function keeper_of(reference)
  for _, keeper in ipairs(KEEPERS) do
    local arn = reference:match(keeper[1])
    if arn then return arn, keeper[2] end
  end
  errors.usage("aws.environment: %s is not the ARN of a secret or a parameter", reference)
end

--- The policy that lets the machines read just the secrets and parameters that are referred to.
local function may_read(secrets)
  local by_action, seen = {}, {}
  for _, reference in pairs(secrets) do
    if recipe.is_unknown(reference) then return reference end
    local arn, action = keeper_of(reference)
    if not seen[arn] then
      seen[arn] = true
      by_action[action] = by_action[action] or {}
      table.insert(by_action[action], arn)
    end
  end
  local statements = {}
  for _, keeper in ipairs(KEEPERS) do
    local arns = by_action[keeper[2]]
    if arns then
      table.sort(arns)
      statements[#statements + 1] = { Effect = "Allow", Action = keeper[2], Resource = arns }
    end
  end
  return #statements > 0 and { ["read-secrets"] = { Version = "2012-10-17", Statement = statements } } or {}
end

--- How Elastic Beanstalk names the ways to deploy; the second is for changes that need new machines.
local POLICIES = {
  ["all-at-once"] = { command = { DeploymentPolicy = "AllAtOnce" } },
  rolling = { command = { DeploymentPolicy = "Rolling", BatchSizeType = "Percentage", BatchSize = "50" },
              update = { RollingUpdateEnabled = "true", RollingUpdateType = "Health" } },
  immutable = { command = { DeploymentPolicy = "Immutable" }, update = { RollingUpdateEnabled = "true", RollingUpdateType = "Immutable" } },
}

local function policy_of(o)
  local several = (o.load_balanced or o.worker) and o.max_instances > 1
  if o.deployment == "rolling" and not several then
    errors.usage("aws.environment %q: a rolling deployment needs several machines; immutable works with one, too", o.name)
  end
  return POLICIES[o.deployment or several and "rolling" or "all-at-once"]
end

local COMMAND = "aws:elasticbeanstalk:command"

--- What a version needs in which nothing answers: behind a load balancer no batch of it would ever be healthy. What stood there
--- comes back when the environment is applied again.
local IDLE = { { Namespace = COMMAND, OptionName = "DeploymentPolicy", Value = "AllAtOnce" },
               { Namespace = COMMAND, OptionName = "IgnoreHealthCheck", Value = "true" } }

--- "a,b", or unknown while one of them is.
local function joined(list)
  local words, fmt = {}, {}
  for i, v in ipairs(list) do words[i], fmt[i] = noun.id(v), "%s" end
  return text(table.concat(fmt, ","), table.unpack(words))
end

local function merged(a, b)
  for k, v in pairs(b) do a[k] = v end
  return a
end

local function settings(o, role, profile)
  local balanced, policy = o.load_balanced, policy_of(o)
  local s = {
    ["aws:ec2:vpc"] = { VPCId = o.network.id, Subnets = joined(o.network.public), AssociatePublicIpAddress = "true",
                        ELBSubnets = balanced and joined(o.network.public) or nil, ELBScheme = balanced and "public" or nil },
    ["aws:autoscaling:launchconfiguration"] = { IamInstanceProfile = profile, DisableIMDSv1 = "true",
                                                SecurityGroups = #o.groups > 0 and joined(o.groups) or nil, EC2KeyName = o.key,
                                                DisableDefaultEC2SecurityGroup = o.closed and "true" or nil,
                                                SSHSourceRestriction = o.key and text("tcp,22,22,%s", noun.id(o.ssh_from)) or nil },
    ["aws:ec2:instances"] = { InstanceTypes = o.instance_type },
    ["aws:elasticbeanstalk:environment"] = { EnvironmentType = (balanced or o.worker) and "LoadBalanced" or "SingleInstance", ServiceRole = role,
                                             LoadBalancerType = balanced and "application" or nil },
    ["aws:elasticbeanstalk:healthreporting:system"] = { SystemType = "enhanced", ConfigDocument = PUBLISHED },
    [COMMAND] = merged({ Timeout = tostring(DEPLOY), IgnoreHealthCheck = "false" }, policy.command),
    ["aws:autoscaling:updatepolicy:rollingupdate"] = policy.update,
    ["aws:elasticbeanstalk:cloudwatch:logs"] = { StreamLogs = "true", DeleteOnTerminate = "true", RetentionInDays = tostring(o.log_days) },
    ["aws:elasticbeanstalk:application:environment"] = next(o.env) and o.env or nil,
    ["aws:elasticbeanstalk:application:environmentsecrets"] = next(o.secrets) and o.secrets or nil,
  }
  if balanced then
    s["aws:elbv2:loadbalancer"] = { IdleTimeout = tostring(o.idle_timeout) }
    s["aws:elbv2:listener:443"] = o.certificate and { ListenerEnabled = "true", Protocol = "HTTPS", SSLCertificateArns = noun.id(o.certificate),
                                                      SSLPolicy = TLS } or nil
  end
  if balanced or o.worker then s["aws:autoscaling:asg"] = { MinSize = tostring(o.min_instances), MaxSize = tostring(o.max_instances) } end
  if o.health_path then
    s["aws:elasticbeanstalk:application"] = { ["Application Healthcheck URL"] = o.health_path }
    if balanced then s["aws:elasticbeanstalk:environment:process:default"] = { HealthCheckPath = o.health_path } end
  end
  return s
end

---@class Environment
---@field id string
---@field environment_id string Elastic Beanstalk's: "e-..."
---@field name string
---@field cname string
---@field url string
---@field health string
local Environment = {}
Environment.__index = Environment

--- Makes a version the one that runs, and waits until it is healthy. Does nothing where it runs already. An error whose code
--- is "CommandFailed" ended at a command of the bundle, before anything of the version ran; "Unhealthy": it runs, and is not well.
---@param version any of aws.eb_version, or its label
---@param o? { idle: boolean? } idle: nothing answers in this version, so it need not be healthy
function Environment:deploy(version, o)
  local label = noun.id(version)
  local p <close> = log.progress { what = ("deploy %s to %s"):format(label, self.name) }
  local ctx = { note = function(s) p:note(s) end, taken = function() self.taken[label] = true end }
  local is_idle = o and o.idle
  local ok, result = pcall(beanstalk.deploy, ctx, self.name, label, DEPLOY, not is_idle and self.patience or nil, is_idle and self.idle or nil)
  if ok then self.health = result return end
  if errors.is(result, "remote") then
    if result.code == beanstalk.COMMAND_FAILED then self.taken[label] = nil end
    result.message = secret.hide(result.message, self.hide)
  end
  error(result, 0)
end

--- Whether a version may have run there: it was deployed by this run, if in vain, or is now, or something is under way.
---@param version any of aws.eb_version, or its label
---@return boolean
function Environment:may_have_run(version)
  local label = noun.id(version)
  if self.taken[label] then return true end
  local now = beanstalk.find(self.name)
  return now == nil or now.Status ~= "Ready" or now.VersionLabel == label
end

--- Makes or finds an environment.
---@param o table
---@return Environment
return function(o)
  o = noun.options(o, declared, "aws.environment")
  if o.worker and (o.load_balanced or o.health_path) then
    errors.usage("aws.environment %q: what only works stands behind no load balancer and has no health path", o.name)
  end
  local with = { tags = o.tags, keep = o.keep }
  if o.closed and (#o.groups == 0 or o.key) then
    errors.usage("aws.environment %q: closed needs groups of your own, and no key: ssh_from is a rule of Beanstalk's group", o.name)
  end
  if (o.key == nil) ~= (o.ssh_from == nil) then
    errors.usage("aws.environment %q: key and ssh_from go together; with a key alone Beanstalk would open port 22 to the whole internet", o.name)
  end
  if o.platform and recipe.planning() then beanstalk.check_platform(o.platform) end
  local roles = task.all {
    service = function()
      return aws.role { o.name .. "-eb-service", service = "elasticbeanstalk.amazonaws.com", external_id = "elasticbeanstalk",
                        policies = SERVICE, tags = with.tags, keep = with.keep }
    end,
    profile = function()
      local machine = aws.role { o.name .. "-eb-machine", service = "ec2.amazonaws.com", inline = may_read(o.secrets),
                                 policies = o.worker and table.move(MACHINE, 1, #MACHINE, 2, { WORKER }) or MACHINE,
                                 tags = with.tags, keep = with.keep }
      return aws.instance_profile { o.name .. "-eb-machine", role = machine, tags = with.tags, keep = with.keep }
    end,
  }
  local e = aws.eb_environment { o.name, application = o.application, worker = o.worker or nil, platform = o.platform,
                                 tags = with.tags, keep = with.keep, timeout = o.timeout,
                                 settings = settings(o, roles.service.name, roles.profile.name) }
  local needs_health = o.load_balanced or policy_of(o) ~= POLICIES["all-at-once"]
  return setmetatable({ id = e.id, environment_id = e.environment_id, name = o.name, cname = e.cname, health = e.health, version = e.version,
                        idle = needs_health and IDLE or nil, url = not o.worker and text("http://%s", e.cname) or nil,
                        load_balanced = o.load_balanced, patience = o.health_timeout, hide = o.hide, taken = {} }, Environment)
end
