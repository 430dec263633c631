--- SSH: commands, files and tunnels on another machine. The host's key is
--- always checked; nothing is accepted blindly.
---
---     local s <close> = ssh.open { host = bastion.address, user = "ec2-user", key = key, host_key = keys }
---     print(s:run("uptime").stdout)
---     local t = s:tunnel "db.internal:5432"      -- 127.0.0.1, t.port
local host = require "host.ssh"
local task = require "task"
local errors = require "errors"
local options = require "options"
local fs = require "fs"

local M = {}

local OUTPUT_LIMIT = 64 << 20           -- bytes that one command may print

---@class SshSession
---@field name string "user@host:port"
local Session = {}
Session.__index = Session

---@class SshTunnel
---@field host string 127.0.0.1, or the address of a private one
---@field port integer
local Tunnel = {}
Tunnel.__index = Tunnel

local hints = {
  timeout = "is the machine up, and does its security group let this address in on the ssh port?",
  unreachable = "is the machine up, and is there a route to it?",
  refused = "does sshd run there, and on this port?",
  host_key_changed = "it may be another machine: if it was replaced, give its new key as host_key or correct known_hosts",
  host_key_unknown = "give its key as host_key, or add it to known_hosts after comparing the fingerprint",
  key_refused = "is it the key that the machine was started with, and the right user?",
}

local function fail(op, err)
  errors.raise { op = op, kind = err.kind, message = err.message, code = err.code, retry = err.retry,
                 hint = hints[err.code], cause = err }
end

--- Waits for a handle of host.ssh; returns what its result() gives after the
--- first value. Raises kind "timeout" when the time is over.
local function await(handle, op, seconds)
  local deadline = task.now() + seconds
  while true do
    local r = table.pack(handle:result())
    if r[1] == nil then fail(op, r[2]) end
    if r[1] then return table.unpack(r, 1, r.n) end
    local left = deadline - task.now()
    if left <= 0 then
      fail(op, { kind = "timeout", code = "timeout", message = ("no answer in %.3g s"):format(seconds), retry = true })
    end
    task.await(handle:id(), left)
  end
end

--- Closes a handle and forgets an id that became ready meanwhile.
local function drop(handle)
  local ok, id = pcall(handle.id, handle)
  handle:close()
  if ok then task.forget(id) end
end

local function home() return os.getenv "HOME" or "" end

local function expand(path)
  return (path:gsub("^~/", home() .. "/"):gsub("^%%d/", home() .. "/.ssh/"))
end

--- What ~/.ssh/config says of a host; {} without that file.
local function from_config(name)
  local path = home() .. "/.ssh/config"
  if not fs.exists(path) then return {} end
  local found, err = host.config(name, path)
  if not found then fail("read " .. path, err) end
  if found.proxy and found.proxy ~= "none" then
    errors.raise { op = "connect to " .. name, kind = "invalid",
      message = path .. " says ProxyJump or ProxyCommand, which hkrun does not do",
      hint = "open a session to the jump host and use its tunnel" }
  end
  return found
end

--- The key kinds to ask the server for, when the expected keys tell them.
local function key_types(lines)
  local kinds, seen = {}, {}
  for _, line in ipairs(lines) do
    local kind = line:match "^(%S+)%s+%S"
    if not kind then return nil end
    kind = kind == "ssh-rsa" and "rsa-sha2-512,rsa-sha2-256" or kind
    if not seen[kind] then kinds[#kinds + 1] = kind end
    seen[kind] = true
  end
  return #kinds > 0 and table.concat(kinds, ",") or nil
end

local function expected_keys(given)
  local lines = type(given) == "string" and { given } or given or {}
  local keys = {}
  for i, line in ipairs(lines) do
    line = line:match "^%s*(.-)%s*$"
    keys[i] = line:match "^%S+%s+(%S+)" or line
    if not line:find "^SHA256:" then errors.check("use the host key", host.fingerprint(line)) end
  end
  return keys, key_types(lines)
end

--- Which keys to try, and whether the agent: the given one, or the config's,
--- the agent's and the usual files.
local function login_keys(key, config)
  if key then return { type(key) == "string" and not key:find "^%-%-%-%-%-BEGIN" and expand(key) or key }, false end
  local keys = {}
  local usual = { config.identity or false, "~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa" }
  for _, path in ipairs(usual) do
    path = path and expand(path)
    if path and fs.exists(path) then
      keys[#keys + 1] = path
    elseif path and path == config.identity then
      errors.raise { op = "log in", kind = "not_found", message = "there is no key " .. path }
    end
  end
  return keys, os.getenv "SSH_AUTH_SOCK" ~= nil
end

local declared = {
  { "host", "name or address of the machine", type = "string", required = true },
  { "port", "port of sshd (22)", type = "integer" },
  { "user", "who to log in as", type = "string" },
  { "key", "private key: a secret, or the path of a file", type = "any" },
  { "host_key", "the machine's public key, \"ssh-ed25519 AAAA...\", its fingerprint \"SHA256:...\", or a list", type = "any" },
  { "known_hosts", "file of known host keys (~/.ssh/known_hosts)", type = "string" },
  { "timeout", "seconds to connect and log in", type = "number", default = 20 },
}

--- Connects and logs in. Without `key`: the key of ~/.ssh/config, the usual
--- key files, then ssh-agent. Without `host_key` and `known_hosts`:
--- ~/.ssh/known_hosts. Raises kinds "network", "timeout", "auth" (code
--- host_key_changed, host_key_unknown, key_refused), "invalid".
---@param o table { host=, port=, user=, key=, host_key=, known_hosts=, timeout= }
---@return SshSession
function M.open(o)
  o = options.check(o, declared, "ssh.open")
  local config = from_config(o.host)
  local address = config.host or o.host
  local port = o.port or config.port or 22
  local user = o.user or config.user or os.getenv "USER" or os.getenv "LOGNAME" or "root"
  local name = ("%s@%s:%d"):format(user, o.host, port)
  local op = "connect to " .. name
  local keys, agent = login_keys(o.key, config)
  local expected, types = expected_keys(o.host_key)
  local known = not o.host_key and expand(o.known_hosts or config.known_hosts or "~/.ssh/known_hosts") or nil
  if #keys == 0 and not agent then
    errors.raise { op = op, kind = "auth", message = "there is no key to log in with",
      hint = "give key=, or name one in ~/.ssh/config" }
  end
  local deadline = task.now() + o.timeout
  local addresses = task.within(o.timeout, op, task.resolve, address)
  for i = #addresses, 9, -1 do addresses[i] = nil end
  local handle, err = host.connect(address, addresses, port, user, keys, agent, expected, types, known)
  if not handle then fail(op, err) end
  local ok, e = pcall(await, handle, op, math.max(0.001, deadline - task.now()))
  if not ok then drop(handle) error(e, 0) end
  return setmetatable({ handle = handle, name = name, tunnels = {}, timeout = o.timeout }, Session)
end

--- A new ed25519 key pair, made in memory.
---@return { private: any, public: string } private is a secret in OpenSSH's form
function M.keygen()
  local private, public = host.keygen()
  errors.check("make an ssh key", private, public)
  return { private = private, public = public }
end

--- The public line of a private key.
function M.public_key(private)
  return (errors.check("read the private key", host.public(private)))
end

--- "SHA256:..." of a public key line, as ssh-keygen -l prints it.
function M.fingerprint(line)
  return (errors.check("read the public key", host.fingerprint(line)))
end

local run_options = {
  { "stdin", "bytes for the command's standard input", type = "any" },
  { "timeout", "seconds the command may take", type = "number", default = 600 },
}

--- Runs a command in the login shell. A code that is not 0 is an answer, not
--- an error; when a signal ended it, code is nil and `signal` its name.
---@param command string or a secret
---@param o? { stdin: any, timeout: number }
---@return { code: integer?, signal: string?, stdout: string, stderr: string }
function Session:run(command, o)
  o = options.check(o or {}, run_options, "session:run")
  local op = "run a command on " .. self.name
  local handle, err = self.handle:exec(command, o.stdin, OUTPUT_LIMIT)
  if not handle then fail(op, err) end
  local r = table.pack(pcall(await, handle, op, o.timeout))
  drop(handle)
  if not r[1] then error(r[2], 0) end
  return { code = r[3], signal = r[4], stdout = r[5], stderr = r[6] }
end

local copy_options = {
  { "timeout", "seconds the copy may take", type = "number", default = 3600 },
  { "progress", "called with bytes done and bytes in all", type = "function" },
}

local function copy(self, direction, from, to, here, there, o)
  o = options.check(o or {}, copy_options, "session:" .. direction)
  local op = ("copy %s to %s on %s"):format(from, to, self.name)
  local ok, live = pcall(self.handle.result, self.handle)
  if not ok or not live then fail(op, { kind = "closed", message = "the session is closed" }) end
  local handle, err = self.handle:transfer(direction, here, there)
  if not handle then fail(op, err) end
  local deadline = task.now() + o.timeout
  local r = table.pack(pcall(function()
    while o.progress and not handle:result() do
      task.await(handle:id(), 0.2)
      o.progress(handle:progress())
      if task.now() > deadline or handle:result() == nil then break end
    end
    return await(handle, op, math.max(0.001, deadline - task.now()))
  end))
  drop(handle)
  if not r[1] then error(r[2], 0) end
  return r[3]
end

--- Copies a file there by sftp, with its mode; returns its bytes.
function Session:put(here, there, o) return copy(self, "put", here, there, here, there, o) end

--- Copies a file here by sftp: whole or not at all; returns its bytes.
function Session:get(there, here, o) return copy(self, "get", there, here, here, there, o) end

local TUNNEL = { { "private", "without a port that listens", type = "boolean", default = false } }

--- A port on 127.0.0.1 that leads to "host:port" as the machine sees it. Made
--- once for each target, closed with the session; a tunnel that ended is made
--- anew. Only this user and root of this machine may use it. With `private`
--- no port listens: the address that it has then, of 240.0.0.0/4, leads there
--- for connections of this process alone (pg.open takes that way).
---@param target string "db.internal:5432"
---@param o? { private: boolean }
---@return SshTunnel
function Session:tunnel(target, o)
  local name, port = target:match "^%[?([^%]]+)%]?:(%d+)$"
  if not name then errors.usage("a tunnel's target looks like host:port, not %s", target) end
  local op = ("open a tunnel to %s through %s"):format(target, self.name)
  if not self.tunnels then fail(op, { kind = "closed", message = "the session is closed" }) end
  local private = options.check(o or {}, TUNNEL, "session:tunnel").private
  local key = private and "private " .. target or target
  local t = self.tunnels[key]
  if t and t.handle:result() == nil then t:close() t = nil end
  if not t then
    local handle, err = self.handle:tunnel(name, math.tointeger(tonumber(port)), private)
    if not handle then fail(op, err) end
    t = setmetatable({ target = target, private = private, handle = handle, session = self, key = key }, Tunnel)
    self.tunnels[key] = t
  end
  local ok, found = pcall(await, t.handle, op, self.timeout)
  if not ok then t:close() error(found, 0) end
  if private then t.host, t.port = ("240.0.%d.%d"):format(found >> 8, found & 255), math.tointeger(tonumber(port))
  else t.host, t.port = "127.0.0.1", found end
  return t
end

--- Why the last connection was not carried, or nil.
---@return string?
function Tunnel:last_error() return (self.handle:last_error()) end

--- Bytes sent and received, connections open now, connections in all.
function Tunnel:counts() return self.handle:counts() end

--- Stops the tunnel and ends what runs through it. Safe twice.
function Tunnel:close()
  local all = self.session.tunnels
  if all and all[self.key] == self then all[self.key] = nil end
  drop(self.handle)
end
Tunnel.__close = Tunnel.close

--- The cipher that was agreed on.
function Session:cipher() return self.handle:cipher() end

--- Closes the session and its tunnels. Safe twice.
function Session:close()
  local tunnels = self.tunnels
  self.tunnels = nil
  for _, t in pairs(tunnels or {}) do t:close() end
  drop(self.handle)
end
Session.__close = Session.close

return M
