--- AWS STS in the rehearsal: who calls, and sessions of roles that are taken on with a token of an identity provider.
local json = require "json"
local sign = require "sign"
local wire = require "rehearsal.wire"

local S = {}

function S.GetCallerIdentity(cloud, _, ctx)
  local session = ctx.session
  if session then return { UserId = session.id, Account = cloud.account, Arn = session.arn } end
  return { UserId = "AIDA" .. cloud.access_key:sub(5), Account = cloud.account, Arn = cloud:arn("iam", nil, "user/rehearsal") }
end

--- The claims of the token that a request brings. Nobody signs those of a rehearsal: what they say is weighed as AWS does, who
--- made them is not.
local function claims_of(request)
  local payload = (request.body or ""):match "WebIdentityToken=[%w_-]+%.([%w_-]+)%.[%w_-]*"
  local ok, text = pcall(sign.unbase64, payload and payload:gsub("-", "+"):gsub("_", "/") .. ("="):rep(-#payload % 4))
  local claims = ok and json.decode(text)
  return type(claims) == "table" and claims or wire.fail("InvalidIdentityToken", 400, "The ID Token provided is not a valid JWT.")
end

function S.AssumeRoleWithWebIdentity(cloud, p, ctx)
  local claims = claims_of(ctx.request)
  if (claims.exp or 0) < cloud.clock:now() then wire.fail("ExpiredTokenException", 400, "Token expired") end
  if not cloud:service "iam"._trusts_token(cloud, p.RoleArn, claims) then
    wire.fail("AccessDenied", 403, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
  end
  local role = p.RoleArn:match "[^/]+$"
  local session = { role = p.RoleArn, id = ("AROA%s:%s"):format(sign.hex(sign.random(8)):upper(), p.RoleSessionName),
                    arn = cloud:arn("sts", nil, ("assumed-role/%s/%s"):format(role, p.RoleSessionName)) }
  local key, word = "ASIA" .. sign.hex(sign.random(8)):upper(), sign.base64(sign.random(30))
  session.token = sign.base64(sign.random(60))
  cloud.secret_keys[key], cloud.sessions[key] = word, session
  return { Credentials = { AccessKeyId = key, SecretAccessKey = word, SessionToken = session.token,
                           Expiration = cloud.clock:now() + (p.DurationSeconds or 3600) },
           AssumedRoleUser = { AssumedRoleId = session.id, Arn = session.arn }, Provider = claims.iss, Audience = claims.aud,
           SubjectFromWebIdentityToken = claims.sub }
end

return S
