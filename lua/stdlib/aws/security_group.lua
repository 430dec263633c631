--- A security group: who may connect to what is in it. The list of rules is the whole list; what is not in it is
--- taken away. Everything may go out.
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"

--- One rule as AWS writes it: { port = 5432, from = group or "10.0.0.0/8", why = "the app", protocol = "tcp" }.
local function permission(rule)
  local peer = noun.id(rule.from)
  local p = { IpProtocol = rule.protocol or "tcp" }
  if p.IpProtocol ~= "-1" then
    p.FromPort, p.ToPort = rule.port or 0, rule.to_port or rule.port or 65535
  end
  if peer:find "^sg%-" then
    p.UserIdGroupPairs = { { GroupId = peer, Description = rule.why } }
  elseif peer:find(":", 1, true) then
    p.Ipv6Ranges = { { CidrIpv6 = peer, Description = rule.why } }
  else
    p.IpRanges = { { CidrIp = peer, Description = rule.why } }
  end
  return p
end

local function rules_of(permissions)
  local rules = {}
  for _, p in ipairs(permissions or {}) do
    local function add(peer, why)
      local to = p.ToPort ~= p.FromPort and p.ToPort or nil
      rules[#rules + 1] = { port = p.FromPort, to_port = to, protocol = p.IpProtocol ~= "tcp" and p.IpProtocol or nil,
                            from = peer, why = why }
    end
    for _, r in ipairs(p.IpRanges or {}) do add(r.CidrIp, r.Description) end
    for _, r in ipairs(p.Ipv6Ranges or {}) do add(r.CidrIpv6, r.Description) end
    for _, r in ipairs(p.UserIdGroupPairs or {}) do add(r.GroupId, r.Description) end
  end
  return rules
end

--- A rule's identity for AWS: two with the same are the same rule, whatever `why` says.
local function key(rule)
  local from = noun.id(rule.from)
  if recipe.is_unknown(from) then return nil end
  local protocol = rule.protocol or "tcp"
  local first = protocol ~= "-1" and (rule.port or 0) or ""
  local last = protocol ~= "-1" and (rule.to_port or rule.port or 65535) or ""
  return ("%s %s %s %s"):format(protocol, first, last, from)
end

local function missing(from, list)
  local has, r = {}, {}
  for _, rule in ipairs(list) do has[key(rule) or ""] = true end
  for _, rule in ipairs(from) do
    local k = key(rule)
    if not k or not has[k] then r[#r + 1] = rule end
  end
  return r
end

local function permissions(rules)
  local list = {}
  for i, rule in ipairs(rules) do list[i] = permission(rule) end
  return list
end

local function allow(id, rules)
  if #rules == 0 then return end
  noun.settled("InvalidGroup.NotFound", 30, function()
    noun.found("InvalidPermission.Duplicate", function()
      aws.ec2:authorize_security_group_ingress { GroupId = id, IpPermissions = permissions(rules) }
    end)
  end)
end

return recipe.kind {
  name = "aws.security_group",
  options = {
    { "vpc", "the VPC or its id", type = "any", required = true },
    { "description", "what it is for", type = "string" },
    { "rules", "who may connect: { { port = 5432, from = group or range, why = \"\" }, ... }", type = "list", default = {} },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  fixed = { "vpc" }, summary = { "rules" }, idempotent = true,                -- a name is taken once in a VPC
  compare = {
    tags = "given", description = "ignore",
    rules = function(want, have) return #missing(want, have) == 0 and #missing(have, want) == 0 end,
  },

  read = function(spec, known, ctx)
    local filters = known and noun.ec2_filters(spec, known, ctx, "group-id")
      or { { Name = "vpc-id", Values = { noun.id(spec.vpc) } }, { Name = "group-name", Values = { spec.name } } }
    local group = aws.ec2:describe_security_groups { Filters = filters }.SecurityGroups[1]
    return group and {
      id = group.GroupId, vpc = group.VpcId, description = group.Description, rules = rules_of(group.IpPermissions),
      tags = noun.tag_map(group.Tags),
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
    allow(made.GroupId, spec.rules)
    return made.GroupId
  end,

  update = function(spec, current, changes)
    if changes.rules then
      local extra = missing(current.rules, spec.rules)
      allow(current.id, missing(spec.rules, current.rules))
      if #extra > 0 then
        aws.ec2:revoke_security_group_ingress { GroupId = current.id, IpPermissions = permissions(extra) }
      end
    end
    if changes.tags then aws.ec2:create_tags { Resources = { current.id }, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete("InvalidGroup.NotFound", function() aws.ec2:delete_security_group { GroupId = current.id } end)
  end,
}
