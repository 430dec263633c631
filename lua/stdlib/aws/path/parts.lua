--- What JMESPath expressions are made of: functions of a value, and functions that make them. null is nil, also between
--- the steps; only a list that [a, b] makes keeps json.null, because a list of Lua has no holes. What has the wrong type
--- is null, where JMESPath would stop with an error. Source: jmespath.org/specification.
local json = require "json"
local secret = require "secret"
local sorted_keys = require "sorted_keys"

local M = {}

--- null as nil.
function M.value_of(v)
  if v == json.null then return nil end
  return v
end

local function is_object(v) return type(v) == "table" and v[1] == nil and not json.is_array(v) end

--- An empty table without the mark may be either.
local function is_list(v) return type(v) == "table" and (v[1] ~= nil or json.is_array(v) or next(v) == nil) end

--- What JMESPath takes for true.
function M.is_true(v)
  if v == nil or v == false or v == "" then return false end
  return type(v) ~= "table" or next(v) ~= nil
end

--- Whether two values are the same, all the way down.
function M.equal(a, b)
  if type(a) == "table" and type(b) == "table" then
    for k, v in pairs(a) do if not M.equal(v, b[k]) then return false end end
    for k in pairs(b) do if a[k] == nil then return false end end
    return true
  end
  if secret.is(a) and (secret.is(b) or type(b) == "string") then return secret.equal(a, b) end
  return a == b
end

-- Each of these gives a function of a value --------------------------------------------------------------------------

function M.itself(v) return v end

function M.chain(first, second)
  return function(v) return second(first(v)) end
end

function M.field(name)
  return function(v)
    if is_object(v) then return M.value_of(v[name]) end
    return nil
  end
end

function M.index(n)
  return function(v)
    if not is_list(v) then return nil end
    return M.value_of(v[n < 0 and #v + 1 + n or n + 1])
  end
end

function M.slice(from, to, step)
  return function(v)
    if not is_list(v) then return nil end
    local function bound(n, otherwise)
      if not n then return otherwise end
      if n < 0 then n = n + #v end
      return math.max(step < 0 and -1 or 0, math.min(n, step < 0 and #v - 1 or #v))
    end
    local found = json.array {}
    local first, last = bound(from, step > 0 and 0 or #v - 1), bound(to, step > 0 and #v or -1)
    for i = first, last + (step > 0 and -1 or 1), step do found[#found + 1] = v[i + 1] end
    return found
  end
end

local function each(list, fn)
  local found = json.array {}
  for _, item in ipairs(list) do
    local got = fn(M.value_of(item))
    if got ~= nil then found[#found + 1] = got end
  end
  return found
end

--- What `right` makes of each item that `left` finds, null left out; of those only that meet the condition.
function M.projection(left, right, condition)
  return function(v)
    local list = left(v)
    if not is_list(list) then return nil end
    return each(list, function(item)
      if condition and not M.is_true(condition(item)) then return nil end
      return right(item)
    end)
  end
end

-- And these are such functions ----------------------------------------------------------------------------------------

function M.values(v)
  if not is_object(v) then return nil end
  local found = json.array {}
  for i, name in ipairs(sorted_keys(v)) do found[i] = v[name] end
  return found
end

--- Lists in a list are opened, one level.
function M.flat(v)
  if not is_list(v) then return nil end
  local found = json.array {}
  for _, item in ipairs(v) do
    if is_list(item) and not is_object(item) then table.move(item, 1, #item, #found + 1, found) else found[#found + 1] = item end
  end
  return found
end

local function comparable(a, b)
  local kind = type(a)
  return kind == type(b) and (kind == "number" or kind == "string")
end

M.operators = {
  ["=="] = M.equal,
  ["!="] = function(a, b) return not M.equal(a, b) end,
  ["<"] = function(a, b) if comparable(a, b) then return a < b end end,
  ["<="] = function(a, b) if comparable(a, b) then return a <= b end end,
  [">"] = function(a, b) if comparable(a, b) then return a > b end end,
  [">="] = function(a, b) if comparable(a, b) then return a >= b end end,
}

M.functions = {
  length = function(v)
    if type(v) == "string" then return utf8.len(v) or #v end
    if secret.is(v) then return secret.size(v) end
    if is_list(v) then return #v end
    local list = M.values(v)
    return list and #list
  end,
  contains = function(where, what)
    if type(where) == "string" then return type(what) == "string" and where:find(what, 1, true) ~= nil end
    if not is_list(where) then return nil end
    for _, item in ipairs(where) do if M.equal(M.value_of(item), what) then return true end end
    return false
  end,
  starts_with = function(v, prefix)
    if type(v) == "string" and type(prefix) == "string" then return v:sub(1, #prefix) == prefix end
  end,
  ends_with = function(v, suffix)
    if type(v) == "string" and type(suffix) == "string" then return suffix == "" or v:sub(-#suffix) == suffix end
  end,
  keys = function(v)
    if not is_object(v) then return nil end
    return json.array(sorted_keys(v))
  end,
  values = M.values,
  not_null = function(...)
    for i = 1, select("#", ...) do
      local v = select(i, ...)
      if v ~= nil then return v end
    end
  end,
}

return M
