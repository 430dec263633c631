--- Roles that STS lends: the calls, and the names of their sessions.
local config = require "aws.config"
local found = require "aws.credentials.found"

local M = {}

--- Stands for "send this unsigned".
M.NONE = { source = "none" }

--- Asks STS for credentials.
---@param o table what `credentials.get` was told
---@param source string
---@param operation string
---@param args table
---@param signer? aws.Credentials nil: unsigned
---@return aws.Credentials
function M.assume(o, source, operation, args, signer)
  local sts = require("aws.client").new { service = "sts", region = o.region, profile = o.profile, credentials = signer or M.NONE }
  local given = sts:call(operation, args).Credentials
  return found.make(source, given.AccessKeyId, given.SecretAccessKey, given.SessionToken, given.Expiration)
end

--- The name of a session, which CloudTrail shows.
function M.session_name(settings)
  return settings.role_session_name or config.env "AWS_ROLE_SESSION_NAME" or ("hkrun-%d"):format(os.time())
end

return M
