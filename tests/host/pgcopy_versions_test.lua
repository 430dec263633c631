--- Copies from every major that there is to the newest: ranges of keys where blocks cannot be read alone, and the binary form
--- only where it is the same on both sides.
package.path = "tests/support/?.lua;" .. package.path
local pg = require "pg"
local pg_lab = require "pg_lab"
local process = require "process"
local test = require "test"
local versions = require "postgres_versions"

local T = test.cases()

local newest = versions.MAJORS[#versions.MAJORS]
local target = pg_lab.start { user = "owner", rights = "rds", bin = versions.bin(newest) }

local SOURCE = [[CREATE TYPE mood AS ENUM ('sad', 'fine');
  CREATE TABLE big (id int PRIMARY KEY, pad text, n numeric, j jsonb);
  INSERT INTO big SELECT g, repeat(md5(g::text), 10), g / 7.0, '{"a": 1}' FROM generate_series(-4000, 12000) g WHERE g % 5 <> 0;
  CREATE TABLE plain (a int, b timestamptz, c bytea, d text[]);
  INSERT INTO plain SELECT g, '2024-01-01', '\x00ff', ARRAY['x', NULL] FROM generate_series(1, 100) g;
  CREATE TABLE felt (m mood, i inet, p point); INSERT INTO felt VALUES ('fine', '10.0.0.1/8', '(1,2)')]]

--- pg_dump must not be older than the server it reads; Debian's is 15.
local function with_dump(major)
  if major <= 15 then return end
  local path = os.getenv "PATH"
  process.setenv { PATH = versions.bin(newest) .. ":" .. path }
  test.defer(function() process.setenv { PATH = path } end)
end

for _, major in ipairs { 13, 14, 15, 16, 17, 18 } do
  T[("from PostgreSQL %d to %d, by ordinary owners"):format(major, newest)] = function()
    with_dump(major)
    local source <close> = pg_lab.new { user = "owner", rights = "heroku", bin = major ~= 15 and versions.bin(major) or nil }
    source:fresh "app"
    source:sql("app", SOURCE)
    target:fresh "app"
    local r = pg.copy { from = source:at "app", to = target:at "app", split = 1024 * 1024, progress = false }
    test.equal(r.rows, 12800 + 100 + 1)
    -- 13 and 14 let everybody create in public, which is carried over.
    test.truthy(pg.same { source:at "app", target:at "app", progress = false, tolerate = major < 15 and { "schema grants" } or {} }.equal)
  end
end

return T
