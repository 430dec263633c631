--- What a copy has done so far, in the target itself: the schema hkrun_copy, from the first statement to the last.
--- A mark is inserted in the same transaction as what it stands for, and before it: so each piece is done exactly once,
--- whatever dies, and a session that was given up is waited for by the unique key. Marks of rows say in which snapshot
--- of the source they were read.
local connection = require "pg.connection"
local errors = require "errors"
local task = require "task"

local M = { SCHEMA = "hkrun_copy" }

local quote = connection.quote_value

local TABLES = [[
  CREATE SCHEMA hkrun_copy;
  CREATE TABLE hkrun_copy.copy (source text, system text, options text, schema text, application text);
  CREATE TABLE hkrun_copy.snapshots (n int PRIMARY KEY, snapshot text, target_started text);
  CREATE TABLE hkrun_copy.done (name text PRIMARY KEY, object text, snapshot int, file int8, range_by text, range_from int8, range_to int8,
    row_count int8, bytes int8);
]]

---@class PgLedger
---@field facts { source: string, system: string, options: string, schema: string, application: string }
---@field snapshots { n: integer, snapshot: string, target_started: string }[]
---@field done table<string, table> by name
local Ledger = {}
Ledger.__index = Ledger

M.STARTED = "SELECT pg_postmaster_start_time()::text"
local LOCK = 0x686b72756e                            -- "hkrun"

--- Only one copy at a time goes into a database. Sessions that an earlier attempt of this one, or a dead run, left are ended.
---@param application string the name of our own sessions
function M.lock(conn, application, seconds)
  local deadline = task.now() + (seconds or 20)
  while not conn:value("SELECT pg_try_advisory_lock($1)", LOCK) do
    M.end_sessions(conn, application)
    if task.now() > deadline then
      errors.raise { op = "copy into " .. conn.name, kind = "limit", message = "another copy into this database is running" }
    end
    task.sleep(0.5)
  end
  M.end_sessions(conn, application)
  if conn:value "SELECT to_regclass('hkrun_copy.copy')::text" then
    local before = conn:value "SELECT application FROM hkrun_copy.copy"
    if before then M.end_sessions(conn, before) end
  end
end

function M.end_sessions(conn, application)
  conn:query([[SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = $1 AND pid <> pg_backend_pid() AND usename = current_user AND datname = current_database()]], application)
end

--- The ledger of an unfinished copy, or nil.
---@return PgLedger?
function M.read(conn)
  if not conn:value "SELECT to_regclass('hkrun_copy.done')::text" then return nil end
  local self = setmetatable({ facts = conn:query "SELECT * FROM hkrun_copy.copy"[1], done = {},
                              snapshots = conn:query "SELECT * FROM hkrun_copy.snapshots ORDER BY n" }, Ledger)
  for row in conn:rows "SELECT * FROM hkrun_copy.done" do self.done[row.name] = row end
  return self
end

--- Makes it, in the caller's transaction.
---@return PgLedger
function M.create(conn, facts)
  conn:exec(TABLES)
  conn:query("INSERT INTO hkrun_copy.copy VALUES ($1, $2, $3, $4, $5)", facts.source, facts.system, facts.options, facts.schema, facts.application)
  return setmetatable({ facts = facts, snapshots = {}, done = {} }, Ledger)
end

--- Notes that this run reads the source in that snapshot.
function Ledger:begin(conn, snapshot, application)
  local last = self.snapshots[#self.snapshots]
  local row = { n = last and last.n + 1 or 1, snapshot = snapshot, target_started = conn:value(M.STARTED) }
  conn:query("INSERT INTO hkrun_copy.snapshots VALUES ($1, $2, $3)", row.n, row.snapshot, row.target_started)
  conn:query("UPDATE hkrun_copy.copy SET application = $1", application)
  self.snapshots[#self.snapshots + 1] = row
  self.now = row.n
end

--- The target was started again since the copy began: rows of unlogged tables may be gone.
function Ledger:is_restarted(conn)
  local started = conn:value(M.STARTED)
  for _, s in ipairs(self.snapshots) do if s.target_started ~= started then return true end end
  return false
end

--- The statement that marks a piece as done; it comes first in the transaction.
---@param name string
---@param object? string the table
---@param piece? table `{ file =, by =, from =, to = }`
function Ledger:mark(name, object, piece)
  piece = piece or {}
  return ("INSERT INTO hkrun_copy.done VALUES (%s, %s, %d, %s, %s, %s, %s)"):format(quote(name), object and quote(object) or "NULL", self.now,
    piece.file or "NULL", piece.by and quote(piece.by) or "NULL", piece.from or "NULL", piece.to or "NULL")
end

--- What the engine adds to a mark once it knows the numbers.
function Ledger:count(name)
  return "UPDATE hkrun_copy.done SET row_count = :rows, bytes = :bytes WHERE name = " .. quote(name)
end

--- Notes a piece that was done without the engine.
function Ledger:note(conn, name, object, rows, bytes)
  conn:exec(self:mark(name, object))
  if rows then conn:query("UPDATE hkrun_copy.done SET row_count = $2, bytes = $3 WHERE name = $1", name, rows, bytes or 0) end
  self.done[name] = { name = name, object = object, snapshot = self.now, row_count = rows, bytes = bytes }
end

--- Takes back the marks for which `which(mark)` holds.
function Ledger:forget(conn, which)
  local names = {}
  for name, mark in pairs(self.done) do if which(mark) then names[#names + 1] = name end end
  for i = 1, #names, 500 do
    local list = {}
    for k = i, math.min(i + 499, #names) do list[#list + 1] = quote(names[k]) end
    conn:exec("DELETE FROM hkrun_copy.done WHERE name IN (" .. table.concat(list, ", ") .. ")")
  end
  for _, name in ipairs(names) do self.done[name] = nil end
end

--- The marks of a table's rows.
function Ledger:rows_of(t)
  local list = {}
  for name, mark in pairs(self.done) do
    if mark.object == t.name and name:find "^rows " then list[#list + 1] = mark end
  end
  table.sort(list, function(a, b) return (a.range_from or -math.huge) < (b.range_from or -math.huge) end)
  return list
end

return M
