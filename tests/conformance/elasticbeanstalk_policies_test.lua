--- How a version takes the place of the one before on a rehearsed Elastic Beanstalk: asked without a pause through the load
--- balancer, with versions that are well and one that is not. A new version waits at a gate before it answers, so that what is
--- seen meanwhile hangs on no clock.
local aws = require "aws"
local beanstalk = require "aws.common.beanstalk"
local eb = require "eb"
local errors = require "errors"
local fs = require "fs"
local http = require "http"
local process = require "process"
local task = require "task"
local test = require "test"
local zip = require "zip"
local T = test.cases()

local COMMAND = "aws:elasticbeanstalk:command"
local ILL = "v9"                        -- this version answers, and with errors only

local WEB = [==[
import http.server, os, time
version = open("/app/version").read().strip()
gate = os.path.join(os.environ["GATES"], version)
while not os.path.exists(gate): time.sleep(0.02)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if version == "v9" else 200)
        self.send_header("Content-Length", str(len(version)))
        self.end_headers()
        self.wfile.write(version.encode())
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
]==]

local COMPOSE = "services: { web: { build: ., env_file: .env, environment: { PORT: '8080' }, ports: ['80:8080'] } }\n"

local function bundle(version)
  return zip.pack { { path = "docker-compose.yml", data = COMPOSE }, { path = "app/web.py", data = WEB }, { path = "app/version", data = version },
    { path = "Dockerfile", data = 'FROM python:3.13-slim\nCOPY app/ /app\nCMD ["python3", "/app/web.py"]\n' } }
end

--- A version in which nothing answers.
local function parked()
  return zip.pack { { path = "docker-compose.yml", data = "services: { parked: { build: ., command: [sleep, '1000'] } }\n" },
                    { path = "Dockerfile", data = "FROM debian:12\n" } }
end

--- The environments, two machines each, and the versions of their application.
local function made(gates, policies)
  local net = aws.network { "shop", cidr = "10.9.0.0/16", zones = 2 }
  local application, bucket = aws.eb_application { "shop" }, aws.bucket { "bundles-of-shop" }
  for _, label in ipairs { "v1", "v2", ILL, "parked" } do
    local object = aws.object { label .. ".zip", bucket = bucket.id, bytes = label == "parked" and parked() or bundle(label) }
    aws.eb_version { label, application = application.id, bucket = bucket.id, key = object.key or label .. ".zip" }
  end
  local all = {}
  for name, policy in pairs(policies) do
    all[name] = function()
      return aws.environment { name, application = application.id, network = net, load_balanced = true, min_instances = 2, max_instances = 2,
        deployment = policy, env = { GATES = fs.join(gates, name) } }
    end
  end
  return task.all(all)
end

-- What an environment is watched with -------------------------------------------

---@class Watched
local Watched = {}
Watched.__index = Watched

local function ids(name)
  local list = {}
  for i, machine in ipairs(eb.machines(name)) do list[i] = machine.id end
  table.sort(list)
  return list
end

--- Lets a version answer.
function Watched:open(label) fs.write(fs.join(self.gates, label), "", 420) end

--- What was said until now is of no interest any more.
function Watched:mark() self.before = #eb.events(self.name, { count = 1000 }) end

--- Begins to deploy a version.
function Watched:begin(label, settings)
  self:mark()
  aws.elasticbeanstalk:update_environment { EnvironmentName = self.name, VersionLabel = label, OptionSettings = settings }
end

--- What Elastic Beanstalk said since then, without ids of machines and groups; health stands apart.
function Watched:said()
  local list, all = {}, eb.events(self.name, { count = 1000 })
  for i = self.before + 1, #all do
    local message = all[i].Message:gsub("i%-0%x+", "ID"):gsub("awseb%-e%-%x+%-", "awseb-E-"):gsub("(AutoScalingGroup)%-%u[%u%d]*", "%1-X")
      :gsub("(AutoScalingGroup)%-[%x%u]+", "%1-X")
    if not message:find "^Environment health has" and not message:find "^Instance deployment completed" then list[#list + 1] = message end
  end
  return list
end

--- Waits until that was said.
function Watched:until_said(pattern)
  task.within(60, "hear of " .. pattern, function()
    while not table.concat(self:said(), "\n"):find(pattern) do task.sleep(0.1) end
  end)
end

function Watched:ready()
  task.within(60, "be ready", function()
    while beanstalk.find(self.name).Status ~= "Ready" do task.sleep(0.1) end
  end)
end

--- Asks once more a few times, so that what is seen is of now.
function Watched:answers()
  local seen = {}
  for _ = 1, 6 do
    local answer = http.get(self.url, { timeout = 120 })
    seen[("%d %s"):format(answer.status, answer.status == 200 and answer.body or "")] = true
  end
  local list = {}
  for what in pairs(seen) do list[#list + 1] = what end
  table.sort(list)
  return table.concat(list, ", ")
end

--- Asks without a pause while fn runs.
---@return { failed: integer, asked: integer }
function Watched:asked_while(fn)
  local count = { failed = 0, asked = 0 }
  local client = task.spawn(function()
    while true do
      task.sleep(0.01)
      local ok, answer = pcall(http.get, self.url, { timeout = 120 })
      if not ok and errors.is(answer, "cancelled") then error(answer, 0) end
      count.asked = count.asked + 1
      if not ok or answer.status ~= 200 then count.failed = count.failed + 1 end
    end
  end)
  self.count = count
  fn()
  client:cancel()
  pcall(client.join, client)
  return count
end

--- Deploys a version that is well. Its gate is shut until it was waited for in vain while twenty requests were answered.
function Watched:goes_to(label, waits_at, settings)
  return self:asked_while(function()
    self:begin(label, settings)
    self:until_said(waits_at)
    local before = self.count.asked
    task.within(60, "be asked", function() while self.count.asked < before + 20 do task.sleep(0.02) end end)
    self:open(label)
    self:ready()
  end)
end

--- That the environment has this version, this health and these answers, as soon as it was looked at again.
function Watched:is(version, color, answers)
  local seen
  pcall(task.within, 30, "look again", function()
    repeat
      local now = beanstalk.find(self.name)
      seen = { now.VersionLabel, now.Health, self:answers() }
    until seen[1] == version and seen[2] == color and seen[3] == answers or task.sleep(0.2)
  end)
  test.equal(seen, { version, color, answers })
end

local function deployed()
  return { "New application version was deployed to running EC2 instances.", "Environment update completed successfully." }
end

local function joined(...)
  local list = {}
  for _, part in ipairs { ... } do
    for _, line in ipairs(type(part) == "table" and part or { part }) do list[#list + 1] = line end
  end
  return list
end

--- What is said of a batch of one machine, of two machines and so many additional ones, which are first.
local function batch(n, more)
  more = more or 0
  local function line(what) return ("Batch %d: %s"):format(n, what) end
  return { line "Starting application deployment on instance(s) [ID].",
    line "De-registering instance(s) from the load balancer and waiting for them to go out of service.",
    line "Starting application deployment command execution.", line "Completed application deployment command execution.",
    ("Command execution completed on %d of %d instances in environment."):format(n + more, 2 + more),
    line "Registering instance(s) with the load balancer and waiting for them to be healthy.", line "Completed application deployment." }
end

local function policy(name, kind, size)
  local list = { { Namespace = COMMAND, OptionName = "DeploymentPolicy", Value = name } }
  if kind then
    list[2] = { Namespace = COMMAND, OptionName = "BatchSizeType", Value = kind }
    list[3] = { Namespace = COMMAND, OptionName = "BatchSize", Value = size }
  end
  return list
end

local BEGUN = { "Environment update is starting.", "Deploying new version to instance(s)." }
local REFUSED = "Instance id(s) 'ID' did not pass health check after command execution. Aborting the operation."
local MIXED = "During an aborted deployment, some instances may have deployed the new application version. To ensure all instances are running "
  .. "the same version, re-deploy the appropriate application version."

-- The policies --------------------------------------------------------------------

local ways = {}

--- Rolling, with an additional batch, and rolling again.
function ways.rolling(w)
  test.equal(w:goes_to("v1", "Batch 1: Registering").failed, 0, "requests that failed while it rolled")
  test.equal(w:said(), joined(BEGUN, batch(1), batch(2), deployed()))
  w:is("v1", "Green", "200 v1")

  local machines = ids(w.name)
  local extra = { "Added instance [ID] to your environment.", "Adding new instance(s) (ID) to the load balancer.",
                  "Waiting for instance(s) (ID) to pass health checks." }
  local removed = "Removed instance [ID] from your environment."
  test.equal(w:goes_to("v2", "Waiting for instance", policy("RollingWithAdditionalBatch", "Fixed", "1")).failed, 0, "requests that failed meanwhile")
  test.equal(w:said(), joined(BEGUN, extra, batch(1, 1), batch(2, 1), removed, deployed()))
  w:is("v2", "Green", "200 v2")
  w:begin(ILL)
  w:ready()
  test.equal(w:said(), joined(BEGUN, extra, REFUSED, removed, "Failed to deploy application."))
  w:is("v2", "Green", "200 v2")
  test.equal(ids(w.name), machines)

  w:begin("v2", policy("Rolling", "Percentage", "50"))       -- the ill version comes by a function of ours
  w:ready()
  local e
  test.equal(w:asked_while(function()
    w:mark()
    e = test.raises("did not pass health check after command execution", eb.deploy, w.name, ILL)
  end).failed, 0, "requests that failed with an ill first batch")
  test.match(e.message, "re%-deploy the appropriate application version.*failing with HTTP 500")
  local said = w:said()
  test.equal(table.move(said, 1, 11, 1, {}), joined(BEGUN, table.move(batch(1), 1, 6, 1, {}), REFUSED, "Failed to deploy application.", MIXED))
  w:is("v2", "Red", "200 v2")
  local health, versions = nil, {}
  pcall(task.within, 30, "look again", function()
    repeat health = eb.health(w.name) until #health.causes >= 2 and health.status == "Degraded" or task.sleep(0.2)
  end)
  test.equal(health.status, "Degraded")
  local expected = beanstalk.find(w.name).VersionLabel
  test.match(table.concat(health.causes, " "), '50.0 %% of the requests to the path / are failing with HTTP 500%..*'
    .. 'Incorrect application version found on 1 out of 2 instances%. Expected version "' .. expected .. '" %(deployment %d+%)%.')
  for i, one in ipairs(health.instances) do versions[i] = ("%s %s"):format(one.Deployment.VersionLabel, one.HealthStatus) end
  table.sort(versions)
  test.equal(versions, { "v2 Ok", "v9 Severe" })

  w.environment:deploy("parked", { idle = true })            -- nothing answers in it, and it is everywhere all the same
  test.equal(eb.status(w.name).version, "parked")
  test.truthy(not w:answers():find "200", "nobody answers")
end

--- On new machines, then at once.
function ways.immutable(w)
  local before = ids(w.name)
  test.equal(w:goes_to("v1", "Waiting for instance").failed, 0, "requests that failed meanwhile")
  local temporary = "awseb-E-immutable-stack-AWSEBAutoScalingGroup-X"
  local first = { BEGUN[1], BEGUN[2], "Immutable deployment policy enabled. Launching one instance with the new settings to verify health.",
    ("Created temporary auto scaling group %s."):format(temporary), "Added instance [ID] to your environment.",
    "Adding new instance(s) (ID) to the load balancer.", "Waiting for instance(s) (ID) to pass health checks." }
  test.equal(w:said(), joined(first, "Test instance passed health checks. Launching remaining new instances.",
    "Added instance [ID] to your environment.", "Successfully launched all instances.", "Adding new instance(s) (ID) to the load balancer.",
    "Waiting for instance(s) (ID,ID) to pass health checks.", ("Detached new instance(s) from temporary auto scaling group %s."):format(temporary),
    "Attached new instance(s) to the permanent auto scaling group awseb-E-stack-AWSEBAutoScalingGroup.",
    "Deployment succeeded. Terminating old instances and temporary Auto Scaling group.", "Removed instances [ID, ID] from your environment.",
    deployed()))
  w:is("v1", "Green", "200 v1")
  local after = ids(w.name)
  for _, id in ipairs(before) do test.truthy(not table.concat(after, " "):find(id, 1, true), id .. " is gone") end
  test.equal(w:asked_while(function()
    w:begin(ILL)
    w:ready()
  end).failed, 0, "requests that failed with an ill version")
  test.equal(w:said(), joined(first, REFUSED, "Removed instance [ID] from your environment.", "Failed to deploy application."))
  w:is("v1", "Green", "200 v1")
  test.equal(ids(w.name), after, "the machines, as before")

  w:asked_while(function()
    w:begin("v2", policy "AllAtOnce")
    task.within(60, "be served by none", function() while w.count.failed == 0 do task.sleep(0.02) end end)
    w:open "v2"
    w:ready()
  end)
  test.equal(w:said(), joined(BEGUN, deployed()))
  w:is("v2", "Green", "200 v2")
  w:begin(ILL)
  w:ready()
  w:is(ILL, "Red", "500 ")
  test.match(table.concat(eb.health(w.name).causes, " "), "100%.0 %% of the requests to the path / are failing with HTTP 500%.")
  test.equal(ids(w.name), after)
end

T["a version rolls, comes on new machines, or at once: who is asked meanwhile is answered or not, and what an ill one leaves"] = function()
  local _ <close> = test.cloud { servers = true }
  test.defer(http.close_idle)
  local gates, all, runs = test.tmpdir(), nil, {}
  for name in pairs(ways) do fs.mkdir_p(fs.join(gates, name)) end
  process.run { "chmod", "-R", "a+rX", gates }
  test.apply(function() all = made(gates, { rolling = "rolling", immutable = "immutable" }) end)
  for name, way in pairs(ways) do
    runs[name] = function()
      local w = setmetatable({ name = name, gates = fs.join(gates, name), environment = all[name], url = all[name].url .. "/" }, Watched)
      w:open(ILL)
      way(w)
    end
  end
  task.all(runs)
end

return T
