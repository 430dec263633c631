--- Security groups and key pairs. Every change goes to the packet filter.
local C = require "rehearsal.services.ec2.common"
local cidr = require "rehearsal.services.ec2.cidr"
local secret = require "secret"
local sign = require "sign"
local ssh = require "ssh"
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
    IpPermissionsEgress = {
      { IpProtocol = "-1", IpRanges = { { CidrIp = "0.0.0.0/0" } }, Ipv6Ranges = {}, PrefixListIds = {}, UserIdGroupPairs = {} },
    },
    SecurityGroupArn = cloud:arn("ec2", ctx.region, "security-group/" .. id),
  }, tags)
  return group
end

function S._default_group(cloud, ctx, vpc_id)
  local group = new_group(cloud, ctx, vpc_id, "default", "default VPC security group")
  group.IpPermissions = { { IpProtocol = "-1", IpRanges = {}, Ipv6Ranges = {}, PrefixListIds = {},
                            UserIdGroupPairs = { { GroupId = group.GroupId, UserId = cloud.account } } } }
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

local function same_port(a, b) return a.IpProtocol == b.IpProtocol and a.FromPort == b.FromPort and a.ToPort == b.ToPort end

local function peer_of(entry) return entry.CidrIp or entry.CidrIpv6 or entry.GroupId or entry.PrefixListId end
local LISTS = { "IpRanges", "Ipv6Ranges", "UserIdGroupPairs", "PrefixListIds" }

local function normal(cloud, ctx, p)
  local permissions = p.IpPermissions
  if not permissions then
    permissions = { { IpProtocol = p.IpProtocol or "-1", FromPort = p.FromPort, ToPort = p.ToPort,
                      IpRanges = p.CidrIp and { { CidrIp = p.CidrIp } } or {} } }
  end
  for _, permission in ipairs(permissions) do
    if permission.IpProtocol == "6" then permission.IpProtocol = "tcp" end
    for _, range in ipairs(permission.IpRanges or {}) do
      local block = cidr.parse(range.CidrIp) or wire.fail("InvalidParameterValue", 400, "CIDR block %s is malformed", tostring(range.CidrIp))
      range.CidrIp = tostring(block)
    end
    for _, pair in ipairs(permission.UserIdGroupPairs or {}) do
      group_of(cloud, ctx, pair.GroupId)
      pair.UserId = pair.UserId or cloud.account
    end
  end
  return permissions
end

local function authorize(field)
  return function(cloud, p, ctx)
    local group = group_of(cloud, ctx, p.GroupId)
    for _, permission in ipairs(normal(cloud, ctx, p)) do
      local into
      for _, old in ipairs(group[field]) do if same_port(old, permission) then into = old end end
      if not into then
        into = { IpProtocol = permission.IpProtocol, FromPort = permission.FromPort, ToPort = permission.ToPort }
        for _, list in ipairs(LISTS) do into[list] = {} end
        table.insert(group[field], into)
      end
      for _, list in ipairs(LISTS) do
        for _, entry in ipairs(permission[list] or {}) do
          for _, old in ipairs(into[list]) do
            if peer_of(old) == peer_of(entry) then
              wire.fail("InvalidPermission.Duplicate", 400, "the specified rule \"peer: %s, %s\" already exists",
                tostring(peer_of(entry)), permission.IpProtocol)
            end
          end
          table.insert(into[list], entry)
        end
      end
    end
    apply(cloud, ctx, group.VpcId)
    return { Return = true }
  end
end

local function revoke(field)
  return function(cloud, p, ctx)
    local group = group_of(cloud, ctx, p.GroupId)
    for _, permission in ipairs(normal(cloud, ctx, p)) do
      local removed = false
      for i = #group[field], 1, -1 do
        local old = group[field][i]
        if same_port(old, permission) then
          for _, list in ipairs(LISTS) do
            for _, entry in ipairs(permission[list] or {}) do
              for j = #old[list], 1, -1 do
                if peer_of(old[list][j]) == peer_of(entry) then table.remove(old[list], j) removed = true end
              end
            end
          end
          if #old.IpRanges + #old.Ipv6Ranges + #old.UserIdGroupPairs + #old.PrefixListIds == 0 then table.remove(group[field], i) end
        end
      end
      if not removed then wire.fail("InvalidPermission.NotFound", 400, "The specified rule does not exist in this security group.") end
    end
    apply(cloud, ctx, group.VpcId)
    return { Return = true }
  end
end

S.AuthorizeSecurityGroupIngress = authorize "IpPermissions"
S.AuthorizeSecurityGroupEgress = authorize "IpPermissionsEgress"
S.RevokeSecurityGroupIngress = revoke "IpPermissions"
S.RevokeSecurityGroupEgress = revoke "IpPermissionsEgress"

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

-- Key pairs ----------------------------------------------------------------

local function keys(cloud, ctx)
  local store = cloud:store("ec2", ctx.region)
  store.keys = store.keys or {}
  return store.keys
end

local function new_key(cloud, ctx, p, public)
  local all = keys(cloud, ctx)
  if all[p.KeyName] then wire.fail("InvalidKeyPair.Duplicate", 400, "The keypair already exists: %s", p.KeyName) end
  local id = cloud:new_id "key"
  local key = C._add(cloud, ctx, "key-pair", id, {
    KeyPairId = id, KeyName = p.KeyName, KeyType = public:match "^ssh%-(%w+)" == "rsa" and "rsa" or "ed25519", CreateTime = cloud.clock:now(),
    KeyFingerprint = sign.base64(sign.unhex(sign.sha256(sign.unbase64(public:match "^%S+ (%S+)") or public))),
  }, p.TagSpecifications)
  key.public = public
  all[p.KeyName] = key
  return key
end

function S.ImportKeyPair(cloud, p, ctx)
  local public = p.PublicKeyMaterial
  if not public:find "^ssh%-%S+ %S+" then wire.fail("InvalidKey.Format", 400, "Key is not in valid OpenSSH public key format") end
  return new_key(cloud, ctx, p, public)
end

function S.CreateKeyPair(cloud, p, ctx)
  local pair = ssh.keygen()
  local key = new_key(cloud, ctx, p, pair.public)
  return { KeyName = key.KeyName, KeyPairId = key.KeyPairId, KeyFingerprint = key.KeyFingerprint, Tags = key.Tags,
           KeyMaterial = secret.concat { pair.private } }
end

function S.DescribeKeyPairs(cloud, p, ctx)
  local all = keys(cloud, ctx)
  for _, name in ipairs(p.KeyNames or {}) do
    if not all[name] then wire.fail("InvalidKeyPair.NotFound", 400, "The key pair '%s' does not exist", name) end
  end
  local list = C._select(C._list(cloud, ctx.region, "key-pair"), p.KeyPairIds and "KeyPairId" or "KeyName", p.KeyPairIds or p.KeyNames, p.Filters,
                         "InvalidKeyPair.NotFound")
  if not p.IncludePublicKey then return { KeyPairs = list } end
  local with = {}
  for i, key in ipairs(list) do
    with[i] = setmetatable({ PublicKey = key.public }, { __index = key })
  end
  return { KeyPairs = with }
end

function S.DeleteKeyPair(cloud, p, ctx)
  for name, key in pairs(keys(cloud, ctx)) do
    if name == p.KeyName or key.KeyPairId == p.KeyPairId then
      keys(cloud, ctx)[name] = nil
      C._remove(cloud, ctx, key.KeyPairId)
      return { Return = true, KeyPairId = key.KeyPairId }
    end
  end
  return { Return = true }
end

--- The public key of a pair, for an instance's authorized_keys.
function S._public_key(cloud, ctx, name)
  local key = keys(cloud, ctx)[name] or wire.fail("InvalidKeyPair.NotFound", 400, "The key pair '%s' does not exist", tostring(name))
  return key.public
end

return S
