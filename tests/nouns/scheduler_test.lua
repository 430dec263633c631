--- The nouns of EventBridge Scheduler and of SQS, request by request (see tests/support/noun_lab.lua).
local json = require "json"
local lab = dofile "tests/support/noun_lab.lua"
local T = require("test").cases()

local GROUP = "arn:aws:scheduler:us-east-1:1:schedule-group/shop"
local QUEUE = "https://sqs.us-east-1.amazonaws.com/1/shop-dead"
local TEAM, ADDED = { tags = { team = "shop" } }, { { Key = "team", Value = "shop" } }

lab.case(T, {
  noun = "schedule_group", want = { "shop" },
  absent = { ["scheduler GetScheduleGroup"] = lab.refusal("ResourceNotFoundException", 404) },
  there = { ["scheduler GetScheduleGroup"] = { Name = "shop", Arn = GROUP, State = "ACTIVE" },
            ["scheduler ListTagsForResource"] = { Tags = lab.tag_list("schedule_group", "shop") } },
  looks = { { "scheduler GetScheduleGroup", { Name = "shop" } }, { "scheduler ListTagsForResource", { ResourceArn = GROUP } } },
  gone = { ["scheduler ListTagsForResource"] = "ResourceNotFoundException" },
  create = { { "scheduler CreateScheduleGroup", { Name = "shop", ClientToken = "(token)", Tags = lab.tag_list("schedule_group", "shop") } } },
  change = { { "a tag is added", want = TEAM, calls = { { "scheduler TagResource", { ResourceArn = GROUP, Tags = ADDED } } } } },
  fixed = {},
  delete = { { "scheduler DeleteScheduleGroup", { Name = "shop", ClientToken = "(uuid)" } } },
})

local function attributes(more) return lab.merged({ MessageRetentionPeriod = "1209600", VisibilityTimeout = "30" }, more or {}) end

lab.case(T, {
  noun = "queue", want = { "shop-dead" },
  absent = { ["sqs GetQueueUrl"] = lab.refusal "AWS.SimpleQueueService.NonExistentQueue" },
  there = { ["sqs GetQueueUrl"] = { QueueUrl = QUEUE }, ["sqs ListQueueTags"] = { Tags = lab.tags("queue", "shop-dead") },
            ["sqs GetQueueAttributes"] = { Attributes = attributes { QueueArn = "arn:aws:sqs:us-east-1:1:shop-dead" } } },
  looks = { { "sqs GetQueueUrl", { QueueName = "shop-dead" } }, { "sqs GetQueueAttributes", { QueueUrl = QUEUE, AttributeNames = { "All" } } },
            { "sqs ListQueueTags", { QueueUrl = QUEUE } } },
  gone = { ["sqs GetQueueAttributes"] =
           "AWS.SimpleQueueService.NonExistentQueue", ["sqs ListQueueTags"] = "AWS.SimpleQueueService.NonExistentQueue" },
  create = { { "sqs CreateQueue", { QueueName = "shop-dead", Attributes = attributes(), tags = lab.tags("queue", "shop-dead") } } },
  change = {
    { "it keeps messages for a week", want = { days = 7 },
      calls = { { "sqs SetQueueAttributes", { QueueUrl = QUEUE, Attributes = attributes { MessageRetentionPeriod = "604800" } } } } },
    { "a tag is added", want = TEAM, calls = { { "sqs TagQueue", { QueueUrl = QUEUE, Tags = TEAM.tags } } } },
  },
  fixed = {},
  delete = { { "sqs DeleteQueue", { QueueUrl = QUEUE } } },
})

local INPUT = { DocumentName = "AWS-RunShellScript" }

local function schedule(more)
  return lab.merged({ Name = "report", GroupName = "shop", ScheduleExpression = "cron(30 3 * * ? *)", ScheduleExpressionTimezone = "UTC",
    FlexibleTimeWindow = { Mode = "OFF" }, State = "DISABLED", Target = { Arn = "arn:aws:scheduler:::aws-sdk:ssm:sendCommand", RoleArn = "arn:role",
      Input = json.encode(INPUT), DeadLetterConfig = { Arn = "arn:dead" },
      RetryPolicy = { MaximumRetryAttempts = 3, MaximumEventAgeInSeconds = 600 } } },
    more or {})
end

local function answer(more) return lab.merged(schedule(more), { Arn = "arn:aws:scheduler:us-east-1:1:schedule/shop/report" }) end
local function update(more) return { "scheduler UpdateSchedule", lab.merged(schedule(more), { ClientToken = "(uuid)" }) } end

lab.case(T, {
  noun = "schedule",
  want = { "report", group = "shop", expression = "cron(30 3 * * ? *)", target = "arn:aws:scheduler:::aws-sdk:ssm:sendCommand", input = INPUT,
           role = "arn:role", dead_letter = "arn:dead" },
  absent = { ["scheduler GetSchedule"] = lab.refusal("ResourceNotFoundException", 404) },
  there = { ["scheduler GetSchedule"] = answer { State = "ENABLED" } },                   -- on or off is no difference
  looks = { { "scheduler GetSchedule", { GroupName = "shop", Name = "report" } } },
  gone = {},
  create = { { "scheduler CreateSchedule", lab.merged(schedule(), { ClientToken = "(token)" }) } },
  change = {
    { "another time, and it stays on", want = { expression = "cron(0 4 * * ? *)" },
      calls = { update { ScheduleExpression = "cron(0 4 * * ? *)", State = "ENABLED" } } },
    { "another time, and it stays off", there = { ["scheduler GetSchedule"] = answer() }, want = { expression = "cron(0 4 * * ? *)" },
      calls = { update { ScheduleExpression = "cron(0 4 * * ? *)" } } },
  },
  fixed = {},                                                  -- it has no tags: whose it is stands in the journal only
  delete = { { "scheduler DeleteSchedule", { GroupName = "shop", Name = "report", ClientToken = "(uuid)" } } },
})

return T
