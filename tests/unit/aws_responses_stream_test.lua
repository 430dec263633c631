--- How answers that are streams of events are read.
local test = require "test"
local aws = require "aws"
local json = require "json"
local sign = require "sign"
local T = test.cases()

-- luacheck: no max line length

local PACK = { [1] = "", [2] = ">i1", [3] = ">i2", [4] = ">i4", [5] = ">i8", [6] = ">s2", [7] = ">s2", [8] = ">i8" }

--- A message of headers { name, type, value } and a payload.
local function message(headers, payload)
  local head = {}
  for _, h in ipairs(headers) do
    head[#head + 1] = (">s1B"):pack(h[1], h[2]) .. (h[3] ~= nil and PACK[h[2]]:pack(h[3]) or "")
  end
  local text = table.concat(head)
  local prelude = (">I4I4"):pack(#text + #payload + 16, #text)
  local all = prelude .. (">I4"):pack(sign.crc32(prelude)) .. text .. payload
  return all .. (">I4"):pack(sign.crc32(all))
end

local function event(name, payload)
  return message({ { ":message-type", 7, "event" }, { ":event-type", 7, name }, { ":odd", 0 }, { ":number", 4, 7 } }, payload)
end

local function parse(service, operation, body)
  local client = aws.client { service = service, region = "us-east-1", credentials = { access_key_id = "a", secret_access_key = "b" } }
  return client:parse(operation, { status = 200, body = body, headers = { ["Content-Type"] = "application/vnd.amazon.eventstream", ["x-amzn-RequestId"] = "id-1" } })
end

local SELECT = event("Records", "1,2\n\0") .. event("Stats", "<Stats><BytesScanned>10</BytesScanned></Stats>") .. event("Unheard", "?") .. event("End", "")

T["S3: bytes, XML and nothing are payloads; unknown events are left out"] = function()
  local r = test.truthy(parse("s3", "select_object_content", SELECT))
  test.equal(r.Payload, { { Records = { Payload = "1,2\n\0" } }, { Stats = { Details = { BytesScanned = 10 } } }, { End = {} } })
  test.truthy(json.is_array(r.Payload))
end

T["json: the first message has the other members"] = function()
  local r = test.truthy(parse("logs", "start_live_tail", event("initial-response", "{}") ..
    event("sessionUpdate", '{"sessionMetadata":{"sampled":true},"sessionResults":[{"message":"m"}]}')))
  test.equal(r, { responseStream = { { sessionUpdate = { sessionMetadata = { sampled = true }, sessionResults = { { message = "m" } } } } } })
end

T["an error in the stream is the error of the call"] = function()
  local _, e = parse("logs", "start_live_tail", event("initial-response", "{}") ..
    message({ { ":message-type", 7, "exception" }, { ":exception-type", 7, "SessionTimeoutException" } }, '{"message":"too long"}'))
  test.equal({ e.kind, e.code, e.message, e.request_id, e.data }, { "remote", "SessionTimeoutException", "too long", "id-1", { message = "too long" } })
  _, e = parse("s3", "select_object_content", message({ { ":message-type", 7, "error" }, { ":error-code", 7, "Busy" }, { ":error-message", 7, "later" } }, ""))
  test.equal({ e.kind, e.code, e.message }, { "remote", "Busy", "later" })
end

T["a stream that is cut off or changed anywhere is an error of the protocol"] = function()
  local ends = { [0] = true }
  local at = 0
  for _, part in ipairs { event("Records", "1,2\n\0"), event("Stats", "<Stats><BytesScanned>10</BytesScanned></Stats>"), event("Unheard", "?") } do
    at = at + #part
    ends[at] = true
  end
  for i = 0, #SELECT - 1 do
    local r, e = parse("s3", "select_object_content", SELECT:sub(1, i))
    if ends[i] then test.truthy(r) else test.equal({ r, e.kind, e.request_id }, { nil, "protocol", "id-1" }) end
    r, e = parse("s3", "select_object_content", SELECT:sub(1, i) .. string.char(SELECT:byte(i + 1) ~ 1) .. SELECT:sub(i + 2))
    test.equal({ r, e.kind }, { nil, "protocol" })
  end
end

return T
