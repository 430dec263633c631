package.path = "tests/support/?.lua;" .. package.path
local test = require "test"
local by_value = require "redis.by_value"
local errors = require "errors"
local host = require "host.rediscopy"
local keys = require "redis.copy.keys"
local redis = require "redis"
local redis_lab = require "redis_lab"
local task = require "task"
local source = require "redis_source"

local T = test.cases()

local start, open, silent_peer = redis_lab.start, redis_lab.open, redis_lab.silent_peer

local binary, fill = source.binary, source.fill

local function pair(from_options, to_options)
  local from, to = start(from_options), start(to_options)
  fill(open(from.url))
  return from, to
end

--- What `redis.same` would not be asked for: the servers' own digest.
local function digest(s) return open(s.url):command("DEBUG", "DIGEST") end

local debug_on = { settings = { ["enable-debug-command"] = "local" } }
local function with_debug() return { settings = debug_on.settings } end

T["a copy is equal in every type, expiry and stream, by the servers' own digest too"] = function()
  local from, to = pair(with_debug(), with_debug())
  local told = {}
  local r = redis.copy { from = from.url, to = to.url, on_progress = function(keys, total) told[#told + 1] = { keys, total } end }
  test.equal({ r.method, r.exact_expiry, r.gone }, { "dump", true, 0 })
  test.equal(r.keys, 1200 + 4 + 5 + 80 + 2 + 3 + 2)
  test.equal(told[#told], { r.keys, r.keys }, "the last progress")
  test.truthy(r.bytes > 100000 and r.seconds >= 0)
  test.equal(digest(from), digest(to))
  test.equal(redis.same({ from.url, to.url }).keys, r.keys)
  local a, b = open(from.url), open(to.url)
  for i = 3, 1200, 3 do test.equal(b:pexpiretime("string:" .. i), 4102444800000 + i * 7) end
  for _, words in ipairs { { "XINFO", "STREAM", "stream:big", "FULL", "COUNT", 0 }, { "XINFO", "STREAM", "stream:empty", "FULL" } } do
    test.equal(b:command(table.unpack(words))[14], a:command(table.unpack(words))[14], "max-deleted-entry-id")
  end
  b:select(3)
  test.equal(b:pexpiretime "in database three", 4102444800123)
end

T["a copy by value is as equal, for formats that differ"] = function()
  local from, to = pair(with_debug(), with_debug())
  local r = redis.copy { from = from.url, to = to.url, method = "value" }
  test.equal({ r.method, r.gone }, { "value", 0 })
  test.equal(redis.same { from.url, to.url, quiet = true }.differences, {})
  test.equal(digest(from), digest(to))
end

T["where RESTORE is not to be had the copy goes by value"] = function()
  local from, to = start(), start { settings = { ["rename-command"] = 'RESTORE ""' } }
  open(from.url):set("a", "1")
  test.equal(redis.copy { from = from.url, to = to.url }.method, "value")
  test.equal(open(to.url):get "a", "1")
  test.raises("unknown command", redis.copy, { from = from.url, to = to.url, method = "dump", replace = true })
end

T["one key can be copied by value between open connections"] = function()
  local from, to = start(), start()
  local a, b = open(from.url), open(to.url)
  a:zadd("z", 0.1, "x")
  test.equal(by_value.copy(a, b, "z", -1), true)
  test.equal(b:zscore("z", "x"), a:zscore("z", "x"))
  test.equal(by_value.copy(a, b, "none", -1), false)
end

T["some keys are made equal to the source's as they are now: changed, new, gone, of another type"] = function()
  for _, method in ipairs { "auto", "dump", "value" } do
    local from, to = pair()
    local a, b = open(from.url .. "/3"), open(to.url .. "/3")
    local names = { "in database three", "list", "list", "gone", "never", binary }
    b:pipeline { { "SET", "list", "of another type" }, { "SET", "gone", 1 }, { "SET", "not named", 1 } }
    a:set(binary, binary)
    test.equal(keys.move(a, b, { db = 3, keys = names }, { method = method }), { copied = 4, deleted = 1 }, method)
    test.equal(b:lrange("list", 0, -1), { "c", "a", "b" })
    test.equal({ b:pexpiretime "in database three", b:get(binary), b:exists "gone", b:get "not named" }, { 4102444800123, binary, 0, "1" })
    local all = {}
    for key in open(from.url):keys_of() do all[#all + 1] = key end
    test.equal(keys.move(a, b, { db = 0, keys = all }, { method = method }).copied, #all)
    b:select(3)
    b:del "not named"
    test.equal(redis.same { from.url, to.url, quiet = true }.differences, {})
  end
end

T["a server without PEXPIRETIME tells expiry as exactly as its clock allows"] = function()
  local from = start { settings = { ["rename-command"] = 'PEXPIRETIME ""' } }
  local r = open(from.url)
  r:set("a", 1, "PXAT", 4102444800123)
  r:set("b", 1)
  local at, bound = keys.expiry(r, { "a", "b", "c" })
  test.truthy(at[1] <= 4102444800123 and at[1] >= 4102444800123 - bound, ("%d, bound %d"):format(at[1], bound))
  test.equal({ at[2], at[3] }, { -1, -2 })
end

T["a copy over TLS with passwords, from a pinned certificate"] = function()
  local from = start { tls = true, password = "from secret", managed = true }
  local to = start { tls = true, password = "to/secret@", managed = true, settings = { ["maxmemory-policy"] = "noeviction" } }
  local a = { url = from.url, pin = redis.fingerprint(from.url) }
  local b = { url = to.url, pin = redis.fingerprint(to.url) }
  fill(open(a))
  local r = redis.copy { from = a, to = b }
  test.equal(redis.same { a, b }.keys, r.keys)
  test.raises("not the pinned one", redis.copy, { from = a, to = { url = to.url, pin = a.pin } })
end

T["a value of 35 MB passes through a small window"] = function()
  local from, to = start(), start()
  local a = open(from.url)
  local block = {}
  for i = 1, 64 do block[i] = tostring(i):rep(8000):sub(1, 16384) end
  local mega = table.concat(block)
  a:set("big", mega:rep(35))
  a:config_set("rdbcompression", "no")
  a:rpush("list", mega, "end")
  redis.copy { from = from.url, to = to.url }
  test.truthy(open(to.url):get "big" == mega:rep(35), "the same 35 MB")
  test.equal(redis.same { from.url, to.url }.keys, 2)
end

T["keys that expire during the copy are on neither side afterwards"] = function()
  local from, to = start(), start()
  local a = open(from.url)
  local commands = {}
  for i = 1, 3000 do commands[i] = { "SET", "k" .. i, i, "PX", 1 + i % 60 } end
  commands[3001] = { "SET", "stays", 1 }
  a:pipeline(commands)
  redis.copy { from = from.url, to = to.url }
  task.sleep(0.1)
  test.equal(redis.same { from.url, to.url }.keys, 1)
end

T["a target that is not empty is refused, and emptied only when told so"] = function()
  local from, to = start(), start()
  open(from.url):set("a", 1)
  local b = open(to.url)
  b:set("mine", 1)
  local e = test.raises("is not empty: it holds 1 keys; replace = true", redis.copy, { from = from.url, to = to.url })
  test.equal(e.kind, "stopped")
  test.raises("is not empty", redis.copy, { from = from.url, to = to.url, restart = true })
  test.equal(b:get "mine", "1")
  redis.copy { from = from.url, to = to.url, replace = true }
  test.equal({ b:get "mine", b:get "a", b:dbsize() }, { nil, "1", 1 })
end

T["what a broken-off copy left is replaced with restart"] = function()
  local from, to = start(), start()
  open(from.url):set("a", 1)
  local b = open(to.url)
  b:set("hkrun:copy", "half")
  b:set("left", 1)
  test.raises("not finished; restart = true", redis.copy, { from = from.url, to = to.url })
  redis.copy { from = from.url, to = to.url, restart = true }
  test.equal({ b:get "left", b:get "a", b:dbsize() }, { nil, "1", 1 })
end

T["the same server, a replica, a small one, an evicting one are refused before anything is written"] = function()
  local from, to = start(), start()
  local a, b = open(from.url), open(to.url)
  fill(a)
  test.raises("the same server", redis.copy, { from = from.url, to = "redis://localhost:" .. from.port, replace = true })
  test.truthy(a:dbsize() > 100, "the source still has its keys")
  b:config_set("maxmemory", 1500000)
  test.raises("too little memory", redis.copy, { from = from.url, to = to.url })
  b:config_set("maxmemory", 0)
  b:config_set("maxmemory-policy", "allkeys-lru")
  test.raises("allkeys%-lru, which may evict keys, and the source's is noeviction", redis.copy, { from = from.url, to = to.url })
  test.equal(redis.copy({ from = from.url, to = to.url, evicting = true }).method, "dump", "a cache may evict")
  b:flushall()
  a:config_set("maxmemory-policy", "allkeys-lru")
  test.equal(redis.copy({ from = from.url, to = to.url }).method, "dump", "as the source does")
  b:flushall()
  a:hset("bull:mail:meta", "opts.maxLenEvents", 10000)
  test.raises("allkeys%-lru, which may evict jobs of the BullMQ queue bull:mail", redis.copy, { from = from.url, to = to.url })
  b:config_set("maxmemory-policy", "noeviction")
  test.equal(b:dbsize(), 0, "nothing was written")
  b:command("REPLICAOF", "127.0.0.1", from.port)
  test.raises("read%-only replica", redis.copy, { from = from.url, to = to.url })
end

T["a database that the target does not have is refused"] = function()
  local from, to = start(), start { settings = { databases = 2 } }
  open(from.url .. "/7"):set("a", 1)
  test.raises("uses database 7, which the target", redis.copy, { from = from.url, to = to.url })
end

T["an empty source gives an empty target"] = function()
  local from, to = start(), start()
  local r = redis.copy { from = from.url, to = to.url }
  test.equal({ r.keys, r.method, open(to.url):dbsize() }, { 0, "none", 0 })
end

T["a target that runs out of memory in mid-copy is named with the key, and marked unfinished"] = function()
  local from, to = start(), start()
  local a, b = open(from.url), open(to.url)
  for i = 1, 8 do a:set("big:" .. i, ("z"):rep(1000000)) end     -- a DUMP is much smaller than the value
  b:config_set("maxmemory", 4000000)
  local e = test.raises("", redis.copy, { from = from.url, to = to.url })
  test.truthy(tostring(e):find "too little memory" or tostring(e):find "RESTORE of key", tostring(e))
  a:flushall()
  for i = 1, 8 do a:append("grown:" .. i, ("y"):rep(400000)) end
  b:flushall()
  b:config_set("maxmemory", 0)
  b:command("SET", "hkrun:copy", "x")
  test.raises("not finished", redis.copy, { from = from.url, to = to.url })
end

--- A worker job between two servers, for what the Lua layer does not do.
local function job_between(from, to)
  local job = errors.check("make a job", host.new())
  test.defer(function() job:close() end)
  job:source("127.0.0.1", from.port)
  job:target("127.0.0.1", to.port)
  return job
end

--- Starts it on database 0, with one connection and a second's patience at most.
local function start_job(job, stall, more)
  errors.check("make a job", job:segment { db = 0 })
  local fields = { connections = 1, batch = 10, window = 65536, stall = stall * 1000 // 1 | 0 }
  for k, v in pairs(more or {}) do fields[k] = v end
  return job:start(fields)
end

T["a closed job answers with an error, twice closed as well"] = function()
  local job = host.new()
  job:close()
  job:close()
  for _, name in ipairs { "id", "progress", "result" } do
    local v, err = job[name](job)
    test.equal({ v, err.kind }, { nil, "closed" }, name)
  end
  test.equal(select(2, job:source("127.0.0.1", 1)).kind, "closed")
  test.equal(select(2, job:start {}).kind, "closed")
  test.equal(select(2, job:segment {}).kind, "closed")
  test.equal(select(2, job:give { keys = {} }).kind, "closed")
  job:cancel()
end

T["a job is started once, and not without both ends"] = function()
  local from, to = start(), start()
  local job = host.new()
  test.raises("not set", job.start, job, {})
  job:close()
  job = job_between(from, to)
  test.equal(start_job(job, 5), true)
  test.raises("started before", job.start, job, {})
  task.await(job:id(), 10)
  local r = job:result()
  test.equal({ r.keys, r.bytes, r.gone, r.idle }, { 0, 0, 0, true })
end

T["a worker that is refused tells the end, the step and the code"] = function()
  local from, to = start { password = "x" }, start()
  local job = job_between(from, to)
  start_job(job, 5)
  task.await(job:id(), 10)
  local v, err = job:result()
  test.equal({ v, err.kind, err.code }, { nil, "remote", "NOAUTH" })
  test.match(err.message, "source: ")
  local again = host.new()
  again:source("127.0.0.1", from.port, nil, "wrong-4711")
  again:target("127.0.0.1", to.port)
  start_job(again, 5)
  task.await(again:id(), 10)
  v, err = again:result()
  again:close()
  test.equal({ v, err.kind, err.code }, { nil, "auth", "WRONGPASS" })
  test.truthy(not err.message:find "wrong%-4711")
end

T["a job that waits for a silent server is cancelled, closed or timed out at once"] = function()
  local to = start()
  local job = job_between(silent_peer "[]", to)
  start_job(job, 60)
  test.equal(task.await(job:id(), 0.1), false)
  test.equal(select(2, job:result()).code, "running")
  job:cancel()
  test.equal(task.await(job:id(), 10), true)
  test.equal(select(2, job:result()).kind, "cancelled")
  job = job_between(silent_peer "[]", to)
  start_job(job, 60)
  job:close()
  job = job_between(silent_peer "[]", to)
  start_job(job, 0.1)
  test.equal(task.await(job:id(), 10), true)
  test.equal(select(2, job:result()).kind, "timeout")
end

T["a source that dies or talks nonsense in mid-copy is an error"] = function()
  local to = start()
  for answers, kind in pairs {
    [ [=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n", b":-1\r\n$100\r\nhalf"]]=] ] = "network",
    [ [=[[b"+OK\r\nHTTP/1.1 200 OK\r\n"]]=] ] = "protocol",
    [ [=[[b"+OK\r\n-LOADING Redis is loading\r\n"]]=] ] = "remote",
  } do
    local peer = silent_peer(answers)
    local job = job_between(peer, to)
    start_job(job, 20)
    if kind == "network" then
      test.equal(task.await(job:id(), 0.2), false, "silence does not end it")
      peer.process:kill "KILL"
    end
    test.equal(task.await(job:id(), 10), true, "nonsense does")
    test.equal(select(2, job:result()).kind, kind)
  end
end

T["lengths that no Redis sends end the copy, not the process"] = function()
  local to = start()
  for _, answers in ipairs {
    [=[[b"+OK\r\n*2\r\n$-1\r\n"]]=],
    [=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$-1\r\n"]]=],
    [=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$9223372036854775807\r\n"]]=],
    [=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*2305843009213693953\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"]]=],
  } do
    local job = job_between(silent_peer(answers), to)
    start_job(job, 5)
    test.equal(task.await(job:id(), 10), true)
    test.equal(select(2, job:result()).kind, "protocol")
  end
end

T["a server that answers AUTH with an empty line is an error"] = function()
  local job = host.new()
  job:source("127.0.0.1", silent_peer([=[[b"\n"]]=]).port, nil, "x")
  job:target("127.0.0.1", start().port)
  start_job(job, 5)
  test.equal(task.await(job:id(), 10), true)
  local _, err = job:result()
  job:close()
  test.equal({ err.kind, err.message }, { "auth", "source: AUTH: " })
end

T["a cancelled redis.copy stops its worker and says so"] = function()
  local from, to = pair()
  open(from.url):config_set("busy-reply-threshold", 100000)
  local copying = task.spawn(function()
    redis.copy { from = from.url, to = to.url, on_progress = function() task.sleep(60) end, batch = 1 }
  end)
  task.sleep(0.1)
  copying:cancel()
  local e = test.raises("cancelled", copying.join, copying)
  test.truthy(errors.is(e, "cancelled"))
end

return T
