--- An HTTP server whose handler is a plain function; each request is a task.
--- It is the emulated cloud's front door and the tests' peer.
---
---     local server <close> = serve.start { handler = function(req)
---       return { status = 200, json = { path = req.path } }
---     end }
---     http.get(server.url .. "/hello")
---
--- A handler answers { status =, headers =, ... } with one of
---   body = string|secret           json = value
---   file = path, offset, length    stream = function(write) ... end
--- and may be unkind: delay = seconds, cut = n (sends n bytes of the body and
--- cuts the connection), drop = true (closes it without an answer).
local errors = require "errors"
local host = require "host.serve"
local options = require "options"
local secret = require "secret"
local task = require "task"

local M = {}

local declared = {
  { "handler", "function(req) that returns the answer", type = "function", required = true },
  { "host", "the address to listen on", type = "string", default = "127.0.0.1" },
  { "port", "the port; 0 takes a free one", type = "integer", default = 0 },
  { "cert", "PEM file of the certificate and its chain: TLS", type = "string" },
  { "key", "PEM file of its key", type = "string" },
  { "memory_limit", "bytes of a request's body before it goes to a file", type = "integer", default = 1024 * 1024 },
  { "size_limit", "bytes of a request's body; more is answered 413", type = "integer", default = 5 * 1024 * 1024 * 1024 },
  { "tmpdir", "where large bodies go", type = "string", default = os.getenv "TMPDIR" or "/tmp" },
}

--- "a%20b" -> "a b"; "+" is a blank only in a query.
local function unescape(s, is_query)
  if is_query then s = s:gsub("%+", " ") end
  return (s:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- "a=1&b=2&a=3" -> { a = "3", b = "2" }, { { "a", "1" }, { "b", "2" }, { "a", "3" } }
function M.parse_query(raw)
  local query, list = {}, {}
  for part in raw:gmatch "[^&]+" do
    local name, value = part:match "^([^=]*)=?(.*)$"
    name, value = unescape(name, true), unescape(value, true)
    query[name] = value
    list[#list + 1] = { name, value }
  end
  return query, list
end

local function join_headers(list)
  local headers, all = {}, {}
  for _, pair in ipairs(list) do
    local name, value = pair[1], pair[2]
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
    all[name] = all[name] or {}
    table.insert(all[name], value)
  end
  return setmetatable(headers, { __index = { all = all } })
end

---@class ServedRequest
---@field method string
---@field path string decoded
---@field raw_path string as it was sent, without the query
---@field raw_query string "" when there is none
---@field query table<string, string> decoded; the last one of a repeated name
---@field query_list string[][] { name, value } in order
---@field headers table<string, string> lower-case names; headers.all[name] lists repeated ones
---@field body? string
---@field body_file? string where a large body is, until the answer is given
---@field body_size integer
---@field peer string "127.0.0.1:40000"
local function read(exchange)
  local raw_path, raw_query = exchange:target():match "^([^?]*)%??(.*)$"
  local file, size = exchange:body_file()
  local query, list = M.parse_query(raw_query)
  return {
    method = exchange:method(), path = unescape(raw_path), raw_path = raw_path,
    raw_query = raw_query, query = query, query_list = list,
    headers = join_headers(exchange:headers()), peer = exchange:peer(),
    body = exchange:body(), body_file = file, body_size = size,
  }
end

local function writer_of(exchange)
  return function(bytes)
    local ok, id = exchange:write(bytes)
    if ok == false then task.await(id) end
    errors.check("send more of an answer", ok, id)
  end
end

local function send(exchange, req, answer)
  if answer.delay then task.sleep(answer.delay) end
  if answer.drop then return exchange:drop() end
  local status, headers, body = answer.status or 200, {}, answer.body
  local length
  for name, value in pairs(answer.headers or {}) do
    if type(value) == "number" then value = tostring(value) end
    if name:lower() == "content-length" then length = math.tointeger(tonumber(value)) end
    headers[name] = value
  end
  if answer.json ~= nil then
    body = errors.check("write the JSON of an answer", require "json".encode(answer.json))
    headers["Content-Type"] = headers["Content-Type"] or "application/json"
  end
  if answer.stream then
    errors.check("answer", exchange:reply_stream(status, headers))
    answer.stream(writer_of(exchange))
    exchange:finish()
  elseif answer.cut then
    errors.check("answer", exchange:reply_stream(status, headers, #body))
    writer_of(exchange)(body:sub(1, answer.cut))
    exchange:finish(true)
  elseif answer.file then
    errors.check("answer", exchange:reply_file(status, headers, answer.file, answer.offset, answer.length))
  elseif req.method == "HEAD" and length and body == nil then
    errors.check("answer", exchange:reply_stream(status, headers, length))
  else
    errors.check("answer", exchange:reply(status, headers, body or ""))
  end
end

--- A task's whole work on one request. What the handler does wrong is a 500
--- and a line in the log; a client that went away is its own affair.
local function serve_one(server, exchange)
  local e <close> = exchange
  local req = read(e)
  local ok, err = xpcall(function() send(e, req, server.handler(req) or { status = 204 }) end, errors.handler)
  if ok or server.stopped or errors.is(err, "cancelled") then return end
  if errors.is(err, "network") and err.code == "cut" then return end
  require "log".warn("the handler of %s %s failed: %s", req.method, req.path, tostring(err))
  pcall(e.reply, e, 500, {}, "the handler failed\n")
end

---@class Server
---@field host string
---@field port integer
---@field url string
local Server = {}
Server.__index = Server

local function accept_all(server)
  task.current().idle = true            -- it may wait for ever: simulated time goes on
  while true do
    local exchange, id = server.listener:accept()
    if exchange == nil then return end
    if exchange == false then
      task.await(id)
    else
      local work
      work = task.spawn(function()
        local ok, err = pcall(serve_one, server, exchange)
        server.work[work] = nil
        if not ok then error(err, 0) end
      end)
      server.work[work] = true
    end
  end
end

--- Stops listening, cuts what is open, and waits for the handlers to end.
function Server:stop()
  if self.stopped then return end
  self.stopped = true
  self.listener:close()
  local me = task.current()
  local work = {}
  for t in pairs(self.work) do if t ~= me then work[#work + 1] = t end end
  for _, t in ipairs(work) do t:cancel() end
  for _, t in ipairs(work) do pcall(t.join, t) end
  if self.acceptor ~= me then self.acceptor:join() end
end

Server.__close = Server.stop

local function read_pem(path)
  return errors.check("read " .. path, require "fs".read(path))
end

--- Listens and answers until stop().
---@param opts table see the options above
---@return Server
function M.start(opts)
  local o = options.check(opts, declared, "serve.start")
  local cert, key
  if o.cert then cert, key = read_pem(o.cert), secret.new(read_pem(o.key or o.cert)) end
  local op = ("serve on %s"):format(o.host)
  local listener = errors.check(op, host.open(o.host, o.port, o.tmpdir, o.memory_limit, o.size_limit, cert, key))
  local port = listener:port()
  local server = setmetatable({
    handler = o.handler, listener = listener, work = {}, host = o.host, port = port,
    url = ("%s://%s:%d"):format(cert and "https" or "http", o.host:find ":" and "[" .. o.host .. "]" or o.host, port),
  }, Server)
  server.acceptor = task.spawn(accept_all, server)
  return server
end

return M
