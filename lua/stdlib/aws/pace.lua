--- How fast a client may send once AWS has asked for fewer calls: the "adaptive" mode. The rate falls to 0.7 of what was
--- being sent, then rises again along a cubic curve, slowly near the rate that was too much. Until the first throttling
--- nothing is held up. Source: AWS SDKs and Tools Reference Guide, "Retry behavior"; botocore's retries/adaptive.py.
local M = {}

local LEAST = 0.5             -- calls a second
local FALL, STEEPNESS = 0.7, 0.4
local WINDOW, SMOOTHING = 0.5, 0.8

---@class aws.Pace
---@field rate? number calls a second; nil as long as it is free
local Pace = {}
Pace.__index = Pace

--- A client's pace.
---@param clock fun(): number seconds
---@return aws.Pace
function M.new(clock)
  return setmetatable({ clock = clock, sent = 0, measured = 0, window = clock() // WINDOW }, Pace)
end

--- Sets the rate, and what may be sent at once.
local function set_rate(self, rate, now)
  if self.rate then self.tokens = self.tokens + (now - self.filled) * self.rate end
  self.rate = math.max(rate, LEAST)
  self.tokens = math.min(self.tokens or 0, math.max(1, self.rate))
  self.filled = now
end

--- Takes one call out of what the rate allows.
---@return number seconds to wait before it is sent
function Pace:take()
  if not self.rate then return 0 end
  set_rate(self, self.rate, self.clock())
  self.tokens = self.tokens - 1           -- below zero: who waits has a place in the row
  return math.max(0, -self.tokens / self.rate)
end

--- The rate at which answers come, over windows of half a second.
local function measure(self, now)
  self.sent = self.sent + 1
  local window = now // WINDOW
  if window > self.window then
    local rate = self.sent / ((window - self.window) * WINDOW)
    self.measured = rate * SMOOTHING + self.measured * (1 - SMOOTHING)
    self.sent, self.window = 0, window
  end
  return self.measured
end

--- Takes note of an answer.
---@param throttled boolean
function Pace:answered(throttled)
  local now = self.clock()
  local measured = measure(self, now)
  if throttled then
    self.highest = self.rate and math.min(measured, self.rate) or measured
    self.since = now
    set_rate(self, self.highest * FALL, now)
  elseif self.rate then
    local flat = (self.highest * (1 - FALL) / STEEPNESS) ^ (1 / 3)    -- seconds until it is back where it was
    local rate = STEEPNESS * (now - self.since - flat) ^ 3 + self.highest
    set_rate(self, math.min(rate, 2 * measured), now)
  end
end

return M
