--- What a report says, whoever writes it down: sections of blocks, made of a journal alone.
---
--- A block is one of
---   { "table", title=, head=, rows= }          head: names of the columns, or none; the first cell of a row names it
---   { "text", "..." }   { "warning", "..." }   { "list", { "...", ... } }
---   { "commands", { { "hkrun ...", "what it does" }, ... } }
---   { "drawing", title=, drawing= }            recipe/report/drawing.lua
---   { "timeline", title=, timeline= }          recipe/timeline.lua
local commands = require "recipe.report.commands"
local destroy = require "recipe.destroy"
local memory = require "recipe.memory"
local plain = require "recipe.plain"
local standing = require "recipe.standing"
local timeline = require "recipe.timeline"

local M = {}

local DRAWN = 6                                              -- runs whose timeline is drawn, the last ones

local function section(doc, id, title, blocks)
  if blocks[1] then doc.sections[#doc.sections + 1] = { id = id, title = title, blocks = blocks } end
end

--- A report of the recipe as a block.
local function block_of(r)
  if r.drawing then return { "drawing", title = r.title, drawing = r.drawing } end
  local rows = table.move(r.rows, 1, #r.rows, 1, {})
  return { "table", title = r.title, head = r.head and table.remove(rows, 1) or nil, rows = rows }
end

--- The recipe's reports for one part of the page; those that name none are of the part "".
local function parts(m, part)
  local list = {}
  for _, r in ipairs(m.reports) do
    if (r.drawing and "drawing" or r.part or "") == part then list[#list + 1] = block_of(r) end
  end
  return list
end

local VERDICTS = {
  ["apply done"] = "Done", ["rollback done"] = "Rolled back", ["destroy done"] = "Destroyed", ["prune done"] = "Done",
}

--- "2026-11-23T10:00:00Z" for people.
local function utc(at) return (tostring(at):gsub("^(%d+%-%d+%-%d+)T(%d+:%d+:%d+)Z$", "%1 %2 UTC")) end

--- Whether the last run goes on while this is written.
local function goes_on(m, lock) return m.last.state == "running" and lock ~= nil and lock.alive end

--- How the last run ended, in a word, in a sentence, and whether that is as it was meant.
local function verdict(m, lock)
  local last, running = m.last, goes_on(m, lock)
  local state = ("%s %s"):format(last.command or "run", last.state)
  local word = VERDICTS[state] or last.state == "stopped" and "Stopped on the way" or last.state == "cancelled" and "Cancelled"
    or running and "Running" or last.state == "running" and "Killed" or "Failed"
  local text = ("%s of %s: %s%s"):format(last.command or "run", utc(last.at), standing.of_run(last, lock), last.error and ". " .. last.error or "")
  return { word = word, good = VERDICTS[state] ~= nil or last.state == "stopped" or running, text = text }
end

local function things(n) return n == 1 and "1 thing" or n .. " things" end

--- How long nobody could use what is moved.
local function downtime(records)
  local rows = {}
  for _, w in ipairs(timeline.windows(records)) do
    rows[#rows + 1] = { "downtime", ("%s, from %s to %s UTC%s"):format(timeline.shown(w.stop - w.start),
      os.date("!%Y-%m-%d %H:%M:%S", math.floor(w.start)), os.date("!%H:%M:%S", math.floor(w.stop)), w.running and ", and goes on" or "") }
  end
  return rows
end

local function summary(o, records)
  local blocks = parts(o.memory, "summary")
  local rows, made, adopted = downtime(records), 0, 0
  for _, key in ipairs(o.memory.order) do
    if o.memory.nouns[key].adopted then adopted = adopted + 1 else made = made + 1 end
  end
  local t = timeline.of(records)
  rows[#rows + 1] = { "last run", ("%s of %s, %s"):format(t.command or "run", utc(t.at), timeline.shown(t.seconds)) }
  rows[#rows + 1] = { "made", ("%s%s"):format(things(made), adopted > 0 and (", and %d taken over"):format(adopted) or "") }
  if blocks[1] and blocks[1][1] == "table" and not blocks[1].head then
    table.move(rows, 1, #rows, #blocks[1].rows + 1, blocks[1].rows)
  else
    table.insert(blocks, 1, { "table", title = "In short", rows = rows })
  end
  return blocks
end

--- What the next step is, where the last run did not come to its end, and what is left for people.
local function left(o)
  local blocks, m = {}, o.memory
  local done, running = m.last.state == "done", goes_on(m, o.lock)
  local open = destroy.open_guards(m)
  for _, key in ipairs(done and {} or m.guard_order) do
    local g = m.guards[key]
    if g.state == "undone" then blocks[#blocks + 1] = { "text", ("Undone again: %s."):format(g.what or key) } end
  end
  for _, g in ipairs(open) do blocks[#blocks + 1] = { "warning", ("Still in force: %s."):format(g.what or g.key) } end
  local todo = memory.left(m)
  if (not done or todo[1]) and not running then
    local again = m.last.command ~= "run" and m.last.command or "apply"
    blocks[#blocks + 1] = { "commands", { { commands.line(o, again), ("goes on from where it stopped%s"):format(open[1]
      and "; what is still in force is finished or undone" or "") } } }
  end
  if todo[1] then
    local rows = {}
    for i, e in ipairs(todo) do rows[i] = { e.title, e.action, e.stage or "" } end
    blocks[#blocks + 1] = { "table", title = "Planned, and not done yet", head = { "what", "how", "stage" }, rows = rows }
  end
  return table.move(parts(m, "left"), 1, 1000, #blocks + 1, blocks)
end

--- How to go back: what is kept and can be undone, and what destroy would delete.
local function back(o)
  local m, list, kept = o.memory, {}, {}
  for i = #m.guard_order, 1, -1 do
    local g = m.guards[m.guard_order[i]]
    if g.state ~= "undone" and not g.lasting then kept[#kept + 1] = g.what or g.key end
  end
  if kept[1] then list[1] = { commands.line(o, "rollback"), "goes back: undoes what is listed below, the last first" } end
  local doomed, spared = destroy.list(m)
  if doomed[1] then
    list[#list + 1] = { commands.line(o, "destroy"), ("deletes what runs made, %s%s"):format(things(#doomed),
      spared[1] and (", and leaves %d that are adopted or kept"):format(#spared) or "") }
  end
  if not list[1] then return parts(m, "back") end
  list[#list + 1] = { commands.line(o, "status"), "says where it stands now" }
  local blocks = { { "commands", list } }
  if kept[1] then blocks[2] = { "list", kept, title = "What a rollback undoes" } end
  return table.move(parts(m, "back"), 1, 1000, #blocks + 1, blocks)
end

local function runs(records)
  local drawn, rows, n = {}, {}, 0
  for _, rec in ipairs(records) do
    if rec.ev == "run" then
      n = n + 1
      local t = timeline.of(records, n)
      rows[n] = { tostring(n), t.command or "run", utc(t.at), timeline.shown(t.seconds), "did not end" }
      if t.bars[1] then drawn[#drawn + 1] = { "timeline", title = ("Run %d: %s of %s"):format(n, t.command or "run", utc(t.at)), timeline = t } end
    elseif rec.ev == "end" and n > 0 then
      rows[n][5] = rec.state .. (rec.error and ": " .. rec.error or "")
    end
  end
  return table.move(drawn, math.max(1, #drawn - DRAWN + 1), #drawn, 1, {}),
    { "table", title = "Runs", head = { "run", "command", "began", "took", "ended" }, rows = rows }
end

local GLOBAL = { iam = true, route53 = true, cloudfront = true, sts = true, organizations = true }

--- Where a thing of AWS stands: as its spec, its name or the run says; services of the whole account stand in none.
local function region_of(n, options)
  if not n.kind:find "^aws%." then return "" end
  local service = n.by and n.by[1] and n.by[1].call:match "^([^.]+)%." or ""
  if GLOBAL[service] then return "global" end
  local by_arn = type(n.id) == "string" and n.id:match "^arn:[^:]*:[^:]*:([^:]+):"
  local said = n.spec and n.spec.region or by_arn or options.region
  return type(said) == "string" and said or ""
end

local function made(m)
  local rows = {}
  for _, key in ipairs(m.order) do
    local n = m.nouns[key]
    rows[#rows + 1] = { n.kind, n.spec and n.spec.name or key:match ":(.*)$" or key, n.id or "", region_of(n, m.options), standing.of_noun(n) }
  end
  return rows[1] and { { "table", title = "What was made", head = { "kind", "name", "id", "region", "note" }, rows = rows } } or {}
end

--- The questions that were answered with yes, and what was allowed although it is dangerous.
local function answers(records)
  local asked, risks, seen = {}, {}, {}
  for _, rec in ipairs(records) do
    if rec.ev == "confirm" then asked[#asked + 1] = { rec.question, "yes, at " .. utc(rec.at) } end
    if rec.ev == "risk" and not seen[rec.text] then
      seen[rec.text], risks[#risks + 1] = true, rec.text
    end
  end
  local blocks = {}
  if asked[1] then blocks[1] = { "table", title = "Asked and answered", head = { "question", "answer" }, rows = asked } end
  if risks[1] then blocks[#blocks + 1] = { "list", risks, title = "Risks that were taken" } end
  return blocks
end

local function options_table(o)
  local rows = {}
  for _, d in ipairs(o.declared) do
    local v = o.memory.options[d[1]]
    if v ~= nil then rows[#rows + 1] = { d[1], plain.show(v), d[2] or "" } end
  end
  return rows[1] and { "table", title = "Options of the last run", head = { "option", "value", "what it is" }, rows = rows } or nil
end

--- The recipe's name, and what it was for: "heroku_to_aws: shop, us-east-1".
local function title_of(o)
  local words = {}
  for _, d in ipairs(o.declared) do
    if d.target then words[#words + 1] = plain.show(o.memory.options[d[1]]) end
  end
  return o.recipe .. (words[1] and ": " .. table.concat(words, ", ") or "")
end

--- The report as a document.
---@param o { recipe: string, target: string, file: string, about: string?, declared: table[], memory: table, records: table[],
---  lock: table?, note: string?, journal: string? } journal: as --journal takes it, where it is not in the usual folder
---@return { title: string, about: string?, verdict: table, note: string?, as_of: string, sections: table[] }
function M.of(o)
  local m, records = o.memory, o.records
  local how = verdict(m, o.lock)
  local last = records[#records]
  local doc = {
    title = title_of(o), about = o.about, verdict = how, note = o.note, sections = {},
    as_of = ("As the journal stood at %s."):format(utc(last.at)),
  }
  local drawn, run_table = runs(records)
  section(doc, "summary", "In short", summary(o, records))
  section(doc, "drawings", "Before and after", parts(m, "drawing"))
  section(doc, "left", "Left to do", left(o))
  section(doc, "back", "Going back", back(o))
  section(doc, "timeline", "Timeline", drawn)
  section(doc, "reports", "What the recipe reports", parts(m, ""))
  section(doc, "made", "What was made", made(m))
  section(doc, "answers", "Answers and risks", answers(records))
  section(doc, "runs", "Runs", { run_table, options_table(o) })
  return doc
end

return M
