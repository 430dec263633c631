--- redis.same between servers of different versions: Redis 6.2, Debian's 7.0, Valkey 9.
local redis = require "redis"
local server = require "rehearsal.planes.redis"
local test = require "test"
local versions = dofile "tests/support/redis_versions.lua"

local T = test.cases()

local PROGRAMS = { ["redis-7.0"] = "redis-server" }

local function start(name)
  PROGRAMS[name] = PROGRAMS[name] or versions.program(name)
  local s = server.start { dir = test.tmpdir(), program = PROGRAMS[name] }
  test.defer(function() s:stop() end)
  local r = redis.open(s.url)
  test.defer(function() r:close() end)
  return r, s.url
end

local function many(n, fn, ...)
  local words = { ... }
  for i = 1, n do
    for _, word in ipairs { fn(i) } do words[#words + 1] = word end
  end
  return words
end

--- Every type, small and large, and groups with pending entries.
local function fill(r)
  local commands = {
    { "SET", "text", ("a text that can be compressed "):rep(100) }, { "SET", "number", 12345 }, { "SET", "binary", "\0\r\n\xff" },
    { "SETBIT", "bits", 5000, 1 }, { "PFADD", "visitors", "a", "b", "c" }, { "GEOADD", "geo", 13.361389, 38.115556, "Palermo" },
    { "ZADD", "scores", 0.1, "tenth", 1 / 3, "third", "inf", "top", "1e-300", "tiny", "-0", "zero", 9007199254740993, "large" },
    many(700, function(i) return "f" .. i, ("v"):rep(i % 90) .. i end, "HSET", "hash"), { "HSET", "small hash", "a", 1, "b", "" },
    many(1200, function(i) return "item " .. i end, "RPUSH", "list"), { "RPUSH", "small list", "b", "a", "" },
    many(700, function(i) return i * 3 end, "SADD", "numbers"), many(700, function(i) return "m" .. i end, "SADD", "words"),
    { "SADD", "small set", "x", "y" }, many(700, function(i) return i / 7, "m" .. i end, "ZADD", "zset"),
    { "SET", "going", "x" }, { "PEXPIREAT", "going", 4102444800123 }, { "SELECT", 3 }, { "SET", "elsewhere", 1 }, { "SELECT", 0 },
  }
  for i = 1, 700 do commands[#commands + 1] = { "XADD", "stream", i .. "-1", "n", i } end
  for _, words in ipairs {
    { "XGROUP", "CREATE", "stream", "g", 0 }, { "XGROUP", "CREATE", "stream", "idle", "5-1" },
    { "XREADGROUP", "GROUP", "g", "ann", "COUNT", 30, "STREAMS", "stream", ">" }, { "XGROUP", "CREATECONSUMER", "stream", "g", "bob" },
    { "XCLAIM", "stream", "g", "bob", 0, "4-1", "TIME", 1700000000123, "RETRYCOUNT", 3, "JUSTID" },
  } do commands[#commands + 1] = words end
  r:pipeline(commands)
end

local function sentences(r)
  local list = {}
  for i, d in ipairs(r.differences) do list[i] = d.message end
  table.sort(list)
  return list
end

for _, pair in ipairs {
  { "redis-7.0", "valkey-9", tolerance = 0 }, { "redis-6.2", "redis-7.0", tolerance = 1000 }, { "redis-6.2", "valkey-9", tolerance = 1000 },
} do
  T[("from %s to %s: equal after a copy, and what is then changed is found"):format(pair[1], pair[2])] = function()
    local a, from = start(pair[1])
    local b, to = start(pair[2])
    fill(a)
    redis.copy { from = from, to = to }
    local r = redis.same { from, to, quiet = true }
    test.equal({ sentences(r), r.equal, r.keys, r.ttl_tolerance }, { {}, true, 18, pair.tolerance })
    b:pipeline {
      { "SETRANGE", "text", 1000, "X" }, { "HSET", "hash", "f600", "w" }, { "LSET", "list", 1100, "x" }, { "SREM", "words", "m500" },
      { "ZADD", "zset", 3.5, "m600" }, { "ZADD", "scores", 0.2, "tenth" }, { "XACK", "stream", "g", "4-1" }, { "DEL", "geo" }, { "PERSIST", "going" },
      { "SET", "more", 1 }, { "DEL", "small set" }, { "RPUSH", "small set", "x" },
    }
    local expected = {
      'hash "hash" in database 0: field "f600" differs',
      'key "geo" in database 0 is missing in b',
      'key "more" in database 0 is only in b',
      'key "small set" in database 0 is a set in a, a list in b',
      'list "list" in database 0: element 1100 differs',
      'set "words" in database 0: member "m500" is missing in b',
      'stream "stream" in database 0: group "g": pending entry 4-1 of consumer "bob" is missing in b',
      'string "text" in database 0: byte 1000 differs',
    }
    local found = sentences(redis.same { from, to, quiet = true })
    test.equal(#found, 11)
    for _, sentence in ipairs(expected) do
      local there = false
      for _, s in ipairs(found) do there = there or s == sentence end
      test.truthy(there, sentence .. " is not in " .. test.show(found))
    end
    local all = table.concat(found, "\n")
    test.match(all, 'sorted set "zset" in database 0: member "m600" has the score 85.71428571428%d+ in a, 3.5 in b')
    test.match(all, 'sorted set "scores" in database 0: member "tenth" has the score 0.1%d* in a, 0.2%d* in b')
    test.match(all, 'key "going" in database 0 expires at 2100%-01%-01T00:00:00.%d+Z in a, never in b')
  end
end

T["fields of hashes expire at the same time, where servers know that"] = function()
  local a, from = start "valkey-9"
  local b, to = start "valkey-9"
  for _, r in ipairs { a, b } do
    for _, key in ipairs { "small", "large" } do
      r:command(table.unpack(many(key == "small" and 5 or 900, function(i) return "f" .. i, i end, "HSET", key)))
      r:hpexpireat(key, 4102444800000, "FIELDS", 2, "f1", "f2")
    end
    r:hset("plain", "f", "v")
  end
  local r = redis.same { from, to }
  test.equal({ r.equal, r.keys }, { true, 3 })
  b:hpexpireat("large", 4102444800250, "FIELDS", 1, "f2")
  b:hpersist("small", "FIELDS", 1, "f1")
  b:hpexpireat("plain", 4102444800000, "FIELDS", 1, "f")
  local expected = {
    'hash "large" in database 0: field "f2" expires at 2100-01-01T00:00:00.000Z in a, at 2100-01-01T00:00:00.250Z in b (+250 ms)',
    'hash "plain" in database 0: field "f" never expires in a, at 2100-01-01T00:00:00.000Z in b',
    'hash "small" in database 0: field "f1" expires at 2100-01-01T00:00:00.000Z in a, never in b',
  }
  r = redis.same { from, to, quiet = true }
  test.equal({ sentences(r), r.counts }, { expected, { ttl = 3 } })
  test.equal(redis.same({ from, to, quiet = true, ttl_tolerance = 250 }).counts, { ttl = 2 })
  b:command("ACL", "SETUSER", "guest", "on", ">s3cret", "~*", "+@all", "-hpexpiretime")
  r = redis.same { from, (to:gsub("//", "//guest:s3cret@")), quiet = true, databases = { 0 } }
  test.match(r.notes[1], "^when fields of hashes expire was not compared: 127.0.0.1:%d+: NOPERM")
  local old, old_url = start "redis-7.0"               -- one that cannot have them
  old:hset("plain", "f", "v")
  a:del("small", "large")
  test.equal(redis.same({ from, old_url }).equal, true)
  b:del("small", "large")
  test.equal(sentences(redis.same { to, old_url, quiet = true }),
    { 'hash "plain" in database 0: field "f" expires at 2100-01-01T00:00:00.000Z in a, never in b' })
end

return T
