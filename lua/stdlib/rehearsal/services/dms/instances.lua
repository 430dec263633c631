--- Replication instances: hosts of the VPC in which tasks run.
local catalog = require "rehearsal.services.dms.catalog"
local common = require "rehearsal.services.dms.common"
local fs = require "fs"
local managed = require "rehearsal.managed"
local roles = require "rehearsal.services.dms.roles"
local sign = require "sign"
local subnet_groups = require "rehearsal.services.dms.subnet_groups"
local wire = require "rehearsal.wire"

local S = {}

local function instances(cloud, ctx) return common.all(cloud, ctx, "instances") end

local function event(cloud, ctx, instance, category, fmt, ...)
  managed.event(cloud, ctx, "dms", { SourceIdentifier = instance.ReplicationInstanceIdentifier, SourceType = "replication-instance",
    EventCategories = { category }, Message = fmt:format(...) })
end

function S._available(cloud, ctx, arn)
  local instance = common.get(cloud, ctx, "instances", arn)
  if instance.ReplicationInstanceStatus ~= "available" then
    common.state("The replication instance %s is not available: its status is %s.", arn, instance.ReplicationInstanceStatus)
  end
  return instance
end

-- Create -------------------------------------------------------------------

local function memberships(ids)
  local list = {}
  for i, id in ipairs(ids) do list[i] = { VpcSecurityGroupId = id, Status = "active" } end
  return list
end

local function group_fail(fmt, ...) common.invalid(fmt, ...) end

--- Gives it its address: in the zone that was asked for, else in the group's first subnet.
local function settle(cloud, ctx, instance)
  local group = instance.ReplicationSubnetGroup
  local chosen = group.Subnets[1]
  for _, subnet in ipairs(group.Subnets) do
    if subnet.SubnetAvailabilityZone.Name == instance.AvailabilityZone then chosen = subnet end
  end
  local ids = {}
  for i, member in ipairs(instance.VpcSecurityGroups) do ids[i] = member.VpcSecurityGroupId end
  local place = managed.place(cloud, ctx, chosen.SubnetIdentifier, ids, instance.ReplicationInstanceIdentifier)
  instance.place, instance.AvailabilityZone = place, place.zone
  instance.ReplicationInstancePrivateIpAddress, instance.ReplicationInstancePrivateIpAddresses = place.address, { place.address }
  if instance.PubliclyAccessible then
    local address = cloud.net:publish(place.host)
    instance.ReplicationInstancePublicIpAddress, instance.ReplicationInstancePublicIpAddresses = address, { address }
  end
end

function S.CreateReplicationInstance(cloud, p, ctx)
  roles.check_vpc_role(cloud)
  local name = common.new_name(cloud, ctx, "instances", "ReplicationInstanceIdentifier", p.ReplicationInstanceIdentifier)
  local class, version = catalog._check_class(p.ReplicationInstanceClass), catalog._version(p.EngineVersion)
  if p.AllocatedStorage and (p.AllocatedStorage < 5 or p.AllocatedStorage > 6144) then
    common.invalid("Invalid storage size %d: it must be between 5 and 6144 GB", p.AllocatedStorage)
  end
  if p.MultiAZ and p.AvailabilityZone then common.combination("You cannot set the AvailabilityZone parameter if the MultiAZ parameter is true.") end
  if not p.ReplicationSubnetGroupIdentifier then
    wire.fail("InvalidSubnet", 400, "No default replication subnet group: the account has no default VPC. Give ReplicationSubnetGroupIdentifier.")
  end
  local group = subnet_groups._subnet_group(cloud, ctx, p.ReplicationSubnetGroupIdentifier)
  local ids = managed.security_groups(cloud, ctx, group.VpcId, p.VpcSecurityGroupIds, group_fail)
  local arn = common.arn(cloud, ctx, "instances", p.ResourceIdentifier)
  local instance = {
    ReplicationInstanceIdentifier = name, ReplicationInstanceClass = class, ReplicationInstanceStatus = "creating", EngineVersion = version,
    AllocatedStorage = p.AllocatedStorage or 50, InstanceCreateTime = cloud.clock:now(), VpcSecurityGroups = memberships(ids),
    AvailabilityZone = p.AvailabilityZone, ReplicationSubnetGroup = group, MultiAZ = p.MultiAZ or false, PendingModifiedValues = {},
    PreferredMaintenanceWindow = p.PreferredMaintenanceWindow or "sun:06:00-sun:14:00", ReplicationInstanceArn = arn,
    AutoMinorVersionUpgrade = p.AutoMinorVersionUpgrade ~= false, PubliclyAccessible = p.PubliclyAccessible ~= false,
    KmsKeyId = p.KmsKeyId or cloud:arn("kms", ctx.region, "key/" .. sign.uuid()), NetworkType = p.NetworkType or "IPV4",
    DnsNameServers = p.DnsNameServers, tags = managed.tags(p.Tags), arn = arn,
    dir = fs.join(cloud.dir, "dms-" .. sign.hex(sign.random(4))),
  }
  fs.mkdir_p(instance.dir, 448)
  instances(cloud, ctx)[arn] = instance
  event(cloud, ctx, instance, "creation", "Replication instance is being created")
  cloud:after(240, function()
    if instance.ReplicationInstanceStatus ~= "creating" then return end
    settle(cloud, ctx, instance)
    instance.ReplicationInstanceStatus = "available"
    event(cloud, ctx, instance, "creation", "Replication instance created")
  end)
  return { ReplicationInstance = instance }
end

-- Describe, modify, delete ---------------------------------------------------

local FILTERS = { ["replication-instance-arn"] = "arn", ["replication-instance-id"] = "ReplicationInstanceIdentifier",
                  ["replication-instance-class"] = "ReplicationInstanceClass", ["engine-version"] = "EngineVersion" }

function S.DescribeReplicationInstances(cloud, p, ctx)
  local page, marker = common.page(cloud, p, common.sorted(instances(cloud, ctx)), FILTERS, "Replication Instances")
  return { ReplicationInstances = page, Marker = marker }
end

--- What changes at once, or in a maintenance window that does not come in the rehearsal.
local LATER = { "AllocatedStorage", "ReplicationInstanceClass", "EngineVersion", "MultiAZ" }

function S.ModifyReplicationInstance(cloud, p, ctx)
  local instance = S._available(cloud, ctx, p.ReplicationInstanceArn)
  if p.ReplicationInstanceClass then catalog._check_class(p.ReplicationInstanceClass) end
  if p.EngineVersion then p.EngineVersion = catalog._version(p.EngineVersion) end
  if p.AllocatedStorage and p.AllocatedStorage < instance.AllocatedStorage then
    common.invalid("Invalid storage size %d: storage can only grow", p.AllocatedStorage)
  end
  if p.ReplicationInstanceIdentifier and p.ReplicationInstanceIdentifier:lower() ~= instance.ReplicationInstanceIdentifier then
    instance.ReplicationInstanceIdentifier = common.new_name(cloud, ctx, "instances", "ReplicationInstanceIdentifier",
      p.ReplicationInstanceIdentifier)
  end
  if p.VpcSecurityGroupIds then
    local ids = managed.security_groups(cloud, ctx, instance.ReplicationSubnetGroup.VpcId, p.VpcSecurityGroupIds, group_fail)
    instance.VpcSecurityGroups = memberships(ids)
    managed.regroup(cloud, ctx, instance.place, ids)
  end
  if p.AutoMinorVersionUpgrade ~= nil then instance.AutoMinorVersionUpgrade = p.AutoMinorVersionUpgrade end
  instance.PreferredMaintenanceWindow = p.PreferredMaintenanceWindow or instance.PreferredMaintenanceWindow
  local changes = {}
  for _, field in ipairs(LATER) do
    if p[field] ~= nil and p[field] ~= instance[field] then changes[field] = p[field] end
  end
  for field, value in pairs(changes) do instance.PendingModifiedValues[field] = value end
  if p.ApplyImmediately and next(changes) then
    instance.ReplicationInstanceStatus = "modifying"
    cloud:after(120, function()
      for field, value in pairs(changes) do instance[field], instance.PendingModifiedValues[field] = value, nil end
      if instance.ReplicationInstanceStatus == "modifying" then instance.ReplicationInstanceStatus = "available" end
    end)
  end
  return { ReplicationInstance = instance }
end

function S.DeleteReplicationInstance(cloud, p, ctx)
  local instance = common.get(cloud, ctx, "instances", p.ReplicationInstanceArn)
  for _, t in ipairs(common.sorted(common.all(cloud, ctx, "tasks"))) do
    if t.ReplicationInstanceArn == instance.arn then
      common.state("Replication instance %s cannot be deleted: it has one or more replication tasks, %s.", instance.arn,
        t.ReplicationTaskIdentifier)
    end
  end
  if instance.ReplicationInstanceStatus == "deleting" then common.state("Replication instance %s is already being deleted.", instance.arn) end
  instance.ReplicationInstanceStatus = "deleting"
  cloud:after(120, function()
    if instance.place then managed.leave(cloud, ctx, instance.place) end
    instance.place = nil
    for key, connection in pairs(common.all(cloud, ctx, "connections")) do
      if connection.ReplicationInstanceArn == instance.arn then common.all(cloud, ctx, "connections")[key] = nil end
    end
    fs.rmtree(instance.dir)
    instances(cloud, ctx)[instance.arn] = nil
    event(cloud, ctx, instance, "deletion", "Replication instance deleted")
  end)
  return { ReplicationInstance = instance }
end

function S.DescribeEvents(cloud, p, ctx) return managed.describe_events(cloud, p, ctx, "dms") end

--- Whether it comes out of its VPC: with an address of its own in a public subnet, and by its security groups.
---@param port integer
function S._reaches_internet(cloud, instance, port)
  local place = instance.place
  if not (instance.PubliclyAccessible and place.is_public) then return false end
  local vpc = cloud.net.vpcs[place.vpc]
  for _, id in ipairs(place.groups) do
    for _, rule in ipairs((vpc.groups[id] or {}).egress or {}) do
      local fits = rule.protocol == "-1" or rule.protocol == "tcp" and port >= (rule.from or 0) and port <= (rule.to or 65535)
      for _, cidr in ipairs(fits and rule.cidrs or {}) do if cidr == "0.0.0.0/0" then return true end end
    end
  end
  return false
end

return S
