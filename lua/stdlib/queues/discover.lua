--- Finds the job queues in a server by the keys that each system keeps, and says under which keys their jobs are.
---
--- Sources of the key names: BullMQ 5 and 6 (src/classes/queue-keys.ts), Bull 4 (lib/queue.js), Bee-Queue 2 (lib/queue.js),
--- Sidekiq 6 and 7 (lib/sidekiq/api.rb), Resque 2 (lib/resque/data_store.rb), RQ 2 (rq/queue.py, rq/registry.py), Celery 5
--- (kombu/transport/redis.py).
local bullmq = require "bullmq"
local jobs = require "queues.jobs"
local log = require "log"
local sidekiq = require "sidekiq"

local M = {}

local BULL = { { "waiting", "list", "wait" }, { "active", "list", "active" }, { "paused", "list", "paused" },
  { "delayed", "zset", "delayed" }, { "completed", "zset", "completed" }, { "failed", "zset", "failed" } }
local BEE = { { "waiting", "list", "waiting" }, { "active", "list", "active" }, { "delayed", "zset", "delayed" },
  { "succeeded", "set", "succeeded" }, { "failed", "set", "failed" } }
local RQ = { { "queued", "list", "queue" }, { "started", "zset", "wip" }, { "deferred", "zset", "deferred" },
  { "scheduled", "zset", "scheduled" }, { "finished", "zset", "finished" }, { "failed", "zset", "failed" },
  { "canceled", "zset", "canceled" } }
local SEPARATOR = "\6\22"                                   -- kombu's, between the parts of a name

--- The names of the keys of one type, each once, in order.
local function names(r, kind, pattern)
  local list, seen = {}, {}
  for key in r:keys_of { type = kind, match = pattern, count = 5000 } do
    if not seen[key] then
      seen[key] = true
      list[#list + 1] = key
    end
  end
  table.sort(list)
  return list
end

--- The states of a queue at their keys: what stands before the state's own word, and after it.
local function places(states, before, after)
  local list = {}
  for i, s in ipairs(states) do list[i] = { s[1], s[2], before .. s[3] .. (after or "") } end
  return list
end

local function append(list, more)
  for _, item in ipairs(more) do list[#list + 1] = item end
end

local function starts(s, with) return s:sub(1, #with) == with end

local function of_bullmq(r, lists)
  local found = bullmq._all(r)
  for _, queue in ipairs(found) do
    for _, key in ipairs(lists) do                          -- BullMQ Pro has a list for each group
      if starts(key, queue.owns .. "groups:") then table.insert(queue.places, { "groups", "list", key, if_any = true, data = queue.owns }) end
    end
  end
  return found
end

--- Bull and Bee-Queue count their jobs in NAME:id. So do others: something else of a queue must stand beside it.
local function of_bull(r, known)
  local found, keys, ask = {}, {}, {}
  for _, id in ipairs(names(r, "string", "*:id")) do
    local own = id:sub(1, -3)
    if not known[own] then
      keys[#keys + 1] = own
      ask[#ask + 1] = { "EXISTS", own .. "jobs", own .. "stallBlock" }
      ask[#ask + 1] = { "EXISTS", own .. "stalled-check", own .. "wait", own .. "paused", own .. "delayed", own .. "completed", own .. "failed" }
    end
  end
  local has = r:pipeline(ask)
  for i, own in ipairs(keys) do
    local key = own:sub(1, -2)
    if has[2 * i - 1] > 0 then
      found[#found + 1] = { kind = "bee", name = key:match "^bq:(.+)$" or key, owns = own, places = places(BEE, own) }
    elseif has[2 * i] > 0 then
      found[#found + 1] = { kind = "bull", name = key:match "^bull:(.+)$" or key, owns = own, places = places(BULL, own) }
    end
  end
  return found
end

--- Whether a list or a sorted set begins with a job of Sidekiq's: JSON with a jid.
local function has_jid(r, key)
  local kind = r:type(key)
  local first = kind == "list" and r:lindex(key, 0) or kind == "zset" and r:zrange(key, 0, 0)[1]
  return first and jobs.id_of(first, { "jid" }) ~= nil
end

--- Which of the two it is, behind one namespace; nil: neither.
local function ruby_kind(r, space, list)
  if r:exists(space .. "processes", space .. "super_processes") > 0 then return "sidekiq" end
  for _, set in ipairs { "schedule", "retry", "dead" } do
    if has_jid(r, space .. set) then return "sidekiq" end
  end
  for _, name in ipairs(list) do
    if has_jid(r, space .. "queue:" .. name) then return "sidekiq" end
  end
  if space == "resque:" or r:exists(space .. "workers") == 1 then return "resque" end
  return r:exists(space .. "stat:processed") == 1 and "sidekiq" or nil
end

local function of_resque(r, space, list)
  local found, delayed = {}, {}
  for _, name in ipairs(list) do
    found[#found + 1] = { kind = "resque", name = name, places = { { "queued", "list", space .. "queue:" .. name } } }
  end
  for _, at in ipairs(r:zrange(space .. "delayed_queue_schedule", 0, -1)) do
    delayed[#delayed + 1] = { "delayed", "list", space .. "delayed:" .. at }
  end
  found[#found + 1] = { kind = "resque", name = "all", owns = space, places = { { "failed", "list", space .. "failed" }, table.unpack(delayed) } }
  return found
end

--- Sidekiq and Resque keep the names of their queues in a set `queues`, behind a namespace if they were given one.
local function of_ruby(r)
  local found, spaces = {}, { "" }
  for _, key in ipairs(names(r, "set", "*:queues")) do
    if key ~= "rq:queues" then spaces[#spaces + 1] = key:sub(1, -7) end
  end
  for _, space in ipairs(spaces) do
    local list = r:type(space .. "queues") == "set" and r:smembers(space .. "queues") or {}
    table.sort(list)
    local kind = ruby_kind(r, space, list)
    append(found, kind == "sidekiq" and sidekiq._all(r, space) or kind == "resque" and of_resque(r, space, list) or {})
  end
  return found
end

local function of_rq(r)
  local found, list = {}, r:type "rq:queues" == "set" and r:smembers "rq:queues" or {}
  table.sort(list)
  for i, key in ipairs(list) do
    local name = key:match "^rq:queue:(.+)$" or key
    found[i] = { kind = "rq", name = name, owns = "rq:", places = places(RQ, "rq:", ":" .. name) }
  end
  return found
end

--- Celery's queues are those that an exchange is bound to; a list for each, and one for each priority. What workers have
--- taken, and what waits for its time, is in one hash for all. Queues of remote control and of events hold no jobs.
local function of_celery(r, lists)
  local found, known = {}, {}
  for _, key in ipairs(names(r, "set", "*_kombu.binding.*")) do
    local space = key:match "^(.*)_kombu%.binding%."
    for _, binding in ipairs(r:smembers(key)) do
      local name = binding:match("^.*" .. SEPARATOR .. "(.*)$")
      if name and not known[space .. name] and not name:find "%.pidbox$" and not name:find "^celeryev" then
        local own = { { "queued", "list", space .. name } }
        for _, list in ipairs(lists) do
          if starts(list, space .. name .. SEPARATOR) then own[#own + 1] = { "queued", "list", list } end
        end
        found[#found + 1] = { kind = "celery", name = space .. name, places = own }
        known[space .. name] = true
      end
    end
    if not known[space] then                                -- no queue is called so: a space is empty, or ends with no letter
      found[#found + 1] = { kind = "celery", name = space .. "all", places = { { "unacked", "hash", space .. "unacked" } } }
      known[space] = true
    end
  end
  return found
end

local MOST = 100                                            -- lists that may be queues; where more are, they are data

--- Lists that belong to no other queue.
local function of_lists(found, lists, wanted)
  local owned, rest = {}, {}
  for _, queue in ipairs(found) do
    if queue.owns then owned[queue.owns] = true end
    for _, place in ipairs(queue.places) do owned[place[3]] = true end
  end
  for _, key in ipairs(lists) do
    local is_owned = owned[key] or key:find "%-signals$"
    for stem in key:gmatch "():" do is_owned = is_owned or owned[key:sub(1, stem)] end
    if not is_owned then rest[#rest + 1] = key end
  end
  if not wanted and #rest > MOST then
    log.info("%d lists belong to no known queue system; lists = { NAME, ... } names those that are queues", #rest)
    rest = {}
  end
  local list = {}
  for i, key in ipairs(wanted or rest) do list[i] = { kind = "list", name = key, places = { { "waiting", "list", key } } } end
  return list
end

--- All queues in the connection's database.
---@param r redis.Connection
---@param wanted? string[] names of the plain lists that are queues
---@return queues.Queue[]
function M.all(r, wanted)
  local lists = names(r, "list", "*")
  local found, known = of_bullmq(r, lists), {}
  for _, queue in ipairs(found) do known[queue.owns] = true end
  append(found, of_bull(r, known))
  append(found, of_ruby(r))
  append(found, of_rq(r))
  append(found, of_celery(r, lists))
  append(found, of_lists(found, lists, wanted))
  return found
end

return M
