--- Amazon CloudWatch in the rehearsal: alarms and metric data.
local wire = require "rehearsal.wire"

local S = {}

local function alarms(cloud, region)
  local store = cloud:store("cloudwatch", region)
  store.alarms = store.alarms or {}
  return store.alarms
end

local function data(cloud, region)
  local store = cloud:store("cloudwatch", region)
  store.data = store.data or {}
  return store.data
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

--- Changes the state; its actions are told, as AWS does.
function S.SetAlarmState(cloud, p, ctx)
  local alarm = alarms(cloud, ctx.region)[p.AlarmName] or wire.fail("ResourceNotFound", 404, "Unknown alarm %s", p.AlarmName)
  local before = alarm.StateValue
  alarm.StateValue, alarm.StateReason, alarm.StateUpdatedTimestamp = p.StateValue, p.StateReason, cloud.clock:now()
  local actions = p.StateValue == "ALARM" and alarm.AlarmActions or p.StateValue == "OK" and alarm.OKActions or alarm.InsufficientDataActions
  if before == p.StateValue or not alarm.ActionsEnabled then return end
  for _, arn in ipairs(actions) do
    cloud:service "sns"._publish(cloud, ctx.region, arn, ("%s: \"%s\" in %s"):format(p.StateValue, p.AlarmName, ctx.region),
      { AlarmName = p.AlarmName, NewStateValue = p.StateValue, OldStateValue = before, NewStateReason = p.StateReason })
  end
end

local function by_arn(cloud, ctx, arn)
  return alarms(cloud, ctx.region)[arn:match "alarm:(.*)$"] or wire.fail("ResourceNotFoundException", 404, "no such alarm")
end

function S.ListTagsForResource(cloud, p, ctx) return { Tags = by_arn(cloud, ctx, p.ResourceARN).tags } end

function S.TagResource(cloud, p, ctx)
  local alarm = by_arn(cloud, ctx, p.ResourceARN)
  for _, tag in ipairs(p.Tags) do
    for i = #alarm.tags, 1, -1 do if alarm.tags[i].Key == tag.Key then table.remove(alarm.tags, i) end end
    table.insert(alarm.tags, tag)
  end
end

function S.UntagResource(cloud, p, ctx)
  local alarm = by_arn(cloud, ctx, p.ResourceARN)
  for _, key in ipairs(p.TagKeys) do
    for i = #alarm.tags, 1, -1 do if alarm.tags[i].Key == key then table.remove(alarm.tags, i) end end
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

function S.PutMetricData(cloud, p, ctx)
  local all = data(cloud, ctx.region)
  for _, d in ipairs(p.MetricData or {}) do
    all[#all + 1] = { Namespace = p.Namespace, MetricName = d.MetricName, Dimensions = d.Dimensions or {}, Value = d.Value,
                      Timestamp = d.Timestamp or cloud.clock:now() }
  end
end

function S.ListMetrics(cloud, p, ctx)
  local seen, list = {}, {}
  for _, d in ipairs(data(cloud, ctx.region)) do
    local key = d.Namespace .. "/" .. d.MetricName
    if not seen[key] and (not p.Namespace or p.Namespace == d.Namespace) and (not p.MetricName or p.MetricName == d.MetricName) then
      seen[key] = true
      list[#list + 1] = { Namespace = d.Namespace, MetricName = d.MetricName, Dimensions = d.Dimensions }
    end
  end
  return { Metrics = list }
end

function S.GetMetricStatistics(cloud, p, ctx)
  local buckets = {}
  for _, d in ipairs(data(cloud, ctx.region)) do
    if d.Namespace == p.Namespace and d.MetricName == p.MetricName and d.Timestamp >= p.StartTime and d.Timestamp < p.EndTime then
      local at = d.Timestamp // p.Period * p.Period
      local b = buckets[at] or { Timestamp = at, SampleCount = 0, Sum = 0, Minimum = math.huge, Maximum = -math.huge, Unit = "None" }
      b.SampleCount, b.Sum = b.SampleCount + 1, b.Sum + d.Value
      b.Minimum, b.Maximum = math.min(b.Minimum, d.Value), math.max(b.Maximum, d.Value)
      b.Average = b.Sum / b.SampleCount
      buckets[at] = b
    end
  end
  local list = {}
  for _, b in pairs(buckets) do list[#list + 1] = b end
  return { Label = p.MetricName, Datapoints = list }
end

return S
