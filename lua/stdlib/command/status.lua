--- hkrun status RECIPE: where it stands, what it made, what can be undone.
local destroy = require "recipe.destroy"
local json = require "json"
local load = require "recipe.load"
local log = require "log"
local memory = require "recipe.memory"

local states = {
  running = "did not end: it was killed or still runs", done = "done", failed = "failed", cancelled = "cancelled",
  stopped = "stopped where --until said",
}

local function last_line(m)
  if not m.last then return "never applied" end
  return ("%s of %s: %s%s"):format(m.last.command or "run", m.last.at, states[m.last.state] or m.last.state,
    m.last.error and " (" .. m.last.error .. ")" or "")
end

local function show(r)
  local m = r.memory
  log.out("%s%s", r.recipe, r.target ~= "" and " (" .. r.target .. ")" or "")
  log.out("last %s", last_line(m))
  if m.stage then log.out("stage %s", m.stage) end
  for _, key in ipairs(m.order) do
    local n = m.nouns[key]
    local note = n.adopted and "adopted" or n.keep and "kept" or n.state == "intent" and "asked for, never answered"
      or n.state == "created" and "made, not seen ready" or n.updating and "its change is not confirmed" or ""
    log.out("  %s  %s%s", destroy.title(n), n.id or "", note ~= "" and "  (" .. note .. ")" or "")
  end
  for _, name in ipairs(m.once_order) do
    local once = m.onces[name]
    log.out("  > %s  %s", name, once.state == "done" and "done " .. once.at or once.state == "void" and "void: runs again"
      or "half done: runs again")
  end
  for _, key in ipairs(m.guard_order) do
    local g = m.guards[key]
    log.out("  > %s  %s", g.what or key, g.state == "kept" and "kept" or g.state == "undone" and "undone"
      or "still in force: apply again finishes or undoes it")
  end
  for i, e in ipairs(memory.left(m)) do
    if i == 1 then log.out "left to do: apply again" end
    log.out("  %s %s%s", e.action, e.title, e.stage and "  (" .. e.stage .. ")" or "")
  end
  local doomed = destroy.list(m)
  log.out("%s", #doomed == 0 and "nothing to destroy" or ("destroy would delete %d"):format(#doomed))
end

return {
  help = "where a recipe stands, what it made, what can be undone",
  main = function(args)
    local o = load.arguments(args, "status")
    local r = load.upto_options(o, false)
    if not o.json then show(r) return 0 end
    local m, nouns, onces, guards = r.memory, json.array {}, json.array {}, json.array {}
    for i, key in ipairs(m.order) do
      local n = m.nouns[key]
      nouns[i] = { key = key, kind = n.kind, id = n.id, state = n.state, adopted = n.adopted, keep = n.keep }
    end
    for i, name in ipairs(m.once_order) do onces[i] = { name = name, state = m.onces[name].state } end
    for i, key in ipairs(m.guard_order) do guards[i] = { key = key, state = m.guards[key].state } end
    log.out("%s", json.encode({
      recipe = r.recipe, target = r.target, last = m.last, stage = m.stage, resources = nouns, onces = onces, guards = guards,
      left = json.array(memory.left(m)),
    }, { pretty = true }))
    return 0
  end,
}
