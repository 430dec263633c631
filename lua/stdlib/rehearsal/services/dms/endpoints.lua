--- Endpoints: where a source or a target is, and how DMS treats it.
local catalog = require "rehearsal.services.dms.catalog"
local common = require "rehearsal.services.dms.common"
local managed = require "rehearsal.managed"
local sign = require "sign"

local S = {}

local function endpoints(cloud, ctx) return common.all(cloud, ctx, "endpoints") end

--- "captureDdls=N;slotName=x" as the members of PostgreSQLSettings that it stands for.
local function attributes(text)
  local set = {}
  for name, value in text:gmatch "%s*([%w]+)%s*=%s*([^;]*)" do
    local field = name:sub(1, 1):upper() .. name:sub(2)
    if field == "Password" then common.combination("Give the password as Password, not in ExtraConnectionAttributes.") end
    if field == "CaptureDdls" or field == "HeartbeatEnable" or field == "MapBooleanAsBoolean" or field == "FailTasksOnLobTruncation" then
      local word = value:lower()
      set[field] = word == "y" or word == "true" or word == "1"
    else
      set[field] = tonumber(value) and math.tointeger(tonumber(value)) or value
    end
  end
  return set
end

--- The settings in force: extra connection attributes over members.
function S._settings(endpoint)
  local settings = {}
  for name, value in pairs(endpoint.PostgreSQLSettings or {}) do settings[name] = value end
  for name, value in pairs(attributes(endpoint.ExtraConnectionAttributes or "")) do settings[name] = value end
  return settings
end

local function certificate(cloud, ctx, p)
  if p.CertificateArn then common.get(cloud, ctx, "certificates", p.CertificateArn) end
  if (p.SslMode == "verify-ca" or p.SslMode == "verify-full") and not p.CertificateArn then
    common.combination("A certificate is required for the SSL mode %s.", p.SslMode)
  end
end

--- Members of a request, and of PostgreSQLSettings, that say where the server is.
local WHERE = { "Username", "ServerName", "Port", "DatabaseName" }

local function place(endpoint, p)
  local settings = p.PostgreSQLSettings or {}
  for _, field in ipairs(WHERE) do endpoint[field] = p[field] or settings[field] or endpoint[field] end
  endpoint.password = p.Password or settings.Password or endpoint.password
end

local function check(endpoint)
  attributes(endpoint.ExtraConnectionAttributes or "")
  local settings = endpoint.PostgreSQLSettings or {}
  local has_secret = settings.SecretsManagerSecretId ~= nil
  if has_secret ~= (settings.SecretsManagerAccessRoleArn ~= nil) then
    common.combination("SecretsManagerAccessRoleArn and SecretsManagerSecretId must be given together.")
  end
  if has_secret and (endpoint.Username or endpoint.password or endpoint.ServerName or endpoint.Port) then
    common.combination("Provide either SecretsManagerSecretId or clear-text values for UserName, Password, ServerName, and Port.")
  end
  for _, field in ipairs(has_secret and { "DatabaseName" } or WHERE) do
    if not endpoint[field] then common.combination("The endpoint needs %s.", field) end
  end
  if not has_secret and not endpoint.password then common.combination("The endpoint needs Password.") end
end

local function engine(p)
  if p.EngineName and not catalog._engines[p.EngineName] then
    common.invalid("The engine %s is not one that the rehearsal cloud has; it has postgres and aurora-postgresql.", p.EngineName)
  end
  return p.EngineName
end

--- The settings without the password, which never comes back.
local function without_password(settings)
  local copy = {}
  for name, value in pairs(settings or {}) do if name ~= "Password" then copy[name] = value end end
  return copy
end

function S.CreateEndpoint(cloud, p, ctx)
  engine(p)
  local name = common.new_name(cloud, ctx, "endpoints", "EndpointIdentifier", p.EndpointIdentifier)
  certificate(cloud, ctx, p)
  local arn = common.arn(cloud, ctx, "endpoints", p.ResourceIdentifier)
  local endpoint = {
    EndpointIdentifier = name, EndpointType = p.EndpointType, EngineName = p.EngineName, EngineDisplayName = catalog._engines[p.EngineName],
    Status = "active", ExtraConnectionAttributes = p.ExtraConnectionAttributes, CertificateArn = p.CertificateArn, SslMode = p.SslMode or "none",
    ServiceAccessRoleArn = p.ServiceAccessRoleArn, KmsKeyId = p.KmsKeyId or cloud:arn("kms", ctx.region, "key/" .. sign.uuid()),
    PostgreSQLSettings = without_password(p.PostgreSQLSettings), EndpointArn = arn, tags = managed.tags(p.Tags), arn = arn,
  }
  place(endpoint, p)
  check(endpoint)
  endpoints(cloud, ctx)[arn] = endpoint
  return { Endpoint = endpoint }
end

local FILTERS = { ["endpoint-arn"] = "arn", ["endpoint-type"] = "EndpointType", ["endpoint-id"] = "EndpointIdentifier",
                  ["engine-name"] = "EngineName" }

function S.DescribeEndpoints(cloud, p, ctx)
  local page, marker = common.page(cloud, p, common.sorted(endpoints(cloud, ctx)), FILTERS, "Endpoints")
  return { Endpoints = page, Marker = marker }
end

--- The tasks of an endpoint.
local function tasks_of(cloud, ctx, arn)
  local list = {}
  for _, t in ipairs(common.sorted(common.all(cloud, ctx, "tasks"))) do
    if t.SourceEndpointArn == arn or t.TargetEndpointArn == arn then list[#list + 1] = t end
  end
  return list
end

function S.ModifyEndpoint(cloud, p, ctx)
  local endpoint = common.get(cloud, ctx, "endpoints", p.EndpointArn)
  engine(p)
  for _, t in ipairs(tasks_of(cloud, ctx, endpoint.arn)) do
    if t.process then common.state("Endpoint %s is used by the running task %s.", endpoint.arn, t.ReplicationTaskIdentifier) end
  end
  certificate(cloud, ctx, { CertificateArn = p.CertificateArn or endpoint.CertificateArn, SslMode = p.SslMode or endpoint.SslMode })
  if p.EndpointIdentifier and p.EndpointIdentifier:lower() ~= endpoint.EndpointIdentifier then
    endpoint.EndpointIdentifier = common.new_name(cloud, ctx, "endpoints", "EndpointIdentifier", p.EndpointIdentifier)
  end
  local changed = setmetatable({}, { __index = endpoint })
  place(changed, p)
  if p.PostgreSQLSettings then
    changed.PostgreSQLSettings = p.ExactSettings and {} or without_password(endpoint.PostgreSQLSettings)
    for name, value in pairs(without_password(p.PostgreSQLSettings)) do changed.PostgreSQLSettings[name] = value end
    if changed.PostgreSQLSettings.SecretsManagerSecretId and not endpoint.PostgreSQLSettings.SecretsManagerSecretId then
      for _, field in ipairs { "Username", "ServerName", "Port", "password" } do endpoint[field] = nil end
    end
  end
  for _, field in ipairs { "EndpointType", "EngineName", "ExtraConnectionAttributes", "CertificateArn", "SslMode", "ServiceAccessRoleArn" } do
    changed[field] = p[field]
  end
  check(changed)
  for name, value in pairs(changed) do endpoint[name] = value end
  endpoint.EngineDisplayName = catalog._engines[endpoint.EngineName]
  return { Endpoint = endpoint }
end

function S.DeleteEndpoint(cloud, p, ctx)
  local endpoint = common.get(cloud, ctx, "endpoints", p.EndpointArn)
  if tasks_of(cloud, ctx, endpoint.arn)[1] then common.state("Endpoint %s is part of one or more ReplicationTasks.", endpoint.arn) end
  if endpoint.Status == "deleting" then common.state("Endpoint %s is already being deleted.", endpoint.arn) end
  endpoint.Status = "deleting"
  cloud:after(20, function()
    for key, connection in pairs(common.all(cloud, ctx, "connections")) do
      if connection.EndpointArn == endpoint.arn then common.all(cloud, ctx, "connections")[key] = nil end
    end
    endpoints(cloud, ctx)[endpoint.arn] = nil
  end)
  return { Endpoint = endpoint }
end

return S
