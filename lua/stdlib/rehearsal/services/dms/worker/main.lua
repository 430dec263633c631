--- A process of a replication instance: does one job, says what happens in lines of JSON on standard output.
local connect = require "rehearsal.services.dms.worker.connect"
local errors = require "errors"
local fs = require "fs"
local json = require "json"

--- Tells the cloud's side of it.
---@param event { event: string }
local function tell(event)
  io.stdout:write(json.encode(event), "\n")
  io.stdout:flush()
end

local MODES = {}

function MODES.test(job)
  local conn <close> = connect.open(job, job.source and "source" or "target")
  return { version = conn:info().version }
end

function MODES.schemas(job)
  local conn <close> = connect.open(job, job.source and "source" or "target")
  local list = json.array {}
  for row in conn:rows [[SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1]] do
    list[#list + 1] = row.nspname
  end
  return { schemas = list }
end

function MODES.clean(job)
  local source <close> = connect.open(job, "source")
  source:query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active", job.slot)
  return {}
end

function MODES.run(job) return require("rehearsal.services.dms.worker.run")(job, tell) end
function MODES.assess(job) return require("rehearsal.services.dms.worker.assess")(job, tell) end

return function()
  local path = os.getenv "HKRUN_DMS_JOB"
  local job = json.decode(fs.read(path))
  fs.remove(path)
  local ok, result = xpcall(MODES[job.mode], errors.handler, job)
  if ok then
    if result then tell { event = "result", result = result } end
  elseif errors.is(result, "cancelled") then error(result, 0)
  else
    if errors.is(result, "bug") then io.stderr:write(tostring(result), "\n", result.traceback or "", "\n") end
    tell { event = "failed", message = result.message or tostring(result), reason = result.recoverable and "RECOVERABLE_ERROR" or nil }
  end
end
