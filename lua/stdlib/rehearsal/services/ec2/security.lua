--- Security groups. Every change goes to the packet filter.
local C = require "rehearsal.services.ec2.common"
local canonical = require "aws.common.cidr".canonical
local cidr = require "rehearsal.services.ec2.cidr"
local wire = require "rehearsal.wire"

local S = {}

local function group_of(cloud, ctx, id) return C._get(cloud, ctx, "security-group", id, "InvalidGroup.NotFound") end

local function packet_rules(permissions)
  local rules = {}
  for _, permission in ipairs(permissions) do
    local rule = { protocol = permission.IpProtocol, from = permission.FromPort, to = permission.ToPort, cidrs = {}, groups = {} }
    for _, range in ipairs(permission.IpRanges or {}) do table.insert(rule.cidrs, range.CidrIp) end
    for _, pair in ipairs(permission.UserIdGroupPairs or {}) do table.insert(rule.groups, pair.GroupId) end
    rules[#rules + 1] = rule
  end
  return rules
end

local function apply(cloud, ctx, vpc_id)
  local groups = {}
  for _, group in ipairs(C._list(cloud, ctx.region, "security-group")) do
    if group.VpcId == vpc_id then
      groups[group.GroupId] = { ingress = packet_rules(group.IpPermissions), egress = packet_rules(group.IpPermissionsEgress) }
    end
  end
  if cloud.net.vpcs[vpc_id] then cloud.net:set_groups(vpc_id, groups) end
end

local function new_group(cloud, ctx, vpc_id, name, description, tags)
  local id = cloud:new_id "sg"
  local group = C._add(cloud, ctx, "security-group", id, {
    GroupId = id, GroupName = name, Description = description, VpcId = vpc_id, OwnerId = cloud.account, IpPermissions = {},
    IpPermissionsEgress = { { IpProtocol = "-1", Ipv6Ranges = {}, PrefixListIds = {}, UserIdGroupPairs = {},
                              IpRanges = { { CidrIp = "0.0.0.0/0", rule_id = cloud:new_id "sgr" } } } },
    SecurityGroupArn = cloud:arn("ec2", ctx.region, "security-group/" .. id),
  }, tags)
  return group
end

function S._default_group(cloud, ctx, vpc_id)
  local group = new_group(cloud, ctx, vpc_id, "default", "default VPC security group")
  group.IpPermissions = { { IpProtocol = "-1", IpRanges = {}, Ipv6Ranges = {}, PrefixListIds = {}, UserIdGroupPairs = {
    { GroupId = group.GroupId, UserId = cloud.account, rule_id = cloud:new_id "sgr" } } } }
end

function S.CreateSecurityGroup(cloud, p, ctx)
  C._get(cloud, ctx, "vpc", p.VpcId, "InvalidVpcID.NotFound")
  if p.GroupName:find "^sg%-" then wire.fail("InvalidParameterValue", 400, "Group names may not be in the format sg-*.") end
  if not p.Description:find "^[%w %._%-:/%(%)#,@%[%]%+=&;{}!%$%*]*$" then
    wire.fail("InvalidParameterValue", 400,
      "Value (%s) for parameter GroupDescription is invalid. Character sets beyond ASCII are not supported.", p.Description)
  end
  for _, group in ipairs(C._list(cloud, ctx.region, "security-group")) do
    if group.VpcId == p.VpcId and group.GroupName == p.GroupName then
      wire.fail("InvalidGroup.Duplicate", 400, "The security group '%s' already exists for VPC '%s'", p.GroupName, p.VpcId)
    end
  end
  local group = new_group(cloud, ctx, p.VpcId, p.GroupName, p.Description, p.TagSpecifications)
  apply(cloud, ctx, p.VpcId)
  return { GroupId = group.GroupId, Tags = group.Tags, SecurityGroupArn = group.SecurityGroupArn }
end

function S.DescribeSecurityGroups(cloud, p, ctx)
  local list = C._select(C._list(cloud, ctx.region, "security-group"), "GroupId", p.GroupIds, p.Filters, "InvalidGroup.NotFound")
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { SecurityGroups = page, NextToken = token }
end

local LISTS = { "IpRanges", "Ipv6Ranges", "UserIdGroupPairs", "PrefixListIds" }
local PROTOCOLS = { ["1"] = "icmp", ["6"] = "tcp", ["17"] = "udp", ["58"] = "icmpv6", all = "-1" }
local WITH_PORTS = { tcp = true, udp = true, icmp = true, icmpv6 = true }

local function same_port(a, b) return a.IpProtocol == b.IpProtocol and a.FromPort == b.FromPort and a.ToPort == b.ToPort end

local function peer_of(entry)
  return entry.CidrIp or entry.CidrIpv6 or entry.GroupId and (entry.UserId or "") .. "/" .. entry.GroupId or entry.PrefixListId
end

local function malformed(range) wire.fail("InvalidParameterValue", 400, "CIDR block %s is malformed", tostring(range)) end

--- The permissions of a request as EC2 keeps them: protocols by name, ranges without bits beyond their prefix.
local function normal(cloud, ctx, p)
  local permissions = p.IpPermissions
  if not permissions then
    permissions = { { IpProtocol = p.IpProtocol or "-1", FromPort = p.FromPort, ToPort = p.ToPort,
                      IpRanges = p.CidrIp and { { CidrIp = p.CidrIp } } or {} } }
  end
  for _, permission in ipairs(permissions) do
    permission.IpProtocol = PROTOCOLS[permission.IpProtocol:lower()] or permission.IpProtocol:lower()
    if not WITH_PORTS[permission.IpProtocol] then permission.FromPort, permission.ToPort = nil, nil
    elseif not permission.FromPort or not permission.ToPort then
      wire.fail("MissingParameter", 400, "The request must contain the parameter %s", permission.FromPort and "toPort" or "fromPort")
    end
    for _, range in ipairs(permission.IpRanges or {}) do
      range.CidrIp = tostring(cidr.parse(range.CidrIp) or malformed(range.CidrIp))
    end
    for _, range in ipairs(permission.Ipv6Ranges or {}) do
      if not (range.CidrIpv6 or ""):find "^[%x:]+/%d+$" then malformed(range.CidrIpv6) end
      range.CidrIpv6 = canonical(range.CidrIpv6)
    end
    for _, pair in ipairs(permission.UserIdGroupPairs or {}) do
      pair.UserId = pair.UserId or cloud.account
      if pair.UserId == cloud.account then group_of(cloud, ctx, pair.GroupId) end
    end
  end
  return permissions
end

--- Calls fn for each rule: one peer of one permission.
local function each_rule(permissions, fn)
  for _, permission in ipairs(permissions) do
    for _, list in ipairs(LISTS) do
      for _, entry in ipairs(permission[list] or {}) do fn(permission, list, entry) end
    end
  end
end

--- The permission of these ports among a group's, and the entry of the peer in it.
local function held(permissions, permission, list, entry)
  for _, old in ipairs(permissions) do
    if same_port(old, permission) then
      for i, other in ipairs(old[list]) do
        if peer_of(other) == peer_of(entry) then return old, other, i end
      end
      return old
    end
  end
end

--- A rule as DescribeSecurityGroupRules shows it.
local function shown_rule(cloud, group, permission, entry, is_egress)
  return {
    SecurityGroupRuleId = entry.rule_id, GroupId = group.GroupId, GroupOwnerId = cloud.account, IsEgress = is_egress,
    IpProtocol = permission.IpProtocol, FromPort = permission.FromPort or -1, ToPort = permission.ToPort or -1, CidrIpv4 = entry.CidrIp,
    CidrIpv6 = entry.CidrIpv6, PrefixListId = entry.PrefixListId, Description = entry.Description, Tags = {},
    ReferencedGroupInfo = entry.GroupId and { GroupId = entry.GroupId, UserId = entry.UserId } or nil,
  }
end

--- All of a request is done, or nothing.
local function authorize(field)
  return function(cloud, p, ctx)
    local group = group_of(cloud, ctx, p.GroupId)
    local permissions, made = normal(cloud, ctx, p), {}
    each_rule(permissions, function(permission, list, entry)
      local _, old = held(group[field], permission, list, entry)
      if old then
        wire.fail("InvalidPermission.Duplicate", 400, "the specified rule \"peer: %s, %s\" already exists", peer_of(entry), permission.IpProtocol)
      end
    end)
    each_rule(permissions, function(permission, list, entry)
      local into = held(group[field], permission, list, entry)
      if not into then
        into = { IpProtocol = permission.IpProtocol, FromPort = permission.FromPort, ToPort = permission.ToPort }
        for _, name in ipairs(LISTS) do into[name] = {} end
        table.insert(group[field], into)
      end
      entry.rule_id = cloud:new_id "sgr"
      table.insert(into[list], entry)
      made[#made + 1] = shown_rule(cloud, group, permission, entry, field == "IpPermissionsEgress")
    end)
    apply(cloud, ctx, group.VpcId)
    return { Return = true, SecurityGroupRules = made }
  end
end

local function take_out(group, field, permission, list, i)
  table.remove(permission[list], i)
  for _, name in ipairs(LISTS) do
    if permission[name][1] then return end
  end
  for j, other in ipairs(group[field]) do
    if other == permission then table.remove(group[field], j) return end
  end
end

local function by_id(group, field, id)
  local found
  each_rule(group[field], function(permission, list, entry)
    if entry.rule_id == id then found = { permission, list, entry } end
  end)
  if not found then wire.fail("InvalidSecurityGroupRuleId.NotFound", 400, "The security group rule ID '%s' does not exist", id) end
  return found
end

local function revoke(field)
  return function(cloud, p, ctx)
    local group = group_of(cloud, ctx, p.GroupId)
    local permissions = {}
    for i, id in ipairs(p.SecurityGroupRuleIds or {}) do
      local permission, list, entry = table.unpack(by_id(group, field, id))
      permissions[i] = { IpProtocol = permission.IpProtocol, FromPort = permission.FromPort, ToPort = permission.ToPort, [list] = { entry } }
    end
    if not permissions[1] then permissions = normal(cloud, ctx, p) end
    each_rule(permissions, function(permission, list, entry)
      local _, old = held(group[field], permission, list, entry)
      if not old then wire.fail("InvalidPermission.NotFound", 400, "The specified rule does not exist in this security group.") end
    end)
    each_rule(permissions, function(permission, list, entry)
      local into, _, i = held(group[field], permission, list, entry)
      take_out(group, field, into, list, i)
    end)
    apply(cloud, ctx, group.VpcId)
    return { Return = true }
  end
end

local function describe_anew(field)
  return function(cloud, p, ctx)
    local group = group_of(cloud, ctx, p.GroupId)
    local found = {}
    for i, d in ipairs(p.SecurityGroupRuleDescriptions or {}) do
      found[i] = { by_id(group, field, d.SecurityGroupRuleId)[3], d.Description }
    end
    each_rule(p.IpPermissions and normal(cloud, ctx, p) or {}, function(permission, list, entry)
      local _, old = held(group[field], permission, list, entry)
      if not old then wire.fail("InvalidPermission.NotFound", 400, "The specified rule does not exist in this security group.") end
      found[#found + 1] = { old, entry.Description }
    end)
    for _, f in ipairs(found) do f[1].Description = f[2] end
    return { Return = true }
  end
end

S.AuthorizeSecurityGroupIngress = authorize "IpPermissions"
S.AuthorizeSecurityGroupEgress = authorize "IpPermissionsEgress"
S.RevokeSecurityGroupIngress = revoke "IpPermissions"
S.RevokeSecurityGroupEgress = revoke "IpPermissionsEgress"
S.UpdateSecurityGroupRuleDescriptionsIngress = describe_anew "IpPermissions"
S.UpdateSecurityGroupRuleDescriptionsEgress = describe_anew "IpPermissionsEgress"

function S.DescribeSecurityGroupRules(cloud, p, ctx)
  local list = {}
  for _, group in ipairs(C._list(cloud, ctx.region, "security-group")) do
    for _, field in ipairs { "IpPermissions", "IpPermissionsEgress" } do
      each_rule(group[field], function(permission, _, entry)
        list[#list + 1] = shown_rule(cloud, group, permission, entry, field == "IpPermissionsEgress")
      end)
    end
  end
  list = C._select(list, "SecurityGroupRuleId", p.SecurityGroupRuleIds, p.Filters, "InvalidSecurityGroupRuleId.NotFound")
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { SecurityGroupRules = page, NextToken = token }
end

function S.DeleteSecurityGroup(cloud, p, ctx)
  local group = group_of(cloud, ctx, p.GroupId)
  if group.GroupName == "default" then
    wire.fail("CannotDelete", 400, "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", p.GroupId)
  end
  if next(group.used or {}) then
    wire.fail("DependencyViolation", 400, "resource %s has a dependent object: %s", p.GroupId, (next(group.used)))
  end
  for _, other in ipairs(C._list(cloud, ctx.region, "security-group")) do
    for _, field in ipairs { "IpPermissions", "IpPermissionsEgress" } do
      for _, permission in ipairs(other ~= group and other[field] or {}) do
        for _, pair in ipairs(permission.UserIdGroupPairs or {}) do
          if pair.GroupId == p.GroupId then
            wire.fail("DependencyViolation", 400, "resource %s has a dependent object: %s", p.GroupId, other.GroupId)
          end
        end
      end
    end
  end
  C._remove(cloud, ctx, p.GroupId)
  apply(cloud, ctx, group.VpcId)
  return { Return = true, GroupId = p.GroupId }
end

--- Notes that a resource of any service uses groups, or (on = nil) no longer.
function S._use_groups(cloud, ctx, ids, owner, on)
  for _, id in ipairs(ids or {}) do
    local found = C._all(cloud, ctx.region)[id]
    if not found and on then wire.fail("InvalidGroup.NotFound", 400, "The security group '%s' does not exist", id) end
    if found then
      found.value.used = found.value.used or {}
      found.value.used[owner] = on
    end
  end
end

return S
