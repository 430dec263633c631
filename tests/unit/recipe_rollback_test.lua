--- Rollback: what was kept is undone, the last first, with what the recipe does in between; wherever it was cut off.
local errors = require "errors"
local fs = require "fs"
local lab = dofile "tests/support/recipe_lab.lua"
local recipe = require "recipe"
local test = require "test"
local T = test.cases()

--- A move from an old place to a new one, which customers write to once it is live.
local function move(l, o)
  o = o or {}
  l.world = l.world or { frozen = false, live = false, old = 10, new = 0 }
  local w = l.world
  return function()
    recipe.stage "make"
    l.thing { "place", size = 1 }
    recipe.stage "cutover"
    local freeze <close> = recipe.guard {
      key = "freeze", what = "freeze the old place", facts = function() return { dynos = 2 } end,
      apply = function() l:call("freeze", function() w.frozen = true end) end,
      undo = function(facts) l:call("thaw " .. facts.dynos, function() w.frozen = false end) end,
      holds = function() return w.frozen end,
    }
    freeze:rollback("carry back", function(back)
      if back.accept_loss then return end
      if o.carry then o.carry() end
      l:call("carry back", function()
        if w.live or not w.frozen then errors.raise { kind = "bug", message = "somebody writes" } end
        w.old = w.new
      end)
    end, function(back) return { ("%d rows are %s"):format(w.new - w.old, back.accept_loss and "LOST" or "carried back") } end)
    freeze:once("copy", function() l:call("copy", function() w.new = w.old end) end)
    if o.fail and not recipe.planning() then errors.raise { kind = "remote", message = "the checksums differ" } end
    local mark <close> = recipe.guard { key = "mark", lasting = true, apply = function() end, undo = function() end }
    mark:keep()
    local live <close> = recipe.guard {
      key = "live", what = "serve from the new place",
      apply = function() l:call("start", function() w.live = true end) end,
      undo = function() l:call("stop", function() w.live = false end) end,
    }
    freeze:keep()
    live:keep()
    recipe.stage "report"
    recipe.report("Done", { { "moved" } })
  end
end

local function calls_since(l, n) return table.move(l.calls, n + 1, #l.calls, 1, {}) end

T["what was kept is undone, the last first, the recipe's steps in between; what was made stays; twice is once"] = function()
  local l = lab()
  local r = move(l)
  l:apply(r)
  l.world.new = 13                                           -- customers write
  local n = #l.calls
  test.truthy(l:rollback(r))
  test.equal(calls_since(l, n), { "stop", "carry back", "thaw 2" })
  test.equal(l.world, { frozen = false, live = false, old = 13, new = 13 })
  test.match(l:text(), "3 rows are carried back")
  test.truthy(l:state().place, "what was made")
  test.truthy(not l:rollback(r), "nothing to do the second time")
  test.equal(#l.calls, n + 3)
end

T["nothing is rolled back, and nothing called, before the cutover; where the journal is lost it refuses"] = function()
  local l = lab()
  local r = move(l)
  test.truthy(not l:rollback(r), "never applied")
  l:apply(r, { until_stage = "cutover" })
  fs.remove(l.dir .. "/lab.journal")
  test.raises("there is no journal of a run here, and lab.thing \"place\" was made by one", l.rollback, l, r)
  l:apply(r, { until_stage = "cutover" })
  local n = #l.calls
  test.truthy(not l:rollback(r))
  test.equal(#l.calls, n)
  l = lab()
  test.raises("the checksums differ", l.apply, l, move(l, { fail = true }))
  n = #l.calls
  test.truthy(not l:rollback(move(l)), "it was undone when it failed, and is not carried back from a place that never lived")
  test.equal(#l.calls, n)
end

T["with accept_loss it says what is lost and leaves it; the answer no changes nothing"] = function()
  local l = lab()
  local r = move(l)
  l:apply(r)
  l.world.new = 12
  local n = #l.calls
  test.raises("that was not the name", l.rollback, l, r, { yes = false, accept_loss = true, typed = function() return "no" end })
  test.equal(#l.calls, n)
  test.match(l:text(), "2 rows are LOST")
  local asked
  l:rollback(r, { yes = false, accept_loss = true, typed = function(question) asked = question return "lab" end })
  test.match(asked, "^Type lab to do this")
  test.equal(l.world, { frozen = false, live = false, old = 10, new = 12 })
end

T["where the recipe's step fails what was undone before it is done again, and rollback again goes on"] = function()
  local l, broken = lab(), true
  local r = move(l, { carry = function() if broken then errors.raise { kind = "network", message = "no answer" } end end })
  l:apply(r)
  l.world.new = 13
  local n = #l.calls
  test.raises("no answer", l.rollback, l, r)
  test.equal(calls_since(l, n), { "stop", "start" })
  test.equal(l.world, { frozen = true, live = true, old = 10, new = 13 })
  n = #l.calls
  l:apply(r)
  test.equal(calls_since(l, n), {}, "it is as it was after the move")
  broken = false
  l.world.new = 14
  test.truthy(l:rollback(r))
  test.equal(l.world, { frozen = false, live = false, old = 14, new = 14 })
end

T["after a rollback another apply moves again, and is rolled back again"] = function()
  local l = lab()
  local r = move(l)
  l:apply(r)
  l:rollback(r)
  l.world.old = 20                                           -- customers write
  local n = #l.calls
  l:apply(r)
  test.equal(calls_since(l, n), { "freeze", "copy", "start" })
  test.equal(l.world, { frozen = true, live = true, old = 20, new = 20 })
  l.world.new = 21
  n = #l.calls
  l:rollback(r)
  test.equal(calls_since(l, n), { "stop", "carry back", "thaw 2" }, "the second one carries back too")
  test.equal(l.world.old, 21)
end

T["killed at any effect of a rollback: rollback again ends it, apply again undoes or finishes it, and no row is lost"] = function()
  for _, again in ipairs { "rollback", "apply", "apply, rollback" } do
    for _, when in ipairs { "before", "after" } do
      for at = 1, 200 do
        local l = lab()
        local r = move(l)
        l:apply(r)
        l.world.new = 13
        local died = l:killed_at(at, when, l.rollback, l, r)
        local where = ("killed %s effect %d, then %s"):format(when, at, again)
        local w = l.world
        if again ~= "rollback" then
          l:apply(r)
          test.equal({ w.frozen, w.live, w.new }, { true, true, 13 }, where)
          w.new = 14
        end
        if again ~= "apply" then
          l:rollback(r)
          test.equal(w, { frozen = false, live = false, old = again == "rollback" and 13 or 14, new = again == "rollback" and 13 or 14 }, where)
        end
        if not died then
          test.truthy(at > 10, "effects of a rollback: " .. at)
          break
        end
      end
    end
  end
end

T["a move killed at any effect, then rolled back: the old place serves; what was written after the move was kept comes back"] = function()
  local kept = 0
  for _, when in ipairs { "before", "after" } do
    for at = 1, 60 do
      local l = lab()
      local r = move(l)
      local died = l:killed_at(at, when, l.apply, l, r)
      if not died then break end
      local w, path = l.world, l.dir .. "/lab.journal"
      local written = fs.exists(path) and fs.read(path):find '"key":"freeze"[^\n]*"kept"' ~= nil
      if written then w.new, kept = 13, kept + 1 end
      local ok, e = pcall(l.rollback, l, r)
      local where = ("killed %s effect %d"):format(when, at)
      if not ok then test.match(tostring(e), "no journal", where) end
      test.equal(w, { frozen = false, live = false, old = written and 13 or 10, new = w.new }, where)
    end
  end
  test.truthy(kept > 1, "kills after the first keep")
end

T["killed between two keeps in the other order, nothing is undone by halves: apply finishes first"] = function()
  local refused = 0
  local function body(l)
    return function()
      local function guard(name)
        return recipe.guard { key = name, apply = function() l:call("do " .. name, function() end) end,
          undo = function() l:call("undo " .. name, function() end) end, holds = function() return true end }
      end
      local outer <close> = guard "outer"
      local inner <close> = guard "inner"
      inner:keep()
      outer:keep()
    end
  end
  for at = 1, 30 do
    local l = lab()
    if not l:killed_at(at, "after", l.apply, l, body(l)) then break end
    local ok, e = pcall(l.rollback, l, body(l))
    if not ok then
      test.match(tostring(e), "inner was kept, and outer, which comes before it, not yet; apply again first")
      test.equal(l.calls, { "do outer", "do inner" })
      l:apply(body(l))
      l:rollback(body(l))
      refused = refused + 1
    end
    test.truthy(l.calls[#l.calls] == "undo outer" or #l.calls == 0, "killed after effect " .. at)
  end
  test.equal(refused, 1)
end

T["a kept guard that the recipe does not have any more is named, and nothing is undone"] = function()
  local l = lab()
  l:apply(move(l))
  local n = #l.calls
  test.raises("serve from the new place is to be undone, and the recipe does not have it any more", l.rollback, l, function()
    recipe.stage "make"
    l.thing { "place", size = 1 }
  end)
  test.equal(#l.calls, n)
end

return T
