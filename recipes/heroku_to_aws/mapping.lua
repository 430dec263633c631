--- From what runs on Heroku to what shall run on AWS. The rules are short; what becomes what stands in tables.lua and its
--- folder, what was measured is in sizing.lua. docs/mapping.md says it in words.
local errors = require "errors"
local from_audit = require "heroku_to_aws.from_audit"
local sizing = require "heroku_to_aws.sizing"
local tables = require "heroku_to_aws.tables"

local M = {}

--- A plan's name without its service, in small letters: "heroku-postgresql:premium-2" -> "premium-2".
local function short(plan) return (plan:match ":(.+)$" or plan):lower() end

--- The level of a plan and its tier: "premium-l-9" -> that of "l-9", "premium"; "essential-0" has no tier.
---@param plan string
---@param kind { levels: table, tiers: table }
local function level_of(plan, kind)
  local name = short(plan)
  if kind.levels[name] then return kind.levels[name] end
  local tier, level = name:match "^(%a+)%-(.+)$"
  if tier and kind.tiers[tier] then return kind.levels[level], tier end
end

local function unknown_plan(what, plan, flag)
  errors.usage("the %s plan %s is not in the mapping: choose with %s", what, plan, flag)
end

--- RDS class, storage and standby for a Heroku Postgres plan.
---@param plan string "heroku-postgresql:premium-2"
---@param bytes? integer size of the data: storage is at least twice that
---@param class? string overrides the table
---@return { class: string, gigabytes: integer, multi_az: boolean }
function M.postgres(plan, bytes, class)
  local level, tier = level_of(plan, tables.postgres)
  if not level and not class then unknown_plan("Heroku Postgres", plan, "--db-instance-class") end
  level = level or {}
  return {
    class = class or level.class,
    gigabytes = math.max(level.gigabytes or 0, sizing.storage(bytes)),
    multi_az = tier ~= nil and tables.postgres.tiers[tier].standby,
  }
end

--- ElastiCache node and replicas for a Heroku Key-Value Store plan.
---@param plan string "heroku-redis:premium-0"
---@param node_type? string overrides the table
---@return { node_type: string, replicas: integer }
function M.cache(plan, node_type)
  local level, tier = level_of(plan, tables.cache)
  if not level and not node_type then unknown_plan("Heroku Key-Value Store", plan, "--cache-node-type") end
  return { node_type = node_type or level.node, replicas = tier and tables.cache.tiers[tier].replicas or 0 }
end

--- The smallest machine that holds so many megabytes of dynos.
---@return string instance_type
function M.instance(megabytes)
  for _, machine in ipairs(tables.instances) do
    if machine.memory - tables.instance_overhead >= megabytes then return machine.type end
  end
  errors.usage("no machine in the mapping holds %d MB of dynos; choose one with --instance-type", megabytes)
end

--- The memory of a dyno size.
---@param size string? "Standard-1X"
---@return integer? megabytes
function M.memory(size)
  local dyno = tables.dynos[(size or "standard-1x"):lower()]
  return dyno and dyno.memory
end

local function memory_of(process)
  return M.memory(process.size) or errors.usage("the dyno size %s of the process %s is not in the mapping", process.size, process.type)
end

--- One environment: what runs in it, on which machine, on how many.
local function environment(name, processes, o)
  local memory, measured, known = 0, 0, true
  for _, p in ipairs(processes) do
    local each, times = memory_of(p), math.max(1, p.replicas)
    memory, known = memory + each * times, known and p.memory_used ~= nil
    measured = measured + (sizing.dyno(p) or each) * times
  end
  local like = M.instance(memory)
  local fitting = known and M.instance(measured) or nil
  return { name = name, processes = processes, instance_type = o.instance_type or o.sizing == "measured" and fitting or like,
    like = like, fitting = fitting, measured = known and measured or nil, instances = o.instances or 1,
    load_balanced = o.load_balanced or false, worker = o.worker, memory = memory }
end

--- How many machines a process of several dynos gets: as few as can stand in for each other, all with as many dynos.
local function machines_for(quantity)
  for n = 2, quantity do
    if quantity % n == 0 then return n end
  end
end

local LONGEST_NAME = 40                 -- characters of an environment's name

--- What the environment of a process is called. Elastic Beanstalk takes 40 letters, digits and dashes, no dash at the end, and
--- each name once, in whatever case, for it becomes part of an address.
---@param name string of the app
---@param type string of the process
---@param taken table<string, any> the names of other environments, in small letters; the new one is added
---@return string
function M.unused(name, type, taken)
  local wanted, n, found = ("%s-%s"):format(name, (type:gsub("[^%w]", "-"))), 0
  repeat
    n = n + 1
    local number = n > 1 and "-" .. n or ""
    found = wanted:sub(1, LONGEST_NAME - #number):gsub("%-+$", "") .. number
  until not taken[found:lower()]
  taken[found:lower()] = true
  return found
end

--- The dynos that run: web, what runs once, and what runs several times, each in the order of their names.
local function sorted_out(formation)
  local web, once, several = nil, {}, {}
  for _, p in ipairs(formation) do
    local process = { type = p.type, command = p.command, size = p.size, replicas = p.quantity, memory_used = p.memory_used }
    if p.quantity > 0 and p.type == "web" then web = process
    elseif p.quantity > 0 and p.type ~= "release" then table.insert(p.quantity == 1 and once or several, process) end
  end
  local function by_type(a, b) return a.type < b.type end
  table.sort(once, by_type)
  table.sort(several, by_type)
  return web, once, several
end

--- The environments of an app, that of web first. Several web dynos: a load balancer over as many machines. Another process of
--- several dynos never stands on a single machine: it has an environment of its own, whose machines share its dynos evenly. What
--- runs once, like a clock, stands on one machine: with web, if there is just one of that.
---@param name string
---@param formation { type: string, quantity: integer, size: string, command: string, memory_used: number? }[]
---@param instance_type? string overrides the choice
---@param how? "plan"|"measured"
---@return table[] environments { name, processes = { { type, command, replicas } }, instance_type, instances, load_balanced, worker }:
--- each of its machines has the replicas
function M.environments(name, formation, instance_type, how)
  local web, once, several = sorted_out(formation)
  local list, taken, names = {}, { [name:lower()] = true }, {}
  local function add(of, processes, o)
    o.instance_type, o.sizing = instance_type, how
    list[#list + 1] = environment(of, processes, o)
  end
  for i, p in ipairs(several) do names[i] = M.unused(name, p.type, taken) end
  local is_alone = not web and #several == 0
  if web and web.replicas > 1 then
    local instances = web.replicas
    web.replicas = 1
    add(name, { web }, { instances = instances, load_balanced = true })
  elseif web then
    table.insert(once, 1, web)
    is_alone = true
  end
  if #once > 0 then
    local beside = taken[(name .. "-worker"):lower()] and "once" or "worker"
    add(is_alone and name or M.unused(name, beside, taken), once, {})
  end
  for i, p in ipairs(several) do
    local instances = machines_for(p.replicas)
    p.replicas = p.replicas // instances
    add(names[i], { p }, { instances = instances, worker = true })
  end
  if #list == 0 then errors.usage("the app %s runs no dyno: scale it up on Heroku first", name) end
  return list
end

local LONGEST = 256                     -- characters of a tag's value

--- How many dynos of each type run, in words that a tag on AWS keeps: once Heroku is frozen only the journal knows it, and
--- a journal can be lost.
---@param formation { type: string, quantity: integer }[]
---@return string? dynos "web=1 worker=2"; nil if a tag cannot hold it
function M.dynos(formation)
  local words = {}
  for _, p in ipairs(formation) do
    if p.quantity > 0 then words[#words + 1] = ("%s=%d"):format(p.type, p.quantity) end
  end
  local dynos = table.concat(words, " ")
  return #dynos <= LONGEST and dynos or nil
end

--- The way back.
---@param dynos string
---@return table<string, integer> quantities
function M.quantities(dynos)
  local quantities = {}
  for name, n in dynos:gmatch "(%S+)=(%d+)" do quantities[name] = math.tointeger(n) end
  return quantities
end

--- What becomes of each add-on. An unknown one is deferred, with the reason; its config vars go along.
---@param addons { service: string, plan: string, name: string }[]
---@return { service: string, plan: string, becomes: "moved"|"carried"|"deferred", note: string, loud: boolean }[]
function M.addons(addons)
  local list, stores = {}, {}
  for i, addon in ipairs(addons) do
    local rule = tables.addons[addon.service] or { becomes = "deferred",
      note = "this recipe does not know it: its config vars go along; find out whether it works outside of Heroku" }
    local becomes, note = rule.becomes, rule.note
    local kafka = addon.service == "heroku-kafka" and tables.kafka[short(addon.plan)]
    if kafka then note = ("%s: its topics are not moved by this recipe, for its consumers and their offsets must change over one by one")
      :format(kafka.instead) end
    if becomes == "moved" and addon.store == false then
      becomes, note = "deferred", "only the store behind DATABASE_URL or REDIS_URL is moved; this one stays where it is"
      stores[#stores + 1] = addon.name
    end
    list[i] = { name = addon.name, service = addon.service, plan = addon.plan, becomes = becomes, note = note,
      loud = rule.loud or #stores > 0 and becomes == "deferred" and rule.becomes == "moved" or false }
  end
  return list
end

local function rule_for(name)
  for _, rule in ipairs(tables.config) do
    if name:upper():find(rule[1]) then return rule[2], rule[3] end
  end
  return "plain"
end

--- What becomes of each config var. "database" and "cache" get the new store's URL, "noise" stays behind, "plain" becomes an
--- environment property, "secret" and "addon" (owned by an add-on that goes on) stand in Secrets Manager.
---@param facts { names: string[], postgres: table<string, true>, redis: table<string, true>, addons: table<string, string>?,
--- passwords: table<string, true>?, sizes: table<string, integer>?, stale: table<string, string>? } postgres, redis: the vars
--- that hold the URLs of the stores; addons: the service that owns a var; passwords: those whose value is a URL with one;
--- sizes: bytes of the values; stale: what a value points at on Heroku
---@return table<string, "database"|"cache"|"secret"|"addon"|"plain"|"noise"> class
---@return table<string, string> notes the reason, where somebody should know it
function M.config(facts)
  local class, notes, used = {}, {}, 0
  for _, name in ipairs(facts.names) do
    local by_name, why = rule_for(name)
    local service = (facts.addons or {})[name]
    if facts.postgres[name] then class[name] = "database"
    elseif facts.redis[name] then class[name] = "cache"
    elseif service then
      class[name] = "addon"
      notes[name] = ("it belongs to the add-on %s, and holds for as long as that lives"):format(service)
    elseif by_name == "plain" and (facts.passwords or {})[name] then
      class[name], notes[name] = "secret", "its value is a URL with a password"
    else
      class[name], notes[name] = by_name, why
    end
    notes[name] = (facts.stale or {})[name] or notes[name]
    if class[name] == "plain" then
      local size = #name + 1 + ((facts.sizes or {})[name] or 0)
      if used + size > tables.properties_limit then
        class[name] = "secret"
        notes[name] = notes[name]
          or ("all plain ones together may have %d bytes, so this one stands with the secrets"):format(tables.properties_limit)
      else used = used + size end
    end
  end
  return class, notes
end

--- What was measured, as the plan's own class or node: a store gets it where `sizing` says so.
local function fit(found, chosen, key, propose, override, how)
  local proposal, reason = propose(found, chosen[key])
  local row = { like = chosen[key], measured = proposal, reason = reason }
  if how == "measured" and proposal and not override then chosen[key] = proposal end
  row.chosen = chosen[key]
  return row
end

--- Each size twice: by the plan's name, and by what was measured.
---@return { what: string, plan: string, like: string, measured: string?, reason: string, chosen: string }[]
local function sizes(facts, plan, opt)
  local rows = {}
  local function add(what, of, row)
    row.what, row.plan = what, of
    rows[#rows + 1] = row
  end
  for _, e in ipairs(plan.environments) do
    add(e.name, ("%d MB of dynos"):format(e.memory), { like = e.like, measured = e.fitting, chosen = e.instance_type,
      reason = e.measured and ("its processes have used %d MB at most, with a quarter on top"):format(e.measured)
        or "the memory that its processes use is not known" })
  end
  if plan.postgres then
    add("PostgreSQL", facts.postgres.plan, fit(facts.postgres, plan.postgres, "class", sizing.postgres, opt.db_instance_class, opt.sizing))
  end
  if plan.cache then
    add("Redis", facts.redis.plan, fit(facts.redis, plan.cache, "node_type", sizing.cache, opt.cache_node_type, opt.sizing))
  end
  return rows
end

--- The whole plan. Change what you like in the recipe, after this.
---@param facts table of heroku_to_aws.audit, or an app of recipes/audit.lua
---@param opt table the recipe's options
---@return table plan
function M.plan(facts, opt)
  if not facts.app then facts = from_audit(facts) end
  local name = opt.environment_name or facts.app.name
  local environments = M.environments(name, facts.formation, opt.instance_type, opt.sizing)
  environments[1].release = facts.release_command
  local config, config_notes = M.config(facts.config)
  local plan = {
    name = name, dynos = M.dynos(facts.formation), environments = environments,
    postgres = facts.postgres and M.postgres(facts.postgres.plan, facts.postgres.bytes, opt.db_instance_class),
    postgres_version = opt.postgres_version or facts.postgres and facts.postgres.version,
    cache = facts.redis and M.cache(facts.redis.plan, opt.cache_node_type),
    addons = M.addons(facts.addons),
    config = config, config_notes = config_notes, platform = facts.platform,
  }
  plan.sizes = sizes(facts, plan, opt)
  return plan
end

return M
