--- BullMQ's queues (version 5): what is in them, pausing them, waiting until no
--- job runs, and comparing two servers job by job.
---
--- Every function takes a connection of redis.open, or an endpoint as redis.open does.
--- Key layout: PREFIX:QUEUE:STATE, a hash PREFIX:QUEUE:ID for each job (bullmq
--- 5.x, src/classes/queue-keys.ts and src/commands).
local errors = require "errors"
local jobs = require "queues.jobs"
local options = require "options"
local task = require "task"

local M = {}

--- The states in the order in which a job meets them, by the names of BullMQ's getJobCounts: how each is stored, and
--- under which key.
M.states = {
  { "waiting", "list", "wait" }, { "paused", "list", "paused" }, { "prioritized", "zset", "prioritized" },
  { "delayed", "zset", "delayed" }, { "waiting-children", "zset", "waiting-children" }, { "active", "list", "active" },
  { "completed", "zset", "completed" }, { "failed", "zset", "failed" },
}

local find_options = {
  { "prefix", "key prefix of the queues; every prefix by default", type = "string" },
}

---@class bullmq.Queue
---@field name string
---@field prefix string
---@field key string PREFIX:NAME
---@field paused boolean

--- The queues in the connection's database, by name.
---@param opts? { prefix: string } "bull" is BullMQ's default; without it every prefix is searched
---@return bullmq.Queue[]
function M.queues(where, opts)
  local o = options.check(opts or {}, find_options, "bullmq.queues")
  return jobs.with(where, function(r)
    local found, seen = {}, {}
    local pattern = o.prefix and o.prefix:gsub("[%[%]?*\\]", "\\%0") or "*"
    for key in r:keys_of { match = pattern .. ":*:meta", type = "hash" } do
      local prefix, name = key:match "^(.*):([^:]+):meta$"
      if prefix and not seen[key] and (not o.prefix or prefix == o.prefix) then
        seen[key] = true
        local meta = r:hmget(key, "opts.maxLenEvents", "version", "paused")
        if meta[1] or meta[2] or r:exists(prefix .. ":" .. name .. ":id", prefix .. ":" .. name .. ":events") > 0 then
          found[#found + 1] = { name = name, prefix = prefix, key = prefix .. ":" .. name, paused = meta[3] == "1" }
        end
      end
    end
    table.sort(found, function(a, b) return a.key < b.key end)
    return found
  end)
end

local function queue_key(queue)
  if type(queue) == "table" then return queue.key end
  return queue:find ":" and queue or "bull:" .. queue
end

--- Under which keys a queue's jobs are.
---@param queue bullmq.Queue|string
---@return queues.Place[] places { state, type, key }
function M.places(queue)
  local key, places = queue_key(queue), {}
  for i, s in ipairs(M.states) do places[i] = { s[1], s[2], key .. ":" .. s[3] } end
  return places
end

--- How many jobs a queue has in each state, by the names and as the numbers of BullMQ's own getJobCounts.
---@param queue bullmq.Queue|string one of bullmq.queues, "PREFIX:NAME", or the name alone with the prefix "bull"
---@return table<string, integer> by state
function M.counts(where, queue)
  local places, counts = M.places(queue), {}
  return jobs.with(where, function(r)
    for i, n in ipairs(jobs.sizes(r, places)) do counts[places[i][1]] = n end
    return counts
  end)
end

--- The ids of the jobs in one state, in the queue's order.
---@param state string one of bullmq.states
---@return string[]
function M.jobs(where, queue, state)
  local names = {}
  for i, place in ipairs(M.places(queue)) do
    names[i] = place[1]
    if place[1] == state then
      return jobs.with(where, function(r)
        local ids = {}
        for n, m in ipairs(jobs.members(r, place[2], place[3])) do ids[n] = m.id end
        return ids
      end)
    end
  end
  errors.usage("bullmq.jobs: no state %s%s", tostring(state), options.suggestion(tostring(state), names))
end

-- The same steps as BullMQ's own pause and resume, in one script, so that no
-- worker sees half of them; a queue that is already so is left alone.
local switch = [[
local from, to, meta, events, marker = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local paused = redis.call('HEXISTS', meta, 'paused') == 1
if paused == (ARGV[1] == 'paused') then return 0 end
local moved = redis.call('EXISTS', from) == 1
if moved then redis.call('RENAME', from, to) end
if ARGV[1] == 'paused' then
  redis.call('HSET', meta, 'paused', 1)
  redis.call('DEL', marker)
else
  redis.call('HDEL', meta, 'paused')
  if moved or redis.call('ZCARD', KEYS[6]) > 0 then
    redis.call('ZADD', marker, 0, '0')
  else
    local next = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')
    -- a delayed job's score is its time in milliseconds times 4096, plus a counter
    if next[2] then redis.call('ZADD', marker, math.floor(tonumber(next[2]) / 4096), '1') end
  end
end
redis.call('XADD', events, '*', 'event', ARGV[1])
return 1
]]

local function set_paused(where, queue, paused)
  local key = queue_key(queue)
  local function k(name) return key .. ":" .. name end
  local from, to = k "wait", k "paused"
  if not paused then from, to = to, from end
  return jobs.with(where, function(r)
    return r:eval(switch, 7, from, to, k "meta", k "events", k "marker", k "prioritized", k "delayed", paused and "paused" or "resumed") == 1
  end)
end

--- Workers take no further job of this queue; those that run go on.
---@return boolean changed false when it was paused before
function M.pause(where, queue) return set_paused(where, queue, true) end

--- Workers take jobs again.
---@return boolean changed false when it was not paused
function M.resume(where, queue) return set_paused(where, queue, false) end

--- The jobs that are active now, and those of them whose worker is gone: no one
--- holds their lock. BullMQ gives these back to the queue when a worker looks.
local function active_jobs(r, queues)
  local running, stalled = {}, {}
  for _, queue in ipairs(queues) do
    local ids = M.jobs(r, queue, "active")
    local ask = {}
    for i, id in ipairs(ids) do ask[i] = { "EXISTS", queue.key .. ":" .. id .. ":lock" } end
    for i, held in ipairs(r:pipeline(ask)) do
      local list = held == 1 and running or stalled
      list[#list + 1] = queue.name .. " " .. ids[i]
    end
  end
  return running, stalled
end

local wait_options = {
  { "prefix", "key prefix of the queues; every prefix by default", type = "string" },
  { "timeout", "seconds to wait", type = "number", default = 120 },
  { "interval", "seconds between two looks", type = "number", default = 0.2 },
}

--- Waits until no worker runs a job. Jobs whose worker is gone do not end by
--- themselves: they are answered, and run again on whichever side workers start.
---@param opts? { prefix: string, timeout: number, interval: number }
---@return { stalled: string[] } "QUEUE ID" of each stalled job
function M.wait_idle(where, opts)
  local o = options.check(opts or {}, wait_options, "bullmq.wait_idle")
  return jobs.with(where, function(r)
    local deadline = task.now() + o.timeout
    local queues = M.queues(r, { prefix = o.prefix })
    while true do
      local running, stalled = active_jobs(r, queues)
      if #running == 0 then return { stalled = stalled } end
      if task.now() >= deadline then
        errors.raise { kind = "timeout", op = "wait until no BullMQ job runs", retry = true, running = running, stalled = stalled,
          message = ("after %g seconds %d jobs are still active: %s"):format(o.timeout, #running,
            table.concat(running, ", ", 1, math.min(#running, 5))),
          hint = "stop the workers, or give them more time" }
      end
      task.sleep(o.interval)
    end
  end)
end

local same_options = {
  { 1, "one server", required = true, type = "any" },
  { 2, "the other one", required = true, type = "any" },
  { "prefix", "key prefix of the queues; every prefix by default", type = "string" },
  { "quiet", "true: answer the differences instead of raising", type = "boolean", default = false },
}

--- Every state of every queue of one server, and the ids whose data is lost.
local function snapshot(r, prefix)
  local all = {}
  for _, queue in ipairs(M.queues(r, { prefix = prefix })) do
    local states, ask, ids = {}, {}, {}
    for _, place in ipairs(M.places(queue)) do
      local list = jobs.members(r, place[2], place[3])
      states[place[1]] = list
      for _, m in ipairs(list) do
        ids[#ids + 1] = m.id
        ask[#ask + 1] = { "EXISTS", queue.key .. ":" .. m.id }
      end
    end
    states["with data"] = {}
    for i, there in ipairs(r:pipeline(ask)) do
      if there == 1 then table.insert(states["with data"], { id = ids[i] }) end
    end
    states.setting = { { id = queue.paused and "paused" or "running" } }
    all[queue.key] = states
  end
  return all
end

--- Compares the queues of two servers by job id: each state in its order, with
--- times and priorities, that every job has its data ("with data"), and whether
--- the queue is paused. Raises one error when they differ, unless quiet = true.
---@param o table { a, b, prefix =, quiet = false }
---@return redis.QueueRow[] rows one for each queue and state; rows.equal for all
function M.same(o)
  o = options.check(o, same_options, "bullmq.same")
  local a, b = jobs.both(o[1], o[2], function(r) return snapshot(r, o.prefix) end)
  local keys, rows = {}, {}
  for key in pairs(a) do keys[#keys + 1] = key end
  for key in pairs(b) do if not a[key] then keys[#keys + 1] = key end end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local function compare(state)
      rows[#rows + 1] = jobs.row(key:match "[^:]+$", state, (a[key] or {})[state] or {}, (b[key] or {})[state] or {})
    end
    for _, state in ipairs(M.states) do compare(state[1]) end
    compare "with data"
    if (a[key] == nil) ~= (b[key] == nil) or a[key].setting[1].id ~= b[key].setting[1].id then
      compare "setting"
      rows[#rows].equal = false
    end
  end
  return jobs.verdict(rows, "BullMQ", o.quiet)
end

return M
