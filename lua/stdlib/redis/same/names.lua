--- Names and times as the sentences of redis.same show them.
local M = {}

local SHOWN = 64

--- Bytes in quotes: shortened, with what is not printable as \xFF. Letters of UTF-8 stay where all of it is.
---@param s string
---@return string
function M.show(s)
  local short = #s > SHOWN and s:sub(1, SHOWN - 16) or s
  if #s > SHOWN and utf8.len(s) then short = s:sub(1, utf8.offset(s, 0, SHOWN - 15) - 1) end
  local text = short:gsub(utf8.len(short) and '[%c\x7f"\\]' or '[%c\x7f-\xff"\\]', function(c)
    return (c == '"' or c == "\\") and "\\" .. c or ("\\x%02x"):format(c:byte())
  end)
  return #s > SHOWN and ('"%s..." (%d bytes)'):format(text, #s) or ('"%s"'):format(text)
end

--- Milliseconds since 1970, or "never".
local function at(ms)
  if ms < 0 then return "never" end
  return ("%s.%03dZ"):format(os.date("!%Y-%m-%dT%H:%M:%S", ms // 1000), ms % 1000)
end

--- "expires at 2100-01-01T00:00:00.000Z in a, never in b"
---@param a integer
---@param b integer
function M.expiry(a, b)
  if a < 0 then return ("never expires in a, at %s in b"):format(at(b)) end
  return ("expires at %s in a, %s in b%s"):format(at(a), b < 0 and "never" or "at " .. at(b), b < 0 and "" or (" (%+d ms)"):format(b - a))
end

---@param tolerance integer milliseconds
function M.same_time(a, b, tolerance)
  return a == b or (a >= 0 and b >= 0 and math.abs(a - b) <= tolerance)
end

return M
