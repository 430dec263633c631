--- hkrun apply RECIPE, hkrun RECIPE.lua: plan, ask, run. Run it again to resume.
--- hkrun apply FILE: what a saved plan shows, or nothing.
local apply = require "recipe.apply"
local load = require "recipe.load"
local log = require "log"
local saved = require "recipe.saved"

return {
  help = "plans, asks, runs; run again, it goes on where it stopped",
  main = function(args)
    local o = load.arguments(args, "apply")
    if saved.is(o.recipe) then
      local plan = saved.read(o.recipe)
      o = plan:arguments(o)
      plan:check_files()
    end
    if o.help then
      for _, line in ipairs(load.help(o)) do log.out("%s", line) end
      return 0
    end
    return apply.apply(o)
  end,
}
