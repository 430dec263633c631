--- hkrun plan RECIPE: what apply would do. Changes nothing; writes nothing but the file of --out.
local apply = require "recipe.apply"
local errors = require "errors"
local json = require "json"
local load = require "recipe.load"
local log = require "log"
local plan = require "recipe.plan"
local saved = require "recipe.saved"

local USAGE = {
  "usage: hkrun plan RECIPE.lua [--out FILE] [--json] [--detailed-exitcode] [--until STAGE | --only STAGE] [--adopt]",
  "                             [--config FILE.yml] [--journal s3://BUCKET/KEY] [the recipe's options]",
  "Shows what apply would do; changes nothing. --out saves it, and `hkrun apply FILE` does exactly that.",
  "--detailed-exitcode: 0 no changes, 2 changes, 1 an error. `hkrun plan RECIPE.lua --help` lists the recipe's options.",
}

local function show(o)
  local r = apply.plan(o, load.file(o.recipe), false)
  if o.out then saved.write(o.out, r, o) end
  if o.json then
    log.data(json.encode(plan.data(r), { pretty = true }))
  else
    apply.print_plan(r, log.out)
    apply.print_reports(r.reports)
    if o.out then log.out("Saved in %s. `hkrun apply %s` does exactly this.", o.out, o.out) end
  end
  return o["detailed-exitcode"] and not plan.empty(r.entries) and 2 or 0
end

return {
  help = "shows what apply would do; changes nothing",
  main = function(args)
    local o = load.arguments(args, "plan")
    if o.help then return load.help(o, USAGE) end
    local ok, code = xpcall(show, errors.handler, o)
    if ok then return code end
    if o["detailed-exitcode"] and errors.is(code, "usage") then code.kind = "invalid" end   -- 2 says: there are changes
    error(code, 0)
  end,
}
