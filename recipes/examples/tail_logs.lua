--- Prints the log lines of an Elastic Beanstalk environment as they come, until Ctrl-C or `--minutes` are over. The
--- environment must stream its logs to CloudWatch.
---
---     hkrun plan recipes/examples/tail_logs.lua --environment shop
local recipe, aws, task, log = require "recipe", require "aws", require "task", require "log"

local opt = recipe.options {
  { "environment", "name of the environment", required = true },
  { "region", "AWS region", default = "us-east-1", use = function(v) aws.use { region = v } end },
  { "minutes", "how long", default = 60 },
  { "filter", "CloudWatch filter pattern, such as ERROR" },
}

recipe.stage "tail"
local groups = {}
for g in aws.logs:each("describe_log_groups", { logGroupNamePrefix = "/aws/elasticbeanstalk/" .. opt.environment .. "/" }) do
  groups[#groups + 1] = g.logGroupName
end
recipe.need(#groups > 0, "the environment %s has no log groups in CloudWatch: switch log streaming on", opt.environment)

local seen, since, stop = {}, (os.time() - 60) * 1000, task.now() + opt.minutes * 60
repeat
  for _, group in ipairs(groups) do
    for e in aws.logs:each("filter_log_events", { logGroupName = group, startTime = since, filterPattern = opt.filter }) do
      if not seen[e.eventId] then log.out("%s", os.date("!%H:%M:%S ", e.timestamp // 1000) .. e.message) end
      seen[e.eventId] = true
    end
  end
  task.sleep(math.max(0, math.min(2, stop - task.now())))
until task.now() >= stop
