--- An SQS queue, as a noun of your own: `local @NAME@ = require "@NAME@"`, then `@NAME@ { "orders", seconds = 60 }`.
--- Change it into the thing that you need: a noun is what `read`, `create`, `update` and `delete` say about one service.
local aws, recipe = require "aws", require "recipe"
local noun = require "aws.common.noun"                       -- small helpers that the shipped nouns use as well

return recipe.kind {
  name = "@NAME@",
  options = {                                                -- what a recipe may say about it, beside its name
    { "seconds", "for how long a message that was taken is hidden from others", type = "integer", default = 30 },
    { "fifo", "keeps the order; set at birth", type = "boolean", default = false },
  },
  outputs = { "url", "arn" },                                -- what only the service knows, beside `id`
  fixed = { "fifo" },                                        -- what cannot be changed later: another value replaces it
  summary = { "seconds", "fifo" },                           -- what a plan shows of a new one
  idempotent = true,                                         -- create answers with the one that there is

  -- What is there, in the words of the options; nil when it is not there. A plan calls nothing else.
  read = function(spec)
    local found = noun.found("AWS.SimpleQueueService.NonExistentQueue", aws.sqs.get_queue_url, aws.sqs, { QueueName = spec.name })
    if not found then return nil end
    local have = aws.sqs:get_queue_attributes({ QueueUrl = found.QueueUrl, AttributeNames = { "All" } }).Attributes
    return {
      id = found.QueueUrl, url = found.QueueUrl, arn = have.QueueArn, tags = aws.sqs:list_queue_tags({ QueueUrl = found.QueueUrl }).Tags,
      seconds = math.tointeger(tonumber(have.VisibilityTimeout)), fifo = have.FifoQueue == "true",
    }
  end,

  -- Makes it and returns its id. `ctx.tags` say whose it is: give them in the same call, so that a crash loses nothing.
  create = function(spec, ctx)
    return aws.sqs:create_queue({
      QueueName = spec.name, tags = ctx.tags,
      Attributes = { VisibilityTimeout = tostring(spec.seconds), FifoQueue = spec.fifo and "true" or nil },
    }).QueueUrl
  end,

  -- Changes what differs and is not fixed.
  update = function(spec, current)
    aws.sqs:set_queue_attributes { QueueUrl = current.id, Attributes = { VisibilityTimeout = tostring(spec.seconds) } }
  end,

  -- Begins to delete it; what is gone already is no error.
  delete = function(current)
    noun.delete("AWS.SimpleQueueService.NonExistentQueue", function() aws.sqs:delete_queue { QueueUrl = current.id } end)
  end,
}
