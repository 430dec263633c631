--- A task from its start to its end: the full load, and what follows it.
local connect = require "rehearsal.services.dms.worker.connect"
local errors = require "errors"
local load = require "rehearsal.services.dms.worker.load"
local states = require "rehearsal.services.dms.worker.state"
local tables = require "rehearsal.services.dms.worker.tables"

local function fatal(message) errors.raise { kind = "invalid", message = message } end

---@param tell fun(event: table)
return function(job, tell)
  local resumes = job.start == "resume-processing"
  local state = states.open(job.state, not resumes)
  local source <close> = connect.open(job, "source")
  connect.open(job, "target"):close()
  local list = tables.list(source, job.rules)
  if #list == 0 and job.settings.ErrorBehavior.FailOnNoTablesCaptured then
    fatal("No tables were found at task initialization. Either the selected table(s) or schemas(s) no longer exist or no match was found for the "
      .. "table selection pattern(s). If you would like to start a Task that does not initially capture any tables, set Task Setting "
      .. "FailOnNoTablesCaptured to false and restart task.")
  end
  for _, at in ipairs(job.reload or {}) do
    local entry = state:table_of(at.schema, at.table)
    entry.state, entry.started = "Table is being reloaded", true
  end
  tell { event = "running" }
  load.run(job, state, list, tell)
  tell { event = "stopped", reason = "FULL_LOAD_ONLY_FINISHED" }
end
