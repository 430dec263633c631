--- Arguments of a call, held against the model before anything is sent: what is misspelt, missing or of the wrong type
--- is named with its path ("Filters[2].Values"), and with the nearest right name.
local errors = require "errors"
local json = require "json"
local options = require "options"
local secret = require "secret"
local shape_of = require "aws.shape"
local timestamp = require "aws.timestamp"

local M = {}

local DEEPEST = 100                       -- levels; no service takes as many, a table that holds itself has more

--- Where a check is: the path is put together only when something is wrong.
---@class aws.Check
---@field model aws.Model
---@field where string    "aws.ec2:describe_vpcs"
---@field depth integer
---@field keys table      the path: names of members, indexes of lists, keys of maps
---@field maps table      true where the key is that of a map
---@field sparse boolean  the protocol can write null into lists and maps
---@field nulls boolean   a member is json.null: as good as left out

local check -- (c, shape, value, member)

local function path_of(c)
  local parts = {}
  for i = 1, c.depth do
    local key = c.keys[i]
    if type(key) == "number" then parts[i] = ("[%d]"):format(key)
    elseif c.maps[i] then parts[i] = ("[%q]"):format(tostring(key))
    else parts[i] = (i > 1 and "." or "") .. key end
  end
  return c.depth > 0 and table.concat(parts) or "the argument"
end

local function is_unknown(value)
  local meta = getmetatable(value)
  return type(meta) == "table" and meta.__hkrun_unknown ~= nil
end

local function kind_of(value)
  if secret.is(value) then return "a secret" end
  if value == json.null then return "null" end
  if is_unknown(value) then return "a value that is known after apply" end
  if type(value) == "table" then return #value > 0 and "a list" or "a table" end
  return "a " .. type(value)
end

local function refuse(c, wanted, value) errors.usage("%s: %s must be %s, not %s", c.where, path_of(c), wanted, kind_of(value)) end

local function refuse_depth(c)
  errors.usage("%s: %s... is nested deeper than %d levels; does a table hold itself?", c.where, path_of(c):sub(1, 60), DEEPEST)
end

--- Checks what is inside of the value at hand.
local function inside(c, key, in_map, shape, value, member)
  local depth = c.depth + 1
  if depth > DEEPEST then refuse_depth(c) end
  c.depth, c.keys[depth], c.maps[depth] = depth, key, in_map
  check(c, shape, value, member)
  c.depth = depth - 1
end

local function check_table(c, wanted, value)
  if type(value) ~= "table" or is_unknown(value) then refuse(c, wanted, value) end
end

local function check_least(c, shape, size, unit)
  if shape.min and size < shape.min then
    errors.usage("%s: %s must be at least %s%s, not %s", c.where, path_of(c), shape_of.number_text(shape.min), unit, shape_of.number_text(size))
  end
end

local function check_string(c, shape, value, member)
  if type(value) ~= "string" and not secret.is(value) then refuse(c, "a string", value) end
  local size = type(value) == "string" and utf8.len(value) or secret.is(value) and secret.size(value)
  if not size then errors.usage("%s: %s must be text in UTF-8", c.where, path_of(c)) end
  check_least(c, shape, size, " characters long")
  if shape.enum and type(value) == "string" and not shape.enum_set[value] then
    local near = options.nearest(value, shape.enum)
    local all = #shape.enum <= 12 and (", it is one of " .. table.concat(shape.enum, ", ")) or ""
    errors.usage("%s: %s cannot be %q%s", c.where, path_of(c), value, near and (" (did you mean %s?)"):format(near) or all)
  end
  if member and member.location == "uri" then
    if type(value) ~= "string" then refuse(c, "a plain string, for it is part of the path", value) end
    if value == "" then errors.usage("%s: %s must not be empty", c.where, path_of(c)) end
  end
end

local function check_integer(c, shape, value)
  if type(value) ~= "number" or not math.tointeger(value) then refuse(c, "a whole number", value) end
  check_least(c, shape, value, "")
end

local function check_number(c, shape, value)
  value = shape_of.number(value)                                  -- "NaN" is as good as 0/0
  if type(value) ~= "number" then refuse(c, "a number", value) end
  check_least(c, shape, value, "")
end

local function check_timestamp(c, _, value)
  if not (type(value) == "number" or type(value) == "string" and timestamp.parse(value)) then
    refuse(c, "a time (seconds since 1970, or ISO 8601)", value)
  end
  if value ~= value or value == math.huge or value == -math.huge then refuse(c, "a time", value) end
end

local function check_blob(c, shape, value, member)
  if type(value) == "table" and type(value.file) == "string" and member and member.streaming then return end
  if type(value) ~= "string" and not secret.is(value) then refuse(c, "bytes (a string)", value) end
  check_least(c, shape, secret.is(value) and secret.size(value) or #value, " bytes long")
end

local function check_list(c, shape, value)
  check_table(c, "a list", value)
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  if count ~= #value then refuse(c, "a list without holes and names", value) end
  check_least(c, shape, count, " members long")
  local member = c.model.shape(shape.member.shape)
  for i, item in ipairs(value) do
    if item ~= json.null or not c.sparse then inside(c, i, false, member, item, shape.member) end
  end
end

local function check_map(c, shape, value)
  check_table(c, "a table", value)
  local keys, values = c.model.shape(shape.key.shape), c.model.shape(shape.value.shape)
  for key, item in pairs(value) do
    if type(key) ~= "string" then refuse(c, "a table with names", value) end
    inside(c, key, true, keys, key, shape.key)
    if item ~= json.null or not c.sparse then inside(c, key, true, values, item, shape.value) end
  end
end

local function check_member(c, shape, name, item)
  local member = shape.by_name[name]
  if not member then
    if type(name) ~= "string" then refuse(c, "a table with names", shape.members[1] and { 1 } or {}) end
    local names = {}
    for i, m in ipairs(shape.members) do names[i] = m.name end
    errors.usage("%s has no parameter %s%s%s", c.where, c.depth > 0 and path_of(c) .. "." or "", name, options.suggestion(name, names))
  end
  inside(c, name, false, c.model.shape(member.shape), item, member)
end

local function check_struct(c, shape, value)
  check_table(c, "a table", value)
  local given = 0
  for name, item in pairs(value) do
    if item == json.null and shape.by_name[name] then
      c.nulls = true
    else
      check_member(c, shape, name, item)
      given = given + 1
    end
  end
  for _, member in ipairs(shape.members) do
    local item = value[member.name]
    if (item == nil or item == json.null) and (member.required or member.location == "uri") then
      errors.usage("%s: the parameter %s%s is missing", c.where, c.depth > 0 and path_of(c) .. "." or "", member.name)
    end
  end
  if shape.union and given ~= 1 then
    errors.usage("%s: %s takes exactly one of its members, not %d", c.where, path_of(c), given)
  end
end

--- Any value that JSON can hold.
local function check_document(c, value)
  if type(value) == "table" and not is_unknown(value) then
    for key, item in pairs(value) do inside(c, key, type(key) ~= "number", nil, item) end
  elseif not (value == json.null or type(value) == "string" or type(value) == "boolean" or secret.is(value)
              or type(value) == "number" and value == value and math.abs(value) ~= math.huge) then
    refuse(c, "a value that JSON can hold", value)
  end
end

local CHECKS = {
  string = check_string, int = check_integer, long = check_integer, float = check_number, double = check_number,
  timestamp = check_timestamp, list = check_list, map = check_map, struct = check_struct, blob = check_blob,
  bool = function(c, _, value)
    if type(value) ~= "boolean" then refuse(c, "true or false", value) end
  end,
}

function check(c, shape, value, member)
  if not shape or shape.document or member and member.json_value and member.location == "header" then
    return check_document(c, value)
  end
  CHECKS[shape.type](c, shape, value, member)
end

--- A copy without the members that are null.
local function without_nulls(model, shape, value)
  if value == json.null or shape.document then return value end
  if shape.type ~= "struct" and shape.type ~= "list" and shape.type ~= "map" then return value end
  local copy = setmetatable({}, getmetatable(value))
  for key, item in pairs(value) do
    local inner = shape.type == "struct" and shape.by_name[key] or shape.member or shape.value
    if item ~= json.null or shape.type ~= "struct" then copy[key] = without_nulls(model, model.shape(inner.shape), item) end
  end
  return copy
end

local SPARSE = { json = true, ["rest-json"] = true, ["smithy-rpc-v2-cbor"] = true }

--- Raises "usage" for the first argument that the model does not allow: an unknown or missing member, a wrong type, a
--- value outside an enum, too short a value. Longest and greatest values are left to the service, as in boto3.
---@param model aws.Model
---@param op aws.Operation
---@param args table
---@return table args without the members that are json.null
function M.check(model, op, args)
  local c = { model = model, where = ("aws.%s:%s"):format(model.service:gsub("-", "_"), op.snake), depth = 0, keys = {}, maps = {},
              sparse = SPARSE[model.meta.protocol] or false, nulls = false }
  if type(args) ~= "table" or is_unknown(args) then refuse(c, "a table", args) end
  if not op.input then
    if next(args) ~= nil then errors.usage("%s takes no parameters, %s was given", c.where, tostring(next(args))) end
    return args
  end
  local input = model.shape(op.input)
  check_struct(c, input, args)
  return c.nulls and without_nulls(model, input, args) or args
end

return M
