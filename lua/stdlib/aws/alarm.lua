--- A CloudWatch alarm on one metric. Every change puts the whole alarm anew.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "ResourceNotFound ResourceNotFoundException"

local function dimension_map(list)
  local map = {}
  for _, d in ipairs(list or {}) do map[d.Name] = d.Value end
  return map
end

local function dimension_list(map)
  local list = {}
  for name, value in pairs(map) do list[#list + 1] = { Name = name, Value = value } end
  table.sort(list, function(a, b) return a.Name < b.Name end)
  return list
end

local function put(spec, tags)
  aws.cloudwatch:put_metric_alarm {
    AlarmName = spec.name, AlarmDescription = spec.description, Namespace = spec.namespace, MetricName = spec.metric,
    Dimensions = dimension_list(spec.dimensions), Statistic = spec.statistic, Period = spec.period,
    EvaluationPeriods = spec.periods, ComparisonOperator = spec.comparison, Threshold = spec.threshold,
    TreatMissingData = spec.missing, AlarmActions = noun.ids(spec.actions), OKActions = noun.ids(spec.ok_actions),
    InsufficientDataActions = #spec.silence_actions > 0 and noun.ids(spec.silence_actions) or nil,
    ActionsEnabled = spec.enabled, Tags = tags,
  }
end

--- What the recipe cannot say and someone set by hand is told with the field that it bends: "2 of 3" periods, a metric in
--- one unit only.
local function periods_of(a)
  local out_of = a.DatapointsToAlarm
  return out_of and out_of ~= a.EvaluationPeriods and ("%d of %d"):format(out_of, a.EvaluationPeriods) or a.EvaluationPeriods
end

local function metric_of(a) return a.Unit and ("%s in %s"):format(a.MetricName, a.Unit) or a.MetricName end

return recipe.kind {
  name = "aws.alarm",
  options = {
    { "namespace", "AWS/RDS, AWS/ElastiCache, AWS/ElasticBeanstalk, ...", type = "string", required = true },
    { "metric", "CPUUtilization, ...", type = "string", required = true },
    { "dimensions", "of what: { DBInstanceIdentifier = \"shop\" }", type = "table", default = {} },
    { "statistic", "how the values of a period are made one", type = "string", default = "Average",
      one_of = { "Average", "Sum", "Minimum", "Maximum", "SampleCount" } },
    { "comparison", "when it goes off", type = "string", default = "GreaterThanThreshold",
      one_of = { "GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold" } },
    { "threshold", "the value that it goes off at", type = "number", required = true },
    { "period", "seconds of a period", type = "integer", default = 300 },
    { "periods", "how many periods in a row", type = "integer", default = 2 },
    { "missing", "what a period without values counts as", type = "string", default = "missing",
      one_of = { "missing", "breaching", "notBreaching", "ignore" } },
    { "enabled", "its actions are taken", type = "boolean", default = true },
    { "actions", "topics that are told when it goes off", type = "list", default = {} },
    { "ok_actions", "topics that are told when it is over", type = "list", default = {} },
    { "silence_actions", "topics that are told when the metric ends, and the alarm knows no more", type = "list", default = {} },
    { "description", "what it means and what to do", type = "string" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "state" }, summary = { "metric", "comparison", "threshold" }, idempotent = true,
  compare = { tags = "given", actions = "set", ok_actions = "set", silence_actions = "set" },

  read = noun.reader(GONE, function(spec)
    local a = aws.cloudwatch:describe_alarms({ AlarmNames = { spec.name }, AlarmTypes = { "MetricAlarm" } }).MetricAlarms[1]
    return a and {
      id = a.AlarmName, arn = a.AlarmArn, state = a.StateValue, namespace = a.Namespace, metric = metric_of(a),
      dimensions = dimension_map(a.Dimensions), statistic = a.Statistic or a.ExtendedStatistic, comparison = a.ComparisonOperator,
      threshold = a.Threshold, period = a.Period, periods = periods_of(a), missing = a.TreatMissingData or "missing",
      description = a.AlarmDescription,
      enabled = a.ActionsEnabled ~= false, actions = a.AlarmActions or {}, ok_actions = a.OKActions or {},
      silence_actions = a.InsufficientDataActions or {},
      tags = noun.tag_map(aws.cloudwatch:list_tags_for_resource({ ResourceARN = a.AlarmArn }).Tags),
    }
  end),

  create = function(spec, ctx)
    put(spec, noun.tags(spec, ctx))
    return spec.name
  end,

  update = function(spec, current, changes)
    if #changes > (changes.tags and 1 or 0) then put(spec) end
    if changes.tags then
      aws.cloudwatch:tag_resource { ResourceARN = current.arn, Tags = noun.tag_list(spec.tags) }
    end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.cloudwatch:delete_alarms { AlarmNames = { current.id } } end)
  end,
}
