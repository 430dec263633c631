--- How query, ec2 and rest-xml answers are read: one case per rule of the protocols.
local test = require "test"
local aws = require "aws"
local json = require "json"
local model = require "aws.model"
local reader = require "aws.reader"
local secret = require "secret"
local T = test.cases()

-- luacheck: no max line length
local SHAPES = [[
# Made by hand
m protocol query
m api_version 2020-01-01
o Wrapped POST / out=Out wrap=WrappedResult
o Plain POST / out=Out
o Nothing POST /
s Item struct | Key:string;wire=key Value:string;wire=value
s Items list | member:Item;wire=item
s Names list | member:string
s Numbers list | member:int
s Lists list | member:Names
s Dict map | key:string value:int
s Named map | key:string;wire=K value:Item;wire=V
s Grantee struct | Type:string;wire=xsi:type;attr Id:string
s Deep struct | Inner:Deep Name:string
s Choice struct union | First:string Second:Item
s Credentials struct secret | User:string Password:string
s Passwords list | member:string;secret
s Twins struct | Event:string;wire=Event Events:Names;flat;wire=Event
s Out struct | Text:string On:bool Count:long Ratio:double At:timestamp Data:blob Items:Items;wire=itemSet Names:Names Numbers:Numbers Lists:Lists Flat:Items;flat;wire=flat Words:Names;flat Dict:Dict FlatDict:Dict;flat Named:Named Grantee:Grantee Deep:Deep Choice:Choice Hidden:string;secret Credentials:Credentials;secret Passwords:Passwords Twins:Twins Low:string;low
]]

local function toys() return model.parse("toys", SHAPES) end

--- What the inner XML of an answer becomes.
local function read(inner, words)
  local m = toys()
  return reader.xml(m, words or "Out", '<?xml version="1.0"?><PlainResponse xmlns="http://toys/">' .. inner .. "</PlainResponse>")
end

T["text keeps its white space, entities, character references and CDATA; comments are not text"] = function()
  test.equal(read("<Text> a &amp; b&#233;\n</Text>").Text, " a & bé\n")
  test.equal(read("<Text>a<![CDATA[<b>]]>c<!-- no -->d<?no no?>e</Text>").Text, "a<b>cde")
  test.equal(read("<Text></Text>").Text, "")
  test.equal(read("<Text/>").Text, "")
  test.equal(read("").Text, nil)
  test.equal(read("<Text>a<Unknown>b</Unknown>c</Text>").Text, "a")
end

T["booleans are true or false"] = function()
  test.equal(read("<On>true</On>").On, true)
  test.equal(read("<On>false</On>").On, false)
end

T["integers keep their 64 bits, beyond that they are floats"] = function()
  test.equal(math.type(read("<Count>9223372036854775807</Count>").Count), "integer")
  test.equal(read("<Count>9223372036854775807</Count>").Count, math.maxinteger)
  test.equal(read("<Count> -9223372036854775808 </Count>").Count, math.mininteger)
  test.equal(read("<Count>9223372036854775808</Count>").Count, 2 ^ 63)
  test.equal(read("<Count/>").Count, nil)
end

T["floats may be no number or infinite"] = function()
  test.equal(read("<Ratio>1.5e3</Ratio>").Ratio, 1500.0)
  test.equal(read("<Ratio>Infinity</Ratio>").Ratio, math.huge)
  test.equal(read("<Ratio>-Infinity</Ratio>").Ratio, -math.huge)
  test.truthy(read("<Ratio>NaN</Ratio>").Ratio ~= read("<Ratio>NaN</Ratio>").Ratio)
end

T["times are read in every format; whole seconds are integers"] = function()
  for text, seconds in pairs {
    ["2026-01-31T08:00:00Z"] = 1769846400, ["2026-01-31T08:00:00.250Z"] = 1769846400.25, ["2026-01-31T09:00:00+01:00"] = 1769846400,
    ["1769846400"] = 1769846400, ["1769846400.5"] = 1769846400.5, ["Sat, 31 Jan 2026 08:00:00 GMT"] = 1769846400, ["2026-01-31"] = 1769817600,
    ["0001-01-01T00:00:00Z"] = -62135596800, ["Sat, 31 Jan 2026 08:00:00.5 GMT"] = 1769846400.5, ["1.769846400E9"] = 1769846400,
  } do
    local at = read("<At>" .. text .. "</At>").At
    test.equal(at, seconds, text)
    test.equal(math.type(at), math.type(seconds), text)
  end
end

T["bytes come in base64"] = function()
  test.equal(read("<Data>AP8=</Data>").Data, "\0\255")
  test.equal(read("<Data/>").Data, "")
end

T["a list that is empty is not one that is absent; every list has the mark"] = function()
  local r = read("<itemSet><item><key>k</key><value/></item></itemSet><Names/><Lists><member><member>a</member></member><member/></Lists>")
  test.equal(r.Items, { { Key = "k", Value = "" } })
  test.equal(r.Names, {})
  test.equal(r.Lists, { { "a" }, {} })
  test.equal(r.Numbers, nil)
  for _, list in ipairs { r.Items, r.Names, r.Lists, r.Lists[2] } do test.truthy(json.is_array(list)) end
end

T["items of a list may have any name"] = function()
  test.equal(read("<Names><member>a</member><item>b</item><x>c</x></Names>").Names, { "a", "b", "c" })
end

T["flattened lists have no element around them, and go on after other members"] = function()
  local r = read("<flat><key>1</key></flat><Text>t</Text><flat><key>2</key></flat><Words>a</Words><Words/>")
  test.equal(r.Words, { "a", "" })
  test.truthy(json.is_array(r.Words))
  test.equal(read("<item><key>1</key></item><Text>t</Text><item><key>2</key></item>").Flat, { { Key = "1" }, { Key = "2" } })
end

T["maps have entries with a key and a value, of other names too, or flattened"] = function()
  test.equal(read("<Dict><entry><key>a</key><value>1</value></entry><entry><value>2</value><key>b</key></entry></Dict>").Dict, { a = 1, b = 2 })
  test.equal(read("<FlatDict><key>a</key><value>1</value></FlatDict><FlatDict><key>b</key><value>2</value></FlatDict>").FlatDict, { a = 1, b = 2 })
  test.equal(read("<Named><entry><K>a</K><V><key>k</key></V></entry></Named>").Named, { a = { Key = "k" } })
  test.equal(read("<Dict/>").Dict, {})
end

T["attributes are members, whatever prefix the document chose"] = function()
  for _, prefix in ipairs { "xsi", "q" } do
    local r = read(('<Grantee xmlns:%s="http://www.w3.org/2001/XMLSchema-instance" %s:type="Group"><Id>i</Id></Grantee>'):format(prefix, prefix))
    test.equal(r.Grantee, { Type = "Group", Id = "i" })
  end
end

T["namespaces and prefixes of elements do not matter"] = function()
  test.equal(read('<t:Text xmlns:t="http://t/">a</t:Text><t:Names xmlns:t="http://t/"><t:member>b</t:member></t:Names>'), { Text = "a", Names = { "b" } })
end

T["unknown elements are passed over at any depth"] = function()
  test.equal(read("<New><Text>no</Text><New><Names><member>no</member></Names></New></New><Deep><New/><Name>n</Name></Deep><Text>t</Text>"),
    { Deep = { Name = "n" }, Text = "t" })
end

T["shapes may hold themselves"] = function()
  test.equal(read("<Deep><Inner><Inner><Name>x</Name></Inner></Inner></Deep>").Deep, { Inner = { Inner = { Name = "x" } } })
  test.equal(read("<Deep/>").Deep, {})
end

T["a union has its member; one that the model does not know is named as in boto3"] = function()
  test.equal(read("<Choice><First>f</First></Choice>").Choice, { First = "f" })
  test.equal(read("<Choice><Third><x/></Third></Choice>").Choice, { SDK_UNKNOWN_MEMBER = { name = "Third" } })
end

T["two members may share an element"] = function()
  test.equal(read("<Twins><Event>a</Event><Event>b</Event></Twins>").Twins, { Event = "b", Events = { "a", "b" } })
end

T["a long text is whole, wherever the document is cut into parts"] = function()
  local long = ("0123456789"):rep(20000)
  test.equal(read("<Text>" .. long .. "</Text><Words>" .. long .. "&lt;</Words>").Text, long)
  for n = 65400, 65560 do
    local r = read("<Text>" .. ("x"):rep(n) .. "</Text><Names><member>abc</member></Names>")
    test.equal({ #r.Text, r.Names[1] }, { n, "abc" })
  end
end

T["what is marked as sensitive is a secret, with all that is below it, and the items of a list"] = function()
  local r = read("<Hidden>h&amp;</Hidden><Credentials><User>u</User><Password>p</Password></Credentials><Passwords><member>m</member></Passwords>")
  test.truthy(secret.is(r.Hidden) and secret.equal(r.Hidden, "h&"))
  test.truthy(secret.is(r.Credentials.User) and secret.is(r.Credentials.Password))
  test.truthy(secret.is(r.Passwords[1]) and secret.equal(r.Passwords[1], "m"))
end

local function query(op, body)
  local m = toys()
  return reader.query(m, m.operations[op], body)
end

T["query: the result is inside its wrapper, the request id in the metadata"] = function()
  local r, id = query("Wrapped", "<WrappedResponse><WrappedResult><Text>t</Text></WrappedResult><ResponseMetadata><RequestId>i</RequestId></ResponseMetadata></WrappedResponse>")
  test.equal({ r, id }, { { Text = "t" }, "i" })
  r, id = query("Nothing", "<NothingResponse><ResponseMetadata><RequestId>i</RequestId></ResponseMetadata></NothingResponse>")
  test.equal({ r, id }, { {}, "i" })
end

T["ec2: the result is the root, the request id beside it"] = function()
  local r, id = query("Plain", "<PlainResponse><requestId>i</requestId><Text>t</Text></PlainResponse>")
  test.equal({ r, id }, { { Text = "t" }, "i" })
end

T["what is no answer of the operation is an error of the protocol"] = function()
  for body, message in pairs {
    [""] = "not usable XML", ["{}"] = "not usable XML", ["<WrappedResponse><WrappedResult>"] = "not usable XML at line 1",
    ["<html><body>Sign in</body></html>"] = "HTML", ["<X/>"] = "no <WrappedResult>", ["<ErrorResponse><Error/></ErrorResponse>"] = "is an error",
    ["<a>\255</a>"] = "not usable XML", ['<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'] = "entities are not accepted",
    ["<X><WrappedResult><Count>many</Count></WrappedResult></X>"] = 'Count is "many", not of type integer',
    ["<X><WrappedResult><Count>1.5</Count></WrappedResult></X>"] = "not of type integer", ["<X><WrappedResult><At>soon</At></WrappedResult></X>"] = "of type timestamp",
    ["<X><WrappedResult><Data>*</Data></WrappedResult></X>"] = "of type blob", [("<a>"):rep(10000) .. ("</a>"):rep(10000)] = "deeper than 256 levels",
  } do
    test.equal(test.raises(message, query, "Wrapped", body).kind, "protocol", body:sub(1, 60))
  end
end

T["an error names the operation and the request id"] = function()
  local ec2 = aws.client { service = "ec2", region = "us-east-1", credentials = { access_key_id = "a", secret_access_key = "b" } }
  local _, e = ec2:parse("describe_vpcs", { status = 200, headers = { ["x-amzn-RequestId"] = "id-1" }, body = "<DescribeVpcsResponse><vpcSet>" })
  test.equal({ e.kind, e.request_id }, { "protocol", "id-1" })
  test.match(tostring(e), "ec2%.DescribeVpcs")
end

return T
