--- plan, and apply = plan, ask, run.
local agree = require "recipe.agree"
local calls = require "calls"
local columns = require "recipe.columns"
local errors = require "errors"
local flow = require "recipe.flow"
local load = require "recipe.load"
local log = require "log"
local options = require "options"
local plan = require "recipe.plan"
local report = require "recipe.report"
local run = require "recipe.run"
local stop = require "recipe.stop"
local tell = require "recipe.tell"

local M = {}

--- Whatever goes wrong before anything was changed is bad input: one sentence, exit code 2.
local function as_input(e)
  if errors.is(e, "bug") or errors.is(e, "cancelled") or errors.is(e, "stopped") or errors.is(e, "usage")
    or errors.is(e, "locked") or e.kind == "locked" then
    error(e, 0)
  end
  errors.raise { kind = "usage", message = tostring(e), cause = e, traceback = e.traceback }
end

local function new_run(o, recipe, mode)
  return run.new {
    mode = mode, recipe = recipe.name, file = recipe.file, args = o.rest, config = o.config, dir = o.dir, at = o.at,
    until_stage = o.until_stage, only_stage = o.only_stage, adopt = o.adopt, yes = o.yes, answer = o.answer, typed = o.typed,
    saved = o.saved, keep_found = mode == "plan" and (o.out or o.saved) ~= nil,
  }
end

local function check_stage(name, stages)
  for _, s in ipairs(stages) do
    if name == s then return end
  end
  if not name then return end
  errors.raise {
    kind = "usage", message = ("the recipe has no stage %s%s"):format(name, options.suggestion(name, stages)),
    hint = #stages > 0 and "its stages are " .. table.concat(stages, ", ") or nil,
  }
end

--- Plans: runs the recipe with everything read-only.
---@param o table as from load.arguments
---@param recipe table as from load.file
---@param lock boolean hold the journal for the apply that follows
---@return table run
function M.plan(o, recipe, lock)
  local r = new_run(o, recipe, "plan")
  if o.saved then r.earlier = function() return o.saved:options() end end
  r.lock = lock
  local ok, e = xpcall(load.pass, errors.handler, r, recipe.chunk)
  if r.progress then r.progress:done() end
  if not ok and r.lacking then e = r.lacking end             -- the rest came of it
  if ok then ok, e = pcall(check_stage, o.until_stage or o.only_stage, r.stages) end
  if not ok then
    if r.journal then r.journal:close() end
    as_input(e)
  end
  r:sort()
  flow.order(r.entries)
  return r
end

local function print_report(r)
  log.out ""
  log.out(log.color("bold", r.title, 1))
  columns.print(r.rows)
end

--- Drawings are for the page.
local function print_reports(reports)
  for _, r in ipairs(reports) do
    if not r.drawing then print_report(r) end
  end
end

local names = { { "create", "created" }, { "adopt", "taken over" }, { "change", "changed" }, { "replace", "replaced" }, { "run", "run" } }

local function done_line(r)
  local parts = {}
  for _, n in ipairs(names) do
    if r.done[n[1]] > 0 then parts[#parts + 1] = ("%d %s"):format(r.done[n[1]], n[2]) end
  end
  return #parts > 0 and table.concat(parts, ", ") or "no changes"
end

local function intended(planned)
  local list = {}
  for _, e in ipairs(planned.entries) do
    if plan.marks[e.action] and e.action ~= "ask" and e.action ~= "read" then
      list[#list + 1] = { key = e.key, action = e.action, title = e.title, stage = e.stage, after = e.after }
    end
  end
  return list[1] and list or nil
end

local function run_pass(o, recipe, planned)
  local r = new_run(o, recipe, "apply")
  r.intended, r.intended_stages = intended(planned), planned.stages
  r.journal, r.preset, r.preset_target = planned.journal, planned.options, planned.target
  r.shown = {}
  for _, e in ipairs(planned.entries) do r.shown[e.key] = e end
  local ok, e = stop.announced(errors.handler, load.pass, r, recipe.chunk)
  log.on_risk = nil
  local state = ok and ((r.stopped or r.only_stage) and "stopped" or "done") or errors.is(e, "cancelled") and "cancelled" or "failed"
  local written, why = pcall(r.journal.write, r.journal,
    { ev = "end", state = state, error = not ok and tostring(e) or nil, summary = r.done, calls = calls.unknown_to(r.journal.memory) })
  if ok and not written then ok, e = false, why end
  if ok then return r end
  if errors.is(e, "usage") then                              -- too late for exit code 2: things were changed
    e = errors.new { kind = "invalid", message = tostring(e), cause = e, traceback = e.traceback }
  end
  if errors.is(e, "cancelled") then log.warn "cancelled; apply again goes on from here" end
  return r, e
end

--- Prints the plan, on standard output or, where that is for JSON, on standard error.
---@param r table
---@param say function
function M.print_plan(r, say)
  for _, line in ipairs(plan.lines(r.entries)) do say("%s", line) end
  local forgotten = plan.forgotten(r)
  if forgotten then say("%s", forgotten) end
end

local function unfinished(memory)
  local last = memory.last
  return last and last.command == "apply" and last.state ~= "done"
end

--- Whether something is there that the journal does not know, because it was lost: destroy must find it there again.
local function knows_less(planned)
  for _, e in ipairs(planned.entries) do
    local mem = planned.memory.nouns[e.key]
    if e.action == "none" and e.id and not (mem and mem.id == e.id) then return true end
  end
  return false
end

--- Plans, asks, runs. Returns the exit code.
---@param o table
---@return integer
function M.apply(o)
  local recipe = load.file(o.recipe)
  local planned = M.plan(o, recipe, true)
  local journal <close> = planned.journal
  if o.saved then o.saved:check_plan(planned) end
  if journal.dead then
    log.info("the last run (process %s) ended without a word; going on from where it was", tostring(journal.dead.pid))
  end
  local nothing = plan.empty(planned.entries)
  if nothing and not unfinished(journal.memory) then
    if knows_less(planned) then
      local _, e = run_pass(o, recipe, planned)
      if e then error(e, 0) end
    end
    print_reports(planned.reports)                           -- a recipe that only looks has nothing but these
    for _, one in ipairs(planned.reports) do tell.event { ev = "report", title = one.title, rows = one.rows } end
    local forgotten = plan.forgotten(planned)
    if forgotten then log.out("%s", forgotten) end
    log.out "no changes"
    tell.event { ev = "end", state = "done", summary = planned.done }
    return 0
  end
  M.print_plan(planned, log.out)
  if not nothing and not o.saved then agree.plan(planned, plan.count(planned.entries)) end
  local r, e = run_pass(o, recipe, planned)
  if not e then
    print_reports(r.reports)
    log.out ""
    log.out("%s", "Done: " .. done_line(r) .. "." .. (r.stopped and " Stopped before the stage " .. r.stopped .. "." or ""))
  end
  report.after(r)
  if e then error(e, 0) end
  return 0
end

M.print_reports = print_reports

return M
