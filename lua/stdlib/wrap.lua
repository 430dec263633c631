--- Text as lines that fit a terminal: broken between words, never in one. What is longer than a line (an ARN, a URL, a
--- path) stands over, so that it can be copied; only writing without spaces, as Chinese has it, is broken anywhere.
local width = require "host.width"

local M = {}

local ESCAPE = "\27%[[%d;]*m"                                 -- colours take no room
local MARK = "^%s*[-+~=<>?!/]+ "                              -- of a plan's line: what follows stands to the right of it
local WITHOUT_SPACES = "[\xE3-\xED]"                          -- kana, ideographs, hangul: how their UTF-8 begins
local LEAST = 20                                              -- columns below which an indent does more harm than good

--- How wide text is on a terminal, colours aside.
---@param s string
---@return integer
function M.wide(s) return width.of((s:gsub(ESCAPE, ""))) end
local wide = M.wide

--- One line of text as lines of at most so many columns.
---@param text string
---@param columns integer
---@param hang? string what stands before each line but the first; without it two spaces more than before the first
---@return string[]
function M.line(text, columns, hang)
  if wide(text) <= columns then return { text } end
  local plain = text:gsub(ESCAPE, "")
  local bare = #(plain:match(MARK) or plain:match "^%s*")      -- a line that is no wider has no word yet
  hang = hang or (" "):rep(columns - bare - 2 >= LEAST and bare + 2 or 2)
  local lines, line = {}, ""
  local function new_line()
    lines[#lines + 1] = line
    line, bare = hang, #hang
  end
  for gap, word in text:gmatch "(%s*)(%S+)" do
    if wide(line) > bare and wide(line) + #gap + wide(word) > columns then new_line() else line = line .. gap end
    while word:find(WITHOUT_SPACES) and wide(line) + wide(word) > columns do
      local part = width.fit(word, columns - wide(line))
      if part == "" then break end
      line, word = line .. part, word:sub(#part + 1)
      new_line()
    end
    line = line .. word
  end
  lines[#lines + 1] = line
  return lines
end

--- Text of one or more lines, each broken as `line` does it.
---@param text string
---@param columns? integer nil: the text as it is
---@return string
function M.text(text, columns)
  if not columns then return text end
  local lines = {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    for _, part in ipairs(M.line(line, columns)) do lines[#lines + 1] = part end
  end
  return table.concat(lines, "\n")
end

return M
