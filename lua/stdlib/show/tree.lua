--- A value unfolded: a line for each member, nested ones indented below it.
local cell = require "show.cell"
local list = require "list"
local path = require "list.path"

local M = {}

local function put(lines, indent, lead, name, v, depth, seen)
  local text = name and cell.clean(tostring(name)) .. ":" or ""
  local start = indent .. lead .. text
  if cell.is_scalar(v) or next(v) == nil or depth < 1 or seen[v] then
    local shown = cell.is_scalar(v) and v == nil and "nil" or cell.text(name, v)
    lines[#lines + 1] = start .. (text == "" and "" or " ") .. shown
    return
  end
  seen[v] = true
  local inner = indent .. (" "):rep(#lead)
  if name then
    lines[#lines + 1] = start
    inner, lead = inner .. "  ", ""
  else
    inner = indent                                          -- an item's first member stands beside its dash
  end
  if path.is_list(v) then
    for i, item in ipairs(v) do put(lines, inner, (i == 1 and lead or (" "):rep(#lead)) .. "- ", nil, item, depth - 1, seen) end
  else
    local names = {}
    for k in next, v do names[#names + 1] = k end
    for i, k in ipairs(list.new(names):sort()) do
      put(lines, inner, i == 1 and lead or (" "):rep(#lead), k, v[k], depth - 1, seen)
    end
  end
  seen[v] = nil
end

--- The lines of a value, down to a depth.
---@param v table
---@param depth number
---@return string[]
function M.lines(v, depth)
  local lines = {}
  put(lines, "", "", nil, v, depth, {})
  return lines
end

return M
