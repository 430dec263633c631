--- The recipe model: options, stages, nouns, verbs with a record, guards. A recipe is a straight-line program; plan,
--- apply, resume, status and destroy fall out of what these functions do in each mode.
local errors = require "errors"
local guard = require "recipe.guard"
local kind = require "recipe.kind"
local lib = require "options"
local once = require "recipe.once"
local options = require "recipe.options"
local plain = require "recipe.plain"
local retire = require "recipe.retire"
local run = require "recipe.run"
local unknown = require "recipe.unknown"

local M = {}

local report_options = {
  { "head", "the first row names the columns", type = "boolean" },
  { "part", "where it stands in the report", type = "string", one_of = { "summary", "left", "back" } },
}

--- Declares the recipe's options and returns their values. Comes first, once.
--- Each: `{ "name", "help", type=, default=, required=, one_of=, check=function(v) -> nil|"why not", target=true,
--- use=function(v) }`. `required = true`, or the name of an option with which it must be given. `target` names the
--- journal; `use` is called with the value in every command, also in destroy. A string between them is the heading of those
--- that follow, which `--help` prints. To read an option that is not declared is an error.
---@param declared (table|string)[]
---@return table values
function M.options(declared)
  local r = run.peek()
  if not r then errors.usage "recipe.options works only in a recipe that runs" end
  declared = options.rows(declared)
  r.declared = declared
  if r.mode == "help" then run.stop "help" end
  local values, target
  local ok, e = pcall(function()
    if r.preset then                                         -- asked for and read once, by the plan before this apply
      values, target = r.preset, r.preset_target
    else
      values, target = options.fill(declared, {
        args = r.args, config = r.config, only_target = r.mode == "load", makes_nothing = r.mode == "undo", earlier = r.earlier,
      })
    end
    r:begin(values, target)
  end)
  if not ok then
    if errors.is(e) and not tostring(e):find "^recipe%.options" then e.where = false end    -- of the command line, not of the recipe
    error(e, 0)
  end
  for _, d in ipairs(declared) do
    if d.use and values[d[1]] ~= nil and not unknown.is(values[d[1]]) then d.use(values[d[1]]) end
  end
  if r.mode == "load" then run.stop "loaded" end
  return options.strict(values, declared)
end

--- Declares a kind of noun and returns its constructor.
M.kind = kind.define

--- Begins a stage: a heading in plans and logs, and a place where `--until` can stop.
---@param name string
function M.stage(name) run.current("stage"):enter(name) end

--- Stops with one sentence unless cond holds. An unknown value passes in a plan. What a recipe needs is for what it makes: it does
--- not keep destroy from finding what is there.
---@generic T
---@param cond T
---@param fmt string
---@return T
function M.need(cond, fmt, ...) return run.current("need"):need(cond, fmt, ...) end

--- Asks before something that cannot be taken back; --yes answers.
---@param question string
---@param note? string what there is to know, said before the question; another note does not make it another question
---@param name? string must be typed, where yes is too easily said
function M.confirm(question, note, name) return run.current("confirm"):confirm(question, note, name) end

--- Adds a table to what is printed at the end, and to the report that is written then (docs/report.md). No secret is shown.
---@param title string
---@param rows table[] rows of cells
---@param o? { head?: boolean, part?: "summary"|"left"|"back" } head: the first row names the columns; part: where in the report
--- it stands: with what everybody asks first, with what is left to do, or with how to go back; else under its title
function M.report(title, rows, o)
  run.current("report"):report(title, rows, lib.check(o or {}, report_options, "recipe.report"))
end

--- Adds a drawing to the report: what stands where, and who talks to whom. Not printed at the end.
---@param title string
---@param drawing table groups, boxes and arrows as docs/report.md tells
function M.drawing(title, drawing)
  local checked = require("recipe.report.drawing").check(drawing)
  run.current("drawing"):report(title, {}, { drawing = checked })
end

--- A verb with a record: fn runs until it once succeeded; its plain result is kept.
---@param name string
---@param fn fun(progress: table): any
---@return any
function M.once(name, fn) return once.once(name, fn) end

--- Does something and undoes it when the block is left without `keep()`.
--- `local freeze <close> = recipe.guard{ key=, what=, facts=fn, apply=fn(facts), undo=fn(facts), holds=fn(facts) }`;
--- `freeze:once(name, fn)`, `freeze:keep()`. `by_hand(facts)` tells a person what to type where undo fails.
--- `hkrun rollback` undoes what was kept, the last first; `freeze:rollback(what, fn [, look])` is what it does before that.
--- `lasting = true` makes a mark of what has happened, which a rollback leaves.
---@param o table
---@return table guard
function M.guard(o) return guard.new(o) end

--- What the guard of this key found when it was armed, while it is in force or kept; nil before, and once it was undone.
--- After a freeze the world no longer says how it was: this does.
---@param key string
---@return table? facts
---@return boolean? kept
function M.remembered(key)
  local mem = run.current("remembered").memory.guards[key]
  if not (mem and mem.facts) or mem.state == "undone" then return nil end
  return plain.spec(mem.facts), mem.state == "kept"
end

--- Whether a once of this name has succeeded, in this run or an earlier one.
---@param name string
---@return boolean
function M.done(name)
  local mem = run.current("done").memory.onces[name]
  return mem ~= nil and mem.state == "done"
end

--- Whether a once of this name has begun at least, and was not undone with its guard ("KEY OF THE GUARD/NAME" for one that
--- was made through a guard).
---@param name string
---@return boolean
---@return any result once it is done
function M.begun(name)
  local mem = run.current("begun").memory.onces[name]
  if mem == nil or mem.state == "void" then return false end
  return true, mem.state == "done" and mem.result or nil
end

--- The rollbacks so far that came to their end, the last last.
---@return { at: string, steps: table<string, any> }[] steps: what each function of guard:rollback answered, by what it does
function M.rollbacks()
  local list = {}
  for i, r in ipairs(run.current("rollbacks").memory.rollbacks) do list[i] = plain.spec(r) end
  return list
end

--- The tags of what is needed only until something is done, for the option `tags` of a noun; see recipe.retire.
---@param what string
---@return table<string, string>
function M.until_tags(what) return retire.until_tags(what) end

--- Deletes what was made with recipe.until_tags(what). Inside a once, which says that the recipe asks for it no more:
---
---     local helper = not recipe.begun "clean up" and aws.instance { "helper", tags = recipe.until_tags "moved", ... }
---     ...
---     recipe.once("clean up", function() return recipe.retire "moved" end)
---@param what string
---@return string[] titles of what was deleted
function M.retire(what) return retire.retire(what) end

--- A value that exists only after apply.
---@param path string
function M.unknown(path) return unknown.new(path) end

--- True for a value that exists only after apply.
---@param v any
---@return boolean
function M.is_unknown(v) return unknown.is(v) end

--- True while the recipe is only planned.
---@return boolean
function M.planning()
  local r = run.peek()
  return r ~= nil and r.mode ~= "apply"
end

return M
