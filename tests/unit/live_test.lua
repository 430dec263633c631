--- The view of a run as data: a state, a terminal's size, and the lines that come of them.
local live = require "live"
local pace = require "live.pace"
local scene = require "recipe.scene"
local test = require "test"
local width = require "host.width"
local T = test.cases()

local function stages(words)
  local list = {}
  for name, state in words:gmatch "(%w+)=(%w+)" do list[#list + 1] = { name = name, state = state } end
  return list
end

local STATE = {
  title = "apply move (shop)", done = 12, total = 41, seconds = 245, left = 430,
  stages = stages "audit=done network=done stores=running deploy=todo cutover=todo",
  items = {
    { what = 'wait for aws.db_instance "shop-db"', note = "creating", seconds = 192 },
    { what = "copy Postgres", share = 0.614, count = 1258291200, unit = "bytes", rate = 36700160, left = 21, seconds = 34, note = "12 of 20 steps" },
    { what = "copy Redis", count = 1200, total = 8000, unit = "keys", rate = 512, left = 130, seconds = 3 },
    { what = "日本語の長い名前のキューをコピーする仕事です日本語の長い名前のキュー", count = 12, unit = "jobs", seconds = 3 },
  },
  waits = { { title = "start the app", after = { 'aws.db_instance "shop-db"', "copy Redis" } }, { title = "verify", after = { "start the app" } } },
}

local function lines(state, columns, rows, unicode, paint)
  return live.lines(state, { columns = columns, rows = rows, unicode = unicode, paint = paint })
end

T["at 80x24: the run, its stages, what runs in columns, what waits for what"] = function()
  test.equal(lines(STATE, 80, 24, true), {
    "apply move (shop)  12 of 41 done ─────────── 4 min 5 s so far, about 7 min left",
    " ✓ audit  ✓ network  ▸ stores  · deploy  · cutover",
    ' wait for aws.db_instance "shop-d…  creating                         3 min 12 s',
    " copy Postgres                      ████░░░░   61 %  35.0 MiB/s            34 s",
    " copy Redis                         █░░░░░░░   15 %  512/s                  3 s",
    " 日本語の長い名前のキューをコピー…  12 jobs                                 3 s",
    ' · start the app  waits for aws.db_instance "shop-db", copy Redis',
    " · verify  waits for start the app",
  })
end

T["at 200x50 everything is said; without UTF-8 in plain signs"] = function()
  local list = lines(STATE, 200, 50)
  test.equal(list[2], " x audit  x network  > stores  . deploy  . cutover")
  test.match(list[4], "^ copy Postgres +#######%.%.%.%.%.%.   61 %%  1.2 GiB  35.0 MiB/s  about 20 s left  12 of 20 steps +34 s$")
  test.match(list[5], "^ copy Redis +#%.+   15 %%  1,200 of 8,000 keys  512/s  about 2 min left +3 s$")
end

T["whatever the size, no line is wider than the terminal, and most of its rows stay free"] = function()
  for columns = 1, 140 do
    for _, rows in ipairs { 1, 2, 5, 10, 24, 50 } do
      local list = lines(STATE, columns, rows, columns % 2 == 0)
      test.truthy(#list >= 1 and #list <= math.max(1, rows * 2 // 5), ("%d rows of %dx%d"):format(#list, columns, rows))
      for _, line in ipairs(list) do
        test.truthy(width.of(line) <= math.max(1, columns - 1), ("%dx%d: %s"):format(columns, rows, line))
        test.truthy(utf8.len(line), "no character is cut in two")
      end
    end
  end
end

T["where there is no room the stages go on both sides, and lists say how much more there is"] = function()
  test.equal(lines(STATE, 40, 10, true), {
    "apply move (shop)  12 of 41…  4 min 5 s",
    " ✓ audit  ✓ network  ▸ stores  · deplo…",
    ' copy Postgres  ████░░░░   61 %    34 s',
    " and 3 more: copy Redis, wait for aws.…",
  })
  local far = { title = "apply", stages = stages "one=done two=done three=done four=running five=todo" }
  test.equal(lines(far, 26, 24, true)[2], " … ✓ three  ▸ four  · fi…")
  local many = { title = "apply", items = {}, waits = {} }
  for i = 1, 20 do many.items[i], many.waits[i] = { what = "thing " .. i }, { title = "later " .. i, after = { "thing " .. i } } end
  local list = lines(many, 80, 24)
  test.equal({ #list, list[8], list[9] }, { 9, " and 14 more: thing 7, thing 8, thing 9, thing 10, thing 11, thing 12, thing 1~", " 20 wait" })
end

T["a name cannot move the cursor, and colours do not count"] = function()
  local evil = { items = { { what = "a\27[2Jb\nc\r\u{9b}31md", note = "x\ty" } } }
  test.equal(lines(evil, 80, 24), { " a [2Jb c  31md  x y" })
  local function paint(color, s) return ("<%s>%s</>"):format(color, s) end
  test.match(lines(STATE, 80, 24, true, paint)[4], "<green>████</><dim>░░░░</>   61 %%  35.0 MiB/s")
  test.match(lines(STATE, 80, 24, true, paint)[2], "^ <green>✓ audit</>  <green>✓ network</>  <bold>▸ stores</>  <dim>· deploy</>")
end

T["nothing to say is no line"] = function() test.equal(lines({}, 80, 24), {}) end

-- Rates ----------------------------------------------------------------------

local function near(item) return { math.floor(item.rate + 0.5), math.floor(item.left + 0.5) } end

T["a rate is that of the last seconds, sinks when nothing comes, and says how long the rest takes after a while"] = function()
  local p = { what = "rows", total = 1000, unit = "rows", began = 0, samples = {} }
  pace.sample(p, 0)
  test.equal(pace.line(pace.item(p, 0.2)), "rows")
  p.count = 400                                              -- an earlier run had copied them
  pace.sample(p, 1)
  p.count = 420
  pace.sample(p, 2.5)
  local item = pace.item(p, 3)
  test.equal({ near(item), pace.line(item) }, { { 10, 58 }, "rows, 42 %, 420 of 1,000 rows, 10/s, about 1 min left, 3 s" })
  test.equal({ pace.item(p, 2.9).rate > 10, pace.item(p, 2.9).left }, { true, nil }, "too early")
  test.equal(near(pace.item(p, 21)), { 1, 580 }, "it stands still")
  for now = 4, 40 do
    p.count = 420 + (now - 3) * 2
    pace.sample(p, now)
  end
  test.equal({ near(pace.item(p, 40))[1], #p.samples <= 21 }, { 2, true }, "what was long ago does not count")
  p.count = nil
  test.equal({ pace.item(p, 41).rate, pace.item(p, 41).left }, {})
end

T["a share of the work stands in for a total, and a secret for itself"] = function()
  local p = { what = "copy", unit = "bytes", count = 1048576, share = 0.25, began = 0, samples = {}, note_text = "(secret)" }
  pace.sample(p, 5)
  p.count, p.share = 3145728, 0.5
  pace.sample(p, 7)
  test.equal(pace.line(pace.item(p, 7)), "copy, 50 %, 3.0 MiB, 1.0 MiB/s, (secret), a few s left, 7 s")
end

-- The state, from a journal's records ------------------------------------------

local function entry(key, title, ...)
  return { key = key, action = key:find "^once" and "run" or "create", title = title, stage = "one", after = ... and { ... } or nil }
end

local function run(at, records)
  local list = { { ev = "run", command = "apply", recipe = "move", target = "shop", t = at },
    { ev = "plan", stages = { "one", "two" }, t = at,
      entries = { entry("a.net:n", "net"), entry("a.db:d", "db", "a.net:n"), entry("once:copy", "copy", "a.db:d") } } }
  for _, rec in ipairs(records) do
    rec.t = at + rec.t
    list[#list + 1] = rec
  end
  return list
end

local function state(earlier, records, now, items)
  local s = scene.new(earlier)
  for _, rec in ipairs(records) do s:add(rec) end
  return s:state(now, items)
end

local function whole(at)
  return run(at, { { ev = "stage", name = "one", t = 0 }, { ev = "intent", key = "a.net:n", t = 1 }, { ev = "created", key = "a.net:n", t = 2 },
    { ev = "ready", key = "a.net:n", t = 3 }, { ev = "intent", key = "a.db:d", t = 3 }, { ev = "created", key = "a.db:d", t = 4 },
    { ev = "ready", key = "a.db:d", t = 303 }, { ev = "stage", name = "two", t = 303 }, { ev = "once", name = "copy", state = "start", t = 303 },
    { ev = "once", name = "copy", state = "done", t = 403 }, { ev = "end", state = "done", t = 403 } })
end

T["stages, what is done, and what waits for what"] = function()
  local s = state({}, run(1000, { { ev = "stage", name = "one", t = 0 }, { ev = "intent", key = "a.net:n", t = 1 },
    { ev = "created", key = "a.net:n", t = 2 } }), 1009)
  test.equal({ s.title, s.done, s.total, s.seconds, s.left }, { "apply move (shop)", 0, 3, 9 })
  test.equal(s.stages, { { name = "one", state = "running" }, { name = "two", state = "todo" } })
  test.equal(s.waits, { { title = "db", after = { "net" } }, { title = "copy", after = { "db" } } })
  s = state({}, whole(1000), 2000)
  test.equal({ s.done, s.seconds, s.left, s.waits, s.stages[2].state }, { 3, 403, nil, {}, "done" })
end

T["what is left comes from an earlier run's times or measured rates, and from nothing else"] = function()
  local begun = { { ev = "stage", name = "one", t = 0 }, { ev = "intent", key = "a.net:n", t = 0 }, { ev = "ready", key = "a.net:n", t = 2 },
    { ev = "intent", key = "a.db:d", t = 2 } }
  local s = state(whole(1000), run(5000, begun), 5102)
  test.equal({ s.left, s.at_least }, { 300 - 100 + 100, false })
  s = state({}, run(5000, { table.unpack(begun) }), 5102)
  test.equal(s.left, nil, "without basis nothing is said")
  s = state({}, run(5000, { { ev = "ready", key = "a.net:n", t = 0 }, { ev = "ready", key = "a.db:d", t = 1 },
    { ev = "once", name = "copy", state = "start", t = 1 } }), 5010, { { what = "copy", key = "once:copy", left = 42 } })
  test.equal({ s.left, s.at_least }, { 42, false })
  local other = whole(1000)
  for _, rec in ipairs(other) do
    if rec.key == "a.db:d" then rec.key = "a.db:other" end
    if rec.name == "copy" then rec.name = "another" end
  end
  s = state(other, run(9000, { { ev = "ready", key = "a.net:n", t = 0 } }), 9000)
  test.equal({ s.left, s.at_least }, { 300, true }, "another one of its kind took so long; how long the copy takes nobody knows")
  s = scene.new({}, other)
  for _, rec in ipairs(run(9000, { { ev = "ready", key = "a.net:n", t = 0 }, { ev = "intent", key = "a.db:d", t = 0 } })) do s:add(rec) end
  s = s:state(9060)
  test.equal({ s.left, s.at_least }, { 240, true }, "so long it took for another target of the recipe")
  s = state(whole(1000), run(5000, { { ev = "ready", key = "a.net:n", t = 0 }, { ev = "intent", key = "a.db:d", t = 0 } }), 5999)
  test.equal({ s.left, s.at_least }, { 100, true }, "what takes longer than before is anybody's guess")
end

T["destroy counts what is gone"] = function()
  local s = state({}, { { ev = "run", command = "destroy", recipe = "move", target = "", things = 3, t = 10 },
    { ev = "delete", key = "a.db:d", t = 11 }, { ev = "deleted", key = "a.db:d", t = 12 } }, 15)
  test.equal({ s.title, s.done, s.total, s.seconds }, { "destroy move", 1, 3, 5 })
end

T["a failed run shows where"] = function()
  local s = state({}, run(0, { { ev = "stage", name = "one", t = 0 }, { ev = "end", state = "failed", t = 7 } }), 100)
  test.equal({ s.stages[1].state, s.stages[2].state, s.seconds }, { "failed", "todo", 7 })
end

return T
