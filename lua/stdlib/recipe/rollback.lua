--- Goes back to how it was before the first stage that changed anything beside what was made: guards that a dead run left
--- in force are undone, and then those that were kept, the last first. Before a guard is undone the recipe may do more
--- (guard:rollback). What was made stays, for destroy.
---
--- Each step is on record, so a rollback that was cut off goes on when it is run again. Where a step of the recipe's fails,
--- the guards that were undone before it are done again: a move that cannot be taken back yet stays one.
local agree = require "recipe.agree"
local calls = require "calls"
local destroy = require "recipe.destroy"
local errors = require "errors"
local load = require "recipe.load"
local log = require "log"
local memory = require "recipe.memory"
local once = require "recipe.once"
local run = require "recipe.run"
local stop = require "recipe.stop"
local task = require "task"

local M = {}

--- What is kept and would be undone, the last first.
local function kept_of(m)
  local list = {}
  for i = #m.guard_order, 1, -1 do
    local g = m.guards[m.guard_order[i]]
    if g.state == "kept" and not g.lasting then list[#list + 1] = g end
  end
  return list
end

--- A run that was killed while it kept one guard after the other: it is past the point where its open ones may be undone.
local function refuse_half_kept(r)
  local open
  for _, key in ipairs(r.memory.guard_order) do
    local g = r.memory.guards[key]
    if g.state == "kept" and not g.lasting and open then
      errors.raise { kind = "stopped", op = "roll back " .. r.id,
        message = ("%s was kept, and %s, which comes before it, not yet"):format(g.what, open.what),
        hint = "apply again first: it finishes what it had begun; then roll back" }
    end
    if g.state ~= "kept" and g.state ~= "undone" then open = open or g end
  end
end

--- The guards that the pass has met, the last first: those to undo, and those that an earlier, unfinished rollback undid.
local function met(looked)
  local todo, undone = {}, {}
  for i = #looked.guards, 1, -1 do
    local g = looked.guards[i]
    local mem = looked.memory.guards[g.key]
    if mem and mem.state == "kept" and not mem.lasting then todo[#todo + 1] = g end
    if mem and mem.state == "undone" and mem.rolled then undone[#undone + 1] = g end
  end
  return todo, undone
end

--- Every kept guard must have been met: else it is not known how to undo it.
local function check_met(r, todo, e)
  local found = {}
  for _, g in ipairs(todo) do found[g.key] = true end
  for _, g in ipairs(kept_of(r.memory)) do
    if not found[g.key] then
      errors.raise { kind = "invalid", op = "roll back " .. r.id, cause = e,
        message = ("%s is to be undone, and the recipe %s"):format(g.what,
          e and "does not come to it: " .. tostring(e) or "does not have it any more") }
    end
  end
end

--- Says what is to be done, and asks.
local function agree_to_go_back(r, o, todo)
  log.out("hkrun rollback %s", r.id)
  for _, g in ipairs(todo) do
    for i = #g.back, 1, -1 do
      local step = g.back[i]
      log.out("  > %s", step.what)
      local name = ("%s/%s%s"):format(g.key, memory.BACK, step.what)
      local done = r.memory.onces[name] and r.memory.onces[name].state == "done"
      for _, line in ipairs(step.look and not done and step.look { accept_loss = o.accept_loss } or {}) do log.out("      %s", line) end
    end
    log.out("  < undo: %s", g.what)
  end
  if not o.yes and not agree.typed(r, r:own_name(), "do this") then
    errors.raise { kind = "stopped", message = "nothing was rolled back: that was not the name" }
  end
end

--- Does again what this rollback had undone, in the order in which it was done first.
local function restore(r, undone, e)
  task.shield(function()
    for i = #undone, 1, -1 do
      local g = undone[i]
      log.warn("the rollback does not come to its end: %s, again", g.what)
      local ok, why = pcall(g.restore, g)
      if not ok then
        errors.raise { kind = "stopped", op = "roll back " .. r.id, cause = e,
          message = ("%s; and then %s could not be done again: %s"):format(tostring(e), g.what, tostring(why)),
          hint = "apply again brings that back; rollback again goes on going back" }
      end
    end
  end)
end

local function go_back(r, o, todo, undone)
  for _, g in ipairs(todo) do
    for i = #g.back, 1, -1 do
      local step = g.back[i]
      local function body(progress) return step.fn({ accept_loss = o.accept_loss or false }, progress) end
      local ok, e = xpcall(once.run, errors.handler, r, memory.BACK .. step.what, body, g.key)
      if not ok then
        restore(r, undone, e)
        error(e, 0)
      end
    end
    g:take_back()
    table.insert(undone, g)
  end
  r.journal:write { ev = "rolled back" }
end

--- Runs fn as a run of its own in the journal.
local function recorded(r, fn, ...)
  r.journal:write { ev = "run", command = "rollback", n = r.memory.runs + 1, recipe = r.recipe, target = r.target }
  local ok, e = stop.announced(errors.handler, fn, ...)
  local state = ok and "done" or errors.is(e, "cancelled") and "cancelled" or "failed"
  pcall(r.journal.write, r.journal, { ev = "end", state = state, error = not ok and tostring(e) or nil, calls = calls.unknown_to(r.journal.memory) })
  if ok then return end
  if errors.is(e, "cancelled") then log.warn "cancelled; rollback again goes on from here" end
  error(e, 0)
end

--- Says what a dead run left in force, and asks whether to undo it.
local function agree_to_undo(r, o, open)
  for _, g in ipairs(open) do log.out("  < %s: still in force, undone first", g.what) end
  if not o.yes and not agree.typed(r, r:own_name(), "undo this") then
    errors.raise { kind = "stopped", message = "nothing was rolled back: that was not the name" }
  end
end

--- Without a journal nothing was run, or it is lost: then something is there that carries the recipe's name.
local function refuse_lost(r, o)
  for _, entry in ipairs(load.look(r, o).entries) do
    if entry.id and entry.of and entry.of.create and not entry.adopted then
      errors.raise { kind = "invalid", op = "roll back " .. r.id,
        message = ("there is no journal of a run here, and %s was made by one, so it is not known what to undo"):format(entry.title),
        hint = "bring the journal back (.hkrun, or --journal s3://BUCKET/KEY), or name the recipe's target as apply did" }
    end
  end
end

--- Rolls back; `r` comes from load.upto_options with the journal locked.
---@param r table
---@param o { yes: boolean?, accept_loss: boolean? }
---@return boolean done whether there was anything to do
function M.run(r, o)
  if r.memory.runs == 0 then
    refuse_lost(r, o)
    return false
  end
  r.typed, r.answer = o.typed, o.answer
  refuse_half_kept(r)
  local open = destroy.open_guards(r.memory)
  if not open[1] and not kept_of(r.memory)[1] then return false end
  local looked, e
  local function pass()
    looked, e = load.look(r, o)
    local left = destroy.open_guards(r.memory)[1]
    if left then error(e or errors.new { kind = "stopped", op = "roll back " .. r.id, message = left.what .. " is still in force" }, 0) end
  end
  if open[1] then
    agree_to_undo(r, o, open)
    recorded(r, pass)
  else
    pass()
  end
  local todo, undone = met(looked)
  check_met(r, todo, e)
  looked.mode, looked.entries = "apply", {}
  run.with(looked, function()
    if todo[1] then agree_to_go_back(looked, o, todo) end
    recorded(looked, go_back, looked, o, todo, undone)
  end)
  return true
end

return M
