--- What a run tells programs: --json's events, --webhook's milestones, status --watch. The built binary, on small recipes.
local boxes = dofile "tests/support/boxes.lua"
local fs = require "fs"
local json = require "json"
local process = require "process"
local serve = require "rehearsal.serve"
local task = require "task"
local test = require "test"
local T = test.cases()

local folder, hkrun = boxes.folder, boxes.hkrun
local SHOP = { "shop.lua", "--app", "eu", "--yes" }

local function with(words, ...)
  local list = { table.unpack(words) }
  for _, w in ipairs { ... } do list[#list + 1] = w end
  return list
end

--- The events of an output, which must be nothing else.
local function events_of(out)
  local list = {}
  for line in out:gmatch "([^\n]*)\n" do
    local event, err = json.decode(line)
    test.truthy(event and event.ev, line .. tostring(err and err.message))
    test.match(event.at, "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$")
    list[#list + 1] = event
  end
  test.match(out, "\n$")
  return list
end

local function names(events)
  local list = {}
  for i, e in ipairs(events) do list[i] = e.ev .. (e.state and " " .. e.state or "") end
  return table.concat(list, ", ")
end

--- A recipe whose copy takes as long as the file "word" is missing, and counts meanwhile.
local SLOW = [[
local recipe, task, fs, log = require "recipe", require "task", require "fs", require "log"
local box = require "cloud"
recipe.stage "stores"
local db = box { "db" }
recipe.stage "copy"
recipe.once("copy rows", function()
  local p <close> = log.progress { what = "rows", total = 100, unit = "rows" }
  fs.write("copying", "")
  for n = 1, 1e9 do
    p:update(math.min(n, 99))
    if fs.exists "word" then break end
    task.sleep(0.02)
  end
  recipe.need(fs.read "word" ~= "fail", "the word was fail")
end)
]]

T["--json: the journal's records as they come, the end last, and nothing else on standard output"] = function()
  local dir = folder()
  local r = hkrun(dir, with(SHOP, "--json"))
  test.equal(r.code, 0, r.stderr)
  local events = events_of(r.stdout)
  test.equal(names(events), "run, plan, stage, intent, created, ready, stage, intent, created, ready, stage, guard armed, guard applied, "
    .. "once start, once done, guard kept, report, end done")
  test.equal({ events[1].command, events[1].recipe, events[1].target }, { "apply", "shop", "eu" })
  test.equal(events[2].stages, { "network", "stores", "cutover" })
  test.equal({ events[9].key, events[9].id }, { "cloud.box:eu-db", "box-2" })
  local last = events[#events]
  test.equal({ last.code, last.summary.create, last.summary.run, last.error }, { 0, 2, 2, nil })
  test.match(r.stderr, "\nDone: 2 created, 2 run%.\n", "what people read is there")
  local journal = {}
  for line in fs.read(dir .. "/.hkrun/shop.eu.journal"):gmatch "[^\n]+" do journal[#journal + 1] = json.decode(line).ev end
  test.equal(#journal, #events, "each is in the journal")
end

T["--json where nothing is to be done, where it fails, where the input is wrong, and without --yes"] = function()
  local dir = folder()
  hkrun(dir, SHOP)
  local r = hkrun(dir, with(SHOP, "--json"))
  test.equal({ r.code, names(events_of(r.stdout)) }, { 0, "report, end done" })
  r = hkrun(dir, with(SHOP, "--json", "--size", "big"))
  local events = events_of(r.stdout)
  test.equal({ r.code, #events, events[1].state, events[1].code }, { 2, 1, "failed", 2 })
  test.match(events[1].error, "big is not a whole number")
  r = hkrun(dir, { "shop.lua", "--app", "us", "--json" })
  events = events_of(r.stdout)
  test.equal({ r.code, names(events), events[1].code }, { 1, "end failed", 1 })
  fs.write(dir .. "/shop.lua", 'local recipe, box = require "recipe", require "cloud"\nbox { "a" }\n' ..
    'recipe.once("copy", function() recipe.need(false, "the disk is full") end)')
  r = hkrun(dir, { "shop.lua", "--yes", "--json" })
  events = events_of(r.stdout)
  local last = events[#events]
  test.equal({ r.code, last.ev, last.state, last.error, last.code, last.summary.create }, { 1, "end", "failed", "the disk is full", 1, 1 })
  r = hkrun(dir, { "destroy", "shop.lua", "--json" })
  test.equal({ r.code, names(events_of(r.stdout)) }, { 1, "end failed" })
end

T["--json of destroy and rollback"] = function()
  local dir = folder()
  hkrun(dir, SHOP)
  local r = hkrun(dir, { "rollback", "shop.lua", "--yes", "--json", "--destroy" })
  test.equal(r.code, 0, r.stderr)
  test.equal(names(events_of(r.stdout)), "run, guard undoing, guard undone, rolled back, end done, run, delete, deleted, delete, deleted, "
    .. "destroyed, end done")
  test.match(r.stderr, "destroy: nothing left\n$")
end

--- Runs the slow recipe beside fn(p, dir), which must let it end; returns its code, standard output and standard error.
local function slowly(words, more, fn)
  local dir = folder()
  fs.write(dir .. "/slow.lua", SLOW)
  local p = process.start { boxes.exe, "slow.lua", "--yes", cwd = dir, env = boxes.env(more), stdout = dir .. "/out", stderr = dir .. "/err",
    table.unpack(words) }
  test.defer(function() p:stop(1) end)
  local stop = task.now() + 60
  while not fs.exists(dir .. "/copying") and p:is_running() and task.now() < stop do task.sleep(0.02) end
  test.truthy(fs.exists(dir .. "/copying"), fs.read(dir .. "/err"))
  fn(dir, p)
  local code = p:wait(60)
  return code, fs.read(dir .. "/out"), fs.read(dir .. "/err"), dir
end

local function wait_for(what, fn)
  local stop = task.now() + 60
  while not fn() do
    if task.now() > stop then error(what .. " was not seen", 0) end
    task.sleep(0.05)
  end
end

T["--json: progress of what takes longer, with the key of what it belongs to"] = function()
  local code, out = slowly({ "--json" }, {}, function(dir)
    wait_for("progress", function() return select(2, fs.read(dir .. "/out"):gsub('"what":"rows"', "")) >= 2 end)
    fs.write(dir .. "/word", "go")
  end)
  test.equal(code, 0)
  local last, at
  for i, e in ipairs(events_of(out)) do
    if e.ev == "progress" and e.what == "rows" then
      test.equal({ e.key, e.total, e.unit }, { "once:copy rows", 100, "rows" })
      test.truthy(e.count >= 1 and e.seconds > 0 and not (last and e.state == "running" and e.seconds - last < 0.5), "one a second")
      last, at = e.seconds, i .. e.state
    end
  end
  test.match(at, "done$")
end

-- status --watch ---------------------------------------------------------------

T["status --watch follows a run: what it did, how far it is, its end and its exit code"] = function()
  local seen
  local code, _, err, dir = slowly({}, {}, function(dir)
    local w = process.start { boxes.exe, "status", "slow.lua", "--watch", "--json", cwd = dir, env = boxes.env(), stdout = dir .. "/watched",
      stderr = "null" }
    test.defer(function() w:stop(1) end)
    wait_for("progress", function() return fs.exists(dir .. "/watched") and fs.read(dir .. "/watched"):find '"what":"rows"' end)
    local people = process.start { boxes.exe, "status", "slow.lua", "--watch", cwd = dir, env = boxes.env(), stdout = dir .. "/people",
      stderr = dir .. "/people" }
    test.defer(function() people:stop(1) end)
    wait_for("the view", function() return fs.read(dir .. "/people"):find "copy rows" end)
    fs.write(dir .. "/word", "fail")
    seen = { w:wait(60), people:wait(60) }
  end)
  test.equal({ code, seen }, { 1, { 1, 1 } }, err)
  local events, n = events_of(fs.read(dir .. "/watched")), 0
  for _, e in ipairs(events) do
    if e.ev == "progress" and e.what == "rows" then
      n = n + 1
      test.equal({ e.key, e.total, e.unit, e.state }, { "once:copy rows", 100, "rows", "running" })
    end
  end
  test.truthy(n > 0)
  test.equal({ events[1].ev, events[#events].ev, events[#events].state, events[#events].code }, { "run", "end", "failed", 1 })
  test.match(fs.read(dir .. "/people"), '^stores\n  %+ cloud%.box "db" created %(box%-1%)\ncopy\n  > copy rows\n'
    .. "apply failed: the word was fail, after ")
  local left = table.concat(fs.list(dir .. "/.hkrun"), " ")
  test.truthy(left:find "slow.journal" and not left:find "watch" and not left:find "progress", left)
  local r = hkrun(dir, { "status", "slow.lua", "--watch" })
  test.equal(r.code, 1)
  test.match(r.stdout, "^apply failed: the word was fail, after %S+ s\n$")
end

T["status --watch: Ctrl-C leaves the run alone; a run that is killed is seen to be"] = function()
  slowly({}, {}, function(dir, p)
    local function watch()
      local w = process.start { boxes.exe, "status", "slow.lua", "--watch", cwd = dir, env = boxes.env(), stdout = dir .. "/people",
        stderr = dir .. "/people" }
      test.defer(function() w:stop(1) end)
      wait_for("the view", function() return fs.exists(dir .. "/people") and fs.read(dir .. "/people"):find "copy rows" end)
      return w
    end
    local w = watch()
    process.run { "kill", "-INT", tostring(w.pid) }
    test.equal({ w:wait(60), p:is_running() }, { 130, true })
    fs.remove(dir .. "/people")
    w = watch()
    process.run { "kill", "-9", tostring(p.pid) }
    test.equal(w:wait(60), 1)
    test.match(fs.read(dir .. "/people"), "apply did not end: it was killed\n$")
    local r = hkrun(dir, { "status", "slow.lua", "--watch", "--json" })
    local events = events_of(r.stdout)
    test.equal({ r.code, #events, events[1].state, events[1].code }, { 1, 1, "killed", 1 })
  end)
end

T["status --watch waits for a run that has not begun, and says when none was"] = function()
  local dir = folder()
  test.match(hkrun(dir, { "status", "shop.lua", "--app", "eu", "--watch" }).stdout, "^never applied\n$")
  fs.write(dir .. "/shop.lua", 'local recipe, fs, task = require "recipe", require "fs", require "task"\nrecipe.options {}\n' ..
    'fs.write("looking", "") while not fs.exists "word" do task.sleep(0.02) end\nrecipe.once("it", function() end)')
  local p = process.start { boxes.exe, "shop.lua", "--yes", cwd = dir, env = boxes.env(), stdout = "null", stderr = "null" }
  test.defer(function() p:stop(1) end)
  wait_for("the plan", function() return fs.exists(dir .. "/looking") end)
  local w = process.start { boxes.exe, "status", "shop.lua", "--watch", cwd = dir, env = boxes.env(), stdout = dir .. "/out",
    stderr = dir .. "/out" }
  test.defer(function() w:stop(1) end)
  wait_for("whom it waits for", function() return fs.exists(dir .. "/out") and fs.read(dir .. "/out"):find "not begun" end)
  fs.write(dir .. "/word", "")
  test.equal({ p:wait(60), w:wait(60) }, { 0, 0 })
  test.match(fs.read(dir .. "/out"), "^process %d+ of [^\n]* has the journal, and has not begun\n  > it\napply done, after %d+ s\n$")
end

-- --webhook ----------------------------------------------------------------------

--- A server that keeps what it is sent, and answers what `answers` says, one after the other, then 200.
local function receiver(answers)
  local got = {}
  local server = serve.start { handler = function(req)
    got[#got + 1] = req
    local status = table.remove(answers or {}, 1) or 200
    return { status = status, body = "ok" }
  end }
  test.defer(function() server:stop() end)
  return server.url .. "/services/T0/geheim-73a", got
end

local function texts(got)
  local list = {}
  for i, req in ipairs(got) do list[i] = json.decode(req.body).text end
  return list
end

T["--webhook is told of milestones, in sentences and as events; its URL is nowhere"] = function()
  local url, got = receiver()
  local dir = folder()
  local r = hkrun(dir, with(SHOP, "-v"), { HKRUN_WEBHOOK = url })
  test.equal(r.code, 0, r.stderr)
  test.equal(texts(got), { "shop (eu): apply begins (run 1)", "shop (eu): stage network", "shop (eu): stage stores", "shop (eu): stage cutover",
    "shop (eu): freeze eu: in force", "shop (eu): done: freeze/copy", "shop (eu): freeze eu: kept", "shop (eu): apply is done" })
  test.equal({ got[1].method, got[1].path, got[1].headers["content-type"] }, { "POST", "/services/T0/geheim-73a", "application/json" })
  local guard = json.decode(got[5].body)
  test.match(guard.at, "^%d%d%d%d%-.*Z$")
  guard.at, guard.text = nil, nil
  test.equal(guard, { ev = "guard", key = "freeze", what = "freeze eu", state = "applied", recipe = "shop", target = "eu" })
  local n = #got
  hkrun(dir, SHOP, { HKRUN_WEBHOOK = url })
  test.equal(#got, n, "where nothing is to be done nothing is told")
  r = hkrun(dir, { "destroy", "shop.lua", "--yes", "--json", "--webhook", url })
  test.equal({ r.code, texts(got)[#got] }, { 0, "shop (eu): destroy is done" })
  for _, path in ipairs { "/.hkrun/shop.eu.journal" } do test.truthy(not fs.read(dir .. path):find "geheim") end
  test.truthy(not (r.stdout .. r.stderr):find "geheim")
end

T["a webhook that fails is tried again, said once, and no trouble for the run"] = function()
  local url, got = receiver { 503, 429 }
  local dir = folder()
  local r = hkrun(dir, SHOP, { HKRUN_WEBHOOK = url })
  test.equal({ r.code, r.stderr:find "webhook" }, { 0, nil }, r.stderr)
  test.equal({ texts(got)[1], texts(got)[3], #got }, { "shop (eu): apply begins (run 1)", "shop (eu): apply begins (run 1)", 10 })
  url, got = receiver { 404, 404, 404, 404, 404, 404, 404, 404, 404 }
  r = hkrun(dir, with(SHOP, "--size", "2"), { HKRUN_WEBHOOK = url })
  test.equal(r.code, 0, r.stderr)
  test.equal(select(2, r.stderr:gsub("warning: the webhook is not told of this run: it answered 404; the run goes on", "")), 1, r.stderr)
  test.equal({ #got, (r.stdout .. r.stderr):find "geheim" }, { 5, nil })
  local told = boxes.state(dir)
  test.equal(told, { ["eu-net"] = 0, ["eu-db"] = 2 })
end

T["a failure is told; and a webhook that never answers holds up nothing but the end, and that not for long"] = function()
  local url, got = receiver()
  local dir = folder([[local recipe = require "recipe"
    recipe.once("copy", function() recipe.need(false, "the disk is full") end)]])
  local r = hkrun(dir, { "shop.lua", "--yes" }, { HKRUN_WEBHOOK = url })
  test.equal({ r.code, texts(got) }, { 1, { "shop: apply begins (run 1)", "shop: apply failed: the disk is full" } })
  local silent = serve.start { handler = function() return { delay = 600 } end }
  test.defer(function() silent:stop() end)
  r = hkrun(dir, { "shop.lua", "--yes" }, { HKRUN_WEBHOOK = silent.url .. "/geheim" })
  test.equal(r.code, 1)
  test.match(r.stderr, "the disk is full")
  test.truthy(not r.stderr:find "geheim")
end

T["--webhook must be https, but for this machine itself"] = function()
  local dir = folder()
  for url, why in pairs { ["http://hooks.example.com/geheim"] = "must be https", ["ftp://127.0.0.1/geheim"] = "is no URL", geheim = "is no URL",
    ["http://127.0.0.1.example.com/geheim"] = "must be https" } do
    local r = hkrun(dir, with(SHOP, "--webhook", url))
    test.equal(r.code, 2, url)
    test.match(r.stderr, "^hkrun: %-%-webhook " .. why)
    test.truthy(not r.stderr:find "geheim", r.stderr)
    test.equal(boxes.state(dir), {})
  end
  local r = hkrun(dir, { "plan", "shop.lua", "--app", "eu", "--webhook", "https://hooks.example.com/geheim" })
  test.equal({ r.code, r.stderr }, { 2, "hkrun: --webhook is told of runs: of apply, destroy, rollback and prune\n" })
end

T["no secret is in an event or a milestone"] = function()
  local url, got = receiver()
  local dir = folder((boxes.shop:gsub('fs.write%("copying", "1"%)', 'require("log").progress { what = opt.token, every = 0 }:note(opt.token)')))
  local r = hkrun(dir, with(SHOP, "--json"), { HKRUN_WEBHOOK = url, HKRUN_TOKEN = "marked-9d1c" })
  test.equal(r.code, 0, r.stderr)
  local text = r.stdout .. r.stderr
  for _, req in ipairs(got) do text = text .. req.body end
  test.truthy(#got == 8 and text:find "Result" and not text:find("marked-9d1c", 1, true))
end

return T
