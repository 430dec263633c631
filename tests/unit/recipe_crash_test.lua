local effects = require "recipe.effects"
local lab = dofile "tests/support/recipe_lab.lua"
local plan = require "recipe.plan"
local recipe = require "recipe"
local task = require "task"
local test = require "test"
local T = test.cases()

--- A small migration: things side by side, a guard, a copy, a switch.
local function migration(l, o)
  o = o or {}
  l.app = l.app or { web = 2, frozen = false }
  l.target = l.target or { copies = 0 }
  return function()
    recipe.stage "network"
    local net = l.thing { "net", zone = o.zone or "a" }
    task.all {
      db = function() return l.thing { "db", size = o.size or 1, part_of = net } end,
      cache = function() return l.thing { "cache", size = 2, part_of = net } end,
    }
    recipe.once("schema", function() l:call("schema", function() l.target.schema = net.zone end) end)
    recipe.stage "cutover"
    local freeze <close> = recipe.guard {
      key = "freeze",
      facts = function() return { web = l.app.web } end,
      apply = function() l:call("freeze", function() l.app.frozen, l.app.web = true, 0 end) end,
      undo = function(f) l:call("thaw", function() l.app.frozen, l.app.web = false, f.web end) end,
      holds = function() return l.app.frozen end,
    }
    freeze:once("copy", function() l:call("copy", function() l.target.rows = 10 end) end)
    freeze:once("switch", function() l:call("switch", function() l.target.live = l.target.rows end) end)
    freeze:keep()
    l.thing { "alarm", size = 1 }
  end
end

local function world(l)
  return { things = l:state(), app = l.app, target = l.target }
end

--- Kills at every effect, before and after it; then applies again and compares with what `prepare` and `r` give undisturbed.
local function everywhere(prepare, run, check)
  local calm = lab()
  if prepare then prepare(calm) end
  calm.effects = 0
  run(calm)
  local want, total, made = world(calm), calm.effects, calm.made
  test.cleanup()
  test.truthy(total > 4, "there are effects")
  local kills = 0
  for n = 1, total do
    for _, when in ipairs { "before", "after" } do
      local l = lab()
      if prepare then prepare(l) end
      if l:killed_at(n, when, run, l) then kills = kills + 1 end
      run(l)
      local where = ("killed %s effect %d"):format(when, n)
      test.equal(world(l), want, where)
      test.equal(l.made, made, where .. ": made")
      check(l, where)
      test.cleanup()
    end
  end
  test.equal(kills, total * 2, "every effect was a kill")
end

T["a kill at any effect of an apply, then apply again: nothing twice, nothing lost, not left frozen by half"] = function()
  everywhere(nil, function(l) l:apply(migration(l)) end, function(l, where)
    test.truthy(plan.empty(l:plan(migration(l)).entries), where)
    test.equal(require("journal").open({ name = "lab", dir = l.dir }).memory.guards.freeze.facts, { web = 2 }, where)
    l:destroy(function() end)
    test.equal(l:state(), {}, where)
  end)
end

T["a kill at any effect of a change and a replacement"] = function()
  everywhere(function(l) l:apply(migration(l)) end, function(l) l:apply(migration(l, { size = 7, zone = "b" })) end,
    function(l, where)
      test.equal(l:state().net.zone, "b", where)
      test.equal(l:state().db.size, 7, where)
    end)
end

T["a kill at any effect of a destroy, then destroy again: nothing left"] = function()
  everywhere(function(l) l:apply(migration(l)) end, function(l) l:destroy(function() end) end, function(l, where)
    test.equal(l.out[#l.out], "destroy: nothing left", where)
  end)
end

T["a kill between call and record, then destroy: the thing is found by its tags"] = function()
  local l = lab()
  local function r() l.thing { "a" } end
  local n = 0
  repeat n = n + 1 l:killed_at(n, "after", l.apply, l, r) until l.made.a
  test.equal(l:state(), { a = {} })
  l:destroy(function() end)
  test.equal(l:state(), {})
end

T["a read that still misses what the killed run made does not make it twice"] = function()
  local l = lab()
  effects.settle = 3
  local loose = l.kind("lab.loose", {
    idempotent = false,
    create = function(spec, ctx)                             -- like CreateVpc: no token, only tags
      return l:call("create", function()
        l.next_id = l.next_id + 1
        l.made[spec.name] = (l.made[spec.name] or 0) + 1
        local id = "loose-" .. l.next_id
        l.things[id] = { id = id, name = spec.name, tags = ctx.tags }
        return id
      end)
    end,
  })
  local function r() loose { "a" } end
  local n = 0
  repeat n = n + 1 l:killed_at(n, "after", l.apply, l, r) until l.made.a
  l.blind = 4                                                -- one of them is the plan's
  l:apply(r)
  test.equal(l.made.a, 1)
end

T["a read right after a create may miss it"] = function()
  local l = lab()
  local k = l.kind("lab.late", {
    create = function(spec, ctx)
      l.things.x = { id = "x", name = spec.name, tags = ctx.tags, token = ctx.token }
      l.blind = 3
      return "x"
    end,
  })
  local got
  l:apply(function() got = k { "a" } end)
  test.equal(got.id, "x")
end

return T
