--- What the AWS client promises, seen from outside: clients of small models written here, a server that counts what comes.
local test = require "test"
local aws = require "aws"
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local process = require "process"
local secret = require "secret"
local serve = require "rehearsal.serve"
local T = test.cases()

local SELF = fs.realpath "/proc/self/exe"
local KEYS = { access_key_id = "AK", secret_access_key = "SK" }

--- A service-2.json of two operations, with no more metadata than its protocol needs.
local function model(protocol)
  local xml = protocol == "query"
  local function operation(name)
    return { name = name, http = { method = "POST", requestUri = "/do" }, input = { shape = "In" },
             output = { shape = "Out", resultWrapper = xml and name .. "Result" }, errors = { { shape = "Gone" } } }
  end
  return {
    metadata = { protocol = protocol, apiVersion = "2020-01-01", jsonVersion = "1.1", targetPrefix = "Svc_2020" },
    operations = { DoIt = operation "DoIt", DescribeIt = operation "DescribeIt" },
    shapes = {
      In = { type = "structure", required = { "Name" }, members = {
        Name = { shape = "S" }, Kind = { shape = "Kind" }, Filters = { shape = "Filters" }, Count = { shape = "L" } } },
      Out = { type = "structure", members = { Name = { shape = "S" }, Count = { shape = "L" }, At = { shape = "T" } } },
      Filters = { type = "list", member = { shape = "Filter" } },
      Filter = { type = "structure", members = { Name = { shape = "S" }, Values = { shape = "Values" } } },
      Values = { type = "list", member = { shape = "S" } },
      Kind = { type = "string", enum = { "gp2", "gp3", "io1" } },
      Gone = { type = "structure", members = { message = { shape = "S" }, Left = { shape = "L" } }, exception = true,
               error = { code = "Gone", httpStatusCode = 404 } },
      S = { type = "string" }, L = { type = "long" }, T = { type = "timestamp" },
    },
  }
end

--- A client of a small model on a server that answers with `handler`, and the requests that came.
local function client(protocol, handler, more)
  local seen = {}
  local server = serve.start { handler = function(req)
    seen[#seen + 1] = req
    return handler(req, #seen)
  end }
  test.defer(function() server:stop() end)
  local o = { model = model(protocol), region = "us-east-1", endpoint = server.url, credentials = KEYS }
  for k, v in pairs(more or {}) do o[k] = v end
  return aws.client(o), seen
end

local XML = "<Name>n</Name><Count>9007199254740993</Count><At>2023-11-14T22:13:20Z</At>"
local ANSWERS = {
  query = "<DoItResponse><DoItResult>" .. XML .. "</DoItResult><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></DoItResponse>",
  ec2 = "<DoItResponse>" .. XML .. "<requestId>id-1</requestId></DoItResponse>",
  json = [[{"Name":"n","Count":9007199254740993,"At":1700000000,"New":{"a":[1]}}]],
  ["rest-json"] = [[{"Name":"n","Count":9007199254740993,"At":1700000000}]],
  ["rest-xml"] = "<DoItResult>" .. XML .. "</DoItResult>",
  ["smithy-rpc-v2-cbor"] = "\xa3\x64Name\x61n\x65Count\x1b\x00\x20\x00\x00\x00\x00\x00\x01\x62At\xc1\x1a\x65\x53\xf1\x00",
}

T["a client of any service-2.json: every protocol writes, signs and reads, without more metadata than it needs"] = function()
  for protocol, body in pairs(ANSWERS) do
    local c = aws.client { model = model(protocol), region = "us-east-1", endpoint = "http://example.com/base", credentials = KEYS }
    local request = c:request("do_it", { Name = "a b", Count = math.maxinteger })
    test.equal(request.method, "POST", protocol)
    test.match(request.url, "^http://example%.com/base/", protocol)
    test.match(request.headers.Authorization, "^AWS4%-HMAC%-SHA256 Credential=AK/%d+/us%-east%-1/", protocol)
    local result, meta = c:parse("DoIt", { status = 200, headers = { ["X-Amzn-RequestId"] = "id-1" }, body = body })
    test.equal(result, { Name = "n", Count = 9007199254740993, At = 1700000000 }, protocol)
    test.equal({ meta.request_id, meta.status }, { "id-1", 200 }, protocol)
  end
end

T["the bodies of the small model"] = function()
  local function body(protocol)
    return aws.client { model = model(protocol), region = "us-east-1", endpoint = "http://h", credentials = KEYS }
      :request("do_it", { Name = "a b", Count = -1, Filters = { { Values = { "x" } } } }).body
  end
  test.match(body "query", "Name=a%%20b") -- a plus sign would do as well, and is not what AWS signs
  test.match(body "query", "Filters%.member%.1%.Values%.member%.1=x")
  test.match(body "ec2", "Filters%.1%.Values%.1=x")
  for _, protocol in ipairs { "json", "rest-json" } do
    test.equal(json.decode(body(protocol)), { Name = "a b", Count = -1, Filters = { { Values = { "x" } } } })
  end
  test.match(body "rest-xml", "<Filters><member><Values><member>x</member></Values></member></Filters>")
  test.truthy(body "smithy-rpc-v2-cbor":find("\x64Name\x63a b", 1, true) and body "smithy-rpc-v2-cbor":find("\x65Count\x20", 1, true))
end

T["an exception of the model gives its code, message, request id and members"] = function()
  local c = client("json", function()
    return { status = 404, headers = { ["x-amzn-requestid"] = "id-2" }, body = [[{"__type":"com.amazon#Gone","message":"It is gone.","Left":3}]] }
  end)
  local e = test.raises("DoIt", c.do_it, c, { Name = "n" })
  test.equal({ e.kind, e.code, e.status, e.request_id, e.operation }, { "remote", "Gone", 404, "id-2", "DoIt" })
  test.match(e.message, "^It is gone")
  test.equal(e.data.Left, 3)
end

T["what is wrong in the arguments is refused before anything is sent, with the nearest name or the path"] = function()
  local c, seen = client("json", function() return { body = "{}" } end)
  local function refused(pattern, args)
    test.equal(test.raises(pattern, c.do_it, c, args).kind, "usage")
  end
  refused("Nmae.*Name", { Nmae = "x" })
  refused("Name.*missing", {})
  refused("gp4.*gp[23]", { Name = "n", Kind = "gp4" })
  refused("Filters%[2%]%.Values", { Name = "n", Filters = { { Values = { "a" } }, { Values = "b" } } })
  refused("Filters%[1%]%.Values%[2%]", { Name = "n", Filters = { { Values = { "a", 5 } } } })
  refused("Count", { Name = "n", Count = 1.5 })
  refused("Name", { Name = { "n" } })
  test.raises("do_it", function() return c.do_ti end)
  test.raises("ec2", function() return aws.ec3 end)
  test.equal(#seen, 0)
end

T["an answer that is cut off, malformed or of the wrong type names the operation and the request id"] = function()
  for protocol, good in pairs(ANSWERS) do
    local c = aws.client { model = model(protocol), region = "us-east-1", endpoint = "http://h", credentials = KEYS }
    for _, body in ipairs { good:sub(1, -4), good:sub(1, 20), "\0\xff\xfe", "[1,2" } do
      local result, e = c:parse("DoIt", { status = 200, headers = { ["x-amzn-requestid"] = "id-3" }, body = body })
      test.truthy(not result and errors.is(e), protocol .. ": an error for " .. test.show(body))
      test.match(tostring(e), "DoIt", protocol)
      test.equal(e.request_id, "id-3", protocol)
    end
  end
  local c = aws.client { model = model "json", region = "us-east-1", endpoint = "http://h", credentials = KEYS }
  for _, body in ipairs { [[{"Name":[1]}]], [[{"Count":"many"}]], [["text"]], [[{"At":{}}]] } do
    local result, e = c:parse("DoIt", { status = 200, headers = { ["x-amzn-requestid"] = "id-4" }, body = body })
    test.truthy(not result and errors.is(e), "an error for " .. body)
    test.match(tostring(e), "DoIt")
    test.equal(e.request_id, "id-4")
  end
end

T["an HTML page in place of an error is an error with its status"] = function()
  for protocol in pairs(ANSWERS) do
    local c = aws.client { model = model(protocol), region = "us-east-1", endpoint = "http://h", credentials = KEYS }
    local result, e = c:parse("DoIt", { status = 502, body = "<html><body><h1>Bad Gateway</h1></body></html>" })
    test.equal({ result, e.kind, e.status }, { nil, "remote", 502 }, protocol)
  end
end

T["three attempts against a server that fails, one where it is the caller's mistake"] = function()
  for status, attempts in pairs { [500] = 3, [503] = 3, [400] = 1, [404] = 1 } do
    local c, seen = client("json", function() return { status = status, body = [[{"__type":"X","message":"m"}]] } end)
    test.raises("DescribeIt", c.describe_it, c, { Name = "n" })
    test.equal(#seen, attempts, "attempts at status " .. status)
  end
end

--- Runs a line in another hkrun, in an environment of its own.
local function line(code, env, ...)
  local home = test.tmpdir()
  local all = { PATH = os.getenv "PATH", HOME = home, AWS_REGION = "us-east-1", AWS_EC2_METADATA_DISABLED = "true" }
  for k, v in pairs(env or {}) do all[k] = v end
  local words = { SELF, ... }
  words[#words + 1], words[#words + 2], words.env, words.timeout = "-e", code, all, 60
  return process.run(words)
end

T["credentials that are nowhere: the error lists each place that was tried"] = function()
  local r = line "aws.sts:get_caller_identity()"
  test.truthy(r.code ~= 0)
  for _, place in ipairs { "AWS_ACCESS_KEY_ID", "%.aws/credentials", "%.aws/config", "AWS_EC2_METADATA_DISABLED" } do test.match(r.stderr, place) end
end

T["read-only mode refuses what can change something, and says how to allow it"] = function()
  local keys = { AWS_ACCESS_KEY_ID = "AK", AWS_SECRET_ACCESS_KEY = "SK", AWS_ENDPOINT_URL = "http://127.0.0.1:1", AWS_MAX_ATTEMPTS = "1" }
  local r = line('aws.ec2:delete_vpc { VpcId = "vpc-1" }', keys, "--read-only")
  test.truthy(r.code ~= 0)
  test.match(r.stderr, "read%-only")
  test.match(r.stderr, "DeleteVpc")
  test.match(r.stderr, "to allow it")
  r = line("aws.ec2:describe_vpcs {}", keys, "--read-only")
  test.truthy(not r.stderr:find "read%-only", "a read is tried: " .. r.stderr)
end

T["custom endpoints: the argument, then the service's variable, then the common one"] = function()
  local code = [[print(aws.client { service = "rds", endpoint = %s, credentials = { access_key_id = "A", secret_access_key = "S" } }
    :request("describe_db_instances", {}).url)]]
  local both = { AWS_ENDPOINT_URL = "http://common:1", AWS_ENDPOINT_URL_RDS = "http://own:2" }
  test.match(line(code:format '"http://given:3"', both).stdout, "^http://given:3/")
  test.match(line(code:format "nil", both).stdout, "^http://own:2/")
  test.match(line(code:format "nil", { AWS_ENDPOINT_URL = "http://common:1" }).stdout, "^http://common:1/")
  test.match(line(code:format "nil").stdout, "^https://rds%.us%-east%-1%.amazonaws%.com/")
  both.AWS_IGNORE_CONFIGURED_ENDPOINT_URLS = "true"
  test.match(line(code:format "nil", both).stdout, "^https://rds%.us%-east%-1%.amazonaws%.com/")
end

T["S3: a bucket is in the host of AWS, and in the path of a custom endpoint or when it is no host's name"] = function()
  local function url(bucket, endpoint)
    return aws.client { service = "s3", region = "eu-west-1", endpoint = endpoint, credentials = KEYS }
      :request("get_object", { Bucket = bucket, Key = "a b/ü+1" }).url
  end
  test.equal(url "box", "https://box.s3.eu-west-1.amazonaws.com/a%20b/%C3%BC%2B1")
  test.equal(url("box", "http://127.0.0.1:9000"), "http://127.0.0.1:9000/box/a%20b/%C3%BC%2B1")
  test.equal(url "My_Box", "https://s3.eu-west-1.amazonaws.com/My_Box/a%20b/%C3%BC%2B1")
end

T["a presigned URL has all that a browser needs, and expires as asked"] = function()
  local s3 = aws.client { service = "s3", region = "us-east-1", credentials = KEYS }
  local url = s3:presign("get_object", { Bucket = "box", Key = "k" }, { expires = 60 })
  for _, part in ipairs { "X%-Amz%-Algorithm=AWS4%-HMAC%-SHA256", "X%-Amz%-Expires=60", "X%-Amz%-SignedHeaders=host", "X%-Amz%-Signature=%x+" } do
    test.match(url, part)
  end
end

T["a model read from a file brings its paginators and waiters; :pages, :each and :wait follow them"] = function()
  local dir = test.tmpdir() .. "/widgets/2020-01-01"
  fs.mkdir_p(dir)
  local m = model "json"
  m.operations.ListThings = { name = "ListThings", http = { method = "POST", requestUri = "/" },
                              input = { shape = "ListIn" }, output = { shape = "ListOut" } }
  m.shapes.ListIn = { type = "structure", members = { Token = { shape = "S" }, Max = { shape = "L" } } }
  m.shapes.ListOut = { type = "structure", members = { Token = { shape = "S" }, Things = { shape = "Values" } } }
  fs.write(dir .. "/service-2.json", json.encode(m))
  local there = { matcher = "pathAny", argument = "Things[]", expected = "c", state = "success" }
  fs.write(dir .. "/paginators-1.json", json.encode { pagination = { ListThings = {
    input_token = "Token", output_token = "Token", limit_key = "Max", result_key = "Things" } } })
  fs.write(dir .. "/waiters-2.json", json.encode { version = 2, waiters = {
    ThingsThere = { operation = "ListThings", delay = 1, maxAttempts = 5, acceptors = { there } } } })
  local PAGES = { [[{"Things":["a","b"],"Token":"2"}]], [[{"Things":["c"]}]] }
  local function answer(req) return { body = req.body:find '"Token"' and PAGES[2] or PAGES[1] } end
  local seen = 0
  local server = serve.start { handler = function(req) seen = seen + 1 return seen > 6 and { body = PAGES[2] } or answer(req) end }
  test.defer(function() server:stop() end)
  local c = aws.client { model = dir .. "/service-2.json", region = "us-east-1", endpoint = server.url, credentials = KEYS }
  local items, pages = {}, 0
  for item in c:each "list_things" do items[#items + 1] = item end
  for _ in c:pages("list_things", {}) do pages = pages + 1 end
  test.equal({ table.concat(items), pages }, { "abc", 2 })
  c:wait("things_there", {}, { delay = 0.01, timeout = 20 })
  test.equal(seen, 7)
end

T["secrets in arguments reach the service, and no error shows them"] = function()
  local c, seen = client("json", function() return { status = 400, body = [[{"__type":"X","message":"m"}]] } end)
  local e = test.raises("DoIt", c.do_it, c, { Name = secret.new "hush-hush" })
  test.truthy(seen[1].body:find("hush-hush", 1, true), "the service gets the value")
  test.truthy(not tostring(e):find "hush" and not test.show(e):find "hush", "no error shows it")
end

return T
