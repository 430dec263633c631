--- The IAM roles that DMS acts in: whether they are there, trust it, and allow what it does.
local json = require "json"
local like = require "rehearsal.wildcard"
local wire = require "rehearsal.wire"

local M = {}

--- The role of a name, if there is one.
function M.named(cloud, name) return (cloud:store("iam").roles or {})[name] end

local function list(value) return type(value) == "table" and #value > 0 and value or { value } end

local function one_of(values, wanted)
  for _, pattern in ipairs(list(values)) do
    if like(wanted, pattern) then return true end
  end
  return false
end

--- Whether a service may take the role.
---@param services string[] principals of which one suffices
local function trusts(role, services)
  for _, statement in ipairs(list(json.decode(role.AssumeRolePolicyDocument).Statement)) do
    local principal = type(statement.Principal) == "table" and statement.Principal.Service or nil
    for _, service in ipairs(services) do
      if statement.Effect == "Allow" and principal and one_of(principal, service) then return true end
    end
  end
  return false
end

--- Whether a role's policies allow an action. Of Amazon's own policies those count that stand in `by_policy`.
local function allows(role, action, resource, by_policy)
  for _, arn in ipairs(role.attached) do
    if by_policy[arn:match "[^/]+$"] then return true end
  end
  for _, document in pairs(role.inline) do
    for _, statement in ipairs(list(json.decode(document).Statement)) do
      if statement.Effect == "Allow" and one_of(statement.Action or {}, action) and one_of(statement.Resource or {}, resource) then return true end
    end
  end
  return false
end

--- The role through which DMS makes the network interfaces of its instances.
function M.check_vpc_role(cloud)
  local role = M.named(cloud, "dms-vpc-role")
  if role and trusts(role, { "dms.amazonaws.com" }) and allows(role, "ec2:CreateNetworkInterface", "*", { AmazonDMSVPCManagementRole = true,
    AdministratorAccess = true }) then return end
  wire.fail("AccessDeniedFault", 400, "The IAM Role arn:aws:iam::%s:role/dms-vpc-role is not configured properly.", cloud.account)
end

--- nil, or why a role cannot be used for an action on a resource.
---@return string?
function M.refusal(cloud, ctx, arn, action, resource, by_policy)
  local role = M.named(cloud, arn:match "([^/]+)$" or arn)
  if not role or role.Arn ~= arn then return ("The IAM role %s does not exist."):format(arn) end
  if not trusts(role, { "dms.amazonaws.com", ("dms.%s.amazonaws.com"):format(ctx.region) }) then
    return ("The IAM role %s cannot be assumed by DMS."):format(arn)
  end
  if not allows(role, action, resource, by_policy or {}) then return ("The IAM role %s does not allow %s on %s."):format(arn, action, resource) end
end

return M
