--- What the crash tests call an equal end: ids and moments do not count, values do.
local cloud_state = dofile "tests/support/cloud_state.lua"
local test = require "test"
local T = test.cases()

local function state(o)
  o = o or {}
  local id = o.id or "subnet-0123456789abcdef0"
  return {
    ["ec2/us-east-1"] = { resources = { [id] = { id = id, kind = "subnet", value = { Tags = { { Key = "Name", Value = "shop-a" } } } } } },
    ["rds/us-east-1"] = { parameter_groups = { shop = { family = o.family or "postgres16", set = o.set or {} } },
                          instances = { shop = { InstanceCreateTime = o.at or 1790000000, subnet = id, Iops = o.iops } } },
    ["cloudwatch/us-east-1"] = { alarms = { storage = { Threshold = o.threshold or 5368709120, DateUpdated = o.at or 1790000000 } } },
  }
end

local function differences(a, b) return cloud_state.differences(cloud_state.lines(state(a)), cloud_state.lines(state(b))) end

local function ssl(value) return { ["rds.force_ssl"] = { value = value, method = "pending-reboot" } } end

T["ids and moments do not count"] = function()
  test.equal(differences({ id = "subnet-00000000000000aaa", at = 1790001234 }, {}), {})
end

T["a number is compared however large it is"] = function()
  test.equal(differences({ threshold = 5368709121 }, {}), { "- /cloudwatch/us-east-1/alarms/storage/Threshold = 5368709120",
                                                            "+ /cloudwatch/us-east-1/alarms/storage/Threshold = 5368709121" })
  test.equal(differences({ iops = 3000 }, {}), { "+ /rds/us-east-1/instances/shop/Iops = 3000" })
end

T["rds.force_ssl counts by the value that holds: set, or the version's own"] = function()
  test.equal(differences({ set = ssl "1" }, {}), {})
  test.equal(differences({ set = ssl "0" }, { set = ssl "1" }), { "+ /rds/us-east-1/parameter_groups/shop/set/rds.force_ssl = 0",
                                                                  "- /rds/us-east-1/parameter_groups/shop/set/rds.force_ssl = 1" })
  test.equal(#differences({ set = ssl "1", family = "postgres14" }, { family = "postgres14" }), 2)
end

return T
