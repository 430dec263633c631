--- Alarms: once a minute each looks at its metric, and a change of its state is told to its topics.
local dashboards = require "rehearsal.services.cloudwatch.dashboards"
local json = require "json"
local metrics = require "rehearsal.services.cloudwatch.metrics"
local sorted_keys = require "sorted_keys"
local verdict = require "rehearsal.services.cloudwatch.verdict"
local wire = require "rehearsal.wire"

local S = {}

local MINUTE = 60
local LEAST = 0.25                      -- real seconds between two looks, however fast the clock is

local function alarms(cloud, region)
  local store = cloud:store("cloudwatch", region)
  store.alarms = store.alarms or {}
  return store.alarms
end

local function note(cloud, region, alarm, kind, summary, facts)
  local store = cloud:store("cloudwatch", region)
  store.events = store.events or {}
  table.insert(store.events, { AlarmName = alarm.AlarmName, AlarmType = "MetricAlarm", Timestamp = cloud.clock:now(), HistoryItemType = kind,
                               HistorySummary = summary, HistoryData = facts and json.encode(facts, { sort = true }) or nil })
end

--- Changes the state; its actions are told, as AWS does.
local function change(cloud, region, alarm, state, reason)
  local before = alarm.StateValue
  alarm.StateReason = reason
  if before == state then return end
  alarm.StateValue, alarm.StateUpdatedTimestamp = state, cloud.clock:now()
  note(cloud, region, alarm, "StateUpdate", ("Alarm updated from %s to %s"):format(before, state),
    { version = "1.0", oldState = { stateValue = before }, newState = { stateValue = state, stateReason = reason } })
  if not alarm.ActionsEnabled then return end
  local actions = state == "ALARM" and alarm.AlarmActions or state == "OK" and alarm.OKActions or alarm.InsufficientDataActions
  for _, arn in ipairs(actions) do
    note(cloud, region, alarm, "Action", "Successfully executed action " .. arn)
    cloud:service "sns"._publish(cloud, region, arn, ("%s: \"%s\" in %s"):format(state, alarm.AlarmName, region), {
      AlarmName = alarm.AlarmName, AlarmDescription = alarm.AlarmDescription, AWSAccountId = cloud.account, NewStateValue = state,
      OldStateValue = before, NewStateReason = reason, Region = region,
      Trigger = { Namespace = alarm.Namespace, MetricName = alarm.MetricName, Threshold = alarm.Threshold, Period = alarm.Period },
    })
  end
end

--- Looks at the alarms of a region every minute, as long as there are any.
local function watch(cloud, region)
  local watched = cloud.watched                             -- another table when the account was emptied
  if watched[region] then return end
  watched[region] = true
  local function look()
    if cloud.watched ~= watched then return end
    local all = alarms(cloud, region)
    if next(all) == nil then watched[region] = nil return end
    metrics._collect(cloud, region)
    for _, name in ipairs(sorted_keys(all)) do
      local alarm = all[name]
      if alarm and alarm.MetricName then
        local state, reason = verdict(alarm, function(from, to)
          return metrics._values(cloud, region, alarm, alarm.Statistic or alarm.ExtendedStatistic, from, to)
        end, cloud.clock:now())
        if state then change(cloud, region, alarm, state, reason) end
      end
    end
    cloud:after(math.max(MINUTE, LEAST * cloud.clock.scale), look)
  end
  cloud:after(math.max(MINUTE, LEAST * cloud.clock.scale), look)
end

function S.PutMetricAlarm(cloud, p, ctx)
  if not p.MetricName and not p.Metrics then wire.fail("ValidationError", 400, "Either MetricName or Metrics is required") end
  if p.MetricName and not (p.Period and (p.Statistic or p.ExtendedStatistic)) then
    wire.fail("MissingParameter", 400, "Period and Statistic are required for the metric %s", p.MetricName)
  end
  local all = alarms(cloud, ctx.region)
  local old = all[p.AlarmName]
  local alarm = {}
  for k, v in pairs(p) do alarm[k] = v end
  alarm.Tags = nil
  alarm.tags = old and old.tags or p.Tags or {}
  alarm.ActionsEnabled = p.ActionsEnabled ~= false
  alarm.AlarmArn = cloud:arn("cloudwatch", ctx.region, "alarm:" .. p.AlarmName)
  alarm.StateValue = old and old.StateValue or "INSUFFICIENT_DATA"
  alarm.StateReason = old and old.StateReason or "Unchecked: Initial alarm creation"
  alarm.StateUpdatedTimestamp = old and old.StateUpdatedTimestamp or cloud.clock:now()
  alarm.AlarmConfigurationUpdatedTimestamp = cloud.clock:now()
  alarm.AlarmActions, alarm.OKActions = p.AlarmActions or {}, p.OKActions or {}
  alarm.InsufficientDataActions, alarm.Dimensions = p.InsufficientDataActions or {}, p.Dimensions or {}
  all[p.AlarmName] = alarm
  watch(cloud, ctx.region)
end

function S.DescribeAlarms(cloud, p, ctx)
  local list, wanted = {}, {}
  for _, name in ipairs(p.AlarmNames or {}) do wanted[name] = true end
  for name, alarm in pairs(alarms(cloud, ctx.region)) do
    local ok = (not p.AlarmNames or #p.AlarmNames == 0 or wanted[name])
      and (not p.AlarmNamePrefix or name:sub(1, #p.AlarmNamePrefix) == p.AlarmNamePrefix)
      and (not p.StateValue or alarm.StateValue == p.StateValue)
    if ok then list[#list + 1] = alarm end
  end
  table.sort(list, function(a, b) return a.AlarmName < b.AlarmName end)
  local page, token = cloud.page(list, p.NextToken, p.MaxRecords)
  return { MetricAlarms = page, CompositeAlarms = {}, NextToken = token }
end

function S.DeleteAlarms(cloud, p, ctx)
  local all = alarms(cloud, ctx.region)
  for _, name in ipairs(p.AlarmNames) do
    if not all[name] then wire.fail("ResourceNotFound", 404, "Unknown alarm %s", name) end
  end
  for _, name in ipairs(p.AlarmNames) do all[name] = nil end
end

--- Sets the state by hand, until the alarm looks again.
function S.SetAlarmState(cloud, p, ctx)
  local alarm = alarms(cloud, ctx.region)[p.AlarmName] or wire.fail("ResourceNotFound", 404, "Unknown alarm %s", p.AlarmName)
  change(cloud, ctx.region, alarm, p.StateValue, p.StateReason)
end

function S.DescribeAlarmHistory(cloud, p, ctx)
  local list = {}
  for _, e in ipairs(cloud:store("cloudwatch", ctx.region).events or {}) do
    if (not p.AlarmName or p.AlarmName == e.AlarmName) and (not p.HistoryItemType or p.HistoryItemType == e.HistoryItemType)
       and (not p.StartDate or e.Timestamp >= p.StartDate) and (not p.EndDate or e.Timestamp <= p.EndDate) then
      table.insert(list, p.ScanBy == "TimestampAscending" and #list + 1 or 1, e)
    end
  end
  local page, token = cloud.page(list, p.NextToken, p.MaxRecords)
  return { AlarmHistoryItems = page, NextToken = token }
end

--- The tags of an alarm or a dashboard.
local function tags_of(cloud, ctx, arn)
  local tags = dashboards._dashboard_tags(cloud, arn)
  if tags then return tags end
  return (alarms(cloud, ctx.region)[arn:match "alarm:(.*)$"] or wire.fail("ResourceNotFoundException", 404, "no such alarm")).tags
end

function S.ListTagsForResource(cloud, p, ctx) return { Tags = tags_of(cloud, ctx, p.ResourceARN) } end

function S.TagResource(cloud, p, ctx)
  local tags = tags_of(cloud, ctx, p.ResourceARN)
  for _, tag in ipairs(p.Tags) do
    for i = #tags, 1, -1 do if tags[i].Key == tag.Key then table.remove(tags, i) end end
    table.insert(tags, tag)
  end
end

function S.UntagResource(cloud, p, ctx)
  local tags = tags_of(cloud, ctx, p.ResourceARN)
  for _, key in ipairs(p.TagKeys) do
    for i = #tags, 1, -1 do if tags[i].Key == key then table.remove(tags, i) end end
  end
end

--- Alarms that are not there are no error, as in CloudWatch.
local function switch_actions(on)
  return function(cloud, p, ctx)
    for _, name in ipairs(p.AlarmNames) do
      local alarm = alarms(cloud, ctx.region)[name]
      if alarm then alarm.ActionsEnabled = on end
    end
  end
end

S.EnableAlarmActions, S.DisableAlarmActions = switch_actions(true), switch_actions(false)

return S
