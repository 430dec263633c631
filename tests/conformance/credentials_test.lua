--- botocore as the judge of credentials: the same files and the same servers give both the same keys, or neither any.
-- luacheck: no max line length
local test = require "test"
local credentials = require "aws.credentials"
local fs = require "fs"
local json = require "json"
local lab = dofile "tests/support/aws_lab.lua"
local process = require "process"
local secret = require "secret"
local sign = require "sign"
local T = test.cases()

local KEYS = [[
[default]
aws_access_key_id = D
aws_secret_access_key = dk
[keys]
aws_access_key_id = K
aws_secret_access_key = kk
aws_session_token = kt
[both]
aws_access_key_id = B
aws_secret_access_key = bk
[partial]
aws_access_key_id = P
]]

local CONFIG = [[
[profile both]
aws_access_key_id = C
aws_secret_access_key = ck
credential_process = printf '{"Version":1,"AccessKeyId":"NO","SecretAccessKey":"no"}'
[profile config]
aws_access_key_id: C
AWS_SECRET_ACCESS_KEY = ck
[profile role]
role_arn = arn:aws:iam::111122223333:role/one
source_profile = keys
external_id = x1
duration_seconds = 1800
[profile chain]
role_arn = arn:aws:iam::111122223333:role/two
source_profile = role
[profile chain3]
role_arn = arn:aws:iam::111122223333:role/three
source_profile = chain
[profile self]
role_arn = arn:aws:iam::111122223333:role/self
source_profile = self
aws_access_key_id = S
aws_secret_access_key = sk
[profile onself]
role_arn = arn:aws:iam::111122223333:role/onself
source_profile = self
[profile env]
role_arn = arn:aws:iam::111122223333:role/env
credential_source = Environment
[profile ecs]
role_arn = arn:aws:iam::111122223333:role/ecs
credential_source = EcsContainer
[profile ec2]
role_arn = arn:aws:iam::111122223333:role/ec2
credential_source = Ec2InstanceMetadata
[profile web]
role_arn = arn:aws:iam::111122223333:role/web
web_identity_token_file = TOKEN
[profile onweb]
role_arn = arn:aws:iam::111122223333:role/onweb
source_profile = web
[profile sso]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Admin
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://corp/start
[profile oldsso]
sso_start_url = https://old/start
sso_region = eu-west-1
sso_account_id = 111122223333
sso_role_name = Reader
[profile onsso]
role_arn = arn:aws:iam::111122223333:role/onsso
source_profile = sso
[profile lapsed]
sso_start_url = https://lapsed/start
sso_region = eu-west-1
sso_account_id = 111122223333
sso_role_name = Reader
[profile ssokeys]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Admin
aws_access_key_id = NO
aws_secret_access_key = no
[profile process]
credential_process = printf '{"Version":1,"AccessKeyId":"PR","SecretAccessKey":"pk","SessionToken":"pt"}'
[profile onprocess]
role_arn = arn:aws:iam::111122223333:role/onprocess
source_profile = process
[profile badprocess]
credential_process = false
[profile oldprocess]
credential_process = printf '{"Version":2,"AccessKeyId":"PR","SecretAccessKey":"pk"}'
[profile loop]
role_arn = arn:aws:iam::111122223333:role/loop
source_profile = pool
[profile pool]
role_arn = arn:aws:iam::111122223333:role/pool
source_profile = loop
[profile alone]
role_arn = arn:aws:iam::111122223333:role/alone
[profile nowhere]
role_arn = arn:aws:iam::111122223333:role/nowhere
source_profile = missing
[profile twofold]
role_arn = arn:aws:iam::111122223333:role/twofold
source_profile = keys
credential_source = Environment
[profile moon]
role_arn = arn:aws:iam::111122223333:role/moon
credential_source = Moon
[profile halfsso]
sso_account_id = 111122223333
[profile lostsso]
sso_session = lost
sso_account_id = 111122223333
sso_role_name = Admin
[profile empty]
region = us-east-1
]]

local FOUND = "keys both config role chain chain3 self onself web onweb sso oldsso onsso ssokeys process onprocess ecs ec2 empty"
local REFUSED = "partial badprocess oldprocess loop alone nowhere twofold moon halfsso lostsso lapsed nobody env"

--- All the services that give credentials, on one port. STS names the key by the role and by who asked.
local function everybody()
  return lab.server(function(req)
    local function keys(id, token) return { AccessKeyId = id, SecretAccessKey = id .. "-k", [token] = id .. "-t", Expiration = "2099-01-01T00:00:00Z" } end
    if req.path == "/container" then return { json = keys("CONTAINER", "Token") } end
    if req.path == "/latest/api/token" then return { body = "imds" } end
    if req.path:find "/shop$" then return { json = keys("INSTANCE", "Token") } end
    if req.path:find "^/latest" then return { body = "shop" } end
    if req.path == "/federation/credentials" then
      return { json = { roleCredentials = { accessKeyId = "SSO-" .. req.query.role_name .. "-" .. req.headers["x-amz-sso_bearer_token"], secretAccessKey = "ssk", sessionToken = "sst",
                                            expiration = 4070908800000 } } }
    end
    local name, role = req.body:match "Action=(%w+)", req.body:match "role%%2F(%w+)"
    local by = (req.headers.authorization or ""):match "Credential=([^/]+)" or req.body:match "WebIdentityToken=(%w+)"
    local id = ("%s(%s)%s"):format(role, by, req.body:match "ExternalId=%w+" or "")
    return { headers = { ["Content-Type"] = "text/xml" }, body = ("<%sResponse><%sResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
      .. "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>i</AssumedRoleId><Arn>a</Arn></AssumedRoleUser></%sResult></%sResponse>")
      :format(name, name, id, name, name) }
  end)
end

local function token(home, name, value, expires)
  fs.mkdir_p(home .. "/.aws/sso/cache")
  fs.write(home .. "/.aws/sso/cache/" .. sign.sha1(name) .. ".json", json.encode { accessToken = value, expiresAt = expires, startUrl = name, region = "eu-west-1" })
end

local function set_up(more)
  local url = everybody()
  local home = test.tmpdir() .. "/web"
  fs.write(home, "jwt1\n")
  local env
  home, env = lab.settings({ AWS_ENDPOINT_URL = url, AWS_REGION = "us-east-1", AWS_DEFAULT_REGION = "us-east-1", AWS_CONTAINER_CREDENTIALS_FULL_URI = url .. "/container",
    AWS_EC2_METADATA_DISABLED = "false", AWS_EC2_METADATA_SERVICE_ENDPOINT = url }, (CONFIG:gsub("TOKEN", home)), KEYS)
  token(home, "corp", "ct", "2099-01-01T00:00:00Z")
  token(home, "https://old/start", "ot", "2099-01-01T00:00:00Z")
  token(home, "https://lapsed/start", "lt", "2001-01-01T00:00:00Z")
  for name, value in pairs(more or {}) do env[name] = value or nil end
  return env
end

local function judged(env, ...)
  local command = { test.tool "python3", "tests/conformance/credentials_judge.py", ... }
  command.env, command.timeout = env, 120
  local run = process.run(command)
  test.equal(run.code, 0, run.stderr)
  local lines = {}
  for line in run.stdout:gmatch "[^\n]+" do lines[#lines + 1] = test.truthy(json.decode(line)) end
  return lines
end

local function same(found, theirs, what)
  test.equal(found.access_key_id, theirs.key, what)
  test.truthy(secret.equal(found.secret_access_key, theirs.secret), what .. ": secret key")
  if theirs.token ~= json.null then test.truthy(secret.equal(found.session_token, theirs.token), what .. ": token")
  else test.equal(found.session_token, nil, what .. ": token") end
end

local function words(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  return list
end

T["profiles of every kind give the keys that botocore finds"] = function()
  local env, names = set_up(), words(FOUND)
  local theirs = judged(env, "profile", table.unpack(names))
  for i, name in ipairs(names) do
    test.equal(theirs[i].error, nil, "botocore on " .. name)
    same(lab.get { profile = name }, theirs[i], name)
  end
end

T["profiles that botocore refuses are refused"] = function()
  local env, names = set_up(), words(REFUSED)
  local theirs = judged(env, "profile", table.unpack(names))
  for i, name in ipairs(names) do
    test.truthy(theirs[i].error, "botocore takes " .. name)
    test.raises("cannot find AWS credentials", lab.get, { profile = name })
  end
end

T["without a profile asked for: environment, default, and AWS_PROFILE behind the environment"] = function()
  local function both(more)
    local env = set_up(more)
    same(lab.get(), judged(env, "profile", "-")[1], json.encode(more))
    credentials.forget()
  end
  both { AWS_ACCESS_KEY_ID = "E", AWS_SECRET_ACCESS_KEY = "ek", AWS_SESSION_TOKEN = "et" }
  both {}
  both { AWS_PROFILE = "chain" }
  both { AWS_PROFILE = "env", AWS_ACCESS_KEY_ID = "E", AWS_SECRET_ACCESS_KEY = "ek" }
  both { AWS_PROFILE = "empty", AWS_CONTAINER_CREDENTIALS_FULL_URI = false }
end

T["a proof of aws login holds for another library"] = function()
  local url, seen = lab.server(function()
    return { json = { accessToken = { accessKeyId = "L", secretAccessKey = "lk", sessionToken = "lt" }, expiresIn = 900, refreshToken = "r", tokenType = "aws_sigv4" } }
  end)
  local home = lab.settings({ AWS_ENDPOINT_URL = url, AWS_REGION = "us-east-1" }, "[default]\nlogin_session = me\n")
  fs.mkdir_p(home .. "/.aws/login/cache")
  fs.write(home .. "/.aws/login/cache/" .. sign.sha256 "me" .. ".json", json.encode { clientId = "c", refreshToken = "r", dpopKey = sign.make_ca { name = "k" }.key,
    accessToken = { accessKeyId = "O", secretAccessKey = "ok", sessionToken = "ot", accountId = "1", expiresAt = "2001-01-01T00:00:00Z" } })
  lab.is(lab.get(), "L", "lk", "lt")
  local said = judged({ PATH = os.getenv "PATH" }, "proof", seen[1].headers.dpop)[1]
  test.equal({ said.head.typ, said.head.alg, said.claims.htm, said.claims.htu }, { "dpop+jwt", "ES256", "POST", url .. "/v1/token" })
  test.truthy(math.abs(said.claims.iat - os.time()) < 60)
end

return T
