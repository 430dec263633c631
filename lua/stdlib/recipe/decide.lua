--- What is to be done about one noun. Nothing is changed here.
local diff = require "recipe.diff"
local effects = require "recipe.effects"
local errors = require "errors"
local owner = require "recipe.owner"
local unknown = require "recipe.unknown"

local M = {}

--- The fixed field that hangs on something which is still to be made, if there is one: then the noun cannot be read.
local function blinding(kind, spec)
  for _, f in ipairs(kind.fixed) do
    local v = spec[f]
    if unknown.inside(v) and (unknown.is(v) or rawget(v, "id") == nil or unknown.inside(rawget(v, "id"))) then return f end
  end
end

--- Reads the noun. --adopt also looks for what exists under the name without our tags.
local function look(noun)
  local current, spec = effects.read(noun), noun.spec
  if current or noun.mem or not noun.run.adopt or spec.adopt or not noun.kind.create then return current end
  spec.adopt = true
  current = effects.read(noun)
  spec.adopt = nil
  return current
end

--- Why the changes cannot be made in place, or nil.
local function forced(kind, changes)
  local fields = {}
  for _, c in ipairs(changes) do
    c.forces = kind.is_fixed[c.field] or not kind.update
    if c.forces then fields[#fields + 1] = c.field end
  end
  return fields[1] and table.concat(fields, ", ") .. " cannot be changed in place"
end

--- Marks what somebody changed by hand since the last apply: the record says something else than what is there. A field
--- is on record without the secrets in it: where the service gives them back nobody can tell.
local function mark_drift(noun)
  local was, kind = noun.mem and noun.mem.id == noun.current.id and noun.mem.spec, noun.kind
  if not was or noun.mem.updating or noun.mem.state ~= "ready" then return end
  was = owner.wanted(noun, was)
  for _, c in ipairs(noun.changes) do
    local recorded = was[c.field]
    if recorded ~= nil and not diff.has_secret(c.old) then
      local ok, equal = pcall(diff.equal, recorded, noun.current, c.field, kind.compare, was)
      c.drift = ok and not equal                             -- a record of another version may not fit: it only marks
      noun.drift = noun.drift or c.drift
    end
  end
end

--- In what the thing that is there differs from what is asked for, and why that cannot be brought about in place.
local function compare(noun)
  noun.changes, noun.drift = effects.changes(noun, noun.current), nil
  noun.reason = forced(noun.kind, noun.changes)
  mark_drift(noun)
end

--- Whether a difference can come from a read that does not see yet what was last done: the recipe does not explain it, or
--- nobody can tell, because no record has the secret.
local function may_be_late(noun)
  if noun.mem.updating then return false end
  for _, c in ipairs(noun.changes) do
    if c.drift or noun.mem.state == "created" or diff.has_secret(c.old) or diff.has_secret(c.new) then return true end
  end
  return false
end

--- What was done a moment ago may not be seen yet: it is read again as long as that can be the reason of a difference.
local function settle(noun)
  if not (noun.mem and noun.mem.id == noun.current.id and may_be_late(noun)) then return end
  effects.settled(noun, noun.mem.changed, function(current)
    if not current then return false end
    noun.current = current
    compare(noun)
    return not may_be_late(noun)
  end)
end

--- Fills noun.action (none, create, change, replace, adopt, read), and current, changes and reason with it.
---@param noun table as from effects.noun
function M.noun(noun)
  local kind, spec, mem = noun.kind, noun.spec, noun.mem
  local hangs_on = blinding(kind, spec)
  if hangs_on then
    noun.action = mem and mem.id and "replace" or "create"
    noun.reason = noun.action == "replace" and hangs_on .. " is replaced" or nil
    return
  end
  noun.current = look(noun)
  if not kind.create then
    if not noun.current then
      errors.raise { op = "find " .. noun.title, kind = "not_found", message = "it does not exist" }
    end
    noun.action = "read"
    return
  end
  if not noun.current or noun.current.deleting then
    noun.action = "create"
    return
  end
  owner.check(noun)
  compare(noun)
  settle(noun)
  for _, c in ipairs(noun.mem and noun.mem.id == noun.current.id and effects.unrecorded(noun) or {}) do
    noun.changes[#noun.changes + 1] = c
    noun.changes[c.field] = c
  end
  noun.action = noun.adopting and "adopt" or noun.reason and "replace" or #noun.changes > 0 and "change" or "none"
end

--- Raises when what was decided must not be done.
---@param noun table
function M.check(noun)
  local why = noun.reason
  if not why then return end
  if noun.adopted or noun.mem and noun.mem.adopted then
    why = why .. ", and it was not made by this recipe"
  elseif noun.spec.keep then
    why = why .. ", and keep = true protects it from being replaced"
  elseif not noun.kind.delete then
    why = why .. ", and it cannot be deleted"
  else
    return
  end
  errors.raise { op = (noun.action == "adopt" and "take over " or "change ") .. noun.title, kind = "invalid", message = why,
    noun = noun.key }
end

--- A noun of a stage that --only leaves alone must be there already; what differs is left as it is.
---@param noun table
---@return boolean there
function M.only_read(noun)
  local action = noun.action
  local there = noun.current ~= nil and action ~= "create" and action ~= "adopt"
  if not there then
    noun.run:lacks(noun.title, action == "create" and "does not exist yet" or action == "adopt" and "is not taken over yet"
      or "is still to be replaced", noun.key)
  end
  noun.action = noun.kind.create and "none" or "read"
  noun.changes, noun.reason, noun.drift = nil, nil, nil
  return there
end

return M
