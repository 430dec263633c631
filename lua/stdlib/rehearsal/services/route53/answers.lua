--- The name server behind the zones. It also knows the names that AWS and Heroku give: those of environments and of
--- Heroku's DNS targets.
local C = require "rehearsal.services.route53.common"
local message = require "dns.message"
local plane = require "rehearsal.planes.dns"

local S = {}

local ALIAS_TTL = 60                    -- of what an alias leads to

--- The addresses of a name that is in no hosted zone. An environment of the rehearsal is known by its address.
local function outside(cloud, name)
  if name:find "^%d+%.%d+%.%d+%.%d+$" then return { name } end
  for _, app in ipairs(cloud.heroku and cloud.heroku.apps or {}) do
    for _, domain in ipairs(app.domains) do
      if domain.cname == name or domain.kind == "heroku" and domain.hostname == name then return { "127.0.0.1" } end
    end
  end
end

local function innermost(cloud, name)
  local found
  for _, zone in pairs(C.state(cloud).zones) do
    local plain = C.plain(zone.name)
    if (name == plain or name:sub(-#plain - 1) == "." .. plain) and (not found or #zone.name > #found.name) then found = zone end
  end
  return found
end

--- The record sets of a name: its own, else those of the wildcard above it.
local function sets_of(zone, name)
  local list, exists = {}, false
  for _, set in pairs(zone.served) do
    local own = C.plain(set.Name)
    if own == name then list[#list + 1] = set end
    exists = exists or own == name or own:sub(-#name - 1) == "." .. name
  end
  if exists then return list end
  local parent = name:match "^[^.]+%.(.+)$"
  while parent and #parent >= #C.plain(zone.name) do
    for _, set in pairs(zone.served) do
      if C.plain(set.Name) == "*." .. parent then list[#list + 1] = set end
    end
    if #list > 0 then return list end
    parent = parent:match "^[^.]+%.(.+)$"
  end
  return nil
end

local function by_type(a, b)
  if a.type ~= b.type then return a.type < b.type end
  return a.value < b.value
end

local find

--- What an alias answers: the addresses of its target, under its own name.
local function aliased(cloud, name, set, depth)
  local list = {}
  local _, records = find(cloud, message.name(set.AliasTarget.DNSName), depth + 1)
  for _, r in ipairs(records or {}) do
    if r.type == set.Type then list[#list + 1] = { name = name, type = r.type, ttl = ALIAS_TTL, value = r.value }
    elseif r.type == "CNAME" then
      local nested = aliased(cloud, name, { Type = set.Type, AliasTarget = { DNSName = r.value } }, depth + 1)
      table.move(nested, 1, #nested, #list + 1, list)
    end
  end
  return list
end

function find(cloud, name, depth)
  local zone = innermost(cloud, name)
  if not zone or depth > 8 then
    local records = nil
    for _, address in ipairs(outside(cloud, name) or {}) do
      records = records or {}
      records[#records + 1] = { name = name, type = "A", ttl = ALIAS_TTL, value = address }
    end
    return nil, records
  end
  local sets, records = sets_of(zone, name), nil
  for _, set in ipairs(sets or {}) do
    records = records or {}
    if set.AliasTarget then
      local list = aliased(cloud, name, set, depth)
      table.move(list, 1, #list, #records + 1, records)
    end
    for _, r in ipairs(set.ResourceRecords or {}) do
      records[#records + 1] = { name = name, type = set.Type, ttl = set.TTL, value = r.Value }
    end
  end
  if records then table.sort(records, by_type) end
  local soa = zone.served[zone.name .. " SOA"]
  return { soa = { name = C.plain(zone.name), type = "SOA", ttl = soa.TTL, value = soa.ResourceRecords[1].Value } }, records or sets and {} or nil
end

--- The server, started when the first zone is made.
---@return DnsServer
function S._server(cloud)
  local store = cloud:store "route53"
  if not store.server then
    store.server = plane.start { find = function(name) return find(cloud, name, 0) end }
  end
  return store.server
end

--- Where the DNS answers: "127.0.0.1:5300"; nil while there is no zone.
function S._address(cloud)
  local server = cloud:store "route53".server
  return server and ("%s:%d"):format(server.host, server.port)
end

function S.TestDNSAnswer(cloud, p)
  local zone = C.zone(cloud, p.HostedZoneId)
  local name, data = message.name(p.RecordName), {}
  local _, records = find(cloud, name, 0)
  for _, r in ipairs(records or {}) do
    if r.type == p.RecordType then data[#data + 1] = r.value end
  end
  return { Nameserver = zone.servers[1], RecordName = C.name(p.RecordName), RecordType = p.RecordType, RecordData = data,
           ResponseCode = records and "NOERROR" or "NXDOMAIN", Protocol = "UDP" }
end

function S._stop(cloud)
  local store = cloud:store "route53"
  if store.server then store.server:stop() end
  store.server = nil
end

return S
