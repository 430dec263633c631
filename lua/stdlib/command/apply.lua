--- hkrun apply RECIPE, hkrun RECIPE.lua: plan, ask, run. Run it again to resume.
--- hkrun apply FILE: what a saved plan shows, or nothing.
local apply = require "recipe.apply"
local load = require "recipe.load"
local saved = require "recipe.saved"
local tell = require "recipe.tell"

local USAGE = {
  "usage: hkrun apply RECIPE.lua [--yes] [--json] [--until STAGE | --only STAGE] [--adopt] [--config FILE.yml]",
  "                              [--journal s3://BUCKET/KEY] [--webhook URL] [the recipe's options]",
  "       hkrun apply FILE       a plan that `hkrun plan RECIPE.lua --out FILE` saved",
  "Plans, shows the plan, asks, and runs. Run again, it goes on where it stopped. --json prints events, a JSON object a line;",
  "--webhook (or HKRUN_WEBHOOK) is told of milestones.",
  "`hkrun apply RECIPE.lua --help` lists the recipe's options.",
}

return {
  help = "plans, asks, runs; run again, it goes on where it stopped",
  main = function(args)
    local o = load.arguments(args, "apply")
    if o.recipe and saved.is(o.recipe) then
      local plan = saved.read(o.recipe)
      o = plan:arguments(o)
      plan:check_files()
    end
    if o.help then return load.help(o, USAGE) end
    return tell.during(o, function() return apply.apply(o) end)
  end,
}
