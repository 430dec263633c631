--- Statements on a connection: sent, waited for, stopped when nobody waits any more; their rows.
--- The functions of `Conn` are methods of PgConnection.
local errors = require "errors"
local lists = require "host.list"
local loop = require "host.loop"
local secret = require "secret"
local task = require "task"
local values = require "pg.values"

local M = {}

local Conn = {}
M.Conn = Conn

local BATCH = 500

-- Sending and waiting --------------------------------------------------------

--- Raises what the server or the network said, without the secrets that the statement was given.
function M.raise(conn, err, sql)
  local fields = {}
  for k, v in pairs(err) do fields[k] = v end
  fields.op = "query " .. conn.name
  fields.statement = sql
  for _, name in ipairs { "message", "detail", "hint", "context" } do        -- the server repeats what it refuses
    local said = fields[name] and secret.hide(fields[name], conn.given)
    fields[name] = said and secret.is(sql) and said:gsub('"[^"]*"', '"(secret)"') or said
  end
  local message = {}
  for part in (fields.message or ""):gmatch "[^\n]+" do message[#message + 1] = part end
  fields.message = table.concat(message, "; ")
  if fields.detail then fields.message = fields.message .. ": " .. fields.detail end
  errors.raise(fields)
end

--- Tells those who listen to look: a statement may have read what they wait for from the socket.
local function nudge(conn)
  for _, listener in ipairs(conn.listeners) do
    if listener.id then loop.ready(listener.id) end
  end
end

--- Reads what is left of a statement, until the connection is idle or there is no hope for now.
local function drain(conn)
  while conn.handle:status() == "active" do
    local kind, err = task.step(conn, "_next", BATCH)
    if kind == "copy_in" then conn.handle:put_end "given up" end
    while kind == "copy_out" do
      local bytes
      bytes, err = task.step(conn, "_get")
      if not bytes then break end
    end
    if kind == nil and err == nil then return end
    if err and (err.kind == "timeout" or err.kind == "network" or err.kind == "closed") then return end
  end
end

--- Brings the connection back to idle after a statement was given up; closes
--- it where that does not work within ten seconds.
function M.abandon(conn)
  task.shield(function()
    local over = task.now() + 10
    while conn.handle:status() == "active" and task.now() < over do
      local id = conn.handle:cancel()
      if id then task.await(id, 10) end
      conn.until_time = math.min(over, task.now() + 0.5)     -- a request that overtook its statement did nothing: ask again
      drain(conn)
    end
    if conn.handle:status() == "active" then conn.handle:close() end
    nudge(conn)
  end)
end

--- One step of a running statement; a cancelled task or a passed deadline
--- stops the statement on the server too.
function M.step(conn, sql, method, ...)
  local r = table.pack(pcall(task.step, conn, method, ...))
  nudge(conn)
  if not r[1] then
    M.abandon(conn)
    error(r[2], 0)
  end
  local err = r[3]
  if r[2] == nil and err then
    if err.kind == "timeout" then
      M.abandon(conn)
      errors.raise { kind = "timeout", op = "query " .. conn.name, statement = sql, retry = true,
                     message = ("no answer within %g s"):format(conn.timeout) }
    end
    local idle, stopped = pcall(drain, conn)         -- what follows an error
    if not idle then
      M.abandon(conn)
      error(stopped, 0)
    end
    M.raise(conn, err, sql)
  end
  return table.unpack(r, 2, r.n)
end

--- Sends a statement; `prepared` is the name under which the server knows it.
function M.send(conn, sql, how, prepared, ...)
  local given, n = { ... }, select("#", ...)
  conn.given = nil
  for i = 1, n do
    given[i] = values.parameter(given[i])
    if secret.is(given[i]) then conn.given = given end
  end
  local ok, err = conn.handle:send(prepared or sql, given, n, how)
  if not ok then M.raise(conn, err, sql) end
  conn.until_time = task.now() + conn.timeout
end

--- What comes next of a statement: "rows" and some, "end" and its tag and count, or nil.
local function fetch(conn, sql, as_lists)
  local kind, a, b = M.step(conn, sql, "_next", BATCH, as_lists)
  if kind == "copy_in" or kind == "copy_out" then
    M.abandon(conn)
    errors.usage("use conn:copy_out or conn:copy_in for COPY")
  end
  return kind, a, b
end

--- Runs statements that the connection itself needs.
---@return string command the last one's tag
function M.command(conn, sql)
  M.send(conn, sql, "simple")
  local last
  while true do
    local kind, a = fetch(conn, sql)
    if kind == "end" then last = a end
    if kind == nil then return last end
  end
end

--- An iterator that closes itself when its loop is left: `next` until it answers nil, `give_up` where it has not.
---@return function
function M.stream(next, give_up)
  local over = false
  local stream = setmetatable({}, {
    __call = function()
      if over then return nil end
      local r = table.pack(pcall(next))
      if not r[1] or r[2] == nil then over = true end
      if not r[1] then error(r[2], 0) end
      return table.unpack(r, 2, r.n)
    end,
    __close = function()
      if over then return end
      over = true
      give_up()
    end,
  })
  return stream, nil, nil, stream
end

-- Reading again --------------------------------------------------------------

--- Runs `attempt`, and once more on a new session where the connection was lost under it and that is safe: the server
--- let the session write nothing, no transaction was open, and nothing was set in the session that would be missing now.
local function reading(conn, attempt)
  local status = conn.handle:status()
  local may = conn.repeats and not conn.state and conn.transactions == 0 and (status == "idle" or status == "bad")
  if not may then return attempt() end
  local told = task.is_cancelled()
  local r = table.pack(pcall(attempt))
  if r[1] then return table.unpack(r, 2, r.n) end
  if not errors.is(r[2], "network") or conn.handle:status() ~= "bad" or task.is_cancelled() ~= told then error(r[2], 0) end
  conn:_open_again()
  return attempt()
end

--- What is no reading may leave something in the session: SET, LISTEN, CREATE TEMP TABLE.
local function note(conn, tag)
  if not tag:find "^SELECT" and not tag:find "^SHOW" then conn.state = true end
end

-- One statement; `prepared` is its name where it has one ---------------------

local function begin(conn, sql, prepared, parameters)
  M.send(conn, sql, prepared and "prepared" or "extended", prepared, table.unpack(parameters, 1, parameters.n))
end

local function query(conn, sql, prepared, ...)
  local parameters = table.pack(...)
  return reading(conn, function()
    begin(conn, sql, prepared, parameters)
    local rows = lists.mark { n = 0 }
    while true do
      local kind, a, b = fetch(conn, sql)
      if kind == "rows" then
        table.move(a, 1, #a, rows.n + 1, rows)
        rows.n = rows.n + #a
      elseif kind == "end" then
        rows.command, rows.affected, rows.columns = a, b, conn.handle:columns()
        note(conn, a)
      else
        return rows
      end
    end
  end)
end

local function value(conn, sql, prepared, ...)
  local parameters = table.pack(...)
  return reading(conn, function()
    begin(conn, sql, prepared, parameters)
    local result, seen
    while true do
      local kind, a = fetch(conn, sql, true)
      if kind == "rows" and not seen then result, seen = a[1][1], true end
      if kind == "end" then note(conn, a) end
      if kind == nil then return result end
    end
  end)
end

local function rows(conn, sql, prepared, ...)
  local parameters = table.pack(...)
  local kind, got = reading(conn, function()           -- what has been handed out cannot be repeated: only the first rows
    begin(conn, sql, prepared, parameters)
    return fetch(conn, sql)
  end)
  local batch, at = {}, 0
  return M.stream(function()
    while at >= #batch do
      if kind == "rows" and got ~= batch then batch, at = got, 0 break end
      if kind == "end" then note(conn, got) end
      if kind == nil then return nil end
      conn.until_time = task.now() + conn.timeout      -- the deadline is for each wait, not for the caller's work
      kind, got = fetch(conn, sql)
    end
    at = at + 1
    return batch[at]
  end, function() if kind ~= nil then M.abandon(conn) end end)
end

--- Runs one statement with parameters $1, $2, ...; the rows are keyed by
--- column name. docs/postgres.md says how values are seen on both sides.
---@param sql string
---@return List rows with .n, .columns, .command ("UPDATE 3") and .affected
function Conn:query(sql, ...) return query(self, sql, nil, ...) end

--- The first column of the first row, or nil.
function Conn:value(sql, ...) return value(self, sql, nil, ...) end

--- Iterates over the rows as they arrive, in constant memory; leaving the loop
--- early stops the statement.
---@return fun(): table?
function Conn:rows(sql, ...) return rows(self, sql, nil, ...) end

--- Runs one or more statements without parameters.
---@return string command the last one's tag
function Conn:exec(sql)
  self.state = true                                    -- it may have set something
  return M.command(self, sql)
end

---@class PgStatement
local Statement = {}
Statement.__index = Statement

--- Parses a statement once, to run it many times; `<close>` lets the server
--- forget it.
---@param sql string
---@return PgStatement
function Conn:prepare(sql)
  self.state = true
  for i = #self.forgotten, 1, -1 do                    -- what could not be told when it was closed
    if self.handle:status() == "failed" then break end
    M.command(self, "DEALLOCATE " .. table.remove(self.forgotten, i))
  end
  self.prepared = self.prepared + 1
  local name = "hkrun_" .. self.prepared
  self.given = nil
  local ok, err = self.handle:prepare(name, sql)
  if not ok then M.raise(self, err, sql) end
  self.until_time = task.now() + self.timeout
  while fetch(self, sql) do end
  return setmetatable({ conn = self, sql = sql, name = name }, Statement)
end

local function name_of(statement)
  return statement.name or errors.raise { op = "query " .. statement.conn.name, kind = "closed", message = "the prepared statement is closed" }
end

--- As conn:query, with the parameters alone; so are value and rows.
function Statement:query(...) return query(self.conn, self.sql, name_of(self), ...) end
function Statement:value(...) return value(self.conn, self.sql, name_of(self), ...) end
function Statement:rows(...) return rows(self.conn, self.sql, name_of(self), ...) end

--- Lets the server forget it; safe twice.
function Statement:close()
  local name, status = self.name, self.conn.handle:status()
  self.name = nil
  if not name then return end
  if status == "idle" or status == "transaction" then
    task.shield(M.command, self.conn, "DEALLOCATE " .. name)
  else
    table.insert(self.conn.forgotten, name)
  end
end
Statement.__close = Statement.close

return M
