--- Who holds a journal: how a run names itself in a lock, and whether the one that is named there still lives.
local fs = require "fs"
local host = require "host.journal"
local loop = require "host.loop"

local M = {}

--- When a process of this machine began, in ticks since the boot; nil if there is none. With it a number that was given
--- to another process since is told apart (proc(5), /proc/PID/stat, field 22).
local function began(pid)
  local ok, line = pcall(fs.read, ("/proc/%d/stat"):format(pid))
  return ok and tonumber((line:match "^.*%) %S+ (.*)$" or ""):match("^" .. ("%S+ "):rep(18) .. "(%d+)")) or nil
end

--- Where process numbers mean the same: this boot of the machine, and in it this container.
local function machine()
  local ok, boot = pcall(fs.read, "/proc/sys/kernel/random/boot_id")
  return ok and ("%s/%s"):format(boot:match "%S+", tostring(began(1))) or nil
end

--- UTC as locks and journals write it.
---@param t number seconds since 1970
---@return string
function M.utc(t) return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(t)) --[[@as string]] end

---@return { pid: integer, user: string, host: string, since: string, began: integer?, machine: string? }
function M.me()
  local me = host.whoami()
  return { pid = me.pid, user = me.user, host = me.host, since = M.utc(loop.time()), began = began(me.pid), machine = machine() }
end

--- Whether the process that a lock names lives; nil where this machine cannot tell.
---@param who table
---@return boolean?
function M.lives(who)
  if not (who.machine and who.began and math.type(who.pid) == "integer") or who.machine ~= machine() then return nil end
  return began(who.pid) == who.began
end

--- "process 4711 of ann on laptop, since 2026-11-23T10:00:00Z"
---@param who table
---@return string
function M.title(who)
  return ("process %s of %s on %s, since %s"):format(tostring(who.pid), tostring(who.user), tostring(who.host), tostring(who.since))
end

return M
