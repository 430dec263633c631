--- Questions to both servers at once.
local errors = require "errors"
local task = require "task"

local M = {}

---@class redis.same.Sides
---@field a redis.Connection
---@field b redis.Connection

--- The same commands to both; error replies stay in the two lists.
---@param sides redis.same.Sides
---@param commands any[][]
function M.both(sides, commands)
  local keep = { keep_errors = true }
  local v = task.all { a = function() return sides.a:pipeline(commands, keep) end, b = function() return sides.b:pipeline(commands, keep) end }
  return v.a, v.b
end

--- An error reply that says that the key is of another type by now, or has gone.
function M.is_gone(reply)
  return type(reply) == "table" and reply.kind ~= nil and (reply.code == "WRONGTYPE" or reply.message:find "no such key" ~= nil)
end

--- The same, where an error of another kind ends the comparison: what a server refuses is not compared, and not equal.
function M.ask(sides, commands)
  local a, b = M.both(sides, commands)
  for side, replies in pairs { [sides.a] = a, [sides.b] = b } do
    for i, reply in ipairs(replies) do
      if type(reply) == "table" and reply.kind and not M.is_gone(reply) then
        errors.raise { kind = reply.kind, code = reply.code, message = reply.message, cause = reply,
          op = ("compare Redis %s: run %s on %s"):format(sides.a.label, commands[i][1], side.label) }
      end
    end
  end
  return a, b
end

return M
