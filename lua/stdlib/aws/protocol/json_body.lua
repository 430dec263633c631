--- JSON by shapes: the bodies of the json and rest-json protocols.
local failure = require "aws.failure"
local json = require "json"
local reader = require "aws.reader"
local secret = require "secret"
local shape = require "aws.shape"
local timestamp = require "aws.timestamp"

local M = {}

local write

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

--- Reads the JSON of a shape, nothing being an object without members. Members that the model does not know are left
--- out. Raises kind "protocol".
---@param model aws.Model
---@param name string of the shape
---@param body? string
---@return any
function M.decode(model, name, body)
  return reader.json(model, name, (body == nil or body == "") and "{}" or body)
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
