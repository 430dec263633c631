--- What the managed services of the rehearsal (RDS, ElastiCache, Elastic
--- Beanstalk) have in common: a place in a VPC, events, tags, state by name.
local ec2_common = require "rehearsal.services.ec2.common"
local ec2_interfaces = require "rehearsal.services.ec2.interfaces"
local ec2_network = require "rehearsal.services.ec2.network"
local ec2_security = require "rehearsal.services.ec2.security"
local sorted_keys = require "sorted_keys"
local wire = require "rehearsal.wire"

local M = {}

--- A table of a service's state in the region, made when first asked for.
function M.table_of(cloud, ctx, service, name)
  local store = cloud:store(service, ctx.region)
  store[name] = store[name] or {}
  return store[name]
end

--- The values of a table, by key.
function M.sorted(map)
  local list = {}
  for i, key in ipairs(sorted_keys(map)) do list[i] = map[key] end
  return list
end

-- The VPC ------------------------------------------------------------------

--- The subnets of a subnet group as both APIs show them, and their VPC.
---@param fail fun(fmt: string, ...) raises the service's error for a subnet that it cannot use
---@return table[] subnets, string vpc_id, table<string, boolean> zones
function M.subnets(cloud, ctx, ids, fail)
  local all, list, zones, vpc = ec2_common._all(cloud, ctx.region), {}, {}, nil
  for i, id in ipairs(ids) do
    local found = all[id]
    if not found or found.kind ~= "subnet" then fail("Some input subnets in :[%s] are invalid.", id) end
    if vpc and found.value.VpcId ~= vpc then fail("The subnets %s are not all in the same VPC.", table.concat(ids, ", ")) end
    vpc = found.value.VpcId
    zones[found.value.AvailabilityZone] = true
    list[i] = { SubnetIdentifier = id, SubnetAvailabilityZone = { Name = found.value.AvailabilityZone }, SubnetOutpost = {},
      SubnetStatus = "Active",
                SupportedNetworkTypes = { "ipv4" } }
  end
  return list, vpc, zones
end

--- The ids of the security groups to use: those given, which must belong to
--- the VPC, else the VPC's default group.
---@param fail fun(fmt: string, ...)
---@return string[]
function M.security_groups(cloud, ctx, vpc_id, ids, fail)
  if not ids or #ids == 0 then
    for _, group in ipairs(ec2_common._list(cloud, ctx.region, "security-group")) do
      if group.VpcId == vpc_id and group.GroupName == "default" then return { group.GroupId } end
    end
    return {}
  end
  local all = ec2_common._all(cloud, ctx.region)
  for _, id in ipairs(ids) do
    local found = all[id]
    if not found or found.kind ~= "security-group" then fail("Invalid security group , groupId= %s, groupName=.", id) end
    if found.value.VpcId ~= vpc_id then fail("The DB instance and EC2 security group are in different VPCs. The security group %s is in %s.", id,
      found.value.VpcId) end
  end
  return ids
end

---@class ManagedPlace a host of ours in a customer's VPC
---@field host Host
---@field address string
---@field subnet string
---@field zone string

--- Takes an address of a subnet and puts a host there.
---@param owner string who has it, named when the subnet is to be deleted
---@param description string of its network interface
---@return ManagedPlace
function M.place(cloud, ctx, subnet_id, groups, owner, description)
  local subnet = ec2_network._subnet(cloud, ctx, subnet_id)
  local address = ec2_network._take_address(cloud, ctx, subnet_id, owner)
  ec2_interfaces._note_interface(cloud, ctx, subnet_id, owner, { Description = description, RequesterId = "amazon-aws" })
  ec2_security._use_groups(cloud, ctx, groups, owner, true)
  local host = cloud.net:add_host(subnet.VpcId, address, groups)
  return { host = host, address = host.address, subnet = subnet_id, zone = subnet.AvailabilityZone, vpc = subnet.VpcId, owner = owner,
    groups = groups,
           is_public = ec2_network._is_public(cloud, ctx, subnet_id) }
end

--- Gives the host other security groups.
function M.regroup(cloud, ctx, place, groups)
  ec2_security._use_groups(cloud, ctx, place.groups, place.owner, nil)
  ec2_security._use_groups(cloud, ctx, groups, place.owner, true)
  place.groups, place.host.groups = groups, groups
  cloud.net:filter(place.vpc)
end

--- Ends the host and gives its address back; its processes must have ended.
function M.leave(cloud, ctx, place)
  cloud.net:remove_host(place.host)
  ec2_network._free_address(cloud, ctx, place.subnet, place.owner)
  ec2_security._use_groups(cloud, ctx, place.groups, place.owner, nil)
end

-- Events -------------------------------------------------------------------

--- Notes an event of a resource.
---@param event { SourceIdentifier: string, SourceType: string, Message: string, EventCategories?: string[], SourceArn?: string }
function M.event(cloud, ctx, service, event)
  local events = M.table_of(cloud, ctx, service, "events")
  event.Date = cloud.clock:now()
  event.EventCategories = event.EventCategories or {}
  events[#events + 1] = event
end

local function shares(list, wanted)
  for _, a in ipairs(list) do
    for _, b in ipairs(wanted) do if a == b then return true end end
  end
  return false
end

--- DescribeEvents, the same in RDS and ElastiCache: the last hour, or a period.
function M.describe_events(cloud, p, ctx, service)
  local now = cloud.clock:now()
  local from = p.StartTime or (p.EndTime or now) - (p.Duration or 60) * 60
  local list = {}
  for _, e in ipairs(M.table_of(cloud, ctx, service, "events")) do
    if e.Date >= from and e.Date <= (p.EndTime or now) and (not p.SourceIdentifier or e.SourceIdentifier == p.SourceIdentifier)
       and (not p.SourceType or e.SourceType == p.SourceType)
       and (not p.EventCategories or #p.EventCategories == 0 or shares(e.EventCategories, p.EventCategories)) then
      list[#list + 1] = e
    end
  end
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { Events = page, Marker = marker }
end

-- Tags ---------------------------------------------------------------------

--- A copy of tags, so that a resource does not share them with a request.
function M.tags(list)
  local tags = {}
  for i, tag in ipairs(list or {}) do
    if tag.Key:lower():find "^aws:" then
      wire.fail("InvalidParameterValue", 400, "Tag keys that begin with aws: are reserved for system use")
    end
    tags[i] = { Key = tag.Key, Value = tag.Value or "" }
  end
  return tags
end

--- Sets tags in a list of them.
function M.add_tags(tags, more)
  for _, tag in ipairs(M.tags(more)) do
    local old
    for _, t in ipairs(tags) do if t.Key == tag.Key then old = t end end
    if old then old.Value = tag.Value else tags[#tags + 1] = tag end
  end
  if #tags > 50 then wire.fail("TagQuotaPerResourceExceeded", 400, "the resource would have more than 50 tags") end
end

function M.remove_tags(tags, keys)
  for _, key in ipairs(keys) do
    for i = #tags, 1, -1 do if tags[i].Key == key then table.remove(tags, i) end end
  end
end

return M
