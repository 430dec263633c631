--- The agent beside a container: ECS, EKS Pod Identity, Greengrass.
local config = require "aws.config"
local errors = require "errors"
local found = require "aws.credentials.found"
local fs = require "fs"
local http = require "http"
local retry = require "retry"
local secret = require "secret"

local AGENT = "http://169.254.170.2"
local HOSTS = { ["169.254.170.2"] = true, ["169.254.170.23"] = true, ["[fd00:ec2::23]"] = true, ["[::1]"] = true, localhost = true }

--- Without TLS the token may only go to this host or to the agent of the container.
local function is_allowed(url)
  local scheme, host = url:match "^(%a+)://([^/?#]*)"
  if not scheme then return false end
  host = host:gsub("^.*@", ""):gsub(":%d+$", ""):lower()
  return scheme:lower() == "https" or scheme:lower() == "http" and (HOSTS[host] or host:find "^127%.%d+%.%d+%.%d+$") ~= nil
end

--- The token goes into a header, so it is one line. The file is read each time: it is renewed.
local function authorization()
  local file = config.env "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
  local token = file and fs.read(config.expand(file)):gsub("%s+$", "") or config.env "AWS_CONTAINER_AUTHORIZATION_TOKEN"
  if token and token:find "[\r\n]" then errors.usage "the container's authorization token has more than one line" end
  return token and secret.new(token)
end

---@return aws.Credentials?, string? why
return function()
  local relative, full = config.env "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", config.env "AWS_CONTAINER_CREDENTIALS_FULL_URI"
  if not (relative or full) then return nil, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI are not set" end
  local url = relative and AGENT .. relative or full
  if not is_allowed(url) then
    errors.usage "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or name this host or the container's agent"
  end
  local credentials, why = retry.call(function()
    local answer = http.get(url, { headers = { Accept = "application/json", Authorization = authorization() }, timeout = 5, connect_timeout = 2 })
    if answer.status ~= 200 then
      errors.raise { kind = "auth", message = ("the container's agent answered %d"):format(answer.status), retry = answer.status >= 500 }
    end
    return found.from_json("container", answer.body, "Token")
  end, { attempts = 3 })
  if not credentials then errors.raise { kind = "auth", message = "the container's agent: " .. why } end
  return credentials
end
