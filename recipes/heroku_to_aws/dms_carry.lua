--- What is done in both databases around a task of AWS DMS.
local errors = require "errors"
local pg = require "pg"
local scope = require "heroku_to_aws.dms_scope"
local target = require "pg.target"
local task = require "task"

local M = {}

local DRAIN = 3600                      -- seconds until the marker must be there
local SLOTS = "SELECT slot_name::text AS name FROM pg_replication_slots WHERE database = current_database() ORDER BY 1"

--- The names of the replication slots of a database.
---@return string[]
function M.slots(source)
  local db <close> = pg.open(source)
  local list = {}
  for i, row in ipairs(db:query(SLOTS)) do list[i] = row.name end
  return list
end

--- Takes the marker away, also while the source is closed to writers.
function M.unmark(source)
  local db <close> = pg.open(source)
  db:exec "SET default_transaction_read_only = off"
  db:exec(("DROP SCHEMA IF EXISTS %s CASCADE"):format(scope.SCHEMA))
end

local function each_identity(where, tables, how)
  local db <close> = pg.open(where)
  for _, t in ipairs(tables) do
    for _, column in ipairs(t.always) do
      local name = ("%s.%s"):format(pg.quote_name(t.schema), pg.quote_name(t.name))
      db:exec(("ALTER TABLE %s ALTER COLUMN %s SET GENERATED %s"):format(name, pg.quote_name(column), how))
    end
  end
end

--- Lets DMS write identity columns that are GENERATED ALWAYS: its INSERTs do not override that.
function M.open_identities(where, tables) each_identity(where, tables, "BY DEFAULT") end

--- Makes them again what they are on the source, and drops what DMS and the marker have made.
function M.close_identities(where, tables)
  each_identity(where, tables, "ALWAYS")
  local db <close> = pg.open(where)
  db:exec(("DROP SCHEMA IF EXISTS %s CASCADE"):format(scope.SCHEMA))
end

--- Whether the copy into the target has come to its end.
function M.is_complete(where)
  local db <close> = pg.open(where)
  local _, state = target.mark(db)
  return state ~= nil and state:find "^complete" ~= nil
end

--- Waits until a word that is written into the source now has arrived in the target: DMS applies changes in the order of
--- their commits, so all that was written before is there too. Then the stream is stopped.
---@param dms DmsMigration
---@param word string the same when it is called again
---@param progress table
---@return { seconds: number, changes: { inserts: integer, updates: integer, deletes: integer } }
function M.drain(dms, from, to, word, progress)
  local began = task.now()
  local db <close> = pg.open(to)
  local function arrived() return db:value(("SELECT word FROM %s WHERE id = 1"):format(scope.MARKER)) == word end
  if not arrived() then
    dms:stream()
    do
      local source <close> = pg.open(from)
      source:exec "SET default_transaction_read_only = off"
      if source:query(("UPDATE %s SET word = $1 WHERE id = 1"):format(scope.MARKER), word).affected ~= 1 then
        errors.raise { kind = "invalid", op = "drain the stream of DMS", message = "the marker is not in the source any more",
                       hint = "somebody dropped the schema " .. scope.SCHEMA .. "; apply again, which loads anew" }
      end
    end
    local pause = 0.2
    while not arrived() do
      dms:streams()
      if task.now() - began > DRAIN then
        errors.raise { kind = "timeout", op = "drain the stream of DMS", message = ("after %d s the marker has not arrived"):format(DRAIN),
                       hint = "Heroku goes on; apply again when the stream has caught up (CDCLatencyTarget in CloudWatch)" }
      end
      progress:note "waiting for the marker, behind which there is nothing"
      task.sleep(pause)
      pause = math.min(pause * 1.5, 5)
    end
  end
  local changes = { inserts = 0, updates = 0, deletes = 0 }
  local tables = dms:statistics()
  dms:refuse_errors(tables, dms:describe())
  for _, t in ipairs(tables) do
    if t.schema ~= scope.SCHEMA then
      for kind in pairs(changes) do changes[kind] = changes[kind] + t[kind] end
    end
  end
  dms:stop()
  return { seconds = task.now() - began, changes = changes }
end

--- How many replication slots the source has that were not there before DMS came; raises with what drops one.
---@param source any
---@param before string[] of `slots`
function M.new_slots(source, before)
  local known, left = {}, {}
  for _, name in ipairs(before) do known[name] = true end
  for _, name in ipairs(M.slots(source)) do
    if not known[name] then left[#left + 1] = name end
  end
  if #left > 0 then
    errors.raise { kind = "invalid", op = "clean up DMS", hint = ("SELECT pg_drop_replication_slot('%s'); and apply again"):format(left[1]),
                   message = "DMS left replication slots on the source, which keep its WAL: " .. table.concat(left, ", ") }
  end
  return 0
end

return M
