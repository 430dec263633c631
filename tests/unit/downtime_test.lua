--- The downtime: words, sums, what is refused, and a window that ends.
package.path = "recipes/?.lua;" .. package.path
local checks = require "heroku_to_aws.checks"
local downtime = require "heroku_to_aws.downtime"
local lab = dofile "tests/support/recipe_lab.lua"
local recipe = require "recipe"
local tables = require "heroku_to_aws.tables"
local task = require "task"
local test = require "test"
local T = test.cases()

T["a budget is a time with its unit, and nothing else"] = function()
  local wanted = { ["90s"] = 90, ["20m"] = 1200, ["1h30m"] = 5400, ["20"] = false, ["m"] = false, ["0s"] = false, ["20 m"] = false, ["-5m"] = false }
  for words, seconds in pairs(wanted) do
    test.equal(downtime.parse(words) or false, seconds, words)
    test.equal(checks.duration(words) == nil, seconds ~= false, words)
  end
  test.equal(downtime.parse(nil), nil)
end

T["the prediction is sizes by speeds: the slower side of a copy counts, both stores go side by side"] = function()
  local fixed = tables.window.stop + tables.window.start
  local db = { rows = 800e6, indexes = 200e6, read = 20e6, hash = 40e6 }
  test.equal(downtime.predict({ postgres = db, new = { write = 10e6 } }).seconds, fixed + 100 + 20)
  test.equal(downtime.predict({ postgres = db, new = {} }).seconds, fixed + 50 + 20)
  local kv = { keys = 1e6, rate = 10000 }
  test.equal(downtime.predict({ postgres = db, redis = kv }).seconds, fixed + 200)
  test.equal(downtime.predict({ postgres = db, redis = kv, live = true }).seconds, fixed + 100)
  test.equal(downtime.predict({}).seconds, fixed)
  local p = downtime.predict { redis = { keys = 1e6 } }
  test.equal(p.seconds, fixed + 2 * 1e6 / tables.window.keys, "nothing could be measured")
  test.equal(downtime.words({ seconds = 370 }, 1200), "predicted downtime 6 min 10 s, budget 20 min 0 s")
end

--- A recipe with a freeze and a window.
local function move(l, o)
  return function()
    local predicted = { seconds = o.predicted, parts = { { what = "copy PostgreSQL", seconds = o.predicted } } }
    downtime.check(predicted, o.budget)
    recipe.confirm("Stop?", downtime.words(predicted, o.budget))
    local freeze <close> = recipe.guard {
      key = "freeze", facts = function() return { at = os.time() - (o.ago or 0) } end, apply = function() l:call("freeze", function() end) end,
      undo = function() l:call("thaw", function() end) end, holds = function() return true end,
    }
    local window <close> = downtime.window(freeze, { predicted = predicted, budget = o.budget })
    freeze:once("copy", function() l:call("copy", function() end) if o.copy then o.copy() end end)
    window:close()
    freeze:keep()
  end
end

T["what cannot be done within the budget is not begun, and the longest part is named"] = function()
  local l = lab()
  test.raises("the budget cannot be kept: predicted downtime 31 min 0 s, budget 20 min 0 s; the longest part is to copy PostgreSQL",
    l.apply, l, move(l, { predicted = 1860, budget = 1200 }))
  test.equal(l.calls, {})
  l:apply(move(l, { predicted = 60, budget = 1200 }))
  test.equal(l.calls, { "freeze", "copy" })
  test.match(l:text(), "predicted downtime 1 min 0 s, budget 20 min 0 s")
end

T["a budget that is used up thaws, says so, and another apply begins anew"] = function()
  local l = lab()
  local e = test.raises("cannot move within the downtime budget: the budget of 1 s is used up", l.apply, l,
    move(l, { predicted = 0, budget = 1, ago = -1, copy = function() task.sleep(60) end }))   -- the second that has begun counts
  test.match(tostring(e), "goes on running on Heroku, and nothing is lost; apply again tries anew")
  test.equal(l.calls, { "freeze", "copy", "thaw" })
  l:apply(move(l, { predicted = 0, budget = 600 }))
  test.equal(l.calls, { "freeze", "copy", "thaw", "freeze", "copy" })
end

T["a run that goes on after a kill has only what is left of the budget"] = function()
  local l = lab()
  local o = { predicted = 0, budget = 100, ago = 200 }
  test.truthy(l:killed_at(7, "after", l.apply, l, move(l, o)), "a kill")
  test.equal(l.calls[1], "freeze")
  test.raises("the budget of 1 min 40 s is used up", l.apply, l, move(l, o))
  test.equal(l.calls[#l.calls], "thaw")
end

return T
