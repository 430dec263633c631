--- One connection: statements, streamed rows, transactions as guards, COPY.
--- Every failure is raised as an error object with `op`, `kind`, and for the
--- server's own ones `code` (SQLSTATE), `detail`, `hint`, `position` and
--- `statement`.
local endpoint = require "pg.endpoint"
local errors = require "errors"
local host = require "host.pg"
local lists = require "host.list"
local readonly = require "readonly"
local secret = require "secret"
local task = require "task"

local M = {}

---@class PgConnection
---@field timeout number seconds that one statement may take
---@field name string "database at host:port"
local Conn = {}
Conn.__index = Conn
M.Conn = Conn

local BATCH = 500

local function raise(self, err, sql)
  local fields = {}
  for k, v in pairs(err) do fields[k] = v end
  fields.op = "query " .. self.name
  fields.statement = sql
  for _, name in ipairs { "message", "detail", "hint", "context" } do        -- the server repeats what it refuses
    local said = fields[name] and secret.hide(fields[name], self.given)
    fields[name] = said and secret.is(sql) and said:gsub('"[^"]*"', '"(secret)"') or said
  end
  local message = {}
  for part in (fields.message or ""):gmatch "[^\n]+" do message[#message + 1] = part end
  fields.message = table.concat(message, "; ")
  if fields.detail then fields.message = fields.message .. ": " .. fields.detail end
  errors.raise(fields)
end

function Conn:fd() return self.handle:fd() end
function Conn:deadline() return self.until_time end

--- Brings the connection back to idle after a statement was given up; closes
--- it where that does not work within ten seconds.
local function abandon(self)
  task.shield(function()
    local id = self.handle:cancel()
    if id then task.await(id, 10) end
    self.until_time = task.now() + 10
    for _ = 1, 1000000 do
      local status = self.handle:status()
      if status ~= "active" then break end
      local kind, err = task.step(self, "_next", BATCH)
      if kind == "copy_in" then self.handle:put_end "given up" end
      while kind == "copy_out" do
        local bytes
        bytes, err = task.step(self, "_get")
        if not bytes then break end
      end
      if kind == nil and err == nil then break end
      if err and (err.kind == "timeout" or err.kind == "network") then break end
    end
    if self.handle:status() == "active" then self.handle:close() end
  end)
end

local STEP = { next = true, put = true, get = true, connect = true }
for name in pairs(STEP) do
  Conn["_" .. name] = function(self, ...) return self.handle[name](self.handle, ...) end
end

--- One step of a running statement; a cancelled task or a passed deadline
--- stops the statement on the server too.
local function step(self, sql, method, ...)
  local r = table.pack(pcall(task.step, self, method, ...))
  if not r[1] then
    abandon(self)
    error(r[2], 0)
  end
  local err = r[3]
  if r[2] == nil and err then
    if err.kind == "timeout" then
      abandon(self)
      errors.raise { kind = "timeout", op = "query " .. self.name, statement = sql, retry = true,
                     message = ("no answer within %g s"):format(self.timeout) }
    end
    while self.handle:status() == "active" do        -- what follows an error, to reach idle
      local kind, more = task.step(self, "_next", BATCH)
      if kind == nil and (more == nil or more.kind == "network" or more.kind == "timeout" or more.kind == "closed") then break end
      if kind == "copy_in" then self.handle:put_end "failed" end
    end
    raise(self, err, sql)
  end
  return table.unpack(r, 2, r.n)
end

local function send(self, sql, how, ...)
  local values, n = { ... }, select("#", ...)
  self.given = nil
  for i = 1, n do
    if secret.is(values[i]) then self.given = values end
  end
  local ok, err = self.handle:send(sql, values, n, how)
  if not ok then raise(self, err, sql) end
  self.until_time = task.now() + self.timeout
end

--- Runs one statement with parameters $1, $2, ...; the rows are keyed by
--- column name. int2/4/8 become integers, float4/8 floats, bool booleans, bytea
--- bytes, NULL nil; all else (numeric, json, timestamps, arrays) is text.
---@param sql string
---@return List rows with .n, .columns, .command ("UPDATE 3") and .affected
function Conn:query(sql, ...)
  send(self, sql, "extended", ...)
  local rows = lists.mark { n = 0 }
  while true do
    local kind, a, b = step(self, sql, "_next", BATCH)
    if kind == "rows" then
      table.move(a, 1, #a, rows.n + 1, rows)
      rows.n = rows.n + #a
    elseif kind == "end" then
      rows.command, rows.affected, rows.columns = a, b, self.handle:columns()
    elseif kind == nil then
      return rows
    else
      abandon(self)
      errors.usage("use conn:copy_out or conn:copy_in for COPY")
    end
  end
end

--- The first column of the first row, or nil.
function Conn:value(sql, ...)
  send(self, sql, "extended", ...)
  local value, seen
  while true do
    local kind, a = step(self, sql, "_next", BATCH, true)
    if kind == "rows" and not seen then value, seen = a[1][1], true end
    if kind == nil then return value end
  end
end

--- Iterates over the rows as they arrive, in constant memory; leaving the loop
--- early stops the statement.
---@return fun(): table?
function Conn:rows(sql, ...)
  send(self, sql, "extended", ...)
  local batch, at, over = {}, 0, false
  local guard = setmetatable({}, { __close = function() if not over then abandon(self) end end })
  return function()
    while at >= #batch do
      self.until_time = task.now() + self.timeout    -- the deadline is for each wait, not for the caller's work
      local ok, kind, a = pcall(step, self, sql, "_next", BATCH)
      if not ok then over = true error(kind, 0) end
      if kind == nil then over = true return nil end
      if kind == "rows" then batch, at = a, 0 end
    end
    at = at + 1
    return batch[at]
  end, nil, nil, guard
end

--- Runs one or more statements without parameters.
---@return string command the last one's tag
function Conn:exec(sql)
  send(self, sql, "simple")
  local last
  while true do
    local kind, a = step(self, sql, "_next", BATCH)
    if kind == "end" then last = a end
    if kind == nil then return last end
    if kind == "copy_in" or kind == "copy_out" then
      abandon(self)
      errors.usage("use conn:copy_out or conn:copy_in for COPY")
    end
  end
end

--- Iterates over the bytes of a COPY ... TO STDOUT, in blocks of whole rows.
function Conn:copy_out(sql)
  send(self, sql, "simple")
  local over = false
  local guard = setmetatable({}, { __close = function() if not over then abandon(self) end end })
  local kind = step(self, sql, "_next")
  if kind ~= "copy_out" then abandon(self) errors.usage("not a COPY TO STDOUT: %s", sql) end
  return function()
    if over then return nil end
    self.until_time = task.now() + self.timeout
    local ok, bytes = pcall(step, self, sql, "_get")
    if not ok then over = true error(bytes, 0) end
    if bytes then return bytes end
    over = true
    while step(self, sql, "_next") do end
  end, nil, nil, guard
end

--- Feeds a COPY ... FROM STDIN from a string, a list of strings or an iterator.
---@return integer rows
function Conn:copy_in(sql, source)
  if type(source) == "string" then source = { source } end
  if type(source) == "table" then
    local list, i = source, 0
    source = function() i = i + 1 return list[i] end
  end
  send(self, sql, "simple")
  if step(self, sql, "_next") ~= "copy_in" then abandon(self) errors.usage("not a COPY FROM STDIN: %s", sql) end
  local ok, e = pcall(function()
    for bytes in source do
      self.until_time = task.now() + self.timeout
      step(self, sql, "_put", bytes)
    end
  end)
  if self.handle:status() == "active" then
    self.handle:put_end(not ok and "the source of the rows failed" or nil)
  end
  local rows
  local done, err = pcall(function()
    while true do
      local kind, _, affected = step(self, sql, "_next")
      if kind == nil then break end
      rows = affected or rows
    end
  end)
  if not ok then error(e, 0) end
  if not done then error(err, 0) end
  return rows
end

---@class PgTransaction
local Transaction = {}
Transaction.__index = Transaction

--- Begins a transaction (inside one: a savepoint) as a guard: it is rolled back
--- when its block is left without commit().
---@param o? { isolation: string, read_only: boolean, deferrable: boolean }
function Conn:transaction(o)
  o = o or {}
  local tx = setmetatable({ conn = self, open = true }, Transaction)
  if self.handle:status() == "transaction" then
    self.savepoints = (self.savepoints or 0) + 1
    tx.savepoint = "hkrun_" .. self.savepoints
    self:exec("SAVEPOINT " .. tx.savepoint)
  else
    self:exec("BEGIN" .. (o.isolation and " ISOLATION LEVEL " .. o.isolation:upper() or "") ..
      (o.read_only and " READ ONLY" or "") .. (o.deferrable and " DEFERRABLE" or ""))
  end
  return tx
end

local function finish(tx, verb)
  if not tx.open then errors.usage("the transaction has ended already") end
  tx.open = false
  local s = tx.savepoint
  if verb == "COMMIT" then
    local tag = tx.conn:exec(s and "RELEASE " .. s or "COMMIT")
    if tag == "ROLLBACK" then                        -- a failed statement went unnoticed by the caller
      errors.raise { op = "query " .. tx.conn.name, kind = "remote", code = "25P02",
                     message = "the transaction had failed and was rolled back" }
    end
  else
    tx.conn:exec(s and "ROLLBACK TO " .. s or "ROLLBACK")
  end
end

function Transaction:commit() finish(self, "COMMIT") end
function Transaction:rollback() finish(self, "ROLLBACK") end
Transaction.__close = function(tx)
  local status = tx.conn.handle:status()
  if tx.open and (status == "transaction" or status == "failed") then
    task.shield(finish, tx, "ROLLBACK")
  end
end

--- {version=150020, pid=, user=, database=, tls={protocol=, cipher=}?}
function Conn:info()
  local info, err = self.handle:info()
  if not info then raise(self, err) end
  return info
end

--- What the server remarked (NOTICE, WARNING) since the last call.
function Conn:notices() return self.handle:notices() end

--- Quotes a name ("order") and a value ('it''s') for SQL text.
function M.quote_name(name) return '"' .. name:gsub('"', '""') .. '"' end
function M.quote_value(s)
  s = tostring(s)
  if s:find("\\", 1, true) then return " E'" .. s:gsub("\\", "\\\\"):gsub("'", "''") .. "'" end
  return "'" .. s:gsub("'", "''") .. "'"
end

--- Closes it; safe twice.
function Conn:close()
  self.handle:close()
  if self.own_endpoint then endpoint.release(self.own_endpoint) end
  self.own_endpoint = nil
end
Conn.__close = Conn.close
Conn.__gc = Conn.close

--- Connects.
---@param where any URL, secret or endpoint table
---@param o { timeout: number, connect_timeout: number, application_name: string }
---@return PgConnection
function M.open(where, o)
  local e = endpoint.read(where)
  local fresh = not e.tunnel
  local op = "connect to database " .. e.name .. " as " .. e.user
  local reached, why = pcall(endpoint.reach, e)
  if not reached then
    if errors.is(why, "cancelled") then error(why, 0) end
    errors.raise { op = op, kind = errors.kind(why), cause = why }
  end
  if o.application_name then e.params.application_name = o.application_name end
  local self = setmetatable({ name = e.name, timeout = o.timeout or 3600, own_endpoint = fresh and e.tunnel and e or nil }, Conn)
  local handle, err = host.open(e.params)
  if handle then
    self.handle = handle
    self.until_time = task.now() + (o.connect_timeout or 15)
    local ok, done, failure = pcall(task.step, self, "_connect")
    if not ok then self:close() error(done, 0) end
    if failure == nil then failure = M.check_pin(handle, e) end
    err = failure
  end
  if err then
    if handle then self:close() end
    local hint
    if err.kind == "tls" and e.params.sslmode:find "^verify" then
      hint = "give the right root certificates as ca=, or pin=, or sslmode='require' to encrypt without verifying"
    elseif err.kind == "limit" then hint = "the server has no free connection: fewer jobs, or end idle sessions" end
    local message = (err.message or ""):gsub("\n%s*", "; "):gsub("^connection to server at .- failed: ", "")
    errors.raise { op = op, kind = err.kind, message = message, code = err.code, retry = err.retry, hint = hint, cause = err }
  end
  if readonly.is_on() then self:exec "SET default_transaction_read_only = on" end
  return self
end

--- nil, or the failure of a certificate that is not the pinned one.
function M.check_pin(handle, e)
  if not e.pin then return nil end
  local found = handle:fingerprint()
  if found == e.pin then return nil end
  return { kind = "tls", message = ("the server's certificate has the fingerprint %s, not the pinned one"):format(found or "of no TLS at all") }
end

return M
