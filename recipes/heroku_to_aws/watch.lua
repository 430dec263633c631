--- What watches the app on AWS: alarms by e-mail (thresholds.lua says when), and one dashboard. Log groups are made with
--- the processes that write to them, and keep their lines for --log-days.
local ages = require "heroku_to_aws.ages"
local aws = require "aws"
local prices = require "heroku_to_aws.prices"
local recipe = require "recipe"
local thresholds = require "heroku_to_aws.thresholds"

local M = {}

--- The alarms of the stores, and who is told of all alarms.
---@param plan table
---@param new { db: table?, cache: table? }
---@param opt table
---@return table watch of aws.alarms
function M.stores(plan, new, opt)
  return aws.alarms { plan.name, email = opt.notification_email, thresholds = thresholds, db = new.db, cache = new.cache }
end

-- The dashboard: rows of widgets, two beside each other. Edit it. -----------------

local function graph(title, metrics, more)
  local properties = { region = aws.cloudwatch.region, title = title, metrics = metrics, view = "timeSeries" }
  for k, v in pairs(more or {}) do properties[k] = v end
  return { type = "metric", width = 12, height = 6, properties = properties }
end

local function heading(words) return { type = "text", width = 24, height = 1, properties = { markdown = "## " .. words } } end

--- What is drawn of an app on Fargate: its services, and the load balancer before web.
local function fargate_widgets(add, app)
  local function of_services(metric, stat)
    local list = {}
    for i, s in ipairs(app.services) do list[i] = { "AWS/ECS", metric, "ClusterName", app.cluster, "ServiceName", s.name, { stat = stat } } end
    return list
  end
  local function of_balancer(metric, stat) return { "AWS/ApplicationELB", metric, "LoadBalancer", app.balancer.suffix, { stat = stat } } end
  local function of_targets(metric)
    return { "AWS/ApplicationELB", metric, "LoadBalancer", app.balancer.suffix, "TargetGroup", app.targets.suffix, { stat = "Maximum" } }
  end
  add(graph("Tasks that run", of_services("CPUUtilization", "SampleCount"), { period = 60 }))
  add(graph("CPU of the tasks (%)", of_services("CPUUtilization", "Average")))
  add(graph("Memory of the tasks (%)", of_services("MemoryUtilization", "Maximum")))
  if app.balancer then
    add(graph("Tasks that the balancer finds well, and ill", { of_targets "HealthyHostCount", of_targets "UnHealthyHostCount" },
      { period = 60 }))
    add(graph("Answers with errors (5xx)", { of_balancer("HTTPCode_Target_5XX_Count", "Sum"), of_balancer("HTTPCode_ELB_5XX_Count", "Sum") },
      { period = 60 }))
    add(graph("Requests, and seconds until the answer", { of_balancer("RequestCount", "Sum"), of_balancer("TargetResponseTime", "p95") }))
  end
end

local function beanstalk_widgets(add, environments)
  local health, errors_of = {}, {}
  for _, e in ipairs(environments) do
    health[#health + 1] = { "AWS/ElasticBeanstalk", "EnvironmentHealth", "EnvironmentName", e.name, { stat = "Maximum" } }
    errors_of[#errors_of + 1] = { "AWS/ElasticBeanstalk", "ApplicationRequests5xx", "EnvironmentName", e.name, { stat = "Sum" } }
  end
  add(graph("Health (0 ok, 15 warning, 20 degraded, 25 severe)", health, { period = 60 }))
  add(graph("Answers with errors (5xx)", errors_of, { period = 60 }))
end

local function db_widgets(add, db)
  local function of(metric, stat) return { "AWS/RDS", metric, "DBInstanceIdentifier", db.id, { stat = stat } } end
  add(heading "Database")
  add(graph("CPU of the database (%)", { of("CPUUtilization", "Average") }))
  add(graph("Connections", { of("DatabaseConnections", "Maximum") }))
  add(graph("Free disk (bytes)", { of("FreeStorageSpace", "Minimum") }))
  add(graph("Free memory (bytes)", { of("FreeableMemory", "Average") }))
end

local function cache_widgets(add, cache)
  local function of(metric, stat)
    local list = {}
    for i, node in ipairs(cache.nodes) do list[i] = { "AWS/ElastiCache", metric, "CacheClusterId", node, { stat = stat } } end
    return list
  end
  add(heading "Cache and queues")
  add(graph("CPU of the cache (%)", of("EngineCPUUtilization", "Average")))
  add(graph("Memory of the cache (%)", of("DatabaseMemoryUsagePercentage", "Maximum")))
  add(graph("Keys thrown away", of("Evictions", "Sum")))
  add(graph("Oldest job (seconds), with --queue-ages",
    { { { expression = "SEARCH('{Hkrun/Queues,Queue} OldestJobAge', 'Maximum', 60)", id = "q1" } } }))
end

local function log_widget(add, environments, fargate)
  local prefixes = {}
  if fargate then prefixes[1] = ("'/ecs/%s/'"):format(fargate.name)
  else
    for _, e in ipairs(environments) do prefixes[#prefixes + 1] = ("'/aws/elasticbeanstalk/%s/'"):format(e.name) end
  end
  add(heading "Logs")
  add { type = "log", width = 24, height = 8, properties = { region = aws.cloudwatch.region, title = "Last lines of the app", view = "table",
        query = ("SOURCE logGroups(namePrefix: [%s]) | fields @timestamp, @logStream, @message | sort @timestamp desc | limit 50")
          :format(table.concat(prefixes, ", ")) } }
end

--- The body of the dashboard.
---@param plan table
---@param o { new: table, alarms: string[], environments: table<string, table> }
---@return table body
function M.body(plan, o)
  local widgets, x, y, tallest = {}, 0, 0, 0
  local function add(widget)
    if x + widget.width > 24 then x, y, tallest = 0, y + tallest, 0 end
    widget.x, widget.y = x, y
    x, tallest = x + widget.width, math.max(tallest, widget.height)
    widgets[#widgets + 1] = widget
  end
  if #o.alarms > 0 then
    add { type = "alarm", width = 24, height = 3, properties = { title = "Alarms", alarms = o.alarms } }
  end
  local app = o.environments[plan.environments[1].name]
  local fargate = app.services and app or nil
  add(heading "App")
  if fargate then fargate_widgets(add, fargate) else beanstalk_widgets(add, plan.environments) end
  if o.new.db then db_widgets(add, o.new.db) end
  if o.new.cache then cache_widgets(add, o.new.cache) end
  log_widget(add, plan.environments, fargate)
  return { widgets = widgets }
end

--- What of an app's place is watched: an environment of Elastic Beanstalk, or services of ECS behind a load balancer.
local function of_app(e)
  if not e.services then return { environment = e } end
  local services = {}
  for i, s in ipairs(e.services) do services[i] = { cluster = e.cluster, name = s.name, count = s.count } end
  return { services = services, balancer = e.balancer, targets = e.targets }
end

--- The alarms of the app, and the dashboard of everything.
---@param plan table
---@param o { watch: table, new: table, environments: table<string, table>, facts: table, opt: table }
function M.app(plan, o)
  local names = table.move(o.watch.names, 1, #o.watch.names, 1, {})
  for _, e in ipairs(plan.environments) do
    local made = o.environments[e.name] and of_app(o.environments[e.name])
    if made then
      made.name, made.topic, made.thresholds = plan.name, o.watch.topic, thresholds
      local more = aws.alarms(made).names
      table.move(more, 1, #more, #names + 1, names)
    end
  end
  local queues = ages.queues(o.facts, o.opt)
  if #queues > 0 then
    local more = aws.alarms({ plan.name, topic = o.watch.topic, thresholds = thresholds, jobs = queues }).names
    table.move(more, 1, #more, #names + 1, names)
  end
  table.sort(names)
  local arns, topic = {}, o.watch.topic
  for i, name in ipairs(recipe.is_unknown(topic) and {} or names) do
    arns[i] = ("%s:alarm:%s"):format(topic:gsub(":sns:", ":cloudwatch:"):gsub(":[^:]*$", ""), name)
  end
  aws.dashboard { plan.name, body = recipe.is_unknown(topic) and topic
    or M.body(plan, { new = o.new, alarms = arns, environments = o.environments }) }
end

--- What goes on costing though nobody may think of it; cost.lua has all of it. There is no NAT gateway, which would be the
--- dearest: the app's machines have public addresses, and the stores need no way out.
---@param opt table
---@return string[][] rows for the report
function M.costs(opt)
  if not opt.activate_bastion then return {} end
  local price = prices.of(opt.region or prices.regions[1])
  local machine, address = price("ec2", "t3.micro"), price("ipv4", "address")
  local dollars = machine and address and (machine + address) * prices.hours / 1e6
  return { { "bastion", dollars and ("about $%.0f a month"):format(dollars) or "by the hour",
    "a t3.micro with its public address, also while nobody uses it: --activate-bastion=false takes it away" } }
end

--- What is left for a person: nobody is told of an alarm before the address is confirmed; queues have no metric by themselves.
---@param watch table? of M.stores
---@param opt table
---@param facts table of audit.read
---@return string[][] rows for the report
function M.left(watch, opt, facts)
  local rows = M.costs(opt)
  local function left(...) rows[#rows + 1] = { ... } end
  if not watch then
    left("alarms", "not made", "--create-alarm makes them")
    return rows
  end
  if facts.redis and not opt.queue_ages then
    left("age of jobs", "not measured", "no metric of AWS's knows BullMQ's and Sidekiq's queues: --queue-ages measures it every minute")
  elseif opt.queue_ages and #ages.queues(facts, opt) == 0 then
    left("age of jobs", "not measured", "Heroku's Redis held no queue of BullMQ's or Sidekiq's when it was looked at")
  end
  if not opt.notification_email then left("alarms", "nobody is told", "give an address with --notification-email") end
  for _, address in ipairs(opt.notification_email and aws.confirmations(watch.topic):pending() or {}) do
    if address == opt.notification_email then
      left(address, "not confirmed", "no alarm reaches it before someone follows the link in the mail of AWS Notifications; another mail: "
        .. ("hkrun -e 'aws.confirmations(%q):resend(%q)'"):format(watch.topic, address))
    end
  end
  return rows
end

return M
