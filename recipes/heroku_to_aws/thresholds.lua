--- When somebody is told. Edit it: each row is an alarm for each thing of its kind, and a row that you take out is one less.
---
--- of: db (RDS), replica (a read replica of it), cache (each node), environment (Elastic Beanstalk), machines (its Auto
--- Scaling group), balancer (its load balancer), targets (the target group behind one), service (ECS), queue (SQS), jobs
--- (BullMQ and Sidekiq, named in `jobs` of aws.alarms: AWS knows no such queues, --queue-ages or aws.queue_ages publishes the
--- metric).
--- over, under: the value that it goes off beyond, in `unit`; a function is given the thing. `periods` in a row, of
--- `period` seconds. missing: what a period without data counts as: "missing" (the alarm says that it does not know),
--- "notBreaching" (metrics that are published only when something happens), "breaching", "ignore". silence: somebody is
--- told, too, when a metric that was there ends.
---
--- What the metrics mean: Amazon RDS User Guide, "CloudWatch metrics for Amazon RDS"; ElastiCache User Guide, "Metrics for
--- Valkey and Redis OSS" and "Which metrics should I monitor?"; Elastic Beanstalk Developer Guide, "Enhanced health
--- metrics"; Elastic Load Balancing, "CloudWatch metrics for your Application Load Balancer"; Amazon SQS Developer Guide,
--- "Available CloudWatch metrics". Read in June 2026. The values are experience where no source stands beside them.
local GB = 1 << 30

local SIZES = { micro = 1, small = 2, medium = 4, large = 8, xlarge = 16 }

--- Memory of an RDS class, in bytes: of "db.r7g.2xlarge" 64 GB (aws.amazon.com/rds/instance-types, June 2026).
local function memory(class)
  local family, times, size = class:match "^db%.(%a)%w*%.(%d*)(%a+)$"
  local gigabytes = SIZES[size] and SIZES[size] * (tonumber(times) or 1) or 1
  return math.tointeger(gigabytes * (family == "r" and SIZES[size] and SIZES[size] >= 8 and 2 or 1) * GB)
end

--- What RDS sets max_connections to by itself: LEAST(DBInstanceClassMemory / 9531392, 5000) (RDS User Guide, "Quotas").
local function connections(class) return math.min(memory(class) // 9531392, 5000) end

return {
  { "db-cpu", of = "db", metric = "CPUUtilization", statistic = "Average", over = 80, unit = "percent", period = 300, periods = 3,
    missing = "missing", why = "the database computes all the time: look at slow queries, or take a larger class" },
  { "db-memory", of = "db", metric = "FreeableMemory", statistic = "Average", under = function(db) return memory(db.class) // 10 end,
    unit = "bytes", period = 300, periods = 3, missing = "missing", why = "less than a tenth of the memory is free: take a larger class" },
  { "db-storage", of = "db", metric = "FreeStorageSpace", statistic = "Minimum", under = function(db) return db.gigabytes * GB // 10 end,
    unit = "bytes", period = 300, periods = 1, missing = "missing", why = "nine tenths of the disk are full: raise gigabytes" },
  { "db-connections", of = "db", metric = "DatabaseConnections", statistic = "Maximum",
    over = function(db) return connections(db.class) * 8 // 10 end, unit = "connections", period = 300, periods = 2, missing = "missing",
    why = "four fifths of the connections that the class allows are open: look for leaks, or pool them" },
  { "db-lag", of = "replica", metric = "ReplicaLag", statistic = "Maximum", over = 60, unit = "seconds", period = 60, periods = 5,
    missing = "notBreaching", why = "the read replica answers from the past: look at long queries on it, and at writes" },

  { "cache-cpu", of = "cache", metric = "EngineCPUUtilization", statistic = "Average", over = 80, unit = "percent", period = 300, periods = 3,
    missing = "missing", why = "the cache's one thread is busy: look for slow commands" },
  { "cache-memory", of = "cache", metric = "DatabaseMemoryUsagePercentage", statistic = "Maximum", over = 80, unit = "percent", period = 300,
    periods = 1, missing = "missing", why = "with noeviction a full cache refuses writes: take a larger node" },
  { "cache-evictions", of = "cache", metric = "Evictions", statistic = "Sum", over = 0, unit = "keys", period = 300, periods = 1,
    missing = "notBreaching", why = "keys were thrown away: jobs may be lost" },
  { "cache-connections", of = "cache", metric = "CurrConnections", statistic = "Maximum", over = 52000, unit = "connections", period = 300,
    periods = 2, missing = "missing", why = "four fifths of the 65,000 connections that a node takes are open: look for leaks" },
  { "cache-lag", of = "cache", replicas = true, metric = "ReplicationLag", statistic = "Maximum", over = 30, unit = "seconds", period = 60,
    periods = 5, missing = "notBreaching", why = "a failover now would lose that many seconds of writes" },

  { "app-health", of = "environment", metric = "EnvironmentHealth", statistic = "Maximum", over = 15, unit = "0 ok, 15 warning, 25 severe",
    period = 60, periods = 5, missing = "missing", why = "Beanstalk calls the environment degraded or worse: look at its events and logs" },
  -- Counted from the access log of Beanstalk's proxy. A docker-compose bundle, as this recipe makes it, has no proxy and no such
  -- log: there the metric stays empty, and app-health and the load balancer's counts are what tells.
  { "app-5xx", of = "environment", metric = "ApplicationRequests5xx", statistic = "Sum", over = 10, unit = "answers", period = 60, periods = 5,
    missing = "notBreaching", why = "the app answers with errors" },
  -- Memory is told by no machine without the CloudWatch agent: what is out of memory shows as health.
  { "app-cpu", of = "machines", metric = "CPUUtilization", statistic = "Average", over = 85, unit = "percent", period = 300, periods = 3,
    missing = "missing", why = "the app's machines compute all the time: take more or larger ones" },
  { "lb-app-5xx", of = "balancer", metric = "HTTPCode_Target_5XX_Count", statistic = "Sum", over = 10, unit = "answers", period = 60,
    periods = 5, missing = "notBreaching", why = "the app answers with errors" },
  { "lb-5xx", of = "balancer", metric = "HTTPCode_ELB_5XX_Count", statistic = "Sum", over = 10, unit = "answers", period = 60, periods = 5,
    missing = "notBreaching", why = "the load balancer finds no machine that answers in time" },
  { "targets-ill", of = "targets", metric = "UnHealthyHostCount", statistic = "Maximum", over = 0, unit = "targets", period = 60, periods = 5,
    missing = "notBreaching", why = "the load balancer finds tasks that do not answer at the health path" },
  -- ECS publishes the metric for each task that runs, and nothing where none does (Amazon ECS Developer Guide, "Amazon ECS
  -- CloudWatch metrics"): its samples are the tasks. Before the cutover none is to run, and nobody is told of that.
  { "service-tasks", of = "service", metric = "CPUUtilization", statistic = "SampleCount", under = function(s) return s.count or 1 end,
    unit = "tasks that run", period = 60, periods = 5, missing = "missing", silence = true,
    why = "fewer tasks run than should: look at the service's events, and why the last ones stopped" },
  { "service-cpu", of = "service", metric = "CPUUtilization", statistic = "Average", over = 85, unit = "percent", period = 300, periods = 3,
    missing = "notBreaching", why = "the tasks compute all the time: run more or larger ones" },
  { "service-memory", of = "service", metric = "MemoryUtilization", statistic = "Maximum", over = 90, unit = "percent", period = 300, periods = 2,
    missing = "notBreaching", why = "a task that runs out of memory is killed: take larger ones" },

  { "queue-age", of = "queue", metric = "ApproximateAgeOfOldestMessage", statistic = "Maximum", over = 600, unit = "seconds", period = 60,
    periods = 5, missing = "notBreaching", why = "messages wait for ten minutes: are the workers up, and enough?" },
  { "jobs-age", of = "jobs", metric = "OldestJobAge", statistic = "Maximum", over = 600, unit = "seconds", period = 60, periods = 5,
    missing = "missing", silence = true, why = "jobs wait for ten minutes, or nobody publishes how long they do: are the workers up, and enough?" },
}
