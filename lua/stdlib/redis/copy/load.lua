--- How hard a copy may press its source. While nobody else works there it may do what it can; else it takes a share of
--- the server's time, measured by the time that its own rounds take.
local task = require "task"

local M = {}
local Load = {}
Load.__index = Load

local OTHERS = 50                       -- commands a second from which on somebody else works there
local CALM = 4                          -- looks without such, until the limit is lifted

---@param from redis.Connection
---@param o { load: number, rate?: integer }
function M.new(from, o)
  local info = from:info "stats"
  local self = setmetatable({ from = from, share = o.load, rate = o.rate or 0, calm = CALM, asked = 0 }, Load)
  self.commands, self.time = tonumber(info.total_commands_processed), task.now()
  if (tonumber(info.instantaneous_ops_per_sec) or 0) > OTHERS then self.calm = 0 end
  return self
end

--- Looks who works there, given how many commands the copy itself has sent by now.
function Load:look(asked)
  local commands, now = tonumber(self.from:info("stats").total_commands_processed), task.now()
  if commands and self.commands then
    local others = (commands - self.commands - (asked - self.asked) - 1) / math.max(now - self.time, 0.001)
    self.calm = others > OTHERS and 0 or self.calm + 1
  end
  self.commands, self.time, self.asked = commands, now, asked
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
