--- The terminal: whether there is one, lines and hidden input from it.
local errors = require "errors"
local host = require "host.term"
local interrupt = require "host.interrupt"
local task = require "task"

local M = {}

M.size = host.size
M.is_tty = host.is_tty

--- True when somebody can be asked: standard input and standard error are a terminal.
---@return boolean
function M.interactive() return host.is_tty(0) and host.is_tty(2) end

--- Whether the terminal understands no control sequences, or nobody says what it is.
---@return boolean
function M.is_dumb()
  local kind = os.getenv "TERM"
  return kind == nil or kind == "" or kind == "dumb"
end

--- Whether it takes UTF-8, as far as the locale says.
---@return boolean
function M.is_utf8()
  for _, name in ipairs { "LC_ALL", "LC_CTYPE", "LANG" } do
    local locale = os.getenv(name)
    if locale and locale ~= "" then return locale:lower():find "utf%-?8" ~= nil end
  end
  return false
end

--- A line editor; see host/editor.c.
---@return table handle
function M.editor() return require("host.editor").open() end

--- Runs fn, which asks in the line of the cursor: who leaves the process meanwhile begins a new one.
local function asking(fn)
  interrupt.clears "\r\n"
  local r = table.pack(pcall(fn))
  interrupt.clears ""
  if not r[1] then error(r[2], 0) end
  return table.unpack(r, 2, r.n)
end

--- Asks for one line; nil at the end of input. Waits as a task does, so that Ctrl-C cancels it.
---@param prompt string
---@return string|nil
function M.line(prompt)
  local editor <close> = errors.check("use the terminal", M.editor())
  return asking(function()
    editor:begin(prompt)
    local line, err = task.step(editor, "line")
    if err then
      io.stdout:write "\n"
      errors.raise(err)
    end
    return line
  end)
end

--- Asks for something that must not be seen.
---@param prompt string
---@return any secret nil at the end of input
function M.password(prompt)
  local hidden <close> = errors.check("use the terminal", host.hidden())
  return asking(function()
    io.stderr:write(prompt)
    task.wait_fd(0, "read")
    local line, err = task.step(hidden, "line")
    if err then errors.raise(err) end
    return line
  end)
end

M.env = host.env
M.from_fd = host.from_fd

return M
