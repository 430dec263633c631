--- What the journal's records mean: replays them into the state of a recipe and its target.
---
--- Records (`ev`), in the order in which they appear in a run:
---   run       a run began: n, options, things (to delete)       end      it ended: state = done | failed | cancelled | stopped;
---             calls: the operations of AWS that it asked for, reads too, as far as no earlier record has them
---   plan      entries: what the run set out to do, and `after`, the keys that each waits for (recipe/flow.lua); stages
---   stage     name
---   intent    key, kind, gen, spec, inside       created  key, id          ready   key
---   found     key, kind, id, spec, adopted       update   key, fields      updated key, spec
---   delete    key, id, leaves                    deleted  key
---   once      name, guard, state = start | done, result
---   guard     key, state = armed | applied | undoing | undone | kept, facts; lasting: a rollback leaves it; rolled: undone
---             by a rollback; downtime: nobody can use what is moved while it is in force
---   confirm   question                           report   title, rows, head, part, drawing (recipe.report)
---             by: the calls that did it, { call, id = the service's request id, times } (calls.lua)
---             began: when the noun was first read, in seconds as t
---   rolled back   a rollback came to its end
---   destroyed everything that runs made is gone
---   risk      text: what was allowed and is dangerous
---   lock      from, holder: the journal was taken over from a holder that was dead
---   segments  n: so many parts come before (journal/s3.lua)
local M = {}

---@return table memory an empty one
function M.new()
  return {
    nouns = {}, order = {}, onces = {}, guards = {}, guard_order = {}, once_order = {}, confirms = {}, reports = {},
    runs = 0, last = nil, stage = nil, options = {}, planned = {}, done = {}, leaves = {},
    calls = {}, names = {}, rollbacks = {},
  }
end

local function noun(m, rec)
  local n = m.nouns[rec.key]
  if not n then
    n = { key = rec.key, gen = 1 }
    m.nouns[rec.key] = n
    m.order[#m.order + 1] = rec.key
  end
  return n
end

local function forget(m, key)
  m.nouns[key] = nil
  for i, k in ipairs(m.order) do
    if k == key then table.remove(m.order, i) break end
  end
end

local function void_guard(m, key)
  for name, once in pairs(m.onces) do
    if once.guard == key then
      once.state, once.result, m.done["once:" .. name] = "void", nil, nil
    end
  end
  m.confirms = {}
end

--- The prefix of what a rollback does beyond undoing guards.
M.BACK = "rollback: "

--- What a once of a rollback does, from its name; nil for other onces.
local function back_of(name, once)
  local from = once.guard and #once.guard + 2
  return from and name:sub(from, from + #M.BACK - 1) == M.BACK and name:sub(from + #M.BACK) or nil
end

--- What a rollback has done counts no more when something is done again.
local function void_rollback(m)
  for name, once in pairs(m.onces) do
    if back_of(name, once) then once.state, once.result = "void", nil end
  end
  m.going_back = nil
end

--- Keeps what a rollback's steps before this guard's end answered: the guard's onces go with it.
local function keep_steps(m, key)
  m.going_back = m.going_back or {}
  for name, once in pairs(m.onces) do
    local what = once.guard == key and once.state == "done" and back_of(name, once)
    if what then m.going_back[what] = once.result end
  end
end

local on = {}

function on.run(m, rec)
  m.runs = rec.n or m.runs + 1
  if rec.recipe then m.of = { recipe = rec.recipe, target = rec.target or "" } end
  m.last = { n = m.runs, at = rec.at, pid = rec.pid, state = "running", command = rec.command }
  m.options = rec.options or m.options
  m.stage, m.planned, m.done = nil, {}, {}
end

function on.plan(m, rec) m.planned = rec.entries end

on["end"] = function(m, rec)
  if m.last then m.last.state, m.last.ended, m.last.error = rec.state, rec.at, rec.error end
  for _, name in ipairs(rec.calls or {}) do m.calls[name] = true end
end

function on.stage(m, rec) m.stage = rec.name end

function on.intent(m, rec)
  local n = noun(m, rec)
  n.kind, n.gen, n.spec, n.id, n.state, n.at, n.changed = rec.kind, rec.gen, rec.spec, nil, "intent", rec.t, nil
  n.adopted, n.keep, n.stage, n.inside = nil, rec.keep, m.stage, rec.inside
end

function on.created(m, rec)
  local n = noun(m, rec)
  n.id, n.state, n.made, n.by, n.changed = rec.id, "created", rec.at, rec.by, rec.t
end

function on.ready(m, rec)
  noun(m, rec).state = "ready"
  m.done[rec.key] = true
end

function on.found(m, rec)
  local n = noun(m, rec)
  n.kind, n.id, n.spec, n.adopted, n.state, n.keep = rec.kind, rec.id, rec.spec, rec.adopted or nil, "ready", rec.keep
  n.gen, n.stage, n.updating = rec.gen or n.gen, m.stage, nil
end

function on.update(m, rec) noun(m, rec).updating = true end

function on.updated(m, rec)
  local n = noun(m, rec)
  n.updating, n.spec, n.keep, n.changed = nil, rec.spec or n.spec, rec.keep, rec.t
  m.done[rec.key] = true
end

function on.delete(m, rec)
  local n = noun(m, rec)
  n.deleting, n.leaves, n.id = true, rec.leaves, n.id or rec.id
end

function on.deleted(m, rec)
  local n = m.nouns[rec.key]
  m.gone = m.gone or {}
  if n then m.gone[rec.key] = n.gen end
  for _, x in ipairs(n and n.leaves or {}) do m.leaves[#m.leaves + 1] = x end
  forget(m, rec.key)
end

function on.once(m, rec)
  if not m.onces[rec.name] then m.once_order[#m.once_order + 1] = rec.name end
  m.done["once:" .. rec.name] = rec.state == "done" or nil
  m.onces[rec.name] = { name = rec.name, guard = rec.guard, state = rec.state, result = rec.result, at = rec.at }
end

function on.guard(m, rec)
  local g = m.guards[rec.key]
  if not g then
    g = { key = rec.key }
    m.guards[rec.key] = g
    m.guard_order[#m.guard_order + 1] = rec.key
  end
  if rec.facts ~= nil then g.facts = rec.facts end
  g.state, g.at, g.what, g.lasting, g.rolled = rec.state, rec.at, rec.what or g.what, rec.lasting, rec.rolled
  m.done["guard:" .. rec.key] = (rec.state == "applied" or rec.state == "kept") or nil
  if rec.state == "undoing" and rec.rolled then keep_steps(m, rec.key) end
  if rec.state == "undoing" or rec.state == "void" then void_guard(m, rec.key) end
  if rec.state == "armed" or rec.state == "void" then void_rollback(m) end
  if rec.state == "undone" and not rec.rolled then g.facts = nil end
end

on["rolled back"] = function(m, rec)
  m.rollbacks[#m.rollbacks + 1] = { at = rec.at, steps = m.going_back or {} }
  m.going_back = nil
  for _, g in pairs(m.guards) do
    if g.rolled then g.rolled, g.facts = nil, nil end
  end
end

function on.confirm(m, rec) m.confirms[rec.question] = true end

function on.report(m, rec)
  local report = { title = rec.title, rows = rec.rows, head = rec.head, part = rec.part, drawing = rec.drawing, at = rec.at }
  for i, r in ipairs(m.reports) do
    if r.title == rec.title then m.reports[i] = report return end
  end
  m.reports[#m.reports + 1] = report
end

function on.told(m) m.leaves = {} end

function on.destroyed(m)
  m.onces, m.once_order, m.guards, m.guard_order, m.confirms, m.reports, m.leaves = {}, {}, {}, {}, {}, {}, {}
  m.rollbacks, m.going_back = {}, nil
end

--- Kinds, names and ids of all things that runs have made or found, also of those that are gone.
local function note_name(m, rec)
  local known = m.names[rec.key]
  if not known and rec.spec and rec.spec.name then
    known = { kind = rec.kind, name = rec.spec.name }
    m.names[rec.key], m.names[#m.names + 1] = known, known
  end
  if known then known.id = rec.id or known.id end
end

--- What the last run set out to do and did not get done, in its order.
---@param m table
---@return table[] entries `{ key=, action=, title=, stage= }`
function M.left(m)
  local list = {}
  for _, e in ipairs(m.planned) do
    if not m.done[e.key] then list[#list + 1] = e end
  end
  return list
end

--- Takes one record in. Records of unknown kinds are skipped, so that an older hkrun reads a newer journal.
---@param m table
---@param rec table
function M.add(m, rec)
  local f = on[rec.ev]
  if f then f(m, rec) end
  if rec.ev == "intent" or rec.ev == "created" or rec.ev == "found" then note_name(m, rec) end
  for _, call in ipairs(rec.by or {}) do m.calls[call.call] = true end
end

return M
