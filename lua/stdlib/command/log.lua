--- hkrun log RECIPE: what was done, when, how long it took, and by which calls, with the services' request ids.
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
  risk = function(r) return "risk: " .. r.text end,
  destroyed = function() return "nothing left" end,
}

local BEGINS = { intent = true, update = true, delete = true }
local ENDS = { created = true, ready = true, updated = true, deleted = true }

--- Seconds since that was begun of which a record tells the end. Since which ones is kept in `since`.
local function took(rec, since)
  local key = rec.ev == "once" and "once " .. rec.name or rec.ev == "guard" and "guard " .. rec.key or rec.key
  if not key then return nil end
  local begins = BEGINS[rec.ev] or rec.state == "start" or rec.ev == "guard" and (rec.state == "armed" or rec.state == "undoing")
  if begins then
    since[key] = rec.t
    return nil
  end
  local ends = ENDS[rec.ev] or rec.ev == "once" or rec.ev == "guard" and (rec.state == "applied" or rec.state == "undone")
  return ends and since[key] and rec.t - since[key] or nil
end

--- "ec2.CreateVpc 4f1c..., ec2.CreateTags x2 91ab..."
local function calls(by)
  local list = {}
  for i, c in ipairs(by) do
    list[i] = ("%s%s %s"):format(c.call, c.times and " x" .. c.times or "", c.id or "(no request id)")
  end
  return table.concat(list, ", ")
end

local USAGE = {
  "usage: hkrun log RECIPE.lua [--json] [--journal s3://BUCKET/KEY] [the recipe's options that name its target]",
  "Lists what its runs did, when, how long it took, and by which calls, with the request ids of AWS and Heroku.",
}

return {
  help = "what a recipe's runs did, and when",
  main = function(args)
    local o = load.arguments(args, "log")
    if o.help then return load.usage(USAGE) end
    local r = load.upto_options(o, false)
    local records = r.journal:records()
    if not records[1] then
      log.out "never applied"
      return 0
    end
    local since = {}
    for _, rec in ipairs(records) do
      local seconds = took(rec, since)
      if o.json then log.data(json.encode(rec))
      elseif tell[rec.ev] then
        log.out("%s  %s%s%s", rec.at, tell[rec.ev](rec), seconds and (" (%.1f s)"):format(seconds) or "", rec.by and "  by " .. calls(rec.by)
          or "")
      end
    end
    return 0
  end,
}
