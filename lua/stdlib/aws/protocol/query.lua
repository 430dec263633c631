--- The query protocol: a form in the request, XML in the response. ec2.lua is a dialect of it.
local reader = require "aws.reader"
local secret = require "secret"
local shape = require "aws.shape"
local sorted_keys = require "sorted_keys"
local xml = require "aws.protocol.xml"

local M = {}

--- How a dialect names members and lists.
---@class aws.QueryDialect
---@field name fun(member: aws.Member): string
---@field list fun(self: aws.QueryDialect, prefix: string, member: aws.Member, list: aws.Shape): string
---@field empty_lists boolean whether an empty list is sent

local write

local function join(prefix, name) return prefix == "" and name or prefix .. "." .. name end

local function write_struct(out, model, struct, value, prefix, dialect)
  for _, member in ipairs(struct.members) do
    if value[member.name] ~= nil then write(out, model, member, value[member.name], join(prefix, dialect.name(member)), dialect) end
  end
end

local function write_map(out, model, member, map, value, prefix, dialect)
  local stem = member.flattened and prefix or prefix .. ".entry"
  for i, key in ipairs(sorted_keys(value)) do
    write(out, model, map.key, key, ("%s.%d.%s"):format(stem, i, map.key.wire or "key"), dialect)
    write(out, model, map.value, value[key], ("%s.%d.%s"):format(stem, i, map.value.wire or "value"), dialect)
  end
end

function write(out, model, member, value, prefix, dialect)
  local target = model.shape(member.shape)
  if target.type == "struct" then
    write_struct(out, model, target, value, prefix, dialect)
  elseif target.type == "list" then
    if #value == 0 and dialect.empty_lists then out[#out + 1] = { prefix, "" } end
    local stem = #value > 0 and dialect:list(prefix, member, target)
    for i, item in ipairs(value) do write(out, model, target.member, item, ("%s.%d"):format(stem, i), dialect) end
  elseif target.type == "map" then
    write_map(out, model, member, target, value, prefix, dialect)
  else
    out[#out + 1] = { prefix, shape.text(model, member, value, "iso8601") }
  end
end

--- "a=b&c=d" of a list of pairs; a secret if any value is one.
---@param pairs_ { [1]: string, [2]: string|userdata }[]
---@return string|userdata
function M.form(pairs_)
  local parts = {}
  for i, pair in ipairs(pairs_) do
    if i > 1 then parts[#parts + 1] = "&" end
    parts[#parts + 1] = secret.encode(pair[1], "url") .. "="
    parts[#parts + 1] = secret.encode(pair[2], "url")
  end
  return secret.concat(parts)
end

---@type aws.QueryDialect
local QUERY = {
  empty_lists = true,
  name = function(member) return member.wire or member.name end,
  list = function(_, prefix, member, list)
    if not member.flattened then return prefix .. "." .. (list.member.wire or "member") end
    return list.member.wire and prefix:gsub("[^.]*$", "") .. list.member.wire or prefix
  end,
}

---@param model aws.Model
---@param op aws.Operation
---@param args table checked arguments
---@param dialect? aws.QueryDialect
---@return aws.WireRequest
function M.request(model, op, args, dialect)
  local form = { { "Action", op.name }, { "Version", model.meta.api_version } }
  if op.input then write_struct(form, model, model.shape(op.input), args, "", dialect or QUERY) end
  return {
    method = op.method, path = op.uri, query = {}, body = M.form(form), form = form,
    headers = { ["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8" },
  }
end

M.begin = reader.begin_query

---@param model aws.Model
---@param op aws.Operation
---@param response aws.WireResponse
---@return table result
---@return string? request_id
function M.result(model, op, response) return reader.query(model, op, response.body) end

--- Error answers of query, ec2, S3 and the other services that write XML.
---@param _ aws.Model
---@param response aws.WireResponse
---@return aws.Said?
function M.error(_, response)
  local root = xml.try_root(response.body)
  if not root then return nil end
  local from = xml.child(root, "Error") or xml.child(root, "Errors", "Error") or root
  return {
    code = xml.child_text(from, "Code"), message = xml.child_text(from, "Message") or xml.child_text(from, "message"),
    region = xml.child_text(from, "Region"),
    request_id = xml.child_text(root, "RequestId") or xml.child_text(root, "RequestID") or xml.child_text(root, "requestId")
      or xml.child_text(from, "RequestId"),
  }
end

--- The members of an error's shape.
---@param model aws.Model
---@param shape aws.Shape
---@param response aws.WireResponse
---@return table
function M.data(model, shape, response) return reader.fault(model, shape.name, response.body) end

return M
