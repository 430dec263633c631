--- aws.reach: who can connect to what, judged from data. The cases change one VPC: a database and an app in private
--- subnets, a bastion in a public one.
local aws = require "aws"
local boxes = require "aws.reach.boxes"
local cidr = require "aws.common.cidr"
local errors = require "errors"
local test = require "test"
local T = test.cases()

local function range(text, more)
  local p = { IpRanges = {}, Ipv6Ranges = {}, UserIdGroupPairs = {}, PrefixListIds = {}, IpProtocol = "tcp" }
  for k, v in pairs(more or {}) do p[k] = v end
  if text:find "^sg%-" then p.UserIdGroupPairs = { { GroupId = text } }
  elseif text:find "^pl%-" then p.PrefixListIds = { { PrefixListId = text } }
  elseif text:find ":" then p.Ipv6Ranges = { { CidrIpv6 = text } }
  else p.IpRanges = { { CidrIp = text } } end
  return p
end

local function port(n, from) return range(from, { FromPort = n, ToPort = n }) end
local function everything(from) return range(from, { IpProtocol = "-1" }) end

local function subnet(id, block) return { SubnetId = id, VpcId = "vpc-1", CidrBlock = block, Ipv6CidrBlockAssociationSet = {} } end

local function route(to, target)
  local r = { State = "active" }
  if to:find "^pl%-" then r.DestinationPrefixListId = to
  elseif to:find ":" then r.DestinationIpv6CidrBlock = to
  else r.DestinationCidrBlock = to end
  if target == "blackhole" then r.State, r.GatewayId = "blackhole", "igw-9"
  elseif target:find "^pcx" then r.VpcPeeringConnectionId = target
  elseif target:find "^nat" then r.NatGatewayId = target
  elseif target:find "^eigw" then r.EgressOnlyInternetGatewayId = target
  elseif target:find "^tgw" then r.TransitGatewayId = target
  else r.GatewayId = target end
  return r
end

local function entry(number, action, egress, block, first, last, protocol)
  local e = { RuleNumber = number, RuleAction = action, Egress = egress, Protocol = protocol or first and "6" or "-1",
              PortRange = first and { From = first, To = last or first } or nil }
  e[block:find ":" and "Ipv6CidrBlock" or "CidrBlock"] = block
  return e
end

local OPEN = { entry(100, "allow", false, "0.0.0.0/0"), entry(100, "allow", true, "0.0.0.0/0"),
               entry(101, "allow", false, "::/0"), entry(101, "allow", true, "::/0"),
               entry(32767, "deny", false, "0.0.0.0/0"), entry(32767, "deny", true, "0.0.0.0/0") }

--- The VPC as a good recipe makes it.
local function vpc()
  return {
    Subnets = { subnet("subnet-public", "10.40.0.0/20"), subnet("subnet-private", "10.40.128.0/20"), subnet("subnet-other", "10.40.144.0/20") },
    RouteTables = {
      { VpcId = "vpc-1", Associations = { { Main = true } }, Routes = { route("10.40.0.0/16", "local") } },
      { VpcId = "vpc-1", Associations = { { SubnetId = "subnet-public" } },
        Routes = { route("10.40.0.0/16", "local"), route("0.0.0.0/0", "igw-1") } },
    },
    NetworkAcls = { { Entries = OPEN, Associations = { { SubnetId = "subnet-public" }, { SubnetId = "subnet-private" },
                                                       { SubnetId = "subnet-other" } } } },
    SecurityGroups = {
      { GroupId = "sg-db", GroupName = "shop-db", IpPermissions = { port(5432, "sg-app"), port(5432, "sg-door") } },
      { GroupId = "sg-app", GroupName = "shop-app", IpPermissions = {} },
      { GroupId = "sg-door", GroupName = "shop-bastion", IpPermissions = { port(22, "203.0.113.7/32") } },
    },
    DBInstances = { { DBInstanceIdentifier = "shop", PubliclyAccessible = false, Endpoint = { Port = 5432 },
                      VpcSecurityGroups = { { VpcSecurityGroupId = "sg-db" } },
                      DBSubnetGroup = { Subnets = { { SubnetIdentifier = "subnet-private" } } } } },
    Instances = { { InstanceId = "i-door", Tags = { { Key = "Name", Value = "door" } } } },
    NetworkInterfaces = {
      { NetworkInterfaceId = "eni-1", SubnetId = "subnet-public", Attachment = { InstanceId = "i-door" }, Groups = { { GroupId = "sg-door" } },
        Association = { PublicIp = "198.51.100.1" } },
      { NetworkInterfaceId = "eni-2", SubnetId = "subnet-other", Description = "app", Groups = { { GroupId = "sg-app" } } },
      { NetworkInterfaceId = "eni-3", SubnetId = "subnet-private", Description = "RDSNetworkInterface", Groups = { { GroupId = "sg-db" } } },
    },
  }
end

local GOOD = { "22 of instance door from 203.0.113.7/32", "5432 of database shop from the group shop-app",
               "5432 of database shop from the group shop-bastion" }

local function db_rules(v, ...) v.SecurityGroups[1].IpPermissions = { ... } end
local function make_public(v) v.DBInstances[1].PubliclyAccessible = true end
local function move_db(v) v.DBInstances[1].DBSubnetGroup.Subnets[1].SubnetIdentifier = "subnet-public" end
local function public_db(v, ...) make_public(v) move_db(v) db_rules(v, ...) end

--- The ACL of the subnet of the database; the others keep the open one.
local function acl(v, id, ...)
  local list = v.NetworkAcls[1].Associations
  for i = #list, 1, -1 do if list[i].SubnetId == id then table.remove(list, i) end end
  v.NetworkAcls[#v.NetworkAcls + 1] = { Entries = { ... }, Associations = { { SubnetId = id } } }
end

local function six(v)
  for i, s in ipairs(v.Subnets) do s.Ipv6CidrBlockAssociationSet = { { Ipv6CidrBlock = ("2001:db8:0:%d::/64"):format(i) } } end
  for _, t in ipairs(v.RouteTables) do table.insert(t.Routes, route("2001:db8::/56", "local")) end
  v.NetworkInterfaces[1].Ipv6Addresses = { { Ipv6Address = "2001:db8:0:1::5" } }
end

local IN, OUT = false, true

--- { what, change of the VPC, the openings of the database or, with a fourth value, of the bastion }
local CASES = {
  { "the app and the bastion, and nobody else", function() end, { "from the group shop-app", "from the group shop-bastion" } },
  { "a rule for everybody does not reach a private database from outside, only from the VPC",
    function(v) db_rules(v, port(5432, "0.0.0.0/0")) end, { "from 10.40.0.0/16" } },
  { "a public database in a public subnet is open", function(v) public_db(v, port(5432, "0.0.0.0/0")) end,
    { "from 0.0.0.0/0", "from 10.40.0.0/16" } },
  { "a public address in a subnet without a way out reaches nobody",
    function(v) make_public(v) db_rules(v, port(5432, "0.0.0.0/0")) end, { "from 10.40.0.0/16" } },
  { "a public subnet alone makes nothing public", function(v) move_db(v) db_rules(v, port(5432, "0.0.0.0/0")) end, { "from 10.40.0.0/16" } },
  { "a subnet without a table of its own has the main one", function(v)
      make_public(v)
      table.insert(v.RouteTables[1].Routes, route("0.0.0.0/0", "igw-1"))
      db_rules(v, port(5432, "0.0.0.0/0"))
    end, { "from 0.0.0.0/0", "from 10.40.0.0/16" } },
  { "of the subnets of its group, the worst counts", function(v)
      make_public(v)
      table.insert(v.DBInstances[1].DBSubnetGroup.Subnets, { SubnetIdentifier = "subnet-public" })
      db_rules(v, port(5432, "198.51.100.0/24"))
    end, { "from 198.51.100.0/24" } },
  { "all protocols and ports of a rule come down to the port at which it listens",
    function(v) public_db(v, everything "0.0.0.0/0") end, { "from 0.0.0.0/0", "from 10.40.0.0/16" } },
  { "the protocol by its number", function(v) public_db(v, range("198.51.100.0/24", { IpProtocol = "6", FromPort = 5000, ToPort = 6000 })) end,
    { "from 198.51.100.0/24" } },
  { "other ports, and udp, are not its port", function(v)
      public_db(v, port(5433, "0.0.0.0/0"), range("0.0.0.0/0", { IpProtocol = "udp", FromPort = 5432, ToPort = 5432 }))
    end, {} },
  { "private ranges do not come from the internet", function(v) public_db(v, port(5432, "192.168.0.0/16"), port(5432, "172.16.0.0/12")) end, {} },
  { "a NAT gateway lets nobody in", function(v)
      make_public(v)
      table.insert(v.RouteTables[1].Routes, route("0.0.0.0/0", "nat-1"))
      db_rules(v, port(5432, "198.51.100.0/24"))
    end, {} },
  { "a way that leads nowhere", function(v) public_db(v, port(5432, "198.51.100.0/24")) v.RouteTables[2].Routes[2].State = "blackhole" end, {} },
  { "a longer route takes a part away", function(v)
      public_db(v, port(5432, "198.51.0.0/16"))
      table.insert(v.RouteTables[2].Routes, route("198.51.0.0/17", "blackhole"))
    end, { "from 198.51.128.0/17" } },
  { "a peered network by its range, if a route leads there", function(v)
      db_rules(v, port(5432, "10.60.0.0/16"), port(5432, "10.61.0.0/16"))
      table.insert(v.RouteTables[1].Routes, route("10.60.0.0/16", "pcx-1"))
    end, { "from 10.60.0.0/16 by pcx-1" } },
  { "a transit gateway's networks by a prefix list in the route", function(v)
      db_rules(v, port(5432, "10.0.0.0/8"))
      v.PrefixLists = { ["pl-r"] = { { Cidr = "10.70.0.0/16" } } }
      table.insert(v.RouteTables[1].Routes, route("pl-r", "tgw-1"))
    end, { "from 10.40.0.0/16", "from 10.70.0.0/16 by tgw-1" } },
  { "a group beyond a peering that is there, and one beyond none", function(v)
      local near, far = port(5432, "sg-near"), port(5432, "sg-far")
      near.UserIdGroupPairs[1].VpcPeeringConnectionId, far.UserIdGroupPairs[1].VpcPeeringConnectionId = "pcx-1", "pcx-2"
      db_rules(v, near, far)
      table.insert(v.RouteTables[1].Routes, route("10.60.0.0/16", "pcx-1"))
    end, { "from the group sg-near" } },
  { "the entries of a prefix list", function(v)
      public_db(v, port(5432, "pl-1"))
      v.PrefixLists = { ["pl-1"] = { { Cidr = "198.51.100.0/24" }, { Cidr = "10.9.0.0/16" } } }
    end, { "from 198.51.100.0/24 (pl-1)" } },
  { "an empty prefix list is nobody", function(v) public_db(v, port(5432, "pl-1")) v.PrefixLists = { ["pl-1"] = {} } end, {} },
  { "a prefix list that cannot be read is everybody", function(v) public_db(v, port(5432, "pl-1")) end,
    { "from 0.0.0.0/0 (pl-1)", "from 10.40.0.0/16 (pl-1)" } },
  { "an ACL that denies a part first", function(v)
      public_db(v, port(5432, "0.0.0.0/0"))
      acl(v, "subnet-public", entry(90, "deny", IN, "128.0.0.0/1"), entry(91, "deny", IN, "64.0.0.0/2"), entry(92, "deny", IN, "32.0.0.0/3"),
        entry(100, "allow", IN, "0.0.0.0/0"), entry(100, "allow", OUT, "0.0.0.0/0"))
    end, { "from 0.0.0.0/5, 8.0.0.0/7, 11.0.0.0/8, 12.0.0.0/6 and 1 more", "from 10.40.0.0/16" } },
  { "an ACL's deny that comes too late", function(v)
      public_db(v, port(5432, "198.51.100.0/24"))
      acl(v, "subnet-public", entry(200, "deny", IN, "198.51.100.0/24"), entry(100, "allow", IN, "0.0.0.0/0"),
        entry(100, "allow", OUT, "0.0.0.0/0"))
    end, { "from 198.51.100.0/24" } },
  { "an ACL that denies the port", function(v)
      public_db(v, port(5432, "198.51.100.0/24"))
      acl(v, "subnet-public", entry(90, "deny", IN, "0.0.0.0/0", 5000, 5999), entry(100, "allow", IN, "0.0.0.0/0"),
        entry(100, "allow", OUT, "0.0.0.0/0"))
    end, {} },
  { "an ACL that lets no answer out", function(v)
      public_db(v, port(5432, "198.51.100.0/24"))
      acl(v, "subnet-public", entry(100, "allow", IN, "0.0.0.0/0"), entry(100, "allow", OUT, "0.0.0.0/0", 443))
    end, {} },
  { "an ACL that says nothing of them", function(v)
      public_db(v, port(5432, "198.51.100.0/24"))
      acl(v, "subnet-public", entry(100, "allow", IN, "203.0.113.0/24"), entry(100, "allow", OUT, "0.0.0.0/0"))
    end, {} },
  { "an ACL between the subnets shuts the app out, not the bastion", function(v)
      acl(v, "subnet-private", entry(90, "deny", IN, "10.40.144.0/20"), entry(100, "allow", IN, "0.0.0.0/0"),
        entry(100, "allow", OUT, "0.0.0.0/0"))
    end, { "from the group shop-bastion" } },
  { "the ACL of the app's own subnet", function(v) acl(v, "subnet-other", entry(100, "allow", IN, "0.0.0.0/0")) end,
    { "from the group shop-bastion" } },
  { "within one subnet no ACL counts", function(v)
      v.NetworkInterfaces[2].SubnetId = "subnet-private"
      acl(v, "subnet-private", entry(100, "deny", IN, "0.0.0.0/0"))
    end, { "from the group shop-app" } },
  { "a group that nobody is in yet", function(v)
      db_rules(v, port(5432, "sg-later"))
      table.insert(v.SecurityGroups, { GroupId = "sg-later", GroupName = "later", IpPermissions = {} })
    end, { "from the group later" } },
  { "an address without its IPv6 side is reached by no IPv6 rule",
    function(v) v.SecurityGroups[3].IpPermissions = { port(22, "::/0") } end, {}, "door" },
  { "IPv6 needs a route of its own",
    function(v) six(v) v.SecurityGroups[3].IpPermissions = { port(22, "::/0") } end, { "from 2001:db8::/56" }, "door" },
  { "IPv6 by the internet gateway", function(v)
      six(v)
      table.insert(v.RouteTables[2].Routes, route("::/0", "igw-1"))
      v.SecurityGroups[3].IpPermissions = { port(22, "::/0") }
    end, { "from 2001:db8::/56", "from ::/0" }, "door" },
  { "an egress-only gateway lets nobody in", function(v)
      six(v)
      table.insert(v.RouteTables[2].Routes, route("::/0", "eigw-1"))
      v.SecurityGroups[3].IpPermissions = { port(22, "2001:db9::/32") }
    end, {}, "door" },
  { "an ACL's deny for IPv6 says nothing of IPv4", function(v)
      six(v)
      table.insert(v.RouteTables[2].Routes, route("::/0", "igw-1"))
      table.insert(v.SecurityGroups[3].IpPermissions, port(22, "2001:db9::/32"))
      acl(v, "subnet-public", entry(90, "deny", IN, "::/0"), table.unpack(OPEN))
    end, { "from 203.0.113.7/32" }, "door" },
  { "unique local addresses do not come from the internet", function(v)
      six(v)
      table.insert(v.RouteTables[2].Routes, route("::/0", "igw-1"))
      v.SecurityGroups[3].IpPermissions = { port(22, "fd00::/8") }
    end, {}, "door" },
  { "without its public address the bastion is not reached", function(v) v.NetworkInterfaces[1].Association = nil end, {}, "door" },
  { "a public address beside the first one counts", function(v)
      v.NetworkInterfaces[1].Association = nil
      v.NetworkInterfaces[1].PrivateIpAddresses = { {}, { Association = { PublicIp = "198.51.100.2" } } }
    end, { "from 203.0.113.7/32" }, "door" },
  { "the rules of all its groups count", function(v) table.insert(v.NetworkInterfaces[1].Groups, { GroupId = "sg-app" })
      v.SecurityGroups[2].IpPermissions = { port(80, "0.0.0.0/0") } end,
    { "from 203.0.113.7/32", "from 0.0.0.0/0", "from 10.40.0.0/16" }, "door" },
}

for _, case in ipairs(CASES) do
  local name, change, want, of = table.unpack(case, 1, 4)
  T[name] = function()
    local v, have = vpc(), {}
    change(v)
    for _, o in ipairs(aws.reach { answers = v }) do
      if o.thing == (of or "shop") then have[#have + 1] = o.text:match "from .*$" end
    end
    table.sort(have)
    table.sort(want)
    test.equal(have, want)
  end
end

T["every opening of the VPC, in words and in parts"] = function()
  local openings, words = aws.reach { answers = vpc() }, {}
  for i, o in ipairs(openings) do words[i] = o.text end
  test.equal(words, GOOD)
  local o = openings:where { what = "internet" }
  test.equal(#o, 1)
  test.equal({ o[1].id, o[1].kind, o[1].protocol, o[1].port, o[1].to_port, o[1].from, o[1].via, o[1].rule },
    { "i-door", "instance", "tcp", 22, 22, "203.0.113.7/32", "igw-1", "sg-door" })
end

T["ranges of ports and udp are told as such"] = function()
  local v = vpc()
  v.SecurityGroups[3].IpPermissions = { range("198.51.100.0/24", { FromPort = 8000, ToPort = 8099 }),
    range("198.51.100.0/24", { IpProtocol = "udp", FromPort = 53, ToPort = 53 }), everything "203.0.113.0/24",
    range("198.51.100.0/24", { IpProtocol = "icmp", FromPort = -1, ToPort = -1 }) }
  local words = {}
  for _, o in ipairs(aws.reach { answers = v }) do if o.thing == "door" then words[#words + 1] = o.text end end
  test.equal(words, { "all ports (udp) of instance door from 203.0.113.0/24", "all ports of instance door from 203.0.113.0/24",
                      "53/udp of instance door from 198.51.100.0/24", "8000-8099 of instance door from 198.51.100.0/24" })
end

T["a load balancer is open at its listeners only, a cache at its port, an interface that nobody knows by its groups"] = function()
  local v = vpc()
  v.SecurityGroups[2].IpPermissions = { everything "0.0.0.0/0" }
  v.NetworkInterfaces[2].Association, v.NetworkInterfaces[2].SubnetId = { PublicIp = "198.51.100.9" }, "subnet-public"
  v.LoadBalancers = { { LoadBalancerArn = "arn:lb", LoadBalancerName = "lb", Scheme = "internet-facing", SecurityGroups = { "sg-app" },
                        AvailabilityZones = { { SubnetId = "subnet-public" } }, Listeners = { { Port = 443 }, { Port = 80 } } },
                      { LoadBalancerArn = "arn:in", LoadBalancerName = "inside", Scheme = "internal", SecurityGroups = {},
                        AvailabilityZones = { { SubnetId = "subnet-public" } }, Listeners = { { Port = 81 } } } }
  v.CacheClusters = { { CacheClusterId = "shop-001", CacheSubnetGroupName = "g", SecurityGroups = { { SecurityGroupId = "sg-app" } },
                        CacheNodes = { { Endpoint = { Port = 6380 } } } } }
  v.CacheSubnetGroups = { { CacheSubnetGroupName = "g", Subnets = { { SubnetIdentifier = "subnet-public" } } } }
  local words = {}
  for _, o in ipairs(aws.reach { answers = v }) do
    if o.thing ~= "shop" and o.thing ~= "door" then words[#words + 1] = ("%s %s"):format(o.what, o.text) end
  end
  test.equal(words, {
    "internet all ports (udp) of interface app from 0.0.0.0/0", "vpc all ports (udp) of interface app from 10.40.0.0/16",
    "internet all ports of interface app from 0.0.0.0/0", "vpc all ports of interface app from 10.40.0.0/16",
    "vpc 81 of load balancer inside from 10.40.0.0/16",
    "internet 80 of load balancer lb from 0.0.0.0/0", "vpc 80 of load balancer lb from 10.40.0.0/16",
    "internet 443 of load balancer lb from 0.0.0.0/0", "vpc 443 of load balancer lb from 10.40.0.0/16",
    "vpc 6380 of cache shop-001 from 10.40.0.0/16" })
end

T["what the answers lack is said, and nothing is judged"] = function()
  local v = vpc()
  table.remove(v.SecurityGroups, 1)
  test.raises("no security group sg%-db, which shop has", aws.reach, { answers = v })
  test.raises("either a vpc or answers", aws.reach, {})
  test.truthy(errors.is(select(2, pcall(aws.reach, { answers = {}, vpc = "vpc-1" })), "usage"))
end

--- Whether an address and a port are in one of the boxes.
local function is_in(list, bits, n)
  for _, box in ipairs(list) do
    if bits:sub(1, #box.bits) == box.bits and n >= box.first and n <= box.last then return true end
  end
  return false
end

T["cutting by rules answers for each address and port what the first rule says that fits"] = function()
  local seed = 42
  local function random(n) seed = (seed * 1103515245 + 12345) % 2147483648 return seed // 65536 % n end
  local function box()
    local bits = { "4" }
    for _ = 1, random(6) do bits[#bits + 1] = tostring(random(2)) end
    local first = random(8)
    return { bits = table.concat(bits), first = first, last = first + random(8 - first), allow = random(2) == 0 }
  end
  for _ = 1, 200 do
    local whole, rules = { box() }, {}
    for i = 1, 1 + random(6) do rules[i] = box() end
    local pieces, allowed = boxes.cut(whole, rules), {}
    for _, piece in ipairs(pieces) do if piece.rule.allow then allowed[#allowed + 1] = piece.box end end
    local regrouped, without = {}, boxes.minus(whole, { rules[1].bits })
    for _, group in ipairs(boxes.by_port(allowed)) do
      for _, bits in ipairs(group.ranges) do regrouped[#regrouped + 1] = { bits = bits, first = group.first, last = group.last } end
    end
    for address = 0, 63 do
      local bits = "4"
      for i = 5, 0, -1 do bits = bits .. (address >> i & 1) end
      for n = 0, 7 do
        local want = false
        for _, rule in ipairs(rules) do
          if is_in({ rule }, bits, n) then want = rule.allow and is_in(whole, bits, n) break end
        end
        test.equal(is_in(allowed, bits, n), want)
        test.equal(is_in(regrouped, bits, n), want)
        test.equal(is_in(without, bits, n), is_in(whole, bits, n) and bits:sub(1, #rules[1].bits) ~= rules[1].bits)
      end
    end
  end
end

T["ranges and their bits"] = function()
  for text, bits in pairs { ["0.0.0.0/0"] = "4", ["128.0.0.0/1"] = "41", ["10.40.0.0/16"] = "40000101000101000", ["::/0"] = "6",
                            ["8000::/1"] = "61" } do
    test.equal(cidr.bits(text), bits)
    test.equal(cidr.of_bits(bits), text)
  end
  for _, text in ipairs { "203.0.113.7/32", "2001:db8:0:1::/64", "fe80::1/128" } do test.equal(cidr.of_bits(cidr.bits(text)), text) end
  for _, text in ipairs { "", "sg-1", "300.1.1.1/8", "10.0.0.0/33", "::/129", "10.0.0.0" } do test.equal(cidr.bits(text), nil, text) end
end

return T
