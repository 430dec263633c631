--- Asks the DNS itself: a resolver, or the servers that are authoritative for a name, which no cache stands before.
---
---     dns.resolve("www.example.com", "CNAME")               -- { "calm-moon.herokudns.com" }, with .ttl
---     dns.query("example.com", "SOA", { server = "192.0.2.53" }).answers[1].value
---     for _, seen in ipairs(dns.authoritative("www.example.com", "A")) do print(seen.server, seen.values[1]) end
---
--- A name that is not there is an answer without records, not an error. No answer raises kind "timeout" or "network", a
--- server's refusal kind "remote" with the code of RFC 1035 (SERVFAIL, REFUSED, ...).
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local message = require "dns.message"
local options = require "options"
local sign = require "sign"
local task = require "task"
local udp = require "host.udp"

local M = {}

local ROUND = 2                         -- seconds that one datagram may take

local declared = {
  { "server", "address or address:port to ask, or a list of them; default: the resolvers of /etc/resolv.conf", type = "any" },
  { "timeout", "seconds for all of it", type = "number", default = 10 },
  { "recursive", "the server shall ask others for what it does not know", type = "boolean", default = true },
}

---@class DnsRecord
---@field name string lower case, without the dot at its end
---@field type string "A", "CNAME", ...
---@field ttl integer seconds
---@field value string as in a zone file

---@class DnsAnswer
---@field code "NOERROR"|"NXDOMAIN"
---@field answers DnsRecord[]
---@field authority DnsRecord[]
---@field authoritative boolean
---@field server string who answered

local function system_servers()
  local list = {}
  for address in (fs.exists "/etc/resolv.conf" and fs.read "/etc/resolv.conf" or ""):gmatch "\n?%s*nameserver%s+([%x.:]+)" do
    list[#list + 1] = address
  end
  return #list > 0 and list or { "127.0.0.1" }
end

local function servers_of(o)
  if o.server == nil then return system_servers() end
  return type(o.server) == "table" and o.server or { o.server }
end

--- "192.0.2.1:5353", "[2001:db8::1]:53", "2001:db8::1"
local function place_of(server)
  local address, port = server:match "^%[(.-)%]:?(%d*)$"
  if not address then address, port = server:match "^([%d.]+):(%d+)$" end
  return address or server, tonumber(port) or 53
end

local function fits(m, id, name, kind)
  return m.response and m.id == id and m.question and m.question.name == name and m.question.type == kind
end

--- One datagram and its answer; nil and why not.
local function exchange(server, name, kind, recursive, seconds)
  local address, port = place_of(server)
  local socket, err = udp.connect(address, port)
  if not socket then return nil, err end
  local s <close> = socket
  local function refused(e) return nil, { kind = e.kind, code = e.code, message = ("%s: %s"):format(server, e.message), retry = e.retry } end
  local id = string.unpack(">I2", sign.random(2))
  local sent, why = task.step(s, "send", message.encode { id = id, question = { name = name, type = kind }, recursion_desired = recursive,
    edns = true })
  if not sent and why then return refused(why) end
  local deadline = task.now() + seconds
  while true do
    local got = table.pack(s:receive())
    if got[1] then
      local ok, m = pcall(message.decode, got[2])
      if ok and fits(m, id, name, kind) then return m end    -- what else arrives was not asked for
    elseif got[1] == nil then return refused(got[2])
    elseif task.now() >= deadline or not task.wait_fd(s:fd(), "read", deadline - task.now()) then
      return nil, { kind = "timeout", message = ("%s does not answer"):format(server), retry = true }
    end
  end
end

--- Asks for the records of a name.
---@param name string
---@param kind string "A", "AAAA", "CNAME", "NS", "TXT", "SOA", "MX", "SRV", "CAA", "PTR", "ANY"
---@param o? { server?: string|string[], timeout?: number, recursive?: boolean }
---@return DnsAnswer
function M.query(name, kind, o)
  o = options.check(o or {}, declared, "dns.query")
  if not message.TYPES[kind] then errors.usage("dns.query: the record type %s is not known", tostring(kind)) end
  name = message.name(name)
  local servers, deadline, turn, last = servers_of(o), task.now() + o.timeout, 0
  repeat
    local server = servers[turn % #servers + 1]
    local m, why = exchange(server, name, kind, o.recursive, math.max(0.1, math.min(ROUND, deadline - task.now())))
    if m and (m.code == "NOERROR" or m.code == "NXDOMAIN") then
      return { code = m.code, answers = m.answers, authority = m.authority, authoritative = m.authoritative, server = server }
    end
    last = why or { kind = "remote", code = m.code, message = ("%s answers %s"):format(server, m.code), retry = m.code == "SERVFAIL" }
    turn = turn + 1
    if turn % #servers == 0 and last.kind ~= "timeout" then
      if last.kind == "remote" or task.now() + 0.2 > deadline then break end
      task.sleep(0.2)
    end
  until task.now() >= deadline
  last.op = ("ask the DNS for %s %s"):format(name, kind)
  errors.raise(last)
end

--- The records of a type at the end of the aliases that the answer holds.
local function values_of(answer, name, kind)
  local list, at = {}, message.name(name)
  for _ = 1, #answer.answers do         -- so long can a chain be at most
    local target
    for _, r in ipairs(answer.answers) do
      if r.name == at and r.type == "CNAME" and kind ~= "CNAME" then target = r.value end
    end
    if not target then break end
    at = target
  end
  for _, r in ipairs(answer.answers) do
    if r.name == at and r.type == kind then
      list[#list + 1] = r.value
      list.ttl = math.min(list.ttl or r.ttl, r.ttl)
    end
  end
  table.sort(list)
  return list
end

--- The values of a name's records, sorted; aliases are followed. `ttl` is the smallest of theirs, nil without any.
---@param name string
---@param kind string
---@param o? table as of query
---@return string[]
function M.resolve(name, kind, o) return values_of(M.query(name, kind, o), name, kind) end

--- The zone that a name stands in, and the names of its servers.
---@param name string
---@param o? table as of query
---@return string zone, string[] servers
function M.zone(name, o)
  name = message.name(name)
  local zone = name
  while zone ~= "" do
    local answer = M.query(zone, "NS", o)
    local servers = {}
    for _, r in ipairs(answer.answers) do
      if r.type == "NS" and r.name == zone then servers[#servers + 1] = r.value end
    end
    table.sort(servers)
    if #servers > 0 then return zone, servers end
    zone = zone:match "^[^.]+%.(.+)$" or ""
  end
  errors.raise { kind = "not_found", op = "find the zone of " .. name, message = "no name above it has name servers" }
end

--- What each authoritative server of a name says of it now. A server given in `o` is asked in their place.
---@param name string
---@param kind string
---@param o? table as of query
---@return { server: string, values: string[], code: string }[]
function M.authoritative(name, kind, o)
  local function seen(server, at)
    local answer = M.query(name, kind, { server = at, recursive = false, timeout = o and o.timeout })
    local values = values_of(answer, name, kind)
    return { server = server, values = values, code = answer.code, records = answer.answers }
  end
  if o and o.server then return json.array { seen(type(o.server) == "table" and o.server[1] or o.server, o.server) } end
  local _, names = M.zone(name, o)
  return json.array(task.map(names, function(server) return seen(server, task.resolve(server)[1]) end))
end

return M
