--- How json and rest-json answers are read: one case per rule of the protocols.
local test = require "test"
local json = require "json"
local model = require "aws.model"
local reader = require "aws.reader"
local secret = require "secret"
local sign = require "sign"
local T = test.cases()

-- luacheck: no max line length
local SHAPES = [[
# Made by hand
m protocol rest-json
s Any struct document
s Item struct | Key:string;low
s Items list | member:Item
s Names list | member:string
s Numbers list | member:int
s Lists list | member:Names
s Dict map | key:string value:int
s Dicts map | key:string value:Item
s Deep struct | Inner:Deep Name:string
s Choice struct union | First:string Second:Item
s Credentials struct secret | User:string
s Out struct | Text:string On:bool Count:long Ratio:double At:timestamp Data:blob Items:Items Names:Names Numbers:Numbers Lists:Lists Dict:Dict Dicts:Dicts Deep:Deep Choice:Choice Any:Any Hidden:string;secret HiddenData:blob;secret Credentials:Credentials;secret Renamed:string;wire=other_name
]]

local function read(text) return reader.json(model.parse("toys", SHAPES), "Out", text) end

T["strings keep their white space; escapes and surrogate pairs are decoded"] = function()
  test.equal(read([[ {"Text" : " a\n\t\"\\\/\b\f\r\u00e9\ud83d\ude00é "} ]]).Text, " a\n\t\"\\/\b\f\ré😀é ")
  test.equal(read('{"Text":""}').Text, "")
  test.equal(read([[{"\u0054ext":"\u0000"}]]).Text, "\0")
end

T["null is nothing in a struct, and json.null in lists and maps, as in boto3"] = function()
  test.equal(read '{"Text":null,"Names":null,"Deep":null}', {})
  local r = read '{"Names":["a",null],"Items":[null],"Dict":{"a":null},"Dicts":{"b":null}}'
  test.equal({ r.Names[1], r.Names[2], r.Items[1], r.Dict.a, r.Dicts.b }, { "a", json.null, json.null, json.null, json.null })
end

T["integers keep their 64 bits, beyond that they are floats"] = function()
  test.equal(read('{"Count":9223372036854775807}').Count, math.maxinteger)
  test.equal(read('{"Count":-9223372036854775808}').Count, math.mininteger)
  test.equal(read('{"Count":9223372036854775808}').Count, 2 ^ 63)
  test.equal(math.type(read('{"Count":5.0}').Count), "integer")
  test.equal(read('{"Count":"17"}').Count, 17)
end

T["floats may be strings: no number, infinite"] = function()
  test.equal(read('{"Ratio":-1.5e-3}').Ratio, -0.0015)
  test.equal(read('{"Ratio":"Infinity"}').Ratio, math.huge)
  test.equal(read('{"Ratio":"-Infinity"}').Ratio, -math.huge)
  local r = read '{"Ratio":"NaN"}'
  test.truthy(r.Ratio ~= r.Ratio)
end

T["times are numbers or text in every format"] = function()
  for text, seconds in pairs {
    ["1769846400"] = 1769846400, ["1769846400.25"] = 1769846400.25, ["1.7698464E9"] = 1769846400, ['"2026-01-31T08:00:00Z"'] = 1769846400,
    ['"Sat, 31 Jan 2026 08:00:00 GMT"'] = 1769846400, ['"1769846400"'] = 1769846400, ["-1"] = -1, ["0"] = 0,
  } do
    local at = read('{"At":' .. text .. "}").At
    test.equal({ at, math.type(at) }, { seconds, math.type(seconds) }, text)
  end
end

T["booleans, bytes, lists, maps, structs"] = function()
  test.equal(read '{"On":true,"Data":"AP8=","Names":["a","b"],"Numbers":[1,2],"Lists":[["a"],[]],"Dict":{"x y":1},"Dicts":{"d":{"key":"k"}},"Deep":{"Inner":{"Inner":{"Name":"n"}}},"other_name":"o"}',
    { On = true, Data = "\0\255", Names = { "a", "b" }, Numbers = { 1, 2 }, Lists = { { "a" }, {} }, Dict = { ["x y"] = 1 },
      Dicts = { d = { Key = "k" } }, Deep = { Inner = { Inner = { Name = "n" } } }, Renamed = "o" })
  test.equal(read('{"On":false}').On, false)
end

T["a list that is empty is not one that is absent; every list has the mark"] = function()
  local r = read '{"Names":[],"Lists":[[]],"Items":[{}],"Dict":{}}'
  test.equal(r, { Names = {}, Lists = { {} }, Items = { {} }, Dict = {} })
  for _, list in ipairs { r.Names, r.Lists, r.Lists[1], r.Items } do test.truthy(json.is_array(list)) end
  test.truthy(not json.is_array(r.Dict))
end

T["documents are any JSON"] = function()
  local r = read '{"Any":{"a":[1,2.5,"x",true,null,{"b":[]}],"Text":"t"}}'
  test.equal(r.Any, { a = { 1, 2.5, "x", true, json.null, { b = {} } }, Text = "t" })
  test.truthy(json.is_array(r.Any.a) and json.is_array(r.Any.a[6].b))
  for text, value in pairs { ['"s"'] = "s", ["1"] = 1, ["false"] = false, ["[]"] = {} } do test.equal(read('{"Any":' .. text .. "}").Any, value) end
end

T["unknown members are passed over, whatever is in them; of two members of one name the last counts"] = function()
  test.equal(read '{"New":{"Text":"no","a":[[{"b":null}],-1.5e2,"\\u00e9",true,false]},"Text":"a","Deep":{"New":[],"Name":"n"},"Text":"b"}',
    { Text = "b", Deep = { Name = "n" } })
end

T["a union has its member; one that the model does not know is named as in boto3"] = function()
  test.equal(read('{"Choice":{"__type":"x","First":"f","Second":null}}').Choice, { First = "f" })
  test.equal(read('{"Choice":{"Third":{"x":1}}}').Choice, { SDK_UNKNOWN_MEMBER = { name = "Third" } })
  test.equal(read('{"Choice":{"Third":null}}').Choice, {})
end

T["what is marked as sensitive is a secret, with all that is below it"] = function()
  local r = read '{"Hidden":"h\\u0026","HiddenData":"aGk=","Credentials":{"User":"u"}}'
  test.truthy(secret.is(r.Hidden) and secret.equal(r.Hidden, "h&"))
  test.truthy(secret.is(r.HiddenData) and secret.equal(r.HiddenData, "hi"))
  test.truthy(secret.is(r.Credentials.User))
end

T["a secret that depends on its neighbours is found out wherever it stands"] = function()
  local ssm = model.load "ssm"
  local function value(text) return reader.json(ssm, "GetParameterResult", text).Parameter.Value end
  test.equal(value '{"Parameter":{"Value":"v","Type":"String"}}', "v")
  test.equal(value '{"Parameter":{"Type":"String","Value":"v"}}', "v")
  for _, text in ipairs { '{"Parameter":{"Value":"v","Type":"SecureString"}}', '{"Parameter":{"Type":"SecureString","Value":"v"}}', '{"Parameter":{"Value":"v"}}' } do
    test.truthy(secret.is(value(text)) and secret.equal(value(text), "v"), text)
  end
end

T["what is no JSON of the shape is an error of the protocol, with its place"] = function()
  for body, message in pairs {
    ["<html>"] = "line 1, column 1: not a value", ['{"Text":"a'] = "cut off", ['{"Text":"a"'] = "cut off", ["{"] = "no name", ['{"Text"}'] = "colon",
    ['{\n "Text":"a" "On":true}'] = "line 2, column 13: a comma", ['{"Text":"\255"}'] = "not UTF%-8", ['{"Text":"\\x"}'] = "escape", ['{"Text":"\\ud800"}'] = "surrogate",
    ['{"New":"\\u12g4"}'] = "hexadecimal", ['{"Text":"a\nb"}'] = "control character", ['{"Count":01}'] = "not a number", ['{"Count":1.}'] = "not a number",
    ['{"New":-}'] = "not a number", ["{}x"] = "follows", ["null"] = "is null", ["[]"] = "is a list, not of type struct", ['"x"'] = "is a string",
    ['{"Text":1}'] = "Text is a number, not of type string", ['{"Deep":1}'] = "Deep is a number, not of type struct", ['{"Names":"x"}'] = "Names is a string",
    ['{"Names":{"a":1}}'] = "Names is an object", ['{"Dict":[1]}'] = "Dict is a list", ['{"On":"yes"}'] = "On is a string", ['{"Count":"many"}'] = 'Count is "many"',
    ['{"At":"soon"}'] = "of type timestamp", ['{"Data":"*"}'] = "of type blob", ['{"Text":true}'] = "is a boolean", ['{"Deep":' .. ("["):rep(10000)] = "is a list",
    ['{"New":' .. ("["):rep(10000)] = "deeper than 256 levels", [('{"Deep":'):rep(1)  .. ('{"Inner":'):rep(10000)] = "deeper", ['{"Hidden":1}'] = "Hidden is a number",
  } do
    test.equal(test.raises(message, read, body).kind, "protocol", body:sub(1, 60))
  end
end

T["headers are lists, times, JSON, prefixes; the status is a member"] = function()
  local m = model.parse("toys", [[
# Made by hand
m protocol rest-json
o Get GET / out=Out
s Names list | member:string
s Times list | member:timestamp
s Numbers list | member:int
s Meta map | key:string value:string
s Out struct | Names:Names;header=X-Names Times:Times;header=X-Times Numbers:Numbers;header=X-Numbers At:timestamp;header=X-At Any:string;header=X-Any;json On:bool;header=X-On Meta:Meta;headers=X-Meta- Code:int;statusCode=Code Text:string
]])
  local result = require("aws.protocol.rest_json").result
  local r = result(m, m.operations.Get, { status = 202, body = '{"Text":"t"}', spelling = { ["x-meta-one"] = "X-Meta-One" }, headers = {
    ["x-names"] = 'a, "b,c" ,d', ["x-times"] = "Sat, 31 Jan 2026 08:00:00 GMT, Thu, 01 Jan 1970 00:00:01 GMT", ["x-numbers"] = "1, 2",
    ["x-at"] = "Sat, 31 Jan 2026 08:00:00 GMT", ["x-any"] = sign.base64 '{"a":[1]}', ["x-on"] = "true", ["x-meta-one"] = "1" } })
  test.equal(r, { Names = { "a", "b,c", "d" }, Times = { 1769846400, 1 }, Numbers = { 1, 2 }, At = 1769846400, Any = { a = { 1 } }, On = true,
                  Meta = { One = "1" }, Code = 202, Text = "t" })
  test.truthy(json.is_array(r.Names) and json.is_array(r.Times))
  test.equal(result(m, m.operations.Get, { status = 200, body = "", headers = {} }), { Meta = {}, Code = 200 })
end

return T
