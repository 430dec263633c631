--- Walks the journal backwards and deletes what runs of the recipe created: never what was adopted or is kept.
local agree = require "recipe.agree"
local calls = require "calls"
local effects = require "recipe.effects"
local errors = require "errors"
local kinds = require "recipe.kind"
local load = require "recipe.load"
local log = require "log"
local owner = require "recipe.owner"
local order = require "recipe.order"
local plain = require "recipe.plain"
local stop = require "recipe.stop"

local M = {}

--- What destroy would delete, in its order, what it leaves alone, and why: it was adopted, it is kept, or something
--- that stays stands on it.
---@param memory table
---@param only? table<string, boolean> keys: nothing else is to go
---@return table[] doomed
---@return table[] spared
---@return table<string, string> why by key
function M.list(memory, only)
  local all, doomed, spared, why = {}, {}, {}, {}
  for i = #memory.order, 1, -1 do
    local n = memory.nouns[memory.order[i]]
    all[#all + 1] = n
    why[n.key] = n.adopted and "it was not made by this recipe" or n.keep and "keep = true"
      or only and not only[n.key] and "the recipe asks for it" or nil
  end
  local before = order.before(all)
  for _, n in ipairs(all) do                                 -- what stands on a thing comes before it
    local on = {}
    for key in pairs(before[n.key]) do on[#on + 1] = why[key] and M.title(memory.nouns[key]) end
    table.sort(on)
    why[n.key] = why[n.key] or on[1] and on[1] .. ", which stays, stands on it"
    local list = why[n.key] and spared or doomed
    list[#list + 1] = n
  end
  return doomed, spared, why
end

local function title(n) return ("%s %q"):format(n.kind, n.spec and n.spec.name or n.key) end
M.title = title

--- Guards whose work stands in the world although no run keeps it.
---@param memory table
---@return table[]
function M.open_guards(memory)
  local list = {}
  for _, key in ipairs(memory.guard_order) do
    local g = memory.guards[key]
    if g.state ~= "kept" and g.state ~= "undone" then list[#list + 1] = g end
  end
  return list
end

--- Whether a thing with data leaves a snapshot of it behind.
---@param r table
---@param n table a noun of the memory
---@return string for its line
function M.data_note(r, n)
  local kind, has_data = kinds.find(n.kind), false
  for _, field in ipairs(kind.fields) do has_data = has_data or field == "final_snapshot" end
  if not has_data then return "" end
  return effects.noun(r, kind, n.spec, n.key).ctx.final_snapshot and "  (with a final snapshot)" or "  (NO final snapshot: its data is lost)"
end

--- Says what is left of what was deleted, how to get it back, and how to be rid of it. Two things may leave the same.
---@param r table
---@return boolean told there was something to tell
function M.tell_left(r)
  local told = {}
  for _, x in ipairs(r.memory.leaves) do
    if not told[x.what] then
      told[x.what] = true
      log.out("%s stays; %s", x.what, x.cost)
      if x.restore then log.out("    to get it back: %s", x.restore) end
      log.out("    to delete it:   %s", x.delete)
    end
  end
  if r.memory.leaves[1] then r.journal:write { ev = "told" } end
  return next(told) ~= nil
end

local function remove(r, n)
  local kind = kinds.find(n.kind)
  local noun = effects.noun(r, kind, n.spec, n.key)
  local current = effects.read(noun)
  if current and not n.id then                               -- a call that was never answered: is this what it made?
    noun.current = current
    local ok, e = pcall(owner.check, noun)
    if not ok and not errors.is(e, "invalid") then error(e, 0) end
    if not ok or noun.adopted then current = nil end
  end
  if not current then
    r.journal:write { ev = "deleted", key = n.key, kind = n.kind, id = n.id }
    log.info("  - %s %s", title(n), n.deleting and ("deleted (%s)"):format(n.id) or "was gone")
    return
  end
  if not kind.delete then
    errors.raise { op = "delete " .. title(n), kind = "invalid", message = "this kind of thing cannot be deleted" }
  end
  effects.delete(noun, current)
  log.info("  - %s deleted (%s)", title(n), current.id)
end

--- Deletes what was listed, side by side.
---@param r table a run whose journal is locked
---@param doomed table[] as from `list`
function M.delete_all(r, doomed)
  order.each(doomed, function(n) remove(r, n) end)
end

--- Undoes what guards of a dead run left in force: a pass over the recipe that changes nothing but this.
local function undo_guards(r, o)
  local _, e = load.look(r, o)
  local open = M.open_guards(r.memory)
  if not open[1] then return end
  errors.raise {
    op = "destroy " .. r.id, kind = "stopped", cause = e,
    message = ("%s is still in force%s"):format(open[1].what or open[1].key, e and ", and could not be undone: " .. tostring(e) or ""),
    hint = "apply again first, so that it is finished or undone",
  }
end

--- Without a journal: what the recipe finds by name, and whose tags say that this recipe made it.
local function find_again(r, o)
  local looked, e = load.look(r, o)
  e = e and looked.unmet or e                                -- what came to nothing after it is no surprise
  local list = {}
  for _, entry in ipairs(looked.entries) do
    if entry.id and entry.of and entry.of.delete and not entry.adopted then list[#list + 1] = entry end
  end
  if e and not list[1] then error(e, 0) end
  if list[1] then log.out("There is no journal here. These were found by name and by the tag hkrun:recipe = %s:", r.id) end
  for _, entry in ipairs(list) do log.out("  ? %s  %s", entry.title, entry.id) end
  if e then log.warn("the recipe could not be read to its end, so there may be more: %s", tostring(e)) end
  return list
end

--- Takes them into the journal, as an apply would have.
local function remember(r, found)
  for _, entry in ipairs(found) do
    r.journal:write({
      ev = "found", key = entry.key, kind = entry.kind, id = entry.id, spec = plain.spec(entry.spec), keep = entry.spec.keep, gen = 1,
    }, true)
  end
end

--- Deletes; `r` comes from load.upto_options with the journal locked.
---@param r table
---@param o table
---@return integer exit code
function M.run(r, o)
  local memory = r.memory
  r.no_final_snapshot, r.typed = o.no_final_snapshot, o.typed
  if memory.runs == 0 then
    local found = find_again(r, o)
    if found[1] and not o.yes and not agree.typed(r, r:own_name(), "take these for this recipe's") then
      errors.raise { kind = "stopped", message = "nothing was deleted: that was not the name" }
    end
    remember(r, found)
  end
  local open = M.open_guards(memory)
  local doomed, spared, why = M.list(memory)
  for _, n in ipairs(spared) do log.out("    %s stays: %s", title(n), why[n.key]) end
  for _, g in ipairs(open) do log.out("  < %s: still in force, undone first", g.what or g.key) end
  if #doomed > 0 or open[1] then
    for _, n in ipairs(doomed) do log.out("  - %s  %s%s", title(n), n.id or "(perhaps)", M.data_note(r, n)) end
    log.out("%d to delete.", #doomed)
    if not o.yes and not agree.typed(r, r:own_name(), "delete all this") then
      errors.raise { kind = "stopped", message = "nothing was deleted: that was not the name" }
    end
    r.journal:write { ev = "run", command = "destroy", n = memory.runs + 1, recipe = r.recipe, target = r.target, things = #doomed }
    local ok, e = stop.announced(errors.handler, function()
      if open[1] then undo_guards(r, o) end
      M.delete_all(r, doomed)
    end)
    local state = ok and "done" or errors.is(e, "cancelled") and "cancelled" or "failed"
    pcall(r.journal.write, r.journal,
      { ev = "end", state = state, error = not ok and tostring(e) or nil, calls = calls.unknown_to(r.journal.memory) })
    if not ok then error(e, 0) end
  end
  local told = M.tell_left(r)
  if #doomed > 0 or next(memory.onces) or next(memory.guards) then r.journal:write { ev = "destroyed" } end
  local but = #spared > 0 and (" but %d that stay%s"):format(#spared, told and ", and what is told above" or "") or told and " but what is told above"
  log.out("destroy: nothing left%s", but or "")
  return 0
end

return M
