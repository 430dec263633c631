--- What the protocols share: the text of scalars, and tokens.
local secret = require "secret"
local sign = require "sign"
local timestamp = require "aws.timestamp"

local M = {}

local ODD = { NaN = 0 / 0, Infinity = math.huge, ["-Infinity"] = -math.huge }

--- A number, or the word that stands for one.
---@param value any
---@return any
function M.number(value) return ODD[value] or value end

--- A number as AWS reads it.
---@param value number
---@return string
function M.number_text(value)
  value = M.number(value)
  if value ~= value then return "NaN" end
  if value == math.huge then return "Infinity" end
  if value == -math.huge then return "-Infinity" end
  if math.type(value) == "integer" then return ("%d"):format(value) end
  local short = ("%.15g"):format(value)
  if tonumber(short) ~= value then short = ("%.16g"):format(value) end
  if tonumber(short) ~= value then short = ("%.17g"):format(value) end
  return short:find "[.eE]" and short or short .. ".0"
end

--- A scalar as text, for queries, headers, URIs and XML.
---@param model aws.Model
---@param member aws.Member
---@param value any a checked value
---@param time_format string for times of which the model says nothing
---@return string|userdata a secret stays one
function M.text(model, member, value, time_format)
  local kind = model.shape(member.shape).type
  if kind == "bool" then return value and "true" or "false" end
  if kind == "int" or kind == "long" then return ("%d"):format(math.tointeger(value)) end
  if kind == "float" or kind == "double" then return M.number_text(value) end
  if kind == "blob" then return secret.encode(value, "base64") end
  if kind == "timestamp" then
    return tostring(timestamp.format(timestamp.parse(value), member.timestamp_format or time_format))
  end
  return value
end

--- The value of a scalar that came as text; nil if it is not of its type.
---@param kind string the shape's type
---@param text string
---@return any
function M.value(kind, text)
  if kind == "string" then return text end
  if kind == "bool" then return text == "true" end
  if kind == "int" or kind == "long" then return math.tointeger(tonumber(text)) end
  if kind == "float" or kind == "double" then
    return ODD[text] or tonumber(text)
  end
  if kind == "timestamp" then return timestamp.parse(text) end
  if kind == "blob" then return sign.unbase64(text) end
  return text
end

--- Fills the members that the model marks as idempotency tokens, in a copy of the arguments.
---@param model aws.Model
---@param op aws.Operation
---@param args table
---@return table
function M.with_tokens(model, op, args)
  if not op.input then return args end
  local copy
  for _, member in ipairs(model.shape(op.input).members) do
    if member.idempotency_token and args[member.name] == nil then
      if not copy then
        copy = {}
        for k, v in pairs(args) do copy[k] = v end
      end
      copy[member.name] = sign.uuid()
    end
  end
  return copy or args
end

--- Whether a call carries an idempotency token: sent twice it acts once.
---@param model aws.Model
---@param op aws.Operation
---@param args table
---@return boolean
function M.has_token(model, op, args)
  if not op.input then return false end
  for _, member in ipairs(model.shape(op.input).members) do
    if member.idempotency_token and args[member.name] ~= nil then return true end
  end
  return false
end

return M
