--- Mails you before your database is in trouble: alarms on the free space, the processor and the connections of an RDS
--- instance that is there already, whoever made it, and a topic that sends them. Confirm the mail that AWS sends first.
---
---     hkrun recipes/examples/watch_database.lua --database shop --email ops@example.com
---
--- It ends with
---
---     Watched: shop
---       alarm        when          for
---       space        below 2.0 GB  10 min
---       processor    above 80 %    15 min
---       connections  above 90      10 min
local recipe, aws = require "recipe", require "aws"

local opt = recipe.options {
  { "database", "RDS instance to watch", target = true },
  { "email", "who is told", required = true },
  { "region", "AWS region", default = "us-east-1", use = function(v) aws.use { region = v } end },
  { "free_percent", "percent of the storage that must be free", default = 10 },
  { "cpu_percent", "percent of the processor in use that is too much", default = 80 },
  { "connections", "connections that are too many", default = 90 },
}

recipe.stage "look"
local db = aws.rds:describe_db_instances({ DBInstanceIdentifier = opt.database }).DBInstances[1]
local free = db.AllocatedStorage * opt.free_percent / 100

recipe.stage "alarms"
local name = opt.database .. "-watch"
local topic = aws.topic { name }
aws.subscription { name, topic = topic.arn, protocol = "email", endpoint = opt.email }

local rows = { { "alarm", "when", "for" } }
local function alarm(what, metric, below, threshold, said, periods)
  aws.alarm {
    name .. "-" .. what, namespace = "AWS/RDS", metric = metric, dimensions = { DBInstanceIdentifier = opt.database },
    comparison = below and "LessThanThreshold" or "GreaterThanThreshold", threshold = threshold, period = 300, periods = periods,
    description = ("%s of the database %s: %s"):format(what, opt.database, said), actions = { topic.arn }, ok_actions = { topic.arn },
  }
  rows[#rows + 1] = { what, said, ("%d min"):format(periods * 5) }
end
alarm("space", "FreeStorageSpace", true, math.floor(free * 2^30), ("below %.1f GB"):format(free), 2)
alarm("processor", "CPUUtilization", false, opt.cpu_percent, ("above %d %%"):format(opt.cpu_percent), 3)
alarm("connections", "DatabaseConnections", false, opt.connections, ("above %d"):format(opt.connections), 2)
recipe.report("Watched: " .. opt.database, rows)
