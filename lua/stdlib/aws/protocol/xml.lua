--- XML by shapes: reading what query, ec2 and rest-xml services answer, writing what rest-xml takes.
local errors = require "errors"
local secret = require "secret"
local sensitive = require "aws.sensitive"
local shape = require "aws.shape"
local xml = require "xml"

local M = {}

local read

--- The name without its prefix: "s3:Error" -> "Error".
local function local_name(name) return name:match "[^:]*$" end

--- The root of a document; nil if the text is no XML (a proxy's HTML page, an empty body).
---@param body string
---@return table?
function M.try_root(body)
  if type(body) ~= "string" or not body:find "^%s*<" then return nil end
  local root = xml.decode(body)
  if root and local_name(root.name):lower() ~= "html" then return root end
  return nil
end

--- The root of a document. Raises kind "protocol".
---@param body string
---@param secrets? table<string, true> elements whose text becomes a secret
function M.root(body, secrets)
  local root, err = xml.decode(body, secrets and { secrets = secrets })
  if not root then
    errors.raise { kind = "protocol", message = "the answer is not XML: " .. tostring(err and err.message or "it is empty") }
  end
  return root
end

--- The first child of that name; further names go deeper.
---@param node table?
---@return table?
function M.child(node, name, ...)
  if not node then return nil end
  for _, child in ipairs(node.children) do
    if local_name(child.name) == name then
      if ... then return M.child(child, ...) end
      return child
    end
  end
  return nil
end

function M.child_text(node, ...)
  local child = M.child(node, ...)
  return child and child.text
end

local function wrong(member, kind, text)
  errors.raise { kind = "protocol", message = ("the answer's %s is %q, not of type %s"):format(member.name, text:sub(1, 40), kind) }
end

local function read_list(model, member, list, node, hidden, nodes)
  local result = {}
  for i, item in ipairs(member.flattened and nodes or node.children) do result[i] = read(model, list.member, item, hidden) end
  return result
end

local function read_map(model, member, map, node, hidden, nodes)
  local result = {}
  for _, entry in ipairs(member.flattened and nodes or node.children) do
    local key = M.child(entry, map.key.wire or "key")
    local value = M.child(entry, map.value.wire or "value")
    if key and value then result[key.text or ""] = read(model, map.value, value, hidden) end
  end
  return result
end

--- Reads the node that stands for a member; `nodes` are all of a flattened list or map.
function read(model, member, node, hidden, nodes)
  local target = model.shape(member.shape)
  local kind, text = target.type, node.text
  if kind == "string" then return hidden and secret.new(text) or text end
  if kind == "struct" then return M.read_struct(model, target, node, hidden) end
  if kind == "list" then return read_list(model, member, target, node, hidden, nodes or { node }) end
  if kind == "map" then return read_map(model, member, target, node, hidden, nodes or { node }) end
  if kind ~= "blob" and text == "" then return nil end
  local value = shape.value(kind, text)
  if value == nil then wrong(member, kind, tostring(text)) end
  if hidden and kind == "blob" then return secret.new(value) end
  return value
end

--- The element that holds a member: flattened lists go by the name of their items.
local function element_of(model, member)
  if member.flattened then
    local target = model.shape(member.shape)
    if target.type == "list" and target.member.wire then return target.member.wire end
  end
  return member.wire or member.name
end

local function attribute_of(node, name)
  if not node.attrs then return nil end
  if node.attrs[name] then return node.attrs[name] end
  for key, value in pairs(node.attrs) do -- the document may have chosen another prefix
    if local_name(key) == local_name(name) then return value end
  end
  return nil
end

local known = setmetatable({}, { __mode = "k" })

--- The members of a struct by their elements; two may share one.
local function elements_of(model, struct)
  local elements = known[struct]
  if elements then return elements end
  elements = {}
  for _, member in ipairs(struct.members) do
    if not member.attribute and not member.location then
      local name = element_of(model, member)
      elements[name] = elements[name] or {}
      table.insert(elements[name], member)
    end
  end
  known[struct] = elements
  return elements
end

--- Reads the members of a struct that are not in headers.
---@param model aws.Model
---@param struct aws.Shape
---@param node table
---@param hidden? boolean everything below is secret
---@return table
function M.read_struct(model, struct, node, hidden)
  local elements, rules, result = elements_of(model, struct), sensitive.rules(model.service, struct), {}
  local late, late_node, many
  for _, child in ipairs(node.children) do
    for _, member in ipairs(elements[child.name] or elements[local_name(child.name)] or {}) do
      local rule = rules[member.name]
      if member.flattened then
        many = many or {}
        many[member] = many[member] or {}
        table.insert(many[member], child)
      elseif type(rule) == "function" then
        late, late_node = member, child
      elseif result[member.name] == nil then
        result[member.name] = read(model, member, child, hidden or rule)
      end
    end
  end
  for member, nodes in pairs(many or {}) do
    result[member.name] = read(model, member, nodes[1], hidden or rules[member.name] == true, nodes)
  end
  if node.attrs and next(node.attrs) then
    for _, member in ipairs(struct.members) do
      if member.attribute then result[member.name] = attribute_of(node, member.wire or member.name) end
    end
  end
  if late then result[late.name] = read(model, late, late_node, hidden or rules[late.name](result)) end
  return result
end

local write

local function open_tag(name, member, attributes)
  local tag = "<" .. name
  if member.xml_namespace then
    tag = ('%s xmlns%s="%s"'):format(tag, member.xml_prefix and ":" .. member.xml_prefix or "",
                                     secret.encode(member.xml_namespace, "xml"))
  end
  return tag .. (attributes or "") .. ">"
end

local function write_struct(out, model, struct, value, name, member)
  local attributes = ""
  for _, m in ipairs(struct.members) do
    if m.attribute and value[m.name] ~= nil then
      attributes = ('%s %s="%s"'):format(attributes, m.wire or m.name, secret.encode(shape.text(model, m, value[m.name], "iso8601"), "xml"))
    end
  end
  out[#out + 1] = open_tag(name, member, attributes)
  for _, m in ipairs(struct.members) do
    if value[m.name] ~= nil and not m.attribute and not m.location then
      write(out, model, m, value[m.name], m.wire or m.name)
    end
  end
  out[#out + 1] = "</" .. name .. ">"
end

local function write_map(out, model, member, map, value, name)
  local open = member.flattened and open_tag(name, member) or "<entry>"
  local close = member.flattened and "</" .. name .. ">" or "</entry>"
  if not member.flattened then out[#out + 1] = open_tag(name, member) end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do
    out[#out + 1] = open
    write(out, model, map.key, key, map.key.wire or "key")
    write(out, model, map.value, value[key], map.value.wire or "value")
    out[#out + 1] = close
  end
  if not member.flattened then out[#out + 1] = "</" .. name .. ">" end
end

function write(out, model, member, value, name)
  local target = model.shape(member.shape)
  if target.type == "struct" then
    write_struct(out, model, target, value, name, member)
  elseif target.type == "list" then
    if not member.flattened then out[#out + 1] = open_tag(name, member) end
    local item = member.flattened and name or target.member.wire or "member"
    for _, v in ipairs(value) do write(out, model, target.member, v, item) end
    if not member.flattened then out[#out + 1] = "</" .. name .. ">" end
  elseif target.type == "map" then
    write_map(out, model, member, target, value, name)
  else
    out[#out + 1] = open_tag(name, member)
    out[#out + 1] = secret.encode(shape.text(model, member, value, "iso8601"), "xml")
    out[#out + 1] = "</" .. name .. ">"
  end
end

--- Writes a value as the element `name`.
---@param model aws.Model
---@param member aws.Member the use of the shape; its namespace goes into the tag
---@param value any
---@param name string
---@return string|userdata a secret if any part is one
function M.document(model, member, value, name)
  local out = {}
  write(out, model, member, value, name)
  return secret.concat(out)
end

return M
