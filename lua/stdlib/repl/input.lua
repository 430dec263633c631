--- Reads one entry of the REPL: lines until they are whole Lua, with completion (Tab) and search (Ctrl-R).
local complete = require "repl.complete"
local errors = require "errors"
local loop = require "host.loop"
local shell = require "shell"
local task = require "task"
local term = require "term"

local M = {}

---@class repl.Input
---@field editor table          see host/editor.c
---@field history table         see repl.history
---@field complete fun(text: string): repl.Completion
local Input = {}
Input.__index = Input

local CONTINUED = ">> "

---@param history table
---@param completer fun(text: string): repl.Completion
---@return repl.Input|nil
---@return table? err
function M.new(history, completer)
  local editor, err = term.editor()
  if not editor then return nil, err end
  for _, entry in ipairs(history.entries) do editor:remember(entry) end
  local winch = loop.signal "winch"
  local self = setmetatable({ editor = editor, history = history, complete = completer, winch = winch }, Input)
  self.watcher = task.spawn(function()
    while true do
      task.await(winch)
      if self.reading then editor:resize() end
    end
  end)
  return self
end

function Input:close()
  self.watcher:cancel()
  task.shield(function() pcall(self.watcher.join, self.watcher) end)
  loop.cancel(self.winch)
  self.editor:close()
end
Input.__close = Input.close

--- Puts in what is sure, shows what is not.
local function tab(self, before)
  local editor = self.editor
  local text = editor:text()
  local found = self.complete(before .. text)
  if not found.items[1] then return end
  local prefix = complete.common(found.items)
  local only = #found.items == 1
  if #prefix >= #found.word and (only or prefix ~= found.word) then
    editor:replace(utf8.len(found.word) or #found.word, prefix .. (only and found.suffix or ""))
  end
  if only then return end
  local columns, rows = term.size()
  editor:print(complete.columns(found.items, columns or 80, math.max((rows or 24) - 4, 1)))
end

local function is_printable(key) return #key > 0 and not key:find "[%c\127]" end

--- Ctrl-R: each key narrows the search; Ctrl-R again goes further back. Enter takes what was found, Ctrl-G and Escape
--- leave the line as it was, any other key edits what was found.
local function search(self, prompt)
  local editor, history = self.editor, self.history
  local head, tail = editor:text()
  local query, number = "", nil
  while true do
    local note = query ~= "" and not number and "no " or ""
    editor:set(("(%ssearch `%s') "):format(note, query:sub(-100)), number and history.entries[number] or head .. tail)
    local key = task.step(editor, "key")
    if key == "\18" then
      number = history:find(query, number) or number
    elseif key == "\127" or key == "\8" then
      query = query:sub(1, (utf8.offset(query, -1) or 1) - 1)
      number = query ~= "" and history:find(query) or nil
    elseif key and is_printable(key) then
      query = query .. key
      number = history:find(query, number and number + 1)
    elseif key == "\3" then errors.raise { kind = "cancelled", message = "cancelled" }
    else
      local is_left = key == nil or key == "\7" or key == "\27"
      editor:set(prompt, number and not is_left and history.entries[number] or head .. tail)
      return key == "\r" or key == "\n"
    end
  end
end

--- One line; nil at the end of input.
local function line(self, prompt, before)
  local editor = self.editor
  editor:begin(prompt, not term.is_dumb())
  while true do
    local text, event = task.step(editor, "line")
    if type(event) == "table" then errors.raise(event) end
    if event == "complete" then tab(self, before)
    elseif event == "search" then
      if search(self, prompt) then
        local head, tail = editor:text()
        editor:pause()
        io.stdout:write "\r\n"
        return head .. tail
      end
    else return text end
  end
end

--- Reads an entry, and remembers it if it may be.
---@param prompt string
---@return string|nil entry nil at the end of input
function Input:read(prompt)
  local entry
  self.reading = true
  local ok, e = pcall(function()
    repeat
      local text = line(self, entry and CONTINUED or prompt, entry and entry .. "\n" or "")
      if text == nil then entry = nil return end
      entry = entry and entry .. "\n" .. text or text
    until entry:find "^%s*:" or not shell.is_incomplete(entry)
  end)
  self.reading = false
  if not ok then
    self.editor:pause()
    io.stdout:write "\n"
    error(e, 0)
  end
  if entry and self.history:add(entry) then self.editor:remember(entry) end
  return entry
end

--- Waits for one key, as the pager does.
---@param prompt string
---@return string|nil
function Input:key(prompt)
  self.editor:begin(prompt)
  local ok, key = pcall(task.step, self.editor, "key")
  self.editor:pause()
  io.stdout:write "\r\27[K"
  if not ok then error(key, 0) end
  return key
end

return M
