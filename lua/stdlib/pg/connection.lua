--- One connection to a server: opened, opened again where that is safe, asked about itself, closed. What it does is in
--- statement.lua, transaction.lua, copyio.lua and notify.lua. Every failure is raised as an error object with `op`, `kind`,
--- and for the server's own ones `code` (SQLSTATE), `detail`, `hint`, `position`, `schema`, `table`, `column`, `constraint`
--- and `statement`.
local endpoint = require "pg.endpoint"
local errors = require "errors"
local host = require "host.pg"
local readonly = require "readonly"
local retry = require "retry"
local statement = require "pg.statement"
local task = require "task"
local values = require "pg.values"

local M = {}

---@class PgConnection
---@field timeout number seconds that one statement may take
---@field name string "database at host:port"
local Conn = {}
Conn.__index = Conn
M.Conn = Conn

for _, part in ipairs { statement, require "pg.transaction", require "pg.copyio", (require "pg.notify") } do
  for name, method in pairs(part.Conn) do Conn[name] = method end
end

M.quote_name, M.quote_value = values.quote_name, values.quote_value

-- What task.step calls of a connection ---------------------------------------

function Conn:fd() return self.handle:fd() end
function Conn:deadline() return self.until_time end
function Conn:awaits(id) self.awaited = id end

for _, name in ipairs { "next", "put", "get", "connect" } do
  Conn["_" .. name] = function(self, ...) return self.handle[name](self.handle, ...) end
end

-- Opening and closing --------------------------------------------------------

--- Values come as pg.values and pgvalue.c expect them, whatever the role's or the database's settings are.
local SETTINGS = "SET extra_float_digits = 1; SET DateStyle = ISO; SET bytea_output = hex"

--- nil, or the failure of a certificate that is not the pinned one.
local function check_pin(handle, e)
  if not e.pin then return nil end
  local found = handle:fingerprint()
  if found == e.pin then return nil end
  return { kind = "tls", message = ("the server's certificate has the fingerprint %s, not the pinned one"):format(found or "of no TLS at all") }
end

local function refuse(op, e, err)
  local hint
  if err.kind == "tls" and e.params.sslmode:find "^verify" then
    hint = "give the right root certificates as ca=, or pin=, or sslmode='require' to encrypt without verifying"
  elseif err.kind == "limit" then hint = "the server has no free connection: fewer jobs, or end idle sessions" end
  local message = (err.message or ""):gsub("\n%s*", "; "):gsub("^connection to server at .- failed: ", "")
  errors.raise { op = op, kind = err.kind, message = message, code = err.code, retry = err.retry, hint = hint, cause = err }
end

--- One attempt; what it took it gives back when it fails.
local function dial(self, deadline)
  local e = endpoint.read(self.where)
  local fresh = not e.tunnel
  local op = "connect to database " .. e.name .. " as " .. e.user
  self.name = e.name
  local reached, why = pcall(endpoint.reach, e)
  if not reached then
    if errors.is(why, "cancelled") then error(why, 0) end
    errors.raise { op = op, kind = errors.kind(why), cause = why }
  end
  if self.application_name then e.params.application_name = self.application_name end
  self.own_endpoint = fresh and e.tunnel and e or nil
  local handle, err = host.open(e.params)
  if handle then
    self.handle = handle
    self.until_time = deadline
    local ok, done, failure = pcall(task.step, self, "_connect")
    if not ok then self:close() error(done, 0) end
    err = failure or check_pin(handle, e)
  end
  if err then
    if handle then self:close() end
    refuse(op, e, err)
  end
  statement.command(self, SETTINGS .. (self.repeats and "; SET default_transaction_read_only = on" or ""))
end

--- Connects; within its time it tries again what may work the next time: a server that starts, or is full.
function Conn:_open()
  local deadline = task.now() + self.connect_timeout
  retry.call(function() dial(self, deadline) end, { attempts = self.attempts, base = 0.3, cap = 2,
    retryable = function(e) return e.retry == true and task.now() < deadline end })
end

--- Begins a new session in the place of one that was lost.
function Conn:_open_again()
  self:close()
  self:_open()
end

--- {version=150020, pid=, user=, database=, tls={protocol=, cipher=}?}
function Conn:info()
  local info, err = self.handle:info()
  if not info then statement.raise(self, err) end
  return info
end

--- What the server remarked (NOTICE, WARNING) since the last call.
function Conn:notices() return self.handle:notices() end

--- Closes it; safe twice.
function Conn:close()
  if self.handle then self.handle:close() end
  if self.own_endpoint then endpoint.release(self.own_endpoint) end
  self.own_endpoint = nil
end
Conn.__close = Conn.close
Conn.__gc = Conn.close

--- Connects.
---@param where any URL, secret or endpoint table
---@param o { timeout: number, connect_timeout: number, attempts: integer, application_name: string, read_only: boolean }
---@return PgConnection
function M.open(where, o)
  local self = setmetatable({
    where = where, timeout = o.timeout or 3600, connect_timeout = o.connect_timeout or 15, attempts = o.attempts or 1,
    application_name = o.application_name,
    repeats = o.read_only or readonly.is_on(),         -- the server lets it write nothing: a reading may be repeated
    state = false,                                     -- whether the session may hold what a new one would not have
    transactions = 0, savepoints = 0, prepared = 0,    -- how many are open; how many there were
    forgotten = {},                                    -- prepared statements that the server is still to forget
    listeners = {},
  }, Conn)
  self:_open()
  return self
end

return M
