--- Key pairs.
local C = require "rehearsal.services.ec2.common"
local secret = require "secret"
local sign = require "sign"
local ssh = require "ssh"
local wire = require "rehearsal.wire"

local S = {}

local function keys(cloud, ctx)
  local store = cloud:store("ec2", ctx.region)
  store.keys = store.keys or {}
  return store.keys
end

local function new_key(cloud, ctx, p, public)
  local all = keys(cloud, ctx)
  if all[p.KeyName] then wire.fail("InvalidKeyPair.Duplicate", 400, "The keypair already exists: %s", p.KeyName) end
  local id = cloud:new_id "key"
  local key = C._add(cloud, ctx, "key-pair", id, {
    KeyPairId = id, KeyName = p.KeyName, KeyType = public:match "^ssh%-(%w+)" == "rsa" and "rsa" or "ed25519", CreateTime = cloud.clock:now(),
    KeyFingerprint = sign.base64(sign.unhex(sign.sha256(sign.unbase64(public:match "^%S+ (%S+)") or public))),
  }, p.TagSpecifications)
  key.public = public
  all[p.KeyName] = key
  return key
end

function S.ImportKeyPair(cloud, p, ctx)
  local public = p.PublicKeyMaterial
  if not public:find "^ssh%-%S+ %S+" then wire.fail("InvalidKey.Format", 400, "Key is not in valid OpenSSH public key format") end
  return new_key(cloud, ctx, p, public)
end

function S.CreateKeyPair(cloud, p, ctx)
  local pair = ssh.keygen()
  local key = new_key(cloud, ctx, p, pair.public)
  return { KeyName = key.KeyName, KeyPairId = key.KeyPairId, KeyFingerprint = key.KeyFingerprint, Tags = key.Tags,
           KeyMaterial = secret.concat { pair.private } }
end

function S.DescribeKeyPairs(cloud, p, ctx)
  local all = keys(cloud, ctx)
  for _, name in ipairs(p.KeyNames or {}) do
    if not all[name] then wire.fail("InvalidKeyPair.NotFound", 400, "The key pair '%s' does not exist", name) end
  end
  local list = C._select(C._list(cloud, ctx.region, "key-pair"), p.KeyPairIds and "KeyPairId" or "KeyName", p.KeyPairIds or p.KeyNames, p.Filters,
                         "InvalidKeyPair.NotFound")
  if not p.IncludePublicKey then return { KeyPairs = list } end
  local with = {}
  for i, key in ipairs(list) do
    with[i] = setmetatable({ PublicKey = key.public }, { __index = key })
  end
  return { KeyPairs = with }
end

function S.DeleteKeyPair(cloud, p, ctx)
  for name, key in pairs(keys(cloud, ctx)) do
    if name == p.KeyName or key.KeyPairId == p.KeyPairId then
      keys(cloud, ctx)[name] = nil
      C._remove(cloud, ctx, key.KeyPairId)
      return { Return = true, KeyPairId = key.KeyPairId }
    end
  end
  return { Return = true }
end

--- The public key of a pair, for an instance's authorized_keys.
function S._public_key(cloud, ctx, name)
  local key = keys(cloud, ctx)[name] or wire.fail("InvalidKeyPair.NotFound", 400, "The key pair '%s' does not exist", tostring(name))
  return key.public
end

return S
