--- The alarms that a small production system needs, told to one e-mail address. The table below is what you edit.
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"
local task = require "task"

local GB = 1024 * 1024 * 1024

--- Each: of what, its name, metric, statistic, when it goes off, for how long, and what it means.
--- period in seconds; periods in a row; comparison is > unless `below`.
local ALARMS = {
  db = {
    { "db-cpu", "CPUUtilization", "Average", 80, 300, 3, "the database computes all the time: look at slow queries, or take a larger class" },
    { "db-storage", "FreeStorageSpace", "Minimum", 5 * GB, 300, 1, "the disk is nearly full: raise gigabytes", below = true },
    { "db-memory", "FreeableMemory", "Average", 128 * 1024 * 1024, 300, 3, "the database is short of memory", below = true },
    { "db-connections", "DatabaseConnections", "Maximum", 80, 300, 2, "many connections are open: look for leaks, or pool them" },
  },
  cache = {
    { "cache-cpu", "EngineCPUUtilization", "Average", 80, 300, 3, "the cache's one thread is busy: look for slow commands" },
    { "cache-memory", "DatabaseMemoryUsagePercentage", "Maximum", 80, 300, 1, "with noeviction a full cache refuses writes: take a larger node" },
    { "cache-evictions", "Evictions", "Sum", 0, 300, 1, "keys were thrown away: jobs may be lost" },
  },
  environment = {
    { "app-health", "EnvironmentHealth", "Maximum", 15, 60, 5, "Beanstalk calls the environment degraded or worse" },
    { "app-5xx", "ApplicationRequests5xx", "Sum", 10, 60, 5, "the app answers with errors" },
  },
}

local NAMESPACE = { db = "AWS/RDS", cache = "AWS/ElastiCache", environment = "AWS/ElasticBeanstalk" }

local declared = {
  { "name", "their common name", type = "string", required = true },
  { "email", "who is told; must confirm with the link in a mail", type = "string" },
  { "topic", "of an earlier aws.alarms, whose people are told of these too", type = "any" },
  { "db", "of aws.postgres", type = "table" },
  { "cache", "of aws.cache", type = "table" },
  { "environment", "of aws.environment", type = "table" },
  { "tags", "tags of all of them", type = "table" },
}

--- What an alarm watches: one thing, or each node of a cache, because ElastiCache has metrics of nodes and none of groups
--- (Amazon ElastiCache User Guide, "Metrics for Valkey and Redis OSS": dimension CacheClusterId).
---@return { suffix: string, dimensions: table<string, string> }[]
local function watched(what, thing)
  if what == "db" then return { { suffix = "", dimensions = { DBInstanceIdentifier = thing.id } } } end
  if what == "environment" then return { { suffix = "", dimensions = { EnvironmentName = thing.name } } } end
  local list = {}
  for i, node in ipairs(thing.nodes) do
    list[i] = { suffix = node:match "%-%d+$" or "-" .. node, dimensions = { CacheClusterId = node } }
  end
  return list
end

--- Makes or finds the topic, its subscription and the alarms of what is given.
---@param o table
---@return { topic: string, names: string[] }
return function(o)
  o = noun.options(o, declared, "aws.alarms")
  if o.topic and o.email then errors.usage "aws.alarms takes either a topic or an email: who is told is the topic's" end
  local topic, list = o.topic or aws.topic { o.name .. "-alarms", tags = o.tags }, {}
  for _, what in ipairs { "db", "cache", "environment" } do
    for _, of in ipairs(o[what] and watched(what, o[what]) or {}) do
      for _, a in ipairs(ALARMS[what]) do list[#list + 1] = { what = what, of = of, below = a.below, table.unpack(a) } end
    end
  end
  local made = task.all {
    subscription = o.email and function()
      return aws.subscription { o.name .. "-alarms-email", topic = topic, protocol = "email", endpoint = o.email }
    end,
    names = function()
      return task.map(list, function(a)
        return aws.alarm({
          ("%s-%s%s"):format(o.name, a[1], a.of.suffix), namespace = NAMESPACE[a.what], metric = a[2], statistic = a[3], threshold = a[4],
          period = a[5], periods = a[6], comparison = a.below and "LessThanThreshold" or "GreaterThanThreshold", description = a[7],
          dimensions = a.of.dimensions, actions = { topic }, ok_actions = { topic }, tags = o.tags,
        }).name
      end)
    end,
  }
  return { topic = noun.id(topic), names = made.names }
end
