--- A real OpenSSH server with a throwaway configuration: the rehearsal's
--- bastion, and the peer of the ssh tests.
---
--- As root it serves any login user, also one that the machine does not have:
--- sshd runs in its own mount and pid namespaces, where /etc/passwd is a copy
--- with that user and /run is empty. Nothing outside is changed, and stopping
--- it ends its sessions too. As an ordinary user it serves that user only, as
--- sshd does; `user` in the result says who to log in as (~/.ssh/config may
--- map it).
local process = require "process"
local task = require "task"
local errors = require "errors"
local fs = require "fs"
local ssh = require "ssh"

local M = {}

---@class Sshd
---@field host string
---@field port integer
---@field user string who to log in as
---@field host_keys string[] "ssh-ed25519 AAAA..."
---@field pid integer
local Sshd = {}
Sshd.__index = Sshd

local function lines_of(v)
  return type(v) == "table" and table.concat(v, "\n") .. "\n" or (v or "") .. "\n"
end

--- sshd looks for users, keys and its own folder here, and nowhere else.
local PRIVATE = [[
set -e
dir=$1 sshd=$2 owner=$3
chown "$owner" "$dir/home"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/home
mkdir /run/home/login
mount --bind "$dir/home" /run/home/login
cp "$dir/authorized_keys" /run/authorized_keys
chmod 644 /run/authorized_keys
mount --bind "$dir/passwd" /etc/passwd
cd /
exec "$sshd" -D -e -f "$dir/sshd_config"
]]

--- /etc/passwd with the login user in it: uid 1000 or the next that is free.
local function passwd_with(user)
  local text, taken, own = fs.read "/etc/passwd", {}, nil
  local kept = {}
  for line in text:gmatch "[^\n]+" do
    local name, uid, gid = line:match "^([^:]*):[^:]*:(%d+):(%d+):"
    if name == user then own = { tonumber(uid), tonumber(gid) } else kept[#kept + 1] = line end
    taken[tonumber(uid) or -1] = true
  end
  local uid = own and own[1] or 1000
  while not own and taken[uid] do uid = uid + 1 end
  local gid = own and own[2] or 65534
  kept[#kept + 1] = ("%s:*:%d:%d::/run/home/login:/bin/sh"):format(user, uid, gid)
  return table.concat(kept, "\n") .. "\n", uid, gid
end

local function config(o, keys_file)
  local text = ([[
Port %d
ListenAddress %s
HostKey %s/host_key
PidFile none
AuthorizedKeysFile %s
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
AllowTcpForwarding yes
MaxStartups 100
PermitRootLogin prohibit-password
UseDNS no
PrintMotd no
Subsystem sftp internal-sftp
LogLevel VERBOSE
]]):format(o.port, o.host, o.dir, keys_file)
  for name, value in pairs(o.settings or {}) do text = ("%s %s\n%s"):format(name, value, text) end
  return text
end

--- The first lines of the log, for an error.
local function log_tail(dir)
  local ok, text = pcall(fs.read, dir .. "/log")
  return ok and text:match "([^\n]*)\n*$" or ""
end

local function is_listening(dir)
  local ok, text = pcall(fs.read, dir .. "/log")
  return ok and text:find("Server listening", 1, true) ~= nil
end

--- Starts it and waits until it listens.
---@param o table { dir=, host="127.0.0.1", port=, user=, authorized_keys= line or list, host_key= private key, prefix=, settings={} }
---@return Sshd
function M.start(o)
  local root = fs.uid() == 0
  o = setmetatable({ host = o.host or "127.0.0.1" }, { __index = o })
  o.port = o.port or fs.free_port(not o.prefix and o.host or nil)
  fs.mkdir_p(o.dir .. "/home")
  o.dir = fs.realpath(o.dir)
  local key = o.host_key
  if not key then
    if fs.exists(o.dir .. "/host_key.pub") then key = false else key = ssh.keygen().private end
  end
  if key then
    fs.write(o.dir .. "/host_key", key, 384)
    fs.write(o.dir .. "/host_key.pub", ssh.public_key(key) .. "\n")
  end
  fs.write(o.dir .. "/authorized_keys", lines_of(o.authorized_keys), 384)
  if fs.exists(o.dir .. "/log") then fs.remove(o.dir .. "/log") end
  local sshd = process.which "sshd" or errors.raise { kind = "not_found", op = "start sshd",
    message = "it is not installed", hint = "`make deps` installs it" }
  local user, words = o.user or os.getenv "USER" or "root"
  if root then
    local passwd, uid, gid = passwd_with(user)
    fs.write(o.dir .. "/passwd", passwd)
    fs.write(o.dir .. "/sshd_config", config(o, "/run/authorized_keys"))
    words = { "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
              "sh", "-c", PRIVATE, "sshd", o.dir, sshd, ("%d:%d"):format(uid, gid) }
  else
    local id = process.run { "id", "-un" }
    user = id.stdout:match "%S+"
    fs.write(o.dir .. "/sshd_config", config(o, o.dir .. "/authorized_keys"))
    words = { sshd, "-D", "-e", "-f", o.dir .. "/sshd_config" }
  end
  words.prefix, words.stderr, words.stdout = o.prefix, o.dir .. "/log", "null"
  words.env = { PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" }
  local p = process.start(words)
  local server = setmetatable({ host = o.host, port = o.port, user = user, dir = o.dir, pid = p.pid, process = p,
    host_keys = { (fs.read(o.dir .. "/host_key.pub"):match "^%s*(.-)%s*$") } }, Sshd)
  local deadline = task.now() + 20
  while not is_listening(o.dir) do
    local over = task.now() > deadline
    if over or not p:is_running() then
      p:stop(1)
      errors.raise { op = ("start sshd on %s:%d"):format(o.host, o.port), kind = over and "timeout" or "io",
        message = log_tail(o.dir) }
    end
    task.sleep(0.02)
  end
  return server
end

--- A known_hosts line for it.
function Sshd:known_hosts()
  local name = self.port == 22 and self.host or ("[%s]:%d"):format(self.host, self.port)
  return name .. " " .. self.host_keys[1] .. "\n"
end

--- The processes below a pid, by /proc.
local function children_of(pid, found)
  for _, name in ipairs(fs.list "/proc") do
    local child = math.tointeger(tonumber(name))
    local ok, stat = pcall(fs.read, child and ("/proc/%d/stat"):format(child) or "")
    if ok and math.tointeger(tonumber(stat:match "%) %S (%d+)")) == pid then
      found[#found + 1] = tostring(child)
      children_of(child, found)
    end
  end
  return found
end

--- Ends it and all its sessions. Safe twice.
function Sshd:stop()
  local p = self.process
  if not p then return end
  self.process = nil
  local sessions = p:is_running() and fs.uid() ~= 0 and children_of(self.pid, {}) or {}
  p:kill "KILL"
  p:stop(5)
  if #sessions > 0 then process.run { "kill", "-KILL", table.unpack(sessions) } end
end
Sshd.__close = Sshd.stop

return M
