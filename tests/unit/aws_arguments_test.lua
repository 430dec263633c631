--- Bad input: refused before anything is sent, with the place and the nearest right name.
-- luacheck: no max line length
local test = require "test"
local aws = require "aws"
local json = require "json"
local lab = dofile "tests/support/request_lab.lua"
local secret = require "secret"
local T = test.cases()

local struct, list, map = lab.struct, lab.list, lab.map

local SHAPES = {
  In = struct({ Name = "Long1", Filters = "Filters", Map = "Map", Self = "In", Free = "Free", Either = "Either", Count = "Small", On = "Boolean",
                At = "Timestamp", Data = "Blob", Size = "Size", Label = { shape = "String", location = "uri", locationName = "l" } }, { required = { "Name" } }),
  Long1 = { type = "string", min = 3 }, Small = { type = "integer", min = 1 },
  Filters = list("Filter", { min = 1 }), Filter = struct({ Name = "String", Values = "Values" }, { required = { "Name" } }), Values = list "String",
  Map = map "Values", Free = { type = "structure", members = {}, document = true }, Either = struct({ A = "String", B = "String" }, { union = true }),
  Size = { type = "string", enum = { "small", "medium", "large" } },
}

local function client(protocol) return lab.client(protocol or "rest-json", SHAPES, { op = { http = { method = "POST", requestUri = "/{l}" } } }) end

--- A table inside of itself, `levels` deep.
local function nested(levels, key)
  local outer = { Name = "abc", Label = "l" }
  for _ = 1, levels do outer = { Name = "abc", Label = "l", [key] = outer } end
  return outer
end

T["each mistake is named with its place"] = function()
  local round = { Name = "abc" }
  round.Self = round
  local round_list = { {} }
  round_list[1].x = round_list
  for _, case in ipairs {
    { { Nam = "x" }, "has no parameter Nam %(did you mean Name%?%)" },
    { { Name = 1 }, "Name must be a string, not a number" },
    { { Name = "ab" }, "Name must be at least 3 characters long, not 2" },
    { { Name = "éé" }, "Name must be at least 3 characters long, not 2" },
    { { Name = "\255\255\255" }, "Name must be text in UTF%-8" },
    { { Name = json.null }, "the parameter Name is missing" },
    { { Filters = {} }, "Filters must be at least 1 members long, not 0" },
    { { Filters = { { Name = "a" }, { Name = "b", Values = "x" } } }, "Filters%[2%]%.Values must be a list, not a string" },
    { { Filters = { { Name = "a", Values = { "x", 2 } } } }, "Filters%[1%]%.Values%[2%] must be a string, not a number" },
    { { Filters = { { Name = "a", Value = {} } } }, "has no parameter Filters%[1%]%.Value %(did you mean Values%?%)" },
    { { Filters = { {} } }, "the parameter Filters%[1%]%.Name is missing" },
    { { Filters = { [1] = { Name = "a" }, [3] = { Name = "c" } } }, "Filters must be a list without holes and names" },
    { { Filters = { Name = "a" } }, "Filters must be a list without holes and names, not a table" },
    { { Map = { k = { 1 } } }, 'Map%["k"%]%[1%] must be a string, not a number' },
    { { Map = { { "x" } } }, "Map must be a table with names, not a list" },
    { { Self = { Name = "abc", Label = "l", Count = 0 } }, "Self%.Count must be at least 1, not 0" },
    { { Count = 1.5 }, "Count must be a whole number, not a number" },
    { { Count = secret.new "1" }, "Count must be a whole number, not a secret" },
    { { On = "true" }, "On must be true or false, not a string" },
    { { At = "soon" }, "At must be a time" },
    { { At = 0 / 0 }, "At must be a time, not a number" },
    { { Data = { file = "x" } }, "Data must be bytes %(a string%), not a table" },
    { { Size = "larg" }, 'Size cannot be "larg" %(did you mean large%?%)' },
    { { Size = "unheard-of" }, 'Size cannot be "unheard%-of", it is one of small, medium, large' },
    { { Either = {} }, "Either takes exactly one of its members, not 0" },
    { { Either = { A = "1", B = "2" } }, "Either takes exactly one of its members, not 2" },
    { { Free = { f = print } }, 'Free%["f"%] must be a value that JSON can hold, not a function' },
    { { Free = 0 / 0 }, "Free must be a value that JSON can hold" },
    { { Free = round_list }, "nested deeper than 100 levels; does a table hold itself%?" },
    { { Label = "" }, "Label must not be empty" },
    { round, "nested deeper than 100 levels; does a table hold itself%?" },
    { nested(200, "Self"), "nested deeper than 100 levels" },
    { { "abc" }, "the argument must be a table with names, not a list" },
    { "abc", "the argument must be a table, not a string" },
  } do
    local args, message = case[1], case[2]
    if type(args) == "table" and args[1] == nil and args ~= round then
      if args.Name == nil then args.Name = "abc" end
      if args.Label == nil then args.Label = "l" end
    end
    local c = client()
    local e = test.raises(message, c.request, c, "do", args)
    test.equal(e.kind, "usage", message)
  end
end

T["what is right passes: null members, secrets, numbers of either kind, deep structures"] = function()
  local c = client()
  local request = c:request("do", { Name = "abc", Label = "l", Filters = json.null, Self = { Name = "def", Label = "m", Data = json.null },
                                    Count = 2.0, Size = secret.new "any", Free = { 1, { a = json.null } }, Either = { A = "x", B = json.null } })
  test.truthy(secret.equal(request.body,
    '{"Count":2,"Either":{"A":"x"},"Free":[1,{"a":null}],"Name":"abc","Self":{"Name":"def"},"Size":"any"}'))
  c:request("do", nested(90, "Self"))
  test.raises("Filters%[1%] must be a table, not null", function() client("query"):request("do", { Name = "abc", Label = "l", Filters = { json.null } }) end)
end

T["services and operations: the nearest right name"] = function()
  local keys = { access_key_id = "AK", secret_access_key = "SK" }
  test.raises("did you mean dynamodb%?", function() return aws.client { service = "dynamdb", region = "us-east-1" } end)
  test.raises("did you mean rds%?", function() return aws.rdss end)
  local rds = aws.client { service = "rds", region = "us-east-1", credentials = keys }
  test.raises("aws.rds has no operation describe_db_instanses %(did you mean describe_db_instances%?%)", function() rds:describe_db_instanses {} end)
  local ec2 = aws.client { service = "ec2", region = "us-east-1", credentials = keys }
  test.raises("aws.ec2:describe_instances has no parameter Filter %(did you mean Filters%?%)", function() ec2:describe_instances { Filter = {} } end)
  test.raises('InstanceType cannot be "t3.micr" %(did you mean t3.micro%?%)', function() ec2:run_instances { InstanceType = "t3.micr", MinCount = 1, MaxCount = 1 } end)
end

return T
