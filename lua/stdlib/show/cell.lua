--- One value in the cell of a table: short, on one line, nothing of it able to steer a terminal.
local host = require "host.list"
local path = require "list.path"
local secret = require "secret"
local unknown = require "recipe.unknown"
local width = require "host.width"

local M = {}

local ESCAPES = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r" }

--- Text without control characters and without bytes that are no UTF-8; those are shown as Lua would write them.
---@param s string
---@param keep? string characters that may stay, for a Lua pattern's set
---@return string
function M.clean(s, keep)
  if not s:find "[%c\128-\255]" then return s end
  if not utf8.len(s) then s = s:gsub("[\128-\255]", function(c) return ("\\x%02x"):format(c:byte()) end) end
  s = s:gsub(keep and "[^%C" .. keep .. "]" or "%c", function(c) return ESCAPES[c] or ("\\%d"):format(c:byte()) end)
  return (s:gsub("\194[\128-\159]", function(c) return ("\\u{%x}"):format(utf8.codepoint(c)) end))
end

-- Times --------------------------------------------------------------------

local ENDS = { "Time", "time", "Date", "date", "At", "_at", "Timestamp", "timestamp", "After", "Before", "Modified", "Expiration",
               "LastUpdated", "_after", "On" }
local FROM, TO = 946684800, 4102444800                      -- 2000 to 2100

--- The time that a number is, if its member's name says so and it lies between 2000 and 2100; some services count
--- milliseconds. AWS's models are not at hand where a value is printed, so the name must do.
---@param name any
---@param n any
---@return string? "2026-01-31T08:00:00Z"
function M.time(name, n)
  if type(n) ~= "number" or type(name) ~= "string" then return nil end
  if n >= FROM * 1000 and n < TO * 1000 then n = n / 1000 end
  if not (n >= FROM and n < TO) then return nil end
  for _, last in ipairs(ENDS) do
    if name:sub(-#last) == last then return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(n)) --[[@as string]] end
  end
end

-- Values -------------------------------------------------------------------

--- Whether a value is shown as it is, without looking into it.
---@param v any
---@return boolean
function M.is_scalar(v)
  if type(v) ~= "table" or unknown.is(v) then return true end
  local meta = getmetatable(v)
  return type(meta) == "table" and meta.__tostring ~= nil
end

--- The names of a struct in their order: identifiers and names first, then as the alphabet has them.
local function first_name(v)
  local best
  for k in next, v do
    local name = tostring(k)
    local rank = (name:find "Id$" or name:find "Name$" or name:find "Address$") and "0" .. name or "1" .. name
    if not best or rank < best then best = rank end
  end
  return best and best:sub(2)
end

--- A struct that stands for one word: { Name = "running", Code = 16 }, { State = "disabled" }.
---@param v table
---@return any word nil for another struct
function M.word(v)
  local key, value = next(v)
  if key ~= nil and next(v, key) == nil then return type(value) ~= "table" and value or nil end
  local name = rawget(v, "Name")
  if type(name) == "string" and rawget(v, "Code") ~= nil and next(v, next(v, key)) == nil then return name end
end

--- A nested value in a word: [3] for a list of three, {VpcId…} for a struct.
---@param v table
---@return string
function M.folded(v)
  if host.is(v) or #v > 0 then
    if #v == 1 and M.is_scalar(v[1]) then return "[" .. M.text(nil, v[1]) .. "]" end
    return ("[%d]"):format(#v)
  end
  if next(v) == nil then return "{}" end
  return "{" .. M.clean(first_name(v)) .. "…}"
end

local BYTES = 16                                            -- more than a column takes, with its accents

--- Text of which only so many columns are shown: an object of S3 is not cleaned to its last byte for that.
local function beginning(s, columns)
  local most = columns and columns * BYTES
  if not most or #s <= most then return s end
  for back = 0, 3 do                                        -- to where a character ends
    if not s:find("^[\128-\191]", most - back + 1) then return s:sub(1, most - back) end
  end
  return s:sub(1, most)
end

--- What stands in the cell of a member.
---@param name any the member's name
---@param v any
---@param columns? integer how many of it are shown at most
---@return string
function M.text(name, v, columns)
  if v == nil then return "" end
  if type(v) == "string" then return M.clean(beginning(v, columns)) end
  if type(v) == "function" then return "function" end
  if secret.is(v) then return "(secret)" end
  if type(v) == "number" then return M.time(name, v) or tostring(v) end
  if M.is_scalar(v) then return M.clean(tostring(v)) end
  local word = M.word(v)
  if word ~= nil and not path.is_list(v) then return M.text(next(v), word, columns) end
  return M.folded(v)
end

-- Widths -------------------------------------------------------------------

--- The columns that text takes.
M.width = width.of

--- Text cut to a width, with … for what is missing: at the front of an ARN, whose end tells more.
---@param s string
---@param columns integer
---@return string
function M.cut(s, columns)
  if width.of(s) <= columns then return s end
  if columns < 1 then return "" end
  if s:find "^arn:" then
    local tail = s
    while width.of(tail) > columns - 1 do tail = tail:sub(utf8.offset(tail, 2) or #tail + 1) end
    return "…" .. tail
  end
  return (width.fit(s, columns - 1)) .. "…"
end

--- Text filled up to a width, on the left or on the right.
---@param s string
---@param columns integer
---@param right? boolean
---@return string
function M.pad(s, columns, right)
  local gap = (" "):rep(columns - width.of(s))
  return right and gap .. s or s .. gap
end

return M
