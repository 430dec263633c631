--- The deadline of a case: seconds of the machine's own time, whatever a simulated clock says. When they are over the case is
--- cancelled, and what it waited for is told.
local errors = require "errors"
local loop = require "host.loop"
local task = require "task"

local M = {}

M.DEFAULT = 300
local GRACE, TIMES = 10, 3              -- seconds that a cancelled case has until it is asked again; and how often it is
local STEPS = 1000000                   -- of a case that computes, between two looks at the clock
local MOST = 4                          -- places in the sentence

local current                           -- the case that runs

local function module_of(source) return source:match "^@stdlib/(.*)%.lua$" end

--- Where a task stands: "shop_test.lua:12 (process.run)", the innermost line of the user's and what it calls there.
local function place(t)
  local level, inside = 0, nil
  local frame = debug.getinfo(t.co, level, "Sln")
  while frame do
    local module = module_of(frame.source)
    if module and frame.name then inside = ("%s.%s"):format(module:gsub("/", "."), frame.name) end
    if not module and frame.currentline > 0 then
      return ("%s:%d%s"):format(frame.short_src, frame.currentline, inside and (" (%s)"):format(inside) or "")
    end
    level = level + 1
    frame = debug.getinfo(t.co, level, "Sln")
  end
end

--- The places of a case's tasks, in words, and their stacks.
local function waits(child)
  local places, known, stacks = {}, {}, {}
  for _, t in ipairs(task.below(child)) do
    local at = place(t)
    stacks[#stacks + 1] = debug.traceback(t.co, t == child and "the case" or "a task of it")
    if at and not known[at] then
      known[at] = true
      places[#places + 1] = at
    end
  end
  local rest = #places - MOST
  local text = table.concat(places, ", ", 1, math.min(#places, MOST)) .. (rest > 0 and (" and %d more"):format(rest) or "")
  return "it waits at " .. (text ~= "" and text or "a place of hkrun's own"), "\n" .. table.concat(stacks, "\n")
end

local function arm(case, seconds)
  case.call_off()
  case.call_off = task.alarm(math.max(0, seconds), case.over)
end

--- Gives the case that runs so many seconds, from its begin on.
---@return boolean extended false when none runs
function M.extend(seconds)
  if not current or current.late then return current ~= nil end
  current.seconds = seconds
  arm(current, current.began + seconds - loop.now())
  return true
end

local function too_late(case)
  local e = errors.new { kind = "timeout", message = ("it did not end within %g s: %s"):format(case.seconds, case.late), where = false }
  if case.given_up then e.message = e.message .. "; it did not end when it was cancelled either" end
  e.traceback = case.stacks
  return e
end

--- A case that computes does not come back to the loop: it is stopped where it is.
local function watch(case, child)
  debug.sethook(child.co, function()
    if loop.now() <= case.began + case.seconds then return end
    local frame = debug.getinfo(2, "Sl")
    case.late, case.stacks = ("it computes at %s:%d"):format(frame.short_src, frame.currentline), debug.traceback("the case", 2)
    error(too_late(case), 0)
  end, "", STEPS)
end

--- Runs fn; answers as pcall. Ctrl-C cancels it too.
---@param seconds number
---@param fn function
---@return boolean ok, any result or error
function M.run(seconds, fn)
  local case = { began = loop.now(), seconds = seconds, asked = 0, call_off = function() end }
  local ended, result = task.event(), nil
  local child = task.spawn(function()
    result = table.pack(xpcall(fn, errors.handler))
    ended.set()
  end)
  function case.ask()
    case.asked = case.asked + 1
    if case.asked == 1 then child:cancel() else child:cancel_again() end
    arm(case, GRACE)
  end
  function case.over()
    if not case.late then case.late, case.stacks = waits(child) end
    if case.asked < TIMES then return case.ask() end
    case.given_up = true
    ended.set()
  end
  arm(case, seconds)
  watch(case, child)
  local before = current
  current = case
  local ok, stopped = pcall(ended.wait)
  if not ok then
    case.late = "Ctrl-C"
    case.ask()
    ended.wait()
  end
  current = before
  case.call_off()
  debug.sethook(child.co)
  if not ok then return false, stopped end
  if case.late then return false, too_late(case) end
  return table.unpack(result, 1, result.n)
end

return M
