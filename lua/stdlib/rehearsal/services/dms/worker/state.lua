--- What a worker must know again after it was killed, in the storage of its instance: how far each table is loaded and in which
--- snapshot, and up to where the changes are applied. A batch of changes is one transaction of the target, whose number is
--- written down before it is committed: whether it was can then be asked of the target.
local fs = require "fs"
local json = require "json"

local State = {}
State.__index = State

local M = {}

--- "16/B374D848" as a number.
function M.lsn(text)
  local high, low = text:match "^(%x+)/(%x+)$"
  return tonumber(high, 16) << 32 | tonumber(low, 16)
end

--- The state of a task, empty where it has none or begins anew.
---@param path string
---@param anew boolean
function M.open(path, anew)
  local data = not anew and fs.exists(path) and json.decode(fs.read(path)) or { tables = {}, phase = "load", applied = "0/0" }
  return setmetatable({ path = path, data = data }, State)
end

function State:save() fs.write(self.path, json.encode(self.data), 384) end

--- The entry of a table, made when first asked for.
function State:table_of(schema, name)
  local id = schema .. "." .. name
  local entry = self.data.tables[id]
  if not entry then
    entry = { schema = schema, table = name, state = "Before load" }
    self.data.tables[id] = entry
  end
  return entry
end

--- Notes what is about to be committed: the counters as they will be then, and the target's transaction.
---@param changes table<string, table<string, integer>> what to add to the counters of tables
function State:intend(lsn, xid, changes)
  self.data.pending = { lsn = lsn, xid = xid, changes = changes }
  self:save()
end

--- What was intended has happened.
function State:confirm()
  local pending = self.data.pending
  self.data.pending, self.data.applied = nil, pending.lsn
  for id, counts in pairs(pending.changes) do
    local entry = self.data.tables[id]
    for name, n in pairs(counts) do entry[name] = (entry[name] or 0) + n end
  end
  self:save()
end

--- Finds out what became of what was intended when the last worker ended.
---@param target PgConnection
function State:resolve(target)
  local pending = self.data.pending
  if not pending then return end
  local status
  repeat
    status = target:value("SELECT pg_xact_status(($1::text)::xid8)", pending.xid)
    if status == "in progress" then require "task".sleep(0.05) end
  until status ~= "in progress"
  if status == "committed" then return self:confirm() end
  self.data.pending = nil
  self:save()
end

return M
