--- A group of schedules of EventBridge Scheduler. The tags of its schedules are its own: schedules have none.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "ResourceNotFoundException"

return recipe.kind {
  name = "aws.schedule_group",
  options = { { "tags", "tags beside hkrun's", type = "table" } },
  outputs = { "arn" }, compare = { tags = "given" }, idempotent = true,

  read = noun.reader(GONE, function(spec)
    local g = aws.scheduler:get_schedule_group { Name = spec.name }
    return { id = g.Name, arn = g.Arn, deleting = g.State == "DELETING" or nil,
             tags = noun.tag_map(aws.scheduler:list_tags_for_resource({ ResourceArn = g.Arn }).Tags) }
  end),

  create = function(spec, ctx)
    aws.scheduler:create_schedule_group { Name = spec.name, ClientToken = ctx.token, Tags = noun.tags(spec, ctx) }
    return spec.name
  end,

  update = function(spec, current)
    aws.scheduler:tag_resource { ResourceArn = current.arn, Tags = noun.tag_list(spec.tags) }
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.scheduler:delete_schedule_group { Name = current.id } end)
  end,
}
