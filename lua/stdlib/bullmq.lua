--- BullMQ's queues (version 5): what is in them, pausing them, waiting until no
--- job runs, and comparing two servers job by job.
---
--- Every function takes a connection of redis.open, or an endpoint as redis.open does.
--- Key layout: PREFIX:QUEUE:STATE, a hash PREFIX:QUEUE:ID for each job (bullmq
--- 5.x, src/classes/queue-keys.ts and src/commands).
local errors = require "errors"
local jobs = require "queues.jobs"
local log = require "log"
local options = require "options"

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
        local own = prefix .. ":" .. name .. ":"
        local is_bull = meta[3] and r:exists(own .. "meta-paused") == 1     -- the older Bull, paused
        if meta[1] or meta[2] or not is_bull and r:exists(own .. "id", own .. "events") > 0 then
          found[#found + 1] = { name = name, prefix = prefix, key = prefix .. ":" .. name, paused = meta[3] ~= false }
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

local function places_of(key)
  local places = {}
  for i, s in ipairs(M.states) do places[i] = { s[1], s[2], key .. ":" .. s[3], data = key .. ":" } end
  return places
end

--- How many jobs a queue has in each state, by the names and as the numbers of BullMQ's own getJobCounts.
---@param queue bullmq.Queue|string one of bullmq.queues, "PREFIX:NAME", or the name alone with the prefix "bull"
---@return table<string, integer> by state
function M.counts(where, queue)
  local places, counts = places_of(queue_key(queue)), {}
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
  for i, place in ipairs(places_of(queue_key(queue))) do
    names[i] = place[1]
    if place[1] == state then
      return jobs.with(where, function(r)
        local ids = {}
        for n, m in ipairs(jobs.members(r, place)) do ids[n] = m.id end
        return ids
      end)
    end
  end
  errors.usage("bullmq.jobs: no state %s%s", tostring(state), options.suggestion(tostring(state), names))
end

-- The steps of BullMQ's own pause and resume (src/commands/pause-7.lua), in one script, so that no worker sees half of
-- them; a queue that is already so is left alone. Version 5 keeps the jobs of a paused queue in a list of their own,
-- version 6 where they are, and takes back what version 5 has left there. Workers of version 5 wait for the marker.
local switch = [[
local wait, aside, meta, events, marker = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local pause = ARGV[1] == 'paused'
if (redis.call('HEXISTS', meta, 'paused') == 1) == pause then return 0 end
if pause then
  local version = redis.call('HGET', meta, 'version') or ''
  if tonumber(version:match(':(%d+)') or 5) < 6 and redis.call('EXISTS', wait) == 1 then
    redis.call('RENAME', wait, aside)
  end
  redis.call('HSET', meta, 'paused', 1)
  redis.call('DEL', marker)
else
  redis.call('HDEL', meta, 'paused')
  if redis.call('EXISTS', wait) == 0 and redis.call('EXISTS', aside) == 1 then
    redis.call('RENAME', aside, wait)
  end
  local id = redis.call('LPOP', aside)
  while id do                                               -- jobs in both: those that were set aside go first, from the right
    redis.call('RPUSH', wait, id)
    id = redis.call('LPOP', aside)
  end
  if redis.call('EXISTS', wait) == 1 or redis.call('ZCARD', KEYS[6]) > 0 then
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

local function set_paused(where, queue, word)
  local words = { "EVAL", switch, 7 }
  for i, name in ipairs { "wait", "paused", "meta", "events", "marker", "prioritized", "delayed" } do
    words[3 + i] = queue_key(queue) .. ":" .. name
  end
  words[#words + 1] = word
  return jobs.with(where, function(r) return r:command(table.unpack(words)) == 1 end)
end

--- Workers take no further job of this queue; those that run go on.
---@param queue bullmq.Queue|string
---@return boolean changed false when it was paused before
function M.pause(where, queue) return set_paused(where, queue, "paused") end

--- Workers take jobs again.
---@param queue bullmq.Queue|string
---@return boolean changed false when it was not paused
function M.resume(where, queue) return set_paused(where, queue, "resumed") end

--- The jobs that are active now, and those of them whose worker is gone: nobody holds their lock.
local function active_jobs(r, queues)
  local running, stalled = {}, {}
  for _, queue in ipairs(queues) do
    local ids, ask = M.jobs(r, queue, "active"), {}
    for i, id in ipairs(ids) do ask[i] = { "EXISTS", queue.key .. ":" .. id .. ":lock" } end
    for i, held in ipairs(r:pipeline(ask)) do
      local list = held == 1 and running or stalled
      list[#list + 1] = queue.name .. " " .. ids[i]
    end
  end
  return running, stalled
end

--- The active jobs whose worker is gone: it crashed, and its lock has expired (30 seconds by default). A worker that
--- looks gives such a job back to its queue, and it runs again.
---@param opts? { prefix: string }
---@return string[] "QUEUE ID" of each
function M.stalled(where, opts)
  local o = options.check(opts or {}, find_options, "bullmq.stalled")
  return jobs.with(where, function(r)
    local _, stalled = active_jobs(r, M.queues(r, { prefix = o.prefix }))
    return stalled
  end)
end

local wait_options = {
  { "prefix", "key prefix of the queues; every prefix by default", type = "string" },
  { "timeout", "seconds to wait", type = "number", default = 120 },
  { "interval", "seconds between two looks", type = "number", default = 0.2 },
  { "hint", "what to do where the time does not suffice", type = "string", default = "stop the workers, or give them more time" },
}

--- Waits until no worker runs a job, and says meanwhile how many do. Jobs whose worker is gone do not end by themselves:
--- there is a warning, they are answered, and they run again on whichever side workers start.
---@param opts? { prefix: string, timeout: number, interval: number }
---@return { stalled: string[] } "QUEUE ID" of each stalled job
function M.wait_idle(where, opts)
  local o = options.check(opts or {}, wait_options, "bullmq.wait_idle")
  return jobs.with(where, function(r)
    local queues = M.queues(r, { prefix = o.prefix })
    local answer = jobs.wait(o, "wait until no BullMQ job runs", "jobs are still active", function()
      local running, stalled = active_jobs(r, queues)
      return running, { stalled = stalled }
    end)
    for _, job in ipairs(answer.stalled) do
      log.warn("the BullMQ job %s is stalled: its worker is gone; it will run again when a worker looks", job)
    end
    return answer
  end)
end

--- The queues as queues.find and bullmq.same see them.
---@return queues.Queue[]
function M._all(r, prefix)
  local found = {}
  for i, queue in ipairs(M.queues(r, { prefix = prefix })) do
    local places = places_of(queue.key)
    places[#places + 1] = { "schedulers", "zset", queue.key .. ":repeat", if_any = true, no_job = true }
    found[i] = { kind = "bullmq", name = queue.prefix == "bull" and queue.name or queue.key, owns = queue.key .. ":", places = places,
      setting = queue.paused and "paused" or "running" }
  end
  return found
end

local same_options = {
  { 1, "one server", required = true, type = "any" },
  { 2, "the other one", required = true, type = "any" },
  { "prefix", "key prefix of the queues; every prefix by default", type = "string" },
  { "quiet", "true: answer the differences instead of raising", type = "boolean", default = false },
}

--- Compares the queues of two servers by job id: each state in its order, with times and priorities, that every job has
--- its data ("with data"), the job schedulers, and whether the queue is paused ("setting"). Raises one error when they
--- differ, unless quiet = true.
---@param o table { a, b, prefix =, quiet = false }
---@return queues.Difference[] rows one for each queue and state; rows.equal for all
function M.same(o)
  o = options.check(o, same_options, "bullmq.same")
  return jobs.same(o[1], o[2], "BullMQ", o.quiet, function(r) return M._all(r, o.prefix) end)
end

return M
