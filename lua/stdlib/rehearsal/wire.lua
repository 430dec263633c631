--- The server's side of AWS's protocols: a request becomes an operation and its
--- parameters, a result or an error becomes the answer, both by the service
--- model. What a real service would refuse (a missing member, a wrong type, an
--- unknown enum value, a length out of bounds) is refused here with its code.
local model = require "aws.model"
local timestamp = require "aws.timestamp"
local json = require "json"
local sign = require "sign"
local xml = require "xml"
local serve = require "rehearsal.serve"
local secret = require "secret"
local check = require "rehearsal.wire_check"
local write = require "rehearsal.wire_write"

local M = {}

--- Raises what a service answers as an error.
---@param code string AWS's own code: "DBInstanceNotFound"
---@param status integer
function M.fail(code, status, fmt, ...)
  error({ aws = true, code = code, status = status, message = fmt:format(...) }, 0)
end

--- The services by the name in the signature's scope; the first is the default.
local BY_SIGNING_NAME = {
  monitoring = "cloudwatch", servicequotas = "service-quotas", tagging = "resourcegroupstaggingapi",
  elasticloadbalancing = "elbv2", email = "ses",
}

--- The model that a signing name stands for; raises as an unknown host would.
function M.service(signing_name)
  local name = BY_SIGNING_NAME[signing_name] or signing_name
  local ok, found = pcall(model.load, name)
  if not ok then M.fail("InvalidAction", 400, "the rehearsal cloud has no service %s", tostring(signing_name)) end
  return found
end

-- Scalars ------------------------------------------------------------------

local function to_number(text, path)
  local n = tonumber(text)
  if not n then M.fail("ValidationError", 400, "%s must be a number, not %s", path, tostring(text)) end
  return math.tointeger(n) or n
end

--- A scalar as it stands in a query string, a header or XML.
local function scalar(shape, value, path)
  if shape.type == "int" or shape.type == "long" or shape.type == "float" or shape.type == "double" then
    return to_number(value, path)
  elseif shape.type == "bool" then
    if value ~= "true" and value ~= "false" then M.fail("ValidationError", 400, "%s must be true or false", path) end
    return value == "true"
  elseif shape.type == "timestamp" then
    return timestamp.parse(value) or M.fail("ValidationError", 400, "%s is not a time", path)
  elseif shape.type == "blob" then
    return sign.unbase64(value)
  end
  return value
end

--- Passwords and the like are wrapped as soon as they are known to be such.
local function wrap(member, shape, value)
  if (member.sensitive or shape.sensitive) and type(value) == "string" then return secret.new(value) end
  return value
end

-- query and ec2 ------------------------------------------------------------

--- "A.B.1=x" -> { A = { B = { ["1"] = "x" } } }
local function tree_of(pairs_list)
  local root = {}
  for _, pair in ipairs(pairs_list) do
    local node, name = root, nil
    for part in pair[1]:gmatch "[^.]+" do
      if name then
        if type(node[name]) ~= "table" then node[name] = {} end
        node = node[name]
      end
      name = part
    end
    node[name] = pair[2]
  end
  return root
end

local function capital(s) return s:sub(1, 1):upper() .. s:sub(2) end

local function query_name(member, is_ec2)
  if is_ec2 then return member.query or capital(member.wire or member.name) end
  return member.wire or member.name
end

local from_tree

local function list_from_tree(m, shape, node, path, is_ec2, flattened)
  if node == "" then return json.array {} end
  if not (is_ec2 or flattened) then node = node[shape.member.wire or "member"] or node.member or node end
  local list = json.array {}
  for i = 1, math.huge do
    local item = node[tostring(i)]
    if item == nil then break end
    list[i] = from_tree(m, shape.member, item, ("%s.%d"):format(path, i), is_ec2)
  end
  return list
end

local function map_from_tree(m, shape, node, path, is_ec2, flattened)
  if not flattened then node = node.entry or node end
  local map = {}
  for i = 1, math.huge do
    local entry = node[tostring(i)]
    if entry == nil then break end
    map[entry[shape.key.wire or "key"]] = from_tree(m, shape.value, entry[shape.value.wire or "value"], path, is_ec2)
  end
  return map
end

function from_tree(m, member, node, path, is_ec2)
  local shape = m.shape(member.shape)
  if shape.type == "struct" then
    local result, used = {}, {}
    for _, child in ipairs(shape.members) do
      local name = query_name(child, is_ec2)
      local value = type(node) == "table" and node[name]
      if value == nil and type(node) == "table" and child.flattened then
        local inner = m.shape(child.shape).member
        name = inner and inner.wire or name
        value = node[name]
      end
      if value then
        used[name] = true
        result[child.name] = from_tree(m, child, value, (path == "" and "" or path .. ".") .. child.name, is_ec2)
      end
    end
    for name in pairs(type(node) == "table" and node or {}) do
      if not used[name] then
        M.fail(is_ec2 and "UnknownParameter" or "ValidationError", 400, "The parameter %s is not recognized",
          (path == "" and "" or path .. ".") .. name)
      end
    end
    return result
  elseif shape.type == "list" then
    return list_from_tree(m, shape, node, path, is_ec2, member.flattened)
  elseif shape.type == "map" then
    return map_from_tree(m, shape, node, path, is_ec2, member.flattened)
  end
  return wrap(member, shape, scalar(shape, node, path))
end

local function decode_query(m, req)
  local _, list = serve.parse_query(req.body or "")
  local rest, action = {}, nil
  for _, pair in ipairs(list) do
    if pair[1] == "Action" then action = pair[2]
    elseif pair[1] ~= "Version" then rest[#rest + 1] = pair end
  end
  local op = action and m.operations[action] or M.fail("InvalidAction", 400, "The action %s is not valid for this endpoint.", tostring(action))
  local params = op.input and from_tree(m, { shape = op.input }, tree_of(rest), "", m.meta.protocol == "ec2") or {}
  return op, params
end

-- JSON ---------------------------------------------------------------------

local function from_json(m, member, value, path)
  local shape = m.shape(member.shape)
  if value == nil or value == json.null then return nil end
  if shape.document then return value end
  local function wrong(wanted) M.fail("SerializationException", 400, "%s must be %s", path, wanted) end
  if shape.type == "struct" then
    if type(value) ~= "table" then wrong "a structure" end
    local result, known = {}, {}
    for _, child in ipairs(shape.members) do
      local name = child.wire or child.name
      known[name] = true
      result[child.name] = from_json(m, child, value[name], path .. "." .. child.name)
    end
    for name in pairs(value) do
      if not known[name] then M.fail("SerializationException", 400, "%s has no member %s", path, tostring(name)) end
    end
    return result
  elseif shape.type == "list" then
    if type(value) ~= "table" then wrong "a list" end
    local list = json.array {}
    for i, item in ipairs(value) do list[i] = from_json(m, shape.member, item, ("%s[%d]"):format(path, i)) end
    return list
  elseif shape.type == "map" then
    if type(value) ~= "table" then wrong "a map" end
    local map = {}
    for key, item in pairs(value) do map[key] = from_json(m, shape.value, item, path .. "." .. key) end
    return map
  elseif shape.type == "string" then
    if type(value) ~= "string" then wrong "a string" end
  elseif shape.type == "bool" then
    if type(value) ~= "boolean" then wrong "true or false" end
  elseif shape.type == "blob" then
    return wrap(member, shape, sign.unbase64(value))
  elseif shape.type == "timestamp" then
    return timestamp.parse(value) or wrong "a time"
  elseif type(value) ~= "number" then wrong "a number" end
  return wrap(member, shape, value)
end

local function parse_json(body)
  if not body or body == "" then return {} end
  local value, err = json.decode(body)
  if value == nil then M.fail("SerializationException", 400, "%s", err.message) end
  return value
end

local function decode_json(m, req)
  local name = req.headers["x-amz-target"]:match "([^.]+)$"
  local op = m.operations[name] or M.fail("UnknownOperationException", 400, "unknown operation %s", tostring(name))
  return op, op.input and from_json(m, { shape = op.input }, parse_json(req.body), name) or {}
end

-- REST ---------------------------------------------------------------------

--- Splits "/{Bucket}/{Key+}?tagging" into path segments and required query.
local function template_of(op)
  if op.template then return op.template end
  local path, query = op.uri:match "^([^?]*)%??(.*)$"
  local segments, needed = {}, {}
  for segment in path:gmatch "[^/]+" do segments[#segments + 1] = segment end
  for name, value in query:gmatch "([^=&]+)=?([^&]*)" do needed[#needed + 1] = { name, value } end
  op.template = { segments = segments, needed = needed }
  return op.template
end

local function unescape(s)
  return (s:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- The labels of a path, or nil where it does not fit. Greedy labels keep slashes.
local function match_path(segments, path)
  local labels, rest = {}, path:gsub("^/", "")
  for i, segment in ipairs(segments) do
    local label, greedy = segment:match "^{([^+}]+)(%+?)}$"
    if rest == "" then return nil end
    local head, tail
    if greedy == "+" then head, tail = rest, ""
    else head, tail = rest:match "^([^/]*)/?(.*)$" end
    if label then labels[label] = unescape(head)
    elseif unescape(head) ~= segment then return nil end
    if i == #segments and tail ~= "" then return nil end
    rest = tail
  end
  return rest == "" and labels or nil
end

--- The operation of a REST request: most query parameters in the template, then
--- most literal segments, win.
local function find_rest(m, req)
  local best, best_labels, best_score
  for _, name in ipairs(m.names "operations") do
    local op = m.operations[name]
    if op.method == req.method then
      local template = template_of(op)
      local labels = match_path(template.segments, req.raw_path:match "^[^?]*")
      local score = labels and 0
      for _, need in ipairs(labels and template.needed or {}) do
        local value = req.query[need[1]]
        if value == nil or (need[2] ~= "" and value ~= need[2]) then score = nil break end
        score = score + 10
      end
      if score then
        for _, segment in ipairs(template.segments) do
          if not segment:find "{" then score = score + 1 end
        end
        for _, member in ipairs(op.input and m.shape(op.input).members or {}) do
          if member.required and member.location == "querystring" and req.query[member.wire or member.name] == nil then score = nil break end
          if member.required and member.location == "header" and req.headers[(member.wire or member.name):lower()] == nil then score = nil break end
          if member.required and member.location == "querystring" then score = score + 2 end
          if member.required and member.location == "header" then score = score + 2 end
        end
      end
      -- PutBucketLifecycle is deprecated; PutBucketLifecycleConfiguration has its address
      local newer = best and score == best_score and name == best.name .. "Configuration"
      if score and (not best or score > best_score or newer) then best, best_labels, best_score = op, labels, score end
    end
  end
  return best, best_labels
end

local function from_xml(m, member, node, path)
  local shape = m.shape(member.shape)
  if shape.type == "struct" then
    local result = {}
    for _, child in ipairs(shape.members) do
      local name = child.wire or child.name
      local child_shape = m.shape(child.shape)
      if child.flattened and child_shape.type == "list" then
        local list = json.array {}
        for _, e in ipairs(node.children) do
          if e.name == name then list[#list + 1] = from_xml(m, child_shape.member, e, path) end
        end
        if #list > 0 then result[child.name] = list end
      else
        for _, e in ipairs(node.children) do
          if e.name == name then result[child.name] = from_xml(m, child, e, path .. "." .. child.name) end
        end
      end
    end
    return result
  elseif shape.type == "list" then
    local list = json.array {}
    for _, e in ipairs(node.children) do list[#list + 1] = from_xml(m, shape.member, e, path) end
    return list
  end
  return wrap(member, shape, scalar(shape, node.text or "", path))
end

local function decode_rest(m, req)
  local op, labels = find_rest(m, req)
  if not op then M.fail("MethodNotAllowed", 405, "%s %s is no operation of this service", req.method, req.path) end
  local params = {}
  if not op.input then return op, params end
  local input = m.shape(op.input)
  local in_body = {}
  for _, member in ipairs(input.members) do
    local shape, wire = m.shape(member.shape), member.wire or member.name
    if member.location == "uri" then
      params[member.name] = scalar(shape, labels[wire], member.name)
    elseif member.location == "querystring" then
      local value = req.query[wire]
      if value ~= nil and shape.type == "list" then
        local list = json.array {}
        for _, pair in ipairs(req.query_list or {}) do if pair[1] == wire then list[#list + 1] = pair[2] end end
        params[member.name] = #list > 0 and list or json.array { value }
      elseif value ~= nil then params[member.name] = scalar(shape, value, member.name) end
    elseif member.location == "header" then
      local value = req.headers[wire:lower()]
      if value ~= nil and shape.type ~= "list" then params[member.name] = scalar(shape, value, member.name) end
    elseif member.location == "headers" then
      local map = {}
      for name, value in pairs(req.headers) do
        if name:sub(1, #wire) == wire:lower() then map[name:sub(#wire + 1)] = value end
      end
      if next(map) then params[member.name] = map end
    elseif member.name ~= input.payload then
      in_body[#in_body + 1] = member
    end
  end
  if input.payload then
    local member = input.by_name[input.payload]
    local shape = m.shape(member.shape)
    if shape.type == "blob" or shape.type == "string" then
      params[member.name] = req.body or ""
      params.body_file = req.body_file
    elseif m.meta.protocol == "rest-xml" then
      if req.body and req.body ~= "" then
        local root, err = xml.decode(req.body)
        if not root then M.fail("MalformedXML", 400, "%s", err.message) end
        params[member.name] = from_xml(m, member, root, member.name)
      end
    else
      params[member.name] = from_json(m, member, parse_json(req.body), member.name)
    end
  elseif #in_body > 0 and m.meta.protocol == "rest-xml" then
    if req.body and req.body ~= "" then
      local root, err = xml.decode(req.body)
      if not root then M.fail("MalformedXML", 400, "%s", err.message) end
      for name, value in pairs(from_xml(m, { shape = op.input }, root, op.name)) do params[name] = value end
    end
  elseif #in_body > 0 then
    local body = parse_json(req.body)
    for _, member in ipairs(in_body) do
      params[member.name] = from_json(m, member, body[member.wire or member.name], member.name)
    end
  end
  return op, params
end

--- The operation and the checked parameters of a request.
---@param m aws.Model
---@param req table as rehearsal.serve hands it over
---@return aws.Operation, table params, string protocol the one that the caller speaks
function M.decode(m, req)
  local kind = req.headers["content-type"] or ""
  local protocol, op, params = m.meta.protocol, nil, nil
  if req.headers["x-amz-target"] then
    protocol = "json"
    op, params = decode_json(m, req)
  elseif kind:find("x-www-form-urlencoded", 1, true) and not protocol:find "^rest" then
    if protocol == "json" then protocol = "query" end
    op, params = decode_query(m, req)
  elseif protocol:find "^rest" then
    op, params = decode_rest(m, req)
  else
    M.fail("InvalidAction", 400, "the request is none of the %s protocol", protocol)
  end
  if op.input then check(m, op, params, protocol) end
  return op, params, protocol
end

M.answer = write.answer
M.error = write.error

return M
