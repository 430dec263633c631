--- Heroku Scheduler's jobs, read from a file, and where they find a place.
local fs = require "fs"
local test = require "test"
package.path = "recipes/?.lua;" .. package.path
local jobs = require "heroku_to_aws.jobs"
local mapping = require "heroku_to_aws.mapping"
local scheduler = require "heroku_to_aws.scheduler"
local T = test.cases()

local function file(text)
  local path = test.tmpdir() .. "/jobs.yml"
  fs.write(path, text, 420)
  return path
end

local function refused(text, pattern)
  local e = test.raises(pattern, jobs.read, file(text))
  test.equal(e.kind, "usage")
end

T["frequencies are those of Heroku's dashboard, in UTC"] = function()
  local expected = {
    ["every 10 minutes"] = "cron(0/10 * * * ? *)", ["Every 10 minutes"] = "cron(0/10 * * * ? *)", ["hourly at :00"] = "cron(0 * * * ? *)",
    ["Hourly at :50"] = "cron(50 * * * ? *)", ["daily at 03:30 UTC"] = "cron(30 3 * * ? *)", ["Daily at 12:00 AM UTC"] = "cron(0 0 * * ? *)",
    ["Daily at 1:30 PM UTC"] = "cron(30 13 * * ? *)", ["daily at 12:30 pm"] = "cron(30 12 * * ? *)", ["daily at 23:59"] = "cron(59 23 * * ? *)",
  }
  for said, expression in pairs(expected) do test.equal((jobs.expression(said)), expression, said) end
  for _, said in ipairs { "every 5 minutes", "hourly", "hourly at :60", "daily at 24:00", "daily at 13:00 pm", "daily at 0:30 am", "daily at 3",
                          "weekly", 10 } do
    test.equal(jobs.expression(said), nil, tostring(said))
  end
end

T["a job has a command, a size and a frequency; two of one command have two names"] = function()
  local list = jobs.read(file [[
- command: node bin/report.js --all
  dyno_size: Standard-2X
  frequency: daily at 03:30 UTC
- command: rake x
  frequency: every 10 minutes
- { command: rake x, frequency: "hourly at :20" }
]])
  test.equal({ list[1].command, list[1].size, list[1].frequency, list[1].expression },
    { "node bin/report.js --all", "Standard-2X", "daily at 03:30 UTC", "cron(30 3 * * ? *)" })
  test.match(list[1].name, "^node%-bin%-report%-js%-all%-%x%x%x%x%x%x$")
  test.equal({ list[2].size, list[2].expression, list[3].expression }, { "Standard-1X", "cron(0/10 * * * ? *)", "cron(20 * * * ? *)" })
  test.truthy(list[2].name ~= list[3].name, "names of their own")
  test.equal(jobs.read(file "[]\n"), {})
end

T["what is wrong is said with its line and column"] = function()
  refused("- command: a\n  frequency: [\n", "line 3, column 1")
  refused("command: a\n", "line 1, column 1: it must be a list of jobs")
  refused("- command: a\n  frequency: hourly at :10\n\n# the next\n- command: b\n  frequncy: hourly at :10\n",
    "line 6, column 3: a job has no frequncy.*frequency")
  refused("- frequency: hourly at :10\n", "line 1, column 1: the command")
  refused("- command: a\n- command: b\n  frequency: hourly at :10\n", "line 1, column 1: the frequency")
  refused("- command: a\n  frequency: every monday\n", 'line 2, column 3: "every monday" is no frequency')
  refused("- command: a\n  dyno_size: Huge-9X\n  frequency: hourly at :10\n", "line 2, column 3: Huge%-9X is no size of a dyno")
  refused("- a\n- b\n", "line 1, column 1: a job has a command")
end

local function plan_of(quantities)
  local formation = {}
  for type, n in pairs(quantities) do formation[#formation + 1] = { type = type, quantity = n, size = "standard-1x", command = "run " .. type } end
  return { name = "shop", environments = mapping.environments("shop", formation), addons = mapping.addons {
    { name = "s", service = "scheduler", plan = "scheduler:standard" } } }
end

local one = "- command: rake x\n  dyno_size: Standard-2X\n  frequency: every 10 minutes\n"

T["jobs get the one machine that there is, with their memory; beside a load balancer one of their own"] = function()
  local plan = plan_of { web = 1, worker = 1 }
  test.equal(plan.environments[1].instance_type, "t3.small")
  scheduler.read(file(one), plan, {})
  test.equal({ plan.jobs_in, #plan.environments, plan.environments[1].instance_type }, { "shop", 1, "t3.medium" })
  test.equal({ plan.addons[1].becomes, plan.addons[1].loud }, { "moved", false })
  plan = plan_of { web = 2, worker = 1 }
  scheduler.read(file(one), plan, {})
  test.equal({ plan.jobs_in, #plan.environments }, { "shop-worker", 2 })
  plan = plan_of { web = 2 }
  scheduler.read(file(one), plan, {})
  test.equal({ plan.jobs_in, plan.environments[2].name, plan.environments[2].processes[1].type }, { "shop-jobs", "shop-jobs", "jobs" })
end

T["without a file nothing changes, and the add-on is deferred, loudly, with what to do"] = function()
  local plan = plan_of { web = 2 }
  test.equal(scheduler.read(nil, plan, {}), {})
  test.equal({ #plan.environments, plan.addons[1].becomes, plan.addons[1].loud }, { 1, "deferred", true })
  test.match(plan.addons[1].note, "%-%-scheduler%-jobs")
end

return T
