--- Each protocol's rules, both ways, on small models written here.
local test = require "test"
local arguments = require "aws.arguments"
local errors = require "errors"
local json = require "json"
local model = require "aws.model"
local secret = require "secret"
local shape = require "aws.shape"
local timestamp = require "aws.timestamp"
local T = test.cases()

-- luacheck: no max line length
local SHAPES = [[
s Entry struct | Key!:string;low Value:string;low
s Entries list | member:Entry;wire=item
s Names list | member:string
s Numbers list | member:int;wire=N
s Flat list | member:string;wire=Flat.One
s Dict map | key:string value:int
s Colour string enum=red,green
s Deep struct | Inner:Deep Names:Names Secret:string;secret
s In struct | Name!:string Filters:Entries;wire=Filter Names:Names Numbers:Numbers Flat:Flat;flat Dict:Dict On:bool At:timestamp Data:blob Ratio:double Colour:Colour Deep:Deep Count:long Token:string;token
s Out struct | Name:string Filters:Entries;wire=filterSet Names:Names Flat:Flat;flat Dict:Dict On:bool At:timestamp Data:blob Ratio:double Deep:Deep Count:long Password:string;secret
s Gone struct error code=Gone.Code status=404 sender |
]]

local function made(protocol, more)
  return model.parse("toys", ([[
# Made by hand
m protocol %s
m api_version 2020-01-01
m endpoint_prefix toys
m service_id Toys
m json_version 1.1
m target_prefix Toys
%so Do POST / in=In out=Out wrap=DoResult
o Nothing POST /
]]):format(protocol, more or "") .. SHAPES)
end

local function request(protocol, args)
  local m = made(protocol)
  arguments.check(m, m.operations.Do, args)
  return require("aws.protocol." .. protocol:gsub("-", "_")).request(m, m.operations.Do, args)
end

local function result(protocol, body, headers)
  local m = made(protocol)
  return require("aws.protocol." .. protocol:gsub("-", "_")).result(m, m.operations.Do, { status = 200, headers = headers or {}, body = body })
end

local HEAD = "Action=Do&Version=2020-01-01&"

T["query: lists have member or their own name, empty lists are sent, maps have entries"] = function()
  test.equal(request("query", { Name = "a b&c", Filters = { { Key = "k", Value = "v" } }, Names = { "x", "y" }, Numbers = { 7 } }).body,
    HEAD .. "Name=a%20b%26c&Filter.item.1.key=k&Filter.item.1.value=v&Names.member.1=x&Names.member.2=y&Numbers.N.1=7")
  test.equal(request("query", { Name = "", Names = {} }).body, HEAD .. "Name=&Names=")
  test.equal(request("query", { Name = "n", Dict = { b = 2, a = 1 } }).body,
    HEAD .. "Name=n&Dict.entry.1.key=a&Dict.entry.1.value=1&Dict.entry.2.key=b&Dict.entry.2.value=2")
  test.equal(request("query", { Name = "n", Flat = { "one" } }).body, HEAD .. "Name=n&Flat.One.1=one")
end

T["query: scalars are written as AWS reads them"] = function()
  test.equal(request("query", { Name = "n", On = false, At = 1769846400, Data = "\0\255", Ratio = 0.5, Count = 9007199254740993 }).body,
    HEAD .. "Name=n&On=false&At=2026-01-31T08%3A00%3A00Z&Data=AP8%3D&Ratio=0.5&Count=9007199254740993")
end

T["ec2: lists are flat, names start with a capital, empty lists are left out"] = function()
  test.equal(request("ec2", { Name = "n", Filters = { { Key = "k" } }, Names = {}, Numbers = { 1, 2 } }).body,
    HEAD .. "Name=n&Filter.1.Key=k&Numbers.1=1&Numbers.2=2")
end

T["json: target, version, numbers for times, base64 for bytes, arrays that stay arrays"] = function()
  local r = request("json", { Name = "n", Names = {}, At = 1.5, Data = "hi", Dict = { a = 1 }, Filters = { { Key = "k" } } })
  test.equal(r.headers, { ["Content-Type"] = "application/x-amz-json-1.1", ["X-Amz-Target"] = "Toys.Do" })
  test.equal(r.body, '{"At":1.5,"Data":"aGk=","Dict":{"a":1},"Filter":[{"key":"k"}],"Name":"n","Names":[]}')
end

T["a secret makes the body a secret, and nothing else does"] = function()
  for _, protocol in ipairs { "query", "ec2", "json", "rest-json", "rest-xml" } do
    local hidden = request(protocol, { Name = secret.new "p&<w", Names = { "x" } }).body
    test.truthy(secret.is(hidden), protocol)
    test.equal(hidden, hidden)
    local plain = request(protocol, { Name = "p&<w", Names = { "x" } }).body
    test.equal(type(plain), "string")
    test.truthy(secret.equal(hidden, plain), protocol .. ": the same bytes")
  end
end

local XML = [[<?xml version="1.0"?><DoResponse xmlns="http://toys/"><%s><Name> a &amp; b</Name><filterSet><item><key>k</key><value/></item></filterSet>
<Names><member>x</member><member>y</member></Names><Flat.One>1</Flat.One><Flat.One>2</Flat.One>
<Dict><entry><key>a</key><value>1</value></entry></Dict><On>true</On><At>2026-01-31T08:00:00.250Z</At><Data>AP8=</Data>
<Ratio>NaN</Ratio><Deep><Inner><Names/></Inner></Deep><Count>9007199254740993</Count><Unknown><x/></Unknown></%s>
<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></DoResponse>]]

T["query: an answer is read by the model"] = function()
  local r, id = result("query", XML:format("DoResult", "DoResult"))
  test.equal(id, "id-1")
  test.truthy(r.Ratio ~= r.Ratio, "NaN")
  r.Ratio = nil
  test.equal(r, { Name = " a & b", Filters = { { Key = "k", Value = "" } }, Names = { "x", "y" }, Flat = { "1", "2" }, Dict = { a = 1 },
    On = true, At = 1769846400.25, Data = "\0\255", Deep = { Inner = { Names = {} } }, Count = 9007199254740993 })
end

T["what the model marks as sensitive comes back as a secret, in every protocol"] = function()
  local xml = "<R><DoResult><Password>pw</Password><Deep><Secret>s</Secret></Deep></DoResult></R>"
  local doc = '{"Password":"pw","Deep":{"Secret":"s"}}'
  for protocol, body in pairs { query = xml, json = doc, ["rest-json"] = doc, ["rest-xml"] = "<R><Password>pw</Password><Deep><Secret>s</Secret></Deep></R>" } do
    local r = result(protocol, body)
    test.truthy(secret.is(r.Password) and secret.equal(r.Password, "pw"), protocol)
    test.truthy(secret.is(r.Deep.Secret), protocol)
  end
end

T["json: an answer is read by the model, unknown members are left out, null is nothing but in lists and maps"] = function()
  test.equal(result("json", '{"Name":"n","Filters":1,"filterSet":[{"key":"k"}],"Dict":{"a":1,"b":null},"On":null,"At":1769846400,"Data":"aGk=","Count":3,"New":{}}'),
    { Name = "n", Filters = { { Key = "k" } }, Dict = { a = 1, b = json.null }, At = 1769846400, Data = "hi", Count = 3 })
  test.equal(result("json", ""), {})
end

T["an answer of the wrong kind is an error of the protocol, not a crash"] = function()
  for protocol, bodies in pairs {
    json = { '{"Name":1}', '{"Names":"x"}', '{"At":"soon"}', '{"Name":"n"', "[1]x", '{"Count":"many"}', '{"Data":"***"}' },
    query = { "<R><DoResult><Count>many</Count></DoResult></R>", "<R><DoResult>", "not xml", "", "<R><DoResult><At>soon</At></DoResult></R>" },
  } do
    for _, body in ipairs(bodies) do
      local ok, e = pcall(result, protocol, body)
      test.truthy(not ok and errors.is(e) and e.kind ~= "bug", protocol .. " " .. body)
    end
  end
end

T["error answers: code, message, request id in every protocol's form"] = function()
  local function read(protocol, body, headers, more)
    return require("aws.protocol." .. protocol).error(made(protocol:gsub("_", "-"), more), { status = 400, headers = headers or {}, body = body })
  end
  local e = read("query", "<ErrorResponse><Error><Type>Sender</Type><Code>Gone.Code</Code><Message>m</Message></Error><RequestId>r</RequestId></ErrorResponse>")
  test.equal({ e.code, e.message, e.request_id }, { "Gone.Code", "m", "r" })
  e = read("ec2", "<Response><Errors><Error><Code>InvalidVpcID.NotFound</Code><Message>m</Message></Error></Errors><RequestID>r</RequestID></Response>")
  test.equal({ e.code, e.message, e.request_id }, { "InvalidVpcID.NotFound", "m", "r" })
  e = read("rest_xml", "<Error><Code>NoSuchKey</Code><Message>m</Message><RequestId>r</RequestId></Error>")
  test.equal({ e.code, e.message, e.request_id }, { "NoSuchKey", "m", "r" })
  test.equal(read("json", '{"__type":"com.amazon#Gone","Message":"m"}').code, "Gone")
  test.equal(read("rest_json", '{"message":"m"}', { ["x-amzn-errortype"] = "Gone:http://x/" }).code, "Gone")
  test.equal(read("json", '{"__type":"x#GoneException"}', { ["x-amzn-query-error"] = "Gone.Code;Sender" }, "m aws_query_compatible true\n").code, "Gone.Code")
  test.equal(read("query", "<!DOCTYPE html><html><body>500</body></html>"), nil)
  test.equal(read("query", ""), nil)
  test.equal(read("json", "<html>").code, nil)
end

local REST = [[
# Made by hand
m protocol %s
m endpoint_prefix toys
m service_id Toys
o Put PUT /{Box}/{Path+}?fixed&x-id=Put in=PutIn out=PutOut
o Send POST /send in=SendIn
o Get GET /{Box} in=GetIn
s Strings list | member:string
s Times list | member:timestamp
s Meta map | key:string value:string
s Query map | key:string value:Strings
s Config struct | Rule:string;wire=rule Kind:string;wire=x:kind;attr Tags:Strings;flat
s PutIn struct payload=Body | Box!:string;uri=Box Path!:string;uri=Path Body:blob;stream Ids:Strings;querystring=id Since:timestamp;querystring=since More:Query;querystring=More On:bool;header=x-on At:timestamp;header=x-at List:Strings;header=x-list Meta:Meta;headers=x-meta- Size:long;header=x-size
s PutOut struct payload=Body | Body:blob;stream On:bool;header=x-on At:timestamp;header=x-at Times:Times;header=x-times List:Strings;header=x-list Meta:Meta;headers=x-meta- Code:int;statusCode=Code Size:long;header=x-size
s SendIn struct payload=Config | Config:Config;wire=Conf;ns=http://toys/ Id:string;header=x-id
s GetIn struct | Box!:string;uri=Box
]]

T["rest: members go where the model says"] = function()
  local m = model.parse("toys", REST:format "rest-xml")
  local r = require("aws.protocol.rest_xml").request(m, m.operations.Put, {
    Box = "a/b", Path = "x y/é+", Body = "bytes", Ids = { "1", "2" }, Since = 0, More = { q = { "v" } }, On = true, At = 1769846400,
    List = { "a,b", 'c"d', "e" }, Meta = { One = "1" }, Size = 5 })
  test.equal({ r.method, r.path, r.body }, { "PUT", "/a%2Fb/x%20y/%C3%A9%2B", "bytes" })
  test.equal(r.query, { { "fixed" }, { "x-id", "Put" }, { "id", "1" }, { "id", "2" }, { "since", "1970-01-01T00:00:00Z" }, { "q", "v" } })
  test.equal(r.headers, { ["x-on"] = "true", ["x-at"] = "Sat, 31 Jan 2026 08:00:00 GMT", ["x-list"] = '"a,b","c\\"d",e', ["x-meta-One"] = "1",
                          ["x-size"] = "5", ["Content-Type"] = "application/octet-stream" })
end

T["rest: an answer's headers, status and body come back"] = function()
  local m = model.parse("toys", REST:format "rest-json")
  local r = require("aws.protocol.rest_json").result(m, m.operations.Put, { status = 206, body = "bytes", headers = {
    ["x-on"] = "true", ["x-at"] = "Sat, 31 Jan 2026 08:00:00 GMT", ["x-list"] = '"a,b", c', ["x-meta-one"] = "1", ["x-size"] = "5",
    ["x-times"] = "Sat, 31 Jan 2026 08:00:00 GMT, Thu, 01 Jan 1970 00:00:01 GMT" } })
  test.equal(r, { Body = "bytes", On = true, At = 1769846400, List = { "a,b", "c" }, Meta = { one = "1" }, Code = 206, Size = 5,
                  Times = { 1769846400, 1 } })
end

T["rest: a struct that is the payload is the body, without a body member there is none"] = function()
  local m = model.parse("toys", REST:format "rest-xml")
  local rest_xml, rest_json = require "aws.protocol.rest_xml", require "aws.protocol.rest_json"
  local args = { Config = { Rule = "a<b", Kind = 'k"', Tags = { "1", "2" } }, Id = "i" }
  test.equal(rest_xml.request(m, m.operations.Send, args).body,
    '<Conf xmlns="http://toys/" x:kind="k&quot;"><rule>a&lt;b</rule><Tags>1</Tags><Tags>2</Tags></Conf>')
  test.equal(rest_json.request(m, m.operations.Send, args).body, '{"Tags":["1","2"],"rule":"a<b","x:kind":"k\\""}')
  test.equal(rest_xml.request(m, m.operations.Send, {}).body, "")
  test.equal(rest_json.request(m, m.operations.Send, {}).body, "{}")
  test.equal(rest_xml.request(m, m.operations.Get, { Box = "b" }).body, "")
end

T["arguments are refused before anything is sent, by their path"] = function()
  local m = made "query"
  local unknown = setmetatable({}, { __hkrun_unknown = true })
  for message, args in pairs {
    ["toys:do has no parameter Filter %(did you mean Filters%?%)"] = { Name = "n", Filter = {} },
    ["Filters%[2%]%.Value must be a string, not a number"] = { Name = "n", Filters = { { Key = "k" }, { Key = "k", Value = 1 } } },
    ["Filters%[1%]%.Key is missing"] = { Name = "n", Filters = { {} } },
    ["the parameter Name is missing"] = {},
    ["Names must be a list, not a string"] = { Name = "n", Names = "x" },
    ["Names%[2%] must be a string, not a boolean"] = { Name = "n", Names = { "x", true } },
    ["Dict%[\"a\"%] must be a whole number, not a string"] = { Name = "n", Dict = { a = "1" } },
    ["Colour cannot be \"gren\" %(did you mean green%?%)"] = { Name = "n", Colour = "gren" },
    ["Colour cannot be \"unheard%-of\", it is one of red, green"] = { Name = "n", Colour = "unheard-of" },
    ["Count must be a whole number, not a number"] = { Name = "n", Count = 1.5 },
    ["At must be a time"] = { Name = "n", At = "tomorrow" },
    ["On must be true or false, not a string"] = { Name = "n", On = "true" },
    ["Count must be a whole number, not a secret"] = { Name = "n", Count = secret.new "1" },
    ["Name must be a string, not a value that is known after apply"] = { Name = unknown },
    ["Deep%.Inner%.Names%[1%] must be a string"] = { Name = "n", Deep = { Inner = { Names = { 1 } } } },
    ["the argument must be a table with names"] = { "n" },
  } do
    local e = test.raises(message, arguments.check, m, m.operations.Do, args)
    test.equal(e.kind, "usage")
  end
  test.raises("takes no parameters, Name was given", arguments.check, m, m.operations.Nothing, { Name = "n" })
  arguments.check(m, m.operations.Do, { Name = "n", Count = 2.0, At = "2026-01-31", Data = secret.new "x", Filters = {} })
end

T["tokens are filled once, and not over the caller's"] = function()
  local m = made "query"
  local given = { Name = "n" }
  test.match(shape.with_tokens(m, m.operations.Do, given).Token, "^%x+%-%x+%-4%x+%-%x+%-%x+$")
  test.equal(given.Token, nil)
  test.equal(shape.with_tokens(m, m.operations.Do, { Token = "mine" }).Token, "mine")
end

T["times are read in every form and written back"] = function()
  for text, seconds in pairs {
    ["2026-01-31T08:00:00Z"] = 1769846400, ["2026-01-31T08:00:00.250Z"] = 1769846400.25, ["2026-01-31T09:00:00+01:00"] = 1769846400,
    ["Sat, 31 Jan 2026 08:00:00 GMT"] = 1769846400, ["1769846400"] = 1769846400, ["2024-02-29"] = 1709164800, ["1.769846400E9"] = 1769846400,
    ["1969-12-31T23:59:59Z"] = -1,
  } do test.equal(timestamp.parse(text), seconds, text) end
  for _, text in ipairs { "", "soon", "2026-13-01", "2026-01-31T", "2026-01-31T08:00:00X" } do test.equal(timestamp.parse(text), nil, text) end
  for seconds = -5e9, 5e9, 86399 * 997 do
    test.equal(timestamp.parse(timestamp.iso8601(seconds)), seconds)
    test.equal(timestamp.parse(timestamp.rfc822(seconds)), seconds)
  end
end

T["secret bytes are decoded"] = function()
  local m = model.load "secretsmanager"
  local body = '{"SecretString":"s","SecretBinary":"aGk="}'
  local r = require("aws.protocol.json").result(m, m.operations.GetSecretValue, { status = 200, headers = {}, body = body })
  test.truthy(secret.is(r.SecretBinary) and secret.equal(r.SecretBinary, "hi"))
end

T["the reviewed table names members that there are, and none that the model marks already"] = function()
  local sensitive, count = require "aws.sensitive", 0
  for name, rule in pairs(sensitive.reviewed) do
    local service, shape_name, member = name:match "^([^.]+)%.([^.]+)%.([^.]+)$"
    local m = model.load(service)
    local found = m.shape(shape_name).by_name[member]
    test.truthy(found, name)
    if rule == true then
      test.equal({ name, sensitive.is_marked(service, found), sensitive.hides(service, m.shape(shape_name), found, {}) }, { name, false, true })
      count = count + 1
    end
  end
  test.truthy(count > 80, "members")
  local lightsail = model.load "lightsail"
  local r = require("aws.protocol.json").result(lightsail, lightsail.operations.DownloadDefaultKeyPair,
    { status = 200, headers = {}, body = '{"publicKeyBase64":"p","privateKeyBase64":"k"}' })
  test.equal({ r.publicKeyBase64, secret.is(r.privateKeyBase64) }, { "p", true })
end

T["a sensitive value that everyone may see stays plain, by the reviewed rules"] = function()
  local function parse(service, operation, body)
    local m = model.load(service)
    return require("aws.protocol." .. m.meta.protocol).result(m, m.operations[operation], { status = 200, headers = {}, body = body })
  end
  local plain = parse("ssm", "GetParameter", json.encode { Parameter = { Type = "String", Value = "ami-1" } })
  test.equal(plain.Parameter.Value, "ami-1")
  test.truthy(secret.is(parse("ssm", "GetParameter", json.encode { Parameter = { Type = "SecureString", Value = "x" } }).Parameter.Value))
  local function option(namespace)
    return parse("elasticbeanstalk", "DescribeConfigurationSettings", ([[<R><DescribeConfigurationSettingsResult><ConfigurationSettings><member>
      <OptionSettings><member><Value>v</Value><Namespace>%s</Namespace></member></OptionSettings></member></ConfigurationSettings>
      </DescribeConfigurationSettingsResult></R>]]):format(namespace)).ConfigurationSettings[1].OptionSettings[1].Value
  end
  test.equal(option "aws:autoscaling:asg", "v")
  test.truthy(secret.is(option "aws:elasticbeanstalk:application:environment"))
  local tasks = parse("ecs", "RunTask", json.encode { tasks = { { attachments = { { details = { { name = "subnetId", value = "subnet-1" } } } },
    overrides = { containerOverrides = { { environment = { { name = "TOKEN", value = "t" } } } } } } } }).tasks[1]
  test.equal(tasks.attachments[1].details[1].value, "subnet-1")
  local variable = tasks.overrides.containerOverrides[1].environment[1]
  test.equal({ variable.name, secret.is(variable.value) }, { "TOKEN", true })
  local token = parse("sts", "AssumeRole", "<R><AssumeRoleResult><Credentials><SessionToken>t</SessionToken></Credentials></AssumeRoleResult></R>")
  test.truthy(secret.is(token.Credentials.SessionToken))
end

return T
