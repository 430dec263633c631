--- Holds the calls of the rehearsal cloud against IAM policies, as AWS would: those of `hkrun sandbox --policy FILE`, and of the role
--- of a session.
---
--- A statement allows a call when it has the action, its conditions are met, and one of its resources is what the call is
--- about. What a call is about is told from its parameters: a resource is met when a parameter is its ARN, or the name in
--- its ARN. That is less exact than IAM, which knows for each call which parameter names the resource.
local like = require "rehearsal.wildcard"
local operations = require "policy.operations"
local wire = require "rehearsal.wire"

local M = {}

--- Each service's code for a refusal.
local CODES = { ec2 = "UnauthorizedOperation", s3 = "AccessDenied", query = "AccessDenied", ["rest-xml"] = "AccessDenied" }

local function each(v, fn)
  if type(v) ~= "table" then return fn(v) end
  for _, x in ipairs(v) do
    if fn(x) then return true end
  end
  return false
end

--- Whether fn holds for a string in the parameters.
local function any_string(v, fn)
  if type(v) == "string" then return fn(v) end
  if type(v) ~= "table" then return false end
  for _, x in pairs(v) do
    if any_string(x, fn) then return true end
  end
  return false
end

--- Whether a call is about a resource: its ARN, or its name, which is what comes after its type.
local function is_about(params, resource)
  if resource == "*" then return true end
  local rest = resource:match "^arn:aws:[^:]*:[^:]*:[^:]*:(.*)$"
  local is_s3 = resource:find "^arn:aws:s3:" ~= nil
  if rest:find "^[%w%-]+[:/]%*$" and not is_s3 then return true end          -- all of a type; in S3 all of one bucket
  return any_string(params, function(s)
    s = s:match "^https?://.-([^/]+)$" or s:gsub("^/", "")   -- the URL of a queue, or of an identity provider; a parameter of SSM
    if like(s, resource) or like(s, rest) then return true end
    local at = 1
    while true do                                            -- "db:shop", "role/shop", "environment/*/shop", "shop-files/*"
      local name = rest:sub(at)
      if name ~= "*" and (like(s, name) or like(s, (name:gsub("[:/]%*$", ""))) or like(s, (name:gsub("%-%?+$", "")))) then return true end
      at = rest:find("[:/]", at)
      if not at then return false end
      at = at + 1
    end
  end)
end

--- The values of a tag that the things of EC2 named in the parameters have: by id, or a key pair by its name.
local function tags_of(cloud, params, key, ctx)
  local ec2, ids, values = cloud:service "ec2", {}, {}
  any_string(params, function(s) ids[s] = true end)
  for _, pair in ipairs(ec2.DescribeKeyPairs(cloud, {}, ctx).KeyPairs) do
    if ids[pair.KeyName] then ids[pair.KeyPairId] = true end
  end
  local found = ec2.DescribeTags(cloud, { Filters = { { Name = "key", Values = { key } } } }, ctx)
  for _, t in ipairs(found.Tags) do
    if ids[t.ResourceId] then values[#values + 1] = t.Value end
  end
  return values
end

local function is_met(cloud, condition, params, ctx)
  for _, keys in pairs(condition or {}) do
    for key, wanted in pairs(keys) do
      local have
      local tag = key:match "^aws:ResourceTag/(.*)$"
      if tag then have = tags_of(cloud, params, tag, ctx)
      elseif key == "aws:RequestedRegion" then have = { ctx.region }
      elseif key == "ecs:cluster" then have = { cloud:arn("ecs", ctx.region, "cluster/" .. (params.cluster or "default"):match "[^/]*$") }
      else return false end
      if not each(have, function(value) return each(wanted, function(w) return w == value end) end) then return false end
    end
  end
  return true
end

local function is_allowed(cloud, documents, action, params, ctx)
  for _, document in ipairs(documents) do
    for _, s in ipairs(document.Statement) do
      if each(s.Action, function(a) return like(action:lower(), a:lower()) end) and is_met(cloud, s.Condition, params, ctx)
        and each(s.Resource, function(resource) return is_about(params, resource) end) then
        return true
      end
    end
  end
  return false
end

--- Raises what AWS answers to a call that no statement allows. Only the action of the call itself is asked for: what it
--- needs beside, other services ask for.
---@param cloud Cloud
---@param documents table[] the policies of who calls
---@param m table the service's model
---@param op table its operation
---@param params table
---@param ctx table
function M.check(cloud, documents, m, op, params, ctx)
  for _, action in ipairs(operations.own(m.service .. "." .. op.name)) do
    if not is_allowed(cloud, documents, action, params, ctx) then
      wire.fail(CODES[m.service] or CODES[m.meta.protocol] or "AccessDeniedException", 403,
        "User: %s is not authorized to perform: %s because no identity-based policy allows the %s action",
        ctx.session and ctx.session.arn or cloud:arn("iam", nil, "user/rehearsal"), action, action)
    end
  end
end

return M
