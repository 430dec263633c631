--- Moves the job queues of one Redis to another at one moment. Pauses them, waits until no job runs, copies everything,
--- compares both sides job by job, and lets the workers of the new side begin. Stop what adds jobs first. If anything fails,
--- the workers of the old side go on. BullMQ is paused by its own protocol, Sidekiq's processes are made quiet; workers of
--- other systems must be stopped before.
---
---     HKRUN_FROM="$(heroku config:get REDIS_URL -a shop)" HKRUN_TO=rediss://:token@cache.example.com:6379 \
---       hkrun recipes/examples/move_queues.lua
---
--- It ends with
---
---     Equal on both sides
---       jobs  1224
---       keys  3811
local recipe, queues, redis = require "recipe", require "queues", require "redis"

local opt = recipe.options {
  { "name", "what to call this move", default = "queues", target = true },
  { "from", "URL of the Redis with the queues", type = "secret", required = true },
  { "to", "URL of the new, empty one", type = "secret", required = true },
  { "insecure", "the old one's certificate is its own, as Heroku's are", default = false },
  { "patience", "seconds that jobs which run now may take", default = 120 },
  { "workers_stopped", "workers of systems that know no pause are stopped", default = false },
}
local from, to = { url = opt.from, insecure = opt.insecure }, { url = opt.to }

recipe.stage "check"
queues.check(to)                                 -- it must not forget jobs

recipe.stage "move"
recipe.confirm "Nothing adds jobs any more; move the queues?"
local fence <close> = queues.fence(from, { timeout = opt.patience, workers_stopped = opt.workers_stopped })
local keys = fence:once("copy", function() return redis.copy({ from = from, to = to, restart = true }).keys end)
local jobs = fence:once("compare", function() return queues.same({ from, to }).jobs end)
fence:keep()                                     -- from here on the old side stays paused
recipe.once("start the new side", function() queues.resume(to, fence.facts.paused) end)

recipe.report("Equal on both sides", { { "jobs", jobs }, { "keys", keys } })
