package.path = "tests/support/?.lua;" .. package.path
local test = require "test"
local errors = require "errors"
local fs = require "fs"
local host = require "host.redis"
local process = require "process"
local redis = require "redis"
local redis_lab = require "redis_lab"
local secret = require "secret"
local server = require "rehearsal.planes.redis"
local task = require "task"

local T = test.cases()

local start, open = redis_lab.start, redis_lab.open

T["replies come as native values"] = function()
  local r = open(start().url)
  test.equal(r:set("a", "b"), "OK")
  test.equal(r:get "a", "b")
  test.equal(r:get "no such key", nil)
  test.equal(r:mget("a", "no such key", "a"), { "b", false, "b" })
  test.equal(r:incrby("n", 9007199254740993), 9007199254740993)
  test.equal(r:lrange("no such key", 0, -1), {})
  test.equal(r:keys("*"):sort():map(string.upper), { "A", "N" })
  r:xadd("s", "1-1", "f", "v")
  test.equal(r:xrange("s", "-", "+"), { { "1-1", { "f", "v" } } })
  test.equal(r:config_get "maxmemory", { "maxmemory", "0" })
  test.equal(r:command("ECHO", "x\r\n\0y"), "x\r\n\0y")
  test.equal(r:eval_ro("return {1,{2,{false,'x'}}}", 0), { 1, { 2, { false, "x" } } })
end

T["a word that is neither string, number nor secret is the caller's mistake"] = function()
  local r = open(start().url)
  test.raises("word 2 of the command is a boolean", r.get, r, true)
  test.equal(r:command("ECHO", secret.new "hidden"), "hidden")
end

T["an error reply is raised with the command, the key, and its first word as code"] = function()
  local r = open(start().url)
  r:rpush("list", 1)
  local e = test.raises("^cannot run GET list on Redis 127.0.0.1:%d+: WRONGTYPE", r.get, r, "list")
  test.equal({ e.kind, e.code }, { "remote", "WRONGTYPE" })
  test.equal(r:llen "list", 1, "the connection goes on")
end

T["an error does not quote what AUTH or CONFIG were given"] = function()
  local r = open(start().url)
  local e = test.raises("cannot run AUTH on", r.command, r, "AUTH", "swordfish-4711")
  test.truthy(not tostring(e):find "swordfish", "no password in the error")
end

T["a server that does not know a command repeats its arguments: they are not shown"] = function()
  local r = open(start { settings = { ["rename-command"] = 'HELLO ""' } }.url)
  local e = test.raises("ERR unknown command 'HELLO'$", r.command, r, "HELLO", 3, "AUTH", "default", secret.new "swordfish-4711")
  test.equal({ e.kind, e.code }, { "remote", "ERR" })
  local nameless = server.start { dir = test.tmpdir(), settings = { ["rename-command"] = 'AUTH ""' } }
  test.defer(function() nameless:stop() end)
  e = test.raises("cannot sign in to Redis .*: ERR unknown command 'AUTH'$", redis.open,
    ("redis://:swordfish-4711@%s:%d"):format(nameless.host, nameless.port))
  test.truthy(not e.message:find "swordfish")
end

T["a pipeline answers in order, and raises the first error after reading all"] = function()
  local r = open(start().url)
  local commands = {}
  for i = 1, 5000 do commands[i] = { "SET", "k" .. i, ("v"):rep(200) .. i } end
  test.equal(#r:pipeline(commands), 5000)
  for i = 1, 5000 do commands[i] = { "GET", "k" .. i } end
  test.equal(r:pipeline(commands)[4999], ("v"):rep(200) .. 4999)
  test.raises("cannot run INCR k1 on .*not an integer", r.pipeline, r, { { "PING" }, { "INCR", "k1" }, { "PING" } })
  local replies = r:pipeline({ { "INCR", "k1" }, { "GET", "gone" }, { "PING" } }, { keep_errors = true })
  test.equal({ replies[1].code, replies[2], replies[3] }, { "ERR", false, "PONG" })
end

T["a value of 40 MB goes there and back"] = function()
  local r = open(start().url)
  local big = ("0123456789abcdef"):rep(40 * 65536)
  r:set("big", big)
  test.truthy(r:get "big" == big, "the same 40 MB")
end

T["a closed connection answers with an error, twice closed as well"] = function()
  local s = start()
  local r = redis.open(s.url)
  r:close()
  r:close()
  test.raises("the connection is closed", r.get, r, "a")
  local h = host.open("127.0.0.1", s.port)
  h:close()
  h:close()
  for _, call in ipairs { { "connect" }, { "reply" }, { "replies", 1 }, { "fd" }, { "queue", { "PING" } } } do
    local v, err = h[call[1]](h, call[2])
    test.equal({ v, err.kind }, { nil, "closed" }, call[1])
  end
  test.equal(h:fingerprint(), nil)
  test.equal(select(2, host.open("no.numeric.address", 1)).kind, "invalid")
end

T["a server killed while it answers is a network error; the next command connects again"] = function()
  local dir = test.tmpdir()
  local s = server.start { dir = dir }
  local r = open(s.url)
  local ok, e
  local waiting = task.spawn(function() ok, e = pcall(r.blpop, r, "nothing", 0) end)
  do
    local other <close> = redis.open(s.url)
    while other:info("clients").blocked_clients ~= "1" do task.sleep(0.005) end
  end
  s:kill()
  waiting:join()
  test.equal({ ok, e.kind, e.code, e.retry }, { false, "network", "EOF", true })
  s:stop()                                       -- waits for its end: until then its port may take a connection
  test.raises("Connection refused", r.ping, r)
  local again = server.start { dir = dir, port = s.port }
  test.equal(r:ping(), "PONG")
  again:stop()
end

T["a half-told reply of a dead server is an error, not a value"] = function()
  local dir = test.tmpdir()
  local port = fs.free_port()
  fs.write(dir .. "/peer.py", ([[
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", %d)); s.listen(1)
print("ready", flush=True)
c, _ = s.accept(); c.recv(100); c.sendall(b"+PONG\r\n"); c.recv(100); c.sendall(b"$10\r\nhalf"); c.close()
c, _ = s.accept(); c.recv(100); c.sendall(b"+PONG\r\n"); c.recv(100); c.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"); c.close()
]]):format(port))
  local peer <close> = process.start { "python3", dir .. "/peer.py", stdout = "pipe" }
  test.equal(peer:read_line(), "ready")
  local r = redis.open("redis://127.0.0.1:" .. port)
  local e = test.raises("closed the connection", r.incr, r, "a")
  test.equal(e.kind, "network")
  e = test.raises('not the Redis protocol: a value begins with "H"', r.incr, r, "a")
  test.equal(e.kind, "protocol")
  r:close()
end

T["a cancel while waiting leaves no half-said conversation behind"] = function()
  local r = open(start().url)
  local waiting = task.spawn(function() r:blpop("nothing", 0) end)
  task.sleep(0.05)
  waiting:cancel()
  local e = test.raises("cancelled", waiting.join, waiting)
  test.truthy(errors.is(e, "cancelled"))
  test.equal(r:echo "after", "after")
end

T["a command that takes too long is a time-out"] = function()
  local s = start()
  local r, other = open(s.url), open(s.url)
  other:client_pause(60000, "WRITE")
  r.timeout = 0.2
  local e = test.raises("no answer in time", r.set, r, "a", 1)
  test.equal(e.kind, "timeout")
  r.timeout = 30
  test.equal(r:ping(), "PONG")
end

T["what a command was told to wait for is not cut off by the connection's time"] = function()
  local s = start()
  local r, other = open(s.url, { timeout = 0.6 }), open(s.url)               -- of which a server that counts tenths takes one
  test.equal(r:blpop("nothing", 0.8), nil, "its own time, which is longer")
  test.equal(r:xread("BLOCK", 800, "STREAMS", "nothing", "$"), nil)
  test.equal(r:pipeline { { "BLPOP", "nothing", 0.8 }, { "PING" } }, { false, "PONG" })
  local replies = task.all {
    popped = function() return r:brpop("list", 0) end,                       -- for ever
    pushed = function() task.sleep(0.8) return other:rpush("list", "x") end,
  }
  test.equal(replies.popped, { "list", "x" })
end

T["two tasks on one connection are told so"] = function()
  local r = open(start().url)
  local waiting = task.spawn(function() return pcall(r.blpop, r, "nothing", 0) end)
  task.sleep(0.05)
  test.raises("another task is using this connection", r.ping, r)
  waiting:cancel()
  pcall(waiting.join, waiting)
end

T["a connection that broke in a transaction is not silently replaced"] = function()
  local s = start()
  local r, other = open(s.url), open(s.url)
  r:multi()
  r:set("a", 1)
  other:client_kill("TYPE", "normal", "SKIPME", "yes")
  test.raises("closed", r.set, r, "b", 2)
  test.raises("the connection is closed", r.exec, r)
end

T["the database of the URL is the one that is used, also after a reconnect"] = function()
  local s = start()
  local r, other = open(s.url .. "/5"), open(s.url)
  r:set("five", 1)
  test.match(r:info("keyspace").db5, "keys=1")
  other:client_kill("TYPE", "normal", "SKIPME", "yes")
  test.equal(r:get "five", "1")
  r:select(6)
  other:client_kill("TYPE", "normal", "SKIPME", "yes")
  test.equal(r:get "five", nil)
end

T["a wrong password is kind auth, and not quoted"] = function()
  local s = start { password = "right p@ss/w:rd" }
  test.equal(open(s.url):ping(), "PONG")
  local e = test.raises("^cannot sign in to Redis .*WRONGPASS", redis.open, ("redis://:wrong-4711@127.0.0.1:%d"):format(s.port))
  test.equal(e.kind, "auth")
  test.truthy(not tostring(e):find "wrong%-4711")
  e = test.raises("NOAUTH", redis.open, ("redis://127.0.0.1:%d"):format(s.port))
  test.equal(e.kind, "auth")
end

T["a URL that is none is a usage error that does not quote it"] = function()
  for _, url in ipairs { "http://x:pass4711@h", "pass4711", "redis://h/db4x", "" } do
    local e = test.raises("redis", redis.open, url)
    test.equal(e.kind, "usage", url)
    test.truthy(not tostring(e):find "pass4711")
  end
  test.raises("no option tls", redis.open, { url = "redis://127.0.0.1", tls = true })
  test.raises("ca and pin need a rediss", redis.open, { url = "redis://127.0.0.1", pin = ("a"):rep(64) })
  test.raises("64 digits", redis.open, { url = "rediss://127.0.0.1", pin = "abc" })
end

T["a server that refuses the port is named with its reason"] = function()
  local port = fs.free_port()
  local e = test.raises("cannot connect to Redis 127.0.0.1:" .. port .. ": .*refused", redis.open, "redis://127.0.0.1:" .. port)
  test.equal({ e.kind, e.code }, { "network", "ECONNREFUSED" })
end

T["a command of more than 2 GiB is refused, not cut short"] = function()
  local s = start()
  local conn = host.open("127.0.0.1", s.port)
  test.defer(function() conn:close() end)
  local words, big = { "MSET" }, ("x"):rep(1 << 20)
  for i = 1, 3000 do words[i + 1] = big end
  local ok, err = conn:queue(words)
  test.equal({ ok, err.kind }, { nil, "limit" })
end

return T
