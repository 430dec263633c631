--- A worker of several dynos through the whole recipe: an environment of its own, without a load balancer, that works.
package.path = "recipes/?.lua;" .. package.path
local aws = require "aws"
local fs = require "fs"
local test = require "test"
local T = test.cases()

--- An app on the emulated Heroku, without stores.
local function tiny(procfile, formation)
  local dir = test.tmpdir()
  fs.chmod(dir, 493)
  fs.write(dir .. "/web.js", "require('node:http').createServer((q, r) => r.end('hi')).listen(process.env.PORT)", 420)
  fs.write(dir .. "/work.js", "setInterval(() => console.log('working'), 1000)", 420)
  fs.write(dir .. "/Procfile", procfile, 420)
  return test.cloud { servers = true, heroku = { app = "tiny", source = dir, formation = formation } }
end

T["four workers stand on two machines, web alone; cost and sizes are in the plan; a second apply changes nothing"] = function()
  local _ <close> = tiny("web: node web.js\nworker: node work.js\n", { web = 1, worker = 4 })
  local options = { app = "tiny", activate_bastion = false, engine = "none", live_prices = true }
  local function recipe(how) return how("recipes/heroku_to_aws.lua", options) end
  local plan = recipe(test.plan)
  local seen = {}
  for _, title in ipairs { "Cost on Heroku today", "Cost, what if" } do seen[title] = plan.reports[title] ~= nil end
  test.equal(seen, { ["Cost on Heroku today"] = true, ["Cost, what if"] = true })
  test.equal(plan.reports["Cost on Heroku today"][2], { "web", "1 x Standard-1X", "$25.00", "" })
  local live
  for title in pairs(plan.reports) do live = live or title:match "^Cost on AWS, us%-east%-1: (%d+) prices as AWS told them now" end
  test.truthy(tonumber(live) > 8, "live prices: " .. tostring(live))
  recipe(test.apply)
  local found = {}
  for _, e in ipairs(aws.elasticbeanstalk:describe_environments({}).Environments) do
    found[e.EnvironmentName] = ("%s %s"):format(e.Tier.Name, e.Health)
  end
  test.equal(found, { tiny = "WebServer Green", ["tiny-worker"] = "Worker Green" })
  test.equal(recipe(test.apply).changes, 0)
end

T["a worker alone, without the bastion and alarms, in three zones: it has no address to test, and the move is done"] = function()
  local cloud <close> = tiny("worker: node work.js\n", { worker = 1 })
  local options = { app = "tiny", activate_bastion = false, create_alarm = false, zones = 3, engine = "none", health_timeout = 30 }
  local run = test.apply("recipes/heroku_to_aws.lua", options)
  test.equal(run.reports.Moved[1], { "new address", "(no web process)" })
  local vpc = aws.ec2:describe_vpcs({ Filters = { { Name = "tag:Name", Values = { "tiny" } } } }).Vpcs[1].VpcId
  test.equal(#aws.reach({ vpc = vpc }):where(function(o) return o.what == "internet" end), 0, "ports that are open to the internet")
  local subnets = aws.ec2:describe_subnets({}).Subnets
  test.equal({ #subnets, #aws.cloudwatch:describe_alarms({}).MetricAlarms, #cloud.cloud.heroku.app.dynos }, { 6, 0, 0 })
  test.equal(test.apply("recipes/heroku_to_aws.lua", options).changes, 0)
end

return T
