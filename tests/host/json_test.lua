local test = require "test"
local json = require "json"
local secret = require "secret"

local T = test.cases()

local function refused(text, pattern, opts)
  local v, err = json.decode(text, opts)
  test.equal(v, nil, "decoding " .. (type(text) == "string" and text:sub(1, 40) or "a secret"))
  test.match(err.message, pattern or "line %d+, column %d+")
  return err
end

T["values of each kind are read"] = function()
  local v = json.decode [[ {"s":"a\u00e9\ud83d\ude00\n","i":-12,"f":1.5e3,"t":true,"f2":false,"n":null,"a":[1,[],{}]} ]]
  test.equal(v.s, "aé😀\n")
  test.equal({ math.type(v.i), v.i, math.type(v.f), v.f }, { "integer", -12, "float", 1500.0 })
  test.equal({ v.t, v.f2 }, { true, false })
  test.truthy(v.n == json.null)
  test.equal(v.a, { 1, {}, {} })
  test.equal({ json.is_array(v.a), json.is_array(v.a[2]), json.is_array(v.a[3]) }, { true, true, false })
end

T["a document can be any value (RFC 8259)"] = function()
  test.equal(json.decode '"x"', "x")
  test.equal(json.decode " 7 ", 7)
  test.equal(json.decode "false", false)
  test.equal(json.decode "null", json.null)
  test.equal(tostring(json.null), "null")
end

T["64-bit integers are exact, and larger ones are refused"] = function()
  test.equal(json.decode "9007199254740993", 9007199254740993)
  test.equal(json.decode "[9223372036854775807,-9223372036854775808]", { math.maxinteger, math.mininteger })
  test.equal(json.encode { math.maxinteger, math.mininteger }, "[9223372036854775807,-9223372036854775808]")
  refused "9223372036854775808"
  refused "1e999"
end

T["what RFC 8259 does not allow is refused with line and column"] = function()
  for _, bad in ipairs { "", " ", "[1,]", "{\"a\":1,}", "{a:1}", "{'a':1}", "[01]", "[+1]", "[.5]", "[1.]", "[NaN]", "[Infinity]",
      "[1 2]", "[1]x", "\"a", "\"\t\"", "\"\\x\"", "\"\\ud800\"", "\"\\udc00\\ud800\"", "{\"a\":1,\"a\":2}", "//c\n1", "[", "{", "tru",
      "\"\255\"", "\"\xC0\x80\"", "\"\xED\xA0\x80\"", "\"\xF4\x90\x80\x80\"", "\"\xE2\x82\"", "\0", "[1]\0" } do
    test.equal(refused(bad).kind, "invalid")
  end
  test.match(refused("[1,\n  x]").message, "line 2")
end

T["NUL is a character like any other"] = function()
  test.equal(json.decode [["a\u0000b"]], "a\0b")
  test.equal(json.encode "a\0b", [["a\u0000b"]])
  test.equal(json.encode { ["k\0"] = 1 }, [[{"k\u0000":1}]])
end

T["nesting is limited both ways, and a cycle is found"] = function()
  local function nested(n) return ("["):rep(n) .. ("]"):rep(n) end
  test.truthy(json.decode(nested(256)))
  test.equal(refused(nested(257), "deeper than 256").kind, "limit")
  refused(("["):rep(1000000), "deeper")
  refused(("{\"a\":"):rep(100000), "deeper")
  test.truthy(json.decode(("[\"" .. ("["):rep(300) .. "\\\"[\"]")), "brackets in strings do not count")
  local t = {}
  t.t = t
  test.raises("deeper", json.encode, t)
end

T["values of each kind are written"] = function()
  test.equal(json.encode { b = { 1, 2.5, "x" }, a = true, c = json.null, d = {}, e = json.array {} },
    [[{"a":true,"b":[1,2.5,"x"],"c":null,"d":{},"e":[]}]])
  test.equal(json.encode { 0.1, 1e300, 3.0, -0.5, 5e-324, 123456789012.25 },
    "[0.1,1e+300,3.0,-0.5," .. "4.94065645841247e-324" .. ",123456789012.25]")
  test.equal(json.encode "é\"\\/\b\f\n\r\t\27", [["é\"\\/\b\f\n\r\t\u001b"]])
  test.equal(json.encode(json.decode '{"a":[],"b":{}}'), '{"a":[],"b":{}}')
end

T["numbers read back as the same number"] = function()
  for _, n in ipairs { 0.1, 1 / 3, 2 ^ 53 + 2, 1e22, 5e-324, 1.7976931348623157e308, -0.0, 100.0, 1e15, 123456.789e-7 } do
    local back = json.decode(json.encode(n))
    test.truthy(back == n and math.type(back) == "float", json.encode(n))
  end
end

T["pretty text is sorted and indented by two"] = function()
  test.equal(json.encode({ b = { 1, { x = 1 } }, a = {}, [""] = json.array {} }, { pretty = true }),
    '{\n  "": [],\n  "a": {},\n  "b": [\n    1,\n    {\n      "x": 1\n    }\n  ]\n}')
end

T["members are in the order of their bytes, and equal values give equal text"] = function()
  local t = {}
  for i = 1, 200 do t["k" .. i * 7919 % 211] = i end
  local copy = {}
  for i = 200, 1, -1 do copy["k" .. i * 7919 % 211] = i end
  test.equal(json.encode(t), json.encode(copy))
  test.equal(json.encode { b = 1, B = 2, a = 3, aa = 4 }, '{"B":2,"a":3,"aa":4,"b":1}')
  test.equal(json.decode(json.encode(t, { sort = false })), t)
end

T["what JSON cannot hold raises"] = function()
  test.raises("function has no form", json.encode, { f = print })
  test.raises("mixes", json.encode, { 1, a = 2 })
  test.raises("hole", json.encode, { [1] = 1, [3] = 3 })
  test.raises("name is not a string", json.encode, { [0] = 1 })
  test.raises("name is not a string", json.encode, { [true] = 1 })
  test.raises("infinite", json.encode, { 1 / 0 })
  test.raises("not a number", json.encode, 0 / 0)
  test.raises("UTF%-8", json.encode, "\255")
  test.raises("UTF%-8", json.encode, { ["\255"] = 1 })
  test.raises("mixes", json.encode, setmetatable({ a = 1 }, getmetatable(json.array {})))
end

T["a document with a secret in it is a secret"] = function()
  local out = json.encode { user = "u", password = secret.new 'p"w', list = { secret.new "x" } }
  test.truthy(secret.is(out))
  test.truthy(secret.equal(out, [[{"list":["x"],"password":"p\"w","user":"u"}]]))
  test.raises("UTF%-8", json.encode, secret.new "\255")
end

T["an unknown inside makes the whole text unknown"] = function()
  local unknown = setmetatable({}, { __hkrun_unknown = true, __index = error, __pairs = error })
  test.truthy(rawequal(json.encode { a = { { unknown } } }, unknown))
end

T["secrets = true makes every string a secret"] = function()
  local v = json.decode('{"a":"x","b":["y",1,null],"c":{"d":""}}', { secrets = true })
  test.truthy(secret.equal(v.a, "x") and secret.is(v.a))
  test.truthy(secret.is(v.b[1]) and secret.is(v.c.d))
  test.equal({ v.b[2], v.b[3] }, { 1, json.null })
end

T["a set of names makes the strings at and below them secrets"] = function()
  local v = json.decode('{"Name":"n","SecretString":"s","deep":{"SecretString":["t",{"x":"u"}]}}', { secrets = { SecretString = true } })
  test.equal(v.Name, "n")
  test.truthy(secret.is(v.SecretString) and secret.is(v.deep.SecretString[1]) and secret.is(v.deep.SecretString[2].x))
end

T["in a secret document only the fixed members are strings"] = function()
  local body = secret.new [[{"AccessKeyId":"AKIA","SecretAccessKey":"k","Expiration":"2030","pin":1234,"ok":true,
    "VersionStages":["AWSCURRENT"],"Name":{"first":"f"}}]]
  local v = json.decode(body)
  test.equal({ v.AccessKeyId, v.Expiration, v.ok, v.VersionStages[1] }, { "AKIA", "2030", true, "AWSCURRENT" })
  test.truthy(secret.equal(v.SecretAccessKey, "k"))
  test.truthy(secret.is(v.pin) and secret.equal(v.pin, "1234"), "numbers too")
  test.truthy(secret.is(v.Name.first), "a name of its own decides")
  test.truthy(secret.is(json.decode(body, { secrets = {} }).SecretAccessKey), "a set cannot open it")
  test.truthy(secret.is(json.decode(body, { secrets = { AccessKeyId = true } }).AccessKeyId), "a set can close more")
  test.truthy(secret.is(json.decode(secret.new '"x"')) and secret.is(json.decode(secret.new "42")))
end

T["an error in a secret document does not quote it"] = function()
  for _, bad in ipairs { '{"a": hunter2}', '{"hunter2":1,"hunter2":2}', '["hunter2', '["hunter2" "x"]', '"\\hunter2"', "hunter2" } do
    for _, body in ipairs { secret.new(bad), bad } do
      local err = refused(body, "line 1, column", { secrets = true })
      test.truthy(not err.message:find "hunter", err.message)
    end
  end
end

T["a large document comes and goes"] = function()
  local rows = {}
  for i = 1, 20000 do rows[i] = { id = i, name = "row " .. i, tags = { "a", "b" } } end
  local text = json.encode(rows)
  test.equal(json.decode(text)[20000], rows[20000])
  test.equal(json.encode(json.decode(text)), text)
end

T["the order of members is kept when it is asked for, new ones come after it, sorted"] = function()
  local object = json.decode('{"z":1,"a":{"y":2,"b":[{"q":1,"c":2}]},"m":null}', { ordered = true })
  test.equal(json.keys(object), { "z", "a", "m" })
  test.equal({ json.keys(object.a), json.keys(object.a.b[1]) }, { { "y", "b" }, { "q", "c" } })
  object.k, object.b, object.a = true, true, nil
  test.equal(json.keys(object), { "z", "m", "b", "k" })
  test.equal(json.keys(json.decode '{"z":1,"a":2}'), { "a", "z" })
  test.equal(require("yaml").encode(json.decode('{"z":1,"a":2}', { ordered = true })), "z: 1\na: 2\n")
end

return T
