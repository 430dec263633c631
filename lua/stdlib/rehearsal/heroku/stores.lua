--- The data add-ons: a real PostgreSQL cluster and a real redis-server with the
--- rights and limits that Heroku's plans give, reachable "from the internet".
local catalog = require "rehearsal.heroku.catalog"
local fs = require "fs"
local loop = require "host.loop"
local pg = require "pg"
local postgres = require "rehearsal.planes.postgres"
local redis = require "redis"
local redis_plane = require "rehearsal.planes.redis"
local secret = require "secret"
local sign = require "sign"

local M = {}

--- A certificate that nobody can verify, in files: it is signed by an authority
--- of its own, which is gone at once.
local function unverifiable(dir, name)
  fs.mkdir_p(dir)
  local authority = sign.make_ca { name = name .. " root" }
  local pair = sign.issue_cert(authority, { name = name })
  local files = { cert = fs.join(dir, "cert.pem"), key = fs.join(dir, "key.pem"), root = fs.join(dir, "root.pem") }
  fs.write(files.root, authority.cert)
  fs.write(files.cert, pair.cert .. authority.cert)
  fs.write(files.key, pair.key, 384)
  return files
end

local Postgres = {}
Postgres.__index = Postgres

--- The roles of the add-on's credential: devcenter.heroku.com/articles/heroku-postgresql-credentials
local ROLES = "pg_monitor, pg_read_all_settings, pg_read_all_stats, pg_signal_backend"

---@param dir string
---@param plan string "heroku-postgresql:standard-0"
---@param may_replicate boolean? its role may stream the changes, which Heroku gives to nobody, and applications prepare transactions
function M.postgres(dir, plan, may_replicate)
  local facts = catalog.plans[plan] or { connections = 120 }
  local files = unverifiable(fs.join(dir, "tls"), "heroku-postgres")
  local user, database = "u" .. sign.hex(sign.random(7)), "d" .. sign.hex(sign.random(7))
  local plane = postgres.start {
    dir = fs.join(dir, "server"), user = user, database = database, rights = "heroku", force_ssl = true,
    password = secret.concat { "p", secret.random(64, "0123456789abcdef") }, cert = files.cert, key = files.key,
    settings = { max_connections = facts.connections + 10, wal_level = may_replicate and "logical" or nil,
                 max_prepared_transactions = may_replicate and 10 or nil },
  }
  local self = setmetatable({ plane = plane, user = user, database = database, limit = facts.connections, url = plane.url,
    host = plane.host, port = plane.port, began = loop.time(), root = files.root }, Postgres)
  local ok, e = pcall(function()
    local conn <close> = pg.open(plane.admin)
    conn:exec(("GRANT %s TO %s"):format(ROLES, pg.quote_name(user)))
    conn:exec(("ALTER ROLE %s CONNECTION LIMIT %d"):format(pg.quote_name(user), facts.connections))
    if may_replicate then conn:exec(("ALTER ROLE %s REPLICATION"):format(pg.quote_name(user))) end
    self.version = conn:value "SHOW server_version":match "^[%d.]+"
  end)
  if not ok then plane:stop() error(e, 0) end
  return self
end

--- What the Data API tells of it now.
---@return { bytes: integer, tables: integer, connections: integer }
function Postgres:facts()
  local conn <close> = pg.open(self.plane.admin)
  local function number(sql, ...) return math.tointeger(tonumber(conn:value(sql, ...))) end
  local tables = [[SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema']]
  return {
    bytes = number("SELECT pg_database_size(current_database())"),
    tables = number(tables),
    connections = number("SELECT count(*) FROM pg_stat_activity WHERE usename = $1", self.user),
  }
end

function Postgres:stop() self.plane:stop() end

local Redis = {}
Redis.__index = Redis

---@param dir string
---@param plan string "heroku-redis:premium-0"
function M.redis(dir, plan)
  local facts = catalog.plans[plan] or { connections = 40, memory = 50 }
  local config = "config" .. sign.hex(sign.random(12))
  local settings = {
    ["maxmemory-policy"] = "noeviction", maxmemory = facts.memory .. "mb", maxclients = facts.connections + 10, timeout = 300,
    ["rename-command CONFIG"] = config,            -- nobody but the Data API may set anything
  }
  for _, name in ipairs(redis_plane.managed_away) do
    if name ~= "CONFIG" then settings["rename-command " .. name] = '""' end
  end
  local plane = redis_plane.start { dir = dir, tls = true, password = secret.concat { "p", secret.random(64, "0123456789abcdef") },
    settings = settings }
  return setmetatable({ plane = plane, url = plane.url, pin = redis.fingerprint(plane.url), config_command = config, facts_of_plan = facts,
    host = plane.host, port = plane.port, began = loop.time(),
    settings = { maxmemory_policy = "noeviction", notify_keyspace_events = "", timeout = 300 } }, Redis)
end

function Redis:connect() return redis.open({ url = self.url, pin = self.pin }, { timeout = 10 }) end

--- Sets a server setting: what the Data API's PATCH does.
function Redis:set(name, value)
  local r <close> = self:connect()
  r:command(self.config_command, "SET", (name:gsub("_", "-")), tostring(value))
  self.settings[name] = value
end

---@return { version: string, memory: integer, connections: integer }
function Redis:facts()
  local r <close> = self:connect()
  local info = r:info()
  return { version = info.redis_version, memory = math.tointeger(tonumber(info.used_memory)),
    connections = math.tointeger(tonumber(info.connected_clients)) }
end

function Redis:stop() self.plane:stop() end

local Nothing = {}
Nothing.__index = Nothing

function Nothing.facts() return { bytes = 8388608, tables = 0, connections = 0, memory = 1048576, version = "7.2.4" } end
function Nothing:set(name, value) self.settings[name] = value end
function Nothing.stop() end

--- A data add-on without a server, for a cloud that has none: its URL is of a name that never resolves (RFC 2606).
---@param plan string
function M.none(plan)
  local facts = catalog.plans[plan] or { connections = 40 }
  local is_redis = plan:find "^heroku%-redis" ~= nil
  local self = { limit = facts.connections, facts_of_plan = facts, host = is_redis and "redis.invalid" or "postgres.invalid",
    port = is_redis and 6379 or 5432, user = "u" .. sign.hex(sign.random(7)), database = "d" .. sign.hex(sign.random(7)), version = "16.4",
    began = loop.time(), settings = { maxmemory_policy = "noeviction", notify_keyspace_events = "", timeout = 300 } }
  self.url = secret.build_url { scheme = is_redis and "rediss" or "postgres", user = is_redis and "" or self.user,
    password = secret.random(32, "0123456789abcdef"), host = self.host, port = self.port, path = is_redis and "" or "/" .. self.database }
  return setmetatable(self, Nothing)
end

return M
