--- pg.copy: a whole database into an empty one, from one consistent snapshot.
--- 1. pg_dump reads the schema in the snapshot; what makes tables goes first.
--- 2. The engine's workers stream the rows, largest table first, and build each
---    index and constraint as soon as its table is in, then ANALYZE it.
--- 3. Foreign keys, then all else in pg_dump's order; sequences; materialized views.
--- Each piece marks itself in the target, in its own transaction (copy/ledger.lua): a copy that was cut off
--- goes on where it was (copy/resume.lua), and ends in the same state.
local connection = require "pg.connection"
local endpoint = require "pg.endpoint"
local errors = require "errors"
local ledgers = require "pg.copy.ledger"
local log = require "log"
local options = require "options"
local run = require "pg.copy.run"
local target = require "pg.target"
local task = require "task"

local M = {}

M.OPTIONS = {
  { "from", "source database", type = "any", required = true },
  { "to", "target database", type = "any", required = true },
  { "jobs", "workers, each with one connection to either side", type = "integer", default = 2 },
  { "connections", "connections to either side, in all; at least 2", type = "integer" },
  { "include", "only these tables: \"schema.table\", with * as a wildcard", type = "list" },
  { "exclude", "tables to leave out", type = "list" },
  { "exclude_data", "tables to make but not to fill", type = "list" },
  { "stop_after", "leave off when the tables are made, or when those of exclude_data have their indexes and keys too: somebody else fills " ..
    "them, and the same call without it does the rest", type = "string", one_of = { "tables", "keys" } },
  { "tables", "by name: { where = SQL condition, row = function(row), columns = { name = function(value, row) } }", type = "table", default = {} },
  { "schema_map", "schemas to rename on the way, for extensions", type = "table", default = { heroku_ext = "public" } },
  { "owners", "keep owners, where the target's role may act for them", type = "boolean", default = true },
  { "privileges", "keep grants, to roles that the target has", type = "boolean", default = true },
  { "roles", "roles of the source and what they are called in the target", type = "table", default = {} },
  { "settings", "keep settings of the database, and of roles in it", type = "boolean", default = true },
  { "large_objects", "copy large objects", type = "boolean", default = true },
  { "analyze", "leave statistics behind", type = "boolean", default = true },
  { "split", "bytes from which on a table is copied in parts", type = "integer" },
  { "rate", "bytes a second, at most", type = "number" },
  { "memory", "bytes for building indexes, all workers together", type = "integer", default = 256 * 1024 * 1024 },
  { "consistent", "read all tables in one snapshot", type = "boolean", default = true },
  { "resume", "go on with an unfinished copy of the same database", type = "boolean", default = true },
  { "restart", "drop what an earlier copy left, where it cannot be gone on with", type = "boolean", default = false },
  { "reset", "drop whatever the target holds", type = "boolean", default = false },
  { "patience", "seconds to try again when a server cannot be reached", type = "number", default = 120 },
  { "progress", "show progress", type = "boolean", default = true },
  { "timeout", "seconds for one statement", type = "number", default = 24 * 3600 },
}

local TABLE = {
  { "where", "SQL condition: only these rows", type = "string" },
  { "row", "function(row) -> row, or nil to leave it out", type = "function" },
  { "columns", "functions (value, row) -> value, by column", type = "table" },
}

local function check(given)
  local o = options.check(given, M.OPTIONS, "pg.copy")
  if o.jobs < 1 or o.jobs > 64 then errors.usage("pg.copy: jobs must be between 1 and 64, not %d", o.jobs) end
  if o.connections and o.connections < 2 then errors.usage("pg.copy: it takes 2 connections at least: one holds the snapshot, one copies") end
  o.workers = math.min(o.jobs, o.connections and o.connections - 1 or o.jobs)
  for from_schema, to_schema in pairs(o.schema_map) do
    if not (from_schema:find "^[%l_][%w_]*$" and to_schema:find "^[%l_][%w_]*$") then errors.usage("pg.copy: schema_map takes plain schema names") end
  end
  for name, t in pairs(o.tables) do
    if type(name) ~= "string" then errors.usage "pg.copy: tables is a table by table name" end
    o.tables[name] = options.check(t, TABLE, ("pg.copy: tables[%q]"):format(name))
  end
  return o
end

--- May the same work in a moment? A lost connection, a server that starts or is full, a snapshot that went with its session.
local function may_retry(e)
  if not errors.is(e) or e.kind == "cancelled" or e.kind == "usage" then return false end
  if e.kind == "network" or e.kind == "timeout" or e.again then return true end
  return e.kind == "limit" and e.retry or (e.message or ""):find "snapshot" ~= nil and (e.code == "22023" or e.code == "55000")
end

--- The last commit, which is waited for, and all before it with it; it takes the ledger along.
local function seal(from, to, o, result)
  to.params.application_name = "hkrun"
  local conn <close> = connection.open(to, { timeout = 60 })
  to.params.application_name = o.application
  if conn:value(ledgers.STARTED) ~= result.target_started then
    errors.raise { op = "copy " .. o.name, kind = "network", again = true, message = "the target was started again at the end of the copy" }
  end
  conn:exec "SET synchronous_commit = on"
  target.finish(conn, from.name, o.application)
end

--- Attempts until one ends; each goes on where the last one was.
local function persist(from, to, o)
  local result, marks, since, pause = {}, -1, nil, 0.5
  while true do
    local ok, e = pcall(function()
      run.attempt(from, to, o, result)
      if not o.stop_after then seal(from, to, o, result) end
    end)
    if ok then return result end
    if not may_retry(e) then error(e, 0) end
    if (result.marks or 0) > marks then marks, since, pause = result.marks or 0, task.now(), 0.5 end
    if task.now() - since + pause > o.patience then error(e, 0) end
    log.info("  > %s; going on in %s", tostring(e), log.duration(math.max(1, pause)))
    task.sleep(pause)
    pause = math.min(pause * 2, 15)
    result.resumed = (result.resumed or 0) + 1
  end
end

---@class PgCopied
---@field tables { name: string, rows: integer, bytes: integer, seconds: number }[]
---@field rows integer
---@field bytes integer as they went over the wire
---@field seconds number
---@field snapshot { one: boolean, resumed: boolean, again: string[] } one: all rows are of one snapshot of the source; again:
---  what had been copied before, had changed on the source since, and was copied again
---@field notes string[] what was left out, in sentences

--- Copies a database into an empty one. What cannot be copied does not keep the rest from it: at the end one error
--- names it all, and the same call later does what is missing.
---@param given table see M.OPTIONS
---@return PgCopied
function M.copy(given)
  local o = check(given)
  local started = task.now()
  local from, to = endpoint.read(o.from), endpoint.read(o.to)
  o.name = ("%s to %s"):format(from.name, to.name)
  if from.name == to.name and from.via == to.via then errors.usage("pg.copy: source and target are the same database, %s", from.name) end
  local _ <close> = setmetatable({}, { __close = function() endpoint.release(from) endpoint.release(to) end })
  endpoint.reach(from)
  endpoint.reach(to)
  o.application = ("hkrun copy %x"):format(math.random(0, 0xffffffffff))
  from.params.application_name, to.params.application_name = o.application, o.application
  local result = persist(from, to, o)
  result.marks, result.target_started = nil, nil
  result.seconds = task.now() - started
  return result
end

return M
