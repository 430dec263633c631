--- Whether the parameters of a request keep what the service model says of
--- them: required members, enums, lengths and ranges.
local secret = require "secret"

local function size_of(value) return secret.is(value) and secret.size(value) or #value end

local CODES = {
  ec2 = { missing = "MissingParameter", invalid = "InvalidParameterValue" },
  query = { missing = "ValidationError", invalid = "ValidationError" },
  json = { missing = "ValidationException", invalid = "ValidationException" },
  ["rest-json"] = { missing = "ValidationException", invalid = "ValidationException" },
  ["rest-xml"] = { missing = "InvalidRequest", invalid = "InvalidArgument" },
}

local walk

local function bounds(fail, shape, n, path, what)
  if shape.min and n < shape.min then fail("invalid", "%s: its %s %d is less than %d", path, what, n, shape.min) end
  if shape.max and n > shape.max then fail("invalid", "%s: its %s %d is more than %d", path, what, n, shape.max) end
end

function walk(m, shape, value, path, fail)
  if shape.type == "struct" then
    for _, member in ipairs(shape.members or {}) do
      local child, at = value[member.name], (path == "" and "" or path .. ".") .. member.name
      if child == nil then
        if member.required then fail("missing", "The request must contain the parameter %s", at) end
      else
        walk(m, m.shape(member.shape), child, at, fail)
      end
    end
  elseif shape.type == "list" then
    bounds(fail, shape, #value, path, "length")
    for i, item in ipairs(value) do walk(m, m.shape(shape.member.shape), item, ("%s.%d"):format(path, i), fail) end
  elseif shape.type == "map" then
    for key, item in pairs(value) do walk(m, m.shape(shape.value.shape), item, path .. "." .. key, fail) end
  elseif shape.type == "string" then
    if type(value) ~= "string" and not secret.is(value) then fail("invalid", "%s must be a string", path) end
    bounds(fail, shape, size_of(value), path, "length")
    if shape.enum and type(value) == "string" and not shape.enum_set[value] then
      fail("invalid", "%s cannot be %s; it is one of %s", path, value, table.concat(shape.enum, ", "))
    end
  elseif type(value) == "number" and shape.type ~= "timestamp" then
    bounds(fail, shape, value, path, "value")
  end
end

--- Raises the service's own error for the first thing that is wrong.
---@param m aws.Model
---@param op aws.Operation
---@param params table
---@param protocol string
return function(m, op, params, protocol)
  local codes = CODES[protocol]
  walk(m, m.shape(op.input), params, "", function(kind, fmt, ...)
    error({ aws = true, code = codes[kind], status = 400, message = fmt:format(...) }, 0)
  end)
end
