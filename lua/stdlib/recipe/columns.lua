--- Rows of cells as lines for people: columns that stand below each other, and, where a width is given that they do not
--- fit into, cells on several lines, broken between words. A word that is wider than its cell stands over it, and the
--- cells to its right begin below it.
local log = require "log"
local term = require "term"
local width = require "host.width"
local wrap = require "wrap"

local M = {}

local INDENT, GAP = 2, 2
local WORD, LEAST = 30, 8                                     -- longest word that widens its column; narrowest column on average

local function longest_word(text)
  local n = 0
  for word in text:gmatch "%S+" do n = math.max(n, width.of(word)) end
  return n
end

--- The widths for so much room: the narrow columns keep theirs, the wide ones share the rest, none below its least.
local function shared(natural, least, room)
  local widths
  for level = 1, room do
    local sum, try = 0, {}
    for i, n in ipairs(natural) do
      try[i] = math.min(n, math.max(level, least[i]))
      sum = sum + try[i]
    end
    if sum > room then return widths end
    widths = try
  end
  return widths
end

--- The widths that fit, or nil where there is no room for columns. Words are longer than their column only if they must be.
local function fitted(rows, natural, columns)
  local room = columns - INDENT - GAP * (#natural - 1)
  local sum, words, short, none = 0, {}, {}, {}
  for i, n in ipairs(natural) do sum, words[i], short[i], none[i] = sum + n, 0, 0, 0 end
  if sum <= room then return natural end
  if room < LEAST * #natural then return nil end
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do
      words[i] = math.max(words[i], longest_word(cell))
      short[i] = math.min(words[i], WORD)
    end
  end
  return shared(natural, words, room) or shared(natural, short, room) or shared(natural, none, room)
end

--- The lines of a row: each cell from the line on where nothing to its left stands over.
local function row_lines(row, widths)
  local lines, from, x = { "" }, 1, INDENT
  for i, cell in ipairs(row) do
    local at = from
    for _, part in ipairs(wrap.line(cell, widths[i], "")) do
      local before = lines[at] or ""
      if part ~= "" then lines[at] = before .. (" "):rep(x - width.of(before)) .. part end
      at = at + 1
      if width.of(part) > widths[i] then from = at end
    end
    x = x + widths[i] + GAP
  end
  return lines
end

--- The lines of a table.
---@param rows string[][]
---@param columns? integer how wide they may be; nil: as wide as they are
---@return string[]
function M.lines(rows, columns)
  local widths, lines = {}, {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, width.of(cell)) end
  end
  if columns then widths = fitted(rows, widths, columns) end
  for _, row in ipairs(rows) do
    local part = widths and row_lines(row, widths)
      or wrap.line((" "):rep(INDENT) .. table.concat(row, (" "):rep(GAP)), columns)
    table.move(part, 1, #part, #lines + 1, lines)
  end
  return lines
end

--- Prints a table as a result: as wide as the terminal at most, where it goes to one.
---@param rows string[][]
function M.print(rows)
  log.lines(M.lines(rows, term.is_tty(log.results_aside and 2 or 1) and term.size() or nil))
end

return M
