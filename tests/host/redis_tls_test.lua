--- TLS: which certificates are accepted, and that nothing is said to the others. And the way through an ssh tunnel.
package.path = "tests/support/?.lua;" .. package.path
local test = require "test"
local authority = require "rehearsal.planes.ca"
local fs = require "fs"
local log = require "log"
local process = require "process"
local redis = require "redis"
local redis_lab = require "redis_lab"
local secret = require "secret"
local ssh = require "ssh"
local sshd = require "rehearsal.planes.sshd"
local task = require "task"

local T = test.cases()

local start, open = redis_lab.start, redis_lab.open

--- What is logged from here on.
local function hear()
  local said, sink = {}, log.sink
  log.sink = function(_, line) said[#said + 1] = line end
  test.defer(function() log.sink = sink end)
  return said
end

T["a certificate of a trusted authority and the right name is accepted"] = function()
  local ca = authority.new(test.tmpdir())
  local by_ip = ca:issue { name = "cache", ips = { "127.0.0.1" } }
  local s = start { tls = true, cert = by_ip.cert, key = by_ip.key, password = secret.random(32) }
  local r = open { url = s.url, ca = ca.file }
  test.equal(r:ping(), "PONG")
  test.equal(#r:fingerprint(), 64)
  local e = test.raises("certificate is refused", redis.open, s.url)
  test.equal(e.kind, "tls")
  e = test.raises("certificate is refused", redis.open, { url = s.url, ca = authority.new(test.tmpdir()).file })
  test.equal(e.kind, "tls")
  test.raises("cannot be read", redis.open, { url = s.url, ca = "/nonexistent.pem" })
end

T["a certificate for another name is refused"] = function()
  local ca = authority.new(test.tmpdir())
  local other = ca:issue { name = "other", names = { "other.example.com" }, ips = { "127.0.0.9" } }
  local s = start { tls = true, cert = other.cert, key = other.key }
  test.raises("IP address mismatch", redis.open, { url = s.url, ca = ca.file })
  test.raises("ostname mismatch", redis.open, { url = ("rediss://localhost:%d"):format(s.port), ca = ca.file })
end

T["an expired certificate is refused, pinned or not"] = function()
  local dir = test.tmpdir()
  local old = { cert = dir .. "/old.pem", key = dir .. "/old.key" }
  fs.write(dir .. "/ext", "subjectAltName=IP:127.0.0.1\n")
  for _, words in ipairs {
    "ecparam -name prime256v1 -genkey -noout -out old.key",
    "req -new -key old.key -subj /CN=old -out old.csr",
    "x509 -req -in old.csr -signkey old.key -days -1 -extfile ext -out old.pem",
  } do
    local command = { "openssl", cwd = dir }
    for word in words:gmatch "%S+" do command[#command + 1] = word end
    local made = process.run(command)
    test.equal(made.code, 0, made.stderr)
  end
  local s = start { tls = true, cert = old.cert, key = old.key }
  test.raises("certificate has expired", redis.open, { url = s.url, ca = old.cert })
  test.raises("certificate has expired", redis.open, { url = s.url, pin = redis.fingerprint(s.url) })
  test.equal(open({ url = s.url, insecure = true }):ping(), "PONG")
end

T["a pin accepts one self-signed certificate and no other"] = function()
  local s = start { tls = true, password = "p" }
  local pin = redis.fingerprint(s.url)
  local said = process.run { "openssl", "x509", "-in", s.cert, "-noout", "-fingerprint", "-sha256" }.stdout:match "=(.*)\n"
  test.equal(said:gsub(":", ""):lower(), pin)
  test.equal(open({ url = s.url, pin = said }):ping(), "PONG")
  local wrong = (pin:sub(1, 1) == "0" and "1" or "0") .. pin:sub(2)
  local e = test.raises("not the pinned one", redis.open, { url = s.url, pin = wrong })
  test.equal({ e.kind, e.code }, { "tls", "pin" })
end

T["nothing is sent in clear on a TLS URL, nor before the certificate is accepted"] = function()
  local dir = test.tmpdir()
  local port = fs.free_port()
  fs.write(dir .. "/peer.py", ([[
import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", %d)); s.listen(1)
print("ready", flush=True)
c, _ = s.accept(); got = c.recv(65536); c.sendall(b"-ERR no TLS here\r\n")
try: got += c.recv(65536)
except OSError: pass
open(%q, "wb").write(got)
]]):format(port, dir .. "/got"))
  local p <close> = process.start { "python3", dir .. "/peer.py", stdout = "pipe" }
  test.equal(p:read_line(), "ready")
  local e = test.raises("does not speak TLS", redis.open, { url = ("rediss://:swordfish@127.0.0.1:%d"):format(port), insecure = true })
  test.equal(e.kind, "tls")
  test.equal(p:wait(60), 0)
  local got = fs.read(dir .. "/got")
  test.truthy(#got > 0 and got:byte(1) == 22, "a TLS hello")
  test.truthy(not got:find "swordfish" and not got:find "AUTH\r\n", "and no password")
end

T["a server that is refused has not got a word, though it speaks TLS"] = function()
  local dir, port = test.tmpdir(), fs.free_port()
  local pair = authority.new(dir):issue { name = "localhost", ips = { "127.0.0.1" } }
  fs.write(dir .. "/peer.py", ([[
import socket, ssl
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", %d)); s.listen(1)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(%q, %q)
print("ready", flush=True)
for _ in range(3):
    c, _ = s.accept()
    try:
        c = context.wrap_socket(c, server_side=True)
        print("heard", c.recv(1000), flush=True)
    except OSError as e: print("heard", b"", flush=True)
    c.close()
]]):format(port, pair.cert, pair.key))
  local p <close> = process.start { "python3", dir .. "/peer.py", stdout = "pipe" }
  test.equal(p:read_line(), "ready")
  local url = ("rediss://:swordfish@127.0.0.1:%d"):format(port)
  test.equal(test.raises("certificate is refused", redis.open, { url = url, ca = authority.new(dir .. "/other").file }).kind, "tls")
  test.equal(p:read_line(), "heard b''")
  test.equal(test.raises("not the pinned one", redis.open, { url = url, pin = ("0"):rep(64) }).kind, "tls")
  test.equal(p:read_line(), "heard b''")
  test.raises("closed the connection", redis.open, { url = url, ca = dir .. "/ca.pem" })
  test.match(p:read_line(), "AUTH.*swordfish", "who is accepted hears it")
end

T["a reply is whole with its last record, after however many"] = function()
  local dir, port = test.tmpdir(), fs.free_port()
  local pair = authority.new(dir):issue { name = "localhost", ips = { "127.0.0.1" } }
  fs.write(dir .. "/peer.py", ([[
import socket, ssl
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", %d)); s.listen(1)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(%q, %q)
print("ready", flush=True)
c = context.wrap_socket(s.accept()[0], server_side=True)
while n := int(c.recv(1000).split(b"\r\n")[4]):
    for i in range(n): c.sendall(b"+" if i == 0 else b"\r" if i == n - 2 else b"\n" if i == n - 1 else b"x")
    print("sent", flush=True)
]]):format(port, pair.cert, pair.key))
  local p <close> = process.start { "python3", dir .. "/peer.py", stdout = "pipe" }
  test.equal(p:read_line(), "ready")
  local conn <close> = require "host.redis".open("127.0.0.1", port, "localhost", nil, nil, true)
  conn:deadline(task.now() + 30)
  task.step(conn, "connect")
  for _, records in ipairs { 3, 32, 63, 64, 65, 127, 128, 129, 640 } do
    conn:queue { "ECHO", records }
    test.equal(conn:reply(), false)
    test.equal(p:read_line(), "sent")
    conn:deadline(task.now() + 5)
    test.equal(task.step(conn, "reply"), ("x"):rep(records - 3), records)
  end
  conn:queue { "ECHO", 0 }
  conn:reply()
  test.equal(p:wait(20), 0)
end

T["a plain server behind a TLS URL is told nothing, by any of those who connect"] = function()
  local s = start { password = "swordfish" }
  local own = open(s.url)
  local url = ("rediss://:swordfish@127.0.0.1:%d"):format(s.port)
  own:config_resetstat()
  for _, e in ipairs { { url = url }, { url = url, insecure = true }, { url = url, pin = ("0"):rep(64) } } do
    local failed = test.raises("", redis.open, e, { timeout = 0.3 })
    test.truthy(failed.kind == "tls" or failed.kind == "timeout" or failed.kind == "network", failed.kind)
  end
  test.raises("", redis.open, { url = url, insecure = true }, { timeout = 2, protocol = 3 })
  test.raises("", redis.open, { url = url, insecure = true }, { timeout = 2, cluster = true })
  test.raises("", redis.copy, { from = { url = url, insecure = true }, to = s.url, timeout = 0.3 })
  local stats = own:info "commandstats"
  test.equal({ stats.cmdstat_auth, stats.cmdstat_hello, stats.cmdstat_ping }, {})
end

T["insecure is said once in the log, and always in the connection's name"] = function()
  local s = start { tls = true }
  local said = hear()
  local r = open { url = s.url, insecure = true }
  open { url = s.url, insecure = true }
  test.equal(#said, 1)
  test.match(said[1], "the TLS certificate of Redis 127.0.0.1:" .. s.port .. " is not checked %(insecure = true%)")
  test.equal(tostring(r), ("redis 127.0.0.1:%d (insecure: its certificate is not checked)"):format(s.port))
  test.equal(tostring(open { url = s.url, pin = redis.fingerprint(s.url) }), ("redis 127.0.0.1:%d"):format(s.port))
end

T["insecure is kept in the journal of the recipe that allowed it"] = function()
  local s = start { tls = true }
  local dir = test.tmpdir()
  fs.write(dir .. "/ping.lua", ([[
local recipe, redis = require "recipe", require "redis"
for i = 1, 2 do
  recipe.once("ask " .. i, function()
    local r <close> = redis.open { url = "rediss://127.0.0.1:%d", insecure = true }
    return r:ping()
  end)
end
]]):format(s.port))
  local function hkrun(...)
    local words = { fs.realpath "/proc/self/exe", ... }
    words.cwd, words.timeout = dir, 60
    words.env = { PATH = os.getenv "PATH", HOME = dir, HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB") }
    return process.run(words)
  end
  local applied = hkrun("ping.lua", "--yes")
  test.equal(applied.code, 0, applied.stderr)
  local shown = hkrun("log", "ping.lua").stdout
  local _, times = shown:gsub("risk: the TLS certificate of Redis 127.0.0.1:" .. s.port .. " is not checked", "")
  test.equal(times, 1, shown)
end

--- The TCP ports that this process listens on.
local function listening()
  local mine, n = {}, 0
  local links = process.run { "ls", "-l", ("/proc/%d/fd"):format(process.pid()) }.stdout
  for inode in links:gmatch "socket:%[(%d+)%]" do mine[inode] = true end
  for _, path in ipairs { "/proc/self/net/tcp", "/proc/self/net/tcp6" } do
    for line in fs.read(path):gmatch "[^\n]+" do
      local state, inode = line:match "^%s*%d+: %x+:%x+ %x+:%x+ (%x%x) %S+ %S+ %S+ +%d+ +%d+ (%d+)"
      if state == "0A" and mine[inode] then n = n + 1 end
    end
  end
  return n
end

T["through an ssh session no port listens, and the certificate is checked against the real name"] = function()
  local ca = authority.new(test.tmpdir())
  local pair = ca:issue { name = "localhost", names = { "localhost" } }
  local s = start { tls = true, password = "p", cert = pair.cert, key = pair.key }
  local target = start()
  local key = ssh.keygen()
  local gate = sshd.start { dir = test.tmpdir(), user = "ec2-user", authorized_keys = key.public }
  test.defer(function() gate:stop() end)
  local via = ssh.open { host = gate.host, port = gate.port, user = gate.user, key = key.private, host_key = gate.host_keys }
  test.defer(function() via:close() end)
  local function at(host) return { url = ("rediss://:p@%s:%d"):format(host, s.port), ca = ca.file, via = via } end

  local port = via:tunnel(("localhost:%d"):format(s.port))
  test.equal(listening(), 1, "the measure sees a port that listens")
  port:close()
  local r = redis.open(at "localhost")
  test.equal({ r:ping(), listening(), r.address:match "^240%." }, { "PONG", 0, "240." })
  local big = ("0123456789abcdef"):rep(200000)
  r:set("big", big)
  test.truthy(r:get "big" == big, "three megabytes there and back")
  test.equal(test.raises("IP address mismatch", redis.open, at "127.0.0.1").kind, "tls")

  local sub <close> = r:subscribe { "news" }
  r:publish("news", "through the tunnel")
  test.equal({ sub() }, { "news", "through the tunnel" })
  local killer = r:another()
  killer:client_kill("ID", r:client_id())
  test.truthy(r:get "big" == big, "opened again, the same way")
  killer:close()

  local copied = redis.copy { from = at "localhost", to = { url = ("redis://localhost:%d"):format(target.port), via = via } }
  test.equal({ copied.keys, listening() }, { 1, 0 })
  test.truthy(open(target.url):get "big" == big, "copied through two tunnels")

  test.truthy(next(via.tunnels), "the tunnel is there as long as somebody uses it")
  r:close()
  sub:close()
  test.equal(next(via.tunnels), nil, "the last one closes it")
  via:close()
  test.raises("the session is closed", redis.open, at "localhost")
end

return T
