--- What the recipe says of costs that nobody may think of.
package.path = "recipes/?.lua;" .. package.path
local fs = require "fs"
local test = require "test"
local watch = require "heroku_to_aws.watch"

local T = test.cases()

T["what goes on costing is named, and how to end it"] = function()
  local rows = watch.costs { activate_bastion = true }
  test.equal({ #rows, rows[1][1] }, { 1, "bastion" })
  test.match(rows[1][2], "^about %$%d+ a month$")
  test.match(rows[1][3], "%-%-activate%-bastion=false")
  test.equal(watch.costs { activate_bastion = false }, {})
end

T["a queue whose age nobody measures is left for a person: where it was not asked for, and where none was found"] = function()
  local function said(redis, queue_ages)
    for _, row in ipairs(watch.left({}, { queue_ages = queue_ages }, { redis = redis })) do
      if row[1] == "age of jobs" then return row[3] end
    end
  end
  local queues = { queues = { { kind = "bullmq", name = "mail" } } }
  test.equal(said(queues, true), nil)
  test.match(said(queues, false), "%-%-queue%-ages measures it")
  test.match(said({ queues = {} }, true), "held no queue")
  test.equal({ said(nil, false), said(nil, true) }, { nil, said({ queues = {} }, true) }, "without a Redis it is told only to who asked")
end

T["the plan of the sample app has no NAT gateway, and no load balancer for one web dyno"] = function()
  local plan = fs.read "tests/recipes/plan.golden"
  test.truthy(plan:find "aws.db_instance" and not plan:find "nat_gateway" and not plan:find "load_balancer")
end

return T
