--- Publishes how long the oldest job of each BullMQ and Sidekiq queue has been waiting, because no metric of AWS's knows these
--- queues. To be run every minute, where the Redis can be reached; alarms and the dashboard of heroku_to_aws.lua look at it.
---
---     * * * * *  hkrun -e 'aws.queue_ages(os.getenv "REDIS_URL")'
---
--- The metric is OldestJobAge in Hkrun/Queues, in seconds, by queue; 0 for an empty one.
local aws = require "aws"
local json = require "json"
local queues = require "queues"
local redis = require "redis"

local NAMESPACE, MOST = "Hkrun/Queues", 1000                 -- PutMetricData takes so many metrics at once

--- When the job that waits longest was put in, in seconds since 1970; nil where that is not known.
--- BullMQ 5 puts new jobs at the left of its list, and keeps `timestamp` in milliseconds in the job's hash. Sidekiq keeps
--- `enqueued_at` in the job: seconds until version 7, milliseconds since version 8.
local since = {}

function since.bullmq(r, name)
  local space = name:find(":", 1, true) and name or "bull:" .. name
  local id = r:command("LINDEX", space .. ":wait", -1)
  local at = type(id) == "string" and tonumber(r:command("HGET", space .. ":" .. id, "timestamp"))
  return at and at / 1000
end

function since.sidekiq(r, name)
  local job = r:command("LINDEX", "queue:" .. name, -1)
  local decoded = type(job) == "string" and json.decode(job)
  local at = type(decoded) == "table" and tonumber(decoded.enqueued_at)
  return at and (at > 1e11 and at / 1000 or at)
end

--- The state in which a job waits for a worker.
local WAITING = { bullmq = "waiting", sidekiq = "enqueued" }

--- Publishes the ages of a Redis's queues.
---@param where any an endpoint as redis.open takes it
---@return { queue: string, seconds: number }[] ages
return function(where)
  local ages, data = {}, {}
  do
    local r <close> = redis.open(where)
    local now = r:command "TIME"
    now = tonumber(now[1]) + tonumber(now[2]) / 1e6          -- the server's clock, if not the one that wrote the jobs
    for _, row in ipairs(queues.find(r)) do
      if since[row.kind] and (row.state == WAITING[row.kind]) then
        local at = row.count > 0 and since[row.kind](r, row.name)
        if at or row.count == 0 then ages[#ages + 1] = { queue = row.name, seconds = at and math.max(0, now - at) or 0.0 } end
      end
    end
  end
  for i, age in ipairs(ages) do
    data[i] = { MetricName = "OldestJobAge", Dimensions = { { Name = "Queue", Value = age.queue } }, Value = age.seconds, Unit = "Seconds" }
  end
  for first = 1, #data, MOST do
    aws.cloudwatch:put_metric_data { Namespace = NAMESPACE, MetricData = table.move(data, first, math.min(#data, first + MOST - 1), 1, {}) }
  end
  return ages
end
