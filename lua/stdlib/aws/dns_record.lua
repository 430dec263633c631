--- A record set of a hosted zone. What stands under the name already is left as it is where it says the same, else changed.
---
---     aws.dns_record { "www.example.com", zone = zone, type = "CNAME", ttl = 300, values = { "shop.example.net" } }
---     aws.dns_record { "example.com", zone = zone, type = "A", alias = { name = env.cname, zone = "Z117KPS5GTRQ2G" } }
local noun = require "aws.common.noun"
local recipe = require "recipe"
local records = require "aws.common.records"

local GONE = "NoSuchHostedZone"

local function same_values(want, have)
  if #want ~= #(have or {}) then return false end
  local seen = {}
  for _, v in ipairs(have) do seen[records.plain(v)] = true end
  for _, v in ipairs(want) do if not seen[records.plain(v)] then return false end end
  return true
end

local function same_alias(want, have)
  return have ~= nil and records.plain(want.name) == records.plain(have.name) and want.zone == have.zone
end

local function set_of(spec)
  return records.set { name = spec.name, type = spec.type, ttl = not spec.alias and spec.ttl or nil, values = spec.values, alias = spec.alias }
end

return recipe.kind {
  name = "aws.dns_record",
  options = {
    { "zone", "of aws.hosted_zone, or its id", type = "any", required = true },
    { "type", "A, AAAA, CNAME, TXT, MX, ...", type = "string", default = "CNAME" },
    { "ttl", "seconds that others may keep it", type = "integer", default = 300 },
    { "values", "as in a zone file", type = "list" },
    { "alias", "a name of AWS's and its zone's id, in place of values: { name =, zone = }", type = "table" },
  },
  outputs = { "fqdn" }, fixed = { "zone", "type" }, summary = { "type", "values" }, tagless = true, idempotent = true,
  compare = { values = same_values, alias = same_alias, zone = function(want, have) return noun.id(want) == have end,
              ttl = function(want, have, spec) return spec.alias ~= nil or want == have end },

  read = noun.reader(GONE, function(spec, known)
    local zone, kind, name = noun.id(spec.zone), spec.type, spec.name
    if known then zone, kind, name = known:match "^(%S+) (%S+) (.+)$" end
    local set = records.find(zone, name, kind)
    return set and { id = ("%s %s %s"):format(zone, kind, records.plain(name)), zone = zone, type = kind, ttl = set.TTL, values = records.values(set),
                     alias = set.AliasTarget and { name = records.plain(set.AliasTarget.DNSName), zone = set.AliasTarget.HostedZoneId } or nil,
                     fqdn = records.plain(name), set = set }
  end),

  create = function(spec)
    local zone = noun.id(spec.zone)
    records.change(zone, { { Action = "CREATE", ResourceRecordSet = set_of(spec) } })
    return ("%s %s %s"):format(zone, spec.type, records.plain(spec.name))
  end,

  update = function(spec, current) records.change(current.zone, { { Action = "UPSERT", ResourceRecordSet = set_of(spec) } }) end,

  delete = function(current)
    noun.delete(GONE, function() records.change(current.zone, { { Action = "DELETE", ResourceRecordSet = current.set } }) end)
  end,
}
