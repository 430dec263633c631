--- What a live copy knows of its servers as a whole.
local M = {}

-- Commands that change many keys and of which no notification tells. The server counts them, also inside scripts.
local SILENT = { "flushall", "flushdb", "swapdb", "debug" }

---@class redis.live.State
---@field run_id string
---@field role string
---@field calls table<string, integer>

---@param r redis.Connection
---@return redis.live.State
function M.read(r)
  local text = {}
  for i, reply in ipairs(r:pipeline { { "INFO", "server" }, { "INFO", "replication" }, { "INFO", "commandstats" } }) do text[i] = reply end
  local calls = {}
  for _, name in ipairs(SILENT) do
    calls[name] = math.tointeger(tonumber(text[3]:match("cmdstat_" .. name .. ":calls=(%d+)") or 0))
  end
  return { run_id = text[1]:match "run_id:(%x+)" or "?", cluster = text[1]:find "redis_mode:cluster" ~= nil,
    role = text[2]:match "role:(%a+)" or "master", calls = calls }
end

--- Why keys may have changed of which nobody told, or nil.
---@param before redis.live.State
---@param now redis.live.State
---@param what string "source"
---@return string?
function M.difference(before, now, what)
  if before.run_id ~= now.run_id then return ("the %s was started anew, or another server took its place"):format(what) end
  if before.role ~= now.role then return ("the %s is a %s now, and was a %s"):format(what, now.role, before.role) end
  for _, name in ipairs(SILENT) do
    if before.calls[name] ~= now.calls[name] then return ("%s ran on the %s"):format(name:upper(), what) end
  end
end

--- How often the source has been written to, as the server counts it until it saves: also by commands that no notification
--- tells of, and not by keys that expire. The same answer twice means that nobody wrote in between.
---@param from redis.Connection
---@return string
function M.writes(from)
  local info = from:info "persistence"
  return ("%s since %s"):format(info.rdb_changes_since_last_save, info.rdb_last_save_time)
end

--- Whether the server can tell of every change at all: a replica that is filled anew does not, nor one node of a cluster.
---@param state redis.live.State
function M.tells_all(state) return state.role == "master" and not state.cluster end

return M
