--- How results look: tables at 80 and 200 columns, folded values, times, what a terminal must not be told.
-- luacheck: max line length 220
local csv = require "csv"
local host = require "host.list"
local json = require "json"
local list = require "list"
local secret = require "secret"
local show = require "show"
local test = require "test"
local width = require "host.width"
local yaml = require "yaml"

local T = test.cases()

local function volumes(n)
  local v = {}
  for i = 1, n do
    v[i] = {
      VolumeId = ("vol-049df61146c4d79%02d"):format(i), AvailabilityZone = "us-east-1a", CreateTime = 1700000000 + i, Size = 4 ^ i // 1 | 0,
      State = i % 2 == 0 and "available" or "in-use", VolumeType = "gp3", Encrypted = false, Iops = 3000, MultiAttachEnabled = false,
      SnapshotId = "snap-1234567890", Attachments = i % 2 == 1 and { { VolumeId = "x", InstanceId = "i-1" } } or json.array {},
      Tags = { { Key = "Name", Value = "日本語 " .. i }, { Key = "Env", Value = "é" } }, KmsKeyId = "arn:aws:kms:us-east-1:123456789012:key/abcd-efgh",
    }
  end
  return json.array(v)
end

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

T["a list of structs is a table of the columns that tell most, as wide as the terminal"] = function()
  local seen = show.value(host.answer { Volumes = volumes(3), NextToken = "abc" }, { width = 80 })
  test.equal(seen, [[
VolumeId               Name      State      Size  VolumeType  AvailabilityZone
vol-049df61146c4d7901  日本語 1  in-use        4  gp3         us-east-1a
vol-049df61146c4d7902  日本語 2  available    16  gp3         us-east-1a
vol-049df61146c4d7903  日本語 3  in-use       64  gp3         us-east-1a
3 rows; 8 more columns: SnapshotId, CreateTime, Iops, Encrypted, MultiAttachEna…
there is more (:all asks for every page); NextToken: abc]])
end

T["at 200 columns there is room for most; no line is wider at any width"] = function()
  local at_200 = lines_of(show.value(volumes(2), { width = 200 }))
  test.equal(at_200[1], "VolumeId               Name      State      Size  VolumeType  AvailabilityZone  SnapshotId       CreateTime            "
    .. "Iops  Encrypted  MultiAttachEnabled  Attachments  Tags")
  test.match(at_200[2], "2023%-11%-14T22:13:21Z  3000  false      false               %[1%]          %[2%]$")
  test.equal(at_200[4], "2 rows; 1 more column: KmsKeyId")
  for _, columns in ipairs { 6, 10, 20, 40, 79, 80, 81, 120, 200 } do
    for _, v in ipairs { volumes(3), volumes(3):select("VolumeId", "Size", "Tags.Name", "Tags.Env"), volumes(1)[1], volumes(3):map "VolumeId" } do
      for i, line in ipairs(lines_of(show.value(v, { width = columns }))) do
        test.truthy(width.of(line) <= columns, ("line %d at %d: %s"):format(i, columns, line))
      end
    end
  end
end

T["columns that were asked for all stay, cut to one measure; without a width nothing is cut"] = function()
  test.equal(show.value(volumes(2):select("VolumeId", "Tags.Name", "Size"), { width = 30 }), [[
VolumeId        Name      Size
vol-049df6114…  日本語 1     4
vol-049df6114…  日本語 2    16
2 rows]])
  test.equal(show(volumes(1), { columns = { "Size", "Tags.Env" } }), "Size  Tags.Env\n   4  é\n1 row")
  local key = { KeyArn = "arn:aws:kms:us-east-1:123456789012:key/abcd-efgh" }
  test.equal(show.value({ key }, { width = 20 }), "KeyArn\n…89012:key/abcd-efgh\n1 row", "an ARN keeps its end")
  test.match(show.value({ key }), "\narn:aws:kms:us%-east%-1:123456789012:key/abcd%-efgh\n")
end

T["wide letters take two columns, combining ones none"] = function()
  test.equal({ width.of "abc", width.of "日本", width.of "e\u{301}", width.of "😀", width.of "\xff\xfe", width.of "" }, { 3, 4, 1, 2, 2, 0 })
  test.equal({ width.fit("日本語", 5) }, { "日本", 4 })
  test.equal({ width.fit("e\u{301}x", 1) }, { "e\u{301}", 1 })
  test.equal(show.value({ { a = "日本", b = 1 }, { a = "e\u{301}", b = 22 } }), "a      b\n日本   1\ne\u{301}     22\n2 rows")
end

T["a struct is names and values; what is nested is folded, short lists and states are spelt out"] = function()
  test.equal(show.value({ VpcId = "vpc-1", State = { Code = 16, Name = "running" }, Groups = { "sg-1", "sg-2" }, Monitoring = { State = "off" },
    Tags = { { Key = "a", Value = "b" } }, Where = { VpcId = "v", Zone = "z" }, None = json.array {}, Port = 5432, LaunchTime = 1700000000,
    Gone = json.null, Key = secret.new "geheim" }, { width = 80 }), [[
Gone        null
Groups      sg-1, sg-2
Key         (secret)
LaunchTime  2023-11-14T22:13:20Z
Monitoring  off
None        [0]
Port        5432
State       running
Tags        [1]
VpcId       vpc-1
Where       {VpcId…}]])
end

T["unfold shows what is inside, down to a depth"] = function()
  local x = { Id = "a", Tags = { { Key = "k", Value = "v" }, { Key = "l", Value = secret.new "geheim" } }, Deep = { { { 1 } } }, At = { LaunchTime = 1700000000 } }
  test.equal(show.unfold(x), [[
At:
  LaunchTime: 2023-11-14T22:13:20Z
Deep:
  - - - 1
Id: a
Tags:
  - Key: k
    Value: v
  - Key: l
    Value: (secret)]])
  test.match(show.unfold(x, 1), "^At: 2023.*\nDeep: %[1%]\nId: a\nTags: %[2%]$")
  x.self = x
  test.match(show.unfold(x), "self: {Id…}$")
end

T["numbers are times only where their name and size say so"] = function()
  test.equal(show.value { { createdAt = 1700000000, Time = 1700000000123, Size = 1700000000, StartTime = 12, NotAfter = 1700000000.5 } },
    "      Size  StartTime  Time                  NotAfter              createdAt\n"
    .. "1700000000         12  2023-11-14T22:13:20Z  2023-11-14T22:13:20Z  2023-11-14T22:13:20Z\n1 row")
end

T["an answer is the list in it, then the rest of it"] = function()
  test.equal(show.value(host.answer { Buckets = { { Name = "b" } }, Owner = { ID = "x" } }), "Name\nb\n1 row\nOwner: x")
  test.equal(show.value(host.answer { Volumes = json.array {} }), "Volumes: none")
  test.equal(show.value(host.answer { Contents = { { Key = "k" } }, CommonPrefixes = json.array {}, KeyCount = 1 }),
    "Key\nk\n1 row\nCommonPrefixes: [0]\nKeyCount: 1")
  test.equal(show.value(host.answer { Vpc = { VpcId = "v" } }), "VpcId  v")
  test.equal(show.value(host.answer { A = { { x = 1 } }, B = { { y = 1 } } }), "A  [1]\nB  [1]", "two lists: neither is the one")
  test.equal(show.value { VpcId = "v", Tags = { { Key = "a", Value = "b" } } }, "Tags   [1]\nVpcId  v", "a resource is no answer")
  test.equal(show.value(host.answer { Reservations = { { Instances = { { InstanceId = "i-1" }, { InstanceId = "i-2" } } } } }),
    "InstanceId\ni-1\ni-2\n2 rows\nin 1 item of Reservations")
end

T["other values"] = function()
  test.equal(show.value(nil), "nil")
  test.equal(show.value(json.null), "null")
  test.equal({ show.value(1.5), show.value(true), show.value "a\nb", show.value(secret.new "geheim"), show.value({}), show.value(json.array {}) },
    { "1.5", "true", "a\nb", "(secret)", "{}", "(empty list)" })
  test.equal(show.value({ "a", "b", "ccc", "d", "e" }, { width = 10 }), "a    d\nb    e\nccc")
  test.equal(show.value { 1, "x", { a = 1, b = 2 } }, "Value\n1\nx\n{a…}\n3 rows")
  test.equal(show.value(volumes(9), { width = 12, height = 4 }):match "[^\n]*$", "9 rows, 7 o…")
  test.equal(show.value(volumes(3):group "State"), "State      Count\nin-use         2\navailable      1\n2 rows")
  test.raises("show has no option widht %(did you mean width", show.value, {}, { widht = 3 })
end

T["a single instance shows its state and type before the names that it also has"] = function()
  local instance = { InstanceId = "i-1", State = { Name = "running", Code = 16 }, InstanceType = "t3.micro", RootDeviceName = "/dev/sda1", ImageId = "ami-1" }
  test.match(show.value({ instance }), "^InstanceId  State    InstanceType ")
  test.match(show.value { { Key = "a", Size = 3, StorageClass = "STANDARD" } }, "^Key  Size  StorageClass\n")
  test.match(show.value { { SubnetId = "s-1", AvailabilityZoneId = "az1", VpcId = "v", State = "on", SubnetArn = "arn:1" },
                          { SubnetId = "s-2", AvailabilityZoneId = "az2", VpcId = "v", State = "on", SubnetArn = "arn:2" } }, "^SubnetId  State  ")
end

T["of a huge value only the beginning is looked at, in whole characters"] = function()
  test.equal(show.value({ Body = ("é"):rep(1e6) }, { width = 16 }), "Body  " .. ("é"):rep(9) .. "…")
  test.equal(show.value({ { A = ("a€"):rep(1e6) } }, { width = 9 }), "A\na€a€a€a€…\n1 row")
  test.equal(show.value({ Body = ("\x80"):rep(1e6) }, { width = 16 }), "Body  \\x80\\x80\\…")
  test.equal(show.value({ Body = "\xff" .. ("x"):rep(1e6) }, { width = 16 }), "Body  \\xffxxxxx…")
end

T["nothing of a value steers the terminal; colours only if wanted"] = function()
  test.equal(show.value "a\27[2J\tb\r\u{9b}c\xffd", "a\\27[2J\tb\\r\\xc2\\x9bc\\xffd")
  test.equal(show.value { { ["k\n"] = "a\27[2J\nb\u{9b}" } }, "k\\n\na\\27[2J\\nb\\u{9b}\n1 row")
  test.equal(show.value({ { a = 1 } }, { color = true }), "\27[1ma\27[0m\n1\n\27[2m1 row\27[0m")
end

T["json(x), yaml(x) and csv(x) are the whole value, secrets and bytes aside"] = function()
  local x = { { Name = "a,b", Password = secret.new "geheim", Data = "\xff\x00", Time = 1700000000, Rate = 0 / 0 }, { Name = 'q"', Tags = { { Key = "k" } }, Gone = json.null } }
  test.equal(json.decode(json(x)), { { Name = "a,b", Password = "(secret)", Data = "/wA=", Time = 1700000000, Rate = "NaN" },
    { Name = 'q"', Tags = { { Key = "k" } }, Gone = json.null } })
  test.match(json(x), '^%[\n  {\n    "Data": "/wA=",\n')
  test.equal(yaml.decode(yaml(x))[1], { Name = "a,b", Password = "(secret)", Data = "/wA=", Time = 1700000000, Rate = "NaN" })
  test.equal(csv(list(x):select("Name", "Password", "Tags", "Gone")), 'Name,Password,Tags,Gone\r\n"a,b",(secret),,\r\n"q""",,"[{""Key"":""k""}]",')
  test.equal({ json(nil), json(secret.new "x"), json { f = print }:match "function", json(json.array {}) }, { "null", '"(secret)"', "function", "[]" })
  test.truthy(secret.is(json.encode(x[1].Password)), "json.encode keeps a secret one")
  local loop = {}
  loop.loop = loop
  test.equal(json(loop), '{\n  "loop": "{...}"\n}')
end

T["CSV is read as RFC 4180 has it"] = function()
  local rows = csv.decode '\239\187\191a,b,c\r\n1,"x ""y"", z\r\nw",\n,,"3"'
  test.equal(rows, { { a = "1", b = 'x "y", z\r\nw', c = "" }, { a = "", b = "", c = "3" } })
  test.equal(list.columns(rows), { "a", "b", "c" })
  test.equal(csv.decode(csv.encode(rows)), rows)
  test.equal(csv.encode { 1, "a b" }, "Value\r\n1\r\na b\r\n")
  test.equal(csv.encode(host.answer { Items = { { A = 1 } }, NextToken = "x" }), "A\r\n1\r\n")
  for text, said in pairs { ['a\n"x'] = "line 2: a quote is not closed", ['a\n"x"y'] = "line 2: text after a closing quote",
                            ['a\nx"y'] = "line 2: a quote inside", ["a,b\n1"] = "row 1 of the CSV has 1 values, the title line 2" } do
    local value, err = csv.decode(text)
    test.equal(value, nil)
    test.match(err.message, said)
  end
end

return T
