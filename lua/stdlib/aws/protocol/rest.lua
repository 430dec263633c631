--- What rest-json and rest-xml share: members in the path, the query and headers, and the member that is the body.
local json = require "json"
local secret = require "secret"
local sensitive = require "aws.sensitive"
local shape = require "aws.shape"
local sign = require "sign"

local M = {}

---@class aws.WireRequest
---@field method string
---@field path string            escaped
---@field query { [1]: string, [2]: string|userdata }[]  not escaped
---@field headers table<string, string|userdata>
---@field body? string|userdata|table  bytes, or { file = path } that is streamed
---@field host_prefix? string

---@class aws.WireResponse
---@field status integer
---@field headers table<string, string>  by lower-case name
---@field spelling? table<string, string>  lower-case name -> as it came
---@field body? string           nil when it was written to a file

---@class aws.RestBody            how a protocol writes and reads the body
---@field content_type string
---@field encode fun(model: aws.Model, op: aws.Operation, member?: aws.Member, value: any): string|userdata
---@field decode fun(model: aws.Model, member: aws.Member, body: string): table
---@field empty string            what stands for no members

local function label(model, member, value, keeps_slashes)
  local text = shape.text(model, member, value, "iso8601")
  if not keeps_slashes then return secret.encode(text, "url") end
  local parts = {}
  for part, slash in text:gmatch "([^/]*)(/?)" do parts[#parts + 1] = secret.encode(part, "url") .. slash end
  return table.concat(parts)
end

--- The path, and the query that the model writes into it: "/{Bucket}?acl".
local function path_of(model, op, input, args)
  local uri, fixed = op.uri:match "^([^?]*)%??(.*)$"
  local path = uri:gsub("{([^}+]+)(%+?)}", function(name, plus)
    for _, member in ipairs(input.members) do
      if member.location == "uri" and (member.wire or member.name) == name then
        return label(model, member, args[member.name], plus == "+")
      end
    end
  end)
  local query = {}
  for pair in fixed:gmatch "[^&]+" do
    local name, value = pair:match "^([^=]*)=?(.*)$"
    query[#query + 1] = { name, value }
  end
  return path, query
end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function add_query(query, model, member, value)
  local target = model.shape(member.shape)
  local name = member.wire or member.name
  if target.type == "list" then
    for _, item in ipairs(value) do query[#query + 1] = { name, shape.text(model, target.member, item, "iso8601") } end
  elseif target.type == "map" then
    for _, key in ipairs(sorted_keys(value)) do
      local items = type(value[key]) == "table" and value[key] or { value[key] }
      for _, item in ipairs(items) do query[#query + 1] = { key, item } end
    end
  else
    query[#query + 1] = { name, shape.text(model, member, value, "iso8601") }
  end
end

local function quoted(text)
  if type(text) == "string" and text:find '[",]' then return '"' .. text:gsub('"', '\\"') .. '"' end
  return text
end

local function header_text(model, member, value)
  local target = model.shape(member.shape)
  if member.json_value then return sign.base64(json.encode(value)) end
  if target.type ~= "list" then return shape.text(model, member, value, "rfc822") end
  local parts = {}
  local is_string = model.shape(target.member.shape).type == "string"
  for i, item in ipairs(value) do
    if i > 1 then parts[#parts + 1] = "," end
    local text = shape.text(model, target.member, item, "rfc822")
    parts[#parts + 1] = is_string and quoted(text) or text
  end
  return #parts > 0 and secret.concat(parts) or nil
end

local function body_of(model, op, input, args, protocol, headers)
  local payload = input.payload and input.by_name[input.payload]
  if payload then
    local value, kind = args[payload.name], model.shape(payload.shape).type
    if kind == "blob" or kind == "string" then
      if value ~= nil and not headers["Content-Type"] then
        headers["Content-Type"] = kind == "string" and "text/plain" or protocol.blob_type
      end
      return value or ""
    end
    if value == nil then return protocol.empty end
    headers["Content-Type"] = headers["Content-Type"] or protocol.content_type
    return protocol.encode(model, op, payload, value)
  end
  local in_body, given = false, false
  for _, member in ipairs(input.members) do
    if not member.location then
      in_body = true
      given = given or args[member.name] ~= nil
    end
  end
  if not in_body then return "" end
  if given then
    headers["Content-Type"] = headers["Content-Type"] or protocol.content_type
    return protocol.encode(model, op, nil, args)
  end
  if protocol.empty ~= "" then headers["Content-Type"] = headers["Content-Type"] or protocol.content_type end
  return protocol.empty
end

---@param model aws.Model
---@param op aws.Operation
---@param args table checked arguments
---@param protocol aws.RestBody
---@return aws.WireRequest
function M.request(model, op, args, protocol)
  if not op.input then return { method = op.method, path = op.uri:match "^[^?]*", query = {}, headers = {}, body = "" } end
  local input = model.shape(op.input)
  local path, query = path_of(model, op, input, args)
  local headers = {}
  for _, member in ipairs(input.members) do
    local value = args[member.name]
    if value ~= nil then
      if member.location == "querystring" then
        add_query(query, model, member, value)
      elseif member.location == "header" then
        headers[member.wire or member.name] = header_text(model, member, value)
      elseif member.location == "headers" then
        for _, key in ipairs(sorted_keys(value)) do headers[(member.wire or "") .. key] = value[key] end
      end
    end
  end
  return { method = op.method, path = path, query = query, headers = headers,
           body = body_of(model, op, input, args, protocol, headers) }
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
    local list, inner = {}, model.shape(target.member.shape)
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
  local in_body = false
  if payload then
    local kind = model.shape(payload.shape).type
    if kind == "blob" or kind == "string" then
      result[payload.name] = response.body
    elseif response.body and response.body ~= "" then
      result[payload.name] = protocol.decode(model, payload, response.body)
    end
  else
    for _, member in ipairs(output.members) do in_body = in_body or not member.location end
    if in_body and response.body and response.body ~= "" then
      result = protocol.decode(model, { name = "output", shape = op.output }, response.body)
    end
  end
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
  return result
end

return M
