-- luacheck: no max line length (SQL)
local fs = require "fs"
local pg = require "pg"
local postgres = require "rehearsal.planes.postgres"
local test = require "test"

local T = test.cases()

local dir = fs.tmpdir "hkrun-pgcheck-"
local plane = postgres.start { dir = dir .. "/main", user = "owner", password = "x", rights = "heroku", database = "good",
  settings = { max_prepared_transactions = 5 } }

local function at(database, user)
  return { host = "127.0.0.1", port = plane.port, user = user or "owner", password = "x", database = database }
end
local function admin(database)
  return { host = plane.admin.host, port = plane.port, user = "hkrun_admin", database = database }
end
local function database(name, text)
  local conn <close> = pg.open(admin "postgres")
  conn:exec("DROP DATABASE IF EXISTS " .. name .. " WITH (FORCE)")
  conn:exec("CREATE DATABASE " .. name .. " OWNER owner")
  if text then
    local own <close> = pg.open(at(name))
    own:exec(text)
  end
end
local function found(o)
  local list = pg.check(o)
  local by_name = {}
  for _, f in ipairs(list) do by_name[f.name] = f end
  return by_name, list
end

T["a good database has nothing against it"] = function()
  local conn <close> = pg.open(at "good")
  conn:exec "CREATE TABLE t (id bigserial PRIMARY KEY, v text)"
  database "target"
  local _, list = found { from = at "good", to = at "target" }
  for _, f in ipairs(list) do
    if f.severity ~= "ok" then error(f.name .. ": " .. f.value) end
  end
  test.truthy(#list > 20)
  test.equal({ list.errors, list.warnings }, { 0, 0 })
end

local BAD = {
  { "tables without a key", "CREATE TABLE k (v int); CREATE TABLE fine (id int UNIQUE)", "note", "^public.k$" },
  { "unlogged tables", "CREATE UNLOGGED TABLE u (id int PRIMARY KEY)", "note", "public.u" },
  { "large objects", "SELECT lo_from_bytea(0, 'x')", "note", "^1$" },
  { "generated columns", "CREATE TABLE g (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)", "note", "public.g.twice" },
  { "sequences near their end", "CREATE SEQUENCE s AS int; SELECT setval('s', 2000000000)", "warning", "public.s %(93 %%%)" },
  { "row security that hides rows", "CREATE TABLE r (id int PRIMARY KEY); ALTER TABLE r ENABLE ROW LEVEL SECURITY; ALTER TABLE r FORCE ROW LEVEL SECURITY", "error", "public.r" },
  { "rules on INSERT", "CREATE TABLE x (id int PRIMARY KEY); CREATE RULE i AS ON INSERT TO x DO ALSO NOTHING", "note", "public.x" },
  { "extensions", "CREATE EXTENSION citext", "note", "citext" },
  { "extension schemas", "CREATE SCHEMA heroku_ext; CREATE EXTENSION hstore SCHEMA heroku_ext", "note", "heroku_ext %-> public" },
  { "prepared transactions", "BEGIN; CREATE TABLE p (id int PRIMARY KEY); PREPARE TRANSACTION 'open one'", "warning", "open one" },
}
for _, case in ipairs(BAD) do
  T[case[1] .. " are found and named"] = function()
    database("bad", case[2])
    local by_name = found { from = at "bad" }
    test.equal(by_name[case[1]].severity, case[3])
    test.match(by_name[case[1]].value, case[4])
    test.truthy(by_name[case[1]].remedy or case[3] == "note")
    if case[1] == "prepared transactions" then
      local conn <close> = pg.open(at "bad")
      conn:exec "ROLLBACK PREPARED 'open one'"
    end
  end
end

T["what the target lacks is found"] = function()
  database("filled", "CREATE TABLE there (id int PRIMARY KEY)")
  local by_name = found { from = at "good", to = at "filled" }
  test.equal(by_name["target is empty"].severity, "error")
  test.match(by_name["target is empty"].value, "public.there")
  local conn <close> = pg.open(admin "postgres")
  conn:exec "CREATE DATABASE foreign_one"
  conn:exec "GRANT CREATE ON DATABASE foreign_one TO owner"
  by_name = found { from = at "good", to = at "foreign_one" }
  test.match(by_name["rights on the target"].value, "does not own")
end

T["connections, locks, rights and change capture are measured"] = function()
  local conn <close> = pg.open(admin "good")
  conn:exec "ALTER ROLE owner CONNECTION LIMIT 5"
  test.match(found { from = at "good", jobs = 8 }["connections"].value, "^5 allowed, %d+ in use, the copy needs 10$")
  test.equal(found { from = at "good", jobs = 8 }["connections"].severity, "error")
  conn:exec "ALTER ROLE owner CONNECTION LIMIT -1; CREATE TABLE secret_one (id int PRIMARY KEY)"
  local by_name = found { from = at "good", cdc = true, space = 1000 }
  test.equal(by_name["tables that the role cannot read"].value, "public.secret_one")
  test.equal({ by_name["wal_level"].severity, by_name["wal_level"].value }, { "error", "replica" })
  test.equal(by_name["replication right"].severity, "error")
  test.equal(by_name["size"].severity, "error")
  conn:exec "DROP TABLE secret_one"
end

T["a check never writes"] = function()
  local conn <close> = pg.open(admin "good")
  local before = conn:value "SELECT pg_current_xact_id()::text::int8"
  pg.check { from = at "good", to = at "target" }
  test.equal(conn:value "SELECT pg_current_xact_id()::text::int8", before + 1)
end

T["the server stops and leaves nothing running"] = function()
  plane:stop()
  fs.rmtree(dir)
end

return T
