--- Datagrams between real sockets of loopback.
local task = require "task"
local test = require "test"
local udp = require "host.udp"

local T = test.cases()

T["a datagram goes there and back, and its sender is known"] = function()
  local server <close> = udp.bind("127.0.0.1", 0)
  local host, port = server:address()
  local client <close> = udp.connect(host, port)
  task.step(client, "send", "ping \0 ping")
  local bytes, from, from_port = task.step(server, "receive")
  test.equal({ bytes, from, from_port }, { "ping \0 ping", "127.0.0.1", select(2, client:address()) })
  task.step(server, "send", ("x"):rep(9000), from, from_port)
  test.equal(#task.step(client, "receive"), 9000)
  task.step(server, "send", "", from, from_port)
  test.equal(task.step(client, "receive"), "")
end

T["where nobody listens the next receive says so"] = function()
  local client <close> = udp.connect("127.0.0.1", 1)         -- no port that another socket may get
  task.step(client, "send", "ping")
  local ok, err = task.step(client, "receive")
  test.equal({ ok, err.kind, err.code }, { nil, "network", "ECONNREFUSED" })
end

T["a closed socket, a taken port, and what is no address"] = function()
  local s = udp.bind("127.0.0.1", 0)
  local _, port = s:address()
  local none, err = udp.bind("127.0.0.1", port)
  test.equal({ none, err.kind, err.code }, { nil, "network", "EADDRINUSE" })
  none, err = udp.connect("not an address", 53)
  test.equal({ none, err.kind }, { nil, "invalid" })
  test.raises("a port is", udp.bind, "127.0.0.1", 70000)
  s:close()
  s:close()
  for _, method in ipairs { "receive", "address" } do
    local ok, e = s[method](s)
    test.equal({ ok, e.kind }, { nil, "closed" }, method)
  end
  test.equal(select(2, s:send "x").kind, "closed")
  test.equal(s:fd(), -1)
end

T["a waiting receive is cancelled"] = function()
  local s <close> = udp.bind("127.0.0.1", 0)
  local waiting = task.spawn(function() task.step(s, "receive") end)
  task.sleep(0.01)
  waiting:cancel()
  test.equal(pcall(waiting.join, waiting), false)
end

return T
