package.path = "tests/support/?.lua;" .. package.path
local test = require "test"
local errors = require "errors"
local fs = require "fs"
local notices = require "redis.live.notices"
local process = require "process"
local redis = require "redis"
local redis_lab = require "redis_lab"
local server = require "rehearsal.planes.redis"
local task = require "task"
local versions = dofile "tests/support/redis_versions.lua"

local T = test.cases()
local SELF = fs.realpath "/proc/self/exe"

local start, open = redis_lab.start, redis_lab.open

--- Two servers, and a live copy between them once `fill` has filled the source.
local function copy(fill, o)
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
local function settle(lab)
  local rounds = lab.copy:status().rounds
  while lab.copy:status().rounds < rounds + 2 do
    if lab.copy:status().failure then error(lab.copy:status().failure, 0) end
    task.sleep(0.01)
  end
end

local function equal(lab) test.truthy(redis.same { lab.from.url, lab.to.url }.equal) end

--- A writer that changes keys of every type, as it happens, until it is stopped.
local function writer(url, seed, pause)
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

T["what is written to the source while it is copied is at the target too"] = function()
  local from, to = start(), start()
  local a = open(from.url)
  local commands = {}
  for i = 1, 8000 do commands[i] = { "SET", "s" .. i, ("v"):rep(i % 50) } end
  a:pipeline(commands)
  local w0, w3 = writer(from.url, 7), writer(from.url .. "/3", 8)
  local c <close> = redis.copy.start { from = from.url, to = to.url, interval = 0.01, small = 1000000 }
  local status = c:wait()
  test.equal({ status.phase, status.notifications, status.rescans }, { "rounds", true, 0 })
  while w0.commands + w3.commands < 6000 do task.sleep(0.01) end
  w0.stop()
  w3.stop()
  local r = c:finish()
  test.truthy(r.moved > 1000 and r.deleted > 10, test.show(r))
  test.equal(r.rescans, 0)
  test.equal(a:config_get "notify-keyspace-events"[2], "", "as it was")
  local same = redis.same { from.url, to.url }
  test.truthy(same.keys > 8000)
end

T["keys that are deleted, renamed or expire between the first copy and the last pass are gone at the target"] = function()
  local lab = copy(function(a) a:mset("gone", 1, "old", 2, "stays", 3, "late", 4) end)
  lab.copy:wait()
  lab.a:del "gone"
  lab.a:rename("old", "new")
  lab.a:pexpire("late", 1)
  lab.a:set("fresh", 5)
  local r = lab.copy:finish()
  equal(lab)
  test.equal(lab.b:mget("gone", "old", "new", "stays", "late", "fresh"), { false, false, "2", "3", false, "5" })
  test.equal({ r.keys, r.deleted >= 2, r.rescans }, { 3, true, 0 })
end

T["XREADGROUP, XACK, XCLAIM and PFCOUNT, of which no notification tells, are seen by the last pass"] = function()
  local lab = copy(function(a)
    a:xadd("x", "1-1", "f", "v")
    a:xadd("x", "2-1", "f", "v")
    a:xgroup_create("x", "g", 0)
    a:command("XREADGROUP", "GROUP", "g", "one", "COUNT", 1, "STREAMS", "x", ">")
    a:xgroup_createconsumer("x", "g", "two")
    a:pfadd("p", "a", "b")
  end)
  lab.copy:wait()
  lab.a:command("XREADGROUP", "GROUP", "g", "one", "STREAMS", "x", ">")
  lab.a:xack("x", "g", "1-1")
  lab.a:command("XCLAIM", "x", "g", "two", 0, "2-1", "TIME", 1000, "RETRYCOUNT", 5)
  lab.a:pfcount "p"
  settle(lab)
  test.equal(lab.copy:status().moved, 0, "nothing was told")
  test.equal(lab.copy:finish().moved, 2)
  equal(lab)
end

T["FLUSHDB, FLUSHALL and SWAPDB, also in a script, are noticed: every key is looked at"] = function()
  for what, run in pairs {
    FLUSHDB = function(a) a:flushdb() end,
    FLUSHALL = function(a) a:eval("redis.call('FLUSHALL') redis.call('SET', 'only', 1)", 0) end,
    SWAPDB = function(a) a:swapdb(0, 1) end,
  } do
    local lab = copy(function(a, from)
      a:mset("a", 1, "b", 2)
      open(from.url .. "/1"):mset("b", 3, "c", 4)
    end)
    lab.copy:wait()
    run(lab.a)
    settle(lab)
    local status = lab.copy:status()
    test.equal({ status.rescans, status.why }, { 1, what .. " ran on the source" })
    test.equal(lab.b:dbsize(), lab.a:dbsize() + 1, what .. ": the same, and the mark of the copy")
    lab.copy:finish()
    equal(lab)
  end
end

T["a subscription that the server ends has every key looked at, once"] = function()
  local lab = copy(function(a) a:mset("a", 1, "b", 2) end)
  lab.copy:wait()
  -- While nobody listens a key is changed: MULTI, so that the gap is certain.
  lab.a:pipeline { { "MULTI" }, { "CLIENT", "KILL", "TYPE", "pubsub" }, { "SET", "a", "missed" }, { "EXEC" } }
  settle(lab)
  local status = lab.copy:status()
  test.equal({ status.rescans, status.notifications, lab.b:get "a" }, { 1, true, "missed" })
  test.match(status.why, "closed the connection")
  lab.a:set("b", "told")
  settle(lab)
  test.equal({ lab.copy:status().rescans, lab.b:get "b" }, { 1, "told" })
  test.equal(lab.copy:finish().rescans, 1)
  equal(lab)
end

T["a server that cannot be reached just when it is to be listened to again is listened to later"] = function()
  local lab = copy(function(a) a:mset("a", 1, "b", 2) end)
  lab.copy:wait()
  local open_notices = notices.open
  test.defer(function() notices.open = open_notices end)
  function notices.open()
    notices.open = open_notices
    errors.raise { kind = "network", message = "no way there" }
  end
  lab.a:pipeline { { "MULTI" }, { "CLIENT", "KILL", "TYPE", "pubsub" }, { "SET", "a", "missed" }, { "EXEC" } }
  settle(lab)
  test.equal(notices.open, open_notices, "it was tried")
  test.equal({ lab.copy:status().notifications, lab.copy:status().rescans, lab.b:get "a" }, { true, 1, "missed" })
  lab.copy:finish()
  equal(lab)
end

T["a server's buffer that runs full ends the subscription, and nothing is missed"] = function()
  local lab = copy(nil, { source = { settings = { ["client-output-buffer-limit"] = "pubsub 32kb 0 0" } } })
  lab.copy:wait()
  -- One transaction: its notifications wait in the buffer, however fast the listener is.
  local commands = { { "MULTI" } }
  for i = 1, 2000 do commands[i + 1] = { "SET", "k" .. i, i } end
  commands[#commands + 1] = { "EXEC" }
  lab.a:pipeline(commands)
  settle(lab)
  test.match(lab.copy:status().why, "closed the connection")
  test.equal(lab.b:exists("k1", "k1000", "k2000"), 3)
  lab.copy:finish()
  equal(lab)
end

T["more changed keys than the memory holds are found by looking at every key"] = function()
  local lab = copy(function(a) a:set("first", 1) end, { copy = { memory = 2000 } })
  lab.copy:wait()
  local commands = { { "MULTI" } }
  for i = 1, 300 do commands[i + 1] = { "SET", "k" .. i, i } end
  commands[#commands + 1] = { "EXEC" }
  lab.a:pipeline(commands)
  settle(lab)
  test.match(lab.copy:status().why, "more keys changed than 2000 bytes")
  test.equal(lab.b:exists("first", "k1", "k300"), 3)
  lab.copy:finish()
  equal(lab)
end

T["a source that starts anew with older data is looked at as a whole, and followed on"] = function()
  local dir = test.tmpdir()
  local from, to = server.start { dir = dir }, start()
  local a = open(from.url)
  a:mset("kept", 1, "changed", 1)
  a:save()
  local c <close> = redis.copy.start { from = from.url, to = to.url, interval = 0.01 }
  c:wait()
  a:mset("changed", 2, "lost", 3)
  settle { copy = c }
  local b = open(to.url)
  test.equal(b:mget("changed", "lost"), { "2", "3" })
  from:kill()
  from:stop()
  local again = server.start { dir = dir, port = from.port }
  test.defer(function() again:stop() end)
  settle { copy = c }
  settle { copy = c }
  local status = c:status()
  test.equal({ status.rescans >= 1, status.notifications }, { true, true })
  test.equal(b:mget("kept", "changed", "lost"), { "1", "1", false })
  open(from.url):set("after", 1)
  c:finish()
  test.equal(redis.same({ from.url, to.url }).keys, 3)
  test.equal(open(from.url):config_get "notify-keyspace-events"[2], "")
end

T["a source that is started anew in the first copy of all: everything is copied again, then followed"] = function()
  local dir = test.tmpdir()
  local from, to = server.start { dir = dir }, start()
  local a = open(from.url)
  local commands = {}
  for i = 1, 1500 do commands[i] = { "SET", "k" .. i, i } end
  a:pipeline(commands)
  a:save()
  a:set("lost", 1)
  local killed
  local c <close> = redis.copy.start { from = from.url, to = to.url, interval = 0.01, batch = 50, rate = 1500, on_progress = function(keys)
    if killed or keys == 0 then return end
    killed = keys
    from:kill()
    from:stop()
    from = server.start { dir = dir, port = from.port }
  end }
  test.defer(function() from:stop() end)
  c:wait()
  test.truthy(killed < 1500, "in the middle")
  open(from.url):set("after", 1)
  test.equal(c:finish().keys, 1501)
  test.equal(redis.same({ from.url, to.url }).keys, 1501)
  test.equal(open(from.url):config_get "notify-keyspace-events"[2], "")
end

T["without notifications each round compares every key"] = function()
  local lab = copy(function(a) a:mset("a", 1, "b", 2, "c", 3) end,
    { source = { settings = { ["rename-command"] = 'CONFIG ""' } } })
  lab.copy:wait()
  lab.a:set("a", "other")
  lab.a:del "b"
  settle(lab)
  local status = lab.copy:status()
  test.equal({ status.notifications, status.moved, status.deleted }, { false, 1, 1 })
  lab.a:rename("c", "d")
  local r = lab.copy:finish()
  test.equal({ r.notifications, r.keys }, { false, 2 })
  equal(lab)
end

T["a user who may not subscribe has rounds that compare, and nothing is left switched on"] = function()
  local from, to = start(), start()
  local a = open(from.url)
  a:command("ACL", "SETUSER", "mover", "on", ">pass", "~*", "+@all", "resetchannels")
  a:set("a", 1)
  local c <close> = redis.copy.start { from = ("redis://mover:pass@127.0.0.1:%d"):format(from.port), to = to.url, interval = 0.01 }
  test.equal(c:wait().notifications, false)
  a:set("a", 2)
  c:finish()
  test.equal({ open(to.url):get "a", a:config_get "notify-keyspace-events"[2] }, { "2", "" })
end

T["a source that is full, in which nothing can be tried, is listened to all the same"] = function()
  local lab = copy(function(a)
    a:mset("a", 1, "b", 2)
    a:config_set("maxmemory", 1)
    test.raises("OOM", a.set, a, "c", 3)           -- nor does it take reading commands into a transaction
  end)
  test.equal(lab.copy:wait().notifications, true)
  lab.a:del "a"
  settle(lab)
  test.equal({ lab.b:get "a", lab.copy:status().rescans }, { nil, 0 })
  test.equal(lab.copy:finish().keys, 1)
  equal(lab)
end

T["what blocked clients take, what is trimmed, and what is written in the last moment is told too"] = function()
  local lab = copy(function(a)
    for i = 1, 200 do a:xadd("trimmed", i .. "-1", "f", i) end
    a:xadd("x", "1-1", "f", 1)
    a:xgroup_create("x", "g", "$")
    a:rpush("from", "old")
  end)
  lab.copy:wait()
  local blocked = {}
  for i, words in ipairs { { "BLPOP", "queue", 0 }, { "BLMOVE", "source", "taken", "LEFT", "RIGHT", 0 }, { "BZPOPMIN", "z", 0 },
    { "XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "x", ">" } } do
    blocked[i] = task.spawn(function()
      local r <close> = redis.open(lab.from.url)
      r:command(table.unpack(words))
    end)
  end
  while lab.a:info("clients").blocked_clients ~= "4" do task.sleep(0.005) end
  lab.a:rpush("queue", "a", "b")
  lab.a:rpush("source", "a", "b")
  lab.a:zadd("z", 1, "a", 2, "b")
  lab.a:xadd("x", "2-1", "f", 2)
  for _, t in ipairs(blocked) do t:join() end
  lab.a:xtrim("trimmed", "MAXLEN", "~", 10)
  lab.a:xdel("trimmed", "200-1")
  settle(lab)
  test.equal(lab.copy:status().rescans, 0)
  lab.a:append("moment", "last")
  lab.copy:finish()
  equal(lab)
  test.equal({ lab.b:lrange("taken", 0, -1), lab.b:get "moment" }, { { "a" }, "last" })
end

T["between servers of other versions and formats, and with fields that expire, changes are followed too"] = function()
  for _, pair in ipairs { { "redis-6.2", "valkey-9" }, { "valkey-9", "valkey-9" } } do
    local from = start { program = versions.program(pair[1]) }
    local to = start { program = versions.program(pair[2]) }
    local a = open(from.url)
    a:hset("h1", "f", "v", "g", "w")
    local w = writer(from.url, 11)
    local c <close> = redis.copy.start { from = from.url, to = to.url, interval = 0.01, small = 1000000 }
    test.equal(c:wait().notifications, true, pair[1])
    if pair[1] == "valkey-9" then
      a:hset("fields", "stays", 1, "goes", 2, "later", 3)
      a:hpexpire("fields", 1, "FIELDS", 1, "goes")
      a:hexpire("fields", 1000, "FIELDS", 1, "later")
    end
    local commands = w.commands
    while w.commands < commands + 1000 do task.sleep(0.01) end
    w.stop()
    test.truthy(c:finish().moved > 100)
    test.truthy(redis.same { from.url, to.url }.keys > 100, table.concat(pair, " to "))
    if pair[1] == "valkey-9" then test.equal(open(to.url):hlen "fields", 2) end
  end
end

T["keys that become others of other types while they are copied by value are copied as they are at last"] = function()
  local from, to = start(), start()
  local a, other = open(from.url), open(from.url)
  for i = 1, 300 do a:set("k" .. i, i) end
  local kinds = { { "RPUSH", 1, 2 }, { "HSET", 1, 2 }, { "SADD", 1 }, { "ZADD", 1, 2 }, { "XADD", "*", 1, 2 }, { "SET", 1 } }
  local n, stopped = 0, false
  local w = task.spawn(function()
    while not stopped do
      local commands = {}
      for _ = 1, 10 do
        n = n + 1
        local words = kinds[n * 7 // 3 % 6 + 1]
        commands[#commands + 1] = { "DEL", "k" .. n % 300 }
        commands[#commands + 1] = { words[1], "k" .. n % 300, table.unpack(words, 2) }
      end
      other:pipeline(commands)
      task.sleep(0.005)
    end
  end)
  local c <close> = redis.copy.start { from = from.url, to = to.url, interval = 0.01, small = 1000, method = "value" }
  c:wait()
  settle { copy = c }
  stopped = true
  w:join()
  c:finish()
  test.truthy(redis.same { from.url, to.url }.keys >= 300)
end

T["a source that is still written to is not called equal; the copy can be finished later"] = function()
  local lab = copy(function(a)
    local commands = {}
    for i = 1, 600 do commands[i] = { "SET", "s" .. i, i } end
    a:pipeline(commands)
  end, { copy = { small = 1000000 } })
  local w = writer(lab.from.url, 5, 0)
  lab.copy:wait()
  local e = test.raises("the source is still written to, for example the key", lab.copy.finish, lab.copy)
  test.equal(e.kind, "stopped")
  w.stop()
  lab.copy:finish()
  equal(lab)
end

T["notifications that somebody switches off are switched on again, and every key is looked at"] = function()
  local lab = copy(function(a) a:set("a", 1) end, { source = { settings = { ["notify-keyspace-events"] = "Kg" } } })
  lab.copy:wait()
  lab.a:config_set("notify-keyspace-events", "Kx")
  lab.a:set("a", "not told")
  settle(lab)
  test.equal({ lab.copy:status().why, lab.b:get "a" }, { "keyspace notifications were switched off", "not told" })
  lab.a:set("a", "told")
  settle(lab)
  test.equal({ lab.copy:status().rescans, lab.b:get "a" }, { 1, "told" })
  lab.copy:finish()
  equal(lab)
end

T["a copy that was cut off after the first copy of all goes on by comparing"] = function()
  local from, to = start(), start()
  local a, b = open(from.url), open(to.url)
  a:mset("a", 1, "b", 2, "c", 3)
  local journal, told = fs.join(test.tmpdir(), "copy.jsonl"), 0
  local o = { from = from.url, to = to.url, journal = journal, interval = 0.01, on_progress = function() told = told + 1 end }
  local c = redis.copy.start(o)
  c:wait()
  c:close()
  test.truthy(told > 0)
  a:set("a", "changed")
  a:del "b"
  local other <close> = redis.copy.start { from = from.url, to = to.url }
  test.raises("of a copy that was not finished", other.wait, other)
  told = 0
  c = redis.copy.start(o)
  local status = c:wait()
  test.equal({ told, status.rescans, status.why, b:mget("a", "b", "c") }, { 0, 1, "the copy was cut off", { "changed", false, "3" } })
  test.equal(c:finish().keys, 2)
  test.equal({ b:dbsize(), fs.list(journal:match "^(.*)/") }, { 2, { "copy.jsonl" } })
end

T["a target that is started anew while it is followed, or emptied, gets everything again"] = function()
  local dir = test.tmpdir()
  local from, to = start(), server.start { dir = dir }
  local a = open(from.url)
  a:mset("a", 1, "b", 2)
  local c <close> = redis.copy.start { from = from.url, to = to.url, interval = 0.01 }
  c:wait()
  to:kill()
  to:stop()
  a:set("c", 3)
  to = server.start { dir = dir, port = to.port }
  test.defer(function() to:stop() end)
  settle { copy = c }
  settle { copy = c }
  test.match(c:status().why, "^the target was started anew")
  local b = open(to.url)
  test.equal(b:mget("a", "b", "c"), { "1", "2", "3" })
  b:flushall()
  settle { copy = c }
  test.match(c:status().why, "^FLUSHALL ran on the target")
  c:finish()
  test.equal(redis.same({ from.url, to.url }).keys, 3)
end

T["only the databases that are asked for are copied and followed"] = function()
  local from, to = start(), start()
  local zero, three = open(from.url), open(from.url .. "/3")
  zero:set("a", 1)
  three:set("a", 3)
  local c <close> = redis.copy.start { from = from.url, to = to.url, interval = 0.01, databases = { 3 } }
  c:wait()
  zero:set("b", 1)
  three:set("b", 3)
  settle { copy = c }
  test.equal(c:status().moved, 1)
  c:finish()
  test.equal({ open(to.url):dbsize(), open(to.url .. "/3"):mget("a", "b") }, { 0, { "3", "3" } })
end

T["what start cannot do is refused at once, what the copy refuses by wait and finish"] = function()
  local from, to = start(), start()
  open(from.url):set("a", 1)
  open(to.url):set("mine", 1)
  local e = test.raises("redis.copy.start has no option filter", redis.copy.start, { from = from.url, to = to.url, filter = print })
  test.equal(e.kind, "usage")
  local c <close> = redis.copy.start { from = from.url, to = to.url }
  test.raises("is not empty", c.wait, c)
  test.raises("is not empty", c.finish, c)
  test.equal(c:status().phase, "failed")
  local closed = redis.copy.start { from = from.url, to = to.url }
  closed:close()
  test.raises("this copy is closed", closed.wait, closed)
end

--- Another hkrun that copies; says "ready" when it follows, and finishes when it reads a line.
local function child(from, to, journal)
  local path = fs.join(test.tmpdir(), "copy.lua")
  fs.write(path, ([[
local redis = require "redis"
local copy <close> = redis.copy.start { from = %q, to = %q, journal = %q, replace = true, interval = 0.01 }
copy:wait()
print "ready"
io.stdout:flush()
require "task".sleep(100)
]]):format(from.url, to.url, journal))
  local lib = os.getenv "HKRUN_LIB"
  local p = process.start { SELF, path, stdout = "pipe", stderr = "null", env = { PATH = os.getenv "PATH", HOME = test.tmpdir(),
    HKRUN_LIB = lib and fs.realpath(lib), ASAN_OPTIONS = os.getenv "ASAN_OPTIONS" } }
  test.defer(function() p:stop() end)
  test.equal(p:read_line(), "ready")
  return p
end

T["the setting of notifications is put back: by finish and close, at Ctrl-C, and after a kill by the next call"] = function()
  local from, to = start(), start()
  local a, b = open(from.url), open(to.url)
  local journal = fs.join(test.tmpdir(), "copy.jsonl")
  local function setting() return a:config_get "notify-keyspace-events"[2] end
  a:config_set("notify-keyspace-events", "xK")
  a:set("a", 1)
  local before = setting()
  local p = child(from, to, journal)
  test.equal({ setting(), fs.exists(journal .. ".notifications") }, { "AKE", true })
  p:kill "INT"
  p:wait(20)
  test.equal({ setting(), fs.exists(journal .. ".notifications") }, { before, false })
  p = child(from, to, journal)
  p:kill "KILL"
  p:wait(20)
  test.equal(setting(), "AKE", "nobody was left to put it back")
  a:set("a", 2)
  local c = redis.copy.start { from = from.url, to = to.url, journal = journal, interval = 0.01 }
  c:wait()
  test.equal(c:status().why, "the copy was cut off")
  test.equal(c:finish().keys, 1)
  test.equal({ setting(), b:get "a" }, { before, "2" })
  c = redis.copy.start { from = from.url, to = to.url, replace = true }
  c:close()
  c:close()
  test.equal(setting(), before)
end

return T
