--- The protocol of the Heroku Platform API: token, Accept, rate limit, routes,
--- identity by id or name, Range pages, ETags, and errors as Heroku words them.
--- Source: devcenter.heroku.com/articles/platform-api-reference
local errors = require "errors"
local exact_faults = require "rehearsal.exact_faults"
local json = require "json"
local log = require "log"
local loop = require "host.loop"
local options = require "options"
local pages = require "rehearsal.heroku.pages"
local secret = require "secret"
local sign = require "sign"
local task = require "task"
local text = require "text"

local M = {}

local POOL, REFILL = 4500, 75 / 60      -- requests of an account; how many come back in a second

--- Raises what the API answers as an error.
---@param more? table further members of the body, such as { resource = "app" }
function M.fail(status, id, message, more)
  local body = { id = id, message = message }
  for k, v in pairs(more or {}) do body[k] = v end
  error({ heroku = true, status = status, body = body }, 0)
end

function M.not_found(what)
  M.fail(404, "not_found", ("Couldn't find that %s."):format(what), { resource = what })
end

function M.invalid(fmt, ...) M.fail(422, "invalid_params", fmt:format(...)) end

--- The same id for the same thing in each rehearsal.
function M.uuid(...)
  local h = sign.sha256(table.concat({ ... }, "/"))
  return ("%s-%s-5%s-8%s-%s"):format(h:sub(1, 8), h:sub(9, 12), h:sub(14, 16), h:sub(18, 20), h:sub(21, 32))
end

--- Now, as the API writes it.
function M.now() return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(loop.time())) end

--- The item whose id or name (or another of the fields) is `identity`.
function M.find(items, identity, what, fields)
  for _, item in ipairs(items) do
    for _, field in ipairs(fields or { "id", "name" }) do
      if tostring(item[field]) == identity then return item end
    end
  end
  M.not_found(what)
end

--- The members of a body, checked against what the call takes.
---@param declared table[] as for options.check
function M.body(a, declared)
  local given = a.body or {}
  for name, value in pairs(given) do if value == json.null then given[name] = nil end end
  local ok, checked = pcall(options.check, given, declared, "the request")
  if not ok then M.invalid("%s.", tostring(checked)) end
  return checked
end

local function segments(path)
  local list = {}
  for part in path:gmatch "[^/]+" do list[#list + 1] = part end
  return list
end

--- A router of { "GET /apps/{app}", handler } lists.
---@param lists table[]
function M.routes(lists)
  local by_size = {}
  for _, list in ipairs(lists) do
    for _, entry in ipairs(list) do
      local method, path = entry[1]:match "^(%u+) (.+)$"
      local parts = segments(path)
      by_size[#parts] = by_size[#parts] or {}
      table.insert(by_size[#parts], { method = method, parts = parts, name = entry[1], handler = entry[2], free = entry.free })
    end
  end
  return by_size
end

local function match(route, method, parts)
  if route.method ~= method then return nil end
  local params = {}
  for i, part in ipairs(route.parts) do
    local name = part:match "^{(.+)}$"
    if name then params[name] = parts[i]
    elseif part ~= parts[i] then return nil end
  end
  return params
end

local function find_route(routes, method, path)
  local parts = segments(path)
  method = method == "HEAD" and "GET" or method
  for _, route in ipairs(routes[#parts] or {}) do
    local params = match(route, method, parts)
    if params then return route, params end
  end
end

--- Whether the request carries the account's token, as Bearer or as Basic's password.
local function is_authorized(heroku, req)
  local given = req.headers.authorization or ""
  if secret.equal(given, text("Bearer %s", heroku.key)) then return true end
  local basic = given:match "^Basic%s+(%S+)$"
  if not basic then return false end
  local ok, pair = pcall(sign.unbase64, basic)
  return ok and secret.equal(pair:match ":(.*)$" or "", heroku.key)
end

local function check_accept(req)
  local accept = req.headers.accept or ""
  if not accept:find "application/vnd%.heroku%+json;%s*version=3" then
    M.fail(406, "not_acceptable", "The API version is missing or unknown: send Accept: application/vnd.heroku+json; version=3")
  end
end

--- Takes one token off the account's pool, which fills up again.
local function take_token(heroku, free)
  local now = task.now()
  heroku.tokens = math.min(POOL, heroku.tokens + (now - heroku.tokens_at) * REFILL)
  heroku.tokens_at = now
  if free then return end
  if heroku.tokens < 1 then
    M.fail(429, "rate_limit", "Your account reached the API rate limit\nPlease wait a few minutes before making new requests")
  end
  heroku.tokens = heroku.tokens - 1
end

local function read_body(req)
  if not req.body or req.body == "" then return nil end
  local body, err = json.decode(req.body)
  if type(body) ~= "table" then
    M.fail(400, "bad_request", "Unable to parse the JSON request body" .. (err and ": " .. err.message or "."))
  end
  return body
end

local function respond(heroku, req, call)
  local is_data = req.path:find "^/client/v11/" or req.path:find "^/redis/v0/" or req.path:find "^/postgres/v0/"
  local route, params = find_route(heroku.routes, req.method, req.path)
  if route then call.operation = route.name end
  if not is_data then check_accept(req) end
  if not is_authorized(heroku, req) then M.fail(401, "unauthorized", "Invalid credentials provided.") end
  take_token(heroku, route and route.free)
  if not route then
    M.fail(404, "not_found", "The requested API endpoint was not found. Are you using the right HTTP verb (i.e. `GET` vs. `POST`), " ..
      "and did you specify your intended version with the `Accept` header?")
  end
  local a = { heroku = heroku, req = req, body = read_body(req), query = req.query }
  for name, value in pairs(params) do a[name] = value end
  if params.app then
    a.app_name = params.app
    a.app = M.find(heroku.apps, params.app, "app")
  end
  return heroku.cloud.exact_faults:around(call, function(fault) M.fail(exact_faults.heroku(fault)) end, function()
    local value, status = route.handler(a)
    if getmetatable(value) == pages.List then return pages.answer(value, req.headers.range, heroku.account.page_size) end
    return { status = status or 200, json = value }
  end)
end

--- Answers a request.
---@return table answer as rehearsal.serve takes it
function M.handle(heroku, req, call)
  call.api, call.operation = "heroku", req.method .. " " .. req.path
  call.mutating = req.method ~= "GET" and req.method ~= "HEAD"
  local ok, answer = xpcall(respond, function(e)
    if type(e) == "table" and e.heroku then return e end
    return errors.handler(e)
  end, heroku, req, call)
  if not ok then
    local e = answer
    if errors.is(e, "cancelled") then error(e, 0) end
    if not e.heroku then
      log.warn("the rehearsal's Heroku failed in %s: %s%s", call.operation, tostring(e), e.traceback or "")
      e = { status = 500, body = { id = "internal_server_error", message = tostring(e) } }
    end
    call.error = e.body.id
    answer = { status = e.status, json = e.body }
  end
  if answer.drop then return answer end
  local body = errors.check("write an answer", json.encode(answer.json))
  answer.json, answer.body = nil, body
  answer.headers = answer.headers or {}
  answer.headers["Content-Type"] = "application/json"
  answer.headers["Request-Id"] = call.id
  answer.headers["RateLimit-Remaining"] = math.floor(heroku.tokens)
  if ok then
    local etag = ('"%s"'):format(sign.sha256(body):sub(1, 32))
    answer.headers.ETag = etag
    if not call.mutating and req.headers["if-none-match"] == etag then answer.status, answer.body = 304, "" end
  end
  if req.method == "HEAD" then answer.headers["Content-Length"], answer.body = secret.size(answer.body), nil end
  return answer
end

return M
