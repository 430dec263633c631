--- A real PostgreSQL cluster on loopback: what an RDS instance or a Heroku
--- Postgres plan is in the rehearsal, and what the tests talk to.
---
--- `rights` sets up what the managed service gives its user:
---   "superuser"  (default) the user is the cluster's superuser
---   "rds"        CREATEDB, CREATEROLE, member of rds_superuser; owns the database
---   "heroku"     owns the database, nothing else
local errors = require "errors"
local fs = require "fs"
local options = require "options"
local process = require "process"
local secret = require "secret"
local sorted_keys = require "sorted_keys"
local task = require "task"

local M = {}

local DECLARED = {
  { "dir", "data folder, made if it is not there; kept by stop()", type = "string", required = true },
  { "host", "address to listen on", type = "string", default = "127.0.0.1" },
  { "port", "port; a free one if not given", type = "integer" },
  { "user", "role", type = "string", default = "postgres" },
  { "password", "its password; without one TCP connections are trusted", type = "secret" },
  { "database", "database, made and owned by the user", type = "string" },
  { "rights", "what the user may do", type = "string", default = "superuser", one_of = { "superuser", "rds", "heroku" } },
  { "cert", "server certificate (PEM)", type = "string" },
  { "key", "its key (PEM)", type = "string" },
  { "admin", "name of the superuser, who comes by the socket only", type = "string", default = "hkrun_admin" },
  { "force_ssl", "refuse plaintext, as rds.force_ssl does", type = "boolean" },
  { "template", "folder that keeps what initdb made, for other clusters of this admin", type = "string" },
  { "settings", "server settings by name", type = "table", default = {} },
  { "prefix", "words before the command, such as ip netns exec NAME", type = "list", default = {} },
  { "bin", "folder of the programs, of another version than the one installed", type = "string" },
}

local SYSTEM_USER = "postgres"                       -- initdb refuses root

---@class PostgresPlane
---@field host string
---@field port integer
---@field url any secret
---@field admin table endpoint of the superuser over the cluster's own socket
---@field pid integer
local Plane = {}
Plane.__index = Plane

local function own(path) if fs.uid() == 0 then fs.chown(path, SYSTEM_USER) end end

local function run(what, o)
  o.user, o.timeout = SYSTEM_USER, o.timeout or 60
  local r = process.run(o)
  if r.code ~= 0 then
    errors.raise { op = what, kind = "io", code = r.code, message = (r.stderr ~= "" and r.stderr or r.stdout):gsub("%s+$", "") }
  end
end

local function program(o, name) return o.bin and fs.join(o.bin, name) or name end

local function make_folder(dir)
  fs.mkdir_p(dir, 448)                               -- 0700
  own(dir)
end

local function copy(from, to) run("copy a database cluster to " .. to, { "cp", "-a", from .. "/.", to, cwd = to }) end

--- Copying a cluster takes a tenth of the time of making one.
local function initialize(o, data)
  make_folder(data)
  own(o.dir)
  if o.template and fs.exists(o.template .. "/PG_VERSION") then return copy(o.template, data) end
  run("make a database cluster in " .. data, { program(o, "initdb"), "-D", data, "-U", o.admin, "-A", "trust", "-E", "UTF8",
    "--locale=C.UTF-8", "--no-sync", cwd = data })
  if not o.template then return end
  local part = ("%s.%d"):format(o.template, o.port)
  make_folder(part)
  copy(data, part)
  if not pcall(fs.rename, part, o.template) then fs.rmtree(part) end   -- another was faster
end

local function write_own(path, bytes)
  fs.write(path, bytes, 384)                         -- 0600
  own(path)
end

local function write_access(o, data)
  local auth, kind = o.password and "scram-sha-256" or "trust", o.force_ssl and "hostssl" or "host"
  write_own(data .. "/pg_hba.conf", table.concat({
    "local all all trust",                           -- the socket lies in the 0700 data folder
    ("host all %s all reject"):format(o.admin),
    ("%s all all 0.0.0.0/0 %s"):format(kind, auth), ("%s all all ::/0 %s"):format(kind, auth), "" }, "\n"))
end

local function configure(o, data)
  write_access(o, data)
  local lines = {
    ("listen_addresses = '%s'"):format(o.host), ("port = %d"):format(o.port), ("unix_socket_directories = '%s'"):format(data),
    "fsync = off", "full_page_writes = off", "max_connections = 60", "shared_buffers = 32MB", "log_min_messages = warning",
    "timezone = 'UTC'", "dynamic_shared_memory_type = posix", "password_encryption = 'scram-sha-256'",
  }
  if o.cert then
    write_own(data .. "/server.crt", fs.read(o.cert))
    write_own(data .. "/server.key", fs.read(o.key))
    lines[#lines + 1] = "ssl = on"
  end
  local names = sorted_keys(o.settings)
  for _, name in ipairs(names) do lines[#lines + 1] = ("%s = '%s'"):format(name, tostring(o.settings[name]):gsub("'", "''")) end
  write_own(data .. "/postgresql.auto.conf", "")
  write_own(data .. "/postgresql.conf", table.concat(lines, "\n") .. "\n")
end

--- The superuser's endpoint: the socket in the data folder, no password.
local function admin(o, data, database)
  return { host = data, port = o.port, user = o.admin, database = database or "postgres" }
end

local function wait_ready(plane, o, data)
  local pg = require "pg"
  local deadline = task.now() + 60
  while true do
    local ok, conn = pcall(pg.open, admin(o, data), { attempts = 1 })
    if ok then return conn end
    if errors.is(conn, "cancelled") then error(conn, 0) end
    if not plane.process:is_running() or task.now() > deadline then
      local log = fs.exists(plane.log) and fs.read(plane.log) or ""
      errors.raise { op = "start PostgreSQL in " .. data, kind = "io", message = log:sub(-600):gsub("%s+$", "") }
    end
    task.sleep(0.05)
  end
end

--- Passes a password without its standing in SQL text: a secret as parameter.
local function alter_password(conn, role, password)
  conn:query("SELECT set_config('hkrun.password', $1, false)", password)
  conn:exec(([[DO $$ BEGIN EXECUTE format('ALTER ROLE %%I PASSWORD %%L', %s, current_setting('hkrun.password')); END $$;
    RESET hkrun.password]]):format(require("pg").quote_value(role)))
end

--- The roles of RDS, and what rds_superuser may do of what needs a superuser elsewhere.
local RDS_ROLES = [[
  CREATE ROLE rds_superuser; CREATE ROLE rds_replication; CREATE ROLE rds_password; CREATE ROLE rds_iam; CREATE ROLE rds_ad;
  GRANT pg_monitor, pg_signal_backend, rds_replication, rds_password TO rds_superuser WITH ADMIN OPTION;
]]
local RDS_ROLES_15 = [[
  GRANT pg_checkpoint TO rds_superuser WITH ADMIN OPTION;
  GRANT SET ON PARAMETER session_replication_role, log_min_duration_statement, log_statement, temp_file_limit, track_functions
    TO rds_superuser;
]]

local function set_up(conn, o)
  local pg = require "pg"
  local role = pg.quote_name(o.user)
  if not conn:value("SELECT 1 FROM pg_roles WHERE rolname = $1", o.user) then
    conn:exec("CREATE ROLE " .. role .. " LOGIN" .. ({ superuser = " SUPERUSER", rds = " CREATEDB CREATEROLE", heroku = "" })[o.rights])
    if o.rights == "rds" then
      -- In RDS membership of rds_replication is the right to replicate; here an attribute is, and those are not inherited.
      conn:exec(RDS_ROLES)
      if conn:info().version >= 150000 then conn:exec(RDS_ROLES_15) end
      conn:exec(("GRANT rds_superuser TO %s; ALTER ROLE %s REPLICATION"):format(role, role))
    end
  end
  if o.password then alter_password(conn, o.user, o.password) end
  if o.database and not conn:value("SELECT 1 FROM pg_database WHERE datname = $1", o.database) then
    conn:exec("CREATE DATABASE " .. pg.quote_name(o.database) .. " OWNER " .. role)
  end
end

--- Starts a cluster (makes it first where the folder is empty).
---@param given table see DECLARED
---@return PostgresPlane
function M.start(given)
  local o = options.check(given, DECLARED, "postgres.start")
  o.port = o.port or fs.free_port()
  local data = fs.join(o.dir, "data")
  fs.mkdir_p(o.dir, 493)
  if fs.uid() == 0 then
    local parent = fs.stat(o.dir:match "^(.+)/[^/]+/?$" or "/")
    if parent and parent.mode % 2 == 0 then          -- the servers' user must be able to pass through
      fs.chmod(o.dir:match "^(.+)/[^/]+/?$", 457)    -- 0711
    end
  end
  if not fs.exists(data .. "/PG_VERSION") then initialize(o, data) end
  configure(o, data)
  local plane = setmetatable({ host = o.host, port = o.port, dir = o.dir, options = o, log = fs.join(o.dir, "log"), admin = admin(o, data,
    o.database) }, Plane)
  local prefix = {}
  if #o.prefix > 0 then
    table.move(o.prefix, 1, #o.prefix, 1, prefix)
    if fs.uid() == 0 then                            -- entering a namespace needs root: give it up after that
      for word in ("setpriv --reuid=USER --regid=USER --init-groups --pdeathsig KILL --"):gsub("USER", SYSTEM_USER):gmatch "%S+" do
        prefix[#prefix + 1] = word
      end
    end
  end
  plane.process = process.start { program(o, "postgres"), "-D", data, user = #prefix == 0 and SYSTEM_USER or nil, prefix = prefix, cwd = data,
    stdout = plane.log, stderr = plane.log, env = { PATH = os.getenv "PATH" or "/usr/bin:/bin", LANG = "C.UTF-8" } }
  plane.pid = plane.process.pid
  local ok, e = pcall(function()
    local conn <close> = wait_ready(plane, o, data)
    set_up(conn, o)
  end)
  if not ok then
    plane:stop()
    error(e, 0)
  end
  plane.url = secret.build_url { scheme = "postgres", user = o.user, password = o.password, host = o.host, port = o.port,
                                 path = "/" .. (o.database or "postgres") }
  return plane
end

--- Gives a role another password.
function Plane:set_password(role, password)
  local conn <close> = require "pg".open(self.admin)
  alter_password(conn, role, password)
end

--- Changes settings that need no restart, and whether TLS is forced.
---@param settings table<string, string>
---@param force_ssl boolean
function Plane:reload(settings, force_ssl)
  local pg = require "pg"
  self.options.force_ssl = force_ssl
  write_access(self.options, fs.join(self.dir, "data"))
  local conn <close> = pg.open(self.admin)
  conn:exec "ALTER SYSTEM RESET ALL"
  for name, value in pairs(settings) do
    conn:exec(("ALTER SYSTEM SET %s = %s"):format(pg.quote_name(name), pg.quote_value(tostring(value))))
  end
  conn:query "SELECT pg_reload_conf()"
end

--- Stops it (open sessions are ended); safe twice.
function Plane:stop()
  if self.process then self.process:stop(20, "INT") end
  self.process = nil
end

--- Kills it as a crash would.
function Plane:crash()
  if self.process then
    self.process:kill "QUIT"
    self.process:stop(20, "QUIT")
  end
  self.process = nil
end

Plane.__close = Plane.stop

return M
