--- A recipe of 2,000 independent nouns on a fake in the process. tests/bench/engine.py measures it.
local recipe, task = require "recipe", require "task"

local opt = recipe.options { { "count", "how many nouns", default = 2000 } }

local things = {}
local thing = recipe.kind {
  name = "bench.thing",
  options = { { "input", "what it holds", type = "string" } },
  summary = { "input" }, idempotent = true,
  read = function(spec) return things[spec.name] end,
  create = function(spec, ctx)
    local id = "thing-" .. spec.name
    things[spec.name] = { id = id, input = spec.input, tags = ctx.tags }
    return id
  end,
}

local names = {}
for i = 1, opt.count do names[i] = ("n%04d"):format(i) end
task.map(names, function(name) thing { name, input = "value of " .. name } end, { limit = 100 })
