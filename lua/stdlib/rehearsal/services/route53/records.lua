--- Record sets: a batch of changes is done as a whole or refused with all that is wrong with it.
local C = require "rehearsal.services.route53.common"
local wire = require "rehearsal.wire"

local S = {}

local function host(value) return value:find "^[%w_*\\][%w%-_.\\]*$" ~= nil and not value:find("..", 1, true) end

--- What a value must look like, by type; developer guide, "Supported DNS record types".
local VALUES = {
  A = function(v)
    local a, b, c, d = v:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$"
    return a and math.max(tonumber(a), tonumber(b), tonumber(c), tonumber(d)) < 256
  end,
  AAAA = function(v) return v:find "^[%x:]+$" ~= nil and v:find ":" ~= nil end,
  CNAME = host, NS = host, PTR = host, TXT = function(v) return v:find '^".*"$' ~= nil end,
  MX = function(v) return v:find "^%d+ +%S+$" ~= nil end, SRV = function(v) return v:find "^%d+ +%d+ +%d+ +%S+$" ~= nil end,
  CAA = function(v) return v:find '^%d+ +%a+ +".*"$' ~= nil end, SOA = function(v) return v:find "^%S+ %S+ %d+ %d+ %d+ %d+ %d+$" ~= nil end,
}

local function same(a, b)
  if (a.TTL or 0) ~= (b.TTL or 0) or #(a.ResourceRecords or {}) ~= #(b.ResourceRecords or {}) then return false end
  local values = {}
  for _, r in ipairs(a.ResourceRecords or {}) do values[r.Value] = true end
  for _, r in ipairs(b.ResourceRecords or {}) do if not values[r.Value] then return false end end
  local x, y = a.AliasTarget, b.AliasTarget
  return (x == nil) == (y == nil) and (x == nil or C.name(x.DNSName) == C.name(y.DNSName) and x.HostedZoneId == y.HostedZoneId)
end

--- What is wrong with a record set in itself.
local function problem(zone, set)
  local shown = ("[name='%s', type='%s']"):format(set.Name, set.Type)
  if set.Name ~= zone.name and set.Name:sub(-#zone.name - 1) ~= "." .. zone.name then
    return ("RRSet with DNS name %s is not permitted in zone %s"):format(set.Name, zone.name)
  end
  if set.Type == "CNAME" and set.Name == zone.name then
    return ("RRSet of type CNAME with DNS name %s is not permitted at apex in zone %s"):format(set.Name, zone.name)
  end
  if set.AliasTarget then
    if set.TTL or #(set.ResourceRecords or {}) > 0 then
      return ("Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], "
        .. "but found more than one in Change with [Action=%%s, Name=%s, Type=%s, SetIdentifier=null]"):format(set.Name, set.Type)
    end
  elseif not set.TTL or #(set.ResourceRecords or {}) == 0 then
    return ("Invalid request: Missing field 'TTL' or 'ResourceRecords' in Change with [Name=%s, Type=%s]"):format(set.Name, set.Type)
  elseif set.Type == "CNAME" and #set.ResourceRecords > 1 then
    return ("Tried to create resource record set %s but a CNAME record set can have only one value"):format(shown)
  end
  for _, r in ipairs(set.ResourceRecords or {}) do
    local fits = VALUES[set.Type]
    if fits and not fits(r.Value) then return ("Invalid Resource Record: 'FATAL problem: %s is not a value of type %s'"):format(r.Value, set.Type) end
  end
end

local function clash(sets, set)
  for _, other in pairs(sets) do
    if other.Name == set.Name and other.Type ~= set.Type and (other.Type == "CNAME" or set.Type == "CNAME") then
      return ("RRSet of type %s with DNS name %s is not permitted as it conflicts with other records with the same DNS name in zone"):format(
        set.Type, set.Name)
    end
  end
end

--- An alias names the hosted zone that its target is in.
local function strange_alias(cloud, set)
  local target = set.AliasTarget
  local zone = target and cloud:service "elbv2"._zone_of(cloud, C.plain(target.DNSName))
  if zone and zone ~= target.HostedZoneId then
    return ("Tried to create an alias that targets %s, type %s in zone %s, but the alias target name does not lie within the target zone"):format(
      C.name(target.DNSName), set.Type, target.HostedZoneId)
  end
end

local function apply(cloud, zone, sets, change)
  local given, set = change.ResourceRecordSet, {}
  for k, v in pairs(given) do set[k] = v end
  set.Name = C.name(given.Name)
  if set.SetIdentifier then return "The rehearsal has simple record sets only, without SetIdentifier" end
  local key = set.Name .. " " .. set.Type
  local shown, there = ("[name='%s', type='%s']"):format(set.Name, set.Type), sets[key]
  local why = problem(zone, set) or change.Action ~= "DELETE" and strange_alias(cloud, set)
  if why then return (why:gsub("%%s", change.Action)) end
  if change.Action == "DELETE" then
    if not there then return ("Tried to delete resource record set %s but it was not found"):format(shown) end
    if not same(there, set) then
      return ("Tried to delete resource record set %s but the values provided do not match the current values"):format(shown)
    end
    if set.Name == zone.name and (set.Type == "NS" or set.Type == "SOA") then
      return ("A HostedZone must contain exactly one SOA record and at least one NS record"):format(shown)
    end
    sets[key] = nil
    return nil
  end
  if change.Action == "CREATE" and there then return ("Tried to create resource record set %s but it already exists"):format(shown) end
  why = clash(sets, set)
  if not why then sets[key] = set end
  return why
end

function S.ChangeResourceRecordSets(cloud, p)
  local zone, sets, wrong = C.zone(cloud, p.HostedZoneId), {}, {}
  for key, set in pairs(zone.sets) do sets[key] = set end
  for _, change in ipairs(p.ChangeBatch.Changes) do
    wrong[#wrong + 1] = apply(cloud, zone, sets, change)
  end
  if #wrong > 0 then wire.fail("InvalidChangeBatch", 400, "[%s]", table.concat(wrong, ", ")) end
  zone.sets = sets
  return { ChangeInfo = C.change(cloud, p.ChangeBatch.Comment, function() zone.served = sets end) }
end

--- By the labels from the right, then by type.
local function before(a, b)
  if a.key ~= b.key then return a.key < b.key end
  return a.set.Type < b.set.Type
end

local function key_of(name)
  local labels = {}
  for label in name:gmatch "[^.]+" do table.insert(labels, 1, label) end
  return table.concat(labels, "\0")
end

function S.ListResourceRecordSets(cloud, p)
  local zone, all = C.zone(cloud, p.HostedZoneId), {}
  for _, set in pairs(zone.sets) do all[#all + 1] = { key = key_of(set.Name), set = set } end
  table.sort(all, before)
  local from = p.StartRecordName and { key = key_of(C.name(p.StartRecordName)), set = { Type = p.StartRecordType or "" } }
  local size, list, next_one = math.min(tonumber(p.MaxItems or 300), 300), {}, nil
  for _, entry in ipairs(all) do
    if not (from and before(entry, from)) then
      if #list < size then list[#list + 1] = entry.set else next_one = next_one or entry.set end
    end
  end
  return { ResourceRecordSets = list, IsTruncated = next_one ~= nil, NextRecordName = next_one and next_one.Name,
           NextRecordType = next_one and next_one.Type, MaxItems = tostring(size) }
end

return S
