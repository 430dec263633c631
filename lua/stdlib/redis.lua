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
local connection = require "redis.connection"
local endpoints = require "redis.endpoint"
local errors = require "errors"
local options = require "options"
local readonly = require "readonly"

local M = {}

local open_options = {
  { "timeout", "seconds that one command may take", type = "number", default = 30 },
  { "db", "database number; that of the URL by default", type = "integer" },
}

--- Opens a connection: TLS checked, signed in, answering.
---@param endpoint string|userdata|redis.Endpoint
---@param opts? { timeout: number, db: integer }
---@return redis.Connection
function M.open(endpoint, opts)
  local o = options.check(opts or {}, open_options, "redis.open")
  local e = endpoints.parse(endpoint, "redis.open")
  return connection.open(e, o)
end

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

--- See redis.same.
function M.same(o) return require "redis.same".same(o) end

return M
