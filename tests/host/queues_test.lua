local test = require "test"
local bullmq = require "bullmq"
local errors = require "errors"
local queues = require "queues"
local redis = require "redis"
local server = require "rehearsal.planes.redis"
local sidekiq = require "sidekiq"
local task = require "task"

local T = test.cases()

local function open()
  local s = server.start { dir = test.tmpdir() }
  test.defer(function() s:stop() end)
  local r = redis.open(s.url)
  test.defer(function() r:close() end)
  return r, s.url
end

--- A queue as BullMQ 5 leaves it, with jobs in every state.
local function fill(r, key)
  local commands = {}
  local function add(...) commands[#commands + 1] = { ... } end
  local function job(id) add("HSET", key .. ":" .. id, "name", "mail", "data", "{}", "timestamp", 1700000000000) return id end
  add("HSET", key .. ":meta", "opts.maxLenEvents", 10000, "version", "bullmq:5.81.5")
  add("SET", key .. ":id", 40)
  for i = 1, 5 do add("LPUSH", key .. ":wait", job(i)) end
  for i = 6, 8 do add("ZADD", key .. ":delayed", 1800000000000 * 4096 + i, job(i)) end
  for i = 9, 10 do add("ZADD", key .. ":prioritized", i * 4294967296 + i, job(i)) end
  for i = 11, 14 do add("ZADD", key .. ":completed", 1700000000000 + i, job(i)) end
  add("ZADD", key .. ":failed", 1700000000000, job(15))
  add("ZADD", key .. ":waiting-children", 1700000000000, job(16))
  add("LPUSH", key .. ":active", job(17), job(18))
  add("SET", key .. ":17:lock", "token")
  r:pipeline(commands)
end

T["queues are found under any prefix, or one; other hashes are no queues"] = function()
  local r = open()
  fill(r, "bull:mail")
  fill(r, "{shop}:orders")
  r:hset("blog:post:meta", "title", "x")
  r:set("bull:x:meta", "a string")
  local function names(opts)
    local list = {}
    for i, q in ipairs(bullmq.queues(r, opts)) do list[i] = q.key end
    return list
  end
  test.equal(names(), { "bull:mail", "{shop}:orders" })
  test.equal(names { prefix = "{shop}" }, { "{shop}:orders" })
  test.equal(names { prefix = "bull" }, { "bull:mail" })
  test.equal(names { prefix = "b*" }, {})
end

T["jobs are counted and listed by state"] = function()
  local r, url = open()
  fill(r, "bull:mail")
  test.equal(bullmq.counts(url, "mail"),
    { waiting = 5, paused = 0, prioritized = 2, delayed = 3, ["waiting-children"] = 1, active = 2, completed = 4, failed = 1 })
  test.equal(bullmq.jobs(r, "bull:mail", "waiting"), { "5", "4", "3", "2", "1" })
  test.equal(bullmq.jobs(r, bullmq.queues(r)[1], "delayed"), { "6", "7", "8" })
  test.raises("no state waitin .did you mean waiting", bullmq.jobs, r, "mail", "waitin")
end

T["pause moves the waiting jobs aside once, resume brings them back with a marker"] = function()
  local r = open()
  fill(r, "bull:mail")
  r:zadd("bull:mail:marker", 0, "0")
  test.equal({ bullmq.pause(r, "mail"), bullmq.pause(r, "mail") }, { true, false })
  test.equal({ bullmq.jobs(r, "mail", "waiting"), bullmq.jobs(r, "mail", "paused"), r:hget("bull:mail:meta", "paused"), r:exists "bull:mail:marker" },
    { {}, { "5", "4", "3", "2", "1" }, "1", 0 })
  test.equal(bullmq.queues(r)[1].paused, true)
  test.equal({ bullmq.resume(r, "mail"), bullmq.resume(r, "mail") }, { true, false })
  test.equal({ bullmq.jobs(r, "mail", "waiting"), r:zscore("bull:mail:marker", "0"), r:hexists("bull:mail:meta", "paused") },
    { { "5", "4", "3", "2", "1" }, "0", 0 })
  local events = r:xrange("bull:mail:events", "-", "+")
  test.equal({ #events, events[1][2], events[2][2] }, { 2, { "event", "paused" }, { "event", "resumed" } })
end

T["a resumed queue that has only delayed jobs is marked with the time of the first"] = function()
  local r = open()
  fill(r, "bull:mail")
  r:del("bull:mail:wait", "bull:mail:prioritized")
  bullmq.pause(r, "mail")
  bullmq.resume(r, "mail")
  test.equal(r:zrange("bull:mail:marker", 0, -1, "WITHSCORES"), { "1", "1800000000000" })
end

T["waiting for idle ends when the locked jobs are done, and names the stalled ones"] = function()
  local r, url = open()
  fill(r, "bull:mail")
  local e = test.raises("1 jobs are still active: mail 17", bullmq.wait_idle, r, { timeout = 0.05, interval = 0.01 })
  test.equal({ e.kind, e.running, e.stalled }, { "timeout", { "mail 17" }, { "mail 18" } })
  local answer
  local waiting = task.spawn(function() answer = bullmq.wait_idle(url, { interval = 0.01 }) end)
  task.sleep(0.05)
  test.equal(answer, nil, "it waits")
  r:lrem("bull:mail:active", 0, "17")
  waiting:join()
  test.equal(answer.stalled, { "mail 18" })
end

T["two sides are compared by id, order, time and data, row by row"] = function()
  local a = open()
  local b = open()
  fill(a, "bull:mail")
  fill(b, "bull:mail")
  local rows = bullmq.same { a, b }
  test.equal({ #rows, rows.equal }, { #bullmq.states + 2, true })
  test.equal(rows[1], { queue = "mail", state = "waiting", a = 5, b = 5, equal = true, missing = {}, extra = {} })
  local function find(state)
    for _, row in ipairs(bullmq.same { a, b, quiet = true }) do if row.state == state then return row end end
  end
  b:lmove("bull:mail:wait", "bull:mail:wait", "LEFT", "RIGHT")
  test.equal(find "waiting".equal, false, "another order")
  b:lmove("bull:mail:wait", "bull:mail:wait", "RIGHT", "LEFT")
  b:zincrby("bull:mail:delayed", 4096, "7")
  test.equal(find "delayed".equal, false, "another time")
  b:zincrby("bull:mail:delayed", -4096, "7")
  b:del "bull:mail:12"
  test.equal({ find "with data".equal, find "with data".missing, find "completed".equal }, { false, { "12" }, true })
  b:hset("bull:mail:12", "name", "mail")
  b:lrem("bull:mail:active", 0, "18")
  b:lpush("bull:mail:wait", "18")
  test.equal({ find "active".missing, find "waiting".extra }, { { "18" }, { "18" } })
  local e = test.raises("queue mail, waiting: 5 jobs on one side, 6 on the other, too many: 18", bullmq.same, { a, b })
  test.equal({ e.kind, e.rows.equal }, { "stopped", false })
end

T["a job listed twice, a queue that is missing, and one that is paused are differences"] = function()
  local a, b = open(), open()
  fill(a, "bull:mail")
  fill(b, "bull:mail")
  b:lpush("bull:mail:wait", "3")
  test.equal(bullmq.same({ a, b, quiet = true })[1].extra, { "3" })
  b:lpop "bull:mail:wait"
  test.equal(bullmq.same({ a, b }).equal, true)
  b:hset("bull:mail:meta", "paused", 1)
  test.equal(bullmq.same({ a, b, quiet = true }).equal, false)
  b:flushall()
  test.equal(bullmq.same({ a, b, quiet = true }).equal, false)
  a:hset("bull:empty:meta", "version", "bullmq:5")
  a:del "bull:mail:meta"
  a:del("bull:mail:id", "bull:mail:events")
  test.equal(bullmq.same({ a, b, quiet = true }).equal, false, "an empty queue that is missing")
end

--- What the other systems leave, by the layout that their sources document (queues/discover.lua names them).
local function fill_others(r)
  local commands = {}
  local function add(...) commands[#commands + 1] = { ... } end
  add("INCRBY", "bull:old:id", 3)
  add("LPUSH", "bull:old:paused", "1", "2")
  add("SET", "bull:old:meta-paused", 1)
  add("HSET", "bull:old:meta", "paused", 1)
  add("ZADD", "bull:old:delayed", 1800000000000, "3")
  add("INCRBY", "bq:bee:id", 2)
  add("HSET", "bq:bee:jobs", "1", "{}", "2", "{}")
  add("LPUSH", "bq:bee:waiting", "1")
  add("SADD", "bq:bee:failed", "2")
  add("SADD", "resque:queues", "mail")
  add("RPUSH", "resque:queue:mail", '{"class":"Mail","args":[]}')
  add("RPUSH", "resque:failed", "{}", "{}")
  add("SET", "resque:stat:processed", 7)
  add("ZADD", "resque:delayed_queue_schedule", 1800000000, "1800000000")
  add("RPUSH", "resque:delayed:1800000000", "{}", "{}", "{}")
  add("SADD", "rq:queues", "rq:queue:high")
  add("RPUSH", "rq:queue:high", "job-1")
  add("ZADD", "rq:failed:high", 1800000000, "job-2", 1800000000, "job-3")
  add("SADD", "_kombu.binding.celery", "celery\6\22\6\22celery")
  add("SADD", "_kombu.binding.celeryev", "worker.#\6\22\6\22celeryev.0b1c")
  add("SADD", "_kombu.binding.reply.celery.pidbox", "9f\6\22\6\0229f.reply.celery.pidbox")
  add("LPUSH", "celery", "{}", "{}")
  add("LPUSH", "celery\6\0229", "{}")
  add("HSET", "unacked", "tag", "[]")
  add("RPUSH", "emails", "a", "b", "c")
  add("SET", "user:7:id", "no queue")
  r:pipeline(commands)
end

T["the queues of every system are found, each job counted once"] = function()
  local r, url = open()
  fill(r, "bull:mail")
  fill(r, "{shop}:orders")
  r:lpush("{shop}:orders:groups:7", "g1", "g2")
  fill_others(r)
  r:sadd("queues", "default")
  r:lpush("queue:default", '{"jid":"j1"}')
  r:lpush("queue:sq|web.1:4:ab|default", '{"jid":"j0"}')
  r:zadd("retry", 1800000000, '{"jid":"j2"}')
  r:sadd("processes", "web.1:4:ab")
  r:hset("web.1:4:ab:work", "t1", "{}")
  local found = {}
  for _, row in ipairs(queues.find(url)) do
    if row.count > 0 then found[#found + 1] = ("%s %s %s %d"):format(row.kind, row.name, row.state, row.count) end
  end
  local bullmq_rows = { "waiting 5", "prioritized 2", "delayed 3", "waiting-children 1", "active 2", "completed 4", "failed 1" }
  local expected = {}
  for _, name in ipairs { "mail", "{shop}:orders" } do
    for _, row in ipairs(bullmq_rows) do expected[#expected + 1] = ("bullmq %s %s"):format(name, row) end
  end
  for _, row in ipairs { "bullmq {shop}:orders groups 2", "bee bee waiting 1", "bee bee failed 1", "bull old paused 2", "bull old delayed 1",
    "sidekiq default enqueued 1", "sidekiq default private 1", "sidekiq all retry 1", "sidekiq web.1:4:ab busy 1", "resque mail queued 1",
    "resque all failed 2", "resque all delayed 3", "rq high queued 1", "rq high failed 2", "celery celery queued 3", "celery all unacked 1",
    "list emails waiting 3" } do expected[#expected + 1] = row end
  test.equal(found, expected)
end

T["an empty queue is found too; lists are queues by name, or while they are few"] = function()
  local r = open()
  r:hset("bull:mail:meta", "version", "bullmq:5.81.5")
  r:sadd("queues", "default")
  r:set("stat:processed", 1)
  r:set("retry", "a string of the app")
  local kinds = {}
  for _, row in ipairs(queues.find(r)) do kinds[row.kind] = (kinds[row.kind] or 0) + row.count end
  test.equal(kinds, { bullmq = 0, sidekiq = 0 })
  for i = 1, 101 do r:rpush("timeline:" .. i, "x") end
  local function names(opts)
    local list = {}
    for i, row in ipairs(queues.find(r, opts):where { kind = "list" }) do list[i] = row.name end
    return list
  end
  test.equal(#names(), 0)
  test.equal(names { lists = { "timeline:5", "later" } }, { "timeline:5", "later" })
  r:del "timeline:7"
  test.equal(#names(), 100)
end

local function fill_sidekiq(r)
  r:sadd("queues", "default", "mailers")
  for i = 1, 3 do r:lpush("queue:default", ('{"class":"Mail","jid":"j%d","args":[]}'):format(i)) end
  r:zadd("schedule", 1800000000.5, '{"jid":"later"}')
  r:zadd("retry", 1800000001, '{"jid":"again","retry_count":2}')
  r:lpush("queue:sq|host:1:abc|default", '{"jid":"taken"}')
  r:sadd("processes", "host:1:abc")
  r:hset("host:1:abc", "busy", 1, "beat", 1700000000.25, "quiet", "false")
  r:hset("host:1:abc:work", "tid1", "{}")
end

T["Sidekiq: queues, processes, counts"] = function()
  local r, url = open()
  fill_sidekiq(r)
  test.equal(sidekiq.queues(url), { "default", "mailers" })
  test.equal(sidekiq.processes(r), { { identity = "host:1:abc", alive = true, quiet = false, busy = 1, beat = 1700000000.25 } })
  test.equal(sidekiq.counts(r), { queues = { default = 3, mailers = 0 }, enqueued = 3, scheduled = 1, retry = 1, dead = 0,
    processes = { ["host:1:abc"] = 1 }, busy = 1, private = 1 })
end

T["Sidekiq: idle is what a heartbeat says after the process heard of quiet, or a later one"] = function()
  local r, url = open()
  fill_sidekiq(r)
  local quick = { timeout = 0.02, interval = 0.01 }
  local e = test.raises("after 0.02 seconds 1 processes are busy: host:1:abc .1 jobs.", sidekiq.wait_idle, r, quick)
  test.truthy(errors.is(e, "timeout"))
  r:hset("host:1:abc", "busy", 0)
  test.raises("host:1:abc .0 jobs.", sidekiq.wait_idle, r, quick)          -- the same heartbeat: it may have taken one since
  local answer
  local waiting = task.spawn(function() answer = sidekiq.wait_idle(r, { interval = 0.01 }) end)
  local other, beat = redis.open(url), 1700000005.5
  while not waiting.done do                                                -- whenever it looked first, a later one comes
    other:hset("host:1:abc", "beat", beat)
    beat = beat + 5
    task.sleep(0.01)
  end
  waiting:join()
  test.equal(answer, { stalled = {}, taking = { "host:1:abc" } })
  test.equal({ sidekiq.quiet(r), r:lrange("host:1:abc-signals", 0, -1) }, { 1, { "TSTP" } })
  r:hset("host:1:abc", "quiet", "true")
  test.equal({ sidekiq.quiet(r), sidekiq.wait_idle(r, quick) }, { 0, { stalled = {}, taking = {} } })
  r:del "host:1:abc"                                                       -- its heartbeat stops
  test.equal(sidekiq.wait_idle(r, quick).stalled, { "host:1:abc", "default taken" })
  other:close()
end

T["Sidekiq: two sides are compared by jid, order and time"] = function()
  local a, b = open(), open()
  fill_sidekiq(a)
  fill_sidekiq(b)
  test.equal(sidekiq.same({ a, b }).equal, true)
  b:zincrby("schedule", 1, '{"jid":"later"}')
  b:rpop "queue:default"
  b:del "queue:sq|host:1:abc|default"
  local rows, different = sidekiq.same { a, b, quiet = true }, {}
  for _, row in ipairs(rows) do
    local missing = table.concat(row.missing, " ")
    if not row.equal then different[#different + 1] = ("%s %s %d %d %s"):format(row.queue, row.state, row.a, row.b, missing) end
  end
  test.equal(different, { "default enqueued 3 2 j1", "default private 1 0 taken", "all scheduled 1 1 " })
  test.raises("queue default, enqueued: 3 jobs on one side, 2 on the other, missing: j1", sidekiq.same, { a, b })
end

return T
