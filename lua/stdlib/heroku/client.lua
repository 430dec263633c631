--- Calls of the Heroku Platform API and Data API: token, pages, rate limit,
--- retries, errors. Protocol: devcenter.heroku.com/articles/platform-api-reference
local calls = require "calls"
local errors = require "errors"
local fs = require "fs"
local http = require "http"
local json = require "json"
local lists = require "host.list"
local log = require "log"
local options = require "options"
local readonly = require "readonly"
local retry = require "retry"
local secret = require "secret"
local task = require "task"
local term = require "term"
local text = require "text"

local M = {}

local ACCEPT = "application/vnd.heroku+json; version="
local REFILL = 75 / 60          -- requests per second that the account's pool regains
local LOW = 20                  -- from here on a client slows down to the refill

---@class HerokuClient
---@field base string "https://api.heroku.com"
---@field data_base string the Data API of Postgres and Redis
---@field metrics_base string of autoscaling, which the reference of the API does not have
---@field token userdata
---@field pool { remaining: integer?, turn: number? } what the rate limit leaves; one of all clients of an account
local Client = {}
Client.__index = Client

--- "https://x.heroku.com:443/y" -> "https", "x.heroku.com", ":443"
local function split(url)
  local scheme, rest = url:match "^(https?)://([^/]+)"
  if not scheme then return end
  local host, port = rest:match "^(.-)(:%d+)$"
  return scheme, host or rest, port or ""
end

local domains = { "heroku.com", "herokai.com", "herokuspace.com", "herokudev.com" }

--- The token goes to Heroku and to this machine only, as in the Heroku CLI.
local function is_trusted(scheme, host)
  if host == "localhost" or host == "127.0.0.1" or host == "[::1]" then return true end
  for _, domain in ipairs(domains) do
    if host == domain or host:sub(-#domain - 1) == "." .. domain then return scheme == "https" end
  end
  return false
end

local function bases(o)
  local given = o.host or os.getenv "HEROKU_HOST"
  local url = "https://api.heroku.com"
  if given and given ~= "" then url = given:find "^http" and given:gsub("/+$", "") or "https://api." .. given end
  local scheme, host, port = split(url)
  if not scheme or not is_trusted(scheme, host) then
    errors.usage("HEROKU_HOST is %s, which is neither Heroku by https nor this machine; the token is not sent there", given)
  end
  local data = o.data_host or os.getenv "HEROKU_DATA_HOST" or os.getenv "HEROKU_POSTGRESQL_HOST"
  local data_host = data and data ~= "" and data or given and given ~= "" and host or "api.data.heroku.com"
  if not is_trusted(scheme, data_host) then
    errors.usage("HEROKU_DATA_HOST is %s, which is neither Heroku nor this machine; the token is not sent there", data_host)
  end
  local metrics = host == "api.heroku.com" and "https://api.metrics.heroku.com" or url
  return url, ("%s://%s%s"):format(scheme, data_host, port), metrics
end

--- The password that the Heroku CLI keeps for a machine in a netrc file.
---@param content string
---@return string?
function M.netrc_password(content, machine)
  local words, at = {}, nil
  for word in content:gsub("#[^\n]*", ""):gmatch "%S+" do words[#words + 1] = word end
  for i, word in ipairs(words) do
    if word == "machine" then at = words[i + 1] end
    if word == "default" then at = nil end
    if word == "password" and at == machine then return words[i + 1] end
  end
end

local function find_token(base)
  local key = term.env "HEROKU_API_KEY"
  if key and secret.size(key) > 0 then return key end
  local _, host = split(base)
  local path = os.getenv "NETRC" or fs.join(os.getenv "HOME" or "/", ".netrc")
  local found = fs.exists(path) and M.netrc_password(fs.read(path), host)
  if found then return secret.new(found) end
  errors.raise { kind = "usage", op = "talk to Heroku", message = "there is no Heroku token",
    hint = "set HEROKU_API_KEY (`heroku authorizations:create -s read-protected,write-protected`) or run `heroku login`" }
end

local endpoint = {
  { "host", "as HEROKU_HOST: a host name or a base URL", type = "string" },
  { "data_host", "as HEROKU_DATA_HOST: the host name of the Data API", type = "string" },
  { "token", "the API key", type = "secret" },
}

local pools = {}                -- of requests, by account

--- A client; what is not given comes from the environment.
---@param opts? { host: string?, data_host: string?, token: userdata? }
---@return HerokuClient
function M.new(opts)
  local o = options.check(opts or {}, endpoint, "heroku.client")
  local base, data_base, metrics_base = bases(o)
  local token = o.token or find_token(base)
  local account = base .. " " .. secret.sha256(token)
  pools[account] = pools[account] or {}
  return setmetatable({ base = base, data_base = data_base, metrics_base = metrics_base, token = token, pool = pools[account] }, Client)
end

local hints = {
  unauthorized = "the token is wrong or has expired: run `heroku login` or set HEROKU_API_KEY",
  forbidden = "the token's user may not do this: ask the app's owner for access, or use a token with a wider scope",
  two_factor = "this needs a second factor: use a token made by `heroku authorizations:create`, which needs none",
  rate_limit = "the account's 4,500 requests are used up; they come back at 75 a minute",
  verification_required = "Heroku wants this account verified with a payment method",
}
local kinds = { [401] = "auth", [402] = "auth", [403] = "auth", [404] = "not_found", [429] = "limit", [422] = "invalid", [400] = "invalid" }
local ids = { [401] = "unauthorized", [403] = "forbidden", [404] = "not_found", [429] = "rate_limit" }

--- What an answer that is none says; Heroku's body is { id, message }.
local function failure(op, answer)
  local said = json.decode(answer.body)          -- of a secret body, id and message can be read
  said = type(said) == "table" and said or {}
  local status = answer.status
  local id = type(said.id) == "string" and said.id or ids[status] or tostring(status)
  local wait = tonumber(answer.headers["retry-after"])
  return errors.new {
    op = op, kind = kinds[status] or "remote", code = id, status = status,
    message = type(said.message) == "string" and said.message or "Heroku answered with status " .. status,
    hint = hints[id], retry = status == 429 or status >= 500 and status ~= 501,
    retry_after = wait or status == 429 and 5 or nil, request_id = answer.headers["request-id"],
  }
end

local idempotent = { GET = true, HEAD = true, PUT = true, PATCH = true, DELETE = true }

--- null is nothing: readers of facts test for nil.
local function without_nulls(v)
  if rawequal(v, json.null) then return nil end
  if type(v) ~= "table" then return v end
  for k, x in pairs(v) do
    if rawequal(x, json.null) then v[k] = nil else without_nulls(x) end
  end
  return v
end

--- Waits for this request's turn when few are left: one each time that the pool regains one, whichever task asks.
function Client:slow_down()
  local pool = self.pool
  if not pool.remaining or pool.remaining >= LOW then return end
  local now = task.now()
  local turn = math.max(now, pool.turn or now)
  pool.turn = turn + 1 / REFILL
  task.sleep(turn - now)
end

local declared = {
  { "json", "the body", type = "table" },
  { "range", "the Range of the first page", type = "string" },
  { "secrets", "true, or the names of the members that are secrets", type = "any" },
  { "version", "of the API", type = "string", default = "3" },
  { "data", "whether it is the Data API", type = "boolean", default = false },
  { "metrics", "whether it is the API of metrics and autoscaling", type = "boolean", default = false },
  { "what", "how messages call it", type = "string" },
}

--- One call; raises an error with Heroku's own id as `code`.
---@param method string
---@param path string "/apps/shop"
---@param opts? { json: table?, range: string?, secrets: any, version: string?, data: boolean?, what: string? }
---@return any value the decoded answer, nulls left out
---@return HttpAnswer answer
function Client:call(method, path, opts)
  local o = options.check(opts or {}, declared, "heroku call")
  local op = o.what or ("%s %s on Heroku"):format(method, path)
  if method ~= "GET" and method ~= "HEAD" then readonly.refuse(op) end
  local function attempt()
    self:slow_down()
    local answer = http.request {
      method = method, url = (o.data and self.data_base or o.metrics and self.metrics_base or self.base) .. path, json = o.json, timeout = 60,
      fresh = not idempotent[method],
      secret_body = o.secrets == true,
      headers = { Accept = ACCEPT .. o.version, Authorization = text("Bearer %s", self.token), Range = o.range },
    }
    self.pool.remaining = tonumber(answer.headers["ratelimit-remaining"]) or self.pool.remaining
    for _, name in ipairs { "x-heroku-warning", "warning-message" } do
      if answer.headers[name] then log.warn("Heroku: %s", answer.headers[name]) end
    end
    if not answer:ok() then
      local e = failure(op, answer)
      e.message = secret.hide(e.message, o.json)
      errors.raise(e)
    end
    if method ~= "GET" and method ~= "HEAD" then calls.note(("heroku.%s %s"):format(method, path), answer.headers["request-id"]) end
    if answer.status == 204 or answer.size == 0 then return nil, answer end
    return without_nulls(answer:json { secrets = o.secrets }), answer
  end
  local function retryable(e)
    return e.retry and (idempotent[method] or e.status == 429 or e.code == "connect")
  end
  return retry.call(attempt, { attempts = 6, base = 1, cap = 15, retryable = retryable, on_retry = function(e, seconds)
    log.debug("%s; again in %.1f s", tostring(e), seconds)
  end })
end

--- One GET.
function Client:get(path, opts) return (self:call("GET", path, opts)) end

--- All pages of a list: 206 with Next-Range means that there are more.
---@return table[]
function Client:list(path, opts)
  local items, range, seen = {}, opts and opts.range, {}
  while true do
    local o = { range = range }
    for k, v in pairs(opts or {}) do if k ~= "range" then o[k] = v end end
    local page, answer = self:call("GET", path, o)
    for _, item in ipairs(page or {}) do items[#items + 1] = item end
    range = answer.status == 206 and answer.headers["next-range"]
    if not range then return lists.mark(items) end
    if seen[range] then
      errors.raise { kind = "protocol", op = ("GET %s on Heroku"):format(path), message = "its pages go round in a circle" }
    end
    seen[range] = true
  end
end

return M
