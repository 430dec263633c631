--- A real cluster of three nodes. Its slots move in one case; the last one kills a node.
package.path = "tests/support/?.lua;" .. package.path
local test = require "test"
local authority = require "rehearsal.planes.ca"
local clusters = require "redis_cluster"
local redis = require "redis"
local server = require "rehearsal.planes.redis"
local slots = require "redis.slots"
local task = require "task"
local text = require "text"

local T = test.cases()

local lab = clusters.start()
test.defer_file(lab.stop)

local function open(opts)
  local o = { cluster = true }
  for k, v in pairs(opts or {}) do o[k] = v end
  local r = redis.open(lab.url, o)
  test.defer(function() r:flushall() r:close() end)
  return r
end

local function admin(i)
  local r = lab.admin(i)
  test.defer(function() r:close() end)
  return r
end

--- A key of each node: those of lab.nodes[i] end in what makes them so.
local function key_of_node(i, stem)
  for n = 0, 1000 do
    local key = ("%s{%d}"):format(stem, n)
    if slots.of(key) * 3 // 16384 == i - 1 then return key end
  end
end

T["the slot of a key is what the server says"] = function()
  local r = admin(1)
  for _, key in ipairs { "", "foo", "123456789", "{user1000}.following", "foo{}{bar}", "foo{{bar}}zap", "foo{bar}{zap}", "{a", "a}{b}", "\0\255" } do
    test.equal(slots.of(key), r:cluster_keyslot(key), key)
  end
end

T["commands and pipelines go to the nodes of their keys, in order"] = function()
  local r = open()
  local set, get, want = {}, {}, {}
  for i = 1, 300 do
    set[i], get[i], want[i] = { "SET", "k" .. i, i }, { "GET", "k" .. i }, tostring(i)
  end
  test.equal(#r:pipeline(set), 300)
  test.equal(r:pipeline(get), want)
  test.equal(r:get "k7", "7")
  test.equal({ r:get "gone", r:pipeline { { "GET", "gone" }, { "GET", "k1" } } }, { nil, { false, "1" } })
  local sum = 0
  for i, node in ipairs(r:nodes()) do
    local n = node:dbsize()
    test.truthy(n > 60, "each has its share")
    test.equal(node.label, ("127.0.0.1:%d"):format(lab.nodes[i].port))
    sum = sum + n
  end
  test.equal({ sum, r:dbsize(), #r:keys "k*" }, { 300, 300, 300 })
  local seen, n = {}, 0
  for key in r:keys_of { match = "k*", count = 10 } do
    if not seen[key] then n = n + 1 end
    seen[key] = true
  end
  test.equal(n, 300)
  local e = test.raises("cannot run LPUSH k2 x on Redis .*WRONGTYPE", r.pipeline, r, { { "GET", "k1" }, { "LPUSH", "k2", "x" }, { "GET", "k3" } })
  test.equal(e.kind, "remote")
  test.equal(r:pipeline({ { "LPUSH", "k2", "x" }, { "GET", "k3" } }, { keep_errors = true })[1].code, "WRONGTYPE")
  r:flushall()
  test.equal({ r:dbsize(), r:ping(), r:info "cluster".cluster_enabled }, { 0, "PONG", "1" })
end

T["what a cluster cannot do says what to do instead"] = function()
  local r, plain = open(), admin(1)
  local e = test.raises("CROSSSLOT.*same part in braces", r.mset, r, "a", 1, "b", 2)
  test.equal({ e.kind, e.code }, { "remote", "CROSSSLOT" })
  test.equal(r:mset("{a}1", 1, "{a}2", 2), "OK")
  e = test.raises("MOVED %d+ .*one of a cluster: redis.open%(url, { cluster = true }%)", plain.get, plain, key_of_node(2, "k"))
  test.equal(e.code, "MOVED")
  test.equal(test.raises("SCAN has no meaning for a whole cluster: use keys_of", r.scan, r, 0).kind, "usage")
  test.raises("MULTI cannot be in a pipeline", r.pipeline, r, { { "MULTI" } })
  test.raises("only database 0", redis.open, lab.url .. "/1", { cluster = true })
  local alone = server.start { dir = test.tmpdir() }
  test.defer(function() alone:stop() end)
  test.raises("cannot run CLUSTER SLOTS on Redis .*cluster support disabled", redis.open, alone.url, { cluster = true })
end

T["a transaction is at the node of its keys"] = function()
  local r, other = open(), open()
  local key = key_of_node(3, "n")
  local replies, more = r:transaction(function(tx) tx:set(key, 1) tx:incr(key) return "more" end)
  test.equal({ replies, more }, { { "OK", 2 }, "more" })
  local runs = 0
  r:transaction(function(tx)
    runs = runs + 1
    local n = tonumber(r:get(key))
    if runs == 1 then other:set(key, 40) end
    tx:set(key, n + 1)
  end, { watch = { key } })
  test.equal({ runs, r:get(key) }, { 2, "41" })
  local e = test.raises("CROSSSLOT.*same part in braces", r.transaction, r, function(tx) tx:set("a", 1) tx:set("b", 2) end)
  test.equal({ e.kind, r:exists "a" }, { "usage", 0 })
  test.raises("CROSSSLOT", r.transaction, r, function(tx) tx:set("b", 2) end, { watch = { "a" } })
  test.raises("needs a key", r.transaction, r, function(tx) tx:ping() end)
  test.equal(r:transaction(function() end), {})
end

T["scripts find their way to each node; channels to all"] = function()
  local r = open()
  local set = redis.script "return redis.call('SET', KEYS[1], ARGV[1])"
  for i = 1, 3 do
    local key = key_of_node(i, "s")
    test.equal(set(r, { key }, { i }).ok or "OK", "OK")
    test.equal(r:get(key), tostring(i))
  end
  local sub <close> = r:subscribe { "news" }
  r:nodes()[3]:publish("news", "from another node")
  test.equal({ sub() }, { "news", "from another node" })
  local shard = key_of_node(2, "shard")
  local own <close> = r:ssubscribe(shard)
  r:spublish(shard, "here")
  test.equal({ own() }, { shard, "here" })
end

--- Gives a slot to another node, step by step: fn(migrate, finish) is called while it is on the way.
local function move(slot, from, to, fn)
  local a, b = admin(from), admin(to)
  b:cluster_setslot(slot, "IMPORTING", lab.ids[from])
  a:cluster_setslot(slot, "MIGRATING", lab.ids[to])
  local function migrate(key) return a:migrate("127.0.0.1", lab.nodes[to].port, key, 0, 5000) end
  local function finish()
    for _, i in ipairs { to, from, 6 - to - from } do admin(i):cluster_setslot(slot, "NODE", lab.ids[to]) end
  end
  fn(migrate, finish)
end

T["ASK, TRYAGAIN and MOVED while a slot goes to another node"] = function()
  local r = open()
  local tag = key_of_node(1, "")
  local slot = slots.of(tag)
  local a, b, c = tag .. "a", tag .. "b", tag .. "c"
  r:mset(a, 1, b, 2)
  local before = r.routes:at(slot)
  move(slot, 1, 2, function(migrate, finish)
    test.equal(migrate(a), "OK")
    test.equal({ r:get(a), r:get(b), r:get(c) }, { "1", "2", nil }, "the first is at the new node already")
    test.equal(r:pipeline { { "GET", a }, { "GET", b }, { "SET", c, 3 }, { "INCR", c }, { "GET", "gone" .. tag } }, { "1", "2", "OK", 4, false })
    test.equal(r:incr(a), 2)
    test.equal(r:pipeline({ { "LPUSH", a, "x" }, { "GET", b } }, { keep_errors = true })[1].code, "WRONGTYPE", "an error of one that was asked")
    test.equal(r.routes:at(slot), before, "ASK says nothing of the next time")
    local both = task.spawn(function() return r:mget(a, b) end)                   -- one here, one there: TRYAGAIN
    task.sleep(0.05)
    migrate(b)
    finish()
    test.equal(both:join(), { "2", "2" })
  end)
  test.equal({ r:get(c), r:pipeline { { "GET", a }, { "GET", b } } }, { "4", { "2", "2" } })
  test.truthy(r.routes:at(slot) ~= before, "the map is new")
  test.equal(r:pipeline { { "DEL", a, b, c } }, { 3 })
  local stale = open()
  local n = 0
  test.raises("slots moved to other nodes meanwhile", function()
    stale:set("x", 1)
    for _ in stale:keys_of() do
      n = n + 1
      if n == 1 then move(slot, 2, 1, function(_, finish) finish() end) end
    end
  end)
  test.equal({ stale:set(a, 5), stale:get(a) }, { "OK", "5" })
  stale:transaction(function(tx)
    if n < 5 then move(slot, 1, 2, function(migrate, finish) migrate(a) finish() end) end
    n = 5
    tx:incr(a)
  end)
  test.equal(stale:get(a), "6", "a transaction that was refused for it is sent to the new node")
  move(slot, 2, 1, function(migrate, finish) migrate(a) finish() end)
end

T["the nodes are reached over TLS and signed in to, as the first was"] = function()
  local ca = authority.new(test.tmpdir())
  local pair = ca:issue { name = "localhost", names = { "localhost" }, ips = { "127.0.0.1" } }
  local own = clusters.start { nodes = 1, tls = true, password = "p ss", cert = pair.cert, key = pair.key, ca = ca.file }
  test.defer(own.stop)
  local url = text("rediss://:p%%20ss@localhost:%d", own.nodes[1].port)
  local r = redis.open({ url = url, ca = ca.file }, { cluster = true })
  test.defer(function() r:close() end)
  test.equal(r:set("a", 1), "OK")
  local node = r:nodes()[1]
  test.equal({ node.label, #node:fingerprint() }, { ("127.0.0.1:%d"):format(own.nodes[1].port), 64 })
end

T["closed is closed, and twice"] = function()
  local r = redis.open(lab.url, { cluster = true })
  r:close()
  r:close()
  test.raises("it is closed", r.get, r, "a")
end

T["a node that is away: the others go on, and it is waited for as long as a command may take"] = function()
  local r = open { timeout = 1 }
  local there, away = key_of_node(1, "k"), key_of_node(2, "k")
  r:pipeline { { "SET", there, 1 }, { "SET", away, 2 } }
  local s = lab.nodes[2]
  s:kill()
  s:stop()
  local e = test.raises("cannot connect to Redis 127.0.0.1:" .. s.port, r.set, r, away, 3)
  test.equal({ e.kind, e.retry }, { "network", true })
  test.equal(r:get(there), "1")
  e = test.raises("cannot connect to Redis 127.0.0.1:" .. s.port, r.pipeline, r, { { "GET", there }, { "GET", away } })
  test.equal(e.kind, "network")
  local patient = open()
  local waits = task.spawn(function() return patient:pipeline { { "GET", there }, { "SET", away, 4 }, { "GET", away } } end)
  lab.nodes[2] = server.start { dir = s.dir, port = s.port, settings = { ["cluster-enabled"] = "yes", ["cluster-port"] = s.bus,
    ["cluster-node-timeout"] = 60000 } }
  test.equal(waits:join(), { "1", "OK", "4" })
end

return T
