--- A value as JSON, YAML and CSV can say it: secrets are "(secret)", bytes base64, what is none of data its own text.
local host = require "host.list"
local list = require "list"
local path = require "list.path"
local secret = require "secret"
local unknown = require "recipe.unknown"

local M = {}

local function number(n)
  if n ~= n then return "NaN" end
  if n == math.huge or n == -math.huge then return n > 0 and "Infinity" or "-Infinity" end
  return n
end

local function scalar(v, found)
  if type(v) == "string" then return utf8.len(v) and v or require("sign").base64(v) end
  if type(v) == "number" then return number(v) end
  if secret.is(v) then found.secrets = found.secrets + 1 return "(secret)" end
  if type(v) == "boolean" or getmetatable(v) == "null" then return v end
  return tostring(v)
end

local function copy(v, found, seen)
  if type(v) ~= "table" or unknown.is(v) then return scalar(v, found) end
  local meta = getmetatable(v)
  if type(meta) == "table" and meta.__tostring then return tostring(v) end
  if seen[v] then return "{...}" end
  seen[v] = true
  local r = {}
  if path.is_list(v) then
    for i, item in ipairs(v) do r[i] = copy(item, found, seen) end
    list.ordered(r, list.columns(v))                        -- the marks and names of rows (.n, .columns) are not data
  else
    for k, member in next, v do r[type(k) == "string" and k or tostring(k)] = copy(member, found, seen) end
    if host.is_answer(v) then host.answer(r) end
  end
  seen[v] = nil
  return r
end

--- A copy that can be written anywhere, and how many secrets it had.
---@param v any
---@return any plain
---@return integer secrets
function M.of(v)
  local found = { secrets = 0 }
  if v == nil then v = require("json").null end
  return copy(v, found, {}), found.secrets
end

return M
