--- botocore's signer as the judge: the same request at the same time has the same signature, in headers and in the URL.
-- luacheck: no max line length
local test = require "test"
local json = require "json"
local process = require "process"
local secret = require "secret"
local sign = require "sign"
local T = test.cases()

local CASES = {}
for _, service in ipairs { "ec2", "s3" } do
  for _, path in ipairs { "/", "/a/b", "/a%20b/%C3%BC", "/a//b/", "/a/./b/../c", "/..", "/./", "/a/b/..", "/a%2Fb/~-._" } do
    CASES[#CASES + 1] = { method = "GET", service = service, url = "https://example.com" .. path, headers = {}, body = "" }
  end
  for _, query in ipairs { "b=2&a=1", "a=2&a=1&a", "acl", "k=x%20y%2F%C3%BC&e=", "A=1&a=2&a-b=3&a_b=4" } do
    CASES[#CASES + 1] = { method = "PUT", service = service, url = "https://example.com:8443/p?" .. query, headers = { ["X-Two"] = "  two   words " }, body = "" }
  end
  CASES[#CASES + 1] = { method = "DELETE", service = service, url = "http://example.com:80/p", headers = { ["User-Agent"] = "not signed", ["x-amz-meta-ü"] = "é" },
                        body = "", token = "session/token+=" }
end
CASES[#CASES + 1] = { method = "GET", service = "ec2", url = "https://example.com/a:b@c,d+e=f", headers = {}, body = "" } -- S3 escapes first
CASES[#CASES + 1] = { method = "POST", service = "sts", url = "https://example.com/", headers = { ["Content-Type"] = "text/x" }, body = "Action=Do&é=1" }

--- Parameters of a URL, in any order.
local function parts(url)
  local found = {}
  for pair in url:match "%?(.*)$":gmatch "[^&]+" do found[#found + 1] = pair:find "=" and pair or pair .. "=" end
  table.sort(found)
  return found
end

T["a request has botocore's signature, in its headers and in its URL"] = function()
  local lines = {}
  for i, case in ipairs(CASES) do
    case.time = 1769846400 + i * 100000
    lines[i] = json.encode(case)
  end
  local run = process.run { test.tool "python3", "tests/conformance/sigv4_judge.py", stdin = table.concat(lines, "\n") .. "\n", timeout = 600 }
  test.equal(run.code, 0, run.stderr)
  local i = 0
  for line in run.stdout:gmatch "[^\n]+" do
    i = i + 1
    local case, theirs = CASES[i], json.decode(line)
    local claim = { method = case.method, url = case.url, headers = case.headers, body = case.body, service = case.service, region = "eu-west-1",
                    access_key = "AKID", secret_key = secret.new "secret/key+", session_token = case.token, time = case.time }
    local what = case.service .. " " .. case.url
    test.equal(sign.sigv4(claim).Authorization, theirs.authorization, what)
    local repeated = case.url:find("a=2&a=1", 1, true) -- botocore keeps one of each name when it presigns a URL
    if case.body == "" and not repeated then test.equal(parts(sign.presign(claim, 120)), parts(theirs.url), what .. ", presigned") end
  end
  test.equal(i, #CASES)
end

return T
