--- A journal in a file: JSON lines in `.hkrun/NAME.journal`, only ever appended to, on disk before `append` returns. The
--- directory is for the owner only (0700), so are the files (0600). A last line that was torn by a crash is cut off by
--- the next writer. `NAME.lock` is held (flock) while a run writes; the kernel lets it go when the holder dies, however
--- it dies. On NFS the lock is the server's (Linux makes a byte-range lock of it), unless it is mounted with nolock.
local errors = require "errors"
local fs = require "fs"
local holder = require "journal.holder"
local host = require "host.journal"
local json = require "json"
local task = require "task"

local Store = { turn = 0 }                                   -- seconds between two looks whether a write is through
Store.__index = Store

local M = {}

--- Who is named in the lock file.
local function named(path)
  local ok, bytes = pcall(fs.read, path)
  local who = ok and bytes ~= "" and json.decode(bytes) or nil
  return type(who) == "table" and who or nil
end

---@param dir string
---@param name string
function M.new(dir, name)
  local base = dir .. "/" .. name
  return setmetatable({ dir = dir, base = base, path = base .. ".journal", lock_path = base .. ".lock", size = 0 }, Store)
end

--- The names of the journals in a folder that begin with a recipe's name.
---@param dir string
---@param plain string
---@return string[]
function M.list(dir, plain)
  local list = {}
  for _, f in ipairs(fs.exists(dir) and fs.list(dir) or {}) do
    local base = f:match "^(.*)%.journal$"
    if base and (base == plain or base:sub(1, #plain + 1) == plain .. ".") then list[#list + 1] = base end
  end
  return list
end

--- Everything that is in it, whole lines or not.
function Store:read()
  local bytes = fs.exists(self.path) and fs.read(self.path) or ""
  self.size = #bytes
  return bytes
end

--- Who holds the lock that another process has: one that has just taken it may not have written its name over that of
--- the last holder yet.
local function living(path)
  for _ = 1, 50 do
    local who = named(path)
    if who and holder.lives(who) ~= false then return who end
    task.sleep(0.02)
  end
  return named(path)
end

--- Takes the lock, or raises "locked".
---@return table? dead the holder that left no goodbye
function Store:lock()
  if not fs.exists(self.dir) then fs.mkdir_p(self.dir) end
  errors.check("protect " .. self.dir, host.private(self.dir))
  local path = self.lock_path
  local lock = errors.check("open " .. path, host.open(path))
  local held, err
  for attempt = 1, 4 do                                      -- `hkrun status` holds it for a moment
    held, err = lock:lock()
    if held ~= false or attempt == 4 then break end
    task.sleep(0.03)
  end
  if not held then
    lock:close()
    if held == nil then errors.check("lock " .. path, nil, err) end
    M.refuse(living(path))
  end
  local dead = named(path)
  self.locked = lock
  errors.check("write " .. path, lock:truncate(0))
  errors.check("write " .. path, lock:append(errors.check("name the holder", json.encode(holder.me(), { sort = true })) .. "\n"))
  return dead
end

--- Raises that another run has it.
---@param who table?
---@param more string? what else is known
function M.refuse(who, more)
  errors.raise {
    op = "start a run", kind = "locked", message = (who and "another run has it: " .. holder.title(who) or "another run has it") .. (more or ""),
    hint = "wait until it has ended",
  }
end

--- Who has it now: nil if nobody; `alive` is false for one that died.
---@return { alive: boolean, pid: integer, user: string, host: string, since: string }?
function Store:holder()
  local who = named(self.lock_path)
  if not who then return nil end
  local lock = errors.check("open " .. self.lock_path, host.open(self.lock_path))
  who.alive = lock:lock "shared" == false
  lock:close()
  return who
end

--- Cuts off what is behind the last whole line.
function Store:repair(size) self.torn_at = size end

--- Appends lines; they are on disk when it returns.
function Store:append(lines)
  if not self.file then
    self.file = errors.check("open " .. self.path, host.open(self.path))
    if self.torn_at then errors.check("repair " .. self.path, self.file:truncate(self.torn_at)) end
  end
  errors.check("write " .. self.path, self.file:append(lines))
end

--- Lets the lock go. Safe twice.
function Store:close()
  if self.file then self.file:close() end
  if self.locked then
    self.locked:truncate(0)
    self.locked:close()
  end
  self.file, self.locked = nil, nil
end

return M
