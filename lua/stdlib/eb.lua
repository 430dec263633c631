--- What `eb status, health, events, logs, open, ssh, deploy, swap` do, as functions: for the REPL and for recipes.
---
---     eb.status "shop"
---     eb.events("shop", { count = 20 }):select("EventDate", "Severity", "Message")
---     eb.follow("shop", print)                         -- until nothing is under way any more
---     print(eb.logs "shop")
---     eb.tail("shop", print)                           -- what its processes print, as they print it, until Ctrl-C
---     eb.bundle("shop", "logs")                        -- all that the machines keep, as files
---     eb.deploy("shop", eb.versions("shop")[2].VersionLabel)    -- back to the version before
---     eb.swap("shop-blue", "shop-green")               -- their addresses change places
---
--- An environment that is not there raises kind "not_found".
local aws = require "aws"
local bastion = require "aws.common.bastion"
local beanstalk = require "aws.common.beanstalk"
local errors = require "errors"
local fs = require "fs"
local http = require "http"
local json = require "json"
local log = require "log"
local logs = require "logs"
local noun = require "aws.common.noun"
local options = require "options"
local process = require "process"
local ssh = require "ssh"
local task = require "task"
local zip = require "zip"

local M = {}

local PATIENCE = 180                    -- seconds that the machines may take to hand out their logs
local SWAP = 600                        -- seconds that a swap may take

local function find(name)
  return beanstalk.find(name) or errors.raise { kind = "not_found", op = "find the environment " .. name,
    message = ("there is none of that name in %s"):format(aws.elasticbeanstalk.region) }
end

local function waiting(what)
  local p = log.progress { what = what }
  return { note = function(text) p:note(text) end }, p
end

--- How an environment is.
---@param name string
---@return { name: string, application: string, status: string, health: string, version: string?, platform: string,
---  cname: string, url: string, updated: number }
function M.status(name)
  local e = find(name)
  return { name = e.EnvironmentName, application = e.ApplicationName, status = e.Status, health = e.Health, version = e.VersionLabel,
           platform = e.PlatformArn, cname = e.CNAME, url = "http://" .. e.CNAME, updated = e.DateUpdated }
end

--- How its machines are, and why. An environment with basic health reporting tells its color only.
---@param name string
---@return { status: string, color: string, causes: string[], instances: table[] } instances: as AWS describes them
function M.health(name)
  local e = find(name)
  local function ask(call, args)
    return noun.found("InvalidRequestException", aws.elasticbeanstalk[call], aws.elasticbeanstalk, args)
  end
  local all = ask("describe_environment_health", { EnvironmentName = name, AttributeNames = { "All" } })
  if not all then return { status = e.Status, color = e.Health, causes = json.array {}, instances = json.array {} } end
  local instances = ask("describe_instances_health", { EnvironmentName = name, AttributeNames = { "All" } })
  return { status = all.HealthStatus, color = all.Color, causes = all.Causes or json.array {},
           instances = instances and instances.InstanceHealthList or json.array {} }
end

local declared_events = {
  { "count", "how many at most, the newest", type = "integer", default = 100 },
  { "severity", "TRACE, DEBUG, INFO, WARN, ERROR or FATAL, and worse", type = "string" },
  { "since", "seconds since 1970", type = "number" },
}

--- What happened to an environment, the newest last.
---@param name string
---@param o? { count?: integer, severity?: string, since?: number }
---@return table[] events as AWS describes them
function M.events(name, o)
  o = options.check(o or {}, declared_events, "eb.events")
  local list = json.array {}
  for event in aws.elasticbeanstalk:each("describe_events", { EnvironmentName = name, Severity = o.severity, StartTime = o.since,
                                                              MaxRecords = math.min(o.count, 1000) }) do
    if #list == o.count then break end
    table.insert(list, 1, event)
  end
  return list
end

local function key_of(event) return ("%s %s"):format(event.EventDate, event.Message) end

--- Tells what happens to an environment, as it happens, until it is ready and nothing is under way.
---@param name string
---@param tell? fun(line: string, event: table) each event; without it the log does
---@param o? { timeout?: number } seconds; an hour by default
function M.follow(name, tell, o)
  local deadline, seen = task.now() + (o and o.timeout or 3600), {}
  tell = tell or function(line) log.info("%s", line) end
  if tell == print then tell = function(line) print(line) end end          -- of the event it would print the address
  local last = M.events(name, { count = 1 })[1]
  local since = last and last.EventDate
  while true do
    local status = find(name).Status                         -- before its events: the last of them are told, too
    for _, event in ipairs(M.events(name, { since = since, count = 1000 })) do
      if not seen[key_of(event)] then
        seen[key_of(event)], since = true, event.EventDate
        tell(("%s  %-5s  %s"):format(os.date("!%Y-%m-%d %H:%M:%S", math.floor(event.EventDate)), event.Severity, event.Message), event)
      end
    end
    if status == "Ready" then return end
    if task.now() > deadline then errors.raise { kind = "timeout", op = "follow the environment " .. name, message = "it is still " .. status } end
    task.sleep(2)
  end
end

-- Logs ---------------------------------------------------------------------

local function infos(name, kind)
  return aws.elasticbeanstalk:retrieve_environment_info({ EnvironmentName = name, InfoType = kind }).EnvironmentInfo or {}
end

--- What the machines hand out anew: { Ec2InstanceId, Message = where it lies }.
local function requested(name, kind)
  find(name)
  local ctx, p = waiting(("logs of %s"):format(name))
  local _ <close> = p
  local before = {}
  for _, info in ipairs(infos(name, kind)) do before[info.Ec2InstanceId] = info.SampleTimestamp end
  aws.elasticbeanstalk:request_environment_info { EnvironmentName = name, InfoType = kind }
  return noun.wait(ctx, "the machines have not handed them out yet", PATIENCE, function()
    local fresh = {}
    for _, info in ipairs(infos(name, kind)) do
      if info.Message and info.SampleTimestamp > (before[info.Ec2InstanceId] or 0) then fresh[#fresh + 1] = info end
    end
    return #fresh > 0 and fresh or nil
  end)
end

local function fetch(info, opts)
  local answer = http.get(info.Message, opts)
  if not answer:ok() then
    errors.raise { kind = "remote", op = "fetch the logs of " .. info.Ec2InstanceId, message = "S3 answers " .. answer.status, retry = true }
  end
  return answer.body
end

--- The last lines of the logs of all machines.
---@param name string
---@return string
function M.logs(name)
  local parts = {}
  for _, info in ipairs(requested(name, "tail")) do
    parts[#parts + 1] = ("============= %s ==============\n%s"):format(info.Ec2InstanceId, fetch(info, { timeout = 60 }))
  end
  return table.concat(parts, "\n")
end

--- All logs of all machines, unpacked into a folder for each.
---@param name string
---@param dir string
---@return string[] folders
function M.bundle(name, dir)
  local folders = {}
  for i, info in ipairs(requested(name, "bundle")) do
    folders[i] = fs.join(dir, info.Ec2InstanceId)
    fs.mkdir_p(folders[i])
    local file = folders[i] .. ".zip"
    fetch(info, { to_file = file })
    zip.unpack(file, folders[i], { links = "skip" })
    fs.remove(file)
  end
  return folders
end

--- Tells what the processes of an environment print and what its machines log, as it comes to CloudWatch Logs. The environment
--- needs log streaming, as those of aws.environment have it; see logs.tail.
---@param name string
---@param tell? fun(line: string, event: table) each line; without it the log does
---@param o? { since?: number, seconds?: number, filter?: string }
---@return integer count lines that were told
function M.tail(name, tell, o)
  find(name)
  return logs.tail({ prefix = ("/aws/elasticbeanstalk/%s/"):format(name) }, tell, o)
end

-- Doing --------------------------------------------------------------------

--- The versions of an environment's application, the newest first.
---@param name string
---@return table[] versions as AWS describes them
function M.versions(name)
  local list = json.array {}
  for version in aws.elasticbeanstalk:each("describe_application_versions", { ApplicationName = find(name).ApplicationName }) do
    list[#list + 1] = version
  end
  table.sort(list, function(a, b) return a.DateCreated > b.DateCreated end)
  return list
end

--- Makes a version the one that runs, and waits until it is healthy. An earlier one is the way back.
---@param name string
---@param version any its label, or of aws.eb_version
function M.deploy(name, version)
  find(name)
  local ctx, p = waiting(("deploy %s to %s"):format(noun.id(version), name))
  local _ <close> = p
  ctx.taken = function() end
  beanstalk.deploy(ctx, name, noun.id(version), 1800)
end

--- Exchanges the addresses of two environments, and waits until that is done. Who kept an address in the DNS for a while is
--- sent to the other one only after that while: both must go on running.
---@param a string
---@param b string
function M.swap(a, b)
  local before = find(a).CNAME
  aws.elasticbeanstalk:swap_environment_cnames { SourceEnvironmentName = a, DestinationEnvironmentName = b }
  local ctx, p = waiting(("swap %s and %s"):format(a, b))
  local _ <close> = p
  noun.wait(ctx, "their addresses are as they were", SWAP, function()
    local x, y = find(a), find(b)
    return x.CNAME ~= before and x.Status == "Ready" and y.Status == "Ready" or nil
  end)
end

--- Opens an environment in the browser of this machine, where it has one.
---@param name string
---@return string url
function M.open(name)
  local url = M.status(name).url
  local program = (os.getenv "DISPLAY" or os.getenv "WAYLAND_DISPLAY") and process.which "xdg-open"
  if program then process.run { program, url, timeout = 10 } end
  return url
end

--- The machines of an environment.
---@param name string
---@return { id: string, address: string, public: string? }[]
function M.machines(name)
  find(name)
  local ids = json.array {}
  for i, instance in ipairs(aws.elasticbeanstalk:describe_environment_resources({ EnvironmentName = name }).EnvironmentResources.Instances) do
    ids[i] = instance.Id
  end
  local list = json.array {}
  if #ids == 0 then return list end
  for reservation in aws.ec2:each("describe_instances", { InstanceIds = ids }) do
    for _, i in ipairs(reservation.Instances or { reservation }) do
      list[#list + 1] = { id = i.InstanceId, address = i.PrivateIpAddress, public = i.PublicIpAddress }
    end
  end
  return list
end

local declared_ssh = {
  { "via", "ssh session at the bastion: bastion:open()", type = "any", required = true },
  { "key", "private key of the environment's key pair: a secret, or the path of a file", type = "any" },
  { "host_key", "the machine's public key; by default as its console says it", type = "any" },
  { "user", "who to log in as", type = "string", default = "ec2-user" },
  { "port", "port of its sshd", type = "integer", default = 22 },
  { "machine", "id of the machine; the first one by default", type = "string" },
}

--- Logs in at a machine of an environment, through the bastion, which must stay open as long. The environment needs a key pair,
--- and must let the bastion in (`key` and `ssh_from` of aws.environment). The host key is the one that the machine printed at
--- its first boot, which AWS tells: nobody is trusted unseen.
---@param name string
---@param o { via: SshSession, key?: any, host_key?: any, user?: string, port?: integer, machine?: string }
---@return SshSession
function M.ssh(name, o)
  o = options.check(o, declared_ssh, "eb.ssh")
  for _, machine in ipairs(M.machines(name)) do
    if not o.machine or machine.id == o.machine then
      local tunnel = o.via:tunnel(("%s:%d"):format(machine.address, o.port))
      return ssh.open { host = "127.0.0.1", port = tunnel.port, user = o.user, key = o.key,
                        host_key = o.host_key or bastion.console_key(machine.id, machine.id) }
    end
  end
  errors.raise { kind = "not_found", op = "log in at " .. name, message = o.machine and "it has no machine " .. o.machine or "it has no machine" }
end

return M
