--- The settings that the AWS tools share: environment variables, ~/.aws/config and ~/.aws/credentials.
--- Source: AWS SDKs and Tools Reference Guide, "Shared config and credentials files".
local errors = require "errors"
local fs = require "fs"

local M = {}

--- Where the environment is read; a test puts a table's look-up here.
M.getenv = os.getenv

--- A variable that is set and not empty.
---@param name string
---@return string?
function M.env(name)
  local value = M.getenv(name)
  return value ~= "" and value or nil
end

--- Reads an ini file as botocore does: names are in lower case, `:` may stand for `=`, indented lines under an empty value
--- make a table, under another value they go on with it.
---@param text string
---@param file string named in errors
---@return table<string, table> sections
function M.parse(text, file)
  local sections, section, key = {}, nil, nil
  local number = 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    line = line:gsub("\r$", "")
    local indented = line:find "^%s" and key ~= nil
    local body = line:match "^%s*(.-)%s*$"
    local is_blank = body == "" or body:find "^[#;]"
    if not is_blank and body:find "^%[" and not indented then
      local name = body:match "^%[%s*(.-)%s*%]"
      if not name then errors.usage("%s:%d: a section ends with ]", file, number) end
      section = sections[name] or {}
      sections[name], key = section, nil
    elseif not is_blank and indented and type(section[key]) == "string" then
      section[key] = section[key] .. "\n" .. body
    elseif not is_blank then
      local name, value = body:match(indented and "^([^=]-)%s*=%s*(.*)$" or "^([^=:]-)%s*[=:]%s*(.*)$")
      if not name or not section then
        errors.usage("%s:%d: expected %s", file, number, section and "name = value" or "a [section]")
      end
      if indented then
        section[key][name] = value
      else
        key = name:lower()
        section[key] = value == "" and {} or value
      end
    end
  end
  for _, settings in pairs(sections) do
    for name, value in pairs(settings) do if type(value) == "table" and not next(value) then settings[name] = nil end end
  end
  return sections
end

--- A path with ~ and variables put in, as a shell would.
---@param path string
---@return string
function M.expand(path)
  path = path:gsub("^~", M.env "HOME" or "/")
  return (path:gsub("%${?([%a_][%w_]*)}?", function(name) return M.env(name) end))
end

--- Paths of the two files.
---@return string config, string credentials
function M.paths()
  return M.expand(M.env "AWS_CONFIG_FILE" or "~/.aws/config"),
         M.expand(M.env "AWS_SHARED_CREDENTIALS_FILE" or "~/.aws/credentials")
end

local read = {} -- path -> { stamp, sections }

--- The sections of a file, read again when it has changed: tools renew it while we run.
local function sections_of(path)
  local found = fs.stat(path)
  if not found then return {} end
  local stamp = ("%d %.9f"):format(found.size, found.mtime)
  if not (read[path] and read[path].stamp == stamp) then
    read[path] = { stamp = stamp, sections = M.parse(fs.read(path), path) }
  end
  return read[path].sections
end

local KINDS = { profile = "profiles", services = "services", ["sso-session"] = "sso_sessions" }

--- What both files say, by the names of profiles and of other sections. The tables are shared: nobody writes into them.
---@return { profiles: table<string, table>, credentials: table<string, table>, services: table<string, table>, sso_sessions: table<string, table> }
function M.read()
  local config_path, credentials_path = M.paths()
  local found = { profiles = {}, credentials = sections_of(credentials_path), services = {}, sso_sessions = {} }
  for name, section in pairs(sections_of(config_path)) do
    local kind, rest = name:match "^(%S+)%s+(.-)$"
    if KINDS[kind] then found[KINDS[kind]][rest:match '^"(.*)"$' or rest:match "^'(.*)'$" or rest] = section end
    if name == "default" then found.profiles.default = found.profiles.default or section end
  end
  return found
end

--- What both files together say of a profile; the credentials file has the last word. nil if neither knows it.
---@param name string
---@return table?
function M.merged(name)
  local files = M.read()
  local settings, keys = files.profiles[name], files.credentials[name]
  if not (settings and keys) then return settings or keys end
  return setmetatable({}, { __index = function(_, key) return keys[key] or settings[key] end })
end

--- The name of the profile in use.
---@param asked? string
---@return string name
---@return boolean chosen whether someone asked for it
function M.profile_name(asked)
  local name = asked or M.env "AWS_PROFILE" or M.env "AWS_DEFAULT_PROFILE"
  return name or "default", name ~= nil
end

--- The settings of a profile. Raises "usage" for one that was asked for and does not exist.
---@param asked? string
---@return table settings empty if there is none
function M.profile(asked)
  local name, chosen = M.profile_name(asked)
  local settings = M.merged(name)
  if not settings and chosen then
    local config_path, credentials_path = M.paths()
    errors.usage("there is no AWS profile %s in %s or %s", name, config_path, credentials_path)
  end
  return settings or {}
end

--- The region: asked for, from the environment, or from the profile. Raises "usage" if none says it, and there is no other.
---@param asked? string
---@param profile? string
---@param other? fun(): string? gives the region of a service that is in none
---@return string
function M.region(asked, profile, other)
  local region = asked or M.env "AWS_REGION" or M.env "AWS_DEFAULT_REGION" or M.profile(profile).region or other and other()
  if not region then
    errors.usage "no AWS region is given: set AWS_REGION, `region` in ~/.aws/config, or aws.use{ region = }"
  end
  return region
end

local function is_true(text) return text ~= nil and text:lower() == "true" end

--- A switch that is on in the environment or in the profile.
---@param variable string
---@param key string
---@param profile? string
---@return boolean
function M.switch(variable, key, profile)
  local env = M.env(variable)
  if env then return is_true(env) end
  local value = M.profile(profile)[key]
  return type(value) == "string" and is_true(value)
end

--- The custom endpoint of a service, with botocore's precedence (ConfiguredEndpointProvider).
---@param service_id string "Elastic Beanstalk"
---@param profile? string
---@return string? url
function M.endpoint(service_id, profile)
  if M.switch("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls", profile) then return nil end
  local key = service_id:gsub("[ -]", "_")
  local url = M.env("AWS_ENDPOINT_URL_" .. key:upper()) or M.env "AWS_ENDPOINT_URL"
  if url then return url end
  local settings = M.profile(profile)
  local services = settings.services and M.read().services[settings.services]
  if settings.services and not services then
    errors.usage("the AWS profile names the services section %s, which does not exist", settings.services)
  end
  local own = services and services[key:lower()]
  return own and own.endpoint_url or settings.endpoint_url
end

return M
