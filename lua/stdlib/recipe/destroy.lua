--- Walks the journal backwards and deletes what runs of the recipe created: never what was adopted or is kept.
local agree = require "recipe.agree"
local effects = require "recipe.effects"
local errors = require "errors"
local kinds = require "recipe.kind"
local log = require "log"
local stop = require "recipe.stop"
local task = require "task"

local M = {}

--- What destroy would delete, in its order, and what it leaves alone.
---@param memory table
---@return table[] doomed
---@return table[] spared
function M.list(memory)
  local doomed, spared = {}, {}
  for i = #memory.order, 1, -1 do
    local n = memory.nouns[memory.order[i]]
    if n.adopted or n.keep then spared[#spared + 1] = n else doomed[#doomed + 1] = n end
  end
  return doomed, spared
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

local function remove(r, n)
  local kind = kinds.find(n.kind)
  local noun = effects.noun(r, kind, n.spec, n.key)
  local current = effects.read(noun)
  if current and not n.id then                               -- a call that was never answered: is this what it made?
    noun.current = current
    local ok, e = pcall(effects.check_owner, noun)
    if not ok and not errors.is(e, "invalid") then error(e, 0) end
    if not ok or noun.adopted then current = nil end
  end
  if not current then
    r.journal:write { ev = "deleted", key = n.key, kind = n.kind, id = n.id }
    log.info("  - %s was gone", title(n))
    return
  end
  if not kind.delete then
    errors.raise { op = "delete " .. title(n), kind = "invalid", message = "this kind of thing cannot be deleted" }
  end
  effects.delete(noun, current)
  log.info("  - %s deleted (%s)", title(n), current.id)
end

--- The keys of the things that a noun's record names by their id: it must go before them.
local function named_by(n, key_of)
  local keys = {}
  local function look(v)
    if type(v) == "table" then
      for _, x in next, v do look(x) end
    elseif type(v) == "string" and key_of[v] and key_of[v] ~= n.key then
      keys[key_of[v]] = true
    end
  end
  look(n.spec)
  return keys
end

--- Deletes what was made in one stage: side by side what nothing that is left names. What the service refuses is tried
--- again once something else is gone, because not every dependency can be seen in the records.
local function delete_stage(r, nouns)
  local key_of = {}
  for _, n in ipairs(nouns) do
    if n.id then key_of[n.id] = n.key end
  end
  while #nouns > 0 do
    local needed, wave, left, failure, gone = {}, {}, {}, nil, {}
    for _, n in ipairs(nouns) do
      for key in pairs(named_by(n, key_of)) do needed[key] = true end
    end
    for _, n in ipairs(nouns) do
      if not needed[n.key] then wave[#wave + 1] = n end
    end
    if #wave == 0 then wave[1] = nouns[1] end
    task.map(wave, function(n)
      local ok, e = xpcall(remove, errors.handler, r, n)
      if not ok and (errors.is(e, "cancelled") or errors.is(e, "bug")) then error(e, 0) end
      gone[n.key] = ok
      failure = failure or not ok and e or nil
    end)
    for _, n in ipairs(nouns) do
      if not gone[n.key] then left[#left + 1] = n end
    end
    if #left == #nouns then error(failure, 0) end
    nouns = left
  end
end

--- Deletes stage by stage, the last first.
---@param r table a run whose journal is locked
---@param doomed table[] as from `list`
function M.delete_all(r, doomed)
  local i = 1
  while i <= #doomed do
    local nouns, stage = {}, doomed[i].stage
    while doomed[i] and doomed[i].stage == stage do
      nouns[#nouns + 1] = doomed[i]
      i = i + 1
    end
    delete_stage(r, nouns)
  end
end

--- Deletes; `r` comes from load.upto_options with the journal locked.
---@param r table
---@param o table
---@return integer exit code
function M.run(r, o)
  local memory = r.memory
  local open = M.open_guards(memory)
  if open[1] then
    errors.raise {
      op = "destroy " .. r.id, kind = "stopped", message = ("%s is still in force"):format(open[1].what or open[1].key),
      hint = "apply again first, so that it is finished or undone",
    }
  end
  local doomed, spared = M.list(memory)
  for _, n in ipairs(spared) do
    log.out("    %s stays: %s", title(n), n.keep and "keep = true" or "it was not made by this recipe")
  end
  if #doomed > 0 then
    for _, n in ipairs(doomed) do log.out("  - %s  %s", title(n), n.id or "(perhaps)") end
    log.out("%d to delete.", #doomed)
    r.typed = o.typed
    if not o.yes and not agree.typed(r, r:own_name(), "delete all this") then
      errors.raise { kind = "stopped", message = "nothing was deleted: that was not the name" }
    end
    r.journal:write { ev = "run", command = "destroy", n = memory.runs + 1, recipe = r.recipe, target = r.target }
    local ok, e = stop.announced(errors.handler, M.delete_all, r, doomed)
    local state = ok and "done" or errors.is(e, "cancelled") and "cancelled" or "failed"
    pcall(r.journal.write, r.journal, { ev = "end", state = state, error = not ok and tostring(e) or nil })
    if not ok then error(e, 0) end
  end
  if #doomed > 0 or next(memory.onces) or next(memory.guards) then r.journal:write { ev = "destroyed" } end
  log.out("destroy: %s", #spared == 0 and "nothing left" or ("nothing left but %d that stay"):format(#spared))
  return 0
end

return M
