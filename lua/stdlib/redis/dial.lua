--- How a connection comes about: the way there, TLS, the sign-in, the protocol that both sides speak.
local commands = require "redis.commands"
local endpoints = require "redis.endpoint"
local failure = require "redis.failure"
local host = require "host.redis"
local log = require "log"
local task = require "task"

local M = {}

local CONNECT = 15                      -- seconds for one address

--- Closes the stream; the connection can be opened again.
function M.drop(self)
  local handle = self.handle
  self.handle = false
  if handle then handle:close() end
end

--- Opens the stream to the first address that answers, and checks the certificate. Nothing of ours is sent.
function M.reach(self)
  local e = self.endpoint
  local addresses, port = endpoints.route(e, self)
  local err
  for _, address in ipairs(addresses) do
    local handle, why = host.open(address, port, endpoints.tls(e))
    err = why
    if handle then
      self.handle = handle
      handle:deadline(task.now() + math.min(self.timeout, CONNECT))
      local ok, connected, refused = pcall(task.step, handle, "connect")
      if not ok then M.drop(self) error(connected, 0) end
      if refused == nil then
        self.address, self.port = address, port
        return
      end
      err = refused
      M.drop(self)
      if err.kind == "tls" then break end
    end
  end
  failure.raise(self.label, "connect to", err or { kind = "network", message = "the name has no address" }, true)
end

--- One command of the introduction; nil, err when the server refuses it.
local function say(self, ...)
  local queued, why = self.handle:queue { ... }
  if not queued then return nil, why end
  self.handle:deadline(task.now() + self.timeout)
  return task.step(self.handle, "reply")
end

--- RESP3, where the server has it: HELLO signs in too.
local function hello(self)
  local e = self.endpoint
  local reply, err
  if e.password then reply, err = say(self, "HELLO", 3, "AUTH", e.user or "default", e.password)
  else reply, err = say(self, "HELLO", 3) end
  if reply then self.protocol = 3 return true end
  if err.kind == "remote" and (err.code == "ERR" or err.code == "NOPROTO") then return false end      -- knows no HELLO, or not 3
  return nil, err
end

local function introduce(self)
  local e = self.endpoint
  local done, err = false, nil
  self.protocol = 2
  if self.wanted_protocol == 3 then done, err = hello(self) end
  if done == false and e.password then
    if e.user then done, err = say(self, "AUTH", e.user, e.password) else done, err = say(self, "AUTH", e.password) end
  end
  if done == nil then return "sign in to", err end
  if self.db ~= 0 then
    done, err = say(self, "SELECT", self.db)
    if not done then return ("use database %d of"):format(self.db), err end
  end
  done, err = say(self, "PING")
  if not done then return "connect to", err end
end

--- Opens the connection: the certificate checked, signed in, answering.
function M.connect(self)
  if self.endpoint.insecure and self.endpoint.tls then
    log.risk("the TLS certificate of Redis %s is not checked (insecure = true): whoever is on the way can read and change what is sent",
      self.label)
  end
  M.reach(self)
  local ok, what, err = pcall(introduce, self)
  if not ok then M.drop(self) error(what, 0) end
  if what then
    M.drop(self)
    failure.raise(self.label, what, err, err.kind == "network")
  end
  self.sessions = self.sessions + 1
end

--- Keeps in mind what a new connection would not know by itself.
---@param words any[] a command that is about to be sent
function M.note(self, words)
  local name = commands.name(words)
  if commands.is_stateful(words) then self.stateful = true end
  if name == "MULTI" or name == "WATCH" then self.in_transaction = name end
  if name == "EXEC" or name == "DISCARD" or name == "UNWATCH" and self.in_transaction == "WATCH" then self.in_transaction = false end
  if name == "SELECT" and tonumber(words[2]) then self.db = math.tointeger(tonumber(words[2])) end
end

return M
