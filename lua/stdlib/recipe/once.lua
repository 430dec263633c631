--- Verbs with a record: not run again after they succeeded.
local agree = require "recipe.agree"
local calls = require "calls"
local errors = require "errors"
local log = require "log"
local plain = require "recipe.plain"
local run = require "recipe.run"
local task = require "task"
local unknown = require "recipe.unknown"

local M = {}

local function copy(v)
  if type(v) ~= "table" then return v end
  local r = {}
  for k, x in next, v do r[k] = copy(x) end
  return r
end

--- Calls fn with its task marked as inside the once: what it does belongs to the once.
local function inside(key, fn, p)
  local t = task.current()
  if not t then return fn(p) end
  local before = t.once
  t.once = key
  local _ <close> = setmetatable({}, { __close = function() t.once = before end })
  return (fn(p))
end

--- Runs fn unless its success is on record; returns its result, which must be plain data.
---@param r table the run
---@param name string
---@param fn function restartable: a half-done one runs again
---@param guard string|nil the key of the guard with which the record lives and dies
---@return any
function M.run(r, name, fn, guard)
  if type(name) ~= "string" or name == "" then errors.usage("once needs a name") end
  if type(fn) ~= "function" then errors.usage("once %q needs a function", name) end
  local key = guard and guard .. "/" .. name or name
  r:claim("once:" .. key)
  local mem = r.memory.onces[key]
  if mem and mem.state == "done" then return copy(mem.result) end
  if r:only_reads() then r:lacks(name, "has not been done yet") end
  if r.mode ~= "apply" then
    r:add { action = "run", key = "once:" .. key, title = name, guard = guard, again = mem and mem.state == "start" or nil }
    return unknown.new(("the result of once %q"):format(name), "once:" .. key)
  end
  agree.verb(r, "once:" .. key, name)
  if mem and mem.state == "start" then log.info("  > %s, again: it was interrupted", name)
  else log.info("  > %s", name) end
  r.journal:write { ev = "once", name = key, guard = guard, state = "start" }
  local p <close> = log.progress { what = name, key = "once:" .. key }
  local by, made = calls.during(inside, key, fn, p)
  local result = plain.result(made, ("once %q"):format(name))
  r.journal:write { ev = "once", name = key, guard = guard, state = "done", result = result, by = by }
  r:ran()
  return copy(r.memory.onces[key].result)
end

--- recipe.once
function M.once(name, fn)
  return M.run(run.current "once", name, fn)
end

return M
