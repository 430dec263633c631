--- A copy from an old server to a new one: ranges of keys, and the binary form only where it has not changed.
local fs = require "fs"
local pg = require "pg"
local postgres = require "rehearsal.planes.postgres"
local test = require "test"
local versions = dofile "tests/support/postgres_versions.lua"

local T = test.cases()

T["from PostgreSQL 13 to 18, the large table in ranges of its key, by ordinary owners"] = function()
  local dir = fs.tmpdir "hkrun-pgcopy-versions-"
  test.defer(function() fs.rmtree(dir) end)
  local from <close> = postgres.start { dir = dir .. "/a", user = "owner", database = "app", rights = "heroku", bin = versions.bin(13) }
  local to <close> = postgres.start { dir = dir .. "/b", user = "owner", database = "app", rights = "rds", bin = versions.bin(18) }
  local function at(plane) return { host = "127.0.0.1", port = plane.port, user = "owner", database = "app" } end
  do
    local conn <close> = pg.open(at(from))
    conn:exec [[CREATE TYPE mood AS ENUM ('sad', 'fine');
      CREATE TABLE big (id int PRIMARY KEY, pad text, n numeric, j jsonb);
      INSERT INTO big SELECT g, repeat(md5(g::text), 10), g / 7.0, '{"a": 1}' FROM generate_series(-4000, 12000) g WHERE g % 5 <> 0;
      CREATE TABLE plain (a int, b timestamptz, c bytea, d text[]);
      INSERT INTO plain SELECT g, '2024-01-01', '\x00ff', ARRAY['x', NULL] FROM generate_series(1, 100) g;
      CREATE TABLE felt (m mood, i inet, p point); INSERT INTO felt VALUES ('fine', '10.0.0.1/8', '(1,2)')]]
  end
  local r = pg.copy { from = at(from), to = at(to), split = 1024 * 1024, progress = false }
  test.equal(r.rows, 12800 + 100 + 1)
  -- 13 lets everybody create in public, which is carried over.
  test.truthy(pg.same { a = at(from), b = at(to), progress = false, tolerate = { "schema grants" } }.equal)
end

return T
