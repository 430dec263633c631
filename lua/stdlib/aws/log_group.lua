--- A log group of CloudWatch Logs, how long it keeps what it gets, and the metrics that it makes of it.
---
---     aws.log_group { "/shop/jobs", metrics = { waiting = { pattern = "{ $.OldestJobAge = * }", namespace = "Shop", metric = "OldestJobAge",
---       value = "$.OldestJobAge", dimensions = { Queue = "$.Queue" }, unit = "Seconds" } } }
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "ResourceNotFoundException"

local function map(spec, ctx)
  local tags = {}
  for _, t in ipairs(noun.tags(spec, ctx)) do tags[t.Key] = t.Value end
  return tags
end

--- What its metric filters say, by name.
local function metrics_of(group)
  local list = {}
  for f in aws.logs:each("describe_metric_filters", { logGroupName = group }) do
    local t = f.metricTransformations[1]
    list[f.filterName] = { pattern = f.filterPattern, namespace = t.metricNamespace, metric = t.metricName, value = t.metricValue,
                           dimensions = t.dimensions, unit = t.unit }
  end
  return list
end

local function put_metrics(group, metrics)
  for name, m in pairs(metrics or {}) do
    aws.logs:put_metric_filter { logGroupName = group, filterName = name, filterPattern = m.pattern, metricTransformations = { {
      metricNamespace = m.namespace, metricName = m.metric, metricValue = m.value, dimensions = m.dimensions, unit = m.unit } } }
  end
end

return recipe.kind {
  name = "aws.log_group",
  options = {
    { "days", "days that it keeps a line: 1, 3, 5, 7, 14, 30, 60, 90, ...", type = "integer", default = 30 },
    { "metrics", "metrics that its lines become, by name: { pattern =, namespace =, metric =, value =, dimensions =, unit = }; others stay",
      type = "table" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, summary = { "days" }, compare = { tags = "given", metrics = "given" }, idempotent = true,

  read = noun.reader(GONE, function(spec)
    for group in aws.logs:each("describe_log_groups", { logGroupNamePrefix = spec.name }) do
      if group.logGroupName == spec.name then
        local arn = group.logGroupArn or group.arn:gsub(":%*$", "")
        return { id = group.logGroupName, arn = arn, days = group.retentionInDays, metrics = spec.metrics and metrics_of(group.logGroupName),
                 tags = aws.logs:list_tags_for_resource({ resourceArn = arn }).tags or {} }
      end
    end
    return nil
  end),

  create = function(spec, ctx)
    aws.logs:create_log_group { logGroupName = spec.name, tags = map(spec, ctx) }
    aws.logs:put_retention_policy { logGroupName = spec.name, retentionInDays = spec.days }
    put_metrics(spec.name, spec.metrics)
    return spec.name
  end,

  update = function(spec, current, changes)
    if changes.days then aws.logs:put_retention_policy { logGroupName = current.id, retentionInDays = spec.days } end
    if changes.metrics then put_metrics(current.id, spec.metrics) end
    if changes.tags then aws.logs:tag_resource { resourceArn = current.arn, tags = spec.tags } end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.logs:delete_log_group { logGroupName = current.id } end)
  end,
}
