--- Reads everything about the app that the move depends on, and says what it found. Changes nothing.
local aws = require "aws"
local checks = require "heroku_to_aws.checks"
local config = require "heroku_to_aws.config"
local dms_scope = require "heroku_to_aws.dms_scope"
local downtime = require "heroku_to_aws.downtime"
local errors = require "errors"
local fs = require "fs"
local log = require "log"
local mapping = require "heroku_to_aws.mapping"
local pg, redis = require "pg", require "redis"
local platform = require "heroku_to_aws.platform"
local procfile = require "procfile"
local queues = require "queues"
local recipe = require "recipe"
local secret = require "secret"
local sizing = require "heroku_to_aws.sizing"
local surroundings = require "heroku_to_aws.surroundings"

local M = {}

--- The app's Postgres as pg takes it. Its certificate is self-signed (Heroku's own advice is sslmode=require). The URL
--- is read anew each time: Heroku may rotate it at any moment.
function M.postgres_source(app) return { url = app.postgres.url, sslmode = "require" } end

--- The app's Redis, and only the one with the certificate that the audit saw.
---@param pin string?
function M.redis_source(app, pin) return { url = app.redis.url, pin = pin } end

--- The tag of the Elastic Beanstalk application, or of the ECS cluster, that says how many dynos ran.
M.DYNOS = "heroku:dynos"

--- How many dynos ran before a freeze that no journal here knows of, as that tag says.
local function tagged_dynos(name)
  local application = aws.elasticbeanstalk:describe_applications({ ApplicationNames = { name } }).Applications[1]
  local tags = application and aws.elasticbeanstalk:list_tags_for_resource({ ResourceArn = application.ApplicationArn }).ResourceTags
  for _, tag in ipairs(tags or {}) do
    if tag.Key == M.DYNOS then return mapping.quantities(tag.Value) end
  end
  local cluster = aws.ecs:describe_clusters({ clusters = { name }, include = { "TAGS" } }).clusters[1]
  for _, tag in ipairs(cluster and cluster.tags or {}) do
    if tag.key == M.DYNOS then return mapping.quantities(tag.value) end
  end
end

local function any_runs(quantities)
  for _, n in pairs(quantities) do
    if n > 0 then return true end
  end
  return false
end

--- The processes: what the source folder's files declare, or the slug; quantities as they were before any freeze.
local function formation(app, quantities, opt)
  local files, list = opt.source and procfile.read(opt.source) or { warnings = {} }, {}
  for _, w in ipairs(recipe.planning() and files.warnings or {}) do log.warn("%s:%d:%d: %s", w.file, w.line, w.column, w.message) end
  local runs = procfile.processes(files, { stack = app.stack, process_types = app.slug and app.slug.process_types })
  for _, p in ipairs(app.formation) do
    list[#list + 1] = { type = p.type, size = p.size, command = runs.commands[p.type] or p.command, quantity = quantities[p.type] or 0 }
  end
  table.sort(list, function(a, b) return a.type < b.type end)
  return list, runs.release
end

local function addons(app)
  local list = {}
  for i, a in ipairs(app.addons) do
    local service, store = a.addon_service.name, nil
    if service == "heroku-postgresql" then store = app.postgres ~= nil and app.postgres.addon.id == a.id end
    if service == "heroku-redis" then store = app.redis ~= nil and app.redis.addon.id == a.id end
    list[i] = { name = a.name, service = service, plan = a.plan.name, store = store, price = a.billed_price,
      app = a.app and a.app.name }
  end
  table.sort(list, function(a, b) return a.service .. a.name < b.service .. b.name end)
  return list
end

local function postgres(app, moved, opt)
  local source = M.postgres_source(app)
  local facts = { plan = app.postgres.plan, findings = {} }
  local db <close> = pg.open(source, { timeout = 60 })
  facts.version = tostring(db:info().version // 10000)
  facts.bytes = db:value "SELECT pg_database_size(current_database())"
  facts.tables = db:value [[SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_']]
  facts.connections_used = db:value "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
  facts.cache_hit = db:value(sizing.CACHE_HIT)
  if not moved then
    facts.findings = pg.check { from = source, app = app, mover = opt.data == "dms" and opt.dms_strategy or "copy" }
    facts.dms = opt.data == "dms" and dms_scope.audit(facts, source, opt) or nil
    facts.probe = downtime.probe_postgres(source)
  end
  return facts
end

local function redis_facts(app, moved)
  local url = app.redis.url
  local pin = secret.parse_url(url).scheme == "rediss" and redis.fingerprint(url) or nil
  local r <close> = redis.open(M.redis_source(app, pin))
  local info = r:info()
  return { plan = app.redis.plan, var = app.redis.config_var, pin = pin, keys = r:command "DBSIZE",
    bytes = math.tointeger(tonumber(info.used_memory)),
    version = info.valkey_version and "Valkey " .. info.valkey_version or "Redis " .. (info.redis_version or "?"), queues = queues.find(r),
    probe = not moved and downtime.probe_redis(M.redis_source(app, pin)) or nil }
end

--- All that the plan is made of. Values of config vars are not in it, only their names.
---@param app HerokuApp
---@param opt table
---@return table facts
function M.read(app, opt)
  if app.generation == "fir" then
    errors.usage("the app %s is of Heroku's Fir generation, whose apps are container images; this recipe moves Cedar apps", app.name)
  end
  local why = not opt.environment_name and checks.name(app.name)
  if why then errors.usage("the app's name %s is the name of all that is made, and %s. Choose one with --environment-name", app.name, why) end
  local quantities, moved = app:quantities()
  if not any_runs(quantities) then quantities = tagged_dynos(opt.environment_name or app.name) or quantities end
  local processes, release = formation(app, quantities, opt)
  if not opt.source and not app.slug then
    errors.usage("the app %s has no slug (stack %s): give its source folder with --source", app.name, app.stack)
  end
  local own_compose = opt.source and fs.exists(fs.join(opt.source, "docker-compose.yml"))
  return {
    moved = moved, quantities = quantities, formation = processes,
    release_command = not own_compose and release or nil, release_left = own_compose and release or nil,
    app = { name = app.name, stack = app.stack, region = app.region, release = app.slug and app.slug.release },
    addons = addons(app), dyno_sizes = app.client:list "/dyno-sizes",
    config = config.facts(app), platform = platform.find(app, opt), domains = app.domains,
    surroundings = surroundings.read(app, opt.source),
    postgres = app.postgres and postgres(app, moved, opt), redis = app.redis and redis_facts(app, moved),
  }
end

local BECOMES = { plain = "a plain property", secret = "a secret", addon = "a secret", database = "the new database's URL",
                  cache = "the new cache's URL", noise = "left behind" }

--- What becomes of the app, as a table: processes, stores, downtime, config vars.
local function becomes(facts, plan, opt, place)
  local rows = { { "what", "on Heroku", "on AWS" } }
  local function row(...) rows[#rows + 1] = { ... } end
  for _, e in ipairs(plan.environments) do
    for _, p in ipairs(e.processes) do
      row(p.type, ("%d x %s"):format(e.instances * p.replicas, p.size), place(e, p))
    end
  end
  if plan.postgres then
    local db = facts.postgres
    row("PostgreSQL " .. db.version, ("%s, %d tables, %.1f MB"):format(db.plan, db.tables, db.bytes / 1e6),
      ("%s, %d GB%s"):format(plan.postgres.class, plan.postgres.gigabytes, plan.postgres.multi_az and ", with a standby" or ""))
  end
  local dms = facts.postgres and facts.postgres.dms
  if dms then
    row("rows of PostgreSQL", "", ("AWS DMS, %s: %d tables%s"):format(opt.dms_strategy, #dms.tables, #dms.others > 0 and
      ("; %d by hkrun itself"):format(#dms.others) or ""))
  end
  if plan.cache then
    row(facts.redis.version, ("%s, %d keys"):format(facts.redis.plan, facts.redis.keys),
      ("Valkey on %s%s"):format(plan.cache.node_type, plan.cache.replicas > 0 and ", with a replica" or ""))
    for _, q in ipairs(facts.redis.queues) do
      if q.count > 0 then row(("%s queue %s"):format(q.kind, q.name), ("%d %s"):format(q.count, q.state), "the same") end
    end
  end
  local counts = { plain = 0, secret = 0, addon = 0, database = 0, cache = 0, noise = 0 }
  for _, class in pairs(plan.config) do counts[class] = counts[class] + 1 end
  if not facts.moved then row("downtime", "", downtime.words(downtime.of(facts), downtime.parse(opt.downtime_budget))) end
  row("config vars", #facts.config.names, ("%d plain, %d secret, %d of add-ons, %d replaced, %d left behind"):format(counts.plain, counts.secret,
    counts.addon, counts.database + counts.cache, counts.noise))
  return rows
end

--- Prints what was found and what it becomes; stops on what would make the move fail.
---@param facts table
---@param plan table of mapping.plan
---@param opt table
---@param place fun(environment: table, process: table): string where a process will run: of deploy.lua or fargate.lua
function M.report(facts, plan, opt, place)
  recipe.report("Audit of " .. facts.app.name, becomes(facts, plan, opt, place), { head = true })

  local rows = { { "size", "on Heroku", "like for like", "as measured", "why" } }
  for i, s in ipairs(plan.sizes) do rows[i + 1] = { s.what, s.plan, s.like, s.measured or "", s.reason } end
  recipe.report(("Sizes: the plan takes those %s"):format(opt.sizing == "measured" and "as measured" or "like for like"), rows, { head = true })

  rows = { { "add-on", "becomes", "note" } }
  for _, a in ipairs(plan.addons) do
    rows[#rows + 1] = { a.plan, a.becomes, a.note }
    if a.loud and recipe.planning() and not facts.moved then log.warn("%s: %s", a.plan, a.note) end
  end
  if #rows > 1 then recipe.report("Add-ons", rows, { head = true }) end

  rows = { { "config var", "becomes", "note" } }
  for _, name in ipairs(facts.config.names) do
    if plan.config_notes[name] then rows[#rows + 1] = { name, BECOMES[plan.config[name]], plan.config_notes[name] } end
  end
  if #rows > 1 then recipe.report("Config vars", rows, { head = true }) end

  rows = { { "beside the stores", "is", "note" } }
  table.move(facts.surroundings, 1, #facts.surroundings, 2, rows)
  if #rows > 1 then recipe.report("What leans on Heroku", rows, { head = true }) end

  rows = { { "severity", "finding", "what to do" } }
  for _, f in ipairs(facts.postgres and facts.postgres.findings or {}) do       -- the worst first
    if f.severity ~= "ok" then rows[#rows + 1] = { f.severity, f.message, f.remedy } end
  end
  if #rows > 1 then recipe.report("Findings in the database", rows, { head = true }) end
  local dms = facts.postgres and facts.postgres.dms
  if dms then dms_scope.report(dms, facts.postgres.findings) end
  for _, f in ipairs(facts.postgres and facts.postgres.findings or {}) do
    recipe.need(f.severity ~= "error", "the Heroku database cannot be copied: %s; %s", f.message, f.remedy)
  end
end

return M
