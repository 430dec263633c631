--- A drain that is cut off at any of its commands and begun again: no job is lost, none arrives twice.
local bullmq = require "bullmq"
local errors = require "errors"
local log = require "log"
local queues = require "queues"
local redis = require "redis"
local server = require "rehearsal.planes.redis"
local test = require "test"

local T = test.cases()

local LATER = 4000000000                -- seconds: in the year 2096

local function start()
  local s = server.start { dir = test.tmpdir() }
  test.defer(function() s:stop() end)
  local r = redis.open(s.url)
  test.defer(function() r:close() end)
  return r, s.url
end

local function fill(r)
  local commands = { { "FLUSHALL" } }
  local function add(...) commands[#commands + 1] = { ... } end
  local function delayed(id, at) add("ZADD", "bull:mail:delayed", ("%.0f"):format(at * 4096000), id) end
  add("HSET", "bull:mail:meta", "version", "bullmq:5.81.5")
  add("SET", "bull:mail:id", 7)
  for i = 1, 3 do
    add("HSET", "bull:mail:" .. i, "name", "send", "timestamp", 1700000000000 + i)
    delayed(i, LATER + i)
  end
  add("HSET", "bull:mail:child", "name", "send", "parentKey", "bull:orders:1")
  delayed("child", LATER)
  add("HSET", "bull:mail:5", "name", "send", "timestamp", 1)
  delayed("5", LATER)
  add("ZADD", "bull:mail:repeat", LATER * 1000, "hourly")
  add("HSET", "bull:mail:repeat:hourly", "every", 3600000)
  add("HSET", ("bull:mail:repeat:hourly:%d"):format(LATER * 1000), "name", "tick", "rjk", "hourly")
  delayed(("repeat:hourly:%d"):format(LATER * 1000), LATER)
  add("ZADD", "schedule", LATER, '{"jid":"a"}', LATER + 0.25, '{"jid":"b"}')
  r:pipeline(commands)
end

--- A connection that breaks before its n-th conversation, or after it, when the answer is lost.
local function breaking(r, n, after)
  local function counted(method)
    return function(_, ...)
      n = n - 1
      if n == 0 and not after then errors.raise { kind = "network", message = "cut off" } end
      local answer = table.pack(r[method](r, ...))
      if n == 0 then errors.raise { kind = "network", message = "cut off" } end
      return table.unpack(answer, 1, answer.n)
    end
  end
  return setmetatable({ label = r.label, db = r.db }, { __index = function(_, name)
    if name == "command" or name == "pipeline" then return counted(name) end
    return r[name]                                           -- each command's method calls self:command
  end })
end

--- Drains as far as it goes: what cannot move stays, so the wait for the rest ends with its time.
local function drain(from, to)
  queues.prepare { from = from, to = to, margin = 100 }
  local ok, e = pcall(queues.drain, { from = from, to = to, timeout = 0, lists = {} })
  if not ok and not errors.is(e, "timeout") then error(e, 0) end
end

T["what is due later is moved once, wherever it was cut off; an id that is taken stays, and children of flows"] = function()
  local from, to = start(), start()
  local cuts, warned, sink = 0, 0, log.sink
  test.defer(function() log.sink = sink end)
  function log.sink(stream, line)
    if line:find "mail 5 stays on the old side" then warned = warned + 1 else sink(stream, line) end
  end
  for _, side in ipairs { "from", "to" } do
    for _, after in ipairs { false, true } do
      local n, is_done = 0, false
      while not is_done do
        n = n + 1
        fill(from)
        to:flushall()
        to:hset("bull:mail:5", "name", "another", "timestamp", 2)
        local a, b = from, to
        if side == "from" then a = breaking(from, n, after) else b = breaking(to, n, after) end
        local ok, e = pcall(drain, a, b)
        is_done = ok
        if not ok then
          test.truthy(errors.is(e, "network"), tostring(e))
          cuts = cuts + 1
          drain(from, to)
        end
        local what = ("%s, cut %s conversation %d"):format(side, after and "after" or "before", n)
        test.equal(bullmq.jobs(to, "mail", "delayed"), { "repeat:hourly:4000000000000", "1", "2", "3" }, what)
        test.equal(bullmq.jobs(from, "mail", "delayed"), { "5", "child" }, what)
        test.equal({ to:hget("bull:mail:2", "timestamp"), from:exists("bull:mail:1", "bull:mail:2", "bull:mail:3") },
          { "1700000000002", 0 }, what)
        test.equal({ to:zrange("bull:mail:repeat", 0, -1, "WITHSCORES"), to:hget("bull:mail:repeat:hourly", "every"),
                     from:exists "bull:mail:repeat" }, { { "hourly", "4000000000000" }, "3600000", 0 }, what)
        test.equal({ to:zrange("schedule", 0, -1, "WITHSCORES"), from:exists "schedule" },
          { { '{"jid":"a"}', "4000000000", '{"jid":"b"}', "4000000000.25" }, 0 }, what)
        test.equal({ to:get "bull:mail:id", to:hget("bull:mail:5", "name"), to:zscore("bull:mail:marker", "1") },
          { "107", "another", "4000000000000" }, what)
      end
    end
  end
  test.truthy(cuts > 60 and warned >= cuts, ("it was cut off %d times, and warned %d times"):format(cuts, warned))
end

return T
