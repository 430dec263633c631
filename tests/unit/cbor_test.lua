--- CBOR against the examples of RFC 8949, appendix A, and against texts that are none.
local test = require "test"
local cbor = require "cbor"
local json = require "json"
local secret = require "secret"
local sign = require "sign"
local T = test.cases()

local null, array = json.null, json.array

--- Texts that are read and written alike.
local BOTH = {
  ["00"] = 0, ["01"] = 1, ["0a"] = 10, ["17"] = 23, ["1818"] = 24, ["1819"] = 25, ["1864"] = 100, ["1903e8"] = 1000,
  ["1a000f4240"] = 1000000, ["1b000000e8d4a51000"] = 1000000000000, ["1b7fffffffffffffff"] = math.maxinteger,
  ["20"] = -1, ["29"] = -10, ["3863"] = -100, ["3903e7"] = -1000, ["3b7fffffffffffffff"] = math.mininteger,
  ["f90000"] = 0.0, ["f93c00"] = 1.0, ["fb3ff199999999999a"] = 1.1, ["f93e00"] = 1.5, ["f97bff"] = 65504.0,
  ["fa47c35000"] = 100000.0, ["fa7f7fffff"] = 3.4028234663852886e+38, ["fb7e37e43c8800759c"] = 1.0e+300,
  ["f90001"] = 5.960464477539063e-8, ["f90400"] = 0.00006103515625, ["f9c400"] = -4.0, ["fbc010666666666666"] = -4.1,
  ["f97c00"] = math.huge, ["f9fc00"] = -math.huge, ["f4"] = false, ["f5"] = true, ["f6"] = null,
  ["60"] = "", ["6161"] = "a", ["6449455446"] = "IETF", ["62225c"] = "\"\\", ["62c3bc"] = "\u{fc}", ["63e6b0b4"] = "\u{6c34}",
  ["64f0908591"] = "\u{10151}", ["80"] = array {}, ["83010203"] = { 1, 2, 3 }, ["8301820203820405"] = { 1, { 2, 3 }, { 4, 5 } },
  ["98190102030405060708090a0b0c0d0e0f101112131415161718181819"] =
    { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25 },
  ["a0"] = {}, ["a26161016162820203"] = { a = 1, b = { 2, 3 } }, ["826161a161626163"] = { "a", { b = "c" } },
  ["a56161614161626142616361436164614461656145"] = { a = "A", b = "B", c = "C", d = "D", e = "E" },
}

--- Texts that are read, and what we would write in another way.
local READ = {
  ["1bffffffffffffffff"] = 18446744073709551615.0, ["c249010000000000000000"] = 18446744073709551616.0,
  ["3bffffffffffffffff"] = -18446744073709551616.0, ["c349010000000000000000"] = -18446744073709551617.0,
  ["c24100"] = 0, ["c243010000"] = 65536, ["c3420100"] = -257, ["c2487fffffffffffffff"] = math.maxinteger,
  ["fa7f800000"] = math.huge, ["faff800000"] = -math.huge, ["fb7ff0000000000000"] = math.huge, ["fbfff0000000000000"] = -math.huge,
  ["f7"] = null, ["c074323031332d30332d32315432303a30343a30305a"] = "2013-03-21T20:04:00Z", ["c11a514b67b0"] = 1363896240,
  ["c1fb41d452d9ec200000"] = 1363896240.5, ["d74401020304"] = "\1\2\3\4", ["d818456449455446"] = "dIETF",
  ["d82076687474703a2f2f7777772e6578616d706c652e636f6d"] = "http://www.example.com", ["40"] = "", ["4401020304"] = "\1\2\3\4",
  ["a201020304"] = { [1] = 2, [3] = 4 },
  ["5f42010243030405ff"] = "\1\2\3\4\5", ["7f657374726561646d696e67ff"] = "streaming", ["9fff"] = {},
  ["9f018202039f0405ffff"] = { 1, { 2, 3 }, { 4, 5 } }, ["9f01820203820405ff"] = { 1, { 2, 3 }, { 4, 5 } },
  ["83018202039f0405ff"] = { 1, { 2, 3 }, { 4, 5 } }, ["83019f0203ff820405"] = { 1, { 2, 3 }, { 4, 5 } },
  ["bf61610161629f0203ffff"] = { a = 1, b = { 2, 3 } }, ["826161bf61626163ff"] = { "a", { b = "c" } },
  ["bf6346756ef563416d7421ff"] = { Fun = true, Amt = -2 },
}

T["the examples of the RFC are read and written"] = function()
  for hex, value in pairs(BOTH) do
    test.equal(cbor.decode(sign.unhex(hex)), value, hex)
    test.equal(sign.hex(cbor.encode(value)), hex)
    test.equal(math.type(cbor.decode(sign.unhex(hex))), math.type(value), hex)
  end
  for hex, value in pairs(READ) do test.equal(cbor.decode(sign.unhex(hex)), value, hex) end
  for _, hex in ipairs { "f97e00", "fa7fc00000", "fb7ff8000000000000" } do
    local nan = cbor.decode(sign.unhex(hex))
    test.truthy(nan ~= nan, hex)
  end
  test.equal(sign.hex(cbor.encode(0 / 0)), "f97e00")
  test.equal(sign.hex(cbor.encode(-0.0)), "f98000")
  test.equal(1 / cbor.decode "\xF9\x80\x00", -math.huge)
end

T["bytes, tags, floats of a width and the order of members are the writer's choice"] = function()
  test.equal(sign.hex(cbor.encode(cbor.bytes "\1\255")), "4201ff")
  test.equal(sign.hex(cbor.encode(cbor.tag(1, 1363896240))), "c11a514b67b0")
  test.equal(sign.hex(cbor.encode { cbor.single(1.5), cbor.double(1.5) }), "82fa3fc00000fb3ff8000000000000")
  test.equal(sign.hex(cbor.encode(cbor.map { { "b", 1 }, { "a", 2 } })), "a2616201616102")
end

T["a secret makes the text a secret of the same bytes"] = function()
  local hidden = cbor.encode { name = secret.new "pw", data = cbor.bytes(secret.new "\255") }
  test.truthy(secret.is(hidden))
  test.truthy(secret.equal(hidden, cbor.encode { name = "pw", data = cbor.bytes "\255" }))
end

T["what is malformed is an error that says where"] = function()
  for hex, message in pairs {
    [""] = "ends too early at byte 1", ["18"] = "ends too early", ["61"] = "ends too early", ["8201"] = "ends too early",
    ["a161"] = "ends too early", ["9f01"] = "ends too early", ["5bffffffffffffffff00"] = "ends too early",
    ["9bffffffffffffffff"] = "ends too early", ["bb7fffffffffffffff"] = "ends too early", ["c1"] = "ends too early",
    ["1c"] = "28 is reserved", ["1f"] = "31 is reserved", ["ff"] = "simple value 31", ["f818"] = "simple value 24", ["f0"] = "simple value 16",
    ["5f6161ff"] = "another kind", ["7f5f4100ffff"] = "another kind", ["62c328"] = "not UTF%-8", ["a1f600"] = "a key is a",
    ["a18001"] = "a key is a table", ["c201"] = "big number", ["0000"] = "more after the value at byte 2", ["fb00"] = "ends too early",
  } do
    local e = test.raises(message, cbor.decode, sign.unhex(hex))
    test.equal(e.kind, "invalid", hex)
  end
  test.raises("nested deeper than 256", cbor.decode, ("\x81"):rep(100000))
end

T["every cut of a text is an error"] = function()
  local text = cbor.encode { list = { 1, "two", 3.25, { deep = true } }, big = math.maxinteger, none = null }
  for i = 0, #text - 1 do test.raises("ends too early", cbor.decode, text:sub(1, i)) end
end

T["what CBOR cannot hold is refused"] = function()
  local round = {}
  round.me = round
  test.raises("does it hold itself", cbor.encode, round)
  test.raises("function cannot be written", cbor.encode, { print })
  test.raises("cbor.bytes", cbor.encode, "\255")
  test.raises("holes or names", cbor.encode, { 1, 2, x = 3 })
  test.raises("key of type boolean", cbor.encode, { [true] = 1 })
end

return T
