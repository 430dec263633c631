--- hkrun plan --out and hkrun apply FILE, with the built binary.
local boxes = dofile "tests/support/boxes.lua"
local fs = require "fs"
local json = require "json"
local process = require "process"
local test = require "test"
local T = test.cases()

local folder, hkrun, state = boxes.folder, boxes.hkrun, boxes.state
local TOKEN = { HKRUN_TOKEN = "marked-41c9" }

local function ok(r)
  test.equal(r.code, 0, r.stderr)
  return r
end

--- A folder with a saved plan of the shop's recipe, of size 1, or one that changes the size of what is there to 3.
local function planned(changing)
  local dir = folder()
  if changing then ok(hkrun(dir, { "shop.lua", "--app", "eu", "--yes" }, TOKEN)) end
  local size = changing and "3" or "1"
  ok(hkrun(dir, { "plan", "shop.lua", "--app", "eu", "--size", size, "--out", "plan.json" }, TOKEN))
  return dir
end

--- The plan is refused with this reason, and nothing is changed.
local function refused(dir, why, words, env)
  local before = state(dir)
  local r = hkrun(dir, { "apply", "plan.json", table.unpack(words or {}) }, env or TOKEN)
  test.equal(r.code, 1, r.stderr)
  test.match(r.stderr, "it no longer holds: [^\n]*" .. why)
  test.match(r.stderr, "make a new one")
  test.equal(state(dir), before)
end

local function edit_cloud(dir, fn)
  local c = json.decode(fs.read(dir .. "/cloud.json"))
  fn(c.things)
  fs.write(dir .. "/cloud.json", json.encode(c))
end

T["a saved plan is readable, for its owner only, holds no secret, and apply does it without a question"] = function()
  local dir = planned()
  local bytes = fs.read(dir .. "/plan.json")
  test.equal(fs.stat(dir .. "/plan.json").mode & 511, 384)
  test.truthy(not bytes:find("marked-41c9", 1, true))
  test.match(bytes, "\n  ")
  local p = json.decode(bytes)
  test.equal({ p.recipe, p.target, p.file, p.hkrun }, { "shop", "eu", "shop.lua", (require "version") })
  test.equal({ p.options.size, p.options.app, #p.options.token.secret_digest }, { 1, "eu", 32 })
  test.truthy(p.files["shop.lua"] and p.files["cloud.lua"])
  test.equal(p.entries[2].properties, { size = 1, inside = "(known after apply)" })
  test.equal(fs.list(dir), { "cloud.lua", "plan.json", "shop.lua" }, "nothing else is written")
  test.match(ok(hkrun(dir, { "apply", "plan.json" }, TOKEN)).stdout, "Done: 2 created, 2 run%.")
  test.equal(state(dir), { ["eu-net"] = 0, ["eu-db"] = 1 })
  refused(dir, "the recipe was run since %(apply of 20")
end

T["an old and a new value are in it, and the change is made once"] = function()
  local dir = planned(true)
  local e = json.decode(fs.read(dir .. "/plan.json")).entries[2]
  test.equal({ e.action, e.changes.size }, { "change", { old = 1, new = 3 } })
  local events = ok(hkrun(dir, { "apply", "plan.json", "--json" }, TOKEN)).stdout
  test.match(events, '"ev":"updated"[^\n]*"key":"cloud.box:eu%-db"')
  test.match(events, '\n{[^\n]*"ev":"end"[^\n]*"summary":{"adopt":0,"change":1,[^\n]*\n$')
  test.equal(state(dir), { ["eu-net"] = 0, ["eu-db"] = 3 })
end

T["a plan is refused when the recipe, a module of it or its options are others"] = function()
  local dir = planned(true)
  refused(dir, "%-%-size was 3, is 4", { "--size", "4" })
  refused(dir, "%-%-size was 3, is 5", {}, { HKRUN_SIZE = "5", HKRUN_TOKEN = TOKEN.HKRUN_TOKEN })
  refused(dir, "%-%-app was eu, is us", { "--app", "us" })
  refused(dir, "%-%-token %(a secret%) is another one", {}, { HKRUN_TOKEN = "other" })
  refused(dir, "%-%-token is not given now", {}, {})
  fs.write(dir .. "/hkrun.yml", "size: 8\n")
  refused(dir, "%-%-size was 3, is 8")
  fs.remove(dir .. "/hkrun.yml")
  for _, name in ipairs { "cloud.lua", "shop.lua" } do
    local was = fs.read(dir .. "/" .. name)
    fs.write(dir .. "/" .. name, was .. "\n")
    refused(dir, name .. " has changed")
    fs.write(dir .. "/" .. name, was)
  end
  local bytes = fs.read(dir .. "/plan.json")
  fs.write(dir .. "/plan.json", (bytes:gsub('"hkrun": "[^"]*"', '"hkrun": "0.0.1"')))
  refused(dir, "it was made by hkrun 0%.0%.1, this is")
  fs.write(dir .. "/plan.json", bytes)
  ok(hkrun(dir, { "apply", "plan.json" }, TOKEN))
end

T["a plan is refused when the world is another one, with what is there now"] = function()
  local dir = planned(true)
  local was = fs.read(dir .. "/cloud.json")
  edit_cloud(dir, function(things) things["box-2"].size = 7 end)
  refused(dir, 'cloud.box "eu%-db": size was 1, is 7')
  fs.write(dir .. "/cloud.json", was)
  edit_cloud(dir, function(things) things["box-1"].size = 9 end)
  refused(dir, 'cloud.box "eu%-net": size was %(none%), is 9')
  fs.write(dir .. "/cloud.json", was)
  edit_cloud(dir, function(things) things["box-2"] = nil end)
  refused(dir, 'cloud.box "eu%-db" %(box%-2%) is gone')
  fs.write(dir .. "/cloud.json", was)
  ok(hkrun(dir, { "apply", "plan.json" }, TOKEN))
  test.equal(state(dir)["eu-db"], 3)
end

T["what the saved plan does not show is not done, whatever the recipe says, also with --yes"] = function()
  for _, case in ipairs {
    { 'box { "b" } if not recipe.planning() then box { "hidden" } end', 'cannot create cloud.box "hidden": the plan did not show it' },
    { 'box { "b", size = recipe.planning() and 1 or 2 }', 'cannot create cloud.box "b" %(with size 2%): the plan did not show it' },
    { 'box { "b" } if not recipe.planning() then recipe.once("hidden", function() end) end', "cannot run hidden: the plan did not show it" },
    { 'box { "b" } box { "a", size = recipe.planning() and 2 or 3 }', 'cannot change cloud.box "a" %(size: 1 %-> 3%): the plan did not show it' },
    { 'box { "b" } box { "a", size = 1, inside = not recipe.planning() and { id = "x" } or nil }', "did not show this replacement" },
  } do
    local dir = folder 'local recipe, box = require "recipe", require "cloud"\nbox { "a", size = 1 }\n'
    ok(hkrun(dir, { "shop.lua", "--yes" }))
    fs.write(dir .. "/shop.lua", 'local recipe, box = require "recipe", require "cloud"\n' .. case[1])
    ok(hkrun(dir, { "plan", "shop.lua", "--out", "plan.json" }))
    local r = hkrun(dir, { "apply", "plan.json", "--yes" })
    test.equal(r.code, 1, r.stderr)
    test.match(r.stderr, case[2])
    local s = state(dir)
    test.equal({ s.a, s.hidden }, { 1 }, case[1])
  end
end

T["--until and --only are part of a saved plan"] = function()
  local dir = folder()
  ok(hkrun(dir, { "plan", "shop.lua", "--app", "eu", "--until", "stores", "--out", "first.json" }))
  test.match(ok(hkrun(dir, { "apply", "first.json" })).stdout, "Done: 1 created. Stopped before the stage stores%.")
  ok(hkrun(dir, { "plan", "shop.lua", "--app", "eu", "--only", "stores", "--out", "second.json" }))
  test.match(ok(hkrun(dir, { "apply", "second.json" })).stdout, "Done: 1 created. Stopped before the stage cutover%.")
  test.equal(state(dir), { ["eu-net"] = 0, ["eu-db"] = 1 })
  test.truthy(not fs.exists(dir .. "/frozen"))
  local r = hkrun(dir, { "shop.lua", "--app", "us", "--only", "stores", "--yes" })
  test.equal({ r.code, r.stderr }, { 2, 'hkrun: shop.lua:12: cannot run only the stage stores: cloud.box "us-net" of the stage network does not ' ..
    "exist yet; apply that stage first\n" })
end

T["what is no plan, or asks for more than the plan has, is bad input"] = function()
  local dir = planned()
  fs.write(dir .. "/other.json", '{ "entries": [] }')
  fs.write(dir .. "/torn.json", '{ "entries": [')
  for _, case in ipairs {
    { { "apply", "other.json" }, "other.json is no saved plan" },
    { { "apply", "torn.json" }, "torn.json is no saved plan" },
    { { "apply", "plan.json", "--until", "stores" }, "%-%-until is part of the plan" },
    { { "apply", "plan.json", "--siez", "4" }, "unknown option %-%-siez" },
  } do
    local r = hkrun(dir, case[1], TOKEN)
    test.equal(r.code, 2, r.stderr)
    test.match(r.stderr, case[2])
  end
  test.equal(state(dir), {})
end

T["on a terminal: a replacement wants the name typed; a saved plan that shows it asks nothing"] = function()
  local dir = folder()
  local words = { "shop.lua", "--app", "eu" }
  local function typed(answers)
    return process.run { test.tool "python3", fs.realpath "tests/support/typed.py", json.encode(json.array(answers)), boxes.exe,
      cwd = dir, env = boxes.env { NO_COLOR = "1" }, timeout = 300, table.unpack(words) }
  end
  test.equal(typed({ "Do this? [y/N] ", "n" }).code, 1)
  test.equal(state(dir), {})
  test.equal(typed({ "Do this? [y/N] ", "y" }).code, 0)
  edit_cloud(dir, function(things) things["box-2"].inside = "box-0" end)
  local r = typed { "Type eu to do this (1 to replace): ", "y" }
  test.equal(r.code, 1)
  test.match(r.stdout, "nothing was changed: that was not the name")
  test.match(fs.read(dir .. "/cloud.json"), "box%-0")
  ok(hkrun(dir, { "plan", "shop.lua", "--app", "eu", "--out", "plan.json" }))
  words = { "apply", "plan.json" }
  r = typed {}
  test.equal(r.code, 0, r.stdout)
  test.match(r.stdout, "Done: 1 replaced%.")
  test.truthy(not r.stdout:find "Type eu")
end

T["--detailed-exitcode: 0 no changes, 2 changes, 1 an error"] = function()
  local dir = folder()
  test.equal(hkrun(dir, { "plan", "shop.lua", "--app", "eu", "--detailed-exitcode" }).code, 2)
  test.equal(hkrun(dir, { "plan", "shop.lua", "--detailed-exitcode" }).code, 1)
  ok(hkrun(dir, { "shop.lua", "--app", "eu", "--yes" }))
  test.equal(hkrun(dir, { "plan", "shop.lua", "--app", "eu", "--detailed-exitcode" }).code, 0)
end

T["what was changed by hand is marked in the plan, and converged by apply"] = function()
  local dir = folder()
  ok(hkrun(dir, { "shop.lua", "--app", "eu", "--yes" }))
  edit_cloud(dir, function(things) things["box-2"].size = 7 end)
  test.match(hkrun(dir, { "plan", "shop.lua", "--app", "eu" }).stdout, '~ cloud.box "eu%-db"  size: 7 %-> 1 %(changed by hand%)\n')
  test.equal(state(dir)["eu-db"], 7)
  local p = json.decode(hkrun(dir, { "plan", "shop.lua", "--app", "eu", "--json" }).stdout)
  test.equal(p.entries[2].changes.size, { old = 7, new = 1, changed_by_hand = true })
  ok(hkrun(dir, { "shop.lua", "--app", "eu", "--yes" }))
  test.equal(state(dir)["eu-db"], 1)
end

T["prune lists what the recipe no longer asks for, and deletes it when told to"] = function()
  local dir = folder()
  ok(hkrun(dir, { "shop.lua", "--app", "eu", "--yes" }))
  fs.write(dir .. "/shop.lua", (boxes.shop:gsub("local db = [^\n]*", "local db = net")))
  test.match(ok(hkrun(dir, { "plan", "shop.lua", "--app", "eu" })).stdout, 'No longer in the recipe, and left alone: cloud.box "eu%-db"')
  ok(hkrun(dir, { "shop.lua", "--app", "eu", "--yes" }))
  test.equal(state(dir), { ["eu-net"] = 0, ["eu-db"] = 1 }, "apply deletes nothing")
  local r = hkrun(dir, { "prune", "shop.lua", "--app", "eu" })
  test.equal({ r.code, state(dir)["eu-db"] }, { 1, 1 })
  test.match(r.stderr, "there is no terminal; use %-%-yes")
  test.match(r.stdout, '  %- cloud.box "eu%-db"  box%-2\n1 to delete')
  ok(hkrun(dir, { "prune", "shop.lua", "--app", "eu", "--yes" }))
  test.equal(state(dir), { ["eu-net"] = 0 })
  test.match(ok(hkrun(dir, { "prune", "shop.lua", "--app", "eu", "--yes" })).stdout, "^nothing to prune\n$")
end

return T
