--- Sidekiq's queues: what is in them, quieting its processes, waiting until no
--- job runs, and comparing two servers job by job.
---
--- Every function takes a connection of redis.open, or an endpoint as redis.open
--- does. Key layout of Sidekiq 6 and 7 (lib/sidekiq/api.rb): the set `queues`, a
--- list `queue:NAME` each, the sorted sets `schedule`, `retry`, `dead`, the set
--- `processes`, and a hash IDENTITY:work (6: :workers) of what each one runs.
local errors = require "errors"
local jobs = require "queues.jobs"
local json = require "json"
local options = require "options"
local task = require "task"

local M = {}

local sets = { "schedule", "retry", "dead" }

--- The names of the queues, sorted.
---@return string[]
function M.queues(where)
  return jobs.with(where, function(r)
    local names = r:smembers "queues"
    table.sort(names)
    return names
  end)
end

local function processes(r)
  local list = r:smembers "processes"
  table.sort(list)
  return list
end

local function running(r)
  local found = {}
  for _, identity in ipairs(processes(r)) do
    for _, suffix in ipairs { ":work", ":workers" } do
      for _, thread in ipairs(r:hkeys(identity .. suffix)) do found[#found + 1] = identity .. " " .. thread end
    end
  end
  return found
end

--- Every queue, every process and what is kept for all queues, and under which keys their jobs are.
---@param space? string what Sidekiq's keys begin with, if it was given a namespace: "NAME:"
---@return queues.Queue[]
function M.all(where, space)
  space = space or ""
  return jobs.with(where, function(r)
    local found, private = {}, {}
    for key in r:keys_of { type = "list", match = space .. "queue:sq|*", count = 5000 } do private[#private + 1] = key end
    table.sort(private)
    local names = r:smembers(space .. "queues")
    table.sort(names)
    for i, name in ipairs(names) do
      local places = { { "enqueued", "list", space .. "queue:" .. name } }
      for _, key in ipairs(private) do
        if key:match "|([^|]*)$" == name then places[#places + 1] = { "private", "list", key } end
      end
      found[i] = { kind = "sidekiq", name = name, owns = space .. "queue:", places = places }
    end
    found[#found + 1] = { kind = "sidekiq", name = "all", places = { { "scheduled", "zset", space .. "schedule" },
      { "retry", "zset", space .. "retry" }, { "dead", "zset", space .. "dead" } } }
    local processes = r:smembers(space .. "processes")
    table.sort(processes)
    for _, identity in ipairs(processes) do
      found[#found + 1] = { kind = "sidekiq", name = identity, places = { { "busy", "hash", space .. identity .. ":work" },
        { "busy", "hash", space .. identity .. ":workers" } } }
    end
    return found
  end)
end

--- How many jobs there are: by queue, and scheduled, to be retried, dead, busy.
---@return { queues: table<string, integer>, schedule: integer, retry: integer, dead: integer, busy: integer }
function M.counts(where)
  return jobs.with(where, function(r)
    local counts = { queues = {}, busy = #running(r) }
    for _, name in ipairs(M.queues(r)) do counts.queues[name] = r:llen("queue:" .. name) end
    for _, name in ipairs(sets) do counts[name] = r:zcard(name) end
    return counts
  end)
end

--- Tells every process to take no further job, as Sidekiq's own web page does.
--- A quiet process does not begin again: it is restarted.
---@return integer processes that were told
function M.quiet(where)
  return jobs.with(where, function(r)
    local list = processes(r)
    for _, identity in ipairs(list) do
      r:pipeline { { "LPUSH", identity .. "-signals", "TSTP" }, { "EXPIRE", identity .. "-signals", 60 } }
    end
    return #list
  end)
end

local wait_options = {
  { "timeout", "seconds to wait", type = "number", default = 120 },
  { "interval", "seconds between two looks", type = "number", default = 0.5 },
}

--- Waits until no process reports a running job.
---@param opts? { timeout: number, interval: number }
function M.wait_idle(where, opts)
  local o = options.check(opts or {}, wait_options, "sidekiq.wait_idle")
  return jobs.with(where, function(r)
    local deadline = task.now() + o.timeout
    while true do
      local busy = running(r)
      if #busy == 0 then return end
      if task.now() >= deadline then
        errors.raise { kind = "timeout", op = "wait until no Sidekiq job runs", retry = true, running = busy,
          message = ("after %g seconds %d jobs still run: %s"):format(o.timeout, #busy, table.concat(busy, ", ", 1, math.min(#busy, 5))) }
      end
      task.sleep(o.interval)
    end
  end)
end

--- The job's id out of its JSON; the JSON itself where it has none.
local function with_job_ids(list)
  for _, m in ipairs(list) do
    local ok, job = pcall(json.decode, m.id)
    m.id = ok and type(job) == "table" and type(job.jid) == "string" and job.jid or m.id
  end
  return list
end

local function snapshot(r)
  local all = { queue = {} }
  for _, name in ipairs(M.queues(r)) do all.queue[name] = with_job_ids(jobs.members(r, "list", "queue:" .. name)) end
  for _, name in ipairs(sets) do all[name] = with_job_ids(jobs.members(r, "zset", name)) end
  return all
end

local same_options = {
  { 1, "one server", required = true, type = "any" },
  { 2, "the other one", required = true, type = "any" },
  { "quiet", "true: answer the differences instead of raising", type = "boolean", default = false },
}

--- Compares the queues of two servers by job id, in their order and with their
--- times. Raises one error when they differ, unless quiet = true.
---@param o table { a, b, quiet = false }
---@return redis.QueueRow[] rows rows.equal for all
function M.same(o)
  o = options.check(o, same_options, "sidekiq.same")
  local a, b = jobs.both(o[1], o[2], snapshot)
  local names, rows = {}, {}
  for name in pairs(a.queue) do names[#names + 1] = name end
  for name in pairs(b.queue) do if not a.queue[name] then names[#names + 1] = name end end
  table.sort(names)
  for _, name in ipairs(names) do rows[#rows + 1] = jobs.row(name, "queued", a.queue[name] or {}, b.queue[name] or {}) end
  for _, name in ipairs(sets) do rows[#rows + 1] = jobs.row("all", name, a[name], b[name]) end
  return jobs.verdict(rows, "Sidekiq", o.quiet)
end

return M
