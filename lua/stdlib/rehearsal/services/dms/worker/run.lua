--- A task from its start to its end: the full load, and the changes that follow it.
local connect = require "rehearsal.services.dms.worker.connect"
local errors = require "errors"
local follow = require "rehearsal.services.dms.worker.follow"
local load = require "rehearsal.services.dms.worker.load"
local states = require "rehearsal.services.dms.worker.state"
local tables = require "rehearsal.services.dms.worker.tables"

local NO_TABLES = "No tables were found at task initialization. Either the selected table(s) or schemas(s) no longer exist or no match was found "
  .. "for the table selection pattern(s). If you would like to start a Task that does not initially capture any tables, set Task Setting "
  .. "FailOnNoTablesCaptured to false and restart task."

--- Tables that are to be loaded again are no longer what they were.
local function mark(job, state)
  for _, at in ipairs(job.reload or {}) do
    local entry = state:table_of(at.schema, at.table)
    entry.state, entry.started = "Table is being reloaded", true
  end
end

--- Tables of a task without a full load are complete as they are.
local function complete(state, list, tell)
  for _, t in ipairs(list) do
    local entry = state:table_of(t.schema, t.name)
    entry.state = "Table completed"
    tell { event = "table", schema = t.schema, table = t.name, state = entry.state }
  end
end

---@param tell fun(event: table)
return function(job, tell)
  function job.log(fmt, ...) tell { event = "log", message = fmt:format(...) } end
  local resumes = job.start == "resume-processing"
  local state = states.open(job.state, not resumes)
  local source <close> = connect.open(job, "source")
  do
    local target <close> = connect.open(job, "target")
    state:resolve(target)
  end
  if job.type ~= "full-load" then follow.prepare(job, source, resumes) end
  local list = tables.list(source, job.rules)
  if #list == 0 and job.settings.ErrorBehavior.FailOnNoTablesCaptured then errors.raise { kind = "invalid", message = NO_TABLES } end
  tell { event = "running" }
  mark(job, state)
  if job.type == "cdc" then complete(state, list, tell)
  else load.run(job, state, list, tell) end
  if job.type == "full-load" then return tell { event = "stopped", reason = "FULL_LOAD_ONLY_FINISHED" } end
  local options, goal = job.settings.FullLoadSettings, nil
  if state.data.phase == "load" and job.type ~= "cdc" then
    state.data.phase = "cdc"
    state:save()
    if options.StopTaskCachedChangesNotApplied then return tell { event = "stopped", reason = "STOPPED_AFTER_FULL_LOAD" } end
    if options.StopTaskCachedChangesApplied then goal = source:value "SELECT pg_current_wal_lsn()::text" end
  end
  tell { event = "stopped", reason = follow.run(job, state, list, tell, load.mapped(job), goal) }
end
