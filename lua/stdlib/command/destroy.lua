--- hkrun destroy RECIPE [--yes] [--no-final-snapshot]: deletes what its runs created, last first. Databases and caches leave
--- a final snapshot, unless that is not wanted.
local destroy = require "recipe.destroy"
local load = require "recipe.load"
local tell = require "recipe.tell"

local USAGE = {
  "usage: hkrun destroy RECIPE.lua [--yes] [--json] [--no-final-snapshot] [--journal s3://BUCKET/KEY] [the recipe's options that name its target]",
  "Deletes what runs of the recipe created, after asking for its name; never what was adopted, kept, or is on Heroku.",
  "Databases and caches leave a final snapshot; --no-final-snapshot deletes their data too.",
}

return {
  help = "deletes what runs of a recipe created, last first",
  main = function(args)
    local o = load.arguments(args, "destroy")
    if o.help then return load.usage(USAGE) end
    return tell.during(o, function()
      local r = load.upto_options(o, true)
      local _ <close> = r.journal
      return destroy.run(r, o)
    end)
  end,
}
