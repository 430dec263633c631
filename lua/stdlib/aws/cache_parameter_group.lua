--- A cache parameter group: Valkey's or Redis's settings. Only those that are given are managed.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local MISSING = "CacheParameterGroupNotFound CacheParameterGroupNotFoundFault"

local function set(name, values)
  local list = {}
  for parameter, value in pairs(values) do list[#list + 1] = { ParameterName = parameter, ParameterValue = tostring(value) } end
  table.sort(list, function(a, b) return a.ParameterName < b.ParameterName end)
  for first = 1, #list, 20 do                                -- ElastiCache takes 20 in a call
    aws.elasticache:modify_cache_parameter_group {
      CacheParameterGroupName = name, ParameterNameValues = table.move(list, first, math.min(first + 19, #list), 1, {}),
    }
  end
end

local function same(want, have)
  for name, value in pairs(want) do
    if tostring(value) ~= have[name] then return false end
  end
  return true
end

return recipe.kind {
  name = "aws.cache_parameter_group",
  options = {
    { "family", "valkey8, valkey9, redis7, ...", type = "string", required = true },
    { "parameters", "values by name: { [\"maxmemory-policy\"] = \"noeviction\" }", type = "table", default = {} },
    { "description", "what it is for", type = "string" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, fixed = { "family" }, summary = { "family", "parameters" }, idempotent = true,
  compare = { tags = "given", parameters = same, description = "ignore" },

  read = function(spec)
    local name = { CacheParameterGroupName = spec.name }
    local r = noun.found(MISSING, aws.elasticache.describe_cache_parameter_groups, aws.elasticache, name)
    local group = r and r.CacheParameterGroups[1]
    if not group then return nil end
    local parameters = {}
    for page in aws.elasticache:pages("describe_cache_parameters", { CacheParameterGroupName = spec.name, Source = "user" }) do
      for _, p in ipairs(page.Parameters or {}) do parameters[p.ParameterName] = p.ParameterValue end
    end
    return { id = group.CacheParameterGroupName, arn = group.ARN, family = group.CacheParameterGroupFamily, parameters = parameters,
             tags = noun.tag_map(aws.elasticache:list_tags_for_resource({ ResourceName = group.ARN }).TagList) }
  end,

  create = function(spec, ctx)
    aws.elasticache:create_cache_parameter_group {
      CacheParameterGroupName = spec.name, CacheParameterGroupFamily = spec.family, Description = spec.description or spec.name,
      Tags = noun.tags(spec, ctx),
    }
    set(spec.name, spec.parameters)
    return spec.name
  end,

  update = function(spec, current, changes)
    if changes.parameters then set(current.id, spec.parameters) end
    if changes.tags then aws.elasticache:add_tags_to_resource { ResourceName = current.arn, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete(MISSING, function() aws.elasticache:delete_cache_parameter_group { CacheParameterGroupName = current.id } end)
  end,
}
