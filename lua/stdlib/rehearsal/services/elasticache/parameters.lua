--- The parameters of cache parameter groups, with ElastiCache's defaults
--- (user guide, "Valkey and Redis OSS parameters").
local catalog = require "rehearsal.services.elasticache.catalog"
local wire = require "rehearsal.wire"

local M = {}

local POLICIES = "volatile-lru,allkeys-lru,volatile-lfu,allkeys-lfu,volatile-random,allkeys-random,volatile-ttl,noeviction"

--- name, default, type, allowed values, then what differs: "fixed" cannot be
--- changed, "own" is ElastiCache's and not the server's, "reboot" needs one.
local ROWS = {
  { "acllog-max-len", "128", "integer", "1-10000" }, { "activedefrag", "no", "string", "yes,no" }, { "activerehashing", "yes", "string", "yes,no",
    "reboot" },
  { "active-defrag-cycle-max", "75", "integer", "1-75" }, { "active-defrag-cycle-min", "5", "integer", "1-75" },
  { "active-defrag-ignore-bytes", "104857600", "integer", "1048576-" }, { "active-defrag-max-scan-fields", "1000", "integer", "1-1000000" },
  { "active-defrag-threshold-lower", "10", "integer", "1-100" }, { "active-defrag-threshold-upper", "100", "integer", "1-100" },
  { "active-expire-effort", "1", "integer", "1-10" }, { "appendfsync", "everysec", "string", "always,everysec,no", "fixed" },
  { "appendonly", "no", "string", "yes,no", "fixed" }, { "client-output-buffer-limit-normal-hard-limit", "0", "integer", "0-", "own" },
  { "client-output-buffer-limit-pubsub-hard-limit", "33554432", "integer", "0-", "own" },
  { "client-output-buffer-limit-pubsub-soft-limit", "8388608", "integer", "0-", "own" },
  { "client-output-buffer-limit-pubsub-soft-seconds", "60", "integer", "0-", "own" },
  { "client-query-buffer-limit", "1073741824", "integer", "1048576-1073741824" }, { "close-on-replica-write", "yes", "string", "yes,no", "own" },
  { "cluster-enabled", "no", "string", "yes,no", "own" }, { "databases", "16", "integer", "1-1200000", "reboot" },
  { "hash-max-listpack-entries", "512", "integer", "0-" }, { "hash-max-listpack-value", "64", "integer", "0-" },
  { "hll-sparse-max-bytes", "3000", "integer", "1-16000" }, { "latency-tracking", "no", "string", "yes,no" },
  { "lazyfree-lazy-eviction", "no", "string", "yes,no" }, { "lazyfree-lazy-expire", "no", "string", "yes,no" },
  { "lazyfree-lazy-server-del", "no", "string", "yes,no" }, { "lazyfree-lazy-user-del", "no", "string", "yes,no" },
  { "lazyfree-lazy-user-flush", "no", "string", "yes,no" }, { "lfu-decay-time", "1", "integer", "0-" }, { "lfu-log-factor", "10", "integer", "1-" },
  { "list-compress-depth", "0", "integer", "0-" }, { "list-max-listpack-size", "-2", "integer", "-5-" },
  { "lua-time-limit", "5000", "integer", "5000", "fixed" }, { "maxclients", "65000", "integer", "1-65000", "fixed" },
  { "maxmemory-policy", "volatile-lru", "string", POLICIES }, { "maxmemory-samples", "3", "integer", "1-" },
  { "min-replicas-max-lag", "10", "integer", "0-", "own" }, { "min-replicas-to-write", "0", "integer", "0-", "own" },
  { "notify-keyspace-events", "", "string" }, { "proto-max-bulk-len", "536870912", "integer", "1048576-536870912" },
  { "repl-backlog-size", "1048576", "integer", "16384-" }, { "repl-backlog-ttl", "3600", "integer", "0-", "own" }, { "repl-timeout", "60",
    "integer", "11-", "own" },
  { "reserved-memory-percent", "25", "integer", "0-100", "own" }, { "set-max-intset-entries", "512", "integer", "0-" },
  { "slowlog-log-slower-than", "10000", "integer", "-1-" }, { "slowlog-max-len", "128", "integer", "0-" },
  { "stream-node-max-bytes", "4096", "integer", "0-" }, { "stream-node-max-entries", "100", "integer", "0-" }, { "tcp-keepalive", "300",
    "integer", "0-" },
  { "timeout", "0", "integer", "0,20-" }, { "tracking-table-max-keys", "1000000", "integer", "1-100000000" },
  { "zset-max-listpack-entries", "128", "integer", "0-" }, { "zset-max-listpack-value", "64", "integer", "0-" },
}

local BY_NAME = {}
for _, row in ipairs(ROWS) do BY_NAME[row[1]] = row end

--- Since Valkey 8 memory is freed lazily.
local function default_of(family, row)
  if row[1]:find "^lazyfree" and (family == "valkey8" or family == "valkey9") then return "yes" end
  return row[2]
end

--- What DescribeCacheParameters shows.
---@param group { family: string, set: table<string, string> }
---@param source? string "user", "system"
function M.show(group, source)
  local list = {}
  for _, row in ipairs(ROWS) do
    local own = group.set[row[1]]
    if not source or (source == "user") == (own ~= nil) then
      list[#list + 1] = {
        ParameterName = row[1], ParameterValue = own or default_of(group.family, row), Source = own and "user" or "system", DataType = row[3],
        AllowedValues = row[4], IsModifiable = row[5] ~= "fixed", MinimumEngineVersion = "5.0.6", Description = "parameter " .. row[1],
        ChangeType = row[5] == "reboot" and "requires-reboot" or "immediate",
      }
    end
  end
  return list
end

local function fits(row, value)
  if not row[4] then return true end
  for choice in row[4]:gmatch "[^,]+" do
    local min, max = choice:match "^(%-?%d+)%-(%d*)$"
    local n = math.tointeger(tonumber(value))
    if min and n and n >= tonumber(min) and (max == "" or n <= tonumber(max)) then return true end
    if choice == value then return true end
  end
  return false
end

--- Refuses a change that ElastiCache would refuse.
function M.check(group, name, value)
  local row = BY_NAME[name] or wire.fail("InvalidParameterValue", 400, "The parameter %s doesn't exist for the cache parameter group family %s",
                                         tostring(name), group.family)
  if row[5] == "fixed" then
    wire.fail("InvalidParameterValue", 400, "The parameter %s cannot be modified", name)
  end
  if value and not fits(row, value) then
    wire.fail("InvalidParameterValue", 400, "The parameter value %s is not valid for the parameter %s; allowed values: %s", value, name, row[4])
  end
end

--- The server's own settings that a group means on a node type. `live` leaves
--- out what cannot change while the server runs.
---@return table<string, string>
function M.settings(group, node_type, live)
  local settings = {}
  for _, row in ipairs(ROWS) do
    local name = row[1]
    if row[5] == nil and not (name == "notify-keyspace-events" and not live and not group.set[name]) then
      settings[name] = group.set[name] or default_of(group.family, row)
    end
    if row[5] == "reboot" and not live then settings[name] = group.set[name] or row[2] end
  end
  settings.activedefrag = nil           -- Debian's redis-server is built without it
  local reserved = tonumber(group.set["reserved-memory-percent"] or "25")
  settings.maxmemory = ("%d"):format(catalog._memory(node_type) * (100 - reserved) // 100)
  return settings
end

return M
