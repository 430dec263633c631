package.path = "tests/support/?.lua;" .. package.path
local test = require "test"
local errors = require "errors"
local fs = require "fs"
local process = require "process"
local redis_lab = require "redis_lab"
local server = require "rehearsal.planes.redis"
local task = require "task"

local T = test.cases()

local start, open = redis_lab.start, redis_lab.open

T["what is published from the call on comes in order, and the connection goes on with commands"] = function()
  local r = open(start().url)
  local got = {}
  local sub = r:subscribe { "news", "jobs", patterns = { "key*" } }
  for i = 1, 3 do r:publish("news", "n" .. i) end
  r:publish("nobody listens", "lost")
  r:publish("keys", "\0\r\n")
  r:publish("jobs", "last")
  for channel, message, pattern in sub do
    got[#got + 1] = { channel, message, pattern or "-" }
    test.equal(r:incr "seen", #got)
    if message == "last" then break end
  end
  sub:close()
  test.equal(got, { { "news", "n1", "-" }, { "news", "n2", "-" }, { "news", "n3", "-" }, { "keys", "\0\r\n", "key*" },
    { "jobs", "last", "-" } })
  test.equal(sub(), nil, "a closed one has no more")
end

T["a message that comes before all channels are confirmed is not lost"] = function()
  local dir, port = test.tmpdir(), fs.free_port()
  fs.write(dir .. "/peer.py", ([[
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", %d)); s.listen(2)
print("ready", flush=True)
def word(w): return b"$%%d\r\n%%s\r\n" %% (len(w), w)
def confirm(c, n): return b"*3\r\n" + word(b"subscribe") + word(c) + b":%%d\r\n" %% n
def message(c, m): return b"*3\r\n" + word(b"message") + word(c) + word(m)
asked, _ = s.accept(); asked.recv(100); asked.sendall(b"+PONG\r\n")
c, _ = s.accept(); c.recv(100); c.sendall(b"+PONG\r\n"); c.recv(100)
c.sendall(confirm(b"a", 1) + message(b"a", b"early") + confirm(b"b", 2) + message(b"b", b"late"))
c.recv(100)
]]):format(port))
  local p = process.start { "python3", dir .. "/peer.py", stdout = "pipe" }
  test.defer(function() p:stop(5) end)
  test.equal(p:read_line(), "ready")
  local sub <close> = open("redis://127.0.0.1:" .. port):subscribe { "a", "b" }
  test.equal({ { sub() }, { sub() } }, { { "a", "early" }, { "b", "late" } })
end

T["leaving the loop ends the subscription on the server too"] = function()
  local r = open(start().url)
  local function listeners(channel) return r:pubsub_numsub(channel)[2] end
  for _ in r:subscribe { "silent", timeout = 0.05 } do test.truthy(false, "nothing was sent") end
  local told = {}
  local leaves = task.spawn(function()
    for _, message in r:subscribe { "a" } do
      told[#told + 1] = message
      if message == "last" then break end
    end
  end)
  while listeners "a" == 0 do task.sleep(0.005) end
  r:pipeline { { "PUBLISH", "a", "first" }, { "PUBLISH", "a", "last" }, { "PUBLISH", "a", "too late" } }
  leaves:join()
  test.equal(told, { "first", "last" })
  while listeners "a" + listeners "silent" > 0 do task.sleep(0.005) end   -- the server hears of the close in its own time
  test.equal(r:ping(), "PONG")
end

T["a task that listens can be cancelled"] = function()
  local r = open(start().url)
  local listening = task.spawn(function()
    for _ in r:psubscribe { "*" } do test.truthy(false, "nothing was sent") end
  end)
  while r:pubsub_numpat() == 0 do task.sleep(0.005) end
  listening:cancel()
  local e = test.raises("cancelled", listening.join, listening)
  test.truthy(errors.is(e, "cancelled"))
  while r:pubsub_numpat() > 0 do task.sleep(0.005) end
  test.equal(r:ping(), "PONG")
end

T["keyspace notifications, patterns with database numbers"] = function()
  local s = start { settings = { ["notify-keyspace-events"] = "KEA" } }
  local r = open(s.url .. "/3")
  local sub <close> = r:psubscribe { "__keyspace@*__:*" }
  r:set("a", 1)
  r:del "a"
  test.equal({ sub() }, { "__keyspace@3__:a", "set", "__keyspace@*__:*" })
  test.equal({ sub() }, { "__keyspace@3__:a", "del", "__keyspace@*__:*" })
end

T["a lost connection is an error; with on_gap it listens again and says so"] = function()
  local s = start()
  local r = open(s.url)
  local gaps = {}
  local sub = r:subscribe { "a" }
  local patient <close> = r:subscribe { "a", patterns = { "b*" }, on_gap = function(e) gaps[#gaps + 1] = e end }
  r:publish("a", 1)
  test.equal({ sub() }, { "a", "1" })
  r:client_kill("TYPE", "pubsub")
  local e = test.raises("cannot listen to Redis 127.0.0.1:%d+: the server closed the connection", sub)
  test.equal({ e.kind, e.retry, sub() }, { "network", true })
  local publisher = task.spawn(function()
    while r:pubsub_numpat() == 0 or r:pubsub_numsub("a")[2] == 0 do task.sleep(0.005) end
    r:publish("a", 2)
  end)
  test.equal({ patient() }, { "a", "1" })
  test.equal({ patient() }, { "a", "2" })
  publisher:join()
  local enough
  enough = r:subscribe { "c", on_gap = function() enough:close() end }
  r:client_kill("TYPE", "pubsub")
  test.equal(enough(), nil, "who is told may end it")
  test.equal(#gaps, 1)
  test.match(tostring(gaps[1]), "it listens again, and what was sent meanwhile is lost")
end

T["a subscription survives a restart of the server, when it may"] = function()
  local dir = test.tmpdir()
  local s = server.start { dir = dir }
  local gaps = 0
  local r = open(s.url)
  local sub <close> = r:subscribe { "a", on_gap = function() gaps = gaps + 1 end }
  s:kill()
  s:stop()
  local came = task.spawn(function() return sub() end)
  start { dir = dir, port = s.port }
  r = open(s.url)
  while r:pubsub_numsub("a")[2] == 0 do task.sleep(0.01) end
  r:publish("a", "again")
  test.equal({ came:join() }, { "a", "again" })
  test.equal(gaps, 1)
end

T["a full buffer on the server is a gap, not silence"] = function()
  local s = start { settings = { ["client-output-buffer-limit"] = "pubsub 256kb 64kb 1" } }
  local r = open(s.url)
  local gap
  local sub <close> = r:subscribe { "a", on_gap = function(e) gap = e end }
  local big, sent = ("x"):rep(100000), 0
  repeat                                -- nobody reads: sooner or later the server has to end it
    sent = sent + r:publish("a", big)
  until r:pubsub_numsub("a")[2] == 0
  test.truthy(sent > 2, "some went into buffers")
  local told = task.spawn(function()
    while r:pubsub_numsub("a")[2] == 0 do task.sleep(0.005) end
    r:publish("a", "after")
  end)
  local got = 0
  for _, message in sub do
    if message == "after" then break end
    got = got + 1
  end
  told:join()
  test.truthy(gap and got < sent, "some is lost, and that was told")
end

T["a silent server is asked whether it is there, and its silence is a loss"] = function()
  local s = start()
  local r = open(s.url, { timeout = 1 })
  local sub = require "redis.subscription"
  local beat = sub.heartbeat
  test.defer(function() sub.heartbeat = beat end)
  sub.heartbeat = 0.05
  local ended = r:subscribe { "a", timeout = 0.4 }
  test.equal(ended(), nil, "beats are answered")
  local stalled = r:subscribe { "a" }
  s.process:kill "STOP"
  local e = test.raises("cannot listen to Redis .*no answer in time", stalled)
  test.equal(e.kind, "timeout")
  s.process:kill "CONT"
end

T["what MONITOR sees"] = function()
  local r = open(start().url)
  local lines <close> = r:monitor()
  r:set("key", "value")
  local line
  repeat line = lines() until line:find "SET"
  test.match(line, '"SET" "key" "value"')
end

T["refused: no channel, a missing right, and the bare commands"] = function()
  local s = start()
  local r = open(s.url)
  test.raises("at least one channel", r.subscribe, r, {})
  test.raises("no option timeot %(did you mean timeout", r.subscribe, r, { "a", timeot = 1 })
  test.raises("channel 1 is a number", r.subscribe, r, { 1 })
  test.raises("SUBSCRIBE is no command with one answer: use r:subscribe", r.command, r, "subscribe", "a")
  test.raises("CLIENT is no command with one answer", r.client_reply, r, "OFF")
  r:acl_setuser("deaf", "on", ">p", "+@all", "resetchannels")
  local deaf = open(("redis://deaf:p@%s:%d"):format(s.host, s.port))
  local e = test.raises("cannot listen to Redis .*NOPERM", deaf.subscribe, deaf, "a")
  test.equal({ e.kind, e.code }, { "auth", "NOPERM" })
  r:close()
  test.raises("the connection is closed", r.subscribe, r, "a")
end

return T
