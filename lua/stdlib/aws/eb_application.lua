--- An Elastic Beanstalk application: the name under which versions and environments stand together.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "ResourceNotFoundException"

return recipe.kind {
  name = "aws.eb_application",
  options = {
    { "description", "what it is for", type = "string" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, summary = { "description" }, idempotent = true, compare = { tags = "given" },

  read = noun.reader(GONE, function(spec)
    local a = aws.elasticbeanstalk:describe_applications({ ApplicationNames = { spec.name } }).Applications
    a = a and a[1]
    return a and {
      id = a.ApplicationName, arn = a.ApplicationArn, description = a.Description,
      tags = noun.tag_map(aws.elasticbeanstalk:list_tags_for_resource({ ResourceArn = a.ApplicationArn }).ResourceTags),
    }
  end),

  create = function(spec, ctx)
    aws.elasticbeanstalk:create_application { ApplicationName = spec.name, Description = spec.description, Tags = noun.tags(spec, ctx) }
    return spec.name
  end,

  update = function(spec, current, changes)
    if changes.description then
      aws.elasticbeanstalk:update_application { ApplicationName = current.id, Description = spec.description }
    end
    if changes.tags then
      aws.elasticbeanstalk:update_tags_for_resource { ResourceArn = current.arn, TagsToAdd = noun.tag_list(spec.tags) }
    end
  end,

  delete = function(current)
    noun.delete("", function() aws.elasticbeanstalk:delete_application { ApplicationName = current.id } end)
  end,
}
