--- The journal of one recipe and its target: JSON lines in `.hkrun/NAME.journal`, only ever appended to, on disk before
--- `write` returns. The directory is for the owner only (0700), so are the files (0600). A last line that was torn by
--- a crash is cut off by the next writer. `NAME.lock` is held (flock) while a run writes; the kernel lets it go when
--- the holder dies, however it dies.
local errors = require "errors"
local fs = require "fs"
local host = require "host.journal"
local json = require "json"
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

local function replay(path)
  local m, good, bad = memory.new(), 0, nil
  if not fs.exists(path) then return m, 0, false end
  local bytes = fs.read(path)
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
  if bad then
    if bytes:find("\n", bytes:find("\n", at, true) + 1, true) then
      errors.raise {
        op = "read the journal " .. path, kind = "invalid", message = "line " .. bad .. " is not JSON",
        hint = "move the file away: the next apply finds things again by name and tag",
      }
    end
    return m, good, true                                     -- only the last line: a torn block of a crashed disk
  end
  return m, good, good < #bytes
end

local function holder(path)
  local ok, bytes = pcall(fs.read, path)
  local who = ok and bytes ~= "" and json.decode(bytes) or nil
  return type(who) == "table" and who or nil
end

local function take_lock(self)
  local path = self.base .. ".lock"
  local lock = errors.check("open " .. path, host.open(path))
  local held, err = lock:lock()
  if held == nil then
    lock:close()
    errors.check("lock " .. path, nil, err)
  end
  if not held then
    lock:close()
    local who = holder(path)
    errors.raise {
      op = "start a run of " .. self.name, kind = "locked",
      message = who and string.format("another run has it: process %s of %s on %s, since %s",
        tostring(who.pid), tostring(who.user), tostring(who.host), tostring(who.since))
        or "another run has it",
      hint = "wait until it has ended",
    }
  end
  self.dead = holder(path)                                   -- its owner left no goodbye: it died
  self.lock = lock
  local me = host.whoami()
  local line = json.encode({ pid = me.pid, user = me.user, host = me.host, since = os.date("!%Y-%m-%dT%H:%M:%SZ") },
    { sort = true })
  errors.check("write " .. path, lock:truncate(0))
  errors.check("write " .. path, lock:append(line .. "\n"))
end

--- Opens a journal. Reading takes no lock and makes no file.
---@param o table `{ name=, dir=".hkrun", write=false }`
---@return table journal with `memory`, the state that the records add up to
function M.open(o)
  local self = setmetatable({ name = o.name, dir = o.dir or ".hkrun", pending = {} }, Journal)
  self.base = self.dir .. "/" .. o.name
  self.path = self.base .. ".journal"
  if o.write then
    if not fs.exists(self.dir) then fs.mkdir_p(self.dir) end
    errors.check("protect " .. self.dir, host.private(self.dir))
    take_lock(self)
  end
  local ok, m, good, torn = pcall(replay, self.path)
  if not ok then
    self:close()
    errors.raise(m)
  end
  self.memory, self.good, self.torn = m, good, torn
  return self
end

--- Puts on disk what was written since the last time.
local function flush(self)
  if not self.file then
    self.file = errors.check("open " .. self.path, host.open(self.path))
    if self.torn then errors.check("repair " .. self.path, self.file:truncate(self.good)) end
  end
  local lines = table.concat(self.pending)
  self.pending, self.committing = {}, nil
  errors.check("write " .. self.path, self.file:append(lines))
end

--- Waits until all that was written is on disk: the first to come lets the other tasks of this turn of the loop write theirs,
--- then syncs for all of them.
local function commit(self)
  local group = self.committing
  if group then
    while not group.done do task.sleep(0) end
    if group.err then errors.raise(group.err) end
    return
  end
  group = { done = false }
  self.committing = group
  if task.current() then task.sleep(0) end
  local ok, err = pcall(flush, self)
  group.done, group.err = true, not ok and err or nil
  if not ok then errors.raise(err) end
end

--- Appends one record and puts it on disk. `at` (UTC) and `t` (seconds) are added. A cancel is held back meanwhile.
---@param rec table plain data with `ev`; a secret anywhere inside is refused
---@param lazy? boolean nothing relies on it: it reaches the disk with the next record
function Journal:write(rec, lazy)
  if not self.lock then errors.raise { op = "write the journal", kind = "closed", message = "it is open for reading only" } end
  rec.t = os.time()
  rec.at = os.date("!%Y-%m-%dT%H:%M:%SZ", rec.t)
  local line = errors.check("write the journal", json.encode(rec))
  if secret.is(line) then
    errors.raise { op = "write the journal", kind = "invalid", message = "a secret must not be kept in it" }
  end
  self.pending[#self.pending + 1] = line .. "\n"
  memory.add(self.memory, json.decode(line))
  if not lazy then task.shield(commit, self) end
end

--- All records, oldest first, for `hkrun log`.
---@param path string
---@return table[]
function M.records(path)
  local list = {}
  for line in fs.read(path):gmatch("([^\n]+)\n") do
    list[#list + 1] = json.decode(line)
  end
  return list
end

--- Lets the lock go. Safe twice.
function Journal:close()
  if self.lock and self.pending[1] then flush(self) end
  if self.file then self.file:close() end
  if self.lock then
    self.lock:truncate(0)
    self.lock:close()
  end
  self.file, self.lock = nil, nil
end
Journal.__close = Journal.close

return M
