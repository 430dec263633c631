--- Replication subnet groups.
local common = require "rehearsal.services.dms.common"
local managed = require "rehearsal.managed"
local roles = require "rehearsal.services.dms.roles"
local wire = require "rehearsal.wire"

local S = {}

local function bad_subnet(fmt, ...) wire.fail("InvalidSubnet", 400, fmt, ...) end

--- The group of a name; state is by ARN as everywhere.
function S._subnet_group(cloud, ctx, name)
  return common.all(cloud, ctx, "subnet_groups")[common.arn(cloud, ctx, "subnet_groups", name:lower())]
    or common.missing("Replication Subnet Group %s not found.", name)
end

local function covered(cloud, ctx, ids)
  local subnets, vpc, zones = managed.subnets(cloud, ctx, ids, bad_subnet)
  local first = next(zones)
  if not first or not next(zones, first) then
    wire.fail("ReplicationSubnetGroupDoesNotCoverEnoughAZs", 400, "The replication subnet group doesn't meet Availability Zone (AZ) coverage "
      .. "requirement. Current AZ coverage: %s. Add subnets to cover at least 2 AZs.", first or "none")
  end
  return subnets, vpc
end

function S.CreateReplicationSubnetGroup(cloud, p, ctx)
  roles.check_vpc_role(cloud)
  local name = p.ReplicationSubnetGroupIdentifier:lower()
  if name == "default" or not name:find "^[%w%._ %-]+$" then common.invalid("The ReplicationSubnetGroupIdentifier %s is not valid.", name) end
  local arn = common.arn(cloud, ctx, "subnet_groups", name)
  if common.all(cloud, ctx, "subnet_groups")[arn] then common.exists("ReplicationSubnetGroup \"%s\" already in use", name) end
  local subnets, vpc = covered(cloud, ctx, p.SubnetIds)
  local group = { ReplicationSubnetGroupIdentifier = name, ReplicationSubnetGroupDescription = p.ReplicationSubnetGroupDescription, VpcId = vpc,
                  SubnetGroupStatus = "Complete", Subnets = subnets, SupportedNetworkTypes = { "IPV4" }, tags = managed.tags(p.Tags), arn = arn }
  common.all(cloud, ctx, "subnet_groups")[arn] = group
  return { ReplicationSubnetGroup = group }
end

local FILTERS = { ["replication-subnet-group-id"] = "ReplicationSubnetGroupIdentifier" }

function S.DescribeReplicationSubnetGroups(cloud, p, ctx)
  local page, marker = common.page(cloud, p, common.sorted(common.all(cloud, ctx, "subnet_groups")), FILTERS, "Replication Subnet Groups")
  return { ReplicationSubnetGroups = page, Marker = marker }
end

local function users(cloud, ctx, group)
  local list = {}
  for _, instance in ipairs(common.sorted(common.all(cloud, ctx, "instances"))) do
    if instance.ReplicationSubnetGroup == group then list[#list + 1] = instance end
  end
  return list
end

function S.ModifyReplicationSubnetGroup(cloud, p, ctx)
  roles.check_vpc_role(cloud)
  local group = S._subnet_group(cloud, ctx, p.ReplicationSubnetGroupIdentifier)
  local subnets, vpc = covered(cloud, ctx, p.SubnetIds)
  if vpc ~= group.VpcId then bad_subnet("The new subnets are not in the same VPC as the existing subnet group.") end
  local kept = {}
  for _, subnet in ipairs(subnets) do kept[subnet.SubnetIdentifier] = true end
  for _, instance in ipairs(users(cloud, ctx, group)) do
    if instance.place and not kept[instance.place.subnet] then
      wire.fail("SubnetAlreadyInUse", 400, "The subnet %s is in use by %s.", instance.place.subnet, instance.ReplicationInstanceIdentifier)
    end
  end
  group.Subnets = subnets
  group.ReplicationSubnetGroupDescription = p.ReplicationSubnetGroupDescription or group.ReplicationSubnetGroupDescription
  return { ReplicationSubnetGroup = group }
end

function S.DeleteReplicationSubnetGroup(cloud, p, ctx)
  local group = S._subnet_group(cloud, ctx, p.ReplicationSubnetGroupIdentifier)
  local user = users(cloud, ctx, group)[1]
  if user then
    common.state("Cannot delete the replication subnet group '%s' because at least one replication instance: %s is still using it.",
      group.ReplicationSubnetGroupIdentifier, user.ReplicationInstanceIdentifier)
  end
  common.all(cloud, ctx, "subnet_groups")[group.arn] = nil
end

return S
