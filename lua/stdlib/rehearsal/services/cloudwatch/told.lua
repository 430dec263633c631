--- The metrics that the services of the rehearsal tell of themselves: how well each environment is, how busy the machine is
--- that all hosts share (for each task of ECS, too), how many targets a load balancer finds well, how old the oldest message
--- of each SQS queue is. What cannot be measured here is not told.
local fs = require "fs"

local M = {}

--- EnvironmentHealth as enhanced health publishes it (Elastic Beanstalk Developer Guide, "Publishing custom metrics").
local HEALTH = { Ok = 0, Info = 1, Unknown = 5, NoData = 10, Pending = 10, Suspended = 10, Warning = 15, Degraded = 20, Severe = 25 }

local before

--- How busy the machine was since the last time, in percent.
local function busy()
  local ok, text = pcall(fs.read, "/proc/stat")
  local total, idle, n = 0, 0, 0
  for ticks in (ok and text:match "^cpu ([^\n]*)" or ""):gmatch "%d+" do
    n, total = n + 1, total + tonumber(ticks)
    if n == 4 or n == 5 then idle = idle + tonumber(ticks) end
  end
  local now, last = { total = total, idle = idle }, before or { total = 0, idle = 0 }
  before = now
  local passed = now.total - last.total
  return passed > 0 and 100 * (1 - (now.idle - last.idle) / passed) or 0
end

--- What is true in this minute: metrics as PutMetricData takes them, each with its Namespace.
---@return table[]
function M.now(cloud, region)
  local list, ctx, cpu = {}, { region = region }, busy()
  local function tell(namespace, name, value, unit, dimension, of)
    list[#list + 1] = { Namespace = namespace, MetricName = name, Value = value, Unit = unit, Dimensions = { { Name = dimension, Value = of } } }
    return list[#list]
  end
  local eb = cloud:service "elasticbeanstalk"
  for _, e in ipairs(eb.DescribeEnvironments(cloud, {}, ctx).Environments) do
    if HEALTH[e.HealthStatus] and e.Status ~= "Terminated" then
      tell("AWS/ElasticBeanstalk", "EnvironmentHealth", HEALTH[e.HealthStatus], "None", "EnvironmentName", e.EnvironmentName)
      local behind = eb.DescribeEnvironmentResources(cloud, { EnvironmentName = e.EnvironmentName }, ctx).EnvironmentResources
      for _, group in ipairs(behind.AutoScalingGroups) do tell("AWS/EC2", "CPUUtilization", cpu, "Percent", "AutoScalingGroupName", group.Name) end
    end
  end
  for _, r in ipairs(cloud:service "ec2".DescribeInstances(cloud, {}, ctx).Reservations) do
    local i = r.Instances[1]
    if i.State.Name == "running" then tell("AWS/EC2", "CPUUtilization", cpu, "Percent", "InstanceId", i.InstanceId) end
  end
  for _, db in ipairs(cloud:service "rds".DescribeDBInstances(cloud, {}, ctx).DBInstances) do
    if db.DBInstanceStatus == "available" then tell("AWS/RDS", "CPUUtilization", cpu, "Percent", "DBInstanceIdentifier", db.DBInstanceIdentifier) end
  end
  for _, c in ipairs(cloud:service "elasticache".DescribeCacheClusters(cloud, {}, ctx).CacheClusters) do
    tell("AWS/ElastiCache", "CPUUtilization", cpu, "Percent", "CacheClusterId", c.CacheClusterId)
    tell("AWS/ElastiCache", "EngineCPUUtilization", cpu, "Percent", "CacheClusterId", c.CacheClusterId)
  end
  for _, s in ipairs(cloud:service "ecs"._running(cloud, region)) do
    if s.running > 0 then
      local d = tell("AWS/ECS", "CPUUtilization", nil, "Percent", "ClusterName", s.cluster)
      d.Dimensions[2], d.Values, d.Counts = { Name = "ServiceName", Value = s.service }, { cpu }, { s.running }
    end
  end
  for _, h in ipairs(cloud:service "elbv2"._hosts(cloud, region)) do
    for name, count in pairs { HealthyHostCount = h.well, UnHealthyHostCount = h.ill } do
      local d = tell("AWS/ApplicationELB", name, count, "Count", "LoadBalancer", h.balancer)
      d.Dimensions[2] = { Name = "TargetGroup", Value = h.group }
    end
  end
  local sqs = cloud:service "sqs"
  for _, url in ipairs(sqs.ListQueues(cloud, {}, ctx).QueueUrls or {}) do
    tell("AWS/SQS", "ApproximateAgeOfOldestMessage", sqs._oldest(cloud, region, url), "Seconds", "QueueName", url:match "[^/]*$")
  end
  return list
end

return M
