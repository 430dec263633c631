--- Who can connect to what in a VPC, judged from what AWS's describe calls answer: security groups, routes, network ACLs
--- and public addresses, for IPv4 and IPv6, port by port.
---
---     for _, opening in ipairs(aws.reach { vpc = net.id }) do print(opening.text) end
---     aws.reach({ vpc = net.id }):where { what = "internet" }
---     aws.reach { answers = answers }        -- nothing is asked: the answers are given
---
--- Nothing is sent to find out. Where it cannot know it says that the way is open: the rules for what a source may send
--- are not weighed, and a prefix list whose entries it cannot read is everybody. Protocols without ports are left out.
local boxes = require "aws.reach.boxes"
local cidr = require "aws.common.cidr"
local errors = require "errors"
local json = require "json"
local options = require "options"
local read = require "aws.reach.read"

---@class Opening
---@field thing string name of what is reached
---@field kind "database"|"cache"|"load balancer"|"instance"|"interface"
---@field id string its id
---@field protocol "tcp"|"udp"
---@field port integer first port
---@field to_port integer last port
---@field what "internet"|"network"|"vpc"|"group" where the connections come from: a network is one beyond a peering, a VPN, ...
---@field from string a range, or the name of a security group
---@field group string? id of the group, when it is one
---@field via string? the gateway, for the internet and other networks
---@field rule string the security group that lets them in; "" for what has none
---@field text string all of that in words

local declared = {
  { "vpc", "id of the VPC, of which everything is read", type = "string" },
  { "answers", "what the describe calls answered, by AWS's names: Subnets, RouteTables, NetworkAcls, ...", type = "table" },
}

local NUMBERS = { tcp = "6", udp = "17" }
local EPHEMERAL = { first = 1024, last = 65535 }             -- the ports that answers go to

--- Ranges that never come from the internet: RFC 1918, RFC 6598; RFC 4193, RFC 4291.
local PRIVATE = {}
for i, range in ipairs { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10" } do
  PRIVATE[i] = cidr.bits(range)
end

-- What AWS answers, as rules -------------------------------------------------

local function range_of(bits, ports) return { bits = bits, first = ports.first, last = ports.last } end

local function list_entries(answers, id)
  local list = {}
  for _, entry in ipairs((answers.PrefixLists or {})[id] or {}) do
    list[#list + 1] = cidr.bits(type(entry) == "table" and entry.Cidr or entry)
  end
  return list
end

--- A network ACL's entries for one direction and protocol, in the order in which they count.
local function acl_rules(acl, egress, protocol)
  local rules = {}
  for _, e in ipairs(acl and acl.Entries or {}) do
    local bits = cidr.bits(e.CidrBlock or e.Ipv6CidrBlock or "")
    if bits and (e.Egress or false) == egress and (e.Protocol == "-1" or e.Protocol == NUMBERS[protocol]) then
      local ports = e.Protocol ~= "-1" and e.PortRange or {}
      rules[#rules + 1] = { bits = bits, first = ports.From or 0, last = ports.To or 65535, allow = e.RuleAction == "allow", number = e.RuleNumber }
    end
  end
  table.sort(rules, function(a, b) return a.number < b.number end)
  return rules
end

--- The way that a route leads, by the kind of its target.
local function target_of(route)
  return route.GatewayId or route.VpcPeeringConnectionId or route.TransitGatewayId or route.NatGatewayId or route.EgressOnlyInternetGatewayId
         or route.NetworkInterfaceId or route.LocalGatewayId or route.CarrierGatewayId or route.CoreNetworkArn or ""
end

--- A route table's routes, the longest prefix first.
local function route_rules(answers, route_table)
  local rules = {}
  for _, route in ipairs(route_table and route_table.Routes or {}) do
    local ranges = { cidr.bits(route.DestinationCidrBlock or route.DestinationIpv6CidrBlock or "") }
    if route.DestinationPrefixListId then ranges = list_entries(answers, route.DestinationPrefixListId) end
    for _, bits in ipairs(ranges) do
      rules[#rules + 1] = { bits = bits, first = 0, last = 65535, target = route.State ~= "blackhole" and target_of(route) or "", n = #rules }
    end
  end
  table.sort(rules, function(a, b)
    if #a.bits ~= #b.bits then return #a.bits > #b.bits end
    return a.n < b.n
  end)
  return rules
end

--- The subnets of the VPC, each with its range or ranges, routes and ACL.
local function subnets_of(answers)
  local by_id, main = {}, {}
  for _, s in ipairs(answers.Subnets or {}) do
    local ranges = { cidr.bits(s.CidrBlock or "") }
    for _, a in ipairs(s.Ipv6CidrBlockAssociationSet or {}) do ranges[#ranges + 1] = cidr.bits(a.Ipv6CidrBlock or "") end
    by_id[s.SubnetId] = { id = s.SubnetId, vpc = s.VpcId, ranges = ranges }
  end
  for _, t in ipairs(answers.RouteTables or {}) do
    for _, a in ipairs(t.Associations or {}) do
      if a.Main then main[t.VpcId] = t
      elseif by_id[a.SubnetId] then by_id[a.SubnetId].table = t end
    end
  end
  for _, acl in ipairs(answers.NetworkAcls or {}) do
    for _, a in ipairs(acl.Associations or {}) do
      if by_id[a.SubnetId] then by_id[a.SubnetId].acl = acl end
    end
  end
  for _, s in pairs(by_id) do s.routes = route_rules(answers, s.table or main[s.vpc]) end
  return by_id
end

-- The judgement --------------------------------------------------------------

--- What an ACL lets through of these boxes. A subnet of which no ACL is known has none.
local function through(subnet, egress, protocol, list)
  if not subnet.acl then return list end
  local left = {}
  for _, piece in ipairs(boxes.cut(list, acl_rules(subnet.acl, egress, protocol))) do
    if piece.rule.allow then left[#left + 1] = piece.box end
  end
  return left
end

--- The part of boxes (of sources) that gets into a subnet and of which answers get out again.
local function in_and_out(subnet, protocol, list)
  list = through(subnet, false, protocol, list)
  if protocol ~= "tcp" or not subnet.acl then return list end
  local back, ranges = {}, {}
  for i, box in ipairs(list) do back[i] = range_of(box.bits, EPHEMERAL) end
  for i, box in ipairs(through(subnet, true, protocol, back)) do ranges[i] = range_of(box.bits, { first = 0, last = 65535 }) end
  return boxes.both(list, ranges)
end

--- The same between two subnets of the VPC: the source's ACL counts, too. Within one subnet none does.
local function between(source, target, protocol, ports)
  local list = {}
  for i, bits in ipairs(source.ranges) do list[i] = range_of(bits, ports) end
  if source.id == target.id then return list end
  list = in_and_out(target, protocol, list)
  if not source.acl then return list end
  local there, back = {}, {}
  for i, bits in ipairs(target.ranges) do there[i], back[i] = range_of(bits, ports), range_of(bits, EPHEMERAL) end
  if #through(source, true, protocol, there) == 0 then return {} end
  return (protocol ~= "tcp" or #through(source, false, protocol, back) > 0) and list or {}
end

--- What connections from a range can take, by the way on which their answers go.
---@return { what: string, via: string?, boxes: ReachBox[] }[]
local function ways(thing, subnet, protocol, bits, ports, subnets)
  local found, v6 = {}, bits:sub(1, 1) == "6"
  if v6 and not thing.ipv6 then return found end
  for _, piece in ipairs(boxes.cut({ range_of(bits, ports) }, subnet.routes)) do
    local target, list = piece.rule.target, { piece.box }
    local what, via, within = "network", target, nil
    if target == "local" then
      what, via, list, within = "vpc", nil, {}, piece.box.bits
      for _, source in pairs(subnets) do
        for _, box in ipairs(boxes.both(between(source, subnet, protocol, ports), { piece.box })) do list[#list + 1] = box end
      end
    elseif target:find "^igw%-" then
      what = "internet"
      local has = thing.public
      if v6 then has = thing.ipv6 == "public" end
      list = has and in_and_out(subnet, protocol, boxes.minus(list, PRIVATE)) or {}
    elseif target == "" or target:find "^nat%-" or target:find "^eigw%-" then
      list = {}                                              -- nobody comes in there
    else
      list = in_and_out(subnet, protocol, list)
    end
    if #list > 0 then
      local way
      for _, w in ipairs(found) do if w.what == what and w.via == via then way = w end end
      if not way then
        way = { what = what, via = via, boxes = {}, within = within }
        found[#found + 1] = way
      end
      table.move(list, 1, #list, #way.boxes + 1, way.boxes)
    end
  end
  return found
end

--- A range as the rule wrote it, when all of it that can come this way does; else the parts that do.
local function words_of(way, group, bits, subnet, subnets)
  local all = { range_of(way.within or bits, group) }
  if way.what == "vpc" then
    local stand = {}
    for _, s in pairs(subnets) do
      for _, range in ipairs(s.ranges) do stand[#stand + 1] = range_of(range, group) end
    end
    all = boxes.both(stand, all)
  elseif way.what == "internet" then
    local elsewhere = {}
    for _, rule in ipairs(subnet.routes) do
      if #rule.bits > #bits and not rule.target:find "^igw%-" and rule.target ~= "" then elsewhere[#elsewhere + 1] = rule.bits end
    end
    all = boxes.minus(boxes.minus(all, PRIVATE), elsewhere)
  end
  local whole = boxes.by_port(all)[1]
  local same = whole and table.concat(whole.ranges, " ") == table.concat(group.ranges, " ")
  return same and cidr.of_bits(way.within or bits) or boxes.show(group.ranges)
end

local function port_words(o)
  if o.port == 0 and o.to_port == 65535 then return "all ports" .. (o.protocol == "udp" and " (udp)" or "") end
  local ports = o.port == o.to_port and tostring(o.port) or ("%d-%d"):format(o.port, o.to_port)
  return ports .. (o.protocol == "udp" and "/udp" or "")
end

--- The peers of a permission, each in its own form.
local function peers_of(answers, p)
  local list = {}
  for _, r in ipairs(p.IpRanges or {}) do list[#list + 1] = { bits = cidr.bits(r.CidrIp) } end
  for _, r in ipairs(p.Ipv6Ranges or {}) do list[#list + 1] = { bits = cidr.bits(r.CidrIpv6) } end
  for _, r in ipairs(p.PrefixListIds or {}) do
    local entries = list_entries(answers, r.PrefixListId)
    if #entries == 0 and not (answers.PrefixLists or {})[r.PrefixListId] then entries = { "4", "6" } end
    for _, bits in ipairs(entries) do list[#list + 1] = { bits = bits, list = r.PrefixListId } end
  end
  for _, r in ipairs(p.UserIdGroupPairs or {}) do
    list[#list + 1] = { group = r.GroupId, name = r.GroupName, peering = r.VpcPeeringConnectionId }
  end
  return list
end

--- The ports of a permission for a protocol; nil when it is about another.
local function ports_of(p, protocol)
  if p.IpProtocol == "-1" then return { first = 0, last = 65535 } end
  if p.IpProtocol == protocol or p.IpProtocol == NUMBERS[protocol] then return { first = p.FromPort or 0, last = p.ToPort or 65535 } end
end

--- The parts of those ports at which the thing listens.
local function listening(thing, protocol, ports)
  if not thing.ports then return { ports } end
  local list = {}
  for _, port in ipairs(protocol == "tcp" and thing.ports or {}) do
    if port >= ports.first and port <= ports.last then list[#list + 1] = { first = port, last = port } end
  end
  return list
end

local function judge(answers)
  local things, subnets, groups = read.things(answers), subnets_of(answers), {}
  for _, g in ipairs(answers.SecurityGroups or {}) do groups[g.GroupId] = g end
  local found, seen = {}, {}

  local function add(thing, protocol, ports, o)
    o.thing, o.kind, o.id, o.protocol, o.port, o.to_port = thing.name, thing.kind, thing.id, protocol, ports.first, ports.last
    local from = o.what == "group" and "the group " .. o.from or o.from
    o.text = ("%s of %s %s from %s%s"):format(port_words(o), thing.kind, thing.name, from, o.what == "network" and " by " .. o.via or "")
    local key = o.text .. " " .. thing.id .. (o.group or "")
    if not seen[key] then
      seen[key] = true
      found[#found + 1] = o
    end
  end

  --- Members of a group in the VPC can stand in any subnet of theirs; of a group that is empty, in any.
  local function sources_of(id)
    local list = {}
    for _, thing in ipairs(things) do
      for _, group in ipairs(thing.groups) do
        for _, subnet in ipairs(group == id and thing.subnets or {}) do list[subnet] = subnets[subnet] end
      end
    end
    return next(list) and list or subnets
  end

  local function from_group(thing, subnet, protocol, ports, peer, rule)
    local reached = false
    if peer.peering then
      for _, route in ipairs(subnet.routes) do reached = reached or route.target == peer.peering end
    else
      for _, source in pairs(sources_of(peer.group)) do reached = reached or #between(source, subnet, protocol, ports) > 0 end
    end
    if not reached then return end
    local group = groups[peer.group]
    add(thing, protocol, ports, { what = "group", from = group and group.GroupName or peer.name or peer.group, group = peer.group,
                                  via = peer.peering, rule = rule })
  end

  local function from_range(thing, subnet, protocol, ports, peer, rule)
    for _, way in ipairs(ways(thing, subnet, protocol, peer.bits, ports, subnets)) do
      for _, part in ipairs(boxes.by_port(way.boxes)) do
        local from = words_of(way, part, peer.bits, subnet, subnets)
        add(thing, protocol, part, { what = way.what, via = way.via, from = peer.list and ("%s (%s)"):format(from, peer.list) or from, rule = rule })
      end
    end
  end

  local function by_permission(thing, subnet, permission, rule)
    for _, protocol in ipairs { "tcp", "udp" } do
      local all = ports_of(permission, protocol)
      for _, ports in ipairs(all and listening(thing, protocol, all) or {}) do
        for _, peer in ipairs(peers_of(answers, permission)) do
          if peer.group then from_group(thing, subnet, protocol, ports, peer, rule)
          else from_range(thing, subnet, protocol, ports, peer, rule) end
        end
      end
    end
  end

  local EVERYBODY = { IpProtocol = "-1", IpRanges = { { CidrIp = "0.0.0.0/0" } }, Ipv6Ranges = { { CidrIpv6 = "::/0" } } }
  for _, thing in ipairs(things) do
    for _, id in ipairs(thing.subnets) do
      local subnet = subnets[id] or errors.usage("aws.reach: the answers have no subnet %s, in which %s stands", id, thing.name)
      if #thing.groups == 0 then by_permission(thing, subnet, EVERYBODY, "") end
      for _, group_id in ipairs(thing.groups) do
        local group = groups[group_id] or errors.usage("aws.reach: the answers have no security group %s, which %s has", group_id, thing.name)
        for _, permission in ipairs(group.IpPermissions or {}) do by_permission(thing, subnet, permission, group_id) end
      end
    end
  end
  table.sort(found, function(a, b)
    if a.thing ~= b.thing then return a.thing < b.thing end
    if a.port ~= b.port then return a.port < b.port end
    return a.text < b.text
  end)
  return found
end

--- Lists who can connect to what in a VPC.
---@param o { vpc?: string, answers?: table }
---@return Opening[] a list with the list helpers, in the order of the things' names and ports
return function(o)
  o = options.check(o, declared, "aws.reach")
  if (o.vpc == nil) == (o.answers == nil) then errors.usage "aws.reach takes either a vpc or answers" end
  return json.array(judge(o.answers or read.vpc(o.vpc)))
end
