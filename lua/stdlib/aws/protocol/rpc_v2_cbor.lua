--- The smithy-rpc-v2-cbor protocol: the operation in the path, CBOR both ways. Source: "Smithy RPC v2 CBOR protocol".
local cbor = require "cbor"
local errors = require "errors"
local failure = require "aws.failure"
local json = require "json"
local secret = require "secret"
local shape = require "aws.shape"
local sensitive = require "aws.sensitive"
local timestamp = require "aws.timestamp"

local M = {}

local write, read

--- The value that cbor.encode turns into the body.
function write(model, member, value)
  if value == json.null then return value end
  local target = model.shape(member.shape)
  local kind = target.type
  if kind == "struct" then
    local members = {}
    for _, m in ipairs(target.members) do
      local v = value[m.name]
      if v ~= nil and v ~= json.null then members[#members + 1] = { m.wire or m.name, write(model, m, v) } end
    end
    return cbor.map(members)
  elseif kind == "list" then
    local list = json.array {}
    for i, v in ipairs(value) do list[i] = write(model, target.member, v) end
    return list
  elseif kind == "map" then
    local members = {}
    for k, v in pairs(value) do members[#members + 1] = { k, write(model, target.value, v) } end
    table.sort(members, function(a, b) return a[1] < b[1] end)
    return cbor.map(members)
  elseif kind == "timestamp" then
    local seconds = timestamp.parse(value)
    return cbor.tag(1, math.type(seconds) == "integer" and seconds or cbor.double(seconds))
  elseif kind == "blob" then
    return cbor.bytes(value)
  elseif kind == "int" or kind == "long" then
    return math.tointeger(value)
  elseif kind == "float" or kind == "double" then
    value = shape.number(value)
    if value ~= value or value == math.huge or value == -math.huge then return value end -- in two bytes
    return kind == "float" and cbor.single(value) or cbor.double(value)
  end
  return value
end

---@param model aws.Model
---@param op aws.Operation
---@param args table checked arguments
---@return aws.WireRequest
function M.request(model, op, args)
  return {
    method = "POST", query = {}, body = op.input and cbor.encode(write(model, { shape = op.input }, args)) or "",
    path = ("/service/%s/operation/%s"):format(model.meta.target_prefix or model.service, op.name),
    headers = {
      ["smithy-protocol"] = "rpc-v2-cbor", ["Content-Type"] = op.input and "application/cbor" or nil,
      ["Accept"] = "application/cbor", ["x-amzn-query-mode"] = model.meta.aws_query_compatible and "true" or nil,
    },
  }
end

local function wrong(member, kind, value)
  errors.raise { kind = "protocol", message = ("the answer's %s is of type %s, not %s"):format(member.name, type(value), kind) }
end

local function read_struct(model, target, value, hidden)
  local result, rules, late = {}, sensitive.rules(model.service, target), nil
  for _, m in ipairs(target.members) do
    local v, rule = value[m.wire or m.name], rules[m.name]
    if v ~= nil and v ~= json.null then
      if type(rule) == "function" then late = m else result[m.name] = read(model, m, v, hidden or rule) end
    end
  end
  if late then result[late.name] = read(model, late, value[late.wire or late.name], hidden or rules[late.name](result)) end
  return result
end

local LUA_TYPES = { string = "string", blob = "string", bool = "boolean", struct = "table", list = "table", map = "table" }

local function read_number(kind, value)
  if kind == "float" or kind == "double" then return value + 0.0 end
  return math.tointeger(value) or value
end

function read(model, member, value, hidden)
  local target = model.shape(member.shape)
  local kind = target.type
  if type(value) ~= (LUA_TYPES[kind] or "number") then wrong(member, kind, value) end
  if kind == "struct" then return read_struct(model, target, value, hidden) end
  if kind == "list" then
    local list = json.array {}
    for i, v in ipairs(value) do list[i] = v == json.null and v or read(model, target.member, v, hidden) end
    return list
  elseif kind == "map" then
    local map = {}
    for k, v in pairs(value) do map[k] = v == json.null and v or read(model, target.value, v, hidden) end
    return map
  elseif type(value) == "number" then
    return read_number(kind, value)
  end
  return hidden and type(value) == "string" and secret.new(value) or value
end

--- Reads a body into the members of a struct. Raises kind "protocol".
local function decode(model, name, body)
  if body == nil or body == "" then return {} end
  local ok, value = pcall(cbor.decode, body)
  if not ok then errors.raise { kind = "protocol", message = "the answer is not CBOR: " .. value.message, cause = value } end
  return read(model, { name = "answer", shape = name }, value)
end

---@param model aws.Model
---@param op aws.Operation
---@param response aws.WireResponse
---@return table
function M.result(model, op, response)
  return op.output and decode(model, op.output, response.body) or {}
end

--- Error answers.
---@param model aws.Model
---@param response aws.WireResponse
---@return aws.Said
function M.error(model, response)
  local ok, body = pcall(cbor.decode, type(response.body) == "string" and response.body or "")
  return failure.said(model, response, ok and type(body) == "table" and body or {})
end

--- The members of an error's shape.
---@param model aws.Model
---@param shape aws.Shape
---@param response aws.WireResponse
function M.data(model, shape, response) return decode(model, shape.name, response.body) end

return M
