--- Pages and waiters beyond the plain cases of aws_client_test: several lists, maps, sizes, matchers, progress, ends.
-- luacheck: no max line length
local test = require "test"
local aws = require "aws"
local fs = require "fs"
local json = require "json"
local model = require "aws.model"
local path = require "aws.path"
local serve = require "rehearsal.serve"
local task = require "task"
local wait = require "aws.wait"
local T = test.cases()

local function client(service, handler)
  local seen = {}
  local server = serve.start { handler = function(req)
    seen[#seen + 1] = req
    return handler(req, #seen)
  end }
  test.defer(function() server:stop() end)
  return aws.client { [type(service) == "table" and "model" or "service"] = service, region = "eu-west-1", endpoint = server.url,
                      attempts = 1, credentials = { access_key_id = "AK", secret_access_key = "SK" } }, seen
end

local MODEL = model.parse("things", [[
# a service for these cases
m protocol json
m json_version 1.1
m target_prefix Things
m endpoint_prefix things
m service_id Things
o ListThings POST / in=ListThingsRequest out=ListThingsResponse
s ListThingsRequest struct | Token:string Size:int
s ListThingsResponse struct | Token:string More:bool Things:ThingMap Text:string Count:int One:Thing
s ThingMap map | key:string value:Thing
s Thing struct | Name:string
p ListThings in=Token out=Token result=Things,Text,Count,One limit=Size
w ThingThere op=ListThings delay=1 tries=3 | success;path;true;length(Things)%20%3E%20%600%60 failure;pathAny;"bad";Things.*.Name retry;error;true; failure;status;299;
w ThingGone op=ListThings delay=1 tries=3 | success;error;"ThingNotFound"; retry;error;false;
]])

local function answer(body) return { headers = { ["Content-Type"] = "application/x-amz-json-1.1" }, body = json.encode(body) } end

T["several lists of a page come one after the other, each item with the name of its list"] = function()
  local s3, seen = client("s3", function(_, n)
    return { body = n == 1 and "<R><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker>"
        .. "<Version><Key>a</Key></Version><DeleteMarker><Key>b</Key></DeleteMarker></R>"
      or "<R><IsTruncated>false</IsTruncated><DeleteMarker><Key>c</Key></DeleteMarker><Version><Key>d</Key></Version></R>" }
  end)
  local found = {}
  for item, list in s3:each("list_object_versions", { Bucket = "b-1" }) do found[#found + 1] = list .. " " .. item.Key end
  test.equal(found, { "Versions a", "DeleteMarkers b", "Versions d", "DeleteMarkers c" })
  test.equal({ seen[2].query["key-marker"], seen[2].query["version-id-marker"] }, { "k", "v" })
end

T["all is one list of every page, or the only list of an answer without pages; an answer can be saved"] = function()
  local ec2, seen = client("ec2", function(req, n)
    if req.body:find "DescribeAddresses" then return { body = "<R><addressesSet><item><publicIp>192.0.2.1</publicIp></item></addressesSet></R>" } end
    return { body = n == 1 and "<R><nextToken>t</nextToken><volumeSet><item><size>4</size></item></volumeSet></R>"
      or "<R><volumeSet><item><size>5</size></item></volumeSet></R>" }
  end)
  test.equal({ ec2:all("describe_volumes"):sum "Size", #seen }, { 9, 2 })
  test.equal(ec2:all("describe_addresses"):map "PublicIp", { "192.0.2.1" })
  test.raises("aws.ec2:create_vpc does not answer one list; call it by itself", ec2.all, ec2, "create_vpc", { CidrBlock = "10.0.0.0/16" })
  test.raises("aws.ec2:run_instances does not answer one list", ec2.all, ec2, "run_instances", { MinCount = 1, MaxCount = 1 })
  local file = test.tmpdir() .. "/addresses.json"
  ec2:describe_addresses():save(file)
  test.equal(json.decode(fs.read(file)), { Addresses = { { PublicIp = "192.0.2.1" } } })
end

T["a token that one page lacks is not asked for again"] = function()
  local s3, seen = client("s3", function(_, n)
    return { body = n == 1 and "<R><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker></R>"
      or n == 2 and "<R><IsTruncated>true</IsTruncated><NextKeyMarker>l</NextKeyMarker><NextVersionIdMarker/></R>" or "<R/>" }
  end)
  for _ in s3:pages("list_object_versions", { Bucket = "b-1" }) do end
  test.equal({ #seen, seen[3].query["key-marker"], seen[3].query["version-id-marker"] }, { 3, "l", nil })
end

T["maps give their entries with names, texts and structures themselves, counts nothing"] = function()
  local things = client(MODEL, function()
    return answer { Things = { b = { Name = "B" }, a = { Name = "A" } }, Text = "words", Count = 3, One = { Name = "O" }, Token = "" }
  end)
  local found = {}
  for item, list, name in things:each "list_things" do found[#found + 1] = { item.Name or item, list, name } end
  test.equal(found, { { "A", "Things", "a" }, { "B", "Things", "b" }, { "words", "Text" }, { "O", "One" } })
end

T["the size of a page goes where the service takes it, as the type that it takes"] = function()
  local things, seen = client(MODEL, function() return answer {} end)
  for _ in things:pages("list_things", {}, { page_size = 7 }) do end
  test.equal(json.decode(seen[1].body), { Size = 7 })
  local r53, asked = client("route53", function() return { body = "<R><IsTruncated>false</IsTruncated></R>" } end)
  for _ in r53:pages("list_hosted_zones", {}, { page_size = 7 }) do end
  test.equal(asked[1].query.maxitems, "7")
  test.equal(test.raises("sts:get_caller_identity does not take the size of a page", function()
    local sts = client("sts", function() return {} end)
    sts:pages("get_caller_identity", {}, { page_size = 7 })
  end).kind, "usage")
end

T["acceptors: expressions, any, all, errors true and false, status"] = function()
  local there, gone = MODEL.waiters.ThingThere, MODEL.waiters.ThingGone
  local thing = { Things = { a = { Name = "x" } } }
  local function judged(waiter, ...) return wait.judge(waiter, ...) or "waiting" end
  local state, acceptor = wait.judge(there, thing, nil, 200)
  test.equal({ state, acceptor }, { "success", there.acceptors[1] })
  test.equal(judged(there, { Things = {} }, nil, 200), "waiting")
  test.equal(judged(there, {}, nil, 299), "failure")
  test.equal(judged(there, { Things = { a = { Name = "bad" } } }, nil, 200), "success", "the first that speaks")
  test.equal(judged(there, nil, { code = "Any" }, 400), "retry")
  test.equal(judged(gone, nil, { code = "ThingNotFound" }, 400), "success")
  test.equal(judged(gone, {}, nil, 200), "retry")
  test.equal(judged(gone, nil, { code = "Other" }, 400), "waiting")
  local all = { acceptors = { { state = "success", matcher = "pathAll", argument = "L[].S", expected = "on" } } }
  local function switches(...)
    local list = json.array {}
    for i, s in ipairs { ... } do list[i] = { S = s } end
    return judged(all, { L = list }, nil, 200)
  end
  test.equal({ switches("on", "on"), switches("on", "off"), switches(), judged(all, {}, nil, 200) }, { "success", "waiting", "waiting", "waiting" })
  all.acceptors[1].matcher = "pathAny"
  test.equal({ switches("off", "on"), switches("off"), switches() }, { "success", "waiting", "waiting" })
end

local function db(status)
  return ("<R><DescribeDBInstancesResult><DBInstances>%s</DBInstances></DescribeDBInstancesResult></R>"):format(
    status and "<DBInstance><DBInstanceStatus>" .. status .. "</DBInstanceStatus></DBInstance>" or "")
end

T["a waiter tells each state; its errors know the last one"] = function()
  local states = { "creating", "creating", "failed" }
  local rds = client("rds", function(_, n) return { body = db(states[n]) } end)
  local told = {}
  local e = test.raises("^cannot wait for the database shop: it became failed$", rds.wait, rds, "db_instance_available", { DBInstanceIdentifier = "d" },
    { delay = 0.01, what = "wait for the database shop", progress = function(state, seconds) told[#told + 1] = state; test.truthy(seconds >= 0) end })
  test.equal({ told, e.state, e.kind }, { states, "failed", "remote" })
  local slow = client("rds", function() return { body = db "backing-up" } end)
  e = test.raises("it did not happen within 0%.5 seconds; last seen: backing%-up", slow.wait, slow, "db_instance_available", {}, { delay = 0.05, timeout = 0.5 })
  test.equal({ e.kind, e.state }, { "timeout", "backing-up" })
  test.equal(test.raises("no option timout %(did you mean timeout", slow.wait, slow, "db_instance_available", {}, { timout = 1 }).kind, "usage")
end

T["an answer that does not come ends a wait at its deadline; a cancel ends it at once"] = function()
  local rds = client("rds", function() return { delay = 60, body = db "available" } end)
  local e = test.raises("it did not happen within 0%.1 seconds", rds.wait, rds, "db_instance_available", {}, { timeout = 0.1 })
  test.equal(e.kind, "timeout")
  local waits = client("rds", function() return { body = db "creating" } end)
  local job = task.spawn(function() waits:wait("db_instance_available", {}, { progress = function() task.current():cancel() end }) end)
  test.equal(test.raises("cancelled", job.join, job).kind, "cancelled")
end

T["every expression of every model can be read, and every waiter can judge"] = function()
  for _, service in ipairs(model.services()) do
    local m = model.load(service)
    for _, name in ipairs(m.names "paginators") do
      local p = m.paginators[name]
      for _, list in ipairs { p.output, p.result, { p.more } } do
        for _, expression in ipairs(list) do path.find(expression, {}) end
      end
    end
    for _, name in ipairs(m.names "waiters") do wait.judge(m.waiters[name], {}, nil, 200) end
  end
end

T["what is not JMESPath, or beyond it, is refused"] = function()
  for expression, why in pairs { ["a."] = "at its end", ["a..b"] = "at %.", ["a[b"] = "not understood", ["'x"] = "lacks a closing '",
                                 ["`{`"] = "not JSON", ["a ~ b"] = "at ~", ["sum(a)"] = "function sum", ["a b"] = "at b", ["[]["] = "at its end" } do
    test.equal(test.raises(why, path.find, expression, {}).kind, "usage", expression)
  end
end

return T
