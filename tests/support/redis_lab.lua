--- Redis servers and connections of one test case, which end with it.
local fs = require "fs"
local process = require "process"
local redis = require "redis"
local server = require "rehearsal.planes.redis"
local test = require "test"

local M = {}

--- A server of its own, empty.
---@param o? table as planes/redis.lua takes it
function M.start(o)
  o = o or {}
  o.dir = o.dir or test.tmpdir()
  local s = server.start(o)
  test.defer(function() s:stop() end)
  return s
end

---@param where any as redis.open takes it
function M.open(where, opts)
  local r = redis.open(where, opts)
  test.defer(function() r:close() end)
  return r
end

--- A peer that takes one connection and every byte, and answers the first requests.
---@param answers string a list of bytes objects, in Python
function M.silent_peer(answers)
  local dir, port = test.tmpdir(), fs.free_port()
  fs.write(dir .. "/peer.py", ([[
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", %d)); s.listen(1)
print("ready", flush=True)
c, _ = s.accept()
for a in %s:
    c.recv(65536); c.sendall(a)
while c.recv(65536): pass
]]):format(port, answers))
  local p = process.start { "python3", dir .. "/peer.py", stdout = "pipe" }
  test.defer(function() p:stop() end)
  test.equal(p:read_line(), "ready")
  return { port = port, process = p }
end

return M
