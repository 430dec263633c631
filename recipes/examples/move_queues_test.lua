local planes = require "rehearsal.planes.redis"              -- real servers
local bullmq, redis = require "bullmq", require "redis"
local test = require "test"
local T = test.cases()

--- A server with a queue as BullMQ 5 leaves it: `waiting` jobs, and one that is delayed.
local function server(waiting)
  local s = planes.start { dir = test.tmpdir() }
  test.defer(function() s:stop() end)
  local r = redis.open(s.url)
  test.defer(function() r:close() end)
  if waiting then
    r:hset("bull:mail:meta", "version", "bullmq:5.81.5")
    for i = 1, waiting do
      r:hset("bull:mail:" .. i, "name", "send")
      r:lpush("bull:mail:wait", i)
    end
    r:hset("bull:mail:later", "name", "send")
    r:zadd("bull:mail:delayed", 1800000000000 * 4096, "later")
  end
  return r, s.url
end

T["every job is on the new side, which runs; the old one stays paused; again, nothing changes"] = function()
  local old, from = server(5)
  local new, to = server()
  local _ <close> = test.cloud {}
  local done = test.apply("move_queues.lua", { from = from, to = to })
  test.equal(done.reports["Equal on both sides"], { { "jobs", "6" }, { "keys", "10" } })
  test.equal({ bullmq.queues(old)[1].paused, bullmq.queues(new)[1].paused }, { true, false })
  test.equal(bullmq.jobs(new, "mail", "waiting"), { "5", "4", "3", "2", "1" })
  test.equal(test.apply("move_queues.lua", { from = from, to = to }).changes, 0)
end

T["a job that does not end in time stops it, and the old side goes on"] = function()
  local old, from = server(2)
  local new, to = server()
  old:lpush("bull:mail:active", "9")
  old:set("bull:mail:9:lock", "token")
  local _ <close> = test.cloud {}
  local options = { from = from, to = to, patience = 0 }
  test.raises("1 jobs are still active: mail 9", test.apply, "move_queues.lua", options)
  test.equal({ bullmq.queues(old)[1].paused, bullmq.counts(old, "mail").waiting, new:dbsize() }, { false, 2, 0 })
end

T["a target that may evict keys is refused before anything is paused"] = function()
  local old, from = server(1)
  local new, to = server()
  new:config_set("maxmemory-policy", "allkeys-lru")
  local _ <close> = test.cloud {}
  test.raises("its maxmemory.policy is allkeys.lru", test.apply, "move_queues.lua", { from = from, to = to })
  test.equal(bullmq.queues(old)[1].paused, false)
end

return T
