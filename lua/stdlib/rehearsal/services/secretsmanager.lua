--- AWS Secrets Manager in the rehearsal. Values are kept as secrets.
local json = require "json"
local sign = require "sign"
local wire = require "rehearsal.wire"

local S = {}

local function store(cloud, region) return cloud:store("secretsmanager", region) end

--- By name, by ARN, or by an ARN without its random suffix.
local function find(cloud, region, id)
  local all = store(cloud, region)
  if all[id] then return all[id] end
  for _, s in pairs(all) do
    if s.ARN == id or s.ARN:sub(1, -8) == id then return s end
  end
end

local function get(cloud, ctx, id, alive)
  local s = find(cloud, ctx.region, id)
            or wire.fail("ResourceNotFoundException", 400, "Secrets Manager can't find the specified secret.")
  if alive and s.DeletedDate then
    wire.fail("InvalidRequestException", 400, "You can't perform this operation on the secret because it was marked for deletion.")
  end
  return s
end

local function put(cloud, s, value, binary, token)
  if value == nil and binary == nil then return nil end
  local version = token or sign.uuid()
  if s.versions[version] then return version end
  for _, v in pairs(s.versions) do
    v.stages = v.stages[1] == "AWSCURRENT" and { "AWSPREVIOUS" } or {}
  end
  s.versions[version] = { value = value, binary = binary, stages = { "AWSCURRENT" }, created = cloud.clock:now() }
  s.current, s.LastChangedDate = version, cloud.clock:now()
  return version
end

function S.CreateSecret(cloud, p, ctx)
  local old = find(cloud, ctx.region, p.Name)
  if old and old.DeletedDate then
    wire.fail("InvalidRequestException", 400, "You can't create this secret because a secret with this name is already scheduled for deletion.")
  elseif old then
    if p.ClientRequestToken and old.versions[p.ClientRequestToken] then
      return { ARN = old.ARN, Name = old.Name, VersionId = p.ClientRequestToken }
    end
    wire.fail("ResourceExistsException", 400, "The operation failed because the secret %s already exists.", p.Name)
  end
  local suffix = sign.base64(sign.random(12)):gsub("[^%w]", ""):sub(1, 6)
  local s = { Name = p.Name, Description = p.Description, Tags = p.Tags or {}, CreatedDate = cloud.clock:now(), versions = {}, KmsKeyId = p.KmsKeyId,
              ARN = cloud:arn("secretsmanager", ctx.region, "secret:" .. p.Name .. "-" .. suffix) }
  store(cloud, ctx.region)[p.Name] = s
  return { ARN = s.ARN, Name = s.Name, VersionId = put(cloud, s, p.SecretString, p.SecretBinary, p.ClientRequestToken) }
end

function S.PutSecretValue(cloud, p, ctx)
  local s = get(cloud, ctx, p.SecretId, true)
  local version = put(cloud, s, p.SecretString, p.SecretBinary, p.ClientRequestToken)
  return { ARN = s.ARN, Name = s.Name, VersionId = version, VersionStages = s.versions[version].stages }
end

function S.UpdateSecret(cloud, p, ctx)
  local s = get(cloud, ctx, p.SecretId, true)
  s.Description = p.Description or s.Description
  s.KmsKeyId = p.KmsKeyId or s.KmsKeyId
  return { ARN = s.ARN, Name = s.Name, VersionId = put(cloud, s, p.SecretString, p.SecretBinary, p.ClientRequestToken) }
end

function S.GetSecretValue(cloud, p, ctx)
  local s = get(cloud, ctx, p.SecretId, true)
  local id = p.VersionId or s.current
  for version, v in pairs(s.versions) do
    for _, stage in ipairs(v.stages) do if stage == p.VersionStage then id = version end end
  end
  local v = id and s.versions[id] or wire.fail("ResourceNotFoundException", 400,
    "Secrets Manager can't find the specified secret value for VersionId: %s", tostring(id))
  return { ARN = s.ARN, Name = s.Name, VersionId = id, SecretString = v.value, SecretBinary = v.binary, VersionStages = v.stages,
           CreatedDate = v.created }
end

local function describe(s)
  local stages = {}
  for version, v in pairs(s.versions) do stages[version] = v.stages end
  return { ARN = s.ARN, Name = s.Name, Description = s.Description, Tags = s.Tags, CreatedDate = s.CreatedDate, LastChangedDate = s.LastChangedDate,
           DeletedDate = s.DeletedDate, VersionIdsToStages = stages, RotationEnabled = false, KmsKeyId = s.KmsKeyId }
end

function S.DescribeSecret(cloud, p, ctx) return describe(get(cloud, ctx, p.SecretId)) end

function S.ListSecrets(cloud, p, ctx)
  local list = {}
  for _, s in pairs(store(cloud, ctx.region)) do
    if not s.DeletedDate or p.IncludePlannedDeletion then list[#list + 1] = describe(s) end
  end
  table.sort(list, function(a, b) return a.Name < b.Name end)
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { SecretList = page, NextToken = token }
end

function S.DeleteSecret(cloud, p, ctx)
  local s = find(cloud, ctx.region, p.SecretId)
  if not s and p.ForceDeleteWithoutRecovery then return { Name = p.SecretId, DeletionDate = cloud.clock:now() } end
  s = get(cloud, ctx, p.SecretId)
  local date = cloud.clock:now() + (p.RecoveryWindowInDays or 30) * 86400
  if p.ForceDeleteWithoutRecovery then store(cloud, ctx.region)[s.Name] = nil date = cloud.clock:now()
  else s.DeletedDate = date end
  return { ARN = s.ARN, Name = s.Name, DeletionDate = date }
end

function S.RestoreSecret(cloud, p, ctx)
  local s = get(cloud, ctx, p.SecretId)
  s.DeletedDate = nil
  return { ARN = s.ARN, Name = s.Name }
end

function S.TagResource(cloud, p, ctx)
  local s = get(cloud, ctx, p.SecretId, true)
  for _, tag in ipairs(p.Tags) do
    for i = #s.Tags, 1, -1 do if s.Tags[i].Key == tag.Key then table.remove(s.Tags, i) end end
    table.insert(s.Tags, tag)
  end
end

function S.UntagResource(cloud, p, ctx)
  local s = get(cloud, ctx, p.SecretId, true)
  for _, key in ipairs(p.TagKeys) do
    for i = #s.Tags, 1, -1 do if s.Tags[i].Key == key then table.remove(s.Tags, i) end end
  end
end

function S.GetRandomPassword(_, p)
  return { RandomPassword = require "secret".random(p.PasswordLength or 32) }
end

function S.GetResourcePolicy(cloud, p, ctx)
  local s = get(cloud, ctx, p.SecretId)
  return { ARN = s.ARN, Name = s.Name }
end

--- The value that an environment's "arn:...:secret:name-XXXXXX:KEY" stands for.
---@return Secret
function S._value(cloud, reference)
  local region, rest = reference:match "^arn:aws:secretsmanager:([%w%-]+):%d+:secret:(.+)$"
  local name, key = (rest or ""):match "^([^:]+):?(.*)$"
  local base = name and reference:match("^arn:aws:secretsmanager:[%w%-]+:%d+:secret:") .. name
  local s = base and find(cloud, region, base) or wire.fail("ResourceNotFoundException", 400, "no secret %s", reference)
  local value = s.versions[s.current].value
  if key == "" then return value end
  local fields = json.decode(value, { secrets = true })
  return fields[key] or wire.fail("ResourceNotFoundException", 400, "the secret %s has no key %s", s.Name, key)
end

return S
