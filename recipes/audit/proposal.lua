--- What an app would become on AWS, and what it costs on either side. What the mapping does not know is deferred with the
--- reason, and the rest goes on.
local cost = require "heroku_to_aws.cost"
local cost_report = require "heroku_to_aws.cost_report"
local errors = require "errors"
local from_audit = require "heroku_to_aws.from_audit"
local live_prices = require "heroku_to_aws.live_prices"
local mapping = require "heroku_to_aws.mapping"
local tables = require "heroku_to_aws.tables"

local M = {}

--- Calls fn; a refusal of the mapping is the second result.
local function try(fn, ...)
  local ok, found = pcall(fn, ...)
  if ok then return found end
  if not errors.is(found, "usage") then error(found, 0) end
  return nil, found.message
end

--- The plan of an app of an audit.
---@param app table
---@param dyno_sizes table[]?
---@param opt table
---@return table facts
---@return table? plan nil: there is nothing to run
---@return { [1]: string, [2]: string }[] deferred what, and why
function M.plan(app, dyno_sizes, opt)
  local facts, deferred = from_audit(app, dyno_sizes), {}
  local function defer(what, why) deferred[#deferred + 1] = { what, why } end
  local known = {}
  for _, p in ipairs(facts.formation) do
    if mapping.memory(p.size) or p.quantity == 0 then known[#known + 1] = p
    else defer(("%d x %s of %s"):format(p.quantity, p.size, p.type), "the tables know no such dyno size") end
  end
  facts.formation = known
  for _, store in ipairs { { "postgres", mapping.postgres }, { "redis", mapping.cache } } do
    local member, of = table.unpack(store)
    local found = facts[member]
    if found and not try(of, found.plan) then
      defer(found.plan, "the tables know no such plan")
      facts[member] = nil
    end
  end
  if not app.formation then
    defer("the app", "its processes could not be read")
    return facts, nil, deferred
  end
  local plan, why = try(mapping.plan, facts, opt)
  if not plan then defer("the app", why) end
  for _, a in ipairs(plan and plan.addons or {}) do
    if a.becomes == "deferred" then defer(a.plan, a.note) end
  end
  if app.generation == "fir" then defer("the move itself", "the recipe moves Cedar apps; a Fir app is a container image: see docs/targets.md") end
  return facts, plan, deferred
end

--- What becomes of an app, as rows: app, on Heroku, on AWS, note.
local function mapping_rows(rows, app, plan, deferred)
  local function row(...) rows[#rows + 1] = { app.name, ... } end
  for _, e in ipairs(plan and plan.environments or {}) do
    local words = {}
    for i, p in ipairs(e.processes) do words[i] = ("%s %d x %s"):format(p.type, p.replicas * e.instances, p.size) end
    row(table.concat(words, ", "), ("%d x %s%s"):format(e.instances, e.instance_type, e.load_balanced and ", load balancer" or ""), "")
  end
  for _, s in ipairs(plan and plan.sizes or {}) do
    local db, cache = s.what == "PostgreSQL" and plan.postgres, s.what == "Redis" and plan.cache
    if db or cache then
      row(s.plan, db and ("%s, %d GB%s"):format(db.class, db.gigabytes, db.multi_az and ", Multi-AZ" or "")
        or ("%s%s"):format(cache.node_type, cache.replicas > 0 and ", with a replica" or ""),
        s.measured and s.measured ~= s.like and ("as measured: %s, for %s"):format(s.measured, s.reason) or "")
    end
  end
  for _, d in ipairs(deferred) do row(d[1], "deferred", d[2]) end
end

--- The tables of an audit: the mapping of all apps, and the cost; of a single app line by line, with what-ifs.
---@param audit table of audit.read
---@param opt { region: string?, live_prices: boolean?, traffic_gigabytes: integer?, log_gigabytes: integer? }
---@return { [1]: string, [2]: string[][] }[] title and rows of each
function M.tables(audit, opt)
  local rows, costs, found = { { "app", "on Heroku", "on AWS", "note" } }, { { "app", "today a month", "on AWS a month", "region", "unknown" } }, {}
  for _, app in ipairs(audit.apps) do
    local o = {}                                             -- with more than an audit has options for
    for name, v in pairs(opt) do o[name] = v end
    o.region = opt.region or tables.regions[app.region]
    local facts, plan, deferred = M.plan(app, audit.account.dyno_sizes, o)
    mapping_rows(rows, app, plan, deferred)
    if plan then
      o.live = opt.live_prices and live_prices.ask(facts, plan, o) or nil
      local c = cost.of(facts, plan, o)
      costs[#costs + 1] = { app.name, cost_report.total(c.today, 1), cost_report.total(c.aws, 1), c.region, table.concat(c.aws.unknown, ", ") }
      if #audit.apps == 1 then found = cost_report.tables(facts, plan, o) end
    else
      costs[#costs + 1] = { app.name, cost_report.total(cost.today(facts), 1), "nothing", "", "" }
    end
  end
  if #rows > 1 then table.insert(found, 1, { "What it becomes on AWS", rows }) end
  if #audit.apps > 1 then found[#found + 1] = { "Cost", costs } end
  return found
end

return M
