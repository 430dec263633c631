--- A role for the token that an identity provider put into a file: EKS, GitHub, CircleCI.
local config = require "aws.config"
local errors = require "errors"
local fs = require "fs"
local secret = require "secret"
local sts = require "aws.credentials.sts"

--- The environment goes before the profile, unless the profile was asked for.
---@return aws.Credentials?, string? why
return function(o, name)
  local settings = config.merged(name) or {}
  local function setting(key, variable) return not o.profile and config.env(variable) or settings[key] end
  local file, role = setting("web_identity_token_file", "AWS_WEB_IDENTITY_TOKEN_FILE"), setting("role_arn", "AWS_ROLE_ARN")
  if not file then return nil, "AWS_WEB_IDENTITY_TOKEN_FILE and web_identity_token_file are not set" end
  if not role then errors.usage("there is a web identity token for the profile %s, but neither role_arn nor AWS_ROLE_ARN", name) end
  local token = fs.read(config.expand(file)):match "^%s*(.-)%s*$"
  return sts.assume(o, "web identity, profile " .. name, "assume_role_with_web_identity", {
    RoleArn = role, RoleSessionName = sts.session_name { role_session_name = setting("role_session_name", "AWS_ROLE_SESSION_NAME") },
    WebIdentityToken = secret.new(token),
  })
end
