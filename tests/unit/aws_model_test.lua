--- What aws.model decodes of the descriptors that aws.model.convert writes.
local test = require "test"
local model = require "aws.model"
local whole = dofile "tests/support/whole_model.lua"
local T = test.cases()

-- luacheck: no max line length
local TEXT = [[
# Made by hand
m protocol query
m api_version 2020-01-01
m endpoint_prefix toys
m service_id Toy Box
o CreateToy POST / in=CreateToyRequest out=Toy wrap=CreateToyResult idempotent errors=Gone,Toy%2CTaken
o ListAllARNs GET /toys/{Name+}?list in=ListRequest status=204 auth=none host=box. sum=Sum sum_required sum_answer=A,B
s Colour string min=1 max=7 enum=red,light%20blue
s CreateToyRequest payload=Body | Name!:string Colour:Colour;wire=hue Tags:TagList;low;flat Token:string;token Secret:string;secret Body:blob;stream At:timestamp;header=x-at;time=rfc822
s Gone error code=Toy.Gone status=404 sender | Message:string
s Map map | key:string;wire=Name value:Toy
s TagList list min=1 | member:Toy;wire=Tag
s Taken error |
s Toy union ns=http://toys/ prefix=t | Kind:string;wire=t:kind;attr Code:int;statusCode=Code Rest:Map;headers=x-toy-
p ListAllARNs in=Marker,Second out=NextMarker%20%7C%7C%20Toys[-1].Key,NextSecond limit=Max more=IsTruncated result=Toys
w ToyReady op=ListAllARNs delay=15 tries=40 | success;pathAll;"light%20blue";Toys[].Colour failure;status;404; retry;path;true;length(Toys)%20>%20`0`
]]

T["the facts of a service are read, and the signing name falls back to the endpoint prefix"] = function()
  local toys = model.parse("toys", TEXT)
  test.equal(toys.meta, { protocol = "query", api_version = "2020-01-01", endpoint_prefix = "toys", signing_name = "toys",
                          service_id = "Toy Box", signature_version = "v4", auth = { "v4" }, errors = {} })
  test.equal(toys.source, "Made by hand")
end

T["an operation is decoded with all that is said of it"] = function()
  local toys = model.parse("toys", TEXT)
  local create = toys.operations.CreateToy
  test.equal({ create.snake, create.method, create.uri, create.input, create.output, create.wrapper, create.idempotent },
             { "create_toy", "POST", "/", "CreateToyRequest", "Toy", "CreateToyResult", true })
  test.equal(create.errors, { "Gone", "Toy,Taken" })
  local list = toys.operations.ListAllARNs
  test.equal({ list.snake, list.uri, list.status, list.unsigned, list.host_prefix, list.checksum_member,
               list.checksum_required, list.output },
             { "list_all_arns", "/toys/{Name+}?list", 204, true, "box.", "Sum", true, nil })
  test.equal(list.checksum_answer, { "A", "B" })
  test.equal(toys.operations.Create, nil)
  test.equal(toys.operation_named "list_all_arns", list)
  test.equal(toys.operation_named "ListAllARNs", list)
  test.equal(toys.operation_named "listallarns", nil)
end

T["members keep the model's order, their names on the wire and their marks"] = function()
  local shape = model.parse("toys", TEXT).shape "CreateToyRequest"
  local names = {}
  for i, member in ipairs(shape.members) do names[i] = member.name end
  test.equal(names, { "Name", "Colour", "Tags", "Token", "Secret", "Body", "At" })
  test.equal(shape.payload, "Body")
  test.equal(shape.by_name.Name, { name = "Name", shape = "string", required = true })
  test.equal(shape.by_name.Colour.wire, "hue")
  test.equal(shape.by_name.Tags, { name = "Tags", shape = "TagList", wire = "tags", flattened = true })
  test.equal(shape.by_name.Token.idempotency_token, true)
  test.equal(shape.by_name.Secret.sensitive, true)
  test.equal(shape.by_name.Body.streaming, true)
  test.equal(shape.by_name.At, { name = "At", shape = "timestamp", wire = "x-at", location = "header", timestamp_format = "rfc822" })
end

T["lists, maps, enums, limits and errors are decoded"] = function()
  local toys = model.parse("toys", TEXT)
  test.equal(toys.shape("TagList").member, { name = "member", shape = "Toy", wire = "Tag" })
  test.equal(toys.shape("Map").key.wire, "Name")
  local colour = toys.shape "Colour"
  test.equal({ colour.enum, colour.enum_set["light blue"], colour.min, colour.max }, { { "red", "light blue" }, true, 1, 7 })
  local toy = toys.shape "Toy"
  test.equal({ toy.union, toy.xml_namespace, toy.xml_prefix, toy.by_name.Kind.wire, toy.by_name.Kind.attribute,
               toy.by_name.Rest.location }, { true, "http://toys/", "t", "t:kind", true, "headers" })
  test.equal(toys.errors["Toy.Gone"], { code = "Toy.Gone", shape = "Gone", status = 404, sender = true })
  test.equal(toys.errors.Taken, { code = "Taken", shape = "Taken", sender = false })
  test.equal(toys.errors.Gone, nil)
  test.raises("no shape Nothing", toys.shape, "Nothing")
end

T["paginators and waiters are decoded"] = function()
  local toys = model.parse("toys", TEXT)
  test.equal(toys.paginators.ListAllARNs, { input = { "Marker", "Second" }, limit = "Max", more = "IsTruncated",
    output = { "NextMarker || Toys[-1].Key", "NextSecond" }, result = { "Toys" } })
  test.equal(toys.waiters.ToyReady, { operation = "ListAllARNs", delay = 15, tries = 40, acceptors = {
    { state = "success", matcher = "pathAll", expected = "light blue", argument = "Toys[].Colour" },
    { state = "failure", matcher = "status", expected = 404, argument = "" },
    { state = "retry", matcher = "path", expected = true, argument = "length(Toys) > `0`" } } })
end

T["boto3's names of operations are ours"] = function()
  for name, expected in pairs {
    DescribeDBInstances = "describe_db_instances", CreateVpc = "create_vpc", ListHostedZonesByVPC = "list_hosted_zones_by_vpc",
    GetOTelEnrichment = "get_otel_enrichment", DescribeVpcEndpointServices = "describe_vpc_endpoint_services",
    ListTagsForARNs = "list_tags_for_arns", ListObjectsV2 = "list_objects_v2", CreateCachediSCSIVolume = "create_cached_iscsi_volume",
  } do test.equal(model.snake(name), expected) end
end

T["descriptors that are shipped decode to their last word"] = function()
  local services = model.services()
  test.truthy(#services >= 424, "424 services")
  for i = 1, #services, 25 do whole(services[i]) end -- tests/conformance/models_test.lua decodes all
  for _, service in ipairs { "cloudwatch", "iam", "s3" } do whole(service) end
end

T["a service is loaded once, by either spelling; a misspelt one is refused with the nearest"] = function()
  test.equal(model.load "ec2_instance_connect", model.load "ec2-instance-connect")
  test.equal(model.load("rds").errors.DBInstanceNotFound.shape, "DBInstanceNotFoundFault")
  local e = test.raises("elasticache", model.load, "elasticcache")
  test.equal(e.kind, "usage")
end

return T
