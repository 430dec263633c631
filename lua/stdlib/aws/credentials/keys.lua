--- Keys that stand in the shared files.
local config = require "aws.config"
local errors = require "errors"
local found = require "aws.credentials.found"

local M = {}

local function keys_of(section, source, name)
  if not (section and section.aws_access_key_id) then return nil end
  if not section.aws_secret_access_key then
    errors.usage("the AWS profile %s has an aws_access_key_id, but no aws_secret_access_key", name)
  end
  return found.make(source, section.aws_access_key_id, section.aws_secret_access_key,
                    section.aws_security_token or section.aws_session_token)
end

--- Those of ~/.aws/credentials.
---@return aws.Credentials?, string? why
function M.from_credentials_file(_, name)
  local keys = keys_of(config.read().credentials[name], "shared credentials, profile " .. name, name)
  local _, path = config.paths()
  return keys, ("there are no keys for the profile %s in %s"):format(name, path)
end

--- Those of ~/.aws/config.
---@return aws.Credentials?, string? why
function M.from_config_file(_, name)
  local keys = keys_of(config.read().profiles[name], "config file, profile " .. name, name)
  local path = config.paths()
  return keys, ("there are no keys for the profile %s in %s"):format(name, path)
end

return M
