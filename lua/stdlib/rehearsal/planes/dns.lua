--- A DNS server on loopback, over UDP. It is the data plane of Route 53, and the rehearsal's resolver: what it does not
--- know is not there.
local errors = require "errors"
local message = require "dns.message"
local task = require "task"
local udp = require "host.udp"

local M = {}

local CHAIN = 8                         -- aliases that it follows

---@class DnsServer
---@field host string
---@field port integer
local Server = {}
Server.__index = Server
Server.__close = function(s) s:stop() end

--- The records of a name and a type; aliases are followed within what is known here.
local function answer(server, question)
  local name, kind, answers = question.name, question.type, {}
  local first, records = server.find(name)
  local exists = records ~= nil
  for _ = 1, CHAIN do
    local alias
    for _, r in ipairs(records or {}) do
      if r.type == kind or kind == "ANY" then answers[#answers + 1] = r
      elseif r.type == "CNAME" then
        answers[#answers + 1] = r
        alias = message.name(r.value)
      end
    end
    if not alias then break end
    records = select(2, server.find(alias))
  end
  return { authoritative = first ~= nil, code = exists and "NOERROR" or "NXDOMAIN", answers = answers,
           authority = #answers == 0 and first and { first.soa } or nil }
end

local function reply(server, bytes)
  local ok, m = pcall(message.decode, bytes)
  if not ok or m.response or not m.question then return nil end
  local head = { id = m.id, response = true, question = m.question, recursion_desired = m.recursion_desired, recursion_available = true,
                 edns = m.edns }
  if m.opcode ~= 0 then head.code = "NOTIMP" return message.encode(head) end
  for k, v in pairs(answer(server, m.question)) do head[k] = v end
  return message.encode(head)
end

local function serve(server)
  task.current().idle = true
  while true do
    local bytes, address, port = task.step(server.socket, "receive")
    if not bytes then
      if server.stopped or address.kind == "closed" then return end
    else
      local out = reply(server, bytes)
      if out then task.step(server.socket, "send", out, address, port) end
    end
  end
end

--- Listens until stop().
---@param o { host: string?, port: integer?, find: fun(name: string): { soa: DnsRecord }?, DnsRecord[]? } find: the zone that a
---  name stands in, nil where it is not authoritative, and the name's records, nil where there is no such name
---@return DnsServer
function M.start(o)
  local socket = errors.check("serve the DNS", udp.bind(o.host or "127.0.0.1", o.port or 0))
  local server = setmetatable({ socket = socket, find = o.find }, Server)
  server.host, server.port = socket:address()
  server.task = task.spawn(serve, server)
  return server
end

--- Safe twice.
function Server:stop()
  if self.stopped then return end
  self.stopped = true
  self.task:cancel()
  pcall(self.task.join, self.task)
  self.socket:close()
end

return M
