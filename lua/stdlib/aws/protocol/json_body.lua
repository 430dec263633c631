--- JSON by shapes: the bodies of the json and rest-json protocols.
local errors = require "errors"
local failure = require "aws.failure"
local json = require "json"
local secret = require "secret"
local sensitive = require "aws.sensitive"
local shape = require "aws.shape"
local sign = require "sign"
local timestamp = require "aws.timestamp"

local M = {}

local write, read

local function write_number(value)
  value = shape.number(value)
  if value ~= value or value == math.huge or value == -math.huge then return shape.number_text(value) end
  return value
end

--- The Lua value that json.encode turns into the body.
function write(model, member, value)
  if value == json.null then return value end
  local target = model.shape(member.shape)
  local kind = target.type
  if target.document then return value end
  if kind == "struct" then
    local object = {}
    for _, m in ipairs(target.members) do
      if value[m.name] ~= nil and not m.location then object[m.wire or m.name] = write(model, m, value[m.name]) end
    end
    return object
  elseif kind == "list" then
    local list = json.array {}
    for i, v in ipairs(value) do list[i] = write(model, target.member, v) end
    return list
  elseif kind == "map" then
    local object = {}
    for k, v in pairs(value) do object[k] = write(model, target.value, v) end
    return object
  elseif kind == "timestamp" then
    return timestamp.format(timestamp.parse(value), member.timestamp_format or "unixTimestamp")
  elseif kind == "blob" then
    return secret.encode(value, "base64")
  elseif kind == "int" or kind == "long" then
    return math.tointeger(value)
  elseif kind == "float" or kind == "double" then
    return write_number(value)
  end
  return value
end

--- Writes a value of a member's shape as JSON.
---@param model aws.Model
---@param member aws.Member
---@param value any
---@return string|userdata a secret if any part is one
function M.encode(model, member, value)
  return json.encode(write(model, member, value))
end

local function wrong(member, kind, value)
  errors.raise { kind = "protocol", message = ("the answer's %s is of type %s, not %s"):format(member.name, type(value), kind) }
end

local function read_scalar(member, kind, value)
  if kind == "string" then
    if type(value) ~= "string" and not secret.is(value) then wrong(member, kind, value) end
    return value
  elseif kind == "timestamp" then
    local seconds = (type(value) == "string" or type(value) == "number") and timestamp.parse(value)
    return seconds or wrong(member, kind, value)
  elseif kind == "blob" then
    return (type(value) == "string" or secret.is(value)) and sign.unbase64(value) or wrong(member, kind, value)
  elseif kind == "bool" then
    if type(value) ~= "boolean" then wrong(member, kind, value) end
    return value
  end
  if type(value) == "string" then value = shape.value(kind, value) end -- "NaN"
  if type(value) ~= "number" then wrong(member, kind, value) end
  if kind == "int" or kind == "long" then return math.tointeger(value) or value end
  return value
end

local function read_struct(model, target, value, hidden)
  local result, rules, late = {}, sensitive.rules(model.service, target), nil
  for _, m in ipairs(target.members) do
    local v, rule = value[m.wire or m.name], rules[m.name]
    if v ~= nil and v ~= json.null and not m.location then
      if type(rule) == "function" then late = m else result[m.name] = read(model, m, v, hidden or rule) end
    end
  end
  if late then result[late.name] = read(model, late, value[late.wire or late.name], hidden or rules[late.name](result)) end
  return result
end

function read(model, member, value, hidden)
  local target = model.shape(member.shape)
  local kind = target.type
  if target.document then return value end
  if kind == "struct" or kind == "list" or kind == "map" then
    if type(value) ~= "table" then wrong(member, kind, value) end
    if kind == "struct" then return read_struct(model, target, value, hidden) end
    local result, inner = {}, kind == "list" and target.member or target.value
    for k, v in pairs(value) do
      if v ~= json.null then result[k] = read(model, inner, v, hidden) end
    end
    return result
  end
  local scalar = read_scalar(member, kind, value)
  if hidden and type(scalar) == "string" then return secret.new(scalar) end
  return scalar
end

--- Reads JSON into the members of a struct that are in the body. Members that the model does not know are left out.
--- Raises kind "protocol".
---@param model aws.Model
---@param member aws.Member
---@param body string
---@param hidden? boolean everything in it is secret
---@return any
function M.decode(model, member, body, hidden)
  if body == nil or body == "" then body = "{}" end
  local value, err = json.decode(body, { secrets = sensitive.names(model, member.shape) })
  if value == nil or value == json.null then
    errors.raise { kind = "protocol", message = "the answer is not JSON: " .. tostring(err and err.message or "it is null") }
  end
  return read(model, member, value, hidden)
end

--- Error answers of json and rest-json services.
---@param model aws.Model
---@param response aws.WireResponse
---@return aws.Said
function M.error(model, response)
  local body = type(response.body) == "string" and response.body:find "^%s*{" and json.decode(response.body)
  return failure.said(model, response, body or {})
end

return M
