--- hkrun report as a command, and its page in a browser, with names in it that would be markup, or turn the line around.
local fs = require "fs"
local judge = dofile "tests/support/page_judge.lua"
local process = require "process"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"

local RECIPE = [=[
--- Keeps notes. And more.
local recipe, fs = require "recipe", require "fs"
local opt = recipe.options { { "shelf", "whose notes", target = true } }
local note = recipe.kind {
  name = "note", options = { { "text", "what it says" } },
  read = function(spec) return fs.exists("n" .. #spec.name) and { id = spec.text, text = spec.text } or nil end,
  create = function(spec) fs.write("n" .. #spec.name, spec.text) return spec.text end,
}
local words = { "<script>document.title = 1</script>", "</table><img src=http://hkrun.invalid/x onerror=alert(1)>", "a|b \"q\" 'p' & `c` <b>",
                "\u{202E}txt.exe", ("long"):rep(60), "http://hkrun.invalid/" .. ("deep/"):rep(40) }
recipe.stage "<b>write</b>"
local rows = { { "words & more", "n" } }
for i, w in ipairs(words) do
  note { w, text = w }
  rows[i + 1] = { w, i * 1000 }
end
recipe.stage "stop"
local stop <close> = recipe.guard { key = "stop", what = "stop " .. words[1], downtime = true, apply = function() end, undo = function() end }
stop:once(words[2], function() end)
stop:keep()
recipe.report(words[1], rows, { head = true })
recipe.report("Moved", { { words[3], words[4] }, { words[5], words[6] } }, { part = "summary" })
local boxes, arrows = {}, {}
for i, w in ipairs(words) do
  boxes[i] = { w, w, id = "b" .. i, tone = ({ "people", "edge", "compute", "store", "watch", "other" })[i] }
  if i > 1 then arrows[i - 1] = { "b1", "b" .. i, w:sub(1, 20) } end
end
recipe.drawing("<i>Before</i>", { about = words[3], rows = { { boxes[1] }, { { words[5], rows = { { boxes[2], boxes[3] }, { boxes[4], boxes[5], boxes[6] } } } } },
  arrows = arrows })
]=]

local function shelf()
  local dir = test.tmpdir()
  fs.write(dir .. "/notes.lua", RECIPE)
  local env = { HOME = dir, PATH = os.getenv "PATH", LANG = "C.UTF-8", NO_COLOR = "1",
                HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB") }
  return dir, function(...) return process.run { exe, env = env, cwd = dir, timeout = 300, ... } end
end

T["a run writes both beside its journal, for its owner only; the command writes them again, or where it is told"] = function()
  local dir, hkrun = shelf()
  local r = hkrun("report", "notes.lua", "--shelf", "a b")
  test.equal(r.code, 2)
  test.match(r.stderr, "notes%.a b was never applied: there is nothing to report")
  r = hkrun("apply", "notes.lua", "--shelf", "a b", "--yes")
  test.equal(r.code, 0, r.stderr)
  test.match(r.stderr, "Report: %.hkrun/notes%.a%%20b%.html, %.hkrun/notes%.a%%20b%.md\n$")
  local html, md = fs.read(dir .. "/.hkrun/notes.a%20b.html"), fs.read(dir .. "/.hkrun/notes.a%20b.md")
  test.equal(fs.stat(dir .. "/.hkrun/notes.a%20b.html").mode & 511, 384)
  r = hkrun("report", "notes.lua", "--shelf", "a b")
  test.equal({ r.stdout, r.stderr, r.code }, { ".hkrun/notes.a%20b.html\n.hkrun/notes.a%20b.md\n", "", 0 })
  test.truthy(fs.read(dir .. "/.hkrun/notes.a%20b.html") == html and fs.read(dir .. "/.hkrun/notes.a%20b.md") == md, "the same again")
  r = hkrun("report", "notes.lua", "--shelf", "a b", "--markdown", "-")
  test.truthy(r.stdout == md, "on standard output")
  test.match(md, "^# notes: a b\n\nKeeps notes%.\n\n%*%*Done%.%*%* ")
  r = hkrun("report", "notes.lua", "--shelf", "a b", "--html", "x.html", "--note", "for <you>")
  test.equal(r.stdout, "x.html\n")
  test.match(fs.read(dir .. "/x.html"), '<p class="note">for &lt;you&gt;</p>')
  r = hkrun("report", "notes.lua", "--shelf", "a b", "--html", "no/where.html")
  test.equal(r.code, 1)
  test.match(r.stderr, "no/where%.html")
  test.match(hkrun("report", "--help").stdout, "%-%-markdown FILE")
end

T["the page in a browser: nothing is fetched or said, nothing is too wide, light and dark, and axe finds no fault"] = function()
  local dir, hkrun = shelf()
  hkrun("apply", "notes.lua", "--shelf", "mine", "--yes")
  local seen = judge({ dir .. "/.hkrun/notes.mine.html" })[1]
  test.equal(seen.at["1440 light"].headings, { "notes: mine", "In short", "Before and after", "Going back", "Timeline", "What the recipe reports",
    "What was made", "Runs" })
end

return T
