--- Strings in redis.copy: they go as they are, many at a time, where both servers allow it.
package.path = "tests/support/?.lua;" .. package.path
local errors = require "errors"
local host = require "host.rediscopy"
local load = require "redis.copy.load"
local redis = require "redis"
local redis_lab = require "redis_lab"
local redis_source = require "redis_source"
local task = require "task"
local test = require "test"

local T = test.cases()

local start, open = redis_lab.start, redis_lab.open

--- How often a server has run a command.
local function calls(r, name)
  return tonumber(r:command("INFO", "commandstats"):match("cmdstat_" .. name .. ":calls=(%d+)") or 0)
end

local function count_strings(r)
  local n = 0
  for _, db in ipairs { 0, 3 } do
    r:select(db)
    for _ in r:keys_of { type = "string", count = 1000 } do n = n + 1 end
  end
  r:select(0)
  return n
end

--- A source with strings of every kind, and an empty target.
local function pair(from_options, to_options)
  local from, to = start(from_options), start(to_options)
  local a = open(from.url)
  redis_source.fill(a)
  a:pipeline { { "SET", "empty", "" }, { "SET", "number", 12345678901234 }, { "APPEND", "grown", "12" }, { "APPEND", "grown", "34" },
    { "SET", "large", ("0123456789abcdef?"):rep(100000), "PXAT", 4102444800321 } }
  return from, to, a, open(to.url)
end

local function copy_same(from, to, more)
  local o = { from = from.url, to = to.url }
  for k, v in pairs(more or {}) do o[k] = v end
  local r = redis.copy(o)
  test.equal(redis.same { from.url, to.url, quiet = true }.differences, {})
  return r
end

T["strings go as they are; only what is none is packed and unpacked"] = function()
  local from, to, a, b = pair()
  a:config_resetstat()
  local strings = count_strings(a)
  local r = redis.copy { from = from.url, to = to.url }
  test.truthy(strings > 1200 and r.keys > strings, ("%d of %d"):format(strings, r.keys))
  test.equal(r.method, "dump")
  test.equal(calls(a, "dump"), r.keys - strings + 1, "and one that is tried first")
  test.equal({ calls(b, "restore"), calls(b, "set") }, { r.keys - strings + 1, strings + 2 }, "the mark too, and one that is tried")
  test.equal(redis.same { from.url, to.url, quiet = true }.differences, {})
  test.equal({ b:get "empty", b:get "number", b:get "grown", b:strlen "large" }, { "", "12345678901234", "1234", 1700000 })
  test.equal({ b:pexpiretime "large", b:pexpiretime "string:3", b:pexpiretime "string:4" }, { 4102444800321, 4102444800021, -1 })
end

T["where strings cannot go as they are they go by DUMP, as all does when that is told"] = function()
  local function check(from_options, to_options, more, prepare)
    local from, to, a, b = pair(from_options, to_options)
    if prepare then prepare(a, b) end
    local r = copy_same(from, to, more)
    test.equal({ r.method, calls(b, "restore") }, { "dump", r.keys + (more and 0 or 1) })
  end
  check({ settings = { ["rename-command"] = 'MGET ""' } })
  check(nil, nil, { method = "dump" })
  check(nil, nil, nil, function(a) a:command("ACL", "SETUSER", "default", "-mget") end)
end

T["functions that filter and rename see strings, which go as they are"] = function()
  local from, to, a, b = pair()
  local r = redis.copy { from = from.url, to = to.url, filter = function(key) return key.db == 0 end, transform = function(key)
    if key.name == "large" then key.name, key.expires_at = "moved", 4102444800999 end
    return key
  end }
  test.equal({ b:get "moved" == a:get "large", b:pexpiretime "moved", b:exists "large" }, { true, 4102444800999, 0 })
  test.equal({ b:dbsize(), r.dropped }, { a:dbsize(), 2 })
  test.truthy(calls(b, "set") > 1200)
end

T["a string that is gone, or is no string any more, when its turn comes"] = function()
  local from, to, a, b = pair()
  local r = redis.copy { from = from.url, to = to.url, transform = function(key)
    if key.name == "string:1" then a:del "string:1" end
    if key.name == "string:2" then a:pipeline { { "DEL", "string:2" }, { "RPUSH", "string:2", "x" } } end
    return key
  end }
  test.equal({ r.gone, b:exists "string:1", b:lrange("string:2", 0, -1) }, { 1, 0, { "x" } })
end

T["the copy's own MGETs are not taken for those of others, and those of others not for the copy's"] = function()
  local from = start()
  local r, other, ours = open(from.url), open(from.url), 0
  local l = load.new(r, { load = 0.1, connections = 2 })
  local function gets(n)
    local commands = {}
    for i = 1, n do commands[i] = { "MGET", "a", "b" } end
    other:pipeline(commands)
  end
  local function look() l:look(function() return ours end) end
  look()
  gets(5000)
  ours = 5000
  look()
  test.equal(l:limit(), 0)
  gets(5000)
  ours = 5100
  look()
  test.equal(l:limit(), 0.1)
end

T["answers to MGET that no Redis gives end the copy, not the process"] = function()
  local to = start()
  local function fail(answer)
    local job <close> = errors.check("make a job", host.new())
    local peer = redis_lab.silent_peer([=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"]=] .. answer .. [=["]]=])
    job:source("127.0.0.1", peer.port)
    job:target("127.0.0.1", to.port)
    job:segment { db = 0, expires = false }
    job:start { connections = 1, strings = true, stall = 20000 }
    test.equal(task.await(job:id(), 20), true)
    return select(2, job:result())
  end
  for _, answer in ipairs { [[*3\r\n$1\r\n]], [[*0\r\n]], [[*-1\r\n]], [[+OK\r\n]], [[*2\r\n:1\r\n]], [[*2\r\n$9223372036854775807\r\n]] } do
    test.equal(fail(answer).kind, "protocol", answer)
  end
  local e = fail [[-NOPERM not you\r\n]]
  test.equal({ e.kind, e.code, e.message }, { "remote", "NOPERM", "source: MGET: NOPERM not you" })
end

T["rounds of large values have fewer keys than told: what a kill costs is bounded"] = function()
  local from, to = start(), start()
  local a <close>, commands = open(from.url), {}
  for i = 1, 900 do commands[i] = { "SETRANGE", "large:" .. i, 99999, "x" } end
  a:pipeline(commands)
  local job <close> = errors.check("make a job", host.new())
  job:source("127.0.0.1", from.port)
  job:target("127.0.0.1", to.port)
  job:segment { db = 0, expires = false }
  job:start { connections = 1, strings = true, batch = 600, slice = 1, stall = 20000 }
  test.equal(task.await(job:id(), 60), true)
  local slices = job:slices()
  test.equal(errors.check("copy", job:result()).keys, 900)
  test.truthy(slices[1].keys > 300, "keys of the first round, before the sizes are known")
  test.truthy(slices[2].keys < 250, "keys of the second")
end

T["a target that is full is named with the key and the command, and told of as it is"] = function()
  local from, to = start(), start()
  local a, b = open(from.url), open(to.url)
  for i = 1, 40 do a:set("big:" .. i, ("z"):rep(100000)) end
  b:config_set("maxmemory", 3000000)
  local job <close> = errors.check("make a job", host.new())
  job:source("127.0.0.1", from.port)
  job:target("127.0.0.1", to.port)
  job:segment { db = 0, expires = false }
  job:start { connections = 1, strings = true, lenient = true, stall = 20000 }
  test.equal(task.await(job:id(), 20), true)
  local e = select(2, job:result())
  test.equal({ e.kind, e.code }, { "remote", "OOM" })
  test.match(e.message, '^target: SET of key "big:%d+": OOM')
end

return T
