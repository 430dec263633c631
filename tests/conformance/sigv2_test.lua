--- botocore's signer is the judge of signatures of version 2, which SimpleDB and Import/Export ask for.
local aws = require "aws"
local json = require "json"
local process = require "process"
local secret = require "secret"
local test = require "test"

local T = test.cases()

local JUDGE = [[
import json, sys
from urllib.parse import parse_qsl
from botocore.auth import SigV2Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
for line in sys.stdin:
    case = json.loads(line)
    params = dict(parse_qsl(case["body"], keep_blank_values=True, strict_parsing=True))
    given = params.pop("Signature")
    request = AWSRequest(method=case["method"], url=case["url"])
    _, signature = SigV2Auth(Credentials("AK", "SK/+")).calc_signature(request, params)
    print(json.dumps([given == signature, params]))
]]

local CASES = {
  { "sdb", "list_domains", {} },
  { "sdb", "put_attributes", { DomainName = "a b", ItemName = "ü/+=&~-._*", Attributes = {
    { Name = "n1", Value = "" }, { Name = "n2", Value = "(x) 'y' !", Replace = true }, { Name = "3", Value = "v" }, { Name = "4", Value = "v" },
    { Name = "5", Value = "v" }, { Name = "6", Value = "v" }, { Name = "7", Value = "v" }, { Name = "8", Value = "v" }, { Name = "9", Value = "v" },
    { Name = "10", Value = "v" }, { Name = "11", Value = "v" } } } },
  { "sdb", "select", { SelectExpression = "select * from `d` where a > '1'" }, endpoint = "http://example.com:8000" },
  { "importexport", "get_status", { JobId = "j" } },
}

T["a form has botocore's signature, the time and the key; with a session token, that too"] = function()
  local cases, lines = {}, {}
  for _, token in ipairs { "", "session/token+=" } do
    for _, case in ipairs(CASES) do
      local client = aws.client { service = case[1], region = "us-east-1", endpoint = case.endpoint, credentials = {
        access_key_id = "AK", secret_access_key = secret.new "SK/+", session_token = token ~= "" and secret.new(token) or nil } }
      local request = client:request(case[2], case[3])
      test.equal({ secret.is(request.body), request.headers.Authorization }, { token ~= "", nil })
      test.equal(request.headers["Content-Length"], tostring(secret.size(request.body)))
      cases[#cases + 1] = case[2] .. " " .. token
      lines[#lines + 1] = json.encode { method = request.method, url = request.url, body = request.body }
      lines[#lines + 1] = "\n"
    end
  end
  local run = process.run { test.tool "python3", "-c", JUDGE, stdin = secret.concat(lines), timeout = 300 }
  test.equal(run.code, 0, run.stderr)
  local answers = run.stdout:gmatch "[^\n]+"
  for _, case in ipairs(cases) do
    local is_right, params = table.unpack(json.decode(answers()))
    test.equal(is_right, true, case)
    test.match(params.Timestamp, "^20%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$")
    test.equal({ params.AWSAccessKeyId, params.SignatureVersion, params.SignatureMethod }, { "AK", "2", "HmacSHA256" })
    test.equal(params.SecurityToken or "", case:match " (.*)$")
  end
end

T["a request of version 2 cannot be presigned"] = function()
  local sdb = aws.client { service = "sdb", region = "us-east-1", credentials = { access_key_id = "AK", secret_access_key = secret.new "SK" } }
  test.raises("aws.sdb:list_domains cannot be presigned: its signature is of version 2", sdb.presign, sdb, "list_domains")
end

return T
