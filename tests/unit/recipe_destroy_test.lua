--- Destroy: what goes, what stays, in which order, and what it says of the data.
local errors = require "errors"
local lab = dofile "tests/support/recipe_lab.lua"
local plan = require "recipe.plan"
local recipe = require "recipe"
local task = require "task"
local test = require "test"
local T = test.cases()

local function nothing() end

--- A kind whose deletions take a while: until `l.together` of them ran at the same time, and none is held. Notes how many did,
--- and which.
local function slow_kind(l, name, extra)
  local def = { delete = function(current)
    l.running = (l.running or 0) + 1
    l.most = math.max(l.most or 0, l.running)
    task.within(60, "see the others", function()
      repeat task.sleep(0.02) until not l.held and l.most >= (l.together or 0)
    end)
    l.running = l.running - 1
    for _, t in pairs(l.things) do
      if t.part_of == current.id then errors.raise { kind = "remote", message = t.name .. " is part of it" } end
    end
    l:call("delete " .. current.name, function() l.things[current.id] = nil end)
  end }
  for k, v in pairs(extra or {}) do def[k] = v end
  return l.kind(name, def)
end

T["slow things of different stages are deleted at the same time, and what they stand on after them"] = function()
  local l = lab()
  local slow = slow_kind(l, "lab.slow")
  l:apply(function()
    recipe.stage "network"
    local net = slow { "net" }
    recipe.stage "stores"
    slow { "db", part_of = net }
    slow { "cache", part_of = net }
    recipe.stage "deploy"
    slow { "env", part_of = net }
  end)
  l.calls, l.together = {}, 3
  l:destroy(nothing)
  test.equal(l.most, 3)
  test.equal(#l.calls, 4)
  test.equal(l.calls[4], "delete net")
end

T["one that fails does not stop the others; what stands on it waits; destroy again goes on"] = function()
  local l, broken = lab(), true
  local slow = slow_kind(l, "lab.slow")
  local stuck = slow_kind(l, "lab.stuck", { delete = function(current)
    if broken then errors.raise { kind = "remote", message = "AccessDenied" } end
    l.things[current.id] = nil
  end })
  l:apply(function()
    local net = slow { "net" }
    stuck { "db", part_of = net }
    slow { "cache", part_of = net }
    slow { "other" }
  end)
  test.raises('cannot delete lab.stuck "db": AccessDenied', l.destroy, l, nothing)
  test.equal(l:state(), { net = {}, db = { part_of = "net" } })
  broken = false
  l:destroy(nothing)
  test.equal(l:state(), {})
end

T["a cancel while things are deleted side by side: each call is finished, none is begun, destroy goes on from there"] = function()
  local l = lab()
  local slow = slow_kind(l, "lab.slow")
  l:apply(function()
    local net = slow { "net" }
    slow { "a", part_of = net }
    slow { "b", part_of = net }
  end)
  l.held = true
  local worker = task.spawn(function() l:destroy(nothing) end)
  while (l.running or 0) < 2 do task.sleep(0.001) end
  worker:cancel()
  l.held = false
  test.equal(errors.exit_code(test.raises("cancelled", worker.join, worker)), 130)
  test.equal(l:state(), { net = {} })
  l:destroy(nothing)
  test.equal(l.out[#l.out], "destroy: nothing left")
end

T["of several things with one id the field says which is meant"] = function()
  local order = require "recipe.order"
  local before = order.before {                              -- the last made first
    { key = "env", kind = "aws.eb_environment", id = "shop", spec = { name = "shop", application = "shop",
      settings = { vpc = { Subnets = "subnet-1,subnet-2" }, env = { URL = "arn:aws:secretsmanager:r:1:secret:shop-x:URL" } } } },
    { key = "app", kind = "aws.eb_application", id = "shop", spec = { name = "shop" } },
    { key = "db", kind = "aws.db_instance", id = "shop", spec = { name = "shop", groups = { "sg-1" } } },
    { key = "cache", kind = "aws.replication_group", id = "shop", spec = { name = "shop", description = "shop", tags = { app = "shop" } } },
    { key = "secret", kind = "aws.secret", id = "arn:aws:secretsmanager:r:1:secret:shop-x", spec = { name = "shop" } },
    { key = "sg", kind = "aws.security_group", id = "sg-1", spec = { name = "shop", vpc = "vpc-1" } },
    { key = "subnet", kind = "aws.subnet", id = "subnet-2", spec = { name = "b" } },
    { key = "vpc", kind = "aws.vpc", id = "vpc-1", spec = { name = "shop" } },
  }
  test.equal(before, { env = {}, app = { env = true }, db = {}, cache = {}, secret = { env = true }, sg = { db = true }, subnet = { env = true },
                       vpc = { sg = true } })
end

T["what a kept thing stands on stays too, and it says so"] = function()
  local l = lab()
  l:apply(function()
    local net = l.thing { "net" }
    l.thing { "db", part_of = net, keep = true }
    l.thing { "cache", part_of = net }
  end)
  l:destroy(nothing)
  test.equal(l:state(), { net = {}, db = { part_of = "net" } })
  test.match(l:text(), 'lab.thing "net" stays: lab.thing "db", which stays, stands on it')
  test.match(l.out[#l.out], "nothing left but 2 that stay")
end

T["keep = true that is added later is a change, and it counts; so does taking it away"] = function()
  local l = lab()
  local function kept(keep) return function() l.thing { "db", size = 1, keep = keep } end end
  l:apply(kept(nil))
  local r = l:plan(kept(true))
  test.match(plan.lines(r.entries)[1], 'lab.thing "db"  keep: false %-> true')
  l.calls = {}
  l:apply(kept(true))
  test.equal(l.calls, {})                                    -- only the journal had to know
  test.truthy(plan.empty(l:plan(kept(true)).entries))
  l:destroy(nothing)
  test.equal(l:state(), { db = { size = 1 } })
  l:apply(kept(nil))
  l:destroy(nothing)
  test.equal(l:state(), {})
end

--- A database whose deletion takes a snapshot under a name of its own, and fails on one that is there.
local function database(l)
  l.snapshots = l.snapshots or {}
  local function name_of(current, ctx) return ctx.final_snapshot and "final-" .. current.id or nil end
  return l.kind("lab.db", {
    options = { { "size", "how big", type = "integer" }, { "zone", "where", type = "string" }, { "part_of", "another", type = "table" },
                { "final_snapshot", "a last snapshot", type = "boolean", default = true } },
    compare = { final_snapshot = "ignore" },
    leaves = function(current, ctx)
      local name = name_of(current, ctx)
      return name and { { what = "the snapshot " .. name, cost = "1 $ a month", restore = "restore " .. name, delete = "drop " .. name } }
    end,
    delete = function(current, ctx)
      local name = name_of(current, ctx)
      l:call("delete " .. current.name, function()
        if name and l.snapshots[name] then errors.raise { kind = "remote", message = "the snapshot exists" } end
        if name then l.snapshots[name] = true end
        l.things[current.id].deleting = true
        task.spawn(function()
          task.sleep(0.02)
          l.things[current.id] = nil
        end)
      end)
    end,
  })
end

T["a database leaves a final snapshot, and destroy says how to get it back and how to be rid of it"] = function()
  local l = lab()
  local db = database(l)
  l:apply(function() db { "shop" } end)
  l:destroy(nothing)
  test.equal(l.snapshots, { ["final-thing-1"] = true })
  test.match(l:text(), 'lab.db "shop"  thing%-1  %(with a final snapshot%)')
  test.match(l:text(), "the snapshot final%-thing%-1 stays; 1 %$ a month\n    to get it back: restore final%-thing%-1\n"
    .. "    to delete it:   drop final%-thing%-1\ndestroy: nothing left but what is told above$")
  l.out = {}
  l:destroy(nothing)
  test.equal(l.out, { "destroy: nothing left" })             -- told once
end

T["no final snapshot where the recipe or the command says so, and the question says that the data is lost"] = function()
  local l = lab()
  local db = database(l)
  l:apply(function() db { "a", final_snapshot = false } end)
  l:destroy(nothing)
  test.match(l:text(), "NO final snapshot: its data is lost")
  l:apply(function() db { "b" } end)
  l:destroy(nothing, { no_final_snapshot = true })
  test.equal(l.snapshots, {})
  l:apply(function() db { "c", final_snapshot = false } end)
  l:apply(function() db { "c" } end)                         -- said otherwise later
  l:destroy(nothing)
  test.equal(l.snapshots, { ["final-thing-3"] = true })
end

T["killed anywhere while a database is deleted, then destroy again: one snapshot, and it is told"] = function()
  local n = 0
  repeat
    n = n + 1
    local died = false
    for _, when in ipairs { "before", "after" } do
      local l = lab()
      local db = database(l)
      l:apply(function() db { "shop" } end)
      died = l:killed_at(n, when, l.destroy, l, nothing)
      if died then
        l.out = {}
        l:destroy(nothing)
        local where = ("%s effect %d"):format(when, n)
        test.equal(l.snapshots, { ["final-thing-1"] = true }, where)
        test.equal(l:state(), {}, where)
        if not l:text():find("the snapshot final-thing-1 stays", 1, true) then
          test.match(l.out[#l.out], "nothing left", where)   -- only after the last record of the first destroy
          test.truthy(n >= 4, where)
        end
      end
      test.cleanup()
    end
  until not died
  test.truthy(n > 4, "there are effects")
end

T["a deletion whose answer was lost is not asked for again, but waited for, however the service refuses the second one"] = function()
  for _, refusal in ipairs { { code = "InvalidDBInstanceState", retry = true }, { code = "InvalidParameterValue" } } do
    local l, asked = lab(), 0
    local k = l.kind("lab.lost", { delete = function(current)
      asked = asked + 1
      l.things[current.id].deleting = true
      task.spawn(function()
        task.sleep(0.05)
        l.things[current.id] = nil
      end)
      errors.raise { kind = "remote", code = refusal.code, message = "it is already being deleted", retry = refusal.retry }
    end })
    l:apply(function() k { "a" } end)
    l:destroy(nothing)
    test.equal(asked, 1)
    test.equal(l:state(), {})
    test.match(l:text(), "lab%.lost \"a\" deleted %(thing%-1%)")
    test.cleanup()
  end
end

T["what a killed destroy deleted is said to be deleted; what someone else deleted was gone"] = function()
  local n, said, died = 0
  repeat
    n = n + 1
    local l = lab()
    l:apply(function() l.thing { "a", size = 1 } end)
    died = l:killed_at(n, "after", l.destroy, l, nothing)
    if died and next(l.things) == nil then
      l.out = {}
      l:destroy(nothing)
      said = said or l:text()
      test.truthy(not l:text():find "was gone", l:text())
    end
    test.cleanup()
  until not died
  test.match(said, "lab%.thing \"a\" deleted %(thing%-1%)")
  local l = lab()
  l:apply(function() l.thing { "a", size = 1 } end)
  l.things = {}
  l:destroy(nothing)
  test.match(l:text(), "lab%.thing \"a\" was gone")
end

--- Two guards, one inside the other, and a thing before them.
local function guarded(l, o)
  o = o or {}
  local function guard(name)
    return recipe.guard {
      key = name, what = "hold " .. name, apply = function() l:call("apply " .. name, function() l[name] = true end) end,
      undo = function()
        if o.broken then errors.raise { kind = "network", message = "no answer" } end
        l:call("undo " .. name, function() l[name] = nil end)
      end,
      by_hand = function() return "let go of " .. name end,
      holds = function() task.sleep(0) return l[name] == true end,
    }
  end
  return function()
    local thing = l.thing { "a", size = 1 }
    local outer <close> = guard "outer"
    outer:once("copy", function() l:call("copy", function() l.copied = thing.id end) end)
    local inner <close> = guard "inner"
    inner:once("switch", function() l:call("switch", function() l.live = true end) end)
    inner:keep()
    outer:keep()
    l.thing { "late", size = 1 }
  end
end

T["destroy undoes first what a killed run left in force, the inner guard before the outer one"] = function()
  local n, seen = 0, {}
  repeat
    n = n + 1
    local l = lab()
    local died = l:killed_at(n, "after", l.apply, l, guarded(l))
    local held = (l.outer and "outer" or "") .. (l.inner and "inner" or "")
    local kept = died and require("journal").open({ name = "lab", dir = l.dir }).memory.guards
    if died then
      l.calls = {}
      local late = l.made.late
      l:destroy(guarded(l))
      test.equal(l.made.late, late, "made by the undoing")
      test.equal(l:state(), {}, held .. n)
      if kept.outer and kept.outer.state ~= "kept" then
        test.equal(l.outer, nil, "the outer one after " .. n)
        if held == "outerinner" and kept.inner.state ~= "kept" then
          test.equal({ l.calls[1], l.calls[2] }, { "undo inner", "undo outer" })
          seen.both = true
        end
      end
      test.equal(l.copied ~= nil and l.calls[1] == "copy", false)
    end
    test.cleanup()
  until not died
  test.truthy(seen.both, "both were in force once")
end

T["destroy deletes nothing while a guard cannot be undone, and what to do by hand is said"] = function()
  local l = lab()
  local n = 0
  repeat n = n + 1 l:killed_at(n, "after", l.apply, l, guarded(l)) until l.outer
  local e = test.raises("hold outer is still in force, and could not be undone: cannot undo hold outer: no answer", l.destroy, l,
    guarded(l, { broken = true }))
  test.match(tostring(e), "or undo it by hand: let go of outer")
  test.equal(l:state(), { a = { size = 1 } })
  test.raises("hold outer is still in force", l.destroy, l, function() end)   -- a recipe that does not know it any more
  test.raises("nothing was deleted", l.destroy, l, guarded(l), { yes = false, typed = function() return "no" end })
  test.truthy(l.outer)
  l:destroy(guarded(l))
  test.equal({ l:state(), l.outer }, { {} })
end

T["without its journal destroy finds by tag what the recipe made, says so, asks, and deletes only that"] = function()
  local l = lab()
  local function r()
    local net = l.thing { "net" }
    l.thing { "db", part_of = net }
    l.thing { "new", part_of = net }
  end
  l:apply(function()
    local net = l.thing { "net" }
    l.thing { "db", part_of = net }
    l.thing { "dropped", part_of = net }                     -- not in the recipe any more: nobody can know of it
  end)
  require("fs").remove(l.dir .. "/lab.journal")
  for id, t in pairs(l.things) do if t.name == "dropped" then l.things[id] = nil end end
  l.things.x = { id = "x", name = "other", tags = {} }
  l.out = {}
  test.raises("nothing was deleted", l.destroy, l, r, { yes = false, typed = function() return "no" end })
  test.match(l:text(), "There is no journal here. These were found by name and by the tag hkrun:recipe = lab:\n"
    .. '  %? lab.thing "net"  thing%-1\n  %? lab.thing "db"  thing%-2')
  test.equal(l:state(), { net = {}, db = { part_of = "net" }, other = {} })
  l:destroy(r)
  test.equal(l:state(), { other = {} })
  test.equal(l.out[#l.out], "destroy: nothing left")
end

T["without its journal destroy wants nothing that only making wants: neither an option nor what the recipe needs"] = function()
  local l = lab()
  local function r()
    local opt = recipe.options { { "size", "how big", type = "integer", required = true } }
    recipe.need(l.room ~= false, "there is no room")
    local net = l.thing { "net", size = opt.size }
    l.thing { "db", part_of = net }
  end
  l:apply(r, { args = { "--size", "3" } })
  require("fs").remove(l.dir .. "/lab.journal")
  l.room = false
  test.raises("%-%-size is needed: how big", l.plan, l, r)
  test.raises("there is no room", l.plan, l, r, { args = { "--size", "3" } })
  l:destroy(r)
  test.equal(l:state(), {})
  test.equal(l.out[#l.out], "destroy: nothing left")
end

T["without its journal destroy says first what the recipe needs, where it cannot go on without it"] = function()
  local l = lab()
  local function r()
    recipe.need(l.room, "there is no room")
    l.thing { "net", size = l.room.size }
  end
  test.raises("there is no room", l.destroy, l, r)
end

T["without its journal destroy does not claim that nothing is left when it could not look"] = function()
  local l = lab()
  test.raises("the network is down", l.destroy, l, function()
    recipe.stage "x"
    errors.raise { kind = "network", message = "the network is down" }
  end)
end

return T
