--- Elements of HTML and SVG, written so that an XML parser reads them too. Whatever is text is escaped; there is no other way
--- to put text in, but for `raw` of a style.
local clean = require "recipe.report.clean"

local M = {}

local VOID = { meta = true, br = true, col = true, link = true }
local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

local function escaped(s) return (clean(s):gsub("[&<>\"']", ESCAPES)) end

--- An element: el("td", { class = "n" }, "text", el("b", nil, "more")). Attributes that are nil or false are left out; children
--- are text, numbers, elements, or lists of these.
---@param name string
---@param attrs? table
---@return table
function M.el(name, attrs, ...) return { el = name, attrs = attrs or {}, children = { ... } } end

local function put(node, out)
  if type(node) ~= "table" then
    out[#out + 1] = escaped(node)
  elseif not node.el then
    for _, child in ipairs(node) do put(child, out) end
  else
    local names = {}
    for name, v in pairs(node.attrs) do
      if v then names[#names + 1] = name end
    end
    table.sort(names)
    out[#out + 1] = "<" .. node.el
    for _, name in ipairs(names) do out[#out + 1] = (' %s="%s"'):format(name, escaped(node.attrs[name])) end
    out[#out + 1] = VOID[node.el] and "/>" or ">"
    if VOID[node.el] then return end
    if node.raw then out[#out + 1] = node.raw end
    for _, child in ipairs(node.children) do put(child, out) end
    out[#out + 1] = ("</%s>"):format(node.el)
  end
end

--- The text of an element and all that is in it.
---@param node table
---@return string
function M.write(node)
  local out = {}
  put(node, out)
  return table.concat(out)
end

return M
