--- What Session Manager's agent says on a data channel to AWS's session-manager-plugin, and the connections that it makes on
--- its machine. The messages are those of the plugin's source (github.com/aws/session-manager-plugin, src/message).
local errors = require "errors"
local json = require "json"
local netns = require "host.netns"
local sign = require "sign"
local task = require "task"
local tcp = require "host.tcp"
local websocket = require "rehearsal.websocket"

local M = {}

local VERSION = "3.3.40.0"                                   -- of an agent that carries several connections at once
local HEAD = ">I4c32I4I8i8I8c16c32I4s4"                      -- a message: length of the head, type, ..., kind of payload, payload
local LENGTH = 116
local OUTPUT, HANDSHAKE, RESPONSE, COMPLETE, FLAG = 1, 5, 6, 7, 10
local TERMINATE, CANNOT_CONNECT = 2, 3                       -- flags
local PIECE = 1024                                           -- bytes of a payload, as the agent's
local AGAIN = 0.5                                            -- seconds until what was not acknowledged is sent again
local CONNECT = 10                                           -- seconds that a connection may take
local SYN, FIN, PSH = 0, 1, 2                                -- commands of smux 1: several streams in one
local LARGEST = 32768                                        -- bytes of a frame of smux

---@class SsmChannel
local Channel = {}
Channel.__index = Channel

local function pack(type, sequence, kind, payload)
  return HEAD:pack(LENGTH, type .. (" "):rep(32 - #type), 1, math.floor(os.time() * 1000), sequence, 0, sign.random(16),
    sign.sha256(payload, true), kind, payload)
end

--- Sends something to the plugin, which acknowledges it; until then it is sent again.
local function say(self, kind, payload)
  local n = self.sequence
  self.sequence = n + 1
  self.unheard[n] = { bytes = pack("output_stream_data", n, kind, payload), at = task.now() }
  self.socket:send(self.unheard[n].bytes)
end

local function say_bytes(self, bytes)
  for from = 1, #bytes, PIECE do say(self, OUTPUT, bytes:sub(from, from + PIECE - 1)) end
end

local function acknowledge(self, type, sequence)
  self.socket:send(pack("acknowledge", 0, 0, json.encode({ AcknowledgedMessageType = type, AcknowledgedMessageId = sign.uuid(),
    AcknowledgedMessageSequenceNumber = sequence, IsSequentialMessage = true }, { sort = true })))
end

-- Connections of the machine -------------------------------------------------

--- A connection from the machine's own network: a socket stays where it was made.
local function dial(self, host, port)
  local address, ns = task.resolve(host)[1], self.machine.host.ns
  local conn, err
  if ns then conn, err = netns.inside(("/proc/%d/ns/net"):format(ns.pid), tcp.connect, address, port)
  else conn, err = tcp.connect(address, port) end
  errors.check(("connect to %s:%d"):format(host, port), conn, err)
  local ok, e = pcall(task.within, CONNECT, ("connect to %s:%d"):format(host, port), function()
    local _, refused = task.step(conn, "established")
    errors.check(("connect to %s:%d"):format(host, port), not refused or nil, refused)
  end)
  if ok then return conn end
  conn:close()
  error(e, 0)
end

--- Opens a connection and hands its bytes on until it ends.
---@param got fun(bytes: string) "" at the end
local function connect(self, got)
  local ok, conn = pcall(dial, self, self.to.host, self.to.port)
  if not ok then
    if errors.is(conn, "cancelled") then error(conn, 0) end
    if self.many then say(self, FLAG, (">I4"):pack(CANNOT_CONNECT)) end
    got ""
    return nil
  end
  local reader = task.spawn(function()
    repeat
      local bytes = task.step(conn, "read") or ""
      got(bytes)
    until bytes == ""
  end)
  return { conn = conn, reader = reader }
end

local function disconnect(c)
  if not c then return end
  c.reader:cancel()
  pcall(c.reader.join, c.reader)
  c.conn:close()
end

-- One stream, as ssh wants it -----------------------------------------------------

local Plain = {}
Plain.__index = Plain

function Plain:take(bytes)
  local channel = self.channel
  self.link = self.link or connect(channel, function(got)
    if got == "" then channel:finish() else say_bytes(channel, got) end
  end)
  if self.link then pcall(websocket.write, self.link.conn, bytes) end
end

function Plain:close() disconnect(self.link) self.link = nil end

-- Several: smux, as the plugin's port forwarding does it ---------------------------

local Mux = {}
Mux.__index = Mux

local function smux(command, stream, bytes) return ("<BBI2I4"):pack(1, command, #bytes, stream) .. bytes end

function Mux:open(stream)
  self.streams[stream] = connect(self.channel, function(bytes)
    if bytes == "" then say_bytes(self.channel, smux(FIN, stream, "")) end
    for from = 1, #bytes, LARGEST do say_bytes(self.channel, smux(PSH, stream, bytes:sub(from, from + LARGEST - 1))) end
  end)
end

function Mux:take(bytes)
  self.rest = self.rest .. bytes
  while #self.rest >= 8 do
    local _, command, n, stream = ("<BBI2I4"):unpack(self.rest)
    if #self.rest < 8 + n then return end
    local data = self.rest:sub(9, 8 + n)
    self.rest = self.rest:sub(9 + n)
    local link = self.streams[stream]
    if command == SYN then self:open(stream)
    elseif command == PSH and link then pcall(websocket.write, link.conn, data)
    elseif command == FIN then
      self.streams[stream] = nil
      disconnect(link)
    end
  end
end

function Mux:close()
  for stream, link in pairs(self.streams) do
    self.streams[stream] = nil
    disconnect(link)
  end
end

-- The channel ---------------------------------------------------------------------

local function heard(self, type, sequence, kind, payload)
  if type == "acknowledge" then
    local content = json.decode(payload)
    self.unheard[content.AcknowledgedMessageSequenceNumber] = nil
    return
  end
  if type ~= "input_stream_data" then return end
  acknowledge(self, type, sequence)
  if sequence ~= self.expected then return end               -- sent again: we have it
  self.expected = sequence + 1
  if kind == RESPONSE then
    say(self, COMPLETE, json.encode { HandshakeTimeToComplete = 1000000, CustomerMessage = "" })
  elseif kind == OUTPUT then self.way:take(payload)
  elseif kind == FLAG and (">I4"):unpack(payload) == TERMINATE then self.ended = true
  end
end

--- Sends again what the plugin did not acknowledge: it drops what comes before it is ready for it.
local function repeat_unheard(self)
  while true do
    task.sleep(AGAIN)
    local first
    for n, m in pairs(self.unheard) do
      if (not first or n < first) and m.at + AGAIN <= task.now() then first = n end
    end
    if first then
      self.unheard[first].at = task.now()
      self.socket:send(self.unheard[first].bytes)
    end
  end
end

--- Tells the plugin that the session is over.
function Channel:finish(why)
  if self.closed then return end
  self.closed = true
  local id = self.session
  pcall(self.socket.send, self.socket, pack("channel_closed", 0, 0, json.encode({ MessageId = sign.uuid(), CreatedDate = "", DestinationId = id,
    SessionId = id, MessageType = "channel_closed", SchemaVersion = 1, Output = why or "" }, { sort = true })))
end

--- Speaks with a plugin, whose token was checked, until one of them ends it.
---@param socket Websocket
---@param o { session: string, machine: { host: Host }, to: { host: string, port: integer }, type: string, properties: table }
function M.serve(socket, o)
  local self = setmetatable({ socket = socket, session = o.session, machine = o.machine, to = o.to, sequence = 0, expected = 0,
                              unheard = {} }, Channel)
  self.many = o.type == "LocalPortForwarding"
  self.way = self.many and setmetatable({ channel = self, rest = "", streams = {} }, Mux)
    or setmetatable({ channel = self }, Plain)
  o.channel = self
  local again = task.spawn(repeat_unheard, self)
  local ok, e = pcall(function()
    say(self, HANDSHAKE, json.encode { AgentVersion = VERSION, RequestedClientActions = json.array { {
      ActionType = "SessionType", ActionParameters = { SessionType = "Port", Properties = o.properties } } } })
    while not self.ended and not self.closed do
      local message = socket:receive()
      local _, type, _, _, sequence, _, _, _, kind, payload = HEAD:unpack(message)
      heard(self, type:match "^(%S*)", sequence, kind, payload)
    end
  end)
  again:cancel()
  pcall(again.join, again)
  self.way:close()
  o.channel = nil
  if not ok and not (errors.is(e, "closed") or errors.is(e, "network")) then error(e, 0) end
end

return M
