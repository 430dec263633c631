--- Those who write to the old stores after they were copied are named before anybody goes live.
package.path = "recipes/?.lua;" .. package.path
local fence = require "pg.fence"
local pg = require "pg"
local pg_labs = dofile "tests/support/pg_lab.lua"
local redis = require "redis"
local redis_labs = dofile "tests/support/redis_lab.lua"
local task = require "task"
local test = require "test"
local writers = require "heroku_to_aws.writers"
local T = test.cases()

T["a write to Redis while it is compared is told, with who is connected; a save in between is none"] = function()
  local plane = redis_labs.start()
  local r <close> = redis.open(plane.url)
  r:command("SET", "a", "1")
  local before = writers.redis_count(plane.url)
  writers.check_redis(plane.url, before)
  r:pipeline { { "CLIENT", "SETNAME", "etl" }, { "SET", "a", "2" } }
  local e = test.raises("Heroku's Redis was written to 1 times while it was compared; connected are .*etl", writers.check_redis, plane.url, before)
  test.equal(e.kind, "stopped")
  writers.check_redis(plane.url, { count = before.count, saved = "earlier" })
end

T["rows that were written after the copy are told, with who is connected"] = function()
  local lab = pg_labs.new { user = "app", database = "app" }
  test.defer(function() lab:close() end)
  local where = lab.plane.url
  local db <close> = pg.open(where, { application_name = "etl" })
  db:exec "CREATE TABLE t (n int)"
  local before = fence.writes(where)
  writers.check_postgres(where, before)
  db:exec "INSERT INTO t VALUES (1), (2)"
  db:value "SELECT pg_stat_force_next_flush()"
  task.within(30, "see the rows", function()
    while fence.writes(where) == before do
      task.sleep(0.1)
      db:value "SELECT 1"
    end
  end)
  local e = test.raises("2 rows were written to Heroku's database after the copy; connected are .*etl", writers.check_postgres, where, before)
  test.match(tostring(e), "then apply again")
end

return T
