--- What a server or the network answered, as an error that names what was tried.
local errors = require "errors"

local M = {}

local auth_codes = { NOAUTH = true, WRONGPASS = true, NOPERM = true }
local hints = {
  certificate = "give ca= (a file), or pin= (redis.fingerprint tells it) for a self-signed certificate",
}
hints.pin = hints.certificate
hints.busy = "open one connection for each task"

---@param label string "host:port"
---@param what string "run GET a on"
---@param err table { kind =, message =, code =, retry = }
function M.raise(label, what, err)
  local kind = err.kind
  if kind == "remote" and auth_codes[err.code] then kind = "auth" end
  errors.raise { kind = kind, op = ("%s Redis %s"):format(what, label), message = err.message, code = err.code,
    retry = err.retry, hint = hints[err.code], cause = err }
end

return M
