--- Lays rows out in columns: numbers to the right, text to the left, nothing wider than the terminal.
local cell = require "show.cell"

local M = {}

local GAP = 2
local LEAST = 8                                             -- what a column that was asked for is cut down to

local BOLD, DIM, PLAIN = "\27[1m", "\27[2m", "\27[0m"

--- @param s string
--- @param o { color?: boolean }
function M.dim(s, o) return o.color and DIM .. s .. PLAIN or s end

--- Each column's cells and their natural width.
local function measure(columns, rows, width)
  for _, c in ipairs(columns) do
    c.title, c.cells = cell.clean(c.name), {}
    c.natural = cell.width(c.title)
    for i, row in ipairs(rows) do
      local s = cell.text(c.name, c.get(row), width)
      c.cells[i] = s
      c.natural = math.max(c.natural, cell.width(s))
    end
  end
end

--- The columns that fit, by rank; the others. A wide one is cut, what names a row less so, a number never.
local function choose(columns, width)
  local shown, hidden, left = {}, {}, width + GAP
  for _, c in ipairs(columns) do
    local most = c.numbers and c.natural or c.rank < 10 and width // 2 or math.max(LEAST * 2, width // 4)
    c.width = math.min(c.natural, most)
    if c.width + GAP <= left then
      shown[#shown + 1] = c
      left = left - c.width - GAP
    else
      hidden[#hidden + 1] = c
    end
  end
  for _, c in ipairs(shown) do                              -- what is left over goes to those that were cut
    local more = math.min(left, c.natural - c.width)
    c.width, left = c.width + more, left - more
  end
  return shown, hidden
end

--- Columns that somebody asked for all stay while each can have a few letters: the widest are cut to one measure.
local function squeeze(columns, width)
  local function total(level)
    local sum = -GAP
    for _, c in ipairs(columns) do sum = sum + math.min(c.natural, c.numbers and c.natural or level) + GAP end
    return sum
  end
  local level = width
  while level > LEAST and total(level) > width do level = level - 1 end
  if total(level) > width then return nil end
  for _, c in ipairs(columns) do c.width = c.numbers and c.natural or math.min(c.natural, level) end
  local left = width - total(level)
  for _, c in ipairs(columns) do
    local more = math.min(left, c.natural - c.width)
    c.width, left = c.width + more, left - more
  end
  return columns
end

local function line(columns, text_of)
  local parts = {}
  for i, c in ipairs(columns) do parts[i] = cell.pad(cell.cut(text_of(c), c.width), c.width, c.numbers) end
  return (table.concat(parts, (" "):rep(GAP)):gsub("%s+$", ""))
end

--- The lines of a table, its title first.
---@param columns show.Column[]
---@param rows table[]
---@param o { width?: integer, color?: boolean, all?: boolean } all: the columns were asked for
---@return string[] lines
---@return show.Column[] hidden the columns for which there was no room
function M.lines(columns, rows, o)
  measure(columns, rows, o.width)
  local shown, hidden = columns, {}
  if o.width then
    shown = o.all and squeeze(columns, o.width) or nil
    if not shown then shown, hidden = choose(columns, o.width) end
    if #shown == 0 then                                     -- a terminal of a few letters
      shown, hidden = { columns[1] }, table.move(columns, 2, #columns, 1, {})
      shown[1].width = math.max(o.width, 1)
    end
  else
    for _, c in ipairs(columns) do c.width = c.natural end
  end
  local head = line(shown, function(c) return c.title end)
  local lines = { o.color and BOLD .. head .. PLAIN or head }
  for i = 1, #rows do lines[i + 1] = line(shown, function(c) return c.cells[i] end) end
  return lines, hidden
end

--- Short texts beside each other, down one column and then the next, as ls does.
---@param texts string[]
---@param width? integer
---@return string[]
function M.pack(texts, width)
  local widest = 1
  for _, s in ipairs(texts) do widest = math.max(widest, cell.width(s)) end
  local across = width and math.max(1, (width + GAP) // (widest + GAP)) or 1
  local down = -(-#texts // across)
  local lines = {}
  for row = 1, down do
    local parts = {}
    for at = row, #texts, down do parts[#parts + 1] = cell.pad(cell.cut(texts[at], width or widest), widest) end
    lines[row] = table.concat(parts, (" "):rep(GAP)):gsub("%s+$", "")
  end
  return lines
end

return M
