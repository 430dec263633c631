--- Guards: do something now, and undo it when the block is left without keep().
---
--- The order of things, each step on record before the next:
---   armed (with the facts that undo needs) -> apply -> applied -> onces -> kept
---                                                  `-> undoing (its onces are void from here) -> undo -> undone
--- A guard that was not undone keeps the facts of its first arming: the world must not be asked again, it may
--- already be changed. On resume `holds` says whether the world is still as the guard left it; if not, its onces are void.
--- What was kept `hkrun rollback` undoes (recipe/rollback.lua): kept -> undoing -> undone.
local agree = require "recipe.agree"
local calls = require "calls"
local errors = require "errors"
local log = require "log"
local once = require "recipe.once"
local options = require "options"
local plain = require "recipe.plain"
local run = require "recipe.run"
local task = require "task"

local M = {}
local Guard = {}
Guard.__index = Guard

local declared = {
  { "key", "unique in the recipe", type = "string", required = true },
  { "what", "what it does, for people: freeze the app shop", type = "string" },
  { "facts", "function() -> plain data that undo needs, read before anything is changed", type = "function" },
  { "apply", "function(facts); must be restartable", type = "function", required = true },
  { "undo", "function(facts); must be restartable", type = "function", required = true },
  { "by_hand", "function(facts) -> string: how a person undoes it where undo fails", type = "function" },
  { "holds", "function(facts) -> boolean: is the world still as apply left it?", type = "function" },
  { "downtime", "while it is in force nobody can use what is moved: the report shows how long that was", type = "boolean" },
  { "lasting", "a mark of what has happened: once kept, hkrun rollback leaves it", type = "boolean", default = false },
}

local function record(self, state, facts, by)
  self.run.journal:write { ev = "guard", key = self.key, state = state, facts = facts, what = self.what, by = by,
    lasting = self.def.lasting or nil, rolled = self.rolling or nil, downtime = self.def.downtime or nil }
end

--- Arms a guard and acts; see recipe.guard.
---@param o table
---@return table guard a to-be-closed value
function M.new(o)
  local def = options.check(o, declared, "recipe.guard")
  local r = run.current "guard"
  local self = setmetatable({ run = r, key = def.key, what = def.what or def.key, def = def, back = {} }, Guard)
  r:claim("guard:" .. self.key)
  r.guards[#r.guards + 1] = self
  local mem = r.memory.guards[self.key]
  if mem and mem.state == "kept" then
    self.kept = true
    self.facts = mem.facts
    return self
  end
  local open = mem and mem.state ~= "undone"
  if r.mode == "undo" and open then                          -- at the end of the block: what was done in it later goes first
    self.facts, self.rolling = mem.facts, mem.rolled
    return self
  end
  if r.mode == "undo" and mem and mem.rolled then            -- by a rollback that has not come to its end
    self.facts, self.planned = mem.facts, true
    return self
  end
  if r:only_reads() then r:lacks(self.what, "has not been done yet") end
  if r.mode ~= "apply" then
    r:add { action = "run", key = "guard:" .. self.key, title = self.what }
    self.planned = true
    return self
  end
  agree.verb(r, "guard:" .. self.key, self.what)
  self.facts = open and mem.facts or nil
  if not open then
    self.facts = plain.result(def.facts and def.facts() or {}, "the guard " .. self.key)
    record(self, "armed", self.facts)
    self.facts = r.memory.guards[self.key].facts
  elseif mem.state == "applied" and def.holds and def.holds(self.facts) then
    log.info("  > %s (still in force)", self.what)
    return self
  else
    record(self, "void")
    log.info("  > %s, again", self.what)
  end
  if not open then log.info("  > %s", self.what) end
  local ok, e = pcall(calls.during, def.apply, self.facts)
  if not ok then
    self:close(e)
    error(e, 0)
  end
  record(self, "applied", nil, e)
  r:ran()
  return self
end

--- Like recipe.once, but the record dies with the guard.
---@param name string
---@param fn function
function Guard:once(name, fn)
  return once.run(self.run, name, fn, self.key)
end

--- What `hkrun rollback` does before it undoes this guard, if it was kept: all that came later is undone by then. It is a
--- once; where it fails, what was undone before it is done again.
---@param what string
---@param fn fun(back: { accept_loss: boolean }, progress: table)
---@param look? fun(back: { accept_loss: boolean }): string[] what that would do, in sentences, before anybody is asked; changes nothing
function Guard:rollback(what, fn, look)
  if type(what) ~= "string" or type(fn) ~= "function" then errors.usage("guard:rollback needs what it does, and a function") end
  self.back[#self.back + 1] = { what = what, fn = fn, look = look }
end

--- From here the guard's work stays. Recorded: another apply does none of it again.
function Guard:keep()
  if self.planned or self.kept or self.run.mode == "undo" then return end
  if self.closed then errors.usage("the guard %s is already undone", self.key) end
  record(self, "kept")
  self.kept = true
end

--- Undoes the guard unless it was kept. Safe twice; a cancel is held back.
function Guard:close(reason)
  if self.planned or self.kept or self.closed then return end
  self.closed = true
  task.shield(function()
    local ok, e = pcall(function()
      record(self, "undoing")
      log.info("  < undo: %s", self.what)
      return (calls.during(self.def.undo, self.facts))
    end)
    if not ok then
      if self.run.journal.store.lost then error(e, 0) end    -- another run goes on from here, and needs it as it is
      log.warn("%s could not be undone: %s", self.what, tostring(e))
      if reason then log.warn("it was to be undone because: %s", tostring(reason)) end
      local by_hand = self.def.by_hand and self.def.by_hand(self.facts)
      errors.raise {
        op = "undo " .. self.what, kind = errors.is(e) and e.kind or "bug", message = tostring(e), cause = reason or e,
        hint = ("run it again, which takes it up where it is, or undo it by hand%s"):format(by_hand and ": " .. by_hand or ""),
      }
    end
    record(self, "undone", nil, e)
  end)
end

--- Undoes what was kept, as a part of a rollback.
function Guard:take_back()
  self.kept, self.closed, self.rolling = nil, nil, true
  self:close()
end

--- Does again what a rollback undid, for it does not come to its end.
function Guard:restore()
  self.rolling = nil
  record(self, "armed", self.facts)
  calls.during(self.def.apply, self.facts)
  record(self, "applied")
  record(self, "kept")
end

function Guard:__close(reason) self:close(reason) end

return M
