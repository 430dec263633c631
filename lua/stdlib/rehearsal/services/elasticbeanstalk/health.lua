--- Health: the app is asked, as a load balancer and the health agent do.
local balancer = require "rehearsal.services.elasticbeanstalk.balancer"
local C = require "rehearsal.services.elasticbeanstalk.common"
local configuration = require "rehearsal.services.elasticbeanstalk.configuration"
local errors = require "errors"
local fs = require "fs"
local http = require "http"
local launch = require "rehearsal.services.elasticbeanstalk.launch"
local task = require "task"
local wire = require "rehearsal.wire"

local S = {}

local COLORS = { Ok = "Green", Info = "Green", Warning = "Yellow", Degraded = "Red", Severe = "Red", NoData = "Grey", Pending = "Grey",
  Unknown = "Grey",
                 Suspended = "Grey" }
local UNKIND = 3                        -- real seconds that an app may answer badly while it starts
local PERIOD = 1                        -- real seconds between two looks

local function path_of(env)
  local path = launch.option(env, "aws:elasticbeanstalk:environment:process:default", "HealthCheckPath")
  local url = launch.option(env, "aws:elasticbeanstalk:application", "Application Healthcheck URL")
  if path == "/" and url and url ~= "" then path = url:match "^%a+:%d+(/.*)$" or url:match "^/.*$" or path end
  return path:sub(1, 1) == "/" and path or "/" .. path
end

--- Whether the target group's matcher ("200", "200,301", "200-399") takes a status.
local function is_expected(env, status)
  local single = launch.option(env, "aws:elasticbeanstalk:environment", "EnvironmentType") == "SingleInstance"
  if single then return status < 500 end
  for _, part in ipairs(configuration._list(launch.option(env, "aws:elasticbeanstalk:environment:process:default", "MatcherHTTPCode"))) do
    local from, to = part:match "^(%d+)%-?(%d*)$"
    if from and status >= tonumber(from) and status <= (tonumber(to) or tonumber(from)) then return true end
  end
  return false
end

--- The status that the health path answers with, or why there is none. Asked as the health agent and the load balancer do:
--- the machine itself, whoever else may reach it.
---@return integer? status, string? why
local function ask(env)
  if not env.inside_port then return nil, "no service publishes port 80" end
  local at = env.place.door or ("%s:%d"):format(env.place.address, env.inside_port)
  local ok, answer = pcall(http.get, "http://" .. at .. path_of(env), { timeout = 5, connect_timeout = 2 })
  if ok then return answer.status end
  if errors.is(answer, "cancelled") then error(answer, 0) end            -- the environment is terminated meanwhile
  return nil, "it does not answer"
end

--- One look at an environment.
---@return string health_status, string[] causes, boolean answers
local function look(cloud, ctx, env)
  local causes = {}
  local single = launch.option(env, "aws:elasticbeanstalk:environment", "EnvironmentType") == "SingleInstance"
  -- nothing to ask: without a load balancer no requests are no failure
  local is_worker = launch.is_worker(env) or single and not env.inside_port
  local profile = launch.option(env, "aws:autoscaling:launchconfiguration", "IamInstanceProfile")
  if launch.is_worker(env) and not cloud:service "iam"._profile_may(cloud, profile, "AWSElasticBeanstalkWorkerTier", "sqs:ReceiveMessage") then
    return "Severe", { ("Access to the resource %s is denied: the SQS daemon cannot read the worker's queue."):format(env.place.queue) }, true
  end
  local status, why = 200, nil
  if not is_worker then status, why = ask(env) end
  for _, problem in ipairs(env.app and env.app:problems() or {}) do causes[#causes + 1] = problem end
  if not status then
    table.insert(causes, 1, ("100.0 %% of the requests to the path %s are failing: %s."):format(path_of(env), why))
    return "Severe", causes, false
  elseif not is_expected(env, status) then
    table.insert(causes, 1, ("100.0 %% of the requests to the path %s are failing with HTTP %d."):format(path_of(env), status))
    return "Severe", causes, true
  end
  if env.place.balancer and balancer.health(cloud, ctx, env) ~= "healthy" then
    causes[#causes + 1] = "ELB health is failing or not available for all instances."
    return "Severe", causes, false
  end
  return #causes > 0 and "Degraded" or "Ok", causes, true
end

local function set(cloud, ctx, env, status, causes)
  local before = env.HealthStatus
  env.HealthStatus, env.Health, env.causes, env.RefreshedAt = status, COLORS[status], causes, cloud.clock:now()
  if before == status then return end
  local severity = COLORS[status] == "Red" and "WARN" or "INFO"
  C.event(cloud, ctx, env, severity, "Environment health has transitioned from %s to %s.%s", before, status,
    #causes > 0 and " " .. table.concat(causes, " ") or "")
end

--- Waits, for so many real seconds at most, until the app answers as it should.
---@return boolean healthy
function S._settle(cloud, ctx, env, seconds)
  local deadline = task.now() + seconds
  local status, causes, answers
  repeat
    status, causes, answers = look(cloud, ctx, env)
    if status == "Ok" then break end
    if answers then deadline = math.min(deadline, task.now() + UNKIND) end
    local crashing = false
    for _, entry in ipairs(env.app.entries) do crashing = crashing or entry.restarts >= 3 or entry.failure ~= nil end
    if crashing then break end
    task.sleep(0.25)
  until task.now() > deadline
  set(cloud, ctx, env, status, causes)
  return status == "Ok"
end

--- Keeps looking until it is cancelled; two bad looks make a bad health.
function S._watch(cloud, ctx, env)
  local bad = 0
  while true do
    task.sleep(PERIOD)
    if env.Status == "Ready" and env.app then
      local status, causes = look(cloud, ctx, env)
      bad = status == "Ok" and 0 or bad + 1
      if env.Status == "Ready" and (bad == 0 or bad >= 2) then set(cloud, ctx, env, status, causes) end
    end
  end
end

-- What the API tells -------------------------------------------------------

local function wants(list, name)
  for _, value in ipairs(list or {}) do if value == name or value == "All" then return true end end
  return false
end

local function counts(status)
  local summary = { NoData = 0, Unknown = 0, Pending = 0, Ok = 0, Info = 0, Warning = 0, Degraded = 0, Severe = 0 }
  if summary[status] then summary[status] = 1 end
  return summary
end

--- How busy the machine is that all hosts of the rehearsal share.
local function system()
  local load, shares, total = {}, {}, 0
  for number in fs.read("/proc/loadavg"):gmatch "(%d+%.%d+)" do load[#load + 1] = tonumber(number) end
  for ticks in fs.read("/proc/stat"):match("^cpu ([^\n]*)"):gmatch "%d+" do
    shares[#shares + 1] = tonumber(ticks)
    total = total + tonumber(ticks)
  end
  local cpu = {}
  for i, name in ipairs { "User", "Nice", "System", "Idle", "IOWait", "IRQ", "SoftIRQ" } do
    cpu[name] = math.floor(1000 * (shares[i] or 0) / math.max(total, 1) + 0.5) / 10
  end
  return { LoadAverage = { table.unpack(load, 1, 3) }, CPUUtilization = cpu }
end

--- The rehearsal reads no access logs, so it counts no requests.
local NO_REQUESTS = { Duration = 10, RequestCount = 0, StatusCodes = { Status2xx = 0, Status3xx = 0, Status4xx = 0, Status5xx = 0 } }

local function enhanced(cloud, ctx, p)
  local env = C.environment(cloud, ctx, p)
  if launch.option(env, "aws:elasticbeanstalk:healthreporting:system", "SystemType") ~= "enhanced" then
    wire.fail("InvalidRequestException", 400, "DescribeEnvironmentHealth is not supported.")
  end
  return env
end

function S.DescribeEnvironmentHealth(cloud, p, ctx)
  local env = enhanced(cloud, ctx, p)
  local all = { Status = env.Status, HealthStatus = env.HealthStatus, Color = env.Health, Causes = env.causes, RefreshedAt = env.RefreshedAt,
                InstancesHealth = counts(env.place and env.HealthStatus or nil), ApplicationMetrics = NO_REQUESTS }
  local result = { EnvironmentName = env.EnvironmentName }
  for name, value in pairs(all) do
    if wants(p.AttributeNames, name) then result[name] = value end
  end
  if result.Status then result.Status = env.Status end
  return result
end

function S.DescribeInstancesHealth(cloud, p, ctx)
  local env = enhanced(cloud, ctx, p)
  local list = {}
  if env.place then
    local all = { HealthStatus = env.HealthStatus, Color = env.Health, Causes = env.causes, LaunchedAt = env.launched_at,
      AvailabilityZone = env.place.zone,
                  InstanceType = configuration._list(launch.option(env, "aws:ec2:instances", "InstanceTypes"))[1] or "t3.micro",
                  ApplicationMetrics = NO_REQUESTS, System = system(),
                  Deployment = { VersionLabel = env.VersionLabel or "Sample Application", DeploymentId = env.deployment_id or 1, Status = "Deployed",
                                 DeploymentTime = env.DateUpdated } }
    local one = { InstanceId = env.instance }
    for name, value in pairs(all) do
      if wants(p.AttributeNames, name) then one[name] = value end
    end
    list[1] = one
  end
  return { InstanceHealthList = list, RefreshedAt = env.RefreshedAt }
end

return S
