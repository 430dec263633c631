--- plan, and apply = plan, ask, run.
local errors = require "errors"
local load = require "recipe.load"
local log = require "log"
local options = require "options"
local plan = require "recipe.plan"
local run = require "recipe.run"
local stop = require "recipe.stop"

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
    until_stage = o.until_stage, yes = o.yes, answer = o.answer,
  }
end

--- Plans: runs the recipe with everything read-only.
---@param o table as from load.arguments
---@param recipe table as from load.file
---@param lock boolean hold the journal for the apply that follows
---@return table run
function M.plan(o, recipe, lock)
  local r = new_run(o, recipe, "plan")
  r.lock = lock
  local ok, e = xpcall(load.pass, errors.handler, r, recipe.chunk)
  if r.progress then r.progress:done() end
  if ok and o.until_stage and not r.stopped then
    ok, e = false, errors.new {
      kind = "usage", message = ("the recipe has no stage %s%s"):format(o.until_stage,
        options.suggestion(o.until_stage, r.stages)),
      hint = #r.stages > 0 and "its stages are " .. table.concat(r.stages, ", ") or nil,
    }
  end
  if not ok then
    if r.journal then r.journal:close() end
    as_input(e)
  end
  r:sort()
  return r
end

local function print_reports(reports)
  for _, report in ipairs(reports) do
    log.out ""
    log.out(log.color("bold", report.title, 1))
    local widths = {}
    for _, row in ipairs(report.rows) do
      for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, utf8.len(cell) or #cell) end
    end
    for _, row in ipairs(report.rows) do
      local cells = {}
      for i, cell in ipairs(row) do
        cells[i] = i < #row and cell .. (" "):rep(widths[i] - (utf8.len(cell) or #cell)) or cell
      end
      log.out("%s", "  " .. table.concat(cells, "  "))
    end
  end
end

local names = { { "create", "created" }, { "change", "changed" }, { "replace", "replaced" }, { "run", "run" } }

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
      list[#list + 1] = { key = e.key, action = e.action, title = e.title, stage = e.stage }
    end
  end
  return list[1] and list or nil
end

local function run_pass(o, recipe, planned)
  local r = new_run(o, recipe, "apply")
  r.intended = intended(planned)
  r.journal, r.preset, r.preset_target = planned.journal, planned.options, planned.target
  r.shown = {}
  for _, e in ipairs(planned.entries) do r.shown[e.key] = e.action end
  local ok, e = stop.announced(errors.handler, load.pass, r, recipe.chunk)
  local state = ok and (r.stopped and "stopped" or "done") or errors.is(e, "cancelled") and "cancelled" or "failed"
  local written, why = pcall(r.journal.write, r.journal,
    { ev = "end", state = state, error = not ok and tostring(e) or nil })
  if ok and not written then ok, e = false, why end
  if ok then return r end
  if errors.is(e, "usage") then                              -- too late for exit code 2: things were changed
    e = errors.new { kind = "invalid", message = tostring(e), cause = e, traceback = e.traceback }
  end
  if errors.is(e, "cancelled") then log.warn "cancelled; apply again goes on from here" end
  error(e, 0)
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
  if journal.dead then
    log.info("the last run (process %s) ended without a word; going on from where it was", tostring(journal.dead.pid))
  end
  local last = journal.memory.last
  local unfinished = last and last.command == "apply" and last.state ~= "done"
  if plan.empty(planned.entries) and not unfinished then
    if knows_less(planned) then run_pass(o, recipe, planned) end
    M.print_reports(planned.reports)                         -- a recipe that only looks has nothing but these
    log.out "no changes"
    return 0
  end
  for _, line in ipairs(plan.lines(planned.entries)) do log.out("%s", line) end
  if not plan.empty(planned.entries) and not planned:ask("Do this?") then
    errors.raise { kind = "stopped", message = "nothing was changed: the answer was no" }
  end
  local r = run_pass(o, recipe, planned)
  print_reports(r.reports)
  log.out ""
  log.out("%s", "Done: " .. done_line(r) .. "." .. (r.stopped and " Stopped before the stage " .. r.stopped .. "." or ""))
  return 0
end

M.print_reports = print_reports

return M
