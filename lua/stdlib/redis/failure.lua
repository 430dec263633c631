--- What a server or the network answered, as an error that names what was tried.
local errors = require "errors"

local M = {}

local auth_codes = { NOAUTH = true, WRONGPASS = true, NOPERM = true }
local hints = {
  certificate = "give ca= (a file), or pin= (redis.fingerprint tells it) for a self-signed certificate",
}
hints.pin = hints.certificate
hints.MOVED = "the server is one of a cluster: redis.open(url, { cluster = true })"
hints.ASK = hints.MOVED
hints.CROSSSLOT = "in a cluster keys that are used together must be in one slot: give them the same part in braces, "
  .. "as in {user:1}:cart and {user:1}:orders"
hints.busy = "open one connection for each task"

---@param label string "host:port"
---@param what string "run GET a on"
---@param err table { kind =, message =, code =, retry = }
---@param not_sent? boolean it failed before anything was asked of the server
function M.raise(label, what, err, not_sent)
  local kind = err.kind
  if kind == "remote" and auth_codes[err.code] then kind = "auth" end
  errors.raise { kind = kind, op = ("%s Redis %s"):format(what, label), message = err.message, code = err.code,
    retry = err.retry, hint = hints[err.code], cause = err, not_sent = not_sent }
end

return M
