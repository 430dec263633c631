--- hkrun prune RECIPE: deletes what runs of the recipe made and the recipe no longer asks for.
local load = require "recipe.load"
local prune = require "recipe.prune"

return {
  help = "deletes what a recipe made and no longer asks for",
  main = function(args) return prune.run(load.arguments(args, "prune")) end,
}
