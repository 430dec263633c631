--- What was agreed to: the plan that was shown before the run, or a saved one. A run that meets anything else stops and
--- asks; what a saved plan does not show is refused.
local diff = require "recipe.diff"
local errors = require "errors"
local log = require "log"
local plain = require "recipe.plain"
local term = require "term"
local unknown = require "recipe.unknown"

local M = {}

--- Whether what is to be written is what the plan showed; what it could not know yet may be anything.
local function as_shown(shown, now, compare)
  if compare == "ignore" or unknown.inside(shown) or type(now) == "function" then return true end
  return diff.same(now, shown)
end

--- The first field that is to become something else than the plan showed, in words; nil when there is none.
local function other_field(shown, noun)
  local compare = noun.kind.compare
  if noun.action == "create" or noun.action == "replace" then
    for _, f in ipairs(noun.kind.fields) do
      if not as_shown(shown.spec[f], noun.spec[f], compare[f]) then
        return ("with %s %s"):format(f, plain.show(noun.spec[f]))
      end
    end
    return nil
  end
  for _, c in ipairs(noun.changes) do
    local was = shown.changes and shown.changes[c.field]
    if not was or not as_shown(was.new, c.new, compare[c.field]) then
      return ("%s: %s -> %s"):format(c.field, plain.show(c.old), plain.show(c.new))
    end
  end
  return nil
end

--- What the run is about to do to the noun beyond its entry in the plan, in words; nil when it is what the plan shows.
local function beyond(shown, noun)
  local what = noun.action .. " " .. noun.title
  if not shown then return what end
  local same = shown.action == noun.action
    or shown.action == "replace" and noun.action == "create"  -- it went with what it hung on
  if not same then return what end
  local other = other_field(shown, noun)
  return other and ("%s (%s)"):format(what, other)
end

local function refuse(what, noun)
  errors.raise {
    op = what, kind = "stopped",
    message = ("the plan did not show %s%s"):format(noun and noun.action == "replace" and "this replacement" or "it",
      noun and noun.reason and " (" .. noun.reason .. ")" or ""),
    hint = "look at `hkrun plan` again",
  }
end

local function said_no(what)
  errors.raise { op = what, kind = "stopped", message = "the plan did not show it, and the answer was no" }
end

--- Stops and asks when the plan did not show what is about to be done to a noun. --yes answers, except for a
--- replacement: that one wants its name typed.
---@param r table the run
---@param noun table
function M.noun(r, noun)
  if not r.shown or r:inside_once() then return end
  local what = beyond(r.shown[noun.key], noun)
  if not what then return end
  local destructive = noun.action == "replace"
  if r.saved or destructive and not (r.answer or r.typed or term.interactive()) then refuse(what, noun) end
  if destructive then
    log.warn("the plan did not show this: %s (%s)", what, noun.reason)
    if not M.typed(r, noun.spec.name, "do it") then said_no(what) end
  elseif r.yes then
    log.info("not in the plan: %s", what)
  elseif not r:ask("The plan did not show this: " .. what .. ". Go on?") then
    said_no(what)
  end
end

--- Refuses a verb that a saved plan does not show. Without a saved plan verbs need no agreement of their own.
---@param r table the run
---@param key string
---@param title string
function M.verb(r, key, title)
  if r.saved and not r.shown[key] and not r:inside_once() then refuse("run " .. title) end
end

--- Asks for something destructive: the name must be typed.
---@param r table the run
---@param name string
---@param purpose string "delete all this"
---@return boolean
function M.typed(r, name, purpose)
  local question = ("Type %s to %s: "):format(name, purpose)
  if r.typed then return r.typed(question) == name end       -- tests answer by themselves
  if r.answer then return r.answer(question) end
  if not term.interactive() then
    errors.raise {
      kind = "stopped", message = "nobody can be asked: there is no terminal", hint = "use --yes where that is what you want",
    }
  end
  return log.hold(function() return term.line(question) end) == name
end

--- Asks for the plan as a whole, and raises when that is refused. What replaces wants the name of the target, or of the
--- recipe, typed.
---@param r table the run that planned
---@param n table<string, integer> how many entries there are of each action
function M.plan(r, n)
  if r.yes then return end
  if n.replace > 0 then
    if not M.typed(r, r:own_name(), ("do this (%d to replace)"):format(n.replace)) then
      errors.raise { kind = "stopped", message = "nothing was changed: that was not the name" }
    end
  elseif not r:ask "Do this?" then
    errors.raise { kind = "stopped", message = "nothing was changed: the answer was no" }
  end
end

return M
