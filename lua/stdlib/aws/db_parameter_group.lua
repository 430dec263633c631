--- A DB parameter group: PostgreSQL's settings. Only those that are given are managed. A static one needs a restart of
--- an instance that already uses the group.
local aws = require "aws"
local noun = require "aws.common.noun"
local parameters = require "aws.common.parameters"
local recipe = require "recipe"

local GONE = "DBParameterGroupNotFound DBParameterGroupNotFoundFault"

local function set(name, values, apply_types)
  parameters.set(values, function(parameter, value)
    return { ParameterName = parameter, ParameterValue = parameters.text(value, "1", "0"),
             ApplyMethod = apply_types[parameter] == "dynamic" and "immediate" or "pending-reboot" }
  end, function(portion) aws.rds:modify_db_parameter_group { DBParameterGroupName = name, Parameters = portion } end)
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
  compare = { tags = "given", parameters = parameters.comparer("1", "0"), description = "ignore" },

  read = noun.reader(GONE, function(spec)
    local group = aws.rds:describe_db_parameter_groups({ DBParameterGroupName = spec.name }).DBParameterGroups[1]
    if not group then return nil end
    local function each(source) return aws.rds:each("describe_db_parameters", { DBParameterGroupName = spec.name, Source = source }) end
    return { id = group.DBParameterGroupName, arn = group.DBParameterGroupArn, family = group.DBParameterGroupFamily,
             parameters = parameters.read(spec.parameters, each),
             tags = noun.tag_map(aws.rds:list_tags_for_resource({ ResourceName = group.DBParameterGroupArn }).TagList) }
  end),

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
      set(current.id, changes.parameters.new, types)
    end
    if changes.tags then aws.rds:add_tags_to_resource { ResourceName = current.arn, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.rds:delete_db_parameter_group { DBParameterGroupName = current.id } end)
  end,
}
