--- A guard that keeps all workers of a Redis from taking jobs; see queues.fence.
local bullmq = require "bullmq"
local endpoints = require "redis.endpoint"
local errors = require "errors"
local log = require "log"
local options = require "options"
local queues = require "queues"
local recipe = require "recipe"
local sidekiq = require "sidekiq"

local M = {}

local declared = {
  { "timeout", "seconds that jobs which run now may take", type = "number", default = 120 },
  { "workers_stopped", "true: the workers of systems that know no pause are stopped by other means", type = "boolean", default = false },
}

local function running_queues(where)
  local names = {}
  for _, queue in ipairs(bullmq.queues(where)) do
    if not queue.paused then names[#names + 1] = queue.key end
  end
  return names
end

---@param where string|userdata|redis.Endpoint
---@param opts? table
function M.new(where, opts)
  local o = options.check(opts or {}, declared, "queues.fence")
  local label = endpoints.parse(where, "queues.fence").label
  return recipe.guard {
    key = "fence " .. label,
    what = ("pause the job queues of %s and wait until no job runs"):format(label),
    facts = function() return { paused = running_queues(where) } end,
    apply = function()
      local unpaused = queues.pause(where).unpaused
      if #unpaused > 0 and not o.workers_stopped then
        errors.raise { kind = "invalid", op = "pause all job queues",
          message = ("%s cannot be paused"):format(table.concat(unpaused, ", ")),
          hint = "stop their workers, and say so: workers_stopped = true" }
      end
      queues.wait_idle(where, { timeout = o.timeout })
    end,
    undo = function(facts)
      queues.resume(where, facts.paused)
      for _, process in ipairs(sidekiq.processes(where)) do
        if process.alive then log.warn("the Sidekiq process %s stays quiet until it is restarted", process.identity) end
      end
    end,
    by_hand = function(facts) return "resume the queues " .. table.concat(facts.paused, ", ") end,
    holds = function(facts)
      local running = running_queues(where)
      for _, name in ipairs(facts.paused) do
        for _, key in ipairs(running) do
          if key == name then return false end
        end
      end
      return true
    end,
  }
end

return M
