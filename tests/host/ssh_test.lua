--- host.ssh and the ssh module against a real OpenSSH server.
local test = require "test"
local ssh = require "ssh"
local sshd = require "rehearsal.planes.sshd"
local process = require "process"
local task = require "task"
local fs = require "fs"

local T = test.cases()

--- A server and a key that it lets in, for one case.
local function serve(o)
  local dir = test.tmpdir()
  local key = ssh.keygen()
  o = o or {}
  o.dir, o.user, o.authorized_keys = dir .. "/sshd", "ec2-user", key.public
  local server = sshd.start(o)
  test.defer(function() server:stop() end)
  return server, key, dir
end

local function open(server, key, o)
  local all = { host = server.host, port = server.port, user = server.user, key = key.private,
                host_key = server.host_keys }
  for k, v in pairs(o or {}) do all[k] = v end
  return ssh.open(all)
end

local function threads() return #fs.list "/proc/self/task" end

--- Waits until there are as many: /proc shows a thread for a moment after it was joined.
local function expect_threads(n)
  for _ = 1, 500 do
    if threads() == n then break end
    task.sleep(0.01)
  end
  test.equal(threads(), n)
end

--- Sends a pattern through a command of this machine; its SHA-256.
local function sha256(path) return process.run({ "sha256sum", path }).stdout:match "^%x+" end

local function make_file(path, bytes)
  local code = process.run { "sh", "-c", 'head -c "$1" /dev/urandom > "$2"', "sh", tostring(bytes), path }.code
  test.equal(code, 0)
end

--- A TCP server of other people's making: echoes, or sends `bytes` zeros.
local ECHO = [[
import socket, sys, threading
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(128)
print(s.getsockname()[1], flush=True)
def serve(c):
    while True:
        d = c.recv(65536)
        if not d: break
        c.sendall(d)
    c.close()
while True:
    c, _ = s.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
]]

--- Clients through the tunnel: n at once, each sends `size` random bytes and
--- compares what comes back until the end of the stream.
local CLIENT = [[
import os, socket, sys, threading
port, n, size = map(int, sys.argv[1:])
data, bad = os.urandom(size), []
def one(i):
    c = socket.create_connection(("127.0.0.1", port))
    def send():
        c.sendall(i.to_bytes(2, "big") + data); c.shutdown(socket.SHUT_WR)
    t = threading.Thread(target=send); t.start()
    got = bytearray()
    while True:
        d = c.recv(262144)
        if not d: break
        got += d
    t.join(); c.close()
    if bytes(got) != i.to_bytes(2, "big") + data: bad.append((i, len(got)))
ts = [threading.Thread(target=one, args=(i,)) for i in range(n)]
[t.start() for t in ts]; [t.join() for t in ts]
print("equal" if not bad else bad)
]]

local function echo_server()
  local p = process.start { "python3", "-c", ECHO, stdout = "pipe" }
  test.defer(function() p:stop(2) end)
  return p:read_line()
end

local function through(port, n, size)
  local r = process.run { "python3", "-c", CLIENT, tostring(port), tostring(n), tostring(size), timeout = 120 }
  return (r.stdout .. r.stderr):match "^%s*(.-)%s*$"
end

T["a command's output, error output and exit code come back"] = function()
  local server, key = serve()
  local s <close> = open(server, key)
  local r = s:run "id -un; echo wrong >&2; exit 3"
  test.equal(r.stderr, "wrong\n")
  test.equal(r.code, 3)
  test.equal(r.stdout, server.user .. "\n")
  test.equal(s:run("exit 0"), { code = 0, stdout = "", stderr = "" })
  test.equal(s:run("kill -TERM $$"), { signal = "TERM", stdout = "", stderr = "" })
  test.equal(s:run("no-such-program").code, 127)
  test.match(s:cipher(), "^aes128%-gcm")
end

T["what goes in on stdin comes out whole, ten megabytes of it"] = function()
  local server, key, dir = serve()
  local s <close> = open(server, key)
  test.equal(s:run("cat", { stdin = "two\nlines" }).stdout, "two\nlines")
  make_file(dir .. "/big", 10 << 20)
  local bytes = fs.read(dir .. "/big")
  local r = s:run("tee /dev/stderr", { stdin = bytes })
  test.truthy(r.stdout == bytes, "the same bytes on stdout")
  test.truthy(r.stderr == bytes, "the same bytes on stderr")
end

T["a command that does not read its stdin ends all the same"] = function()
  local server, key = serve()
  local s <close> = open(server, key)
  test.equal(s:run("exit 4", { stdin = ("x"):rep(8 << 20) }).code, 4)
  test.equal(s:run("echo still here").stdout, "still here\n")
end

T["thirty commands share one session, more than sshd allows at once"] = function()
  local server, key = serve()
  local s <close> = open(server, key)
  local list = {}
  for i = 1, 30 do list[i] = i end
  local got = task.map(list, function(i)
    return s:run(("sleep 0.1; seq %d"):format(i * 100)).stdout:match "(%d+)\n$"
  end, { limit = 30 })
  for i = 1, 30 do test.equal(got[i], tostring(i * 100)) end
end

T["commands take turns on a server that allows few sessions, and one that allows none is told"] = function()
  local server, key = serve { settings = { MaxSessions = 2 } }
  local s <close> = open(server, key)
  local got = task.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function(i) return s:run("echo " .. i).stdout end)
  test.equal(table.concat(got), "1\n2\n3\n4\n5\n6\n7\n8\n")
  local none, other = serve { settings = { MaxSessions = 0 } }
  local closed <close> = open(none, other)
  test.raises("the server opens no channel", closed.run, closed, "true")
end

T["output without end is cut off with an error, and the session lives on"] = function()
  local server, key = serve()
  local s <close> = open(server, key)
  local c <close> = s.handle:exec("cat /dev/zero", nil, 1 << 20)
  task.await(c:id(), 20)
  local v, err = c:result()
  test.equal(v, nil)
  test.equal(err.kind, "limit")
  test.equal(s:run("echo on").stdout, "on\n")
end

T["a file goes there and back, byte for byte, with progress"] = function()
  local server, key, dir = serve()
  local s <close> = open(server, key)
  make_file(dir .. "/here", (20 << 20) + 12345)
  local seen, all = 0, 0
  test.equal(s:put(dir .. "/here", "there", { progress = function(done, total) seen, all = done, total end }),
    (20 << 20) + 12345)
  test.truthy(seen > 0 and all == (20 << 20) + 12345, "progress was told")
  test.equal(s:run("sha256sum < there").stdout:match "^%x+", sha256(dir .. "/here"))
  test.equal(s:get("there", dir .. "/back"), (20 << 20) + 12345)
  test.equal(sha256(dir .. "/back"), sha256(dir .. "/here"))
  test.equal(fs.exists(dir .. "/back.part"), false)
  s:run ": > empty"
  test.equal(s:get("empty", dir .. "/empty"), 0)
  test.equal(fs.read(dir .. "/empty"), "")
end

T["a file that cannot be copied is named, and nothing is left behind"] = function()
  local server, key, dir = serve()
  local s <close> = open(server, key)
  local e = test.raises("nowhere: no such file", s.get, s, "nowhere", dir .. "/x")
  test.equal(e.kind, "not_found")
  test.equal(fs.exists(dir .. "/x"), false)
  test.equal(fs.exists(dir .. "/x.part"), false)
  test.raises("nothing: No such file", s.put, s, dir .. "/nothing", "x")
  fs.write(dir .. "/small", "small")
  test.raises("permission denied", s.put, s, dir .. "/small", "/root/x")
end

T["twenty connections run through one tunnel at once"] = function()
  local server, key = serve()
  local s <close> = open(server, key)
  local t = s:tunnel("127.0.0.1:" .. echo_server())
  test.equal(t.host, "127.0.0.1")
  test.equal(s:tunnel(t.target), t, "the same tunnel for the same target")
  test.equal(through(t.port, 20, 300000), "equal")
  local up, down, _, total = t:counts()
  test.equal({ up, down, total }, { 20 * 300002, 20 * 300002, 20 })
end

T["fifty megabytes run through a tunnel both ways"] = function()
  local server, key = serve()
  local s <close> = open(server, key)
  local t <close> = s:tunnel("127.0.0.1:" .. echo_server())
  test.equal(through(t.port, 1, 50 << 20), "equal")
  test.equal(t:last_error(), nil)
end

T["a target that refuses closes the local connection and says why"] = function()
  local server, key = serve()
  local s <close> = open(server, key)
  local t <close> = s:tunnel("127.0.0.1:" .. fs.free_port())
  local r = process.run { "python3", "-c", [[
import socket, sys
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
try: print(repr(c.recv(1)))
except ConnectionError: print("reset")
]], tostring(t.port) }
  test.match(r.stdout, "^b''\n$")
  test.match(t:last_error(), "refused")
  test.equal(s:run("echo on").stdout, "on\n")
end

T["another user of this machine is not let into the tunnel"] = function()
  if fs.uid() ~= 0 then
    test.truthy(process.run({ "id", "-u" }).stdout ~= "0\n")    -- only root can become another user
    return
  end
  local server, key = serve()
  local s <close> = open(server, key)
  local t <close> = s:tunnel("127.0.0.1:" .. echo_server())
  local connect = { "/usr/bin/python3", "-c", [[
import socket, sys
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
try: c.sendall(b"hello"); print(c.recv(5))
except ConnectionError: print("reset")
]], tostring(t.port) }
  test.equal(process.run(connect).stdout, "b'hello'\n")
  connect.user = "nobody"
  local out = process.run(connect).stdout
  test.truthy(out == "b''\n" or out == "reset\n", "refused, got " .. out)
  test.match(t:last_error(), "user %d+ of this machine")
end

T["an idle tunnel costs no processor time, and closing it ends what runs through it"] = function()
  local server, key = serve()
  local s <close> = open(server, key)
  local before = threads()
  local t = s:tunnel("127.0.0.1:" .. echo_server())
  expect_threads(before + 1)
  local p = process.start { "python3", "-c", [[
import socket, sys
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
c.sendall(b"x"); c.recv(1); print("through", flush=True)
print(repr(c.recv(1)))
]], tostring(t.port), stdout = "pipe" }
  test.equal(p:read_line(), "through")
  local cpu = os.clock()
  task.sleep(0.4)
  test.truthy(os.clock() - cpu < 0.2, "no processor time while nothing happens")
  t:close()
  t:close()
  test.match(p:read_line() or "", "^b''")
  p:stop()
  expect_threads(before)
  test.truthy(s:tunnel(t.target) ~= t, "a closed tunnel is made anew")
end

T["a server killed in the middle fails what is under way, quickly"] = function()
  local server, key, dir = serve()
  local s <close> = open(server, key)
  local t <close> = s:tunnel "127.0.0.1:9"
  make_file(dir .. "/big", 1 << 20)
  local kinds = task.all {
    run = function() return test.raises("", s.run, s, "sleep 60", { timeout = 30 }).kind end,
    get = function() return test.raises("", s.get, s, "/dev/zero", dir .. "/zeros").kind end,
    kill = function()
      while not fs.exists(dir .. "/zeros.part") or fs.stat(dir .. "/zeros.part").size == 0 do task.sleep(0.02) end
      server:stop()
      return "killed"
    end,
  }
  test.equal(kinds, { run = "network", get = "network", kill = "killed" })
  test.equal(fs.exists(dir .. "/zeros"), false)
  test.equal(fs.exists(dir .. "/zeros.part"), false)
  test.equal(test.raises("", s.run, s, "true").kind, "network")
  while t.handle:result() do task.sleep(0.02) end
  test.truthy(t:last_error())
  test.raises("refused", s.tunnel, s, t.target)
end

T["a changed host key, and one of another kind, are refused"] = function()
  local server, key = serve()
  local other = ssh.keygen()
  local e = test.raises("host key is SHA256:.*not the expected one", open, server, key, { host_key = other.public })
  test.equal({ e.kind, e.code }, { "auth", "host_key_changed" })
  test.match(tostring(e), ssh.fingerprint(server.host_keys[1]):gsub("%p", "%%%0"))
  process.run { "ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", server.dir .. "/rsa" }
  e = test.raises("host key", open, server, key, { host_key = fs.read(server.dir .. "/rsa.pub") })
  test.equal(e.code, "host_key_changed")
  open(server, key, { host_key = { other.public, server.host_keys[1] } }):close()
  open(server, key, { host_key = ssh.fingerprint(server.host_keys[1]) }):close()
end

T["known_hosts decides: known, changed, unknown, no such file"] = function()
  local server, key, dir = serve()
  local known = dir .. "/known_hosts"
  local function try(text)
    if text then fs.write(known, text) end
    local s = ssh.open { host = server.host, port = server.port, user = server.user, key = key.private,
                         known_hosts = known }
    s:close()
  end
  test.equal(test.raises("is not in", try).code, "host_key_unknown")
  test.equal(test.raises("is not in", try, "other.example.com " .. server.host_keys[1] .. "\n").code,
    "host_key_unknown")
  try(server:known_hosts())
  local wrong = server:known_hosts():gsub("%S+\n$", ssh.keygen().public:match "%S+$" .. "\n")
  local e = test.raises("not the one in", try, wrong)
  test.equal({ e.kind, e.code }, { "auth", "host_key_changed" })
end

T["a wrong key is refused, with the user's name"] = function()
  local server, key = serve()
  local e = test.raises(server.user:gsub("%p", "%%%0") .. " is not let in", open, server, key, { key = ssh.keygen().private })
  test.equal({ e.kind, e.code }, { "auth", "key_refused" })
  test.raises("not a private key", open, server, key, { key = "-----BEGIN nonsense" })
  test.raises("cannot read the key /no/such/key", open, server, key, { key = "/no/such/key" })
end

T["a key from keygen is one that OpenSSH takes, and names alike"] = function()
  local server, key, dir = serve()
  fs.write(dir .. "/key", key.private, 384)
  test.equal(process.run({ "ssh-keygen", "-y", "-f", dir .. "/key" }).stdout:match "^%S+ %S+", key.public)
  fs.write(dir .. "/key.pub", key.public .. "\n")
  test.match(process.run({ "ssh-keygen", "-l", "-f", dir .. "/key.pub" }).stdout,
    ssh.fingerprint(key.public):gsub("%p", "%%%0"))
  fs.write(dir .. "/known_hosts", server:known_hosts())
  local r = process.run { "ssh", "-F", "none", "-o", "UserKnownHostsFile=" .. dir .. "/known_hosts", "-o", "BatchMode=yes",
    "-i", dir .. "/key", "-p", tostring(server.port), server.user .. "@" .. server.host, "echo let in" }
  test.equal(r.stdout, "let in\n", r.stderr)
  open(server, key, { key = dir .. "/key" }):close()
end

T["nobody there: refused, no such name, and a server that says nothing"] = function()
  local key = ssh.keygen()
  local o = { host = "127.0.0.1", port = fs.free_port(), user = "x", key = key.private, host_key = key.public }
  local e = test.raises("x@127.0.0.1:%d+: Connection refused", ssh.open, o)
  test.equal({ e.kind, e.code }, { "network", "refused" })
  o.host = "no-such-host.invalid"
  test.equal(test.raises("no%-such%-host.invalid", ssh.open, o).kind, "network")
  local silent = process.start { "python3", "-c", [[
import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(5); print(s.getsockname()[1], flush=True); time.sleep(60)
]], stdout = "pipe" }
  test.defer(function() silent:stop(1) end)
  o.host, o.port, o.timeout = "127.0.0.1", math.tointeger(tonumber(silent:read_line())), 0.3
  e = test.raises("security group", ssh.open, o)
  test.equal(e.kind, "timeout")
  test.equal(e.hint, "is the machine up, and does its security group let this address in on the ssh port?")
end

T["a command that takes too long is given up, and the session lives on"] = function()
  local server, key = serve()
  local s <close> = open(server, key)
  test.equal(test.raises("no answer in 0.2 s", s.run, s, "sleep 60", { timeout = 0.2 }).kind, "timeout")
  test.equal(s:run("echo on").stdout, "on\n")
end

T["a task that is cancelled stops waiting for its command, its file and its connect"] = function()
  local server, key, dir = serve()
  local s <close> = open(server, key)
  local before = threads()
  local waits = {
    function() s:run "sleep 60" end,
    function() s:get("/dev/zero", dir .. "/zeros") end,
    function() open(server, key) end,
  }
  for _, wait in ipairs(waits) do
    local child = task.spawn(wait)
    task.sleep(wait == waits[3] and 0 or 0.1)
    child:cancel()
    test.equal(test.raises("cancelled", child.join, child).kind, "cancelled")
  end
  test.equal(fs.exists(dir .. "/zeros.part"), false)
  expect_threads(before)
  test.equal(s:run("echo on").stdout, "on\n")
end

T["a closed handle answers with an error, not a crash"] = function()
  local server, key, dir = serve()
  local s = open(server, key)
  local t = s:tunnel "127.0.0.1:9"
  local waiting = task.spawn(function() return pcall(s.run, s, "sleep 60") end)
  task.sleep(0.1)
  s:close()
  s:close()
  local _, e = waiting:join()
  test.equal(e.kind, "closed")
  test.equal(test.raises("closed", s.run, s, "true").kind, "closed")
  test.equal(test.raises("closed", s.put, s, dir .. "/x", "x").kind, "closed")
  test.equal(test.raises("closed", s.tunnel, s, "127.0.0.1:9").kind, "closed")
  test.equal(t:last_error(), nil)
  t:close()
  local v, err = t.handle:result()
  test.equal({ v, err.kind }, { nil, "closed" })
  test.raises("closed", s.handle.tunnel, s.handle, "127.0.0.1", 9)
  test.raises("closed", s.handle.cipher, s.handle)
end

T["~/.ssh/config gives host, port, user and key; a proxy is refused by name"] = function()
  local server, key, dir = serve()
  fs.mkdir_p(dir .. "/home/.ssh")
  fs.write(dir .. "/home/.ssh/mine", key.private, 384)
  fs.write(dir .. "/home/.ssh/known_hosts", server:known_hosts())
  fs.write(dir .. "/home/.ssh/config", ([[
Host bastion
  HostName %s
  Port %d
  User %s
  IdentityFile ~/.ssh/mine
Host inner
  ProxyJump bastion
]]):format(server.host, server.port, server.user))
  fs.write(dir .. "/try_test.lua", [[
local T = require "test".cases()
local ssh = require "ssh"
T.try = function()
  local s <close> = ssh.open { host = "bastion" }
  io.write(s:run("id -un").stdout)
  local ok, e = pcall(ssh.open, { host = "inner" })
  io.write(tostring(ok), " ", tostring(e), "\n")
end
return T
]])
  local r = process.run { fs.realpath "/proc/self/exe", "test", dir .. "/try_test.lua",
    env = { PATH = os.getenv "PATH", HOME = dir .. "/home" } }
  test.match(r.stdout, "^" .. server.user:gsub("%p", "%%%0") .. "\nfalse .*ProxyJump", r.stderr)
end

T["ssh-agent's key lets in where none is given"] = function()
  local server, key, dir = serve()
  fs.mkdir_p(dir .. "/home/.ssh")
  fs.write(dir .. "/key", key.private, 384)
  fs.write(dir .. "/known_hosts", server:known_hosts())
  local env = { PATH = os.getenv "PATH", HOME = dir .. "/home", SSH_AUTH_SOCK = dir .. "/agent",
                PORT = tostring(server.port), LOGIN = server.user, KNOWN = dir .. "/known_hosts" }
  local agent = process.start { "ssh-agent", "-D", "-a", dir .. "/agent" }
  test.defer(function() agent:stop(2) end)
  while not fs.exists(dir .. "/agent") do task.sleep(0.02) end
  fs.write(dir .. "/try_test.lua", [[
local T = require "test".cases()
local ssh = require "ssh"
T.try = function()
  local ok, s = pcall(ssh.open, { host = "127.0.0.1", port = tonumber(os.getenv "PORT"), user = os.getenv "LOGIN",
    known_hosts = os.getenv "KNOWN" })
  if not ok then io.write(s.code, "\n") return end
  io.write(s:run("echo let in").stdout)
  local t = s:tunnel "127.0.0.1:9"
  io.write("tunnel ", math.type(t.port), "\n")
  s:close()
end
return T
]])
  local try = { fs.realpath "/proc/self/exe", "test", dir .. "/try_test.lua", env = env }
  test.match(process.run(try).stdout, "^key_refused\n")
  test.equal(process.run({ "ssh-add", "-q", dir .. "/key", env = env }).code, 0)
  test.match(process.run(try).stdout, "^let in\ntunnel integer\n")
end

T["wrong options are the caller's mistakes"] = function()
  test.equal(test.raises("did you mean host_key", ssh.open, { host = "x", hostkey = "y" }).kind, "usage")
  test.equal(test.raises("needs the option host", ssh.open, {}).kind, "usage")
  test.raises("not a public key", ssh.open, { host = "127.0.0.1", key = "k", host_key = "ssh-ed25519 AAAAnonsense" })
  test.raises("looks like", ssh.fingerprint, "nonsense")
end

return T
