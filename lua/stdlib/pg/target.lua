--- The database that a copy goes into: is it empty, what did an earlier copy
--- leave, may that be dropped. A comment on the database is the mark of a copy:
--- it says whether it was finished and how many rows it had written. What an
--- unfinished one has done stands in its ledger (copy/ledger.lua).
local catalog = require "pg.catalog"
local connection = require "pg.connection"
local errors = require "errors"

local M = {}

local MARK = "hkrun copy of %s: %s"

local function set_comment(conn, text)
  local ok, e = pcall(conn.exec, conn, ("COMMENT ON DATABASE %s IS %s"):format(
    connection.quote_name(conn:info().database), text and connection.quote_value(text) or "NULL"))
  if not ok then
    if e.code == "42501" then e.hint = "the target role must own the database: ALTER DATABASE ... OWNER TO it" end
    error(e, 0)
  end
end

--- The mark: source's name, "incomplete" or "complete at N writes"; nil if none.
function M.mark(conn)
  local text = conn:value "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
  if not text then return nil end
  return text:match "^hkrun copy of (.-): (.*)$"
end

function M.begin(conn, source) set_comment(conn, MARK:format(source, "incomplete")) end

-- Writes to user tables so far, as the server counts them (it forgets them in a crash).
local WRITES = [[SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::int8 FROM pg_stat_user_tables WHERE schemaname <> 'hkrun_copy']]
local OTHERS = [[SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = $1]]

--- Waits until our own sessions have left, so that the server has counted their writes.
local function settled_writes(conn, application)
  local task = require "task"
  local deadline = task.now() + 15
  while application and conn:value(OTHERS, application) > 0 and task.now() < deadline do task.sleep(0.05) end
  pcall(conn.exec, conn, "SELECT pg_stat_force_next_flush()")
  conn:exec "SELECT pg_stat_clear_snapshot()"
  return conn:value(WRITES)
end

--- The copy is whole: its ledger goes with the same commit.
function M.finish(conn, source, application)
  local writes = settled_writes(conn, application)
  local tx <close> = conn:transaction()
  set_comment(conn, MARK:format(source, ("complete at %d writes"):format(writes)))
  conn:exec "DROP SCHEMA IF EXISTS hkrun_copy CASCADE"
  tx:commit()
end

local OBJECTS = [[SELECT c.relkind::text AS kind, format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname <> 'hkrun_copy'
  AND ]] .. catalog.is_user("pg_class", "c.oid") .. " ORDER BY c.relkind, 2"

local DROPS = {
  "SELECT format('DROP EVENT TRIGGER %I CASCADE', evtname) FROM pg_event_trigger",
  "SELECT format('DROP PUBLICATION %I CASCADE', pubname) FROM pg_publication",
  [[SELECT format('DROP SCHEMA %I CASCADE', n.nspname) FROM pg_namespace n WHERE n.nspname <> 'public' AND ]] ..
    catalog.is_user("pg_namespace", "n.oid"),
  [[SELECT format('DROP EXTENSION %I CASCADE', extname) FROM pg_extension WHERE extname <> 'plpgsql' AND oid >= 16384]],
  [[SELECT format('DROP %s IF EXISTS %I.%I CASCADE', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
      WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    AND n.nspname = 'public' AND ]] .. catalog.is_user("pg_class", "c.oid") .. " ORDER BY c.relkind = 'S', c.oid",
  [[SELECT format('DROP %s IF EXISTS %s CASCADE', CASE p.prokind WHEN 'a' THEN 'AGGREGATE' WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
      p.oid::regprocedure) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public' AND ]] ..
    catalog.is_user("pg_proc", "p.oid"),
  [[SELECT format('DROP TYPE IF EXISTS %I.%I CASCADE', n.nspname, t.typname) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname = 'public' AND (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND (SELECT relkind FROM pg_class WHERE oid = t.typrelid) = 'c'))
    AND ]] .. catalog.is_user("pg_type", "t.oid"),
  "SELECT format('SELECT lo_unlink(%s)', oid) FROM pg_largeobject_metadata",
}

--- Drops everything that is the user's in this database.
local function wipe(conn)
  local tx <close> = conn:transaction()
  for _, query in ipairs(DROPS) do
    local list = {}
    for row in conn:rows(query) do list[#list + 1] = row.format end
    for i = 1, #list, 200 do conn:exec(table.concat(list, "; ", i, math.min(i + 199, #list))) end
  end
  tx:commit()
end

--- Why the target may not be emptied: that would drop what is not ours. Nil where it may.
---@param o { restart: boolean, reset: boolean }
---@param why string|nil why an unfinished copy cannot be gone on with
---@return table? error
---@return boolean? empty there is nothing in it
function M.refusal(conn, o, why)
  local objects = conn:query(OBJECTS)
  local _, state = M.mark(conn)
  if objects.n == 0 and conn:value "SELECT count(*) FROM pg_largeobject_metadata" == 0 then return nil, not state end
  local op, names = "copy into " .. conn.name, {}
  for i = 1, math.min(3, objects.n) do names[i] = objects[i].name end
  local what = objects.n == 0 and "large objects" or ("%s%s"):format(table.concat(names, ", "),
    objects.n > 3 and (" and %d more"):format(objects.n - 3) or "")
  if not o.reset then
    if not state then
      return errors.new { op = op, kind = "invalid", message = "the target database is not empty: it holds " .. what,
                          hint = "give an empty database, or reset = true to drop all of it" }
    elseif not o.restart then
      return errors.new { op = op, kind = "invalid",
                          message = "the target database holds what an earlier copy left: " .. what .. (why and "; " .. why or ""),
                          hint = "give restart = true to drop that and copy again" }
    end
    local writes = state:match "^complete at (%d+) writes"
    if writes and conn:value(WRITES) ~= math.tointeger(tonumber(writes)) then
      return errors.new { op = op, kind = "invalid", message = "an earlier copy was finished and its tables may have been written to since: "
        .. what, hint = "give reset = true to drop it nevertheless" }
    end
  end
end

--- Makes the target empty, or raises if that would drop what is not ours.
---@param o { restart: boolean, reset: boolean }
---@param why string|nil why an unfinished copy cannot be gone on with
function M.prepare(conn, o, why)
  local refused, empty = M.refusal(conn, o, why)
  if refused then errors.raise(refused) end
  if not empty then wipe(conn) end                   -- of a copy, types or functions may be left where no table is
end

return M
