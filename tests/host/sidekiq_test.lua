--- sidekiq judged by a real Sidekiq (Debian's), which is moved in the middle of its work.
local fs = require "fs"
local json = require "json"
local process = require "process"
local queues = require "queues"
local redis = require "redis"
local server = require "rehearsal.planes.redis"
local sidekiq = require "sidekiq"
local task = require "task"
local test = require "test"

local T = test.cases()

local APP = fs.realpath "tests/support/sidekiq.rb"

local function start()
  local s = server.start { dir = test.tmpdir() }
  test.defer(function() s:stop() end)
  local r = redis.open(s.url)
  test.defer(function() r:close() end)
  return s.url, r
end

local function env(url, dir, side)
  return { PATH = os.getenv "PATH", LANG = "C.UTF-8", HOME = dir, REDIS_URL = url, RUNS = dir .. "/runs", GATE = dir .. "/gate", SIDE = side }
end

local function judge(url, dir, command)
  local r = process.run { "ruby", APP, command, env = env(url, dir, "none"), timeout = 100 }
  if r.code ~= 0 then error(r.stderr, 2) end
  return r.stdout ~= "" and json.decode(r.stdout) or nil
end

local function work(url, dir, side)
  local p = process.start { "sidekiq", "-r", APP, "-c", "2", "-q", "mail", "-q", "default", env = env(url, dir, side), cwd = dir,
    stdout = "pipe", stderr = dir .. "/" .. side .. ".log" }
  test.defer(function() p:stop(100) end)
  task.within(100, "Sidekiq", function()
    repeat local line = p:read_line() or error(fs.read(dir .. "/" .. side .. ".log")) until line == "ready"
  end)
  test.defer(function() task.forget(p.handle:id()) end)
  return p
end

local function until_true(what, fn)
  task.within(100, what, function()
    while not fn() do task.sleep(0.05) end
  end)
end

local function lines(dir) return fs.exists(dir .. "/runs") and select(2, fs.read(dir .. "/runs"):gsub("\n", "")) or 0 end

T["a Sidekiq that works is counted, made quiet, moved, and goes on elsewhere; each job runs once"] = function()
  local dir = test.tmpdir()
  local from, old = start()
  local to, new = start()
  fs.write(dir .. "/gate", "")
  judge(from, dir, "fill")
  local known = judge(from, dir, "counts")
  local counts = sidekiq.counts(old)
  test.equal({ counts.enqueued, counts.queues, counts.scheduled, counts.retry, counts.dead, counts.busy },
    { known.enqueued, known.queues, known.scheduled, known.retry, known.dead, known.busy })
  test.equal({ counts.enqueued, counts.scheduled }, { 45, 2 })

  work(from, dir, "old")
  until_true("some jobs, and one that waits", function() return lines(dir) >= 5 and sidekiq.counts(old).busy > 0 end)
  local told = queues.pause(from)
  test.equal({ told, sidekiq.processes(old)[1].alive }, { { paused = {}, unpaused = {} }, true })
  until_true("it is quiet", function() return sidekiq.processes(old)[1].quiet end)
  test.raises("after 0 seconds 1 processes are busy: %S+ .%d jobs.", sidekiq.wait_idle, from, { timeout = 0 })
  fs.remove(dir .. "/gate")
  test.equal(queues.wait_idle(from, { timeout = 100 }), { stalled = {} })
  local ran = lines(dir)
  redis.copy { from = from, to = to }
  test.equal(queues.same({ from, to }).equal, true)
  test.equal({ lines(dir), sidekiq.counts(old).enqueued > 0 }, { ran, true })

  work(to, dir, "new")
  until_true("the rest", function() return sidekiq.counts(new).enqueued == 0 and lines(dir) == 44 end)
  local runs, sides = {}, {}
  for side, jid in fs.read(dir .. "/runs"):gmatch "(%S+) (%S+)\n" do
    test.equal(runs[jid], nil, jid)
    runs[jid], sides[side] = true, true
  end
  test.equal(sides, { old = true, new = true })
  local after = judge(to, dir, "counts")
  test.equal({ after.scheduled, after.retry, after.enqueued }, { 2, 1, 0 })
  local all = {}
  for _, jid in ipairs(known.jids) do all[jid] = true end
  for jid in pairs(runs) do all[jid] = nil end
  for _, jid in ipairs(after.jids) do all[jid] = nil end
  test.equal(all, {})
end

return T
