local effects = require "recipe.effects"
local errors = require "errors"
local lab = dofile "tests/support/recipe_lab.lua"
local plan = require "recipe.plan"
local recipe = require "recipe"
local secret = require "secret"
local task = require "task"
local test = require "test"
local T = test.cases()

local function marks(r)
  local list = {}
  for i, e in ipairs(r.entries) do list[i] = e.action .. " " .. (e.name or e.title) end
  return list
end

local function network(l, o)
  o = o or {}
  return function()
    recipe.stage "network"
    local net = l.thing { "net", zone = o.zone or "a" }
    recipe.stage "stores"
    return task.all {
      db = function() return l.thing { "db", size = o.size or 1, part_of = net } end,
      cache = function() return l.thing { "cache", size = 2, part_of = net, labels = { "x", "y" } } end,
    }
  end
end

T["a plan shows what apply would make, and changes nothing"] = function()
  local l = lab()
  local r = l:plan(network(l))
  test.equal(marks(r), { "create net", "create cache", "create db" })
  test.equal(plan.summary(r.entries), "Plan: 3 to create.")
  test.equal(l.calls, {})
  test.equal(#require("fs").list(l.dir), 0, "files written by plan")
end

T["the plan's text has stages, marks, properties and what is known only after apply"] = function()
  local l = lab()
  local r = l:plan(function()
    recipe.stage "network"
    local net = l.thing { "net", zone = "a" }
    local k = l.kind("lab.named", { summary = { "zone", "part_of" } })
    k { "inner", part_of = net }
    recipe.once("copy", function() end)
  end)
  test.equal(plan.lines(r.entries), {
    "network",
    '  + lab.thing "net"  zone a',
    '  + lab.named "inner"  part_of (known after apply)',
    "  > run copy",
    "Plan: 2 to create, 1 to run.",
  })
end

T["a plan's order is that of the program, whoever answers first"] = function()
  local l = lab()
  local delays = { a1 = 0.03, b1 = 0, c1 = 0.01, a2 = 0, b2 = 0.02, c2 = 0 }
  local k = l.kind("lab.delayed", { read = function(spec) task.sleep(delays[spec.name] or 0) end })
  test.equal(marks(l:plan(function()
    k { "first" }
    task.all {
      a = function() k { "a1" } k { "a2" } end,
      b = function() k { "b1" } task.map({ "b2", "b3" }, function(n) k { n } end) k { "b4" } end,
      c = function() k { "c1" } k { "c2" } end,
    }
    k { "last" }
  end)), { "create first", "create a1", "create a2", "create b1", "create b2", "create b3", "create b4", "create c1",
    "create c2", "create last" })
end

T["apply makes it, a second apply makes nothing"] = function()
  local l = lab()
  l:apply(network(l))
  test.equal(l:state(), { net = { zone = "a" }, db = { size = 1, part_of = "net" }, cache = { size = 2, part_of = "net" } })
  local calls = #l.calls
  test.equal(calls, 3)
  l:apply(network(l))
  test.equal(#l.calls, calls)
  test.equal(l.out[#l.out], "no changes")
end

T["a noun answers with what was asked and what the service gave"] = function()
  local l = lab()
  local got
  l:apply(function() got = l.thing { "net", zone = "a" } end)
  test.equal({ got.name, got.zone, got.id, got.address }, { "net", "a", "thing-1", "10.0.0.1" })
end

T["a change is made in place and shown with both values"] = function()
  local l = lab()
  l:apply(network(l))
  local r = l:plan(network(l, { size = 5 }))
  test.equal(plan.summary(r.entries), "Plan: 1 to change.")
  test.truthy(table.concat(plan.lines(r.entries), "\n"):find('~ lab.thing "db"  size: 1 -> 5', 1, true))
  l:apply(network(l, { size = 5 }))
  test.equal(l:state().db.size, 5)
  test.equal(l.made.db, 1)
end

T["a list in another order is no change"] = function()
  local l = lab()
  l:apply(function() l.thing { "a", labels = { "x", "y" } } end)
  test.truthy(plan.empty(l:plan(function() l.thing { "a", labels = { "y", "x" } } end).entries))
  test.truthy(not plan.empty(l:plan(function() l.thing { "a", labels = { "y" } } end).entries))
end

T["a secret that is not read back is no change"] = function()
  local l = lab()
  local function r() l.thing { "a", password = secret.new "geheim" } end
  l:apply(r)
  test.truthy(plan.empty(l:plan(r).entries))
  test.truthy(not require("fs").read(l.dir .. "/lab.journal"):find "geheim")
end

T["a fixed field that changes replaces the thing, and what hangs on it"] = function()
  local l = lab()
  l:apply(function() l.thing { "a", zone = "a" } end)
  local function moved() l.thing { "a", zone = "b" } end
  local r = l:plan(moved)
  test.equal(marks(r), { "replace a" })
  test.truthy(table.concat(plan.lines(r.entries), "\n"):find("zone: a -> b (zone cannot be changed in place)", 1, true))
  l:apply(moved)
  test.equal(l.calls, { "create a", "delete a", "create a" })
  test.equal(l:state().a.zone, "b")
end

T["what hangs on a replaced thing is deleted before it, and made again after it"] = function()
  local l = lab()
  l:apply(network(l))
  local r = l:plan(network(l, { zone = "b" }))
  test.equal(marks(r), { "replace net", "replace cache", "replace db" })
  test.truthy(table.concat(plan.lines(r.entries), "\n"):find("(part_of is replaced)", 1, true))
  l.calls = {}
  l:apply(network(l, { zone = "b" }))
  test.equal({ table.unpack(l.calls, 3) }, { "delete net", "create net", "create cache", "create db" })
  test.equal(l:state(), { net = { zone = "b" }, db = { size = 1, part_of = "net" }, cache = { size = 2, part_of = "net" } })
  test.truthy(plan.empty(l:plan(network(l, { zone = "b" })).entries))
end

T["a cancel during a create is held back until the id is on record"] = function()
  local l = lab()
  local begun
  local slow = l.kind("lab.slow", {
    create = function(spec, ctx)
      begun = true
      task.sleep(0.05)
      l.made[spec.name] = (l.made[spec.name] or 0) + 1
      l.things.s = { id = "s", name = spec.name, tags = ctx.tags }
      return "s"
    end,
  })
  local function r() slow { "a" } end
  local worker = task.spawn(function() l:apply(r) end)
  while not begun do task.sleep(0.005) end
  worker:cancel()
  test.raises("cancelled", worker.join, worker)
  test.equal(require("journal").open({ name = "lab", dir = l.dir }).memory.nouns["lab.slow:a"].id, "s")
  l:apply(r)
  test.equal(l.made.a, 1)
end

T["a replacement asks, and no means no"] = function()
  local l = lab()
  l:apply(function() l.thing { "a", zone = "a" } end)
  local asked
  test.raises("that was not the name", l.apply, l, function() l.thing { "a", zone = "b" } end,
    { yes = false, answer = function(q) asked = q return false end })
  test.truthy(asked)
  test.equal(l:state().a.zone, "a")
end

T["a replacement that the plan did not show stops, even with --yes"] = function()
  local l = lab()
  l:apply(function() l.thing { "a", zone = "a" } end)
  test.raises("plan did not show", l.apply, l, function()
    l.thing { "new" }
    l.thing { "a", zone = recipe.planning() and "a" or "b" }
  end)
  test.equal(l:state().a.zone, "a")
end

T["a creation that the plan did not show asks"] = function()
  local l = lab()
  local asked = {}
  local function r()
    l.thing { "shown" }
    if not recipe.planning() then l.thing { "hidden" } end
  end
  test.raises("the answer was no", l.apply, l, r, {
    yes = false, answer = function(q) asked[#asked + 1] = q return #asked == 1 end })
  test.match(asked[2], 'create lab.thing "hidden"')
  test.equal(l.made, { shown = 1 })
end

T["keep = true refuses to replace and to destroy"] = function()
  local l = lab()
  l:apply(function() l.thing { "a", zone = "a", keep = true } l.thing { "b" } end)
  test.raises("keep = true protects", l.plan, l, function() l.thing { "a", zone = "b", keep = true } end)
  l:destroy(function() end)
  test.equal(l:state(), { a = { zone = "a" } })
end

T["what exists without our tags is refused, adopted only on request, and never deleted"] = function()
  local l = lab()
  l.things.old = { id = "old", name = "a", size = 1, tags = {} }
  local e = test.raises("was not made by this recipe", l.plan, l, function() l.thing { "a", size = 1 } end)
  test.equal(errors.exit_code(e), 2)
  local function adopting() l.thing { "a", size = 3, adopt = true } end
  l:apply(adopting)
  test.equal(l.things.old.size, 3)
  test.truthy(plan.empty(l:plan(adopting).entries))
  l:destroy(function() end)
  test.truthy(l.things.old)
end

T["what another recipe made is refused by its name"] = function()
  local l = lab()
  l.things.x = { id = "x", name = "a", tags = { ["hkrun:recipe"] = "other.shop", ["hkrun:key"] = "lab.thing:a" } }
  test.raises("belongs to the recipe other.shop", l.plan, l, function() l.thing { "a" } end)
end

T["without its journal a recipe finds its things by their tags, and still deletes them"] = function()
  local l = lab()
  l:apply(network(l))
  require("fs").remove(l.dir .. "/lab.journal")
  test.truthy(plan.empty(l:plan(network(l)).entries))
  l:apply(network(l, { size = 2 }))
  test.equal(l.made, { net = 1, db = 1, cache = 1 })
  l:apply(function() network(l, { size = 2 })() l.thing { "more" } end)
  l:destroy(function() end)
  test.equal(l:state(), {})
end

T["without its journal, what can carry no tags is this recipe's where what it is part of is"] = function()
  local l = lab()
  local part = l.kind("lab.part", { tagless = true })
  local function recipe_of(how)
    return function()
      local net = l.thing { "net", size = 1 }
      part { "part", part_of = how(net) }
    end
  end
  local function bare() for _, t in pairs(l.things) do if t.name == "part" then t.tags = nil end end end
  l:apply(recipe_of(function(net) return net end))
  bare()
  require("fs").remove(l.dir .. "/lab.journal")
  l:apply(recipe_of(function(net) return net end))
  l:destroy(function() end)
  test.equal(l:state(), {})
  l.things.old = { id = "old", name = "net", size = 1 }
  l.things.leaf = { id = "leaf", name = "part", part_of = "old" }
  l:apply(recipe_of(function(net) return net end), { adopt = true })
  l:destroy(function() end)
  test.equal(l:state(), { net = { size = 1 }, part = { part_of = "net" } }, "what is part of an adopted thing")
end

T["what was deleted by hand is made again, with another token"] = function()
  local l = lab()
  local function r() l.thing { "a" } end
  l:apply(r)
  local token = l.things["thing-1"].token
  l.things["thing-1"] = nil
  test.truthy(table.concat(plan.lines(l:plan(r).entries), "\n"):find("it is gone", 1, true))
  l:apply(r)
  test.truthy(l.things["thing-2"].token ~= token)
end

T["two nouns with one name are refused"] = function()
  local l = lab()
  local e = test.raises('lab.thing a appears twice', l.plan, l, function() l.thing { "a" } l.thing { "a" } end)
  test.equal(errors.exit_code(e), 2)
end

T["unknown options and missing names are the caller's mistake"] = function()
  local l = lab()
  test.raises("no option sise %(did you mean size%?%)", l.plan, l, function() l.thing { "a", sise = 1 } end)
  test.raises("needs a name", l.plan, l, function() l.thing { size = 1 } end)
  test.raises("size must be an integer", l.plan, l, function() l.thing { "a", size = "big" } end)
end

T["a failure names the noun once and stops the rest"] = function()
  local l = lab()
  local broken = l.kind("lab.broken", { create = function() errors.raise { kind = "remote", message = "no room" } end })
  local e = test.raises('cannot create lab.broken "x": no room', l.apply, l, function() broken { "x" } l.thing { "after" } end)
  test.equal(errors.exit_code(e), 1)
  test.equal(l.made, {})
end

T["a thing that is being deleted is waited for, then made again"] = function()
  local l = lab()
  l:apply(function() l.thing { "a" } end)
  l.things["thing-1"].deleting = true
  local worker = task.spawn(function() task.sleep(0.15) l.things["thing-1"] = nil end)
  l:apply(function() l.thing { "a" } end)
  worker:join()
  test.equal(l.made.a, 2)
end

T["a thing is used only when it is ready"] = function()
  local l = lab()
  local polls = 0
  local slow = l.kind("lab.slow", {
    ready = function(current)
      for _ = 1, 3 do polls = polls + 1 task.sleep(0) end
      l.things[current.id].address = "ready"
    end,
  })
  local got
  l:apply(function() got = slow { "a" } end)
  test.equal({ polls, got.address }, { 3, "ready" })
end

T["a kind without create only looks things up"] = function()
  local l = lab()
  local known = l.kind("lab.known", { create = "none" })
  test.raises("it does not exist", l.plan, l, function() known { "a" } end)
end

T["destroy finds a kind that a module makes when it is first named"] = function()
  local l = lab()
  local made = 0
  package.preload.labmod = function()
    return setmetatable({}, { __index = function(t, k)
      made = made + 1
      local constructor = l.kind("labmod." .. k)
      rawset(t, k, constructor)
      return constructor
    end })
  end
  test.defer(function() package.preload.labmod, package.loaded.labmod = nil, nil end)
  local kind = require "recipe.kind"
  test.raises("cannot find the noun labmad.box", kind.find, "labmad.box")
  test.equal(kind.find("labmod.box").name, "labmod.box")
  test.equal(made, 1)
end

T["destroy deletes backwards, only what runs made, and says when nothing is left"] = function()
  local l = lab()
  l:apply(network(l))
  l.calls = {}
  l:destroy(function() end)
  test.equal(l.calls[3], "delete net")
  test.equal(l:state(), {})
  test.equal(l.out[#l.out], "destroy: nothing left")
  test.equal(require("journal").open({ name = "lab", dir = l.dir }).memory.nouns, {})
  l:destroy(function() end)
  test.equal(l.out[#l.out], "destroy: nothing left")
  l:apply(network(l))
  test.equal(l.made.net, 2)
end

T["destroy deletes side by side what nothing names, and tries again what is refused"] = function()
  local l = lab()
  local running, most, waiting = 0, 0, {}
  local hidden = l.kind("lab.hidden", {                      -- a dependency that no record shows
    delete = function(current)
      running = running + 1
      most = math.max(most, running)
      if running == 4 then
        for _, others in ipairs(waiting) do others.set() end
      elseif most < 4 then                                   -- until all that may run do
        waiting[#waiting + 1] = task.event()
        waiting[#waiting].wait()
      end
      running = running - 1
      if current.name == "role" and l:state().user then
        errors.raise { kind = "remote", message = "DeleteConflict" }
      end
      l.things[current.id] = nil
    end,
  })
  l:apply(function()
    recipe.stage "one"
    hidden { "user" }
    hidden { "role" }
    recipe.stage "two"
    local a = hidden { "a" }
    task.all { function() hidden { "b", part_of = a } end, function() hidden { "c", part_of = a } end }
  end)
  l:destroy(function() end)
  test.equal(l:state(), {})
  test.equal(most, 4)                                       -- "b", "c" and, of another stage, "user" and "role"
  test.match(l:text(), '"c" deleted.*"b" deleted.*"a" deleted')
  test.match(l:text(), '"user" deleted.*"role" deleted')
end

T["destroy stops with the service's reason when nothing more can go"] = function()
  local l = lab()
  local stuck = l.kind("lab.stuck", { delete = function() errors.raise { kind = "remote", message = "InUse" } end })
  local function r() l.thing { "free" } stuck { "held" } end
  l:apply(r)
  test.raises('cannot delete lab.stuck "held": InUse', l.destroy, l, function() end)
  test.equal(l:state(), { held = {} })
  l.things["thing-2"] = nil
  l:destroy(function() end)
  test.equal(l.out[#l.out], "destroy: nothing left")
end

T["destroy without the typed name deletes nothing"] = function()
  local l = lab()
  l:apply(network(l))
  test.raises("nothing was deleted", l.destroy, l, function() end, { yes = false, typed = function() return "labb" end })
  l:destroy(function() end, { yes = false, typed = function() return "lab" end })
  test.equal(l:state(), {})
end

--- A noun whose first call of a kind gets no answer: it was done ("lost") or not ("dropped").
local function unheard(l, how, verb)
  local left = 1
  local function call(fn)
    local cut = left > 0
    if cut then left = left - 1 end
    local r = not (cut and how == "dropped") and fn() or nil
    if cut then errors.raise { kind = "network", message = "the connection was cut", retry = true, lost = true } end
    return r
  end
  local calls = 0
  local make = l.kind("lab.unheard", {
    idempotent = false,
    create = function(spec, ctx)
      local function fn()
        l.next_id = l.next_id + 1
        local id = "u-" .. l.next_id
        l.things[id] = { id = id, name = spec.name, size = verb == "create" and 0 or spec.size, tags = ctx.tags }
        return id
      end
      if verb ~= "create" then return fn() end
      calls = calls + 1
      local id = call(fn)
      l.things[id].size = spec.size                          -- its second call
      return id
    end,
    update = function(spec, current)
      local function fn() l.things[current.id].size = spec.size end
      if verb ~= "update" then return fn() end
      calls = calls + 1
      call(fn)
    end,
  })
  return make, function() return calls end
end

T["a create without an answer is looked for before it is asked for again: one thing, complete"] = function()
  for how, wanted in pairs { lost = 1, dropped = 2 } do
    local l = lab()
    effects.settle = 0.2
    local make, calls = unheard(l, how, "create")
    l:apply(function() make { "a", size = 3 } end)
    test.equal({ how, calls(), l:state() }, { how, wanted, { a = { size = 3 } } })
    test.truthy(plan.empty(l:plan(function() make { "a", size = 3 } end).entries), how)
    l:destroy(function() end)
    test.equal(l:state(), {}, how)
    test.cleanup()
  end
end

T["a change without an answer is asked for again only where something is still different"] = function()
  for how, wanted in pairs { lost = 1, dropped = 2 } do
    local l = lab()
    local make, calls = unheard(l, how, "update")
    l:apply(function() make { "a", size = 3 } end)
    l:apply(function() make { "a", size = 4 } end)
    test.equal({ how, calls(), l:state() }, { how, wanted, { a = { size = 4 } } })
    test.cleanup()
  end
end

return T
