--- Transactions, and savepoints inside them. The functions of `Conn` are methods of PgConnection.
local errors = require "errors"
local options = require "options"
local retry = require "retry"
local statement = require "pg.statement"
local task = require "task"

local M = {}

local Conn = {}
M.Conn = Conn

local OPTIONS = {
  { "isolation", "what it sees of others", type = "string",
    one_of = { "read uncommitted", "read committed", "repeatable read", "serializable" } },
  { "read_only", "true: it may not write; false: it may, also in a read-only session", type = "boolean" },
  { "deferrable", "serializable and read-only: waits for a snapshot that nothing can disturb", type = "boolean" },
}

local OF_FUNCTION = table.move(OPTIONS, 1, #OPTIONS, 1, {})
OF_FUNCTION[#OF_FUNCTION + 1] = { "retry", "how often it is run again after a serialization failure or a deadlock", type = "integer", default = 0 }

---@class PgTransaction
local Transaction = {}
Transaction.__index = Transaction

--- A BEGIN that was cancelled may have begun all the same.
local function begin_whole(conn, sql)
  local ok, e = pcall(statement.command, conn, sql)
  if ok then return end
  if conn.handle:status() == "transaction" then task.shield(statement.command, conn, "ROLLBACK") end
  error(e, 0)
end

local function begin(conn, o)
  local tx = setmetatable({ conn = conn, open = true }, Transaction)
  if conn.handle:status() == "transaction" then
    if o.isolation or o.read_only ~= nil or o.deferrable then
      errors.usage "isolation, read_only and deferrable are of the whole transaction, not of a part of it"
    end
    conn.savepoints = conn.savepoints + 1
    tx.savepoint = "hkrun_" .. conn.savepoints
    statement.command(conn, "SAVEPOINT " .. tx.savepoint)
  else
    local access = o.read_only and " READ ONLY" or o.read_only == false and " READ WRITE" or ""
    begin_whole(conn, "BEGIN" .. (o.isolation and " ISOLATION LEVEL " .. o.isolation:upper() or "") ..
      access .. (o.deferrable and " DEFERRABLE" or ""))
  end
  conn.transactions = conn.transactions + 1
  return tx
end

local function finish(tx, commit)
  if not tx.open then errors.usage("the transaction has ended already") end
  tx.open = false
  local conn, s = tx.conn, tx.savepoint
  conn.transactions = conn.transactions - 1
  if not commit then
    statement.command(conn, s and ("ROLLBACK TO %s; RELEASE %s"):format(s, s) or "ROLLBACK")
    return
  end
  local ok, tag = pcall(statement.command, conn, s and "RELEASE " .. s or "COMMIT")
  if not ok then
    if s or not (errors.is(tag, "network") or errors.is(tag, "timeout")) then error(tag, 0) end
    errors.raise { op = "commit in " .. conn.name, kind = tag.kind, code = tag.code, cause = tag, retry = false,
                   message = tag.message .. "; whether the transaction took effect is not known" }
  end
  if tag == "ROLLBACK" then                          -- a failed statement went unnoticed by the caller
    errors.raise { op = "query " .. conn.name, kind = "remote", code = "25P02",
                   message = "the transaction had failed and was rolled back" }
  end
end

--- Keeps what was done.
function Transaction:commit() finish(self, true) end

--- Undoes what was done.
function Transaction:rollback() finish(self, false) end

Transaction.__close = function(tx)
  if not tx.open then return end
  local status = tx.conn.handle:status()
  if status == "transaction" or status == "failed" then return task.shield(finish, tx, false) end
  tx.open = false
  tx.conn.transactions = tx.conn.transactions - 1
end

local function once(conn, work, o)
  local tx <close> = begin(conn, o)
  local r = table.pack(work(tx))
  if tx.open then tx:commit() end
  return table.unpack(r, 1, r.n)
end

local function collided(e) return e.code == "40001" or e.code == "40P01" end

--- Begins a transaction (inside one: a savepoint) as a guard: it is rolled back
--- when its block is left without commit().
---
---     local tx <close> = db:transaction { isolation = "serializable" }
---     db:query("UPDATE accounts SET balance = balance - $1 WHERE id = $2", 10, 1)
---     tx:commit()
---
--- With a function it runs that, commits, and answers its results; an error
--- rolls back and is raised. `retry = n` runs the function again, up to n times,
--- when the server gave up the transaction because of others (SQLSTATE 40001,
--- 40P01): what it does besides SQL must bear that.
---
---     db:transaction(function() ... end, { isolation = "serializable", retry = 5 })
---@param o? { isolation: string, read_only: boolean, deferrable: boolean, retry: integer } or a function, and these
---@return PgTransaction
function Conn:transaction(o, more)
  if type(o) ~= "function" then return begin(self, options.check(o or {}, OPTIONS, "conn:transaction")) end
  more = options.check(more or {}, OF_FUNCTION, "conn:transaction")
  if self.handle:status() == "transaction" then return once(self, o, more) end      -- who began the whole runs it again
  return retry.call(function() return once(self, o, more) end, { attempts = more.retry + 1, base = 0.05, retryable = collided })
end

return M
