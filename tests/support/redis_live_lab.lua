--- Live copies between two servers of a test case, and writers that keep the source busy.
local redis = require "redis"
local redis_lab = require "redis_lab"
local task = require "task"
local test = require "test"

local M = {}

local start, open = redis_lab.start, redis_lab.open

--- Two servers, and a live copy between them once `fill` has filled the source.
function M.copy(fill, o)
  local from, to = start(o and o.source), start()
  local a = open(from.url)
  if fill then fill(a, from) end
  local options = { from = from.url, to = to.url, interval = 0.01 }
  for name, value in pairs(o and o.copy or {}) do options[name] = value end
  local c = redis.copy.start(options)
  test.defer(function() c:close() end)
  return { from = from, to = to, a = a, b = open(to.url), copy = c }
end

--- Waits until the copy has had a round that began after now.
function M.settle(lab)
  local rounds = lab.copy:status().rounds
  while lab.copy:status().rounds < rounds + 2 do
    if lab.copy:status().failure then error(lab.copy:status().failure, 0) end
    task.sleep(0.01)
  end
end

function M.equal(lab) test.truthy(redis.same { lab.from.url, lab.to.url }.equal) end

--- A writer that changes keys of every type, as it happens, until it is stopped.
function M.writer(url, seed, pause)
  local w = { commands = 0 }
  local r = open(url)
  local random = seed
  local function pick(n)
    random = (random * 1103515245 + 12345) % 2147483648
    return random // 65536 % n
  end
  local kinds = {
    function(k) return { "SET", "s" .. k, pick(1000) } end,
    function(k) return { "SET", "e" .. k, pick(1000), "PX", 1 + pick(400) } end,
    function(k) return { "SETEX", "t" .. k, 1000 + pick(1000), "x" } end,
    function(k) return { "APPEND", "s" .. k, "more" } end,
    function(k) return { "RPUSH", "l" .. k, pick(1000), "b" } end,
    function(k) return { "LPOP", "l" .. k, 3 } end,
    function(k) return { "SADD", "u" .. k, pick(1000), pick(1000) } end,
    function(k) return { "SPOP", "u" .. k } end,
    function(k) return { "ZADD", "z" .. k, pick(1000), pick(20) } end,
    function(k) return { "ZPOPMIN", "z" .. k } end,
    function(k) return { "HSET", "h" .. k, pick(20), pick(1000) } end,
    function(k) return { "HDEL", "h" .. k, pick(20) } end,
    function(k) return { "XADD", "x" .. k, "MAXLEN", 20, "*", "f", pick(1000) } end,
    function(k) return { "XREADGROUP", "GROUP", "g", "c" .. pick(3), "COUNT", 3, "STREAMS", "x" .. k, ">" } end,
    function(k) return { "PFADD", "p" .. k, pick(1000) } end,
    function(k) return { "PFCOUNT", "p" .. k } end,
    function(k) return { "DEL", ({ "s", "l", "u", "z", "h" })[1 + pick(5)] .. k } end,
    function(k) return { "RENAME", "s" .. k, "s" .. pick(300) } end,
    function(k) return { "PERSIST", "t" .. k } end,
    function(k) return { "EXPIRE", "h" .. k, 3 + pick(1000) } end,
  }
  w.task = task.spawn(function()
    for k = 0, 30 do r:pipeline({ { "XGROUP", "CREATE", "x" .. k, "g", 0, "MKSTREAM" } }, { keep_errors = true }) end
    while not w.stopped do
      local commands = {}
      for i = 1, 50 do commands[i] = kinds[1 + pick(#kinds)](pick(i % 3 == 0 and 30 or 300)) end
      r:pipeline(commands, { keep_errors = true })
      w.commands = w.commands + #commands
      task.sleep(pause or 0.01)
    end
  end)
  function w.stop()
    w.stopped = true
    w.task:join()
    return w.commands
  end
  return w
end

return M
