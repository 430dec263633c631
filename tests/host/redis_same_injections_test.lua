--- redis.same finds each of more than a hundred injected differences by its own sentence, and says nothing else.
---
--- Every case has a key of its own on the first server, which a copy takes to the second; then all differences are put into
--- the second at once, and the servers are compared: each difference must have its sentence, and there must be no sentence
--- without a difference. Before that the two are equal.
local redis = require "redis"
local server = require "rehearsal.planes.redis"
local test = require "test"

local T = test.cases()

local AT = 4102444800000                                -- 2100-01-01, in milliseconds

local CASES = {}

--- A case: what is on both sides, what is done to one, the kind of the difference, and its whole sentence, in which %k is
--- the key as it is shown. KEY stands for the key in commands.
local KEY = {}
local function case(what, make, inject, kind, says, o)
  local c = { what = what, make = make, inject = inject, kind = kind, says = says, db = 0 }
  for k, v in pairs(o or {}) do c[k] = v end
  c.key = c.key or ("%03d %s"):format(#CASES + 1, what)
  CASES[#CASES + 1] = c
end

--- A command with n words made by fn behind the others.
local function many(n, fn, ...)
  local words = { ... }
  for i = 1, n do
    for _, word in ipairs { fn(i) } do words[#words + 1] = word end
  end
  return words
end

-- ---- strings ----

local function string_case(what, value, inject, says)
  case("a string: " .. what, { { "SET", KEY, value } }, inject, "value", "string %k in database 0: " .. says)
end
string_case("its first byte", "abcdef", { { "SETRANGE", KEY, 0, "A" } }, "byte 0 differs")
string_case("a byte in the middle", ("x"):rep(1000), { { "SETRANGE", KEY, 500, "y" } }, "byte 500 differs")
string_case("its last byte", ("x"):rep(1000), { { "SETRANGE", KEY, 999, "y" } }, "byte 999 differs")
string_case("a byte more", "abc", { { "APPEND", KEY, "\n" } }, "byte 3 differs (3 bytes in a, 4 in b)")
string_case("a byte less", "abc", { { "SET", KEY, "ab" } }, "byte 2 differs (3 bytes in a, 2 in b)")
string_case("nothing left", "abc", { { "SET", KEY, "" } }, "byte 0 differs (3 bytes in a, 0 in b)")
string_case("something for nothing", "", { { "SET", KEY, "\0" } }, "byte 0 differs (0 bytes in a, 1 in b)")
string_case("a number and one more", "12345", { { "INCR", KEY } }, "byte 4 differs")
string_case("a number written otherwise", "1", { { "SET", KEY, "01" } }, "byte 0 differs (1 byte in a, 2 in b)")
string_case("a NUL for a blank", "a b", { { "SET", KEY, "a\0b" } }, "byte 1 differs")
string_case("a byte of a large one", ("0123456789"):rep(250000), { { "SETRANGE", KEY, 2000003, "x" } }, "byte 2000003 differs")
string_case("a byte behind a slice", ("z"):rep(1 << 20), { { "APPEND", KEY, "!" } }, "byte 1048576 differs (1048576 bytes in a, 1048577 in b)")
case("a bit", { { "SETBIT", KEY, 100000, 1 } }, { { "SETBIT", KEY, 5, 1 } }, "value", "string %k in database 0: byte 0 differs")
case("a visitor of a HyperLogLog", { { "PFADD", KEY, "a", "b" } }, { { "SETRANGE", KEY, 16, "\255" } }, "value",
  "string %k in database 0: byte 16 differs")

-- ---- expiry ----

local VALUES = {
  string = { "SET", KEY, "v" }, list = { "RPUSH", KEY, "a", "b" }, set = { "SADD", KEY, "a", "b" }, zset = { "ZADD", KEY, 1, "a" },
  hash = { "HSET", KEY, "f", "v" }, stream = { "XADD", KEY, "1-1", "f", "v" },
}
for _, kind in ipairs { "string", "list", "set", "zset", "hash", "stream" } do
  case(kind .. ": a millisecond later", { VALUES[kind], { "PEXPIREAT", KEY, AT } }, { { "PEXPIREAT", KEY, AT + 1 } }, "ttl",
    "key %k in database 0 expires at 2100-01-01T00:00:00.000Z in a, at 2100-01-01T00:00:00.001Z in b (+1 ms)")
  case(kind .. ": never", { VALUES[kind], { "PEXPIREAT", KEY, AT + 1500 } }, { { "PERSIST", KEY } }, "ttl",
    "key %k in database 0 expires at 2100-01-01T00:00:01.500Z in a, never in b")
  case(kind .. ": not for ever", { VALUES[kind] }, { { "PEXPIREAT", KEY, AT } }, "ttl",
    "key %k in database 0 never expires in a, at 2100-01-01T00:00:00.000Z in b")
  case(kind .. ": deleted", { VALUES[kind] }, { { "DEL", KEY } }, "missing", "key %k in database 0 is missing in b")
  case(kind .. ": one too many", {}, { VALUES[kind] }, "extra", "key %k in database 0 is only in b")
end
case("an hour earlier", { { "SET", KEY, 1, "PXAT", AT } }, { { "PEXPIREAT", KEY, AT - 3600000 } }, "ttl",
  "key %k in database 0 expires at 2100-01-01T00:00:00.000Z in a, at 2099-12-31T23:00:00.000Z in b (-3600000 ms)")

-- ---- types ----

local TYPES = { { "string", "list", "string", "list" }, { "list", "set", "list", "set" }, { "set", "zset", "set", "sorted set" },
  { "zset", "hash", "sorted set", "hash" }, { "hash", "stream", "hash", "stream" }, { "stream", "string", "stream", "string" } }
for _, t in ipairs(TYPES) do
  case(t[1] .. " for " .. t[2], { VALUES[t[1]] }, { { "DEL", KEY }, VALUES[t[2]] }, "type",
    ("key %%k in database 0 is a %s in a, a %s in b"):format(t[3], t[4]))
end

-- ---- lists, small ones and such of several nodes ----

for size, n in pairs { small = 9, large = 3000 } do
  local make = { many(n, function(i) return "item " .. i end, "RPUSH", KEY) }
  local function list_case(what, inject, says)
    case(("a %s list: %s"):format(size, what), make, inject, "value", "list %k in database 0: " .. says)
  end
  local last = n - 1
  list_case("two change places", { { "LSET", KEY, 3, "item 5" }, { "LSET", KEY, 4, "item 4" } }, "element 3 differs; element 4 differs")
  list_case("an element", { { "LSET", KEY, last, "Item" } }, ("element %d differs"):format(last))
  list_case("one more at the end", { { "RPUSH", KEY, "x" } }, ("%d elements in a, %d in b"):format(n, n + 1))
  list_case("the last is gone", { { "RPOP", KEY } }, ("%d elements in a, %d in b"):format(n, n - 1))
  list_case("one more at the head", { { "LPUSH", KEY, "x" } },
    ("%d elements in a, %d in b; element 0 differs; element 1 differs; and more"):format(n, n + 1))
  list_case("turned by one", { { "LMOVE", KEY, KEY, "LEFT", "RIGHT" } }, "element 0 differs; element 1 differs; element 2 differs; and more")
  list_case("an empty element", { { "LSET", KEY, 1, "" } }, "element 1 differs")
end

-- ---- sets: of integers, small, large ----

for size, o in pairs { ["of integers"] = { 40, "%d" }, small = { 9, "m%d" }, large = { 3000, "member %d" } } do
  local make = { many(o[1], function(i) return o[2]:format(i) end, "SADD", KEY) }
  local function set_case(what, inject, says)
    case(("a set, %s: %s"):format(size, what), make, inject, "value", "set %k in database 0: " .. says)
  end
  local seven = o[2]:format(7)
  set_case("one is gone", { { "SREM", KEY, seven } }, ('member "%s" is missing in b'):format(seven))
  set_case("one more", { { "SADD", KEY, "\255\n" } }, [[member "\xff\x0a" is only in b]])
  set_case("one for another", { { "SREM", KEY, seven }, { "SADD", KEY, "M7" } },
    ('member "%s" is missing in b; member "M7" is only in b'):format(seven))
end

-- ---- sorted sets ----

for size, n in pairs { small = 9, large = 2000 } do
  local make = { many(n, function(i) return i / 4, "m" .. i end, "ZADD", KEY), { "ZADD", KEY, "inf", "top" } }
  local function zset_case(what, inject, says)
    case(("a %s sorted set: %s"):format(size, what), make, inject, "value", "sorted set %k in database 0: " .. says)
  end
  zset_case("a score", { { "ZADD", KEY, 12.5, "m2" } }, 'member "m2" has the score 0.5 in a, 12.5 in b')
  zset_case("the last digit of a score", { { "ZADD", KEY, "1.0000000000000002", "m4" } }, 'member "m4" has the score 1 in a, 1.0000000000000002 in b')
  zset_case("the other end", { { "ZADD", KEY, "-inf", "top" } }, 'member "top" has the score inf in a, -inf in b')
  zset_case("a member is gone", { { "ZREM", KEY, "m5" } }, 'member "m5" is missing in b')
  zset_case("a member more", { { "ZADD", KEY, 3, "x" } }, 'member "x" is only in b')
end

-- ---- hashes ----

for size, n in pairs { small = 9, large = 2000 } do
  local make = { many(n, function(i) return "f" .. i, "value " .. i end, "HSET", KEY) }
  local function hash_case(what, inject, says)
    case(("a %s hash: %s"):format(size, what), make, inject, "value", "hash %k in database 0: " .. says)
  end
  hash_case("a byte of a value", { { "HSET", KEY, "f4", "value_4" } }, 'field "f4" differs')
  hash_case("an empty value", { { "HSET", KEY, "f9", "" } }, 'field "f9" differs')
  hash_case("a field is gone", { { "HDEL", KEY, "f2" } }, 'field "f2" is missing in b')
  hash_case("a field more", { { "HSET", KEY, "extra", "" } }, 'field "extra" is only in b')
  hash_case("a field of another name", { { "HDEL", KEY, "f6" }, { "HSET", KEY, "F6", "value 6" } },
    'field "f6" is missing in b; field "F6" is only in b')
end

-- ---- streams: with pending entries of a few and of a great many, more than are asked for at once ----

for size, n in pairs { small = 6, large = 1500 } do
  local make = {}
  for i = 1, n do make[i] = { "XADD", KEY, i .. "-1", "n", i } end
  for _, words in ipairs {
    { "XGROUP", "CREATE", KEY, "g", 0 }, { "XGROUP", "CREATE", KEY, "idle", 0 }, { "XGROUP", "CREATECONSUMER", KEY, "g", "bob" },
    { "XREADGROUP", "GROUP", "g", "ann", "COUNT", n - 1, "STREAMS", KEY, ">" },
    { "XCLAIM", KEY, "g", "ann", 0, "2-1", "TIME", 1700000000123, "RETRYCOUNT", 4 },
  } do make[#make + 1] = words end
  local function stream_case(what, inject, kind, says)
    case(("a %s stream: %s"):format(size, what), make, inject, kind, "stream %k in database 0: " .. says)
  end
  local last, group = n .. "-1", 'group "g": '
  stream_case("an entry is gone", { { "XDEL", KEY, "3-1" } }, "value", "entry 3-1 is missing in b")
  stream_case("an entry more", { { "XADD", KEY, n .. "-2", "n", 0 } }, "value", ("entry %s-2 is only in b"):format(n))
  stream_case("a field of an entry", { { "XDEL", KEY, last }, { "XSETID", KEY, n - 1 .. "-1" }, { "XADD", KEY, last, "n", "other" } }, "value",
    ("entry %s differs"):format(last))
  stream_case("the last id", { { "XSETID", KEY, n .. "-5" } }, "stream", ("last generated id is %s in a, %s-5 in b"):format(last, n))
  stream_case("the entries added", { { "XSETID", KEY, last, "ENTRIESADDED", n + 1, "MAXDELETEDID", "0-0" } }, "stream",
    ("entries added is %d in a, %d in b"):format(n, n + 1))
  stream_case("the last one deleted", { { "XSETID", KEY, last, "ENTRIESADDED", n, "MAXDELETEDID", "1-0" } }, "stream",
    "max deleted entry id is 0-0 in a, 1-0 in b")
  stream_case("a group is lost", { { "XGROUP", "DESTROY", KEY, "idle" } }, "stream", 'group "idle" is missing in b')
  stream_case("a group more", { { "XGROUP", "CREATE", KEY, "new", "$" } }, "stream", 'group "new" is only in b')
  stream_case("where a group stands", { { "XGROUP", "SETID", KEY, "idle", "1-1", "ENTRIESREAD", 0 } }, "stream",
    'group "idle": last delivered id is 0-0 in a, 1-1 in b; group "idle": entries read is not known in a, 0 in b')
  stream_case("what a group has read", { { "XGROUP", "SETID", KEY, "g", n - 1 .. "-1", "ENTRIESREAD", 3 } }, "stream",
    group .. ("entries read is %d in a, 3 in b"):format(n - 1))
  stream_case("a consumer is lost", { { "XGROUP", "DELCONSUMER", KEY, "g", "bob" } }, "stream", group .. 'consumer "bob" is missing in b')
  stream_case("a consumer more", { { "XGROUP", "CREATECONSUMER", KEY, "g", "eve" } }, "stream", group .. 'consumer "eve" is only in b')
  stream_case("a pending entry is done", { { "XACK", KEY, "g", "4-1" } }, "stream", group .. 'pending entry 4-1 of consumer "ann" is missing in b')
  stream_case("a pending entry more", { { "XCLAIM", KEY, "g", "ann", 0, last, "TIME", 1, "RETRYCOUNT", 1, "FORCE", "JUSTID" } }, "stream",
    group .. ('pending entry %s of consumer "ann" is only in b'):format(last))
  stream_case("a pending entry of another", { { "XCLAIM", KEY, "g", "bob", 0, "2-1", "TIME", 1700000000123, "RETRYCOUNT", 4, "JUSTID" } }, "stream",
    group .. 'pending entry 2-1 belongs to consumer "ann" in a, "bob" in b')
  stream_case("how often it was delivered", { { "XCLAIM", KEY, "g", "ann", 0, "2-1", "TIME", 1700000000123, "RETRYCOUNT", 5, "JUSTID" } }, "stream",
    group .. "pending entry 2-1 was delivered 4 times in a, 5 in b")
  stream_case("when it was delivered", { { "XCLAIM", KEY, "g", "ann", 0, "2-1", "TIME", 1700000000124, "RETRYCOUNT", 4, "JUSTID" } }, "stream",
    group .. "pending entry 2-1 was delivered 1 ms later in b")
end

-- ---- names, databases ----

for key, shown in pairs { [""] = '""', ["a\0b\r\n\xff\"'\\"] = [["a\x00b\x0d\x0a\xff\"'\\"]], ["d\xc3\xa9j\xc3\xa0"] = '"d\xc3\xa9j\xc3\xa0"',
  [("long "):rep(50)] = '"' .. ("long "):rep(10):sub(1, 48) .. '..." (250 bytes)' } do
  case("a name", { { "SET", KEY, "v" } }, { { "SET", KEY, "w" } }, "value", "string %k in database 0: byte 0 differs", { key = key, shown = shown })
end
case("another database", { { "SET", KEY, "v" } }, { { "SET", KEY, "w" } }, "value", "string %k in database 3: byte 0 differs", { db = 3 })
case("a database that only b has", {}, { { "SET", KEY, "v" } }, "extra", "key %k in database 7 is only in b", { db = 7 })
case("a database that only a has", { { "SET", KEY, "v" } }, { { "DEL", KEY } }, "missing", "key %k in database 9 is missing in b", { db = 9 })

-- ---- the test ----

local function start(settings)
  local s = server.start { dir = test.tmpdir(), settings = settings }
  test.defer(function() s:stop() end)
  local r = redis.open(s.url)
  test.defer(function() r:close() end)
  return s, r
end

local function run(r, c, commands)
  local filled = {}
  for i, words in ipairs(commands) do
    filled[i] = {}
    for j, word in ipairs(words) do filled[i][j] = word == KEY and c.key or word end
  end
  if r.db ~= c.db then r:select(c.db) end
  r:pipeline(filled)
end

local function sentence(c)
  local shown = c.shown or '"' .. c.key .. '"'
  return (c.says:gsub("%%k", function() return shown end))
end

--- Says which sentences are there and should not be, or the other way round.
local function compare_sentences(differences)
  local expected, lost = {}, {}
  for _, c in ipairs(CASES) do expected[("%d %s %s %s"):format(c.db, c.key, c.kind, sentence(c))] = true end
  for _, d in ipairs(differences) do
    local line = ("%d %s %s %s"):format(d.db, d.key, d.kind, d.message)
    test.truthy(expected[line], "no difference was injected that says: " .. line)
    expected[line] = nil
  end
  for line in pairs(expected) do lost[#lost + 1] = line end
  test.equal(lost, {}, "injected, and not found")
end

-- Where values are stored as on the other side, and where they are not: then no DUMP is like the other.
for how, settings in pairs {
  ["as on the first"] = {},
  ["otherwise than on the first"] = { ["hash-max-listpack-entries"] = 2, ["zset-max-listpack-entries"] = 2, ["set-max-intset-entries"] = 2,
    rdbcompression = "no" },
} do
  T["more than a hundred injected differences are found, each by its sentence, where values are stored " .. how] = function()
    test.truthy(#CASES > 130, #CASES .. " cases")
    local from, a = start()
    local to, b = start(settings)
    for _, c in ipairs(CASES) do run(a, c, c.make) end
    redis.copy { from = from.url, to = to.url }
    test.equal(redis.same({ from.url, to.url, quiet = true }).differences, {})
    for _, c in ipairs(CASES) do run(b, c, c.inject) end
    local r = redis.same { from.url, to.url, quiet = true, limit = 1000 }
    compare_sentences(r.differences)
    test.equal({ r.equal, r.count }, { false, #CASES })
    local counts = {}
    for _, c in ipairs(CASES) do counts[c.kind] = (counts[c.kind] or 0) + 1 end
    test.equal(r.counts, counts)
    -- Fewer are listed; all are counted.
    r = redis.same { from.url, to.url, quiet = true, limit = 5 }
    test.equal({ r.count, r.counts, #r.differences }, { #CASES, counts, 5 })
  end
end

return T
