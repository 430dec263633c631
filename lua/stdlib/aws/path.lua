--- JMESPath, as paginators and waiters write it: what an expression finds in a result. An expression becomes a function
--- once. Source: jmespath.org/specification.
local errors = require "errors"
local json = require "json"
local lexer = require "aws.path.lexer"
local parts = require "aws.path.parts"

local M = {}

local chain, is_true, itself, projection = parts.chain, parts.is_true, parts.itself, parts.projection

--- How strongly each sign binds.
local POWER = { ["|"] = 1, ["||"] = 2, ["&&"] = 3, ["=="] = 5, ["!="] = 5, ["<"] = 5, ["<="] = 5, [">"] = 5, [">="] = 5,
                ["[]"] = 9, ["*"] = 20, ["[?"] = 21, ["."] = 40, ["!"] = 45, ["{"] = 50, ["["] = 55, ["("] = 60 }
local STOPS_PROJECTION = 10

local function wrong(p)
  local token = p.tokens[p.at]
  errors.usage("the JMESPath expression %s is not understood at %s", p.text, token.kind == "end" and "its end" or token.text)
end

local function kind_of(p, ahead) return p.tokens[p.at + (ahead or 0)].kind end

local function take(p, kind)
  local token = p.tokens[p.at]
  if kind and token.kind ~= kind then wrong(p) end
  p.at = p.at + 1
  return token
end

local function power_of(p) return POWER[kind_of(p)] or 0 end

local expression -- below

--- Expressions up to a closing bracket, with commas between.
local function list_of(p, closing)
  local list = {}
  while kind_of(p) ~= closing or #list > 0 do
    list[#list + 1] = expression(p, 0)
    if kind_of(p) ~= "," then break end
    take(p)
  end
  take(p, closing)
  return list
end

local function select_list(p)
  local fns = list_of(p, "]")
  if #fns == 0 then wrong(p) end
  return function(v)
    if v == nil then return nil end
    local found = json.array {}
    for i, fn in ipairs(fns) do
      local got = fn(v)
      found[i] = got == nil and json.null or got
    end
    return found
  end
end

local function select_object(p)
  local names, fns = {}, {}
  repeat
    names[#names + 1] = (kind_of(p) == "quoted" and take(p) or take(p, "name")).value
    take(p, ":")
    fns[#fns + 1] = expression(p, 0)
  until kind_of(p) ~= "," or not take(p)
  take(p, "}")
  return function(v)
    if v == nil then return nil end
    local found = {}
    for i, fn in ipairs(fns) do
      local got = fn(v)
      found[names[i]] = got == nil and json.null or got
    end
    return found
  end
end

local function after_dot(p, power)
  local kind = kind_of(p)
  if kind == "name" or kind == "quoted" or kind == "*" then return expression(p, power) end
  if kind == "[" then take(p) return select_list(p) end
  take(p, "{")
  return select_object(p)
end

--- What is done to each item of a projection.
local function for_each(p, power)
  if power_of(p) < STOPS_PROJECTION then return itself end
  local kind = kind_of(p)
  if kind == "[" or kind == "[?" then return expression(p, power) end
  take(p, ".")
  return after_dot(p, power)
end

--- Behind a "[": an index, a slice or a star.
local function in_brackets(p, left)
  if kind_of(p) == "*" then
    take(p)
    take(p, "]")
    return projection(left, for_each(p, POWER["*"]))
  end
  local numbers, colons = {}, 0
  while kind_of(p) == ":" or kind_of(p) == "number" do
    local token = take(p)
    if token.kind == ":" then colons = colons + 1 else numbers[colons + 1] = token.value end
  end
  take(p, "]")
  if colons == 0 then return chain(left, parts.index(numbers[1])) end
  if colons > 2 or numbers[3] == 0 then wrong(p) end
  return projection(chain(left, parts.slice(numbers[1], numbers[2], numbers[3] or 1)), for_each(p, POWER["*"]))
end

local function filter(p, left)
  local condition = expression(p, 0)
  take(p, "]")
  return projection(left, kind_of(p) == "[]" and itself or for_each(p, POWER["[?"]), condition)
end

local function call(p, name)
  local called = parts.functions[name]
  if not called then errors.usage("the JMESPath function %s in %s is not known here", name, p.text) end
  local fns = list_of(p, ")")
  return function(v)
    local arguments = {}
    for i, fn in ipairs(fns) do arguments[i] = fn(v) end
    return called(table.unpack(arguments, 1, #fns))
  end
end

local PREFIX = {
  name = function(p, token)
    if kind_of(p) ~= "(" then return parts.field(token.value) end
    take(p)
    return call(p, token.value)
  end,
  quoted = function(_, token) return parts.field(token.value) end,
  literal = function(_, token) return function() return token.value end end,
  ["@"] = function() return itself end,
  ["*"] = function(p) return projection(parts.values, for_each(p, POWER["*"])) end,
  ["[]"] = function(p) return projection(parts.flat, for_each(p, POWER["[]"])) end,
  ["[?"] = function(p) return filter(p, itself) end,
  ["!"] = function(p)
    local inner = expression(p, POWER["!"])
    return function(v) return not is_true(inner(v)) end
  end,
  ["("] = function(p)
    local inner = expression(p, 0)
    take(p, ")")
    return inner
  end,
  ["{"] = select_object,
  ["["] = function(p)
    local kind = kind_of(p)
    if kind == "number" or kind == ":" or kind == "*" and kind_of(p, 1) == "]" then return in_brackets(p, itself) end
    return select_list(p)
  end,
}

local INFIX = {
  ["."] = function(p, left)
    if kind_of(p) ~= "*" then return chain(left, after_dot(p, POWER["."])) end
    take(p)
    return projection(chain(left, parts.values), for_each(p, POWER["."]))
  end,
  ["|"] = function(p, left) return chain(left, expression(p, POWER["|"])) end,
  ["||"] = function(p, left)
    local right = expression(p, POWER["||"])
    return function(v)
      local found = left(v)
      if is_true(found) then return found end
      return right(v)
    end
  end,
  ["&&"] = function(p, left)
    local right = expression(p, POWER["&&"])
    return function(v)
      local found = left(v)
      if not is_true(found) then return found end
      return right(v)
    end
  end,
  ["[]"] = function(p, left) return projection(chain(left, parts.flat), for_each(p, POWER["[]"])) end,
  ["[?"] = filter,
  ["["] = in_brackets,
}
for name, compare in pairs(parts.operators) do
  INFIX[name] = function(p, left)
    local right = expression(p, POWER[name])
    return function(v) return compare(left(v), right(v)) end
  end
end

function expression(p, power)
  local token = take(p)
  local prefix = PREFIX[token.kind]
  if not prefix then
    p.at = p.at - 1
    wrong(p)
  end
  local left = prefix(p, token)
  while power < power_of(p) do
    local infix = INFIX[kind_of(p)]
    if not infix then wrong(p) end
    take(p)
    left = infix(p, left)
  end
  return left
end

local compiled = {}

local function compile(text)
  local fn = compiled[text]
  if not fn then
    local p = { text = text, tokens = lexer.tokens(text), at = 1 }
    fn = expression(p, 0)
    if kind_of(p) ~= "end" then wrong(p) end
    compiled[text] = fn
  end
  return fn
end

--- Finds what an expression means in a result; nil for null. Raises "usage" for what is not JMESPath.
---@param text string
---@param data any
---@return any
function M.find(text, data) return compile(text)(parts.value_of(data)) end

--- Whether JMESPath takes a value for true: not null, false, "", an empty list or table.
---@return boolean
M.is_true = is_true

--- Whether two values are the same, all the way down.
---@return boolean
M.equal = parts.equal

--- Puts a value where a path of names points, as far as the tables exist.
---@param text string "Reservations" or "DistributionList.Items"
---@param data table
---@param value any
function M.put(text, data, value)
  local head, last = text:match "^(.-)%.?([^.]+)$"
  for name in head:gmatch "[^.]+" do data = data[name] end
  data[last] = value
end

return M
