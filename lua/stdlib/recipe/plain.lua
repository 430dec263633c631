--- Plain data: what may be kept in the journal and printed in a plan.
local errors = require "errors"
local json = require "json"
local secret = require "secret"
local unknown = require "recipe.unknown"

local M = {}

local DEPTH = 12

local function copy(v, drop, path, depth)
  local t = type(v)
  if t == "string" and not utf8.len(v) then return drop(path, "bytes, not text") end
  if t == "string" or t == "boolean" or t == "number" then return v end
  if secret.is(v) then
    return drop(path, "a secret")
  elseif v == json.null then
    return v
  elseif unknown.is(v) then
    return drop(path, "known only after apply")
  elseif t ~= "table" then
    return drop(path, "a " .. t)
  elseif depth > DEPTH then
    return drop(path, "too deep")
  end
  local r, list = {}, #v > 0 or nil
  for k, x in next, v do
    if type(k) == "string" and list or math.type(k) ~= "integer" and type(k) ~= "string" then
      drop(path, "a table with mixed keys")
    else
      r[k] = copy(x, drop, path == "" and tostring(k) or path .. "." .. tostring(k), depth + 1)
    end
  end
  if list then                                               -- what was dropped must leave no hole
    local dense = {}
    for i = 1, #v do
      if r[i] ~= nil then dense[#dense + 1] = r[i] end
    end
    return dense
  end
  local meta = getmetatable(v)
  return next(v) == nil and meta and setmetatable(r, meta) or r
end

--- A copy of what plain JSON can say; secrets, bytes, functions and unknown values are left out.
---@param spec table
---@return table
function M.spec(spec)
  return copy(spec, function() return nil end, "", 0)
end

--- A copy of a result that must be kept whole; raises where that is impossible.
---@param v any
---@param what string whose result it is
---@return any
function M.result(v, what)
  if v == nil then return nil end
  return copy(v, function(path, why)
    errors.raise {
      op = "keep the result of " .. what, kind = "invalid",
      message = (path == "" and "it" or path) .. " is " .. why:gsub("^too", "nested too"),
      hint = "return plain data: strings, numbers, booleans and tables of them",
    }
  end, "", 0)
end

--- A value as JSON can say it to people and programs: a noun is its id, a secret "(secret)", an unknown value
--- "(known after apply)".
---@param v any
---@return any
function M.data(v, depth)
  local t = type(v)
  if t == "boolean" or t == "number" or v == json.null or t == "string" and utf8.len(v) then return v end
  if t == "string" then return ("(%d bytes)"):format(#v) end
  if t ~= "table" or secret.is(v) or unknown.is(v) then return M.show(v) end
  local id = rawget(v, "id")
  if id ~= nil then return M.data(id) end
  depth = depth or 0
  if depth > DEPTH then return "(too deep)" end
  local r = {}
  for k, x in next, v do r[#v > 0 and k or tostring(k)] = M.data(x, depth + 1) end
  return #v > 0 and json.array(r) or r
end

--- A value as one word for people.
---@param v any
---@return string
function M.show(v)
  if v == nil then return "(none)" end
  if unknown.is(v) then return tostring(v) end
  if secret.is(v) then return "(secret)" end
  if type(v) == "table" then
    local id = rawget(v, "id")
    if id ~= nil then return M.show(id) end
    local parts = {}
    if #v > 0 then
      for i, x in ipairs(v) do parts[i] = M.show(x) end
      return "[" .. table.concat(parts, ", ") .. "]"
    end
    local keys = {}
    for k in next, v do keys[#keys + 1] = k end
    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    for i, k in ipairs(keys) do parts[i] = tostring(k) .. " = " .. M.show(v[k]) end
    return "{" .. table.concat(parts, ", ") .. "}"
  end
  if type(v) == "function" then return "(function)" end
  return (tostring(v):gsub("%c", " "))
end

return M
