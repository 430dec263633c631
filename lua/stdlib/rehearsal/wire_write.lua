--- Results and errors in the wire format of each AWS protocol.
local json = require "json"
local secret = require "secret"
local sign = require "sign"
local timestamp = require "aws.timestamp"

local M = {}

local function scalar(shape, value)
  if shape.type == "bool" then return value and "true" or "false" end
  if shape.type == "timestamp" then return timestamp.iso8601(value) end
  if shape.type == "blob" then return sign.base64(value) end
  if shape.type == "int" or shape.type == "long" then return ("%d"):format(math.floor(value)) end
  if secret.is(value) then return value end
  return tostring(value)
end

local function escape(value)
  return secret.encode(value, "xml")
end

-- XML: query, ec2, rest-xml ------------------------------------------------

--- What AWS answers beyond its public models; the EB CLI, which brings a model of its own, reads it.
local UNMODELLED = { ConfigurationSettingsDescription = { { name = "Tier", shape = "EnvironmentTier" } } }

local function to_xml(m, member, value, name, out)
  local shape = m.shape(member.shape)
  if shape.type == "struct" then
    out[#out + 1] = ("<%s>"):format(name)
    for _, members in ipairs { shape.members, UNMODELLED[shape.name] } do
      for _, child in ipairs(members) do
        if value[child.name] ~= nil then to_xml(m, child, value[child.name], child.wire or child.name, out) end
      end
    end
    out[#out + 1] = ("</%s>"):format(name)
  elseif shape.type == "list" then
    local inner = shape.member.wire or (M.is_ec2(m) and "item" or "member")
    if not member.flattened then out[#out + 1] = ("<%s>"):format(name) end
    for _, item in ipairs(value) do
      to_xml(m, shape.member, item, member.flattened and (shape.member.wire or name) or inner, out)
    end
    if not member.flattened then out[#out + 1] = ("</%s>"):format(name) end
  elseif shape.type == "map" then
    if not member.flattened then out[#out + 1] = ("<%s>"):format(name) end
    for key, item in pairs(value) do
      local entry = member.flattened and name or "entry"
      out[#out + 1] = ("<%s>"):format(entry)
      to_xml(m, shape.key, key, shape.key.wire or "key", out)
      to_xml(m, shape.value, item, shape.value.wire or "value", out)
      out[#out + 1] = ("</%s>"):format(entry)
    end
    if not member.flattened then out[#out + 1] = ("</%s>"):format(name) end
  else
    out[#out + 1] = ("<%s>"):format(name)
    out[#out + 1] = escape(scalar(shape, value))
    out[#out + 1] = ("</%s>"):format(name)
  end
end

function M.is_ec2(m) return m.meta.protocol == "ec2" end

local function members_xml(m, shape, result, out)
  for _, child in ipairs(shape.members) do
    if result[child.name] ~= nil and not child.location then
      to_xml(m, child, result[child.name], child.wire or child.name, out)
    end
  end
end

local HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

local function answer_query(m, op, result, id)
  local out = { HEAD, ('<%sResponse xmlns="%s">'):format(op.name, m.meta.xml_namespace or "") }
  if M.is_ec2(m) then
    out[#out + 1] = ("<requestId>%s</requestId>"):format(id)
    if op.output then members_xml(m, m.shape(op.output), result, out) end
  else
    local wrapper = op.wrapper
    if wrapper then out[#out + 1] = ("<%s>"):format(wrapper) end
    if op.output then members_xml(m, m.shape(op.output), result, out) end
    if wrapper then out[#out + 1] = ("</%s>"):format(wrapper) end
    out[#out + 1] = ("<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata>"):format(id)
  end
  out[#out + 1] = ("</%sResponse>"):format(op.name)
  return { status = 200, headers = { ["content-type"] = "text/xml" }, body = secret.concat(out) }
end

-- JSON ---------------------------------------------------------------------

local function to_json(m, member, value)
  local shape = m.shape(member.shape)
  if shape.document then return value end
  if shape.type == "struct" then
    local result = {}
    for _, child in ipairs(shape.members) do
      if value[child.name] ~= nil then result[child.wire or child.name] = to_json(m, child, value[child.name]) end
    end
    return result
  elseif shape.type == "list" then
    local list = json.array {}
    for i, item in ipairs(value) do list[i] = to_json(m, shape.member, item) end
    return list
  elseif shape.type == "map" then
    local map = {}
    for key, item in pairs(value) do map[key] = to_json(m, shape.value, item) end
    return map
  elseif shape.type == "blob" then return sign.base64(value)
  elseif shape.type == "int" or shape.type == "long" then return math.floor(value) end
  return value
end

local function answer_json(m, op, result)
  local body = op.output and to_json(m, { shape = op.output }, result) or {}
  return { status = 200, headers = { ["content-type"] = "application/x-amz-json-" .. (m.meta.json_version or "1.1") },
           body = json.encode(body) }
end

-- REST ---------------------------------------------------------------------

local function answer_rest(m, op, result)
  local headers, status, out = {}, op.status or 200
  if not op.output then return { status = status, headers = headers, body = "" } end
  local shape = m.shape(op.output)
  local in_body = {}
  for _, member in ipairs(shape.members) do
    local value, child = result[member.name], m.shape(member.shape)
    if value ~= nil and member.location == "header" then
      headers[(member.wire or member.name):lower()] = child.type == "timestamp" and timestamp.rfc822(value) or scalar(child, value)
    elseif value ~= nil and member.location == "headers" then
      for name, item in pairs(value) do headers[(member.wire or member.name):lower() .. name] = item end
    elseif value ~= nil and member.location == "statusCode" then status = value
    elseif value ~= nil then in_body[#in_body + 1] = member end
  end
  local payload = shape.payload and shape.by_name[shape.payload]
  local payload_type = payload and m.shape(payload.shape).type
  if payload and (payload_type == "blob" or payload_type == "string") then
    return { status = result.body_status or status, headers = headers, body = result[payload.name],
             file = result.body_file, offset = result.body_offset, length = result.body_length }
  end
  if m.meta.protocol == "rest-json" then
    headers["content-type"] = "application/json"
    local body = {}
    for _, member in ipairs(in_body) do body[member.wire or member.name] = to_json(m, member, result[member.name]) end
    if payload then body = result[payload.name] and to_json(m, payload, result[payload.name]) or {} end
    return { status = status, headers = headers, body = json.encode(body) }
  end
  if #in_body == 0 and not payload then
    local body = op.method ~= "HEAD" and "" or nil       -- a HEAD names the length of a body that does not come
    return { status = result.body_status or status, headers = headers, body = body }
  end
  headers["content-type"] = "application/xml"
  local root = payload and (payload.wire or payload.name) or op.output:gsub("Output$", "Result")
  out = { HEAD }
  if payload then
    to_xml(m, payload, result[payload.name] or {}, root, out)
  else
    out[#out + 1] = ('<%s xmlns="%s">'):format(root, m.meta.xml_namespace or "http://s3.amazonaws.com/doc/2006-03-01/")
    members_xml(m, shape, result, out)
    out[#out + 1] = ("</%s>"):format(root)
  end
  return { status = status, headers = headers, body = secret.concat(out) }
end

--- The answer of a successful call.
---@param result table in the model's own member names
---@return table answer as rehearsal.serve takes it
function M.answer(m, op, protocol, result, id)
  local answer
  if protocol == "json" then answer = answer_json(m, op, result)
  elseif protocol == "query" or protocol == "ec2" then answer = answer_query(m, op, result, id)
  else answer = answer_rest(m, op, result) end
  answer.headers["x-amzn-requestid"] = id
  answer.headers["x-amz-request-id"] = id
  return answer
end

-- Errors -------------------------------------------------------------------

--- The answer of a refused call, in the words of its protocol.
---@param e { code: string, status: integer, message: string, shape?: string } `shape`: the model's name of it, where that is not the code
function M.error(m, protocol, e, id)
  local status = e.status or 400
  local headers = { ["x-amzn-requestid"] = id, ["x-amz-request-id"] = id }
  local message = secret.encode(e.message, "xml")
  if protocol == "json" or protocol == "rest-json" then
    headers["content-type"] = "application/x-amz-json-" .. (m and m.meta.json_version or "1.1")
    headers["x-amzn-errortype"] = e.shape or e.code
    if m and m.meta.aws_query_compatible then
      headers["x-amzn-query-error"] = ("%s;%s"):format(e.code, status < 500 and "Sender" or "Receiver")
    end
    return { status = status, headers = headers, body = json.encode { __type = e.shape or e.code, message = e.message, Message = e.message } }
  end
  headers["content-type"] = "text/xml"
  local body
  if protocol == "ec2" then
    body = ("%s<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>%s</RequestID></Response>")
      :format(HEAD, e.code, message, id)
  elseif protocol == "rest-xml" then
    body = ("%s<Error><Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId></Error>"):format(HEAD, e.code, message, id)
  else
    body = ("%s<ErrorResponse xmlns=\"%s\"><Error><Type>%s</Type><Code>%s</Code><Message>%s</Message></Error>"
      .. "<RequestId>%s</RequestId></ErrorResponse>")
      :format(HEAD, m and m.meta.xml_namespace or "", status < 500 and "Sender" or "Receiver", e.code, message, id)
  end
  return { status = status, headers = headers, body = body }
end

return M
