--- From botocore's service-2.json to the text of a model, and the models that are read at run time.
local test = require "test"
local aws = require "aws"
local convert = require "aws.model.convert"
local fs = require "fs"
local json = require "json"
local model = require "aws.model"
local zip = require "zip"
local T = test.cases()

-- luacheck: no max line length

--- The lines of the text of a model that has these operations and shapes, by the letter and the name they begin with.
local function lines(service, more)
  service.metadata = service.metadata or { protocol = "query", apiVersion = "2020-01-01" }
  service.operations, service.shapes = service.operations or {}, service.shapes or {}
  local parts = { service = service, paginators = more and more.paginators, waiters = more and more.waiters }
  local found = {}
  for line in convert.text(parts, "toys.json", "here"):gmatch "[^\n]+" do
    found[line:match "^%l %S+" or "#"] = line
  end
  return found
end

local function shapes(list) return lines { shapes = list } end

T["the facts of a service: botocore's order of protocols, keys as ours, signatures in their order"] = function()
  local found = lines { metadata = { protocol = "query", protocols = { "smithy-rpc-v2-cbor", "query", "json" }, serviceId = "Toy Box",
    jsonVersion = "1.0", targetPrefix = "Toys", awsQueryCompatible = {}, auth = { "aws.auth#sigv4a", "aws.auth#sigv4" } } }
  test.equal(found, { ["#"] = "# here", ["m protocol"] = "m protocol json", ["m service_id"] = "m service_id Toy Box",
    ["m json_version"] = "m json_version 1.0", ["m target_prefix"] = "m target_prefix Toys",
    ["m aws_query_compatible"] = "m aws_query_compatible true", ["m auth"] = "m auth v4a,v4" })
  test.equal(lines { metadata = { protocols = { "ec2", "query", "smithy-rpc-v2-cbor" } } }["m protocol"], "m protocol smithy-rpc-v2-cbor")
end

T["an operation: names that begin like it, and all its traits"] = function()
  local found = lines {
    operations = {
      Do = { http = { method = "PUT", requestUri = "/{Box}/x y", responseCode = 201 }, authtype = "none", readonly = true, idempotent = true,
        input = { shape = "DoRequest", locationName = "Root", xmlNamespace = { uri = "http://x/" } }, endpoint = { hostPrefix = "{Box}." },
        output = { shape = "Out", resultWrapper = "DoResult" }, requestcompression = { encodings = { "gzip" } },
        httpChecksum = { requestAlgorithmMember = "Sum", requestChecksumRequired = true, responseAlgorithms = { "CRC32", "SHA1" } } },
      Sent = { unsignedPayload = true, authtype = "v4-unsigned-body", httpChecksumRequired = true, http = { responseCode = 200 } },
      Free = { auth = { "smithy.api#noAuth" } },
    },
    shapes = { DoRequest = { type = "structure", members = {} }, Out = { type = "structure" } },
  }
  test.equal(found["o Do"], "o Do PUT /{Box}/x%20y in=~Request out=Out wrap=DoResult root=Root ns=http://x/ status=201 auth=none " ..
    "idempotent readonly host={Box}. sum=Sum sum_required sum_answer=CRC32,SHA1 compress=gzip")
  test.equal(found["o Sent"], "o Sent POST / auth=v4 unsigned md5_required")
  test.equal(found["o Free"], "o Free POST / auth=none")
end

T["what more than half of the operations answer is said once"] = function()
  local function op(...)
    local errors = {}
    for i, name in ipairs { ... } do errors[i] = { shape = name } end
    return { errors = errors }
  end
  local service = { metadata = { protocol = "query" }, shapes = {}, operations = { A = op("X", "Z"), B = op("X", "Y"), C = op("Y"), D = op "X" } }
  local found = lines(service)
  test.equal({ found["m errors"], found["o A"], found["o B"], found["o C"], found["o D"] },
    { "m errors X", "o A POST / errors=Z", "o B POST / errors=Y", "o C POST / errors=Y,-X", "o D POST /" })
  local toys = model.open(service)
  test.equal({ toys.operations.A.errors, toys.operations.C.errors, toys.operations.D.errors }, { { "X", "Z" }, { "Y" }, { "X" } })
end

T["members: order, required, wire names, places, marks; a shape's own place is written at each use"] = function()
  local service = json.decode([[{"metadata":{"protocol":"rest-xml"},"operations":{},"shapes":{
    "In":{"type":"structure","required":["Zeta"],"payload":"Body","members":{
      "Zeta":{"shape":"Text"},"Alpha":{"shape":"Text","locationName":"alpha"},"Tags":{"shape":"Tags","locationName":"Tag"},
      "Key":{"shape":"Text","location":"uri","locationName":"Key"},"At":{"shape":"Time","location":"header","locationName":"x-at"},
      "Meta":{"shape":"Meta","location":"headers","locationName":"x-"},"Token":{"shape":"Text","idempotencyToken":true,"queryName":"T"},
      "Pass":{"shape":"Pass"},"Body":{"shape":"Body"},"Kind":{"shape":"Text","xmlAttribute":true,"locationName":"x:kind"},
      "Json":{"shape":"Text","jsonvalue":true},"Host":{"shape":"Text","hostLabel":true},
      "Node":{"shape":"In","xmlNamespace":{"prefix":"p","uri":"http://n/"}}}},
    "Text":{"type":"string"},"Time":{"type":"timestamp","timestampFormat":"iso8601"},"Pass":{"type":"string","sensitive":true},
    "Body":{"type":"blob","streaming":true},"Meta":{"type":"map","key":{"shape":"Text"},"value":{"shape":"Text"}},
    "Tags":{"type":"list","flattened":true,"member":{"shape":"Text","locationName":"Tag"}}}}]], { ordered = true })
  local found = lines(service)
  test.equal(found["s In"], "s In payload=Body | Zeta!:s Alpha:s;low Tags;wire=Tag;flat Key:s;uri At:Time;header=x-at;time=iso8601 Meta;headers=x- " ..
    "Token:s;query=T;token Pass;secret Body;stream Kind:s;wire=x:kind;attr Json:s;json Host:s;host Node:In;ns=http://n/;prefix=p")
  test.equal(found["s Meta"], "s Meta map | key:s value:s")
  test.equal(found["s Tags"], "s Tags list | member:s;wire=Tag")
  local read = model.open(service).shape "In"
  test.equal({ read.members[1].name, read.members[2].wire, read.by_name.Key.wire, read.by_name.Tags.shape, read.by_name.At.timestamp_format },
    { "Zeta", "alpha", nil, "Tags", "iso8601" })
end

T["without an order of its own, members are sorted"] = function()
  local found = shapes { S = { type = "structure", members = { b = { shape = "T" }, a = { shape = "T" } } }, T = { type = "string" } }
  test.equal(found["s S"], "s S | a:s b:s")
end

T["shapes: kinds, enums, sizes, errors, unions, documents; what is only a type and a size has no line"] = function()
  local found = shapes {
    Colour = { type = "string", enum = { "red", "light blue", "a,b", "" } }, Name = { type = "string", min = 1, max = 64 },
    Few = { type = "integer", min = -1.0 }, Ratio = { type = "double", max = 1.5 }, Names = { type = "list", member = { shape = "Name" }, max = 5 },
    Nested = { type = "list", member = { shape = "Names" } }, Loop = { type = "list", member = { shape = "Loop" } },
    Wired = { type = "list", member = { shape = "Name", locationName = "item" } }, Secret = { type = "string", sensitive = true },
    Secrets = { type = "list", member = { shape = "Secret" } }, string = { type = "string", enum = { "x" } }, s = { type = "structure" },
    Gone = { type = "structure", exception = true, fault = true, error = { code = "Toy.Gone", httpStatusCode = 404, senderFault = true } },
    Any = { type = "structure", document = true }, One = { type = "structure", union = true, members = { A = { shape = "Few" }, B = { shape = "s" } } },
    Events = { type = "structure", eventstream = true, members = { E = { shape = "Event", eventpayload = true } } },
    Event = { type = "structure", event = true, members = { H = { shape = "Name", eventheader = true }, N = { shape = "Names" } } },
  }
  test.equal(found, { ["#"] = "# here", ["m protocol"] = "m protocol query", ["m api_version"] = "m api_version 2020-01-01",
    ["s Colour"] = "s Colour string enum=red,light%20blue,a%2Cb,%", ["s Nested"] = "s Nested list | member:[s1~64]~5",
    ["s Loop"] = "s Loop list | member:Loop", ["s Wired"] = "s Wired list | member:s1~64;wire=item", ["s Secret"] = "s Secret string secret",
    ["s Secrets"] = "s Secrets list | member:Secret;secret", ["s string_"] = "s string_ string enum=x", ["s s_"] = "s s_ |",
    ["s Gone"] = "s Gone error code=Toy.Gone status=404 sender fault |", ["s Any"] = "s Any document |",
    ["s One"] = "s One union | A:i-1~ B:s_", ["s Events"] = "s Events eventstream | E:Event;eventpayload",
    ["s Event"] = "s Event | H:s1~64;eventheader N:[s1~64]~5" })
end

T["shapes that have no line are read from their names"] = function()
  local toys = model.parse("toys", "# by hand\nm protocol query\ns In | A:s1~64 B:[i]2~5 C:[Tag] D:y E:d-1.5~ F:string\ns Tag | K:s\n")
  local of = toys.shape("In").by_name
  test.equal(toys.shape(of.A.shape), { name = "string1~64", type = "string", min = 1, max = 64 })
  test.equal(toys.shape(of.B.shape), { name = "[int]2~5", type = "list", min = 2, max = 5, member = { name = "member", shape = "int" } })
  test.equal(toys.shape(of.C.shape).member.shape, "Tag")
  test.equal({ of.D.shape, toys.shape(of.E.shape).min, toys.shape(of.F.shape) }, { "blob", -1.5, { name = "string", type = "string" } })
  test.raises("no shape stringy", toys.shape, "stringy")
  test.raises("no shape %[x", toys.shape, "[x")
end

T["paginators and waiters keep lists, limits and what is expected as it is"] = function()
  local found = lines({}, {
    paginators = { pagination = { List = { input_token = { "A", "B" }, output_token = "N || M", limit_key = "Max", more_results = "Is", result_key = "R" } } },
    waiters = { waiters = { Ready = { operation = "List", delay = 5, maxAttempts = 9, acceptors = {
      { state = "success", matcher = "pathAll", argument = "R[].S", expected = "up now" }, { state = "retry", matcher = "error", expected = true },
      { state = "failure", matcher = "status", expected = 404 } } } } } })
  test.equal(found["p List"], "p List in=A,B out=N%20%7C%7C%20M limit=Max more=Is result=R")
  test.equal(found["w Ready"], 'w Ready op=List delay=5 tries=9 | success;pathAll;"up%20now";R[].S retry;error;true; failure;status;404;')
end

T["what is no model is refused in one sentence that says why"] = function()
  local function refused(pattern, service)
    test.equal(test.raises(pattern, convert.text, { service = service }, "toys.json", "").kind, "invalid")
  end
  refused("read the service model toys.json: it has no metadata", {})
  refused("it has no operations", { metadata = {}, shapes = {} })
  refused("its metadata names no protocol", { metadata = {}, operations = {}, shapes = {} })
  refused("hkrun speaks none of its protocols: soap", { metadata = { protocol = "soap" }, operations = {}, shapes = {} })
  refused("its operation Do needs the shape In, which it does not have",
    { metadata = { protocol = "query" }, operations = { Do = { input = { shape = "In" } } }, shapes = {} })
  refused("its shape In needs the shape nil", { metadata = { protocol = "query" }, operations = {},
    shapes = { In = { type = "structure", members = { A = {} } } } })
  refused("its shape In has the unknown type odd", { metadata = { protocol = "query" }, operations = {}, shapes = { In = { type = "odd" } } })
  refused("it is no JSON object", "text")
end

-- At run time --------------------------------------------------------------------------------------------------------

local TOYS = [[{"metadata":{"protocol":"json","jsonVersion":"1.1","targetPrefix":"Toys"},
  "operations":{"GetToy":{"name":"GetToy","input":{"shape":"GetToyRequest"}}},
  "shapes":{"GetToyRequest":{"type":"structure","required":["Name"],"members":{"Name":{"shape":"S"}}},"S":{"type":"string"}}}]]
local KEYS = { access_key_id = "AKID", secret_access_key = "s" }

T["a client takes a path, a packed file, a decoded table, or a model; its facts may be few"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/toys.json", TOYS)
  fs.write(dir .. "/packed.json.gz", zip.deflate(TOYS))
  for _, given in ipairs { dir .. "/toys.json", dir .. "/packed.json.gz", json.decode(TOYS), model.open(json.decode(TOYS)) } do
    local client = aws.client { model = given, region = "us-east-1", endpoint = "http://127.0.0.1:1", credentials = KEYS }
    local request = client:request("get_toy", { Name = "bear" })
    test.equal({ request.method, request.headers["X-Amz-Target"], request.body }, { "POST", "Toys.GetToy", '{"Name":"bear"}' })
    test.match(request.headers.Authorization, "/us%-east%-1/%w+/aws4_request")
    test.raises("get_toy: the parameter Name is missing", client.request, client, "get_toy", {})
  end
end

T["a model in botocore's tree is known by its folder, with its paginators, waiters and botocore's own additions"] = function()
  local dir = test.tmpdir() .. "/toy-box/2020-01-01"
  fs.mkdir_p(dir)
  fs.write(dir .. "/service-2.json", TOYS)
  fs.write(dir .. "/paginators-1.json.gz", zip.deflate '{"pagination":{"GetToy":{"input_token":"In","output_token":"Out","result_key":"Toys"}}}')
  fs.write(dir .. "/waiters-2.json", '{"waiters":{"ToyReady":{"operation":"GetToy","delay":1,"maxAttempts":2,"acceptors":[]}}}')
  fs.write(dir .. "/service-2.sdk-extras.json", '{"merge":{"shapes":{"GetToyRequest":{"members":{"Added":{"shape":"S"}}}}}}')
  local loaded = aws.load_model(dir .. "/service-2.json")
  test.defer(function()
    model.remove "toy-box"
    aws.use {}
  end)
  test.equal(loaded.service, "toy-box")
  test.equal(loaded.shape("GetToyRequest").by_name.Added.shape, "string")
  test.equal({ loaded.paginators.GetToy.result, loaded.waiters.ToyReady.tries }, { { "Toys" }, 2 })
  test.equal(rawequal(aws.toy_box.model, loaded), true)
  test.equal(rawequal(aws.client({ service = "toy-box" }).model, loaded), true)
  test.raises("has no operation get_tpy %(did you mean get_toy%?%)", function() return aws.toy_box.get_tpy end)
end

T["without botocore's tree the service is known by what its facts say"] = function()
  local function name(meta)
    meta.protocol = "query"
    return model.open({ metadata = meta, operations = {}, shapes = {} }).service
  end
  test.equal({ name { serviceId = "Route 53" }, name { serviceId = "S3" }, name { serviceId = "Database Migration Service", endpointPrefix = "dms" },
    name { serviceId = "Toy Box" }, name { endpointPrefix = "data.toys" }, name {} }, { "route53", "s3", "dms", "toy-box", "data-toys", "service" })
end

T["a file that is no model is refused by its name"] = function()
  local dir = test.tmpdir()
  local function refused(pattern, bytes)
    fs.write(dir .. "/x.json", bytes)
    local e = test.raises(pattern, aws.load_model, dir .. "/x.json")
    test.match(tostring(e), "read the service model " .. dir:gsub("%p", "%%%0") .. "/x.json")
  end
  refused("not valid JSON at line 1", "{")
  refused("it has no metadata; it should be a service%-2.json", "{}")
  refused("it is no JSON object", '"text"')
  refused("gzip file that cannot be read", "\x1f\x8b\8\0cut")
  test.raises("there is no such file", aws.load_model, dir .. "/none.json")
  test.raises("needs the path", aws.load_model, nil)
  test.raises("read the service model that was given as a table: it has no metadata", aws.client, { model = {} })
end

-- aws.NAME -----------------------------------------------------------------------------------------------------------

T["no service has the name of a noun"] = function()
  local names, nouns = aws.names(), {}
  for _, noun in ipairs(names.nouns) do nouns[noun] = true end
  test.truthy(nouns.vpc and nouns.environment, "nouns")
  for noun in pairs(nouns) do test.equal(type(aws[noun]), "function", noun) end
  for _, service in ipairs(names.services) do
    test.equal(nouns[service], nil, service)
    test.match(service, "^%l[%w_]*$")
  end
end

T["a misspelt service is refused with the nearest, however it is spelt"] = function()
  for word, right in pairs { elasticcache = "elasticache", ["ec2-instance-connect"] = "ec2_instance_connect", cloudwach = "cloudwatch", vcp = "vpc" } do
    test.raises("did you mean " .. right .. "%?", function() return aws[word] end)
  end
end

return T
