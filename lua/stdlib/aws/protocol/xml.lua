--- XML by shapes: writing what rest-xml services take; and the roots of errors, which have no shape.
local errors = require "errors"
local secret = require "secret"
local shape = require "aws.shape"
local sorted_keys = require "sorted_keys"
local xml = require "xml"

local M = {}

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
function M.root(body)
  local root, err = xml.decode(body)
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
  for _, key in ipairs(sorted_keys(value)) do
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
