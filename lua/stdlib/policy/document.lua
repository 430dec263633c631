--- The least IAM policy for a set of calls: each action that they need, on what the run made where AWS can tell it apart.
local actions = require "policy.actions"
local json = require "json"
local operations = require "policy.operations"
local sorted_keys = require "sorted_keys"

local M = {}

--- Characters of a managed policy, whitespace not counted (IAM User Guide, "IAM and AWS STS quotas").
M.LIMIT = 6144

local READS = { list = true, read = true }

--- Services whose reads are narrowed too, because they give away what is inside.
local INSIDE = { s3 = true, secretsmanager = true, ssm = true }

--- What may be done only to things that carry the recipe's tag. They have one from their first moment on.
local TAGGED = {}
for name in ([[DeleteVpc DeleteSubnet DeleteInternetGateway DeleteRouteTable DeleteSecurityGroup DeleteKeyPair
               TerminateInstances StopInstances StartInstances]]):gmatch "%S+" do
  TAGGED["ec2:" .. name] = true
end

--- AWS makes these roles when a service is first used in an account.
local LINKED = { "autoscaling.amazonaws.com", "ecs.amazonaws.com", "elasticache.amazonaws.com", "elasticbeanstalk.amazonaws.com",
                 "elasticloadbalancing.amazonaws.com", "managedupdates.elasticbeanstalk.amazonaws.com",
                 "maintenance.elasticbeanstalk.amazonaws.com", "rds.amazonaws.com" }

--- All ARNs of a service: tagging may mean any of its things.
local function of_service(prefix, by_type)
  local list, seen = {}, {}
  for type, arns in pairs(by_type) do
    for _, arn in ipairs(type:match "^[^:]+" == prefix and arns or {}) do
      if not seen[arn] then list[#list + 1], seen[arn] = arn, true end
    end
  end
  return list
end

--- What an action may be done to: ARNs, or nil and why that cannot be said.
local function narrowed(action, by_type)
  local said = actions[action]
  if not said then return nil, "hkrun does not know what they can be limited to" end
  local prefix, level = action:match "^[^:]+", said:match "^%a+"
  if READS[level] and not INSIDE[prefix] then return nil, "they only read" end
  if prefix == "ec2" then return nil, "EC2 makes up the ids of what they make" end
  if level == "tagging" then
    local all = of_service(prefix, by_type)
    if all[1] then return all end
    return nil, "nothing was made in this service whose name is known before"
  end
  local list = {}
  for name, always in said:gmatch " ([^ *]+)(%*?)" do
    local arns = by_type[prefix .. ":" .. name]
    if arns then table.move(arns, 1, #arns, #list + 1, list)
    elseif always == "*" then return nil, "nothing was made in this service whose name is known before" end
  end
  if not list[1] then return nil, "AWS knows no resource that they could be limited to" end
  return list
end

--- Resource and condition of an action, and why it is not limited to resources.
local function scope(action, by_type, o)
  if action == "iam:CreateServiceLinkedRole" then
    return { "arn:aws:iam::*:role/aws-service-role/*" }, { StringEquals = { ["iam:AWSServiceName"] = json.array(LINKED) } }
  end
  local arns, why = narrowed(action, by_type)
  if arns then return arns end
  if TAGGED[action] then return { "*" }, { StringEquals = { ["aws:ResourceTag/hkrun:recipe"] = o.recipe } } end
  local regional = action:find "^ec2:" and o.region ~= "*"
  return { "*" }, regional and { StringEquals = { ["aws:RequestedRegion"] = o.region } } or nil, why
end

local function statement(names, resources, condition)
  return { Effect = "Allow", Action = json.array(names), Resource = resources[2] and json.array(resources) or resources[1], Condition = condition }
end

--- Characters of a statement, its comma with it; nothing in it has a blank that would not count.
local function size_of(s) return #json.encode(s) + 1 end

local EMPTY = #'{"Statement":[],"Version":"2012-10-17"}'

--- A statement that is too large for a policy of its own, in halves.
local function pieces(s, list)
  local n = #s.Action
  if size_of(s) + EMPTY <= M.LIMIT or n == 1 then
    list[#list + 1] = s
    return list
  end
  for _, part in ipairs { { 1, n // 2 }, { n // 2 + 1, n } } do
    local half = { Effect = s.Effect, Resource = s.Resource, Condition = s.Condition }
    half.Action = json.array(table.move(s.Action, part[1], part[2], 1, {}))
    pieces(half, list)
  end
  return list
end

--- As few policies as they go into, none larger than IAM takes.
local function policies(statements)
  local list, size = {}, M.LIMIT
  for _, whole in ipairs(statements) do
    for _, s in ipairs(pieces(whole, {})) do
      if size + size_of(s) > M.LIMIT then
        list[#list + 1], size = { Version = "2012-10-17", Statement = json.array {} }, EMPTY
      end
      size = size + size_of(s)
      table.insert(list[#list].Statement, s)
    end
  end
  return list
end

--- The policies for calls.
---@param calls string[] "ec2.CreateVpc"
---@param by_type table<string, string[]> the ARNs of what was made (policy.resources)
---@param o { recipe: string, region: string } what the recipe's tag says, and the region or "*"
---@return table[] documents as IAM takes them
---@return { why: string, actions: string[] }[] wide actions that are not limited to resources
function M.of(calls, by_type, o)
  local wanted, groups, order, wide = {}, {}, {}, {}
  for _, call in ipairs(calls) do
    for _, action in ipairs(operations.actions(call)) do wanted[action] = true end
  end
  for _, action in ipairs(sorted_keys(wanted)) do
    local resources, condition, why = scope(action, by_type, o)
    table.sort(resources)
    local key = json.encode { resources, condition or false }
    if not groups[key] then
      groups[key] = { resources = resources, condition = condition, actions = {} }
      order[#order + 1] = groups[key]
    end
    table.insert(groups[key].actions, action)
    if why then
      if not wide[why] then
        wide[why] = { why = why, actions = {} }
        wide[#wide + 1] = wide[why]
      end
      table.insert(wide[why].actions, action)
    end
  end
  local statements = {}
  for i, g in ipairs(order) do statements[i] = statement(g.actions, g.resources, g.condition) end
  return policies(statements), table.move(wide, 1, #wide, 1, {})
end

return M
