--- Drives the engine through a plan: progress, and what came of each job.
local errors = require "errors"
local ledgers = require "pg.copy.ledger"
local log = require "log"
local pgcopy = require "host.pgcopy"
local task = require "task"

local M = {}

--- The share of the work that is done, by cost.
local function share_done(engine, plan, total)
  local done = 0
  for _, job in ipairs(plan.jobs) do
    local j = engine:job(job.index)
    if j.state == "done" or j.state == "failed" or j.state == "skipped" then done = done + job.cost
    elseif j.state == "running" and job.is_rows then done = done + math.min(job.cost * 0.95, j.bytes) end
  end
  return done / total
end

local function show(progress, engine, plan, total)
  local bytes, rows, done = engine:progress()
  progress:update(bytes, share_done(engine, plan, total))
  progress:note(("%s, %d of %d steps"):format(log.amount(rows, "rows"), done, #plan.jobs))
end

--- Waits for the engine; a cancelled task stops it first.
local function drive(engine, plan, o)
  local total = 1
  for _, job in ipairs(plan.jobs) do total = total + job.cost end
  local progress = o.progress and log.progress { what = "copy " .. o.name, unit = "bytes" }
  local ok, e = pcall(function()
    errors.check("start the copy", engine:start())
    while not task.await(engine:id(), 0.5) do
      if progress then show(progress, engine, plan, total) end
    end
  end)
  if progress then progress:done() end
  if ok then return end
  engine:cancel()
  task.shield(function() task.await(engine:id(), 60) end)
  error(e, 0)
end

--- Runs a plan. Returns what failed, each job once; raises where nothing could go on, which may be tried again.
---@param plan PgPlan
---@return { what: string, table: string, kind: string, code: string, message: string, retry: boolean }[] failed, table[] moved
function M.run(plan, from, to, o, snapshot)
  if #plan.jobs == 0 then return {}, {} end
  local engine <close> = pgcopy.new(from.params, to.params, o.workers, { snapshot = snapshot, source_setup = o.source_setup,
    target_setup = o.target_setup, source_pin = from.pin, target_pin = to.pin, ledger = ledgers.SCHEMA, patience = o.patience, rate = o.rate })
  plan:give(engine)
  drive(engine, plan, o)
  local ok, err = engine:result()
  local failed, moved = {}, {}
  for _, job in ipairs(plan.jobs) do
    local j = engine:job(job.index)
    if j.error then
      local e = j.error
      failed[#failed + 1] = { what = job.what, table = job.table and job.table.plain, kind = e.kind, code = e.code, retry = e.retry,
                              message = e.message .. (e.detail and " (" .. e.detail .. ")" or ""), cause = e }
    elseif j.state == "done" and job.is_rows then
      moved[#moved + 1] = { job = job, rows = j.rows, bytes = j.bytes, seconds = j.seconds }
    end
  end
  if not ok and #failed == 0 then
    errors.raise { op = "copy " .. o.name, kind = err.kind, code = err.code, message = err.message, retry = err.retry, cause = err }
  end
  return failed, moved
end

return M
