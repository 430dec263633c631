--- Points in time as AWS writes them. In arguments and results they are seconds since 1970, UTC.
local host = require "host.shape"

local M = {}

local MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" }
local DAYS = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" } -- 1970-01-01 was a Thursday

local function date_of(days)
  days = days + 719468
  local era = days // 146097
  local of_era = days - era * 146097
  local year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
  local of_year = of_era - (365 * year + year // 4 - year // 100)
  local shifted = (5 * of_year + 2) // 153
  local month = shifted < 10 and shifted + 3 or shifted - 9
  return year + era * 400 + (month <= 2 and 1 or 0), month, of_year - (153 * shifted + 2) // 5 + 1
end

local function whole(seconds) return math.tointeger(seconds) or seconds end

--- Seconds of a time in any form that AWS sends: a number, ISO 8601, RFC 822; nil if it is none of them.
---@param value string|number
---@return number?
function M.parse(value)
  if type(value) == "number" then return whole(value) end
  return host.time(value)
end

local function fields(seconds)
  local whole_seconds = math.floor(seconds)
  local days = whole_seconds // 86400
  local left = whole_seconds - days * 86400
  local year, month, day = date_of(days)
  return year, month, day, left // 3600, left // 60 % 60, left % 60, days
end

--- "2026-01-31T08:00:00Z", with six decimals where the seconds have a fraction.
---@param seconds number
function M.iso8601(seconds)
  local micro = math.floor((seconds - math.floor(seconds)) * 1e6 + 0.5)
  local year, month, day, hour, minute, second = fields(seconds)
  local fraction = micro > 0 and micro < 1000000 and (".%06d"):format(micro) or ""
  return ("%04d-%02d-%02dT%02d:%02d:%02d%sZ"):format(year, month, day, hour, minute, second, fraction)
end

--- "Sat, 31 Jan 2026 08:00:00 GMT"
---@param seconds number
function M.rfc822(seconds)
  local year, month, day, hour, minute, second, days = fields(seconds)
  return ("%s, %02d %s %04d %02d:%02d:%02d GMT"):format(DAYS[days % 7 + 1], day, MONTHS[month], year, hour, minute, second)
end

--- Writes a time in a model's format; "unixTimestamp" gives a number.
---@param seconds number
---@param format "iso8601"|"rfc822"|"unixTimestamp"
function M.format(seconds, format)
  format = format:lower()                    -- as botocore reads it
  if format == "rfc822" then return M.rfc822(seconds) end
  if format == "iso8601" then return M.iso8601(seconds) end
  return whole(seconds)
end

return M
