--- Both ways to move job queues, under BullMQ's own producers and workers: every job runs once, at its time.
local bullmq = require "bullmq"
local fs = require "fs"
local lab = dofile "tests/support/bullmq_lab.lua"
local process = require "process"
local queues = require "queues"
local redis = require "redis"
local server = require "rehearsal.planes.redis"
local test = require "test"

local T = test.cases()

local NEVER = 3600000                   -- milliseconds between two looks for stalled jobs
local CHECK = "bull:mail:stalled-check"  -- there until the next look is due
local exe, folder = fs.realpath "/proc/self/exe", fs.realpath "recipes/examples"

--- Runs a recipe as a user does; answers what it prints in the end.
local function apply(name, from, to)
  local lib, dir = os.getenv "HKRUN_LIB", test.tmpdir()
  local r = process.run { exe, fs.join(folder, name), "--yes", cwd = dir, timeout = 200,
    env = { PATH = os.getenv "PATH", HOME = dir, HKRUN_LIB = lib and fs.realpath(lib), HKRUN_FROM = from, HKRUN_TO = to,
            ASAN_OPTIONS = os.getenv "ASAN_OPTIONS" } }
  if r.code ~= 0 then error(r.stdout .. r.stderr, 2) end
  return r.stdout
end

local function start()
  local s = server.start { dir = test.tmpdir() }
  test.defer(function() s:stop() end)
  local r = redis.open(s.url)
  test.defer(function() r:close() end)
  return s.url, r
end

--- Jobs that must have run once.
local function expected(...)
  local jobs = { "mail slow-1" }
  for _, part in ipairs { { "mail plain-%d", 20 }, { "mail prio-%d", 6 }, { "mail late-%d", 4 }, { "mail retry-%d", 4 }, { "orders order-%d", 3 },
    { "parts part-%d-1", 3 }, { "parts part-%d-2", 3 }, ... } do
    for i = 1, part[2] do jobs[#jobs + 1] = part[1]:format(i) end
  end
  return jobs
end

--- Each ran once and not before its time, and so did so many numbered jobs; those that always fail never ended well.
local function ran_once(file, jobs, numbered, promoted)
  local runs, sides, others = lab.runs(file), {}, 0
  for job, run in pairs(runs) do
    test.equal(run.times, 1, job)
    test.truthy(run.late >= 0 or promoted and promoted[job], job .. " ran before its time")
    sides[run.side] = true
    if job:find "^mail %d+$" then others = others + 1 end
  end
  test.equal(others, numbered, "numbered jobs")
  for _, job in ipairs(jobs) do test.truthy(runs[job], job .. " never ran") end
  test.equal(sides, { old = true, new = true })
  test.equal({ runs["mail bad-1"], runs["mail bad-2"] }, {})
end

--- A job whose worker is killed in the middle of it, and whose lock is over.
local function crash(url, r, file)
  lab.ask(url, "add", "1", "slow")
  local worker = lab.work(url, "old", file, NEVER)
  test.equal(worker.line(), "slow slow-1")
  lab.until_true("the other job", function() return bullmq.counts(r, "mail").completed == 1 end)
  worker.kill()
  r:del("bull:mail:slow-1:lock", CHECK)
end

local function open_jobs(r)
  local count = 0
  for _, row in ipairs(queues.find(r)) do
    if row.state ~= "completed" and row.state ~= "failed" and row.state ~= "delayed" and row.state ~= "schedulers" then count = count + row.count end
  end
  return count
end

T["fence and copy, between live workers"] = function()
  local from, old = start()
  local to, new = start()
  local file = fs.join(test.tmpdir(), "runs")
  crash(from, old, file)
  lab.ask(from, "fill")
  lab.ask(from, "add", "10", "before")
  bullmq.pause(old, "{shop}:parts")              -- its owner wants it so
  local worker = lab.work(from, "old", file, NEVER)
  lab.until_true("some jobs", function() return bullmq.counts(old, "mail").completed >= 3 end)
  test.match(apply("move_queues.lua", from, to), "Equal on both sides\n  jobs  %d+")
  test.equal({ bullmq.stalled(new), open_jobs(old) > 1 }, { { "mail slow-1" }, true })
  local on_old = bullmq.counts(old, "mail").completed
  test.equal(lab.ask(to, "counts").parts.paused, true)
  bullmq.resume(new, "{shop}:parts")
  lab.ask(to, "add", "5", "after")
  new:del(CHECK)
  local other = lab.work(to, "new", file)
  lab.until_true("all jobs", function() return open_jobs(new) == 0 and bullmq.counts(new, "mail").delayed == 4 end)
  worker.stop()
  other.stop()
  test.equal(bullmq.counts(old, "mail").completed, on_old, "the old side ran nothing more")
  test.equal(lab.ask(to, "counts").mail.schedulers, { "hourly" })
  ran_once(file, expected({ "mail before-%d", 10 }, { "mail after-%d", 5 }), 16)
end

T["drain the old side while the new one fills"] = function()
  local from, old = start()
  local to, new = start()
  local file = fs.join(test.tmpdir(), "runs")
  crash(from, old, file)
  lab.ask(from, "fill")
  lab.ask(from, "add", "10", "before")
  queues.prepare { from = from, to = to }
  local worker = lab.work(from, "old", file)
  lab.ask(to, "add", "5", "after")
  local other = lab.work(to, "new", file)
  test.match(apply("drain_queues.lua", from, to), "On the old side\n  mail +completed +%d+\n  mail +failed +2\n")
  test.equal({ open_jobs(old), bullmq.counts(old, "mail").delayed, lab.ask(from, "counts").mail.schedulers }, { 0, 0, {} })
  test.equal(lab.ask(to, "counts").mail.schedulers, { "hourly" })
  local moved = lab.ask(to, "counts").mail.ids.delayed
  test.equal({ #moved, moved[1], moved[3], moved[4]:match "^repeat:hourly:" }, { 4, "far-1", "far-3", "repeat:hourly:" })
  lab.ask(to, "promote")
  lab.until_true("what moved", function() return open_jobs(new) == 0 and bullmq.counts(new, "mail").delayed == 1 end)
  worker.stop()
  other.stop()
  local runs, promoted = lab.runs(file), {}
  for _, id in ipairs(moved) do
    test.equal(runs["mail " .. id].side, "new")
    promoted["mail " .. id] = true
  end
  ran_once(file, expected({ "mail before-%d", 10 }, { "mail after-%d", 5 }), 16, promoted)
  test.equal(lab.ask(from, "counts").mail.ids.failed, { "bad-1", "bad-2" })
  test.equal({ old:keys "*hkrun*", new:keys "*hkrun*" }, { {}, {} })
  test.equal(bullmq.counts(new, "mail").failed, 0)
end

return T
