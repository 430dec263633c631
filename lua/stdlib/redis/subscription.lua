--- What a server sends by itself: the messages of channels, and what MONITOR sees. Each subscription has a connection of its
--- own, so that the one it was asked of goes on with commands.
local errors = require "errors"
local failure = require "redis.failure"
local options = require "options"
local retry = require "retry"
local task = require "task"

local M = {}

M.heartbeat = 20                        -- seconds without a message after which the server is asked whether it is there

---@class redis.Subscription an iterator: for channel, message, pattern in subscription do
local Subscription = {}
Subscription.__index = Subscription
Subscription.__name = "redis.Subscription"

local declared = {
  { "patterns", "patterns of channels, as PSUBSCRIBE takes them", type = "list" },
  { "timeout", "seconds without a message that end the loop; without it only the caller ends it", type = "number" },
  { "on_gap", "function(err): the connection was lost, and it listens again; what was sent meanwhile is lost. Without it the loss is raised",
    type = "function" },
}

--- One thing that the server sent, or nil, err. A time-out leaves what was read so far in its place.
local function read(self, deadline)
  self.conn.handle:deadline(deadline)
  return task.step(self.conn.handle, "reply")
end

local function lost(self, err) failure.raise(self.label, "listen to", err) end

--- A connection that listens: when it returns, the server has confirmed all. A message may have come before that.
local function listen(self)
  self.conn = self.open()
  local deadline, wanted, got = task.now() + self.conn.timeout, 0, 0
  for _, words in ipairs(self.commands) do
    local queued, why = self.conn.handle:queue(words)
    if not queued then lost(self, why) end
    wanted = wanted + math.max(#words - 1, 1)
  end
  while got < wanted do
    local reply, err = read(self, deadline)
    if reply == nil then lost(self, err) end
    local message = self.take(reply)
    if message then table.insert(self.waiting, message) else got = got + 1 end
  end
end

local function give_up(self)
  local conn = self.conn
  self.conn = nil
  if conn then conn:close() end
end

--- Listens again after a loss; raises when there is nobody who would be told, or no server.
local function listen_again(self, err)
  give_up(self)
  if not self.on_gap or err.kind == "remote" then lost(self, err) end
  retry.call(function()
    local ok, e = pcall(listen, self)
    if not ok then give_up(self) error(e, 0) end
  end, { attempts = 12, base = 0.2, cap = 5, retryable = function(e) return e.retry or e.kind == "network" or e.kind == "timeout" end })
  self.on_gap(errors.new { kind = err.kind, op = ("listen to Redis %s"):format(self.label), code = err.code, retry = true, cause = err,
    message = ("%s; it listens again, and what was sent meanwhile is lost"):format(err.message) })
end

--- The next message that came or comes; nil when none came in time.
local function next_message(self)
  local over = self.timeout and task.now() + self.timeout or math.huge
  local asked = false                   -- whether the server owes an answer to PING
  while not self.waiting[1] do
    if not self.conn then return nil end                        -- closed by who was told of a gap
    local beat = task.now() + (asked and self.conn.timeout or M.heartbeat)
    local reply, err = read(self, math.min(beat, over))
    if reply ~= nil then
      asked = false
      self.waiting[#self.waiting + 1] = self.take(reply)
    elseif err.kind ~= "timeout" or asked and task.now() >= beat then
      listen_again(self, err)
      asked = false
    elseif task.now() >= over then
      return nil
    elseif not asked then
      asked = true
      local queued, why = self.conn.handle:queue { "PING" }
      if not queued then listen_again(self, why) asked = false end
    end
  end
  return table.remove(self.waiting, 1)
end

function Subscription:__call()
  if not self.conn then return nil end
  local ok, message = pcall(next_message, self)
  if not ok then self:close() error(message, 0) end
  if message == nil then self:close() return nil end
  return table.unpack(message)
end

--- Ends it; safe twice.
function Subscription:close() give_up(self) end
Subscription.__close = Subscription.close

function Subscription:__tostring() return "subscription to redis " .. self.label end

local function start(conn, o, list, take)
  local self = setmetatable({ commands = list, take = take, waiting = {}, timeout = o.timeout, on_gap = o.on_gap, label = conn.label,
    open = function() return conn:another { protocol = 2 } end }, Subscription)
  local ok, e = pcall(listen, self)
  if not ok then self:close() error(e, 0) end
  return self, nil, nil, self
end

local KINDS = { message = true, smessage = true, pmessage = true }

local function take_message(reply)
  if not KINDS[reply[1]] then return nil end
  if reply[1] == "pmessage" then return { reply[3], reply[4], reply[2] } end
  return { reply[2], reply[3] }
end

--- The channels of the arguments, apart from the options.
local function split(channels, where)
  if type(channels) ~= "table" then channels = { channels } end
  local names, o = {}, {}
  for key, value in pairs(channels) do
    if math.type(key) ~= "integer" then o[key] = value end
  end
  for i, name in ipairs(channels) do
    if type(name) ~= "string" then errors.usage("%s: channel %d is a %s, not a string", where, i, type(name)) end
    names[i] = name
  end
  return names, options.check(o, declared, where)
end

local function subscribe(conn, channels, word, where)
  local names, o = split(channels, where)
  local list = {}
  if names[1] then list[1] = { word, table.unpack(names) } end
  if o.patterns and o.patterns[1] then list[#list + 1] = { "PSUBSCRIBE", table.unpack(o.patterns) } end
  if not list[1] then errors.usage("%s needs at least one channel", where) end
  return start(conn, o, list, take_message)
end

local Connection = {}
M.Connection = Connection

--- Iterates over the messages of channels as they come: channel, message, and for a pattern that pattern. It listens from
--- the call on, over a connection of its own, until the loop is left, the task is cancelled, or nothing came for `timeout`
--- seconds. When the connection is lost (also: by a server whose buffer for it ran full) that is an error; with `on_gap` it
--- listens again and says so, because what was sent meanwhile is lost.
---
---     for channel, message in r:subscribe { "jobs", "news", timeout = 60 } do print(channel, message) end
---@param channels string|table names, and options: { "news", patterns = { "job.*" }, timeout = 60, on_gap = function(err) end }
---@return redis.Subscription
function Connection:subscribe(channels) return subscribe(self, channels, "SUBSCRIBE", "r:subscribe") end

--- The same for patterns of channels: for channel, message, pattern in r:psubscribe { "job.*" } do ... end
---@param patterns string|table
---@return redis.Subscription
function Connection:psubscribe(patterns) return subscribe(self, patterns, "PSUBSCRIBE", "r:psubscribe") end

--- The same for shard channels (SPUBLISH).
---@param channels string|table
---@return redis.Subscription
function Connection:ssubscribe(channels) return subscribe(self, channels, "SSUBSCRIBE", "r:ssubscribe") end

--- Iterates over the commands that the server runs, as MONITOR tells them, one line each.
---@param o? { timeout: number, on_gap: function }
---@return redis.Subscription
function Connection:monitor(o)
  return start(self, options.check(o or {}, declared, "r:monitor"), { { "MONITOR" } }, function(line)
    if line ~= "OK" and line ~= "PONG" then return { line } end
  end)
end

return M
