package.path = "tests/support/?.lua;" .. package.path
local test = require "test"
local commands = require "redis.commands"
local errors = require "errors"
local fs = require "fs"
local host = require "host.redis"
local json = require "json"
local process = require "process"
local readonly = require "readonly"
local redis = require "redis"
local redis_lab = require "redis_lab"
local secret = require "secret"
local task = require "task"

local T = test.cases()

local start, open = redis_lab.start, redis_lab.open

--- A peer that answers what is in a file, `step` bytes at a time, as soon as it was asked something.
local function peer(bytes, step)
  local dir, port = test.tmpdir(), fs.free_port()
  fs.write(dir .. "/answer", bytes)
  fs.write(dir .. "/peer.py", ([[
import socket, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", %d)); s.listen(1)
print("ready", flush=True)
c, _ = s.accept(); c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1); c.recv(100)
answer = open(%q, "rb").read()
for i in range(0, len(answer), %d): c.sendall(answer[i:i + %d])
c.recv(100)
]]):format(port, dir .. "/answer", step, step))
  local p = process.start { "python3", dir .. "/peer.py", stdout = "pipe" }
  test.defer(function() p:stop(5) end)
  test.equal(p:read_line(), "ready")
  local conn = host.open("127.0.0.1", port)
  test.defer(function() conn:close() end)
  conn:deadline(task.now() + 20)
  task.step(conn, "connect")
  conn:queue { "PING" }
  return conn
end

T["every kind of value of RESP3, in pieces of any size"] = function()
  local bytes = table.concat {
    "+OK\r\n", ":-42\r\n", ":9223372036854775807\r\n", ":-9223372036854775808\r\n", "$5\r\na\r\n\0b\r\n", "$0\r\n\r\n", "$-1\r\n", "*-1\r\n", "_\r\n",
    "#t\r\n", "#f\r\n", ",1.5\r\n", ",10\r\n", ",inf\r\n", ",-inf\r\n", "(3492890328409238509324850943850943825024385\r\n",
    "=15\r\ntxt:Some string\r\n", "*3\r\n:1\r\n_\r\n*1\r\n$-1\r\n", "*0\r\n", "~2\r\n+a\r\n+b\r\n",
    "%3\r\n+a\r\n:1\r\n:2\r\n%1\r\n+b\r\n*0\r\n+gone\r\n_\r\n", ">2\r\n+invalidate\r\n*1\r\n+k\r\n",
    "|1\r\n+ttl\r\n:3600\r\n+with an attribute\r\n", "*2\r\n-ERR inside\r\n!21\r\nSYNTAX invalid syntax\r\n", "$3\r\nend\r\n" }
  local function read(step)
    local conn = peer(bytes, step)
    local list = task.step(conn, "replies", 24)
    return list, conn:pushes()
  end
  local list, pushes = read(#bytes)
  test.equal({ table.unpack(list, 1, 13) },
    { "OK", -42, math.maxinteger, math.mininteger, "a\r\n\0b", "", false, false, false, true, false, 1.5, 10.0 })
  test.equal({ table.unpack(list, 14, 17) }, { math.huge, -math.huge, "3492890328409238509324850943850943825024385", "Some string" })
  test.equal(math.type(list[13]), "float")
  test.equal(list[18], { 1, false, { false } })
  test.equal({ list[19], list[20]:sort() }, { {}, { "a", "b" } })
  test.equal(list[21], { a = 1, [2] = { b = {} } })
  test.equal(pushes, { { "invalidate", { "k" } } })
  test.equal(list[22], "with an attribute")
  test.equal({ list[23][1].code, list[23][2].code, list[23][2].message }, { "ERR", "SYNTAX", "SYNTAX invalid syntax" })
  test.equal(list[24], "end")
  for _, step in ipairs { 1, 7 } do
    local again, others = read(step)
    test.equal({ json.encode(again[21].b or {}), again, others }, { json.encode {}, list, pushes }, "by " .. step)
  end
end

T["what is not the protocol is an error, never a value"] = function()
  for bytes, why in pairs {
    ["HTTP/1.1 200 OK\r\n"] = 'a value begins with "H"', [":12x\r\n"] = 'no number after ":"', [":99999999999999999999\r\n"] = "no number",
    ["$-2\r\n"] = 'no size after "$"', ["*99999999999\r\n"] = 'no size after "*"', ["$1\r\nabc\r\n"] = 'no end after "$"',
    ["\0\r\n"] = "a value begins with \\0", ["\r\n"] = "a value begins with \\13", [("*1\r\n"):rep(200) .. ":1\r\n"] = "nested more than 100 deep",
  } do
    local value, err = task.step(peer(bytes, #bytes), "reply")
    test.equal({ value, err.kind }, { nil, "protocol" }, bytes)
    test.truthy(err.message:find(why, 1, true), err.message)
  end
  local value, err = task.step(peer("*4000000000000000000000\r\n", 100), "reply")
  test.equal({ value, err.kind }, { nil, "protocol" })
end

T["RESP3 where the server has it: maps, sets, doubles, booleans, big numbers, texts"] = function()
  local r = open(start { settings = { ["enable-debug-command"] = "yes" } }.url .. "/2", { protocol = 3 })
  test.equal(r.protocol, 3)
  r:hset("h", "a", 1, "b", 2)
  r:sadd("s", "x", "y")
  r:zadd("z", 1.5, "m")
  test.equal(r:hgetall "h", { a = "1", b = "2" })
  test.equal(r:smembers "s":sort(), { "x", "y" })
  test.equal(r:zscore("z", "m"), 1.5)
  test.equal(r:zrange("z", 0, -1, "WITHSCORES"), { { "m", 1.5 } })
  test.equal(r:config_get "maxmemory", { maxmemory = "0" })
  test.equal({ r:get "gone", r:mget("gone", "gone") }, { nil, { false, false } })
  test.equal({ r:debug("PROTOCOL", "true"), r:debug("PROTOCOL", "false") }, { true, false })
  test.match(r:debug("PROTOCOL", "bignum"), "^%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d+$")
  test.equal(r:debug("PROTOCOL", "verbatim"), "This is a verbatim\nstring")
  test.equal(r:debug("PROTOCOL", "attrib"), "Some real reply following the attribute")
  test.equal(r:info "server".redis_mode, "standalone")
  test.equal(r:eval("redis.setresp(3); return redis.call('HGETALL', KEYS[1])", 1, "h"), { a = "1", b = "2" })
  test.equal(select(2, pcall(r.get, r, "h")).code, "WRONGTYPE")
  local n = 0
  for _ in r:keys_of() do n = n + 1 end
  test.equal(n, 3)
end

T["the shapes of RESP2 stay what they are unless RESP3 is asked for"] = function()
  local r = open(start().url)
  test.equal(r.protocol, 2)
  r:hset("h", "a", 1)
  test.equal(r:hgetall "h", { "a", "1" })
  test.raises("protocol must be 2 or 3", redis.open, "redis://127.0.0.1", { protocol = 4 })
end

T["a server without RESP3 is spoken to in RESP2, signed in all the same"] = function()
  local s = start { password = "p", settings = { ["rename-command"] = 'HELLO ""' } }
  local r = open(s.url, { protocol = 3 })
  test.equal({ r.protocol, r:ping() }, { 2, "PONG" })
  s = start { password = "p" }
  test.equal(open(s.url, { protocol = 3 }).protocol, 3)
  local e = test.raises("cannot sign in to Redis .*WRONGPASS", redis.open, ("redis://:no@%s:%d"):format(s.host, s.port), { protocol = 3 })
  test.equal(e.kind, "auth")
end

T["pushes are told, and never taken for replies"] = function()
  local s = start()
  local told = {}
  local r, other = open(s.url, { protocol = 3, on_push = function(push) told[#told + 1] = push end }), open(s.url)
  r:client_tracking "ON"
  r:get "a"
  other:set("a", 1)
  test.equal(r:get "a", "1")
  other:set("a", 2)
  test.equal(r:get "a", "2")
  test.equal(told, { { "invalidate", { "a" } }, { "invalidate", { "a" } } })
end

T["every command that the server has is a method"] = function()
  local r = open(start().url)
  local wrong = {}
  local containers = {}
  for _, name in ipairs(r:command_list()) do
    local outer = name:match "^(.-)|"
    if outer and outer ~= "cluster" then containers[outer] = true end
    local method = name:gsub("[|-]", "_")
    local word, second = commands.of_method(method)
    if (word .. (second and "|" .. second or "")):lower() ~= name then wrong[#wrong + 1] = name end
  end
  table.sort(wrong)
  test.equal(wrong, { "restore-asking" }, "no method; it is the cluster's own")
  for name in pairs(containers) do
    test.match(table.concat(r[name .. "_help"](r), "\n"), "HELP", name)
  end
end

T["where the key stands is what the server says"] = function()
  local r = open(start().url)
  for _, words in ipairs {
    { "GET", "k" }, { "set", "k", "v" }, { "BITOP", "AND", "k", "b" }, { "XREAD", "BLOCK", 1, "STREAMS", "k", "$" },
    { "XREADGROUP", "GROUP", "g", "c", "STREAMS", "k", ">" }, { "EVAL", "return 1", 1, "k", "a" }, { "ZUNION", 2, "k", "b" },
    { "OBJECT", "ENCODING", "k" }, { "MEMORY", "USAGE", "k" }, { "XGROUP", "CREATE", "k", "g", "$" }, { "XINFO", "STREAM", "k" },
    { "LMPOP", 1, "k", "LEFT" }, { "BLMPOP", 0, 1, "k", "LEFT" }, { "MIGRATE", "h", 1, "k", 0, 100 }, { "SINTERCARD", 1, "k" },
  } do
    test.equal(r:command("COMMAND", "GETKEYS", table.unpack(words))[1], "k")
    test.equal(words[commands.key_at(words)], "k", words[1])
  end
  for _, words in ipairs { { "PING" }, { "EVAL", "return 1", 0, "a" }, { "CONFIG", "GET", "x" }, { "PUBLISH", "c", "m" }, { "MEMORY", "STATS" } } do
    test.equal(commands.key_at(words), nil, words[1])
  end
  test.equal(commands.key_at { "SPUBLISH", "c", "m" }, 2, "a shard channel has a slot as keys have")
end

T["numbers go as they are, to the last digit, and a nil in the middle is told"] = function()
  local r = open(start().url)
  for _, v in ipairs { 0.1, 1700000000.123456, 1e300, -2.5, 1 / 3, 3.0, math.maxinteger, math.mininteger } do
    r:set("n", v)
    test.equal(tonumber(r:get "n"), v)
  end
  test.equal(r:echo(0.1), "0.1")
  r:zadd("z", math.huge, "m")
  test.equal(r:zscore("z", "m"), "inf")
  test.raises("word 3 of the command is a nil", r.set, r, "a", nil, "EX", 5)
  test.equal(r:get("n", nil), tostring(math.mininteger))
end

T["an error names the command and its key, and shortens the values"] = function()
  local r = open(start().url)
  r:set("text", "a")
  local e = test.raises("^cannot run LPUSH text short 01234567890123456%.%.%. %(secret%) %.%.%. on Redis", r.lpush, r, "text", "short",
    ("0123456789"):rep(9), secret.new "hidden", "one more")
  test.equal({ e.kind, e.code }, { "remote", "WRONGTYPE" })
  test.raises("^cannot run XREADGROUP text on Redis", r.xreadgroup, r, "GROUP", "g", "c", "STREAMS", "text", ">")
  test.raises("^cannot run OBJECT FREQ text on Redis", r.object_freq, r, "text")
  test.raises("^cannot run EVAL text on Redis", r.eval, r, "return redis.call('LLEN', KEYS[1])", 1, "text", "hidden-4711")
  test.raises("^cannot run EVAL on Redis", r.eval, r, "return redis.call('LLEN', 'text')", 0, "hidden-4711")
  test.raises("^cannot run GET " .. ("k"):rep(61) .. "%.%.%. too many on Redis", r.get, r, ("k"):rep(100), "too many")
end

T["values of keys that are told to be secret are secrets, and not in errors"] = function()
  local s = start()
  local r = open(s.url, { secrets = { "session:*", "to[ck]en.?" } })
  r:set("session:1", "hidden-4711")
  r:set("token.1", "hidden-4711")
  r:set("tokens", "plain")
  r:set("other", "plain")
  test.truthy(secret.is(r:get "session:1") and secret.is(r:get "token.1"))
  test.equal({ r:get "tokens", r:get "other", r:get "session:2" }, { "plain", "plain", nil })
  test.truthy(secret.equal(r:get "session:1", secret.new "hidden-4711"))
  local list = r:pipeline { { "GET", "other" }, { "GET", "session:1" }, { "MULTI" }, { "GET", "session:1" }, { "EXEC" } }
  test.equal({ list[1], list[3], list[4] }, { "plain", "OK", "QUEUED" })
  test.truthy(secret.is(list[2]) and secret.is(list[5][1]))
  local e = test.raises("^cannot run LPUSH session:1 on Redis", r.lpush, r, "session:1", "hidden-4711")
  test.truthy(not tostring(e):find "hidden%-4711")
  local all = open(s.url, { secrets = true })
  test.truthy(secret.is(all:get "other") and all:strlen "other" == 5)
end

T["an idle connection that the server closed is opened again, for a command that writes too"] = function()
  local s = start { settings = { timeout = 1 } }
  local r, other = open(s.url .. "/3"), open(s.url)
  local id = r:client_id()
  repeat task.sleep(0.05) until not other:client_list():find("id=" .. id .. " ", 1, true)
  test.equal(r:incr "n", 1)
  test.truthy(r:client_id() ~= id, "it is another one")
  test.equal(other:info("keyspace").db3:match "keys=%d+", "keys=1", "in the same database")
end

T["a command that may have had its effect is never repeated"] = function()
  local s = start()
  local r, other = open(s.url), open(s.url)
  local function lose(fn)
    local id, mine = r:client_id(), task.spawn(fn)
    task.sleep(0.05)
    other:client_kill("ID", id)
    return pcall(mine.join, mine)
  end
  other:client_pause(60000, "WRITE")
  local ok, e = lose(function() return r:incr "n" end)
  test.equal({ ok, e.kind, e.retry }, { false, "network", true })
  test.equal(tostring(e):find "^cannot run INCR n on Redis" ~= nil, true)
  ok, e = lose(function() return r:pipeline { { "GET", "n" }, { "INCR", "n" } } end)
  test.equal({ ok, e.kind }, { false, "network" })
  other:client_unpause()
  test.equal(r:get "n", nil, "neither was done, or done twice")
end

T["a read whose connection was lost is asked once more, and only once"] = function()
  local dir, port = test.tmpdir(), fs.free_port()
  fs.write(dir .. "/peer.py", ([[
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", %d)); s.listen(1)
print("ready", flush=True)
for answers in ([b"$9\r\nhalf"], [b"$4\r\nread\r\n", b""], [b""], [b"$4\r\nlate\r\n"]):
    c, _ = s.accept(); c.recv(100); c.sendall(b"+PONG\r\n")
    for answer in answers: print(c.recv(100), flush=True); c.sendall(answer)
    c.close()
]]):format(port))
  local p = process.start { "python3", dir .. "/peer.py", stdout = "pipe" }
  test.defer(function() p:stop(5) end)
  test.equal(p:read_line(), "ready")
  local r = open("redis://127.0.0.1:" .. port)
  test.equal(r:get "a", "read")
  test.raises("the server closed the connection", r.get, r, "b")
  for _, key in ipairs { "a", "a", "b", "b" } do test.match(p:read_line(), "GET.*" .. key) end
end

T["the place in a SCAN is not carried over to another connection"] = function()
  local s = start()
  local r, other = open(s.url), open(s.url)
  local list = {}
  for i = 1, 500 do list[i] = { "SET", "k" .. i, i } end
  r:pipeline(list)
  local n = 0
  local e = test.raises("cannot go on with the keys of Redis .*lost in the middle", function()
    for _ in r:keys_of { count = 10 } do
      n = n + 1
      if n == 5 then other:client_kill("ID", r:client_id()) end
    end
  end)
  test.equal({ e.kind, e.retry, n < 500 }, { "network", true, true })
end

T["a primary that became a replica is left for the one that the name leads to"] = function()
  local a, b = start(), start()
  local r, other = open(a.url), open(a.url)
  local id = r:client_id()
  other:replicaof(b.host, b.port)
  local e = test.raises("READONLY", r.set, r, "a", 1)
  test.equal({ e.kind, e.code, e.retry }, { "remote", "READONLY", true })
  test.truthy(r:client_id() ~= id, "a new connection")
end

T["a transaction is done as one, and answers its replies and what the function returned"] = function()
  local r = open(start().url)
  local replies, more = r:transaction(function(tx)
    test.equal(tx:set("a", 1), nil)
    tx:incr "a"
    tx:command("LPUSH", "l", "x", "y")
    test.equal(r:get "a", nil, "nothing is done before its end")
    return "more"
  end)
  test.equal({ replies, more, r:get "a" }, { { "OK", 2, 2 }, "more", "2" })
  test.equal(r:transaction(function() end), {})
  local e = test.raises("on second thoughts", r.transaction, r, function(tx) tx:del "a" error "on second thoughts" end)
  test.truthy(e)
  test.equal(r:get "a", "2")
  local kept
  r:transaction(function(tx) kept = tx end)
  test.raises("the transaction is over", kept.set, kept, "a", 1)
  test.raises("no EXEC inside", r.transaction, r, function(tx) tx:exec() end)
  test.raises("inside a transaction", r.transaction, r, function() r:multi() r:transaction(function() end) end)
end

T["a watched key that others change: the function runs again"] = function()
  local s = start()
  local r, other = open(s.url), open(s.url)
  r:set("stock", 5)
  local runs = 0
  local replies = r:transaction(function(tx)
    runs = runs + 1
    local n = tonumber(r:get "stock")
    if runs < 3 then other:decr "stock" end
    tx:set("stock", n * 10)
  end, { watch = { "stock" } })
  test.equal({ replies, runs, r:get "stock" }, { { "OK" }, 3, "30" })
  runs = 0
  local e = test.raises("others changed stock each of 4 times", r.transaction, r, function(tx)
    runs = runs + 1
    other:incr "stock"
    tx:set("stock", 0)
  end, { watch = { "stock" }, attempts = 4 })
  test.equal({ e.kind, e.code, e.retry, runs, r:get "stock" }, { "limit", "WATCH", true, 4, "34" })
end

T["a transaction that came to nothing leaves no watch behind"] = function()
  local s = start()
  local r, other = open(s.url), open(s.url)
  r:set("a", 1)
  test.raises("gave up", r.transaction, r, function() error "gave up" end, { watch = { "a" } })
  test.equal(r:transaction(function() end, { watch = { "a" } }), {})
  other:incr "a"
  r:multi()
  r:get "a"
  test.equal(r:exec(), { "2" }, "nothing is watched any more")
end

T["what the server refuses in a transaction is named, and whether the rest was done"] = function()
  local r = open(start().url)
  local e = test.raises("cannot run INCR a one too many on Redis .*wrong number of arguments.*; nothing of the transaction was done",
    r.transaction, r, function(tx) tx:set("a", 1) tx:incr("a", "one", "too", "many") end)
  test.equal({ e.kind, e.code, r:get "a" }, { "remote", "EXECABORT" })
  e = test.raises("cannot run LPUSH a x on Redis .*WRONGTYPE.*; the other commands of the transaction were done", r.transaction, r,
    function(tx) tx:set("a", 1) tx:lpush("a", "x") tx:incr "a" end)
  test.equal({ e.code, r:get "a" }, { "WRONGTYPE", "2" })
  local replies = r:transaction(function(tx) tx:lpush("a", "x") tx:incr "a" end, { keep_errors = true })
  test.equal({ replies[1].code, replies[2] }, { "WRONGTYPE", 3 })
end

T["a transaction whose connection is lost says that its outcome is not known"] = function()
  local s = start()
  local r, other = open(s.url, { timeout = 1 }), open(s.url)
  other:client_pause(60000, "WRITE")
  local e = test.raises("whether the transaction was done is not known", r.transaction, r, function(tx) tx:incr "a" end)
  test.equal(e.kind, "timeout")
  other:client_unpause()
  test.equal(r:ping(), "PONG")
  e = test.raises("the connection is closed", r.transaction, r, function(tx)
    other:client_kill("ID", r:client_id())
    tx:incr "b"
  end, { watch = { "b" } })
  test.equal({ e.kind, r:get "b" }, { "closed" }, "the watch was lost, so nothing is done")
end

T["a script is sent once, and again when the server has forgotten it"] = function()
  local s = start()
  local r = open(s.url)
  local function calls(name) return tonumber((r:info("commandstats")["cmdstat_" .. name] or "calls=0"):match "calls=(%d+)") end
  local push = redis.script "return { redis.call('RPUSH', KEYS[1], ARGV[1], ARGV[2]), KEYS[1] }"
  test.equal(push(r, { "l" }, { "a", secret.new "b" }), { 2, "l" })
  test.equal(push:run(r, { "l" }, { "c", "d" }), { 4, "l" })
  test.equal({ calls "eval", calls "evalsha" }, { 1, 2 })
  r:script_flush()
  test.equal(push(r, { "l" }, { 1, 2 }), { 6, "l" })
  test.equal(calls "eval", 2)
  test.equal(r:transaction(function(tx) push(tx, { "l" }, { 3, 4 }) tx:llen "l" end), { { 8, "l" }, 8 })
  local e = test.raises("cannot run EVALSHA text on Redis .*WRONGTYPE", function() r:set("text", 1) push(r, { "text" }, { 1, 2 }) end)
  test.equal(e.kind, "remote")
  readonly.set(true)
  test.defer(function() readonly.set(false) end)
  test.equal(redis.script("return redis.call('LLEN', KEYS[1])", { read_only = true })(r, { "l" }), 8)
  test.truthy(errors.is(test.raises("read%-only", push, r, { "l" }, { 1, 2 }), "read_only"))
end

return T
