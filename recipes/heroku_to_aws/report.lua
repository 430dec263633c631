--- The tables at the end: proof that nothing was lost, how long nobody could write, and what is left for people to do.
local downtime = require "heroku_to_aws.downtime"
local recipe = require "recipe"
local watch = require "heroku_to_aws.watch"

local M = {}

local function thousands(n) return (("%d"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")) end

local function seconds(n) return n and ("%.1f s"):format(n) or "" end

--- What was copied and compared.
local function proof(done)
  if #done.verify.tables > 0 then
    local rows = { { "table", "rows on Heroku", "rows on AWS", "checksum on Heroku", "checksum on AWS" } }
    for _, t in ipairs(done.verify.tables) do
      -- Heroku's materialized view is as old as its last REFRESH, the copy's is new.
      local checksum_a = t.behind == "a" and t.checksum_a .. " (before a REFRESH)" or t.checksum_a
      rows[#rows + 1] = { t.table, t.rows_a, t.rows_b, checksum_a, t.checksum_b }
    end
    recipe.report("PostgreSQL, compared row by row", rows, { head = true })
  end
  if #done.verify.queues > 0 then
    local rows = { { "queue", "state", "jobs on Heroku", "jobs on AWS" } }
    for _, q in ipairs(done.verify.queues) do rows[#rows + 1] = { q.queue, q.state, q.a, q.b } end
    recipe.report("Queues, compared job by job", rows, { head = true })
  end
end

--- Why nobody should be surprised tomorrow.
local function deferred(o)
  local rows = {}
  for _, a in ipairs(o.plan.addons) do
    if a.becomes ~= "moved" then rows[#rows + 1] = { a.plan, a.becomes, a.note } end
  end
  local moved = {}
  for _, name in ipairs(o.plan.domains) do moved[name] = true end
  for _, d in ipairs(o.facts.domains or {}) do
    if d.kind == "custom" and not moved[d.hostname:lower()] then
      rows[#rows + 1] = { d.hostname, "deferred", ("it leads to Heroku: apply with --domain %s, or point it to the new address"):format(d.hostname) }
    end
  end
  if o.facts.release_left then
    rows[#rows + 1] = { "release: " .. o.facts.release_left, "not run", "the docker-compose.yml of the app decides what runs: let it run there" }
  end
  for _, found in ipairs { o.facts.surroundings, o.new.code.surroundings } do table.move(found, 1, #found, #rows + 1, rows) end
  for _, row in ipairs(watch.left(o.watch, o.opt, o.facts)) do rows[#rows + 1] = row end
  if #rows > 0 then recipe.report("Left for you", rows, { part = "left" }) end
end

--- What was compared, in a sentence.
local function compared(verify)
  local rows, jobs, words = 0, 0, {}
  for _, t in ipairs(verify.tables) do rows = rows + t.rows_b end
  for _, q in ipairs(verify.queues) do jobs = jobs + q.b end
  if #verify.tables > 0 then words[1] = ("%s rows of %d tables"):format(thousands(rows), #verify.tables) end
  if verify.keys > 0 then words[#words + 1] = thousands(verify.keys) .. " keys" end
  if jobs > 0 then words[#words + 1] = thousands(jobs) .. " entries of queues" end
  return words[1] and table.concat(words, ", ") .. ": all equal on both sides" or "nothing to compare"
end

--- How PostgreSQL was copied, and what DMS had done of it.
local function copied(c)
  if c.skipped then return "none to copy" end
  if not c.by then return seconds(c.seconds) end
  local words = ("%s, with DMS: %d rows of %d tables loaded"):format(seconds(c.seconds), c.loaded.rows, c.loaded.tables)
  if not c.changes then return words end
  return ("%s before the freeze; then streamed: %d inserts, %d updates, %d deletes"):format(words, c.changes.inserts, c.changes.updates,
    c.changes.deletes)
end

--- Writes the report of a finished cutover.
---@param o { facts: table, plan: table, app: HerokuApp, done: table, since: integer?, url: any, new: table, costs: string? }
function M.write(o)
  if recipe.planning() then return end
  local done = o.done
  proof(done)
  local rows = {
    { "new address", o.url or "(no web process)" },
    { "compared", compared(done.verify) },
    { "copy of PostgreSQL", copied(done.copy.postgres) },
    { "copy of Redis", done.copy.redis.skipped and "none to copy"
      or ("%s, %d keys, all equal"):format(seconds(done.copy.redis.seconds), done.verify.keys) },
    { "write pause", ("%d s, from maintenance mode on to the smoke test passed; %s"):format(done.smoke.at - o.since,
      downtime.words(o.predicted, o.budget)) },
  }
  rows[#rows + 1] = o.costs and { "cost of a month", o.costs } or nil
  if o.facts.release_command then table.insert(rows, 2, { "release phase", o.facts.release_command .. ", once, before anything else ran" }) end
  recipe.report("Moved", rows, { part = "summary" })
  deferred(o)
  recipe.report("How to go back", {
    { "hkrun rollback", ("stops the app on AWS, copies what was written there since %s back to Heroku, and starts it there")
      :format(os.date("!%Y-%m-%d %H:%M:%S UTC", done.smoke.at)) },
    { "by hand", ("without what was written on AWS: heroku ps:scale %s -a %s; heroku maintenance:off -a %s")
      :format(M.scale_words(o.quantities), o.app.name, o.app.name) },
  }, { part = "back" })
end

--- "web=1 worker=2"
function M.scale_words(quantities)
  local words = {}
  for name, n in pairs(quantities) do
    if n > 0 then words[#words + 1] = ("%s=%d"):format(name, n) end
  end
  table.sort(words)
  return table.concat(words, " ")
end

return M
