--- What a copy of a keyspace remembers in a file, to go on after whatever ended it: which copy it is, and the slices of
--- each database that are in the target, as cursors of SCAN with their digests. JSON lines, each on the disk when it is
--- written; no value and no secret is in it.
local errors = require "errors"
local fs = require "fs"
local host = require "host.journal"
local json = require "json"

local M = {}
local Journal = {}
Journal.__index = Journal

--- By what a source is known to be unchanged: it is the same process, and no command has changed anything since. Its
--- count of changes begins anew with each snapshot, whose time is told too.
function M.facts(info)
  return { run_id = info.run_id, changes = info.rdb_changes_since_last_save, saved = info.rdb_last_save_time }
end

local function same_run(a, b) return a ~= nil and b ~= nil and a.run_id ~= nil and a.run_id == b.run_id end

local function unchanged(a, b) return same_run(a, b) and a.changes ~= nil and a.changes == b.changes and a.saved == b.saved end

--- Takes a record in. What is said in `again` holds for the slices that follow.
local function add(self, rec)
  if rec.ev == "begin" then
    self.begun, self.ended, self.slices, self.may_have_more = rec, nil, {}, false
  elseif rec.ev == "again" then
    self.begun.source, self.begun.target = rec.source, rec.target
    if not rec.kept then self.slices, self.may_have_more = {}, true end     -- keys that the source has deleted since
  elseif rec.ev == "slice" then
    self.slices[#self.slices + 1] = rec
  elseif rec.ev == "end" then
    self.ended = rec.result
  end
end

local function replay(self, bytes)
  local at = 1
  while true do
    local stop = bytes:find("\n", at, true)
    local rec = stop and json.decode(bytes:sub(at, stop - 1))
    if type(rec) ~= "table" or not (self.begun or rec.ev == "begin") then break end
    add(self, rec)
    at = stop + 1
  end
  return at - 1                                              -- behind it: a line whose write never finished
end

--- Opens the file, or makes it, and keeps other runs out of it.
function M.open(path)
  local op = "use the journal " .. path
  local self = setmetatable({ path = path, slices = {} }, Journal)
  self.handle = errors.check(op, host.open(path))
  local locked = errors.check(op, self.handle:lock())
  if not locked then errors.raise { kind = "stopped", op = op, message = "another run of the copy is using it" } end
  local bytes = fs.read(path)
  local good = replay(self, bytes)
  if good < #bytes and not self.begun then
    self.handle:close()
    errors.raise { kind = "invalid", op = op, message = "it is no journal of a copy" }
  end
  if good < #bytes then errors.check(op, self.handle:truncate(good)) end
  return self
end

function Journal:write(...)
  local lines = {}
  for i, rec in ipairs { ... } do
    lines[i] = json.encode(rec) .. "\n"
    add(self, rec)
  end
  if #lines > 0 then errors.check("use the journal " .. self.path, self.handle:append(table.concat(lines))) end
end

--- Forgets all: another copy begins.
function Journal:begin(rec)
  errors.check("use the journal " .. self.path, self.handle:truncate(0))
  rec.ev = "begin"
  self:write(rec)
end

function Journal:close() self.handle:close() end
Journal.__close = Journal.close

--- How a copy whose mark stands in the target may go on:
--- "ended": it was done, and the source is as it was; "keep": it was cut off and both servers are as they were; "check":
--- the source's digests are to be compared, it may have changed since; "anew": nothing that is there can be relied on;
--- nil: the journal is of another copy, or of one that was done.
---@param mark? string the mark that stands in the target
function Journal:way(mark, options, source, target)
  local b = self.begun
  if not b then return nil end
  local same = b.options == options and same_run(b.target, target) and same_run(b.source, source)
  if self.ended and same and unchanged(b.source, source) then return "ended" end
  if mark ~= b.id then return nil end                        -- after its end the target may be in use: its keys are others'
  if not same then return "anew" end
  return unchanged(b.source, source) and "keep" or "check"
end

--- What passed through functions, or went by value, has none.
function Journal:has_digests()
  for _, s in ipairs(self.slices) do if not s.digest then return false end end
  return true
end

--- The slices of a database that follow each other from its beginning, and the cursor behind them; "0" when the database
--- was read to its end.
---@return table[] slices
---@return string cursor
---@return integer keys
function Journal:chain(db)
  local by_start, list, cursor, keys = {}, {}, "0", 0
  for _, s in ipairs(self.slices) do
    if s.db == db then by_start[s.start] = s end
  end
  repeat
    local s = by_start[cursor]
    if not s then break end
    by_start[cursor] = nil
    list[#list + 1] = s
    cursor, keys = s.stop, keys + s.keys
  until cursor == "0"
  return list, cursor, keys
end

return M
