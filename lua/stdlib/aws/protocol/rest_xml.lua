--- The rest-xml protocol (S3, Route 53): paths and headers by rest.lua, an XML body.
local query = require "aws.protocol.query"
local reader = require "aws.reader"
local rest = require "aws.protocol.rest"
local xml = require "aws.protocol.xml"

local M = { error = query.error }

---@type aws.RestBody
local XML = {
  content_type = "application/xml", empty = "",
  blob_type = function(model) return model.service ~= "s3" and "application/octet-stream" or nil end, -- S3 would keep it with the object
  encode = function(model, op, member, value)
    if member then return xml.document(model, member, value, member.wire or member.name) end
    local input = model.shape(op.input)
    local root = { name = "input", shape = op.input, xml_namespace = op.xml_namespace or input.xml_namespace,
                   xml_prefix = op.xml_namespace and op.xml_prefix or input.xml_prefix }
    return xml.document(model, root, value, op.root or op.input)
  end,
  decode = function(model, name, body)
    if body == nil or body == "" then return {} end
    return reader.xml(model, name, body)
  end,
}

function M.request(model, op, args) return rest.request(model, op, args, XML) end

function M.result(model, op, response) return rest.result(model, op, response, XML) end

--- The members of an error's shape.
function M.data(model, shape, response)
  local data = query.data(model, shape, response)
  rest.head(model, shape, response, data)
  return data
end

return M
