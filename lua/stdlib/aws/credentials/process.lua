--- Credentials that a program of the user's prints: credential_process.
local config = require "aws.config"
local errors = require "errors"
local found = require "aws.credentials.found"
local process = require "process"

local TIMEOUT = 60 -- seconds

--- The environment that hkrun was started with, as a program that signs in needs it.
local function environment()
  local env = {}
  for name in pairs(process.environment()) do env[name] = config.env(name) end
  for _, name in ipairs { "PATH", "HOME", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE" } do env[name] = config.env(name) end
  return env
end

---@return aws.Credentials?, string? why
return function(_, name)
  local command = (config.merged(name) or {}).credential_process
  if not command then return nil, ("the profile %s has no credential_process"):format(name) end
  local program = "the credential_process of the profile " .. name
  local result = process.run { "/bin/sh", "-c", command, timeout = TIMEOUT, env = environment() }
  if result.code ~= 0 then
    local said = result.stderr:match "^%s*([^\n]*)"
    errors.raise { kind = "auth", message = ("%s ended with code %s%s"):format(program, tostring(result.code), said ~= "" and ": " .. said or "") }
  end
  local credentials, why, doc = found.from_json("process of the profile " .. name, result.stdout, "SessionToken")
  if doc and doc.Version ~= 1 then
    errors.raise { kind = "auth", message = ("%s answers in version %s, not 1"):format(program, tostring(doc.Version)) }
  end
  if not credentials then errors.raise { kind = "auth", message = ("%s: %s"):format(program, why) } end
  return credentials
end
