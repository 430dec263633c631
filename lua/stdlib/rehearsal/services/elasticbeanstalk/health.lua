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

local RANKS = { Ok = 0, Info = 1, Warning = 2, Degraded = 3, Severe = 4 }
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
  if launch.is_single(env) then return status < 500 end
  for _, part in ipairs(configuration._list(launch.option(env, "aws:elasticbeanstalk:environment:process:default", "MatcherHTTPCode"))) do
    local from, to = part:match "^(%d+)%-?(%d*)$"
    if from and status >= tonumber(from) and status <= (tonumber(to) or tonumber(from)) then return true end
  end
  return false
end

--- The status that the health path answers with, or why there is none. Asked as the health agent and the load balancer do:
--- the machine itself, whoever else may reach it.
---@return integer? status, string? why
local function ask(env, m)
  if not m.inside_port then return nil, "no service publishes port 80" end
  local at = m.door or ("%s:%d"):format(m.address, m.inside_port)
  local ok, answer = pcall(http.get, "http://" .. at .. path_of(env), { timeout = 5, connect_timeout = 2 })
  if ok then return answer.status end
  if errors.is(answer, "cancelled") then error(answer, 0) end            -- the environment is terminated meanwhile
  return nil, "it does not answer"
end

local FAILING = "%s %% of the requests to the path %s are failing%s."

--- One look at a machine.
---@return string health_status, string[] causes, boolean answers
local function look(cloud, ctx, env, m)
  local causes = {}
  -- nothing to ask: without a load balancer no requests are no failure
  local is_worker = launch.is_worker(env) or launch.is_single(env) and not m.inside_port
  local profile = launch.option(env, "aws:autoscaling:launchconfiguration", "IamInstanceProfile")
  if launch.is_worker(env) and not cloud:service "iam"._profile_may(cloud, profile, "AWSElasticBeanstalkWorkerTier", "sqs:ReceiveMessage") then
    return "Severe", { ("Access to the resource %s is denied: the SQS daemon cannot read the worker's queue."):format(env.place.queue) }, true
  end
  local status, why = 200, nil
  if not is_worker then status, why = ask(env, m) end
  for _, problem in ipairs(m.app and m.app:problems() or {}) do causes[#causes + 1] = problem end
  if not status then
    table.insert(causes, 1, FAILING:format("100.0", path_of(env), ": " .. why))
    return "Severe", causes, false
  elseif not is_expected(env, status) then
    table.insert(causes, 1, FAILING:format("100.0", path_of(env), (" with HTTP %d"):format(status)))
    return "Severe", causes, true
  end
  if env.place.balancer and balancer.health(cloud, ctx, env, m) ~= "healthy" then
    causes[#causes + 1] = "ELB health is failing or not available for all instances."
    return "Severe", causes, false
  end
  return #causes > 0 and "Degraded" or "Ok", causes, true
end

local function is_crashing(m)
  for _, entry in ipairs(m.app.entries) do
    if entry.restarts >= 3 or entry.failure ~= nil then return true end
  end
  return false
end

--- Looks at a machine for so many real seconds at most, until it is well; notes what it saw.
---@return string health_status
local function wait(cloud, ctx, env, m, seconds)
  local deadline = task.now() + seconds
  repeat
    local answers
    m.HealthStatus, m.causes, answers = look(cloud, ctx, env, m)
    if m.HealthStatus == "Ok" or not m.inside_port or is_crashing(m) then break end
    if answers then deadline = math.min(deadline, task.now() + UNKIND) end
    task.sleep(0.25)
  until task.now() > deadline
  return m.HealthStatus
end

--- The machines that do not become as well as the environment asks for (HealthCheckSuccessThreshold, IgnoreHealthCheck).
---@param machines Machine[]
---@return Machine[]
function S._ill(cloud, ctx, env, machines, seconds)
  if launch.option(env, "aws:elasticbeanstalk:command", "IgnoreHealthCheck") == "true" then return {} end
  local worst = RANKS[launch.option(env, "aws:elasticbeanstalk:healthreporting:system", "HealthCheckSuccessThreshold")]
  local ill = {}
  local seen = task.map(machines, function(m) return wait(cloud, ctx, env, m, seconds) end)
  for i, m in ipairs(machines) do
    if RANKS[seen[i]] > worst then ill[#ill + 1] = m end
  end
  return ill
end

local function named(version, deployment) return ('"%s" (deployment %d)'):format(version or "Sample Application", deployment or 1) end

local function is_expected_version(env, m) return m.version == env.VersionLabel and m.deployment_id == env.deployment_id end

--- What the environment is like, from what was seen of its machines: what is wrong with some of them only is said so.
---@return string health_status, string[] causes
local function summary(env)
  local count, ill, wrong, status, times, causes = #env.machines, 0, 0, "Ok", {}, {}
  for _, m in ipairs(env.machines) do
    for _, cause in ipairs(m.causes) do
      if not times[cause] then causes[#causes + 1] = cause end
      times[cause] = (times[cause] or 0) + 1
    end
    if RANKS[m.HealthStatus] > RANKS[status] then status = m.HealthStatus end
    if m.HealthStatus ~= "Ok" then ill = ill + 1 end
    if not is_expected_version(env, m) then wrong = wrong + 1 end
  end
  for i, cause in ipairs(causes) do
    if times[cause] < count then
      causes[i] = cause:gsub("^100%.0 %%", ("%.1f %%%%"):format(100 * times[cause] / count))
        :gsub("^ELB health .*$", ("ELB processes are not healthy on %d out of %d instances."):format(times[cause], count))
    end
  end
  if wrong > 0 then
    local where = wrong == count and "on all instances" or ("on %d out of %d instances"):format(wrong, count)
    causes[#causes + 1] = ("Incorrect application version found %s. Expected version %s."):format(where, named(env.VersionLabel, env.deployment_id))
  end
  if wrong > 0 and status == "Ok" or status == "Severe" and ill < count then status = "Degraded" end
  return status, causes
end

local function set(cloud, ctx, env, status, causes)
  local before = env.HealthStatus
  env.HealthStatus, env.Health, env.causes, env.RefreshedAt = status, COLORS[status], causes, cloud.clock:now()
  if before == status then return end
  local severity = COLORS[status] == "Red" and "WARN" or "INFO"
  C.event(cloud, ctx, env, severity, "Environment health has transitioned from %s to %s.%s", before, status,
    #causes > 0 and " " .. table.concat(causes, " ") or "")
end

--- Makes the environment as its machines were seen last.
function S._note(cloud, ctx, env)
  for _, m in ipairs(env.machines) do
    if not m.causes then m.HealthStatus, m.causes = look(cloud, ctx, env, m) end
  end
  set(cloud, ctx, env, summary(env))
end

--- Waits, for so many real seconds at most, until the app answers as it should on all machines.
function S._settle(cloud, ctx, env, seconds)
  task.map(env.machines, function(m) wait(cloud, ctx, env, m, seconds) end)
  S._note(cloud, ctx, env)
end

--- Keeps looking until it is cancelled; two bad looks make a bad health.
function S._watch(cloud, ctx, env)
  local bad = 0
  while true do
    task.sleep(PERIOD)
    if env.Status == "Ready" and env.machines[1].app then
      for _, m in ipairs(env.machines) do m.HealthStatus, m.causes = look(cloud, ctx, env, m) end
      local status, causes = summary(env)
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

--- Before anything ran on a machine it is as the environment is.
local function health_of(env, m) return m.HealthStatus or env.HealthStatus end

local function counts(env)
  local found = { NoData = 0, Unknown = 0, Pending = 0, Ok = 0, Info = 0, Warning = 0, Degraded = 0, Severe = 0 }
  for _, m in ipairs(env.machines or {}) do
    local status = health_of(env, m)
    if found[status] then found[status] = found[status] + 1 end
  end
  return found
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
                InstancesHealth = counts(env), ApplicationMetrics = NO_REQUESTS }
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
  for i, m in ipairs(env.machines or {}) do
    local status, causes = health_of(env, m), table.move(m.causes or env.causes, 1, #(m.causes or env.causes), 1, {})
    if m.causes and not is_expected_version(env, m) then
      causes[#causes + 1] = ("Incorrect application version %s. Expected version %s."):format(named(m.version, m.deployment_id),
        named(env.VersionLabel, env.deployment_id))
    end
    local all = { HealthStatus = status, Color = COLORS[status], Causes = causes, LaunchedAt = m.launched_at, AvailabilityZone = m.zone,
                  InstanceType = configuration._list(launch.option(env, "aws:ec2:instances", "InstanceTypes"))[1] or "t3.micro",
                  ApplicationMetrics = NO_REQUESTS, System = system(),
                  Deployment = { VersionLabel = m.version or "Sample Application", DeploymentId = m.deployment_id or 1, Status = "Deployed",
                                 DeploymentTime = env.DateUpdated } }
    local one = { InstanceId = m.id }
    for name, value in pairs(all) do
      if wants(p.AttributeNames, name) then one[name] = value end
    end
    list[i] = one
  end
  return { InstanceHealthList = list, RefreshedAt = env.RefreshedAt }
end

return S
