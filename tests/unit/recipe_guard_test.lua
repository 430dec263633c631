local errors = require "errors"
local lab = dofile "tests/support/recipe_lab.lua"
local plan = require "recipe.plan"
local recipe = require "recipe"
local secret = require "secret"
local task = require "task"
local test = require "test"
local T = test.cases()

--- An app that can be frozen, and a recipe that copies its data while it is.
local function app_recipe(l, o)
  o = o or {}
  l.app = l.app or { web = 2, worker = 1, frozen = false, rows = 10 }
  l.copied = l.copied or {}
  return function()
    recipe.stage "cutover"
    local app = l.app
    local freeze <close> = recipe.guard {
      key = "freeze", what = "freeze the app",
      facts = function() task.sleep(0) return { web = app.web, worker = app.worker } end,
      apply = function() l:call("freeze", function() app.frozen, app.web, app.worker = true, 0, 0 end) end,
      undo = function(facts)
        l:call("thaw", function() app.frozen, app.web, app.worker = false, facts.web, facts.worker end)
      end,
      holds = function() task.sleep(0) return app.frozen and app.web == 0 end,
    }
    local r = freeze:once("copy", function()
      return { rows = l:call("copy", function() l.copied.rows = app.rows return app.rows end) }
    end)
    if o.fail and not recipe.planning() then errors.raise { kind = "remote", message = "the checksums differ" } end
    if o.wait and not recipe.planning() then task.sleep(60) end
    freeze:once("switch", function() l:call("switch", function() l.copied.live = l.copied.rows end) end)
    l.result = r
    freeze:keep()
  end
end

T["a kept guard stays, and a second apply runs nothing of it again"] = function()
  local l = lab()
  local r = app_recipe(l)
  l:apply(r)
  test.equal(l.calls, { "freeze", "copy", "switch" })
  test.equal(l.result, { rows = 10 })
  test.truthy(plan.empty(l:plan(r).entries))
  l.app.frozen = false                                       -- somebody thawed it later: that is not our business any more
  l:apply(r)
  test.equal(#l.calls, 3)
end

T["a plan shows a guard and its onces as run, and touches nothing"] = function()
  local l = lab()
  local r = l:plan(app_recipe(l))
  test.equal(plan.summary(r.entries), "Plan: 3 to run.")
  test.equal(l.calls, {})
  test.truthy(not l.app.frozen)
end

T["a failure undoes the guard and voids what was recorded under it"] = function()
  local l = lab()
  test.raises("the checksums differ", l.apply, l, app_recipe(l, { fail = true }))
  test.equal(l.calls, { "freeze", "copy", "thaw" })
  test.equal({ l.app.frozen, l.app.web, l.app.worker }, { false, 2, 1 })
  l.app.rows = 12                                            -- customers write
  l:apply(app_recipe(l))
  test.equal(l.copied.live, 12)
end

T["the first error is raised, also when undoing fails"] = function()
  local l = lab()
  local e = test.raises("cannot undo stop it: no answer", l.apply, l, function()
    local _ <close> = recipe.guard {
      key = "g", what = "stop it", apply = function() end, undo = function() errors.raise { kind = "network", message = "no answer" } end,
    }
    if not recipe.planning() then errors.raise { kind = "remote", message = "the copy broke" } end
  end)
  test.match(tostring(e.cause), "the copy broke")
  test.match(l:text(), "it was to be undone because: the copy broke")
end

T["where the journal cannot be written a guard is not undone, and it is said what is in force and how to undo it by hand"] = function()
  local l = lab()
  local undone, full = 0, true
  local function body()
    local g <close> = recipe.guard {
      key = "g", what = "stop it", apply = function() end, undo = function() undone = undone + 1 end, holds = function() return true end,
      by_hand = function() return "start it" end,
    }
    if recipe.planning() then return end
    if not full then return g:keep() end
    require "recipe.run".peek().journal.store.append = function() errors.raise { kind = "io", message = "no space left" } end
    l.thing { "a", size = 1 }
  end
  local e = test.raises("cannot undo stop it: no space left", l.apply, l, body)
  test.match(tostring(e), "undo it by hand: start it")
  test.match(tostring(e.cause), "no space left")
  test.equal({ undone, l:state() }, { 0, {} })
  full = false
  l:apply(body)
  test.match(l:text(), "stop it %(still in force%)")
end

T["an apply that fails half-way is undone too"] = function()
  local l = lab()
  local undone
  test.raises("lost", l.apply, l, function()
    local _ <close> = recipe.guard {
      key = "g", facts = function() return { n = 2 } end, apply = function() errors.raise { kind = "network", message = "lost" } end,
      undo = function(f) undone = f.n end,
    }
  end)
  test.equal(undone, 2)
end

T["a cancel undoes the guard, whose undo may wait"] = function()
  local l = lab()
  local r = app_recipe(l, { wait = true })
  local worker = task.spawn(function() l:apply(r) end)
  while not l.copied.rows do task.sleep(0.01) end
  worker:cancel()
  local e = test.raises("cancelled", worker.join, worker)
  test.equal(errors.exit_code(e), 130)
  test.equal({ l.app.frozen, l.app.web }, { false, 2 })
  test.equal(l.calls[#l.calls], "thaw")
end

T["a cancel while a guard is being undone waits for the undo"] = function()
  local l = lab()
  local undoing, undone
  local worker = task.spawn(function()
    l:apply(function()
      local _ <close> = recipe.guard {
        key = "g", apply = function() end,
        undo = function()
          undoing = true
          task.sleep(0.05)
          undone = true
        end,
      }
      if not recipe.planning() then errors.raise { kind = "remote", message = "the copy broke" } end
    end)
  end)
  while not undoing do task.sleep(0.005) end
  worker:cancel()
  test.raises(".", worker.join, worker)
  test.truthy(undone)
  test.equal(require("journal").open({ name = "lab", dir = l.dir }).memory.guards.g.state, "undone")
end

T["after a kill under the guard the records stand while the world holds"] = function()
  local l = lab()
  local r = app_recipe(l)
  local n = 0
  repeat n = n + 1 until l:killed_at(n, "after", l.apply, l, r) and l.calls[#l.calls] == "copy"
  l:killed_at(l.effects + 1, "before", function() end)
  test.truthy(l.app.frozen)
  l.calls = {}
  l.app.web = 0
  l:apply(r)
  test.equal(l.calls[#l.calls], "switch")
  test.equal(l.app.frozen, true)
end

T["after a kill with the world changed, the records are void and the facts are the old ones"] = function()
  local l = lab()
  local r = app_recipe(l)
  l:apply(function()                                         -- stands for a run that was killed after the copy
    local run = require("recipe.run").peek()
    if recipe.planning() then recipe.once("x", function() end) return end
    run.journal:write { ev = "guard", key = "freeze", state = "armed", facts = { web = 2, worker = 1 } }
    run.journal:write { ev = "guard", key = "freeze", state = "applied" }
    run.journal:write { ev = "once", name = "freeze/copy", guard = "freeze", state = "start" }
    run.journal:write { ev = "once", name = "freeze/copy", guard = "freeze", state = "done", result = { rows = 10 } }
  end)
  l.app.worker, l.app.rows = 0, 15                           -- half thawed by hand: web runs, and customers write
  l:apply(r)
  test.equal(l.copied.live, 15)
  test.equal(l.calls, { "freeze", "copy", "switch" })
  test.equal(require("journal").open { name = "lab", dir = l.dir }.memory.guards.freeze.facts, { web = 2, worker = 1 })
end

T["a failure after a resume restores what was there before the first arming"] = function()
  local l = lab()
  local n = 0
  repeat n = n + 1 l:killed_at(n, "after", l.apply, l, app_recipe(l)) until l.app.frozen
  test.equal({ l.app.web, l.app.worker }, { 0, 0 })
  test.raises("the checksums differ", l.apply, l, app_recipe(l, { fail = true }))
  test.equal({ l.app.frozen, l.app.web, l.app.worker }, { false, 2, 1 })
end

T["destroy refuses while a guard is in force"] = function()
  local l = lab()
  local r = app_recipe(l)
  local n = 0
  repeat n = n + 1 l:killed_at(n, "after", l.apply, l, r) until l.app.frozen
  test.raises("freeze the app is still in force", l.destroy, l, function() end)
end

T["a once runs once, and again when it did not succeed"] = function()
  local l = lab()
  local runs, fail = 0, true
  local function r()
    recipe.once("copy", function()
      runs = runs + 1
      if fail then errors.raise { kind = "remote", message = "broke" } end
      return { rows = 3, parts = { "a", "b" } }
    end)
  end
  test.raises("broke", l.apply, l, r)
  fail = false
  l:apply(r)
  local got
  l:apply(function() got = recipe.once("copy", function() error "never" end) recipe.once("more", function() end) end)
  test.equal(runs, 2)
  test.equal(got, { rows = 3, parts = { "a", "b" } })
end

T["a once refuses to keep a secret, a function or what is not known"] = function()
  local l = lab()
  test.raises('result of once "a": it is a secret', l.apply, l, function()
    recipe.once("a", function() return secret.new "geheim" end) end)
  test.raises('token is a secret', l.apply, l, function()
    recipe.once("a", function() return { token = secret.new "geheim" } end) end)
  test.raises('f.g is a function', l.apply, l, function()
    recipe.once("a", function() return { f = { g = print } } end) end)
  test.truthy(not require("fs").read(l.dir .. "/lab.journal"):find "geheim")
end

T["an unknown value prints, and raises its name when it is computed with"] = function()
  local v = recipe.unknown 'aws.vpc "shop".id'
  test.equal(tostring(v), "(known after apply)")
  test.truthy(recipe.is_unknown(v))
  test.truthy(not recipe.is_unknown {})
  for what, fn in pairs {
    index = function() return v.x end, call = function() return v() end, concat = function() return "a" .. v end,
    add = function() return v + 1 end, less = function() return v < v end, length = function() return #v end,
    assign = function() v.x = 1 end, pairs = function() return pairs(v) end,
  } do
    local e = test.raises('aws.vpc "shop".id is known only after apply', fn)
    test.truthy(errors.is(e, "unknown"), what)
  end
end

T["confirm asks once, records the yes, and a no stops"] = function()
  local l = lab()
  local asked = {}
  local function r()
    recipe.confirm "Stop it?"
    l.thing { "a" }
  end
  test.raises("the answer was no", l.apply, l, r, {
    yes = false, answer = function(q) asked[#asked + 1] = q return q ~= "Stop it?" end })
  test.equal(asked, { "Do this?", "Stop it?" })
  l:apply(r, { yes = false, answer = function() return true end })
  asked = {}
  l:apply(function() r() l.thing { "b" } end, { yes = false, answer = function(q) asked[#asked + 1] = q return true end })
  test.equal(asked, { "Do this?" })
end

T["an undone guard makes confirm ask again"] = function()
  local l = lab()
  local asked = 0
  local function r(o)
    return function()
      recipe.confirm "Stop it?"
      app_recipe(l, o)()
    end
  end
  local answer = { yes = false, answer = function(q) asked = asked + (q == "Stop it?" and 1 or 0) return true end }
  test.raises("checksums", l.apply, l, r { fail = true }, answer)
  l:apply(r {}, answer)
  test.equal(asked, 2)
end

T["need stops with its sentence, as bad input while nothing was changed"] = function()
  local l = lab()
  local e = test.raises("the app eu is not in us", l.apply, l, function() recipe.need(false, "the app %s is not in us", "eu") end)
  test.equal(errors.exit_code(e), 2)
  e = test.raises("too late", l.apply, l, function()
    l.thing { "a" }
    recipe.need(recipe.planning(), "too late")
  end)
  test.equal(errors.exit_code(e), 1)
end

T["--until stops before a stage and undoes what is open"] = function()
  local l = lab()
  local function r()
    recipe.stage "one"
    l.thing { "a" }
    recipe.stage "two"
    l.thing { "b" }
  end
  l:apply(r, { until_stage = "two" })
  test.equal(l.made, { a = 1 })
  test.match(l.out[#l.out - 1], "Stopped before the stage two")
  test.raises("no stage tow %(did you mean two%?%)", l.apply, l, r, { until_stage = "tow" })
  l:apply(r)
  test.equal(l.made, { a = 1, b = 1 })
end

T["a report is printed at the end and kept, without its secrets"] = function()
  local l = lab()
  l:apply(function()
    l.thing { "a" }
    recipe.report("Rows", { { "orders", 10, 10 }, { "password", secret.new "geheim" } })
  end)
  test.match(l:text(), "orders    10        10")
  test.match(l:text(), "password  %(secret%)")
  test.truthy(not l:text():find "geheim")
  test.equal(require("journal").open { name = "lab", dir = l.dir }.memory.reports[1].rows[2], { "password", "(secret)" })
end

return T
