--- What a recipe needs only for a while goes when it says so, and is not asked for again.
local lab = dofile "tests/support/recipe_lab.lua"
local plan = require "recipe.plan"
local recipe = require "recipe"
local test = require "test"
local T = test.cases()

--- A recipe with one thing that stays and two that are needed until the move: one is part of the other.
local function moving(l)
  l.tagged = l.tagged or l.kind("lab.tagged", { options = { { "part_of", "another thing", type = "table" }, { "tags", "tags", type = "table" } },
    fixed = {}, summary = {}, compare = { tags = "given" } })
  return function()
    l.thing { "stays" }
    if not recipe.begun "clean up" then
      local tags = recipe.until_tags "moved"
      local machine = l.tagged { "machine", tags = tags }
      l.tagged { "task", part_of = machine, tags = tags }
    end
    l.cleaned = recipe.once("clean up", function() return { deleted = recipe.retire "moved" } end)
  end
end

local function names(l)
  local list = {}
  for _, t in pairs(l.things) do list[#list + 1] = t.name end
  table.sort(list)
  return list
end

T["what is needed only for a while is planned, made and deleted in one run; then nothing is left to do"] = function()
  local l = lab()
  local r = moving(l)
  test.equal(plan.summary(l:plan(r).entries), "Plan: 3 to create, 1 to run.")
  l:apply(r)
  test.equal(names(l), { "stays" })
  test.equal(l.cleaned, { deleted = { 'lab.tagged "task"', 'lab.tagged "machine"' } })
  test.equal(l.calls, { "create stays", "create machine", "create task", "delete task", "delete machine" })
  l:apply(r)
  test.equal(#l.calls, 5)
  test.truthy(plan.empty(l:plan(r).entries))
end

T["killed at any effect, it ends the same: nothing is made twice, nothing is left"] = function()
  local n = 0
  repeat
    n = n + 1
    local died
    for _, when in ipairs { "before", "after" } do
      local l = lab()
      local r = moving(l)
      died = l:killed_at(n, when, l.apply, l, r)
      l:apply(r)
      test.equal(names(l), { "stays" }, ("killed %s effect %d"):format(when, n))
      for name, times in pairs(l.made) do test.equal(times, 1, name) end
    end
  until not died
  test.truthy(n > 12, "effects")
end

T["outside of a once it is refused"] = function()
  local l = lab()
  test.raises("belongs into a once", l.apply, l, function() recipe.retire "moved" end)
end

return T
