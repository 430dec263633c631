--- What the stores themselves say: PostgreSQL and Redis, read only, with timeouts. Counts and names, no row and no value.
local json = require "json"
local parts = require "audit.parts"
local pg, queues, redis = require "pg", require "queues", require "redis"
local secret = require "secret"
local sizing = require "heroku_to_aws.sizing"

local M = {}

local USER_SCHEMAS = "nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_'"

-- One value each.
local VALUES = {
  { "version", "SELECT current_setting('server_version')" },
  { "bytes", "SELECT pg_database_size(current_database())" },
  { "large_objects", "SELECT count(*) FROM pg_largeobject_metadata" },
  { "sequences", "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'S' AND " .. USER_SCHEMAS },
  { "connections_used", "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'" },
  { "connections_allowed", [[SELECT least(current_setting('max_connections')::int, nullif(rolconnlimit, -1), nullif(datconnlimit, -1))
      FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()]] },
  { "cache_hit", sizing.CACHE_HIT },
  { "locks_waited_for", "SELECT count(*) FROM pg_locks WHERE NOT granted" },
  { "longest_transaction_seconds", [[SELECT coalesce(max(extract(epoch FROM now() - xact_start))::bigint, 0) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()]] },
  { "prepared_transactions", "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()" },
}

-- Lists.
local LISTS = {
  { "tables", [[SELECT nspname || '.' || relname AS name, greatest(reltuples::bigint, 0) AS rows,
      CASE relkind WHEN 'p' THEN (SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint FROM pg_partition_tree(c.oid))
        ELSE pg_total_relation_size(c.oid) END AS bytes,
      NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AS no_key
      FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p') AND NOT relispartition AND ]] .. USER_SCHEMAS ..
      " ORDER BY bytes DESC, name" },
  { "extensions", [[SELECT extname AS name, extversion AS version, nspname AS schema FROM pg_extension e
      JOIN pg_namespace n ON n.oid = extnamespace ORDER BY extname]] },
  { "roles", [[SELECT rolname AS name, rolcanlogin AS login, rolreplication AS replication FROM pg_roles
      WHERE rolname !~ '^pg_' AND pg_has_role(current_user, oid, 'MEMBER') ORDER BY rolname]] },
}

--- A database: its size, tables, extensions, roles, and who is in it now.
---@param endpoint table of pg.open
---@return table facts
function M.postgres(endpoint)
  local db <close> = pg.open(endpoint, { timeout = 60, connect_timeout = 20 })
  db:exec "SET default_transaction_read_only = on; SET statement_timeout = '30s'; SET lock_timeout = '2s'"
  local facts = {}
  for _, value in ipairs(VALUES) do facts[value[1]] = db:value(value[2]) end
  for _, list in ipairs(LISTS) do
    facts[list[1]] = json.array {}
    for i, row in ipairs(db:query(list[2])) do facts[list[1]][i] = row end
  end
  return facts
end

local SAMPLE = 10000                                   -- keys that are looked at one by one

--- Types, expiry and the largest keys, of a sample.
local function look_at_keys(r, facts)
  local cursor, seen, expiring, big = "0", 0, 0, {}
  facts.types = {}
  repeat
    local answer = r:command("SCAN", cursor, "COUNT", 500)
    cursor = answer[1]
    local pipe = {}
    for _, key in ipairs(answer[2]) do
      pipe[#pipe + 1] = { "TYPE", key }
      pipe[#pipe + 1] = { "PTTL", key }
      pipe[#pipe + 1] = { "MEMORY", "USAGE", key, "SAMPLES", "5" }
    end
    local replies = #pipe > 0 and r:pipeline(pipe) or {}
    for i, key in ipairs(answer[2]) do
      local kind, ttl, bytes = replies[3 * i - 2], replies[3 * i - 1], replies[3 * i]
      if kind ~= "none" then
        seen = seen + 1
        facts.types[kind] = (facts.types[kind] or 0) + 1
        if math.type(ttl) and ttl >= 0 then expiring = expiring + 1 end
        if math.type(bytes) and bytes > 1e6 then big[#big + 1] = { name = key, type = kind, bytes = bytes } end
      end
    end
  until cursor == "0" or seen >= SAMPLE
  table.sort(big, function(a, b) return a.bytes > b.bytes end)
  facts.sampled, facts.expiring, facts.big_keys = seen, expiring, json.array(table.move(big, 1, math.min(#big, 20), 1, {}))
end

--- A Redis: its keys by type, how many expire, the largest, and the queues in it.
---@param endpoint table of redis.open
---@return table facts
function M.redis(endpoint)
  local r <close> = redis.open(endpoint)
  local info = r:info()
  local facts = { version = info.valkey_version and "Valkey " .. info.valkey_version or "Redis " .. (info.redis_version or "?"),
    keys = r:command "DBSIZE", memory = math.tointeger(tonumber(info.used_memory)), eviction = info.maxmemory_policy,
    maxmemory = math.tointeger(tonumber(info.maxmemory)), clients = math.tointeger(tonumber(info.connected_clients)) }
  look_at_keys(r, facts)
  facts.queues = json.array {}
  for i, q in ipairs(queues.find(r)) do facts.queues[i] = { kind = q.kind, name = q.name, state = q.state, count = q.count } end
  return facts
end

local function look_at_postgres(url) return M.postgres { url = url, sslmode = "require" } end

local function look_at_redis(url)
  return M.redis { url = url, pin = secret.parse_url(url).scheme == "rediss" and redis.fingerprint(url) or nil }
end

local LOOK = { ["heroku-postgresql"] = look_at_postgres, ["heroku-redis"] = look_at_redis }

--- The stores that the app is attached to beside those of DATABASE_URL and REDIS_URL, each once, with its owner's credential.
local function others(app)
  local services, seen, found = {}, {}, {}
  for _, a in ipairs(app.addons) do services[a.id] = a.addon_service.name end
  for _, main in ipairs { app.postgres or false, app.redis or false } do
    if main then seen[main.addon.id] = true end
  end
  for _, a in ipairs(app.attachments) do
    local look = LOOK[services[a.addon.id]]
    if look and not a.namespace and not seen[a.addon.id] then
      seen[a.addon.id] = true
      found[#found + 1] = { name = a.addon.name, look = look, var = a.name .. "_URL" }
    end
  end
  return found
end

--- Readers of an app's stores, for audit/heroku.lua: those of DATABASE_URL and REDIS_URL, and `other_stores` by add-on.
---@param app HerokuApp
---@param gaps table[] where the other stores' gaps go
---@return table[]
function M.readers(app, gaps)
  return {
    { "postgres", function() return app.postgres and look_at_postgres(app.postgres.url) end },
    { "redis", function() return app.redis and look_at_redis(app.redis.url) end },
    { "other_stores", function()
      local readers = {}
      for i, store in ipairs(others(app)) do readers[i] = { store.name, function() return store.look(app.config[store.var]) end } end
      return readers[1] and parts.with({}, gaps, "the store", readers) or nil
    end },
  }
end

return M
