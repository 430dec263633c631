--- The part of JMESPath that paginators and waiters use: names with dots, [] over lists, [-1], ||, and
--- length(x) compared with a number.
local M = {}

--- "A.B[].C" -> { "A", "B", true, "C" }: true projects, a number picks an item.
local parsed = {}
local function steps_of(expression)
  local steps = parsed[expression]
  if steps then return steps end
  steps = {}
  for name, brackets in expression:gmatch "([^.%[%]]+)([%[%]%-%d*]*)" do
    steps[#steps + 1] = name
    for index in brackets:gmatch "%[([^%]]*)%]" do
      steps[#steps + 1] = (index == "" or index == "*") and true or tonumber(index)
    end
  end
  parsed[expression] = steps
  return steps
end

local function walk(value, steps, at)
  for i = at, #steps do
    local step = steps[i]
    if type(value) ~= "table" then return nil end
    if step == true then
      local found = {}
      for _, item in ipairs(value) do
        local got = walk(item, steps, i + 1)
        if got ~= nil then
          -- a later [] of the same path flattens into this list
          local flattens = false
          for j = i + 1, #steps do flattens = flattens or steps[j] == true end
          if flattens then table.move(got, 1, #got, #found + 1, found) else found[#found + 1] = got end
        end
      end
      return found
    elseif math.type(step) == "integer" then
      value = value[step < 0 and #value + 1 + step or step + 1]
    else
      value = value[step]
    end
  end
  return value
end

local COMPARE = {
  [">"] = function(a, b) return a > b end, ["=="] = function(a, b) return a == b end,
  ["<"] = function(a, b) return a < b end, [">="] = function(a, b) return a >= b end,
}

--- Finds what an expression means in a result; nil if it is not there.
---@param expression string
---@param data table
---@return any
function M.find(expression, data)
  local inner, operator, number = expression:match "^length%((.-)%)%s*([<>=]+)%s*`(%d+)`$"
  if inner then
    local list = M.find(inner, data)
    return list ~= nil and COMPARE[operator](#list, tonumber(number))
  end
  for part in (expression .. "||"):gmatch "%s*(.-)%s*||" do
    local value = walk(data, steps_of(part), 1)
    if value ~= nil and value ~= "" and value ~= false then return value end
  end
  return nil
end

--- Puts a value where a path of names points, as far as the tables exist.
---@param expression string "Reservations" or "DistributionList.Items"
---@param data table
---@param value any
function M.put(expression, data, value)
  local steps = steps_of(expression)
  for i = 1, #steps - 1 do data = data[steps[i]] end
  data[steps[#steps]] = value
end

return M
