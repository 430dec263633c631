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

--- The numbers of the last lines that match, in order.
local function last_numbers(self, filter)
  local found, wanted = {}, filter.lines or 100
  for i = self.last, self.first, -1 do
    if #found >= wanted then break end
    if matches(self.lines[i], filter) then found[#found + 1] = i end
  end
  for i = 1, #found // 2 do found[i], found[#found + 1 - i] = found[#found + 1 - i], found[i] end
  return found
end

--- The text of the last lines that match.
---@param filter { source: string?, dyno: string?, lines: integer? } 100 lines unless it says otherwise
---@return string
function Logs:text(filter)
  local lines = last_numbers(self, filter)
  for i, number in ipairs(lines) do lines[i] = self.lines[number].text end
  return table.concat(lines)
end

--- Calls write(number, line) with the last lines; with `tail` also with each new
--- one, for an hour or until write fails.
function Logs:follow(filter, tail, write)
  local at = self.last
  local earlier = {}
  for i, number in ipairs(last_numbers(self, filter)) do earlier[i] = { number, self.lines[number].text } end
  for _, entry in ipairs(earlier) do write(entry[1], entry[2]) end    -- each write may wait
  local ends = task.now() + 3600
  while tail and task.now() < ends and not self.closed do
    while at < self.last do
      at = math.max(at + 1, self.first)
      if matches(self.lines[at], filter) then write(at, self.lines[at].text) end
    end
    task.sleep(0.25)
  end
end

return M
