--- Parameter groups of RDS and ElastiCache: values as the services write them, and what is to be set.
local diff = require "recipe.diff"
local sorted_keys = require "sorted_keys"

local M = {}

local WORDS = { on = "1", ["true"] = "1", off = "0", ["false"] = "0" }

--- A value as text. Lua's true and false are what the service calls them.
---@param v string|number|boolean
---@param yes string "1"
---@param no string "0"
---@return string
function M.text(v, yes, no)
  if type(v) == "boolean" then return v and yes or no end
  return tostring(math.tointeger(v) or v)
end

--- Whether two texts mean the same: 0.90 is 0.9, "on" is 1, and "a, b" is "a,b".
local function same_text(a, b)
  if a == b then return true end
  if b == nil then return false end
  local x, y = tonumber(a), tonumber(b)
  if x and y then return x == y end
  if (WORDS[a] or a) == (WORDS[b] or b) then return true end
  return a:gsub("%s*,%s*", ",") == b:gsub("%s*,%s*", ",")
end

--- A comparer of parameters: of those that are given, which are not as they are wanted.
function M.comparer(yes, no)
  return function(want, have)
    return diff.given(want, have, function(w, h) return same_text(M.text(w, yes, no), h) end)
  end
end

--- Changes as a list by name, in portions of 20: more neither service takes in a call.
---@param values table<string, string|number|boolean>
---@param entry fun(name: string, value: any): table
---@param modify fun(portion: table[])
function M.set(values, entry, modify)
  local list = {}
  for i, name in ipairs(sorted_keys(values)) do list[i] = entry(name, values[name]) end
  for first = 1, #list, 20 do modify(table.move(list, first, math.min(first + 19, #list), 1, {})) end
end

--- The values of a group: those that were set, and of those that are wanted also what the service has for a default, which
--- is how it shows a value that was set to it.
---@param wanted table<string, any>
---@param each fun(source: string|nil): function an iterator of parameters
---@return table<string, string>
function M.read(wanted, each)
  local values, missing = {}, false
  for p in each "user" do values[p.ParameterName] = p.ParameterValue end
  for name in pairs(wanted) do missing = missing or values[name] == nil end
  if missing then
    for p in each(nil) do
      if wanted[p.ParameterName] ~= nil then values[p.ParameterName] = p.ParameterValue end
    end
  end
  return values
end

return M
