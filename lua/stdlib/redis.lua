--- Redis and Valkey: connections, copies, comparisons.
---
---     local r <close> = redis.open("rediss://:secret@cache.example.com:6379", { timeout = 10 })
---     r:set("greeting", "hello", "EX", 60)
---     print(r:get "greeting", r:config_get "maxmemory-policy"[2])
---     local replies = r:pipeline { { "GET", "a" }, { "HGETALL", "b" } }
---     for channel, message in r:subscribe { "news" } do print(channel, message) end
---
--- A missing value is nil; inside a list it is false, so that the list keeps its
--- length. Integers are integers, statuses strings, arrays lists.
local commands = require "redis.commands"
local connection = require "redis.connection"
local endpoints = require "redis.endpoint"
local errors = require "errors"
local options = require "options"
local readonly = require "readonly"

local M = {}

local open_options = {
  { "timeout", "seconds that one command may take, beside those for which it blocks by itself", type = "number", default = 30 },
  { "db", "database number; that of the URL by default", type = "integer" },
  { "cluster", "the server is one of a cluster: all its nodes are used", type = "boolean", default = false },
  { "protocol", "3: speak RESP3 where the server has it", type = "integer", default = 2 },
  { "secrets", "true, or patterns of keys: what the server answers about them are secrets, and errors do not show their values",
    type = "any" },
  { "on_push", "function(list): what a RESP3 server sends by itself, such as { \"invalidate\", keys }", type = "function" },
}

--- Opens a connection: TLS checked, signed in, answering. docs/redis-connections.md has all that can be done with it.
---@param endpoint string|userdata|redis.Endpoint
---@param opts? { timeout: number, db: integer, cluster: boolean, protocol: 2|3, secrets: true|string[], on_push: function }
---@return redis.Connection|redis.Cluster
function M.open(endpoint, opts)
  local o = options.check(opts or {}, open_options, "redis.open")
  if o.protocol ~= 2 and o.protocol ~= 3 then errors.usage("redis.open: protocol must be 2 or 3, not %d", o.protocol) end
  o.is_secret = o.secrets and commands.key_matcher(o.secrets)
  local e = endpoints.parse(endpoint, "redis.open")
  if not o.cluster then return connection.open(e, o) end
  if (o.db or e.db) ~= 0 then errors.usage "redis.open: a cluster has only database 0" end
  return require "redis.cluster".open(e, o)
end

--- A script in Lua for the server, which gets its text only when it does not have it yet.
---
---     local take = redis.script "return redis.call('SPOP', KEYS[1], ARGV[1])"
---     print(#take(r, { "lots" }, { 3 }))
---@param text string
---@param opts? { read_only: boolean }
---@return redis.Script
function M.script(text, opts) return require "redis.script".new(text, opts) end

--- The SHA-256 of a server's certificate, in hex, to be compared and pinned.
--- Nothing is sent to the server, and its certificate is not checked.
---@param endpoint string|userdata|redis.Endpoint
---@return string
function M.fingerprint(endpoint)
  local e = endpoints.parse(endpoint, "redis.fingerprint")
  if not e.tls then errors.usage "redis.fingerprint needs a rediss:// URL" end
  e.pin, e.insecure = nil, true
  return connection.fingerprint(e) or errors.raise { kind = "tls", op = "read the certificate of " .. e.label,
    message = "the server sent none" }
end

--- See redis.copy.
function M.copy(o)
  readonly.refuse "copy a Redis"
  return require "redis.copy".copy(o)
end

local copy_once = M.copy
M.copy = setmetatable({}, { __call = function(_, o) return copy_once(o) end })

--- Starts a copy that follows its source while that is written to; its writers are stopped for the end only. See redis.live.
---@param o table the options of redis.copy, and notifications, small, interval, memory
---@return redis.live.Copy
function M.copy.start(o)
  readonly.refuse "copy a Redis"
  return require "redis.live".start(o)
end

--- Compares two servers: every key of every database by type, value, expiry and stream state, field expiry, functions.
--- Raises an error that names the first differences; `quiet = true` answers them. docs/redis.md says what is compared.
---@param o { a: any, b: any, quick: boolean, sample: integer, ttl_tolerance: integer, limit: integer, quiet: boolean } [1], [2]: a, b
---@return redis.Same result { equal, keys, count, counts = { missing =, extra =, type =, value =, ttl =, stream = }, differences, ... }
function M.same(o) return require "redis.same".same(o) end

return M
