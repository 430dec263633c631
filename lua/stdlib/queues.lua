--- The job queues in a Redis, whatever system they are of: BullMQ (any prefix, groups of BullMQ Pro), Sidekiq, Bull,
--- Bee-Queue, Resque, RQ, Celery, and plain lists.
---
---     for _, row in ipairs(queues.find(url)) do print(row.kind, row.name, row.state, row.count) end
---
--- Every function takes a connection of redis.open, or an endpoint as redis.open does, and looks at its database.
local bullmq = require "bullmq"
local discover = require "queues.discover"
local drain = require "queues.drain"
local errors = require "errors"
local jobs = require "queues.jobs"
local lists = require "list"
local log = require "log"
local options = require "options"
local sidekiq = require "sidekiq"
local task = require "task"

local M = {}

M.OPTIONS = {
  { "lists", "names of the plain lists that are queues; by default all that are of no other system, if they are 100 or fewer", type = "list" },
}

---@class queues.Row
---@field kind "bullmq"|"sidekiq"|"list"|"bull"|"bee"|"resque"|"rq"|"celery"
---@field name string of the queue; of the process, for jobs that a Sidekiq process runs; "all" for what is kept for all queues
---@field state string by the system's own name of it
---@field count integer jobs

--- Finds the queues of every kind and counts their jobs: one row for each queue and state.
---@param where redis.Connection|string|userdata|redis.Endpoint
---@param opts? { lists: string[] }
---@return queues.Row[]
function M.find(where, opts)
  local o = options.check(opts or {}, M.OPTIONS, "queues.find")
  return jobs.with(where, function(r)
    local rows = {}
    for _, queue in ipairs(discover.all(r, o.lists)) do
      local row_of = {}
      for i, count in ipairs(jobs.sizes(r, queue.places)) do
        local state, if_any = queue.places[i][1], queue.places[i].if_any
        local row = row_of[state] or { kind = queue.kind, name = queue.name, state = state, count = 0 }
        row.count = row.count + count
        if not row_of[state] and (count > 0 or not if_any) then row_of[state], rows[#rows + 1] = row, row end
      end
    end
    return lists.ordered(rows, { "kind", "name", "state", "count" })
  end)
end

--- Stops all workers from taking jobs, by the protocol of their own system: BullMQ's queues are paused, Sidekiq's processes
--- made quiet. The other systems have nothing of the kind: their workers must be stopped, and they are named.
---@return { paused: string[], unpaused: string[] } paused: the BullMQ queues that were not paused before, for queues.resume
function M.pause(where)
  return jobs.with(where, function(r)
    local answer = { paused = {}, unpaused = {} }
    for _, queue in ipairs(discover.all(r, {})) do
      if queue.kind == "bullmq" then
        if bullmq.pause(r, queue.name) then table.insert(answer.paused, queue.name) end
      elseif queue.kind ~= "sidekiq" and queue.name ~= "all" then
        table.insert(answer.unpaused, queue.kind .. " " .. queue.name)
      end
    end
    sidekiq.quiet(r)
    return answer
  end)
end

--- Lets workers take jobs again of the BullMQ queues that queues.pause has paused; on the new side too, because a copy is
--- paused as well. Sidekiq's processes are restarted instead.
---@param names string[] paused, as queues.pause answers
function M.resume(where, names)
  return jobs.with(where, function(r)
    for _, name in ipairs(names) do bullmq.resume(r, name) end
  end)
end

--- A recipe's guard around moving the queues: pauses them as queues.pause does and waits until no job runs; whatever fails
--- below it lets the workers go on. Kept, the old side stays paused, and queues.resume(to, fence.facts.paused) starts the
--- new one.
---
---     local fence <close> = queues.fence(from)
---     fence:once("copy", function() redis.copy { from = from, to = to, restart = true } end)
---     fence:keep()
---@param where string|userdata|redis.Endpoint
---@param opts? { timeout: number, workers_stopped: boolean } workers_stopped: those of systems that know no pause are, by other means
---@return table guard
function M.fence(where, opts) return require "queues.fence".new(where, opts) end

local RUNNING = { active = true, started = true, unacked = true }
local DONE = { completed = true, failed = true, succeeded = true, finished = true, dead = true, canceled = true, schedulers = true }

--- What `wanted` says of the rows, in words.
local function left(rows, wanted)
  local list = {}
  for _, row in ipairs(rows) do
    if row.count > 0 and wanted(row) then list[#list + 1] = ("%d %s in %s"):format(row.count, row.state, row.name) end
  end
  return list
end

local wait_options = {
  { "timeout", "seconds to wait", type = "number", default = 120 },
  { "interval", "seconds between two looks", type = "number", default = 0.2 },
}

--- Waits until no job of any system runs, and says meanwhile which do; see bullmq.wait_idle and sidekiq.wait_idle.
---@param opts? { timeout: number, interval: number }
---@return { stalled: string[] } jobs whose worker is gone
function M.wait_idle(where, opts)
  local o = options.check(opts or {}, wait_options, "queues.wait_idle")
  return jobs.with(where, function(r)
    local deadline = task.now() + o.timeout
    local function rest() return { timeout = math.max(0, deadline - task.now()), interval = o.interval, hint = o.hint } end
    local stalled = bullmq.wait_idle(r, rest()).stalled
    for _, job in ipairs(sidekiq.wait_idle(r, rest()).stalled) do stalled[#stalled + 1] = job end
    jobs.wait(rest(), "wait until no job runs", "are left", function()
      return left(M.find(r, { lists = {} }), function(row) return RUNNING[row.state] and row.kind ~= "bullmq" end), {}
    end)
    return { stalled = stalled }
  end)
end

local same_options = {
  { 1, "one server", required = true, type = "any" },
  { 2, "the other one", required = true, type = "any" },
  { "lists", "names of the plain lists that are queues; see queues.find", type = "list" },
  { "quiet", "true: answer the differences instead of raising", type = "boolean", default = false },
}

--- Compares the queues of two servers by job id: each state in its order and with its times. Raises one error when they
--- differ, unless quiet = true.
---@param o table { a, b, lists =, quiet = false }
---@return queues.Difference[] rows one for each queue and state; rows.equal for all, rows.jobs: how many jobs
function M.same(o)
  o = options.check(o, same_options, "queues.same")
  return jobs.same(o[1], o[2], "job", o.quiet, function(r) return discover.all(r, o.lists) end)
end

--- Refuses a server that may evict keys: what a queue forgets is lost.
---@return string policy "noeviction"
function M.check(where)
  return jobs.with(where, function(r)
    local policy = r:info "memory".maxmemory_policy
    if policy == "noeviction" then return policy end
    errors.raise { kind = "invalid", op = "use Redis " .. r.label .. " for job queues",
      message = ("its maxmemory-policy is %s: where memory is short, it forgets jobs"):format(policy or "not to be known"),
      hint = "set maxmemory-policy to noeviction in its parameter group" }
  end)
end

local sides = {
  { "from", "the old side", required = true, type = "any" },
  { "to", "the new side", required = true, type = "any" },
}

local prepare_options = {
  sides[1], sides[2], { "margin", "how many jobs the old side may still get", type = "integer", default = 1000000 },
}

--- The first step of draining one side while the other fills, before anybody adds a job to the new one: BullMQ's numbers
--- of jobs go on there at a distance, so that no two jobs have one id, and the job schedulers move, each with its next job,
--- so that none runs on both sides.
---@param o { from: any, to: any, margin: integer }
function M.prepare(o)
  o = options.check(o, prepare_options, "queues.prepare")
  jobs.with(o.from, function(from) return jobs.with(o.to, function(to)
    local unmoved = drain.prepare(from, to, o.margin)
    if unmoved > 0 then log.warn("%d job schedulers stay for now: their next job waits for a worker", unmoved) end
  end) end)
end

local drain_options = {
  sides[1], sides[2],
  { "later", "what is due in more than so many seconds moves to the new side; the old workers run the rest", type = "number", default = 60 },
  { "lists", "names of the plain lists that are queues; see queues.find", type = "list" },
  { "timeout", "seconds to wait", type = "number", default = 3600 },
  { "interval", "seconds between two looks", type = "number", default = 1 },
}

--- Waits until the workers of the old side have emptied it, and moves to the new one what is due only later: BullMQ's
--- delayed jobs and job schedulers, Sidekiq's scheduled jobs and retries, each exactly once. What is done and what has
--- failed for good stays. Jobs keep their order among themselves; one that was added on the new side may run before an
--- older one that the old side still has.
---@param o { from: any, to: any, later: number, lists: string[], timeout: number, interval: number }
---@return { moved: integer, kept: queues.Row[] } kept: what stays on the old side, failed and completed
function M.drain(o)
  o = options.check(o, drain_options, "queues.drain")
  return jobs.with(o.from, function(from) return jobs.with(o.to, function(to)
    local moved, named = 0, {}
    local function look()
      local count, refused = drain.round(from, to, o.later)
      moved = moved + count
      for _, job in ipairs(refused) do
        if not named[job] then log.warn("%s stays on the old side until it is due: the new side has another job of this id", job) end
        named[job] = true
      end
      local rows = M.find(from, { lists = o.lists })
      return left(rows, function(row) return not DONE[row.state] end), rows
    end
    local rows = jobs.wait(o, "wait until the old queues are empty", "are left", look)
    drain.finish(from, to)
    return { moved = moved, kept = rows:where(function(row) return row.count > 0 end) }
  end) end)
end

return M
