--- How long jobs wait, published to CloudWatch: real Redis servers, and the rehearsal's CloudWatch.
package.path = "recipes/?.lua;" .. package.path
local ages_of = require "heroku_to_aws.ages"
local aws = require "aws"
local fs = require "fs"
local json = require "json"
local planes = require "rehearsal.planes.redis"
local process = require "process"
local redis = require "redis"
local test = require "test"
local T = test.cases()

T["the oldest waiting job of each queue, BullMQ's and Sidekiq's, is what CloudWatch gets; an empty queue is 0"] = function()
  local s = planes.start { dir = test.tmpdir() }
  test.defer(function() s:stop() end)
  local r <close> = redis.open(s.url)
  local now = tonumber(r:command "TIME"[1])
  r:hset("bull:mail:meta", "version", "bullmq:5.81.5")
  for i, age in ipairs { 900, 60, 5 } do                     -- the first that came is the first to go
    r:hset("bull:mail:" .. i, "name", "send", "timestamp", tostring((now - age) * 1000))
    r:lpush("bull:mail:wait", i)
  end
  r:hset("bull:idle:meta", "version", "bullmq:5.81.5")
  r:sadd("queues", "low", "new")
  r:lpush("queue:low", ('{"class":"A","jid":"a","queue":"low","enqueued_at":%d.5}'):format(now - 300))
  r:lpush("queue:new", ('{"class":"A","jid":"b","queue":"new","enqueued_at":%d}'):format((now - 120) * 1000))
  local _ <close> = test.cloud {}
  local ages = {}
  for _, age in ipairs(aws.queue_ages(s.url)) do ages[age.queue] = age.seconds end
  for name, want in pairs { mail = 900, low = 300, new = 120, idle = 0 } do
    test.truthy(ages[name] and ages[name] >= want - 1 and ages[name] < want + 300, ("%s waits %s s"):format(name, tostring(ages[name])))
  end
  local told = {}
  for _, m in ipairs(aws.cloudwatch:list_metrics({ Namespace = "Hkrun/Queues", MetricName = "OldestJobAge" }).Metrics) do
    told[#told + 1] = m.Dimensions[1].Name .. " " .. m.Dimensions[1].Value
  end
  test.equal(told, { "Queue idle", "Queue low", "Queue mail", "Queue new" })
end

T["the job of --queue-ages says how long Sidekiq's oldest jobs wait, by Sidekiq itself"] = function()
  local s, dir = planes.start { dir = test.tmpdir() }, test.tmpdir()
  test.defer(function() s:stop() end)
  do
    local r <close> = redis.open(s.url)
    r:sadd("queues", "low", "idle")
    r:lpush("queue:low", ('{"class":"A","jid":"a","queue":"low","enqueued_at":%d.5}'):format(tonumber(r:command "TIME"[1]) - 300))
  end
  fs.write(dir .. "/bundle", '#!/bin/sh\nshift\nexec "$@"\n', 493)          -- the Sidekiq here is Debian's, and in no bundle
  local facts = { redis = { var = "REDISCLOUD_URL", queues = { { kind = "sidekiq", name = "low", state = "enqueued", count = 1 },
    { kind = "sidekiq", name = "low", state = "retry", count = 0 }, { kind = "sidekiq", name = "idle", state = "enqueued", count = 0 } } } }
  test.equal({ ages_of.jobs(facts, {}), ages_of.queues(facts, {}) }, { {}, {} }, "not asked for")
  local jobs = ages_of.jobs(facts, { queue_ages = true })
  test.equal({ #jobs, jobs[1].expression, ages_of.queues(facts, { queue_ages = true }) }, { 1, "rate(1 minute)", { "idle", "low" } })
  local r = process.run { "/bin/sh", "-c", jobs[1].command, timeout = 60,
    env = { PATH = dir .. ":" .. os.getenv "PATH", HOME = dir, LANG = "C.UTF-8", REDISCLOUD_URL = s.url } }
  test.equal(r.code, 0, r.stderr)
  local ages = {}
  for line in r.stdout:gmatch "[^\n]+" do
    local row = json.decode(line)
    ages[row.Queue] = row.OldestJobAge
  end
  test.equal(ages.idle, 0.0)
  test.truthy(ages.low >= 299 and ages.low < 600, r.stdout)
end

return T
