-- luacheck: no max line length (SQL)
package.path = "tests/support/?.lua;" .. package.path
local fs = require "fs"
local host = require "host.pgcopy"
local pg = require "pg"
local pg_lab = require "pg_lab"
local process = require "process"
local task = require "task"
local test = require "test"

local T = test.cases()

local lab = pg_lab.start { user = "owner", password = "x y", rights = "rds", settings = { max_prepared_transactions = 5 } }

lab:fresh "awkward"
lab:sql("awkward", fs.read "tests/host/pg/awkward.sql")

local function dump(database, args)
  local argv = { "pg_dump", "--no-owner", "--no-privileges", env = { PATH = os.getenv "PATH", PGHOST = lab.plane.admin.host,
    PGPORT = tostring(lab.port), PGUSER = "hkrun_admin", PGDATABASE = database } }
  for _, word in ipairs(args or {}) do argv[#argv + 1] = word end
  local r = process.run(argv)
  test.equal(r.code, 0, r.stderr)
  return (r.stdout:gsub("\n\\u?n?restrict[^\n]*", ""))
end

--- Schema and rows as pg_dump sees them, rows in order of their text.
local function independent(database)
  local schema = dump(database, { "-s", "--no-comments" }):gsub("heroku_ext%.", "public."):gsub("CREATE SCHEMA heroku_ext;", "")
    :gsub("SCHEMA heroku_ext", "SCHEMA public"):gsub("Schema: heroku_ext", "Schema: public")
  local lines, rows, table_name = {}, {}, nil
  for line in (schema .. "\n"):gmatch "([^\n]*)\n" do
    if not line:find "^%-%-" and line ~= "" then lines[#lines + 1] = line end
  end
  for line in dump(database, { "-a", "--no-comments" }):gmatch "([^\n]*)\n" do
    if line:find "^COPY " then table_name = line elseif line == "\\." then table_name = nil
    elseif table_name then rows[#rows + 1] = table_name .. line
    elseif line:find "setval" or line:find "lowrite" then rows[#rows + 1] = line end
  end
  table.sort(rows)
  return lines, rows
end

local function expect_equal(a, b)
  local schema_a, rows_a = independent(a)
  local schema_b, rows_b = independent(b)
  for i = 1, math.max(#schema_a, #schema_b) do
    if schema_a[i] ~= schema_b[i] then
      error(("schema differs: %s | %s"):format(tostring(schema_a[i]), tostring(schema_b[i])), 2)
    end
  end
  test.equal(#rows_b, #rows_a, "rows")
  for i = 1, #rows_a do if rows_a[i] ~= rows_b[i] then error(("row differs: %s | %s"):format(rows_a[i], rows_b[i]), 2) end end
end

local function copy(to, o)
  o = o or {}
  o.from, o.to, o.progress = o.from or lab:at "awkward", lab:at(to), false
  return pg.copy(o)
end

T["a materialized view that leans on a primary key, and is behind its table, is copied and is no difference"] = function()
  lab:fresh "views_a"
  lab:fresh "views_b"
  lab:sql("views_a", [[CREATE TABLE p (id int PRIMARY KEY, name text); INSERT INTO p VALUES (1, 'a');
    CREATE MATERIALIZED VIEW m AS SELECT id, name, count(*) AS n FROM p GROUP BY id; CREATE UNIQUE INDEX m_id ON m (id);
    CREATE VIEW v AS SELECT id, name, count(*) AS n FROM p GROUP BY id; INSERT INTO p VALUES (2, 'b')]])
  pg.copy { from = lab:at "views_a", to = lab:at "views_b", progress = false }
  test.equal({ lab:value("views_b", "SELECT count(*) FROM m"), lab:value("views_b", "SELECT count(*) FROM v") }, { 2, 2 })
  test.truthy(pg.same { lab:at "views_a", lab:at "views_b", progress = false }.equal)
end

T["an awkward database arrives whole, by an ordinary owner"] = function()
  lab:fresh "copy1"
  local r = copy "copy1"
  expect_equal("awkward", "copy1")
  test.equal(pg.same { lab:at "awkward", lab:at "copy1", progress = false }.equal, true)
  local by_name = {}
  for _, t in ipairs(r.tables) do by_name[t.name] = t end
  test.equal(by_name["app.users"].rows, 3000)
  test.equal(by_name["app.plain_big"].rows, 17143)
  test.equal(by_name["app.empty"].rows, 0)
  test.equal(by_name["app.events"], nil)
  test.truthy(by_name["app.plain_big"].bytes > 17143 * 384)
  test.truthy(r.bytes > by_name["app.plain_big"].bytes)
  test.equal(lab:value("copy1", "SELECT n FROM app.kinds_twice WHERE kind = 'a'"), 2 * lab:value("awkward", "SELECT count(*) FROM app.events WHERE kind = 'a'"))
  test.equal(lab:value("copy1", "SELECT relispopulated FROM pg_class WHERE oid = 'app.unfilled'::regclass"), false)
  test.equal(lab:value("copy1", "SELECT count(*) > 0 FROM pg_stats WHERE tablename = 'plain_big'"), true)
  test.equal(lab:value("copy1", "SELECT obj_description('app.users_open'::regclass)"), "partial")
end

T["many workers and tables in parts give the same"] = function()
  lab:fresh "copy2"
  local r = copy("copy2", { jobs = 5, split = 1024 * 1024 })
  expect_equal("awkward", "copy2")
  for _, t in ipairs(r.tables) do if t.name == "app.plain_big" then test.equal(t.rows, 17143) end end
end

T["a target that is not empty is refused, and named"] = function()
  lab:fresh "copy3"
  lab:sql("copy3", "CREATE TABLE precious (v int); INSERT INTO precious VALUES (1)")
  local e = test.raises("not empty: it holds public.precious", copy, "copy3")
  test.match(e.hint, "reset")
  test.raises("not empty", copy, "copy3", { restart = true })
  test.equal(lab:value("copy3", "SELECT v FROM precious"), 1)
  copy("copy3", { reset = true })
  expect_equal("awkward", "copy3")
end

T["a copy that was cut off goes on, run twice ends the same"] = function()
  lab:fresh "copy4"
  local t = task.spawn(copy, "copy4", { jobs = 1, split = 1024 * 1024 })
  while not t.done and lab:value("copy4", "SELECT count(*) FROM pg_class WHERE relname = 'plain_big'") == 0 do task.sleep(0.01) end
  t:cancel()
  test.equal(test.raises("", t.join, t).kind, "cancelled")
  test.raises("earlier copy left", copy, "copy4", { resume = false })
  copy "copy4"
  expect_equal("awkward", "copy4")
  test.raises("earlier copy left", copy, "copy4")
  copy("copy4", { restart = true })
  expect_equal("awkward", "copy4")
  lab:sql("copy4", "INSERT INTO app.cache VALUES ('new', 'row')")
  local counted = "SELECT n_tup_ins > 100 FROM pg_stat_user_tables WHERE relname = 'cache'"
  while not lab:value("copy4", counted) do task.sleep(0.05) end     -- the server counts writes when their session has ended
  test.raises("may have been written to since", copy, "copy4", { restart = true })
  test.equal(lab:value("copy4", "SELECT count(*) FROM app.cache"), 101)
end

T["excluded tables stay away, and rows when only they are excluded"] = function()
  lab:fresh "copy5"
  copy("copy5", { exclude = { "app.teams", "Mixed Case.*", "app.by_user" }, exclude_data = { "app.plain_big", "select" } , from = (function()
    lab:fresh("excl", "awkward")
    lab:sql("excl", "DROP VIEW app.by_user; DROP MATERIALIZED VIEW app.team_counts")
    return lab:at "excl"
  end)() })
  test.equal(lab:value("copy5", "SELECT to_regclass('app.teams')::text"), nil)
  test.equal(lab:value("copy5", "SELECT count(*) FROM app.plain_big"), 0)
  test.equal(lab:value("copy5", "SELECT count(*) FROM app.users"), 3000)
end

T["a table that cannot be read or written is named, with the reason"] = function()
  lab:fresh("bad", "awkward")
  local conn <close> = pg.open(lab:admin "bad")
  conn:exec "ALTER TABLE app.cache OWNER TO hkrun_admin"
  lab:fresh "copy6"
  test.raises("permission denied for table cache", copy, "copy6", { from = lab:at "bad" })
  conn:exec "ALTER TABLE app.cache OWNER TO owner"
  conn:exec "ALTER TABLE app.plain_big ALTER pad TYPE varchar(400); ALTER TABLE app.no_key FORCE ROW LEVEL SECURITY"
  local e = test.raises("table app.no_key: .*row%-level security", copy, "copy6", { from = lab:at "bad", restart = true })
  test.match(e.op, "^copy bad at 127.0.0.1:%d+ to copy6 at")
  lab:fresh("bad", "awkward")
  conn:close()
end

T["what the target does not offer is said before anything is made"] = function()
  test.equal(test.raises("are the same database", copy, "awkward").kind, "usage")
  test.raises("no option form", pg.copy, { form = "x", to = "y" })
  test.raises("jobs must be between", copy, "copy6", { jobs = 0 })
  test.equal(test.raises("does not exist", copy, "nowhere").kind, "not_found")
end

T["too few connections slow the copy down, and do not fail it"] = function()
  local conn <close> = pg.open(lab:admin "postgres")
  conn:exec "ALTER ROLE owner CONNECTION LIMIT 7"
  test.defer(function()
    local c <close> = pg.open(lab:admin "postgres")
    c:exec "ALTER ROLE owner CONNECTION LIMIT -1"
  end)
  lab:fresh "copy7"
  copy("copy7", { jobs = 6 })
  expect_equal("awkward", "copy7")
end

-- ---- pg.same; what it finds is in pg_same_corruptions_test.lua ----

T["pg.same raises one error that names what differs, and looks only where told"] = function()
  lab:fresh("other", "awkward")
  lab:sql("other", "DELETE FROM app.cache; DROP INDEX app.users_open")
  local e = test.raises("app.cache has 100 rows in a and 0 in b; .*index app.users_open is missing in b", pg.same,
    { lab:at "awkward", lab:at "other", progress = false })
  test.equal(#e.differences, 2)
  local r = pg.same { lab:at "awkward", lab:at "other", tables = { "app.users", "plain*" }, schema = false, progress = false, jobs = 1 }
  test.equal({ r.equal, #r, r[1].table, r[1].rows_a, r[1].rows_b }, { true, 1, "app.users", 3000, 3000 })
  test.equal(r[1].checksum_a, r[1].checksum_b)
  test.equal(test.raises("needs two", pg.same, { lab:at "awkward" }).kind, "usage")
end

-- ---- the engine by itself ----

local function params(database)
  return { host = "127.0.0.1", hostaddr = "127.0.0.1", port = tostring(lab.port), user = "owner", password = "x y", dbname = database, sslmode = "disable" }
end
local function wait(engine) test.truthy(task.await(engine:id(), 60), "the engine ends") end

T["jobs run after what they need, and are skipped if that failed"] = function()
  lab:fresh "eng"
  local e <close> = host.new(params "awkward", params "eng", 2, {})
  local a = e:add { target = "CREATE TABLE a (id int, pad text, at timestamptz, n numeric)" }
  local b = e:add { source = "COPY app.plain_big TO STDOUT", target = "COPY a FROM STDIN", needs = { a }, weight = 5 }
  local c = e:add { target = "CREATE UNIQUE INDEX ON a (id)", needs = { b }, locks = { 1 } }
  local d = e:add { source = "COPY app.users TO STDOUT", target = "COPY a FROM STDIN", needs = { a } }
  local f = e:add { target = "CREATE INDEX ON a (at)", needs = { d } }
  test.raises("only earlier jobs", e.add, e, { target = "x", needs = { 99 } })
  e:start()
  test.raises("has started", e.add, e, { target = "x" })
  wait(e)
  local ok, err = e:result()
  test.equal(ok, nil) test.equal(err.kind, "remote") test.match(err.message, "extra data after last")
  local states = {}
  for i, job in ipairs { a, b, c, d, f } do states[i] = e:job(job).state end
  test.equal(states, { "done", "done", "done", "failed", "skipped" })
  test.equal(e:job(b).rows, 17143)
  local bytes, rows, done, failed = e:progress()
  test.truthy(bytes >= e:job(b).bytes) test.equal({ rows, done, failed }, { 17143, 3, 1 })
  test.equal(lab:value("eng", "SELECT count(*) FROM a"), 17143)
end

T["a job whose source fails leaves nothing on the target"] = function()
  lab:fresh "eng"
  lab:sql("eng", "CREATE TABLE a (n int)")
  local e <close> = host.new(params "awkward", params "eng", 1, {})
  e:add { source = "COPY (SELECT 1000 / (50000 - g) FROM generate_series(1, 60000) g) TO STDOUT", target = "COPY a FROM STDIN" }
  local second = e:add { source = "COPY (SELECT g FROM generate_series(1, 10) g) TO STDOUT", target = "COPY a FROM STDIN" }
  e:start()
  wait(e)
  test.match(select(2, e:result()).message, "division by zero")
  test.equal(e:job(second).state, "done")
  test.equal(lab:value("eng", "SELECT count(*) FROM a"), 10)
end

T["the engine stops when it is cancelled, also inside a statement"] = function()
  local RUNS = [[SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()
    AND (query LIKE '%pg_sleep(60)%' OR query LIKE '%COPY b %')]]
  lab:fresh "eng"
  for _, job in ipairs { { target = "SELECT pg_sleep(60)" }, { source = "COPY (SELECT pg_sleep(60)) TO STDOUT", target = "COPY a FROM STDIN" },
    { source = "COPY (SELECT repeat('x', 1000) || generate_series(1, 100000000)) TO STDOUT", target = "COPY b FROM STDIN" } } do
    lab:sql("eng", "CREATE TABLE IF NOT EXISTS a (v text); CREATE TABLE IF NOT EXISTS b (v text)")
    local e <close> = host.new(params "awkward", params "eng", 1, {})
    e:add(job)
    e:start()
    while lab:value("eng", RUNS) == 0 do task.sleep(0.01) end
    e:cancel()
    wait(e)
    test.equal(select(2, e:result()).kind, "cancelled")
    task.within(30, "see its statement end", function()
      while lab:value("eng", RUNS) > 0 do task.sleep(0.05) end
    end)
  end
  test.equal(lab:value("eng", "SELECT count(*) FROM b"), 0)
end

T["a closed engine answers with an error, and closing a running one stops it"] = function()
  local e = host.new(params "awkward", params "eng", 3, {})
  e:add { target = "SELECT pg_sleep(60)" }
  e:start()
  task.sleep(0.1)
  e:close()
  e:close()
  for _, method in ipairs { "start", "id", "progress", "result" } do
    local v, err = e[method](e)
    test.equal(v, nil) test.equal(err.kind, "closed")
  end
  test.raises("workers", host.new, {}, {}, 0, {})
  host.new(params "awkward", params "eng", 3, {})    -- never started, never closed
  collectgarbage()
end

T["a server that cannot be reached ends the copy with that reason"] = function()
  local p = params "eng"
  p.port = tostring(fs.free_port())
  local e <close> = host.new(params "awkward", p, 2, {})
  for _ = 1, 5 do e:add { target = "SELECT 1" } end
  e:start()
  wait(e)
  test.equal(select(2, e:result()).kind, "network")
end

T["a session that is ended in the middle is an error of the network"] = function()
  lab:fresh "eng"
  lab:sql("eng", "CREATE TABLE b (v text)")
  local e <close> = host.new(params "awkward", params "eng", 1, {})
  e:add { source = "COPY (SELECT repeat('x', 1000) || generate_series(1, 100000000)) TO STDOUT", target = "COPY b FROM STDIN" }
  local later = e:add { target = "CREATE TABLE made_later (v int)" }
  e:start()
  for _ = 1, 1000 do
    if e:progress() > 10000000 then break end
    task.sleep(0.01)
  end
  local conn <close> = pg.open(lab:admin "postgres")
  conn:query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'eng' AND query LIKE '%COPY b%' AND pid <> pg_backend_pid()")
  wait(e)
  test.equal(select(2, e:result()).kind, "network")
  test.equal(e:job(later).state, "done")
end

T["a server that takes the connection and says nothing ends the copy after connect_timeout"] = function()
  local silent = require "host.serve".open("127.0.0.1", 0, "/tmp", 1000, 1000)
  test.defer(function() silent:close() end)
  local params = { host = "127.0.0.1", port = tostring(silent:port()), user = "u", dbname = "d", connect_timeout = "1" }
  local engine = host.new(params, params, 1, {})
  test.defer(function() engine:close() end)
  engine:add { target = "SELECT 1" }
  engine:start()
  test.equal(task.await(engine:id(), 20), true)
  test.equal(select(2, engine:result()).kind, "timeout")
end

T["two Ctrl-C while its threads copy: the process ends at once with 130, and a copy that is started again is whole"] = function()
  lab:fresh "int_a"
  lab:fresh "int_b"
  lab:sql("int_a", "CREATE TABLE big AS SELECT g AS id, repeat(md5(g::text), 8) AS filler FROM generate_series(1, 250000) g")
  local url = ("postgres://owner:x%%%%20y@127.0.0.1:%d/int_%%s"):format(lab.port)
  local code = [[
    local pg, task = require "pg", require "task"
    local url = os.getenv "URL"
    task.spawn(function()
      local db <close> = pg.open(url .. "b")
      while db:value "SELECT coalesce(sum(tuples_processed), 0)::int FROM pg_stat_progress_copy" == 0 do task.sleep(0.005) end
      print "copying"
      io.stdout:flush()
    end)
    pg.copy { from = url .. "a", to = url .. "b", jobs = 2, restart = true }
  ]]
  local p <close> = process.start { "/proc/self/exe", "-e", code, stdout = "pipe", stderr = "null",
    env = { PATH = os.getenv "PATH", HOME = lab.dir, URL = url:format "", HKRUN_LIB = os.getenv "HKRUN_LIB" } }
  test.equal(p:read_line(), "copying")
  p:kill "INT"
  task.sleep(0.06)
  p:kill "INT"
  test.equal(p:wait(20), 130)
  pg.copy { from = lab:at "int_a", to = lab:at "int_b", restart = true }
  test.equal(lab:value("int_b", "SELECT count(*)::int FROM big"), 250000)
end

return T
