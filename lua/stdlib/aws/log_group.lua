--- A log group of CloudWatch Logs, and how long it keeps what it gets.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "ResourceNotFoundException"

local function map(spec, ctx)
  local tags = {}
  for _, t in ipairs(noun.tags(spec, ctx)) do tags[t.Key] = t.Value end
  return tags
end

return recipe.kind {
  name = "aws.log_group",
  options = {
    { "days", "days that it keeps a line: 1, 3, 5, 7, 14, 30, 60, 90, ...", type = "integer", default = 30 },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, summary = { "days" }, compare = { tags = "given" }, idempotent = true,

  read = noun.reader(GONE, function(spec)
    for group in aws.logs:each("describe_log_groups", { logGroupNamePrefix = spec.name }) do
      if group.logGroupName == spec.name then
        local arn = group.logGroupArn or group.arn:gsub(":%*$", "")
        return { id = group.logGroupName, arn = arn, days = group.retentionInDays,
                 tags = aws.logs:list_tags_for_resource({ resourceArn = arn }).tags or {} }
      end
    end
    return nil
  end),

  create = function(spec, ctx)
    aws.logs:create_log_group { logGroupName = spec.name, tags = map(spec, ctx) }
    aws.logs:put_retention_policy { logGroupName = spec.name, retentionInDays = spec.days }
    return spec.name
  end,

  update = function(spec, current, changes)
    if changes.days then aws.logs:put_retention_policy { logGroupName = current.id, retentionInDays = spec.days } end
    if changes.tags then aws.logs:tag_resource { resourceArn = current.arn, tags = spec.tags } end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.logs:delete_log_group { logGroupName = current.id } end)
  end,
}
