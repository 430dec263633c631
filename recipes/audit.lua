--- Looks at apps on Heroku, and says all that a move depends on: what must be decided first, then processes, add-ons and their
--- prices, config vars by name and class, domains, drains, pipelines, spaces, people; and what PostgreSQL and Redis say of
--- themselves. Only reads, with a Heroku token alone. No value of a config var, no row and no job is in what it writes.
---
---     hkrun recipes/audit.lua --app shop
---     hkrun recipes/audit.lua --pipeline shop --write audit.json,audit.md
---     hkrun recipes/audit.lua --app shop --diff audit.json
---
--- `require "audit.read"` gives the same as a table.
local fs, json = require "fs", require "json"
local diff, notable, read, write = require "audit.diff", require "audit.notable", require "audit.read", require "audit.write"
local proposal, recipe = require "audit.proposal", require "recipe"
local stage, report, need = recipe.stage, recipe.report, recipe.need

local opt = recipe.options {
  { "app", "Heroku apps to look at (default: all that the token can see)", type = "list", default = {} },
  { "pipeline", "look at the apps of this pipeline" },
  { "stores", "look into PostgreSQL and Redis too", default = true },
  { "write", "files to write the audit to: NAME.json, NAME.md", type = "list", default = {} },
  { "diff", "JSON of an earlier audit: say what has changed since" },
  { "region", "AWS region for the cost (default: that nearest to Heroku's)" },
  { "live_prices", "ask AWS for its prices, instead of the table's (it needs credentials of AWS)", default = false },
  { "traffic_gigabytes", "what leaves for the internet in a month, for the cost", type = "integer" },
  { "log_gigabytes", "what the app prints in a month, for the cost", type = "integer" },
}
for _, path in ipairs(opt.write) do need(path:find "%.json$" or path:find "%.md$", "--write: %s ends neither with .json nor with .md", path) end
need(not opt.diff or fs.exists(opt.diff), "--diff: there is no file %s", opt.diff)

stage "look"
local audit = read { apps = opt.app, pipeline = opt.pipeline, stores = opt.stores }

stage "say"
local decide = notable.rows(audit, true)
if decide[1] then report("To decide", { { "app", "what is so", "what to decide" }, table.unpack(decide) }, { head = true }) end
local rows = { { "app", "region", "stack", "dynos", "add-ons", "config vars", "not read" } }
for _, app in ipairs(audit.apps) do
  local dynos = 0
  for _, p in ipairs(app.formation or {}) do dynos = dynos + p.quantity end
  rows[#rows + 1] = { app.name, app.region, app.stack, dynos, #(app.addons or {}), #(app.config or {}), #app.gaps }
end
report("Apps", rows, { head = true })
local gaps = write.gaps(audit)
if gaps[1] then report("Not read", { { "of", "what", "why" }, table.unpack(gaps) }, { head = true }) end
if opt.diff then
  local earlier = json.decode(fs.read(opt.diff))
  need(type(earlier) == "table" and earlier.format == audit.format, "--diff: %s is no audit of this version of hkrun", opt.diff)
  local changes = diff.rows(earlier, audit)
  local title = (changes[1] and "Changed" or "Nothing has changed") .. " since " .. opt.diff
  report(title, { { "what", "before", "now" }, table.unpack(changes) }, { head = true })
end
for _, found in ipairs(proposal.tables(audit, opt)) do report(found[1], found[2], { head = true }) end  -- what it becomes on AWS, and what it costs
for _, path in ipairs(opt.write) do                    -- also in a plan: that is all that this recipe does
  fs.write(path, path:find "%.json$" and json.encode(audit, { pretty = true, sort = true }) .. "\n" or write.markdown(audit))
end
