--- hkrun log RECIPE: what was done, when.
local json = require "json"
local load = require "recipe.load"
local log = require "log"

local tell = {
  run = function(r) return ("%s begins (run %d)"):format(r.command or "run", r.n) end,
  ["end"] = function(r) return r.state .. (r.error and ": " .. r.error or "") end,
  plan = function(r) return ("%d things to do"):format(#r.entries) end,
  stage = function(r) return "stage " .. r.name end,
  intent = function(r) return "create " .. r.key end,
  created = function(r) return ("created %s as %s"):format(r.key, r.id) end,
  ready = function(r) return r.key .. " is ready" end,
  found = function(r) return ("%s %s as %s"):format(r.adopted and "adopted" or "found", r.key, r.id) end,
  update = function(r) return ("change %s: %s"):format(r.key, table.concat(r.fields, ", ")) end,
  updated = function(r) return "changed " .. r.key end,
  delete = function(r) return ("delete %s (%s)"):format(r.key, r.id) end,
  deleted = function(r) return "deleted " .. r.key end,
  once = function(r) return (r.state == "done" and "ran " or "run ") .. r.name end,
  guard = function(r) return ("%s: %s"):format(r.what or r.key, r.state) end,
  lock = function(r) return ("taken over from process %s on %s, which is dead"):format(tostring(r.from.pid), tostring(r.from.host)) end,
  confirm = function(r) return "answered yes: " .. r.question end,
  report = function(r) return "report " .. r.title end,
  destroyed = function() return "nothing left" end,
}

return {
  help = "what a recipe's runs did, and when",
  main = function(args)
    local o = load.arguments(args, "log")
    local r = load.upto_options(o, false)
    local records = r.journal:records()
    if not records[1] then
      log.out "never applied"
      return 0
    end
    for _, rec in ipairs(records) do
      if o.json then log.out("%s", json.encode(rec))
      elseif tell[rec.ev] then log.out("%s  %s", rec.at, tell[rec.ev](rec)) end
    end
    return 0
  end,
}
