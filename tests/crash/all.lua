--- make crash: the whole migration, killed before and after each mutating call and each effect on a database, a Redis or
--- a file, each time on a cloud of its own, and applied again; the same with faults instead of kills; 200 rounds of two
--- runs at once. Hours: each trial is a whole migration. In parts, on two machines or days:
---
---     make crash FROM=1 STEP=1 WORKERS=2 ONLY=kills MATCH='^kill after ec2 '
---
--- tries the trials FROM, FROM+STEP, ... of kills, faults, files or locks, whose names are like MATCH (a Lua pattern).
---
--- Prints a line for each trial that found something, and at the end calls, kills, failures.
local crash = dofile "tests/support/crash_lab.lua"
local disk_kills = dofile "tests/support/disk_kills.lua"
local log = require "log"
local task = require "task"
local two_runs = dofile "tests/support/two_runs.lua"

local from, step = tonumber(os.getenv "FROM" or 1), tonumber(os.getenv "STEP" or 1)
local workers, only = tonumber(os.getenv "WORKERS" or 2), os.getenv "ONLY" or ""
local match = os.getenv "MATCH" or ""
local FILES = tonumber(os.getenv "FILES" or 40)   -- of the 1,700 files of the app's own code that a bundle is made of: each so many
local ROUNDS = 200

local function total(counts)
  local n = 0
  for _, count in pairs(counts) do n = n + count end
  return n
end

--- One trial: a point of the apply, and one of the destroy that follows it.
local function try(calm, point, leaving)
  local trial <close> = crash.start()
  local reached = trial:through("apply", point)
  trial:check(calm)
  local left_reached = trial:destroy(leaving)
  return { problems = trial.problems, reached = reached, left_reached = left_reached }
end

local function run(calm, what, points, leaving)
  local began, tried, kills, failures, missed = task.now(), 0, 0, 0, 0
  local chosen = {}
  for i = from, #points, step do
    if crash.name(points[i]):find(match) then chosen[#chosen + 1] = i end
  end
  local function count(point, reached)
    if not point then return end
    kills = kills + (reached and 1 or 0)
    if not reached then
      missed = missed + 1
      log.out("  did not come: %s", crash.name(point))
    end
  end
  task.map(chosen, function(i)
    local point, other = points[i], #leaving > 0 and leaving[(i - 1) % #leaving + 1] or nil
    local ok, result = pcall(try, calm, point, other)
    if not ok then result = { problems = { tostring(result) } } end
    tried = tried + 1
    count(point, result.reached)
    count(other, result.left_reached)
    if #result.problems > 0 then
      failures = failures + 1
      log.out("FAIL %s %d: %s%s", what, i, crash.name(point), other and "; " .. crash.name(other) or "")
      for _, problem in ipairs(result.problems) do log.out("       %s", (problem:gsub("\n", "\n       "))) end
    end
    if tried % 10 == 0 then
      log.out("%s: %d of %d tried, up to %d; %.0f s so far, %d failures", what, tried, #chosen, i, task.now() - began, failures)
    end
  end, { limit = workers })
  log.out("%s: %d trials of %d points, %d %s, %d points that did not come, %d failures, %.0f s", what, tried, #points, kills, what, missed,
    failures, task.now() - began)
  return failures
end

local failures = 0
if only ~= "locks" and only ~= "files" then
  local calm = crash.calm()
  log.out("An undisturbed apply makes %d mutating calls and %d effects on databases, Redis and files; destroy %d and %d.",
    total(calm.calls), total(calm.effects), total(calm.destroy_calls), total(calm.destroy_effects))
  for _, what in ipairs { "kills", "faults" } do
    if only == "" or only == what then
      local o = { faults = what == "faults", files = FILES }
      local points = crash.points(calm.calls, calm.effects, o)
      o.during = "destroy"
      failures = failures + run(calm, what, points, crash.points(calm.destroy_calls, calm.destroy_effects, o))
    end
  end
end
if only == "" or only == "files" then
  local began = task.now()
  local ok, result = pcall(disk_kills.try, 1)
  if not ok then
    failures = failures + 1
    log.out("FAIL files: %s", tostring(result))
  end
  log.out("files: %d kills while a small bundle is built, %d failures, %.0f s", ok and result or 0, ok and 0 or 1, task.now() - began)
end
if only == "" or only == "locks" then
  local began = task.now()
  local ok, e = pcall(two_runs.rounds, ROUNDS)
  if not ok then
    failures = failures + 1
    log.out("FAIL two runs at once: %s", tostring(e))
  end
  log.out("locks: %d rounds of two runs at once, %d failures, %.0f s", ROUNDS, ok and 0 or 1, task.now() - began)
end
log.out("%d failures", failures)
os.exit(failures == 0 and 0 or 1)
