--- What the new stores hold before a cutover: ours where it was empty at first, or where nobody wrote since a rollback.
package.path = "recipes/?.lua;" .. package.path
local fence = require "pg.fence"
local held = require "heroku_to_aws.held"
local lab = dofile "tests/support/recipe_lab.lua"
local pg = require "pg"
local recipe = require "recipe"
local test = require "test"
local T = test.cases()

--- A move with a database that is empty or not, and counts its writes; `seen` gets what is known of it at each cutover.
local function move(world, seen)
  local at = { facts = { postgres = {} } }
  function at.new_postgres() return "postgres://new" end
  return function()
    local freeze <close> = recipe.guard { key = "freeze", what = "freeze", apply = function() end, undo = function() end }
    freeze:rollback("carry back", function(back)
      if back.accept_loss then return { left = true } end
      return { rows = 1, held = held.note(at) }
    end)
    if recipe.planning() then return end
    seen[#seen + 1] = held.again() .. " " .. tostring(held.is_our_postgres(at))
    world.writes = world.writes + 10
    freeze:keep()
  end
end

local function world_of(empty)
  local world, open, writes = { writes = 7 }, pg.open, fence.writes
  test.defer(function() pg.open, fence.writes = open, writes end)
  pg.open = function()
    return setmetatable({ value = function(_, sql) return sql:find "NOT EXISTS" and empty or 0 end }, { __close = function() end })
  end
  fence.writes = function() return world.writes end
  return world
end

T["the first time it is ours if it was empty; after a rollback if nobody has written since all was carried back"] = function()
  local world, seen, l = world_of(true), {}, lab()
  local r = move(world, seen)
  l:apply(r)
  l:rollback(r)
  l:apply(r)
  l:rollback(r)
  world.writes = world.writes + 1                            -- somebody wrote to it after that
  l:apply(r)
  test.equal(seen, { " true", " (2) true", " (3) false" })
end

T["what a rollback left on AWS is not ours"] = function()
  local world, seen, l = world_of(true), {}, lab()
  local r = move(world, seen)
  l:apply(r)
  l:rollback(r, { accept_loss = true })
  l:apply(r)
  test.equal(seen, { " true", " (2) false" })
end

return T
