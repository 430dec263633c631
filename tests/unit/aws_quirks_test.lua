--- Services that need more than their model says.
local aws = require "aws"
local fs = require "fs"
local secret = require "secret"
local serve = require "rehearsal.serve"
local sign = require "sign"
local test = require "test"
local T = test.cases()

local function client(service, more)
  local o = { service = service, region = "eu-west-1", attempts = 2, credentials = { access_key_id = "AK", secret_access_key = "SK" } }
  for k, v in pairs(more or {}) do o[k] = v end
  return aws.client(o)
end

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- "a=1&b=%2F" -> { a = "1", b = "/" }
local function pairs_of(form)
  local found = {}
  for name, value in form:gmatch "([^&=]+)=([^&]*)" do found[name] = unescape(value) end
  return found
end

local COPY = { SourceDBSnapshotIdentifier = "arn:1", TargetDBSnapshotIdentifier = "b", SourceRegion = "us-east-1" }

T["a copy from another region carries a URL that is signed for the source, as boto3 makes it"] = function()
  local form = pairs_of(client "rds":request("copy_db_snapshot", COPY).body)
  test.equal(form.SourceRegion, nil)
  local place, query = form.PreSignedUrl:match "^([^?]*)%?(.*)$"
  local url = pairs_of(query)
  test.equal(place, "https://rds.us-east-1.amazonaws.com/")
  test.match(url["X-Amz-Credential"], "^AK/%d+/us%-east%-1/rds/aws4_request$")
  test.match(url["X-Amz-Signature"], "^%x+$")
  test.equal({ url.Action, url.DestinationRegion, url.SourceDBSnapshotIdentifier, url.SourceRegion, url["X-Amz-Expires"] },
             { "CopyDBSnapshot", "eu-west-1", "arn:1", nil, "3600" })
  form = pairs_of(client "ec2":request("copy_snapshot", { SourceSnapshotId = "s", SourceRegion = "us-east-1" }).body)
  test.equal({ form.SourceRegion, form.DestinationRegion }, { "us-east-1", "eu-west-1" })
  test.match(form.PresignedUrl, "^https://ec2%.us%-east%-1%.amazonaws%.com/%?.*DestinationRegion=eu%-west%-1.*SourceRegion=us%-east%-1")
end

T["a copy within the region, and one whose URL is given, are sent as they are"] = function()
  local args = { SourceDBSnapshotIdentifier = "a", TargetDBSnapshotIdentifier = "b" }
  test.equal(pairs_of(client "rds":request("copy_db_snapshot", args).body).PreSignedUrl, nil)
  local given = pairs_of(client "neptune":request("copy_db_cluster_snapshot", { SourceDBClusterSnapshotIdentifier = "a",
    TargetDBClusterSnapshotIdentifier = "b", SourceRegion = "us-east-1", PreSignedUrl = "https://mine" }).body)
  test.equal({ given.PreSignedUrl, given.SourceRegion }, { "https://mine", nil })
  given = pairs_of(client "ec2":request("copy_snapshot", { SourceSnapshotId = "s", SourceRegion = "us-east-1", DestinationRegion = "x",
    PresignedUrl = "https://mine" }).body)
  test.equal({ given.PresignedUrl, given.DestinationRegion }, { "https://mine", "x" })
end

T["the URL of a copy is a secret when it carries a session token"] = function()
  local r = client("rds", { credentials = { access_key_id = "AK", secret_access_key = "SK", session_token = "T" } }):request("copy_db_snapshot", COPY)
  test.truthy(secret.is(r.body))
end

--- Glacier's tree: hashes of megabytes, then of pairs of hashes, an odd one as it is.
local function tree_of(a, b, c)
  local function h(bytes) return sign.sha256(bytes, true) end
  return sign.hex(h(h(h(a) .. h(b)) .. h(c)))
end

T["glacier: the own account stands for none; an upload carries its hash and that of its tree"] = function()
  local glacier = client "glacier"
  test.equal(glacier:request("list_vaults").url, "https://glacier.eu-west-1.amazonaws.com/-/vaults")
  test.equal(glacier:request("list_vaults", { accountId = "123" }).url, "https://glacier.eu-west-1.amazonaws.com/123/vaults")
  local a, b, c = ("a"):rep(1 << 20), ("b"):rep(1 << 20), "c"
  local file = test.tmpdir() .. "/archive"
  fs.write(file, "skipped" .. a .. b .. c .. "skipped")
  for _, body in ipairs { a .. b .. c, { file = file, offset = 7, length = #a + #b + #c } } do
    local headers = glacier:request("upload_archive", { vaultName = "v", body = body }).headers
    test.equal({ headers["x-amz-sha256-tree-hash"], headers["x-amz-content-sha256"], headers["x-amz-glacier-version"] },
               { tree_of(a, b, c), sign.sha256(a .. b .. c), "2012-06-01" })
  end
  for _, body in ipairs { "", "x", secret.new "x" } do
    local hash = sign.sha256(body)
    local headers = glacier:request("upload_multipart_part", { vaultName = "v", uploadId = "u", body = body, range = "bytes 0-0/*" }).headers
    test.equal({ headers["x-amz-sha256-tree-hash"], headers["x-amz-content-sha256"] }, { hash, hash })
  end
  test.equal(glacier:request("upload_archive", { vaultName = "v", body = "x", checksum = "mine" }).headers["x-amz-sha256-tree-hash"], "mine")
end

T["machinelearning: a model is asked at its own endpoint"] = function()
  local args = { MLModelId = "m", Record = { a = "b" }, PredictEndpoint = "https://realtime.example.com/path" }
  local r = client "machinelearning":request("predict", args)
  test.equal(r.url, "https://realtime.example.com/")
  test.equal(r.headers.Host, "realtime.example.com")
  args.PredictEndpoint = "realtime"
  test.raises("not an http or https URL", function() client "machinelearning":request("predict", args) end)
end

T["timestream: the endpoint is asked for once, and again when the service says that it is another"] = function()
  local asked, targets = 0, {}
  local server = serve.start { handler = function(req)
    targets[#targets + 1] = req.headers["x-amz-target"]
    if #targets == 1 then return { status = 421, body = '{"__type":"InvalidEndpointException","message":"moved"}' } end
    return { body = '{"QueryId":"q","Rows":[],"ColumnInfo":[]}' }
  end }
  test.defer(function() server:stop() end)
  local timestream = client "timestream-query"
  rawset(timestream, "call", function(_, name)                 -- what hkrun asks before the call
    test.equal(name, "DescribeEndpoints")
    asked = asked + 1
    return { Endpoints = { { Address = server.url, CachePeriodInMinutes = 5 } } }
  end)
  test.equal(timestream:query({ QueryString = "SELECT 1" }).QueryId, "q")
  test.equal(timestream:query({ QueryString = "SELECT 1" }).QueryId, "q")
  test.equal({ asked, targets }, { 2, { "Timestream_20181101.Query", "Timestream_20181101.Query", "Timestream_20181101.Query" } })
  test.equal(timestream:request("query", { QueryString = "SELECT 1" }).url, server.url .. "/")
  test.equal(timestream:request("describe_endpoints").url, "https://query.timestream.eu-west-1.amazonaws.com/")
end

T["timestream: an endpoint without a scheme is one of TLS; at a custom endpoint none is asked for"] = function()
  local discovery = require "aws.endpoint.discovery"
  for _, case in ipairs { { nil, "https://cell1.example.com/" }, { "http://127.0.0.1:1", "http://127.0.0.1:1/" } } do
    local timestream = client("timestream-write", { endpoint = case[1] })
    rawset(timestream, "call", function() return { Endpoints = { { Address = "cell1.example.com", CachePeriodInMinutes = 5 } } } end)
    discovery.ask(timestream, timestream:operation "write_records")
    test.equal(timestream:request("list_databases").url, case[2])
  end
end

return T
