--- Roles of profiles: `role_arn` with the profile or the place whose credentials may assume it, in chains of any length.
local config = require "aws.config"
local environment = require "aws.credentials.environment"
local errors = require "errors"
local log = require "log"
local sts = require "aws.credentials.sts"
local term = require "term"

local M = {}

local SOURCES = {
  Environment = environment,
  EcsContainer = function(...) return require "aws.credentials.container"(...) end,
  Ec2InstanceMetadata = function(...) return require "aws.credentials.metadata"(...) end,
}

local function is_role(settings) return settings.role_arn and not settings.web_identity_token_file end

local function has_keys(settings) return settings.aws_access_key_id or settings.aws_secret_access_key end

--- Asks for the code that the device shows.
local function code_of(serial, name)
  if not term.interactive() then
    local why = ("the role of the profile %s wants an MFA code of %s, and there is no terminal to ask at"):format(name, serial)
    local hint = ("run this at a terminal, or sign in first: `aws configure export-credentials --profile %s --format env`"):format(name)
    errors.raise { kind = "usage", message = why, hint = hint }
  end
  local code = log.hold(function() return term.password(("MFA code of %s: "):format(serial)) end)
  return code or errors.usage("no MFA code of %s was given", serial)
end

--- Credentials of the profile that a role is assumed with. Its own keys go before its role.
local function from_source(o, name, source, visited)
  local settings = config.merged(source)
  if not settings then errors.usage("the AWS profile %s names the source_profile %s, which does not exist", name, source) end
  if visited[source] and not (source == name and has_keys(settings)) then
    errors.usage("the AWS profiles %s and %s take their credentials from each other", name, source)
  end
  visited[source] = true
  if is_role(settings) and not has_keys(settings) then return M.assume(o, source, settings, visited) end
  local tried = {}
  for _, place in ipairs(require "aws.credentials.places".of_profile) do
    local got, why = place[2]({ profile = source, region = o.region }, source)
    if got then return got end
    tried[#tried + 1] = ("%s: %s"):format(place[1], why)
  end
  errors.usage("the source_profile %s of the AWS profile %s has no credentials: %s", source, name, table.concat(tried, "; "))
end

--- Assumes the role of a profile.
---@param o table
---@param name string
---@param settings table
---@param visited table<string, true> profiles on the way here
---@return aws.Credentials
function M.assume(o, name, settings, visited)
  local source, place = settings.source_profile, settings.credential_source
  if source and place then errors.usage("the AWS profile %s has both source_profile and credential_source", name) end
  local signer, why
  if source then
    signer = from_source(o, name, source, visited)
  elseif place then
    local from = SOURCES[place]
    if not from then errors.usage("the AWS profile %s has the unknown credential_source %s", name, place) end
    signer, why = from(o, name)
    if not signer then errors.usage("the credential_source %s of the AWS profile %s has no credentials: %s", place, name, why) end
  else
    errors.usage("the AWS profile %s has a role_arn, but no source_profile and no credential_source", name)
  end
  local found = sts.assume(o, "role of the profile " .. name, "assume_role", {
    RoleArn = settings.role_arn, RoleSessionName = sts.session_name(settings), ExternalId = settings.external_id,
    DurationSeconds = math.tointeger(tonumber(settings.duration_seconds)), SerialNumber = settings.mfa_serial,
    TokenCode = settings.mfa_serial and code_of(settings.mfa_serial, name),
  }, signer)
  found.asks = settings.mfa_serial ~= nil or signer.asks
  return found
end

---@return aws.Credentials?, string? why
function M.find(o, name)
  local settings = config.merged(name) or {}
  if not is_role(settings) then
    return nil, (settings.role_arn and "the role_arn of the profile %s is for its web identity" or "the profile %s has no role_arn"):format(name)
  end
  return M.assume(o, name, settings, { [name] = true })
end

return M
