--- IAM Identity Center: the token that `aws sso login` left in ~/.aws/sso/cache is exchanged for a role's credentials.
---
--- A token of an sso_session is renewed here when it ends soon. Identity Center may take the old refresh token back then,
--- so the new one is written where the AWS CLI keeps it, in the same file, readable by its owner only: without that the
--- renewal would sign the user out. It is the one file that hkrun writes a secret of AWS into.
local config = require "aws.config"
local errors = require "errors"
local found = require "aws.credentials.found"
local fs = require "fs"
local json = require "json"
local log = require "log"
local sign = require "sign"
local sts = require "aws.credentials.sts"
local timestamp = require "aws.timestamp"

local RENEW_BEFORE = 900 -- seconds
local NEEDED = { "sso_start_url", "sso_region", "sso_account_id", "sso_role_name" }
local SECRETS = { accessToken = true, refreshToken = true, clientSecret = true }

local function sign_in(o, name, why)
  local with = (o.profile or name ~= "default") and " --profile " .. name or ""
  errors.raise { kind = "auth", message = why, hint = ("run `aws sso login%s`"):format(with) }
end

--- What the profile says, with its sso_session; nil if it does not use Identity Center.
local function settings_of(name)
  local profile = config.merged(name) or {}
  if not (profile.sso_account_id or profile.sso_role_name) then return nil end
  local settings = {}
  for _, key in ipairs(NEEDED) do settings[key] = profile[key] end
  if profile.sso_session then
    local session = config.read().sso_sessions[profile.sso_session]
    if not session then errors.usage("the AWS profile %s names the sso-session %s, which does not exist", name, profile.sso_session) end
    for key, value in pairs(session) do
      if profile[key] and profile[key] ~= value then
        errors.usage("the AWS profile %s has another %s than its sso-session %s", name, key, profile.sso_session)
      end
      settings[key] = value
    end
    settings.session = profile.sso_session
  end
  local missing = {}
  for _, key in ipairs(NEEDED) do if not settings[key] then missing[#missing + 1] = key end end
  if missing[1] then errors.usage("the AWS profile %s uses IAM Identity Center, but lacks %s", name, table.concat(missing, ", ")) end
  return settings
end

local function client(o, service, settings)
  return require("aws.client").new { service = service, region = settings.sso_region, profile = o.profile, credentials = sts.NONE }
end

local function read_token(o, name, path)
  local token = fs.exists(path) and json.decode(fs.read(path), { secrets = SECRETS })
  if type(token) ~= "table" or not (token.accessToken and token.expiresAt) then
    sign_in(o, name, ("nobody has signed in to IAM Identity Center for the profile %s"):format(name))
  end
  return token, timestamp.parse(token.expiresAt) or 0
end

--- A new token for the old one, kept; nil if there is no way.
local function renew(o, settings, path, token)
  local registered = token.registrationExpiresAt and timestamp.parse(token.registrationExpiresAt)
  if not (token.refreshToken and token.clientId and token.clientSecret and registered and registered > os.time()) then return nil end
  local ok, given = pcall(function()
    return client(o, "sso-oidc", settings):call("create_token", {
      grantType = "refresh_token", clientId = token.clientId, clientSecret = token.clientSecret, refreshToken = token.refreshToken,
    })
  end)
  if not ok then
    if not errors.is(given) or given.kind == "cancelled" then error(given, 0) end
    log.debug("the token of IAM Identity Center could not be renewed: %s", tostring(given))
    return nil
  end
  local expires = os.time() + given.expiresIn
  token.accessToken, token.expiresAt = given.accessToken, timestamp.iso8601(expires)
  token.refreshToken = given.refreshToken
  fs.write(path, json.encode(token), 384) -- 0600
  return expires
end

---@return aws.Credentials?, string? why
return function(o, name)
  local settings = settings_of(name)
  if not settings then return nil, ("the profile %s has no sso_account_id"):format(name) end
  local path = config.expand("~/.aws/sso/cache/" .. sign.sha1(settings.session or settings.sso_start_url) .. ".json")
  local token, expires = read_token(o, name, path)
  if settings.session and expires - os.time() < RENEW_BEFORE then expires = renew(o, settings, path, token) or expires end
  if expires <= os.time() then sign_in(o, name, ("the sign-in to IAM Identity Center for the profile %s has expired"):format(name)) end
  local ok, answer = pcall(function()
    return client(o, "sso", settings):call("get_role_credentials", {
      roleName = settings.sso_role_name, accountId = settings.sso_account_id, accessToken = token.accessToken,
    })
  end)
  if not ok then
    if errors.is(answer, "remote") and answer.code == "UnauthorizedException" then
      sign_in(o, name, ("IAM Identity Center does not take the token of the profile %s"):format(name))
    end
    error(answer, 0)
  end
  local given = answer.roleCredentials
  return found.make("IAM Identity Center, profile " .. name, given.accessKeyId, given.secretAccessKey, given.sessionToken,
                    given.expiration and given.expiration / 1000)
end
