--- hkrun rehearse RECIPE: the recipe, unchanged, against an embedded cloud: plan
--- (which must change nothing), apply while the app takes orders, apply again
--- (which must change nothing), a judge's verdict, destroy (which must leave
--- nothing). The cloud is a process of its own; each step is a hkrun of its own,
--- with no more than ordinary environment variables to tell it where it is.
local errors = require "errors"
local fs = require "fs"
local load = require "recipe.load"
local log = require "log"
local options = require "options"
local rehearsal = require "rehearsal.run"

local flags = {
  { "app", "folder of the app that runs on the emulated Heroku", type = "string" },
  { "scale", "how many simulated seconds pass in a real one", type = "string" },
  { "report", "keep the report of what apply did in FILE.html or FILE.md", type = "string" },
  { "keep", "leave the cloud running at the end instead of destroying", type = "boolean" },
  { "dir", "folder for everything the rehearsal keeps", type = "string" },
  { "faults", "fault plan: throttle=0.05,error=0.02,drop=0.01,lost=0.01,latency=0.2,stale=2,seed=7", type = "string" },
  { "policy", "the run may do what this IAM policy allows, and no more: FILE, or DIR with several (hkrun policy --out)", type = "string" },
  { "orders", "ORDERS of the app's seed command: how many it has", type = "string" },
  { "jobs", "JOBS of the app's seed_jobs command", type = "string" },
  { "heroku-may-replicate", "its PostgreSQL streams changes to the app's role, which Heroku's never does", type = "boolean" },
}

--- Splits the command line: our flags, and what goes to the recipe.
local function arguments(args)
  local own, rest, recipe = {}, {}, nil
  local i = 1
  while i <= #args do
    local word = args[i]
    local name, value = word:match "^%-%-([%w%-]+)=?(.*)$"
    local flag
    for _, f in ipairs(flags) do if f[1] == name then flag = f end end
    if flag and flag.type == "boolean" then own[name] = true
    elseif flag then
      if value == "" then i = i + 1 value = args[i] end
      own[name] = value or errors.usage("--%s needs a value", name)
    elseif not recipe and not word:find "^%-" then recipe = word
    else rest[#rest + 1] = word end
    i = i + 1
  end
  return options.check(own, flags, "hkrun rehearse"), rest, recipe
end

local function usage()
  log.out "usage: hkrun rehearse RECIPE.lua [flags] [the recipe's own options]"
  for _, f in ipairs(flags) do log.out("  --%-20s %s", f[1], f[2]) end
  return 0
end

return {
  help = "rehearses a recipe against an embedded cloud",
  main = function(args)
    if args[1] == "--help" or args[1] == "-h" then return usage() end
    local o, rest, recipe = arguments(args)
    if not recipe then errors.usage "hkrun rehearse needs a recipe: hkrun rehearse recipes/heroku_to_aws.lua" end
    o.recipe, o.rest = fs.realpath(load.locate(recipe)), rest
    if o.report then
      if not (o.report:find "%.html$" or o.report:find "%.md$") then errors.usage("--report %s ends neither with .html nor with .md", o.report) end
      o.report = o.report:find "^/" and o.report or fs.join(fs.cwd(), o.report)
    end
    return rehearsal(o)
  end,
}
