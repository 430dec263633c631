--- Where region and endpoints come from, and in which order; aws_credentials_test has the credentials.
-- luacheck: no max line length
local test = require "test"
local aws = require "aws"
local config = require "aws.config"
local endpoint = require "aws.endpoint"
local fs = require "fs"
local model = require "aws.model"
local lab = dofile "tests/support/aws_lab.lua"
local T = test.cases()

local settings = lab.settings

T["the ini files: comments, blanks, nested settings, and the line of a mistake"] = function()
  test.equal(config.parse("# c\n[default]\nregion = eu-west-1 \n; x\n\n[services s]\ns3 =\n  endpoint_url = http://a=b\nec2 =\n\tendpoint_url=http://e\n", "f"),
    { default = { region = "eu-west-1" }, ["services s"] = { s3 = { endpoint_url = "http://a=b" }, ec2 = { endpoint_url = "http://e" } } })
  test.equal(config.parse("[a]\nRegion: eu-west-1\ncredential_process = one\n  --two=2\nsso_region =\n# c\noutput = json", "f"),
    { a = { region = "eu-west-1", credential_process = "one\n--two=2", output = "json" } })
  test.raises("f:2: expected name = value", config.parse, "[a]\nnonsense\n", "f")
  test.raises("f:1: expected a %[section%]", config.parse, "a = b\n", "f")
  test.raises("f:1: a section ends with %]", config.parse, "[a\n", "f")
end

T["sections: profiles, services and sso-sessions, with quotes; both files together make a profile"] = function()
  local _, env = settings({}, "[profile 'a b']\nregion=r-1\n[profile \"c\"]\nregion=r-2\noutput=text\n[sso-session s]\nsso_region=r-3\n[services v]\nec2=\n  endpoint_url=u\n[plugins]\nx=y\n",
    "[c]\nregion=r-4\n[only]\nregion=r-5\n")
  local files = config.read()
  test.equal({ files.profiles["a b"].region, files.sso_sessions, files.services }, { "r-1", { s = { sso_region = "r-3" } }, { v = { ec2 = { endpoint_url = "u" } } } })
  test.equal({ config.merged("c").region, config.merged("c").output, config.merged "x" }, { "r-4", "text" })
  test.equal(config.region(nil, "only"), "r-5")
  env.AWS_CONFIG_FILE, env.FOLDER = "${FOLDER}/c~", "~"
  test.equal((config.paths()), "~/c~")
end

T["a file that changed is read again"] = function()
  local home = settings({}, "[default]\nregion=r-1\n")
  test.equal(config.region(), "r-1")
  fs.write(home .. "/.aws/config", "[default]\nregion=r-22\n")
  test.equal(config.region(), "r-22")
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

T["a model from elsewhere has the usual rules under its own name, and leaves theirs to the others"] = function()
  settings {}
  local toys = model.open { metadata = { protocol = "json", jsonVersion = "1.1", endpointPrefix = "toys" }, operations = {} }
  test.equal(endpoint.resolve(toys, "eu-west-1").url, "https://toys.eu-west-1.amazonaws.com")
  test.equal(endpoint.global_region(toys), nil)
  test.equal(url_of("amp", "eu-west-1"), "https://aps.eu-west-1.amazonaws.com eu-west-1")
end

T["a service that is not in regions needs none"] = function()
  test.equal(endpoint.global_region(model.load "iam"), "aws-global")
  test.equal(endpoint.global_region(model.load "ec2"), nil)
  settings {}
  local function client(service) return aws.client { service = service, credentials = { access_key_id = "AK", secret_access_key = "SK" } } end
  local request = client("iam"):request "list_users"
  test.equal(request.url, "https://iam.amazonaws.com/")
  test.match(request.headers.Authorization, "/us%-east%-1/iam/aws4_request")
  test.match(client("s3"):request("get_object", { Bucket = "shop", Key = "k" }).url, "^https://shop%.s3%.amazonaws%.com/k")
  test.raises("no AWS region is given", function() return client("ec2"):request "describe_vpcs" end)
end

return T
