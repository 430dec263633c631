--- The processes of a replication instance: hkrun again, in the instance's host of the VPC (dms/worker/). Each gets its job as
--- a file of JSON, its endpoints' URLs as secrets in its environment, and tells what happens in lines of JSON.
local common = require "rehearsal.services.dms.common"
local endpoints = require "rehearsal.services.dms.endpoints"
local errors = require "errors"
local fs = require "fs"
local instances = require "rehearsal.services.dms.instances"
local json = require "json"
local log = require "log"
local process = require "process"
local roles = require "rehearsal.services.dms.roles"
local secret = require "secret"
local sign = require "sign"
local text = require "text"

local M = {}

--- The start of every message about an endpoint that does not answer.
M.FAILED = "Test Endpoint failed: Application-Status: 1020912, Application-Message: %s, Application-Detailed-Message: %s"

-- Where an endpoint is -------------------------------------------------------

local function encoded(v) return secret.encode(v, "url") end

local function url_of(user, password, host, port, database)
  return secret.concat { text("postgres://%s:%s@%s:%s/%s", encoded(user), encoded(password), host, port, encoded(database)) }
end

--- The URL that a secret of Secrets Manager and the endpoint make, or nil and why not.
local function from_secret(cloud, ctx, endpoint, settings)
  local id = settings.SecretsManagerSecretId
  local sub = { region = ctx.region, service = "secretsmanager", operation = "GetSecretValue", request_id = ctx.request_id }
  local ok, value = pcall(cloud:service "secretsmanager".GetSecretValue, cloud, { SecretId = id }, sub)
  if not ok then return nil, type(value) == "table" and value.message or tostring(value) end
  local refusal = roles.refusal(cloud, ctx, settings.SecretsManagerAccessRoleArn, "secretsmanager:GetSecretValue", value.ARN,
    { SecretsManagerReadWrite = true, AdministratorAccess = true })
  if refusal then return nil, refusal end
  local fields = json.decode(secret.concat { value.SecretString }, { secrets = true })
  for _, name in ipairs { "username", "password", "host", "port" } do
    if type(fields) ~= "table" or fields[name] == nil then return nil, ("The secret %s has no %s."):format(id, name) end
  end
  return url_of(fields.username, fields.password, fields.host, fields.port, endpoint.DatabaseName)
end

local function where_is(cloud, ctx, endpoint, settings)
  if settings.SecretsManagerSecretId then return from_secret(cloud, ctx, endpoint, settings) end
  return url_of(endpoint.Username, endpoint.password, endpoint.ServerName, endpoint.Port, endpoint.DatabaseName)
end

--- Loopback addresses stand for the internet; the hosts of VPCs without isolation have others.
local function is_outside(host) return host == "localhost" or host:find "^127%.0%." ~= nil end

---@class DmsSide
---@field url Secret
---@field facts table what is no secret: sslmode, ca, outside, settings, script, name

--- What a worker needs to know of an endpoint.
---@return DmsSide?, string? failure
function M.side(cloud, ctx, instance, endpoint)
  local settings = endpoints._settings(endpoint)
  local url, why = where_is(cloud, ctx, endpoint, settings)
  if not url then return nil, M.FAILED:format("Failed to retrieve secret", why) end
  local where = secret.parse_url(url)
  local outside = is_outside(where.host)
  if outside and not instances._reaches_internet(cloud, instance, where.port) then
    return nil, M.FAILED:format("Failed to connect Network error has occurred", ("RetCode: SQL_ERROR SqlState: 08001 NativeError: 101 Message: "
      .. "[unixODBC]timeout expired: %s is not in the VPC, and the replication instance does not reach the internet (it must be publicly "
      .. "accessible, in a public subnet, and its security groups must let it out)"):format(where.host))
  end
  local ca
  if endpoint.CertificateArn then
    ca = fs.join(instance.dir, endpoint.CertificateArn:match "[^:]+$" .. ".pem")
    fs.write(ca, common.get(cloud, ctx, "certificates", endpoint.CertificateArn).CertificatePem)
  end
  return { url = url, facts = { ca = ca, sslmode = endpoint.SslMode == "none" and "disable" or endpoint.SslMode, settings = settings,
    outside = outside and cloud.net.isolated, name = endpoint.EndpointIdentifier } }
end

-- Processes ------------------------------------------------------------------

--- Starts a worker in the instance.
---@param job table its mode and what that needs
---@param sides { source?: DmsSide, target?: DmsSide }
---@return Process
local function start(instance, job, sides)
  local env = { PATH = os.getenv "PATH" or "/usr/bin:/bin", HOME = "/", LANG = "C.UTF-8", HKRUN_LIB = os.getenv "HKRUN_LIB" }
  env.HKRUN_LIB = env.HKRUN_LIB and fs.realpath(env.HKRUN_LIB)
  for name, side in pairs(sides) do
    job[name] = side.facts
    env["HKRUN_DMS_" .. name:upper()] = side.url
  end
  local ns = instance.place.host.ns
  if ns then job.inside, job.outside = ("/proc/%d/ns/net"):format(ns.pid), ("/proc/%d/ns/net"):format(process.pid()) end
  env.HKRUN_DMS_JOB = fs.join(instance.dir, "job-" .. sign.hex(sign.random(8)))
  fs.write(env.HKRUN_DMS_JOB, json.encode(job), 384)           -- the mappings of many tables are too long for a variable
  return process.start { process.program(), "-e", [[require "rehearsal.services.dms.worker.main" ()]], env = env, cwd = "/",
    prefix = instance.place.host.prefix, stdout = "pipe", stderr = fs.join(instance.dir, "log") }
end

--- Reads what a worker tells until it ends.
---@param tell fun(event: table)
---@return integer code
local function follow(p, tell)
  for line in function() return p:read_line() end do
    local event = json.decode(line)
    if type(event) == "table" then tell(event) end
  end
  return p:wait()
end

--- Runs a worker to its end; its last "result" event, or its failure's message.
---@return table? result, string? message
function M.ask(instance, job, sides)
  local p <close> = start(instance, job, sides)
  local result, failure
  local code = follow(p, function(event)
    if event.event == "result" then result = event.result elseif event.event == "failed" then failure = event.message end
  end)
  if not result and not failure then failure = ("the worker ended with code %d"):format(code) end
  return result, failure
end

--- Starts a worker that runs on; `tell` hears its events, then `ended` its code.
---@return Process
function M.launch(cloud, instance, job, sides, tell, ended)
  local p = start(instance, job, sides)
  cloud:after(0, function()
    local ok, code = pcall(follow, p, tell)
    if not ok then
      p:stop(0, "KILL")
      error(code, 0)
    end
    p:stop()                                           -- gives back what is left of it
    ended(code)
  end)
  return p
end

--- A message for what a worker said of an endpoint.
function M.said(message)
  if message:find "^Test Endpoint failed" then return message end
  return M.FAILED:format("Failed to connect Network error has occurred", "RetCode: SQL_ERROR SqlState: 08001 NativeError: 101 Message: [unixODBC]"
    .. message)
end

function M.report(e)
  if errors.is(e, "cancelled") then error(e, 0) end
  log.warn("the rehearsal's DMS: %s", tostring(e))
end

return M
