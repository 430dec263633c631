--- What a run that changes things says when it is asked to end: what it finishes first, and how to end it at once.
local log = require "log"
local task = require "task"

local M = {}

local function say(why)
  local list = log.finishing()
  table.sort(list)
  log.info("%s: %s; what is not to stay is undone. Ctrl-C %s stops at once; either way it can be run again.", why,
    list[1] and "finishing " .. table.concat(list, ", ") or "stopping", why == "Ctrl-C" and "again" or "now")
end

--- Runs fn, which changes things, as xpcall does.
---@param handler function
---@param fn function
---@return boolean ok, any ... results, or the error
function M.announced(handler, fn, ...)
  task.on_stop(say)
  local r = table.pack(xpcall(fn, handler, ...))
  task.on_stop(nil)
  return table.unpack(r, 1, r.n)
end

return M
