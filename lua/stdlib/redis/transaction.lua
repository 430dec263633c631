--- MULTI, EXEC and WATCH.
local commands = require "redis.commands"
local dial = require "redis.dial"
local errors = require "errors"
local failure = require "redis.failure"
local options = require "options"
local task = require "task"

local M = {}

---@class redis.Transaction takes commands as a connection does, and keeps them until the end
local Transaction = {}

local mt = { __name = "redis.Transaction" }

function mt.__index(_, name)
  if Transaction[name] then return Transaction[name] end
  local word, sub = commands.of_method(name)
  if not sub then return function(self, ...) return self:command(word, ...) end end
  return function(self, ...) return self:command(word, sub, ...) end
end

local NESTED = { MULTI = true, EXEC = true, DISCARD = true, WATCH = true, UNWATCH = true }

--- Takes a command; its reply will be in the list that the transaction answers.
function Transaction:command(...)
  local words = { ... }
  if self.over then errors.usage "the transaction is over" end
  if NESTED[commands.name(words)] then errors.usage("no %s inside r:transaction: it does that itself", commands.name(words)) end
  table.insert(self.queue, words)
end

local OPTIONS = {
  { "watch", "keys: when another client changes one before the end, nothing is done and the function runs again", type = "list" },
  { "attempts", "how often the function runs, at most", type = "integer", default = 10 },
  { "keep_errors", "leave the errors of single commands in the list", type = "boolean", default = false },
}

--- What fn gave the transaction to do, and what it answered.
---@param fn fun(tx: redis.Transaction): any
---@return any[][] queue
---@return table results as of table.pack
function M.collect(fn)
  local tx = setmetatable({ queue = {}, over = false }, mt)
  local r = table.pack(pcall(fn, tx))
  tx.over = true
  if not r[1] then error(r[2], 0) end
  return tx.queue, table.pack(table.unpack(r, 2, r.n))
end

--- Ends a watch that nothing came of; with the connection, if it cannot be said.
local function forget(self)
  if not self.in_transaction or self.handle and pcall(task.shield, self.command, self, "UNWATCH") then return end
  dial.drop(self)
  self.in_transaction = false
end

--- MULTI, the commands, EXEC. The list of their replies; nil when a watched key was changed.
local function run(self, queue, keep_errors)
  local list = { { "MULTI" }, table.unpack(queue) }
  list[#list + 1] = { "EXEC" }
  local op = ("run a transaction of %d commands on"):format(#queue)
  local ok, replies = pcall(self.pipeline, self, list, { keep_errors = true })
  if not ok then
    if errors.is(replies) and (replies.kind == "network" or replies.kind == "timeout") and replies.op:find "^run" then
      replies.hint = "whether the transaction was done is not known"
    end
    error(replies, 0)
  end
  local answer = replies[#list]
  if answer == false then return nil end
  if answer.kind == "remote" then
    for i = 1, #list - 1 do
      local refused = replies[i]
      if type(refused) == "table" and refused.kind == "remote" then
        failure.raise(self.label, commands.describe(list[i]), { kind = "remote", code = answer.code, retry = refused.retry, cause = refused,
          message = refused.message .. "; nothing of the transaction was done" })
      end
    end
    failure.raise(self.label, op, answer)
  end
  for i, reply in ipairs(keep_errors and {} or answer) do
    if type(reply) == "table" and reply.kind == "remote" then
      failure.raise(self.label, commands.describe(queue[i]), { kind = "remote", code = reply.code, cause = reply,
        message = reply.message .. "; the other commands of the transaction were done" })
    end
  end
  return answer
end

local Connection = {}
M.Connection = Connection

--- Runs commands as one: all of them or, when the server refuses one beforehand or `fn` raises, none. What `fn` does with
--- `tx` is sent at its end; what it reads it asks of the connection itself. With `watch` the function runs again when
--- another client changed one of those keys meanwhile. Answers the list of replies, and then what `fn` returned.
---
---     local replies = r:transaction(function(tx)
---       local n = tonumber(r:get "stock")
---       if n > 0 then tx:decr "stock" tx:lpush("orders", id) end
---     end, { watch = { "stock" } })
---@param fn fun(tx: redis.Transaction): any
---@param opts? { watch: string[], attempts: integer, keep_errors: boolean }
---@return any[] replies
function Connection:transaction(fn, opts)
  local o = options.check(opts or {}, OPTIONS, "r:transaction")
  local watched = o.watch and #o.watch > 0
  if self.in_transaction then errors.usage "r:transaction inside a transaction of the same connection" end
  for _ = 1, o.attempts do
    local ok, replies, results = pcall(function()
      if watched then self:command("WATCH", table.unpack(o.watch)) end
      local queue, answered = M.collect(fn)
      return #queue > 0 and run(self, queue, o.keep_errors) or #queue == 0 and {}, answered
    end)
    forget(self)
    if not ok then error(replies, 0) end
    if replies then return replies, table.unpack(results, 1, results.n) end
  end
  failure.raise(self.label, "run a transaction on", { kind = "limit", code = "WATCH", retry = true,
    message = ("others changed %s each of %d times"):format(table.concat(o.watch, ", "), o.attempts) })
end

return M
