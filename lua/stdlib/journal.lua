--- The journal of one recipe and its target: JSON lines, only ever appended to, kept when `write` returns. It is a file
--- in `.hkrun` (journal/file.lua) or objects in S3 (journal/s3.lua), locked while a run writes.
local errors = require "errors"
local file = require "journal.file"
local holder = require "journal.holder"
local json = require "json"
local loop = require "host.loop"
local memory = require "recipe.memory"
local secret = require "secret"
local task = require "task"

local M = {}
local Journal = {}
Journal.__index = Journal

--- The file name for a recipe and its target: everything but letters, digits, "_" and "-" is written as %XX.
---@param recipe string
---@param target string|nil
---@return string
function M.name(recipe, target)
  local function plain(s)
    return (s:gsub("[^%w_%-]", function(c) return string.format("%%%02X", c:byte()) end))
  end
  if target and target ~= "" then return plain(recipe) .. "." .. plain(target) end
  return plain(recipe)
end

local DIR = ".hkrun"

--- The names of a recipe's journals, one for each target.
---@param recipe string
---@param o { at?: string, dir?: string }
---@return string[]
function M.list(recipe, o)
  if o.at then return require("journal.s3").list(o.at, M.name(recipe)) end
  return file.list(o.dir or DIR, M.name(recipe))
end

--- Replays what was read.
---@return table memory
---@return integer good bytes that are whole lines of JSON
local function replay(bytes, path)
  local m, good, bad = memory.new(), 0, nil
  local at, line = 1, 0
  while at <= #bytes do
    local stop = bytes:find("\n", at, true)
    if not stop then break end                               -- torn: the write never finished, so nothing relied on it
    line = line + 1
    local rec = json.decode(bytes:sub(at, stop - 1))
    if type(rec) ~= "table" then
      bad = line
      break
    end
    memory.add(m, rec)
    at = stop + 1
    good = stop
  end
  if bad and bytes:find("\n", bytes:find("\n", at, true) + 1, true) then
    errors.raise {
      op = "read the journal " .. path, kind = "invalid", message = "line " .. bad .. " is not JSON",
      hint = "move the file away: the next apply finds things again by name and tag",
    }
  end
  return m, good                                             -- only the last line: a torn block of a crashed disk
end

local FENCES = 5                                             -- writes of a holder that was thought dead, until we are first

--- Reads; after another holder's death first makes sure that it can write no more, if it lives after all.
local function take_in(self, dead)
  for attempt = 1, FENCES do
    self.bytes = self.store:read()
    local m, good = replay(self.bytes, self.path)
    self.memory = m
    if good < #self.bytes then self.store:repair(good) end
    if not (dead and self.store.unfenced) then return end
    local ok, e = pcall(self.write, self, { ev = "lock", state = "taken over", from = dead, holder = self.store.lease.me })
    if ok then return end
    if attempt == FENCES or not self.store:unfenced(e) then error(e, 0) end
    self.pending = {}
  end
end

--- Opens a journal. Reading takes no lock and makes no file.
---@param o { name: string, dir?: string, at?: string, write?: boolean } at: s3://bucket/key, else a file in dir (".hkrun")
---@return table journal with `memory`, the state that the records add up to, and `dead`, the holder that was found dead
function M.open(o)
  local store = o.at and require("journal.s3").new(o.at, o.name) or file.new(o.dir or DIR, o.name)
  local self = setmetatable({ name = o.name, store = store, path = store.path, pending = {}, writes = o.write or false }, Journal)
  if o.write then self.dead = store:lock() end
  local ok, e = pcall(take_in, self, self.dead)
  if not ok then
    self.pending = {}
    self:close()
    errors.raise(e)
  end
  return self
end

--- Puts away what was written since the last time.
local function flush(self)
  local lines = table.concat(self.pending)
  self.pending, self.committing = {}, nil
  self.store:append(lines)
end

--- Waits until all that was written is kept: the first to come lets the other tasks of this turn of the loop write theirs,
--- then syncs for all of them. What comes meanwhile is the next group.
local function commit(self)
  local group = self.committing
  if group then
    while not group.done do task.sleep(self.store.turn) end
    if group.err then errors.raise(group.err) end
    return
  end
  group = { done = false }
  self.committing = group
  if task.current() then task.sleep(0) end
  while self.flushing do task.sleep(self.store.turn) end     -- one after the other: S3 takes its time
  self.flushing = true
  local ok, err = pcall(flush, self)
  self.flushing = false
  group.done, group.err = true, not ok and err or nil
  if not ok then errors.raise(err) end
end

--- Who is told of each record once it is written: function(record, journal), or nil. It must not wait.
M.on_write = nil

--- Appends one record and keeps it. `at` (UTC) and `t` (seconds) are added. A cancel is held back meanwhile.
---@param rec table plain data with `ev`; a secret anywhere inside is refused
---@param lazy? boolean nothing relies on it: it is kept with the next record
function Journal:write(rec, lazy)
  if not self.writes then errors.raise { op = "write the journal", kind = "closed", message = "it is open for reading only" } end
  rec.t = math.floor(loop.time() * 1000) / 1000
  rec.at = holder.utc(rec.t)
  local line = errors.check("write the journal", json.encode(rec))
  if secret.is(line) then
    errors.raise { op = "write the journal", kind = "invalid", message = "a secret must not be kept in it" }
  end
  self.pending[#self.pending + 1] = line .. "\n"
  local kept = json.decode(line)
  memory.add(self.memory, kept)
  if not lazy then task.shield(commit, self) end
  if M.on_write then M.on_write(kept, self) end
end

--- All records, oldest first.
---@return table[]
function Journal:records()
  local list = {}
  for line in self.store:read():gmatch "([^\n]+)\n" do
    list[#list + 1] = json.decode(line)
  end
  return list
end

--- The records of the recipe's other targets, where the journals are files in one folder.
---@return table[]
function Journal:others()
  local list, dir = {}, self.store.dir
  for _, name in ipairs(dir and file.list(dir, (self.name:match "^[^.]*")) or {}) do
    local ok, other = pcall(M.open, { name = name, dir = dir })
    for _, rec in ipairs(ok and name ~= self.name and other:records() or {}) do list[#list + 1] = rec end
  end
  return list
end

--- Who has the journal's lock: nil if nobody; `alive` is false for one that died.
---@return { alive: boolean, pid: integer, user: string, host: string, since: string }?
function Journal:holder() return self.store:holder() end

--- Lets the lock go. Safe twice.
function Journal:close()
  local writes = self.writes
  self.writes = false
  local ok, e = true, nil
  if writes and self.pending[1] and not self.store.lost then ok, e = pcall(flush, self) end
  self.store:close()
  if not ok then error(e, 0) end
end

--- A run that was cancelled because another one took the journal over ends with that.
function Journal:__close(e)
  self:close()
  if errors.is(e, "cancelled") and self.store.lost then errors.raise(self.store.lost) end
end

return M
