--- What rest-json and rest-xml share: members in the path, the query and headers, and the member that is the body.
local eventstream = require "aws.protocol.eventstream"
local json = require "json"
local secret = require "secret"
local sensitive = require "aws.sensitive"
local shape = require "aws.shape"
local sign = require "sign"
local sorted_keys = require "sorted_keys"

local M = {}

---@class aws.WireRequest
---@field method string
---@field path string            escaped
---@field query { [1]: string, [2]: string|userdata|nil }[]  not escaped; without a value no = is sent
---@field headers table<string, string|userdata>
---@field form? table            query: the pairs of the body, not escaped
---@field body? string|userdata|table  bytes, or { file =, offset =, length = } that is streamed

---@class aws.WireResponse
---@field status integer
---@field headers table<string, string>  by lower-case name
---@field spelling? table<string, string>  lower-case name -> as it came
---@field body? string|userdata  nil when it was written to a file; the reader that was given it, where the protocol has `begin`

---@class aws.RestBody            how a protocol writes and reads the body
---@field content_type string
---@field blob_type fun(model: aws.Model): string?  type of a body of bytes
---@field encode fun(model: aws.Model, op: aws.Operation, member?: aws.Member, value: any): string|userdata
---@field decode fun(model: aws.Model, name: string, body?: string): any  by the shape of that name
---@field empty string            what stands for no members

--- The path, and the query that the model writes into it: "/{Bucket}/{Key+}?acl".
local function path_of(model, op, input, args)
  local uri, fixed = op.uri:match "^([^?]*)%??(.*)$"
  local path = uri:gsub("{([^}+]+)(%+?)}", function(name, plus)
    for _, member in ipairs(input and input.members or {}) do
      if member.location == "uri" and (member.wire or member.name) == name then
        local text = secret.encode(shape.text(model, member, args[member.name], "iso8601"), "url")
        return plus == "+" and text:gsub("%%2F", "/") or text
      end
    end
  end)
  local query = {}
  for pair in fixed:gmatch "[^&]+" do
    local name, value = pair:match "^([^=]*)=?(.*)$"
    query[#query + 1] = { name, pair:find("=", 1, true) and value or nil }
  end
  return path, query
end

local function add_query(query, model, member, value)
  local target = model.shape(member.shape)
  local name = member.wire or member.name
  if target.type == "list" then
    for _, item in ipairs(value) do query[#query + 1] = { name, shape.text(model, target.member, item, "iso8601") } end
  else
    query[#query + 1] = { name, shape.text(model, member, value, "iso8601") }
  end
end

--- Members of a map go into the query under their own names, where nothing else has the name.
local function add_query_map(query, model, map, value)
  local taken, values = {}, model.shape(map.value.shape)
  for _, pair in ipairs(query) do taken[pair[1]] = true end
  for _, key in ipairs(sorted_keys(value)) do
    if not taken[key] then
      local member = values.type == "list" and values.member or map.value
      for _, item in ipairs(values.type == "list" and value[key] or { value[key] }) do
        query[#query + 1] = { key, shape.text(model, member, item, "iso8601") }
      end
    end
  end
end

local function query_of(query, model, input, args)
  local maps = {}
  for _, member in ipairs(input.members) do
    local value = args[member.name]
    if member.location == "querystring" and value ~= nil then
      if model.shape(member.shape).type == "map" then maps[#maps + 1] = member else add_query(query, model, member, value) end
    end
  end
  for _, member in ipairs(maps) do add_query_map(query, model, model.shape(member.shape), args[member.name]) end
end

local function quoted(text)
  if type(text) == "string" and text:find '[",]' then return '"' .. text:gsub('"', '\\"') .. '"' end
  return text
end

local function header_text(model, member, value)
  local target = model.shape(member.shape)
  if member.json_value then return secret.encode(json.encode(value), "base64") end
  if target.type ~= "list" then return shape.text(model, member, value, "rfc822") end
  local parts = {}
  local is_string = model.shape(target.member.shape).type == "string"
  for _, item in ipairs(value) do
    if item ~= json.null then
      if #parts > 0 then parts[#parts + 1] = "," end
      local text = shape.text(model, target.member, item, "rfc822")
      parts[#parts + 1] = is_string and quoted(text) or text
    end
  end
  return #parts > 0 and secret.concat(parts) or nil
end

local function headers_of(model, input, args)
  local headers = {}
  for _, member in ipairs(input.members) do
    local value = args[member.name]
    if value ~= nil and member.location == "header" then
      headers[member.wire or member.name] = header_text(model, member, value)
    elseif value ~= nil and member.location == "headers" then
      for _, key in ipairs(sorted_keys(value)) do headers[(member.wire or "") .. key] = value[key] end
    end
  end
  return headers
end

local function has_type(headers)
  for name in pairs(headers) do if name:lower() == "content-type" then return true end end
  return false
end

--- The body, and its type.
local function body_of(model, op, input, args, protocol)
  local payload = input.payload and input.by_name[input.payload]
  if payload then
    local value, target = args[payload.name], model.shape(payload.shape)
    if target.type == "string" then return value or "", value and "text/plain" end
    if target.type == "blob" then return value or "", value and protocol.blob_type(model) end
    if value == nil then return protocol.empty, protocol.empty ~= "" and protocol.content_type or nil end
    return protocol.encode(model, op, payload, value), protocol.content_type
  end
  local in_body, given = false, false
  for _, member in ipairs(input.members) do
    if not member.location then
      in_body = true
      given = given or args[member.name] ~= nil
    end
  end
  if given then return protocol.encode(model, op, nil, args), protocol.content_type end
  if not in_body or protocol.empty == "" then return "" end
  return protocol.empty, protocol.content_type
end

---@param model aws.Model
---@param op aws.Operation
---@param args table checked arguments
---@param protocol aws.RestBody
---@return aws.WireRequest
function M.request(model, op, args, protocol)
  local input = op.input and model.shape(op.input)
  local path, query = path_of(model, op, input, args)
  if not input then return { method = op.method, path = path, query = query, headers = {}, body = "" } end
  query_of(query, model, input, args)
  local headers = headers_of(model, input, args)
  local body, content_type = body_of(model, op, input, args, protocol)
  if content_type and not has_type(headers) then headers["Content-Type"] = content_type end
  return { method = op.method, path = path, query = query, headers = headers, body = body }
end

local function split_header(text)
  local list = {}
  local rest = text
  while rest ~= "" do
    local item, after = rest:match '^%s*"(.-[^\\])"%s*,?(.*)$'
    if item then item = item:gsub('\\"', '"') else item, after = rest:match "^%s*([^,]*),?(.*)$" end
    list[#list + 1] = item:match "^(.-)%s*$"
    rest = after
  end
  return list
end

local function from_header(model, member, text)
  local target = model.shape(member.shape)
  if target.type == "list" then
    local list, inner = json.array {}, model.shape(target.member.shape)
    local parts = split_header(text)
    if inner.type == "timestamp" and #parts % 2 == 0 and text:find "%a, %d" then -- RFC 822 dates hold a comma each
      for i = 1, #parts, 2 do list[#list + 1] = shape.value("timestamp", parts[i] .. ", " .. parts[i + 1]) end
      return list
    end
    for i, part in ipairs(parts) do list[i] = shape.value(inner.type, part) end
    return list
  end
  if member.json_value then return json.decode(sign.unbase64(text)) end
  return shape.value(target.type, text)
end

local function prefixed(response, prefix)
  local found, low, spelling = {}, prefix:lower(), response.spelling or {}
  for name, value in pairs(response.headers) do
    if name:sub(1, #low) == low then found[(spelling[name] or name):sub(#low + 1)] = value end
  end
  return found
end

--- Reads the members in the status and the headers of a response into a result.
---@param model aws.Model
---@param output aws.Shape
---@param response aws.WireResponse
---@param result table
function M.head(model, output, response, result)
  for _, member in ipairs(output.members) do
    if member.location == "statusCode" then
      result[member.name] = response.status
    elseif member.location == "header" then
      local text = response.headers[(member.wire or member.name):lower()]
      local value = text and from_header(model, member, text)
      if type(value) == "string" and sensitive.hides(model.service, output, member, result) then value = secret.new(value) end
      result[member.name] = value
    elseif member.location == "headers" then
      result[member.name] = prefixed(response, member.wire or "")
    end
  end
end

--- Reads a response: members in headers and status, then the body.
---@param model aws.Model
---@param op aws.Operation
---@param response aws.WireResponse
---@param protocol aws.RestBody
---@return table
function M.result(model, op, response, protocol)
  if not op.output then return {} end
  local output, result = model.shape(op.output), {}
  local payload = output.payload and output.by_name[output.payload]
  local stream, in_body = eventstream.member(model, output, response), false
  if stream then
    result[stream.name] = eventstream.read(model, stream, response.body, protocol.decode)
  elseif payload then
    local kind = model.shape(payload.shape).type
    if kind == "blob" or kind == "string" then
      result[payload.name] = response.body
    else
      result[payload.name] = protocol.decode(model, payload.shape, response.body)
    end
  else
    for _, member in ipairs(output.members) do in_body = in_body or not member.location end
    if in_body then result = protocol.decode(model, op.output, response.body) end
  end
  M.head(model, output, response, result)
  return result
end

return M
