--- Sidekiq's queues: what is in them, quieting its processes, waiting until no job runs, and comparing two servers job by
--- job.
---
--- Every function takes a connection of redis.open, or an endpoint as redis.open does. Key layout of Sidekiq 6 and 7
--- (lib/sidekiq/api.rb, launcher.rb): the set `queues`, a list `queue:NAME` each, the sorted sets `schedule`, `retry`,
--- `dead`, the set `processes`, for each of them a hash IDENTITY, renewed by its heartbeat, that expires after a minute,
--- and a hash IDENTITY:work (6: :workers) of what it runs. Pro's super_fetch moves a job that a process takes to the list
--- queue:sq|IDENTITY|NAME, until it is done.
---
--- Only Sidekiq Pro can pause a queue. Here processes are made quiet: they take no further job until they are restarted.
local jobs = require "queues.jobs"
local log = require "log"
local options = require "options"

local M = {}

local SETS = { { "scheduled", "schedule" }, { "retry", "retry" }, { "dead", "dead" } }
local JID = { "jid" }

local function sorted(list)
  table.sort(list)
  return list
end

--- The names of the queues, sorted.
---@return string[]
function M.queues(where)
  return jobs.with(where, function(r) return sorted(r:smembers "queues") end)
end

--- The lists of super_fetch, with the process and the queue of each.
local function private_lists(r, space)
  local list, seen = {}, {}
  for key in r:keys_of { type = "list", match = space .. "queue:sq|*", count = 5000 } do
    local identity, name = key:match "queue:sq|(.*)|([^|]*)$"
    if identity and not seen[key] then list[#list + 1] = { key = key, identity = identity, name = name } end
    seen[key] = true
  end
  table.sort(list, function(a, b) return a.key < b.key end)
  return list
end

--- Every queue, what is kept for all of them, and every process, as queues.find and sidekiq.same see them.
---@param space? string what Sidekiq's keys begin with, if it was given a namespace: "NAME:"
---@return queues.Queue[]
function M._all(r, space)
  space = space or ""
  local found, of_all, private = {}, {}, private_lists(r, space)
  for i, name in ipairs(sorted(r:smembers(space .. "queues"))) do
    local places = { { "enqueued", "list", space .. "queue:" .. name, id = JID } }
    for _, list in ipairs(private) do
      if list.name == name then places[#places + 1] = { "private", "list", list.key, id = JID, if_any = true } end
    end
    found[i] = { kind = "sidekiq", name = space .. name, owns = space .. "queue:", places = places }
  end
  for i, set in ipairs(SETS) do of_all[i] = { set[1], "zset", space .. set[2], id = JID } end
  found[#found + 1] = { kind = "sidekiq", name = space .. "all", places = of_all }
  for _, identity in ipairs(sorted(r:smembers(space .. "processes"))) do
    found[#found + 1] = { kind = "sidekiq", name = identity, process = true, places = { { "busy", "hash", space .. identity .. ":work" },
      { "busy", "hash", space .. identity .. ":workers" } } }
  end
  return found
end

--- How many jobs there are: by queue and in all queues, scheduled, to be retried, dead, busy by process and in all, and
--- in the private lists of super_fetch.
---@return table counts { queues = { NAME = n }, enqueued, scheduled, retry, dead, processes = { IDENTITY = n }, busy, private }
function M.counts(where)
  return jobs.with(where, function(r)
    local counts = { queues = {}, enqueued = 0, scheduled = 0, retry = 0, dead = 0, processes = {}, busy = 0, private = 0 }
    for _, queue in ipairs(M._all(r)) do
      local group = queue.process and counts.processes or counts.queues
      for i, n in ipairs(jobs.sizes(r, queue.places)) do
        local state = queue.places[i][1]
        counts[state] = counts[state] + n
        if state == "enqueued" or state == "busy" then group[queue.name] = (group[queue.name] or 0) + n end
      end
    end
    return counts
  end)
end

---@class sidekiq.Process
---@field identity string
---@field alive boolean its heartbeat of the last minute is there
---@field quiet boolean it takes no further job
---@field busy integer jobs that it ran at its last heartbeat
---@field beat? number when that was, by its own clock

--- The processes that are registered.
---@return sidekiq.Process[]
function M.processes(where)
  return jobs.with(where, function(r)
    local list = {}
    for i, identity in ipairs(sorted(r:smembers "processes")) do
      local beat, quiet, busy = table.unpack(r:hmget(identity, "beat", "quiet", "busy"))
      list[i] = { identity = identity, alive = beat ~= false, quiet = quiet == "true", busy = math.tointeger(tonumber(busy or 0)),
        beat = tonumber(beat or nil) }
    end
    return list
  end)
end

--- Tells every process to take no further job, as Sidekiq's own web page does: they hear it at their next heartbeat, in
--- some 10 seconds. A quiet process does not begin again: it is restarted.
---@return integer processes that were told
function M.quiet(where)
  return jobs.with(where, function(r)
    local told = 0
    for _, process in ipairs(M.processes(r)) do
      local signals = process.identity .. "-signals"
      if process.alive and not process.quiet then
        r:pipeline { { "LPUSH", signals, "TSTP" }, { "EXPIRE", signals, 60 } }
        told = told + 1
      end
    end
    return told
  end)
end

--- Jobs of processes that are gone: what lies in the private lists of super_fetch, and what a process ran whose heartbeat
--- is missing. Sidekiq without super_fetch loses the job of a process that crashes, and nothing tells of it.
---@return string[] "QUEUE JID" or "PROCESS" of each
function M.stalled(where)
  return jobs.with(where, function(r)
    local alive, found = {}, {}
    for _, process in ipairs(M.processes(r)) do
      alive[process.identity] = process.alive
      if not process.alive then found[#found + 1] = process.identity end
    end
    for _, list in ipairs(private_lists(r, "")) do
      if not alive[list.identity] then
        for _, m in ipairs(jobs.members(r, { "private", "list", list.key })) do
          found[#found + 1] = list.name .. " " .. jobs.id_in(m.id, JID)
        end
      end
    end
    return found
  end)
end

local wait_options = {
  { "timeout", "seconds to wait", type = "number", default = 120 },
  { "interval", "seconds between two looks", type = "number", default = 0.5 },
  { "hint", "what to do where the time does not suffice", type = "string",
    default = "give the jobs more time, or stop the processes: what they do not finish goes back to its queue" },
}

--- Waits until no process runs a job. A process tells what it runs by its heartbeat: one that has heard of sidekiq.quiet
--- counts by its last one; another must beat once more. Processes without a heartbeat are gone: there is a warning, and
--- they are answered.
---@param opts? { timeout: number, interval: number }
---@return { stalled: string[], taking: string[] } taking: processes that are not quiet, and may take a job at any time
function M.wait_idle(where, opts)
  local o = options.check(opts or {}, wait_options, "sidekiq.wait_idle")
  return jobs.with(where, function(r)
    local first = {}
    local answer = jobs.wait(o, "wait until no Sidekiq job runs", "processes are busy", function()
      local busy, taking = {}, {}
      for _, process in ipairs(M.processes(r)) do
        first[process.identity] = first[process.identity] or process.beat
        local is_old = not process.quiet and process.beat == first[process.identity]
        if process.alive and (process.busy > 0 or is_old) then
          busy[#busy + 1] = ("%s (%d jobs)"):format(process.identity, process.busy)
        end
        if process.alive and not process.quiet then taking[#taking + 1] = process.identity end
      end
      return busy, { taking = taking }
    end)
    answer.stalled = M.stalled(r)
    for _, job in ipairs(answer.stalled) do log.warn("Sidekiq, %s: its process is gone", job) end
    return answer
  end)
end

local same_options = {
  { 1, "one server", required = true, type = "any" },
  { 2, "the other one", required = true, type = "any" },
  { "quiet", "true: answer the differences instead of raising", type = "boolean", default = false },
}

--- Compares the queues of two servers by job id, in their order and with their times; processes are not compared. Raises
--- one error when they differ, unless quiet = true.
---@param o table { a, b, quiet = false }
---@return queues.Difference[] rows one for each queue and state; rows.equal for all
function M.same(o)
  o = options.check(o, same_options, "sidekiq.same")
  return jobs.same(o[1], o[2], "Sidekiq", o.quiet, M._all)
end

return M
