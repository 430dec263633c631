--- hkrun plan RECIPE: what apply would do. Changes nothing, writes nothing.
local apply = require "recipe.apply"
local json = require "json"
local load = require "recipe.load"
local log = require "log"
local plan = require "recipe.plan"

return {
  help = "shows what apply would do; changes nothing",
  main = function(args)
    local o = load.arguments(args, "plan")
    if o.help then
      for _, line in ipairs(load.help(o)) do log.out("%s", line) end
      return 0
    end
    local r = apply.plan(o, load.file(o.recipe), false)
    if o.json then
      log.out("%s", json.encode(plan.data(r), { pretty = true }))
    else
      for _, line in ipairs(plan.lines(r.entries)) do log.out("%s", line) end
      apply.print_reports(r.reports)
    end
    return 0
  end,
}
