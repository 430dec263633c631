--- Instances: an Amazon Linux machine of which the sshd is real.
local attributes = require "rehearsal.services.ec2.attributes"
local C = require "rehearsal.services.ec2.common"
local fs = require "fs"
local images = require "rehearsal.services.ec2.images"
local keys = require "rehearsal.services.ec2.keys"
local log = require "log"
local network = require "rehearsal.services.ec2.network"
local security = require "rehearsal.services.ec2.security"
local sign = require "sign"
local volumes = require "rehearsal.services.ec2.volumes"
local wire = require "rehearsal.wire"

local S = {}

local STATES = { pending = 0, running = 16, ["shutting-down"] = 32, terminated = 48, stopping = 64, stopped = 80 }

local function set_state(instance, name)
  instance.State = { Code = STATES[name], Name = name }
end

local function instance_of(cloud, ctx, id)
  return C._get(cloud, ctx, "instance", id, "InvalidInstanceID.NotFound")
end

local function start_sshd(cloud, ctx, instance, host)
  return cloud:plane "sshd".start {
    dir = fs.join(cloud.dir, instance.InstanceId), host = host.address, port = fs.uid() == 0 and 22 or nil, user = "ec2-user",
    authorized_keys = instance.KeyName and keys._public_key(cloud, ctx, instance.KeyName) or "", prefix = host.prefix,
  }
end

--- Puts the machine into its network and starts its sshd.
local function boot(cloud, ctx, instance)
  if instance.State.Name ~= "pending" then return end
  local groups = {}
  for i, group in ipairs(instance.SecurityGroups) do groups[i] = group.GroupId end
  local host = cloud.net:add_host(instance.VpcId, instance.PrivateIpAddress, groups)
  instance.host = host
  instance.sshd = start_sshd(cloud, ctx, instance, host)
  if instance.wants_public then
    instance.PublicIpAddress = cloud.net:publish(host)
    instance.PublicDnsName = ("ec2-%s.compute-1.amazonaws.com"):format(instance.PublicIpAddress:gsub("%.", "-"))
    if instance.sshd.port ~= 22 then    -- an ordinary user cannot have port 22: the client's own config says so
      fs.append(fs.join(cloud.home, ".ssh/config"), ("Host %s\n  Port %d\n"):format(instance.PublicIpAddress, instance.sshd.port), 384)
    end
  end
  set_state(instance, "running")
end

local function stop_machine(cloud, instance)
  if instance.sshd then instance.sshd:stop() end
  if instance.host then cloud.net:remove_host(instance.host) end
  instance.sshd, instance.host, instance.PublicIpAddress = nil, nil, nil
end

--- Gives back what a machine has that will not run again.
local function end_machine(cloud, ctx, instance)
  stop_machine(cloud, instance)
  network._free_address(cloud, ctx, instance.SubnetId, instance.InstanceId)
  for _, group in ipairs(instance.SecurityGroups) do security._use_groups(cloud, ctx, { group.GroupId }, instance.InstanceId, nil) end
  set_state(instance, "terminated")
  volumes._release(cloud, ctx, instance)
  cloud:after(3600, function() C._remove(cloud, ctx, instance.InstanceId) end)
end

function S.RunInstances(cloud, p, ctx)
  local store = cloud:store("ec2", ctx.region)
  store.tokens = store.tokens or {}
  local before = p.ClientToken and store.tokens[p.ClientToken]
  if before then return before end
  local image = images.find(ctx.region, p.ImageId)
    or wire.fail("InvalidAMIID.NotFound", 400, "The image id '[%s]' does not exist", tostring(p.ImageId))
  local nic = p.NetworkInterfaces and p.NetworkInterfaces[1] or {}
  local subnet_id = nic.SubnetId or p.SubnetId or wire.fail("MissingInput", 400, "No subnets found for the default VPC")
  local subnet = network._subnet(cloud, ctx, subnet_id)
  if p.KeyName then keys._public_key(cloud, ctx, p.KeyName) end
  if p.MaxCount ~= 1 then wire.fail("InstanceLimitExceeded", 400, "the rehearsal starts one instance at a time") end
  local id = cloud:new_id "i"
  local address = network._take_address(cloud, ctx, subnet_id, id)
  local group_ids = nic.Groups or p.SecurityGroupIds or {}
  security._use_groups(cloud, ctx, group_ids, id, true)
  local groups = {}
  for i, group_id in ipairs(group_ids) do
    groups[i] = { GroupId = group_id, GroupName = C._get(cloud, ctx, "security-group", group_id, "InvalidGroup.NotFound").GroupName }
  end
  local wants_public = nic.AssociatePublicIpAddress
  if wants_public == nil then wants_public = subnet.MapPublicIpOnLaunch end
  local instance = C._add(cloud, ctx, "instance", id, {
    InstanceId = id, ImageId = p.ImageId, InstanceType = p.InstanceType or "t3.micro", KeyName = p.KeyName, LaunchTime = cloud.clock:now(),
    SubnetId = subnet_id, VpcId = subnet.VpcId, PrivateIpAddress = address, PrivateDnsName = "ip-" .. address:gsub("%.", "-") .. ".ec2.internal",
    SecurityGroups = groups, Placement = { AvailabilityZone = subnet.AvailabilityZone, Tenancy = "default" }, Architecture = image.Architecture,
    Monitoring = { State = "disabled" }, EbsOptimized = false, RootDeviceName = "/dev/xvda", RootDeviceType = "ebs", SourceDestCheck = true,
    VirtualizationType = "hvm", Hypervisor = "xen", BlockDeviceMappings = {}, NetworkInterfaces = {},
    MetadataOptions = { HttpTokens = p.MetadataOptions and p.MetadataOptions.HttpTokens or "required", HttpEndpoint = "enabled", State = "applied",
                        HttpPutResponseHopLimit = 2, HttpProtocolIpv6 = "disabled", InstanceMetadataTags = "disabled" },
    ClientToken = p.ClientToken, AmiLaunchIndex = 0, ProductCodes = {}, StateTransitionReason = "", PublicDnsName = "",
  }, p.TagSpecifications)
  if p.IamInstanceProfile then attributes._give_profile(cloud, instance, p.IamInstanceProfile) end
  volumes._attach_root(cloud, ctx, instance, p)
  instance.wants_public = wants_public and network._is_public(cloud, ctx, subnet_id)
  set_state(instance, "pending")
  cloud:after(25, function()
    local ok, e = pcall(boot, cloud, ctx, instance)
    if ok then return end
    end_machine(cloud, ctx, instance)    -- as EC2 does with a machine that it cannot start
    instance.StateReason = { Code = "Server.InternalError", Message = "Server.InternalError: " .. tostring(e) }
    error(e, 0)
  end)
  local result = { ReservationId = cloud:new_id "r", OwnerId = cloud.account, Groups = {}, Instances = { instance } }
  instance.reservation = result.ReservationId
  if p.ClientToken then store.tokens[p.ClientToken] = result end
  return result
end

function S.DescribeInstances(cloud, p, ctx)
  local list = C._select(C._list(cloud, ctx.region, "instance"), "InstanceId", p.InstanceIds, p.Filters, "InvalidInstanceID.NotFound")
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  local reservations = {}
  for i, instance in ipairs(page) do
    reservations[i] = { ReservationId = instance.reservation, OwnerId = cloud.account, Groups = {}, Instances = { instance } }
  end
  return { Reservations = reservations, NextToken = token }
end

function S.DescribeInstanceStatus(cloud, p, ctx)
  local result = {}
  local all = C._list(cloud, ctx.region, "instance")
  for _, instance in ipairs(C._select(all, "InstanceId", p.InstanceIds, p.Filters, "InvalidInstanceID.NotFound")) do
    if instance.State.Name == "running" or p.IncludeAllInstances then
      local status = instance.State.Name == "running" and "ok" or "not-applicable"
      result[#result + 1] = { InstanceId = instance.InstanceId, InstanceState = instance.State,
                              AvailabilityZone = instance.Placement.AvailabilityZone,
                              InstanceStatus = { Status = status }, SystemStatus = { Status = status } }
    end
  end
  return { InstanceStatuses = result }
end

function S.TerminateInstances(cloud, p, ctx)
  local changes = {}
  for i, id in ipairs(p.InstanceIds) do
    local instance = instance_of(cloud, ctx, id)
    local before = instance.State
    if instance.protected then
      wire.fail("OperationNotPermitted", 400, "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance "
        .. "attribute and try again.", id)
    end
    if before.Name ~= "terminated" then set_state(instance, "shutting-down") end
    changes[i] = { InstanceId = id, PreviousState = before, CurrentState = instance.State }
    cloud:after(20, function()
      if instance.State.Name == "shutting-down" then end_machine(cloud, ctx, instance) end
    end)
  end
  return { TerminatingInstances = changes }
end

local function transition(verb, from, via, to, act)
  return function(cloud, p, ctx)
    local changes = {}
    for i, id in ipairs(p.InstanceIds) do
      local instance = instance_of(cloud, ctx, id)
      local before = instance.State
      if before.Name ~= from and before.Name ~= to then
        wire.fail("IncorrectInstanceState", 400, "The instance '%s' is not in a state from which it can be %s.", id, verb)
      end
      if before.Name == from then
        set_state(instance, via)
        cloud:after(15, function() act(cloud, ctx, instance) end)
      end
      changes[i] = { InstanceId = id, PreviousState = before, CurrentState = instance.State }
    end
    return { StoppingInstances = changes, StartingInstances = changes }
  end
end

S.StopInstances = transition("stopped", "running", "stopping", "stopped", function(cloud, _, instance)
  stop_machine(cloud, instance)
  set_state(instance, "stopped")
end)
S.StartInstances = transition("started", "stopped", "pending", "running", boot)

--- Gives a machine of another service these groups.
function S._set_groups(cloud, ctx, id, group_ids)
  local groups = {}
  for i, group_id in ipairs(group_ids) do
    groups[i] = { GroupId = group_id, GroupName = C._get(cloud, ctx, "security-group", group_id, "InvalidGroup.NotFound").GroupName }
  end
  instance_of(cloud, ctx, id).SecurityGroups = groups
end

--- A machine that another service runs, among the instances until it is gone.
---@param machine { id: string, type: string, subnet: string, address: string, public?: string, groups: string[], tags: table<string, string> }
function S._add_machine(cloud, ctx, machine)
  local subnet, tags = network._subnet(cloud, ctx, machine.subnet), {}
  for key, value in pairs(machine.tags) do tags[#tags + 1] = { Key = key, Value = value } end
  table.sort(tags, function(a, b) return a.Key < b.Key end)
  local instance = C._add(cloud, ctx, "instance", machine.id, {
    InstanceId = machine.id, InstanceType = machine.type, LaunchTime = cloud.clock:now(), SubnetId = machine.subnet, VpcId = subnet.VpcId,
    PrivateIpAddress = machine.address, PublicIpAddress = machine.public, AmiLaunchIndex = 0,
    Placement = { AvailabilityZone = subnet.AvailabilityZone, Tenancy = "default" }, Monitoring = { State = "disabled" },
    BlockDeviceMappings = {}, NetworkInterfaces = {}, ProductCodes = {}, reservation = cloud:new_id "r",
  }, { { ResourceType = "instance", Tags = tags } })
  S._set_groups(cloud, ctx, machine.id, machine.groups)
  set_state(instance, "running")
end

--- Gives a machine of another service this key, and an sshd that takes it; without a key there is none.
---@param host Host?
---@param key string?
function S._set_key(cloud, ctx, id, host, key)
  local instance = instance_of(cloud, ctx, id)
  if instance.sshd then instance.sshd:stop() end
  instance.sshd, instance.KeyName = nil, key
  if key then instance.sshd = start_sshd(cloud, ctx, instance, host) end
end

--- Gives a machine of another service this public address.
function S._set_public(cloud, ctx, id, address) instance_of(cloud, ctx, id).PublicIpAddress = address end

--- A machine that runs.
function S._running(cloud, ctx, id)
  for _, instance in ipairs(C._list(cloud, ctx.region, "instance")) do
    if instance.InstanceId == id and instance.State.Name == "running" then return instance end
  end
end

--- What cloud-init prints at the first boot: where the host key is learnt.
function S.GetConsoleOutput(cloud, p, ctx)
  local instance = instance_of(cloud, ctx, p.InstanceId)
  local text = instance.sshd and ("[    0.000000] Linux version 6.1 (Amazon Linux 2023)\ncloud-init: -----BEGIN SSH HOST KEY KEYS-----\n%s\n"
    .. "cloud-init: -----END SSH HOST KEY KEYS-----\nip-10-0-0-1 login: \n"):format(table.concat(instance.sshd.host_keys, "\n"))
  return { InstanceId = p.InstanceId, Timestamp = cloud.clock:now(), Output = text and sign.base64(text) or "" }
end

function S.DescribeImages(_, p, ctx)
  local list = C._select(images.list(ctx.region), "ImageId", p.ImageIds, p.Filters, "InvalidAMIID.NotFound")
  return { Images = list }
end

--- Ends the machines of a cloud that stops.
function S._stop(cloud)
  for key, store in pairs(cloud.state) do
    if key:find "^ec2/" then
      for _, entry in pairs(store.resources or {}) do
        if entry.kind == "instance" then
          local ok, e = pcall(stop_machine, cloud, entry.value)
          if not ok then log.warn("the rehearsal could not stop %s: %s", entry.id, tostring(e)) end
        end
      end
    end
  end
end

return S
