--- hkrun destroy RECIPE: deletes what its runs created, last first.
local destroy = require "recipe.destroy"
local load = require "recipe.load"

return {
  help = "deletes what runs of a recipe created, last first",
  main = function(args)
    local o = load.arguments(args, "destroy")
    local r = load.upto_options(o, true)
    local _ <close> = r.journal
    return destroy.run(r, o)
  end,
}
