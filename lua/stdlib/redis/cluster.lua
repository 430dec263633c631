--- A cluster: one connection to each of its primaries, commands sent to where their keys are.
local commands = require "redis.commands"
local connection = require "redis.connection"
local errors = require "errors"
local failure = require "redis.failure"
local routes = require "redis.routes"
local secret = require "secret"
local slots = require "redis.slots"
local task = require "task"
local transaction = require "redis.transaction"

local M = {}

local REDIRECTS = 16
-- After these, where nothing was done, it may be otherwise soon.
local PASSING = { TRYAGAIN = true, CLUSTERDOWN = true, MASTERDOWN = true, LOADING = true, READONLY = true }

---@class redis.Cluster
---@field label string "host:port" of the node that it was opened with
local Cluster = {}

--- Where a command goes: the node of its key's slot; nil when it has no key.
local function slot_of(words)
  local at = commands.key_at(words)
  local key = at and words[at]
  if key == nil then return nil end
  if secret.is(key) then errors.usage("a key of a cluster cannot be a secret: its slot is not known") end
  return slots.of(tostring(key))
end

--- What is to be done about an error: true when the same command may be sent again, where the map says then; "ask" and the
--- node that has the key for the moment; nil when it is an error of the command.
local function redirect(self, e, name)
  local slot, to = tostring(e.message):match "^%u+ (%d+) (%S+)$"
  if e.code == "MOVED" and to then
    self.routes:moved(math.tointeger(tonumber(slot)), to, name)
    return true
  end
  if e.code == "ASK" and to then return "ask", self.routes:named(to, name) end
  if PASSING[e.code] or e.not_sent then
    self.routes:skip()
    return true
  end
end

--- Waits a little where going on at once would not help, and finds out where the slots are now. Raises e when the time is over.
local function pause(self, e, try, deadline)
  local hopeless = task.now() > deadline or (e.code == "MOVED" and try > REDIRECTS)
  if hopeless then error(e, 0) end
  if e.code ~= "MOVED" then task.sleep(math.min(0.02 * 2 ^ try, 1)) end
  self.routes:refresh_if_stale()
end

local function ask(node, words)
  local replies = node:pipeline({ { "ASKING" }, words }, { keep_errors = true })
  local reply = replies[2]
  if type(reply) == "table" and reply.kind == "remote" then failure.raise(node.label, commands.describe(words), reply) end
  return reply or nil
end

--- Runs fn(node) at the node of a slot, again where the cluster sends it elsewhere and nothing was done yet.
local function at_slot(self, slot, fn)
  local deadline, try = task.now() + self.timeout, 0
  while true do
    local name = self.routes:at(slot)
    local r = table.pack(pcall(function() return fn(self.routes:node(name)) end))
    if r[1] then return table.unpack(r, 2, r.n) end
    local e = r[2]
    if not errors.is(e) then error(e, 0) end
    local how, to = redirect(self, e.code == "EXECABORT" and e.cause.cause or e, name)      -- of a transaction: its first refusal
    if not how then error(e, 0) end
    if how == "ask" then return fn(self.routes:node(to), ask) end
    try = try + 1
    pause(self, e, try, deadline)
  end
end

local function run(self, words)
  return at_slot(self, slot_of(words), function(node, how)
    if how then return how(node, words) end
    return node:command(table.unpack(words))
  end)
end

--- Sends one command to the node that has its key, and answers its reply. Without a key: FLUSHALL, SCRIPT LOAD and their
--- like go to all primaries, DBSIZE is the sum and KEYS the list of all, anything else goes to one of them.
---@param ... string|number|userdata
function Cluster:command(...)
  local words = { ... }
  local instead = commands.in_cluster(words)
  if instead == "all" then
    local first
    for _, node in ipairs(self:nodes()) do
      local reply = node:command(...)
      if first == nil then first = reply
      elseif math.type(first) == "integer" then first = first + reply
      elseif type(first) == "table" then table.move(reply, 1, #reply, #first + 1, first) end
    end
    return first
  elseif instead then
    errors.usage("%s has no meaning for a whole cluster: use %s", commands.name(words), instead)
  end
  return run(self, words)
end

--- One round of a pipeline: to each node what is its, side by side. What has to go elsewhere is in the list that it answers.
local function round(self, list, pending, replies)
  local groups, left, failed = {}, {}, nil
  for _, i in ipairs(pending) do
    local name = self.routes:at(slot_of(list[i]))
    groups[name] = groups[name] or { words = {}, index = {} }
    table.insert(groups[name].words, list[i])
    table.insert(groups[name].index, i)
  end
  local jobs = {}
  for name, group in pairs(groups) do
    jobs[name] = function()
      local ok, got = pcall(function() return self.routes:node(name):pipeline(group.words, { keep_errors = true }) end)
      if not ok and (not errors.is(got) or got.kind == "cancelled") then error(got, 0) end
      return { ok = ok, got = got }
    end
  end
  for name, outcome in pairs(task.all(jobs)) do
    local group = groups[name]
    if outcome.ok then
      for k, i in ipairs(group.index) do
        local reply = outcome.got[k]
        local how, to
        if type(reply) == "table" and reply.kind == "remote" then how, to = redirect(self, reply, name) end
        if how == "ask" then
          local ok, value = pcall(ask, self.routes:node(to), list[i])
          if not ok and not (errors.is(value) and value.kind ~= "cancelled") then error(value, 0) end
          if value == nil then value = false end
          replies[i] = value
        elseif how then
          left[#left + 1], failed = i, reply
        else
          replies[i] = reply
        end
      end
    elseif redirect(self, outcome.got, name) then
      table.move(group.index, 1, #group.index, #left + 1, left)
      failed = outcome.got
    else
      error(outcome.got, 0)
    end
  end
  table.sort(left)
  return left, failed
end

--- Sends many commands at once, to each node its own, and answers the list of their replies in their order. Commands on the
--- same key are done in their order; between nodes there is none. Errors are as in connection:pipeline.
---@param list any[][]
---@param opts? { keep_errors: boolean }
function Cluster:pipeline(list, opts)
  local pending, replies = {}, {}
  for i, words in ipairs(list) do
    local instead = commands.in_cluster(words)
    if instead then errors.usage("%s cannot be in a pipeline to a cluster", commands.name(words)) end
    pending[i] = i
  end
  local deadline, try, why = task.now() + self.timeout, 0, nil
  while #pending > 0 do
    if try > 0 then pause(self, errors.new(why), try, deadline) end
    pending, why = round(self, list, pending, replies)
    try = try + 1
  end
  for i, reply in ipairs(opts and opts.keep_errors and {} or replies) do
    if type(reply) == "table" and reply.kind == "remote" then
      failure.raise(self.label, commands.describe(list[i]), reply)
    end
  end
  return replies
end

--- Runs fn at a node's transaction, once it is sure that all its keys are in that slot.
local function transact(self, slot, fn, opts)
  return at_slot(self, slot, function(node)
    return node:transaction(function(tx)
      local answers = table.pack(fn(tx))
      for _, words in ipairs(tx.queue) do
        local other = slot_of(words)
        if other and other ~= slot then
          failure.raise(self.label, commands.describe(words), { kind = "usage", code = "CROSSSLOT",
            message = "the keys of a transaction must be in one slot" })
        end
      end
      return table.unpack(answers, 1, answers.n)
    end, opts)
  end)
end

--- connection:transaction, at the node that has the keys: they must be in one slot.
---@param fn fun(tx: redis.Transaction): any
---@param opts? table
---@return any[] replies
function Cluster:transaction(fn, opts)
  local watched = opts and opts.watch and opts.watch[1]
  if watched then return transact(self, slots.of(watched), fn, opts) end
  local queue, results = transaction.collect(fn)
  local slot
  for _, words in ipairs(queue) do slot = slot or slot_of(words) end
  if #queue > 0 and not slot then errors.usage "a transaction in a cluster needs a key" end
  local replies = slot and transact(self, slot, function(tx)
    for _, words in ipairs(queue) do tx:command(table.unpack(words)) end
  end, opts)
  return replies or {}, table.unpack(results, 1, results.n)
end

--- A connection to each primary, in the order of their slots: for what is to be asked of each.
---@return redis.Connection[]
function Cluster:nodes()
  self.routes:refresh_if_stale()
  local list = {}
  for i, name in ipairs(self.routes:names()) do list[i] = self.routes:node(name) end
  return list
end

--- Iterates over the names of the keys of all nodes; a key may come twice. When slots were given to other nodes meanwhile
--- that is an error at the end: keys may have been missed.
---@param opts? { match: string, type: string, count: integer }
function Cluster:keys_of(opts)
  self.routes:refresh()
  local before, nodes, k, next_key = self.routes.text, self:nodes(), 0, nil
  return function()
    while true do
      local key = next_key and next_key()
      if key ~= nil then return key end
      k = k + 1
      if not nodes[k] then break end
      next_key = nodes[k]:keys_of(opts)
    end
    self.routes:refresh()
    if self.routes.text ~= before then
      failure.raise(self.label, "go over the keys of the cluster", { kind = "remote", code = "MOVED", retry = true,
        message = "slots moved to other nodes meanwhile, and keys may have been missed" })
    end
  end
end

--- connection:subscribe at one of the nodes, which has the messages of all; not so keyspace notifications, of which each node
--- (cluster:nodes) tells its own.
function Cluster:subscribe(channels) return at_slot(self, nil, function(node) return node:subscribe(channels) end) end
function Cluster:psubscribe(patterns) return at_slot(self, nil, function(node) return node:psubscribe(patterns) end) end

--- The same for shard channels, at the node that has their slot.
function Cluster:ssubscribe(channels)
  local first = type(channels) == "table" and channels[1] or channels
  return at_slot(self, type(first) == "string" and slots.of(first) or nil, function(node) return node:ssubscribe(channels) end)
end

--- The INFO of one of the nodes as a flat table of strings.
---@param section? string
function Cluster:info(section) return at_slot(self, nil, function(node) return node:info(section) end) end

--- Another connection to the same cluster: for another task.
---@return redis.Cluster
function Cluster:another() return M.open(self.routes.endpoint, self.routes.options) end

--- Closes all connections; safe twice.
function Cluster:close() self.routes:close() end

local mt = {
  __name = "redis.Cluster",
  __index = connection.index(Cluster),
  __close = function(self) self:close() end,
  __tostring = function(self) return "redis cluster " .. self.label end,
}

--- Finds the nodes, and answers when one of them has told where the slots are.
---@param e table what endpoint.parse answers
---@param o table as of connection.open
---@return redis.Cluster
function M.open(e, o)
  local self = setmetatable({ label = e.label, timeout = o.timeout or 30, routes = routes.new(e, o) }, mt)
  local ok, failed = pcall(self.routes.refresh, self.routes)
  if not ok then self:close() error(failed, 0) end
  return self
end

return M
