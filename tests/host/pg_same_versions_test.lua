--- pg.same between PostgreSQL 15 and every other major that there is: the same database is the same, and a change is found.
-- luacheck: no max line length (SQL)
local fs = require "fs"
local pg = require "pg"
local postgres = require "rehearsal.planes.postgres"
local source = dofile "tests/support/pg_source.lua"
local test = require "test"
local versions = dofile "tests/support/postgres_versions.lua"

local T = test.cases()

-- What not every build has: 13 comes without extensions, and none of the others with ICU or the library of uuid-ossp.
local function fill(plane, database, with_extensions)
  local conn <close> = pg.open { host = plane.admin.host, port = plane.port, user = "hkrun_admin", database = database }
  if with_extensions then
    for _, section in ipairs(source.sections(0.001)) do
      conn:exec((section:gsub('CREATE EXTENSION "uuid%-ossp";', ""):gsub("uuid_generate_v4", "gen_random_uuid")))
    end
  end
  local more = fs.read "tests/host/pg/more.sql":gsub("provider = icu, locale = 'und%-u%-ks%-level2', deterministic = false", "locale = 'C'")
  conn:exec(with_extensions and more or (more:gsub(" COMPRESSION pglz", "")))
end

local function start(dir, bin)
  local plane = postgres.start { dir = dir, bin = bin }
  local admin <close> = pg.open(plane.admin)
  for _, sql in ipairs { "CREATE ROLE app_rw", "CREATE ROLE app_ro", "CREATE DATABASE whole TEMPLATE template0", "CREATE DATABASE bare TEMPLATE template0" } do
    admin:exec(sql)
  end
  return plane
end

local CHANGES = {
  { "UPDATE more.text_key SET v = v || ' ' WHERE k = 'key 7'", "more%.text_key has as many .*k key 7 is not the same" },
  { "ALTER TABLE more.all_properties ALTER v DROP DEFAULT", "column more%.all_properties%.v differs in default" },
  { "CREATE OR REPLACE VIEW more.checked WITH (security_barrier) AS SELECT id, region FROM more.parted WHERE id > 1 WITH CASCADED CHECK OPTION", "view more%.checked differs in definition" },
  { "SELECT setval('more.counter', 95)", "sequence more%.counter stands at 100 in a, at 95 in b" },
  { "REVOKE SELECT ON more.checked FROM app_ro", "view more%.checked differs in grants" },
}

local ours
local dir = fs.tmpdir "hkrun-versions-"

T["PostgreSQL 15 is filled"] = function()
  ours = start(dir .. "/15")
  fill(ours, "whole", true)
  fill(ours, "bare", false)
end

for _, major in ipairs(versions.MAJORS) do
  T[("the same database in PostgreSQL 15 and %d is the same, and what is changed there is found"):format(major)] = function()
    local plane = start(fs.join(dir, tostring(major)), versions.bin(major))
    test.defer(function() plane:stop() end)
    local database = major < 14 and "bare" or "whole"
    fill(plane, database, major >= 14)
    local function at(p) return { host = p.admin.host, port = p.port, user = "hkrun_admin", database = database } end
    local function differences()
      return pg.same { at(ours), at(plane), quiet = true, progress = false, tolerate = { "extension version" } }.differences
    end
    test.equal(differences(), {})
    local conn <close> = pg.open(at(plane))
    for _, change in ipairs(CHANGES) do conn:exec(change[1]) end
    local text = table.concat(differences(), "\n")
    for _, change in ipairs(CHANGES) do test.match(text, change[2]) end
    test.equal(select(2, text:gsub("\n", "")) + 1, #CHANGES, text)
  end
end

T["the servers stop and leave nothing running"] = function()
  ours:stop()
  fs.rmtree(dir)
end

return T
