--- LISTEN and NOTIFY. The functions of `Conn` are methods of PgConnection.
local errors = require "errors"
local loop = require "host.loop"
local options = require "options"
local statement = require "pg.statement"
local task = require "task"
local values = require "pg.values"

local M = {}

local Conn = {}
M.Conn = Conn

local OPTIONS = { { "timeout", "seconds without a notification that end the loop; the connection's timeout if not given", type = "number" } }

--- Hands what has come to all who listen; wakes those who wait for it, and the statement that runs: its answer may have
--- been read from the socket too.
local function distribute(conn)
  while true do
    local ok, heard = conn.handle:notification()
    if conn.awaited then loop.ready(conn.awaited) end
    if ok == nil then statement.raise(conn, heard, "LISTEN") end
    if not ok then return end
    for _, listener in ipairs(conn.listeners) do
      if listener.channels[heard.channel] then
        table.insert(listener.queue, heard)
        if listener.id then loop.ready(listener.id) end
      end
    end
  end
end

--- Waits until the connection's socket has something, or somebody else found something for this listener.
local function wait(conn, listener, seconds)
  listener.id = errors.check("listen to " .. conn.name, loop.watch(conn.handle:fd(), "read"))
  local ok, ready = pcall(task.await, listener.id, seconds)
  task.forget(listener.id)
  listener.id = nil
  if not ok then error(ready, 0) end
  return ready
end

--- Ends the listening to what nobody else of this connection listens to. While another statement runs that cannot be
--- said: then what comes is dropped.
local function leave(conn, listener)
  for i = #conn.listeners, 1, -1 do
    if conn.listeners[i] == listener then table.remove(conn.listeners, i) end
  end
  for channel in pairs(listener.channels) do
    local status, others = conn.handle:status(), false
    for _, other in ipairs(conn.listeners) do others = others or other.channels[channel] end
    if not others and (status == "idle" or status == "transaction") then
      task.shield(statement.command, conn, "UNLISTEN " .. values.quote_name(channel))
    end
  end
end

--- Iterates over the notifications of a channel, or of a list of them, as they come: { channel =, payload =, pid = }.
--- It listens from the call on, until the loop is left or nothing has come for `timeout` seconds. Meanwhile other
--- statements may run on the connection, in the loop's body or in other tasks; inside a transaction nothing comes.
---
---     for n in db:listen("jobs", { timeout = 60 }) do work(n.payload) end
---@param channels string|string[]
---@param o? { timeout: number }
---@return fun(): table?
function Conn:listen(channels, o)
  local seconds = options.check(o or {}, OPTIONS, "conn:listen").timeout or self.timeout
  local listener = { channels = {}, queue = {} }
  for _, channel in ipairs(type(channels) == "table" and channels or { channels }) do listener.channels[channel] = true end
  self.state = true
  table.insert(self.listeners, listener)
  local ok, e = pcall(function()
    for channel in pairs(listener.channels) do statement.command(self, "LISTEN " .. values.quote_name(channel)) end
  end)
  if not ok then
    leave(self, listener)
    error(e, 0)
  end
  local function next_one()
    local deadline = task.now() + seconds
    while true do
      distribute(self)
      if listener.queue[1] then return table.remove(listener.queue, 1) end
      local left = deadline - task.now()
      if left <= 0 or not wait(self, listener, left) then return nil end
    end
  end
  return statement.stream(function()
    local r = table.pack(pcall(next_one))
    if not r[1] or r[2] == nil then leave(self, listener) end
    if not r[1] then error(r[2], 0) end
    return r[2]
  end, function() leave(self, listener) end)
end

--- Sends a notification; inside a transaction it leaves with the commit.
---@param channel string
---@param payload? string under 8,000 bytes
function Conn:notify(channel, payload) self:value("SELECT pg_notify($1, $2)", channel, payload or "") end

return M
