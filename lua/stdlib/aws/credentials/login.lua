--- `aws login`: the session that the AWS CLI keeps in ~/.aws/login/cache, named by `login_session`. Its credentials last
--- some minutes; new ones are asked for with a proof that one holds the session's key (DPoP, RFC 9449). As for Identity
--- Center, the answer is written back to the CLI's own file: the refresh token in it works once.
local config = require "aws.config"
local ec = require "host.ec"
local errors = require "errors"
local found = require "aws.credentials.found"
local fs = require "fs"
local json = require "json"
local sign = require "sign"
local sts = require "aws.credentials.sts"
local timestamp = require "aws.timestamp"

local RENEW_BEFORE = 300 -- seconds
local SECRETS = { secretAccessKey = true, sessionToken = true, refreshToken = true, dpopKey = true, idToken = true }

local REASONS = {
  TOKEN_EXPIRED = "the session has expired",
  USER_CREDENTIALS_CHANGED = "the user's password or keys have changed",
  INSUFFICIENT_PERMISSIONS = "the user lacks the permission signin:CreateOAuth2Token",
}

local function sign_in(name, why)
  errors.raise { kind = "auth", message = ("the login session of the profile %s cannot be used: %s"):format(name, why),
                 hint = ("run `aws login --profile %s`"):format(name) }
end

local function read_session(name, path)
  local session = fs.exists(path) and json.decode(fs.read(path), { secrets = SECRETS })
  if type(session) ~= "table" then sign_in(name, "nobody has signed in") end
  for _, key in ipairs { "accessToken", "refreshToken", "dpopKey", "clientId" } do
    if not session[key] then sign_in(name, "its file lacks " .. key) end
  end
  return session
end

local function credentials_of(name, session)
  local token = session.accessToken
  return found.make("login session of the profile " .. name, token.accessKeyId, token.secretAccessKey, token.sessionToken, token.expiresAt)
end

local function base64url(bytes) return (sign.base64(bytes):gsub("[+/=]", { ["+"] = "-", ["/"] = "_", ["="] = "" })) end

--- The proof for one POST to a URL: a JWT that holds the public key and is signed with the private one.
local function proof(name, key, url)
  local x, y = ec.point(key)
  if not x then sign_in(name, y.message) end
  local header = json.encode { typ = "dpop+jwt", alg = "ES256", jwk = { kty = "EC", crv = "P-256", x = base64url(x), y = base64url(y) } }
  local claims = json.encode { htm = "POST", htu = url, iat = os.time(), jti = sign.uuid() }
  local text = base64url(header) .. "." .. base64url(claims)
  return text .. "." .. base64url(errors.check("sign a proof of the login session", ec.sign(key, text)))
end

local function renew(o, name, path, session)
  local signin = require("aws.client").new { service = "signin", region = o.region, profile = o.profile, credentials = sts.NONE }
  local args = { tokenInput = { clientId = session.clientId, refreshToken = session.refreshToken, grantType = "refresh_token" } }
  local url = signin:request("create_o_auth2_token", args).url
  local ok, answer = pcall(signin.call, signin, "create_o_auth2_token", args, { headers = { DPoP = proof(name, session.dpopKey, url) } })
  if not ok then
    if errors.is(answer, "remote") and answer.code == "AccessDeniedException" then
      sign_in(name, REASONS[answer.data and answer.data.error] or answer.message)
    end
    error(answer, 0)
  end
  local given, old = answer.tokenOutput, session.accessToken
  session.accessToken = {
    accessKeyId = given.accessToken.accessKeyId, secretAccessKey = given.accessToken.secretAccessKey,
    sessionToken = given.accessToken.sessionToken, accountId = old.accountId, expiresAt = timestamp.iso8601(os.time() + given.expiresIn),
  }
  session.refreshToken = given.refreshToken
  fs.write(path, json.encode(session), 384) -- 0600
  return credentials_of(name, read_session(name, path)) -- where the id of the key is no secret, as it is in the answer
end

---@return aws.Credentials?, string? why
return function(o, name)
  local login = (config.merged(name) or {}).login_session
  if not login then return nil, ("the profile %s has no login_session"):format(name) end
  local folder = config.expand(config.env "AWS_LOGIN_CACHE_DIRECTORY" or "~/.aws/login/cache")
  local path = fs.join(folder, sign.sha256(login) .. ".json")
  local session = read_session(name, path)
  local credentials = credentials_of(name, session)
  if credentials.expires and credentials.expires - os.time() > RENEW_BEFORE then return credentials end
  return renew(o, name, path, session)
end
