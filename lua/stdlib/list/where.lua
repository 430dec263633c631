--- The conditions of list:where as functions of an item.
local errors = require "errors"
local path = require "list.path"

local M = {}

local get = path.get

local function number_like(v, other)
  return type(other) == "number" and type(v) == "string" and tonumber(v) or v
end

local function less(a, b)
  a = number_like(a, b)
  if type(a) ~= type(b) or not (type(a) == "number" or type(a) == "string") then return nil end
  return a < b
end

local function wildcard(pattern)
  local p = tostring(pattern):gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".")
  return "^" .. p .. "$"
end

local holds

--- One value against one wanted; a wanted list means any of its items, another table conditions on members.
local function equal(v, want)
  if type(want) == "function" then return want(v) and true or false end
  if want == nil or want == false then return v == nil or v == want end
  if type(want) ~= "table" then return v == want or number_like(v, want) == want end
  if not path.is_list(want) then return type(v) == "table" and holds(v, want) end
  for _, w in ipairs(want) do
    if equal(v, w) then return true end
  end
  return false
end

--- Whether a test holds for a value, or for an item of it if it is a list.
local function any(v, want, test)
  if not path.is_list(v) or type(want) == "function" then return test(v, want) end
  for _, item in ipairs(v) do
    if test(item, want) then return true end
  end
  return false
end

function holds(item, conditions)
  for at, want in pairs(conditions) do
    if not any(get(item, at), want, equal) then return false end
  end
  return true
end

local TESTS = {
  ["=="] = equal,
  ["<"] = function(v, w) return less(v, w) end,
  [">"] = function(v, w) v = number_like(v, w) return less(w, v) end,
  ["<="] = function(v, w) v = number_like(v, w) return v == w or less(v, w) end,
  [">="] = function(v, w) v = number_like(v, w) return v == w or less(w, v) end,
  like = function(v, w) return type(v) == "string" and v:find(w) ~= nil end,
}
local OPERATORS = { "==", "~=", "<", "<=", ">", ">=", "like" }

local function compare(at, operator, want)
  if operator == "~=" then return function(item) return not any(get(item, at), want, equal) end end
  local test = TESTS[operator]
  if not test then
    errors.usage("where knows the operators %s, not %s", table.concat(OPERATORS, " "), tostring(operator))
  end
  if operator == "like" then want = wildcard(want) end
  return function(item) return any(get(item, at), want, test) end
end

--- What says whether an item stays: of list:where's arguments.
---@param condition table|function|string
---@param ... any an operator and a value
---@return fun(item: any): any
function M.test(condition, ...)
  if type(condition) == "table" then return function(item) return holds(item, condition) end end
  if type(condition) == "function" then return condition end
  if type(condition) ~= "string" then
    errors.usage("where needs a table of conditions, a function or a path, not a %s", type(condition))
  end
  local n, operator, want = select("#", ...), ...
  if n == 0 then return function(item) return get(item, condition) end end
  if n == 1 then return compare(condition, "==", operator) end
  return compare(condition, operator, want)
end

return M
