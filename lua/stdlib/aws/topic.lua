--- An SNS topic: what is published to it goes to its subscribers.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "NotFound ResourceNotFound"

local function find(name)
  for topic in aws.sns:each "list_topics" do
    if topic.TopicArn:match "[^:]*$" == name then return topic.TopicArn end
  end
  return nil
end

return recipe.kind {
  name = "aws.topic",
  options = { { "tags", "tags beside hkrun's", type = "table" } },
  outputs = { "arn" }, compare = { tags = "given" }, idempotent = true,   -- CreateTopic answers with the one that there is

  read = noun.reader(GONE, function(spec)
    local arn = find(spec.name)
    return arn and { id = arn, arn = arn, tags = noun.tag_map(aws.sns:list_tags_for_resource({ ResourceArn = arn }).Tags) }
  end),

  create = function(spec, ctx)
    return aws.sns:create_topic({ Name = spec.name, Tags = noun.tags(spec, ctx) }).TopicArn
  end,

  update = function(spec, current)
    aws.sns:tag_resource { ResourceArn = current.id, Tags = noun.tag_list(spec.tags) }
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.sns:delete_topic { TopicArn = current.id } end)
  end,
}
