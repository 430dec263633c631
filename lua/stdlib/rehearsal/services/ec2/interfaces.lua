--- Network interfaces, one for each address that is taken, and the network ACL that each VPC begins with. The rehearsal
--- makes no other ACLs: all that its subnets' would refuse is what the security groups refuse.
local C = require "rehearsal.services.ec2.common"

local S = {}

--- Filters whose field is elsewhere than in other answers.
local FILTERS = { ["group-id"] = "groups[].GroupId", ["attachment.instance-id"] = "attachment.InstanceId",
                  ["association.public-ip"] = "association.PublicIp", ["network-acl-id"] = "networkAclId" }

local function filters_of(p)
  local list = {}
  for i, f in ipairs(p.Filters or {}) do list[i] = { Name = FILTERS[f.Name] or f.Name, Values = f.Values } end
  return list
end

--- "eni-0..." of the owner of an address, always the same one.
local function id_of(subnet, address)
  local digits = (subnet.SubnetId:sub(-8) .. address):gsub("%X", "")
  return "eni-0" .. ("0"):rep(16 - math.min(16, #digits)) .. digits:sub(1, 16):lower()
end

--- Notes what an interface is: { Description=, RequesterId=, InterfaceType=, public = its public address }.
function S._note_interface(cloud, ctx, subnet_id, owner, facts)
  local subnet = C._get(cloud, ctx, "subnet", subnet_id, "InvalidSubnetID.NotFound")
  subnet.interfaces = subnet.interfaces or {}
  local known = subnet.interfaces[owner] or {}
  for k, v in pairs(facts) do known[k] = v end
  subnet.interfaces[owner] = known
end

local function interface(cloud, ctx, subnet, owner, address)
  local facts = subnet.interfaces and subnet.interfaces[owner] or {}
  local found = C._all(cloud, ctx.region)[owner]
  local instance = found and found.kind == "instance" and found.value or nil
  local public, groups = instance and instance.PublicIpAddress or facts.public, {}
  for _, group in ipairs(C._list(cloud, ctx.region, "security-group")) do
    if group.used and group.used[owner] then groups[#groups + 1] = { GroupId = group.GroupId, GroupName = group.GroupName } end
  end
  local association = public and { PublicIp = public, IpOwnerId = "amazon" } or nil
  return {
    NetworkInterfaceId = id_of(subnet, address), SubnetId = subnet.SubnetId, VpcId = subnet.VpcId, AvailabilityZone = subnet.AvailabilityZone,
    Description = facts.Description or "", InterfaceType = facts.InterfaceType or "interface", OwnerId = cloud.account, Status = "in-use",
    PrivateIpAddress = address, PrivateIpAddresses = { { Primary = true, PrivateIpAddress = address, Association = association } },
    Association = association, Groups = groups, Ipv6Addresses = {}, TagSet = {}, SourceDestCheck = true,
    RequesterId = facts.RequesterId, RequesterManaged = facts.RequesterId ~= nil,
    Attachment = { AttachmentId = "eni-attach-" .. id_of(subnet, address):sub(5), DeviceIndex = 0, Status = "attached", DeleteOnTermination = true,
                   InstanceId = instance and owner or nil, InstanceOwnerId = instance and cloud.account or "amazon-aws" },
  }
end

function S.DescribeNetworkInterfaces(cloud, p, ctx)
  local list = {}
  for _, subnet in ipairs(C._list(cloud, ctx.region, "subnet")) do
    for owner, address in pairs(subnet.used or {}) do list[#list + 1] = interface(cloud, ctx, subnet, owner, address) end
  end
  table.sort(list, function(a, b) return a.NetworkInterfaceId < b.NetworkInterfaceId end)
  list = C._select(list, "NetworkInterfaceId", p.NetworkInterfaceIds, filters_of(p), "InvalidNetworkInterfaceID.NotFound")
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { NetworkInterfaces = page, NextToken = token }
end

local function everything(number, action, egress)
  return { RuleNumber = number, RuleAction = action, Egress = egress, Protocol = "-1", CidrBlock = "0.0.0.0/0" }
end

function S.DescribeNetworkAcls(cloud, p, ctx)
  local list = {}
  for _, vpc in ipairs(C._list(cloud, ctx.region, "vpc")) do
    local id, associations = "acl-" .. vpc.VpcId:sub(5), {}
    for _, subnet in ipairs(C._list(cloud, ctx.region, "subnet")) do
      if subnet.VpcId == vpc.VpcId then
        associations[#associations + 1] = { NetworkAclAssociationId = "aclassoc-" .. subnet.SubnetId:sub(8), NetworkAclId = id,
                                            SubnetId = subnet.SubnetId }
      end
    end
    list[#list + 1] = {
      NetworkAclId = id, VpcId = vpc.VpcId, IsDefault = true, OwnerId = cloud.account, Tags = {}, Associations = associations,
      Entries = { everything(100, "allow", true), everything(32767, "deny", true),
                  everything(100, "allow", false), everything(32767, "deny", false) },
    }
  end
  list = C._select(list, "NetworkAclId", p.NetworkAclIds, filters_of(p), "InvalidNetworkAclID.NotFound")
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { NetworkAcls = page, NextToken = token }
end

return S
