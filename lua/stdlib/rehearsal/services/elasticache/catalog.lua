--- What ElastiCache offers: engines, node types, and the events of all.
--- Versions and families as its user guide listed them in late 2026; memory
--- from its table of node type parameters.
local managed = require "rehearsal.managed"
local wire = require "rehearsal.wire"

local S = {}

--- engine, version as asked for, family, version as its clusters show it
local VERSIONS = {
  { "redis", "6.2", "redis6.x", "6.2.6" }, { "redis", "7.0", "redis7", "7.0.7" }, { "redis", "7.1", "redis7", "7.1.0" },
  { "valkey", "7.2", "valkey7", "7.2.6" }, { "valkey", "8.0", "valkey8", "8.0.1" }, { "valkey", "8.1", "valkey8", "8.1.0" },
  { "valkey", "8.2", "valkey8", "8.2.0" }, { "valkey", "9.0", "valkey9", "9.0.0" }, { "valkey", "9.1", "valkey9", "9.1.0" },
}

local FAMILIES = { ["redis6.x"] = true, redis7 = true, valkey7 = true, valkey8 = true, valkey9 = true }

--- Bytes of memory by node type.
local MEMORY = {
  ["t3.micro"] = 536870912, ["t3.small"] = 1471026299, ["t3.medium"] = 3317862236,
  ["t4g.micro"] = 536870912, ["t4g.small"] = 1471026299, ["t4g.medium"] = 3317862236,
  ["m5.large"] = 6854542746, ["m5.xlarge"] = 13891921715, ["m5.2xlarge"] = 27966669210, ["m5.4xlarge"] = 56116178125,
  ["m6g.large"] = 6854542746, ["m6g.xlarge"] = 13891921715, ["m6g.2xlarge"] = 27966669210, ["m6g.4xlarge"] = 56116178125,
  ["m7g.large"] = 6854542746, ["m7g.xlarge"] = 13891921715, ["m7g.2xlarge"] = 27966669210, ["m7g.4xlarge"] = 56116178125,
  ["r5.large"] = 14037181030, ["r5.xlarge"] = 28261849702, ["r5.2xlarge"] = 56711183565, ["r5.4xlarge"] = 113609865216,
  ["r6g.large"] = 14037181030, ["r6g.xlarge"] = 28261849702, ["r6g.2xlarge"] = 56711183565, ["r6g.4xlarge"] = 113609865216,
  ["r7g.large"] = 14037181030, ["r7g.xlarge"] = 28261849702, ["r7g.2xlarge"] = 56711183565, ["r7g.4xlarge"] = 113609865216,
}

--- The bytes that a node type may use, or nil when there is no such type.
---@return integer?
function S._memory(node_type) return MEMORY[node_type:match "^cache%.(.+)$" or ""] end

--- The newest version of an engine, or the one asked for.
---@return { engine: string, version: string, family: string, shown: string }?
function S._version(engine, asked)
  local found
  for _, row in ipairs(VERSIONS) do
    if row[1] == engine and (asked == nil or asked == row[2]) then found = row end
  end
  return found and { engine = found[1], version = found[2], family = found[3], shown = found[4] }
end

function S._has_family(family) return FAMILIES[family] or false end

function S.DescribeCacheEngineVersions(cloud, p)
  local list = {}
  for i, row in ipairs(VERSIONS) do
    local is_last = not VERSIONS[i + 1] or VERSIONS[i + 1][1] ~= row[1]
    if (not p.Engine or p.Engine == row[1]) and (not p.EngineVersion or p.EngineVersion == row[2])
       and (not p.CacheParameterGroupFamily or p.CacheParameterGroupFamily == row[3]) and (not p.DefaultOnly or is_last) then
      local title = row[1] == "redis" and "Redis" or "Valkey"
      list[#list + 1] = { Engine = row[1], EngineVersion = row[2], CacheParameterGroupFamily = row[3], CacheEngineDescription = title,
                          CacheEngineVersionDescription = ("%s version %s"):format(title, row[4]) }
    end
  end
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { CacheEngineVersions = page, Marker = marker }
end

function S.DescribeEvents(cloud, p, ctx) return managed.describe_events(cloud, p, ctx, "elasticache") end

--- Names of ElastiCache: letters, digits, hyphens; a letter first; lower case.
function S._check_name(name, what, longest)
  if not name:find "^%a[%w%-]*$" or name:find "%-%-" or name:find "%-$" or #name > longest then
    wire.fail("InvalidParameterValue", 400, "The parameter %s is not a valid identifier. Identifiers must begin with a letter; must contain only "
      .. "ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens.", what)
  end
  return name:lower()
end

return S
