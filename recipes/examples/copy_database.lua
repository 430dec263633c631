--- Copies one PostgreSQL database into another, empty one, and compares them row by row. The URLs hold passwords, so they
--- come from the environment: HKRUN_FROM and HKRUN_TO.
---
---     HKRUN_FROM=postgres://... HKRUN_TO=postgres://... hkrun recipes/examples/copy_database.lua
local recipe, pg = require "recipe", require "pg"

local opt = recipe.options {
  { "from", "URL of the source", type = "secret", required = true },
  { "to", "URL of the empty target", type = "secret", required = true },
  { "jobs", "tables to copy side by side", default = 2 },
}

recipe.stage "check"
for _, f in ipairs(pg.check { from = opt.from, to = opt.to }) do
  recipe.need(f.severity ~= "error", "%s: %s; %s", f.name, f.value, f.remedy or "")
end

recipe.stage "copy"
recipe.once("copy", function() pg.copy { from = opt.from, to = opt.to, jobs = opt.jobs, restart = true } end)

recipe.stage "compare"
local rows = recipe.once("compare", function()
  local list = { { "table", "rows", "checksum" } }
  for _, t in ipairs(pg.same { opt.from, opt.to, jobs = opt.jobs }) do
    list[#list + 1] = { t.table, t.rows_a, tostring(t.checksum_a) }
  end
  return list
end)
if not recipe.planning() then recipe.report("Equal on both sides", rows) end
