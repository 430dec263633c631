--- Listens to a server's keyspace notifications: which keys have changed since it began to listen.
---
--- Redis sends them as messages of Pub/Sub, which are not kept: a listener that was away, or for which too much waited in
--- the server's buffer (client-output-buffer-limit pubsub), has missed some. Both end the connection, and with it what is
--- listened to: `lost` says why then, and only a look at every key tells what has changed.
--- https://redis.io/docs/latest/develop/pubsub/keyspace-notifications/
local errors = require "errors"
local sign = require "sign"
local task = require "task"

local M = {}

local TURN = 500                        -- messages in a row before the other tasks get their turn
local PREFIX = "hkrun:live:"            -- of the names that are ours

-- One command for each class of notifications that keys are changed by; the key is gone before anybody else can see it.
local PROBES = { { "SET", 1 }, { "RPUSH", 1 }, { "SADD", 1 }, { "HSET", 1, 1 }, { "ZADD", 1, 1 }, { "XADD", "*", 1, 1 } }
-- What a server does without being told to, so that it may go on when the writers are stopped.
local BY_ITSELF = { expired = true, evicted = true, hexpired = true }

---@class redis.live.Notices
---@field lost string? why it listens no more
---@field writes integer notifications so far that somebody's command caused
---@field last string? the key of the last one
local Notices = {}
Notices.__index = Notices

--- Begins to listen; when this returns, every later change is told.
---@param from redis.Connection of the server
---@param changes redis.live.Changes where they go
---@param only? table<integer, boolean> the databases that count
---@return redis.live.Notices
function M.open(from, changes, only)
  local self = setmetatable({ changes = changes, only = only, writes = 0, channels = {}, seen = {}, label = from.label,
    timeout = from.timeout, bell = task.event(), name = PREFIX .. sign.hex(sign.random(8)) }, Notices)
  self.messages = from:subscribe { self.name, patterns = { "__keyevent@*__:*" } }
  self.task = task.spawn(function()
    local ok, e = pcall(self.listen, self)
    if self.closing then return end
    self.lost = ok and "the subscription ended" or tostring(e)
    changes:lose(self.lost)
    self.bell.set()
  end)
  return self
end

--- "__keyevent@3__:set" -> { db = 3, event = "set" }; there are few, so they are kept.
local function channel_of(self, name)
  local channel = self.channels[name]
  if channel == nil then
    local db, event = name:match "^__keyevent@(%d+)__:(.*)$"
    channel = db and { db = math.tointeger(tonumber(db)), event = event } or false
    self.channels[name] = channel
  end
  return channel
end

function Notices:take(name, message)
  local channel = channel_of(self, name)
  if not channel then
    if name == self.name and message == self.token then
      self.token = nil
      self.bell.set()
    end
  elseif message:sub(1, #PREFIX) == PREFIX then
    if message == self.name then self.seen[channel.event] = true end
  elseif not self.only or self.only[channel.db] then
    if not BY_ITSELF[channel.event] then self.writes, self.last = self.writes + 1, message end
    self.changes:add(channel.db, message)
  end
end

function Notices:listen()
  local turn = 0
  for name, message in self.messages do
    self:take(name, message)
    turn = turn + 1
    if turn == TURN then
      turn = 0
      task.sleep(0)
    end
  end
end

--- Sends, over another connection to the same server, what comes to us after all that has been told before.
---@return boolean? proven whether each class of notifications is on; nil where the server lets us try no key
local function send(self, from)
  local commands = { { "MULTI" } }
  for _, words in ipairs(PROBES) do
    commands[#commands + 1] = { words[1], self.name, table.unpack(words, 2) }
    commands[#commands + 1] = { "DEL", self.name }
  end
  commands[#commands + 1] = { "PUBLISH", self.name, self.token }
  commands[#commands + 1] = { "EXEC" }
  local replies = from:pipeline(commands, { keep_errors = true })
  local done = replies[#replies]
  if not done.kind then
    for _, reply in ipairs(done) do if type(reply) == "table" and reply.kind then done = reply end end
  end
  if not done.kind then return true end
  from:publish(self.name, self.token)                -- out of memory, or keys of that name are not for us
end

--- Waits until all that happened so far has been told.
---@param from redis.Connection to the same server
---@return boolean? complete false: not everything is told, because notifications are off or `lost`; nil: nobody can say
function Notices:catch_up(from)
  if self.lost then return false end
  self.token, self.seen = sign.hex(sign.random(8)), {}
  local tried = send(self, from)
  local ok, e = pcall(task.within, self.timeout, ("hear from Redis %s"):format(self.label), function()
    while self.token and not self.lost do self.bell.wait() end
  end)
  if not ok then
    if not errors.is(e, "timeout") then error(e, 0) end
    self:close "the notifications came to a stop"
  end
  if self.lost then return false end
  if not tried then return nil end
  for _, words in ipairs(PROBES) do
    if not self.seen[words[1]:lower()] then return false end
  end
  return self.seen.del == true
end

--- Ends it; safe twice.
---@param why? string
function Notices:close(why)
  if why then
    self.lost = self.lost or why
    self.changes:lose(why)
  end
  self.closing = true
  if self.task then
    self.task:cancel()
    pcall(self.task.join, self.task)
    self.task = nil
  end
  self.messages:close()
end

return M
