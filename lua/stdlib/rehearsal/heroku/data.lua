--- The Data API: what Heroku tells of its Postgres and its Key-Value Store.
local api = require "rehearsal.heroku.api"
local catalog = require "rehearsal.heroku.catalog"
local json = require "json"
local secret = require "secret"
local views = require "rehearsal.heroku.views"

local null = json.null

--- The add-on of a service, by id or by name.
local function find(a, service)
  for _, app in ipairs(a.heroku.apps) do
    for _, addon in ipairs(app.addons) do
      if addon.service == service and (addon.id == a.id or addon.name == a.id) then return addon, app end
    end
  end
  api.fail(404, "not_found", "Not found.")
end

local function row(name, ...) return { name = name, values = { ... }, resolve_db_name = false } end

local function size(bytes)
  return bytes >= 1 << 30 and ("%.2f GB"):format(bytes / (1 << 30)) or ("%.1f MB"):format(bytes / (1 << 20))
end

local function postgres(a)
  local addon = find(a, "heroku-postgresql")
  local store, plan = addon.store, catalog.plans[addon.plan] or {}
  local facts = store:facts()
  local info = {
    row("Plan", plan.label or addon.plan), row("Status", "Available"), row("Data Size", size(facts.bytes)),
    row("Tables", tostring(facts.tables)), row("PG Version", store.version),
    row("Connections", ("%d/%d"):format(facts.connections, store.limit)), row("Connection Pooling", "Not Available"),
    row("Credentials", "1"), row("Fork/Follow", "Unsupported"), row("Rollback", "Unsupported"), row("Created", addon.created_at),
    row("Region", "us"), row("Data Encryption", "In Use"), row("Continuous Protection", "On"), row("Maintenance", "not required"),
    row("Maintenance window", "Mondays 18:00 to 22:00 UTC"),
  }
  if addon.following then
    info[#info + 1] = { name = "Following", values = { addon.following }, resolve_db_name = true }  -- the CLI makes a name of it
  end
  return { addon_id = addon.id, name = addon.name, plan = addon.plan:match ":(.*)$", resource_url = store.url, database_name = store.database,
    database_user = store.user, host = store.host, port = store.port, info = info, num_tables = facts.tables, num_bytes = facts.bytes,
    num_connections = facts.connections, num_connections_waiting = 0, postgres_version = store.version, ["waiting?"] = false,
    following = addon.following or null, forked_from = null, available_for_ingress = true, created_at = addon.created_at,
    service_tags = json.array {},
    formation = { id = api.uuid("formation", addon.id), primary = null }, leader = null, metaas_source = "rehearsal" }
end

local function wait_status(a)
  find(a, "heroku-postgresql")
  return { ["waiting?"] = false, message = "available" }
end

--- Backups and copies: none was made here.
local function transfers() return json.array {} end

--- The one credential of a database; others come with plans that the rehearsal does not have.
local function credential(a)
  local addon = find(a, "heroku-postgresql")
  if a.name and a.name ~= "default" then api.fail(404, "not_found", "That credential does not exist.") end
  local store = addon.store
  local login = { user = store.user, password = secret.parse_url(store.url).password, state = "active", connections = store:facts().connections }
  return { uuid = api.uuid("credential", addon.id), name = "default", state = "active", database = store.database, host = store.host,
    port = store.port, credentials = { login } }
end

local EVENTS = "^[KEg$lshzxetdmnA]*$"

local function redis_settings(store)
  local s = store.settings
  return {
    maxmemory_policy = { value = s.maxmemory_policy, default = "noeviction", desc = "What happens when the memory is full",
      values = { noeviction = "return errors when the memory is full", ["allkeys-lru"] = "evict the least recently used keys",
        ["volatile-lru"] = "evict the least recently used keys that expire", ["allkeys-lfu"] = "evict the least often used keys",
        ["volatile-lfu"] = "evict the least often used keys that expire", ["allkeys-random"] = "evict any keys",
        ["volatile-random"] = "evict any keys that expire", ["volatile-ttl"] = "evict the keys that expire first" } },
    notify_keyspace_events = { value = s.notify_keyspace_events, default = "", desc = "Which key events are published", values = {} },
    timeout = { value = s.timeout, default = 300, desc = "Seconds after which an idle connection is closed", values = {} },
  }
end

local function redis(a)
  local addon, app = find(a, "heroku-redis")
  local store, plan = addon.store, catalog.plans[addon.plan] or { connections = 40, memory = 50 }
  local facts = store:facts()
  local info = {
    row("Plan", plan.label or addon.plan), row("Status", "available"), row("Created", addon.created_at), row("Version", facts.version),
    row("Timeout", tostring(store.settings.timeout)), row("Maxmemory", store.settings.maxmemory_policy), row("Maintenance", "not required"),
    row("Maintenance window", "Mondays 18:00 to 22:00 UTC"), row("Persistence", addon.plan == "heroku-redis:mini" and "None" or "AOF"),
    row("HA Status", plan.ha and "Available" or "Unavailable"), row("Requires TLS", "Yes"),
    row("Keyspace Notifications", store.settings.notify_keyspace_events == "" and "Disabled" or "Enabled"),
    row("Connections", ("%d/%d"):format(facts.connections, plan.connections)),
    row("Memory", ("%s / %d MB"):format(size(facts.memory), plan.memory)),
  }
  return { addon_id = addon.id, name = addon.name, plan = addon.plan:match ":(.*)$", app = views.app_ref(app), created_at = addon.created_at,
    formation = { id = api.uuid("formation", addon.id), primary = null }, info = info, port = store.port, resource_url = store.url,
    version = facts.version, prefer_native_tls = true, customer_encryption_key = null, metaas_source = "rehearsal" }
end

local function redis_config(a)
  return redis_settings((find(a, "heroku-redis")).store)
end

local function update_redis(a)
  local o = api.body(a, { { "maxmemory_policy", type = "string" }, { "notify_keyspace_events", type = "string" },
    { "timeout", type = "integer" } })
  local store = (find(a, "heroku-redis")).store
  local known = redis_settings(store)
  if o.maxmemory_policy and not known.maxmemory_policy.values[o.maxmemory_policy] then
    api.invalid("Invalid maxmemory_policy %s.", o.maxmemory_policy)
  end
  if o.notify_keyspace_events and not o.notify_keyspace_events:find(EVENTS) then
    api.invalid("Invalid notify_keyspace_events %s.", o.notify_keyspace_events)
  end
  if o.timeout and o.timeout < 0 then api.invalid "Timeout must be 0 or more." end
  for name, value in pairs(o) do store:set(name, value) end
  return redis_settings(store)
end

local function redis_wait(a)
  find(a, "heroku-redis")
  return { ["waiting?"] = false, message = "available" }
end

return {
  { "GET /client/v11/databases/{id}", postgres },
  { "GET /client/v11/databases/{id}/wait_status", wait_status },
  { "GET /client/v11/apps/{app}/transfers", transfers },
  { "GET /postgres/v0/databases/{id}/credentials", function(a) return { credential(a) } end },
  { "GET /postgres/v0/databases/{id}/credentials/{name}", credential },
  { "GET /redis/v0/databases/{id}", redis },
  { "GET /redis/v0/databases/{id}/config", redis_config },
  { "PATCH /redis/v0/databases/{id}/config", update_redis },
  { "GET /redis/v0/databases/{id}/wait", redis_wait },
}
