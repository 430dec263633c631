--- redis.same: what counts as equal, what is told of what is not, sampling, and what happens in mid-comparison.
--- The differences that it finds are in redis_same_injections_test.lua.
package.path = "tests/support/?.lua;" .. package.path
local errors = require "errors"
local fs = require "fs"
local host = require "host.redissame"
local process = require "process"
local redis = require "redis"
local redis_lab = require "redis_lab"
local task = require "task"
local test = require "test"

local T = test.cases()

--- A server, and a connection to it.
local function start(o)
  local s = redis_lab.start(o)
  return s, redis_lab.open(s.cert and { url = s.url, pin = redis.fingerprint(s.url) } or s.url)
end

--- Two servers, and what redis.same answers of them.
local function pair(o)
  local from, a = start(o and { settings = o.a })
  local to, b = start(o and { settings = o.b })
  return a, b, function(more)
    more = more or {}
    more[1], more[2], more.quiet = from.url, to.url, true
    return redis.same(more)
  end, from, to
end

local function messages(r)
  local list = {}
  for i, d in ipairs(r.differences) do list[i] = d.message end
  return list
end

T["equal values are equal however they are stored"] = function()
  local a, b, same = pair {
    b = { ["hash-max-listpack-entries"] = 2, ["hash-max-listpack-value"] = 4, ["zset-max-listpack-entries"] = 2, ["set-max-intset-entries"] = 2,
          ["list-max-listpack-size"] = 3, ["stream-node-max-entries"] = 7, rdbcompression = "no" },
  }
  local commands = {}
  local function add(...) commands[#commands + 1] = { ... } end
  for i = 1, 40 do
    add("HSET", "hash", "field " .. i, ("value "):rep(i))
    add("ZADD", "zset", i / 7, "member " .. i)
    add("SADD", "numbers", i)
    add("SADD", "words", "word " .. i)
    add("RPUSH", "list", "item " .. i)
    add("XADD", "stream", i .. "-1", "n", i)
  end
  add("ZADD", "zset", "inf", "top", "-0", "zero", "1e-300", "tiny")
  add("SET", "text", ("a text that can be compressed "):rep(40))
  add("XGROUP", "CREATE", "stream", "g", 0, "ENTRIESREAD", 3)
  add("XCLAIM", "stream", "g", "ann", 0, "3-1", "TIME", 1700000000123, "RETRYCOUNT", 2, "FORCE")
  a:pipeline(commands)
  for i = #commands - 4, 1, -1 do                        -- in another order, where that is no matter
    if commands[i][1] ~= "RPUSH" and commands[i][1] ~= "XADD" then b:command(table.unpack(commands[i])) end
  end
  b:pipeline(commands)
  b:ltrim("list", 0, 39)
  b:append("number", "12")                               -- raw here, an integer there
  b:append("number", "345")
  a:set("number", 12345)
  for _, name in ipairs { "hash", "zset", "numbers", "words", "list", "text" } do
    test.truthy(a:command("DUMP", name) ~= b:command("DUMP", name), name .. " is stored otherwise")
  end
  local r = same()
  test.equal({ messages(r), r.equal, r.keys, r.counts, r.notes, r.ttl_tolerance }, { {}, true, 8, {}, {}, 0 })
end

T["an error names the first differences; the list has all up to the limit, the counts have all"] = function()
  local a, b, same, from, to = pair()
  local commands = {}
  for i = 1, 900 do commands[i] = { "SET", "k" .. i, i } end
  a:pipeline(commands)
  local r = same { limit = 7 }
  test.equal({ r.count, #r.differences, r.keys, r.counts }, { 900, 7, 0, { missing = 900 } })
  b:pipeline(commands)
  b:pipeline { { "SET", "k1", "one" }, { "DEL", "k2" }, { "SET", "more", 1 } }
  local e = test.raises("cannot accept 127.0.0.1:%d+ as equal to 127.0.0.1:%d+: 3 differences %(1 extra, 1 missing, 1 value%) in 899 keys: ",
    redis.same, { a = from.url, b = to.url })
  test.equal({ e.kind, #e.differences, e.counts }, { "stopped", 3, { extra = 1, missing = 1, value = 1 } })
  test.match(e.message, 'key "k2" in database 0 is missing in b; ')
  test.match(e.message, 'string "k1" in database 0: byte 0 differs %(1 byte in a, 3 in b%)')
  test.match(e.message, 'key "more" in database 0 is only in b')
end

T["an expiry within the tolerance is equal, one beyond is not"] = function()
  local a, b, same = pair()
  a:set("a", 1, "PXAT", 4102444800000)
  b:set("a", 1, "PXAT", 4102444800005)
  test.equal(same { ttl_tolerance = 5 }.equal, true)
  local r = same { ttl_tolerance = 4 }
  test.equal({ r.count, r.differences[1].kind, r.differences[1].a, r.differences[1].b }, { 1, "ttl", 4102444800000, 4102444800005 })
end

T["where a server does not tell when keys expire, a second is tolerated, and that is said"] = function()
  local a, b, same = pair { b = { ["rename-command"] = 'PEXPIRETIME ""' } }
  a:set("near", 1, "PXAT", 4102444800000)
  b:set("near", 1, "PXAT", 4102444800500)
  a:set("far", 1, "PXAT", 4102444800000)
  b:set("far", 1, "PXAT", 4102444803000)
  local r = same { ttl_tolerance = 3 }
  test.equal({ r.count, r.differences[1].key, r.differences[1].kind, r.ttl_tolerance }, { 1, "far", "ttl", 1000 })
end

T["where a server gives no DUMP all is compared by value"] = function()
  local a, b, same = pair { b = { ["rename-command"] = 'DUMP ""' } }
  for _, r in ipairs { a, b } do
    r:pipeline { { "SET", "s", "v" }, { "RPUSH", "l", "a", "b" }, { "HSET", "h", "f", "v" }, { "ZADD", "z", 1, "m" }, { "SADD", "m", "x" },
      { "XADD", "x", "1-1", "f", "v" }, { "SET", "going", 1, "PXAT", 4102444800000 }, { "SELECT", 4 }, { "SET", "s", "v" } }
  end
  test.equal({ same().equal, same().keys }, { true, 8 })
  b:pipeline { { "SET", "s", "w" }, { "SELECT", 0 }, { "LSET", "l", 0, "A" }, { "HSET", "h", "f", "w" }, { "ZADD", "z", 2, "m" },
    { "SADD", "m", "y" }, { "XADD", "x", "2-1", "f", "v" }, { "DEL", "going" }, { "SET", "more", 1 } }
  test.equal(same().counts, { value = 6, missing = 1, extra = 1 })
end

T["a quick comparison says that it is one, and never that all is equal"] = function()
  local a, b, same = pair()
  local commands = {}
  for i = 1, 3000 do commands[i] = { "SET", "k" .. i, i } end
  commands[#commands + 1] = { "SELECT", 2 }
  commands[#commands + 1] = { "SET", "other", 1 }
  a:pipeline(commands)
  b:pipeline(commands)
  local r = same { quick = true, sample = 100 }
  test.equal({ r.equal, r.count, r.sampled.of }, { nil, 0, 3001 })
  test.truthy(r.sampled.keys > 50 and r.sampled.keys <= 101, r.sampled.keys .. " keys were sampled")
  test.equal(r.keys, r.sampled.keys)
  b:del "other"
  r = same { quick = true, sample = 10 }
  test.equal({ r.equal, r.differences[1].message }, { false, "database 2 has 1 keys in a, 0 in b" })
  a:flushall()
  b:flushall()
  for i = 1, 20 do a:set("k" .. i, i, "PXAT", 4102444800000) b:set("k" .. i, -i, "PXAT", 4102444800000) end
  r = same { quick = true }
  test.equal({ r.equal, r.count, r.sampled.keys }, { false, r.sampled.keys, r.counts.value })
  a:del "k1"                                             -- it may have expired: that is noted, and no difference
  b:flushall()
  for i = 1, 20 do b:set("k" .. i, i, "PXAT", 4102444800000) end
  r = same { quick = true }
  test.match(r.notes[1], "database 2 has 19 keys in a, 20 in b; some may be about to expire")
  test.equal(r.counts.count, nil)
end

T["databases are chosen by number, functions left out"] = function()
  local a, b, same = pair()
  a:command("FUNCTION", "LOAD", "#!lua name=f\nredis.register_function('f', function() return 1 end)")
  for db = 0, 2 do
    a:select(db)
    a:set("k", db)
  end
  b:set("k", 0)
  test.equal(same().counts, { missing = 2, ["function"] = 1 })
  test.equal(same({ databases = { 0, 1 }, functions = false }).counts, { missing = 1 })
  test.equal(same({ databases = { "0", 9 }, functions = false }).keys, 1)
  test.raises("databases are numbers, not two", same, { databases = { "two" } })
end

T["functions are compared; where only one side lets us see them that is said"] = function()
  local a, b, same, from = pair()
  local function library(name, text)
    return ("#!lua name=%s\nredis.register_function('%s', function() return '%s' end)"):format(name, name, text)
  end
  a:command("FUNCTION", "LOAD", library("one", "x"))
  a:command("FUNCTION", "LOAD", library("two", "x"))
  b:command("FUNCTION", "LOAD", library("two", "y"))
  b:command("FUNCTION", "LOAD", library("three", "x"))
  local r = same()
  local list = messages(r)
  table.sort(list)
  test.equal({ list, r.counts }, { { 'function library "one" is missing in b', 'function library "three" is only in b',
    'function library "two" differs' }, { ["function"] = 3 } })
  local old = start { settings = { ["rename-command"] = 'FUNCTION ""' } }
  r = redis.same { from.url, old.url }
  test.equal(r.equal, true)
  test.match(r.notes[1], "^functions were not compared: .*unknown command")
end

--- How much memory a hkrun of its own needs, at most, to compare two servers; in KB.
local function memory_of(from, to)
  local lib = os.getenv "HKRUN_LIB"
  local r = process.run { fs.realpath "/proc/self/exe", "-", timeout = 120, stdin = [[
    local r = require "redis".same { os.getenv "FROM", os.getenv "TO", quiet = true }
    print(require "fs".read "/proc/self/status":match "VmHWM:%s*(%d+)", r.keys)]],
    env = { FROM = from, TO = to, HKRUN_LIB = lib and fs.realpath(lib),
      ASAN_OPTIONS = (os.getenv "ASAN_OPTIONS" or "") .. ":quarantine_size_mb=1" } }
  test.equal({ r.code, r.stderr }, { 0, "" })
  return tonumber(r.stdout:match "^%d+")
end

T["large values are compared without being held"] = function()
  local a, b, same, from, to = pair()
  local before = memory_of(from.url, to.url)
  local block = {}
  for i = 1, 64 do block[i] = tostring(i):rep(8000):sub(1, 16384) end
  local mega = table.concat(block)
  for _, r in ipairs { a, b } do
    for _ = 1, 35 do r:append("big", mega) end
    for _ = 1, 20 do r:rpush("list", mega) end
  end
  local members = {}
  for i = 1, 20000 do members[i] = ("member %d "):format(i):rep(30) end
  for _, r in ipairs { a, b } do
    for i = 1, #members, 1000 do r:command("SADD", "set", table.unpack(members, i, i + 999)) end
  end
  test.equal(same().keys, 3)
  b:setrange("big", 30 << 20, "?")
  b:lset("list", 19, "short")
  local list = messages(same())
  table.sort(list)
  test.equal(list, { 'list "list" in database 0: element 19 differs', 'string "big" in database 0: byte 31457280 differs' })
  local after = memory_of(from.url, to.url)
  test.truthy(after - before < 16000, after - before .. " KB more")
end

T["pending entries are compared page by page where there are very many"] = function()
  local a, b, same = pair()
  local commands, ids = {}, {}
  for i = 1, 10500 do commands[i], ids[i] = { "XADD", "jobs", i .. "-1", "n", i }, i .. "-1" end
  commands[#commands + 1] = { "XGROUP", "CREATE", "jobs", "g", 0 }
  local far = { "TIME", 1700000000000, "RETRYCOUNT", 2, "FORCE", "JUSTID" }
  for i = 1, #ids, 500 do
    local claim = table.move(ids, i, math.min(i + 499, #ids), 6, { "XCLAIM", "jobs", "g", "ann", 0 })
    commands[#commands + 1] = table.move(far, 1, #far, #claim + 1, claim)
  end
  a:pipeline(commands)
  b:pipeline(commands)
  b:command("XGROUP", "CREATECONSUMER", "jobs", "g", "bob")
  b:command("XGROUP", "DELCONSUMER", "jobs", "g", "bob")
  test.equal(messages(same()), {})
  local function claim(id, consumer, at, count) b:command("XCLAIM", "jobs", "g", consumer, 0, id, "TIME", at, "RETRYCOUNT", count, "JUSTID") end
  b:xack("jobs", "g", "9999-1")
  claim("10000-1", "bob", 1700000000000, 2)
  claim("10001-1", "ann", 1700000005000, 2)
  local r = same()
  test.equal({ r.count, r.differences[1].kind }, { 1, "stream" })
  test.match(r.differences[1].message, '^stream "jobs" in database 0: group "g": consumer "bob" is only in b; group "g": pending entry 9999%-1 ' ..
    'of consumer "ann" is missing in b; group "g": pending entry 10000%-1 belongs to consumer "ann" in a, "bob" in b; and more$')
  claim("10000-1", "ann", 1700000000000, 2)
  b:command("XGROUP", "DELCONSUMER", "jobs", "g", "bob")
  claim("9999-1", "ann", 1700000000000, 2)
  b:command("XCLAIM", "jobs", "g", "ann", 0, "9999-1", "TIME", 1700000000000, "RETRYCOUNT", 2, "FORCE", "JUSTID")
  r = same()
  test.match(r.differences[1].message, '^stream "jobs" in database 0: group "g": pending entry 10001%-1 was delivered %d+ ms later in b$')
end

T["keys that come a second time in SCAN, and keys that expire meanwhile, are no differences"] = function()
  local a, b, same = pair()
  local commands = {}
  for i = 1, 3000 do commands[i] = { "SET", "k" .. i, i, "PX", 1 + i % 60 } end
  commands[3001] = { "SET", "stays", 1 }
  a:pipeline(commands)
  b:set("stays", 1)
  task.sleep(0.1)
  local r = same()
  test.equal({ r.equal, r.keys }, { true, 1 })
end

T["over TLS, with passwords, to a pinned certificate"] = function()
  local from, a = start { tls = true, password = "from secret", managed = true }
  local to, b = start { tls = true, password = "to/secret@", managed = true }
  for _, r in ipairs { a, b } do
    for i = 1, 300 do r:set("k" .. i, ("x"):rep(i * 37)) end
  end
  local one, two = { url = from.url, pin = redis.fingerprint(from.url) }, { url = to.url, pin = redis.fingerprint(to.url) }
  test.equal(redis.same({ one, two }).keys, 300)
  test.raises("not the pinned one", redis.same, { one, { url = to.url, pin = one.pin } })
end

T["a connection that is lost lets the comparison begin again, and what was found before does not count twice"] = function()
  local a, b, _, from, to = pair()
  for i = 1, 50 do a:set("k" .. i, "x") b:set("k" .. i, i == 7 and "y" or "x") end
  local comparison = require "redis.same.comparison"
  local between, begun = comparison.between, 0
  comparison.between = function(...)
    local c = between(...)
    begun = begun + 1
    if begun < 3 then
      local run = c.run
      function c:run(...)
        run(self, ...)
        self.b.port = fs.free_port()                 -- where nobody listens
        run(self, ...)
      end
    end
    return c
  end
  local ok, r = pcall(redis.same, { from.url, to.url, quiet = true })
  comparison.between = between
  test.equal({ ok, begun, r.count, r.keys }, { true, 3, 1, 50 })
end

T["a server that ends in mid-comparison is an error; a cancel ends it at once"] = function()
  local a, b, _, from, to = pair()
  local commands = {}
  for i = 1, 20000 do commands[i] = { "SET", "k" .. i, ("x"):rep(100) } end
  a:pipeline(commands)
  b:pipeline(commands)
  local e = test.raises("cannot .* Redis", redis.same, { from.url, to.url, on_progress = function(keys) if keys > 0 then to:kill() end end,
    timeout = 20 })
  test.truthy(e.kind == "network" or e.kind == "io", e.kind)
  local other, begun = start(), task.event()
  local waiting = task.spawn(function() return redis.same { from.url, other.url, on_progress = function() begun.set() task.sleep(60) end } end)
  begun.wait()
  waiting:cancel()
  test.raises("cancelled", waiting.join, waiting)
end

T["a node that has only a part of a cluster's keys is refused"] = function()
  local cluster = dofile("tests/support/redis_cluster.lua").start { nodes = 2 }
  test.defer(cluster.stop)
  local whole = start { settings = { ["cluster-enabled"] = "yes", ["cluster-port"] = fs.free_port() } }
  local alone = redis.open(whole.url)
  alone:cluster_addslotsrange(0, 16383)
  while not alone:cluster_info():find "cluster_state:ok" do task.sleep(0.02) end
  for i = 1, 50 do alone:set("key " .. i, i) end
  alone:close()
  local e = test.raises("127.0.0.1:%d+ is one of 2 nodes of a cluster, and has only its own keys", redis.same, { whole.url, cluster.url })
  test.equal(e.kind, "stopped")
  local r = redis.same { whole.url, whole.url }
  test.equal({ r.equal, r.keys }, { true, 50 }, "keys of many slots, which one MGET cannot name")
end

T["what a server does not let us see is not equal: it is an error that names the command"] = function()
  local a, b, _, from, to = pair()
  a:xadd("jobs", "1-1", "n", 1)
  b:xadd("jobs", "1-1", "n", 1)
  b:xgroup_create("jobs", "g", 0)
  b:command("ACL", "SETUSER", "guest", "on", ">s3cret", "~*", "+@all", "-xinfo")
  local guest = ("redis://guest:s3cret@127.0.0.1:%d"):format(to.port)
  local e = test.raises("cannot compare Redis 127.0.0.1:%d+: run XINFO on 127.0.0.1:%d+: ", redis.same, { from.url, guest, quiet = true })
  test.equal(e.code, "NOPERM")
  b:command("ACL", "SETUSER", "guest", "+xinfo", "-xrange")
  e = test.raises("cannot compare Redis .*the second server: a value: NOPERM", redis.same, { from.url, guest, quiet = true })
  test.equal(e.code, "NOPERM")
end

T["what is given wrongly is said"] = function()
  test.raises("redis.same needs two servers", redis.same, { "redis://127.0.0.1:1" })
  test.raises("sample must be at least 1", redis.same, { "redis://127.0.0.1:1", "redis://127.0.0.1:1", sample = 0 })
  test.raises("redis.same has no option ttl_tolerence %(did you mean ttl_tolerance%?%)", redis.same, { "a", "b", ttl_tolerence = 1 })
end

-- ---- the worker itself ----

local function job_between(from, to)
  local job = errors.check("make a job", host.new())
  test.defer(function() job:close() end)
  job:first("127.0.0.1", from.port)
  job:second("127.0.0.1", to.port)
  return job
end

T["a closed job answers with an error, twice closed as well; one is started once, with both servers"] = function()
  local job = host.new()
  test.raises("not set", job.start, job, { { db = 0 } }, 10, true, 0, 5)
  job:close()
  job:close()
  for _, name in ipairs { "id", "take", "progress", "result" } do
    local v, err = job[name](job)
    test.equal({ v, err.kind }, { nil, "closed" }, name)
  end
  test.equal(select(2, job:first("127.0.0.1", 1)).kind, "closed")
  test.equal(select(2, job:start({ { db = 0 } }, 10, true, 0, 5)).kind, "closed")
  job:cancel()
  local from, to = start(), start()
  job = job_between(from, to)
  test.equal(job:start({ { db = 0 } }, 10, true, 0, 5), true)
  test.raises("started before", job.start, job, { { db = 0 } }, 10, true, 0, 5)
  task.await(job:id(), 10)
  test.equal({ job:result(), job:take() }, { true, {} })
end

T["a silent server is waited for no longer than told, and not at all after a cancel or a close"] = function()
  local to = start()
  local job = job_between(redis_lab.silent_peer "[]", to)
  job:start({ { db = 0 } }, 10, true, 0, 60)
  test.equal(task.await(job:id(), 0.1), false)
  test.equal(select(2, job:result()).code, "running")
  job:cancel()
  test.equal(task.await(job:id(), 10), true)
  test.equal(select(2, job:result()).kind, "cancelled")
  job = job_between(redis_lab.silent_peer "[]", to)
  job:start({ { db = 0 } }, 10, true, 0, 60)
  job:close()
  job = job_between(redis_lab.silent_peer "[]", to)
  job:start({ { db = 0 } }, 10, true, 0, 0.1)
  test.equal(task.await(job:id(), 10), true)
  test.equal(select(2, job:result()).kind, "timeout")
end

T["answers that no Redis gives end the comparison, not the process"] = function()
  local to, b = start()
  b:set("a", 1)
  for _, answers in ipairs {
    [=[[b"HTTP/1.1 200 OK\r\n"]]=],
    [=[[b"+OK\r\n*2\r\n$-1\r\n"]]=],
    [=[[b"+OK\r\n*2\r\n$30\r\n"]]=],
    [=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$-1\r\n"]]=],
    [=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$9223372036854775807\r\n"]]=],
    [=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*2305843009213693953\r\n$1\r\na\r\n"]]=],
    [=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n", b"$3\r\nabc\r\n"]]=],
    [=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n", b"*1\r\n"]]=],
    [=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n", b"$20\r\n01234567890123456789\r\n", b"+string\r\n", b"*1\r\n"]]=],
    [=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n", b"$20\r\n01234567890123456789\r\n", b"+string\r\n", b"$-1\r\n"]]=],
  } do
    local job = job_between(redis_lab.silent_peer(answers), to)
    job:start({ { db = 0 } }, 10, true, 0, 20)
    test.equal(task.await(job:id(), 20), true)
    test.equal(select(2, job:result()).kind, "protocol", answers)
    job:close()
  end
end

return T
