--- hkrun prune RECIPE: deletes what runs of the recipe made and the recipe no longer asks for.
local load = require "recipe.load"
local prune = require "recipe.prune"
local tell = require "recipe.tell"

local USAGE = {
  "usage: hkrun prune RECIPE.lua [--yes] [--journal s3://BUCKET/KEY] [the recipe's options]",
  "Lists what runs of the recipe made and the recipe no longer asks for, and deletes it after asking for a name.",
  "Leaves what was taken over, what is kept, and what something that stays stands on.",
}

return {
  help = "deletes what a recipe made and no longer asks for",
  main = function(args)
    local o = load.arguments(args, "prune")
    if o.help then return load.usage(USAGE) end
    return tell.during(o, function() return prune.run(o) end)
  end,
}
