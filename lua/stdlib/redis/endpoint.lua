--- Where a Redis server is and how to reach it: URL forms, TLS checks, tunnels.
local errors = require "errors"
local options = require "options"
local secret = require "secret"
local task = require "task"

local M = {}

---@class redis.Endpoint
---@field url string|userdata redis://[user]:password@host:port/db, rediss:// for TLS
---@field via? table an ssh session: the connection goes through its tunnel
---@field ca? string file of the trusted certificates (default: the system's, or SSL_CERT_FILE)
---@field pin? string SHA-256 of the one certificate that is accepted, in hex
---@field insecure? boolean accepts any certificate; a warning says so, and the connection's name

local declared = {
  { "url", "redis:// or rediss:// URL", required = true, type = "secret" },
  { "via", "ssh session to go through", type = "any" },
  { "ca", "file of trusted certificates", type = "string" },
  { "pin", "SHA-256 of the accepted certificate, in hex", type = "string" },
  { "insecure", "true: accept any certificate", type = "boolean" },
  { "sslmode", "only for PostgreSQL; no meaning here", type = "string" },
}

local function parse(url)
  local ok, parts = pcall(secret.parse_url, url)
  return ok and parts or nil
end

local function is_empty(v) return v == nil or secret.size(v) == 0 end

--- Checks an endpoint and answers its parts: host, port, user, password, db,
--- tls, ca, pin, insecure, via, and label ("host:port"), which is safe to show.
---@param given string|userdata|redis.Endpoint
---@param where string whose argument it is
function M.parse(given, where)
  if type(given) ~= "table" then given = { url = given } end
  local o = options.check(given, declared, where)
  local u = parse(o.url)
  if not u or (u.scheme ~= "redis" and u.scheme ~= "rediss") or not u.host or u.host == "" then
    errors.usage("%s needs a URL like redis://:password@host:6379/0, or rediss:// for TLS", where)
  end
  local db = (u.path or ""):match "^/?(%d*)/?$"
  if not db then errors.usage("%s: the path of a Redis URL is a database number, not %s", where, u.path) end
  local pin = o.pin and o.pin:lower():gsub("^sha256:", ""):gsub("[:%s]", "")
  if pin and not pin:find("^" .. ("%x"):rep(64) .. "$") then
    errors.usage("%s: pin is a SHA-256 in hex, 64 digits", where)
  end
  local tls = u.scheme == "rediss"
  if not tls and (o.ca or pin) then errors.usage("%s: ca and pin need a rediss:// URL", where) end
  local port = u.port or 6379
  return {
    host = u.host, port = port, db = tonumber(db) or 0, tls = tls,
    user = not is_empty(u.user) and u.user or nil, password = not is_empty(u.password) and u.password or nil,
    ca = o.ca, pin = pin, insecure = o.insecure == true, via = o.via,
    label = ("%s:%d"):format(u.host, port),
  }
end

--- The numeric addresses to try, and the port. Through an ssh session it is a tunnel for which no port listens: an address
--- that only this process can connect to. It is shared by all that go the same way; the last of them closes it.
---@param user table what M.release will be called with
function M.route(e, user)
  if not e.via then return task.resolve(e.host), e.port end
  local tunnel = e.via:tunnel(e.label, { private = true })
  if user.tunnel ~= tunnel then
    M.release(user)
    tunnel.users = (tunnel.users or 0) + 1
    user.tunnel = tunnel
  end
  return { tunnel.host }, tunnel.port
end

--- Gives back the tunnel that route() took.
function M.release(user)
  local tunnel = user.tunnel
  if not tunnel then return end
  user.tunnel = false
  tunnel.users = tunnel.users - 1
  if tunnel.users == 0 then tunnel:close() end
end

--- What host.redis.open takes after address and port.
function M.tls(e)
  if not e.tls then return end
  return e.host, e.ca, e.pin, e.insecure
end

return M
