--- The health agent of a rehearsed Beanstalk environment.
local health = require "rehearsal.services.elasticbeanstalk.health"
local serve = require "rehearsal.serve"
local task = require "task"
local test = require "test"
local T = test.cases()

T["an environment that is terminated while its app is asked does not go on being asked"] = function()
  local asked = false
  local app <close> = serve.start { handler = function()
    asked = true
    return { status = 200, delay = 30 }
  end }
  local cloud = { net = { isolated = false } }
  local machine = { inside_port = app.port, address = app.host, app = { problems = function() return {} end } }
  local env = { Status = "Ready", Health = "Green", HealthStatus = "Ok", causes = {}, place = {}, machines = { machine },
                settings = {}, Tier = { Name = "WebServer" } }
  local watch = task.spawn(health._watch, cloud, { region = "us-east-1" }, env)
  while not asked do task.sleep(0.01) end
  watch:cancel()
  for _ = 1, 3000 do
    if watch.done then break end
    task.sleep(0.01)
  end
  local ended = watch.done
  watch:cancel()                                             -- a leak of this case is not to be the next one's
  test.truthy(ended, "it ends")
end

return T
