--- hkrun apply RECIPE, hkrun RECIPE.lua: plan, ask, run. Run it again to resume.
local apply = require "recipe.apply"
local load = require "recipe.load"
local log = require "log"

return {
  help = "plans, asks, runs; run again, it goes on where it stopped",
  main = function(args)
    local o = load.arguments(args, "apply")
    if o.help then
      for _, line in ipairs(load.help(o)) do log.out("%s", line) end
      return 0
    end
    return apply.apply(o)
  end,
}
