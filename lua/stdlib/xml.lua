--- XML 1.0. A node is { name =, attrs = {}, text =, children = {} }; names keep
--- their prefix. White space between elements is dropped, text in a leaf is
--- kept as it is. Declared entities are refused, and so are documents deeper
--- than 256 levels.
local host = require "host.xml"

local M = {}

---@class XmlNode
---@field name string
---@field attrs table<string, string|Secret>
---@field text string|Secret "" if there is none
---@field children XmlNode[]

--- Reads a document. `secrets` is as in json.decode: true, or a set of the
--- names of elements and attributes whose text becomes a secret.
---@param text string|Secret
---@param opts? { secrets: boolean|table<string, true> }
---@return XmlNode? root
---@return table? err kind "invalid" or "limit", with line and column
function M.decode(text, opts)
  return host.decode(text, opts and opts.secrets)
end

--- Writes a node, without layout, attributes sorted by name. Raises for what
--- XML cannot hold.
---@param node XmlNode attrs, text and children may be absent; text may be a number
---@param opts? { declaration: boolean }
---@return string|Secret xml a secret if the node holds one
function M.encode(node, opts)
  return host.encode(node, opts and opts.declaration)
end

--- The first child of that name.
---@param node XmlNode
---@param name string
---@return XmlNode?
function M.child(node, name)
  for _, child in ipairs(node.children) do
    if child.name == name then return child end
  end
end

return M
