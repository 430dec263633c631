--- What the queue modules share: connections, the jobs at a place, waiting, and the comparison of two sides.
local errors = require "errors"
local json = require "json"
local log = require "log"
local redis = require "redis"
local task = require "task"

local M = {}

---@class queues.Queue
---@field kind "bullmq"|"sidekiq"|"list"|"bull"|"bee"|"resque"|"rq"|"celery"
---@field name string
---@field places queues.Place[]
---@field owns? string what the names of its keys begin with
---@field setting? string that is compared too: paused or running
---@field process? boolean it is a process, with what it runs

---@class queues.Place the jobs of one state, or a part of them: { state, type, key }
---@field [1] string the state
---@field [2] "list"|"zset"|"set"|"hash" the type of the key
---@field [3] string the key
---@field data? string what the keys of the jobs' own data begin with
---@field id? string[] the way to a job's id, where jobs are JSON
---@field if_any? boolean said only where there are some
---@field no_job? boolean what stands there makes jobs, and is none

--- Calls fn(connection): the given one, or one of its own for an endpoint.
---@param where redis.Connection|string|userdata|redis.Endpoint
function M.with(where, fn)
  if type(where) == "table" and rawget(where, "label") then return fn(where) end
  local r <close> = redis.open(where)
  return fn(r)
end

--- The same question to both sides at once.
function M.both(a, b, fn)
  local v = task.all { a = function() return M.with(a, fn) end, b = function() return M.with(b, fn) end }
  return v.a, v.b
end

local SIZE = { list = "LLEN", zset = "ZCARD", set = "SCARD", hash = "HLEN" }

-- Bull and BullMQ before version 5 put a marker among the jobs that wait (0:0, 0:1700000000000).
local function is_marker(id) return id:sub(1, 2) == "0:" end

--- How many jobs stand at each place. A key of another type belongs to no queue, and holds none.
---@param places queues.Place[]
---@return integer[]
function M.sizes(r, places)
  local ask, sizes = {}, {}
  for _, place in ipairs(places) do
    ask[#ask + 1] = { SIZE[place[2]], place[3] }
    ask[#ask + 1] = { "LINDEX", place[3], -1 }
  end
  local replies = r:pipeline(ask, { keep_errors = true })
  for i = 1, #places do
    local size, last = replies[2 * i - 1], replies[2 * i]
    sizes[i] = type(size) ~= "number" and 0 or type(last) == "string" and is_marker(last) and size - 1 or size
  end
  return sizes
end

--- The id in a job's JSON; nil where it has none.
---@param path string[]
---@return string?
function M.id_of(member, path)
  local value = json.decode(member)
  for _, name in ipairs(path) do value = type(value) == "table" and value[name] or nil end
  return type(value) == "string" and value or nil
end

--- The id of a job for people, or what it is, shortened.
---@param path? string[]
function M.id_in(member, path)
  return path and M.id_of(member, path) or #member > 60 and member:sub(1, 57) .. "..." or member
end

local PAGE = 5000

--- The jobs from one index on, a page of them, as { id =, score = }: a list and a sorted set in their order, a set and the
--- fields of a hash by name, all at once.
---@param place queues.Place
---@param first? integer nil: all of them
---@return { id: string, score: string? }[]
---@return boolean more there may be another page
function M.members(r, place, first)
  local kind, key, list = place[2], place[3], {}
  local from, to = first or 0, first and first + PAGE - 1 or -1
  local count
  if kind == "list" then
    local ids = r:lrange(key, from, to)
    for _, id in ipairs(ids) do
      if not is_marker(id) then list[#list + 1] = { id = id } end
    end
    count = #ids
  elseif kind == "zset" then
    local reply = r:zrange(key, from, to, "WITHSCORES")
    for i = 1, #reply, 2 do list[#list + 1] = { id = reply[i], score = reply[i + 1] } end
    count = #list
  else
    for i, id in ipairs(from > 0 and {} or kind == "set" and r:smembers(key) or r:hkeys(key)) do list[i] = { id = id } end
    table.sort(list, function(x, y) return x.id < y.id end)
    count = 0
  end
  return list, first ~= nil and count == PAGE
end

--- Looks again and again until nothing is left, and says what is waited for.
---@param o { timeout: number, interval: number, hint: string? }
---@param what string "wait until no BullMQ job runs"
---@param state string what those that are left do: "are still active"
---@param look fun(): string[], table what is left, and what to answer in the end
function M.wait(o, what, state, look)
  local deadline = task.now() + o.timeout
  local progress <close> = log.progress { what = what }
  while true do
    local left, answer = look()
    if #left == 0 then return answer end
    local some = ("%d %s: %s%s"):format(#left, state, table.concat(left, ", ", 1, math.min(#left, 5)), #left > 5 and ", ..." or "")
    progress:note(some)
    if task.now() >= deadline then
      errors.raise { kind = "timeout", op = what, retry = true, running = left, stalled = answer.stalled, hint = o.hint,
        message = ("after %g seconds %s"):format(o.timeout, some) }
    end
    task.sleep(o.interval)
  end
end

---@class queues.Difference
---@field queue string
---@field state string
---@field a integer jobs on the first side
---@field b integer
---@field equal boolean the same ids in the same order, with the same times and priorities
---@field missing string[] ids that only the first side has, ten at most
---@field extra string[] ids that only the second side has

local NAMED = 10

--- Which ids one side has more often than the other: +1 for each on the first, -1 on the second.
local function note(balance, id, n)
  n = n + (balance[id] or 0)
  balance[id] = n ~= 0 and n or nil
end

local function finish(row, balance, path)
  for id, n in pairs(balance) do table.insert(n > 0 and row.missing or row.extra, id) end
  for _, ids in ipairs { row.missing, row.extra } do
    table.sort(ids)
    for i = #ids, NAMED + 1, -1 do ids[i] = nil end
    for i, id in ipairs(ids) do ids[i] = M.id_in(id, path) end
  end
  row.equal = row.equal and next(balance) == nil
  return row
end

local function new_row(queue, state) return { queue = queue, state = state, a = 0, b = 0, equal = true, missing = {}, extra = {} } end

--- The ids of those jobs whose data is there.
local function with_data(r, place, list)
  local ask, ids = {}, {}
  for i, m in ipairs(list) do ask[i] = { "EXISTS", place.data .. m.id } end
  for i, there in ipairs(r:pipeline(ask)) do
    if there == 1 then ids[#ids + 1] = list[i].id end
  end
  return ids
end

--- Compares one place page by page, and adds to the queue's row of the jobs that have their data.
local function compare(a, b, row, place, data)
  local balance, first, more = {}, 0, true
  while more do
    local mine, theirs = M.both(a, b, function(r)
      local list, again = M.members(r, place, first)
      return { list = list, again = again, ids = place.data and with_data(r, place, list) or {} }
    end)
    for i = 1, math.max(#mine.list, #theirs.list) do
      local x, y = mine.list[i], theirs.list[i]
      row.equal = row.equal and x ~= nil and y ~= nil and x.id == y.id and x.score == y.score
      if x then note(balance, x.id, 1) end
      if y then note(balance, y.id, -1) end
    end
    for _, id in ipairs(mine.ids) do note(data.balance, id, 1) end
    for _, id in ipairs(theirs.ids) do note(data.balance, id, -1) end
    row.a, row.b = row.a + #mine.list, row.b + #theirs.list
    data.row.a, data.row.b = data.row.a + #mine.ids, data.row.b + #theirs.ids
    more, first = mine.again or theirs.again, first + PAGE
  end
  return finish(row, balance, place.id)
end

--- The queues of both sides, in the order of their names of one side, then those that only the other has.
local function pairs_of(mine, theirs)
  local list, by_name = {}, {}
  for side, queues in ipairs { mine, theirs } do
    for _, queue in ipairs(queues) do
      local key = queue.kind .. " " .. queue.name
      local pair = by_name[key] or { {}, {}, name = queue.name, places = {}, known = {} }
      if not by_name[key] and not queue.process then list[#list + 1] = pair end
      by_name[key], pair[side] = pair, queue
      for _, place in ipairs(queue.places) do
        if not pair.known[place[3]] then pair.places[#pair.places + 1] = place end
        pair.known[place[3]] = true
      end
    end
  end
  return list
end

--- Compares the queues of two servers: each state in its order, with times and priorities, that every job has its data
--- ("with data"), and whether a queue is there on both sides and paused ("setting"). Raises one error that names the
--- first row that differs, unless quiet.
---@param what string whose queues
---@param find fun(r: redis.Connection): queues.Queue[]
---@return queues.Difference[] rows rows.equal for all; rows.jobs: how many jobs the first side has
function M.same(a, b, what, quiet, find)
  return M.with(a, function(ra) return M.with(b, function(rb)
    local rows, different = { equal = true, jobs = 0 }, nil
    local function add(row)
      rows[#rows + 1] = row
      rows.equal, different = rows.equal and row.equal, different or not row.equal and row or nil
    end
    for _, pair in ipairs(pairs_of(M.both(ra, rb, find))) do
      local data = { row = new_row(pair.name, "with data"), balance = {} }
      for _, place in ipairs(pair.places) do
        local row = compare(ra, rb, new_row(pair.name, place[1]), place, data)
        if not place.no_job then rows.jobs = rows.jobs + row.a end
        add(row)
      end
      if pair.places[1].data then add(finish(data.row, data.balance)) end
      if pair[1].kind ~= pair[2].kind or pair[1].setting ~= pair[2].setting then
        local row = new_row(pair.name, "setting")
        row.equal = false
        add(row)
      end
    end
    if different and not quiet then
      local ids = #different.missing > 0 and ", missing: " .. table.concat(different.missing, " ")
        or #different.extra > 0 and ", too many: " .. table.concat(different.extra, " ")
        or different.state == "setting" and ", there or paused on one side only" or ", in another order or at other times"
      errors.raise { kind = "stopped", op = "accept the " .. what .. " queues as equal", rows = rows,
        message = ("queue %s, %s: %d jobs on one side, %d on the other%s"):format(different.queue, different.state, different.a, different.b, ids) }
    end
    return rows
  end) end)
end

return M
