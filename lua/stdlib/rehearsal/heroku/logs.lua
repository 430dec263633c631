--- The app's log lines as Logplex keeps them: the last 1,500, each with its
--- source and dyno. devcenter.heroku.com/articles/logging
local loop = require "host.loop"
local task = require "task"

local M = {}

local KEPT = 1500

---@class HerokuLogs
local Logs = {}
Logs.__index = Logs

function M.new() return setmetatable({ lines = {}, first = 1, last = 0 }, Logs) end

--- Adds a line.
---@param source "app"|"heroku"
---@param dyno string "web.1"
function Logs:add(source, dyno, line)
  local now = loop.time()
  local stamp = os.date("!%Y-%m-%dT%H:%M:%S", math.floor(now)) .. (".%06d+00:00"):format(math.floor(now % 1 * 1000000))
  self.last = self.last + 1
  self.lines[self.last] = { source = source, dyno = dyno, text = ("%s %s[%s]: %s\n"):format(stamp, source, dyno, line) }
  if self.last - self.first >= KEPT then
    self.lines[self.first] = nil
    self.first = self.first + 1
  end
end

local function matches(entry, filter)
  return (not filter.source or filter.source == entry.source)
    and (not filter.dyno or filter.dyno == entry.dyno or filter.dyno == entry.dyno:match "^[^.]+")
end

--- The text of the last lines that match.
---@param filter { source: string?, dyno: string?, lines: integer? } 100 lines unless it says otherwise
---@return string text, integer last
function Logs:text(filter)
  local found, wanted = {}, filter.lines or 100
  for i = self.last, self.first, -1 do
    if #found >= wanted then break end
    if matches(self.lines[i], filter) then table.insert(found, 1, self.lines[i].text) end
  end
  return table.concat(found), self.last
end

--- Writes the last lines and then each new one, for an hour or until write fails.
function Logs:follow(filter, write)
  local begin, at = self:text(filter)
  if begin ~= "" then write(begin) end
  local ends = task.now() + 3600
  while task.now() < ends and not self.closed do
    for i = math.max(at + 1, self.first), self.last do
      if matches(self.lines[i], filter) then write(self.lines[i].text) end
    end
    at = self.last
    task.sleep(0.25)
  end
end

return M
