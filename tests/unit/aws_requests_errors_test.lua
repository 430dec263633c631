--- What errors say, in every protocol: code, message, request id, and the members that the model knows.
-- luacheck: no max line length
local test = require "test"
local cbor = require "cbor"
local lab = dofile "tests/support/request_lab.lua"
local sign = require "sign"
local T = test.cases()

local struct = lab.struct

local SHAPES = {
  Gone = struct({ message = "String", Thing = { shape = "String", locationName = "thing" }, Left = "Integer", Hint = { shape = "String", location = "header", locationName = "X-Hint" } },
                { exception = true, error = { code = "Gone.Code", httpStatusCode = 404, senderFault = true } }),
  Busy = struct({ Message = "String" }, { exception = true }),
}

local function parse(protocol, response, meta)
  local client = lab.client(protocol, SHAPES, { meta = meta, op = { errors = { { shape = "Gone" }, { shape = "Busy" } } } })
  local result, e = client:parse("do", response)
  test.equal(result, nil)
  test.equal({ e.kind, e.status, e.operation }, { "remote", response.status, "Do" })
  return e
end

T["json: the code, without its namespace and its address, in each of its places"] = function()
  for _, code in ipairs { "Busy", "com.toys#Busy", "Busy:http://internal/", "com.toys#Busy:http://internal/#x" } do
    for _, protocol in ipairs { "json", "rest-json" } do
      test.equal(parse(protocol, { status = 400, body = ('{"__type":"%s","message":"m"}'):format(code) }).code, "Busy", code)
      test.equal(parse(protocol, { status = 400, headers = { ["X-Amzn-ErrorType"] = code }, body = '{"Message":"m"}' }).code, "Busy", code)
      test.equal(parse(protocol, { status = 400, body = ('{"code":"%s","message":"m"}'):format(code) }).message, "m")
    end
  end
end

T["json: message, request id and data; a service that once spoke query keeps its codes"] = function()
  local e = parse("json", { status = 404, headers = { ["x-amzn-RequestId"] = "r-1", ["x-amzn-query-error"] = "Gone.Code;Sender" },
                            body = '{"__type":"x#Gone","message":"it is gone.","thing":"t","Left":3,"new":1}' })
  test.equal({ e.code, e.message, e.request_id, e.data }, { "Gone.Code", "it is gone", "r-1", { message = "it is gone.", Thing = "t", Left = 3 } })
  test.equal(parse("json", { status = 400, headers = { ["x-amzn-query-error"] = "" }, body = '{"__type":"Busy"}' }).code, "Busy")
  test.equal(parse("json", { status = 400, body = '{"__type":"Unheard"}' }).data, nil)
end

T["rest-json: members of the error in headers"] = function()
  local e = parse("rest-json", { status = 404, headers = { ["X-Amzn-Errortype"] = "Gone", ["X-Hint"] = "h" }, body = '{"thing":"t"}' })
  test.equal({ e.code, e.data }, { "Gone", { Thing = "t", Hint = "h" } })
end

T["rest-xml: members of the error in headers"] = function()
  local e = parse("rest-xml", { status = 404, headers = { ["X-Hint"] = "h" }, body = "<Error><Code>Gone.Code</Code><thing>t</thing></Error>" })
  test.equal({ e.code, e.data }, { "Gone.Code", { Thing = "t", Hint = "h" } })
end

T["cbor: code, message and data"] = function()
  local e = parse("smithy-rpc-v2-cbor", { status = 404, headers = { ["x-amzn-requestid"] = "r-2" },
                  body = cbor.encode { __type = "toys#Gone", message = "m", thing = "t", Left = 3 } })
  test.equal({ e.code, e.message, e.request_id, e.data }, { "Gone", "m", "r-2", { message = "m", Thing = "t", Left = 3 } })
  test.equal(parse("smithy-rpc-v2-cbor", { status = 500, body = "\xFF" }).code, "500")
end

T["query, ec2, rest-xml: code, message, request id and data, with and without namespaces"] = function()
  local inner = "<Code>Gone.Code</Code><Message>m.</Message><message>m.</message><thing>t</thing><Left>3</Left>"
  for form, body in pairs {
    query = '<ErrorResponse xmlns="http://toys/"><Error><Type>Sender</Type>' .. inner .. "</Error><RequestId>r-3</RequestId></ErrorResponse>",
    ec2 = "<Response><Errors><Error>" .. inner .. "</Error></Errors><RequestID>r-3</RequestID></Response>",
    ["rest-xml"] = "<Error>" .. inner .. "<RequestId>r-3</RequestId></Error>",
  } do
    local e = parse(form, { status = 404, body = body })
    test.equal({ e.code, e.message, e.request_id, e.data }, { "Gone.Code", "m", "r-3", { message = "m.", Thing = "t", Left = 3 } }, form)
  end
end

T["no body, HTML and nonsense: the status is the code, the headers have the request id"] = function()
  for _, protocol in ipairs { "query", "ec2", "json", "rest-json", "rest-xml", "smithy-rpc-v2-cbor" } do
    for _, body in ipairs { "", "<html><body>Bad Gateway</body></html>", "oops", "<cut", '{"cut', "[1]", "null", sign.unhex "a161" } do
      local e = parse(protocol, { status = 502, headers = { ["X-Amz-Request-Id"] = "r-4" }, body = body })
      test.equal({ e.code, e.request_id, e.retry }, { "502", "r-4", true }, protocol .. ": " .. body)
    end
  end
end

return T
