--- What the recipe's deploy stage asks of aws.environment.
package.path = "recipes/?.lua;" .. package.path
local aws = require "aws"
local deploy = require "heroku_to_aws.deploy"
local test = require "test"
local T = test.cases()

T["the environments get the options of the recipe: platform, days of logs, health path of the web process only"] = function()
  local seen, real = {}, aws.environment
  rawset(aws, "environment", function(o)
    seen[o[1]] = o
    return o
  end)
  test.defer(function() rawset(aws, "environment", real) end)
  deploy.environments({ environments = {
    { name = "shop", instance_type = "t3.small", instances = 2, load_balanced = true, processes = { { type = "web" } } },
    { name = "shop-worker", instance_type = "t3.small", instances = 1, processes = { { type = "worker" } } },
  } }, { application = { id = "shop" }, network = "net", group = { id = "sg-1" }, secrets = { URL = "arn" },
         opt = { beanstalk_platform_arn = "arn:p", log_days = 7, health_path = "/up" } })
  test.equal(seen.shop, { "shop", application = "shop", network = "net", groups = { "sg-1" }, platform = "arn:p", instance_type = "t3.small",
    load_balanced = true, min_instances = 2, max_instances = 2, health_path = "/up", secrets = { URL = "arn" }, log_days = 7 })
  test.equal({ seen["shop-worker"].log_days, seen["shop-worker"].health_path }, { 7, nil })
end

return T
