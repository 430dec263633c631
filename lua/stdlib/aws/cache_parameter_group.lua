--- A cache parameter group: Valkey's or Redis's settings. Only those that are given are managed.
local aws = require "aws"
local noun = require "aws.common.noun"
local parameters = require "aws.common.parameters"
local recipe = require "recipe"

local GONE = "CacheParameterGroupNotFound CacheParameterGroupNotFoundFault"

local function set(name, values)
  parameters.set(values, function(parameter, value)
    return { ParameterName = parameter, ParameterValue = parameters.text(value, "yes", "no") }
  end, function(portion)
    aws.elasticache:modify_cache_parameter_group { CacheParameterGroupName = name, ParameterNameValues = portion }
  end)
end

--- The parameters of a group, one by one: the paginator of this operation has two lists.
local function each(name, source)
  local list = {}
  for page in aws.elasticache:pages("describe_cache_parameters", { CacheParameterGroupName = name, Source = source }) do
    for _, p in ipairs(page.Parameters or {}) do list[#list + 1] = p end
  end
  local i = 0
  return function()
    i = i + 1
    return list[i]
  end
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
  compare = { tags = "given", parameters = parameters.comparer("yes", "no"), description = "ignore" },

  read = noun.reader(GONE, function(spec)
    local group = aws.elasticache:describe_cache_parameter_groups({ CacheParameterGroupName = spec.name }).CacheParameterGroups[1]
    if not group then return nil end
    return { id = group.CacheParameterGroupName, arn = group.ARN, family = group.CacheParameterGroupFamily,
             parameters = parameters.read(spec.parameters, function(source) return each(spec.name, source) end),
             tags = noun.tag_map(aws.elasticache:list_tags_for_resource({ ResourceName = group.ARN }).TagList) }
  end),

  create = function(spec, ctx)
    aws.elasticache:create_cache_parameter_group {
      CacheParameterGroupName = spec.name, CacheParameterGroupFamily = spec.family, Description = spec.description or spec.name,
      Tags = noun.tags(spec, ctx),
    }
    set(spec.name, spec.parameters)
    return spec.name
  end,

  update = function(spec, current, changes)
    if changes.parameters then set(current.id, changes.parameters.new) end
    if changes.tags then aws.elasticache:add_tags_to_resource { ResourceName = current.arn, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.elasticache:delete_cache_parameter_group { CacheParameterGroupName = current.id } end)
  end,
}
