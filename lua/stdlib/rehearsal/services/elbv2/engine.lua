--- What stands behind a load balancer: its host in the VPC, and in it a process
--- that forwards HTTP and looks after the targets (forward.lua). The process is
--- told what to do by a file, and tells what it finds line by line.
local C = require "rehearsal.services.elbv2.common"
local ec2_interfaces = require "rehearsal.services.ec2.interfaces"
local ec2_network = require "rehearsal.services.ec2.network"
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local log = require "log"
local managed = require "rehearsal.managed"
local process = require "process"
local task = require "task"

local M = {}

local PROGRAM = 'require("rehearsal.services.elbv2.forward").run(os.getenv "FORWARD")'

--- What its network interfaces are called.
local function described(lb) return "ELB " .. lb.LoadBalancerArn:match "loadbalancer/(.*)$" end

--- Takes an address in each subnet, as the load balancer's nodes do; gives back those of subnets that it left.
function M.hold_subnets(cloud, ctx, lb)
  local wanted = {}
  for _, zone in ipairs(lb.AvailabilityZones) do wanted[zone.SubnetId] = true end
  for id in pairs(lb.held or {}) do
    if not wanted[id] then ec2_network._free_address(cloud, ctx, id, lb.LoadBalancerArn) lb.held[id] = nil end
  end
  lb.held = lb.held or {}
  for id in pairs(wanted) do
    if id ~= lb.place.subnet and not lb.held[id] then
      ec2_network._take_address(cloud, ctx, id, lb.LoadBalancerArn)
      ec2_interfaces._note_interface(cloud, ctx, id, lb.LoadBalancerArn, { Description = described(lb), RequesterId = "amazon-elb" })
      lb.held[id] = true
    end
  end
end

--- Puts a load balancer into its subnets and gives it its name in the DNS.
function M.place(cloud, ctx, lb)
  lb.place = managed.place(cloud, ctx, lb.AvailabilityZones[1].SubnetId, lb.SecurityGroups, lb.LoadBalancerArn, described(lb))
  M.hold_subnets(cloud, ctx, lb)
  local public = lb.Scheme == "internet-facing"
  lb.ports = {}
  if cloud.net.isolated then
    lb.public = public and cloud.net:publish(lb.place.host, lb.ports) or nil
    lb.DNSName = lb.public or lb.place.address
  elseif not cloud.servers then
    lb.DNSName = ("%s-%s.%s.elb.amazonaws.com"):format(lb.LoadBalancerName, lb.LoadBalancerArn:match "[^/]*$", ctx.region)
  else                                                       -- hosts share their ports with the machine: port 80 is another one here
    lb.local_port = fs.free_port(lb.place.address)
    lb.DNSName = ("%s:%d"):format(lb.place.address, lb.local_port)
  end
end

--- The port that a listener has on this machine.
local function port_of(cloud, lb, port)
  if cloud.net.isolated or not lb.local_port then return port end
  if port == 80 then return lb.local_port end
  lb.other_ports = lb.other_ports or {}
  lb.other_ports[port] = lb.other_ports[port] or fs.free_port(lb.place.address)
  return lb.other_ports[port]
end

--- What the process is told: the listeners, and the groups that they forward to.
local function instructions(cloud, ctx, lb)
  local listeners, groups = json.array {}, {}
  for i, listener in ipairs(C.listeners_of(cloud, ctx, lb.LoadBalancerArn)) do
    local files = listener.Protocol == "HTTPS" and cloud:service "acm"._files(cloud, ctx, listener.Certificates[1].CertificateArn) or {}
    listeners[i] = { port = port_of(cloud, lb, listener.Port), outside = listener.Port, protocol = listener.Protocol:lower(),
      actions = listener.DefaultActions, cert = files.cert, key = files.key }
    for _, arn in ipairs(C.forwards_to(listener)) do
      local group = C.group(cloud, ctx, arn)
      local targets = json.array {}
      for key, target in pairs(group.targets) do
        targets[#targets + 1] = { key = key, serial = target.serial, address = target.address, port = target.port,
                                  draining = target.state == "draining" }
      end
      groups[arn] = { targets = targets, path = group.HealthCheckPath, matcher = group.Matcher.HttpCode, up = group.HealthyThresholdCount,
        down = group.UnhealthyThresholdCount, timeout = group.HealthCheckTimeoutSeconds,
        pause = math.max(0.2, group.HealthCheckIntervalSeconds / cloud.clock.scale) }
    end
  end
  return { address = lb.place.address, listeners = listeners, groups = groups, idle = tonumber(lb.attributes["idle_timeout.timeout_seconds"]) }
end

--- What the process found goes to the targets.
local function listen(cloud, ctx, lb)
  for line in function() return lb.process and lb.process:read_line() end do
    local found = json.decode(line)
    local group = type(found) == "table" and C.groups(cloud, ctx)[found.group]
    local target = group and group.targets[found.key]
    if target and target.serial ~= found.serial then target = nil end      -- told of one that was here before it
    if target and found.state == "drained" then
      target.drained = true
    elseif target and target.state ~= "draining" then
      target.state, target.reason, target.description = found.state, found.reason, found.description
    elseif type(found) ~= "table" then
      log.warn("a load balancer of the rehearsal: %s", line)
    end
  end
end

local function start(cloud, ctx, lb)
  local lib = os.getenv "HKRUN_LIB"
  lb.process = process.start { process.program(), "-e", PROGRAM, prefix = lb.place.host.prefix, stdout = "pipe",
    stderr = fs.join(lb.dir, "log"), env = { PATH = os.getenv "PATH", HOME = "/", NO_PROXY = "*", FORWARD = fs.join(lb.dir, "listeners.json"),
                                             HKRUN_LIB = lib and fs.realpath(lib) or nil } }
  lb.reader = task.spawn(function()
    local ok, e = pcall(listen, cloud, ctx, lb)
    if not ok and not errors.is(e, "cancelled") then log.warn("the reader of a load balancer: %s", tostring(e)) end
  end)
end

--- A cloud without servers: whoever is registered is well.
local function without_servers(cloud, ctx)
  for _, group in pairs(C.groups(cloud, ctx)) do
    for _, target in pairs(group.targets) do
      if target.state == "initial" then target.state, target.reason, target.description = "healthy", nil, nil end
    end
  end
end

--- Tells a load balancer what to do now.
local function tell(cloud, ctx, lb)
  lb.dir = lb.dir or fs.join(cloud.dir, "elbv2", lb.LoadBalancerArn:match "[^/]*$")
  local listeners = C.listeners_of(cloud, ctx, lb.LoadBalancerArn)
  if #listeners > 0 or lb.process then
    fs.mkdir_p(lb.dir)
    local wanted = instructions(cloud, ctx, lb)
    local text = json.encode(wanted, { sort = true })
    if text ~= lb.text then fs.write(fs.join(lb.dir, "listeners.json"), text, 384) end
    lb.text = text
    if not lb.process then start(cloud, ctx, lb) end
  end
  if lb.public then
    for port in pairs(lb.ports) do lb.ports[port] = nil end
    for _, listener in ipairs(listeners) do lb.ports[listener.Port] = listener.Port end
    cloud.net:filter(lb.VpcId)
  end
end

--- Tells all load balancers of the region; others may come and go meanwhile.
function M.refresh(cloud, ctx)
  if not cloud.servers then return without_servers(cloud, ctx) end
  for _, lb in ipairs(managed.sorted(C.balancers(cloud, ctx))) do
    if C.balancers(cloud, ctx)[lb.LoadBalancerArn] == lb then tell(cloud, ctx, lb) end
  end
end

--- Ends the process. Safe twice.
function M.stop(lb)
  local p, reader = lb.process, lb.reader
  lb.process, lb.reader = nil, nil
  if reader then reader:cancel() pcall(reader.join, reader) end
  if p then p:stop(2) end
end

--- Gives back what the load balancer had in the VPC.
function M.leave(cloud, ctx, lb)
  managed.leave(cloud, ctx, lb.place)
  for id in pairs(lb.held) do ec2_network._free_address(cloud, ctx, id, lb.LoadBalancerArn) end
  if lb.dir then fs.rmtree(lb.dir) end
end

return M
