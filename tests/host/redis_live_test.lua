--- A live copy: what changes at the source while it is followed.
package.path = "tests/support/?.lua;" .. package.path
local live_lab = require "redis_live_lab"
local redis = require "redis"
local redis_lab = require "redis_lab"
local task = require "task"
local test = require "test"
local versions = dofile "tests/support/redis_versions.lua"

local T = test.cases()

local start, open = redis_lab.start, redis_lab.open
local copy, settle, equal, writer = live_lab.copy, live_lab.settle, live_lab.equal, live_lab.writer

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
  task.sleep(0.002)                                    -- it is over, and nobody has looked
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

return T
