--- What happens behind an environment: its host in the VPC, its security
--- group, the bundle and its processes.
local app = require "rehearsal.planes.app"
local balancer = require "rehearsal.services.elasticbeanstalk.balancer"
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

local function option(env, namespace, name) return configuration._option(env.settings, namespace, name) end
M.option = option

local function failed(fmt, ...) errors.raise { kind = "invalid", op = "launch", message = fmt:format(...) } end

-- The host -----------------------------------------------------------------

--- The group that Elastic Beanstalk adds to the instances by itself.
local function own_group(cloud, ctx, env, vpc)
  local ec2 = cloud:service "ec2"
  local name = ("awseb-%s-stack-AWSEBSecurityGroup-%s"):format(env.EnvironmentId, env.EnvironmentId:sub(3):upper())
  env.group = ec2.CreateSecurityGroup(cloud, { GroupName = name, Description = "VPC Security Group", VpcId = vpc, TagSpecifications = { {
    ResourceType = "security-group", Tags = { { Key = "elasticbeanstalk:environment-name", Value = env.EnvironmentName },
                                              { Key = "elasticbeanstalk:environment-id", Value = env.EnvironmentId } } } } }, ctx).GroupId
  if env.place.balancer then balancer.let_in(cloud, ctx, env.group, nil, env.place.balancer)
  else
    ec2.AuthorizeSecurityGroupIngress(cloud, { GroupId = env.group, IpPermissions = { { IpProtocol = "tcp", FromPort = 80, ToPort = 80,
      IpRanges = { { CidrIp = "0.0.0.0/0" } } } } }, ctx)
  end
  C.event(cloud, ctx, env, "INFO", "Created security group named: %s", name)
end

local function groups_of(cloud, ctx, env, vpc)
  local groups = {}
  for _, wanted in ipairs(configuration._list(option(env, "aws:autoscaling:launchconfiguration", "SecurityGroups"))) do
    for _, group in ipairs(ec2_common._list(cloud, ctx.region, "security-group")) do
      local is_meant = group.GroupId == wanted or group.GroupName == wanted
      if is_meant and group.VpcId == vpc and group.GroupId ~= env.group then groups[#groups + 1] = group.GroupId end
    end
  end
  if option(env, "aws:autoscaling:launchconfiguration", "DisableDefaultEC2SecurityGroup") ~= "true" then
    if not env.group then own_group(cloud, ctx, env, vpc) end
    groups[#groups + 1] = env.group
  end
  return groups
end

--- Lets those in that SSHSourceRestriction names, in the group that Elastic Beanstalk adds, and gives the machine the key.
local function open_ssh(cloud, ctx, env)
  local place, ec2 = env.place, cloud:service "ec2"
  local key = option(env, "aws:autoscaling:launchconfiguration", "EC2KeyName")
  local restriction, rule = option(env, "aws:autoscaling:launchconfiguration", "SSHSourceRestriction"), nil
  if key and env.group then
    local protocol, from, to, who = restriction:match "^(%w+),%s*(%d+),%s*(%d+),%s*(%S+)$"
    if not who then failed "Invalid option value: SSHSourceRestriction must look like tcp,22,22,CIDR or a security group" end
    rule = { IpProtocol = protocol, FromPort = tonumber(from), ToPort = tonumber(to), IpRanges = who:find "/" and { { CidrIp = who } } or nil,
             UserIdGroupPairs = not who:find "/" and { { GroupId = who } } or nil }
  end
  local name = key and ("%s from %s"):format(key, rule and restriction or "nowhere")
  if name == place.ssh_name then return end
  if place.ssh_rule then ec2.RevokeSecurityGroupIngress(cloud, { GroupId = env.group, IpPermissions = { place.ssh_rule } }, ctx) end
  if rule then ec2.AuthorizeSecurityGroupIngress(cloud, { GroupId = env.group, IpPermissions = { rule } }, ctx) end
  ec2._set_key(cloud, ctx, place.owner, place.host, key)
  place.ssh_rule, place.ssh_name = rule, name
end

--- Whether an environment has no web server: its machines poll a queue, and nothing stands in front of them.
function M.is_worker(env) return env.Tier.Name == "Worker" end

--- Puts the environment's host into its subnet and publishes it.
function M.place(cloud, ctx, env)
  local ec2 = cloud:service "ec2"
  local vpc = option(env, "aws:ec2:vpc", "VPCId")
  local subnets = configuration._list(option(env, "aws:ec2:vpc", "Subnets"))
  if not vpc or vpc == "" or #subnets == 0 then failed "No default VPC for this user" end
  local single = option(env, "aws:elasticbeanstalk:environment", "EnvironmentType") == "SingleInstance"
  local subnet = ec2._subnet(cloud, ctx, subnets[1])
  local wants_address = option(env, "aws:ec2:vpc", "AssociatePublicIpAddress")
  local has_address = single or wants_address == "true" or (wants_address == nil and subnet.MapPublicIpOnLaunch)
  if not ec2._reaches_out(cloud, ctx, subnets[1], has_address) then
    failed("The EC2 instances failed to communicate with AWS Elastic Beanstalk, either because of configuration problems with the VPC "
      .. "or a failed EC2 instance. Check your VPC configuration and try launching the environment again.")
  end
  local facing = (single or M.is_worker(env)) and subnets or configuration._list(option(env, "aws:ec2:vpc", "ELBSubnets"))
  if #facing == 0 then facing = subnets end
  local public = not M.is_worker(env) and (option(env, "aws:ec2:vpc", "ELBScheme") ~= "internal" or single)
  for _, id in ipairs(facing) do
    if public and not ec2._is_public(cloud, ctx, id) then
      failed("Creating load balancer failed Reason: VPC %s has no internet gateway on the route of the subnet %s", vpc, id)
    end
  end
  local place = { vpc = vpc, subnet = subnets[1], groups = {}, owner = env.instance, zone = subnet.AvailabilityZone, public = public }
  env.place = place
  if balancer.is_wanted(env) then place.balancer = balancer.make(cloud, ctx, env, vpc, facing) end
  local groups = groups_of(cloud, ctx, env, vpc)
  place.groups = groups
  place.address = ec2._take_address(cloud, ctx, place.subnet, place.owner)
  ec2._use_groups(cloud, ctx, groups, place.owner, true)
  place.host = cloud.net:add_host(vpc, place.address, groups)
  place.address = place.host.address
  if cloud.net.isolated then
    place.door = cloud.net:publish(place.host, { [80] = 80 }, true)
    place.cname = not place.balancer and (public and cloud.net:publish(place.host, { [80] = 80 }) or place.address) or nil
  end
  ec2._add_machine(cloud, ctx, {
    id = env.instance, type = configuration._list(option(env, "aws:ec2:instances", "InstanceTypes"))[1] or "t3.micro", subnet = place.subnet,
    address = place.address, public = has_address and (place.cname or place.address) or nil, groups = groups,
    tags = { Name = env.EnvironmentName, ["elasticbeanstalk:environment-id"] = env.EnvironmentId,
             ["elasticbeanstalk:environment-name"] = env.EnvironmentName },
  })
  open_ssh(cloud, ctx, env)
  if M.is_worker(env) then
    local queue = ("awseb-%s-stack-AWSEBWorkerQueue-%s"):format(env.EnvironmentId, env.EnvironmentId:sub(3):upper())
    place.queue = cloud:service "sqs".CreateQueue(cloud, { QueueName = queue }, ctx).QueueUrl
    C.event(cloud, ctx, env, "INFO", "Created SQS queue named: %s", queue)
  elseif single then C.event(cloud, ctx, env, "INFO", "Created EIP: %s", place.cname or place.address)
  elseif not place.balancer then C.event(cloud, ctx, env, "INFO", "Created load balancer named: awseb-%s", env.EnvironmentId) end
end

--- Gives an environment the load balancer that changed settings ask for, or takes away the one that they do not.
function M.refront(cloud, ctx, env)
  local place = env.place
  if not place or balancer.is_wanted(env) == (place.balancer ~= nil) then return end
  local had = place.balancer
  if had then
    place.balancer = nil
    place.cname = cloud.net.isolated and cloud.net:publish(place.host, { [80] = 80 }) or nil
  else
    local facing = configuration._list(option(env, "aws:ec2:vpc", "ELBSubnets"))
    place.balancer = balancer.make(cloud, ctx, env, place.vpc, #facing > 0 and facing or configuration._list(option(env, "aws:ec2:vpc", "Subnets")))
    if place.cname then cloud.net:unpublish(place.vpc, place.cname) end
    place.cname = nil
  end
  if env.group then
    local all = { IpProtocol = "tcp", FromPort = 80, ToPort = 80, IpRanges = { { CidrIp = "0.0.0.0/0" } } }
    local ec2 = cloud:service "ec2"
    if had then
      ec2.AuthorizeSecurityGroupIngress(cloud, { GroupId = env.group, IpPermissions = { all } }, ctx)
      balancer.let_in(cloud, ctx, env.group, had, nil)
    else
      ec2.RevokeSecurityGroupIngress(cloud, { GroupId = env.group, IpPermissions = { all } }, ctx)
      balancer.let_in(cloud, ctx, env.group, nil, place.balancer)
    end
  end
  if had then balancer.remove(cloud, ctx, env, had) end
end

--- Gives the host the security groups and the key of changed settings.
function M.regroup(cloud, ctx, env)
  local place, ec2 = env.place, cloud:service "ec2"
  if not place then return end
  open_ssh(cloud, ctx, env)
  local groups = groups_of(cloud, ctx, env, place.vpc)
  if table.concat(groups, " ") == table.concat(place.groups, " ") then return end
  ec2._use_groups(cloud, ctx, place.groups, place.owner, nil)
  ec2._use_groups(cloud, ctx, groups, place.owner, true)
  place.groups, place.host.groups = groups, groups
  ec2._set_groups(cloud, ctx, place.owner, groups)
  cloud.net:filter(place.vpc)
end

--- Ends processes, host and group. Safe twice and half-way.
function M.remove(cloud, ctx, env)
  if env.watch then env.watch:cancel() pcall(env.watch.join, env.watch) env.watch = nil end
  if env.app then env.app:stop() env.app = nil end
  local place = env.place
  env.place = nil
  if place then
    if place.ssh_name then cloud:service "ec2"._set_key(cloud, ctx, place.owner, nil, nil) end
    if place.host then cloud.net:remove_host(place.host) end
    ec2_common._remove(cloud, ctx, place.owner)
    cloud:service "ec2"._free_address(cloud, ctx, place.subnet, place.owner)
    cloud:service "ec2"._use_groups(cloud, ctx, place.groups, place.owner, nil)
  end
  local group = env.group
  env.group = nil
  if group then
    local ok, e = pcall(cloud:service "ec2".DeleteSecurityGroup, cloud, { GroupId = group }, ctx)
    if not ok then
      C.event(cloud, ctx, env, "WARN", "Deleting security group named: %s failed Reason: %s", group, type(e) == "table" and e.message or tostring(e))
    end
  end
  if place and place.balancer then balancer.remove(cloud, ctx, env, place.balancer) end
  if place and place.queue then cloud:service "sqs".DeleteQueue(cloud, { QueueUrl = place.queue }, ctx) end
  if env.dir then fs.rmtree(env.dir) end
  if option(env, "aws:elasticbeanstalk:cloudwatch:logs", "DeleteOnTerminate") == "true" then
    for name in pairs(env.log_groups) do pcall(cloud:service "logs".DeleteLogGroup, cloud, { logGroupName = name }, ctx) end
  end
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

--- Unpacks a version and reads what it wants to run.
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

--- A line of a log of the machine, with the time that its program writes before it.
local function logged(cloud, env, file, fmt, ...)
  env.logs = env.logs or {}
  env.logs[file] = env.logs[file] or {}
  table.insert(env.logs[file], fmt:format(os.date("!%Y-%m-%d %H:%M:%S,000", math.floor(cloud.clock:now())), ...))
end

--- Runs the commands of a version, before it runs.
---@param staged Staged
function M.commands(cloud, env, staged)
  if not staged.folder then return end
  local own = { PATH = PATH, HOME = staged.dir, LANG = "C.UTF-8" }
  for name, value in pairs(env.resolved) do own[name] = value end
  own.PATH = PATH
  local found = commands.read(staged.dir, staged.reader.note)
  env.tail = found.tail
  local ok, e = pcall(commands.run, found.commands, {
    folder = staged.folder, dir = staged.dir, env = own, prefix = env.place.host.prefix, reader = staged.reader,
    trust = function(service) trust(cloud, service) end,
    log = function(line) logged(cloud, env, "/var/log/cfn-init-cmd.log", "%s P1042 [INFO] %s", line) end,
  })
  if ok then return end
  logged(cloud, env, "/var/log/eb-engine.log", "%s [ERROR] An error occurred during execution of command [app-deploy] - [PostBuildEbExtension]. "
    .. "Stop running the command. Error: EbExtension build failed. Please refer to /var/log/cfn-init.log for more details.")
  error(e, 0)
end

--- Runs a script on the machine, as Systems Manager's agent does.
---@param line fun(line: string) hears what it prints
---@return integer code
function M.shell(cloud, env, script, line)
  local staged = env.staged
  if not (staged and staged.folder) then
    line "sh: 1: docker: the sample application runs no containers"
    return 127
  end
  local folder = fs.join(staged.folder, "agent", sign.uuid())           -- of this one script, beside which others may run
  local o = { folder = folder, dir = staged.dir, env = { PATH = PATH, HOME = "/", LANG = "C.UTF-8" }, prefix = env.place.host.prefix,
              reader = staged.reader, trust = function(service) trust(cloud, service) end, line = line }
  local engine <close> = docker.start(o)
  o.env.PATH, o.env.SCRIPT = engine.path .. ":" .. PATH, script
  return app.command { service = { name = "a command of Systems Manager", argv = { "/bin/sh", "-c", 'eval "$SCRIPT"' }, env = o.env, cwd = "/" },
                       prefix = o.prefix, folders = {}, line = line }
end

--- Without namespaces all hosts share their ports: whoever obeys $PORT gets a free one.
local function settle_ports(cloud, env, services)
  if cloud.net.isolated then return end
  for _, service in ipairs(services) do
    for _, port in ipairs(service.ports) do
      if port.outside == 80 and service.env.PORT == tostring(port.inside) then
        env.local_port = env.local_port or fs.free_port(env.place.address, true)
        port.inside, service.env.PORT = env.local_port, tostring(env.local_port)
      end
    end
  end
end

local function send_logs(cloud, ctx, env)
  if option(env, "aws:elasticbeanstalk:cloudwatch:logs", "StreamLogs") ~= "true" then return nil end
  local days = math.tointeger(tonumber(option(env, "aws:elasticbeanstalk:cloudwatch:logs", "RetentionInDays")))
  local logs = cloud:service "logs"
  return function(service, stream, line)
    local group = ("/aws/elasticbeanstalk/%s/%s"):format(env.EnvironmentName, service)
    if not env.log_groups[group] then
      env.log_groups[group] = true
      pcall(logs.CreateLogGroup, cloud, { logGroupName = group }, ctx)
      if days then pcall(logs.PutRetentionPolicy, cloud, { logGroupName = group, retentionInDays = days }, ctx) end
    end
    logs._put(cloud, ctx.region, group, ("%s/%s"):format(env.instance, stream), { line })
  end
end

--- Replaces what runs by a version's services.
---@param staged Staged
function M.run(cloud, ctx, env, staged)
  local services, folder = staged.services, staged.folder
  if env.place.balancer then balancer.follow(cloud, ctx, env, folder) end
  settle_ports(cloud, env, services)
  local lines = env.app and env.app.lines
  if env.app then env.app:stop() end
  env.app = app.start { services = services, prefix = env.place.host.prefix, lines = lines, folders = folder and { folder } or {},
                        sink = send_logs(cloud, ctx, env) }
  local inside
  for _, service in ipairs(services) do
    for _, port in ipairs(service.ports) do if port.outside == 80 then inside = inside or port.inside end end
  end
  env.inside_port, env.staged = inside, staged
  local place = env.place
  if place.balancer then balancer.register(cloud, ctx, env) end
  env.CNAME = place.balancer and place.balancer.dns or place.cname or ("%s:%d"):format(place.address, inside or 80)
  if M.is_worker(env) then env.CNAME = nil end
  env.EndpointURL = env.CNAME
  if env.folder and env.folder ~= folder then               -- what a process that had to be killed still writes goes with the environment
    local ok, e = pcall(fs.rmtree, env.folder)
    if not ok then log.debug("the folder of an old version stays: %s", tostring(e)) end
  end
  env.folder = folder
  log.debug("environment %s runs %d processes", env.EnvironmentName, #env.app.entries)
end

return M
