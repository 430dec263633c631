--- The full load: every table is prepared at the target, read in one snapshot, and written in pieces of CommitRate rows.
local connect = require "rehearsal.services.dms.worker.connect"
local errors = require "errors"
local pg = require "pg"
local tables = require "rehearsal.services.dms.worker.tables"
local task = require "task"
local types = require "rehearsal.services.dms.worker.types"

local M = {}

local function target_name(t) return pg.quote_name(t.to_schema) .. "." .. pg.quote_name(t.to_name) end

-- Before -----------------------------------------------------------------------

--- What both endpoints keep as it is.
function M.mapped(job)
  local source, target = job.source.settings, job.target.settings
  return { booleans = source.MapBooleanAsBoolean == true and target.MapBooleanAsBoolean == true, jsonb_as_clob = source.MapJsonbAsClob == true }
end

--- Makes the table ready as TargetTablePrepMode says. `started`: an earlier worker had begun to load it.
local function prepare(job, target, t, started)
  local mode, name = job.settings.FullLoadSettings.TargetTablePrepMode, target_name(t)
  local exists = target:value("SELECT to_regclass($1) IS NOT NULL", name)
  if exists and mode == "DROP_AND_CREATE" then
    target:exec("DROP TABLE " .. name)
    exists = false
  end
  if not exists then
    target:exec("CREATE SCHEMA IF NOT EXISTS " .. pg.quote_name(t.to_schema))
    target:exec(types.create(t, M.mapped(job)))
  elseif started then target:exec("DELETE FROM " .. name)
  elseif mode == "TRUNCATE_BEFORE_LOAD" then target:exec("TRUNCATE TABLE " .. name) end
end

-- One table ------------------------------------------------------------------------

--- How a column is read: booleans as words unless both ends know them, LOBs cut at LobMaxSize.
local function selected(job, column)
  local name, metadata = pg.quote_name(column.name), job.settings.TargetMetadata
  if column.base == "bool" and not M.mapped(job).booleans then return name .. "::text" end
  if metadata.LimitedSizeLobMode and tables.is_lob(column) and not metadata.FullLobMode then
    local bytes = metadata.LobMaxSize * 1024
    if column.base == "bytea" then return ("substring(%s FROM 1 FOR %d)"):format(name, bytes) end
    return ("left(%s::text, %d)"):format(name, bytes)
  end
  return name
end

local function refuse_truncation(job, source, t)
  local stops = job.source.settings.FailTasksOnLobTruncation or job.settings.ErrorBehavior.DataTruncationErrorPolicy == "STOP_TASK"
  if not stops or not job.settings.TargetMetadata.LimitedSizeLobMode or job.settings.TargetMetadata.FullLobMode then return end
  for _, column in ipairs(t.columns) do
    if tables.is_lob(column) then
      local longest = source:value(("SELECT max(octet_length(%s::text)) FROM %s.%s"):format(pg.quote_name(column.name), pg.quote_name(t.schema),
        pg.quote_name(t.name)))
      if longest and longest > job.settings.TargetMetadata.LobMaxSize * 1024 then
        errors.raise { kind = "limit", fatal = true, message = ("LOB data of the column %s of the table %s.%s was truncated: %d bytes, LobMaxSize is "
          .. "%d KB."):format(column.name, t.schema, t.name, longest, job.settings.TargetMetadata.LobMaxSize) }
      end
    end
  end
end

local function newlines(block)
  local n, at = 0, 0
  while true do
    at = block:find("\n", at + 1, true)
    if not at then return n end
    n = n + 1
  end
end

--- SQLSTATE classes 22 and 23: the row is at fault, not the table.
local function is_data_error(e) return errors.is(e, "remote") and (e.code or ""):find "^2[23]" ~= nil end

--- Writes a piece, and row by row where one of its rows is refused; says how many rows were.
local function write(job, target, into, blocks)
  local ok, e = pcall(target.copy_in, target, into, blocks)
  if ok then return 0 end
  if not is_data_error(e) or job.settings.ErrorBehavior.DataErrorPolicy == "STOP_TASK" then error(e, 0) end
  local refused = 0
  for line in table.concat(blocks):gmatch "[^\n]*\n" do
    local fine, why = pcall(target.copy_in, target, into, line)
    if not fine then
      if not is_data_error(why) then error(why, 0) end
      refused = refused + 1
      job.log("%s", tostring(why))
    end
  end
  return refused
end

--- Streams a table in pieces of CommitRate rows; `tell` hears how many rows were written and how many refused.
---@return integer rows, integer refused
local function stream(job, source, target, t, tell)
  local reads, names = {}, {}
  for i, column in ipairs(t.columns) do reads[i], names[i] = selected(job, column), pg.quote_name(column.name) end
  local from <close> = source:copy_out(("COPY (SELECT %s FROM %s.%s) TO STDOUT"):format(table.concat(reads, ", "), pg.quote_name(t.schema),
    pg.quote_name(t.name)))
  local into = ("COPY %s (%s) FROM STDIN"):format(target_name(t), table.concat(names, ", "))
  local rows, refused, piece, pending = 0, 0, {}, 0
  for block in from do
    piece[#piece + 1], pending = block, pending + newlines(block)
    if pending >= job.settings.FullLoadSettings.CommitRate then
      refused = refused + write(job, target, into, piece)
      rows, piece, pending = rows + pending, {}, 0
      tell(rows - refused, refused)
    end
  end
  if pending > 0 then refused = refused + write(job, target, into, piece) end
  return rows + pending - refused, refused
end

--- Loads one table in a snapshot of its own, which tells later which changes it has already.
local function load_table(job, state, source, target, t, tell)
  local entry = state:table_of(t.schema, t.name)
  if tables.is_ignored(t) then errors.raise { kind = "invalid", message = "a table with an array but without a primary key is not loaded" } end
  prepare(job, target, t, entry.started)
  entry.started, entry.state = true, "Full load"
  state:save()
  refuse_truncation(job, source, t)
  local told = 0
  local function progress(rows, refused, name)
    if not name and task.now() - told < 0.1 then return end
    told = task.now()
    tell { event = "table", schema = t.schema, table = t.name, state = name or "Full load", FullLoadRows = rows, FullLoadErrorRows = refused }
  end
  progress(0, 0, "Full load")
  source:exec "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
  entry.snapshot = source:value "SELECT pg_current_snapshot()::text"
  local rows, refused = 0, 0
  if #t.columns > 0 then rows, refused = stream(job, source, target, t, progress) end
  source:exec "COMMIT"
  entry.FullLoadRows, entry.FullLoadErrorRows, entry.state, entry.started = rows, refused, "Table completed", nil
  state:save()
  progress(rows, refused, "Table completed")
end

-- All of them ----------------------------------------------------------------------------

--- Loads what is not loaded yet; a table that fails is left behind, the others go on.
---@param list DmsTable[]
---@param tell fun(event: table)
function M.run(job, state, list, tell)
  local todo, total, done = {}, 0, 0
  for _, t in ipairs(list) do
    local entry = state:table_of(t.schema, t.name)
    total = total + math.max(t.estimate, 1)
    if entry.state ~= "Table completed" then
      todo[#todo + 1] = t
      tell { event = "table", schema = t.schema, table = t.name, state = "Before load" }
    else done = done + math.max(t.estimate, 1) end
  end
  tell { event = "loading" }
  local idle = {}
  local function with_connections(fn)
    local c = table.remove(idle) or { source = connect.open(job, "source"), target = connect.open(job, "target") }
    local ok, e = pcall(fn, c)
    if ok then idle[#idle + 1] = c else
      c.source:close()
      c.target:close()
      error(e, 0)
    end
  end
  local ok, failure = pcall(task.map, todo, function(t)
    local fine, e = pcall(with_connections, function(c) load_table(job, state, c.source, c.target, t, tell) end)
    if not fine then
      if errors.is(e, "cancelled") or errors.is(e, "bug") then error(e, 0) end
      state:table_of(t.schema, t.name).state = "Table error"
      state:save()
      job.log("The table %s.%s is suspended: %s", t.schema, t.name, tostring(e))
      tell { event = "table", schema = t.schema, table = t.name, state = "Table error" }
      local policies = job.settings.ErrorBehavior
      if e.fatal or policies.TableErrorPolicy == "STOP_TASK" or is_data_error(e) and policies.DataErrorPolicy == "STOP_TASK" then error(e, 0) end
    end
    done = done + math.max(t.estimate, 1)
    tell { event = "progress", percent = math.min(99, done * 100 // total) }
  end, { limit = job.settings.FullLoadSettings.MaxFullLoadSubTasks })
  for _, c in ipairs(idle) do
    c.source:close()
    c.target:close()
  end
  if not ok then error(failure, 0) end
  tell { event = "loaded" }
end

return M
