--- What the json protocols and smithy-rpc-v2-cbor send: one case per rule of "AWS JSON protocols" and "Smithy RPC v2 CBOR".
-- luacheck: no max line length
local test = require "test"
local cbor = require "cbor"
local json = require "json"
local lab = dofile "tests/support/request_lab.lua"
local secret = require "secret"
local sign = require "sign"
local T = test.cases()

local struct, list, map = lab.struct, lab.list, lab.map

local SHAPES = {
  In = struct { S = { shape = "String", locationName = "s" }, I = "Integer", L = "Long", F = "Float", D = "Double", B = "Boolean", Bytes = "Blob",
                T = "Timestamp", Iso = { shape = "Timestamp", timestampFormat = "iso8601" },
                Rfc = { shape = "Timestamp", timestampFormat = "rfc822" }, Names = "Names", Map = "Map", Inner = "In", Free = "Free",
                Either = "Either" },
  Names = list "String", Map = map "Names", Free = { type = "structure", members = {}, document = true },
  Either = struct({ One = "String", Two = "Integer" }, { union = true }),
}

--- rule, arguments, JSON, CBOR in hexadecimal where it is given
local CASES = {
  { "no members", {}, "{}", "a0" },
  { "members by the model's names", { S = "x" }, '{"s":"x"}', "a161736178" },
  { "integers keep 64 bits", { I = -1, L = 9223372036854775807 }, '{"I":-1,"L":9223372036854775807}', nil },
  { "a long integer", { L = -9223372036854775808 }, '{"L":-9223372036854775808}', "a1614c3b7fffffffffffffff" },
  { "floats of 32 bits", { F = 1.5 }, '{"F":1.5}', "a16146fa3fc00000" },
  { "floats of 64 bits, whole ones too", { D = 2.0 }, '{"D":2.0}', "a16144fb4000000000000000" },
  { "infinity", { D = math.huge }, '{"D":"Infinity"}', "a16144f97c00" },
  { "less than infinity", { F = -math.huge }, '{"F":"-Infinity"}', "a16146f9fc00" },
  { "not a number", { F = 0 / 0 }, '{"F":"NaN"}', "a16146f97e00" },
  { "its name for it", { F = "NaN" }, '{"F":"NaN"}', "a16146f97e00" },
  { "truth", { B = true }, '{"B":true}', "a16142f5" },
  { "bytes", { Bytes = "\0\255" }, '{"Bytes":"AP8="}', "a1654279746573 4200ff" },
  { "times count seconds", { T = 1422172800 }, '{"T":1422172800}', "a16154c11a54c4a280" },
  { "times keep their fraction", { T = 1.5 }, '{"T":1.5}', "a16154c1fb3ff8000000000000" },
  { "ISO 8601", { Iso = 1422172800 }, '{"Iso":"2015-01-25T08:00:00Z"}' },
  { "RFC 822", { Rfc = 1422172800 }, '{"Rfc":"Sun, 25 Jan 2015 08:00:00 GMT"}' },
  { "lists, empty ones too", { Names = { "a" }, Map = { k = {} } }, '{"Map":{"k":[]},"Names":["a"]}' },
  { "null in a list stays, in a structure it goes", { S = json.null, Names = { "a", json.null } }, '{"Names":["a",null]}', "a1654e616d6573826161f6" },
  { "maps, empty ones too", { Map = {} }, '{"Map":{}}', "a1634d6170a0" },
  { "recursive structures", { Inner = { Inner = { S = "x" }, I = 1 } }, '{"Inner":{"I":1,"Inner":{"s":"x"}}}' },
  { "unions", { Either = { Two = 2 } }, '{"Either":{"Two":2}}', "a166456974686572a163 54776f02" },
}

for _, case in ipairs(CASES) do
  local rule, args, text, hex = table.unpack(case, 1, 4)
  T["json: " .. rule] = function()
    test.equal(json.decode(lab.client("json", SHAPES):request("do", args).body), json.decode(text))
    test.equal(json.decode(lab.client("rest-json", SHAPES):request("do", args).body), json.decode(text))
  end
  if hex then
    T["cbor: " .. rule] = function()
      test.equal(sign.hex(lab.client("smithy-rpc-v2-cbor", SHAPES):request("do", args).body), (hex:gsub(" ", "")))
    end
  end
end

T["json: documents are sent as they are"] = function()
  local client = lab.client("json", SHAPES)
  for _, text in ipairs { '{"Free":{"a":[1,{"b":null}],"c":true}}', '{"Free":"text"}', '{"Free":[1,2]}', '{"Free":false}', '{"Free":1.25}' } do
    test.equal(client:request("do", json.decode(text)).body, text)
  end
end

T["json: target, version and type"] = function()
  local wanted = { method = "POST", uri = "/", body = "{}", headers = {
    ["Content-Type"] = "application/x-amz-json-1.1", ["X-Amz-Target"] = "Toys.Do" }, absent = { "x-amzn-query-mode" } }
  lab.expect(lab.client("json", {}), {}, wanted, "no input")
  lab.expect(lab.client("json", { In = struct {} }), {}, wanted, "input")
  lab.expect(lab.client("json", {}, { meta = { jsonVersion = "1.0" } }), {},
             { headers = { ["Content-Type"] = "application/x-amz-json-1.0" } }, "1.0")
  lab.expect(lab.client("json", {}, { meta = { awsQueryCompatible = {} } }), {}, { headers = { ["x-amzn-query-mode"] = "true" } }, "query")
end

T["cbor: path, headers, and no body without an input"] = function()
  local uri = "/service/Toys/operation/Do"
  local none = { method = "POST", uri = uri, body = "", headers = { ["smithy-protocol"] = "rpc-v2-cbor", Accept = "application/cbor" },
                 absent = { "Content-Type", "X-Amz-Target" } }
  lab.expect(lab.client("smithy-rpc-v2-cbor", {}), {}, none, "no input")
  lab.expect(lab.client("smithy-rpc-v2-cbor", { In = struct {} }), {},
             { uri = uri, body = "\xA0", headers = { ["Content-Type"] = "application/cbor", ["Content-Length"] = "1" } }, "empty input")
  lab.expect(lab.client("smithy-rpc-v2-cbor", {}, { meta = { awsQueryCompatible = {} } }), {}, { headers = { ["x-amzn-query-mode"] = "true" } }, "query")
end

T["a secret makes the body a secret of the same bytes"] = function()
  for _, protocol in ipairs { "json", "smithy-rpc-v2-cbor" } do
    local client = lab.client(protocol, SHAPES)
    local hidden = client:request("do", { S = secret.new "pw", Names = { secret.new "x" } }).body
    test.truthy(secret.is(hidden), protocol)
    test.truthy(secret.equal(hidden, client:request("do", { S = "pw", Names = { "x" } }).body), protocol)
  end
end

local OUT = { Out = SHAPES.In, Names = SHAPES.Names, Map = SHAPES.Map, Free = SHAPES.Free, Either = SHAPES.Either,
              In = SHAPES.In }

--- CBOR in hexadecimal, the result
local ANSWERS = {
  ["a0"] = {}, [""] = {}, ["a26173617861780 1"] = { S = "x" },                               -- x is unknown
  ["a261491b00000000ffffffff614c3b7fffffffffffffff"] = { I = 4294967295, L = math.mininteger },
  ["bf6146f93e006144fa3fc00000ff"] = { F = 1.5, D = 1.5 }, ["a16144f97c00"] = { D = math.huge }, ["a1614402"] = { D = 2.0 },
  ["a16154c11a54c4a280"] = { T = 1422172800 }, ["a16154c1fb3ff8000000000000"] = { T = 1.5 }, ["a161541a54c4a280"] = { T = 1422172800 },
  ["a16542797465735f4100 41ffff"] = { Bytes = "\0\255" }, ["a1617 37f61616162ff"] = { S = "ab" },
  ["a1654e616d6573 9f6161f6ff"] = { Names = { "a", json.null } }, ["a2 6173f6 6142f4"] = { B = false },
  ["a1634d6170a2616b816176616ef6"] = { Map = { k = { "v" }, n = json.null } },
}

T["cbor: answers are read by the model"] = function()
  local client = lab.client("smithy-rpc-v2-cbor", OUT)
  for hex, result in pairs(ANSWERS) do
    test.equal(client:parse("do", { status = 200, body = sign.unhex((hex:gsub(" ", ""))) }), result, hex)
  end
end

T["cbor: an answer of the wrong type, cut off or malformed is an error with the operation and the request id"] = function()
  local client = lab.client("smithy-rpc-v2-cbor", OUT)
  for hex, message in pairs { ["a1617301"] = "s?S is of type number, not string", ["a16149"] = "ends too early", ["01"] = "of type number, not struct",
                              ["a1654e616d657301"] = "not list", ["a1614161"] = "ends too early", ["ff"] = "is not CBOR" } do
    local result, e = client:parse("do", { status = 200, headers = { ["x-amzn-RequestId"] = "r-1" }, body = sign.unhex(hex) })
    test.equal({ result, e.kind, e.request_id, e.status }, { nil, "protocol", "r-1", 200 }, hex)
    test.match(tostring(e), message)
    test.match(tostring(e), "%.Do")
  end
  test.equal(cbor.decode(cbor.encode "still there"), "still there")
end

return T
