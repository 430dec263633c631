--- What must come before what, when it was done, and by which calls.
local calls = require "calls"
local json = require "json"
local lab_of = dofile "tests/support/recipe_lab.lua"
local recipe = require "recipe"
local task = require "task"
local test = require "test"
local text = require "text"
local timeline = require "recipe.timeline"
local T = test.cases()

local function after_of(run)
  local map = {}
  for _, e in ipairs(run.entries) do
    local list = table.move(e.after or {}, 1, #(e.after or {}), 1, {})
    table.sort(list)
    map[e.key] = table.concat(list, " ")
  end
  return map
end

T["a noun waits for those whose outputs its spec holds, however deep and however joined"] = function()
  local lab = lab_of()
  local after = after_of(lab:plan(function()
    local a, b, c = lab.thing { "a" }, lab.thing { "b" }, lab.thing { "c" }
    lab.thing { "one", part_of = a }
    lab.thing { "joined", zone = text("%s,%s", a.id, b.address) }
    lab.thing { "deep", labels = { { c.id }, "x" } }
    lab.thing { "alone", zone = "z" }
  end))
  test.equal({ after["lab.thing:one"], after["lab.thing:joined"], after["lab.thing:deep"], after["lab.thing:alone"], after["lab.thing:b"] },
    { "lab.thing:a", "lab.thing:a lab.thing:b", "lab.thing:c", "", "" })
end

T["a name in a field that is called like the kind is data too"] = function()
  local lab = lab_of()
  local zone = lab.kind("lab.dns_zone", {})
  local after = after_of(lab:plan(function()
    zone { "east" }
    lab.thing { "a", zone = "east" }
    lab.thing { "deep", labels = { { HostedDnsZone = "east" } } }
    lab.thing { "east" }
    lab.thing { "other", labels = { "east" } }
  end))
  test.equal({ after["lab.thing:a"], after["lab.thing:deep"], after["lab.thing:east"], after["lab.thing:other"] },
    { "lab.dns_zone:east", "lab.dns_zone:east", "", "" })
end

T["a verb comes after all that stands before it, and before what stands behind; side by side there is no order"] = function()
  local lab = lab_of()
  local after = after_of(lab:plan(function()
    lab.thing { "a" }
    task.all {
      x = function()
        lab.thing { "b" }
        recipe.once("in x", function() return 1 end)
        lab.thing { "c" }
      end,
      y = function() lab.thing { "d" } end,
    }
    recipe.once("last", function() return 2 end)
    recipe.once("very last", function() return 2 end)
    lab.thing { "e" }
  end))
  test.equal({ after["once:in x"], after["lab.thing:c"], after["lab.thing:d"] }, { "lab.thing:a lab.thing:b", "once:in x", "" })
  test.equal({ after["once:last"], after["once:very last"], after["lab.thing:e"] },
    { "lab.thing:c lab.thing:d once:in x", "once:last", "once:very last" })
end

T["what a map does has the list's order in a plan, whoever works on it, and no other"] = function()
  local lab = lab_of()
  local list = {}
  for i = 1, 20 do list[i] = ("n%02d"):format(i) end
  local run = lab:plan(function()
    task.map(list, function(name)
      recipe.once("verb " .. name, function() end)
      lab.thing { name }
    end, { limit = 3 })
  end)
  local order = {}
  for _, e in ipairs(run.entries) do order[#order + 1] = e.key:match "^lab.thing:(.*)$" end
  test.equal(order, list)
  local after = after_of(run)
  test.equal({ after["once:verb n01"], after["once:verb n20"], after["lab.thing:n20"] }, { "", "", "once:verb n20" })
end

local function rec(ev, t, more)
  more = more or {}
  more.ev, more.t, more.at = ev, t, "2026-01-01T00:00:00Z"
  return more
end

local RUN = {
  rec("run", 0, { command = "apply", n = 1 }), rec("end", 5, { state = "done" }),
  rec("run", 100, { command = "apply", n = 2 }),
  rec("plan", 100, { entries = {
    { key = "k:vpc", action = "create", title = "vpc", stage = "net" },
    { key = "k:db", action = "create", title = "db", stage = "net", after = { "k:vpc" } },
    { key = "k:side", action = "create", title = "side", stage = "net", after = { "k:vpc" } },
    { key = "once:copy", action = "run", title = "copy", stage = "copy", after = { "k:db", "k:side" } },
  } }),
  rec("stage", 100, { name = "net" }),
  rec("intent", 103, { key = "k:vpc", began = 102 }), rec("created", 104, { key = "k:vpc" }), rec("ready", 105, { key = "k:vpc" }),
  rec("intent", 105, { key = "k:db" }), rec("intent", 105, { key = "k:side" }), rec("created", 107, { key = "k:side" }),
  rec("created", 110, { key = "k:db" }), rec("ready", 125, { key = "k:db" }),
  rec("once", 127, { name = "copy", state = "start" }), rec("once", 140, { name = "copy", state = "done" }),
  rec("end", 141, { state = "done" }),
}

T["the critical path is the longest way through what the last run did"] = function()
  local t = timeline.of(RUN)
  local path = {}
  for i, b in ipairs(t.path) do path[i] = ("%s %g"):format(b.key, b.stop - b.start) end
  test.equal(path, { "look 2", "k:vpc 3", "k:db 20", "once:copy 13" })
  test.equal({ t.path_seconds, t.seconds, #t.bars }, { 38, 41, 5 })
  test.equal(timeline.of {}, nil)
end

T["what took less than the journal can tell stands on the path all the same"] = function()
  for _, after in ipairs { { "k:a", "k:b" }, { "k:b", "k:a" } } do
    local t = timeline.of {
      rec("run", 100, { command = "apply", n = 1 }),
      rec("plan", 100, { entries = {
        { key = "k:a", action = "create", title = "a" }, { key = "k:b", action = "create", title = "b", after = { "k:a" } },
        { key = "once:c", action = "run", title = "c", after = after },
      } }),
      rec("intent", 100, { key = "k:a" }), rec("ready", 101, { key = "k:a" }),
      rec("intent", 101, { key = "k:b" }), rec("ready", 101, { key = "k:b" }),
      rec("once", 101, { name = "c", state = "start" }), rec("once", 101, { name = "c", state = "done" }),
      rec("end", 101, { state = "done" }),
    }
    local path = {}
    for i, b in ipairs(t.path) do path[i] = b.key end
    test.equal(path, { "look", "k:a", "k:b", "once:c" })
  end
end

T["what a recipe retires at the end of the run was made when it was made"] = function()
  local run = table.move(RUN, 1, #RUN - 1, 1, {})
  run[#run + 1] = { ev = "delete", key = "k:side", t = 139 }
  run[#run + 1] = { ev = "deleted", key = "k:side", t = 141 }
  run[#run + 1] = RUN[#RUN]
  for _, b in ipairs(timeline.of(run).bars) do
    if b.key == "k:side" then test.equal({ b.start, b.stop, b.running }, { 105, 107, nil }) end
  end
end

T["what did not end lasts as long as the journal, and is said to"] = function()
  local cut = table.move(RUN, 1, #RUN - 5, 1, {})            -- up to the answer about `side`
  local t = timeline.of(cut)
  local by_key = {}
  for _, b in ipairs(t.bars) do by_key[b.key] = b end
  test.equal({ by_key["k:db"].running, by_key["k:db"].stop, by_key["k:side"].running }, { true, t.stop, nil })
  test.match(table.concat(timeline.lines(t, { width = 100 }), "\n"), "db +%S+ s +not ended")
end

T["the chart fits the terminal, and its times can be those of a clock that runs faster"] = function()
  for _, width in ipairs { 60, 100, 200 } do
    for i, line in ipairs(timeline.lines(timeline.of(RUN), { width = width })) do
      test.truthy(#line <= width or i == 1, ("%d columns: %s"):format(width, line))
    end
  end
  local lines = table.concat(timeline.lines(timeline.of(RUN), { width = 100, scale = 60 }), "\n")
  test.match(lines, "apply of 2026%-01%-01T00:00:00Z: 41 min 00 s")
  test.match(lines, "%* db +5 min 00 s +20 min 00 s |")
  test.match(lines, "\n  side +5 min 00 s +2 min 00 s |")
  test.match(lines, "in all +38 min 00 s, 92%.7 %% of the run's 41 min 00 s")
end

T["calls are noted with their ids, once for each operation, also those of tasks below"] = function()
  local by, result = calls.during(function()
    calls.note("ec2.CreateVpc", "r1")
    task.all { a = function() calls.note("ec2.CreateTags", "r2") end }
    calls.note("ec2.CreateTags", "r3")
    test.equal((calls.during(function() calls.note("ec2.Other", "r4") end)), { { call = "ec2.Other", id = "r4" } })
    return "made"
  end)
  test.equal({ by, result }, { { { call = "ec2.CreateVpc", id = "r1" }, { call = "ec2.CreateTags", id = "r3", times = 2 } }, "made" })
  test.equal(calls.during(function() end), nil)
  calls.note("nobody.Listens", "r5")
end

T["the journal says by which calls a thing was made, changed and deleted"] = function()
  local lab = lab_of()
  local noted = lab.kind("lab.noted", {
    create = function(spec) calls.note("lab.Make", "m-" .. spec.name) lab.things.x = { id = "x", name = spec.name, size = spec.size } return "x" end,
    update = function(spec) calls.note("lab.Change", "c-1") lab.things.x.size = spec.size end,
    delete = function() calls.note("lab.Delete", "d-1") lab.things.x = nil end,
  })
  local size = 1
  local function fn()
    noted { "x", size = size }
    recipe.once("verb", function() calls.note("lab.Verb", "v-1") end)
  end
  lab:apply(fn)
  size = 2
  lab:apply(fn)
  lab:destroy(fn)
  local said = {}
  for _, r in ipairs(require "journal".open({ name = "lab", dir = lab.dir }):records()) do
    if r.by then said[#said + 1] = r.ev .. " " .. json.encode(r.by) end
  end
  test.equal(said, { 'created [{"call":"lab.Make","id":"m-x"}]', 'once [{"call":"lab.Verb","id":"v-1"}]',
    'updated [{"call":"lab.Change","id":"c-1"}]', 'deleted [{"call":"lab.Delete","id":"d-1"}]' })
end

return T
