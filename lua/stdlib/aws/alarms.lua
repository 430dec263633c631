--- The alarms of a production system, told to one e-mail address. Which, and when they go off, is a table of yours:
--- recipes/heroku_to_aws/thresholds.lua is one, and says what its columns mean.
---
---     aws.alarms { "shop", email = "ops@example.com", thresholds = require "heroku_to_aws.thresholds", db = db, cache = cache }
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local task = require "task"
local text = require "text"

local declared = {
  { "name", "their common name", type = "string", required = true },
  { "thresholds", "when they go off: rows as in recipes/heroku_to_aws/thresholds.lua", type = "table", required = true },
  { "email", "who is told; must confirm with the link in a mail", type = "string" },
  { "topic", "of an earlier aws.alarms, whose people are told of these too", type = "any" },
  { "db", "of aws.postgres", type = "table" },
  { "replicas", "ids of read replicas of it", type = "list", default = {} },
  { "cache", "of aws.cache", type = "table" },
  { "environment", "of aws.environment", type = "table" },
  { "balancer", "load balancer, as CloudWatch names it: app/NAME/ID, or its ARN", type = "any" },
  { "targets", "target group behind the balancer, as CloudWatch names it: targetgroup/NAME/ID, or its ARN", type = "any" },
  { "services", "of ECS: { { cluster =, name =, count = } }; count: how many tasks are to run", type = "list", default = {} },
  { "queues", "names of SQS queues", type = "list", default = {} },
  { "jobs", "names of BullMQ's and Sidekiq's queues, whose ages something publishes", type = "list", default = {} },
  { "tags", "tags of all of them", type = "table" },
}

local NAMESPACE = { db = "AWS/RDS", replica = "AWS/RDS", cache = "AWS/ElastiCache", environment = "AWS/ElasticBeanstalk", machines = "AWS/EC2",
                    balancer = "AWS/ApplicationELB", targets = "AWS/ApplicationELB", service = "AWS/ECS", queue = "AWS/SQS", jobs = "Hkrun/Queues" }

local ROW = { "name", "metric", "statistic", "unit", "period", "periods", "missing", "why" }

--- "app/NAME/ID" of a load balancer's ARN, "targetgroup/NAME/ID" of a target group's.
local function suffix_of(arn)
  return recipe.is_unknown(arn) and text("%s", arn) or arn:match "loadbalancer/(.*)$" or arn:match "(targetgroup/.*)$" or arn
end

--- The Auto Scaling group and the load balancer behind an environment, as far as they are there.
local function resources_of(e)
  if recipe.is_unknown(e.id) then return { machines = e.id, balancer = e.load_balanced and e.id or nil } end
  local r = aws.elasticbeanstalk:describe_environment_resources({ EnvironmentName = e.name }).EnvironmentResources
  local group, balancer = (r.AutoScalingGroups or {})[1], (r.LoadBalancers or {})[1]
  return { machines = group and group.Name, balancer = balancer and balancer.Name:match "loadbalancer/(app/.*)$" }
end

--- The things that are watched, by kind: each with what stands at the end of its alarms' names, and its dimensions.
local function watched(o)
  local things = {}
  local function add(kind, suffix, dimensions, thing)
    things[kind] = things[kind] or {}
    table.insert(things[kind], { suffix = suffix, dimensions = dimensions, thing = thing })
  end
  if o.db then add("db", "", { DBInstanceIdentifier = o.db.id }, o.db) end
  for _, id in ipairs(o.replicas) do add("replica", "-" .. id, { DBInstanceIdentifier = id }) end
  for _, node in ipairs(o.cache and o.cache.nodes or {}) do -- ElastiCache has metrics of nodes, and none of groups
    add("cache", node:match "%-%d+$" or "-" .. node, { CacheClusterId = node }, o.cache)
  end
  local e = o.environment
  if e then
    local suffix = e.name == o.name and "" or "-" .. e.name
    local behind = resources_of(e)
    add("environment", suffix, { EnvironmentName = e.name }, e)
    if behind.machines then add("machines", suffix, { AutoScalingGroupName = behind.machines }, e) end
    if behind.balancer then add("balancer", suffix, { LoadBalancer = behind.balancer }, e) end
  end
  local balancer, targets = o.balancer and suffix_of(noun.id(o.balancer)), o.targets and suffix_of(noun.id(o.targets))
  if balancer then add("balancer", "", { LoadBalancer = balancer }) end
  if targets then add("targets", "", { LoadBalancer = balancer, TargetGroup = targets }) end
  for _, s in ipairs(o.services) do add("service", "-" .. s.name, { ClusterName = s.cluster, ServiceName = s.name }, s) end
  for _, name in ipairs(o.queues) do add("queue", "-" .. name, { QueueName = name }) end
  for _, name in ipairs(o.jobs) do add("jobs", "-" .. name, { Queue = name }) end
  return things
end

--- A limit that the row computes from the thing; unknown while the thing is.
local function limit(row, thing)
  local value = row.over or row.under
  if type(value) ~= "function" then return value end
  return value(thing)
end

local function check(row)
  row.name = row[1] or row.name
  for _, field in ipairs(ROW) do
    if row[field] == nil then errors.usage("aws.alarms: the threshold %s has no %s", tostring(row.name), field) end
  end
  if not NAMESPACE[row.of] then errors.usage("aws.alarms: the threshold %s is of nothing that is watched: %s", row.name, tostring(row.of)) end
  if (row.over == nil) == (row.under == nil) then errors.usage("aws.alarms: the threshold %s needs either over or under", row.name) end
end

--- Makes or finds the topic, its subscription and the alarms of what is given.
---@param o table
---@return { topic: string, names: string[] }
return function(o)
  o = noun.options(o, declared, "aws.alarms")
  if o.targets and not o.balancer then errors.usage "aws.alarms: targets are watched with the balancer before them, which is missing" end
  if o.topic and o.email then errors.usage "aws.alarms takes either a topic or an email: who is told is the topic's" end
  for _, row in ipairs(o.thresholds) do check(row) end
  local topic, list, things = o.topic or aws.topic { o.name .. "-alarms", tags = o.tags }, {}, watched(o)
  for _, row in ipairs(o.thresholds) do
    for _, w in ipairs(things[row.of] or {}) do
      if not (row.replicas and #w.thing.nodes < 2) then list[#list + 1] = { row = row, watched = w } end
    end
  end
  local made = task.all {
    subscription = o.email and function()
      return aws.subscription { o.name .. "-alarms-email", topic = topic, protocol = "email", endpoint = o.email }
    end,
    names = function()
      return task.map(list, function(a)
        local row, w = a.row, a.watched
        return aws.alarm({
          ("%s-%s%s"):format(o.name, row.name, w.suffix), namespace = NAMESPACE[row.of], metric = row.metric, statistic = row.statistic,
          threshold = limit(row, w.thing), period = row.period, periods = row.periods, missing = row.missing,
          comparison = row.under and "LessThanThreshold" or "GreaterThanThreshold", description = ("%s (in %s)"):format(row.why, row.unit),
          dimensions = w.dimensions, actions = { topic }, ok_actions = { topic }, silence_actions = row.silence and { topic } or nil, tags = o.tags,
        }).name
      end)
    end,
  }
  return { topic = noun.id(topic), names = made.names, subscription = made.subscription }
end
