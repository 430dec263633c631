--- Environments: the state machine around what launch.lua does.
local balancer = require "rehearsal.services.elasticbeanstalk.balancer"
local C = require "rehearsal.services.elasticbeanstalk.common"
local configuration = require "rehearsal.services.elasticbeanstalk.configuration"
local deployments = require "rehearsal.services.elasticbeanstalk.deployments"
local errors = require "errors"
local health = require "rehearsal.services.elasticbeanstalk.health"
local launch = require "rehearsal.services.elasticbeanstalk.launch"
local machine = require "rehearsal.services.elasticbeanstalk.machine"
local platforms = require "rehearsal.services.elasticbeanstalk.platforms"
local sign = require "sign"
local task = require "task"

local S = {}

local TIERS = { WebServer = { Name = "WebServer", Type = "Standard", Version = "1.0" },
                Worker = { Name = "Worker", Type = "SQS/HTTP", Version = "1.0" } }
local MIXED = "During an aborted deployment, some instances may have deployed the new application version. To ensure all instances are "
  .. "running the same version, re-deploy the appropriate application version."
local FORGOTTEN = 3600                  -- simulated seconds that a terminated environment is listed

local function describe(env)
  return {
    EnvironmentName = env.EnvironmentName, EnvironmentId = env.EnvironmentId, ApplicationName = env.ApplicationName, VersionLabel = env.VersionLabel,
    SolutionStackName = env.SolutionStackName, PlatformArn = env.PlatformArn, Description = env.Description, EndpointURL = env.EndpointURL,
      CNAME = env.CNAME,
    DateCreated = env.DateCreated, DateUpdated = env.DateUpdated, Status = env.Status, AbortableOperationInProgress = env.abortable or false,
    Health = env.Health, HealthStatus = env.HealthStatus, Tier = env.Tier, EnvironmentLinks = {}, EnvironmentArn = env.EnvironmentArn,
    OperationsRole = env.OperationsRole,
  }
end

local function set_status(cloud, env, status)
  env.Status, env.DateUpdated = status, cloud.clock:now()
  env.abortable = status == "Updating"
end

local function reason(e)
  if type(e) == "table" and (e.aws or e.message) then
    return errors.is(e) and e.kind == "invalid" and e.op == "launch" and e.message or tostring(e.aws and e.message or e)
  end
  return tostring(e)
end

--- Runs the slow half of an operation; what it raises goes to `failed`.
local function attempt(fn, failed)
  local ok, e = xpcall(fn, function(e) return type(e) == "table" and e.aws and e or errors.handler(e) end)
  if ok then return true end
  if errors.is(e, "cancelled") then error(e, 0) end
  if errors.is(e) and e.kind ~= "invalid" then               -- the rehearsal failed, not the app or its bundle
    require "log".warn("the rehearsal's Elastic Beanstalk: %s\n%s", tostring(e), e.traceback or "")
  end
  failed(reason(e))
  return false
end

local function check_profile(cloud, env)
  local profile = launch.option(env, "aws:autoscaling:launchconfiguration", "IamInstanceProfile")
  if not profile or profile == "" then
    errors.raise { kind = "invalid", op = "launch", message = "Environment must have instance profile associated with it." }
  elseif not cloud:service "iam"._instance_profile(cloud, profile) then
    errors.raise { kind = "invalid", op = "launch",
      message = ("The instance profile %s associated with the environment does not exist."):format(profile) }
  end
end

-- Launching ----------------------------------------------------------------

local function gone(cloud, ctx, env)
  launch.remove(cloud, ctx, env)
  set_status(cloud, env, "Terminated")
  env.Health, env.HealthStatus = "Grey", "Suspended"
  cloud:after(FORGOTTEN, function()
    local list = C.environments(cloud, ctx)
    for i, other in ipairs(list) do if other == env then table.remove(list, i) break end end
  end)
end

--- The host is there or not; an app that does not work leaves the environment Red.
local function bring_up(cloud, ctx, env, label)
  local placed = attempt(function()
    check_profile(cloud, env)
    cloud.clock:sleep(30)
    launch.place(cloud, ctx, env)
    C.event(cloud, ctx, env, "INFO", "Waiting for EC2 instances to launch. This may take a few minutes.")
    cloud.clock:sleep(60)
  end, function(why) C.event(cloud, ctx, env, "ERROR", "%s", why) end)
  if not placed then return false end
  local deployed = attempt(function() deployments.begin(cloud, ctx, env, label) end, function(why)
    C.event(cloud, ctx, env, "ERROR", "Instance deployment failed. For details, see 'eb-engine.log'. %s", why)
    env.deployment_failed = true
    env.Health, env.HealthStatus, env.causes = "Red", "Degraded", { why }
  end)
  env.watch = task.spawn(health._watch, cloud, ctx, env)
  return true, deployed
end

local function launching(cloud, ctx, env, label)
  local bucket = cloud:service "elasticbeanstalk"._storage(cloud, ctx)
  C.event(cloud, ctx, env, "INFO", "Using %s as Amazon S3 storage bucket for environment data.", bucket)
  local up, deployed = bring_up(cloud, ctx, env, label)
  if env.Status ~= "Launching" then return end          -- terminated meanwhile
  if not up then
    C.event(cloud, ctx, env, "ERROR", "Failed to launch environment.")
    return gone(cloud, ctx, env)
  end
  set_status(cloud, env, "Ready")
  if deployed then
    if env.CNAME then C.event(cloud, ctx, env, "INFO", "Application available at %s.", env.CNAME) end
    C.event(cloud, ctx, env, "INFO", "Successfully launched environment: %s", env.EnvironmentName)
  else
    C.event(cloud, ctx, env, "ERROR", "Create environment operation is complete, but with errors. "
      .. "For more information, see troubleshooting documentation.")
  end
end

function S.CreateEnvironment(cloud, p, ctx)
  C.application(cloud, ctx, p.ApplicationName)
  local name = p.EnvironmentName or (p.ApplicationName:sub(1, 30) .. "-" .. sign.hex(sign.random(3)))
  if not name:find "^%w[%w%-]*%w$" then
    C.refuse("Value %s at 'EnvironmentName' failed to satisfy constraint: Member must contain only letters, digits, "
      .. "and the dash character and may not start or end with a dash", name)
  end
  for _, other in ipairs(C.environments(cloud, ctx)) do
    if other.EnvironmentName == name and not C.is_gone(other) then C.refuse("Environment %s already exists.", name) end
  end
  if p.VersionLabel then
    local version = C.version(cloud, ctx, p.ApplicationName, p.VersionLabel)
    if version.Status == "PROCESSING" or version.Status == "FAILED" then
      C.refuse("Application version %s is in an invalid state for this operation: %s.", p.VersionLabel, version.Status)
    end
  end
  if p.CNAMEPrefix and not S.CheckDNSAvailability(cloud, { CNAMEPrefix = p.CNAMEPrefix }, ctx).Available then
    C.refuse("DNS name (%s.%s.elasticbeanstalk.com) is not available.", p.CNAMEPrefix, ctx.region)
  end
  if p.TemplateName then C.refuse("No Configuration Template named '%s' found.", p.TemplateName) end
  local tier = TIERS[p.Tier and p.Tier.Name or "WebServer"]
  if not tier or p.Tier and p.Tier.Type and p.Tier.Type ~= tier.Type then
    C.refuse("Configuration validation exception: Invalid environment tier: %s %s.", p.Tier.Name or "", p.Tier.Type or "")
  end
  local platform = platforms._platform(ctx.region, p.SolutionStackName, p.PlatformArn)
  local settings = configuration._merge(cloud, ctx, nil, p.OptionSettings, p.OptionsToRemove)
  local now, id = cloud.clock:now(), "e-" .. sign.hex(sign.random(5))
  local env = {
    EnvironmentName = name, EnvironmentId = id, ApplicationName = p.ApplicationName, VersionLabel = p.VersionLabel,
      SolutionStackName = platform.stack,
    PlatformArn = platform.PlatformArn, Description = p.Description, DateCreated = now, DateUpdated = now, Status = "Launching", Health = "Grey",
    HealthStatus = "Pending", causes = {}, RefreshedAt = now, Tier = tier, settings = settings,
    tags = C.own_tags(p.Tags), EnvironmentArn = cloud:arn("elasticbeanstalk", ctx.region, ("environment/%s/%s"):format(p.ApplicationName, name)),
    prefix = p.CNAMEPrefix, machines = {}, log_groups = {}, OperationsRole = p.OperationsRole, request_id = ctx.request_id,
  }
  table.insert(env.tags, { Key = "elasticbeanstalk:environment-name", Value = name })
  table.insert(env.tags, { Key = "elasticbeanstalk:environment-id", Value = id })
  table.insert(env.tags, { Key = "Name", Value = name })
  table.insert(C.environments(cloud, ctx), env)
  C.event(cloud, ctx, env, "INFO", "createEnvironment is starting.")
  env.work = cloud:after(5, function() launching(cloud, ctx, env, p.VersionLabel) end)
  return describe(env)
end

-- Changing -----------------------------------------------------------------

--- The slow half of an update: new processes replace the old ones, or the old ones stay.
local function updating(cloud, ctx, env, before, message, is_deployment)
  cloud.clock:sleep(20)
  local function rolled_back() return env.Status == "Aborting" end
  local d = { label = env.next_version, commands = is_deployment, changed = {}, aborted = rolled_back }
  env.serial = env.serial + 1
  local done = attempt(function()
    check_profile(cloud, env)
    if rolled_back() then return end
    launch.refront(cloud, ctx, env)
    launch.regroup(cloud, ctx, env)
    C.event(cloud, ctx, env, "INFO", "%s", message)
    deployments.deploy(cloud, ctx, env, d)
    if not rolled_back() then deployments.scale(cloud, ctx, env) end
  end, function(why)
    if not d.told then C.event(cloud, ctx, env, "ERROR", "%s", why) end
  end)
  if env.Status ~= "Updating" and env.Status ~= "Aborting" then return end
  local aborted = rolled_back()
  if aborted or not done then
    env.settings, env.next_version = before, nil
    if aborted then attempt(function() deployments.undo(cloud, ctx, env, d.changed, env.VersionLabel) end, function() end) end
    if env.place and env.place.balancer then pcall(balancer.follow, cloud, ctx, env, env.machines[1].folder) end
    C.event(cloud, ctx, env, aborted and "INFO" or "ERROR", aborted and "Environment update was aborted; the earlier version and configuration stay."
      or "Failed to deploy application.")
    if not aborted and #d.changed > 0 then C.event(cloud, ctx, env, "ERROR", "%s", MIXED) end
    if env.machines[1].app then health._note(cloud, ctx, env) end
  else
    env.VersionLabel, env.next_version, env.deployment_id = env.next_version, nil, env.serial
    for _, m in ipairs(env.machines) do m.deployment_id = env.serial end
    launch.address(env)
    health._note(cloud, ctx, env)
    if is_deployment then C.event(cloud, ctx, env, "INFO", "New application version was deployed to running EC2 instances.") end
    C.event(cloud, ctx, env, "INFO", "Environment update completed successfully.")
  end
  env.deployment_failed = not done
  set_status(cloud, env, "Ready")
end

local function begin_update(cloud, ctx, env, settings, label, message, is_deployment)
  local before = env.settings
  env.settings, env.next_version = settings, label
  env.request_id = ctx.request_id
  set_status(cloud, env, "Updating")
  C.event(cloud, ctx, env, "INFO", "Environment update is starting.")
  env.work = cloud:after(2, function() updating(cloud, ctx, env, before, message, is_deployment) end)
end

function S.UpdateEnvironment(cloud, p, ctx)
  local env = C.ready_environment(cloud, ctx, p)
  if p.ApplicationName and p.ApplicationName ~= env.ApplicationName then
    C.refuse("No Environment found for EnvironmentName = '%s'.", env.EnvironmentName)
  end
  if p.TemplateName then C.refuse("No Configuration Template named '%s' found.", p.TemplateName) end
  if p.VersionLabel then C.version(cloud, ctx, env.ApplicationName, p.VersionLabel) end
  local settings = configuration._merge(cloud, ctx, env.settings, p.OptionSettings, p.OptionsToRemove)
  for _, name in ipairs { "VPCId" } do
    if configuration._option(settings, "aws:ec2:vpc", name) ~= launch.option(env, "aws:ec2:vpc", name) then
      C.refuse("The VPC of an environment cannot be changed: make a new environment.")
    end
  end
  if p.SolutionStackName or p.PlatformArn then
    local platform = platforms._platform(ctx.region, p.SolutionStackName, p.PlatformArn)
    env.SolutionStackName, env.PlatformArn = platform.stack, platform.PlatformArn
  end
  env.Description = p.Description or env.Description
  begin_update(cloud, ctx, env, settings, p.VersionLabel or env.VersionLabel,
    p.VersionLabel and p.VersionLabel ~= env.VersionLabel and "Deploying new version to instance(s)."
      or "Updating environment " .. env.EnvironmentName .. "'s configuration settings.", p.VersionLabel ~= nil)
  return describe(env)
end

function S.RestartAppServer(cloud, p, ctx)
  local env = C.ready_environment(cloud, ctx, p)
  begin_update(cloud, ctx, env, env.settings, env.VersionLabel, "Restarting application server(s).")
end

function S.RebuildEnvironment(cloud, p, ctx)
  local env = C.ready_environment(cloud, ctx, p)
  set_status(cloud, env, "Updating")
  env.abortable = false
  env.work = cloud:after(5, function()
    C.event(cloud, ctx, env, "INFO", "rebuildEnvironment is starting.")
    launch.remove(cloud, ctx, env)
    env.Health, env.HealthStatus, env.deployment_failed = "Grey", "Pending", nil
    local up = bring_up(cloud, ctx, env, env.VersionLabel)
    if env.Status ~= "Updating" then return end
    if not up then
      C.event(cloud, ctx, env, "ERROR", "Failed to rebuild environment.")
      return gone(cloud, ctx, env)
    end
    set_status(cloud, env, "Ready")
    C.event(cloud, ctx, env, "INFO", "rebuildEnvironment completed successfully.")
  end)
end

function S.AbortEnvironmentUpdate(cloud, p, ctx)
  local env = C.environment(cloud, ctx, p)
  if not env.abortable then
    C.refuse("Environment named %s is in an invalid state for this operation. Must be pending deployment.", env.EnvironmentName)
  end
  env.Status, env.abortable = "Aborting", false
  C.event(cloud, ctx, env, "INFO", "Environment update is being aborted.")
end

function S.TerminateEnvironment(cloud, p, ctx)
  local env = C.environment(cloud, ctx, p)
  if env.Status == "Terminating" then
    C.refuse("Environment named %s is in an invalid state for this operation. Must be Ready.", env.EnvironmentName)
  end
  set_status(cloud, env, "Terminating")
  C.event(cloud, ctx, env, "INFO", "terminateEnvironment is starting.")
  local work = env.work
  cloud:after(40, function()
    if work then work:cancel() pcall(work.join, work) end
    gone(cloud, ctx, env)
    C.event(cloud, ctx, env, "INFO", "terminateEnvironment completed successfully.")
  end)
  return describe(env)
end

--- The addresses change places: who asked one reaches the other.
function S.SwapEnvironmentCNAMEs(cloud, p, ctx)
  local a = C.ready_environment(cloud, ctx, { EnvironmentId = p.SourceEnvironmentId, EnvironmentName = p.SourceEnvironmentName })
  local b = C.ready_environment(cloud, ctx, { EnvironmentId = p.DestinationEnvironmentId, EnvironmentName = p.DestinationEnvironmentName })
  local both = a.place and b.place and a.place.vpc == b.place.vpc and a.place.public and b.place.public
  if both and a.place.balancer and b.place.balancer then balancer.swap(cloud, ctx, a, b)
  elseif both and cloud.net.isolated and not (a.place.balancer or b.place.balancer) then
    local public = cloud.net.vpcs[a.place.vpc].public
    public[a.CNAME].host, public[b.CNAME].host = b.machines[1].host, a.machines[1].host
    a.place.cname, b.place.cname = b.place.cname, a.place.cname
    cloud.net:filter(a.place.vpc)
  else
    C.refuse("The rehearsal swaps addresses of public environments of one VPC and one kind; "
      .. "without load balancers only where its networks are isolated.")
  end
  a.CNAME, b.CNAME = b.CNAME, a.CNAME
  for _, env in ipairs { a, b } do
    env.EndpointURL, env.DateUpdated = env.CNAME, cloud.clock:now()
    C.event(cloud, ctx, env, "INFO", "Completed swapping CNAMEs for environments '%s' and '%s'.", a.EnvironmentName, b.EnvironmentName)
  end
  a.prefix, b.prefix = b.prefix, a.prefix
end

-- Reading ------------------------------------------------------------------

local function among(list, value)
  if not list or #list == 0 then return true end
  for _, v in ipairs(list) do if v == value then return true end end
  return false
end

function S.DescribeEnvironments(cloud, p, ctx)
  local list = {}
  for _, env in ipairs(C.environments(cloud, ctx)) do
    local shown = not C.is_gone(env) or (p.IncludeDeleted and env.DateUpdated >= (p.IncludedDeletedBackTo or 0))
    if shown and (not p.ApplicationName or p.ApplicationName == env.ApplicationName) and (not p.VersionLabel or p.VersionLabel == env.VersionLabel)
       and among(p.EnvironmentIds, env.EnvironmentId) and among(p.EnvironmentNames, env.EnvironmentName) then
      list[#list + 1] = describe(env)
    end
  end
  local page, token = cloud.page(list, p.NextToken, p.MaxRecords)
  return { Environments = page, NextToken = token }
end

function S.DescribeEnvironmentResources(cloud, p, ctx)
  local env = C.environment(cloud, ctx, p)
  local single = launch.option(env, "aws:elasticbeanstalk:environment", "EnvironmentType") == "SingleInstance"
  local up, machines = env.place ~= nil, {}
  for i, m in ipairs(env.machines) do machines[i] = { Id = m.id } end
  local name = "awseb-" .. env.EnvironmentId .. "-stack"
  return { EnvironmentResources = {
    EnvironmentName = env.EnvironmentName, AutoScalingGroups = up and { { Name = name .. "-AWSEBAutoScalingGroup" } } or {},
    Instances = machines, LaunchConfigurations = {}, LaunchTemplates = up and { { Id = env.EnvironmentId:gsub("^e",
      "lt") } } or {},
    LoadBalancers = up and not single and not launch.is_worker(env)
      and { { Name = env.place.balancer and env.place.balancer.arn or "awseb-" .. env.EnvironmentId } } or {},
    Triggers = {}, Queues = up and env.place.queue and { { Name = "WorkerQueue", URL = env.place.queue } } or {},
  } }
end

function S.CheckDNSAvailability(cloud, p, ctx)
  local free = true
  for _, env in ipairs(C.environments(cloud, ctx)) do
    if not C.is_gone(env) and env.prefix and env.prefix:lower() == p.CNAMEPrefix:lower() then free = false end
  end
  return { Available = free, FullyQualifiedCNAME = ("%s.%s.elasticbeanstalk.com"):format(p.CNAMEPrefix, ctx.region) }
end

--- What runs, for the rehearsal's own checks.
---@return { environment: string, host: Host, url: string, env: table<string, string|Secret> }[]
function S._app(cloud)
  local list = {}
  for _, env in ipairs(C.all_environments(cloud)) do
    local first = env.machines[1]
    if first and first.app then
      list[#list + 1] = { environment = env.EnvironmentName, host = first.host,
        url = "http://" .. (first.door or env.CNAME or first.address), env = env.resolved or {}, status = env.Status }
    end
  end
  return list
end

--- The machines of an environment, by its name, or the one with an id: those that Systems Manager can reach.
---@return { id: string, machine: Machine, host: Host, profile: string }[]
function S._machines(cloud, ctx, name, id)
  local list = {}
  for _, env in ipairs(C.environments(cloud, ctx)) do
    for _, m in ipairs(env.machines) do
      if m.app and (env.EnvironmentName == name or m.id == id) then
        list[#list + 1] = { id = m.id, machine = m, host = m.host,
                            profile = launch.option(env, "aws:autoscaling:launchconfiguration", "IamInstanceProfile") }
      end
    end
  end
  return list
end
S._shell = machine.shell

--- Ends all processes and watchers of all environments.
function S._stop(cloud)
  for _, env in ipairs(C.all_environments(cloud)) do
    if env.watch then env.watch:cancel() pcall(env.watch.join, env.watch) env.watch = nil end
    for _, m in ipairs(env.machines) do
      if m.app then m.app:stop() m.app = nil end
    end
  end
end

return S
