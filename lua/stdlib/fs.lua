--- Files and folders. Failures raise; `exists` and `stat` answer.
local host = require "host.fs"
local errors = require "errors"

local M = {}

local function raises(name)
  return function(...)
    local v, err = host[name](...)
    if v == nil then errors.raise(err) end
    return v
  end
end

M.read = raises "read"
M.chmod = raises "chmod"
M.chown = raises "chown"
M.symlink = raises "symlink"
M.realpath = raises "realpath"
M.remove = raises "remove"
M.cwd = host.cwd
M.uid = host.uid
M.has_user = host.has_user
M.lock, M.unlock = host.lock, host.unlock

local append = raises "write"
local rename = raises "rename"
local mkdir = raises "mkdir"
local mkdtemp = raises "mkdtemp"
local list = raises "list"

--- Joins path parts with one slash between.
function M.join(first, ...)
  local path = first
  for _, part in ipairs { ... } do
    path = path:sub(-1) == "/" and path .. part or path .. "/" .. part
  end
  return path
end

--- Writes a file whole or not at all: a temporary file, synced, renamed.
---@param bytes any string or secret
---@param mode? integer 0644 by default, written as 420
function M.write(path, bytes, mode)
  local tmp = ("%s.%d.tmp"):format(path, math.random(0, 1 << 30))
  append(tmp, bytes, mode or 420, false, true)
  rename(tmp, path)
end

--- Appends, and syncs when `sync` is true.
function M.append(path, bytes, mode, sync)
  return append(path, bytes, mode or 420, true, sync)
end

--- Prints bytes to standard output, a secret's too: only for who asks for them in so many words.
---@param bytes any string or secret
M.print = raises "print"

M.rename = rename

--- Waits until a file's bytes are on the disk.
function M.sync(path)
  local op = "write " .. path
  local job <close> = errors.check(op, host.sync(path))
  require "task".await(job:id())
  errors.check(op, job:result())
end

---@return { type: string, size: integer, mode: integer, mtime: number }?
function M.stat(path) return (host.stat(path)) end
function M.exists(path) return host.stat(path) ~= nil end

function M.mkdir_p(path, mode)
  local parent = path:match "^(.+)/[^/]+/?$"
  if parent and not M.exists(parent) then M.mkdir_p(parent, mode) end
  mkdir(path, mode or 493)
end

--- The names in a folder, sorted.
function M.list(path)
  local names = list(path)
  table.sort(names)
  return names
end

function M.rmtree(path)
  local st = host.stat(path)
  if not st then return end
  if st.type == "dir" then
    for _, name in ipairs(M.list(path)) do M.rmtree(M.join(path, name)) end
  end
  M.remove(path)
end

--- A new folder of our own below $TMPDIR or /tmp.
function M.tmpdir(prefix)
  return mkdtemp(M.join(os.getenv "TMPDIR" or "/tmp", prefix or "hkrun-"))
end

--- A TCP port that nobody listens on. For a minute the kernel gives it to nobody else who asks for a free one; whoever listens
--- there has to set SO_REUSEADDR, as servers do.
---@param address? string 127.0.0.1 by default
---@param plain? boolean for programs that may not set it: then another may be faster
function M.free_port(address, plain)
  local port, err = host.free_port(address, plain)
  return (errors.check("find a free port", port, err))
end

return M
