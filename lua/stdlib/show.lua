--- How a result looks: a list of structs is a table that fits the terminal, a struct two columns, nested values are
--- folded (`[3]`, `{VpcId…}`) and unfolded with `unfold(x)` or by their name. Times are UTC, secrets "(secret)".
---
---     show(aws.ec2:describe_vpcs{}, { width = 100, columns = { "VpcId", "Tags.Name" } })
local cell = require "show.cell"
local columns = require "show.columns"
local errors = require "errors"
local grid = require "show.grid"
local groups = require "list.groups"
local host = require "host.list"
local list = require "list"
local options = require "options"
local path = require "list.path"
local tree = require "show.tree"

local M = {}

---@class show.Options
---@field width? integer columns of the terminal; without it nothing is cut
---@field height? integer lines at most; what is left out is counted
---@field color? boolean
---@field columns? string[] the columns wanted, in their order; paths are allowed
local declared = {
  { "width", "columns of the terminal", type = "integer" },
  { "height", "lines at most", type = "integer" },
  { "color", "bold titles, dim notes", type = "boolean" },
  { "columns", "the columns wanted", type = "list" },
}

local MORE = { NextToken = true, nextToken = true, Marker = true, NextMarker = true, nextPageToken = true, NextContinuationToken = true,
               PaginationToken = true, LastEvaluatedKey = true, NextPageToken = true, nextMarker = true }

--- Lists whose items only hold the lists that are meant.
local INNER = { Reservations = "Instances" }

local function plural(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end

--- "12 rows; 3 more columns: A, B, C"
local function footer(rows, hidden, cut, o)
  local note = plural(rows, "row")
  if cut > 0 then note = note .. (", %d of them not shown"):format(cut) end
  if #hidden > 0 then
    local names = {}
    for i, c in ipairs(hidden) do names[i] = c.title end
    note = ("%s; %s: %s"):format(note, plural(#hidden, "more column"), table.concat(names, ", "))
  end
  return grid.dim(o.width and cell.cut(note, o.width) or note, o)
end

local function kind_of(items)
  local structs, scalars = 0, 0
  for _, item in ipairs(items) do
    if cell.is_scalar(item) then scalars = scalars + 1
    elseif not path.is_list(item) then structs = structs + 1 end
  end
  return structs == #items and "structs" or scalars == #items and "scalars" or "mixed"
end

local function shortened(items, o)
  local most = o.height and math.max(o.height - 2, 1)
  if not most or #items <= most then return items, 0 end
  return list.ordered(table.move(items, 1, most, 1, {}), list.columns(items)), #items - most
end

--- The lines of a list.
local function list_lines(items, o, what)
  if #items == 0 then
    local command = rawget(items, "command")                -- of a statement that answered no rows
    return { type(command) == "string" and command or "(empty list)" }
  end
  local kind = kind_of(items)
  if kind == "scalars" then
    local texts = {}
    for i, item in ipairs(items) do texts[i] = cell.text(nil, item) end
    return grid.pack(texts, o.width)
  end
  local some, cut = shortened(items, o)
  local shown
  if kind == "structs" then
    shown = columns.of(some, { columns = o.columns, what = what })
  else
    shown = { { name = "Value", get = function(item) return item end, numbers = false, rank = 1 } }
  end
  if #shown == 0 then return { plural(#items, "empty row") } end
  local lines, hidden = grid.lines(shown, some, { width = o.width, color = o.color,
                                                  all = (o.columns or list.columns(items)) ~= nil })
  lines[#lines + 1] = footer(#items, hidden, cut, o)
  return lines
end

local function names_of(v)
  local names = {}
  for k in next, v do names[#names + 1] = k end
  return list.new(names):sort()
end

--- A nested value in the wide column of a struct: short lists and tags are spelt out.
local function spelt(name, v, columns)
  if path.is_list(v) and #v > 0 and kind_of(v) == "scalars" then
    local texts = {}
    for i, item in ipairs(v) do texts[i] = cell.text(nil, item) end
    return table.concat(texts, ", ")
  end
  return cell.text(name, v, columns)
end

local function struct_lines(v, o)
  local names, widest, lines = names_of(v), 0, {}
  for _, name in ipairs(names) do widest = math.max(widest, cell.width(cell.clean(tostring(name)))) end
  if o.width then widest = math.min(widest, o.width // 2) end
  for i, name in ipairs(names) do
    local left = cell.pad(cell.cut(cell.clean(tostring(name)), widest), widest)
    local right = spelt(name, v[name], o.width)
    if o.width then right = cell.cut(right, math.max(o.width - widest - 2, 1)) end
    lines[i] = (left .. "  " .. right):gsub("%s+$", "")
  end
  if #lines == 0 then return { "{}" } end
  return lines
end

--- The member of an answer that is the list it is about: the only list, or the only one with items.
local function main_list(v)
  local lists, filled, only_tokens = {}, {}, true
  for name, member in next, v do
    if path.is_list(member) then
      lists[#lists + 1] = name
      if #member > 0 then filled[#filled + 1] = name end
    elseif not MORE[name] then only_tokens = false end
  end
  if not (host.is_answer(v) or only_tokens) then return nil end
  return #lists == 1 and lists[1] or #filled == 1 and filled[1] or nil
end

--- The list that an answer is about; nil if there is no such one.
---@param v table
---@return List? rows
---@return string? name the member that it is
---@return integer? holders how many items of the member hold the rows, where they are one level deeper
function M.main(v)
  local name = main_list(v)
  if not name then return nil end
  local items, inner = v[name], INNER[name]
  if not inner or #items == 0 then return items, name end
  return list.new(items):flatten(inner), inner, #items
end

local function rest_lines(v, main, o, lines)
  for _, name in ipairs(names_of(v)) do
    if name ~= main then
      local note = ("%s: %s"):format(cell.clean(tostring(name)), cell.text(name, v[name]))
      if MORE[name] and cell.is_scalar(v[name]) then note = "there is more (:all asks for every page); " .. note end
      lines[#lines + 1] = grid.dim(o.width and cell.cut(note, o.width) or note, o)
    end
  end
  return lines
end

local function table_lines(v, o)
  if groups.is(v) then return list_lines(v:count(), o) end
  if path.is_list(v) then return list_lines(v, o) end
  local items, what, holders = M.main(v)
  if items then
    local lines = #items == 0 and { what .. ": none" } or list_lines(items, o, what)
    if holders then lines[#lines + 1] = grid.dim("in " .. plural(holders, "item") .. " of " .. main_list(v), o) end
    return rest_lines(v, main_list(v), o, lines)
  end
  local key, only = next(v)
  if host.is_answer(v) and key ~= nil and next(v, key) == nil and not cell.is_scalar(only) then return table_lines(only, o) end
  return struct_lines(v, o)
end

--- Whether an argument is what a call says of its answer: show(aws.ec2:describe_vpcs{}) gives both.
local function is_meta(x) return type(x) == "table" and x.status ~= nil and x.headers ~= nil end

--- A value as text for people.
---@param v any
---@param o? show.Options
---@return string
function M.value(v, o)
  o = options.check(not is_meta(o) and o or {}, declared, "show")
  if o.columns then
    for _, name in ipairs(o.columns) do
      if type(name) ~= "string" then errors.usage "show: columns is a list of names" end
    end
  end
  if type(v) == "string" then return cell.clean(v, "\n\t") end
  if type(v) == "function" then return "a function" end
  if errors.is(v) then return cell.clean(tostring(v), "\n\t") end
  if cell.is_scalar(v) then return v == nil and "nil" or cell.text(nil, v) end
  return table.concat(table_lines(v, o), "\n")
end

--- A value with what is inside it, indented, down to a depth; below that it is folded.
---@param v any
---@param depth? integer all of it if not given
---@return string
function M.unfold(v, depth)
  if cell.is_scalar(v) then return M.value(v) end
  return table.concat(tree.lines(v, not is_meta(depth) and depth or math.huge), "\n")
end

return setmetatable(M, { __call = function(_, v, o) return M.value(v, o) end })
