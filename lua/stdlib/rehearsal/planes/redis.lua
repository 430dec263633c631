--- A real redis-server as the managed services run it: TLS, a password, their
--- settings, and not as root. For tests and the rehearsal.
local errors = require "errors"
local fs = require "fs"
local options = require "options"
local prefixed = require "rehearsal.planes.prefix"
local process = require "process"
local redis = require "redis"
local secret = require "secret"
local sign = require "sign"
local task = require "task"
local text = require "text"

local M = {}

-- What ElastiCache and Heroku take away from their users.
local managed_away = { "CONFIG", "DEBUG", "MIGRATE", "REPLICAOF", "SLAVEOF", "SAVE", "BGSAVE", "BGREWRITEAOF", "SHUTDOWN", "PSYNC", "SYNC" }
M.managed_away = managed_away

local declared = {
  { "dir", "its own data folder", type = "string", required = true },
  { "host", "address to listen on", type = "string", default = "127.0.0.1" },
  { "port", "port; a free one by default", type = "integer" },
  { "password", "what AUTH wants", type = "secret" },
  { "tls", "only TLS; self-signed unless cert and key are given", type = "boolean", default = false },
  { "cert", "certificate file", type = "string" },
  { "key", "key file", type = "string" },
  { "managed", "take away what a managed service takes away (CONFIG, ...)", type = "boolean", default = false },
  { "owner_config", "the name that CONFIG gets instead of being taken away, for the owner", type = "string" },
  { "program", "the server's program, another version's", type = "string", default = "redis-server" },
  { "settings", "further redis.conf settings by name", type = "table", default = {} },
  { "prefix", "words before the command: a network namespace", type = "list" },
}

---@class planes.Redis
---@field host string
---@field port integer
---@field url string|userdata
---@field pid integer
---@field cert? string the certificate it shows
local Server = {}
Server.__index = Server

--- redis.conf; it goes through standard input, so that the password is in no file.
local function configuration(o, files)
  local lines = {
    "bind " .. o.host, "protected-mode no", "dir " .. o.dir, 'save ""', "appendonly no", "daemonize no", "databases 16",
    "port " .. (o.tls and 0 or o.port),
  }
  if o.tls then
    lines[#lines + 1] = "tls-port " .. o.port
    lines[#lines + 1] = "tls-cert-file " .. files.cert
    lines[#lines + 1] = "tls-key-file " .. files.key
    lines[#lines + 1] = "tls-auth-clients no"
  end
  if o.managed then
    for _, name in ipairs(managed_away) do
      lines[#lines + 1] = ("rename-command %s %s"):format(name, name == "CONFIG" and o.owner_config or '""')
    end
  end
  for name, value in pairs(o.settings) do lines[#lines + 1] = name .. " " .. tostring(value) end
  table.sort(lines)
  local conf = table.concat(lines, "\n") .. "\n"
  return o.password and text("%srequirepass %s\n", conf, secret.encode(o.password, "json")) or conf
end

--- The server runs as nobody: the files must be its own.
local function own(path)
  if fs.uid() == 0 then fs.chown(path, "nobody") end
  return path
end

--- The server's certificate and key as files that it can read. Heroku's
--- servers have one that signs itself; so has this one unless it is given another.
local function certificate(o)
  if not o.tls then return nil end
  local mine = { cert = fs.join(o.dir, "server.pem"), key = fs.join(o.dir, "server.key") }
  local pair = not o.cert and sign.make_ca { name = "redis" }
  fs.write(mine.cert, pair and pair.cert or fs.read(o.cert))
  fs.write(mine.key, pair and pair.key or fs.read(o.key), 384)
  own(mine.cert)
  own(mine.key)
  return mine
end

local function feed(p, conf)
  local offset, size = 0, secret.size(conf)
  while offset < size do
    local ok, reached = p.handle:write(conf, offset)
    if ok == nil then errors.raise(reached) end
    if ok then offset = reached else task.wait_fd(p.handle:fd "stdin", reached, 5) end
  end
  p.handle:close_stdin()
end

local function wait_ready(self, where)
  local deadline, last = task.now() + 20, nil
  while task.now() < deadline do
    if not self.process:is_running() then break end
    local ok, r = pcall(redis.open, where, { timeout = 5 })
    if ok then r:close() return end
    last = r
    if errors.is(r, "cancelled") then error(r, 0) end
    task.sleep(0.03)
  end
  self:stop()
  local log = fs.exists(self.log) and fs.read(self.log):match "([^\n]*)\n*$" or ""
  errors.raise { kind = "io", op = "start redis-server on port " .. self.port, message = log, cause = last }
end

--- Starts a server and waits until it answers.
---@param o table see `declared`
---@return planes.Redis
function M.start(o)
  o = options.check(o, declared, "planes.redis.start")
  o.port = o.port or fs.free_port(o.host)
  fs.mkdir_p(o.dir)
  own(o.dir)
  local files = certificate(o)
  local log = fs.join(o.dir, "redis.log")
  fs.append(log, "")
  local said_before = fs.stat(log).size
  own(log)
  local scheme = o.tls and "rediss" or "redis"
  local url = o.password and text("%s://:%s@%s:%d", scheme, secret.encode(o.password, "url"), o.host, o.port)
    or ("%s://%s:%d"):format(scheme, o.host, o.port)
  local self = setmetatable({ host = o.host, port = o.port, url = url, dir = o.dir, log = log, cert = files and files.cert }, Server)
  local prefix, user = prefixed(o.prefix, "nobody")
  self.process = process.start { o.program, "-", prefix = prefix, user = user, cwd = o.dir, stdin = "pipe",
    stdout = log, stderr = log }
  self.pid = self.process.pid
  feed(self.process, configuration(o, files))
  -- Nobody out here can ask it inside a network namespace, nor trusts every certificate: its log tells.
  if o.tls or o.prefix and #o.prefix > 0 then self:wait_log(said_before) else wait_ready(self, url) end
  return self
end

---@param from integer bytes of the log that are of an earlier run
function Server:wait_log(from)
  local deadline = task.now() + 20
  while task.now() < deadline and self.process:is_running() do
    if fs.read(self.log):find("Ready to accept connections", from + 1, true) then return end
    task.sleep(0.03)
  end
  self:stop()
  errors.raise { kind = "io", op = "start redis-server on port " .. self.port, message = fs.read(self.log):match "([^\n]*)\n*$" }
end

--- Ends the server. Safe twice.
function Server:stop() self.process:stop(5) end
function Server:kill() self.process:kill "KILL" end
Server.__close = Server.stop

return M
