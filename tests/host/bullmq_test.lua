--- bullmq judged by BullMQ itself, the version of the sample app: its queues, its counts, its workers.
local bullmq = require "bullmq"
local fs = require "fs"
local lab = dofile "tests/support/bullmq_lab.lua"
local queues = require "queues"
local redis = require "redis"
local server = require "rehearsal.planes.redis"
local test = require "test"

local T = test.cases()

local NAMES = { "mail", "{shop}:orders", "{shop}:parts" }

local function start()
  local s = server.start { dir = test.tmpdir() }
  test.defer(function() s:stop() end)
  local r = redis.open(s.url)
  test.defer(function() r:close() end)
  return s.url, r
end

--- Our counts and ids are theirs.
local function agree(url, r, when)
  local theirs = lab.ask(url, "counts")
  for _, name in ipairs(NAMES) do
    local judge = theirs[name:match "[^:]+$"]
    test.equal(bullmq.counts(r, name), judge.counts, name .. " " .. when)
    for state, ids in pairs(judge.ids) do
      local ours = bullmq.jobs(r, name, state)
      table.sort(ours)
      test.equal(ours, ids, name .. " " .. state .. " " .. when)
    end
  end
  for i, queue in ipairs(bullmq.queues(r)) do
    test.equal({ (queue.key:gsub("^bull:", "")), queue.paused }, { NAMES[i], theirs[queue.name].paused })
  end
  return theirs
end

T["jobs of every kind are counted and listed as BullMQ does: new, paused by us, worked on, crashed, done"] = function()
  local url, r = start()
  local file = fs.join(test.tmpdir(), "runs")
  lab.ask(url, "fill")
  agree(url, r, "filled")
  test.equal(#bullmq.queues(r), 3)
  for _, name in ipairs(NAMES) do bullmq.pause(r, name) end
  test.equal(agree(url, r, "paused").mail.counts.paused, 27)
  local schedulers = queues.find(r):where { state = "schedulers" }
  test.equal({ #schedulers, schedulers[1].name, schedulers[1].count }, { 1, "mail", 1 })
  for _, name in ipairs(NAMES) do bullmq.resume(r, name) end
  agree(url, r, "resumed")

  lab.ask(url, "add", "1", "slow")
  local worker = lab.work(url, "first", file)
  test.equal(worker.line(), "slow slow-1")
  lab.until_true("nothing else", function()
    local open = 0
    for _, row in ipairs(queues.find(r)) do
      local is_open = row.state == "active" or row.state == "waiting" or row.state == "prioritized" or row.state == "waiting-children"
      if is_open then open = open + row.count end
    end
    return open == 1
  end)
  local e = test.raises("1 jobs are still active: mail slow.1", bullmq.wait_idle, r, { timeout = 0.05 })
  test.equal(e.running, { "mail slow-1" })
  worker.kill()
  test.equal(bullmq.stalled(r), {}, "it may run elsewhere, as long as its lock holds")
  r:pexpire("bull:mail:slow-1:lock", 50)                     -- of 30 seconds
  test.equal(bullmq.wait_idle(r).stalled, { "mail slow-1" })
  test.equal(bullmq.stalled(r), { "mail slow-1" })
  local theirs = agree(url, r, "crashed")
  test.equal({ theirs.mail.counts.active, theirs.mail.counts.failed, theirs.orders.counts.completed }, { 1, 2, 3 })
end

T["a real worker obeys our pause and our resume; BullMQ undoes ours and we undo its"] = function()
  local url, r = start()
  local file = fs.join(test.tmpdir(), "runs")
  lab.ask(url, "add", "5", "plain")
  local worker = lab.work(url, "worker", file)
  lab.until_true("the first five", function() return bullmq.counts(r, "mail").completed == 10 end)
  test.equal(bullmq.pause(r, "mail"), true)
  lab.ask(url, "add", "4", "later")
  local theirs = lab.ask(url, "counts").mail
  test.equal({ theirs.paused, theirs.counts.paused, theirs.counts.completed }, { true, 8, 10 })
  test.equal(bullmq.resume(r, "mail"), true)
  lab.until_true("the next four", function() return bullmq.counts(r, "mail").completed == 18 end)
  bullmq.pause(r, "mail")
  lab.ask(url, "add", "1", "again")
  lab.ask(url, "resume")
  lab.until_true("one more", function() return bullmq.counts(r, "mail").completed == 20 end)
  lab.ask(url, "pause")
  test.equal(bullmq.pause(r, "mail"), false)
  lab.ask(url, "add", "1", "last")
  bullmq.resume(r, "mail")
  lab.until_true("the last one", function() return bullmq.counts(r, "mail").completed == 22 end)
  worker.stop()
  for job, run in pairs(lab.runs(file)) do test.equal(run.times, 1, job) end
end

return T
