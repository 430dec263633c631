--- Where credentials come from, in the order of the AWS tools: the environment, the shared files (keys, assumed roles,
--- a process), a container's agent, the instance's metadata. Each place says why it has none, for the error.
local config = require "aws.config"
local errors = require "errors"
local fs = require "fs"
local http = require "http"
local json = require "json"
local process = require "process"
local secret = require "secret"
local task = require "task"
local timestamp = require "aws.timestamp"

local M = {}

---@class aws.Credentials
---@field access_key_id string
---@field secret_access_key userdata a secret
---@field session_token? userdata a secret
---@field expires? number seconds since 1970
---@field source string where they were found

local RENEW_BEFORE = 300 -- seconds before the end

local function made(source, id, key, token, expires)
  return { access_key_id = id, secret_access_key = secret.new(key), session_token = token and secret.new(token) or nil,
           expires = expires, source = source }
end

local function from_environment(o)
  if o.profile then return nil, "not used, because a profile was asked for" end
  local id, key = config.env "AWS_ACCESS_KEY_ID", config.env "AWS_SECRET_ACCESS_KEY"
  if not id then return nil, "AWS_ACCESS_KEY_ID is not set" end
  if not key then errors.usage "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not" end
  return made("environment", id, key, config.env "AWS_SESSION_TOKEN" or config.env "AWS_SECURITY_TOKEN")
end

--- What the metadata services and processes write.
local function from_document(source, body, names)
  local doc, err = json.decode(body, { secrets = { SecretAccessKey = true, SessionToken = true, Token = true } })
  if type(doc) ~= "table" then return nil, "the answer is not JSON" .. (err and ": " .. err.message or "") end
  if not (doc.AccessKeyId and doc.SecretAccessKey) then
    return nil, ("the answer has no credentials%s"):format(type(doc.Message) == "string" and ": " .. doc.Message or "")
  end
  return made(source, doc.AccessKeyId, doc.SecretAccessKey, doc[names or "Token"],
              type(doc.Expiration) == "string" and timestamp.parse(doc.Expiration) or nil)
end

--- What a credential_process may need of our environment.
local PASSED_ON = { "PATH", "HOME", "LANG", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_REGION", "AWS_DEFAULT_REGION",
                    "AWS_CA_BUNDLE", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE" }

local function from_process(command, profile)
  local env = {}
  for _, name in ipairs(PASSED_ON) do env[name] = config.env(name) end
  local result = process.run { "/bin/sh", "-c", command, timeout = 60, env = env }
  if result.code ~= 0 then
    return nil, ("the credential_process of the profile %s ended with code %s"):format(profile, tostring(result.code))
  end
  return from_document("process of the profile " .. profile, result.stdout, "SessionToken")
end

local function keys_of(section, source)
  if not (section and section.aws_access_key_id and section.aws_secret_access_key) then return nil end
  return made(source, section.aws_access_key_id, section.aws_secret_access_key, section.aws_session_token)
end

local from_container, from_metadata -- below

local CREDENTIAL_SOURCES = {
  Environment = function() return from_environment {} end,
  EcsContainer = function() return from_container() end,
  Ec2InstanceMetadata = function() return from_metadata() end,
}

local function assume(o, operation, args, source, credentials)
  local sts = require("aws.client").new { service = "sts", region = o.region, profile = o.profile, endpoint = o.sts_endpoint,
                                          credentials = credentials or M.NONE }
  local answer = sts:call(operation, args).Credentials
  return made(source, answer.AccessKeyId, answer.SecretAccessKey, answer.SessionToken, answer.Expiration)
end

local function session_name(settings)
  return settings.role_session_name or config.env "AWS_ROLE_SESSION_NAME" or ("hkrun-%d"):format(os.time())
end

local function from_web_identity(o, settings, name)
  local file = settings.web_identity_token_file or not settings.role_arn and config.env "AWS_WEB_IDENTITY_TOKEN_FILE"
  local role = settings.role_arn or config.env "AWS_ROLE_ARN"
  if not (file and role) then return nil end
  return assume(o, "assume_role_with_web_identity", {
    RoleArn = role, RoleSessionName = session_name(settings), WebIdentityToken = secret.new((fs.read(file):gsub("%s+$", ""))),
  }, "web identity of " .. name, nil)
end

local from_profile

local function from_role(o, settings, name, visited)
  if settings.mfa_serial then return nil, ("the role of the profile %s asks for an MFA code, which hkrun cannot"):format(name) end
  local base, reason
  if settings.source_profile then
    if visited[settings.source_profile] and settings.source_profile ~= name then
      errors.usage("the AWS profiles %s and %s take their credentials from each other", name, settings.source_profile)
    end
    visited[name] = true
    base, reason = from_profile(o, settings.source_profile, visited, settings.source_profile == name)
  elseif settings.credential_source then
    local source = CREDENTIAL_SOURCES[settings.credential_source]
    if not source then errors.usage("the AWS profile %s has the unknown credential_source %s", name, settings.credential_source) end
    base, reason = source()
  else
    errors.usage("the AWS profile %s has a role_arn, but no source_profile and no credential_source", name)
  end
  if not base then return nil, reason end
  return assume(o, "assume_role", {
    RoleArn = settings.role_arn, RoleSessionName = session_name(settings), ExternalId = settings.external_id,
    DurationSeconds = math.tointeger(tonumber(settings.duration_seconds)),
  }, "role of the profile " .. name, base)
end

--- Credentials of a profile of the shared files. `plain` leaves its role out: a profile may be its own source.
function from_profile(o, name, visited, plain)
  local files = config.read()
  local settings, keys = files.profiles[name] or {}, files.credentials[name] or {}
  if not (files.profiles[name] or files.credentials[name]) then
    local config_path, credentials_path = config.paths()
    local why = ("no profile %s in %s or %s"):format(name, config_path, credentials_path)
    if o.profile or visited.chosen then errors.usage("there is %s", why) end
    return nil, why
  end
  local merged = setmetatable({}, { __index = function(_, k) return settings[k] or keys[k] end })
  if not plain then
    local found = from_web_identity(o, merged, "the profile " .. name)
    if found then return found end
    if merged.role_arn then return from_role(o, merged, name, visited) end
  end
  local found = keys_of(keys, "shared credentials, profile " .. name)
  if found then return found end
  if merged.credential_process then return from_process(merged.credential_process, name) end
  found = keys_of(settings, "config file, profile " .. name)
  if found then return found end
  if merged.sso_session or merged.sso_start_url then
    return nil, ("the profile %s uses IAM Identity Center: `aws configure export-credentials --profile %s` gives keys that "
                 .. "work here, or name that command as credential_process"):format(name, name)
  end
  return nil, ("the profile %s has no credentials"):format(name)
end

local LOCAL_HOSTS = { ["169.254.170.2"] = true, ["169.254.170.23"] = true, ["[fd00:ec2::23]"] = true, localhost = true,
                      ["127.0.0.1"] = true, ["[::1]"] = true }

function from_container()
  local relative, full = config.env "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", config.env "AWS_CONTAINER_CREDENTIALS_FULL_URI"
  if not (relative or full) then return nil, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI are not set" end
  local url = relative and "http://169.254.170.2" .. relative or full
  local scheme, host = url:match "^(https?)://(%[?[^/%]]+%]?)"
  host = host and host:gsub(":%d+$", "")
  if not host or scheme == "http" and not LOCAL_HOSTS[host] then
    return nil, "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or name this host or the container's agent"
  end
  local file = config.env "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
  local token = file and fs.read(file):gsub("%s+$", "") or config.env "AWS_CONTAINER_AUTHORIZATION_TOKEN"
  local ok, answer = pcall(http.get, url, { headers = { Authorization = token and secret.new(token) }, timeout = 5, connect_timeout = 2 })
  if not ok then return nil, errors.is(answer, "cancelled") and error(answer, 0) or tostring(answer) end
  if answer.status ~= 200 then return nil, ("the container's agent answered %d"):format(answer.status) end
  return from_document("container", answer.body)
end

--- One question to the instance metadata service, version 2.
local function ask_metadata(base, method, path, headers)
  local ok, answer = pcall(http.request, { method = method, url = base .. path, headers = headers, timeout = 2, connect_timeout = 1 })
  if not ok then
    if errors.is(answer, "cancelled") then error(answer, 0) end
    return nil, "no answer from the instance metadata service"
  end
  if answer.status ~= 200 then return nil, ("the instance metadata service answered %d"):format(answer.status) end
  return answer.body
end

function from_metadata()
  if (config.env "AWS_EC2_METADATA_DISABLED" or ""):lower() == "true" then return nil, "AWS_EC2_METADATA_DISABLED is true" end
  local base = (config.env "AWS_EC2_METADATA_SERVICE_ENDPOINT" or "http://169.254.169.254"):gsub("/+$", "")
  local token, why = ask_metadata(base, "PUT", "/latest/api/token", { ["X-aws-ec2-metadata-token-ttl-seconds"] = "21600" })
  if not token then return nil, why end
  local headers = { ["X-aws-ec2-metadata-token"] = secret.new(token) }
  local path = "/latest/meta-data/iam/security-credentials/"
  local roles, no_role = ask_metadata(base, "GET", path, headers)
  if not roles or roles == "" then return nil, no_role or "the instance has no role" end
  local body, no_body = ask_metadata(base, "GET", path .. roles:match "^[^\n]*", headers)
  if not body then return nil, no_body end
  return from_document("instance metadata", body)
end

--- Stands for "send this unsigned": the calls that get credentials.
M.NONE = { source = "none" }

local CHAIN = {
  { "environment", from_environment },
  { "web identity", function(o)
    local found = not o.profile and from_web_identity(o, {}, "the environment")
    return found, "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not set"
  end },
  { "shared files", function(o)
    local name, chosen = config.profile_name(o.profile)
    return from_profile(o, name, { chosen = chosen })
  end },
  { "container", from_container },
  { "instance metadata", from_metadata },
}

local function find(o)
  local tried = {}
  for _, place in ipairs(CHAIN) do
    local found, why = place[2](o)
    if found then return found end
    tried[#tried + 1] = ("%s: %s"):format(place[1], why)
  end
  errors.raise { kind = "usage", op = "find AWS credentials", message = table.concat(tried, "; "), tried = tried,
                 hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`" }
end

local cache, finding = {}, {}

local function is_fresh(found, margin)
  return found and not (found.expires and found.expires - os.time() < margin)
end

--- The credentials of a profile, found once and renewed before they end; of many tasks that ask at once, one does it.
--- Raises "usage" when there are none, naming each place that was tried.
---@param o { profile?: string, region?: string }
---@return aws.Credentials
function M.get(o)
  local key = o.profile or "\0" .. config.profile_name() .. "\0" .. (config.env "AWS_ACCESS_KEY_ID" or "")
  while finding[key] do task.sleep(0.02) end
  if is_fresh(cache[key], RENEW_BEFORE) then return cache[key] end
  finding[key] = true
  local ok, found = pcall(find, o)
  finding[key] = nil
  if ok then
    cache[key] = found
  elseif not is_fresh(cache[key], 0) or errors.is(found, "cancelled") then
    error(found, 0) -- what is still good for some minutes is used when it cannot be renewed
  end
  return cache[key]
end

--- Forgets what was found: after a service said that a token has expired.
function M.forget() cache = {} end

return M
