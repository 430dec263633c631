--- The server's check of signatures, against what the client signs; boto3 is
--- its other judge (tests/conformance).
local test = require "test"
local secret = require "secret"
local serve = require "rehearsal.serve"
local sign = require "sign"
local signature = require "rehearsal.signature"

local T = test.cases()
local KEY = secret.new "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

local function request(service, method, target, headers, body)
  return { method = method, url = "https://example.amazonaws.com" .. target, headers = headers, body = body, service = service,
           region = "us-east-1", access_key = "AKIDEXAMPLE", secret_key = KEY, time = 1440938160 }
end

--- What a server sees of a signed request.
local function received(r, headers, url)
  local path, query = (url or r.url):match "^https://[^/]*([^?]*)%??(.*)$"
  local lower = {}
  for name, value in pairs(headers) do lower[name:lower()] = value end
  return { method = r.method, raw_path = path, raw_query = query, query = serve.parse_query(query), headers = lower, body = r.body, time = r.time }
end

local function check(seen, keys) return signature.check(seen, keys or { AKIDEXAMPLE = KEY }, seen.time) end

T["what was signed is accepted, in the header and in the URL"] = function()
  for _, r in ipairs { request("service", "POST", "/a%20b/?z=1&a=%2F&a=", { ["X-Amz-Target"] = "X.Y  Z" }, "{}"),
                       request("s3", "PUT", "/dir/a%20b%2Bc", { ["content-type"] = "text/plain" }, "body") } do
    local scope = check(received(r, sign.sigv4(r)))
    test.equal({ scope.access_key, scope.region, scope.service }, { "AKIDEXAMPLE", "us-east-1", r.service })
  end
  local r = request("s3", "GET", "/k")
  test.equal(check(received(r, { Host = "example.amazonaws.com" }, sign.presign(r, 60))).service, "s3")
end

T["what was changed is refused, with AWS's reason"] = function()
  local r = request("service", "POST", "/a?b=c", { ["X-Amz-Target"] = "T" }, "{}")
  local function code(change, keys)
    local seen = received(r, sign.sigv4(r))
    change(seen)
    local ok, e = pcall(check, seen, keys)
    return not ok and e.code
  end
  test.equal(code(function(s) s.body = "{ }" end), "SignatureDoesNotMatch")
  test.equal(code(function(s) s.method = "PUT" end), "SignatureDoesNotMatch")
  test.equal(code(function(s) s.raw_path = "/b" end), "SignatureDoesNotMatch")
  test.equal(code(function(s) s.raw_query = "b=d" end), "SignatureDoesNotMatch")
  test.equal(code(function(s) s.headers["x-amz-target"] = "U" end), "SignatureDoesNotMatch")
  test.equal(code(function() end, { AKIDEXAMPLE = secret.new "other" }), "SignatureDoesNotMatch")
  test.equal(code(function() end, {}), "InvalidClientTokenId")
  test.equal(code(function(s) s.headers.authorization = nil end), "MissingAuthenticationToken")
  test.equal(code(function(s) s.headers.authorization = "Bearer x" end), "MissingAuthenticationToken")
  test.equal(code(function(s) s.time = s.time + 901 end), "RequestTimeTooSkewed")
  test.equal(code(function(s) s.time = s.time - 901 end), "RequestTimeTooSkewed")
  test.equal(code(function(s) s.headers["x-amz-date"] = "20150831T000000Z" end), "IncompleteSignature")
  r = request("s3", "PUT", "/k", nil, "body")
  test.equal(code(function(s) s.body = "other" end), "XAmzContentSHA256Mismatch")
  r = request("s3", "GET", "/k")
  local seen = received(r, { Host = "example.amazonaws.com" }, sign.presign(r, 60))
  seen.time = r.time + 61
  test.equal(select(2, pcall(check, seen)).code, "AccessDenied")
end

return T
