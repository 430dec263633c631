--- Where region, credentials and endpoints come from, and in which order.
-- luacheck: no max line length
local test = require "test"
local config = require "aws.config"
local credentials = require "aws.credentials"
local endpoint = require "aws.endpoint"
local fs = require "fs"
local json = require "json"
local model = require "aws.model"
local secret = require "secret"
local serve = require "rehearsal.serve"
local task = require "task"
local T = test.cases()

--- Runs the case in this environment, with these two files in its home.
local function settings(env, config_text, credentials_text)
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

local function get(o) return credentials.get(o or {}) end

local function is(found, id, key, token)
  test.equal(found.access_key_id, id)
  test.truthy(secret.is(found.secret_access_key) and secret.equal(found.secret_access_key, key), "the secret key")
  if token then test.truthy(secret.equal(found.session_token, token), "the session token")
  else test.equal(found.session_token, nil) end
end

local KEYS = "[default]\naws_access_key_id = D\naws_secret_access_key = dk\n\n[other]\naws_access_key_id=O\n"
             .. "aws_secret_access_key=ok\naws_session_token=ot\n"

T["the ini files: comments, blanks, nested settings, and the line of a mistake"] = function()
  test.equal(config.parse("# c\n[default]\nregion = eu-west-1 \n; x\n\n[services s]\ns3 =\n  endpoint_url = http://a=b\nec2 =\n\tendpoint_url=http://e\n", "f"),
    { default = { region = "eu-west-1" }, ["services s"] = { s3 = { endpoint_url = "http://a=b" }, ec2 = { endpoint_url = "http://e" } } })
  test.raises("f:2: expected name = value", config.parse, "[a]\nnonsense\n", "f")
  test.raises("f:1: expected a %[section%]", config.parse, "a = b\n", "f")
  test.raises("f:1: a section ends with %]", config.parse, "[a\n", "f")
end

T["the region: argument, AWS_REGION, AWS_DEFAULT_REGION, profile"] = function()
  local _, env = settings({ AWS_REGION = "r-1", AWS_DEFAULT_REGION = "r-2" }, "[default]\nregion=r-3\n[profile p]\nregion=r-4\n")
  test.equal(config.region "r-0", "r-0")
  test.equal(config.region(), "r-1")
  env.AWS_REGION = nil
  test.equal(config.region(), "r-2")
  env.AWS_DEFAULT_REGION = nil
  test.equal(config.region(), "r-3")
  test.equal(config.region(nil, "p"), "r-4")
  env.AWS_PROFILE = "p"
  test.equal(config.region(), "r-4")
  env.AWS_PROFILE = "none"
  test.equal(test.raises("no AWS profile none", config.region).kind, "usage")
  settings {}
  test.raises("no AWS region is given", config.region)
end

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

local function sts(seen)
  local server = serve.start { handler = function(req)
    seen[#seen + 1] = { body = req.body, authorization = req.headers.authorization, token = req.headers["x-amz-security-token"] }
    local name = req.body:match "Action=(%w+)"
    return { body = ("<R><%sResult><Credentials><AccessKeyId>A%d</AccessKeyId><SecretAccessKey>ak</SecretAccessKey><SessionToken>at</SessionToken>"
      .. "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></%sResult></R>"):format(name, #seen, name) }
  end }
  test.defer(function() server:stop() end)
  return server.url
end

T["a role is assumed with the credentials of its source profile, roles in a chain"] = function()
  local seen = {}
  local url = sts(seen)
  settings({ AWS_ENDPOINT_URL_STS = url, AWS_REGION = "us-east-1", AWS_PROFILE = "top" },
    "[profile top]\nrole_arn = arn:aws:iam::1:role/top\nsource_profile = middle\nrole_session_name = me\nexternal_id = x1\nduration_seconds = 900\n"
    .. "[profile middle]\nrole_arn = arn:aws:iam::1:role/middle\nsource_profile = other\n", KEYS)
  is(get(), "A2", "ak", "at")
  test.equal(#seen, 2)
  test.match(seen[1].authorization, "Credential=O/")
  test.equal(seen[1].token, "ot")
  test.match(seen[1].body, "RoleArn=arn%%3Aaws%%3Aiam%%3A%%3A1%%3Arole%%2Fmiddle")
  test.match(seen[2].authorization, "Credential=A1/")
  test.match(seen[2].body, "RoleSessionName=me")
  test.match(seen[2].body, "ExternalId=x1")
  test.match(seen[2].body, "DurationSeconds=900")
  get()
  test.equal(#seen, 2, "asked once while they last")
end

T["a role's mistakes are named"] = function()
  settings({ AWS_REGION = "us-east-1" }, "[profile a]\nrole_arn=r\nsource_profile=b\n[profile b]\nrole_arn=r\nsource_profile=a\n"
    .. "[profile c]\nrole_arn=r\n[profile d]\nrole_arn=r\ncredential_source=Moon\n[profile e]\nrole_arn=r\nsource_profile=b\nmfa_serial=m\n"
    .. "[profile f]\nsso_session=s\n")
  test.raises("take their credentials from each other", get, { profile = "a" })
  test.raises("no source_profile and no credential_source", get, { profile = "c" })
  test.raises("unknown credential_source Moon", get, { profile = "d" })
  test.raises("MFA", get, { profile = "e" })
  test.raises("export%-credentials %-%-profile f", get, { profile = "f" })
  test.raises("no profile nobody", get, { profile = "nobody" })
end

T["a web identity's token is exchanged without a signature"] = function()
  local seen = {}
  local url = sts(seen)
  local home, env = settings { AWS_ENDPOINT_URL = url, AWS_REGION = "us-east-1", AWS_ROLE_ARN = "arn:aws:iam::1:role/web" }
  fs.write(home .. "/token", "jwt-1\n")
  env.AWS_WEB_IDENTITY_TOKEN_FILE = home .. "/token"
  is(get(), "A1", "ak", "at")
  test.equal(seen[1].authorization, nil)
  test.match(seen[1].body, "WebIdentityToken=jwt%-1")
end

T["a container's agent is asked with its token; a stranger is not"] = function()
  local got
  local server = serve.start { handler = function(req)
    got = req.headers.authorization
    return { body = json.encode { AccessKeyId = "K", SecretAccessKey = "kk", Token = "kt", Expiration = "2099-01-01T00:00:00Z" } }
  end }
  test.defer(function() server:stop() end)
  local _, env = settings { AWS_CONTAINER_CREDENTIALS_FULL_URI = server.url .. "/c", AWS_CONTAINER_AUTHORIZATION_TOKEN = "tok" }
  is(get(), "K", "kk", "kt")
  test.equal(got, "tok")
  credentials.forget()
  env.AWS_CONTAINER_CREDENTIALS_FULL_URI = "http://example.com/c"
  test.raises("must be https, or name this host", get)
end

T["an instance's role: a token first, then its name, then its keys"] = function()
  local seen, body = {}, json.encode { Code = "Success", AccessKeyId = "I", SecretAccessKey = "ik", Token = "it", Expiration = "2099-01-01T00:00:00Z" }
  local server = serve.start { handler = function(req)
    seen[#seen + 1] = req.method .. " " .. req.path
    if req.method == "PUT" then return { body = "T1" } end
    if req.headers["x-aws-ec2-metadata-token"] ~= "T1" then return { status = 401 } end
    return { body = req.path:find "shop$" and body or "shop" }
  end }
  test.defer(function() server:stop() end)
  settings { AWS_EC2_METADATA_SERVICE_ENDPOINT = server.url, AWS_EC2_METADATA_DISABLED = false }
  is(get(), "I", "ik", "it")
  test.equal(seen, { "PUT /latest/api/token", "GET /latest/meta-data/iam/security-credentials/", "GET /latest/meta-data/iam/security-credentials/shop" })
end

T["when nothing is found, each place says why"] = function()
  settings({}, "[default]\nregion=us-east-1\n")
  local e = test.raises("AWS credentials", get)
  test.equal(e.kind, "usage")
  for _, words in ipairs { "environment: AWS_ACCESS_KEY_ID is not set", "AWS_WEB_IDENTITY_TOKEN_FILE", "the profile default has no credentials",
                           "container: AWS_CONTAINER", "instance metadata: AWS_EC2_METADATA_DISABLED is true" } do
    test.truthy(tostring(e):find(words, 1, true), words)
  end
  settings {}
  test.raises("no profile default in .*/.aws/config or .*/.aws/credentials", get)
end

T["credentials are renewed before they end, once for all who wait"] = function()
  local asked = 0
  local server = serve.start { handler = function()
    asked = asked + 1
    local ends = asked == 1 and os.time() + 200 or os.time() + 3600
    return { delay = 0.05, body = json.encode { AccessKeyId = "K" .. asked, SecretAccessKey = "kk", Token = "kt", Expiration = os.date("!%Y-%m-%dT%H:%M:%SZ", ends) } }
  end }
  test.defer(function() server:stop() end)
  settings { AWS_CONTAINER_CREDENTIALS_FULL_URI = server.url }
  local function many()
    local found = task.map({ 1, 2, 3, 4 }, function() return get().access_key_id end)
    return table.concat(found, " ")
  end
  test.equal(many(), "K1 K2 K2 K2", "the first ends soon, so the next to ask renews it")
  test.equal({ many(), asked }, { "K2 K2 K2 K2", 2 })
end

local function url_of(service, region, o)
  local place = endpoint.resolve(model.load(service), region, o)
  return place.url .. " " .. place.region
end

T["endpoints by the services' own rules"] = function()
  settings {}
  for _, row in ipairs {
    { "ec2", "eu-west-1", {}, "https://ec2.eu-west-1.amazonaws.com eu-west-1" },
    { "cloudwatch", "us-east-1", {}, "https://monitoring.us-east-1.amazonaws.com us-east-1" },
    { "ecr", "us-east-1", {}, "https://api.ecr.us-east-1.amazonaws.com us-east-1" },
    { "ecr", "us-east-1", { dual_stack = true }, "https://ecr.us-east-1.api.aws us-east-1" },
    { "rds", "cn-north-1", {}, "https://rds.cn-north-1.amazonaws.com.cn cn-north-1" },
    { "rds", "us-east-1", { fips = true }, "https://rds-fips.us-east-1.amazonaws.com us-east-1" },
    { "rds", "us-gov-west-1", { fips = true }, "https://rds.us-gov-west-1.amazonaws.com us-gov-west-1" },
    { "ecr", "us-gov-west-1", { fips = true }, "https://api.ecr-fips.us-gov-west-1.amazonaws.com us-gov-west-1" },
    { "iam", "eu-west-1", {}, "https://iam.amazonaws.com us-east-1" },
    { "iam", "us-gov-east-1", {}, "https://iam.us-gov.amazonaws.com us-gov-west-1" },
    { "iam", "cn-northwest-1", {}, "https://iam.cn-north-1.amazonaws.com.cn cn-north-1" },
    { "route53", "ap-south-1", {}, "https://route53.amazonaws.com us-east-1" },
    { "sts", "eu-central-1", {}, "https://sts.eu-central-1.amazonaws.com eu-central-1" },
    { "sts", "aws-global", {}, "https://sts.amazonaws.com us-east-1" },
    { "s3", "us-west-2", { dual_stack = true, fips = true }, "https://s3-fips.dualstack.us-west-2.amazonaws.com us-west-2" },
    { "pricing", "eu-west-1", {}, "https://api.pricing.us-east-1.amazonaws.com us-east-1" },
    { "pricing", "eu-central-1", {}, "https://api.pricing.eu-central-1.amazonaws.com eu-central-1" },
    { "ce", "eu-west-1", {}, "https://ce.us-east-1.amazonaws.com us-east-1" },
    { "secretsmanager", "us-east-1", { dual_stack = true }, "https://secretsmanager.us-east-1.amazonaws.com us-east-1" },
    { "sns", "eusc-de-east-1", {}, "https://sns.eusc-de-east-1.amazonaws.eu eusc-de-east-1" },
    { "sns", "us-iso-east-1", {}, "https://sns.us-iso-east-1.c2s.ic.gov us-iso-east-1" },
    { "sns", "us-iso-east-1", { dual_stack = true }, "https://sns.us-iso-east-1.api.aws.ic.gov us-iso-east-1" },
    { "iam", "us-east-1", { fips = true, dual_stack = true }, "https://iam-fips.global.api.aws us-east-1" },
    { "route53", "us-iso-east-1", {}, "https://route53.c2s.ic.gov us-iso-east-1" },
  } do test.equal(url_of(row[1], row[2], row[3]), row[4], row[1] .. " in " .. row[2]) end
  test.raises("aws.s3 has no endpoint in cn%-north%-1: Partition does not support FIPS", url_of, "s3", "cn-north-1", { fips = true })
  test.raises("not the name of an AWS region", url_of, "ec2", "Frankfurt", {})
  test.raises("not the name of an AWS region", url_of, "ec2", "us-east-1.evil.com/", {})
end

T["custom endpoints in botocore's order"] = function()
  local _, env = settings({ AWS_ENDPOINT_URL_ELASTIC_BEANSTALK = "http://one/", AWS_ENDPOINT_URL = "http://two/base/" },
    "[default]\nservices = mine\nendpoint_url = http://four\n[services mine]\nelastic_beanstalk =\n  endpoint_url = http://three\n")
  local function url(o) return endpoint.resolve(model.load "elasticbeanstalk", "us-east-1", o).url end
  test.equal(url { endpoint = "http://zero" }, "http://zero")
  test.equal(url(), "http://one")
  env.AWS_ENDPOINT_URL_ELASTIC_BEANSTALK = nil
  test.equal(url(), "http://two/base")
  env.AWS_ENDPOINT_URL = nil
  test.equal(url(), "http://three")
  test.equal(endpoint.resolve(model.load "ec2", "us-east-1").url, "http://four")
  env.AWS_IGNORE_CONFIGURED_ENDPOINT_URLS = "true"
  test.equal(url(), "https://elasticbeanstalk.us-east-1.amazonaws.com")
  env.AWS_IGNORE_CONFIGURED_ENDPOINT_URLS, env.AWS_ENDPOINT_URL = nil, "two"
  test.raises("not an http or https URL", url)
  env.AWS_ENDPOINT_URL, env.AWS_USE_FIPS_ENDPOINT = "http://two", "true"
  test.raises("cannot be a FIPS", url)
end

T["iam on a custom endpoint still signs for its partition's region"] = function()
  settings { AWS_ENDPOINT_URL = "http://two" }
  test.equal(url_of("iam", "eu-west-1"), "http://two us-east-1")
end

--- Where S3 looks for a bucket, and in whose name the request is signed.
local function bucket_at(bucket, o, operation)
  local s3 = model.load "s3"
  local with = { op = s3.operations[operation or "GetObject"], args = { Bucket = bucket, Key = "k" } }
  for k, v in pairs(o or {}) do with[k] = v end
  local place = endpoint.resolve(s3, "eu-west-1", with)
  return ("%s %s %s"):format(place.url, place.region, place.signing_name or "")
end

T["S3: a bucket is in the host, in the path, or at the access point of its ARN"] = function()
  settings {}
  test.equal(bucket_at "my-bucket", "https://my-bucket.s3.eu-west-1.amazonaws.com eu-west-1 s3")
  test.equal(bucket_at "a.dotted.one", "https://s3.eu-west-1.amazonaws.com/a.dotted.one eu-west-1 s3")
  test.equal(bucket_at("my-bucket", {}, "GetBucketLocation"), "https://s3.eu-west-1.amazonaws.com/my-bucket eu-west-1 s3")
  test.equal(bucket_at("my-bucket", { endpoint = "http://127.0.0.1:9000/" }), "http://127.0.0.1:9000/my-bucket eu-west-1 s3")
  test.equal(bucket_at "arn:aws:s3:us-west-2:123456789012:accesspoint:mine",
             "https://mine-123456789012.s3-accesspoint.us-west-2.amazonaws.com us-west-2 s3")
  test.raises("aws.s3:get_object must be signed with SigV4a", bucket_at, "arn:aws:s3::123456789012:accesspoint:abc.mrap")
  test.raises("aws.s3:get_object must be signed with sigv4%-s3express", bucket_at, "shop--use1-az4--x-s3")
  settings({}, "[default]\ns3 =\n  addressing_style = path\n")
  test.equal(bucket_at "my-bucket", "https://s3.eu-west-1.amazonaws.com/my-bucket eu-west-1 s3")
end

T["a service that is not in regions needs none"] = function()
  test.equal(endpoint.global_region(model.load "iam"), "aws-global")
  test.equal(endpoint.global_region(model.load "ec2"), nil)
end

return T
