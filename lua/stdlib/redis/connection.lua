--- One connection to a server: opened, asked, opened again where that is safe, closed. How it comes about is in dial.lua, what
--- goes over several commands in transaction.lua and subscription.lua, what is known of each command in commands.lua.
local commands = require "redis.commands"
local dial = require "redis.dial"
local endpoints = require "redis.endpoint"
local errors = require "errors"
local failure = require "redis.failure"
local readonly = require "readonly"
local reads = require "redis.reads"
local subscription = require "redis.subscription"
local task = require "task"
local transaction = require "redis.transaction"

local M = {}

---@class redis.Connection
---@field [string] fun(self: any, ...: any): any any command, by its name in lower case
---@field label string "host:port"
---@field timeout number seconds that one command may take, beside those for which it blocks by itself
---@field db integer the database it works in
---@field protocol 2|3 what it speaks: RESP2 or RESP3
---@field address string the numeric address that answered, and its port: the tunnel's, if there is one
---@field port integer
local Connection = {}

for _, part in ipairs { subscription, transaction } do
  for name, method in pairs(part.Connection) do Connection[name] = method end
end

local function closed(self)
  failure.raise(self.label, "use the connection to", { kind = "closed", code = "closed", message = "the connection is closed" })
end

--- Opens the connection where it is not open, or the server has closed it meanwhile: nothing was sent yet.
local function ready(self)
  if self.handle and not self.handle:alive() then dial.drop(self) end
  if self.handle then return end
  if self.closed or self.stateful or self.in_transaction then closed(self) end
  dial.connect(self)
end

--- Refuses, before anything is sent, what has no one answer, and what may write while the session is read-only.
local function check(self, words)
  local instead = commands.instead(words)
  if instead then errors.usage("%s is no command with one answer: use %s", commands.name(words), instead) end
  if readonly.is_on() and not reads.is_read(words) then
    readonly.refuse(commands.describe(words) .. " Redis " .. self.label)
  end
end

--- One conversation: all is sent, the replies are read. The reply of a single command, or the list of them; nil, err.
local function converse(self, list, single, secrets)
  ready(self)
  local handle, blocks = self.handle, 0
  for _, words in ipairs(list) do
    dial.note(self, words)
    blocks = blocks + commands.blocks(words)
    local queued, why = handle:queue(words)
    if not queued then return nil, why end
  end
  handle:deadline(blocks == math.huge and 0 or task.now() + self.timeout + blocks)
  if single then return task.step(handle, "reply", secrets) end
  return task.step(handle, "replies", #list, secrets)
end

--- Whether nothing is different when the commands are run once more. The cursor of a SCAN means something only to the server
--- that gave it, which may have been another; who waits for what comes next would miss what came between.
local function repeatable(self, list)
  if self.stateful or self.in_transaction then return false end
  for _, words in ipairs(list) do
    if not reads.is_read(words) or commands.name(words):find "SCAN$" or commands.blocks(words) > 0 then return false end
  end
  return true
end

--- Runs conversations one at a time. Whatever leaves one half-said (a cancel, a time-out, a broken stream) closes the
--- connection. Reads whose connection was lost are asked once more; nothing else is ever repeated.
---@return any reply
---@return table? err as host functions answer it
local function exchange(self, list, single, secrets)
  if self.busy then return nil, { kind = "limit", code = "busy", message = "another task is using this connection" } end
  self.busy = true
  local ok, value, err = pcall(converse, self, list, single, secrets)
  if ok and value == nil and err and err.kind == "network" and repeatable(self, list) then
    dial.drop(self)
    ok, value, err = pcall(converse, self, list, single, secrets)
  end
  self.busy = false
  if not ok or err and err.kind ~= "remote" then dial.drop(self) end
  if not ok then error(value, 0) end
  if self.protocol == 3 and self.handle then
    for _, push in ipairs(self.handle:pushes() or {}) do
      if self.on_push then self.on_push(push) end
    end
  end
  return value, err
end

--- Raises an error of one command. A primary that became a replica is left: the name may lead to the new one.
local function fail(self, words, err)
  if err.code == "READONLY" and not (self.stateful or self.in_transaction) then dial.drop(self) end
  failure.raise(self.label, commands.describe(words, self.is_secret and self.is_secret(words)), err)
end

--- Sends one command and answers its reply; an error reply is raised (its code
--- is the first word). A connection that the server closed meanwhile is opened
--- again before anything is sent. One that breaks after that is opened by the
--- next command; the command itself is repeated only if it just reads.
---@param ... string|number|userdata the words; secrets are welcome
function Connection:command(...)
  local words = { ... }
  for i = #words + 1, select("#", ...) do                    -- a nil in the middle: # stops before it
    if words[i] ~= nil then errors.usage("word %d of the command is a nil, not a string or a number", #words + 1) end
  end
  check(self, words)
  local reply, err = exchange(self, { words }, true, self.is_secret and self.is_secret(words))
  if reply == nil and err then fail(self, words, err) end
  return reply
end

--- Of which commands the replies are secrets; that of EXEC when one between is.
local function secret_replies(self, list)
  if not self.is_secret then return nil end
  local flags, any = {}, false
  for i, words in ipairs(list) do
    flags[i] = self.is_secret(words) or any and commands.name(words) == "EXEC"
    any = any or flags[i]
  end
  return flags
end

--- Sends many commands at once and answers the list of their replies. The first
--- error among them is raised, after all were read; `keep_errors` leaves them in
--- the list as tables { kind = "remote", code =, message = }.
---@param list any[][] { { "GET", "a" }, ... }
---@param opts? { keep_errors: boolean }
function Connection:pipeline(list, opts)
  if #list == 0 then return {} end
  for _, words in ipairs(list) do check(self, words) end
  local replies, err = exchange(self, list, false, secret_replies(self, list))
  if not replies then failure.raise(self.label, ("run %d commands on"):format(#list), err) end
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

--- Iterates over the names of the keys, in the order of SCAN; a key may come
--- twice. If the connection is lost in the middle that is an error: the cursor
--- may be worthless, and keys would be missed.
---@param opts? { match: string, type: string, count: integer }
function Connection:keys_of(opts)
  opts = opts or {}
  local cursor, batch, i, session = "0", {}, 0, nil
  return function()
    while i >= #batch do
      if session and cursor == "0" then return nil end
      local words = { "SCAN", cursor, "COUNT", opts.count or 1000 }
      if opts.match then words[#words + 1] = "MATCH" words[#words + 1] = opts.match end
      if opts.type then words[#words + 1] = "TYPE" words[#words + 1] = opts.type end
      local reply = self:command(table.unpack(words))
      if session and session ~= self.sessions then
        failure.raise(self.label, "go on with the keys of", { kind = "network", code = "cursor", retry = true,
          message = "the connection was lost in the middle, and with it the place in the list" })
      end
      session = self.sessions
      cursor, batch, i = reply[1], reply[2], 0
    end
    i = i + 1
    return batch[i]
  end
end

--- Another connection to the same server, into the same database.
---@param opts? { protocol: 2|3 }
---@return redis.Connection
function Connection:another(opts)
  if self.closed then closed(self) end
  return M.open(self.endpoint, { timeout = self.timeout, db = self.db, protocol = opts and opts.protocol or self.wanted_protocol,
    is_secret = self.is_secret, on_push = self.on_push })
end

--- Closes it; safe twice.
function Connection:close()
  self.closed = true
  dial.drop(self)
  endpoints.release(self)
end

local function command_method(name)
  local word, sub = commands.of_method(name)
  if not word then return nil end
  if not sub then return function(self, ...) return self:command(word, ...) end end
  return function(self, ...) return self:command(word, sub, ...) end
end

local by_name = setmetatable({}, { __mode = "v" })

--- Every command is a method of whatever has Methods and :command.
---@param Methods table
---@return fun(self: table, name: any): function?
function M.index(Methods)
  return function(_, name)
    if type(name) ~= "string" then return nil end
    if Methods[name] then return Methods[name] end
    by_name[name] = by_name[name] or command_method(name)
    return by_name[name]
  end
end

local mt = {
  __name = "redis.Connection",
  __index = M.index(Connection),
  __close = function(self) self:close() end,
  __tostring = function(self)
    local e = self.endpoint
    return "redis " .. self.label .. (e.tls and e.insecure and " (insecure: its certificate is not checked)" or "")
  end,
}

-- What is not known yet is false: a nil would be looked up as a command.
local function new(e, o)
  return setmetatable({ endpoint = e, label = e.label, timeout = o.timeout or 30, db = o.db or e.db, wanted_protocol = o.protocol or 2,
    is_secret = o.is_secret or false, on_push = o.on_push or false, handle = false, tunnel = false, protocol = 2, address = false,
    port = false, sessions = 0, busy = false, closed = false, stateful = false, in_transaction = false }, mt)
end

---@param e table what endpoint.parse answers
---@param o { timeout?: number, db?: integer, protocol?: 2|3, is_secret?: function, on_push?: function }
---@return redis.Connection
function M.open(e, o)
  local self = new(e, o)
  local ok, failed = pcall(dial.connect, self)
  if not ok then self:close() error(failed, 0) end
  return self
end

--- The SHA-256 of the server's certificate, before anything was sent; nil when it has none.
function M.fingerprint(e)
  local self <close> = new(e, { timeout = 15 })
  dial.reach(self)
  return self.handle:fingerprint()
end

return M
