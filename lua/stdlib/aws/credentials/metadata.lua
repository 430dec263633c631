--- The role of an EC2 instance, from its metadata service in version 2. Version 1 is never used: it gives credentials to
--- whoever can make the instance send a request.
local config = require "aws.config"
local errors = require "errors"
local found = require "aws.credentials.found"
local http = require "http"
local secret = require "secret"

local PATH = "/latest/meta-data/iam/security-credentials/"
local HOSTS = { ipv4 = "http://169.254.169.254", ipv6 = "http://[fd00:ec2::254]" }
local EXTENSION, JITTER = 900, 480 -- seconds

local function setting(variable, key, name) return config.env(variable) or (config.merged(name) or {})[key] end

local function number(variable, key, name, default)
  local value = setting(variable, key, name)
  return value and (tonumber(value) or errors.usage("%s must be a number, not %s", key, tostring(value))) or default
end

--- Where the service is: an endpoint that is set, or the address of the mode.
local function base_of(name)
  local endpoint = setting("AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint", name)
  if endpoint then
    if not endpoint:find "^https?://" then errors.usage("ec2_metadata_service_endpoint is not an http or https URL: %s", endpoint) end
    return (endpoint:gsub("/+$", ""))
  end
  local v6 = (setting("AWS_IMDS_USE_IPV6", "imds_use_ipv6", name) or ""):lower() == "true"
  local mode = setting("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode", name) or v6 and "ipv6" or "ipv4"
  return HOSTS[mode:lower()] or errors.usage("ec2_metadata_service_endpoint_mode must be IPv4 or IPv6, not %s", mode)
end

--- One question, asked again if nobody answers.
---@return HttpAnswer?
local function ask(service, method, path, headers)
  for _ = 1, service.attempts do
    local ok, answer = pcall(http.request, { method = method, url = service.base .. path, headers = headers,
                                             timeout = service.timeout, connect_timeout = service.timeout })
    if ok and answer.status < 500 then return answer end
    if not ok and (not errors.is(answer) or answer.kind == "cancelled") then error(answer, 0) end
  end
  return nil
end

local function session(service)
  local answer = ask(service, "PUT", "/latest/api/token", { ["x-aws-ec2-metadata-token-ttl-seconds"] = "21600" })
  if not answer then return nil, "no answer from the instance metadata service" end
  if answer.status ~= 200 then return nil, ("the instance metadata service answered %d"):format(answer.status) end
  service.token = secret.new(answer.body)
  return true
end

--- A question with a session's token, with a new one if that is over.
local function read(service, path)
  local answer = ask(service, "GET", path, { ["x-aws-ec2-metadata-token"] = service.token })
  if answer and answer.status == 401 and session(service) then
    answer = ask(service, "GET", path, { ["x-aws-ec2-metadata-token"] = service.token })
  end
  if answer and answer.status == 200 then return answer.body end
  return nil, answer and ("the instance metadata service answered %d"):format(answer.status) or "no answer from the instance metadata service"
end

---@return aws.Credentials?, string? why
return function(_, name)
  if (config.env "AWS_EC2_METADATA_DISABLED" or ""):lower() == "true" then return nil, "AWS_EC2_METADATA_DISABLED is true" end
  local service = {
    base = base_of(name), timeout = number("AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout", name, 1),
    attempts = number("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "metadata_service_num_attempts", name, 1),
  }
  local ok, why = session(service)
  if not ok then return nil, why end
  local roles, no_role = read(service, PATH)
  local role = roles and roles:match "%S+"
  if not role then return nil, roles and "the instance has no role" or no_role end
  local body, no_body = read(service, PATH .. role)
  if not body then return nil, no_body end
  local credentials, not_found = found.from_json("instance metadata", body, "Token")
  -- while AWS cannot make new ones it hands out the old ones, which it goes on accepting
  local soonest = os.time() + EXTENSION
  if credentials and credentials.expires and credentials.expires < soonest then
    credentials.expires = soonest + math.random(120, 120 + JITTER)
  end
  return credentials, not_found
end
