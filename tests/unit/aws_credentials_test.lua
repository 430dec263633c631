--- Where credentials come from, place by place, and how they are kept and renewed.
-- luacheck: no max line length
local test = require "test"
local config = require "aws.config"
local credentials = require "aws.credentials"
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local lab = dofile "tests/support/aws_lab.lua"
local secret = require "secret"
local sign = require "sign"
local task = require "task"
local T = test.cases()

local settings, get, is, KEYS = lab.settings, lab.get, lab.is, lab.KEYS

T["the environment comes before the files, a profile that is asked for before the environment"] = function()
  local _, env = settings({ AWS_ACCESS_KEY_ID = "E", AWS_SECRET_ACCESS_KEY = "ek", AWS_SESSION_TOKEN = "et" }, nil, KEYS)
  is(get(), "E", "ek", "et")
  is(get { profile = "other" }, "O", "ok", "ot")
  env.AWS_ACCESS_KEY_ID = nil
  is(get(), "D", "dk")
  env.AWS_PROFILE = "other"
  is(get(), "O", "ok", "ot")
  env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY = "E", nil
  test.raises("AWS_SECRET_ACCESS_KEY is not", get)
end

T["the credentials file comes before a process, a process before keys in the config file"] = function()
  local text = "[default]\naws_access_key_id=C\naws_secret_access_key=ck\n"
  settings({}, text)
  is(get(), "C", "ck")
  local process = "credential_process = printf '%s' '{\"Version\":1,\"AccessKeyId\":\"P\",\"SecretAccessKey\":\"pk\",\"SessionToken\":\"pt\",\"Expiration\":\"2099-01-01T00:00:00Z\"}'\n"
  settings({}, text .. process)
  is(get(), "P", "pk", "pt")
  settings({}, text .. process, KEYS)
  is(get(), "D", "dk")
  settings({}, "[default]\ncredential_process = exit 3\n")
  test.raises("credential_process of the profile default ended with code 3", get)
end

T["a role is assumed with the credentials of its source profile, roles in a chain"] = function()
  local url, seen = lab.sts()
  settings({ AWS_ENDPOINT_URL_STS = url, AWS_REGION = "us-east-1", AWS_PROFILE = "top" },
    "[profile top]\nrole_arn = arn:aws:iam::1:role/top\nsource_profile = middle\nrole_session_name = me\nexternal_id = x1\nduration_seconds = 900\n"
    .. "[profile middle]\nrole_arn = arn:aws:iam::1:role/middle\nsource_profile = other\n", KEYS)
  is(get(), "A2", "ak", "at")
  test.equal(#seen, 2)
  test.match(seen[1].headers.authorization, "Credential=O/")
  test.equal(seen[1].headers["x-amz-security-token"], "ot")
  test.match(seen[1].body, "RoleArn=arn%%3Aaws%%3Aiam%%3A%%3A1%%3Arole%%2Fmiddle")
  test.match(seen[2].headers.authorization, "Credential=A1/")
  test.match(seen[2].body, "RoleSessionName=me")
  test.match(seen[2].body, "ExternalId=x1")
  test.match(seen[2].body, "DurationSeconds=900")
  get()
  test.equal(#seen, 2, "asked once while they last")
end

T["a role's mistakes are named"] = function()
  settings({ AWS_REGION = "us-east-1" }, "[profile a]\nrole_arn=r\nsource_profile=b\n[profile b]\nrole_arn=r\nsource_profile=a\n"
    .. "[profile c]\nrole_arn=r\n[profile d]\nrole_arn=r\ncredential_source=Moon\n[profile e]\nrole_arn=r\nsource_profile=b\nmfa_serial=m\n"
    .. "[profile f]\nregion=r-1\n[profile g]\nrole_arn=r\nsource_profile=f\n[profile h]\nrole_arn=r\nsource_profile=f\ncredential_source=Environment\n"
    .. "[profile i]\nrole_arn=r\nsource_profile=moon\n[profile k]\nrole_arn=r\ncredential_source=Environment\n")
  test.raises("take their credentials from each other", get, { profile = "a" })
  test.raises("no source_profile and no credential_source", get, { profile = "c" })
  test.raises("unknown credential_source Moon", get, { profile = "d" })
  test.raises("assumed role: .*b take their credentials from each other", get, { profile = "e" })
  test.raises("the source_profile f of the AWS profile g has no credentials: web identity: .*; config file: there are no keys", get, { profile = "g" })
  test.raises("h has both source_profile and credential_source", get, { profile = "h" })
  test.raises("names the source_profile moon, which does not exist", get, { profile = "i" })
  test.raises("credential_source Environment of the AWS profile k has no credentials: AWS_ACCESS_KEY_ID is not set", get, { profile = "k" })
  test.raises("no profile nobody", get, { profile = "nobody" })
end

T["a web identity's token is exchanged without a signature"] = function()
  local url, seen = lab.sts()
  local home, env = settings { AWS_ENDPOINT_URL = url, AWS_REGION = "us-east-1", AWS_ROLE_ARN = "arn:aws:iam::1:role/web" }
  fs.write(home .. "/token", "jwt-1\n")
  env.AWS_WEB_IDENTITY_TOKEN_FILE = home .. "/token"
  is(get(), "A1", "ak", "at")
  test.equal(seen[1].headers.authorization, nil)
  test.match(seen[1].body, "WebIdentityToken=jwt%-1")
end

T["both forms of web identity: the environment goes before the profile, but not before one that is asked for"] = function()
  local url, seen = lab.sts()
  local home, env = settings({ AWS_ENDPOINT_URL = url, AWS_REGION = "us-east-1" },
    "[profile w]\nrole_arn=arn:aws:iam::1:role/file\nweb_identity_token_file=~/w\nrole_session_name=me\n[profile top]\nrole_arn=arn:aws:iam::1:role/top\nsource_profile=w\n"
    .. "[profile half]\nweb_identity_token_file=~/w\n")
  fs.write(home .. "/w", "jwt-w\n")
  fs.write(home .. "/e", "jwt-e")
  is(get { profile = "w" }, "A1", "ak", "at")
  test.match(seen[1].body, "role%%2Ffile&RoleSessionName=me&.*WebIdentityToken=jwt%-w")
  is(get { profile = "top" }, "A3", "ak", "at")
  test.match(seen[2].body, "AssumeRoleWithWebIdentity")
  test.match(seen[3].headers.authorization, "Credential=A2/")
  env.AWS_WEB_IDENTITY_TOKEN_FILE, env.AWS_ROLE_ARN, env.AWS_PROFILE = home .. "/e", "arn:aws:iam::1:role/env", "w"
  is(get(), "A4", "ak", "at")
  test.match(seen[4].body, "role%%2Fenv&.*WebIdentityToken=jwt%-e")
  test.raises("neither role_arn nor AWS_ROLE_ARN", get, { profile = "half" })
end

T["a source profile's own keys go before its role; a credential_source is a place"] = function()
  local url, seen = lab.sts()
  local _, env = settings({ AWS_ENDPOINT_URL = url, AWS_REGION = "us-east-1" },
    "[profile self]\nrole_arn=arn:aws:iam::1:role/self\nsource_profile=self\naws_access_key_id=S\naws_secret_access_key=sk\n[profile top]\nrole_arn=arn:aws:iam::1:role/top\nsource_profile=self\n"
    .. "[profile env]\nrole_arn=arn:aws:iam::1:role/env\ncredential_source=Environment\n")
  for _, name in ipairs { "self", "top" } do get { profile = name } end
  test.match(seen[1].headers.authorization, "Credential=S/")
  test.match(seen[2].headers.authorization, "Credential=S/")
  env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY = "E", "ek"
  is(get { profile = "env" }, "A3", "ak", "at")
  test.match(seen[3].headers.authorization, "Credential=E/")
end

local MFA = "[profile m]\nrole_arn=arn:aws:iam::1:role/mfa\nsource_profile=default\nmfa_serial=arn:aws:iam::1:mfa/me\n"

T["a role that wants an MFA code asks at the terminal, once; without one it says so"] = function()
  local url, seen = lab.sts()
  settings({ AWS_ENDPOINT_URL = url, AWS_REGION = "us-east-1" }, MFA, KEYS)
  local e = test.raises("wants an MFA code of arn:aws:iam::1:mfa/me, and there is no terminal to ask at; run this at a terminal", get, { profile = "m" })
  test.equal({ e.kind, #seen }, { "usage", 0 })
  local term = require "term"
  local interactive, password, prompts = term.interactive, term.password, {}
  test.defer(function() term.interactive, term.password = interactive, password end)
  term.interactive = function() return true end
  term.password = function(prompt)
    prompts[#prompts + 1] = prompt
    return secret.new "123456"
  end
  task.map({ 1, 2, 3 }, function() return get { profile = "m" } end)
  test.equal({ #prompts, #seen }, { 1, 1 })
  test.match(prompts[1], "arn:aws:iam::1:mfa/me")
  test.match(seen[1].body, "SerialNumber=arn.*TokenCode=123456")
end

T["a process: its version, its errors, its environment, an end that is no time"] = function()
  local function process(text, env)
    local home, full = settings(env or {}, "[default]\ncredential_process = " .. text .. "\n")
    return home, full
  end
  local keys = [["AccessKeyId":"P","SecretAccessKey":"p+k"]]
  process([[printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"p+k"}' "$HOME"]])
  local home = config.env "HOME"
  is(get(), home, "p+k")
  for command, why in pairs {
    [ [[printf '{"Version":2,]] .. keys .. [[}']] ] = "answers in version 2, not 1", [ [[printf '{]] .. keys .. [[}']] ] = "version nil, not 1",
    [ [[printf '{"Version":1,"AccessKeyId":"P"}']] ] = "the answer has no credentials", ["echo hello"] = "the answer is not JSON",
    [ [[printf '{"Version":1,]] .. keys .. [[,"Expiration":"soon"}']] ] = "not a time: soon", ["echo no badge >&2; exit 4"] = "ended with code 4: no badge$",
    [ [[printf '{"Version":1,]] .. keys .. [[,"Expiration":"2001-01-01T00:00:00Z"}']] ] = "credential_process: the credentials have expired",
  } do
    process(command)
    local e = test.raises(why, get)
    test.truthy(not tostring(e):find("p+k", 1, true), "no secret in the error")
  end
end

T["a container's agent is asked with its token; a stranger is not"] = function()
  local url, seen = lab.server(function()
    return { json = { AccessKeyId = "K", SecretAccessKey = "kk", Token = "kt", Expiration = "2099-01-01T00:00:00Z" } }
  end)
  local home, env = settings { AWS_CONTAINER_CREDENTIALS_FULL_URI = url .. "/c", AWS_CONTAINER_AUTHORIZATION_TOKEN = "tok" }
  is(get(), "K", "kk", "kt")
  test.equal(seen[1].headers.authorization, "tok")
  credentials.forget()
  fs.write(home .. "/token", "from-file\n")
  env.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = home .. "/token"
  get()
  test.equal(seen[2].headers.authorization, "from-file")
  credentials.forget()
  fs.write(home .. "/token", "a\nX-Other: b\n")
  test.raises("more than one line", get)
  env.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = nil
  for _, stranger in ipairs { "http://example.com/c", "http://127.0.0.1.example.com/c", "http://localhost@example.com/c", "http://169.254.170.3/", "ftp://localhost/", "/c" } do
    env.AWS_CONTAINER_CREDENTIALS_FULL_URI = stranger
    test.raises("must be https, or name this host", get)
  end
  test.equal(#seen, 2)
end

T["a container's agent that fails is asked three times, and nobody goes on to another place"] = function()
  local answers = { { status = 500 }, { status = 502 }, { status = 503 } }
  local url, seen = lab.server(function(_, n) return answers[n] or { status = 403, body = "no" } end)
  settings { AWS_CONTAINER_CREDENTIALS_FULL_URI = url, AWS_EC2_METADATA_DISABLED = false, AWS_EC2_METADATA_SERVICE_ENDPOINT = url }
  local e = test.raises("container: the container's agent answered 503$", get)
  test.equal({ #seen, e.kind, seen[3].method }, { 3, "auth", "GET" })
  test.raises("the container's agent answered 403$", get)
  test.equal(#seen, 4)
end

local function instance(more)
  local o = { tokens = 0, body = { Code = "Success", AccessKeyId = "I", SecretAccessKey = "ik", Token = "it", Expiration = "2099-01-01T00:00:00Z" } }
  for k, v in pairs(more or {}) do o[k] = v end
  local url, seen = lab.server(function(req)
    if req.method == "PUT" then
      o.tokens = o.tokens + 1
      return { status = o.put_status, body = "T" .. o.tokens }
    end
    if req.headers["x-aws-ec2-metadata-token"] ~= (o.wants or "T1") then return { status = 401 } end
    if req.path:find "shop$" then return { body = json.encode(o.body) } end
    return { body = o.role or "shop\n", status = o.role_status }
  end)
  return url, seen, o
end

T["an instance's role: a token first, then its name, then its keys"] = function()
  local url, seen = instance()
  settings({ AWS_EC2_METADATA_DISABLED = false }, "[default]\nec2_metadata_service_endpoint = " .. url .. "/\n")
  is(get(), "I", "ik", "it")
  local asked = {}
  for i, req in ipairs(seen) do asked[i] = req.method .. " " .. req.path end
  test.equal(asked, { "PUT /latest/api/token", "GET /latest/meta-data/iam/security-credentials/", "GET /latest/meta-data/iam/security-credentials/shop" })
  test.equal(seen[1].headers["x-aws-ec2-metadata-token-ttl-seconds"], "21600")
end

T["an instance: a token that is over is renewed; what is wrong is said; version 1 is not used"] = function()
  local function with(more)
    local url, seen, o = instance(more)
    settings { AWS_EC2_METADATA_SERVICE_ENDPOINT = url, AWS_EC2_METADATA_DISABLED = false }
    return seen, o
  end
  local seen = with { wants = "T2" }
  is(get(), "I", "ik", "it")
  test.equal(#seen, 5, "PUT, GET 401, PUT, GET, GET")
  for words, more in pairs {
    ["instance metadata: the instance metadata service answered 403"] = { put_status = 403 }, ["instance metadata: the instance has no role"] = { role = " " },
    ["instance metadata: the answer has no credentials: no trust"] = { body = { Code = "AssumeRoleUnauthorizedAccess", Message = "no trust" } },
    ["instance metadata: the instance metadata service answered 404"] = { role_status = 404 },
  } do
    seen = with(more)
    test.raises(words, get)
    if more.put_status then test.equal(#seen, 1, "nothing is asked without a token") end
  end
end

T["an instance's credentials that AWS cannot renew go on"] = function()
  local url = instance { body = { AccessKeyId = "I", SecretAccessKey = "ik", Token = "it", Expiration = "2001-01-01T00:00:00Z" } }
  settings { AWS_EC2_METADATA_SERVICE_ENDPOINT = url, AWS_EC2_METADATA_DISABLED = false }
  local found = get()
  test.truthy(found.expires > os.time() + 900, "for some minutes")
end

T["where the metadata service is: endpoint, mode, and what they cannot be"] = function()
  local http = require "http"
  local request, asked = http.request, nil
  http.request = function(o)
    asked = { o.url, o.timeout }
    errors.raise { kind = "network", message = "nobody" }
  end
  test.defer(function() http.request = request end)
  local _, env = settings({ AWS_EC2_METADATA_DISABLED = false }, "[profile p]\nec2_metadata_service_endpoint_mode=IPv6\nmetadata_service_timeout=3\n")
  local function at() test.raises("no answer from the instance metadata service", get); return asked[1]:match "^http://[^/]*", asked[2] end
  test.equal({ at() }, { "http://169.254.169.254", 1 })
  env.AWS_PROFILE = "p"
  test.equal({ at() }, { "http://[fd00:ec2::254]", 3.0 })
  env.AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE, env.AWS_METADATA_SERVICE_TIMEOUT = "ipv4", "0.5"
  test.equal({ at() }, { "http://169.254.169.254", 0.5 })
  env.AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE = "ipv5"
  test.raises("must be IPv4 or IPv6, not ipv5", get)
  env.AWS_EC2_METADATA_SERVICE_ENDPOINT = "meta:80"
  test.raises("not an http or https URL: meta:80", get)
end

T["when nothing is found, each place says why"] = function()
  settings({}, "[default]\nregion=us-east-1\n")
  local e = test.raises("AWS credentials", get)
  test.equal(e.kind, "usage")
  for _, words in ipairs { "environment: AWS_ACCESS_KEY_ID is not set", "assumed role: the profile default has no role_arn",
                           "web identity: AWS_WEB_IDENTITY_TOKEN_FILE", "IAM Identity Center: the profile default has no sso_account_id",
                           "shared credentials file: there are no keys for the profile default", "login session: the profile default has no login_session",
                           "credential_process: the profile default has no credential_process", "config file: there are no keys for the profile default",
                           "container: AWS_CONTAINER", "instance metadata: AWS_EC2_METADATA_DISABLED is true" } do
    test.truthy(tostring(e):find(words, 1, true), words)
  end
  test.match(errors.text(e), "^cannot find AWS credentials:\n  environment: [^\n]+\n  assumed role: .*\nset AWS_ACCESS_KEY_ID and [^\n]+$")
  settings {}
  test.raises("no profile default in .*/.aws/config or .*/.aws/credentials", get)
end


-- IAM Identity Center ------------------------------------------------------------------------------------------------

local SSO = "[profile s]\nsso_session=corp\nsso_account_id=111122223333\nsso_role_name=Admin\n[sso-session corp]\nsso_region=eu-west-1\nsso_start_url=https://corp/start\n"
            .. "[profile old]\nsso_start_url=https://old/start\nsso_region=eu-west-1\nsso_account_id=1\nsso_role_name=R\n"

local function iso(seconds) return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(os.time() + seconds)) end

--- A portal that knows one token, and gives another for the refresh token r1.
local function portal(o)
  return lab.server(function(req)
    if req.path == "/token" then
      o.body = json.decode(req.body)
      if o.body.refreshToken ~= "r1" then return { status = 400, headers = { ["x-amzn-errortype"] = "InvalidGrantException" }, json = {} } end
      return { json = { accessToken = "new", expiresIn = 28800, refreshToken = "r2", tokenType = "Bearer" } }
    end
    if req.headers["x-amz-sso_bearer_token"] ~= o.token then
      return { status = 401, headers = { ["x-amzn-errortype"] = "UnauthorizedException" }, json = { message = "Session token not found or invalid" } }
    end
    return { json = { roleCredentials = { accessKeyId = "SSO" .. req.query.role_name, secretAccessKey = "ssk", sessionToken = "sst",
                                          expiration = (os.time() + 3600) * 1000 } } }
  end)
end

local function keep(home, name, token)
  fs.mkdir_p(home .. "/.aws/sso/cache")
  local path = home .. "/.aws/sso/cache/" .. sign.sha1(name) .. ".json"
  fs.write(path, json.encode(token))
  return path
end

T["Identity Center: the token of the AWS CLI's cache gets the role's keys, in both forms"] = function()
  local url, seen = portal { token = "t1" }
  local home = settings({ AWS_ENDPOINT_URL_SSO = url }, SSO)
  keep(home, "corp", { accessToken = "t1", expiresAt = iso(3600) })
  keep(home, "https://old/start", { accessToken = "t1", expiresAt = iso(60):gsub("Z$", "UTC"):gsub("UTC$", "Z") })
  local found = get { profile = "s" }
  is(found, "SSOAdmin", "ssk", "sst")
  test.truthy(math.abs(found.expires - os.time() - 3600) < 60, "its end, from milliseconds")
  test.equal({ seen[1].path, seen[1].query.account_id, seen[1].headers.authorization }, { "/federation/credentials", "111122223333", nil })
  is(get { profile = "old" }, "SSOR", "ssk", "sst")
end

T["Identity Center: a token that ends soon is renewed, and kept where the AWS CLI keeps it"] = function()
  local o = { token = "new" }
  local url = portal(o)
  local home = settings({ AWS_ENDPOINT_URL = url }, SSO)
  local path = keep(home, "corp", { accessToken = "t1", expiresAt = iso(300), refreshToken = "r1", clientId = "c", clientSecret = "cs",
                                    registrationExpiresAt = iso(9000), startUrl = "https://corp/start", region = "eu-west-1" })
  is(get { profile = "s" }, "SSOAdmin", "ssk", "sst")
  test.equal(o.body, { grantType = "refresh_token", clientId = "c", clientSecret = "cs", refreshToken = "r1" })
  local kept = json.decode(fs.read(path))
  test.equal({ kept.accessToken, kept.refreshToken, kept.startUrl, kept.clientSecret, fs.stat(path).mode & 511 }, { "new", "r2", "https://corp/start", "cs", 384 })
  test.truthy(kept.expiresAt > iso(28000))
end

T["Identity Center: when nothing can be renewed, the old token is used to its end, and then one must sign in"] = function()
  local url, seen = portal { token = "t1" }
  local home = settings({ AWS_ENDPOINT_URL = url }, SSO)
  keep(home, "corp", { accessToken = "t1", expiresAt = iso(300), refreshToken = "gone", clientId = "c", clientSecret = "cs", registrationExpiresAt = iso(9000) })
  is(get { profile = "s" }, "SSOAdmin", "ssk", "sst")
  for why, token in pairs {
    ["has expired; run `aws sso login %-%-profile s`$"] = { accessToken = "t1", expiresAt = iso(-5), refreshToken = "r1", clientId = "c", clientSecret = "cs", registrationExpiresAt = iso(-1) },
    ["nobody has signed in .* run `aws sso login %-%-profile s`$"] = { startUrl = "x" },
    ["does not take the token of the profile s; run `aws sso login"] = { accessToken = "t0", expiresAt = iso(3600) },
  } do
    credentials.forget()
    keep(home, "corp", token)
    local before = #seen
    local e = test.raises(why, get, { profile = "s" })
    test.equal(e.kind, "auth")
    test.truthy(#seen - before <= 1 and not tostring(e):find "t[01]")
  end
  fs.rmtree(home .. "/.aws/sso")
  test.raises("IAM Identity Center: nobody has signed in", get, { profile = "old" })
end

T["Identity Center: settings that lack or contradict each other"] = function()
  settings({}, "[profile a]\nsso_account_id=1\n[profile b]\nsso_account_id=1\nsso_role_name=r\nsso_session=moon\n[sso-session s]\nsso_region=r-1\nsso_start_url=u\n"
    .. "[profile c]\nsso_session=s\nsso_account_id=1\nsso_role_name=r\nsso_region=r-2\n")
  test.raises("lacks sso_start_url, sso_region, sso_role_name", get, { profile = "a" })
  test.raises("names the sso%-session moon, which does not exist", get, { profile = "b" })
  test.raises("has another sso_region than its sso%-session s", get, { profile = "c" })
end

-- aws login ----------------------------------------------------------------------------------------------------------

local function login(home, key, seconds)
  local path = home .. "/login/" .. sign.sha256 "arn:aws:iam::1:user/me" .. ".json"
  fs.mkdir_p(home .. "/login")
  fs.write(path, json.encode { clientId = "cid", refreshToken = "l1", dpopKey = key, tokenType = "aws_sigv4",
    accessToken = { accessKeyId = "L1", secretAccessKey = "lk1", sessionToken = "lt1", accountId = "1", expiresAt = iso(seconds) } })
  return path
end

T["aws login: its session is used while it lasts, and renewed with a proof of its key"] = function()
  local url, seen = lab.server(function(req)
    local body = json.decode(req.body)
    if body.refreshToken ~= "l1" then
      return { status = 401, headers = { ["x-amzn-errortype"] = "AccessDeniedException" }, json = { error = "TOKEN_EXPIRED", message = "Token has expired" } }
    end
    return { json = { accessToken = { accessKeyId = "L2", secretAccessKey = "lk2", sessionToken = "lt2" }, expiresIn = 900, refreshToken = "l2", tokenType = "aws_sigv4" } }
  end)
  local home, env = settings({ AWS_ENDPOINT_URL = url, AWS_REGION = "us-east-1" }, "[default]\nlogin_session = arn:aws:iam::1:user/me\n")
  env.AWS_LOGIN_CACHE_DIRECTORY = home .. "/login"
  local e = test.raises("login session of the profile default cannot be used: nobody has signed in; run `aws login %-%-profile default`", get)
  test.equal(e.kind, "auth")
  local key = sign.make_ca { name = "a key" }.key
  login(home, key, 800)
  is(get(), "L1", "lk1", "lt1")
  test.equal(#seen, 0)
  credentials.forget()
  local path = login(home, key, 100)
  is(get(), "L2", "lk2", "lt2")
  test.equal({ seen[1].method, seen[1].path, seen[1].headers.authorization }, { "POST", "/v1/token", nil })
  test.equal(json.decode(seen[1].body), { clientId = "cid", grantType = "refresh_token", refreshToken = "l1" })
  local head, claims, signature = seen[1].headers.dpop:match "^([%w_-]+)%.([%w_-]+)%.([%w_-]+)$"
  local said = json.decode(sign.unbase64(claims))
  test.equal({ said.htm, said.htu, #sign.unbase64(signature) }, { "POST", url .. "/v1/token", 64 })
  test.equal(json.decode(sign.unbase64(head)).jwk.crv, "P-256")
  local kept = json.decode(fs.read(path))
  test.equal({ kept.refreshToken, kept.accessToken.accessKeyId, kept.accessToken.accountId, secret.equal(kept.dpopKey, key), fs.stat(path).mode & 511 }, { "l2", "L2", "1", true, 384 })
  kept.accessToken.expiresAt = iso(-5)
  fs.write(path, json.encode(kept))
  credentials.forget()
  test.raises("cannot be used: .*expired; run `aws login", get)
  login(home, "no key", 100)
  test.raises("it holds no P%-256 key", get)
end

-- Keeping and renewing -----------------------------------------------------------------------------------------------

--- An agent whose credentials last so many seconds of a clock that the case moves.
local function lasting(seconds)
  local o = { now = 1800000000, asked = 0 }
  local real = credentials.now
  credentials.now = function() return o.now end
  test.defer(function() credentials.now = real end)
  local url = lab.server(function()
    o.asked = o.asked + 1
    if o.fails then return { status = 403 } end
    return { delay = 0.02, json = { AccessKeyId = "K" .. o.asked, SecretAccessKey = "kk", Token = "kt",
                                    Expiration = os.date("!%Y-%m-%dT%H:%M:%SZ", o.now + seconds) } }
  end)
  settings { AWS_CONTAINER_CREDENTIALS_FULL_URI = url }
  return o
end

local function many()
  local found = task.map({ 1, 2, 3, 4 }, function() return get().access_key_id end)
  return table.concat(found, " ")
end

T["many tasks that ask at once are served by one search"] = function()
  local o = lasting(3600)
  test.equal({ many(), many(), o.asked }, { "K1 K1 K1 K1", "K1 K1 K1 K1", 1 })
end

T["fifteen minutes before the end one task renews while the others go on; ten before, all wait"] = function()
  local o = lasting(3600)
  get()
  o.now = o.now + 3600 - 899
  test.equal({ many(), o.asked }, { "K2 K1 K1 K1", 2 })
  o.now = o.now + 3600 - 599
  test.equal({ many(), o.asked }, { "K3 K3 K3 K3", 3 })
  o.now = o.now + 3600 - 901
  test.equal({ many(), o.asked }, { "K3 K3 K3 K3", 3 })
end

T["credentials that live shortly are not renewed at each call"] = function()
  local o = lasting(600)
  test.equal({ many(), many(), o.asked }, { "K1 K1 K1 K1", "K1 K1 K1 K1", 1 })
  o.now = o.now + 420
  test.equal({ many(), o.asked }, { "K2 K2 K2 K2", 2 })
end

T["what is still good is used when it cannot be renewed, and not asked for at each call"] = function()
  local o = lasting(3600)
  get()
  o.fails, o.now = true, o.now + 3300
  test.equal({ many(), o.asked }, { "K1 K1 K1 K1", 2 })
  test.equal({ get().access_key_id, o.asked }, { "K1", 2 }, "not again within a minute")
  o.now = o.now + 61
  test.equal({ get().access_key_id, o.asked }, { "K1", 3 })
  o.now = o.now + 300
  test.raises("the container's agent answered 403", get)
end

T["a cancelled task leaves the search to those who wait; the last one ends it"] = function()
  local o = lasting(3600)
  local first, second = task.spawn(function() return get().access_key_id end), task.spawn(function() return get().access_key_id end)
  task.sleep(0)
  first:cancel()
  test.equal(test.raises("cancelled", first.join, first).kind, "cancelled")
  test.equal({ second:join(), o.asked }, { "K1", 1 })
  credentials.forget()
  local alone = task.spawn(get)
  task.sleep(0)
  alone:cancel()
  test.equal(test.raises("cancelled", alone.join, alone).kind, "cancelled")
end

T["credentials that a service refuses are looked for again, once for all"] = function()
  local o = lasting(3600)
  get()
  test.equal({ credentials.reject({}, "K1"), get().access_key_id, credentials.reject({}, "K1"), get().access_key_id, o.asked }, { true, "K2", true, "K2", 2 })
  settings({}, nil, KEYS)
  get()
  test.equal(credentials.reject({}, "D"), false, "keys without an end are what they are")
end

T["keys in the environment may have an end"] = function()
  local _, env = settings { AWS_ACCESS_KEY_ID = "E", AWS_SECRET_ACCESS_KEY = "ek", AWS_CREDENTIAL_EXPIRATION = iso(3600) }
  test.truthy(math.abs(get().expires - os.time() - 3600) < 60)
  credentials.forget()
  env.AWS_CREDENTIAL_EXPIRATION = iso(-1)
  test.raises("environment: the credentials have expired", get)
end

return T
