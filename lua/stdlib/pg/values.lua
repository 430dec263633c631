--- Values on their way into PostgreSQL, where Lua has no type of its own for them: parameters, names and values in SQL
--- text, the rows of a COPY.
local errors = require "errors"
local json = require "json"
local secret = require "secret"

local M = {}

local UNKNOWN = "a value that is not known yet cannot go into a statement: run it inside recipe.once"

local function is_unknown(v)
  local meta = getmetatable(v)
  return type(meta) == "table" and rawget(meta, "__hkrun_unknown") == true
end

function M.array(list, n)
  local parts = {}
  for i = 1, n or #list do
    local v = list[i]
    if v == nil or v == json.null then parts[i] = "NULL"
    elseif type(v) == "table" and (json.is_array(v) or #v > 0) then parts[i] = M.array(v)
    else
      v = M.parameter(v)
      if secret.is(v) then errors.usage("a secret cannot stand inside an array: give it as a parameter of its own") end
      parts[i] = type(v) == "string" and '"' .. v:gsub('[\\"]', "\\%0") .. '"' or tostring(v)
    end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

--- What is sent for a value of Lua: a list as an array, a table with names as JSON, null as NULL.
function M.parameter(v)
  if v == json.null then return nil end
  if type(v) ~= "table" then return v end
  if is_unknown(v) then errors.usage(UNKNOWN) end
  if json.is_array(v) or next(v) == nil or #v > 0 then return M.array(v) end
  return json.encode(v)
end

function M.bytea(bytes) return secret.concat { "\\x", secret.encode(bytes, "hex") } end

-- Rows of COPY's text format -------------------------------------------------

local ESCAPED = { ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
local MEANT = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", v = "\v" }

local function field(v)
  v = M.parameter(v)
  if v == nil then return "\\N" end
  if type(v) == "string" then return (v:gsub("[\\\n\r\t]", ESCAPED)) end
  if v == true then return "t" elseif v == false then return "f" end
  if v ~= v then return "NaN" elseif v == math.huge then return "Infinity" elseif v == -math.huge then return "-Infinity" end
  if math.type(v) == "float" then return ("%.17g"):format(v) end
  if secret.is(v) then errors.usage("a secret cannot stand inside a row of COPY: insert it with conn:query") end
  return tostring(v)
end

--- One line of COPY for a row: a list of values (.n of them, where the last may be nil), or by names with `columns`.
function M.copy_line(row, columns)
  local parts = {}
  if columns then
    for i, name in ipairs(columns) do parts[i] = field(row[name]) end
  else
    for i = 1, row.n or #row do parts[i] = field(row[i]) end
  end
  return table.concat(parts, "\t") .. "\n"
end

--- The values of one line of COPY, as text; NULL is nil, so the list has .n.
function M.copy_row(line)
  local row = { n = 0 }
  for text in (line .. "\t"):gmatch "([^\t]*)\t" do
    row.n = row.n + 1
    if text ~= "\\N" then row[row.n] = text:find("\\", 1, true) and text:gsub("\\(.)", function(c) return MEANT[c] or c end) or text end
  end
  return row
end

-- SQL text -------------------------------------------------------------------

function M.quote_name(name) return '"' .. name:gsub('"', '""') .. '"' end

function M.quote_value(s)
  s = tostring(s)
  if s:find("\\", 1, true) then return " E'" .. s:gsub("\\", "\\\\"):gsub("'", "''") .. "'" end
  return "'" .. s:gsub("'", "''") .. "'"
end

-- Times ----------------------------------------------------------------------

--- Days from 1970-01-01 to a date of the Gregorian calendar: months are counted from March, 400 years are 146,097 days.
local function days(year, month, day)
  if month < 3 then year, month = year - 1, month + 12 end
  return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719469
end

function M.epoch(text)
  if text == "infinity" then return math.huge elseif text == "-infinity" then return -math.huge end
  local year, month, day, rest = text:match "^(%d%d%d%d+)%-(%d%d)%-(%d%d)(.*)$"
  if not year then errors.usage("not a date or timestamp of PostgreSQL: %s", text) end
  year = math.tointeger(tonumber(year))
  if rest:find " BC$" then year, rest = 1 - year, rest:sub(1, -4) end
  local seconds = days(year, math.tointeger(tonumber(month)), math.tointeger(tonumber(day))) * 86400
  local hour, minute, second, fraction, zone = rest:match "^[ T](%d%d):(%d%d):(%d%d)(%.?%d*)(.*)$"
  if not hour then
    if rest ~= "" then errors.usage("not a date or timestamp of PostgreSQL: %s", text) end
    return seconds
  end
  seconds = seconds + hour * 3600 + minute * 60 + second
  local sign, zh, zm, zs = zone:match "^([+-])(%d%d):?(%d*):?(%d*)$"
  if sign then
    local offset = zh * 3600 + (tonumber(zm) or 0) * 60 + (tonumber(zs) or 0)
    seconds = sign == "+" and seconds - offset or seconds + offset
  end
  seconds = math.tointeger(seconds)
  return fraction ~= "" and seconds + tonumber("0" .. fraction) or seconds
end

return M
