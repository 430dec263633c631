--- The architecture before and after, as drawings of the report. What stands where is the plan's; nothing is asked.
local recipe = require "recipe"
local text = require "text"

local M = {}

local MANY = 4                          -- add-ons with a box of their own

local function dynos(process)
  return { process.type, ("%d x %s"):format(process.quantity, process.size), id = "process " .. process.type, tone = "compute" }
end

local function custom_domains(facts)
  local names = {}
  for _, d in ipairs(facts.domains or {}) do
    if d.kind == "custom" then names[#names + 1] = d.hostname end
  end
  return table.concat(names, ", ")
end

--- The app on Heroku.
---@param facts table of audit.read
---@return table drawing
function M.before(facts)
  local processes, stores, others, arrows = {}, {}, {}, { { "Visitors", "Router", "HTTPS" } }
  local domains = custom_domains(facts)
  if facts.postgres then
    stores[1] = { "Heroku Postgres " .. facts.postgres.version, facts.postgres.plan:match ":(.*)$" or facts.postgres.plan,
      ("%d tables, %.1f MB"):format(facts.postgres.tables, facts.postgres.bytes / 1e6), id = "postgres", tone = "store" }
  end
  if facts.redis then
    stores[#stores + 1] = { "Heroku Key-Value Store", facts.redis.plan:match ":(.*)$" or facts.redis.plan,
      ("%s, %d keys"):format(facts.redis.version, facts.redis.keys), id = "redis", tone = "store" }
  end
  for _, a in ipairs(facts.addons) do
    if not a.store then others[#others + 1] = { a.plan, id = "add-on " .. a.name } end
  end
  if #others > MANY then
    others[MANY] = { ("%d more add-ons"):format(#others - MANY + 1) }
    others = table.move(others, 1, MANY, 1, {})
  end
  for _, p in ipairs(facts.formation) do
    if p.quantity > 0 then
      processes[#processes + 1] = dynos(p)
      if p.type == "web" then arrows[#arrows + 1] = { "Router", "process web" } end
      for _, store in ipairs(stores) do arrows[#arrows + 1] = { "process " .. p.type, store.id } end
    end
  end
  local app = { ("Heroku: the app %s"):format(facts.app.name), ("region %s, stack %s"):format(facts.app.region, facts.app.stack), rows = {
    { { "Router", domains ~= "" and domains or "herokuapp.com", tone = "edge" } }, processes, stores, others } }
  return { rows = { { { "Visitors", tone = "people" } }, { app } }, arrows = arrows,
    about = "Visitors come through Heroku's router to the web dynos; the dynos use the stores." }
end

--- What runs on AWS, a box for each place: processes that share a machine share a box.
local function machines(plan, place)
  local list, by_place = {}, {}
  for _, e in ipairs(plan.environments) do
    for _, p in ipairs(e.processes) do
      local where = place(e, p)
      local box = by_place[where]
      if box then box[1] = box[1] .. ", " .. p.type
      else
        box = { p.type, where, id = where, tone = "compute" }
        by_place[where], list[#list + 1] = box, box
      end
      if p.type == "web" then box.web = true end
    end
  end
  return list
end

--- What stands in no network.
local function beside(opt, jobs, target)
  local told = opt.notification_email and "alarms to " .. opt.notification_email or "nobody is told yet"
  return { ("Beside it, in %s"):format(opt.region), id = "beside", rows = {
    { { "Secrets Manager", "config vars and passwords" } },
    { { target } },
    { { "CloudWatch", opt.create_alarm and "logs, alarms, a dashboard" or "logs", tone = "watch" } },
    { opt.create_alarm and { "SNS", told, tone = "watch" } },
    { #jobs > 0 and { "EventBridge Scheduler", #jobs == 1 and "1 job" or #jobs .. " jobs" } },
  } }
end

--- The app on AWS.
---@param o { facts: table, plan: table, jobs: table[], opt: table, deploy: table } deploy: deploy.lua or fargate.lua
---@return table drawing
function M.after(o)
  local plan, opt, arrows = o.plan, o.opt, {}
  local apps, stores, front = machines(plan, o.deploy.place), {}, false
  local names = table.concat(plan.domains or {}, ", ")
  if plan.postgres then
    stores[1] = { ("RDS for PostgreSQL %s"):format(plan.postgres_version), ("%s, %d GB"):format(plan.postgres.class, plan.postgres.gigabytes),
      plan.postgres.multi_az and "with a standby in another zone" or "one zone", id = "postgres", tone = "store" }
  end
  if plan.cache then
    stores[#stores + 1] = { "ElastiCache for Valkey", plan.cache.node_type,
      plan.cache.replicas > 0 and ("with %d replica"):format(plan.cache.replicas) or "one node", id = "redis", tone = "store" }
  end
  for _, box in ipairs(apps) do
    if box.web and (o.deploy.is_fargate or plan.environments[1].load_balanced) then
      front = { "Load balancer", names ~= "" and names or "an address of AWS's", id = "front", tone = "edge" }
      arrows[#arrows + 1] = { "Visitors", "front", names ~= "" and "HTTPS" or "HTTP" }
      arrows[#arrows + 1] = { "front", box.id }
    elseif box.web then
      arrows[#arrows + 1] = { "Visitors", box.id, "HTTP" }
    end
    box.web = nil
    for _, store in ipairs(stores) do arrows[#arrows + 1] = { box.id, store.id } end
  end
  if opt.activate_bastion then
    apps[#apps + 1] = { "Bastion", "for people, by SSH", id = "bastion" }
    arrows[#arrows + 1] = { "You", "bastion", "SSH" }
    for _, store in ipairs(stores) do arrows[#arrows + 1] = { "bastion", store.id } end
  end
  local vpc = { ("VPC %s"):format(plan.name), ("%s, %d availability zones"):format(opt.vpc_cidr, opt.zones), id = "vpc", rows = {
    { { "Public subnets", id = "public subnets", rows = { { front }, apps } } },
    { #stores > 0 and { "Private subnets", "reached from the app and the bastion only", id = "private subnets", rows = { stores } } },
  } }
  local target = o.deploy.is_fargate and "ECR and ECS" or "Elastic Beanstalk and S3"
  return {
    about = "The app stands in the public subnets; its database and cache in private ones, which have no way to the internet.",
    rows = { { { "Visitors", tone = "people" }, opt.activate_bastion and { "You", text("from %s", opt.bastion_ssh_from), tone = "people" } },
             { vpc, beside(opt, o.jobs, target) } },
    arrows = arrows,
  }
end

--- Gives both to the report.
---@param o table as for `after`
function M.write(o)
  recipe.drawing("Before: on Heroku", M.before(o.facts))
  recipe.drawing("After: on AWS", M.after(o))
end

return M
