--- An environment of a case's own for the AWS settings: variables, the two files, and servers that give credentials.
local config = require "aws.config"
local credentials = require "aws.credentials"
local fs = require "fs"
local secret = require "secret"
local serve = require "rehearsal.serve"
local test = require "test"

local M = {}

--- Runs the case with these variables (false takes a default away) and these two files in its home.
---@return string home
---@return table env what config.env reads, for changes on the way
function M.settings(env, config_text, credentials_text)
  local home = test.tmpdir()
  fs.mkdir_p(home .. "/.aws")
  if config_text then fs.write(home .. "/.aws/config", config_text) end
  if credentials_text then fs.write(home .. "/.aws/credentials", credentials_text) end
  local full = { HOME = home, PATH = os.getenv "PATH", AWS_EC2_METADATA_DISABLED = "true" }
  for name, value in pairs(env) do full[name] = value or nil end
  for name, value in pairs(env) do if value == false then full[name] = nil end end
  local real = config.getenv
  config.getenv = function(name) return full[name] end
  test.defer(function()
    config.getenv = real
    credentials.forget()
  end)
  credentials.forget()
  return home, full
end

function M.get(o) return credentials.get(o or {}) end

--- That credentials are these.
function M.is(found, id, key, token)
  test.equal(found.access_key_id, id)
  test.truthy(secret.is(found.secret_access_key) and secret.equal(found.secret_access_key, key), "the secret key")
  if token then test.truthy(secret.is(found.session_token) and secret.equal(found.session_token, token), "the session token")
  else test.equal(found.session_token, nil) end
end

--- A server whose answers come from `handler(request, number)`; and the requests that came.
---@return string url
---@return table[] seen
function M.server(handler)
  local seen = {}
  local server = serve.start { handler = function(req)
    seen[#seen + 1] = req
    return handler(req, #seen)
  end }
  test.defer(function() server:stop() end)
  return server.url, seen
end

--- An STS that gives A1, A2, ... in the order of the requests.
function M.sts()
  return M.server(function(req, n)
    local name = req.body:match "Action=(%w+)"
    return { body = ("<R><%sResult><Credentials><AccessKeyId>A%d</AccessKeyId><SecretAccessKey>ak</SecretAccessKey><SessionToken>at</SessionToken>"
      .. "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></%sResult></R>"):format(name, n, name) }
  end)
end

--- Two profiles with keys, as a credentials file.
M.KEYS = "[default]\naws_access_key_id = D\naws_secret_access_key = dk\n\n[other]\naws_access_key_id=O\n"
         .. "aws_secret_access_key=ok\naws_session_token=ot\n"

return M
