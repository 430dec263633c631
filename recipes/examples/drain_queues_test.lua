local planes = require "rehearsal.planes.redis"              -- real servers
local redis, task = require "redis", require "task"
local test = require "test"
local T = test.cases()

local function server()
  local s = planes.start { dir = test.tmpdir() }
  test.defer(function() s:stop() end)
  local r = redis.open(s.url)
  test.defer(function() r:close() end)
  return r, s.url
end

T["the old workers empty the old side, what is due later moves, once; again, nothing changes"] = function()
  local old, from = server()
  local new, to = server()
  local now = os.time()
  old:sadd("queues", "default")
  for i = 1, 20 do old:lpush("queue:default", ('{"jid":"j%d","class":"Mail"}'):format(i)) end
  old:zadd("schedule", now + 86400, '{"jid":"tomorrow"}')
  old:zadd("retry", now + 3600, '{"jid":"again"}')
  old:zadd("dead", now, '{"jid":"dead"}')
  local ran = {}
  local worker = task.spawn(function()
    local r <close> = redis.open(from)
    while true do
      local job = r:rpop "queue:default"
      if job then ran[#ran + 1] = job:match '"(j%d+)"' else task.sleep(0.02) end
    end
  end)
  local _ <close> = test.cloud {}
  local done = test.apply("drain_queues.lua", { from = from, to = to })
  worker:cancel()
  test.equal({ #ran, ran[1], ran[20] }, { 20, "j1", "j20" })
  test.equal(done.reports.Drained, { { "moved to the new side", "2" } })
  test.equal(done.reports["On the old side"], { { "all", "dead", "1" } })
  test.equal(new:zrange("schedule", 0, -1, "WITHSCORES"), { '{"jid":"tomorrow"}', tostring(now + 86400) })
  test.equal(new:zrange("retry", 0, -1, "WITHSCORES"), { '{"jid":"again"}', tostring(now + 3600) })
  test.equal(new:dbsize(), 2)
  test.equal(test.apply("drain_queues.lua", { from = from, to = to }).changes, 0)
end

return T
