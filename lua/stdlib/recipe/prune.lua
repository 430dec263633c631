--- Deletes what runs of a recipe made and the recipe does not ask for any more. A whole plan pass says what that is.
local agree = require "recipe.agree"
local apply = require "recipe.apply"
local calls = require "calls"
local destroy = require "recipe.destroy"
local errors = require "errors"
local load = require "recipe.load"
local log = require "log"
local stop = require "recipe.stop"

local M = {}

--- What prune would delete, the last made first; says what it leaves alone, and why.
local function list(r)
  local forgotten = {}
  for _, n in ipairs(r:forgotten()) do forgotten[n.key] = true end
  local doomed, spared, why = destroy.list(r.memory, forgotten)
  for _, n in ipairs(spared) do
    if forgotten[n.key] then log.out("    %s stays: %s", destroy.title(n), why[n.key]) end
  end
  return doomed
end

local function refuse_open_guards(r)
  local open = destroy.open_guards(r.memory)[1]
  if not open then return end
  errors.raise {
    op = "prune " .. r.id, kind = "stopped", message = ("%s is still in force"):format(open.what or open.key),
    hint = "apply again first, so that it is finished or undone",
  }
end

--- Lists, asks, deletes; returns the exit code.
---@param o table as from load.arguments
---@return integer
function M.run(o)
  for _, flag in ipairs { "until_stage", "only_stage", "out" } do
    if o[flag] then errors.usage("--%s is not for prune: it looks at the whole recipe", (flag:gsub("_stage", ""))) end
  end
  local r = apply.plan(o, load.file(o.recipe), true)
  local journal <close> = r.journal
  refuse_open_guards(r)
  local doomed = list(r)
  if #doomed == 0 then
    log.out "nothing to prune"
    return 0
  end
  for _, n in ipairs(doomed) do log.out("  - %s  %s%s", destroy.title(n), n.id or "(perhaps)", destroy.data_note(r, n)) end
  log.out("%d to delete: the recipe no longer asks for it.", #doomed)
  if not o.yes and not agree.typed(r, r:own_name(), "delete all this") then
    errors.raise { kind = "stopped", message = "nothing was deleted: that was not the name" }
  end
  journal:write { ev = "run", command = "prune", n = r.memory.runs + 1, recipe = r.recipe, target = r.target, options = r.memory.options,
    things = #doomed }
  r.mode = "prune"
  local ok, e = stop.announced(errors.handler, destroy.delete_all, r, doomed)
  local state = ok and "done" or errors.is(e, "cancelled") and "cancelled" or "failed"
  pcall(journal.write, journal, { ev = "end", state = state, error = not ok and tostring(e) or nil, calls = calls.unknown_to(journal.memory) })
  if not ok then error(e, 0) end
  destroy.tell_left(r)
  log.out("prune: %d deleted", #doomed)
  return 0
end

return M
