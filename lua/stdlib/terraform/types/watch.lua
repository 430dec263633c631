--- Logs, alarms, dashboards and who is told. See terraform/types.lua.
local aws = require "aws"
local tags = require "terraform.tags"

local M = {}

M["aws.log_group"] = {
  type = "aws_cloudwatch_log_group", import = "{name}", named = "name", gives = { arn = "arn" },
  body = function(v) return { { "name", v.name }, { "retention_in_days", v.days }, { "tags", tags(v) } } end,
}

M["aws.topic"] = {
  type = "aws_sns_topic", import = "{arn}", gives = { arn = "arn" },
  body = function(v) return { { "name", v.name }, { "tags", tags(v) } } end,
}

M["aws.subscription"] = {
  type = "aws_sns_topic_subscription", import = "{arn}", gives = { arn = "arn" },
  read = function(v)
    if v.confirmed then return {} end
    return nil, "nobody has confirmed it yet, and until then SNS gives it no ARN to import it by"
  end,
  body = function(v) return { { "topic_arn", v.topic }, { "protocol", v.protocol }, { "endpoint", v.endpoint } } end,
}

M["aws.alarm"] = {
  type = "aws_cloudwatch_metric_alarm", import = "{name}", named = "alarm_name", gives = { arn = "arn" },
  body = function(v)
    return {
      { "alarm_name", v.name }, { "alarm_description", v.description }, { "namespace", v.namespace }, { "metric_name", v.metric },
      { "dimensions", next(v.dimensions) and v.dimensions or nil }, { "statistic", v.statistic }, { "comparison_operator", v.comparison },
      { "threshold", v.threshold }, { "period", v.period }, { "evaluation_periods", v.periods }, { "treat_missing_data", v.missing },
      { "actions_enabled", v.enabled }, { "alarm_actions", v.actions[1] and v.actions }, { "ok_actions", v.ok_actions[1] and v.ok_actions },
      { "tags", tags(v) },
    }
  end,
}

M["aws.dashboard"] = {
  type = "aws_cloudwatch_dashboard", import = "{name}", gives = { arn = "dashboard_arn" },
  read = function(v) return { text = aws.cloudwatch:get_dashboard({ DashboardName = v.name }).DashboardBody } end,
  body = function(v, x) return { { "dashboard_name", v.name }, { "dashboard_body", x:document(v.text, true) } } end,
}

return M
