--- Amounts and times as people say them.
local M = {}

local UNITS = { "B", "KiB", "MiB", "GiB", "TiB" }

--- 1234567, "rows" -> "1,234,567 rows"; 1536, "bytes" -> "1.5 KiB".
---@param n number
---@param unit? string
---@return string
function M.amount(n, unit)
  if unit == "bytes" then
    local i = 1
    while n >= 1024 and i < #UNITS do n, i = n / 1024, i + 1 end
    return (i == 1 and "%d %s" or "%.1f %s"):format(i == 1 and math.floor(n) or n, UNITS[i])
  end
  local s = ("%d"):format(math.floor(n)):reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
  return unit and s .. " " .. unit or s
end

--- Seconds: 8 s, 2 min 5 s, 1 h 3 min.
---@param s number
---@return string
function M.duration(s)
  s = math.floor(s + 0.5)
  if s < 60 then return s .. " s" end
  if s < 3600 then return ("%d min %d s"):format(s // 60, s % 60) end
  return ("%d h %d min"):format(s // 3600, s % 3600 // 60)
end

--- Seconds that are a guess, no finer than they deserve: about 20 s, about 7 min, about 1 h 10 min.
---@param s number
---@return string
function M.about(s)
  if s < 10 then return "a few s" end
  if s < 55 then return ("about %d s"):format((s + 5) // 10 * 10) end
  local minutes = (s + 30) // 60
  if minutes < 60 then return ("about %d min"):format(minutes) end
  minutes = (minutes + 5) // 10 * 10
  return ("about %d h %d min"):format(minutes // 60, minutes % 60)
end

return M
