--- COPY between the server and Lua, a file, or another connection. The functions of `Conn` are methods of PgConnection.
local errors = require "errors"
local fs = require "fs"
local options = require "options"
local secret = require "secret"
local statement = require "pg.statement"
local task = require "task"
local values = require "pg.values"

local M = {}

local Conn = {}
M.Conn = Conn

local BLOCK = 65536                     -- bytes read from a file, or gathered of rows, before they are sent

local INTO = {
  { "file", "file that is written, whole or not at all", type = "string" },
  { "rows", "answer rows: lists of text, .n of them, NULL as nil", type = "boolean" },
}

local FROM = { { "file", "file that is read", type = "string", required = true } }
local HOW = { { "columns", "the names that rows have values for, in the order of the COPY", type = "list" } }

-- Out ------------------------------------------------------------------------

--- The blocks of a COPY as an iterator, and the function that says how many rows it had.
local function blocks(conn, sql)
  local count
  conn.state = true
  statement.send(conn, sql, "simple")
  if statement.step(conn, sql, "_next") ~= "copy_out" then
    statement.abandon(conn)
    errors.usage("not a COPY TO STDOUT: %s", sql)
  end
  return statement.stream(function()
    conn.until_time = task.now() + conn.timeout
    local bytes = statement.step(conn, sql, "_get")
    if bytes then return bytes end
    while true do
      local kind, _, affected = statement.step(conn, sql, "_next")
      if kind == nil then return nil end
      count = affected or count
    end
  end, function() statement.abandon(conn) end), function() return count end
end

--- Writes a file whole or not at all.
local function into_file(path, stream)
  local part = path .. ".part"
  local op = "write " .. path
  local file <close> = io.open(part, "wb") or errors.raise { op = op, kind = "io", message = "it cannot be made" }
  local _ <close> = setmetatable({}, { __close = function() if fs.exists(part) then fs.remove(part) end end })
  for bytes in stream do
    local ok, why = file:write(bytes)
    if not ok then errors.raise { op = op, kind = "io", message = why } end
  end
  local ok, why = file:close()
  if not ok then errors.raise { op = op, kind = "io", message = why } end
  fs.sync(part)
  fs.rename(part, path)
end

--- The lines of blocks of whole rows.
local function lines(stream)
  local block, at = "", 1
  return function()
    while at > #block do
      block, at = stream(), 1
      if not block then return nil end
    end
    local stop = block:find("\n", at, true) or #block + 1
    local line = block:sub(at, stop - 1)
    at = stop + 1
    return line
  end
end

--- Runs COPY ... TO STDOUT. Without `into` it answers an iterator over the bytes, in blocks of whole rows, which
--- may also be the source of another connection's copy_in. A function is called with each block; { file = path }
--- writes a file; { rows = true } answers an iterator over rows (of the text format): lists of text with .n.
---@param sql string
---@param into? any a function, or { file = path }, or { rows = true }
---@return any iterator, or how many rows went into the function or file
function Conn:copy_out(sql, into)
  local o = type(into) == "table" and options.check(into, INTO, "conn:copy_out") or {}
  local stream, count = blocks(self, sql)
  if o.rows then
    local line = lines(stream)
    return statement.stream(function()
      local text = line()
      return text and values.copy_row(text)
    end, function() getmetatable(stream).__close() end)
  end
  if into == nil then return stream, nil, nil, stream end
  local _ <close> = stream
  if o.file then into_file(o.file, stream)
  else for bytes in stream do into(bytes) end end
  return count()
end

-- In -------------------------------------------------------------------------

local function file_blocks(path)
  local file, why = io.open(path, "rb")
  if not file then errors.raise { op = "read " .. path, kind = "io", message = why } end
  return setmetatable({}, {
    __call = function()
      local bytes, failure = file:read(BLOCK)
      if failure then errors.raise { op = "read " .. path, kind = "io", message = failure } end
      return bytes
    end,
    __close = function() file:close() end,
  })
end

--- Any source as an iterator; what has to be closed has __close.
local function iterator(source)
  if type(source) == "string" or secret.is(source) then source = { source } end
  if type(source) == "function" then return source end
  if type(source) ~= "table" then errors.usage("a COPY takes bytes, rows, an iterator or { file = path }, not a %s", type(source)) end
  local meta = getmetatable(source)
  if meta and meta.__call then return source end
  if source[1] == nil and next(source) ~= nil then return file_blocks(options.check(source, FROM, "conn:copy_in").file) end
  local i = 0
  return function() i = i + 1 return source[i] end
end

--- The bytes of a source whose items are bytes, or rows, which are gathered.
local function bytes_of(source, columns)
  local parts, size, waiting = {}, 0, nil
  local function gathered()
    local bytes = table.concat(parts)
    parts, size = {}, 0
    return bytes
  end
  return function()
    if waiting then
      local item = waiting
      waiting = nil
      return item
    end
    while size < BLOCK do
      local item = source()
      if item == nil then break end
      if type(item) ~= "table" then
        if size == 0 then return item end
        waiting = item
        break
      end
      local line = values.copy_line(item, columns)
      parts[#parts + 1], size = line, size + #line
    end
    if size > 0 then return gathered() end
  end
end

--- Feeds a COPY ... FROM STDIN. The source is bytes; a list or an iterator whose items are bytes or rows; the
--- iterator of another connection's copy_out; or { file = path }. A row is a list of values (.n of them, where the
--- last may be nil), or, with `columns`, a table by their names, as conn:rows gives them. When the source fails, the
--- server undoes what came before.
---@param sql string
---@param source any
---@param o? { columns: string[] }
---@return integer rows
function Conn:copy_in(sql, source, o)
  o = options.check(o or {}, HOW, "conn:copy_in")
  source = iterator(source)
  local meta = getmetatable(source)
  local _ <close> = type(meta) == "table" and meta.__close and source or nil
  self.state = true
  statement.send(self, sql, "simple")
  if statement.step(self, sql, "_next") ~= "copy_in" then
    statement.abandon(self)
    errors.usage("not a COPY FROM STDIN: %s", sql)
  end
  local ok, e = pcall(function()
    for bytes in bytes_of(source, o.columns) do
      self.until_time = task.now() + self.timeout
      statement.step(self, sql, "_put", bytes)
    end
  end)
  if self.handle:status() == "active" then
    self.handle:put_end(not ok and "the source of the rows failed" or nil)
  end
  local rows
  local done, err = pcall(function()
    self.until_time = task.now() + self.timeout
    while true do
      local kind, _, affected = statement.step(self, sql, "_next")
      if kind == nil then break end
      rows = affected or rows
    end
  end)
  if not ok then error(e, 0) end
  if not done then error(err, 0) end
  return rows
end

return M
