--- Rows of cells as lines for people: columns that stand below each other, and, where a width is given that they do not
--- fit into, cells on several lines, broken between words.
local log = require "log"
local term = require "term"
local width = require "host.width"

local M = {}

local INDENT, GAP = 2, 2
local WORD, LEAST = 30, 8                                     -- longest word that stays whole; narrowest column on average

--- A text as lines of at most so many columns; a word that is longer than that is broken.
---@param text string
---@param columns integer
---@return string[]
function M.wrap(text, columns)
  local lines, line = {}, nil
  for word in text:gmatch "%S+" do
    local longer = line and line .. " " .. word or word
    if width.of(longer) > columns then
      if line then lines[#lines + 1] = line end
      while width.of(word) > columns do
        local start = width.fit(word, columns)
        if start == "" then break end
        lines[#lines + 1], word = start, word:sub(#start + 1)
      end
      longer = word
    end
    line = longer
  end
  lines[#lines + 1] = line
  return lines[1] and lines or { "" }
end

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

local function fitted(rows, natural, columns)
  local room = columns - INDENT - GAP * (#natural - 1)
  local sum, words, none = 0, {}, {}
  for i, n in ipairs(natural) do sum, words[i], none[i] = sum + n, 0, 0 end
  if sum <= room or room < LEAST * #natural then return natural end
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do words[i] = math.max(words[i], math.min(longest_word(cell), WORD)) end
  end
  return shared(natural, words, room) or shared(natural, none, room)
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
    local cells, height = {}, 1
    for i, cell in ipairs(row) do
      cells[i] = width.of(cell) > widths[i] and M.wrap(cell, widths[i]) or { cell }
      height = math.max(height, #cells[i])
    end
    for h = 1, height do
      local parts = {}
      for i, cell in ipairs(cells) do parts[i] = (cell[h] or "") .. (" "):rep(widths[i] - width.of(cell[h] or "")) end
      lines[#lines + 1] = ((" "):rep(INDENT) .. table.concat(parts, (" "):rep(GAP))):gsub(" +$", "")
    end
  end
  return lines
end

--- Prints a table as a result: as wide as the terminal at most, where it goes to one.
---@param rows string[][]
function M.print(rows)
  local columns = term.is_tty(log.results_aside and 2 or 1) and term.size() or nil
  for _, line in ipairs(M.lines(rows, columns)) do log.out("%s", line) end
end

return M
