--- Shows text that may be longer than the screen: $PAGER, else less, else a page at a time.
local log = require "log"
local process = require "process"
local task = require "task"
local term = require "term"
local wide = require "host.width"

local M = {}

--- How many lines of the screen a text takes.
local function height(text, width)
  local rows = 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    local plain = line:gsub("\27%[[%d;]*m", "")
    rows = rows + math.max(1, (wide.of(plain) + width - 1) // width)
  end
  return rows
end

--- The pager's command line; nil: our own, "": none.
local function command()
  local pager = os.getenv "PAGER"
  if pager then return pager end
  if term.is_dumb() then return "" end
  return process.which "less" and "less" or nil
end

--- One screen after the other; a key goes on, q and Ctrl-C end it.
local function our_own(text, rows, ask)
  local shown = 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    if shown == rows - 1 then
      local key = ask "-- more -- "
      if key == nil or key == "q" or key == "Q" or key == "\3" then return end
      shown = (key == "\r" or key == "\n") and shown - 1 or 0
    end
    log.data(line)
    shown = shown + 1
  end
end

--- Prints a text; on a terminal that is too small for it, through a pager.
---@param text string
---@param ask? fun(prompt: string): string|nil waits for a key; without it nothing is paged
function M.show(text, ask)
  local columns, rows = term.size()
  local pager = command()
  if not (ask and columns and term.is_tty(1)) or pager == "" or pager == "cat" or height(text, columns) < rows then
    return log.data(text)
  end
  if not pager then return our_own(text, rows, ask) end
  io.stdout:flush()
  -- colours as they are (R), gone if it fits (F), the text stays (X), Ctrl-C leaves (K)
  local out = io.popen('LESS="${LESS-FRXK}"; export LESS; ' .. pager, "w")
  out:write(text, "\n")
  out:close()
  task.catch_up()                       -- a Ctrl-C comes in now, while it is known whose it was
end

return M
