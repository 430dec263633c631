--- hkrun status RECIPE: where it stands, what it made, what is left, what can be undone; --watch: the view of a run that goes
--- on elsewhere; --timeline: when each thing was done, and the critical path.
--- Reads the journal only: whether the world has changed since, plan says. The one question
--- that it asks the world is whether a person has still to do something, like confirming an address.
local destroy = require "recipe.destroy"
local errors = require "errors"
local holder = require "journal.holder"
local json = require "json"
local kind = require "recipe.kind"
local load = require "recipe.load"
local log = require "log"
local memory = require "recipe.memory"
local standing = require "recipe.standing"
local term = require "term"
local timeline = require "recipe.timeline"

local WIDTH = 100                                            -- columns where there is no terminal

local function last_line(m, lock)
  if not m.last then return "never applied" end
  return ("%s of %s: %s%s"):format(m.last.command or "run", m.last.at, standing.of_run(m.last, lock),
    m.last.error and " (" .. m.last.error .. ")" or "")
end

--- What people have yet to do, by noun. A service that does not answer is said; it is no error of the status.
local function waiting(m)
  local list = json.array {}
  for _, key in ipairs(m.order) do
    local n = m.nouns[key]
    local known, k = pcall(kind.find, n.kind)
    if known and k.waits_for and n.id then
      local ok, words = pcall(k.waits_for, n.id)
      if not ok and errors.is(words, "cancelled") then error(words, 0) end
      if words then list[#list + 1] = { key = key, what = ok and words or "not known: " .. tostring(words) } end
    end
  end
  return list
end

local function show(r, lock)
  local m = r.memory
  log.out("%s%s", r.recipe, r.target ~= "" and " (" .. r.target .. ")" or "")
  log.out("last %s", last_line(m, lock))
  if lock and lock.alive and not (m.last and m.last.state == "running") then log.out("held by %s", holder.title(lock)) end
  if m.stage then log.out("stage %s", m.stage) end
  for _, key in ipairs(m.order) do
    local n = m.nouns[key]
    local note = standing.of_noun(n)
    log.out("  %s  %s%s", destroy.title(n), n.id or "", note ~= "" and "  (" .. note .. ")" or "")
  end
  for _, name in ipairs(m.once_order) do
    local once = m.onces[name]
    log.out("  > %s  %s", name, once.state == "done" and "done " .. once.at or once.state == "void" and "void: runs again"
      or "half done: runs again")
  end
  for _, key in ipairs(m.guard_order) do
    local g = m.guards[key]
    log.out("  > %s  %s", g.what or key, not standing.is_in_force(g) and g.state or "still in force: apply again finishes or undoes it")
  end
  for _, w in ipairs(waiting(m)) do log.out("waits for you: %s", w.what) end
  for i, e in ipairs(memory.left(m)) do
    if i == 1 then log.out "left to do: apply again" end
    log.out("  %s %s%s", e.action, e.title, e.stage and "  (" .. e.stage .. ")" or "")
  end
  local doomed, spared = destroy.list(m)
  log.out("%s%s", #doomed == 0 and "nothing to destroy" or ("destroy would delete %d"):format(#doomed),
    #spared > 0 and (", and leave %d that are adopted or kept"):format(#spared) or "")
end

local function data(r, lock)
  local m, nouns, onces, guards = r.memory, json.array {}, json.array {}, json.array {}
  for i, key in ipairs(m.order) do
    local n = m.nouns[key]
    nouns[i] = { key = key, kind = n.kind, id = n.id, state = n.state, adopted = n.adopted, keep = n.keep, by = n.by }
  end
  for i, name in ipairs(m.once_order) do onces[i] = { name = name, state = m.onces[name].state } end
  for i, key in ipairs(m.guard_order) do
    local g = m.guards[key]
    guards[i] = { key = key, state = g.state, in_force = standing.is_in_force(g) }
  end
  local doomed = json.array {}
  for i, n in ipairs(destroy.list(m)) do doomed[i] = n.key end
  local dead = m.last and m.last.state == "running" and not (lock and lock.alive)
  return {
    recipe = r.recipe, target = r.target, journal = r.journal.path, last = m.last, dead = dead or nil, stage = m.stage, resources = nouns,
    onces = onces, guards = guards, waiting = waiting(m), left = json.array(memory.left(m)), destroy = doomed,
    lock = lock and { alive = lock.alive, pid = lock.pid, user = lock.user, host = lock.host, since = lock.since } or nil,
  }
end

local function show_timeline(r, o)
  local scale = tonumber(o.scale or 1)
  if not scale or scale <= 0 then errors.usage("--scale %s is not a number of seconds", o.scale) end
  local t = timeline.of(r.journal:records())
  if o.json then log.data(json.encode(t or {}, { pretty = true }))
  elseif not t then log.out "never applied"
  else
    log.lines(timeline.lines(t, { width = term.size() or WIDTH, scale = scale }))
  end
end

local USAGE = {
  "usage: hkrun status RECIPE.lua [--watch | --timeline [--scale N]] [--json] [--journal s3://BUCKET/KEY]",
  "                               [the recipe's options that name its target]",
  "Where the recipe stands, what it made, what is left to do, what destroy would delete; whether a run goes on, or died.",
  "--watch follows a run that goes on in another terminal, ends when it does, and with its exit code. Ctrl-C leaves the run alone.",
  "--timeline draws when each thing of the last run was done, and its critical path; --scale multiplies the times.",
}

return {
  help = "where a recipe stands, what it made, what can be undone",
  main = function(args)
    local o = load.arguments(args, "status", { timeline = false, scale = true, watch = false })
    if o.help then return load.usage(USAGE) end
    local r = load.upto_options(o, false)
    if o.watch then return require("recipe.watch").run(r, o) end
    if o.timeline then
      show_timeline(r, o)
      return 0
    end
    local lock = r.journal:holder()
    if o.json then log.data(json.encode(data(r, lock), { pretty = true }))
    else show(r, lock) end
    return 0
  end,
}
