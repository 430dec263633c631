--- Credentials: found once, kept in memory, renewed before they end; of many tasks that ask at once, one searches.
--- Where they may be, and in which order, says aws/credentials/places.lua.
local config = require "aws.config"
local errors = require "errors"
local places = require "aws.credentials.places"
local task = require "task"

local M = {}

-- Seconds before the end: from `ADVISORY` on one task renews while the others go on with what they have; from `MANDATORY`
-- on all wait for it. As botocore's RefreshableCredentials; for credentials that live shortly, a share of their life.
local ADVISORY, MANDATORY = 900, 600
local ADVISORY_SHARE, MANDATORY_SHARE = 1 / 2, 1 / 3
local AGAIN = 60 -- seconds from a renewal that failed to the next

--- Stands for "send this unsigned": the calls that get credentials.
M.NONE = require("aws.credentials.sts").NONE

--- The clock; a test puts its own here.
M.now = os.time

--- Asks the places in their order. Raises when there are no credentials, or when a place is set up and does not work: to go
--- on from there would be to act as somebody else.
local function find(o, profile)
  local tried = {}
  local function fail(fields)
    fields.op, fields.message, fields.tried = "find AWS credentials", table.concat(tried, "; "), tried
    errors.raise(fields)
  end
  for _, place in ipairs(places.list(o, profile)) do
    local ok, found, why = pcall(place[2], o, profile)
    if not ok and (not errors.is(found) or found.kind == "cancelled") then error(found, 0) end
    if ok and found and found.expires and found.expires <= M.now() then
      ok, found = false, errors.new { kind = "auth", message = "the credentials have expired" }
    end
    if ok and found then return found end
    local e = not ok and found
    tried[#tried + 1] = ("%s: %s"):format(place[1], e and tostring(errors.new { op = e.op, message = e.message, code = e.code }) or why)
    if e then fail { kind = e.kind, code = e.code, retry = e.retry, hint = e.hint, cause = e } end
  end
  fail { kind = "usage", hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`" }
end

local kept = {}      -- key -> { credentials, found = when, again = no renewal before }
local searches = {}  -- key -> { task, waiting = how many }

local function left_of(entry) return entry.credentials.expires and entry.credentials.expires - M.now() or math.huge end

--- How urgent a renewal is. Who would be asked for a code again is left alone until the end.
local function urgency(entry)
  if not entry then return "mandatory" end
  local left, credentials = left_of(entry), entry.credentials
  if left <= 0 then return "mandatory" end
  if credentials.asks or entry.again and M.now() < entry.again then return nil end
  local life = credentials.expires and credentials.expires - entry.found or math.huge
  if left < math.min(MANDATORY, life * MANDATORY_SHARE) then return "mandatory" end
  return left < math.min(ADVISORY, life * ADVISORY_SHARE) and "advisory" or nil
end

--- Searches in a task of its own, so that the one who asked first may be cancelled while others wait; without anybody
--- left, it is cancelled too.
local function search(key, o, profile)
  local job = searches[key]
  if not job then
    job = { waiting = 0 }
    job.task = task.spawn(function()
      local ok, found = pcall(find, o, profile)
      searches[key] = nil
      if not ok then error(found, 0) end
      kept[key] = { credentials = found, found = M.now() }
    end)
    searches[key] = job
  end
  job.waiting = job.waiting + 1
  local ok, e = pcall(job.task.join, job.task)
  job.waiting = job.waiting - 1
  if not ok and job.waiting == 0 and not job.task.done then
    job.task:cancel()
    task.shield(function() pcall(job.task.join, job.task) end)
  end
  if not ok then error(e, 0) end
end

local function key_of(o) return o.profile or "\0" .. config.profile_name() .. "\0" .. (config.env "AWS_ACCESS_KEY_ID" or "") end

--- The credentials of a profile. What is still good is used when it cannot be renewed. Raises "usage" when there are none,
--- "auth" and others when a place that is set up does not work; the error names each place that was tried, and why it has
--- none.
---@param o { profile?: string, region?: string }
---@return aws.Credentials
function M.get(o)
  local key, profile = key_of(o), (config.profile_name(o.profile))
  local entry = kept[key]
  local urgent = urgency(entry)
  if not urgent or urgent == "advisory" and searches[key] then return entry.credentials end
  local told = task.is_cancelled()
  local ok, e = pcall(search, key, o, profile)
  if ok then return kept[key].credentials end
  if errors.is(e, "cancelled") or task.is_cancelled() ~= told or not entry or left_of(entry) <= 0 then error(e, 0) end
  entry.again = M.now() + AGAIN
  return entry.credentials
end

--- Forgets credentials that a service says are over. True if another attempt may have others: new ones can be got, or
--- another task has got them already.
---@param o { profile?: string }
---@param access_key_id string those that were used
---@return boolean
function M.reject(o, access_key_id)
  local key = key_of(o)
  local entry = kept[key]
  if not entry or entry.credentials.access_key_id ~= access_key_id then return true end
  if not entry.credentials.expires then return false end
  kept[key] = nil
  return true
end

--- Forgets everything that was found.
function M.forget() kept = {} end

return M
