--- Measures the ssh module against OpenSSH's client in the same run, in turns:
--- a new connection with one command, a command on an open connection, and a
--- tunnel with the same cipher. Run by tests/bench/ssh.sh; prints ratios.
local test = require "test"
local ssh = require "ssh"
local sshd = require "rehearsal.planes.sshd"
local process = require "process"
local task = require "task"
local fs = require "fs"

local T = test.cases()
local BYTES, ROUNDS, CONNECTS = 1000000000, 5, 20

local SOURCE = [[
import socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(16); print(s.getsockname()[1], flush=True)
block, n = bytes(1 << 20), int(sys.argv[1])
while True:
    c, _ = s.accept()
    left = n
    while left > 0:
        part = block if left >= len(block) else block[:left]
        c.sendall(part); left -= len(part)
    c.close()
]]

local SINK = [[
import socket, sys, time
b, n, t = bytearray(1 << 20), 0, time.monotonic()
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
while True:
    r = c.recv_into(b)
    if r == 0: break
    n += r
print(n, time.monotonic() - t)
]]

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

local function pull(port)
  local n, seconds = process.run({ "python3", "-c", SINK, tostring(port) }).stdout:match "(%d+) (%S+)"
  test.equal(tonumber(n), BYTES)
  return tonumber(seconds)
end

local function cpu_of(pid)
  local fields = {}
  for word in fs.read(("/proc/%s/stat"):format(pid)):match("%) (.*)"):gmatch "%S+" do fields[#fields + 1] = word end
  local user, system = fields[12], fields[13]
  return (tonumber(user) + tonumber(system)) / 100
end

local function timed(list, fn)
  local t = task.now()
  fn()
  list[#list + 1] = task.now() - t
end

local function row(what, ours, theirs, unit, goal)
  local ratio = ours / theirs
  print(("%-44s %8.2f %-2s  ssh     %8.2f %-2s  ratio %6.3f  goal %s %s"):format(what, ours, unit, theirs, unit, ratio, goal,
    ratio <= goal and "met" or "MISSED"))
end

T["ssh"] = function()
  local dir = test.tmpdir()
  local key = ssh.keygen()
  local server <close> = sshd.start { dir = dir .. "/sshd", user = "ec2-user", authorized_keys = key.public }
  fs.write(dir .. "/key", key.private, 384)
  fs.write(dir .. "/known_hosts", server:known_hosts())
  local who = { host = server.host, port = server.port, user = server.user, key = key.private, host_key = server.host_keys }
  local common = { "-F", "none", "-i", dir .. "/key", "-o", "UserKnownHostsFile=" .. dir .. "/known_hosts",
                   "-o", "BatchMode=yes", "-p", tostring(server.port) }
  local function client(words)
    local all = { "ssh", table.unpack(common) }
    for _, word in ipairs(words) do all[#all + 1] = word end
    return all
  end
  local login = server.user .. "@" .. server.host

  local theirs, ours, open_ours = {}, {}, {}
  local kept <close> = ssh.open(who)
  for _ = 1, CONNECTS do
    timed(theirs, function() test.equal(process.run(client { login, "true" }).code, 0) end)
    timed(ours, function()
      local s <close> = ssh.open(who)
      test.equal(s:run("true").code, 0)
    end)
    timed(open_ours, function() kept:run "true" end)
  end
  local a, b, c = median(ours), median(theirs), median(open_ours)
  row("ssh: connect and one command", a * 1e3, b * 1e3, "ms", 0.25)
  print(("%-44s %8.2f ms"):format("  command on an open connection", c * 1e3))

  local source = process.start { "python3", "-c", SOURCE, tostring(BYTES), stdout = "pipe" }
  test.defer(function() source:stop(1) end)
  local port = source:read_line()
  local tunnel = kept:tunnel("127.0.0.1:" .. port)
  local peer_port = fs.free_port()
  local forward = client { "-c", "aes128-gcm@openssh.com", "-N", "-L", ("127.0.0.1:%d:127.0.0.1:%s"):format(peer_port, port), login }
  local peer = process.start(forward)
  test.defer(function() peer:stop(1) end)
  task.sleep(1)
  local direct
  theirs, ours, direct = {}, {}, {}
  local our_cpu, their_cpu = cpu_of "self", cpu_of(peer.pid)
  for _ = 1, ROUNDS do
    theirs[#theirs + 1] = pull(peer_port)
    ours[#ours + 1] = pull(tunnel.port)
    direct[#direct + 1] = pull(port)
  end
  our_cpu, their_cpu = (cpu_of "self" - our_cpu) / ROUNDS, (cpu_of(peer.pid) - their_cpu) / ROUNDS
  a, b, c = median(ours), median(theirs), median(direct)
  row("  tunnel, aes128-gcm, 1 GB", a, b, "s", 1)
  row("  client CPU of it", our_cpu, their_cpu, "s", 1)
  print(("%-44s %8.2f s"):format("  1 GB without a tunnel", c))
end

return T
