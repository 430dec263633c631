--- hkrun pg check|copy|same, as a person types it.
local fs = require "fs"
local json = require "json"
local pg = require "pg"
local postgres = require "rehearsal.planes.postgres"
local process = require "process"
local test = require "test"

local heroku_lab = dofile "tests/support/heroku_lab.lua"

local T = test.cases()

local EXE = fs.realpath "/proc/self/exe"
local dir = fs.tmpdir "hkrun-pgcommand-"
fs.mkdir_p(dir .. "/home")
local plane = postgres.start { dir = dir .. "/plane", user = "owner", password = "s3cret", rights = "heroku", database = "source" }

local function url(database, password)
  return ("postgres://owner%s@127.0.0.1:%d/%s"):format(password and ":" .. password or "", plane.port, database)
end
local function run(database, sql)
  local conn <close> = pg.open(url(database, "s3cret"))
  conn:exec(sql)
end
local function make(database)
  local conn <close> = pg.open { host = plane.admin.host, port = plane.port, user = "hkrun_admin", database = "postgres" }
  conn:exec("CREATE DATABASE " .. database .. " OWNER owner")
end
local function hkrun(words, env)
  local o = { EXE, "pg", env = { PATH = os.getenv "PATH", HOME = dir .. "/home", A = url("source", "s3cret"), B = url("target", "s3cret"),
    LSAN_OPTIONS = os.getenv "LSAN_OPTIONS" }, timeout = 120 }
  table.move(words, 1, #words, #o + 1, o)
  for name, value in pairs(env or {}) do o.env[name] = value end
  return process.run(o)
end

run("source", "CREATE TABLE orders (id int PRIMARY KEY, what varchar(20)); INSERT INTO orders SELECT i, 'thing ' || i FROM generate_series(1, 500) i")
make "target"

T["check prints the findings, the worst first, each with its remedy"] = function()
  local r = hkrun { "check", "env:A", "env:B", "--rate", "1e9" }
  test.equal({ r.code, r.stderr }, { 0, "" })
  test.match(r.stdout, "^%d+ checks: 0 errors, 0 warnings, 0 to know of, %d+ ok\n$")
  run("source", "CREATE TABLE loose (v int); CREATE TABLE veiled (id int PRIMARY KEY); ALTER TABLE veiled ENABLE ROW LEVEL SECURITY; " ..
    "ALTER TABLE veiled FORCE ROW LEVEL SECURITY")
  r = hkrun { "check", "env:A", "--only", "row-security,tables-without-key" }
  test.equal(r.code, 1)
  test.equal(r.stdout, [[
severity  check               measured  finding
error     row-security        1         row-level security that hides rows (public.veiled): the role of the copy does not see all rows
                                        -> ALTER TABLE public.veiled NO FORCE ROW LEVEL SECURITY; ]] ..
[[/* as the owner, or copy as a role with BYPASSRLS */
info      tables-without-key  1         tables without a key (public.loose): ]] ..
[[a copy takes them; change data capture and row by row validation cannot tell their rows apart
                                        -> ALTER TABLE public.loose REPLICA IDENTITY FULL; /* or ADD PRIMARY KEY (...) */
2 checks: 1 error, 0 warnings, 1 to know of, 0 ok
]])
  r = hkrun { "check", "env:A", "--only=row-security", "--json" }
  test.equal(r.code, 1)
  local answer = json.decode(r.stdout)
  test.equal({ answer.errors, answer.warnings, answer.findings[1].id, answer.findings[1].objects[1] }, { 1, 0, "row-security", "public.veiled" })
  run("source", "DROP TABLE loose, veiled")
end

T["copy, then same: equal, and then not"] = function()
  local r = hkrun { "copy", "env:A", "env:B", "--no-progress", "--jobs", "1" }
  test.equal({ r.code, r.stderr }, { 0, "" })
  test.match(r.stdout, "^table +rows +bytes +seconds\npublic.orders +500 +%d+ +[%d.]+\ncopied 1 table, ")
  r = hkrun { "same", "env:A", "env:B", "--no-progress" }
  test.equal({ r.code, r.stderr }, { 0, "" })
  test.equal(r.stdout, "equal: 1 table\n")
  run("target", "UPDATE orders SET what = 'other' WHERE id = 77; CREATE INDEX extra ON orders (what)")
  r = hkrun { "same", "env:A", "env:B", "--no-progress" }
  test.equal(r.code, 1)
  test.match(r.stdout, "orders")
  test.match(r.stdout, "extra")
  test.match(r.stdout, "\n%d differences?\n$")
  r = hkrun { "same", "env:A", "env:B", "--no-progress", "--no-schema", "--json" }
  test.equal(r.code, 1)
  local answer = json.decode(r.stdout)
  test.equal({ answer.equal, #answer.differences, answer.tables[1].equal }, { false, 1, false })
  r = hkrun { "copy", "env:A", "env:B", "--no-progress", "--json", "--reset" }
  test.equal(json.decode(r.stdout).tables[1].rows, 500)
  run("source", "CREATE MATERIALIZED VIEW sums AS SELECT count(*) FROM orders")
  run("target", "CREATE MATERIALIZED VIEW sums AS SELECT count(*) FROM orders; DELETE FROM orders WHERE id = 1")
  run("source", "DELETE FROM orders WHERE id = 1; REFRESH MATERIALIZED VIEW sums")
  r = hkrun { "same", "env:A", "env:B", "--no-progress", "--tables", "sums" }
  test.equal({ r.code, r.stdout }, { 0, "note: public.sums waits for a REFRESH in b, which would make it what it is in the other\nequal: 1 table\n" })
  run("source", "DROP MATERIALIZED VIEW sums")
  run("target", "DROP MATERIALIZED VIEW sums")
end

T["a copy that cannot be is one line and exit code 1"] = function()
  make "taken"
  run("taken", "CREATE TABLE mine (id int)")
  local r = hkrun({ "copy", "env:A", "env:TAKEN", "--no-progress" }, { TAKEN = url("taken", "s3cret") })
  test.equal({ r.code, r.stdout }, { 1, "" })
  test.match(r.stderr, "^hkrun: .*public.mine.*reset = true")
  local _, lines = r.stderr:gsub("\n", "")
  test.equal(lines, 1)
end

T["a password stands in the environment or in ~/.pgpass; on the command line it is warned of"] = function()
  local words = { "check", url "source", "--only", "source-version" }
  test.equal(hkrun(words, { PGPASSWORD = "s3cret" }).code, 0)
  fs.write(dir .. "/home/.pgpass", "127.0.0.1:*:source:owner:s3cret\n", 384)
  local r = hkrun(words)
  test.equal({ r.code, r.stderr }, { 0, "" })
  r = hkrun { "check", url("source", "s3cret"), "--only", "source-version" }
  test.equal(r.code, 0)
  test.match(r.stderr, "^warning: a password on the command line can be read by everybody on this machine")
  test.truthy(not r.stderr:find "s3cret")
end

T["heroku:APP is the app's database as it is now, and who owns DATABASE_URL is told"] = function()
  local lab = heroku_lab.start { formation = {}, addons = { { plan = "heroku-postgresql:standard-0", as = "DATABASE" } } }
  local env = { HEROKU_HOST = lab.cloud.url, HEROKU_DATA_HOST = "127.0.0.1", HEROKU_API_KEY = lab.heroku.key }
  local r = hkrun({ "check", "heroku:tiny", "--only", "database-url,source-tls" }, env)
  test.equal({ r.code, r.stderr }, { 0, "" })
  test.match(r.stdout, "info +database%-url +postgresql%-%S+ +DATABASE_URL of tiny belongs to the attachment DATABASE of postgresql%-")
  test.match(r.stdout, "%-> heroku addons:attach postgresql%-%S+ %-%-as HEROKU_POSTGRESQL_OLD %-a tiny && heroku addons:detach DATABASE %-a tiny")
  test.match(r.stdout, "2 checks: 0 errors, 0 warnings, 1 to know of, 1 ok")
  r = hkrun({ "check", "heroku:tiny/PINK" }, env)
  test.equal(r.code, 2)
  test.match(r.stderr, "^hkrun: the app tiny has no config var PINK_URL %(it has .*DATABASE_URL")
end

T["what is typed wrongly is said in one line, with exit code 2"] = function()
  for _, case in ipairs {
    { { "chek", "env:A" }, "has no command chek %(did you mean check%?%)" },
    { { "copy", "env:A" }, "usage: hkrun pg copy FROM TO" },
    { { "check", "env:A", "env:B", "env:A" }, "usage: hkrun pg check FROM %[TO%]" },
    { { "check", "env:NOT_THERE" }, "the environment variable NOT_THERE is not set" },
    { { "check", "source" }, "source names no database" },
    { { "check", "env:A", "--jbos", "3" }, "unknown option %-%-jbos %(did you mean %-%-jobs%?%)" },
    { { "check", "env:A", "--jobs", "few" }, "%-%-jobs: few is not a whole number" },
    { { "check", "env:A", "--jobs" }, "%-%-jobs needs a value" },
    { { "check", "env:A", "--mover", "horse" }, "mover must be one of copy, full%-load, full%-load%-and%-cdc, not horse" },
    { { "check", "env:A", "--only", "row-securty" }, "no check row%-securty %(did you mean row%-security%?%)" },
    { { "check", "env:A", "--schema-map", "x" }, "%-%-schema%-map: x is neither name=value" },
    { { "check", "env:A", "--from", "env:B" }, "unknown option %-%-from" },
  } do
    local r = hkrun(case[1])
    test.equal({ r.code, r.stdout }, { 2, "" }, table.concat(case[1], " "))
    test.match(r.stderr, case[2])
    local _, lines = r.stderr:gsub("\n", "")
    test.equal(lines, 1)
  end
end

T["options of every kind reach the function"] = function()
  fs.write(dir .. "/task.json", '{ "TargetMetadata": { "BatchApplyEnabled": true, "FullLobMode": true } }')
  local r = hkrun { "check", "env:A", "--only", "batch-lob", "--mover=full-load", "--task", "@" .. dir .. "/task.json" }
  test.equal(r.code, 1)
  test.match(r.stdout, "batch%-lob +full")
  r = hkrun { "check", "env:A", "--only", "something-to-copy", "--exclude", "old, public.*" }
  test.match(r.stdout, "include and exclude leave out all %d tables")
  run("source", "CREATE SCHEMA outside; CREATE EXTENSION citext SCHEMA outside")
  r = hkrun { "check", "env:A", "--only", "extension-schemas", "--schema-map", "outside=public" }
  test.match(r.stdout, "citext from outside to public")
  run("source", "DROP SCHEMA outside CASCADE")
end

T["help lists the commands, and of each command its options"] = function()
  local r = hkrun { "--help" }
  test.equal(r.code, 0)
  test.match(r.stdout, "^usage: hkrun pg check|copy|same FROM TO")
  for _, name in ipairs { "check", "copy", "same" } do
    r = hkrun { name, "--help" }
    test.equal(r.code, 0)
    test.match(r.stdout, "^usage: hkrun pg " .. name)
    test.match(r.stdout, "\n  %-%-jobs INTEGER +")
    test.truthy(not r.stdout:find "%-%-from ")
  end
  local all = process.run { EXE, "help", timeout = 300 }
  test.match(all.stdout, "\n  pg +checks, copies or compares PostgreSQL databases\n")
end

T["the server stops and leaves nothing running"] = function()
  plane:stop()
  fs.rmtree(dir)
end

return T
