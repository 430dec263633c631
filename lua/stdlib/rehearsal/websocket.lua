--- The server's side of a websocket (RFC 6455) on a connection of host.tcp: what the data channels of Session Manager need.
local errors = require "errors"
local sign = require "sign"
local task = require "task"

local M = {}

local GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"          -- of the RFC
local HEAD = 16384                                           -- bytes that a request may have
local LARGEST = 1 << 20                                      -- bytes of a frame: the plugin's are about a kilobyte
local TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

---@class Websocket
---@field path string what was asked for
local Websocket = {}
Websocket.__index = Websocket

local function ended() errors.raise { kind = "closed", op = "read a websocket", message = "the other side has ended it" } end

--- At least n bytes more of the connection.
local function fill(self, n)
  while #self.rest < n do
    local bytes = errors.check("read a websocket", task.step(self.conn, "read"))
    if bytes == "" then ended() end
    self.rest = self.rest .. bytes
  end
end

local function take(self, n)
  fill(self, n)
  local bytes = self.rest:sub(1, n)
  self.rest = self.rest:sub(n + 1)
  return bytes
end

--- Writes all of it.
---@param conn any of host.tcp
---@param bytes string
function M.write(conn, bytes)
  local from = 1
  while from <= #bytes do from = errors.check("write", task.step(conn, "write", bytes, from)) end
end

--- Takes the request of a client, and agrees to speak websocket.
---@param conn any of host.tcp, just accepted
---@return Websocket
function M.accept(conn)
  local self = setmetatable({ conn = conn, rest = "" }, Websocket)
  local stop
  repeat
    fill(self, #self.rest + 1)
    stop = select(2, self.rest:find("\r\n\r\n", 1, true))
    if not stop and #self.rest > HEAD then errors.raise { kind = "protocol", op = "accept a websocket", message = "its request has no end" } end
  until stop
  local head = take(self, stop)
  local key = head:match "\r\n[Ss]ec%-[Ww]eb[Ss]ocket%-[Kk]ey:%s*(%S+)"
  self.path = head:match "^GET (%S+) HTTP/1%.1\r\n"
  if not key or not self.path then
    M.write(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    errors.raise { kind = "protocol", op = "accept a websocket", message = "it is no request for one" }
  end
  M.write(conn, ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n")
    :format(sign.base64(sign.sha1(key .. GUID, true))))
  return self
end

local function unmask(bytes, mask)
  local m, out = { mask:byte(1, 4) }, {}
  for from = 1, #bytes, 4096 do                              -- string.byte answers so many at once
    local list = { bytes:byte(from, math.min(from + 4095, #bytes)) }
    for i = 1, #list do list[i] = list[i] ~ m[(from + i - 2) % 4 + 1] end
    out[#out + 1] = string.char(table.unpack(list))
  end
  return table.concat(out)
end

local function frame(self)
  local first, second = take(self, 2):byte(1, 2)
  local n = second & 127
  if n == 126 then n = (">I2"):unpack(take(self, 2)) elseif n == 127 then n = (">I8"):unpack(take(self, 8)) end
  if second & 128 == 0 or n < 0 or n > LARGEST then
    errors.raise { kind = "protocol", op = "read a websocket", message = "a frame is not masked, or too large" }
  end
  local mask = take(self, 4)
  return first & 15, unmask(take(self, n), mask), first & 128 ~= 0
end

local function send(self, kind, bytes)
  local n = #bytes
  local length = n < 126 and string.char(n) or n < 65536 and (">BI2"):pack(126, n) or (">BI8"):pack(127, n)
  M.write(self.conn, string.char(128 | kind) .. length .. bytes)
end

--- The next message, text or binary; pings are answered meanwhile. Raises kind "closed" at the end.
---@return string
function Websocket:receive()
  local parts = {}
  while true do
    local kind, bytes, last = frame(self)
    if kind == CLOSE then
      pcall(send, self, CLOSE, bytes:sub(1, 2))
      ended()
    elseif kind == PING then send(self, PONG, bytes)
    elseif kind == TEXT or kind == BINARY or kind == 0 then
      parts[#parts + 1] = bytes
      if last then return table.concat(parts) end
    end
  end
end

--- Sends one binary message.
---@param bytes string
function Websocket:send(bytes) send(self, BINARY, bytes) end

return M
