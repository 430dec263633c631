--- The old side empties while the new one fills: ids that cannot meet, job schedulers and jobs of later go to the new side,
--- the rest is done by the workers of the old one.
---
--- A job goes in steps, each of which may be the last before a crash: it leaves its set on the old side for one of ours
--- (hkrun-leaving), its data is copied, it arrives on the new side once (hkrun-arrived remembers it), the old data goes.
local bullmq = require "bullmq"
local errors = require "errors"
local jobs = require "queues.jobs"
local keys = require "redis.copy.keys"

local M = {}

local BATCH = 100

local LEAVE = [[
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if score then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('ZADD', KEYS[2], score, ARGV[1])
end
return score]]

-- KEYS 3 to 5 are BullMQ's, whose workers wait for a marker with the time of the next delayed job.
local ARRIVE = [[
if redis.call('SADD', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
if KEYS[3] and redis.call('HEXISTS', KEYS[3], 'paused') == 0 then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  redis.call('ZADD', KEYS[4], math.floor(tonumber(first[2]) / 4096), '1')
end
return 1]]

---@class drain.Set jobs with a time: what it takes to move them
---@field key string the sorted set
---@field base string what our own keys beside it begin with
---@field scale number what a second is in its scores
---@field data? string what the keys of the jobs' data begin with
---@field more string[] BullMQ's meta and marker

local function leaving(set) return set.base .. "hkrun-leaving" end
local function arrived(set) return set.base .. "hkrun-arrived" end

--- The jobs whose data would meet another job's on the new side: what has the same id and is not the same job.
local function taken(from, to, set, ids)
  local ask, list = {}, {}
  for i, id in ipairs(ids) do ask[i] = { "HMGET", set.data .. id, "name", "timestamp" } end
  local mine, theirs = from:pipeline(ask), to:pipeline(ask)
  for i, id in ipairs(ids) do
    local there = theirs[i][1] or theirs[i][2]
    list[id] = there and (theirs[i][1] ~= mine[i][1] or theirs[i][2] ~= mine[i][2]) or nil
  end
  return list
end

--- Brings to the new side what has left its set on the old one. Where its id is taken, a job goes back.
---@return integer moved
---@return string[] refused
local function deliver(from, to, set)
  local reply = from:zrange(leaving(set), 0, -1, "WITHSCORES")
  local ids, refused, copy, arrive, settle, moved = {}, {}, {}, {}, {}, 0
  for i = 1, #reply, 2 do ids[#ids + 1] = reply[i] end
  local is_taken = set.data and taken(from, to, set, ids) or {}
  for i, id in ipairs(ids) do
    if is_taken[id] then
      refused[#refused + 1] = id
      settle[#settle + 1] = { "ZADD", set.key, reply[2 * i], id }
    else
      arrive[#arrive + 1] = { "EVAL", ARRIVE, #set.more + 2, set.key, arrived(set), table.unpack(set.more) }
      table.move({ id, reply[2 * i] }, 1, 2, #arrive[#arrive] + 1, arrive[#arrive])
      for _, key in ipairs(set.data and { set.data .. id, set.data .. id .. ":logs" } or {}) do
        copy[#copy + 1] = key
        settle[#settle + 1] = { "UNLINK", key }
      end
    end
    settle[#settle + 1] = { "ZREM", leaving(set), id }
  end
  if #copy > 0 then keys.move(from, to, { db = from.db, keys = copy }) end
  for _, n in ipairs(to:pipeline(arrive)) do moved = moved + n end
  from:pipeline(settle)
  return moved, refused
end

--- Moves those jobs of a set that are in a list and still there.
---@param set drain.Set
---@param ids string[]
---@return integer moved
---@return string[] refused their ids are taken on the new side by other jobs
function M.move(from, to, set, ids)
  local moved, refused = deliver(from, to, set)             -- what an earlier run left under way
  for i = 1, #ids, BATCH do
    local ask = {}
    for n = i, math.min(i + BATCH - 1, #ids) do ask[#ask + 1] = { "EVAL", LEAVE, 2, set.key, leaving(set), ids[n] } end
    from:pipeline(ask)
    local count, more = deliver(from, to, set)
    moved = moved + count
    table.move(more, 1, #more, #refused + 1, refused)
  end
  return moved, refused
end

--- The seconds of the server's clock.
local function clock(r) return math.tointeger(tonumber(r:time()[1])) end

local function later(r, set, seconds)
  return r:zrangebyscore(set.key, ("%.0f"):format((clock(r) + seconds) * set.scale), "+inf")
end

local function bullmq_set(queue)
  return { key = queue.key .. ":delayed", base = queue.key .. ":", data = queue.key .. ":", scale = 4096000,
    more = { queue.key .. ":meta", queue.key .. ":marker" } }
end

--- Delayed jobs that can run alone: no child of a flow, whose parent waits on the old side; no next job of a scheduler.
local function movable(r, queue, ids)
  local ask, list = {}, {}
  for i, id in ipairs(ids) do ask[i] = { "HMGET", queue.key .. ":" .. id, "parentKey", "rjk" } end
  for i, fields in ipairs(r:pipeline(ask)) do
    if not fields[1] and not fields[2] then list[#list + 1] = ids[i] end
  end
  return list
end

--- Of what a sorted set holds, the jobs of Sidekiq's.
local function sidekiq_jobs(members)
  local list = {}
  for _, member in ipairs(members) do
    if jobs.id_of(member, { "jid" }) then list[#list + 1] = member end
  end
  return list
end

--- Moves the job schedulers of a queue, each with its next job. One whose next job is not delayed now, because it waits for
--- a worker, is left for the next time. One that the new side has made itself only ends here.
---@return integer left
local function move_schedulers(from, to, queue)
  local set, list, left = bullmq_set(queue), queue.key .. ":repeat", 0
  local reply = from:zrange(list, 0, -1, "WITHSCORES")
  for i = 1, #reply, 2 do
    local id, at = reply[i], reply[i + 1]
    local key, job = list .. ":" .. id, ("repeat:%s:%s"):format(id, at)
    local gone = { { "ZREM", list, id }, { "UNLINK", key } }
    local is_leaving = from:zscore(leaving(set), job)
    if not is_leaving and to:zscore(list, id) then
      from:pipeline { { "ZREM", set.key, job }, { "UNLINK", queue.key .. ":" .. job }, table.unpack(gone) }
    elseif is_leaving or from:exists(key) == 1 and from:eval(LEAVE, 2, set.key, leaving(set), job) then
      keys.move(from, to, { db = from.db, keys = { key } })
      to:zadd(list, at, id)
      deliver(from, to, set)
      from:pipeline(gone)
    else
      left = left + 1
    end
  end
  return left
end

--- Before anybody adds jobs to the new side: BullMQ numbers its jobs from there on where no number of the old side is near,
--- and the job schedulers go over, because whoever starts on the new side would make them anew.
---@param margin integer how many jobs the old side may still get
function M.prepare(from, to, margin)
  if from.db ~= to.db then errors.usage("queues.prepare: database %d and database %d are not the same", from.db, to.db) end
  local left = 0
  for _, queue in ipairs(bullmq.queues(from)) do
    local id = math.tointeger(tonumber(from:get(queue.key .. ":id") or 0))
    to:set(queue.key .. ":id", id + margin, "NX")
    left = left + move_schedulers(from, to, queue)
  end
  return left
end

--- One round: moves what is due later than so many seconds from now. Answers how many jobs went, and "QUEUE ID" of each
--- that cannot.
function M.round(from, to, seconds)
  local moved, refused = 0, {}
  local function move(name, set, ids)
    local count, stay = M.move(from, to, set, ids)
    moved = moved + count
    for _, id in ipairs(stay) do refused[#refused + 1] = name .. " " .. id end
  end
  for _, queue in ipairs(bullmq.queues(from)) do
    move_schedulers(from, to, queue)
    local set = bullmq_set(queue)
    move(queue.name, set, movable(from, queue, later(from, set, seconds)))
  end
  for _, name in ipairs { "schedule", "retry" } do
    local set = { key = name, base = name .. ":", scale = 1, more = {} }
    move(name, set, from:type(name) == "zset" and sidekiq_jobs(later(from, set, seconds)) or {})
  end
  return moved, refused
end

--- Forgets which jobs have arrived: none is under way any more.
function M.finish(from, to)
  for _, queue in ipairs(bullmq.queues(from)) do to:unlink(arrived(bullmq_set(queue))) end
  for _, name in ipairs { "schedule", "retry" } do to:unlink(arrived { base = name .. ":" }) end
end

return M
