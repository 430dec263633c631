--- An SQS queue.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "AWS.SimpleQueueService.NonExistentQueue QueueDoesNotExist"
local KEEP, HIDE = "MessageRetentionPeriod", "VisibilityTimeout"

local function attributes(spec) return { [KEEP] = tostring(spec.days * 86400), [HIDE] = tostring(spec.visibility) } end

return recipe.kind {
  name = "aws.queue",
  options = {
    { "days", "days that a message is kept, 14 at most", type = "integer", default = 14 },
    { "visibility", "seconds that a message is hidden from others while one works on it", type = "integer", default = 30 },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "url" }, summary = { "days" }, compare = { tags = "given" }, idempotent = true,     -- CreateQueue answers with what is there

  read = noun.reader(GONE, function(spec)
    local url = aws.sqs:get_queue_url({ QueueName = spec.name }).QueueUrl
    local a = aws.sqs:get_queue_attributes({ QueueUrl = url, AttributeNames = { "All" } }).Attributes
    return { id = spec.name, url = url, arn = a.QueueArn, days = tonumber(a[KEEP]) // 86400 | 0, visibility = math.tointeger(tonumber(a[HIDE])),
             tags = aws.sqs:list_queue_tags({ QueueUrl = url }).Tags or {} }
  end),

  create = function(spec, ctx)
    -- a queue of that name that was deleted less than a minute ago stands in the way
    noun.settled("AWS.SimpleQueueService.QueueDeletedRecently QueueDeletedRecently", 90, function()
      aws.sqs:create_queue { QueueName = spec.name, Attributes = attributes(spec), tags = noun.tag_map(noun.tags(spec, ctx)) }
    end)
    return spec.name
  end,

  update = function(spec, current, changes)
    if changes.days or changes.visibility then aws.sqs:set_queue_attributes { QueueUrl = current.url, Attributes = attributes(spec) } end
    if changes.tags then aws.sqs:tag_queue { QueueUrl = current.url, Tags = spec.tags } end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.sqs:delete_queue { QueueUrl = current.url } end)
  end,
}
