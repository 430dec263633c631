--- How long jobs wait, published to CloudWatch: real Redis servers, and the rehearsal's CloudWatch.
local aws = require "aws"
local planes = require "rehearsal.planes.redis"
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

return T
