--- Amazon CloudWatch Logs in the rehearsal: groups hold what the app prints.
local json = require "json"
local sign = require "sign"
local wire = require "rehearsal.wire"

local S = {}

local RETENTION = {}
for _, days in ipairs { 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653 } do
  RETENTION[days] = true
end
local KEPT = 10000                      -- lines a stream keeps

local function groups(cloud, region)
  local store = cloud:store("logs", region)
  store.groups = store.groups or {}
  return store.groups
end

local function get(cloud, ctx, name)
  return groups(cloud, ctx.region)[name] or wire.fail("ResourceNotFoundException", 400, "The specified log group does not exist.")
end

local function new_group(cloud, region, name, tags)
  local group = { logGroupName = name, creationTime = math.floor(cloud.clock:now() * 1000), metricFilterCount = 0, storedBytes = 0, streams = {},
                  logGroupClass = "STANDARD", tags = tags or {}, arn = cloud:arn("logs", region, "log-group:" .. name .. ":*"),
                  logGroupArn = cloud:arn("logs", region, "log-group:" .. name) }
  groups(cloud, region)[name] = group
  return group
end

function S.CreateLogGroup(cloud, p, ctx)
  if groups(cloud, ctx.region)[p.logGroupName] then
    wire.fail("ResourceAlreadyExistsException", 400, "The specified log group already exists")
  end
  new_group(cloud, ctx.region, p.logGroupName, p.tags)
end

function S.DescribeLogGroups(cloud, p, ctx)
  local list = {}
  for name, group in pairs(groups(cloud, ctx.region)) do
    if (not p.logGroupNamePrefix or name:sub(1, #p.logGroupNamePrefix) == p.logGroupNamePrefix)
       and (not p.logGroupNamePattern or name:find(p.logGroupNamePattern, 1, true)) then list[#list + 1] = group end
  end
  table.sort(list, function(a, b) return a.logGroupName < b.logGroupName end)
  local page, token = cloud.page(list, p.nextToken, p.limit or 50)
  return { logGroups = page, nextToken = token }
end

function S.PutRetentionPolicy(cloud, p, ctx)
  if not RETENTION[p.retentionInDays] then
    wire.fail("InvalidParameterException", 400, "retentionInDays %d is not one of the allowed values", p.retentionInDays)
  end
  get(cloud, ctx, p.logGroupName).retentionInDays = p.retentionInDays
end

function S.DeleteRetentionPolicy(cloud, p, ctx) get(cloud, ctx, p.logGroupName).retentionInDays = nil end

function S.DeleteLogGroup(cloud, p, ctx)
  get(cloud, ctx, p.logGroupName)
  groups(cloud, ctx.region)[p.logGroupName] = nil
end

local function by_arn(cloud, ctx, arn) return get(cloud, ctx, (arn:match "log%-group:([^:]+)")) end

function S.ListTagsForResource(cloud, p, ctx) return { tags = by_arn(cloud, ctx, p.resourceArn).tags } end

function S.TagResource(cloud, p, ctx)
  local tags = by_arn(cloud, ctx, p.resourceArn).tags
  for key, value in pairs(p.tags) do tags[key] = value end
end

function S.UntagResource(cloud, p, ctx)
  local tags = by_arn(cloud, ctx, p.resourceArn).tags
  for _, key in ipairs(p.tagKeys) do tags[key] = nil end
end

local function stream_of(cloud, region, group_name, name)
  local group = groups(cloud, region)[group_name] or new_group(cloud, region, group_name)
  local stream = group.streams[name]
  if not stream then
    stream = { logStreamName = name, creationTime = math.floor(cloud.clock:now() * 1000), events = {}, storedBytes = 0,
               arn = cloud:arn("logs", region, ("log-group:%s:log-stream:%s"):format(group_name, name)) }
    group.streams[name] = stream
  end
  return stream, group
end

-- Metric filters -----------------------------------------------------------

--- The member that a pattern like { $.Name = * } asks for.
local function member_of(pattern) return pattern:match "^%s*{%s*%$%.([%w_]+)%s*=%s*%*%s*}%s*$" end

function S.PutMetricFilter(cloud, p, ctx)
  local group, t = get(cloud, ctx, p.logGroupName), p.metricTransformations[1]
  if not member_of(p.filterPattern) then
    wire.fail("InvalidParameterException", 400, "The rehearsal has metric filters of the pattern { $.Member = * } only, not %s", p.filterPattern)
  end
  if t.dimensions and t.defaultValue then
    wire.fail("InvalidParameterException", 400, "Invalid metric transformation: dimensions and default value are mutually exclusive properties.")
  end
  group.filters = group.filters or {}
  if not group.filters[p.filterName] then group.metricFilterCount = group.metricFilterCount + 1 end
  group.filters[p.filterName] = { filterName = p.filterName, filterPattern = p.filterPattern, logGroupName = p.logGroupName,
    metricTransformations = p.metricTransformations, creationTime = math.floor(cloud.clock:now() * 1000) }
end

function S.DescribeMetricFilters(cloud, p, ctx)
  local list = {}
  for name, filter in pairs(get(cloud, ctx, p.logGroupName).filters or {}) do
    if name:sub(1, #(p.filterNamePrefix or "")) == (p.filterNamePrefix or "") then list[#list + 1] = filter end
  end
  table.sort(list, function(a, b) return a.filterName < b.filterName end)
  local page, token = cloud.page(list, p.nextToken, p.limit or 50)
  return { metricFilters = page, nextToken = token }
end

function S.DeleteMetricFilter(cloud, p, ctx)
  local group = get(cloud, ctx, p.logGroupName)
  if not (group.filters or {})[p.filterName] then wire.fail("ResourceNotFoundException", 400, "The specified metric filter does not exist.") end
  group.filters[p.filterName], group.metricFilterCount = nil, group.metricFilterCount - 1
end

--- A line of JSON becomes a point of each metric whose filter it fits.
local function measure(cloud, region, group, line)
  for _, filter in pairs(group.filters or {}) do
    local event = json.decode(line)
    if type(event) == "table" and event[member_of(filter.filterPattern)] ~= nil then
      local t, dimensions = filter.metricTransformations[1], {}
      local function value_of(s) return s:find "^%$%." and event[s:sub(3)] or s end
      for name, from in pairs(t.dimensions or {}) do dimensions[#dimensions + 1] = { Name = name, Value = tostring(value_of(from)) } end
      local value = tonumber(value_of(t.metricValue))
      if value then
        cloud:service "cloudwatch"._put(cloud, region, t.metricNamespace, { MetricName = t.metricName, Value = value, Unit = t.unit,
          Dimensions = dimensions })
      end
    end
  end
end

--- Adds a line to a stream.
---@param at integer milliseconds since 1970
local function add(cloud, region, group, stream, line, at)
  local now = math.floor(cloud.clock:now() * 1000)
  stream.serial = (stream.serial or 0) + 1
  table.insert(stream.events, { timestamp = at, ingestionTime = now, message = line, serial = stream.serial })
  group.storedBytes = group.storedBytes + #line
  if group.filters then measure(cloud, region, group, line) end
  while #stream.events > KEPT do table.remove(stream.events, 1) end
  stream.firstEventTimestamp, stream.lastEventTimestamp, stream.lastIngestionTime = stream.events[1].timestamp, at, now
end

--- Adds lines to a stream, as the agent on an instance does; makes what is missing.
---@param lines string[]
---@param only_there? boolean they are lost where the group is gone
function S._put(cloud, region, group_name, stream_name, lines, only_there)
  if only_there and not groups(cloud, region)[group_name] then return end
  local stream, group = stream_of(cloud, region, group_name, stream_name)
  for _, line in ipairs(lines) do add(cloud, region, group, stream, line, math.floor(cloud.clock:now() * 1000)) end
end

function S.CreateLogStream(cloud, p, ctx)
  local group = get(cloud, ctx, p.logGroupName)
  if group.streams[p.logStreamName] then wire.fail("ResourceAlreadyExistsException", 400, "The specified log stream already exists") end
  stream_of(cloud, ctx.region, p.logGroupName, p.logStreamName)
end

function S.PutLogEvents(cloud, p, ctx)
  local group = get(cloud, ctx, p.logGroupName)
  local stream = group.streams[p.logStreamName] or wire.fail("ResourceNotFoundException", 400, "The specified log stream does not exist.")
  for _, event in ipairs(p.logEvents) do add(cloud, ctx.region, group, stream, event.message, event.timestamp) end
  return { nextSequenceToken = "0" }
end

function S.DescribeLogStreams(cloud, p, ctx)
  local list = {}
  for name, stream in pairs(get(cloud, ctx, p.logGroupName).streams) do
    if not p.logStreamNamePrefix or name:sub(1, #p.logStreamNamePrefix) == p.logStreamNamePrefix then list[#list + 1] = stream end
  end
  table.sort(list, function(a, b) return a.logStreamName < b.logStreamName end)
  local page, token = cloud.page(list, p.nextToken, p.limit or 50)
  return { logStreams = page, nextToken = token }
end

function S.GetLogEvents(cloud, p, ctx)
  local group = get(cloud, ctx, p.logGroupName or p.logGroupIdentifier)
  local stream = group.streams[p.logStreamName] or wire.fail("ResourceNotFoundException", 400, "The specified log stream does not exist.")
  local first = p.nextToken and tonumber(p.nextToken:match "%d+") or math.max(1, #stream.events - (p.limit or 1000) + 1)
  if p.startFromHead and not p.nextToken then first = 1 end
  local events = json.array {}
  for i = first, math.min(#stream.events, first + (p.limit or 1000) - 1) do events[#events + 1] = stream.events[i] end
  return { events = events, nextForwardToken = ("f/%d"):format(first + #events), nextBackwardToken = ("b/%d"):format(first) }
end

function S.FilterLogEvents(cloud, p, ctx)
  local group, list = get(cloud, ctx, p.logGroupName or p.logGroupIdentifier), {}
  for name, stream in pairs(group.streams) do
    for _, event in ipairs(stream.events) do
      if (not p.filterPattern or p.filterPattern == "" or event.message:find(p.filterPattern:gsub('"', ""), 1, true))
         and (not p.startTime or event.timestamp >= p.startTime) and (not p.endTime or event.timestamp < p.endTime) then
        list[#list + 1] = { logStreamName = name, timestamp = event.timestamp, message = event.message, ingestionTime = event.ingestionTime,
                            eventId = sign.sha256(("%s\n%s\n%d"):format(group.logGroupName, name, event.serial)), serial = event.serial }
      end
    end
  end
  table.sort(list, function(a, b)                            -- the same order for each page
    if a.timestamp ~= b.timestamp then return a.timestamp < b.timestamp end
    if a.logStreamName ~= b.logStreamName then return a.logStreamName < b.logStreamName end
    return a.serial < b.serial
  end)
  local page, token = cloud.page(list, p.nextToken, p.limit or 10000)
  return { events = page, nextToken = token, searchedLogStreams = {} }
end

return S
