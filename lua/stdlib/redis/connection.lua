--- One connection to a server: opened, asked, opened again where that is safe, closed. What goes over several commands is in
--- subscription.lua; what is known of each command in commands.lua.
local host = require "host.redis"
local commands = require "redis.commands"
local endpoints = require "redis.endpoint"
local errors = require "errors"
local failure = require "redis.failure"
local readonly = require "readonly"
local reads = require "redis.reads"
local subscription = require "redis.subscription"
local task = require "task"

local M = {}

---@class redis.Connection
---@field label string "host:port"
---@field timeout number seconds that one command may take, beside those for which it blocks by itself
---@field db integer the database it works in
---@field address string the numeric address that answered, and its port: the tunnel's, if there is one
---@field port integer
local Connection = {}
M.Connection = Connection

for name, method in pairs(subscription.Connection) do Connection[name] = method end

local function fail(self, what, err)
  failure.raise(self.label, type(what) == "table" and commands.describe(what) or what, err)
end

local function drop(self)
  local handle = self.handle
  self.handle = false
  if handle then handle:close() end
end

--- Runs one conversation with the server. Whatever leaves it half-said (a
--- cancel, a time-out, a broken stream) closes the connection.
---@param what string|any[] what is tried: "connect to", or the words of the command
---@param blocks number seconds for which the commands may block by themselves
local function converse(self, what, fn, blocks)
  if self.busy then
    fail(self, what, { kind = "limit", code = "busy", message = "another task is using this connection" })
  end
  self.busy = true
  self.handle:deadline(blocks == math.huge and 0 or task.now() + self.timeout + blocks)
  local ok, value, err = pcall(fn, self.handle)
  self.busy = false
  if not ok then drop(self) error(value, 0) end
  if value == nil and err then
    if err.kind ~= "remote" then drop(self) end
    fail(self, what, err)
  end
  return value
end

local function ask(handle, words)
  local queued, why = handle:queue(words)
  if not queued then return nil, why end
  return task.step(handle, "reply")
end

--- Opens the stream to the first address that answers, and checks the certificate.
local function dial(self)
  local e = self.endpoint
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
      drop(self)
      if err.kind == "tls" then break end
    end
  end
  fail(self, "connect to", err or { kind = "network", message = "the name has no address" })
end

local function greeting(self)
  local e, words = self.endpoint, {}
  if e.password then words[1] = e.user and { "AUTH", e.user, e.password } or { "AUTH", e.password } end
  if self.db ~= 0 then words[#words + 1] = { "SELECT", self.db } end
  words[#words + 1] = { "PING" }
  return words
end

local function connect(self)
  dial(self)
  for _, words in ipairs(greeting(self)) do
    local ok, failure = pcall(converse, self, words[1] == "AUTH" and "sign in to" or "connect to",
      function(handle) return ask(handle, words) end, 0)
    if not ok then drop(self) error(failure, 0) end
  end
end

local function ready(self)
  if self.handle then return end
  if self.closed or self.stateful or self.in_transaction then
    fail(self, "use the connection to", { kind = "closed", code = "closed", message = "the connection is closed" })
  end
  connect(self)
end

--- Refuses, before anything is sent, what cannot be answered, and what may write while the session is read-only.
local function check(self, words)
  local instead = commands.instead(words)
  if instead then errors.usage("%s is no command with one answer: use %s", commands.name(words), instead) end
  if readonly.is_on() and not reads.is_read(words) then
    readonly.refuse(commands.describe(words) .. " Redis " .. self.label)
  end
end

--- Keeps in mind what a new connection would not know.
local function note(self, words)
  local name = commands.name(words)
  if commands.is_stateful(words) then self.stateful = true end
  if name == "MULTI" or name == "WATCH" then self.in_transaction = true end
  if name == "EXEC" or name == "DISCARD" then self.in_transaction = false end
  if name == "SELECT" and tonumber(words[2]) then self.db = math.tointeger(tonumber(words[2])) end
end

--- Sends one command and answers its reply; an error reply is raised (its code
--- is the first word). A connection that broke is opened again by the next
--- command; the command itself is never repeated.
---@param ... string|number|userdata the words; secrets are welcome
function Connection:command(...)
  local words = { ... }
  check(self, words)
  ready(self)
  note(self, words)
  return converse(self, words, function(handle) return ask(handle, words) end, commands.blocks(words))
end

--- Sends many commands at once and answers the list of their replies. The first
--- error among them is raised, after all were read; `keep_errors` leaves them in
--- the list as tables { kind = "remote", code =, message = }.
---@param list any[][] { { "GET", "a" }, ... }
---@param opts? { keep_errors: boolean }
function Connection:pipeline(list, opts)
  if #list == 0 then return {} end
  local blocks = 0
  for _, words in ipairs(list) do
    check(self, words)
    blocks = blocks + commands.blocks(words)
  end
  ready(self)
  local replies = converse(self, ("run %d commands on"):format(#list), function(handle)
    for _, words in ipairs(list) do
      note(self, words)
      local queued, why = handle:queue(words)
      if not queued then return nil, why end
    end
    return task.step(handle, "replies", #list)
  end, blocks)
  if not (opts and opts.keep_errors) then
    for i, reply in ipairs(replies) do
      if type(reply) == "table" and reply.kind == "remote" then fail(self, list[i], reply) end
    end
  end
  return replies
end

--- The SHA-256 of the server's certificate, in hex; nil without TLS.
function Connection:fingerprint()
  if self.handle then return self.handle:fingerprint() end
end

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

--- Another connection to the same server, into the same database.
---@return redis.Connection
function Connection:another()
  if self.closed then
    fail(self, "use the connection to", { kind = "closed", code = "closed", message = "the connection is closed" })
  end
  return M.open(self.endpoint, { timeout = self.timeout, db = self.db })
end

--- Closes it; safe twice.
function Connection:close()
  self.closed = true
  drop(self)
end

local function command_method(name)
  local word, sub = commands.of_method(name)
  if not word then return nil end
  if not sub then return function(self, ...) return self:command(word, ...) end end
  return function(self, ...) return self:command(word, sub, ...) end
end

local methods = setmetatable({}, { __mode = "v" })

local mt = {
  __name = "redis.Connection",
  __index = function(_, name)
    if type(name) ~= "string" then return nil end
    if Connection[name] then return Connection[name] end
    methods[name] = methods[name] or command_method(name)
    return methods[name]
  end,
  __close = function(self) self:close() end,
  __tostring = function(self) return "redis " .. self.label end,
}

-- What is not known yet is false: a nil would be looked up as a command.
local function new(e, o)
  return setmetatable({ endpoint = e, label = e.label, timeout = o.timeout or 30, db = o.db or e.db, handle = false, busy = false,
    closed = false, stateful = false, in_transaction = false, address = false, port = false }, mt)
end

---@param e table what endpoint.parse answers
---@param o { timeout?: number, db?: integer }
---@return redis.Connection
function M.open(e, o)
  local self = new(e, o)
  connect(self)
  return self
end

--- The SHA-256 of the server's certificate, before anything was sent; nil when it has none.
function M.fingerprint(e)
  local self <close> = new(e, { timeout = 15 })
  dial(self)
  return self.handle:fingerprint()
end

return M
