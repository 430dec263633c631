--- The rest-json protocol: paths and headers by rest.lua, a JSON body.
local body = require "aws.protocol.json_body"
local rest = require "aws.protocol.rest"

local M = { error = body.error }

---@type aws.RestBody
local JSON = {
  content_type = "application/json", blob_type = function() return "application/octet-stream" end, empty = "{}",
  encode = function(model, op, member, value)
    return body.encode(model, member or { name = "input", shape = op.input }, value)
  end,
  decode = body.decode,
}

function M.request(model, op, args) return rest.request(model, op, args, JSON) end

function M.result(model, op, response) return rest.result(model, op, response, JSON) end

function M.data(model, shape, response) return rest.result(model, { output = shape.name }, response, JSON) end

return M
