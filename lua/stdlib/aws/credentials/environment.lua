--- Keys in the environment: AWS_ACCESS_KEY_ID and what goes with it.
local config = require "aws.config"
local errors = require "errors"
local found = require "aws.credentials.found"

---@return aws.Credentials?, string? why
return function()
  local id, key = config.env "AWS_ACCESS_KEY_ID", config.env "AWS_SECRET_ACCESS_KEY"
  if not id then return nil, "AWS_ACCESS_KEY_ID is not set" end
  if not key then errors.usage "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not" end
  return found.make("environment", id, key, config.env "AWS_SECURITY_TOKEN" or config.env "AWS_SESSION_TOKEN",
                    config.env "AWS_CREDENTIAL_EXPIRATION")
end
