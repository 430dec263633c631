--- A secret value in the Parameter Store of Systems Manager, encrypted with the account's own key. Its name is a path.
---
---     local key = aws.parameter { "/shop/config/API_KEY", value = app.config.API_KEY }
---     key.arn
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local secret = require "secret"

local STANDARD, ADVANCED = 4096, 8192                        -- bytes of a value; the advanced tier is billed per month
local GONE = "ParameterNotFound"

--- The tier that holds a value.
local function tier(value)
  local size = secret.size(value)
  if size > ADVANCED then
    errors.raise { kind = "limit", message = ("its value has %d bytes, and a parameter holds %d"):format(size, ADVANCED),
                   hint = "keep it in Secrets Manager" }
  end
  return size > STANDARD and "Advanced" or "Standard"
end

return recipe.kind {
  name = "aws.parameter",
  options = {
    { "value", "what it holds", type = "secret", required = true },
    { "description", "what it is for", type = "string" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "version" }, summary = { "description" }, idempotent = true, compare = { tags = "given", description = "ignore" },

  read = noun.reader(GONE .. " InvalidResourceId", function(spec)
    local p = aws.ssm:get_parameter({ Name = spec.name, WithDecryption = true }).Parameter
    return { id = p.Name, arn = p.ARN, value = p.Value, version = p.Version,
             tags = noun.tag_map(aws.ssm:list_tags_for_resource({ ResourceType = "Parameter", ResourceId = spec.name }).TagList) }
  end),

  create = function(spec, ctx)
    aws.ssm:put_parameter { Name = spec.name, Value = spec.value, Type = "SecureString", Description = spec.description, Tier = tier(spec.value),
                            Tags = noun.tags(spec, ctx) }
    return spec.name
  end,

  update = function(spec, current, changes)
    if changes.value then
      aws.ssm:put_parameter { Name = current.id, Value = spec.value, Type = "SecureString", Description = spec.description,
                              Tier = tier(spec.value), Overwrite = true }
    end
    if changes.tags then
      aws.ssm:add_tags_to_resource { ResourceType = "Parameter", ResourceId = current.id, Tags = noun.tag_list(spec.tags) }
    end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.ssm:delete_parameter { Name = current.id } end)
  end,
}
