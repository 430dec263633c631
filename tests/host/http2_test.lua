--- AWS over HTTP/2, spoken by node's server, which we did not write (tests/support/http2_aws.js). AWS's own endpoints offer
--- HTTP/2 here and there, and curl takes it where it is offered.
local aws = require "aws"
local ca = require "rehearsal.planes.ca"
local fs = require "fs"
local http = require "http"
local process = require "process"
local secret = require "secret"
local sign = require "sign"
local task = require "task"
local test = require "test"

local T = test.cases()

--- Clients of a server of the case's own; and what the server has seen.
local function start()
  local mine = ca.new(test.tmpdir() .. "/ca")
  local pair = mine:issue { name = "here", ips = { "127.0.0.1" } }
  local server = process.start { test.tool "node", "tests/support/http2_aws.js", pair.cert, pair.key, "AK", "SK", stdout = "pipe" }
  test.defer(function()
    http.close_idle()
    server:stop()
  end)
  local url = "https://127.0.0.1:" .. server:read_line()
  local function client(service, attempts)
    return aws.client { service = service, region = "us-east-1", endpoint = url, ca = mine.file, attempts = attempts or 3,
                        credentials = { access_key_id = "AK", secret_access_key = secret.new "SK" } }
  end
  local function seen() return http.get(url .. "/_seen", { ca = mine.file }):json() end
  return client, seen
end

T["signed calls of STS and S3 side by side: each its answer, five at a time on a connection"] = function()
  local client, seen = start()
  local sts, s3 = client "sts", client "s3"
  test.equal(sts:get_caller_identity().Account, "123456789012")
  local bodies = task.map({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }, function(i)
    return s3:get_object { Bucket = "bucket", Key = "a b/together " .. i }.Body
  end)
  for i, body in ipairs(bodies) do test.equal(body, "here is together%20" .. i) end
  local found = seen()
  test.equal({ #found.requests, found.refused }, { 13, {} })
  local wrong = aws.client { service = "sts", region = "us-east-1", endpoint = sts.options.endpoint, ca = sts.options.ca,
                             credentials = { access_key_id = "AK", secret_access_key = secret.new "another" } }
  test.equal(test.raises("a wrong signature", wrong.get_caller_identity, wrong).code, "SignatureDoesNotMatch")
end

T["files go up and down as streams"] = function()
  local client, seen = start()
  local s3, dir = client "s3", test.tmpdir()
  local bytes = sign.random(1000000):rep(20)
  fs.write(dir .. "/up", bytes)
  s3:put_object { Bucket = "bucket", Key = "large", Body = { file = dir .. "/up" } }
  s3:put_object { Bucket = "bucket", Key = "part", Body = { file = dir .. "/up", offset = 1000, length = 300000 } }
  s3:get_object({ Bucket = "bucket", Key = "large" }, { to = dir .. "/down" })
  test.truthy(fs.read(dir .. "/down") == bytes, "the same bytes")
  test.truthy(s3:get_object { Bucket = "bucket", Key = "part" }.Body == bytes:sub(1001, 301000), "the same range")
  test.equal(seen().refused, {})
end

T["a stream that is refused or broken, and a connection that goes away, are tried again"] = function()
  local client, seen = start()
  local s3, dir = client "s3", test.tmpdir()
  for _, fault in ipairs { "refused", "calm", "broken", "half", "cut", "away" } do
    local before = #seen().requests
    test.equal(s3:get_object { Bucket = "bucket", Key = fault .. "-1" }.Body, "here is " .. fault .. "-1", fault)
    s3:get_object({ Bucket = "bucket", Key = fault .. "-2" }, { to = dir .. "/" .. fault })
    test.equal(fs.read(dir .. "/" .. fault), "here is " .. fault .. "-2")
    fs.write(dir .. "/body", ("b"):rep(500000))
    s3:put_object { Bucket = "bucket", Key = fault .. "-3", Body = { file = dir .. "/body" } }
    test.equal(s3:get_object { Bucket = "bucket", Key = fault .. "-3" }.Body, ("b"):rep(500000), fault)
    test.equal(#seen().requests - before, 7, fault)
  end
  test.equal(fs.list(dir), { "away", "body", "broken", "calm", "cut", "half", "refused" }) -- nothing of what broke off
end

T["without another try the error says that the connection was cut, and may be tried again"] = function()
  local client = start()
  local s3, dir = client("s3", 1), test.tmpdir()
  for _, fault in ipairs { "calm", "broken", "half", "cut" } do
    local e = test.raises("cannot call s3.GetObject", s3.get_object, s3, { Bucket = "bucket", Key = fault }, { to = dir .. "/x" })
    test.equal({ e.kind, e.code, e.retry }, { "network", "cut", true }, fault)
  end
  test.equal(fs.list(dir), {})
end

T["a connection that its server closes after an answer is not used again"] = function()
  local client, seen = start()
  local s3 = client "s3"
  for i = 1, 3 do test.equal(s3:get_object { Bucket = "bucket", Key = "last-" .. i }.Body, "here is last-" .. i) end
  local found = seen()
  test.equal({ #found.requests, found.sessions }, { 3, 4 })
end

return T
