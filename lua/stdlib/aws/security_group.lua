--- A security group: who may connect to what is in it. The list of rules is the whole list; what is not in it is
--- taken away. Everything may go out.
local aws = require "aws"
local canonical = require "aws.common.cidr".canonical
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local PROTOCOLS = { ["1"] = "icmp", ["6"] = "tcp", ["17"] = "udp", ["58"] = "icmpv6", all = "-1" }

--- The lists of a permission by the kind of peer, and the member that names it.
local PEERS = { { "IpRanges", "CidrIp" }, { "Ipv6Ranges", "CidrIpv6" }, { "UserIdGroupPairs", "GroupId" }, { "PrefixListIds", "PrefixListId" } }

--- A rule as AWS understands it: protocol by name, both ports or none, the peer as AWS writes it.
local function normal(rule, group)
  local protocol = tostring(rule.protocol or "tcp"):lower()
  protocol = PROTOCOLS[protocol] or protocol
  local first, last = rule.port, rule.to_port or rule.port
  if protocol == "tcp" or protocol == "udp" then first, last = first or 0, last or 65535
  elseif protocol == "icmp" or protocol == "icmpv6" then first, last = first or -1, rule.to_port or -1
  else first, last = nil, nil end
  local peer = noun.id(rule.from)
  if not recipe.is_unknown(peer) then peer = peer == "self" and group or canonical(peer) end
  return { protocol = protocol, first = first, last = last, peer = peer, why = rule.why }
end

--- One rule in AWS's words: { port = 5432, from = group or "10.0.0.0/8", why = "the app", protocol = "tcp" }.
local function permission(rule, group)
  local n = normal(rule, group)
  local p = { IpProtocol = n.protocol, FromPort = n.first, ToPort = n.last }
  local account, id = n.peer:match "^(%d+)/(sg%-.*)$"
  if id or n.peer:find "^sg%-" then
    p.UserIdGroupPairs = { { GroupId = id or n.peer, UserId = account, Description = rule.why } }
  elseif n.peer:find "^pl%-" then
    p.PrefixListIds = { { PrefixListId = n.peer, Description = rule.why } }
  elseif n.peer:find(":", 1, true) then
    p.Ipv6Ranges = { { CidrIpv6 = n.peer, Description = rule.why } }
  else
    p.IpRanges = { { CidrIp = n.peer, Description = rule.why } }
  end
  return p
end

--- The rules of a group, one for each peer, however AWS puts them together.
local function rules_of(group)
  local rules = {}
  for _, p in ipairs(group.IpPermissions or {}) do
    for _, kind in ipairs(PEERS) do
      for _, peer in ipairs(p[kind[1]] or {}) do
        local from = peer[kind[2]]
        if peer.UserId and group.OwnerId and peer.UserId ~= group.OwnerId then from = peer.UserId .. "/" .. from end
        rules[#rules + 1] = { port = p.FromPort, to_port = p.ToPort ~= p.FromPort and p.ToPort or nil,
                              protocol = p.IpProtocol ~= "tcp" and p.IpProtocol or nil, from = from, why = peer.Description }
      end
    end
  end
  return rules
end

--- A rule's identity for AWS: two with the same are the same rule, whatever `why` says. Nil while the peer is unknown.
local function key(rule, group)
  local n = normal(rule, group)
  if recipe.is_unknown(n.peer) then return nil end
  return ("%s %s %s %s"):format(n.protocol, n.first or "", n.last or "", n.peer)
end

local function by_key(rules, group)
  local map = {}
  for _, rule in ipairs(rules) do
    local k = key(rule, group)
    if k then map[k] = rule end
  end
  return map
end

--- What is to be done: rules that are missing, that are there with another `why`, and that are too much.
local function difference(want, have, group)
  local wanted, there, seen = by_key(want, group), by_key(have, group), {}
  local missing, other, extra = {}, {}, {}
  for _, rule in ipairs(want) do
    local k = key(rule, group)
    local old = k and there[k]
    if k and seen[k] then goto next
    elseif not old then missing[#missing + 1] = rule
    elseif rule.why and rule.why ~= old.why then other[#other + 1] = rule end
    if k then seen[k] = true end
    ::next::
  end
  for _, rule in ipairs(have) do
    if not wanted[key(rule, group)] then extra[#extra + 1] = rule end
  end
  return missing, other, extra, there
end

local function same_rules(want, have, _, current)
  local missing, other, extra, there = difference(want, have, current.id)
  if #missing + #other + #extra == 0 then return true end
  local old = table.move(extra, 1, #extra, 1, {})
  for _, rule in ipairs(other) do old[#old + 1] = there[key(rule, current.id)] end
  return false, old, table.move(other, 1, #other, #missing + 1, missing)
end

local function permissions(rules, group)
  local list = {}
  for i, rule in ipairs(rules) do list[i] = permission(rule, group) end
  return list
end

local function allow(id, rules)
  if #rules == 0 then return end
  noun.settled("InvalidGroup.NotFound", 30, function()
    noun.found("InvalidPermission.Duplicate", function()
      aws.ec2:authorize_security_group_ingress { GroupId = id, IpPermissions = permissions(rules, id) }
    end)
  end)
end

local function set_rules(id, want, have)
  local missing, other, extra = difference(want, have, id)
  allow(id, missing)
  if #other > 0 then
    aws.ec2:update_security_group_rule_descriptions_ingress { GroupId = id, IpPermissions = permissions(other, id) }
  end
  if #extra > 0 then
    aws.ec2:revoke_security_group_ingress { GroupId = id, IpPermissions = permissions(extra, id) }
  end
end

--- Of the permissions to go out: whether all IPv4 is among them, and what is neither that nor, as AWS adds it where a VPC
--- has IPv6, all IPv6.
local function outgoing(list)
  local all, others = false, {}
  for _, p in ipairs(list) do
    local rest, found = { IpProtocol = p.IpProtocol, FromPort = p.FromPort, ToPort = p.ToPort }, false
    for _, kind in ipairs(PEERS) do
      for _, peer in ipairs(p[kind[1]] or {}) do
        local range = p.IpProtocol == "-1" and peer[kind[2]]
        if range == "0.0.0.0/0" then all = true
        elseif range ~= "::/0" then
          rest[kind[1]] = rest[kind[1]] or {}
          table.insert(rest[kind[1]], peer)
          found = true
        end
      end
    end
    if found then others[#others + 1] = rest end
  end
  return all, others
end

local function set_outgoing(id, list)
  local all, others = outgoing(list)
  if not all then
    local everything = { { IpProtocol = "-1", IpRanges = { { CidrIp = "0.0.0.0/0" } } } }
    aws.ec2:authorize_security_group_egress { GroupId = id, IpPermissions = everything }
  end
  if #others > 0 then aws.ec2:revoke_security_group_egress { GroupId = id, IpPermissions = others } end
end

return recipe.kind {
  name = "aws.security_group",
  options = {
    { "vpc", "the VPC or its id", type = "any", required = true },
    { "description", "what it is for; AWS never changes it", type = "string" },
    { "rules", "who may connect: { { port = 5432, from = group, range, prefix list or \"self\", why = \"\" }, ... }", type = "list", default = {} },
    { "egress", "everything may go out, and no other rule says so", type = "boolean", default = true, one_of = { true } },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  fixed = { "vpc" }, summary = { "rules" }, idempotent = true,                -- a name is taken once in a VPC
  compare = { tags = "given", description = "ignore", rules = same_rules },

  read = function(spec, known, ctx)
    local filters = known and noun.ec2_filters(spec, known, ctx, "group-id")
      or { { Name = "vpc-id", Values = { noun.id(spec.vpc) } }, { Name = "group-name", Values = { spec.name } } }
    local group = aws.ec2:describe_security_groups { Filters = filters }.SecurityGroups[1]
    if not group then return nil end
    local out = group.IpPermissionsEgress or { { IpProtocol = "-1", IpRanges = { { CidrIp = "0.0.0.0/0" } } } }
    local all, others = outgoing(out)
    return {
      id = group.GroupId, vpc = group.VpcId, description = group.Description, rules = rules_of(group), tags = noun.tag_map(group.Tags),
      egress = all and #others == 0, outgoing = out,
    }
  end,

  create = function(spec, ctx)
    if spec.name:find "^sg%-" then errors.usage("a security group's name cannot begin with sg-: %s", spec.name) end
    local made = noun.settled("InvalidVpcID.NotFound", 30, function()
      return aws.ec2:create_security_group {
        GroupName = spec.name, Description = spec.description or spec.name, VpcId = noun.id(spec.vpc),
        TagSpecifications = noun.ec2_tags("security-group", spec, ctx),
      }
    end)
    set_rules(made.GroupId, spec.rules, {})
    return made.GroupId
  end,

  update = function(spec, current, changes)
    if changes.rules then set_rules(current.id, spec.rules, current.rules) end
    if changes.egress then set_outgoing(current.id, current.outgoing) end
    if changes.tags then aws.ec2:create_tags { Resources = { current.id }, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete("InvalidGroup.NotFound", function() aws.ec2:delete_security_group { GroupId = current.id } end)
  end,
}
