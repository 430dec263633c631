--- The public hosted zone of Route 53 that a name stands in. It is found, never made: the zone of a living domain belongs to
--- its owner, and a second one of the same name would be asked by nobody.
---
---     local zone = aws.hosted_zone { "shop.example.com" }      -- that of example.com, or nil
---     zone.id, zone.name, zone.servers
local aws = require "aws"
local noun = require "aws.common.noun"

local declared = { { "name", "a name in the zone, or the zone's own", type = "string", required = true } }

local function plain(name) return (name:lower():gsub("%.$", "")) end

--- The public zone of exactly this name; the first one where there are several, as Route 53 orders them.
local function zone_at(name)
  local page = aws.route53:list_hosted_zones_by_name { DNSName = name, MaxItems = "10" }
  for _, zone in ipairs(page.HostedZones) do
    if plain(zone.Name) == name and not (zone.Config and zone.Config.PrivateZone) then return zone end
  end
end

---@param o table|string
---@return { id: string, name: string, servers: string[] }? zone nil where the account has none
return function(o)
  o = noun.options(type(o) == "string" and { o } or o, declared, "aws.hosted_zone")
  local name = plain(o.name)
  while name:find ".%." do
    local zone = zone_at(name)
    if zone then
      local servers = {}
      for i, server in ipairs(aws.route53:get_hosted_zone({ Id = zone.Id }).DelegationSet.NameServers) do servers[i] = plain(server) end
      table.sort(servers)
      return { id = zone.Id:match "[^/]+$", name = name, servers = servers }
    end
    name = name:match "^[^.]+%.(.+)$"
  end
  return nil
end
