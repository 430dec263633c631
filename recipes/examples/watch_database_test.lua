local aws = require "aws"
local test = require "test"
local T = test.cases()

local options = { database = "shop", email = "ops@example.com" }

local function database()
  aws.postgres { "shop", network = aws.network { "shop", cidr = "10.9.0.0/16", zones = 2 }, gigabytes = 40, final_snapshot = false }
end

T["a database that is there gets three alarms and a topic; destroy leaves the database"] = function()
  local cloud <close> = test.cloud()
  test.apply(database)
  local before = cloud:left()
  test.equal(test.apply("watch_database.lua", options).summary.create, 5)
  local alarms = {}
  for alarm in aws.cloudwatch:each "describe_alarms" do
    alarms[#alarms + 1] = alarm.AlarmName .. " " .. alarm.MetricName .. " " .. ("%d"):format(alarm.Threshold)
    test.equal(alarm.Dimensions[1], { Name = "DBInstanceIdentifier", Value = "shop" })
  end
  table.sort(alarms)
  test.equal(alarms, { "shop-watch-connections DatabaseConnections 90", "shop-watch-processor CPUUtilization 80",
                       "shop-watch-space FreeStorageSpace 4294967296" })
  test.equal(test.apply("watch_database.lua", options).changes, 0)
  local changed = test.plan("watch_database.lua", { database = "shop", email = "ops@example.com", free_percent = 20 })
  test.equal({ changed.summary.change, changed.changes }, { 1, 1 })
  test.destroy("watch_database.lua", options)
  test.equal(cloud:left(), before)
end

T["one that is not there is said not to be"] = function()
  local cloud <close> = test.cloud()
  test.raises("DBInstance shop not found", test.apply, "watch_database.lua", options)
  test.equal(cloud:calls(), {})
end

return T
