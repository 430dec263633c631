--- Schedule expressions: rate(10 minutes), at(2026-11-23T14:00:00),
--- cron(minutes hours day-of-month month day-of-week year), in UTC.
--- https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
local M = {}

local UNITS = { minute = 60, minutes = 60, hour = 3600, hours = 3600, day = 86400, days = 86400 }
local MONTHS, DAYS = {}, {}
for i, name in ipairs { "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC" } do MONTHS[name] = i end
for i, name in ipairs { "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT" } do DAYS[name] = i end

local FIELDS = { { 0, 59 }, { 0, 23 }, { 1, 31 }, { 1, 12, MONTHS }, { 1, 7, DAYS }, { 1970, 2199 } }

--- "0/10", "1-5", "MON,WED", "*" as a set of numbers; "?" and "*" are everything (nil).
local function field(text, from, to, names)
  if text == "*" or text == "?" then return true, nil end
  local set = {}
  for part in text:gmatch "[^,]+" do
    local first, last, step = part, part, 1
    local range, every = part:match "^(.-)/(%d+)$"
    if range then first, last, step = range, tostring(to), tonumber(every) end
    local a, b = (range or part):match "^(.-)%-(.+)$"
    if a then first, last = a, b end
    if first == "*" then first = tostring(from) end
    local low, high = names and names[first:upper()] or tonumber(first), names and names[last:upper()] or tonumber(last)
    if not low or not high or low < from or high > to or step < 1 then return false end
    for n = low, high, step do set[n] = true end
  end
  return true, set
end

--- Reads an expression.
---@return table? parsed nil where it is none
function M.parse(text)
  local n, unit = text:match "^rate%((%d+) (%a+)%)$"
  if n then return tonumber(n) > 0 and UNITS[unit] and { every = tonumber(n) * UNITS[unit] } or nil end
  local y, mo, d, h, mi, s = text:match "^at%((%d%d%d%d)%-(%d%d)%-(%d%d)T(%d%d):(%d%d):(%d%d)%)$"
  if y then
    local day = os.time { year = y, month = mo, day = d, hour = 12 } - os.time { year = 1970, month = 1, day = 1, hour = 12 }
    return { at = math.floor(day / 86400 + 0.5) * 86400 + h * 3600 + mi * 60 + s }
  end
  local inner = text:match "^cron%((.*)%)$"
  if not inner then return nil end
  local parsed, i = {}, 0
  local days = {}
  for word in inner:gmatch "%S+" do
    i = i + 1
    if not FIELDS[i] or word == "?" and i ~= 3 and i ~= 5 then return nil end
    local ok, set = field(word, table.unpack(FIELDS[i]))
    if not ok then return nil end
    parsed[i], days[i] = set or false, word
  end
  if i ~= 6 or (days[3] ~= "?") == (days[5] ~= "?") then return nil end        -- one of the two days must be "?"
  return { cron = parsed }
end

local function fits(cron, t)
  local d = os.date("!*t", t)
  for i, value in ipairs { d.min, d.hour, d.day, d.month, d.wday, d.year } do
    if cron[i] and not cron[i][value] then return false end
  end
  return true
end

local FAR = 366 * 1440                  -- minutes that are looked ahead

--- When it fires next after a time; nil if never.
---@param parsed table
---@param after number seconds since 1970
---@param since number when the schedule was made, from which a rate counts
---@return number?
function M.next(parsed, after, since)
  if parsed.every then return since + (math.floor((after - since) / parsed.every) + 1) * parsed.every end
  if parsed.at then return parsed.at > after and parsed.at or nil end
  local t = math.floor(after / 60) * 60
  for _ = 1, FAR do
    t = t + 60
    if fits(parsed.cron, t) then return t end
  end
end

return M
