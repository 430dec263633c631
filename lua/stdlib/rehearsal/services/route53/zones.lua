--- Hosted zones, their tags, and the changes that are on their way.
local answers = require "rehearsal.services.route53.answers"
local C = require "rehearsal.services.route53.common"
local wire = require "rehearsal.wire"

local S = {}

local function show(zone)
  local count = 0
  for _ in pairs(zone.sets) do count = count + 1 end
  return { Id = "/hostedzone/" .. zone.id, Name = zone.name, CallerReference = zone.reference, ResourceRecordSetCount = count,
           Config = { Comment = zone.comment, PrivateZone = false } }
end

local function name_servers(id)
  local n, list = 0, {}
  for i = 1, #id do n = (n * 31 + id:byte(i)) % 500 end
  for i, suffix in ipairs { "com", "net", "org", "co.uk" } do list[i] = ("ns-%d.awsdns-%02d.%s"):format(n + (i - 1) * 512, n % 64, suffix) end
  return list
end

function S.CreateHostedZone(cloud, p, _)
  local name = C.name(p.Name)
  if not name:find "^[%w_][%w%-_]*%.[%w%-_.]*%w%.$" and not name:find "^%w+%.$" then
    wire.fail("InvalidDomainName", 400, "%s is not a valid domain name", p.Name)
  end
  if p.VPC then wire.fail("InvalidInput", 400, "the rehearsal has public hosted zones only") end
  for _, zone in pairs(C.state(cloud).zones) do
    if zone.reference == p.CallerReference then
      wire.fail("HostedZoneAlreadyExists", 409, "A hosted zone has already been created with the specified caller reference.")
    end
  end
  local zone = { id = C.id "Z", name = name, reference = p.CallerReference, comment = p.HostedZoneConfig and p.HostedZoneConfig.Comment, sets = {},
                 tags = {} }
  zone.servers = name_servers(zone.id)
  local values = {}
  for i, server in ipairs(zone.servers) do values[i] = { Value = server .. "." } end
  zone.sets[name .. " NS"] = { Name = name, Type = "NS", TTL = 172800, ResourceRecords = values }
  zone.sets[name .. " SOA"] = { Name = name, Type = "SOA", TTL = 900, ResourceRecords = { {
    Value = zone.servers[1] .. ". awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400" } } }
  zone.served = {}
  for key, set in pairs(zone.sets) do zone.served[key] = set end
  C.state(cloud).zones[zone.id] = zone
  answers._server(cloud)
  return { HostedZone = show(zone), ChangeInfo = C.change(cloud), DelegationSet = { NameServers = zone.servers },
           Location = "https://route53.amazonaws.com/2013-04-01/hostedzone/" .. zone.id }
end

--- The zones of the app's domains, as their owner has them: each name leads to Heroku, and everybody keeps that for an hour.
function S._own(cloud, app)
  local zones = {}
  for _, d in ipairs(app.domains) do
    local top = d.hostname:match "[^.]+%.[^.]+$"
    if d.kind == "custom" and top then
      if not zones[top] then
        local made = S.CreateHostedZone(cloud, { Name = top, CallerReference = top })
        zones[top] = C.zone(cloud, made.HostedZone.Id)
      end
      local zone, name = zones[top], C.name(d.hostname)
      local is_top = name == zone.name
      zone.sets[name .. (is_top and " A" or " CNAME")] = { Name = name, Type = is_top and "A" or "CNAME", TTL = 3600,
        ResourceRecords = { { Value = is_top and "127.0.0.1" or d.cname } } }
      zone.served = zone.sets
    end
  end
end

function S.GetHostedZone(cloud, p)
  local zone = C.zone(cloud, p.Id)
  return { HostedZone = show(zone), DelegationSet = { NameServers = zone.servers } }
end

--- "www.example.com." -> "com.example.www", as Route 53 orders names.
local function reversed(name)
  local labels = {}
  for label in name:gmatch "[^.]+" do table.insert(labels, 1, label) end
  return table.concat(labels, ".")
end

local function sorted(cloud, key)
  local list = {}
  for _, zone in pairs(C.state(cloud).zones) do list[#list + 1] = zone end
  table.sort(list, function(a, b)
    local x, y = key(a), key(b)
    if x ~= y then return x < y end
    return a.id < b.id
  end)
  return list
end

function S.ListHostedZones(cloud, p)
  local all, size = sorted(cloud, function(zone) return zone.id end), tonumber(p.MaxItems or 100)
  local list, next_one = {}, nil
  for _, zone in ipairs(all) do
    if not p.Marker or zone.id >= p.Marker then
      if #list < size then list[#list + 1] = show(zone) else next_one = next_one or zone.id end
    end
  end
  return { HostedZones = list, Marker = p.Marker, IsTruncated = next_one ~= nil, NextMarker = next_one, MaxItems = tostring(size) }
end

function S.ListHostedZonesByName(cloud, p)
  local all = sorted(cloud, function(zone) return reversed(zone.name) end)
  local size, from, list, next_one = tonumber(p.MaxItems or 100), p.DNSName and reversed(C.name(p.DNSName)), {}, nil
  for _, zone in ipairs(all) do
    local at = reversed(zone.name)
    if not from or at > from or at == from and (not p.HostedZoneId or zone.id >= p.HostedZoneId) then
      if #list < size then list[#list + 1] = show(zone) else next_one = next_one or zone end
    end
  end
  return { HostedZones = list, DNSName = p.DNSName, HostedZoneId = p.HostedZoneId, IsTruncated = next_one ~= nil, MaxItems = tostring(size),
           NextDNSName = next_one and next_one.name, NextHostedZoneId = next_one and next_one.id }
end

function S.UpdateHostedZoneComment(cloud, p)
  local zone = C.zone(cloud, p.Id)
  zone.comment = p.Comment
  return { HostedZone = show(zone) }
end

function S.DeleteHostedZone(cloud, p)
  local zone, own = C.zone(cloud, p.Id), { [" NS"] = true, [" SOA"] = true }
  for key in pairs(zone.sets) do
    if not own[key:sub(#zone.name + 1)] or key:sub(1, #zone.name) ~= zone.name then
      wire.fail("HostedZoneNotEmpty", 400, "The specified hosted zone contains non-required resource record sets and so cannot be deleted.")
    end
  end
  C.state(cloud).zones[zone.id] = nil
  return { ChangeInfo = C.change(cloud) }
end

function S.GetChange(cloud, p)
  local change = C.state(cloud).changes[p.Id:match "([^/]+)$"]
    or wire.fail("NoSuchChange", 404, "A change with the specified change ID does not exist.")
  return { ChangeInfo = C.show_change(change) }
end

-- Tags ---------------------------------------------------------------------

local function tagged(cloud, p)
  if p.ResourceType ~= "hostedzone" then wire.fail("NoSuchHealthCheck", 404, "A health check with id %s does not exist.", p.ResourceId) end
  return C.zone(cloud, p.ResourceId)
end

function S.ListTagsForResource(cloud, p)
  local zone, list = tagged(cloud, p), {}
  for key, value in pairs(zone.tags) do list[#list + 1] = { Key = key, Value = value } end
  table.sort(list, function(a, b) return a.Key < b.Key end)
  return { ResourceTagSet = { ResourceType = p.ResourceType, ResourceId = zone.id, Tags = list } }
end

function S.ChangeTagsForResource(cloud, p)
  local zone = tagged(cloud, p)
  for _, tag in ipairs(p.AddTags or {}) do zone.tags[tag.Key] = tag.Value or "" end
  for _, key in ipairs(p.RemoveTagKeys or {}) do zone.tags[key] = nil end
end

return S
