--- The json protocol, 1.0 and 1.1: the operation in X-Amz-Target, JSON both ways.
local body = require "aws.protocol.json_body"
local eventstream = require "aws.protocol.eventstream"

local M = { error = body.error }

---@param model aws.Model
---@param op aws.Operation
---@param args table checked arguments
---@return aws.WireRequest
function M.request(model, op, args)
  return {
    method = op.method, path = op.uri, query = {},
    body = op.input and body.encode(model, { name = "input", shape = op.input }, args) or "{}",
    headers = {
      ["Content-Type"] = "application/x-amz-json-" .. (model.meta.json_version or "1.0"),
      ["X-Amz-Target"] = (model.meta.target_prefix or model.service) .. "." .. op.name,
      ["x-amzn-query-mode"] = model.meta.aws_query_compatible and "true" or nil,
    },
  }
end

---@param model aws.Model
---@param op aws.Operation
---@param response aws.WireResponse
---@return table
function M.result(model, op, response)
  if not op.output then return {} end
  local stream = eventstream.member(model, model.shape(op.output), response)
  if not stream then return body.decode(model, op.output, response.body) end
  local events, initial = eventstream.read(model, stream, response.body, body.decode)
  local result = body.decode(model, op.output, initial)
  result[stream.name] = events
  return result
end

--- The members of an error's shape.
---@param model aws.Model
---@param shape aws.Shape
---@param response aws.WireResponse
function M.data(model, shape, response)
  return body.decode(model, shape.name, response.body)
end

return M
