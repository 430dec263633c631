--- How things stand, in words, as the journal tells it: for hkrun status and the report.
local holder = require "journal.holder"

local M = {}

local STATES = {
  done = "done", failed = "failed", cancelled = "cancelled", stopped = "stopped where --until or --only said",
}

--- A run without an end is told by the lock: it goes on, or it died.
---@param last table the memory's last run
---@param lock table? of journal:holder()
---@return string
function M.of_run(last, lock)
  if last.state ~= "running" then return STATES[last.state] or last.state end
  if lock and lock.alive then return "runs now: " .. holder.title(lock) end
  return "did not end: it was killed" .. (lock and " (" .. holder.title(lock) .. ")" or "")
end

--- What there is to know of a thing that was made; "" for nothing.
---@param n table a noun of the memory
---@return string
function M.of_noun(n)
  return n.adopted and "adopted" or n.keep and "kept" or n.state == "intent" and "asked for, never answered"
    or n.state == "created" and "made, not seen ready" or n.updating and "its change is not confirmed" or ""
end

--- Whether a guard's work stands although no run keeps it.
---@param g table a guard of the memory
---@return boolean
function M.is_in_force(g) return g.state ~= "kept" and g.state ~= "undone" end

return M
