--- Heroku Scheduler's jobs on AWS: a schedule of Amazon EventBridge Scheduler for each, which starts the command once, where
--- the target (deploy.lua, fargate.lua) says. Schedules are made disabled: they fire only while the app is live on AWS, so
--- that no job runs on both sides. A start that fails is tried again for ten minutes; then it is told to a queue.
local ages = require "heroku_to_aws.ages"
local aws = require "aws"
local jobs_file = require "heroku_to_aws.jobs"
local mapping = require "heroku_to_aws.mapping"
local recipe = require "recipe"
local switch = require "aws.common.scheduler".switch
local task = require "task"

local M = {}

M.IDLE = "jobs"                         -- the process type that keeps a machine for jobs, where no other has just one

--- A machine for the jobs: that of an environment which has just one. It gets the memory of the largest job on top.
local function make_room(plan, jobs, opt)
  local largest = jobs[1]
  for _, job in ipairs(jobs) do
    if mapping.memory(job.size) > mapping.memory(largest.size) then largest = job end
  end
  local place, taken = nil, {}
  for _, e in ipairs(plan.environments) do
    taken[e.name:lower()] = true
    if not e.load_balanced and e.instances == 1 then place = e end
  end
  if not place then
    place = { name = mapping.unused(plan.name, "jobs", taken), instances = 1, load_balanced = false, memory = 0,
              processes = { { type = M.IDLE, command = "exec sleep infinity", size = largest.size, replicas = 1, idle = true } } }
    table.insert(plan.environments, place)
  end
  place.memory = place.memory + mapping.memory(largest.size)
  place.instance_type = opt.instance_type or mapping.instance(place.memory)
  return place
end

--- Reads the jobs, and gives them a place in the plan.
---@param path string? the file; nil: there are none, or nobody said so
---@param plan table of mapping.plan
---@param opt table
---@param facts table of audit.read
---@return table[] jobs of jobs.read, and with --queue-ages those that measure
function M.read(path, plan, opt, facts)
  local jobs, measuring = path and jobs_file.read(path) or {}, ages.jobs(facts, opt)
  local from_file = #jobs
  table.move(measuring, 1, #measuring, #jobs + 1, jobs)
  if #jobs == 0 then return jobs end
  plan.jobs_in = make_room(plan, jobs, opt).name
  for _, addon in ipairs(plan.addons) do
    if addon.service == "scheduler" and from_file > 0 then
      addon.becomes, addon.loud = "moved", false
      addon.note = ("Amazon EventBridge Scheduler (%d in %s); take its jobs off Heroku's dashboard at the cutover, where nothing else stops them")
        :format(from_file, path)
    end
  end
  return jobs
end

--- Makes the schedules, disabled.
---@param jobs table[]
---@param o { plan: table, starts: fun(jobs: table[]): table[] } starts: how the target starts each: { target, input?, task?, may }
---@return { group: string, name: string }[] schedules
function M.make(jobs, o)
  if #jobs == 0 then return {} end
  local name = o.plan.name
  local made = task.all {
    group = function() return aws.schedule_group { name } end,
    dead = function() return aws.queue { name .. "-jobs-not-started" } end,
    starts = function() return o.starts(jobs) end,
  }
  local statements = { { Effect = "Allow", Action = "sqs:SendMessage", Resource = made.dead.arn } }
  for _, start in ipairs(made.starts) do
    for _, statement in ipairs(start.may) do statements[#statements + 1] = statement end
  end
  local role = aws.role { name .. "-scheduler", service = "scheduler.amazonaws.com",
                          inline = { ["start-jobs"] = { Version = "2012-10-17", Statement = statements } } }
  local schedules = {}
  for i, job in ipairs(jobs) do
    local start = made.starts[i]
    schedules[i] = { group = name, name = job.name, make = function()
      aws.schedule { job.name, group = made.group.id, expression = job.expression, target = start.target, input = start.input, task = start.task,
                     role = role.arn, dead_letter = made.dead.arn, description = ("%s, %s"):format(job.command:sub(1, 400), job.frequency) }
    end }
  end
  task.map(schedules, function(s) s.make() end)
  return schedules
end

local Nothing = { keep = function() end }
Nothing.__index, Nothing.__close = Nothing, function() end

--- Switches the schedules on. A guard: off again if the block is left without keep(), and by `hkrun rollback`.
---@param schedules { group: string, name: string }[]
function M.live(schedules)
  if #schedules == 0 then return setmetatable({}, Nothing) end
  local function all(on)
    return function() task.map(schedules, function(s) switch(s.group, s.name, on) end) end
  end
  return recipe.guard { key = "start the jobs on AWS", what = "switch the scheduled jobs on", apply = all(true), undo = all(false) }
end

return M
