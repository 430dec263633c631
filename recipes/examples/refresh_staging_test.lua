local fs = require "fs"
local pg = require "pg"
local postgres = require "rehearsal.planes.postgres"         -- real servers
local secret = require "secret"
local test = require "test"
local text = require "text"
local T = test.cases()

local function server(dir, name)
  fs.chmod(dir, 493)
  local s = postgres.start { dir = fs.join(dir, name), user = "app", password = secret.new("pw-" .. name), database = "app" }
  test.defer(function() s:stop() end)
  return text("%s?sslmode=disable", s.url)
end

local function ask(url, sql)
  local db <close> = pg.open(url)
  return db:value(sql)
end

T["staging gets production's rows without the names, once a day"] = function()
  local dir = test.tmpdir()
  local production, staging = server(dir, "production"), server(dir, "staging")
  do
    local db <close> = pg.open(production)
    db:exec "CREATE TABLE customers (id bigint PRIMARY KEY, name text); INSERT INTO customers SELECT n, 'Ann ' || n FROM generate_series(1, 500) n"
    local old <close> = pg.open(staging)
    old:exec "CREATE TABLE leftover (id int)"
  end
  fs.write(dir .. "/anonymise.sql", "UPDATE customers SET name = 'Customer ' || id;")
  local _ <close> = test.cloud { servers = true }
  local options = { from = production, to = staging, anonymise = dir .. "/anonymise.sql", day = "2026-01-01" }
  local first = test.apply("refresh_staging.lua", options)
  test.equal(first.reports.Refreshed, { { "tables", "1" }, { "rows", "500" } })
  test.equal(ask(staging, "SELECT count(*)::int FROM customers WHERE name LIKE 'Customer %'"), 500)
  test.equal(ask(production, "SELECT count(*)::int FROM customers WHERE name LIKE 'Ann %'"), 500)
  test.equal(ask(staging, "SELECT to_regclass('leftover') IS NULL"), true)
  test.equal(test.apply("refresh_staging.lua", options).changes, 0)

  options.day = "2026-01-02"
  ask(production, "INSERT INTO customers VALUES (501, 'Ann 501') RETURNING id")
  test.apply("refresh_staging.lua", options)
  test.equal(ask(staging, "SELECT name FROM customers WHERE id = 501"), "Customer 501")
end

T["without the SQL nothing is copied"] = function()
  local _ <close> = test.cloud()
  local options = { from = "postgres://a/b", to = "postgres://c/d", anonymise = "none.sql" }
  test.raises("there is no file none.sql", test.apply, "refresh_staging.lua", options)
end

return T
