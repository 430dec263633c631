--- host.tcp: both ends of a connection on loopback.
local errors = require "errors"
local fs = require "fs"
local process = require "process"
local task = require "task"
local tcp = require "host.tcp"
local test = require "test"
local T = test.cases()

local function pair()
  local server = tcp.listen("127.0.0.1", 0)
  local client = tcp.connect("127.0.0.1", server:port())
  local peer = task.step(server, "accept")
  test.equal({ task.step(client, "established") }, {})
  server:close()
  return client, peer
end

local function write(conn, bytes)
  local from = 1
  while from <= #bytes do from = assert(task.step(conn, "write", bytes, from)) end
end

T["bytes arrive as they were sent, more than fit into a socket, and then the end"] = function()
  local client, peer = pair()
  local sent, got = ("0123456789abcdef"):rep(1 << 18), {}
  task.all {
    function()
      write(client, sent)
      client:close()
    end,
    function()
      repeat
        got[#got + 1] = assert(task.step(peer, "read"))
      until got[#got] == ""
    end,
  }
  test.truthy(table.concat(got) == sent, "4 MB")
  peer:close()
end

T["a closed handle answers with an error, closing it twice is nothing"] = function()
  local client, peer = pair()
  client:close()
  client:close()
  for _, method in ipairs { "read", "accept", "established", "port" } do
    local ok, e = client[method](client)
    test.equal({ ok, e.kind }, { nil, "closed" }, method)
  end
  test.equal({ select(2, client:write("x", 1)).kind, client:fd() }, { "closed", -1 })
  test.equal(task.step(peer, "read"), "")
  local _, e = select(1, peer:write("x", 1)), nil
  for _ = 1, 50 do
    _, e = peer:write("x", 1)
    if e then break end
    task.sleep(0.01)
  end
  test.equal(e and e.kind, "network", "the other side is gone")
  peer:close()
end

T["who waits can be cancelled; what is no address, or a port that is taken, is said"] = function()
  local client, peer = pair()
  local reader = task.spawn(function() task.step(peer, "read") end)
  task.sleep(0.01)
  reader:cancel()
  test.raises("cancelled", reader.join, reader)
  client:close()
  peer:close()
  local _, e = tcp.connect("localhost", 1)
  test.equal(e.kind, "invalid")
  local server = tcp.listen("127.0.0.1", 0)
  local open = #fs.list "/proc/self/fd"
  _, e = tcp.listen("127.0.0.1", server:port())
  test.equal({ e.code, #fs.list "/proc/self/fd" }, { "EADDRINUSE", open }, "and nothing stays open")
  server:close()
end

T["a free port that was found stays free for its server, and is nobody else's meanwhile"] = function()
  local port = fs.free_port()
  local other = process.run { "python3", "-c", ("import socket; socket.socket().bind(('127.0.0.1', %d))"):format(port) }
  test.match(other.stderr, "Address already in use")
  local server = errors.check("listen", tcp.listen("127.0.0.1", port))
  test.equal(server:port(), port)
  server:close()
end

return T
