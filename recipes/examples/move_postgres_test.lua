local aws = require "aws"
local fs = require "fs"
local network = require "rehearsal.planes.network"
local pg = require "pg"
local postgres = require "rehearsal.planes.postgres"         -- a real server, in place of Heroku's
local secret = require "secret"
local test = require "test"
local text = require "text"
local T = test.cases()

T["every row arrives in a private database; again, nothing changes; destroy leaves nothing"] = function()
  local dir = test.tmpdir()
  fs.chmod(dir, 493)
  local old = postgres.start { dir = fs.join(dir, "old"), user = "app", password = secret.new "pw", database = "app" }
  test.defer(function() old:stop() end)
  local from = text("%s?sslmode=disable", old.url)
  do
    local db <close> = pg.open(from)
    db:exec "CREATE TABLE orders (id bigint PRIMARY KEY, note text); INSERT INTO orders SELECT n, 'order ' || n FROM generate_series(1, 1000) n"
  end
  local root = fs.uid() == 0
  local options = {
    name = "shop", from = from, version = tostring(require("process").run({ "psql", "--version" }).stdout:match "%d+"), final_snapshot = false,
    ssh_from = root and network.CLIENT .. "/32" or "127.0.0.1/32", bastion_user = not root and select(2, fs.uid()) or nil,
  }
  local cloud <close> = test.cloud { servers = true }
  local done = test.apply("move_postgres.lua", options)
  test.equal(done.summary.run, 1)
  local equal = done.reports["Equal on both sides"]
  test.equal({ equal[2][1], equal[2][2] }, { "public.orders", "1000" })
  test.equal(aws.rds:describe_db_instances().DBInstances[1].PubliclyAccessible, false)
  test.truthy(not done.output:find "postgres://", "no URL is printed")
  test.equal(test.apply("move_postgres.lua", options).changes, 0)
  test.destroy("move_postgres.lua", options)
  test.equal(cloud:left(), {})
end

return T
