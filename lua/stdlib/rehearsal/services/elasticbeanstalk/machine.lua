--- One machine of an environment: its host in the VPC, and the version of the app that runs there.
local app = require "rehearsal.planes.app"
local bundle = require "rehearsal.services.elasticbeanstalk.bundle"
local C = require "rehearsal.services.elasticbeanstalk.common"
local docker = require "rehearsal.services.elasticbeanstalk.docker"
local commands = require "rehearsal.services.elasticbeanstalk.commands"
local configuration = require "rehearsal.services.elasticbeanstalk.configuration"
local ec2_common = require "rehearsal.services.ec2.common"
local errors = require "errors"
local fs = require "fs"
local log = require "log"
local process = require "process"
local sign = require "sign"
local zip = require "zip"

local M = {}

---@class Machine
---@field id string
---@field host Host
---@field app? App what runs there
---@field version? string label of the version that does, nil: the sample application
---@field deployment? integer the id of the deployment that brought it

local function option(env, namespace, name) return configuration._option(env.settings, namespace, name) end

local function failed(fmt, ...) errors.raise { kind = "invalid", op = "launch", message = fmt:format(...) } end

-- The host -----------------------------------------------------------------

--- Puts one more machine into the environment's subnets, which take turns; nothing runs there yet.
---@return Machine
function M.launch(cloud, ctx, env)
  local ec2, place = cloud:service "ec2", env.place
  place.turn = place.turn + 1
  local subnet_id = place.subnets[(place.turn - 1) % #place.subnets + 1]
  local m = { id = cloud:new_id "i", subnet = subnet_id, zone = ec2._subnet(cloud, ctx, subnet_id).AvailabilityZone, launched_at = cloud.clock:now() }
  table.insert(env.machines, m)
  m.address = ec2._take_address(cloud, ctx, m.subnet, m.id)
  ec2._use_groups(cloud, ctx, place.groups, m.id, true)
  m.host = cloud.net:add_host(place.vpc, m.address, place.groups)
  m.address = m.host.address
  if cloud.net.isolated then m.door = cloud.net:publish(m.host, { [80] = 80 }, true) end
  ec2._add_machine(cloud, ctx, {
    id = m.id, type = configuration._list(option(env, "aws:ec2:instances", "InstanceTypes"))[1] or "t3.micro", subnet = m.subnet,
    address = m.address, public = place.has_address and m.address or nil, groups = place.groups,
    tags = { Name = env.EnvironmentName, ["elasticbeanstalk:environment-id"] = env.EnvironmentId,
             ["elasticbeanstalk:environment-name"] = env.EnvironmentName },
  })
  if place.key then ec2._set_key(cloud, ctx, m.id, m.host, place.key) end
  return m
end

--- Ends its processes and takes it away. Safe half-way.
function M.terminate(cloud, ctx, env, m)
  local ec2 = cloud:service "ec2"
  for i, other in ipairs(env.machines) do if other == m then table.remove(env.machines, i) break end end
  if m.app then m.app:stop() m.app = nil end
  if m.host then cloud.net:remove_host(m.host) end
  if env.place.key and ec2._running(cloud, ctx, m.id) then ec2._set_key(cloud, ctx, m.id, nil, nil) end
  ec2_common._remove(cloud, ctx, m.id)
  ec2._free_address(cloud, ctx, m.subnet, m.id)
  ec2._use_groups(cloud, ctx, env.place.groups, m.id, nil)
end

-- The app ------------------------------------------------------------------

local SAMPLE = [[
local page = "<!doctype html><title>Elastic Beanstalk</title><h1>Congratulations</h1><p>This is the sample application of the rehearsal.</p>\n"
local server = require("rehearsal.serve").start { host = "0.0.0.0", port = tonumber(os.getenv "PORT"), handler = function(req)
  if req.path == "/" then return { status = 200, headers = { ["content-type"] = "text/html" }, body = page } end
  return { status = 404, body = "not found\n" }
end }
while true do task.sleep(3600) end
]]

local PATH = os.getenv "PATH" or "/usr/local/bin:/usr/bin:/bin"

--- How to run hkrun itself: our own program, and our own modules where they are read from disk.
---@return string program, table env
function M.self()
  local lib = os.getenv "HKRUN_LIB"
  return process.program(), { PATH = PATH, HOME = "/", NO_PROXY = "*", HKRUN_LIB = lib and fs.realpath(lib) }
end

local function sample()
  local program, env = M.self()
  env.PORT = "80"
  return { { name = "sample", trusted = true, argv = { program, "-e", SAMPLE }, cwd = "/", count = 1,
             env = env, ports = { { outside = 80, inside = 80 } } } }
end

--- The environment properties of settings, those from secrets resolved.
---@return table<string, string|Secret>
function M.properties(cloud, settings)
  local properties = {}
  for name, value in pairs(settings[configuration._ENVIRONMENT] or {}) do properties[name] = value end
  for name, reference in pairs(settings[configuration._SECRETS] or {}) do
    local keeper = reference:find "^arn:aws[%w%-]*:ssm:" and "ssm" or "secretsmanager"
    local ok, value = pcall(cloud:service(keeper)._value, cloud, reference)
    if not ok then failed("Instance deployment failed to get the environment secret %s: %s", name, type(value) == "table" and value.message
      or tostring(value)) end
    properties[name] = value
  end
  return properties
end

--- The user nobody must be able to pass through the folder above the cloud's.
local function let_through(dir)
  local above = dir:match "^(.+)/[^/]+$"
  if fs.uid() == 0 and above and fs.stat(above).mode % 2 == 0 then fs.chmod(above, 457) end       -- 0711
end

--- Gives a process the authorities that AWS's certificates need, as an image brings them.
local function trust(cloud, service)
  local ca = cloud.ca.file
  if service.root then
    ca = "/rehearsal-ca.pem"
    fs.write(service.root .. ca, fs.read(cloud.ca.file))
  end
  service.env.NODE_EXTRA_CA_CERTS = service.env.NODE_EXTRA_CA_CERTS or ca
  service.env.SSL_CERT_FILE = service.env.SSL_CERT_FILE or ca
end

--- A version that is unpacked and read, and does not run yet.
---@class Staged
---@field services table[]
---@field folder? string nil: the sample application
---@field dir? string the unpacked bundle
---@field reader? table what bundle.read was told

--- Unpacks a version on a machine and reads what it wants to run.
---@return Staged
function M.prepare(cloud, ctx, env, label)
  local version = label and C.version(cloud, ctx, env.ApplicationName, label)
  if not (version and version.SourceBundle) then return { services = sample() } end
  local object = cloud:service "s3"._object(cloud, version.SourceBundle.S3Bucket, version.SourceBundle.S3Key)
  if not object then failed("Unable to download the source bundle of %s: it is not in its bucket any more", label) end
  env.deployments = (env.deployments or 0) + 1
  env.dir = env.dir or fs.join(cloud.dir, "elasticbeanstalk", env.EnvironmentId)
  let_through(cloud.dir)
  local folder = fs.join(env.dir, tostring(env.deployments))
  local dir = fs.join(folder, "current")
  fs.mkdir_p(dir)
  zip.unpack(object.file, dir, { links = "skip" })
  env.resolved = M.properties(cloud, env.settings)
  local reader = { dir = dir, root = fs.join(folder, "images"), env = env.resolved, path = PATH, has_roots = app.has_roots(),
                   is_node = env.PlatformArn:find("platform/Node.js", 1, true) ~= nil,
                   pull = function(reference, root) return cloud:service "ecr"._pull(cloud, reference, root) end,
                   note = function(fmt, ...) C.event(cloud, ctx, env, "WARN", "%s", fmt:format(...)) end }
  local services = bundle.read(reader)
  for _, service in ipairs(services) do trust(cloud, service) end
  return { services = services, folder = folder, dir = dir, reader = reader }
end

--- Puts a line into a log group of the environment, where its logs are streamed.
---@param name string the group's name after the environment's
local function stream(cloud, ctx, env, name, stream_name, line)
  if option(env, "aws:elasticbeanstalk:cloudwatch:logs", "StreamLogs") ~= "true" then return end
  local group, logs = ("/aws/elasticbeanstalk/%s/%s"):format(env.EnvironmentName, name), cloud:service "logs"
  if not env.log_groups[group] then
    env.log_groups[group] = true
    local days = math.tointeger(tonumber(option(env, "aws:elasticbeanstalk:cloudwatch:logs", "RetentionInDays")))
    pcall(logs.CreateLogGroup, cloud, { logGroupName = group }, ctx)
    if days then pcall(logs.PutRetentionPolicy, cloud, { logGroupName = group, retentionInDays = days }, ctx) end
  end
  logs._put(cloud, ctx.region, group, stream_name, { line })
end

local ENGINE, COMMANDS = "/var/log/eb-engine.log", "/var/log/cfn-init-cmd.log"

--- A line of a log of the machine, with the time that its program writes before it. That of the platform is streamed, too.
local function logged(cloud, ctx, env, m, file, fmt, ...)
  local line = fmt:format(os.date("!%Y-%m-%d %H:%M:%S,000", math.floor(cloud.clock:now())), ...)
  m.logs = m.logs or {}
  m.logs[file] = m.logs[file] or {}
  table.insert(m.logs[file], line)
  if file == ENGINE then stream(cloud, ctx, env, file:sub(2), m.id, line) end
end

--- Runs the commands of a version, before it runs.
---@param staged Staged
---@param is_leader boolean whether those run, too, that only one machine of the environment runs
function M.commands(cloud, ctx, env, m, staged, is_leader)
  if not staged.folder then return end
  local own = { PATH = PATH, HOME = staged.dir, LANG = "C.UTF-8" }
  for name, value in pairs(env.resolved) do own[name] = value end
  own.PATH = PATH
  local found = commands.read(staged.dir, staged.reader.note)
  m.tail = found.tail
  local ok, e = pcall(commands.run, found.commands, {
    folder = staged.folder, dir = staged.dir, env = own, prefix = m.host.prefix, reader = staged.reader, is_leader = is_leader,
    trust = function(service) trust(cloud, service) end,
    log = function(line) logged(cloud, ctx, env, m, COMMANDS, "%s P1042 [INFO] %s", line) end,
  })
  if ok then return end
  logged(cloud, ctx, env, m, ENGINE, "%s [ERROR] An error occurred during execution of command [app-deploy] - [PostBuildEbExtension]. "
    .. "Stop running the command. Error: EbExtension build failed. Please refer to /var/log/cfn-init.log for more details.")
  error(e, 0)
end

--- Runs a script on the machine, as Systems Manager's agent does.
---@param line fun(line: string) hears what it prints
---@return integer code
function M.shell(cloud, m, script, line)
  local staged = m.staged
  if not (staged and staged.folder) then
    line "sh: 1: docker: the sample application runs no containers"
    return 127
  end
  local folder = fs.join(staged.folder, "agent", sign.uuid())           -- of this one script, beside which others may run
  local o = { folder = folder, dir = staged.dir, env = { PATH = PATH, HOME = "/", LANG = "C.UTF-8" }, prefix = m.host.prefix,
              reader = staged.reader, trust = function(service) trust(cloud, service) end, line = line }
  local engine <close> = docker.start(o)
  o.env.PATH, o.env.SCRIPT = engine.path .. ":" .. PATH, script
  return app.command { service = { name = "a command of Systems Manager", argv = { "/bin/sh", "-c", 'eval "$SCRIPT"' }, env = o.env, cwd = "/" },
                       prefix = o.prefix, folders = {}, line = line }
end

--- Without namespaces all hosts share their ports: whoever obeys $PORT gets a free one.
local function settle_ports(cloud, m, services)
  if cloud.net.isolated then return end
  for _, service in ipairs(services) do
    for _, port in ipairs(service.ports) do
      if port.outside == 80 and service.env.PORT == tostring(port.inside) then
        m.local_port = m.local_port or fs.free_port(m.address, true)
        port.inside, service.env.PORT = m.local_port, tostring(m.local_port)
      end
    end
  end
end

--- Replaces what runs on a machine by a version's services.
---@param staged Staged
function M.run(cloud, ctx, env, m, staged)
  local services, folder = staged.services, staged.folder
  settle_ports(cloud, m, services)
  local lines = m.app and m.app.lines
  if m.app then m.app:stop() end
  m.app = app.start { services = services, prefix = m.host.prefix, lines = lines, folders = folder and { folder } or {},
                      sink = function(service, of, line) stream(cloud, ctx, env, service, ("%s/%s"):format(m.id, of), line) end }
  local inside
  for _, service in ipairs(services) do
    for _, port in ipairs(service.ports) do if port.outside == 80 then inside = inside or port.inside end end
  end
  m.inside_port, m.staged = inside, staged
  if m.folder and m.folder ~= folder then                   -- what a process that had to be killed still writes goes with the environment
    local ok, e = pcall(fs.rmtree, m.folder)
    if not ok then log.debug("the folder of an old version stays: %s", tostring(e)) end
  end
  m.folder = folder
  logged(cloud, ctx, env, m, ENGINE, "%s [INFO] Platform Engine finished execution on command: app-deploy")
  log.debug("machine %s of %s runs %d processes", m.id, env.EnvironmentName, #m.app.entries)
end

--- Makes a machine answer where another one did: without isolated networks an address is no more than a port of this one.
function M.take_over(cloud, ctx, env, m, old)
  old.app:stop()
  m.host, m.address, m.local_port = old.host, old.address, old.local_port
  M.run(cloud, ctx, env, m, m.staged)
end

return M
