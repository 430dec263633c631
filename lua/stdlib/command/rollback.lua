--- hkrun rollback RECIPE [--destroy] [--accept-loss] [--yes]: back to how it was before the recipe's cutover. What was made
--- on AWS stays, unless --destroy deletes it afterwards.
local destroy = require "recipe.destroy"
local errors = require "errors"
local load = require "recipe.load"
local log = require "log"
local report = require "recipe.report"
local rollback = require "recipe.rollback"
local tell = require "recipe.tell"

local USAGE = {
  "usage: hkrun rollback RECIPE.lua [--yes] [--json] [--accept-loss] [--destroy [--no-final-snapshot]] [--journal s3://BUCKET/KEY]",
  "                                 [the recipe's options that name its target]",
  "Undoes what runs of the recipe changed beside what they made, the last first: for heroku_to_aws.lua the app runs on Heroku",
  "again, from every stage. What was written on AWS since is carried back first; --accept-loss leaves it there, after",
  "saying how many rows and jobs that are. Run again, it goes on where it stopped.",
  "--destroy deletes afterwards what the runs made, as `hkrun destroy` does.",
}

return {
  help = "goes back to how it was before a recipe's cutover",
  main = function(args)
    local o = load.arguments(args, "rollback", { destroy = false, ["accept-loss"] = false })
    if o.help then return load.usage(USAGE) end
    o.accept_loss = o["accept-loss"]
    return tell.during(o, function()
      local r = load.upto_options(o, true)
      local _ <close> = r.journal
      local runs = r.memory.runs
      local ok, done = xpcall(rollback.run, errors.handler, r, o)
      if r.memory.runs > runs then report.after(r) end
      if not ok then error(done, 0) end
      log.out("%s", done and "Rolled back." or "There is nothing to roll back: no run has changed anything beside what it made.")
      if not o.destroy then return 0 end
      return destroy.run(r, o)
    end)
  end,
}
