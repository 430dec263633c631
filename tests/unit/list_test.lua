--- The helpers of lists: :where, :select, :sort, :group, :count and their like.
local fs = require "fs"
local host = require "host.list"
local json = require "json"
local list = require "list"
local secret = require "secret"
local show = require "show"
local test = require "test"

local T = test.cases()

local function volumes()
  return json.decode [[ [
    { "VolumeId": "vol-1", "Size": 100, "State": "in-use", "Encrypted": true, "Tags": [ { "Key": "Name", "Value": "data" }, { "Key": "Env", "Value": "prod" } ],
      "Attachments": [ { "InstanceId": "i-1", "Device": "/dev/sda" } ] },
    { "VolumeId": "vol-2", "Size": 8, "State": "available", "Tags": [ { "Key": "Name", "Value": "web-1" } ], "Attachments": [] },
    { "VolumeId": "vol-3", "Size": 20, "State": "available", "Encrypted": false, "Zone": { "Name": "a" } },
    { "VolumeId": "vol-4", "Size": 8, "State": "error", "Tags": [ { "Key": "Name", "Value": "web-2" } ],
      "Attachments": [ { "InstanceId": "i-2" }, { "InstanceId": "i-1" } ] }
  ] ]]
end

local function ids(items) return table.concat(items:map "VolumeId", " ") end

T["where keeps the items whose members have these values"] = function()
  local v = volumes()
  test.equal(ids(v:where { State = "available" }), "vol-2 vol-3")
  test.equal(ids(v:where { State = { "available", "error" }, Size = 8 }), "vol-2 vol-4")
  test.equal(ids(v:where { Size = function(n) return n > 8 end }), "vol-1 vol-3")
  test.equal(ids(v:where(function(x) return x.Size == 20 end)), "vol-3")
  test.equal(ids(v:where("State", "error")), "vol-4")
  test.equal(ids(v:where "Zone"), "vol-3")
  test.equal(ids(v:where { Zone = { Name = "a" } }), "vol-3")
  test.equal(ids(v:where {}), "vol-1 vol-2 vol-3 vol-4")
end

T["a path looks into structs, tags and lists"] = function()
  local v = volumes()
  test.equal(ids(v:where { ["Tags.Name"] = "data" }), "vol-1")
  test.equal(ids(v:where { ["Zone.Name"] = "a" }), "vol-3")
  test.equal(ids(v:where { ["Attachments.InstanceId"] = "i-1" }), "vol-1 vol-4")
  test.equal(ids(v:where { ["Attachments.2.InstanceId"] = "i-1" }), "vol-4")
  test.equal(ids(v:where("Attachments.InstanceId", "~=", "i-1")), "vol-2 vol-3")
  test.equal(list.tag(v[1], "Env"), "prod")
  test.equal(list.tag(v[3], "Env"), nil)
  test.equal(list.tag({ TagSet = { { Key = "a.b", Value = "1" } } }, "a.b"), "1")
  test.equal(list.tag({ Tags = { team = "x" } }, "team"), "x")
end

T["false and a missing value ask for what is not there"] = function()
  local v = volumes()
  test.equal(ids(v:where { ["Tags.Env"] = false }), "vol-2 vol-3 vol-4")
  test.equal(ids(v:where { Encrypted = false }), "vol-2 vol-3 vol-4")
  test.equal(ids(v:where { Encrypted = true }), "vol-1")
  test.equal(ids(v:where("Zone", "==", nil)), "vol-1 vol-2 vol-4")
  test.equal(ids(v:where("Zone", "~=", nil)), "vol-3")
end

T["where compares; text that is a number compares as one, nothing with nothing"] = function()
  local v = volumes()
  test.equal(ids(v:where("Size", ">", 8)), "vol-1 vol-3")
  test.equal(ids(v:where("Size", ">=", 20)), "vol-1 vol-3")
  test.equal(ids(v:where("Size", "<", 20)), "vol-2 vol-4")
  test.equal(ids(v:where("Size", "<=", 20)), "vol-2 vol-3 vol-4")
  test.equal(ids(v:where("State", "==", "error")), "vol-4")
  test.equal(ids(v:where("Missing", ">", 1)), "")
  test.equal(ids(v:where("State", ">", 1)), "")
  test.equal(#list { { a = "9.5" }, { a = "12" }, { a = "x" } }:where("a", ">", 10), 1)
  test.equal(ids(v:where("Tags.Name", "like", "web-*")), "vol-2 vol-4")
  test.equal(ids(v:where("Tags.Name", "like", "web-?")), "vol-2 vol-4")
  test.equal(ids(v:where("Tags.Name", "like", "web")), "")
  test.raises("where knows the operators == ~=.*not =>", v.where, v, "Size", "=>", 1)
  test.raises("where needs a table of conditions", v.where, v, 3)
end

T["select makes rows of some columns and keeps their order"] = function()
  local rows = volumes():select("VolumeId", "Tags.Name", "GiB=Size", { Big = function(x) return x.Size > 50 end })
  test.equal(rows[1], { VolumeId = "vol-1", Name = "data", GiB = 100, Big = true })
  test.equal(rows[3], { VolumeId = "vol-3", GiB = 20, Big = false })
  test.equal(list.columns(rows:where { Big = false }:sort "GiB"), { "VolumeId", "Name", "GiB", "Big" })
  test.equal(volumes():select { "VolumeId", "Size" }[2], { VolumeId = "vol-2", Size = 8 })
  test.equal(volumes():select("Zone.Name", "Tags.Name")[1], { ["Tags.Name"] = "data" }, "a name that is taken")
  test.raises("select needs the names of columns", function() volumes():select() end)
end

T["sort is stable, goes both ways and leaves missing values at the end"] = function()
  local v = volumes()
  test.equal(ids(v:sort "Size"), "vol-2 vol-4 vol-3 vol-1")
  test.equal(ids(v:sort "-Size"), "vol-1 vol-3 vol-2 vol-4")
  test.equal(ids(v:sort("Size", "desc")), "vol-1 vol-3 vol-2 vol-4")
  test.equal(ids(v:sort("State", "-VolumeId")), "vol-3 vol-2 vol-4 vol-1")
  test.equal(ids(v:sort "Tags.Name"), "vol-1 vol-2 vol-4 vol-3")
  test.equal(ids(v:sort "-Tags.Name"), "vol-4 vol-2 vol-1 vol-3")
  test.equal(ids(v:sort(function(a, b) return a.Size > b.Size end)), "vol-1 vol-3 vol-2 vol-4")
  test.equal(ids(v), "vol-1 vol-2 vol-3 vol-4", "the list itself stays as it was")
  test.equal(list { "10", "9", "2.5" }:sort(), { "2.5", "9", "10" })
  test.equal(list { 3, "b", true, 1, "a", false }:sort(), { false, true, 1, 3, "a", "b" })
end

T["group, count and sum"] = function()
  local v = volumes()
  local groups = v:group "State"
  test.equal(ids(groups.available), "vol-2 vol-3")
  test.equal(#groups, 3)
  local names = {}
  for name, items in pairs(groups) do names[#names + 1] = name .. #items end
  test.equal(names, { "available2", "error1", "in-use1" })
  test.equal(groups:count(), { { State = "available", Count = 2 }, { State = "error", Count = 1 }, { State = "in-use", Count = 1 } })
  test.equal(groups:sum "Size", { { State = "in-use", Size = 100 }, { State = "available", Size = 28 }, { State = "error", Size = 8 } })
  test.equal(v:group "Tags.Env":count(), { { Env = "(none)", Count = 3 }, { Env = "prod", Count = 1 } })
  test.equal(ids(v:group "Attachments.InstanceId"["i-1"]), "vol-1 vol-4", "through a list it is in each group")
  test.equal(v:group(function(x) return x.Size > 10 end):count()[1], { Group = false, Count = 2 })
  test.equal({ v:count(), v:where { State = "none" }:count(), v:sum "Size", list {}:sum() }, { 4, 0, 136, 0 })
end

T["the smaller ones"] = function()
  local v = volumes()
  test.equal({ v:first().VolumeId, v:last().VolumeId, list({}):first() }, { "vol-1", "vol-4" })
  test.equal({ ids(v:limit(2)), ids(v:limit(-1)), ids(v:limit(9)), ids(v:limit(0)) }, { "vol-1 vol-2", "vol-4", "vol-1 vol-2 vol-3 vol-4", "" })
  test.equal(ids(v:unique "Size"), "vol-1 vol-2 vol-3")
  test.equal(v:flatten "Attachments":map "InstanceId", { "i-1", "i-2", "i-1" })
  test.equal(v:map(function(x) return x.Size * 2 end), { 200, 16, 40, 16 })
  local seen = {}
  test.truthy(v:each(function(x) seen[#seen + 1] = x.Size end) == v)
  test.equal(seen, { 100, 8, 20, 8 })
end

T["list collects an iterator and closes what it holds"] = function()
  local closed = false
  local function items()
    local n = 0
    return function() n = n + 1 return n <= 3 and { n = n } or nil end, nil, nil, setmetatable({}, { __close = function() closed = true end })
  end
  test.equal(list(items()):map "n", { 1, 2, 3 })
  test.truthy(closed)
  test.raises("list needs a table or an iterator", list, 3)
end

T["the helpers disturb neither pairs, # and equality nor JSON, and members come before them"] = function()
  local x = json.decode "[1,2]"
  local n = 0
  for _ in pairs(x) do n = n + 1 end
  for _ in ipairs(x) do n = n + 1 end
  test.equal({ n, #x, x[3], x.nothing }, { 4, 2 })
  test.equal(x, { 1, 2 })
  test.equal(json.encode { x, json.array {} }, "[[1,2],[]]")
  test.equal(json.encode(list({}):where { a = 1 }), "[]")
  test.truthy(host.is(x:where(function() return true end)) and getmetatable(x) == getmetatable(list {}), "one metatable marks all")
  x.count = "mine"
  test.equal(x.count, "mine")
end

T["save writes the format that the name says, and no secret"] = function()
  local dir = test.tmpdir()
  local v = list { { Id = "a", Size = 2, Tags = { { Key = "k", Value = "v" } } }, { Id = "b,c", Password = secret.new "geheim" } }
  test.match(v:save(dir .. "/x.json"), "x.json: %d+ bytes, 1 secret as %(secret%)$")
  test.equal(json.decode(fs.read(dir .. "/x.json")),
    { { Id = "a", Size = 2, Tags = { { Key = "k", Value = "v" } } }, { Id = "b,c", Password = "(secret)" } })
  v:save(dir .. "/x.yaml")
  test.match(fs.read(dir .. "/x.yaml"), '^%- Id: a\n  Size: 2\n')
  v:save(dir .. "/x.csv")
  test.equal(fs.read(dir .. "/x.csv"), 'Id,Size,Password,Tags\r\na,2,,"[{""Key"":""k"",""Value"":""v""}]"\r\n"b,c",,(secret),\r\n')
  v:save(dir .. "/x.txt")
  test.match(fs.read(dir .. "/x.txt"), "^Id +Size +Password +Tags\na +2 +%[1%]\nb,c +%(secret%)\n2 rows\n$")
  v:save(dir .. "/x.md")
  test.match(fs.read(dir .. "/x.md"), "^| Id | Size | Password | Tags |\n| %-%-%- | %-%-%-: | %-%-%- | %-%-%- |\n| a | 2 |  | %[1%] |\n")
  for _, name in ipairs(fs.list(dir)) do test.truthy(not fs.read(dir .. "/" .. name):find("geheim", 1, true), name) end
  host.answer({ Items = v, NextToken = "t" }):save(dir .. "/answer.json")
  test.equal(json.decode(fs.read(dir .. "/answer.json")).NextToken, "t")
  test.raises("save knows .json, .yaml, .csv, .txt and .md; x.xls is none", v.save, v, "x.xls")
end

T["a call may stand where a value is wanted: what it says of the answer is no argument"] = function()
  local function call() return host.answer(json.decode '{ "Vpcs": [ { "VpcId": "vpc-1" } ] }'), { status = 200, headers = {}, request_id = "r" } end
  test.equal(show(call()), "VpcId\nvpc-1\n1 row")
  test.equal(show.unfold(call()), "Vpcs:\n  - VpcId: vpc-1")
  test.equal(list(call()):map "VpcId", { "vpc-1" })
  test.raises("has no list, or several", list, host.answer { Account = "1" })
end

return T
