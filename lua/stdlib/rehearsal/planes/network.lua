--- The network of the rehearsal: a VPC is a router in a network namespace of
--- its own, every host behind it is another, and the security groups are the
--- router's packet filter. What AWS would not let through does not arrive.
---
--- The namespaces have no names: each is held by one sleeping process that dies
--- with hkrun, so nothing is left behind. Without root there is no isolation: each
--- host is an address of 127.64.0.0/10, of which each process has a part of its
--- own, and `net.isolated` says so.
local process = require "process"
local errors = require "errors"
local task = require "task"

local M = {}

--- Addresses of the benchmark range (RFC 2544) stand for the internet: the
--- person who runs the recipe is CLIENT, public addresses follow, from another
--- part of it in each process, so that rehearsals stand side by side.
M.CLIENT = "198.18.0.1"
local PUBLIC = 250 * 250                -- so many
local GATEWAY = "169.254.1.1"
local links = 0                         -- made by this process, for their names

---@class Network
---@field isolated boolean
local Network = {}
Network.__index = Network
Network.__close = function(net) net:close() end

---@class Host
---@field address string its private address
---@field prefix string[] what runs a program inside it
---@field groups string[] ids of its security groups

local function run(words, stdin)
  words.stdin = stdin
  words.env = { PATH = "/usr/sbin:/usr/bin:/sbin:/bin" }
  local r = process.run(words)
  if r.code ~= 0 then
    errors.raise { kind = "io", op = "set up the rehearsal's network with " .. table.concat(words, " "),
                   message = (r.stderr:gsub("%s+$", "")) }
  end
  return r.stdout
end

--- A namespace, held by a process of ours.
local function namespace()
  local holder = process.start { "unshare", "--net", "sh", "-c", "echo; exec sleep infinity > /dev/null", stdout = "pipe",
                                 env = { PATH = "/usr/bin:/bin" } }
  holder:read_line()                    -- it is in its namespace
  return { holder = holder, pid = holder.pid,
           prefix = { "nsenter", ("--net=/proc/%d/ns/net"):format(holder.pid), "--" } }
end

local function ip(ns, ...)
  local words = { "ip", ... }
  if ns then words.prefix = ns.prefix end
  run(words)
end

--- Whether this system lets us make namespaces and packet filters, else why not.
---@return boolean, string? reason
function M.available()
  if require "fs".uid() ~= 0 then return false, "it needs root" end
  for _, name in ipairs { "ip", "nft", "unshare", "nsenter" } do
    if not process.which(name) then return false, "the program " .. name .. " is not installed" end
  end
  local r = process.run { "unshare", "--net", "nft", "add", "table", "inet", "probe" }
  if r.code ~= 0 then return false, (r.stderr:gsub("%s+$", "")) end
  return true
end

--- A network without VPCs.
---@param without_servers? boolean nothing will run in it
---@return Network
function M.new(without_servers)
  local isolated, reason = false, "nothing runs in it"
  if not without_servers then isolated, reason = M.available() end
  return setmetatable({ isolated = isolated, reason = reason, vpcs = {},
    next_public = process.pid() % 200 * 250, next_local = process.pid() % 16384 * 256 + 1 }, Network)
end

--- Makes a VPC's router and its link to the internet.
function Network:add_vpc(id)
  local vpc = { id = id, hosts = {}, groups = {}, public = {} }
  self.vpcs[id] = vpc
  if not self.isolated then return end
  links = links + 1
  vpc.link = ("hkrun%d.%d"):format(process.pid() % 100000, links)
  vpc.ns = namespace()
  ip(nil, "link", "add", vpc.link, "type", "veth", "peer", "name", "up0", "netns", tostring(vpc.ns.pid))
  ip(nil, "address", "add", M.CLIENT .. "/32", "dev", vpc.link)
  ip(nil, "link", "set", vpc.link, "up")
  ip(vpc.ns, "link", "set", "lo", "up")
  ip(vpc.ns, "link", "set", "up0", "up")
  ip(vpc.ns, "address", "add", GATEWAY .. "/32", "dev", "up0")
  ip(vpc.ns, "route", "add", M.CLIENT .. "/32", "dev", "up0")
  run { "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward", prefix = vpc.ns.prefix }
  self:filter(id)
end

--- Adds a host with a private address; returns how to run programs in it.
---@param vpc_id string
---@param address string
---@param groups string[] ids of its security groups
---@return Host
function Network:add_host(vpc_id, address, groups)
  local vpc = self.vpcs[vpc_id]
  local host = { vpc = vpc, address = address, groups = groups, prefix = {} }
  if not self.isolated then
    local n = self.next_local
    self.next_local = n + 1
    host.address = ("127.%d.%d.%d"):format(64 + n // 65536 % 64, n // 256 % 256, n % 256)
    return host
  end
  vpc.links = (vpc.links or 0) + 1
  local link = "h" .. vpc.links
  host.ns = namespace()
  host.prefix = host.ns.prefix
  ip(vpc.ns, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", tostring(host.ns.pid))
  ip(vpc.ns, "link", "set", link, "up")
  ip(vpc.ns, "address", "add", GATEWAY .. "/32", "dev", link)
  ip(vpc.ns, "route", "add", address .. "/32", "dev", link)
  ip(host.ns, "link", "set", "lo", "up")
  ip(host.ns, "link", "set", "eth0", "up")
  ip(host.ns, "address", "add", address .. "/32", "dev", "eth0")
  ip(host.ns, "route", "add", GATEWAY .. "/32", "dev", "eth0", "src", address)
  ip(host.ns, "route", "add", "default", "via", GATEWAY, "dev", "eth0", "src", address)
  vpc.hosts[address] = host
  self:filter(vpc_id)
  return host
end

--- Another host of the internet than the client, which knows its way to everything of a VPC, private addresses too: what
--- it reaches, anybody could.
---@param vpc_id string
---@param address string
---@return { address: string, prefix: string[] }
function Network:add_outsider(vpc_id, address)
  local vpc, ns = self.vpcs[vpc_id], namespace()
  vpc.outsiders = vpc.outsiders or {}
  local link = "out" .. #vpc.outsiders
  ip(vpc.ns, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", tostring(ns.pid))
  ip(vpc.ns, "link", "set", link, "up")
  ip(vpc.ns, "address", "add", GATEWAY .. "/32", "dev", link)
  ip(vpc.ns, "route", "add", address .. "/32", "dev", link)
  ip(ns, "link", "set", "lo", "up")
  ip(ns, "link", "set", "eth0", "up")
  ip(ns, "address", "add", address .. "/32", "dev", "eth0")
  ip(ns, "route", "add", GATEWAY .. "/32", "dev", "eth0", "src", address)
  ip(ns, "route", "add", "default", "via", GATEWAY, "dev", "eth0", "src", address)
  table.insert(vpc.outsiders, ns)
  return { address = address, prefix = ns.prefix }
end

--- Ends a host's namespace; its processes must have been stopped.
function Network:remove_host(host)
  if not host.ns then return end
  local vpc = host.vpc
  vpc.hosts[host.address] = nil
  local addresses = {}
  for public, entry in pairs(vpc.public) do
    if entry.host == host then addresses[#addresses + 1] = public end
  end
  for _, public in ipairs(addresses) do self:unpublish(vpc.id, public) end
  host.ns.holder:stop(1, "KILL")
  host.ns = nil
  if vpc.ns then self:filter(vpc.id) end
end

--- Gives a host a public address; `ports` = { [public port] = port } restricts
--- and maps what arrives (a load balancer), nil lets everything through to the
--- security groups (an elastic address). `inspect` is the rehearsal's own door:
--- the client comes through whatever the groups say.
---@return string address where the internet reaches it; without isolation the
---  host's own, and its own ports
function Network:publish(host, ports, inspect)
  if not self.isolated then return host.address end
  local vpc = host.vpc
  local address
  local tries = 0
  repeat                                -- other clouds of this machine take addresses of the same range
    address = ("198.18.%d.%d"):format(1 + self.next_public // 250, self.next_public % 250 + 1)
    self.next_public, tries = (self.next_public + 1) % PUBLIC, tries + 1
    local ok, e = pcall(ip, nil, "route", "add", address .. "/32", "dev", vpc.link, "src", M.CLIENT)
    if not ok and (tries == PUBLIC or not tostring(e):find("File exists", 1, true)) then error(e, 0) end
  until ok
  vpc.public[address] = { host = host, ports = ports, inspect = inspect }
  ip(vpc.ns, "address", "add", address .. "/32", "dev", "up0")
  self:filter(vpc.id)
  return address
end

function Network:unpublish(vpc_id, address)
  local vpc = self.vpcs[vpc_id]
  if not (vpc and vpc.public[address]) then return end
  vpc.public[address] = nil
  if not vpc.ns then return end
  ip(nil, "route", "del", address .. "/32", "dev", vpc.link)
  ip(vpc.ns, "address", "del", address .. "/32", "dev", "up0")
  self:filter(vpc_id)
end

--- Replaces the rules of a VPC's security groups.
---@param groups table<string, { ingress: table[], egress: table[] }> rules are
---  { protocol = "tcp"|"udp"|"icmp"|"-1", from=, to=, cidrs = {...}, groups = {...} }
function Network:set_groups(vpc_id, groups)
  self.vpcs[vpc_id].groups = groups
  if self.isolated then self:filter(vpc_id) end
end

local function members(vpc, group)
  local list = {}
  for address, host in pairs(vpc.hosts) do
    for _, id in ipairs(host.groups) do
      if id == group then list[#list + 1] = address end
    end
  end
  return list
end

--- One rule as nft matches; `side` is the peer's field: "saddr" or "daddr".
local function matches(vpc, rule, side)
  local peers = {}
  for _, cidr in ipairs(rule.cidrs or {}) do peers[#peers + 1] = cidr end
  for _, group in ipairs(rule.groups or {}) do
    for _, address in ipairs(members(vpc, group)) do peers[#peers + 1] = address end
  end
  if #peers == 0 then return nil end
  local parts = {}
  local everyone = false
  for _, peer in ipairs(peers) do everyone = everyone or peer == "0.0.0.0/0" end
  if not everyone then parts[1] = ("ip %s { %s }"):format(side, table.concat(peers, ", ")) end
  if rule.protocol == "icmp" then
    parts[#parts + 1] = "ip protocol icmp"
  elseif rule.protocol ~= "-1" then
    local from, to = rule.from or 0, rule.to or 65535
    parts[#parts + 1] = ("%s dport %d-%d"):format(rule.protocol, from, to)
  end
  return table.concat(parts, " ")
end

local function chain(vpc, host, direction, side, verdict)
  local lines = { ("  chain %s_%s {"):format(direction, host.address:gsub("%.", "_"), nil) }
  for _, id in ipairs(host.groups) do
    local group = vpc.groups[id]
    for _, rule in ipairs(group and group[direction] or {}) do
      local match = matches(vpc, rule, side)
      if match then lines[#lines + 1] = ("    %s %s"):format(match, verdict) end
    end
  end
  lines[#lines + 1] = "    drop\n  }"
  return table.concat(lines, "\n")
end

--- A VPC's filter as nft reads it.
local function filter_of(vpc)
  local chains, from, to, nat, doors = {}, {}, {}, {}, {}
  for address, host in pairs(vpc.hosts) do
    local name = address:gsub("%.", "_")
    chains[#chains + 1] = chain(vpc, host, "egress", "daddr", "return")
    chains[#chains + 1] = chain(vpc, host, "ingress", "saddr", "accept")
    from[#from + 1] = ("%s : jump egress_%s"):format(address, name)
    to[#to + 1] = ("%s : jump ingress_%s"):format(address, name)
  end
  for public, entry in pairs(vpc.public) do
    if entry.ports then
      for outside, inside in pairs(entry.ports) do
        nat[#nat + 1] = ("    ip daddr %s tcp dport %d dnat ip to %s:%d"):format(public, outside, entry.host.address, inside)
        if entry.inspect then
          doors[#doors + 1] = ("    ip saddr %s ip daddr %s tcp dport %d accept\n"):format(M.CLIENT, entry.host.address, inside)
        end
      end
    else
      nat[#nat + 1] = ("    ip daddr %s dnat ip to %s"):format(public, entry.host.address)
    end
  end
  local rules = ([[
table inet vpc
delete table inet vpc
table inet vpc {
%s
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
%s%s%s  }
  chain input { type filter hook input priority filter; policy drop; }
  chain public {
    type nat hook prerouting priority dstnat;
%s
  }
}
]]):format(table.concat(chains, "\n"), table.concat(doors),
    #from > 0 and ("    ip saddr vmap { %s }\n"):format(table.concat(from, ", ")) or "",
    #to > 0 and ("    ip daddr vmap { %s }\n"):format(table.concat(to, ", ")) or "",
    table.concat(nat, "\n"))
  return rules
end

--- Writes a VPC's filter anew, in one transaction of nft; when it returns, what holds knows all that was so when it was called.
--- One is written at a time: of two, the older could arrive last, and shut out what came between them.
function Network:filter(vpc_id)
  local vpc = self.vpcs[vpc_id]
  if not vpc then return end
  vpc.changes = (vpc.changes or 0) + 1
  local change = vpc.changes
  while vpc.writing do task.sleep(0.01) end
  if not vpc.ns or (vpc.written or 0) >= change then return end
  local newest = vpc.changes
  vpc.writing = true
  local ok, e = pcall(run, { "nft", "-f", "-", prefix = vpc.ns.prefix }, filter_of(vpc))
  vpc.writing = nil
  if not ok then error(e, 0) end
  vpc.written = newest
end

function Network:remove_vpc(vpc_id)
  local vpc = self.vpcs[vpc_id]
  self.vpcs[vpc_id] = nil
  if not (vpc and vpc.ns) then return end
  for _, host in pairs(vpc.hosts) do
    host.ns.holder:stop(1, "KILL")
    host.ns = nil
  end
  for _, outsider in ipairs(vpc.outsiders or {}) do outsider.holder:stop(1, "KILL") end
  local ns = vpc.ns
  vpc.ns = nil
  ip(nil, "link", "delete", vpc.link)
  ns.holder:stop(1, "KILL")
end

function Network:close()
  for id in pairs(self.vpcs) do self:remove_vpc(id) end
end

return M
