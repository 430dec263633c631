--- The partitions of AWS and their regions. Source: botocore's partitions.json.
local resource = require "host.resource"

local M = {}

local WORDS = { ["true"] = true, ["false"] = false }

local list

local function load()
  list = {}
  for name, rest in resource.read("stdlib/aws/endpoints/partitions.txt"):gmatch "\n([%w-]+) ([^\n]+)" do
    local partition = { name = name, stems = {}, regions = {} }
    for key, value in rest:gmatch "(%w+)=(%S*)" do
      local many = partition[key]
      if many then
        for word in value:gmatch "[^,]+" do many[word] = true end
      else
        partition[key] = WORDS[value] == nil and value or WORDS[value]
      end
    end
    list[#list + 1] = partition
  end
end

--- The partition of a region: one that lists it, else one whose regions are named so, else the first, AWS's public one.
---@param region string
---@return { name: string, dnsSuffix: string, dualStackDnsSuffix: string, implicitGlobalRegion: string, supportsFIPS: boolean,
--- supportsDualStack: boolean }
function M.of(region)
  if not list then load() end
  local stem = tostring(region):match "^(.+)%-[%w_]+%-%d+$"
  for _, partition in ipairs(list) do
    if partition.regions[region] or partition.stems[stem] then return partition end
  end
  return list[1]
end

--- All regions that are known, sorted; of one partition if it is named.
---@param name? string
---@return string[]
function M.regions(name)
  if not list then load() end
  local found = {}
  for _, partition in ipairs(list) do
    if not name or partition.name == name then
      for region in pairs(partition.regions) do
        if not region:find "global$" then found[#found + 1] = region end
      end
    end
  end
  table.sort(found)
  return found
end

return M
