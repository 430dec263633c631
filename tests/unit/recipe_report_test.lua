--- The report of a recipe's runs: its numbers are the journal's, what is hostile in it stays text, and it says what to do next.
local drawing = require "recipe.report.drawing"
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local lab_of = dofile "tests/support/recipe_lab.lua"
local load = require "recipe.load"
local process = require "process"
local recipe = require "recipe"
local report = require "recipe.report"
local secret = require "secret"
local test = require "test"
local timeline = require "recipe.timeline"
local xml = require "xml"
local T = test.cases()

local HOSTILE = {
  "<script>alert(1)</script>", "a|b", "two\nlines", [["quoted" & 'more']], "`code` **bold** _under_ [a](http://x)", "x\u{202E}gpj.exe",
  "</td></table><img src=x onerror=alert(1)>", "# head", "a\\|b", "~~~", "&lt;b&gt;", "1. item", "caf\u{E9} \u{1F600}",
}

--- What a cell of the page must say: hostile marks become visible, control characters blanks.
local function shown(s) return (tostring(s):gsub("\n", " "):gsub("\u{202E}", "[U+202E]")) end

local function text_of(node)
  local words = { node.text }
  for _, child in ipairs(node.children) do words[#words + 1] = text_of(child) end
  return table.concat(words)
end

--- Calls fn with each element, and with the section that it stands in.
local function each(node, fn, section)
  if node.name == "section" then section = node.children[1].attrs.id end
  fn(node, section)
  for _, child in ipairs(node.children) do each(child, fn, section) end
end

--- The tables of a page by their captions: rows of cells.
local function tables_of(page)
  local found = {}
  each(page, function(node)
    if node.name ~= "table" then return end
    local title, rows = nil, {}
    each(node, function(n)
      if n.name == "caption" then title = n.text end
      if n.name == "tr" then
        local cells = {}
        for i, c in ipairs(n.children) do cells[i] = c.text end
        rows[#rows + 1] = cells
      end
    end)
    found[title] = rows
  end)
  return found
end

local function loaded(lab, fn)
  return load.upto_options({ recipe = { name = "lab", file = "lab.lua", chunk = fn }, rest = {}, dir = lab.dir }, false)
end

--- The page of a lab's journal, parsed.
local function page_of(lab, fn)
  local r = loaded(lab, fn)
  local html = report.text(report.document(r), "html")
  return test.truthy(xml.decode(html), "well-formed"), html, r
end

local function rich(lab)
  return function()
    recipe.stage "one"
    local a = lab.thing { "a", size = 1 }
    lab.thing { "b", part_of = a, size = 2 }
    for i, words in ipairs(HOSTILE) do lab.thing { ("h%d %s"):format(i, (words:gsub("\n", " "))) } end
    recipe.stage "two <b>"
    recipe.confirm("Really | <go>?")
    recipe.once("work", function() return 1 end)
    local stop <close> = recipe.guard { key = "stop", what = "stop <the app>", downtime = true, apply = function() end, undo = function() end }
    stop:once("copy", function() return 2 end)
    stop:keep()
    local rows = { { "words", "n" } }
    for i, words in ipairs(HOSTILE) do rows[i + 1] = { words, i } end
    recipe.report("Hostile <words>", rows, { head = true })
    recipe.report("Moved", { { "rows", "12,345, all equal" }, { "token", secret.new "geheim" } }, { part = "summary" })
    recipe.report("By hand", { { "do", "this" } }, { part = "left" })
    recipe.report("How to go back", { { "rollback", "does it" } }, { part = "back" })
    recipe.drawing("Before", { about = "it <was>", rows = { { { "web", "1 x <dyno>", id = "w" } }, { { "db", tone = "store" } } },
      arrows = { { "w", "db", "SQL | \"x\"" } } })
  end
end

T["each table of the page, and each of the Markdown, says what the journal says, hostile words too"] = function()
  local lab = lab_of()
  lab:apply(rich(lab))
  local page, html, r = page_of(lab, rich(lab))
  local tables = tables_of(page)
  local checked = 0
  for _, rec in ipairs(r.journal:records()) do
    if rec.ev == "report" and not rec.drawing and rec.part ~= "summary" then
      local want = {}
      for i, row in ipairs(rec.rows) do
        want[i] = {}
        for j, cell in ipairs(row) do want[i][j] = shown(cell) end
      end
      test.equal(tables[rec.title], want, rec.title)
      checked = checked + 1
    end
  end
  test.equal(checked, 3)
  local facts = {}
  each(page, function(n)
    if n.name == "div" and n.children[1] and n.children[1].name == "dt" then facts[text_of(n.children[1])] = text_of(n.children[2]) end
  end)
  test.equal({ facts.rows, facts.token }, { "12,345, all equal", "(secret)" })
  test.truthy(not html:find "geheim")
  local md = report.text(report.document(r), "md")
  local cells = {}
  for line in md:gmatch "[^\n]+" do
    if line:find "^| " then
      local inner = line:sub(3, -3):gsub("\\\\", "\0"):gsub("\\|", "\1")
      local first = inner:match "^(.-) | " or inner
      first = first:gsub("\0", "\\\\"):gsub("\1", "|"):gsub("\\(%p)", "%1"):gsub("&lt;", "<"):gsub("&gt;", ">"):gsub("&amp;", "&")
      cells[first] = true
    end
  end
  for _, words in ipairs(HOSTILE) do test.truthy(cells[shown(words)], "in the Markdown: " .. words) end
  local markup = md:gsub("\n```.-\n```\n", "\n")              -- in a fence all is text
  test.truthy(not markup:find("<[%a/]") and not md:find("\u{202E}", 1, true), markup)
end

T["nothing in the page is fetched or run, and what is hostile is text"] = function()
  local lab = lab_of()
  lab:apply(rich(lab))
  local page, html = page_of(lab, rich(lab))
  local ids, links, last = {}, {}, 0
  each(page, function(n)
    test.truthy(not ({ script = 1, img = 1, iframe = 1, object = 1, form = 1, base = 1, b = 1 })[n.name], "an element " .. n.name)
    for name, value in pairs(n.attrs) do
      test.truthy(not name:find "^on" and name ~= "src" and name ~= "style", "the attribute " .. name)
      if name == "href" then test.truthy(value:find "^#" or value == "data:,", value) end
      if name == "id" then
        test.truthy(not ids[value], "two of the id " .. value)
        ids[value] = true
      end
    end
    if n.attrs.href then links[#links + 1] = n.attrs.href:match "^#(.*)" end
    for id in (n.attrs["aria-labelledby"] or ""):gmatch "%S+" do links[#links + 1] = id end
    local level = tonumber(n.name:match "^h(%d)$")
    if level then
      test.truthy(level <= last + 1, "a heading of level " .. level .. " below one of level " .. last)
      last = level
    end
    if n.name == "th" then test.truthy(n.attrs.scope, "the scope of " .. n.text) end
    if n.name == "table" then test.equal(n.children[1].name, "caption") end
  end)
  for _, id in ipairs(links) do test.truthy(ids[id], "what #" .. id .. " leads to") end
  test.truthy(not html:find("@import", 1, true) and not html:find("url(h", 1, true))
  test.match(html, '^<!DOCTYPE html>\n<html lang="en"')
end

T["the bars of the timeline begin and end when the journal says so"] = function()
  local lab = lab_of()
  lab:apply(rich(lab))
  local page, _, r = page_of(lab, rich(lab))
  local t = timeline.of(r.journal:records())
  local rows, bars = {}, {}
  each(page, function(n, section)
    local cells = n.children
    if section ~= "timeline" or n.name ~= "tr" or #cells ~= 4 or cells[1].name ~= "th" or cells[1].attrs.scope ~= "row" then return end
    rows[#rows + 1] = { cells[1].text, cells[2].children[1].attrs.datetime, cells[3].children[1].attrs.datetime }
    local drawn = cells[4].children[1].children
    local bar = drawn[#drawn].attrs
    bars[#bars + 1] = { tonumber(bar.x:match "^(.*)%%$"), tonumber(bar.width:match "^(.*)%%$"), drawn[1].attrs.class }
  end)
  test.equal(#rows, #t.bars)
  test.truthy(#rows > #HOSTILE + 4, #rows .. " bars")
  for i, b in ipairs(t.bars) do
    local second, thousandths = math.floor(b.start), math.floor(b.start % 1 * 1000 + 0.5)
    test.equal(rows[i], { shown(b.title), ("%s.%03dZ"):format(os.date("!%Y-%m-%dT%H:%M:%S", second), thousandths),
      ("PT%.3fS"):format(b.stop - b.start) })
    local from, wide = (b.start - t.start) / t.seconds * 100, (b.stop - b.start) / t.seconds * 100
    test.truthy(math.abs(bars[i][1] - math.min(from, 99.6)) < 0.001 and math.abs(bars[i][2] - math.max(0.4, wide)) < 0.001, "the bar of " .. b.title)
    test.equal(bars[i][3], "down", "the downtime behind " .. b.title)
  end
  local armed, kept
  for _, rec in ipairs(r.journal:records()) do
    if rec.ev == "guard" and rec.state == "armed" then armed = rec.t end
    if rec.ev == "guard" and rec.state == "kept" then kept = rec.t end
  end
  test.equal({ t.windows[1].start, t.windows[1].stop, t.windows[1].running }, { armed, kept, nil })
end

T["what was made is what the journal knows, with its region, and in the order in which it was made"] = function()
  local lab = lab_of()
  local role = lab.kind("aws.role_of_a_test", { create = function(spec)
    require "calls".note("iam.CreateRole", "r1")
    lab.things["role-1"] = { id = "role-1", name = spec.name }
    return "role-1"
  end })
  local function fn()
    lab.thing { "a" }
    role { "machine" }
  end
  lab:apply(fn)
  local page, _, r = page_of(lab, fn)
  test.equal(tables_of(page)["What was made"], { { "kind", "name", "id", "region", "note" },
    { "lab.thing", "a", r.memory.nouns["lab.thing:a"].id, "", "" }, { "aws.role_of_a_test", "machine", "role-1", "global", "" } })
end

T["a run that failed says how to go on, what is left, and what is still in force"] = function()
  local lab = lab_of()
  local broken = true
  local function fn()
    local hold <close> = recipe.guard { key = "hold", what = "hold the door", downtime = true, apply = function() end,
      undo = function() if broken then errors.raise { kind = "remote", message = "it is stuck" } end end }
    recipe.once("carry", function() errors.raise { kind = "remote", message = "too <heavy>" } end)
    hold:keep()
  end
  pcall(lab.apply, lab, fn)
  local page, html = page_of(lab, fn)
  test.match(html, '<p class="verdict bad"><strong>Failed</strong>apply of [^<]+: failed%. ')
  local said = {}
  each(page, function(n)
    if n.attrs.class == "warning" or n.name == "code" then said[#said + 1] = n.text end
  end)
  test.equal(said, { "Still in force: hold the door.", "hkrun apply lab.lua --journal " .. lab.dir, "hkrun rollback lab.lua --journal " .. lab.dir,
    "hkrun status lab.lua --journal " .. lab.dir })
  test.equal(tables_of(page)["Planned, and not done yet"], { { "what", "how", "stage" }, { "hold the door", "run", "" }, { "carry", "run", "" } })
  test.truthy(fs.exists(lab.dir .. "/lab.html") and fs.exists(lab.dir .. "/lab.md"), "written by the run that failed")
  broken = false
  pcall(lab.apply, lab, fn)
  html = select(2, page_of(lab, fn))
  test.match(html, "undo: hold the door")
  test.truthy(not html:find "Still in force" and html:find("<p>Undone again: hold the door.</p>", 1, true))
end

T["a run that goes on is told from one that was killed, and one that --until stopped is no failure"] = function()
  local lab = lab_of()
  local function fn()
    recipe.stage "one"
    lab.thing { "a" }
    recipe.stage "two"
    lab.thing { "b" }
  end
  lab:apply(fn, { until_stage = "two" })
  local function verdict(lock)
    local r = loaded(lab, fn)
    if lock ~= nil then r.memory.last.state = "running" end
    local doc = require "recipe.report.document".of { recipe = "lab", target = "", file = "lab.lua", declared = {}, memory = r.memory,
      records = r.journal:records(), lock = lock and { alive = lock == "alive", pid = 7, user = "ann", host = "h", since = "now" } or nil }
    local again
    for _, s in ipairs(doc.sections) do
      if s.id == "left" then again = s.blocks[1][1] == "commands" and s.blocks[1][2][1][1] end
    end
    return { doc.verdict.word, doc.verdict.good, again }
  end
  test.equal(verdict(nil), { "Stopped on the way", true, "hkrun apply lab.lua" })
  test.equal(verdict "alive", { "Running", true })
  test.equal(verdict "dead", { "Killed", false, "hkrun apply lab.lua" })
end

T["a report that cannot be written is said, and is no failure"] = function()
  local lab = lab_of()
  fs.mkdir_p(lab.dir .. "/lab.html")
  test.equal(lab:apply(function() lab.thing { "a" } end), 0)
  test.match(lab:text(), "warning: the report could not be written: ")
  test.match(lab:text(), "\nDone: 1 created%.\n")
end

T["the options of a run stand in its commands as a shell reads them"] = function()
  local commands = require "recipe.report.commands"
  local o = {
    file = "my recipes/it's.lua", journal = "s3://bucket/a key",
    declared = { { "app", target = true }, { "region", target = true, default = "us-east-1" }, { "jobs", default = 2 }, { "names", type = "list" },
      { "on", default = true }, { "off", default = false }, { "words" }, { "deep" } },
    memory = { options = { app = "sh$op", region = "us-east-1", jobs = 4, names = { "a.b", "c" }, on = false, off = true, words = "x `y` \"z\"",
      deep = { { 1 } } } },
  }
  local function words(verb)
    local line = commands.line(o, verb):gsub("^hkrun", "printf '%%s\\n'")
    local list = {}
    for word in process.run({ "sh", "-c", line }).stdout:gmatch "[^\n]+" do list[#list + 1] = word end
    return table.concat(list, "\n")
  end
  test.equal(words "rollback", "rollback\nmy recipes/it's.lua\n--app\nsh$op\n--journal\ns3://bucket/a key")
  test.equal(words "apply", "apply\nmy recipes/it's.lua\n--app\nsh$op\n--jobs\n4\n--names\na.b,c\n--on=false\n--off\n--words\nx `y` \"z\"\n"
    .. "--journal\ns3://bucket/a key")
end

T["drawing: boxes of a group are inside it, no two overlap, and arrows end at their edges"] = function()
  local d = drawing.check { rows = {
    { { "people", tone = "people" }, { "dns", "a long note that has to be wrapped because it is long" } },
    { { "vpc", "10.0.0.0/16", id = "v", rows = { { { "one" }, { "two", "x" } }, { { "inner", rows = { { { "three" } } } } } } }, { "beside" } },
    {}, { false, { "last" } },
  }, arrows = { { "people", "one", "HTTPS" }, { "one", "three" }, { "two", "three" }, { "one", "two" }, { "three", "last" }, { "last", "gone" },
                false } }
  test.equal(#d.arrows, 5)
  local at = drawing.layout(d)
  local by = {}
  for _, b in ipairs(at.boxes) do
    by[b.id] = b
    test.truthy(b.x >= 0 and b.y >= 0 and b.x + b.w <= at.w and b.y + b.h <= at.h, b.id .. " is on the sheet")
  end
  local function is_inside(a, g) return a.x > g.x and a.y > g.y and a.x + a.w < g.x + g.w and a.y + a.h < g.y + g.h end
  for _, pair in ipairs { { "one", "v" }, { "two", "v" }, { "inner", "v" }, { "three", "inner" } } do
    test.truthy(is_inside(by[pair[1]], by[pair[2]]), pair[1] .. " in " .. pair[2])
  end
  for _, a in ipairs(at.boxes) do
    for _, b in ipairs(at.boxes) do
      local apart = a.x + a.w <= b.x or b.x + b.w <= a.x or a.y + a.h <= b.y or b.y + b.h <= a.y
      test.truthy(a == b or apart or is_inside(a, b) or is_inside(b, a), a.id .. " beside " .. b.id)
    end
  end
  for i, ends in ipairs { { "people", "one" }, { "one", "three" }, { "two", "three" }, { "one", "two" }, { "three", "last" } } do
    for j, which in ipairs { "from", "to" } do
      local b, p = by[ends[j]], at.arrows[i][which]
      local on_side = (p[1] == b.x or p[1] == b.x + b.w) and p[2] >= b.y and p[2] <= b.y + b.h
      local on_end = (p[2] == b.y or p[2] == b.y + b.h) and p[1] >= b.x and p[1] <= b.x + b.w
      test.truthy(on_side or on_end, ("arrow %d %s %s"):format(i, which, ends[j]))
    end
  end
end

T["drawing: what is none is refused with a sentence, and a plan of the recipe does so too"] = function()
  for pattern, wrong in pairs {
    ["needs { rows"] = {}, ["a box is"] = { rows = { { "text" } } }, ["two boxes a"] = { rows = { { { "a" }, { "a" } } } },
    ["no tone pink, but people"] = { rows = { { { "a", tone = "pink" } } } }, ["no colour"] = { rows = { { { "a", colour = "red" } } } },
    ["one of them is a group"] = { rows = { { { "g", rows = { { { "a" } } } } } }, arrows = { { "a", "g" } } },
    ["an arrow is"] = { rows = { { { "a" } } }, arrows = { { "a" } } },
  } do test.raises(pattern, drawing.check, wrong) end
  local lab = lab_of()
  test.raises("no tone pink", lab.plan, lab, function() recipe.drawing("D", { rows = { { { "a", tone = "pink" } } } }) end)
end

T["drawing: what exists only after apply is drawn as such in a plan, a secret never, and nothing of it is printed"] = function()
  local lab = lab_of()
  local function fn()
    local a = lab.thing { "a" }
    recipe.drawing("After", { rows = { { { "box", a.id, secret.new "geheim" } } } })
  end
  test.equal(lab:plan(fn).reports[1].drawing.rows[1][1].words[2], "(known after apply)")
  lab:apply(fn)
  test.truthy(not lab:text():find "After")
  local _, html, r = page_of(lab, fn)
  test.equal(r.memory.reports[1].drawing.rows[1][1].words[2], r.memory.nouns["lab.thing:a"].id)
  test.match(html, "%(secret%)")
  local md = report.text(report.document(r), "md")
  local want = ('```mermaid\nflowchart TB\n  n1["box, %s, (secret)"]\n```\n'):format(r.memory.nouns["lab.thing:a"].id)
  test.truthy(md:find(want, 1, true), md)
end

T["reports of an earlier version, without head and part, are shown as they were"] = function()
  local document = require "recipe.report.document"
  local memory = require "recipe.memory"
  local records = {
    { ev = "run", n = 1, command = "apply", at = "2026-11-01T00:00:00Z", t = 100.0, options = {} },
    { ev = "report", title = "Old", rows = json.array { json.array { "a", "b" } }, t = 101.0 },
    { ev = "end", state = "done", at = "2026-11-01T00:00:05Z", t = 105.0 },
  }
  local m = memory.new()
  for _, rec in ipairs(records) do memory.add(m, rec) end
  local doc = document.of { recipe = "old", target = "", file = "old.lua", declared = {}, memory = m, records = records }
  local html = report.text(doc, "html")
  test.equal(tables_of(xml.decode(html)).Old, { { "a", "b" } })
  test.match(html, "last run</dt><dd><strong>apply of 2026%-11%-01 00:00:00 UTC</strong><span>, 5%.0 s</span></dd>")
end

return T
