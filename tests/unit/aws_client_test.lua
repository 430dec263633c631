--- The client against a server of our own: what is sent, what is tried again, what an error says.
-- luacheck: no max line length
local test = require "test"
local aws = require "aws"
local ca = require "rehearsal.planes.ca"
local config = require "aws.config"
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local mutating = require "aws.mutating"
local path = require "aws.path"
local secret = require "secret"
local serve = require "rehearsal.serve"
local sign = require "sign"
local T = test.cases()

local KEYS = { access_key_id = "AK", secret_access_key = "SK", session_token = "ST" }

--- A client whose answers come from `handler`; and the requests that came.
local function client(service, handler, more)
  local seen = {}
  local server = serve.start { handler = function(req)
    seen[#seen + 1] = req
    return handler(req, #seen)
  end }
  test.defer(function() server:stop() end)
  local o = { service = service, region = "eu-west-1", endpoint = server.url, credentials = KEYS }
  for k, v in pairs(more or {}) do o[k] = v end
  return aws.client(o), seen
end

local VPCS = '<R><requestId>req-1</requestId><vpcSet><item><vpcId>vpc-1</vpcId></item></vpcSet></R>'

local function ec2_error(code, message)
  return ("<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>req-9</RequestID></Response>"):format(code, message or "m")
end

local function verified(req)
  return require "rehearsal.signature".check(req, { AK = secret.new "SK" }, os.time())
end

T["a call is signed, and gives the result and what the answer said of itself"] = function()
  local ec2, seen = client("ec2", function() return { body = VPCS } end)
  local result, meta = ec2:describe_vpcs { VpcIds = { "vpc-1" } }
  test.equal(result, { Vpcs = { { VpcId = "vpc-1" } } })
  test.equal({ meta.request_id, meta.status }, { "req-1", 200 })
  local claim = verified(seen[1])
  test.equal({ claim.service, claim.region, claim.token }, { "ec2", "eu-west-1", "ST" })
  test.equal(seen[1].body, "Action=DescribeVpcs&Version=2016-11-15&VpcId.1=vpc-1")
end

T[":request gives what the wire gets, :parse the way back"] = function()
  local ec2, seen = client("ec2", function() return { body = VPCS } end)
  local request = ec2:request("create_vpc", { CidrBlock = "10.0.0.0/16" })
  test.equal(#seen, 0)
  ec2:create_vpc { CidrBlock = "10.0.0.0/16" }
  test.equal({ request.method, request.body }, { seen[1].method, seen[1].body })
  test.equal(request.headers["Content-Type"], seen[1].headers["content-type"])
  test.match(request.headers.Authorization, "^AWS4%-HMAC%-SHA256 Credential=AK/")
  test.equal(ec2:parse("describe_vpcs", { status = 200, body = VPCS }), { Vpcs = { { VpcId = "vpc-1" } } })
  local result, e = ec2:parse("describe_vpcs", { status = 400, headers = { ["X-Amzn-RequestId"] = "r" }, body = ec2_error("InvalidVpcID.NotFound") })
  test.equal({ result, e.code, e.status, e.kind }, { nil, "InvalidVpcID.NotFound", 400, "remote" })
  result, e = ec2:parse("describe_vpcs", { status = 200, headers = { ["X-Amzn-RequestId"] = "r-5" }, body = "<cut" })
  test.equal({ result, e.kind, e.request_id }, { nil, "protocol", "r-5" })
  test.match(tostring(e), "^cannot read the answer of ec2%.DescribeVpcs %(request r%-5%): ")
  local _, page = ec2:parse("describe_vpcs", { status = 403, headers = { ["X-Amzn-RequestId"] = "r-6" }, body = "<!DOCTYPE html><p>Blocked" })
  test.match(tostring(page), "cannot call ec2%.DescribeVpcs: the service answered with status 403 and a page of HTML %(request r%-6%)$")
  ec2 = client("ec2", function() return { headers = { ["x-amzn-RequestId"] = "r-7" }, body = VPCS, cut = 20 } end, { attempts = 1 })
  e = test.raises("cannot call ec2%.DescribeVpcs %(request r%-7%): ", ec2.describe_vpcs, ec2)
  test.equal({ e.kind, e.code, e.request_id }, { "network", "cut", "r-7" })
end

T["an authority that nobody trusts is refused, with a way out; AWS_CA_BUNDLE is one"] = function()
  local authority = ca.new(test.tmpdir())
  local made = authority:issue { name = "aws", ips = { "127.0.0.1" } }
  local server = serve.start { handler = function() return { body = VPCS } end, cert = made.cert, key = made.key }
  local getenv = config.getenv
  test.defer(function()
    server:stop()
    config.getenv = getenv
  end)
  local ec2 = aws.client { service = "ec2", region = "eu-west-1", endpoint = server.url, credentials = KEYS, attempts = 1 }
  local e = test.raises("AWS_CA_BUNDLE names", ec2.describe_vpcs, ec2)
  test.equal({ e.kind, e.code }, { "tls", "unverified" })
  config.getenv = function(name) return name == "AWS_CA_BUNDLE" and authority.file or getenv(name) end
  test.equal(ec2:describe_vpcs().Vpcs[1].VpcId, "vpc-1")
  config.getenv = function(name) return name == "AWS_CA_BUNDLE" and "/nowhere.pem" or getenv(name) end
  test.raises("/nowhere.pem", ec2.describe_vpcs, aws.client { service = "ec2", region = "eu-west-1", endpoint = server.url,
                                                              credentials = KEYS, attempts = 1 })
end

T["an error says what was called, the code, what to do; nothing is tried twice in vain"] = function()
  for code, hint in pairs {
    UnauthorizedOperation = "allow the action ec2:DescribeVpcs", ExpiredToken = "expired: sign in again",
    ["InvalidVpcID.NotFound"] = "^cannot call ec2.DescribeVpcs: the VPC is not there %(InvalidVpcID.NotFound%)$",
  } do
    local ec2, seen = client("ec2", function() return { status = 403, body = ec2_error(code, "the VPC is not there.") } end)
    local e = test.raises(hint, ec2.describe_vpcs, ec2, {})
    test.equal({ e.kind, e.service, e.operation, e.code, e.status, e.request_id, #seen },
               { "remote", "ec2", "DescribeVpcs", code, 403, "req-9", 1 })
  end
end

T["throttling, 5xx, HTML and cut connections are tried again with the same token and a new signature"] = function()
  local bad = {
    { status = 503, body = ec2_error "RequestLimitExceeded" }, { status = 500, headers = { ["Content-Type"] = "text/html" }, body = "<!DOCTYPE html><p>500" },
    { body = VPCS, cut = 20 }, { drop = true }, { status = 502 },
  }
  for i, answer in ipairs(bad) do
    local ec2, seen = client("ec2", function(_, n) return n == 1 and answer or { body = "<R><vpc><vpcId>vpc-1</vpcId></vpc></R>" } end)
    local run = ec2:run_instances { MinCount = 1, MaxCount = 1, ImageId = "ami-1" }
    test.equal({ i, #seen, type(run) }, { i, 2, "table" })
    test.equal(seen[1].body, seen[2].body)
    test.match(seen[1].body, "ClientToken=%x+")
    verified(seen[2])
  end
end

T["after three attempts the last error is raised; attempts can be set"] = function()
  local ec2, seen = client("ec2", function() return { status = 500, body = "<html>oops</html>" } end)
  local e = test.raises("the service answered with status 500", ec2.describe_vpcs, ec2, {})
  test.equal({ e.code, #seen }, { "500", 3 })
  local once, few = client("ec2", function() return { status = 500 } end, { attempts = 1 })
  test.raises("500", once.describe_vpcs, once, {})
  test.equal(#few, 1)
end

T["what would make two is sent once, also on a kept connection; the error says that its reply is lost"] = function()
  for i, answer in ipairs { { drop = true }, { status = 500 }, { status = 502 }, { body = VPCS, cut = 20 } } do
    local ec2, seen = client("ec2", function(_, n) return n == 1 and { body = VPCS } or answer end)
    ec2:describe_vpcs {}                                     -- leaves a connection
    local e = test.raises("ec2.CreateVpc", ec2.create_vpc, ec2, { CidrBlock = "10.0.0.0/16" })
    test.equal({ i, #seen, e.lost }, { i, 2, true })
  end
  local ec2, seen = client("ec2", function(_, n) return n == 1 and { drop = true } or { body = "<R><return>true</return></R>" } end)
  ec2:delete_vpc { VpcId = "vpc-1" }
  test.equal(#seen, 2, "deleting twice does no harm")
  ec2, seen = client("ec2", function(_, n) return n == 1 and { status = 503 } or { body = "<R/>" } end)
  ec2:create_vpc { CidrBlock = "10.0.0.0/16" }
  test.equal(#seen, 2, "503 means that nothing was done")
end

T["throttling is borne longer than failures"] = function()
  local ec2, seen = client("ec2", function(_, n)
    return n < 6 and { status = 503, headers = { ["x-amz-retry-after"] = "0" }, body = ec2_error "RequestLimitExceeded" } or { body = VPCS }
  end)
  local random = math.random
  math.random = function() return 0 end                      -- luacheck: ignore
  test.defer(function() math.random = random end)            -- luacheck: ignore
  ec2:describe_vpcs {}
  test.equal(#seen, 6)
  local busy, calls = client("ec2", function(_, n) return n < 3 and { status = 503, body = ec2_error "RequestLimitExceeded" } or { status = 500 } end)
  test.raises("500", busy.describe_vpcs, busy, {})
  test.equal(#calls, 5, "two throttled, three failed")
end

T["the quota of retries runs out, and success refills it"] = function()
  local fails = true
  local ec2, seen = client("ec2", function() return fails and { status = 500 } or { body = VPCS } end)
  ec2.retries.capacity = 20
  test.raises("500", ec2.describe_vpcs, ec2, {})
  test.equal({ #seen, ec2.retries.capacity }, { 2, 6 })
  fails = false
  ec2:describe_vpcs {}
  test.equal(ec2.retries.capacity, 7, "one for a call that needed no retry")
  local first = true
  local other = client("ec2", function()
    local answer = first and { status = 500 } or { body = VPCS }
    first = false
    return answer
  end)
  other.retries.capacity = 20
  other:describe_vpcs {}
  test.equal(other.retries.capacity, 20, "what the retry cost, once it has helped")
end

T["a clock that is wrong is corrected from the answer's date"] = function()
  local ahead = os.time() + 3600
  local function is_right(date)                               -- of its hour, or of the next one, which may have begun meanwhile
    local hour = date:sub(1, 11)
    return hour == os.date("!%Y%m%dT%H", ahead) or hour == os.date("!%Y%m%dT%H", ahead + 300)
  end
  local ec2, seen = client("ec2", function(req)
    if not is_right(req.headers["x-amz-date"]) then
      return { status = 400, headers = { Date = os.date("!%a, %d %b %Y %H:%M:%S GMT", ahead) }, body = ec2_error "RequestExpired" }
    end
    return { body = VPCS }
  end)
  ec2:describe_vpcs {}
  test.equal(#seen, 2)
  ec2:describe_vpcs {}
  test.equal(#seen, 3, "the next call is right at once")
end

T["an endpoint that does not answer is named"] = function()
  local ec2 = aws.client { service = "ec2", region = "eu-west-1", endpoint = "http://127.0.0.1:1", credentials = KEYS, attempts = 1 }
  local e = test.raises("ec2.DescribeVpcs", ec2.describe_vpcs, ec2, {})
  test.equal(e.kind, "network")
end

T["hooks are told each call, and one before it can refuse it"] = function()
  local ec2, seen = client("ec2", function(req) return req.body:find "CreateVpc" and { status = 400, body = ec2_error "VpcLimitExceeded" } or { body = VPCS } end)
  local calls = {}
  test.defer(aws.on_call(function(call) calls[#calls + 1] = ("%s.%s %s %s"):format(call.service, call.operation, call.mutating, call.request_id) end))
  ec2:describe_vpcs {}
  pcall(ec2.create_vpc, ec2, { CidrBlock = "10.0.0.0/16" })
  test.equal(calls, { "ec2.DescribeVpcs false req-1", "ec2.CreateVpc true req-9" })
  local remove = aws.before_call(function(call) if call.mutating then errors.usage("%s is not read-only", call.operation) end end)
  test.raises("CreateVpc is not read%-only", ec2.create_vpc, ec2, { CidrBlock = "10.0.0.0/16" })
  ec2:describe_vpcs {}
  remove()
  test.equal(#seen, 3)
end

T["what can change something is known by rule and by exception"] = function()
  for name, expected in pairs {
    ["ec2.DescribeVpcs"] = false, ["s3.GetObject"] = false, ["s3.HeadBucket"] = false, ["sqs.ReceiveMessage"] = true, ["ec2.GettyUp"] = true,
    ["logs.FilterLogEvents"] = false, ["elasticbeanstalk.RequestEnvironmentInfo"] = true, ["sts.AssumeRole"] = false, ["ec2.CreateVpc"] = true,
    ["elasticbeanstalk.CheckDNSAvailability"] = false, ["kms.Decrypt"] = false, ["codebuild.BatchDeleteBuilds"] = true, ["codebuild.BatchGetBuilds"] = false,
    ["stepfunctions.GetActivityTask"] = true, ["cognito-idp.GetUserAttributeVerificationCode"] = true, ["dynamodb.Query"] = false,
    ["dynamodb.ExecuteStatement"] = true, ["cloudformation.DetectStackDrift"] = true, ["lightsail.IsVpcPeered"] = false,
    ["iot.Issue"] = true,
  } do
    local service, operation = name:match "^([^.]+)%.(.*)$"
    test.equal(mutating.is_mutating(service, { name = operation }), expected, name)
  end
  test.equal(mutating.is_mutating("deadline", { name = "StartSessionsStatisticsAggregation", readonly = true }), false, "the model's word")
  test.equal(mutating.is_mutating("ivs", { name = "StartViewerSessionRevocation", readonly = true }), true, "which was wrong once")
end

T["a misspelt service, operation or option is refused with the nearest name"] = function()
  test.raises("no service and no noun elasticach %(did you mean elasticache%?%)", function() return aws.elasticach end)
  local ec2 = client("ec2", function() return {} end)
  test.raises("no operation describe_vpc %(did you mean describe_vpcs%?%)", function() return ec2.describe_vpc end)
  test.raises("with a colon", function() ec2.describe_vpcs {} end)
  test.raises("no option regio", aws.client, { service = "ec2", regio = "x" })
  test.raises("needs the option service", aws.client, {})
end

T["pages follow their tokens, each item comes once, more pages than the last are not asked for"] = function()
  local logs, seen = client("logs", function(req)
    local from = json.decode(req.body).nextToken
    return { json = from == "t2" and { logGroups = json.array {} } or { logGroups = { { logGroupName = from or "t0" }, { logGroupName = "x" } },
             nextToken = from == "t1" and "t2" or not from and "t1" or nil } }
  end)
  local names = {}
  for group in logs:each("describe_log_groups", { logGroupNamePrefix = "p" }) do names[#names + 1] = group.logGroupName end
  test.equal({ names, #seen }, { { "t0", "x", "t1", "x" }, 3 })
  test.equal(json.decode(seen[2].body), { logGroupNamePrefix = "p", nextToken = "t1" })
  local pages = 0
  for page in logs:pages("describe_log_groups", {}) do pages = pages + (page.logGroups and 1 or 0) end
  test.equal(pages, 3)
end

T["pages with several tokens, with a flag, without any; a token that repeats is an error"] = function()
  local r53, seen = client("route53", function(_, n)
    return { body = n == 1 and "<R><IsTruncated>true</IsTruncated><NextRecordName>b</NextRecordName><NextRecordType>A</NextRecordType></R>"
      or "<R><IsTruncated>false</IsTruncated><NextRecordName>c</NextRecordName></R>" }
  end)
  local n = 0
  for _ in r53:pages("list_resource_record_sets", { HostedZoneId = "/hostedzone/Z1" }) do n = n + 1 end
  test.equal({ n, seen[1].path, seen[2].query.name, seen[2].query.type }, { 2, "/2013-04-01/hostedzone/Z1/rrset", "b", "A" })
  local logs = client("logs", function() return { json = { logGroups = {}, nextToken = "same" } } end)
  test.raises("the same token came twice", function() for _ in logs:pages("describe_log_groups", {}) do n = n + 1 end end)
  local sts = client("sts", function() return { body = "<R><GetCallerIdentityResult><Account>1</Account></GetCallerIdentityResult></R>" } end)
  for page in sts:pages "get_caller_identity" do test.equal(page.Account, "1") end
  test.raises("not a list with pages", sts.each, sts, "get_caller_identity")
end

local function db(status)
  return ("<R><DescribeDBInstancesResult><DBInstances>%s</DBInstances></DescribeDBInstancesResult></R>"):format(
    status and "<DBInstance><DBInstanceStatus>" .. status .. "</DBInstanceStatus></DBInstance>" or "")
end

T["a waiter polls until it is so, ends at its deadline and on failure"] = function()
  local states = { "creating", "backing-up", "available" }
  local rds, seen = client("rds", function(_, n) return { body = db(states[n]) } end)
  local result = rds:wait("db_instance_available", { DBInstanceIdentifier = "d" }, { delay = 0.01 })
  test.equal({ #seen, result.DBInstances[1].DBInstanceStatus }, { 3, "available" })
  local slow = client("rds", function() return { body = db "creating" } end)
  local e = test.raises("wait for db instance available of rds", slow.wait, slow, "db_instance_available", {}, { delay = 0.01, timeout = 0.05 })
  test.equal(e.kind, "timeout")
  local failed = client("rds", function() return { body = db "failed" } end)
  test.equal(test.raises("it became failed", failed.wait, failed, "db_instance_available", {}).kind, "remote")
  test.raises("no waiter db_instance_availabl %(did you mean", rds.wait, rds, "db_instance_availabl")
end

T["a waiter knows errors that it waits for from those that it does not"] = function()
  local function answer(code) return { status = 404, body = ("<R><Error><Code>%s</Code></Error></R>"):format(code) } end
  local rds = client("rds", function() return answer "DBInstanceNotFound" end)
  test.equal(rds:wait("db_instance_deleted", { DBInstanceIdentifier = "d" }), nil)
  local other = client("rds", function() return answer "AccessDenied" end)
  test.equal(test.raises("AccessDenied", other.wait, other, "db_instance_deleted", {}).code, "AccessDenied")
  local s3, seen = client("s3", function(_, n) return { status = n < 3 and 404 or 200 } end)
  s3:wait("bucket_exists", { Bucket = "b-1" }, { delay = 0.01 })
  test.equal(#seen, 3)
end

T["paths: names, projections, indices, alternatives, lengths"] = function()
  local data = { A = { { B = { { C = 1 }, { C = 2 } } }, { B = { { C = 3 } } }, {} }, E = {}, S = "s", T = false }
  test.equal(path.find("A[].B[].C", data), { 1, 2, 3 })
  test.equal(path.find("A[].B", { A = { { B = "x" }, {} } }), { "x" })
  test.equal(path.find("A[-1].B || A[0].B[1].C", data), 2)
  test.equal(path.find("Next || S", data), "s")
  test.equal({ path.find("T", data), path.find("X.Y[].Z", data), path.find("E[]", data) }, { false, nil, {} })
  test.equal({ path.find("length(E) == `0`", data), path.find("length(A[]) > `0`", data), path.find("length(X) > `0`", data) }, { true, true, nil })
end

T["S3: buckets in paths of custom endpoints, in hosts of AWS's"] = function()
  local s3 = aws.client { service = "s3", region = "eu-west-1", credentials = KEYS }
  test.equal(s3:request("get_object", { Bucket = "my-bucket", Key = "a/b c" }).url, "https://my-bucket.s3.eu-west-1.amazonaws.com/a/b%20c")
  test.equal(s3:request("get_object", { Bucket = "my.bucket", Key = "k" }).url, "https://s3.eu-west-1.amazonaws.com/my.bucket/k")
  test.equal(s3:request("list_objects_v2", { Bucket = "my-bucket" }).url, "https://my-bucket.s3.eu-west-1.amazonaws.com/?list-type=2&encoding-type=url")
  local own = aws.client { service = "s3", region = "eu-west-1", credentials = KEYS, endpoint = "http://x:1" }
  test.equal(own:request("get_object", { Bucket = "my-bucket", Key = "k" }).url, "http://x:1/my-bucket/k")
end

T["S3: a file is sent and stored as it is, with its checksum; a wrong one is refused"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/up", ("0123456789"):rep(300000))
  local s3, seen = client("s3", function(req)
    if req.method == "PUT" then return { headers = { ETag = '"e"' } } end
    if req.path:find "bad" then return { headers = { ["x-amz-checksum-crc32"] = "AAAAAA==" }, body = "hello" } end
    return { headers = { ["x-amz-checksum-crc32"] = "NhCmhg==" }, body = "hello" }
  end, { attempts = 2 })
  local stored
  s3:put_object { Bucket = "bkt", Key = "k", Body = { file = dir .. "/up" } }
  local hash = sign.sha256_file(dir .. "/up")
  test.equal({ seen[1].body_size, seen[1].headers["x-amz-content-sha256"], seen[1].headers["x-amz-checksum-crc32"] },
             { 3000000, hash, sign.base64((">I4"):pack(sign.crc32(fs.read(dir .. "/up")))) })
  s3:put_object { Bucket = "bkt", Key = "k", Body = "hello" }
  test.equal({ seen[2].headers["x-amz-checksum-crc32"], seen[2].headers["x-amz-sdk-checksum-algorithm"], seen[2].body }, { "NhCmhg==", "CRC32", "hello" })
  stored = s3:get_object({ Bucket = "bkt", Key = "k" }, { to = dir .. "/down" })
  test.equal({ stored.Body.file, stored.Body.size, fs.read(dir .. "/down") }, { dir .. "/down", 5, "hello" })
  test.equal(s3:get_object { Bucket = "bkt", Key = "k" }.Body, "hello")
  test.raises("checksum of the body is wrong", s3.get_object, s3, { Bucket = "bkt", Key = "bad" })
end

T["S3: an error in an answer of status 200 is an error; a bucket's region is learnt"] = function()
  local s3, seen = client("s3", function(req, n)
    if n == 1 then return { body = "<Error><Code>InternalError</Code><Message>m</Message></Error>" } end
    if not req.headers.authorization:find "/us%-west%-2/" then
      return { status = 301, headers = { ["x-amz-bucket-region"] = "us-west-2" }, body = "<Error><Code>PermanentRedirect</Code></Error>" }
    end
    return { body = "<CopyObjectResult><ETag>e</ETag></CopyObjectResult>" }
  end)
  test.equal(s3:copy_object { Bucket = "bkt", Key = "k", CopySource = "from/a b" }.CopyObjectResult.ETag, "e")
  test.equal({ #seen, seen[1].headers["x-amz-copy-source"] }, { 3, "from/a%20b" })
end

T["presigned URLs carry their signature"] = function()
  local s3, seen = client("s3", function() return { body = "x" } end)
  local url = s3:presign("get_object", { Bucket = "bkt", Key = "a b" }, { expires = 60 })
  test.truthy(secret.is(url), "a session token is part of it")
  require("http").get(url)
  test.equal(verified(seen[1]).access_key, "AK")
  test.equal(seen[1].query["X-Amz-Expires"], "60")
  local sts, calls = client("sts", function() return { body = "<R/>" } end)
  require("http").get(sts:presign "get_caller_identity")
  verified(calls[1])
  test.equal(calls[1].query.Action, "GetCallerIdentity")
  local logs = client("logs", function() return {} end)
  test.raises("cannot be presigned", logs.presign, logs, "describe_log_groups")
end

T["user data is encoded for the caller, policies are decoded"] = function()
  local ec2, seen = client("ec2", function() return { body = "<R/>" } end)
  ec2:run_instances { MinCount = 1, MaxCount = 1, ImageId = "ami-1", UserData = secret.new "#!/bin/sh" }
  test.match(seen[1].body, "UserData=IyEvYmluL3No")
  local iam = client("iam", function() return { body = "<R><GetRoleResult><Role><AssumeRolePolicyDocument>%7B%22Version%22%3A%221%22%7D</AssumeRolePolicyDocument></Role></GetRoleResult></R>" } end)
  test.equal(iam:get_role { RoleName = "r" }.Role.AssumeRolePolicyDocument, { Version = "1" })
end

T["a secret in the arguments reaches the service and nothing else"] = function()
  local rds, seen = client("rds", function() return { status = 400, body = "<R><Error><Code>Bad</Code><Message>mark-4711 is short</Message></Error></R>" } end)
  local args = { DBInstanceIdentifier = "d", DBInstanceClass = "c", Engine = "postgres", MasterUserPassword = secret.new "mark-4711" }
  local e = test.raises("%(secret%) is short %(Bad%)", rds.create_db_instance, rds, args)
  test.match(seen[1].body, "MasterUserPassword=mark%-4711")
  test.truthy(not test.show(e):find "mark%-4711" and not tostring(rds:request("create_db_instance", args).body):find "mark")
end

return T
