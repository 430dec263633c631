--- The lines at the bottom of the terminal (standard error) that are drawn again and again. Between two frames the cursor
--- stands at the beginning of the first one, hidden: what a terminal does with lines that no longer fit when it becomes
--- narrower (some break them anew, some cut them) happens below it, so "clear from here on" is always right. A frame is one
--- write, shown at once where the terminal can (synchronized output), and lines that turn out too long do not wrap.
local interrupt = require "host.interrupt"
local term = require "term"

local M = {}

local BEGIN, END = "\27[?2026h", "\27[?2026l"
--- \r: a Ctrl-C was echoed there. One column to the right: tmux keeps what "clear all" clears, in its history.
local GONE = "\r\27[K\27[C\27[J\r\27[?25h"

local drawn = false

--- Draws; no lines are none.
---@param lines string[]
function M.draw(lines)
  if #lines == 0 then return M.erase() end
  local up = #lines > 1 and ("\27[%dA"):format(#lines - 1) or ""
  io.stderr:write(BEGIN .. "\27[?25l\27[?7l\r" .. table.concat(lines, "\27[K\n") .. "\27[J\27[?7h\r" .. up .. END)
  if not drawn then interrupt.clears(GONE) end
  drawn = true
end

--- Takes the lines away, and gives the cursor back.
function M.erase()
  if not drawn then return end
  drawn = false
  io.stderr:write(GONE)
  interrupt.clears ""
end

--- The terminal's size, as far as it says it.
---@return integer columns
---@return integer rows
function M.size()
  local columns, rows = term.size()
  return columns or 80, rows and rows > 0 and rows or 24
end

return M
