--- How hard a copy may press its source. While nobody else works there it may do what it can; else it takes a share of
--- the server's time, measured by the time that its own rounds take.
local task = require "task"

local M = {}
local Load = {}
Load.__index = Load

local OTHERS = 50                       -- commands a second from which on somebody else works there
local UNREAD = 4                        -- MGETs of a connection that the server may have counted before the worker did
local CALM = 4                          -- looks without such, until the limit is lifted
local QUIET = 0.01                      -- seconds in which a look from here listens

-- What the workers send, besides MGETs: others send those too, so the workers count theirs.
local OURS = { cmdstat_dump = true, cmdstat_pexpiretime = true, cmdstat_pttl = true, cmdstat_time = true, cmdstat_scan = true,
  cmdstat_select = true, cmdstat_info = true, cmdstat_auth = true }

---@param from redis.Connection
---@param o { load: number, rate?: integer, connections?: integer }
function M.new(from, o)
  return setmetatable({ from = from, share = o.load, rate = o.rate or 0, calm = CALM, unread = UNREAD * (o.connections or 1) }, Load)
end

--- Commands that the server has run, but those of the workers.
local function commands_of_others(from)
  local reply, n = from:command("INFO", "commandstats"), 0
  for name, calls in reply:gmatch "(cmdstat_[^:]+):calls=(%d+)" do
    if not OURS[name] then n = n + tonumber(calls) end
  end
  return n
end

local function judge(self, n, seconds)
  self.calm = n / seconds > OTHERS and 0 or self.calm + 1
end

--- Looks who works there, since the last look. Where it is not known whose an MGET was, it was ours.
---@param gets? fun(): integer MGETs of the workers so far
function Load:look(gets)
  local before = gets and gets() or 0
  local commands, now = commands_of_others(self.from), task.now()
  if self.others and now > self.time then
    judge(self, commands - (gets and gets() + self.unread or 0) - self.others, now - self.time)
  end
  self.others, self.time = commands - before, now
end

--- The same where our own commands are like those of others: listens while we send none.
function Load:listen()
  if self.share >= 1 then return end
  local function count() return tonumber(self.from:info "stats".total_commands_processed) or 0 end
  local before, began = count(), task.now()
  task.sleep(QUIET)
  judge(self, count() - before - 1, task.now() - began)
end

--- What to tell the engine: share and rate; 0: no limit.
function Load:limit()
  local limited = self.share < 1 and self.calm < CALM
  return limited and self.share or 0, self.rate
end

--- The same for what is copied from here: pauses after a piece of work that took so long.
function Load:pause(seconds, keys)
  local share, rate = self:limit()
  local pause = share > 0 and seconds * (1 - share) / share or 0
  if rate > 0 then pause = math.max(pause, keys / rate - seconds) end
  if pause > 0 then task.sleep(pause) end
end

return M
