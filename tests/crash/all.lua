--- make crash: the whole migration of a small app (tests/crash/app) with a name of its own, a release process and a scheduled
--- job, killed before and after each mutating call and each effect on a database, a Redis or a file, and simply applied again;
--- the same with faults instead of kills; kills around the release phase, and while a bundle is built; 200 rounds of two runs
--- at once. Each point is tried in a migration of its own, from an empty account on; each destroy that follows is killed at a point of its own.
---
---     make crash WORKERS=4 ONLY=kills MATCH='^kill after ec2 '
---
--- tries only kills, faults, release, files or locks, only the points whose names are like MATCH (a Lua pattern), so many at a time.
--- TARGET=fargate moves the app to Fargate instead of Elastic Beanstalk; EVERY=20 tries only each twentieth point.
---
--- What was tried and was right is noted in build/crash.done, so that a run that was ended goes on where it was; a run that
--- comes to its end without a failure removes it. Prints what was found wrong, and at the end calls, kills and failures.
local crash = dofile "tests/support/crash_lab.lua"
local disk_kills = dofile "tests/support/disk_kills.lua"
local errors = require "errors"
local fs = require "fs"
local log = require "log"
local release_kills = dofile "tests/support/release_kills.lua"
local task = require "task"
local two_runs = dofile "tests/support/two_runs.lua"

local workers, only, match = tonumber(os.getenv "WORKERS" or 4), os.getenv "ONLY" or "", os.getenv "MATCH" or ""
local target, every = os.getenv "TARGET" or "beanstalk", tonumber(os.getenv "EVERY" or 1)
local RECORD = target == "beanstalk" and "build/crash.done" or "build/crash." .. target .. ".done"
local ROUNDS = 200

local done = fs.exists(RECORD) and crash.count_lines(RECORD) or {}

local function note(name)
  done[name] = 1
  fs.append(RECORD, name .. "\n")
end

local function total(counts)
  local n = 0
  for _, count in pairs(counts) do n = n + count end
  return n
end

--- The points that are meant and have not been tried yet, to be taken one after the other.
local function left_of(points)
  local list, next_one = {}, 0
  for _, point in ipairs(points) do
    local name = crash.name(point)
    if not done[name] and (point.during or name:find(match)) then list[#list + 1] = point end
  end
  for i = #list, 1, -1 do
    if i % every ~= 0 then table.remove(list, i) end
  end
  return function()
    next_one = next_one + 1
    return list[next_one]
  end, #list
end

--- One trial: a point of the apply, if one is left, and one of the destroy that follows it.
---@return table result, RehearsalLab? lab the cloud, if it may be used again
local function try(calm, lab, point, leaving)
  local trial <close> = crash.start(lab)
  local reached = trial:through("apply", point or {})
  trial:check(calm)
  local left_reached = trial:destroy(leaving)
  return { problems = trial.problems, reached = reached, left_reached = left_reached }, trial:finish()
end

local function run(calm, what, points, leaving)
  local began, tried, struck, failures, missed = task.now(), 0, 0, 0, 0
  local next_point, n = left_of(points)
  local next_leaving, n_leaving = left_of(leaving)
  local trials = math.max(n, match == "" and n_leaving or 0)
  log.out("%s: %d points, %d of them left to try; in destroy %d and %d", what, #points, n, #leaving, n_leaving)

  local function count(point, reached, is_right)
    if not point then return end
    struck = struck + (reached and 1 or 0)
    if not reached then
      missed = missed + 1
      log.out("  did not come: %s", crash.name(point))
    end
    if is_right then note(crash.name(point)) end
  end

  local function work()
    local lab
    while tried < trials do
      local point, other = next_point(), next_leaving()
      if not point and not (other and match == "") then break end
      local ok, result, again = pcall(try, calm, lab, point, other)
      if not ok and errors.is(result, "cancelled") then error(result, 0) end
      lab = ok and again or nil
      if not ok then result = { problems = { tostring(result) } } end
      tried = tried + 1
      count(point, result.reached, #result.problems == 0)
      count(other, result.left_reached, #result.problems == 0)
      if #result.problems > 0 then
        failures = failures + 1
        log.out("FAIL %s: %s; %s", what, point and crash.name(point) or "-", other and crash.name(other) or "-")
        for _, problem in ipairs(result.problems) do log.out("       %s", (problem:gsub("\n", "\n       "))) end
      end
      if tried % 20 == 0 then
        log.out("%s: %d of %d tried; %.0f s so far, %d failures", what, tried, trials, task.now() - began, failures)
      end
    end
    if lab then lab:stop() end
  end

  local crew = {}
  for i = 1, math.min(workers, trials) do crew[i] = work end
  task.all(crew)
  log.out("%s: %d trials, %d %s, %d points that did not come, %d failures, %.0f s", what, tried, struck, what, missed, failures,
    task.now() - began)
  return failures
end

crash.whole(target)
local _ <close> = setmetatable({}, { __close = crash.clean })  -- also when it is cancelled
local failures = 0
if only ~= "locks" and only ~= "files" and only ~= "release" then
  local calm, calm_lab = crash.calm()
  if calm_lab then calm_lab:stop() end
  log.out("An undisturbed apply makes %d mutating calls and %d effects on databases, Redis and files; destroy %d and %d.",
    total(calm.calls), total(calm.effects), total(calm.destroy_calls), total(calm.destroy_effects))
  for _, what in ipairs { "kills", "faults" } do
    if only == "" or only == what then
      local faults = what == "faults"
      failures = failures + run(calm, what, crash.points(calm.calls, calm.effects, { faults = faults }),
        crash.points(calm.destroy_calls, calm.destroy_effects, { faults = faults, during = "destroy" }))
    end
  end
end
if only == "" or only == "release" then
  local began, tried, wrong = task.now(), 0, 0
  release_kills.try(crash, target, function(what, problems)
    tried, wrong = tried + 1, wrong + math.min(1, #problems)
    for _, problem in ipairs(problems) do log.out("FAIL release, killed %s: %s", what, problem) end
  end)
  failures = failures + wrong
  log.out("release: %d kills around the release phase, %d failures, %.0f s", tried, wrong, task.now() - began)
end
if only == "" or only == "files" then
  local began = task.now()
  local ok, result = pcall(disk_kills.try, 1)
  if not ok then
    failures = failures + 1
    log.out("FAIL files: %s", tostring(result))
  end
  log.out("files: %d kills while a bundle is built, %d failures, %.0f s", ok and result or 0, ok and 0 or 1, task.now() - began)
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
crash.clean()
log.out("%d failures", failures)
if failures == 0 and only == "" and match == "" and every == 1 then fs.remove(RECORD) end
os.exit(failures == 0 and 0 or 1)
