--- Gives staging last night's data without anybody's name in it: copies production's PostgreSQL database over that of
--- staging, then runs your SQL on it, which makes personal data unrecognisable, all before staging can be used again. Once a
--- day, however often it is started: for cron. What is in the staging database is lost.
---
---     HKRUN_FROM=postgres://... HKRUN_TO=postgres://... \
---       hkrun recipes/examples/refresh_staging.lua --anonymise anonymise.sql --yes
---
--- anonymise.sql might say
---
---     UPDATE customers SET name = 'Customer ' || id, email = 'customer' || id || '@example.com', phone = NULL;
---
--- It ends with
---
---     Refreshed
---       tables  12
---       rows    48211
local recipe, pg, fs = require "recipe", require "pg", require "fs"

local opt = recipe.options {
  { "from", "URL of production's database (a read-only user will do)", type = "secret", required = true },
  { "to", "URL of staging's", type = "secret", required = true },
  { "anonymise", "file with the SQL that runs on the copy", required = true },
  { "day", "the day that is refreshed once", default = os.date "!%Y-%m-%d" },
}
recipe.need(fs.exists(opt.anonymise), "there is no file %s", opt.anonymise)

recipe.stage "refresh"
recipe.confirm "Drop whatever the staging database holds?"
local done = recipe.once("refresh of " .. opt.day, function()
  local copied = pg.copy { from = opt.from, to = opt.to, reset = true }
  local to <close> = pg.open(opt.to)
  to:exec(fs.read(opt.anonymise))
  local rows = 0
  for _, t in ipairs(copied.tables) do rows = rows + t.rows end
  return { tables = #copied.tables, rows = rows }
end)
if not recipe.is_unknown(done) then recipe.report("Refreshed", { { "tables", done.tables }, { "rows", done.rows } }) end
