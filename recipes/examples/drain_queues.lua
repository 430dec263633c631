--- Moves the job queues of one Redis to another without a pause. New jobs go to the new side, the workers of the old one go
--- on until it is empty, and what is due only later (delayed and scheduled jobs, retries, job schedulers) moves over. No job
--- runs twice. A new job may run before an older one of the old side: where the order between them matters, take
--- move_queues.lua. What is completed or has failed for good stays on the old side.
---
---     HKRUN_FROM="$(heroku config:get REDIS_URL -a shop)" HKRUN_TO=rediss://:token@cache.example.com:6379 \
---       hkrun recipes/examples/drain_queues.lua
---
--- It ends with
---
---     Drained
---       moved to the new side  17
---     On the old side
---       mail  completed  2210
---       mail  failed     3
local recipe, queues = require "recipe", require "queues"

local opt = recipe.options {
  { "name", "what to call this move", default = "queues", target = true },
  { "from", "URL of the Redis with the queues", type = "secret", required = true },
  { "to", "URL of the new one", type = "secret", required = true },
  { "insecure", "the old one's certificate is its own, as Heroku's are", default = false },
  { "later", "seconds: what is due later than that moves", default = 60 },
  { "patience", "seconds that the old side may take", default = 3600 },
}
local from, to = { url = opt.from, insecure = opt.insecure }, { url = opt.to }

recipe.stage "prepare"
queues.check(to)                                 -- it must not forget jobs
recipe.once("keep the ids of both sides apart, move the job schedulers", function() queues.prepare { from = from, to = to } end)

recipe.stage "drain"
recipe.confirm "Workers run on both sides, and new jobs go to the new one only?"
local moved = recipe.once("drain the old side", function()
  return queues.drain({ from = from, to = to, later = opt.later, timeout = opt.patience }).moved
end)

local old = {}
for _, row in ipairs(queues.find(from)) do
  if row.count > 0 then old[#old + 1] = { row.name, row.state, row.count } end
end
recipe.report("Drained", { { "moved to the new side", moved } })
recipe.report("On the old side", old)
