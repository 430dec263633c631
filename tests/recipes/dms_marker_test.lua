--- The marker of a stream of AWS DMS on the source: made with its owner's name, found again, and taken away by destroy; what
--- destroy cannot reach stays, and it says so.
package.path = "recipes/?.lua;" .. package.path
local heroku = require "heroku"
local marker = require "heroku_to_aws.dms_marker"
local pg = require "pg"
local process = require "process"
local test = require "test"
local T = test.cases()

local function ask(sql)
  local db <close> = pg.open { url = heroku.app("tiny").postgres.url, sslmode = "require" }
  return db:value(sql)
end

local THERE, WORD = "SELECT to_regnamespace('hkrun_dms') IS NOT NULL", "SELECT word FROM hkrun_dms.marker"

T["somebody else's is not touched; made once, found by its comment, dropped by destroy; where the source is closed, it is told"] = function()
  local cloud <close> = test.cloud { servers = true,
    heroku = { app = "tiny", source = "tests/support/tiny_app", addons = { "heroku-postgresql:standard-0" } } }
  local function recipe() marker "tiny" end
  ask "CREATE SCHEMA hkrun_dms"
  test.raises("it exists .* and was not made by this recipe", test.apply, recipe)
  ask "DROP SCHEMA hkrun_dms"
  test.equal(test.plan(recipe).summary.create, 1)
  test.equal(ask(THERE), false, "a plan changes nothing")
  test.apply(recipe)
  test.equal(ask(WORD), "none")
  test.equal(test.apply(recipe).changes, 0)
  test.match(ask "SELECT obj_description('hkrun_dms'::regnamespace)", '"hkrun:key":"dms_marker:tiny"')
  test.match(test.destroy(recipe).output, 'dms_marker "tiny" deleted')
  test.equal(ask(THERE), false)

  test.apply(recipe)
  local key = os.getenv "HEROKU_API_KEY"
  process.setenv { HEROKU_API_KEY = "expired" }
  local said = test.destroy(recipe).output
  process.setenv { HEROKU_API_KEY = key }
  test.match(said, "the schema hkrun_dms in the database of tiny, with one table of one row, stays; it could not be reached: .*the token is wrong")
  test.match(said, 'to delete it:   heroku pg:psql %-%-app tiny %-%-command "DROP SCHEMA hkrun_dms CASCADE"')
  test.equal(ask(THERE), true)
  test.apply(recipe)                                         -- it is known as ours by what stands in it
  test.destroy(recipe)
  test.equal(ask(THERE), false)
  test.equal(cloud:left(), {})
end

return T
