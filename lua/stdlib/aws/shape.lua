--- What the protocols share: checking arguments against a shape before anything is sent, and the text of scalars.
local errors = require "errors"
local options = require "options"
local secret = require "secret"
local sign = require "sign"
local timestamp = require "aws.timestamp"

local M = {}

local check -- (model, shape, value, path, where)

local function is_unknown(value)
  local meta = getmetatable(value)
  return type(meta) == "table" and meta.__hkrun_unknown ~= nil
end

local function kind_of(value)
  if secret.is(value) then return "a secret" end
  if is_unknown(value) then return "a value that is known after apply" end
  if type(value) == "table" then return #value > 0 and "a list" or "a table" end
  return "a " .. type(value)
end

local function refuse(where, path, wanted, value)
  errors.usage("%s: %s must be %s, not %s", where, path, wanted, kind_of(value))
end

local function size_of(value) return secret.is(value) and secret.size(value) or #value end

local function check_least(shape, value, path, where, unit)
  if shape.min and value < shape.min then
    errors.usage("%s: %s must be at least %d%s, not %d", where, path, shape.min, unit, value)
  end
end

local function check_string(shape, value, path, where)
  if type(value) ~= "string" and not secret.is(value) then refuse(where, path, "a string", value) end
  check_least(shape, size_of(value), path, where, " characters long")
  if shape.enum and type(value) == "string" and not shape.enum_set[value] then
    local near = options.nearest(value, shape.enum)
    local all = #shape.enum <= 12 and (", it is one of " .. table.concat(shape.enum, ", ")) or ""
    errors.usage("%s: %s cannot be %q%s", where, path, value, near and (" (did you mean %s?)"):format(near) or all)
  end
end

local function check_integer(shape, value, path, where)
  if type(value) ~= "number" or not math.tointeger(value) then refuse(where, path, "a whole number", value) end
  check_least(shape, value, path, where, "")
end

local function check_number(shape, value, path, where)
  if type(value) ~= "number" then refuse(where, path, "a number", value) end
  check_least(shape, value, path, where, "")
end

local function check_timestamp(_, value, path, where)
  if not (type(value) == "number" or type(value) == "string" and timestamp.parse(value)) then
    refuse(where, path, "a time (seconds since 1970, or ISO 8601)", value)
  end
end

local function check_list(shape, value, path, where, model)
  if type(value) ~= "table" or is_unknown(value) then refuse(where, path, "a list", value) end
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  if count ~= #value then refuse(where, path, "a list", value) end
  check_least(shape, count, path, where, " members long")
  local member = model.shape(shape.member.shape)
  for i, item in ipairs(value) do check(model, member, item, ("%s[%d]"):format(path, i), where) end
end

local function check_map(shape, value, path, where, model)
  if type(value) ~= "table" or is_unknown(value) then refuse(where, path, "a table", value) end
  local keys, values = model.shape(shape.key.shape), model.shape(shape.value.shape)
  for key, item in pairs(value) do
    local at = ("%s[%q]"):format(path, tostring(key))
    if type(key) ~= "string" then refuse(where, path, "a table with names", value) end
    check(model, keys, key, at, where)
    check(model, values, item, at, where)
  end
end

local function check_struct(shape, value, path, where, model)
  if type(value) ~= "table" or is_unknown(value) then refuse(where, path or "the argument", "a table", value) end
  local dot, given = path and path .. "." or "", 0
  for name, item in pairs(value) do
    local member = shape.by_name[name]
    if not member then
      if type(name) == "number" then refuse(where, path or "the argument", "a table with names", value) end
      local names = {}
      for i, m in ipairs(shape.members) do names[i] = m.name end
      errors.usage("%s has no parameter %s%s%s", where, dot, tostring(name), options.suggestion(tostring(name), names))
    end
    given = given + 1
    check(model, model.shape(member.shape), item, dot .. name, where, member)
  end
  for _, member in ipairs(shape.members) do
    if member.required and value[member.name] == nil then
      errors.usage("%s: the parameter %s%s is missing", where, dot, member.name)
    end
  end
  if shape.union and given ~= 1 then
    errors.usage("%s: %s takes exactly one of its members, not %d", where, path or "the argument", given)
  end
end

local CHECKS = {
  string = check_string, int = check_integer, long = check_integer, float = check_number, double = check_number,
  timestamp = check_timestamp, list = check_list, map = check_map, struct = check_struct,
  bool = function(_, value, path, where)
    if type(value) ~= "boolean" then refuse(where, path, "true or false", value) end
  end,
  blob = function(shape, value, path, where)
    if type(value) ~= "string" and not secret.is(value) then refuse(where, path, "bytes (a string)", value) end
    check_least(shape, size_of(value), path, where, " bytes long")
  end,
}

function check(model, shape, value, path, where, member)
  if shape.document then return end
  if shape.type == "blob" and member and member.streaming and type(value) == "table" and value.file then return end
  if member and member.json_value and member.location then return end
  CHECKS[shape.type](shape, value, path, where, model)
end

--- Raises "usage" for the first argument that the model does not allow: an unknown or missing member, a wrong type, a
--- value outside an enum, too short a value. Longest and greatest values are left to the service, as in boto3.
---@param model aws.Model
---@param op aws.Operation
---@param args table
function M.check(model, op, args)
  local where = ("aws.%s:%s"):format(model.service:gsub("-", "_"), op.snake)
  if type(args) ~= "table" then refuse(where, "the argument", "a table", args) end
  if op.input then
    check(model, model.shape(op.input), args, nil, where)
  elseif next(args) ~= nil then
    errors.usage("%s takes no parameters, %s was given", where, tostring(next(args)))
  end
end

--- A number as AWS reads it.
---@param value number
---@return string
function M.number_text(value)
  if value ~= value then return "NaN" end
  if value == math.huge then return "Infinity" end
  if value == -math.huge then return "-Infinity" end
  if math.type(value) == "integer" then return ("%d"):format(value) end
  local short = ("%.15g"):format(value)
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
    local odd = { NaN = 0 / 0, Infinity = math.huge, ["-Infinity"] = -math.huge }
    return odd[text] or tonumber(text)
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
