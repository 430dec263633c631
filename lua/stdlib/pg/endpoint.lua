--- Where a PostgreSQL database is and how to get there: a URL (string or
--- secret), or a table { url=, via=, ca=, sslmode=, pin=, insecure= }, or one of
--- parts { host=, port=, user=, password=, database= }.
---
--- TLS: what the URL or the table says; else verify-full where a root
--- certificate is given (ca=, $PGSSLROOTCERT); else "require", and on a loopback
--- address "prefer". A host that is not loopback is never spoken to in clear
--- text unless sslmode=disable says so.
local errors = require "errors"
local options = require "options"
local secret = require "secret"
local task = require "task"

local M = {}

local DECLARED = {
  { "url", "postgres://user:password@host:port/database", type = "any" },
  { "via", "an ssh session to tunnel through", type = "any" },
  { "ca", "file of root certificates (PEM)", type = "string" },
  { "sslmode", "how TLS is used", type = "string",
    one_of = { "disable", "allow", "prefer", "require", "verify-ca", "verify-full" } },
  { "pin", "SHA-256 of the server's certificate, in hex", type = "string" },
  { "insecure", "do not verify the server's certificate", type = "boolean" },
  { "host", "host name or address", type = "string" },
  { "port", "port", type = "integer" },
  { "user", "role", type = "string" },
  { "password", "password", type = "secret" },
  { "database", "database", type = "string" },
}

-- What the query of a URL may say of libpq's parameters. A network that swallows packets is given up after a minute and a half.
local OF_LIBPQ = { connect_timeout = "15", keepalives = "1", keepalives_idle = "30", keepalives_interval = "10", keepalives_count = "6",
                   tcp_user_timeout = "90000", application_name = "hkrun", options = false, target_session_attrs = false, sslcert = false,
                   sslkey = false, channel_binding = false }
local OURS = { sslmode = true, sslrootcert = true }

local function unescape(s)
  return (s:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- The fields of a URL, those that are not secret as strings.
local function parse(url)
  local u = secret.parse_url(url)
  if type(u) ~= "table" or (u.scheme ~= "postgres" and u.scheme ~= "postgresql") then
    errors.usage("a database URL looks like postgres://user:password@host:5432/database")
  end
  local parts = { host = u.host, port = u.port, user = u.user, password = u.password, query = {} }
  local path = u.path and u.path:gsub("^/", "") or ""
  parts.database = path ~= "" and unescape(path) or nil
  if secret.is(u.query) then
    errors.usage("a password in the query of a database URL is not read: write it as user:password@host")
  end
  for name, value in (u.query or ""):gmatch "([^&=]+)=([^&]*)" do
    if OURS[name] or OF_LIBPQ[name] ~= nil then parts.query[name] = unescape(value) end
  end
  return parts
end

local function is_loopback(host)
  return host == "localhost" or host:find "^127%." or host == "::1" or host:sub(1, 1) == "/"
end
M.is_loopback = is_loopback

local function tls(e, from_url, host, direct)
  local mode = e.sslmode or from_url.sslmode
  local ca = e.ca or from_url.sslrootcert or os.getenv "PGSSLROOTCERT"
  if ca == "" then ca = nil end
  if e.insecure or e.pin then
    if mode and mode:find "^verify" then errors.usage("sslmode=%s and insecure or pin exclude each other", mode) end
    return mode or "require", nil
  end
  if mode then return mode, mode:find "^verify" and ca or nil end
  if ca then return "verify-full", ca end
  return direct and is_loopback(host) and "prefer" or "require", nil
end

---@class PgEndpoint
---@field params table libpq's parameters; the password is a secret
---@field name string "database at host:port", for messages
---@field pin? string

--- Reads an endpoint without touching the network.
---@param endpoint any
---@return table
function M.read(endpoint)
  if type(endpoint) ~= "table" then endpoint = { url = endpoint } end
  if endpoint.params and endpoint.name then return endpoint end
  local e = options.check(endpoint, DECLARED, "a database endpoint")
  local parts = e.url and parse(e.url) or { query = {} }
  for _, name in ipairs { "host", "port", "user", "password", "database" } do
    if e[name] ~= nil then parts[name] = e[name] end
  end
  local host, port = parts.host or os.getenv "PGHOST" or "localhost", parts.port or 5432
  local user = parts.user or os.getenv "PGUSER" or os.getenv "USER" or "postgres"
  local database = parts.database or user
  local mode, ca = tls(e, parts.query, host, not e.via)
  local params = {
    host = host, port = tostring(port), user = user, dbname = database, password = parts.password,
    sslmode = mode, sslrootcert = ca or (mode:find "^verify" and "" or "/nonexistent"),
    client_encoding = "UTF8", gssencmode = "disable",
  }
  if params.sslrootcert == "" then params.sslrootcert = nil end
  for name, default in pairs(OF_LIBPQ) do params[name] = parts.query[name] or default or nil end
  return { params = params, host = host, port = port, user = user, database = database, via = e.via,
           pin = e.pin and e.pin:gsub(":", ""):lower() or nil, name = ("%s at %s:%d"):format(database, host, port) }
end

--- Finds the address (or digs the tunnel): afterwards libpq need not look up
--- a name, and still checks the certificate against the real one.
---@return PgEndpoint
function M.reach(endpoint)
  local e = M.read(endpoint)
  if e.params.hostaddr or e.host:sub(1, 1) == "/" then return e end
  if e.via then
    local tunnel = e.via:tunnel(("%s:%d"):format(e.host, e.port), { private = true })
    tunnel.users = (tunnel.users or 0) + 1             -- the session has one for all who go there
    e.tunnel = tunnel
    e.params.hostaddr, e.params.port = tunnel.host, tostring(tunnel.port)
    return e
  end
  local addresses, names, ports = task.resolve(e.host), {}, {}
  for i = 1, #addresses do names[i], ports[i] = e.host, tostring(e.port) end
  e.params.host, e.params.hostaddr = table.concat(names, ","), table.concat(addresses, ",")
  e.params.port = table.concat(ports, ",")
  return e
end

--- Gives back what reach() took.
function M.release(e)
  local tunnel = e and e.tunnel
  if not tunnel then return end
  e.tunnel, e.params.hostaddr, e.params.port = nil, nil, tostring(e.port)
  tunnel.users = tunnel.users - 1
  if tunnel.users == 0 then tunnel:close() end
end

--- What no variable of the environment says to libpq's programs: how soon a silent network is given up.
---@return string conninfo for --dbname
function M.patience(e)
  local parts = {}
  for _, name in ipairs { "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout" } do
    parts[#parts + 1] = ("%s='%s'"):format(name, e.params[name]:gsub("[\\']", "\\%0"))
  end
  return table.concat(parts, " ")
end

--- The environment in which libpq's programs (pg_dump) find this database;
--- the password stands nowhere else. Another program cannot go through a
--- private tunnel: for it the session gets one with a port.
---@return table<string, any>
function M.environment(e)
  local p = e.params
  local address, port = p.hostaddr, p.port
  if e.tunnel and e.tunnel.private then
    local tunnel = e.via:tunnel(("%s:%d"):format(e.host, e.port))
    address, port = tunnel.host, tostring(tunnel.port)
  end
  local env = {
    PATH = os.getenv "PATH" or "/usr/bin:/bin", LANG = "C.UTF-8", PGHOST = p.host, PGHOSTADDR = address, PGPORT = port,
    PGUSER = p.user, PGDATABASE = p.dbname, PGPASSWORD = p.password, PGSSLMODE = p.sslmode, PGSSLROOTCERT = p.sslrootcert,
    PGSSLCERT = p.sslcert, PGSSLKEY = p.sslkey, PGGSSENCMODE = "disable", PGCONNECT_TIMEOUT = p.connect_timeout,
    PGAPPNAME = p.application_name, PGOPTIONS = p.options, HOME = os.getenv "HOME",
  }
  return env
end

return M
