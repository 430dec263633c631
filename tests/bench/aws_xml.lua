--- A DescribeInstances answer of 10 MB: from a static server on loopback into Lua tables against the AWS CLI, and the
--- reading alone against a plain expat tree over the same bytes. Run by tests/bench/run.sh with
--- `hkrun - < tests/bench/aws_xml.lua`; AWS is the CLI's path.
local errors = require "errors"
local fs = require "fs"
local model = require "aws.model"
local process = require "process"
local reader = require "aws.reader"
local sign = require "sign"
local task = require "task"

local SELF = fs.realpath "/proc/self/exe"
local ROUNDS = tonumber(os.getenv "ROUNDS") or 3

local function id(kind, i) return kind .. "-" .. sign.md5(kind .. i):sub(1, 17) end

--- "<a>1</a><b>2</b>" of pairs.
local function elements(list)
  local out = {}
  for i = 1, #list, 2 do out[#out + 1] = ("<%s>%s</%s>"):format(list[i], list[i + 1], list[i]) end
  return table.concat(out)
end

local function items(n, fn)
  local out = {}
  for i = 1, n do out[i] = "<item>" .. elements(fn(i)) .. "</item>" end
  return table.concat(out)
end

local TAGS = { "Name", "env", "team", "aws:autoscaling:groupName", "cost-center", "note" }
local START = "2025-05-01T10:11:12.000Z"

local function interface(i, address, groups)
  local attachment = elements { "attachmentId", id("eni-attach", i), "deviceIndex", 0, "networkCardIndex", 0, "status", "attached",
                                "attachTime", START, "deleteOnTermination", "true" }
  return elements {
    "networkInterfaceId", id("eni", i), "subnetId", id("subnet", 0), "vpcId", id("vpc", 0), "description", "", "ownerId", "123456789012",
    "status", "in-use", "macAddress", ("02:42:ac:11:%02x:%02x"):format(i >> 8 & 255, i & 255), "privateIpAddress", address,
    "privateDnsName", "ip-" .. address:gsub("%.", "-") .. ".ec2.internal", "sourceDestCheck", "true", "interfaceType", "interface",
    "groupSet", groups, "attachment", attachment,
    "association", elements { "publicIp", "54.1.2." .. (i & 255), "publicDnsName", "ec2-54-1-2-" .. (i & 255) .. ".compute-1.amazonaws.com",
                              "ipOwnerId", "amazon" },
    "privateIpAddressesSet", items(1, function() return { "privateIpAddress", address, "primary", "true" } end),
  }
end

local function instance(i)
  local address = ("10.0.%d.%d"):format(i >> 8 & 255, i & 255)
  local groups = items(2, function(n) return { "groupId", id("sg", n), "groupName", "default-" .. n } end)
  return elements {
    "instanceId", id("i", i), "imageId", id("ami", 1), "instanceState", elements { "code", 16, "name", "running" },
    "privateDnsName", "ip-" .. address:gsub("%.", "-") .. ".ec2.internal", "dnsName", ("ec2-54-1-2-%d.compute-1.amazonaws.com"):format(i & 255),
    "reason", "", "keyName", "ops", "amiLaunchIndex", 0, "productCodes", "", "instanceType", "m6i.large", "launchTime", START,
    "placement", elements { "availabilityZone", "us-east-1" .. ("abc"):sub(i % 3 + 1, i % 3 + 1), "groupName", "", "tenancy", "default" },
    "monitoring", elements { "state", "disabled" }, "subnetId", id("subnet", 0), "vpcId", id("vpc", 0), "privateIpAddress", address,
    "ipAddress", "54.1.2." .. (i & 255), "sourceDestCheck", "true", "groupSet", groups, "architecture", "x86_64", "rootDeviceType", "ebs",
    "rootDeviceName", "/dev/xvda", "blockDeviceMapping", items(2, function(n)
      return { "deviceName", "/dev/xvd" .. n, "ebs", elements { "volumeId", id("vol", i * 2 + n), "status", "attached", "attachTime", START,
                                                               "deleteOnTermination", "true" } }
    end),
    "virtualizationType", "hvm", "clientToken", sign.md5("token" .. i),
    "tagSet", items(#TAGS, function(n)
      return { "key", TAGS[n], "value", n == 6 and "ünï &lt;x&gt;" or ("%s %d &amp; co"):format(TAGS[n], i % 90) }
    end),
    "hypervisor", "xen", "networkInterfaceSet", "<item>" .. interface(i, address, groups) .. "</item>",
    "iamInstanceProfile", elements { "arn", "arn:aws:iam::123456789012:instance-profile/web", "id", "AIPA2ABCDEFGHIJKLMNOP" },
    "ebsOptimized", "true", "enaSupport", "true", "cpuOptions", elements { "coreCount", 1, "threadsPerCore", 2 },
    "hibernationOptions", elements { "configured", "false" }, "enclaveOptions", elements { "enabled", "false" },
    "metadataOptions", elements { "state", "applied", "httpTokens", "required", "httpPutResponseHopLimit", 2, "httpEndpoint", "enabled" },
    "platformDetails", "Linux/UNIX", "usageOperation", "RunInstances", "usageOperationUpdateTime", START,
  }
end

--- An answer of at least that many bytes; and how many instances it has.
local function answer(bytes)
  local parts, size, count = {}, 0, 0
  while size < bytes do
    count = count + 1
    parts[count] = "<item>" .. elements { "reservationId", id("r", count), "ownerId", "123456789012", "groupSet", "",
                                          "instancesSet", "<item>" .. instance(count) .. "</item>" } .. "</item>\n"
    size = size + #parts[count]
  end
  return ('<?xml version="1.0" encoding="UTF-8"?>\n<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">' ..
    "<requestId>59dbff89-35bd-4eac-99ed-be587a0fe1ce</requestId><reservationSet>%s</reservationSet></DescribeInstancesResponse>"):format(
    table.concat(parts)), count
end

local function run(words)
  words.timeout = 120
  local r = process.run(words)
  if r.code ~= 0 then
    errors.raise { kind = "remote", op = "run " .. words[1], message = r.stderr:match "([^\n]+)\n*$" or "exit code " .. tostring(r.code) }
  end
  return r.stdout
end

local function mark(figure, goal) return figure <= goal and "met" or "MISSED" end

local function row(what, ours, theirs, unit, name, goal, stretch)
  local ratio = ours / theirs
  print(("%-44s %8.2f %-2s  %-7s %8.2f %-2s  ratio %6.3f%s%s"):format(what, ours, unit, name, theirs, unit, ratio,
    goal and ("  goal %s %s"):format(goal, mark(ratio, goal)) or "",
    stretch and (", stretch %s %s"):format(stretch, mark(ratio, stretch):lower()) or ""))
end

local dir = fs.tmpdir "hkrun-bench-"
local ok, e = pcall(function()
  local body, count = answer(10000000)
  local file = dir .. "/ec2.xml"
  fs.write(file, body)
  local flags = run { "pkg-config", "--cflags", "--libs", "expat" }
  local compile = { "cc", "-O2", "-o", dir .. "/tree", "tests/bench/aws_xml/tree.c" }
  for flag in flags:gmatch "%S+" do compile[#compile + 1] = flag end
  run(compile)

  local ec2, best = model.load "ec2", math.huge
  local tree = math.huge
  for _ = 1, ROUNDS do                                          -- in turns, on a machine that others may use
    collectgarbage()
    local began = task.now()
    local result = reader.query(ec2, ec2.operations.DescribeInstances, body)
    best = math.min(best, task.now() - began)
    if #result.Reservations ~= count then errors.raise { kind = "protocol", message = "the answer was not read whole" } end
    tree = math.min(tree, tonumber(run { dir .. "/tree", file, "3" }))
  end
  row(("10 MB DescribeInstances: read %.1f MB"):format(#body / 1e6), best * 1000, tree, "ms", "expat", 2.5, 1.5)

  local call = ("%s -e 'assert(#aws.ec2:describe_instances{}.Reservations == %d)'"):format(SELF, count)
  local lines = {}
  for line in run({ "python3", "tests/bench/aws_xml/measure.py", file, tostring(ROUNDS), call,
                    (os.getenv "AWS" or "aws") .. " ec2 describe-instances" }):gmatch "[^\n]+" do
    local wall, user, system, peak = line:match "(%S+) (%S+) (%S+) (%S+)"
    lines[#lines + 1] = { wall = tonumber(wall), cpu = user + system, peak = tonumber(peak) }
  end
  row("  the whole call", lines[1].wall * 1000, lines[2].wall * 1000, "ms", "aws", 0.05)
  row("  CPU of it", lines[1].cpu * 1000, lines[2].cpu * 1000, "ms", "aws")
  local above = lines[1].peak - #body / 2 ^ 20
  print(("%-44s %8.2f MB  %-7s %8.2f MB  %.1f MB above the body  goal 40 %s"):format("  peak memory of it", lines[1].peak, "aws",
    lines[2].peak, above, mark(above, 40)))
end)
fs.rmtree(dir)
if not ok then error(e, 0) end
