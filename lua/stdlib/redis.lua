--- Redis and Valkey: connections, copies, comparisons.
---
---     local r <close> = redis.open("rediss://:secret@cache.example.com:6379", { timeout = 10 })
---     r:set("greeting", "hello", "EX", 60)
---     print(r:get "greeting", r:config_get "maxmemory-policy"[2])
---     local replies = r:pipeline { { "GET", "a" }, { "HGETALL", "b" } }
---
--- A missing value is nil; inside a list it is false, so that the list keeps its
--- length. Integers are integers, statuses strings, arrays lists.
local host = require "host.redis"
local endpoints = require "redis.endpoint"
local errors = require "errors"
local options = require "options"
local readonly = require "readonly"
local reads = require "redis.reads"
local task = require "task"

local M = {}

---@class redis.Connection
---@field label string "host:port"
---@field timeout number seconds that one command may take
---@field db integer the database it works in
---@field address string the numeric address that answered, and its port: the tunnel's, if there is one
---@field port integer
local Connection = {}

-- After these a new connection would not be the same as the old one.
local stateful = { MULTI = true, WATCH = true, SUBSCRIBE = true, PSUBSCRIBE = true, SSUBSCRIBE = true, MONITOR = true,
  CLIENT = true, HELLO = true, ASKING = true, READONLY = true }
-- Their words are not for errors and logs.
local private = { AUTH = true, HELLO = true, ACL = true, CONFIG = true, MIGRATE = true, EVAL = true }
local auth_codes = { NOAUTH = true, WRONGPASS = true, NOPERM = true }

--- "run GET shop:1 on": the command and its key, shortened.
local function describe(words)
  local name = tostring(words[1]):upper()
  local key = words[2]
  if type(key) ~= "string" or private[name] then return ("run %s on"):format(name) end
  key = key:gsub("[%c\x7f-\xff]", "?")
  return ("run %s %s on"):format(name, #key > 64 and key:sub(1, 61) .. "..." or key)
end

local function fail(self, what, err)
  local kind, hint = err.kind, nil
  if kind == "remote" and auth_codes[err.code] then
    kind = "auth"
  elseif err.code == "certificate" or err.code == "pin" then
    hint = "give ca= (a file), or pin= (redis.fingerprint tells it) for a self-signed certificate"
  end
  errors.raise { kind = kind, op = ("%s Redis %s"):format(what, self.label), message = err.message, code = err.code,
    retry = err.retry, hint = hint, cause = err }
end

local function drop(self)
  local handle = self.handle
  self.handle = nil
  if handle then handle:close() end
end

--- Runs one conversation with the server. Whatever leaves it half-said (a
--- cancel, a time-out, a broken stream) closes the connection.
local function converse(self, what, fn)
  if self.busy then
    errors.raise { kind = "limit", op = ("%s Redis %s"):format(what, self.label),
      message = "another task is using this connection", hint = "open one connection for each task" }
  end
  self.busy = true
  self.handle:deadline(task.now() + self.timeout)
  local ok, value, err = pcall(fn, self.handle)
  self.busy = false
  if not ok then drop(self) error(value, 0) end
  if value == nil and err then
    if err.kind ~= "remote" then drop(self) end
    fail(self, what, err)
  end
  return value
end

local function greeting(e)
  local words = {}
  if e.password then words[1] = e.user and { "AUTH", e.user, e.password } or { "AUTH", e.password } end
  if e.db ~= 0 then words[#words + 1] = { "SELECT", e.db } end
  words[#words + 1] = { "PING" }
  return words
end

--- Opens the stream to the first address that answers, and checks the certificate.
local function dial(self, e)
  local addresses, port = endpoints.route(e)
  local handle, err
  for _, address in ipairs(addresses) do
    handle, err = host.open(address, port, endpoints.tls(e))
    if handle then
      self.handle = handle
      handle:deadline(task.now() + math.min(self.timeout, 15))
      local ok, connected, why = pcall(task.step, handle, "connect")
      if not ok then drop(self) error(connected, 0) end
      if why == nil then
        self.address, self.port = address, port
        return
      end
      err = why
      handle:close()
      self.handle = nil
      if err.kind == "tls" then break end
    end
  end
  drop(self)
  fail(self, "connect to", err or { kind = "network", message = "the name has no address" })
end

local function connect(self)
  local e = self.endpoint
  dial(self, e)
  for _, words in ipairs(greeting { user = e.user, password = e.password, db = self.db }) do
    local ok, failure = pcall(converse, self, words[1] == "AUTH" and "sign in to" or "connect to", function(handle)
      local queued, why = handle:queue(words)
      if not queued then return nil, why end
      return task.step(handle, "reply")
    end)
    if not ok then drop(self) error(failure, 0) end
  end
end

local function ready(self)
  if self.handle then return end
  if self.closed or self.stateful then
    fail(self, "use the connection to", { kind = "closed", code = "closed", message = "the connection is closed" })
  end
  connect(self)
end

--- Refuses what may write while the session is read-only, before anything is sent.
local function check(self, words)
  if readonly.is_on() and not reads.is_read(words) then readonly.refuse(describe(words) .. " Redis " .. self.label) end
end

local function note(self, words)
  local name = tostring(words[1]):upper()
  if stateful[name] then self.stateful = true end
  if name == "SELECT" and tonumber(words[2]) then self.db = math.tointeger(tonumber(words[2])) end
end

--- Sends one command and answers its reply; an error reply is raised (its code
--- is the first word). A connection that broke is opened again by the next
--- command; the command itself is never repeated.
---@param ... string|number|userdata the words; secrets are welcome
function Connection:command(...)
  local words = { ... }
  local what = describe(words)
  check(self, words)
  ready(self)
  note(self, words)
  return converse(self, what, function(handle)
    local queued, why = handle:queue(words)
    if not queued then return nil, why end
    return task.step(handle, "reply")
  end)
end

--- Sends many commands at once and answers the list of their replies. The first
--- error among them is raised, after all were read; `keep_errors` leaves them in
--- the list as tables { kind = "remote", code =, message = }.
---@param commands any[][] { { "GET", "a" }, ... }
---@param opts? { keep_errors: boolean }
function Connection:pipeline(commands, opts)
  if #commands == 0 then return {} end
  for _, words in ipairs(commands) do check(self, words) end
  ready(self)
  local replies = converse(self, ("run %d commands on"):format(#commands), function(handle)
    for _, words in ipairs(commands) do
      note(self, words)
      local queued, why = handle:queue(words)
      if not queued then return nil, why end
    end
    return task.step(handle, "replies", #commands)
  end)
  if not (opts and opts.keep_errors) then
    for i, reply in ipairs(replies) do
      if type(reply) == "table" and reply.kind == "remote" then fail(self, describe(commands[i]), reply) end
    end
  end
  return replies
end

--- The SHA-256 of the server's certificate, in hex; nil without TLS.
function Connection:fingerprint() return self.handle and self.handle:fingerprint() end

--- The server's INFO as a flat table of strings.
---@param section? string
function Connection:info(section)
  local fields = {}
  local reply = section and self:command("INFO", section) or self:command "INFO"
  for name, value in reply:gmatch "([%w_]+):([^\r\n]*)" do fields[name] = value end
  return fields
end

--- Iterates over the names of the keys, in the order of SCAN; a key may come twice.
---@param opts? { match: string, type: string, count: integer }
function Connection:keys_of(opts)
  opts = opts or {}
  local cursor, batch, i = "0", {}, 0
  local started = false
  return function()
    while i >= #batch do
      if started and cursor == "0" then return nil end
      started = true
      local words = { "SCAN", cursor, "COUNT", opts.count or 1000 }
      if opts.match then words[#words + 1] = "MATCH" words[#words + 1] = opts.match end
      if opts.type then words[#words + 1] = "TYPE" words[#words + 1] = opts.type end
      local reply = self:command(table.unpack(words))
      cursor, batch, i = reply[1], reply[2], 0
    end
    i = i + 1
    return batch[i]
  end
end

function Connection:close()
  self.closed = true
  drop(self)
end

--- r:xgroup_create(...) is XGROUP CREATE, r:client_no_evict(...) CLIENT NO-EVICT;
--- a name that ends in _ro keeps it.
local function command_method(name)
  local words = {}
  local stem, ro = name:upper():match "^(.-)(_RO)$"
  for word in (stem or name:upper()):gmatch "[^_]+" do words[#words + 1] = word end
  if #words == 0 then return nil end
  words[#words] = words[#words] .. (ro or "")
  if #words == 1 then return function(self, ...) return self:command(words[1], ...) end end
  local sub = table.concat(words, "-", 2)
  return function(self, ...) return self:command(words[1], sub, ...) end
end

local methods = setmetatable({}, { __mode = "v" })

local mt = {
  __name = "redis.Connection",
  __index = function(_, name)
    if type(name) ~= "string" then return nil end
    if Connection[name] then return Connection[name] end
    if name == "handle" or name == "busy" or name == "closed" or name == "stateful" then return nil end
    methods[name] = methods[name] or command_method(name)
    return methods[name]
  end,
  __close = function(self) self:close() end,
  __tostring = function(self) return "redis " .. self.label end,
}

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
  local self = setmetatable({ endpoint = e, label = e.label, timeout = o.timeout, db = o.db or e.db }, mt)
  connect(self)
  return self
end

--- The SHA-256 of a server's certificate, in hex, to be compared and pinned.
--- Nothing is sent to the server, and its certificate is not checked.
---@param endpoint string|userdata|redis.Endpoint
---@return string
function M.fingerprint(endpoint)
  local e = endpoints.parse(endpoint, "redis.fingerprint")
  if not e.tls then errors.usage "redis.fingerprint needs a rediss:// URL" end
  e.pin, e.insecure = nil, true
  local self = { endpoint = e, label = e.label, timeout = 15 }
  dial(self, e)
  local sum = self.handle:fingerprint()
  drop(self)
  return sum or errors.raise { kind = "tls", op = "read the certificate of " .. e.label, message = "the server sent none" }
end

--- See redis.copy.
function M.copy(o)
  readonly.refuse "copy a Redis"
  return require "redis.copy".copy(o)
end

--- See redis.same.
function M.same(o) return require "redis.same".same(o) end

return M
