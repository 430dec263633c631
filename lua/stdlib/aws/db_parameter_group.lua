--- A DB parameter group: PostgreSQL's settings. Only those that are given are managed. A static one needs a restart of
--- an instance that already uses the group.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local MISSING = "DBParameterGroupNotFound DBParameterGroupNotFoundFault"

local function set(name, values, apply_types)
  local list = {}
  for parameter, value in pairs(values) do
    list[#list + 1] = { ParameterName = parameter, ParameterValue = tostring(value),
                        ApplyMethod = apply_types[parameter] == "dynamic" and "immediate" or "pending-reboot" }
  end
  table.sort(list, function(a, b) return a.ParameterName < b.ParameterName end)
  for first = 1, #list, 20 do                                -- RDS takes 20 in a call
    aws.rds:modify_db_parameter_group {
      DBParameterGroupName = name, Parameters = table.move(list, first, math.min(first + 19, #list), 1, {}),
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
  name = "aws.db_parameter_group",
  options = {
    { "family", "postgres16, ...", type = "string", required = true },
    { "parameters", "values by name: { [\"rds.force_ssl\"] = 1 }", type = "table", default = {} },
    { "description", "what it is for", type = "string" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, fixed = { "family" }, summary = { "family", "parameters" }, idempotent = true,
  compare = { tags = "given", parameters = same, description = "ignore" },

  read = function(spec)
    local r = noun.found(MISSING, aws.rds.describe_db_parameter_groups, aws.rds, { DBParameterGroupName = spec.name })
    local group = r and r.DBParameterGroups[1]
    if not group then return nil end
    local parameters = {}
    for p in aws.rds:each("describe_db_parameters", { DBParameterGroupName = spec.name, Source = "user" }) do
      parameters[p.ParameterName] = p.ParameterValue
    end
    return { id = group.DBParameterGroupName, arn = group.DBParameterGroupArn, family = group.DBParameterGroupFamily,
             parameters = parameters,
             tags = noun.tag_map(aws.rds:list_tags_for_resource({ ResourceName = group.DBParameterGroupArn }).TagList) }
  end,

  create = function(spec, ctx)
    aws.rds:create_db_parameter_group {
      DBParameterGroupName = spec.name, DBParameterGroupFamily = spec.family, Description = spec.description or spec.name,
      Tags = noun.tags(spec, ctx),
    }
    set(spec.name, spec.parameters, {})                      -- no instance uses it yet
    return spec.name
  end,

  update = function(spec, current, changes)
    if changes.parameters then
      local types = {}
      for p in aws.rds:each("describe_db_parameters", { DBParameterGroupName = current.id }) do types[p.ParameterName] = p.ApplyType end
      set(current.id, spec.parameters, types)
    end
    if changes.tags then aws.rds:add_tags_to_resource { ResourceName = current.arn, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete(MISSING, function() aws.rds:delete_db_parameter_group { DBParameterGroupName = current.id } end)
  end,
}
