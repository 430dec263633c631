--- Scripts in Lua that the server runs.
local errors = require "errors"
local options = require "options"
local sign = require "sign"

local M = {}

---@class redis.Script
---@field sha string how servers call it
local Script = {}
Script.__index = Script
Script.__name = "redis.Script"

local OPTIONS = { { "read_only", "it only reads: runs also in a read-only session, and on replicas", type = "boolean", default = false } }

---@param text string
---@param opts? { read_only: boolean }
---@return redis.Script
function M.new(text, opts)
  if type(text) ~= "string" then errors.usage("redis.script needs the text of the script, not a %s", type(text)) end
  local o = options.check(opts or {}, OPTIONS, "redis.script")
  return setmetatable({ text = text, sha = sign.sha1(text), suffix = o.read_only and "_RO" or "" }, Script)
end

local function words_of(name, script, keys, args)
  local words = { name, script, #keys }
  table.move(keys, 1, #keys, 4, words)
  table.move(args, 1, #args, #words + 1, words)
  return words
end

--- Runs it and answers what it returns. The server is given the text only when it does not have it. In a transaction, which
--- can not ask, it goes as text.
---@param on redis.Connection|redis.Cluster|redis.Transaction
---@param keys? string[] KEYS
---@param args? any[] ARGV
function Script:run(on, keys, args)
  keys, args = keys or {}, args or {}
  local by_text = words_of("EVAL" .. self.suffix, self.text, keys, args)
  if rawget(on, "queue") then return on:command(table.unpack(by_text)) end
  local ok, reply = pcall(on.command, on, table.unpack(words_of("EVALSHA" .. self.suffix, self.sha, keys, args)))
  if ok then return reply end
  if not errors.is(reply) or reply.code ~= "NOSCRIPT" then error(reply, 0) end
  return on:command(table.unpack(by_text))
end
Script.__call = Script.run

function Script:__tostring() return "redis script " .. self.sha end

return M
