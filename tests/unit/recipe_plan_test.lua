--- Plans: what they show beside the plain cases, what is agreed to, adoption, --only, what was changed by hand.
local errors = require "errors"
local lab = dofile "tests/support/recipe_lab.lua"
local plan = require "recipe.plan"
local recipe = require "recipe"
local secret = require "secret"
local test = require "test"
local T = test.cases()

local function text(r) return table.concat(plan.lines(r.entries), "\n") end

local function marks(r)
  local list = {}
  for i, e in ipairs(r.entries) do list[i] = e.action .. " " .. (e.name or e.title) end
  return list
end

--- A kind whose things carry tags of their own.
local function tagged(l)
  return l.kind("lab.tagged", {
    options = { { "size", "how big", type = "integer" }, { "zone", "where", type = "string" }, { "tags", "more", type = "table" } },
    fixed = { "zone" }, compare = { tags = "given" },
  })
end

local function old_thing(l) l.things.old = { id = "old", name = "a", size = 1, zone = "z", tags = { team = "shop" } } end

T["a field that forces a replacement is known, in text and in JSON; others are not marked"] = function()
  local l = lab()
  l:apply(function() l.thing { "a", zone = "a", size = 1 } end)
  local r = l:plan(function() l.thing { "a", zone = "b", size = 2 } end)
  test.match(text(r), '%-/%+ lab.thing "a"  size: 1 %-> 2, zone: a %-> b %(zone cannot be changed in place%)')
  test.equal(plan.entry(r.entries[1]).changes, {
    size = { old = 1, new = 2 }, zone = { old = "a", new = "b", forces_replacement = true },
  })
end

T["by hand: what differs from the record is marked, what the recipe changed is not"] = function()
  local l = lab()
  l:apply(function() l.thing { "a", size = 1, labels = { "x" } } end)
  l.things["thing-1"].labels = { "x", "y" }
  test.match(text(l:plan(function() l.thing { "a", size = 1, labels = { "x" } } end)),
    '"a"  labels: %[x, y%] %-> %[x%] %(changed by hand%)')
  local r = l:plan(function() l.thing { "a", size = 2, labels = { "x" } } end)
  test.match(text(r), '"a"  size: 1 %-> 2, labels: %[x, y%] %-> %[x%] %(changed by hand%)\n')
  test.equal(plan.entry(r.entries[1]).changes.labels.changed_by_hand, true)
  l.things["thing-1"].labels = { "x" }
  test.match(text(l:plan(function() l.thing { "a", size = 2, labels = { "x" } } end)), '"a"  size: 1 %-> 2\n')
  l.things["thing-1"] = nil
  test.match(text(l:plan(function() l.thing { "a" } end)), '%+ lab.thing "a"  %(it is gone%)')
end

T["by hand: a field that the recipe came to ask for later is known too"] = function()
  local l = lab()
  l:apply(function() l.thing { "a", size = 1 } end)
  l.things["thing-1"].labels = { "x" }
  local function both() l.thing { "a", size = 1, labels = { "x" } } end
  l:apply(function() both() l.thing { "more" } end)
  l.things["thing-1"].labels = { "y" }
  test.match(text(l:plan(both)), "labels: %[y%] %-> %[x%] %(changed by hand%)")
end

T["a field that comes back with a secret in it is never said to be changed by hand"] = function()
  local l = lab()
  local made = l.kind("lab.env", { options = { { "env", "variables", type = "table" } }, fixed = {}, compare = {}, summary = {} })
  local function r(password) return function() made { "a", env = { PASSWORD = secret.new(password), WEB = "1" } } end end
  l:apply(r "one")
  l.things["thing-1"].env = { PASSWORD = secret.new "one", WEB = "1" }
  test.truthy(plan.empty(l:plan(r "one").entries))
  test.match(text(l:plan(r "two")), 'PASSWORD = %(secret%), WEB = 1} %-> {PASSWORD = %(secret%), WEB = 1}\n')
end

T["--adopt shows what it takes over and how it differs, asks, and puts the tags on"] = function()
  local l = lab()
  local thing = tagged(l)
  old_thing(l)
  local function r() thing { "a", size = 3 } end
  test.raises("take it over with %-%-adopt", l.plan, l, r)
  local shown = l:plan(r, { adopt = true })
  test.match(text(shown), '  = lab.tagged "a"  size: 1 %-> 3 %(take over old, which this recipe did not make%)\nPlan: 1 to adopt.')
  test.equal(plan.entry(shown.entries[1]).action, "adopt")
  test.raises("the answer was no", l.apply, l, r, { adopt = true, yes = false, answer = function() return false end })
  test.equal(l.things.old.tags, { team = "shop" })
  l:apply(r, { adopt = true })
  test.match(l:text(), '= lab.tagged "a" taken over %(old%)')
  test.match(l:text(), "Done: 1 taken over%.")
  test.equal(l.things.old.size, 3)
  test.equal(l.things.old.tags, { ["hkrun:recipe"] = "lab", ["hkrun:key"] = "lab.tagged:a", ["hkrun:adopted"] = "true" })
  test.truthy(plan.empty(l:plan(r).entries))
  require("fs").remove(l.dir .. "/lab.journal")
  test.truthy(plan.empty(l:plan(r).entries), "its tags say whose it is")
  l:apply(function() r() l.thing { "more" } end)
  l:destroy(function() end)
  test.truthy(l.things.old, "what was taken over is not deleted, even when the journal was lost")
end

T["what would have to be replaced is not taken over, and what another recipe made neither"] = function()
  local l = lab()
  local thing = tagged(l)
  old_thing(l)
  local e = test.raises("zone cannot be changed in place, and it was not made by this recipe", l.plan, l,
    function() thing { "a", zone = "y" } end, { adopt = true })
  test.equal(errors.exit_code(e), 2)
  l.things.old.tags = { ["hkrun:recipe"] = "other", ["hkrun:key"] = "x" }
  test.raises("belongs to the recipe other", l.plan, l, function() thing { "a" } end, { adopt = true })
end

T["what is taken over where no tags can be put is on record"] = function()
  local l = lab()
  old_thing(l)
  l:apply(function() l.thing { "a", size = 1 } end, { adopt = true })
  test.equal(l.calls, {})
  test.truthy(plan.empty(l:plan(function() l.thing { "a", size = 1 } end).entries))
  l:destroy(function() end)
  test.truthy(l.things.old)
end

local function stages(l, o)
  o = o or {}
  return function()
    recipe.stage "network"
    local net = l.thing { "net", size = o.net or 1 }
    local copied = recipe.once("look", function() return 1 end)
    recipe.stage "stores"
    l.thing { "db", size = o.db or 1, part_of = net }
    recipe.once("fill", function() return copied end)
    recipe.stage "app"
    l.thing { "web", size = o.web or 1 }
  end
end

T["--only: the stages before it must be there, and are only read; those after it are not looked at"] = function()
  local l = lab()
  test.raises('cannot run only the stage stores: lab.thing "net" of the stage network does not exist yet; apply that stage first',
    l.plan, l, stages(l), { only_stage = "stores" })
  l:apply(stages(l), { until_stage = "stores" })
  local r = l:plan(stages(l, { net = 2 }), { only_stage = "stores" })
  test.equal(marks(r), { "none net", "create db", "run fill" })
  l.calls = {}
  l:apply(stages(l, { net = 2 }), { only_stage = "stores" })
  test.equal(l.calls, { "create db" })
  test.equal(l:state().net.size, 1)
  test.raises("no stage storse %(did you mean stores%?%)", l.plan, l, stages(l), { only_stage = "storse" })
  test.equal(marks(l:plan(stages(l, { net = 2 }))), { "change net", "none db", "create web" })
end

T["--only: a verb of an earlier stage must have been done"] = function()
  local l = lab()
  l:apply(function() recipe.stage "network" l.thing { "net", size = 1 } end)
  test.raises("look of the stage network has not been done yet", l.plan, l, stages(l), { only_stage = "stores" })
end

T["a plan with a replacement wants the name typed; --yes does it"] = function()
  local l = lab()
  l:apply(function() l.thing { "a", zone = "a" } end)
  local function moved() l.thing { "a", zone = "b" } end
  local asked
  test.raises("that was not the name", l.apply, l, moved, { yes = false, typed = function(q) asked = q return "y" end })
  test.match(asked, "^Type lab to do this %(1 to replace%): $")
  test.equal(l:state().a.zone, "a")
  l:apply(moved, { yes = false, typed = function() return "lab" end })
  test.equal(l:state().a.zone, "b")
end

T["a replacement that the plan did not show wants the thing's name typed, even with --yes"] = function()
  local l = lab()
  l:apply(function() l.thing { "a", zone = "a" } end)
  local function r()
    l.thing { "new" }
    l.thing { "a", zone = recipe.planning() and "a" or "b" }
  end
  local asked
  test.raises("the answer was no", l.apply, l, r, { typed = function(q) asked = q return "lab" end })
  test.match(asked, "^Type a to do it: $")
  test.match(l:text(), 'the plan did not show this: replace lab.thing "a".*zone cannot be changed in place')
  test.equal(l:state().a.zone, "a")
  l:apply(r, { typed = function() return "a" end })
  test.equal(l:state().a.zone, "b")
end

T["another change than the plan showed asks"] = function()
  local l = lab()
  l:apply(function() l.thing { "a", size = 1 } end)
  local asked = {}
  test.raises("the answer was no", l.apply, l, function() l.thing { "a", size = recipe.planning() and 2 or 3 } end,
    { yes = false, answer = function(q) asked[#asked + 1] = q return #asked == 1 end })
  test.match(asked[2], 'change lab.thing "a" %(size: 1 %-> 3%)')
end

T["what a once makes belongs to the once: it asks nothing, and is not pruned as forgotten"] = function()
  local l = lab()
  local function r() recipe.once("build", function() l.thing { "inner" } recipe.once("nested", function() end) end) end
  l:apply(r, { yes = false, answer = function(q) return q == "Do this?" end })
  test.equal(l.made, { inner = 1 })
  test.equal(l:plan(r):forgotten(), {})
end

T["what the recipe no longer asks for is named by a whole plan only"] = function()
  local l = lab()
  l:apply(stages(l))
  local function less() recipe.stage "network" l.thing { "net", size = 1 } recipe.stage "app" end
  test.equal(plan.forgotten(l:plan(less)), 'No longer in the recipe, and left alone: lab.thing "db", lab.thing "web" (see hkrun prune).')
  test.equal(plan.forgotten(l:plan(less, { until_stage = "app" })), nil)
  test.equal(plan.forgotten(l:plan(stages(l))), nil)
end

T["prune deletes what hangs on something first, and leaves what is kept or taken over"] = function()
  local l = lab()
  old_thing(l)
  local function all()
    local net = l.thing { "net" }
    l.thing { "db", part_of = net }
    l.thing { "kept", keep = true }
    l.thing { "a", adopt = true }
  end
  l:apply(all)
  l.calls = {}
  test.raises("nothing was deleted", l.prune, l, function() end, { yes = false, typed = function() return "no" end })
  test.equal(l.calls, {})
  l:prune(function() end, { yes = false, typed = function(q) return q:match "^Type (%S+) to delete" end })
  test.equal(l.calls, { "delete db", "delete net" })
  test.match(l:text(), '"kept" stays: keep = true')
  test.match(l:text(), '"a" stays: it was not made by this recipe')
  test.equal(l:state(), { kept = {}, a = { size = 1, zone = "z" } })
end

T["prune leaves what something that the recipe asks for stands on"] = function()
  local l = lab()
  l:apply(stages(l))
  l:prune(function() l.thing { "db", part_of = { id = "thing-1" } } end)
  test.match(l:text(), 'lab.thing "net" stays: lab.thing "db", which stays, stands on it')
  test.equal(l:state(), { net = { size = 1 }, db = { size = 1, part_of = "net" } })
end

return T
