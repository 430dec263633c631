--- HTTP requests that read as blocking calls. Certificates are always
--- verified; redirects are not followed unless asked; connections are kept.
---
---     local answer = http.get("https://api.example.com/items", { timeout = 30 })
---     for _, item in ipairs(answer:json()) do print(item.name) end
---
--- Any status is an answer, but 407: that is the proxy's. No answer raises an
--- error of kind "network", "timeout", "tls", "limit", "io", "protocol",
--- "invalid" or, from a proxy, "auth"; its `retry` says whether trying again
--- can help. No error shows a header, a body, a query or a proxy's password.
local errors = require "errors"
local host = require "host.http"
local options = require "options"
local secret = require "secret"
local task = require "task"

local M = {}

local declared = {
  { "method", "GET, POST, ...", type = "string", default = "GET" },
  { "url", "where to; a secret when its path or query holds one", type = "secret", required = true },
  { "headers", "name = string, secret or a list of them", type = "table", default = {} },
  { "body", "string, secret or { file =, offset =, length = }", type = "any" },
  { "json", "a value to send as JSON", type = "any" },
  { "timeout", "seconds for all of it; 0 = only stall_timeout", type = "number" },
  { "connect_timeout", "seconds to connect", type = "number", default = 10 },
  { "stall_timeout", "seconds without a byte", type = "number", default = 60 },
  { "ca", "PEM file of the only authorities to trust", type = "string" },
  { "to_file", "where the body of a 2xx answer goes, once complete; or the range { file =, offset =, length = } of a file that is there",
    type = "any" },
  { "reader", "takes the body of a 2xx answer as it arrives; the answer's body is then the reader", type = "any" },
  { "secret_body", "the body of the answer is a secret", type = "boolean", default = false },
  { "follow", "how many redirects to follow", type = "integer", default = 0 },
  { "connect_to", "address or address:port to connect to, whatever the DNS says; the certificate is checked against the URL's host",
    type = "string" },
  { "fresh", "on a new connection: one that was kept may be dead, and then it would be sent a second time", type = "boolean" },
  { "limit", "bytes of an answer in memory", type = "integer", default = 64 * 1024 * 1024 },
  { "progress", "called now and then with bytes sent, received", type = "function" },
}

---@class HttpAnswer
---@field status integer
---@field headers table<string, string> lower-case names; headers.all[name] lists repeated ones, headers.spelling[name] is as it came
---@field body string|userdata|nil nil when it went into a file
---@field size integer bytes of the body
local Answer = {}
Answer.__index = Answer

--- The body read as JSON; raises kind "protocol" when it is not.
---@param opts? table of json.decode
function Answer:json(opts)
  local value, err = require "json".decode(self.body or "", opts)
  if value == nil then
    errors.raise { kind = "protocol", op = "read the answer of " .. self.label, message = err and err.message or "no JSON" }
  end
  return value
end

--- Whether the status is 2xx.
function Answer:ok() return self.status // 100 == 2 end

local function set_headers(request, headers)
  for name, value in pairs(headers) do
    if type(value) == "table" then
      for _, v in ipairs(value) do request:header(name, v) end
    else
      request:header(name, type(value) == "number" and tostring(value) or value)
    end
  end
end

local function has_header(headers, wanted)
  for name in pairs(headers) do if name:lower() == wanted then return true end end
  return false
end

--- One request, without redirects.
local function send(o)
  local request <close> = errors.check("send a " .. o.method, host.open(o.method, o.url))
  local op = request:label()
  set_headers(request, o.headers)
  if type(o.body) == "table" then
    errors.check(op, request:body_file(o.body.file, o.body.offset, o.body.length))
  elseif o.body ~= nil then
    request:body(o.body)
  end
  local streams = o.to_file or type(o.body) == "table"
  request:limits(o.connect_timeout, o.timeout or (streams and 0 or 300), o.stall_timeout, o.limit)
  if o.ca then request:ca(o.ca) end
  if o.fresh then request:fresh() end
  if o.connect_to then request:connect_to("::" .. (o.connect_to:find ":%d+$" and o.connect_to or o.connect_to .. ":")) end
  if o.secret_body then request:secret() end
  if type(o.to_file) == "table" then
    errors.check(op, request:to_range(o.to_file.file, o.to_file.offset, o.to_file.length))
  elseif o.to_file then
    errors.check(op, request:to_file(o.to_file))
  end
  if o.reader then request:to_reader(o.reader) end
  errors.check(op, request:start())
  local id = request:id()
  while not (task.await(id, o.progress and 0.2) and request:is_done()) do
    if o.reader then o.reader:play() end
    if o.progress then o.progress(request:progress()) end
  end
  local status, headers, body, size = request:result()
  errors.check(op, status, headers)
  if o.progress then o.progress(request:progress()) end
  return setmetatable({ status = status, headers = headers, body = body or o.reader, size = size, label = op }, Answer)
end

--- What a redirect leads to. Another origin gets neither credentials nor
--- secrets; https never leads to http.
local function redirected(o, answer)
  local url, same = host.resolve(o.url, answer.headers.location)
  errors.check("follow the redirect of " .. answer.label, url, same)
  local next_one = {}
  for k, v in pairs(o) do next_one[k] = v end
  next_one.url = url
  if not same then
    if url:find "^http:" and answer.label:find " https:" then
      errors.raise { kind = "protocol", op = "follow the redirect of " .. answer.label, message = "it leads from https to http" }
    end
    next_one.headers, next_one.connect_to = {}, nil
    for name, value in pairs(o.headers) do
      local low = name:lower()
      if not (secret.is(value) or low == "authorization" or low == "cookie" or low == "proxy-authorization") then
        next_one.headers[name] = value
      end
    end
  end
  local status = answer.status
  if status == 303 and o.method ~= "HEAD" or (status == 301 or status == 302) and o.method == "POST" then
    next_one.method, next_one.body = "GET", nil
  end
  return next_one
end

local redirects = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

--- Sends a request and waits for the answer.
---@param opts table see the options above; unknown names raise kind "usage"
---@return HttpAnswer
function M.request(opts)
  local o = options.check(opts, declared, "http.request")
  if o.json ~= nil then
    o.body = errors.check("write the JSON of a request", require "json".encode(o.json))
    if not has_header(o.headers, "content-type") then
      local headers = { ["Content-Type"] = "application/json" }
      for name, value in pairs(o.headers) do headers[name] = value end
      o.headers = headers
    end
  end
  for _ = 1, o.follow do
    local answer = send(o)
    if not (redirects[answer.status] and answer.headers.location) then return answer end
    o = redirected(o, answer)
  end
  local answer = send(o)
  if o.follow > 0 and redirects[answer.status] and answer.headers.location then
    errors.raise { kind = "protocol", op = answer.label, message = ("more than %d redirects"):format(o.follow) }
  end
  return answer
end

local function with(method, url, opts)
  local o = { method = method, url = url }
  for k, v in pairs(opts or {}) do o[k] = v end
  return M.request(o)
end

---@param url string|userdata
---@param opts? table
---@return HttpAnswer
function M.get(url, opts) return with("GET", url, opts) end

---@param url string|userdata
---@param opts? table with body or json
---@return HttpAnswer
function M.post(url, opts) return with("POST", url, opts) end

--- Closes the kept connections; false when requests are under way.
---@return boolean
function M.close_idle() return host.close_idle() end

return M
