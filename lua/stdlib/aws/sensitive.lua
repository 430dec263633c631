--- Which values of a response are secrets. The models mark most of them; this table, reviewed by hand against the
--- models of botocore 1.43, corrects them where the mark hides what everyone may see or misses a credential.
local M = {}

--- Shapes marked sensitive that hold no secret: names of keys, addresses, descriptions, tokens of a page.
local PLAIN = {
  ["s3.SSEKMSKeyId"] = true, ["s3.SSEKMSEncryptionContext"] = true, ["s3.IpAddress"] = true,
  ["ssm.MaintenanceWindowDescription"] = true, ["ssm.OwnerInformation"] = true, ["ssm.IPAddress"] = true,
  ["ec2.PublicIpAddressList"] = true,
}

--- Members that are secret only beside certain values, or that the model forgot.
local RULES = {
  ["ssm.Parameter.Value"] = function(values) return values.Type == nil or values.Type == "SecureString" end,
  ["ssm.ParameterHistory.Value"] = function(values) return values.Type == nil or values.Type == "SecureString" end,
  ["elasticbeanstalk.ConfigurationOptionSetting.Value"] = function(values)
    return values.Namespace == nil or values.Namespace == "aws:elasticbeanstalk:application:environment"
  end,
  ["sts.Credentials.SessionToken"] = true,
  ["ecr.AuthorizationData.authorizationToken"] = true,
}

--- Names of members that are never secret, whatever their shape.
local NAMES = { nextToken = true, NextToken = true }

--- Whether the values under a member are secrets. A rule may look at the members beside it, so a reader calls this
--- after it has read those.
---@param service string
---@param shape aws.Shape the struct
---@param member aws.Member
---@param values table the members that were read
---@return boolean
function M.hides(service, shape, member, values)
  local rule = RULES[service .. "." .. shape.name .. "." .. member.name]
  if rule ~= nil then return rule == true or rule(values) end
  return M.is_marked(service, member)
end

--- Whether the model marks what a member holds as sensitive, rightly.
---@param service string
---@param member aws.Member
---@return boolean
function M.is_marked(service, member)
  return member.sensitive == true and not PLAIN[service .. "." .. member.shape] and not NAMES[member.name]
end

--- Whether a member must be read after its neighbours.
---@param service string
---@param shape aws.Shape
---@param member aws.Member
function M.is_late(service, shape, member)
  return type(RULES[service .. "." .. shape.name .. "." .. member.name]) == "function"
end

local rules_of = setmetatable({}, { __mode = "k" })

--- What holds for each member of a struct: true, false, or the rule that looks at the members beside it.
---@param service string
---@param shape aws.Shape
---@return table<string, boolean|fun(values: table): boolean>
function M.rules(service, shape)
  local rules = rules_of[shape]
  if not rules then
    rules = {}
    for _, member in ipairs(shape.members) do
      rules[member.name] = M.is_late(service, shape, member) and RULES[service .. "." .. shape.name .. "." .. member.name]
        or M.hides(service, shape, member, {})
    end
    rules_of[shape] = rules
  end
  return rules
end

return M
