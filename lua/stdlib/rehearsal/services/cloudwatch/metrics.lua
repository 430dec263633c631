--- Metric data: what was put, and what the services of the rehearsal tell of themselves, by series. A series is a metric
--- with its dimensions. What they tell is kept beside the cloud's state, because it is another in each run.
local sorted_keys = require "sorted_keys"
local told = require "rehearsal.services.cloudwatch.told"
local wire = require "rehearsal.wire"

local S = {}

local KEPT = 2000                       -- points of a series

local function kept(cloud, region)
  cloud.metrics[region] = cloud.metrics[region] or { series = {} }
  return cloud.metrics[region]
end

local function all(cloud, region) return kept(cloud, region).series end

local function key_of(namespace, name, dimensions)
  local parts = {}
  for _, d in ipairs(dimensions or {}) do parts[#parts + 1] = d.Name .. "=" .. d.Value end
  table.sort(parts)
  return namespace .. "\0" .. name .. "\0" .. table.concat(parts, "\0")
end

--- Adds a point: { Value | Values, Counts | StatisticValues, Timestamp, Unit }.
function S._put(cloud, region, namespace, d)
  local series, key = all(cloud, region), key_of(namespace, d.MetricName, d.Dimensions)
  local one = series[key]
  if not one then
    one = { Namespace = namespace, MetricName = d.MetricName, Dimensions = d.Dimensions or {}, points = {} }
    series[key] = one
  end
  local at = d.Timestamp or cloud.clock:now()
  local function add(value, count, least, most, sum)
    local points = one.points
    points[#points + 1] = { at = at, n = count, sum = sum or value * count, min = least or value, max = most or value, unit = d.Unit or "None" }
    if #points > KEPT then table.remove(points, 1) end
  end
  local set = d.StatisticValues
  if set then add(set.Sum, set.SampleCount, set.Minimum, set.Maximum, set.Sum) end
  if d.Value then add(d.Value, 1) end
  for i, value in ipairs(d.Values or {}) do add(value, d.Counts and d.Counts[i] or 1) end
end

--- Asks the services for what is true this minute, and fills the minutes since the last time, which a fast clock skips.
function S._collect(cloud, region)
  local store, now = kept(cloud, region), cloud.clock:now() // 60 * 60
  local last = store.told or now - 60
  if now <= last then return end
  store.told = now
  for _, d in ipairs(told.now(cloud, region)) do
    for at = math.max(last + 60, now - 3600), now, 60 do
      d.Timestamp = at
      S._put(cloud, region, d.Namespace, d)
    end
  end
end

function S.PutMetricData(cloud, p, ctx)
  if p.Namespace:find "^AWS/" then
    wire.fail("InvalidParameterValue", 400, "The value AWS/ for parameter Namespace is invalid.")
  end
  for i, d in ipairs(p.MetricData or {}) do
    if not d.Value and not d.Values and not d.StatisticValues then
      wire.fail("MissingParameter", 400, "At least one of the parameters must be specified: MetricData.member.%d.Value", i)
    end
    S._put(cloud, ctx.region, p.Namespace, d)
  end
end

local function has(dimensions, filter)
  for _, d in ipairs(dimensions) do
    if d.Name == filter.Name and (filter.Value == nil or d.Value == filter.Value) then return true end
  end
  return false
end

function S.ListMetrics(cloud, p, ctx)
  S._collect(cloud, ctx.region)
  local list, series = {}, all(cloud, ctx.region)
  for _, key in ipairs(sorted_keys(series)) do
    local one = series[key]
    local ok = (not p.Namespace or p.Namespace == one.Namespace) and (not p.MetricName or p.MetricName == one.MetricName)
    for _, filter in ipairs(p.Dimensions or {}) do ok = ok and has(one.Dimensions, filter) end
    if ok then list[#list + 1] = { Namespace = one.Namespace, MetricName = one.MetricName, Dimensions = one.Dimensions } end
  end
  local page, token = cloud.page(list, p.NextToken, 500)
  return { Metrics = page, NextToken = token }
end

--- What a period's points come to.
local function total(points)
  local t = { SampleCount = 0.0, Sum = 0.0, Minimum = math.huge, Maximum = -math.huge, Unit = points[1].unit }
  for _, point in ipairs(points) do
    t.SampleCount, t.Sum = t.SampleCount + point.n, t.Sum + point.sum
    t.Minimum, t.Maximum = math.min(t.Minimum, point.min), math.max(t.Maximum, point.max)
  end
  t.Minimum, t.Maximum = t.Minimum + 0.0, t.Maximum + 0.0
  t.Average = t.Sum / t.SampleCount
  return t
end

--- A percentile, "p99" or "p99.9"; nil for what is none.
local function percentile(points, name)
  local wanted = tonumber(name:match "^p(%d+%.?%d*)$")
  if not wanted then return nil end
  local values = {}
  for _, point in ipairs(points) do
    for _ = 1, math.min(point.n, 1000) do values[#values + 1] = point.sum / point.n end
  end
  table.sort(values)
  return values[math.max(1, math.ceil(#values * wanted / 100))]
end

--- The values of a metric by the beginning of their period: { [at] = value }; `statistic` nil gives all statistics.
---@param q { Namespace: string, MetricName: string, Dimensions: table[]?, Period: integer, Unit: string? }
function S._values(cloud, region, q, statistic, from, to)
  local one = all(cloud, region)[key_of(q.Namespace, q.MetricName, q.Dimensions)]
  local buckets, values = {}, {}
  for _, point in ipairs(one and one.points or {}) do
    if point.at >= from and point.at < to and (not q.Unit or q.Unit == point.unit) then
      local at = point.at // q.Period * q.Period
      buckets[at] = buckets[at] or {}
      table.insert(buckets[at], point)
    end
  end
  for at, points in pairs(buckets) do
    local t = total(points)
    if statistic then values[at] = t[statistic] or percentile(points, statistic)
    else
      t.Timestamp = at
      values[at] = t
    end
  end
  return values
end

function S.GetMetricStatistics(cloud, p, ctx)
  S._collect(cloud, ctx.region)
  local list, values = {}, S._values(cloud, ctx.region, p, nil, p.StartTime, p.EndTime)
  for i, at in ipairs(sorted_keys(values)) do
    local t, shown = values[at], { Timestamp = at, Unit = values[at].Unit }
    for _, name in ipairs(p.Statistics or {}) do shown[name] = t[name] end
    list[i] = shown
  end
  return { Label = p.MetricName, Datapoints = list }
end

--- Metrics only: the rehearsal computes no expressions.
function S.GetMetricData(cloud, p, ctx)
  S._collect(cloud, ctx.region)
  local results = {}
  for i, q in ipairs(p.MetricDataQueries) do
    local stat = q.MetricStat
    if not stat then wire.fail("ValidationError", 400, "the rehearsal computes no metric math: query %s", q.Id) end
    local values = S._values(cloud, ctx.region, { Namespace = stat.Metric.Namespace, MetricName = stat.Metric.MetricName,
      Dimensions = stat.Metric.Dimensions, Period = stat.Period, Unit = stat.Unit }, stat.Stat, p.StartTime, p.EndTime)
    local times, list = sorted_keys(values), {}
    if p.ScanBy ~= "TimestampAscending" then table.sort(times, function(a, b) return a > b end) end
    for j, at in ipairs(times) do list[j] = values[at] end
    results[i] = { Id = q.Id, Label = q.Label or stat.Metric.MetricName, Timestamps = times, Values = list, StatusCode = "Complete" }
  end
  return { MetricDataResults = results }
end

return S
