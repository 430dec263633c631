--- What comes into log groups of CloudWatch, as it comes: what `aws logs tail --follow` does.
---
---     logs.tail("/shop/jobs", print)                                       -- until Ctrl-C
---     logs.tail({ "/shop/jobs", "/shop/web" }, print, { seconds = 60 })    -- for a minute, in a script
---     logs.tail({ prefix = "/aws/elasticbeanstalk/shop/" }, print, { filter = "ERROR" })
local aws = require "aws"
local log = require "log"
local noun = require "aws.common.noun"
local options = require "options"
local task = require "task"

local M = {}

local PAUSE = 2                         -- seconds between two looks
local RECENT = 600                      -- seconds before now from which on lines are told, as the AWS CLI does
local LATE = 120                        -- seconds that a line may come after a newer one and is still told

local declared = {
  { "since", "tell what came since then, too: seconds since 1970; ten minutes ago by default", type = "number" },
  { "seconds", "how long; without it until Ctrl-C", type = "number" },
  { "filter", "only what matches this filter pattern of CloudWatch Logs", type = "string" },
}

local declared_groups = { { "prefix", "all groups whose names begin so, also those that are made later", type = "string", required = true } }

--- The names of the groups that are meant and there now.
local function names_of(what)
  if type(what) == "string" then return { what } end
  if what[1] then return what end
  local prefix = options.check(what, declared_groups, "logs.tail").prefix
  local names = {}
  for group in aws.logs:each("describe_log_groups", { logGroupNamePrefix = prefix }) do names[#names + 1] = group.logGroupName end
  return names
end

--- The lines of a group that have not been told, into `fresh`. A line is known by its id for as long as a line that is late may
--- stand before it: so none is told twice, and none is passed over that came after a newer one.
---@param place { newest: integer, seen: table<string, integer> } where we are in the group, in milliseconds
local function collect(group, place, filter, fresh)
  local from = math.max(place.since, place.newest - LATE * 1000)
  for page in aws.logs:pages("filter_log_events", { logGroupName = group, startTime = from, filterPattern = filter }) do
    for _, event in ipairs(page.events or {}) do
      if not place.seen[event.eventId] then
        place.seen[event.eventId] = event.timestamp
        place.newest = math.max(place.newest, event.timestamp)
        fresh[#fresh + 1] = { event = event, group = group, order = #fresh }
      end
    end
  end
  for id, at in pairs(place.seen) do
    if at < place.newest - LATE * 1000 then place.seen[id] = nil end
  end
end

local function line_of(event)
  local seconds, rest = event.timestamp // 1000, event.timestamp % 1000
  return ("%s.%03d000+00:00 %s %s"):format(os.date("!%Y-%m-%dT%H:%M:%S", seconds), rest, event.logStreamName, (event.message:gsub("[\r\n]+$", "")))
end

--- Tells each line that comes into log groups, once, the older first. A group that is not there yet is waited for.
---@param what string|string[]|{ prefix: string } a log group, several, or all whose names begin so
---@param tell? fun(line: string, event: table) each line as the AWS CLI shows it, and the event with logGroupName; without it the log does
---@param o? { since?: number, seconds?: number, filter?: string }
---@return integer count lines that were told, when `seconds` are over
function M.tail(what, tell, o)
  o = options.check(o or {}, declared, "logs.tail")
  tell = tell or function(line) log.info("%s", line) end
  if tell == print then tell = function(line) print(line) end end          -- of the event it would print the address
  local since = math.tointeger((o.since or os.time() - RECENT) * 1000 // 1)
  local places, count, stop = {}, 0, o.seconds and task.now() + o.seconds
  while true do
    local is_last, fresh = stop and task.now() >= stop, {}
    for _, group in ipairs(names_of(what)) do
      places[group] = places[group] or { since = since, newest = since, seen = {} }
      noun.found("ResourceNotFoundException", collect, group, places[group], o.filter, fresh)
    end
    table.sort(fresh, function(a, b)
      if a.event.timestamp ~= b.event.timestamp then return a.event.timestamp < b.event.timestamp end
      return a.order < b.order
    end)
    for _, one in ipairs(fresh) do
      one.event.logGroupName = one.group
      tell(line_of(one.event), one.event)
      count = count + 1
    end
    io.stdout:flush()                                        -- where they are printed into a pipe, too
    if is_last then return count end
    task.sleep(stop and math.max(0, math.min(PAUSE, stop - task.now())) or PAUSE)
  end
end

return M
