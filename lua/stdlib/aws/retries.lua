--- Whether and when a call is sent again: the standard mode of the AWS SDKs with its numbers of 2026.
--- Source: AWS SDKs and Tools Reference Guide, "Retry behavior"; botocore's retries/standard.py (AWS_NEW_RETRIES_2026).
local config = require "aws.config"
local errors = require "errors"
local pace = require "aws.pace"
local task = require "task"

local M = {}

local ATTEMPTS, PATIENCE = 3, 10    -- PATIENCE: while AWS asks for fewer calls, a long run must not end because others call too
local CAPACITY, COST, THROTTLED_COST, REFUND = 500, 14, 5, 1
local BASE, THROTTLED_BASE, LONGEST, EXTRA = 0.05, 1, 20, 5 -- seconds; EXTRA: how much more a service may ask for

--- Services with numbers of their own.
local SPECIAL = { dynamodb = { attempts = 4, base = 0.025 }, dynamodbstreams = { attempts = 4, base = 0.025 } }

local MODES = { legacy = true, standard = true, adaptive = true }

---@class aws.Retries
---@field capacity number what is left for retries; each draws from it, success refills it
---@field pace aws.Pace of the adaptive mode
local Retries = {}
Retries.__index = Retries

--- The retries of one client.
---@param service string
---@param o { attempts?: integer, retry_mode?: string, profile?: string } the client's options
---@return aws.Retries
function M.new(service, o)
  local special = SPECIAL[service] or {}
  return setmetatable({
    capacity = CAPACITY, options = o, pace = pace.new(task.now), base = special.base or BASE, attempts = special.attempts or ATTEMPTS,
  }, Retries)
end

--- How often a call is tried in all: asked for, from the environment or the profile; nil if nobody says.
---@return integer?
function Retries:limit()
  if self.options.attempts then return self.options.attempts end
  local set = config.env "AWS_MAX_ATTEMPTS" or config.profile(self.options.profile).max_attempts
  local limit = math.tointeger(tonumber(set))
  if set and not (limit and limit >= 1) then errors.usage("max_attempts must be a whole number from 1, not %s", tostring(set)) end
  return limit
end

--- Whether calls slow down when AWS asks for fewer.
---@return boolean
function Retries:is_adaptive()
  local mode = self.options.retry_mode or config.env "AWS_RETRY_MODE" or config.profile(self.options.profile).retry_mode or "standard"
  if not MODES[mode] then errors.usage("retry_mode must be legacy, standard or adaptive, not %s", tostring(mode)) end
  return mode == "adaptive"
end

--- What one call spends: how often it failed, and what it drew from the capacity.
---@param deadline? number of task.now(): nothing is sent again after it
---@return aws.Spending
function Retries:begin(deadline)
  local limit = self:limit()
  ---@class aws.Spending
  return { limit = limit or PATIENCE, failures = 0, allowed = limit or self.attempts, deadline = deadline, cost = REFUND }
end

--- How long to wait: longer steps after throttling, and no less than the service asked for.
---@param e Error with `throttled`, `asked`
---@param attempt integer
---@return number seconds
function Retries:pause(e, attempt)
  local pause = math.random() * math.min((e.throttled and THROTTLED_BASE or self.base) * 2 ^ (attempt - 1), LONGEST)
  if e.asked then pause = math.max(pause, math.min(e.asked, pause + EXTRA)) end
  return pause
end

--- Whether a failed attempt may be followed by another. Throttled attempts do not count as failures.
---@param spending aws.Spending
---@param e Error
---@return boolean
function Retries:allows(spending, e)
  if not e.throttled then spending.failures = spending.failures + 1 end
  if not e.retry or not e.throttled and spending.failures >= spending.allowed then return false end
  if spending.deadline and task.now() + e.retry_after >= spending.deadline then return false end
  local cost = e.throttled and THROTTLED_COST or COST
  if self.capacity < cost then return false end
  self.capacity, spending.cost = self.capacity - cost, cost
  return true
end

--- A call has succeeded: it gives back what its last retry cost.
---@param spending aws.Spending
function Retries:succeeded(spending) self.capacity = math.min(CAPACITY, self.capacity + spending.cost) end

return M
