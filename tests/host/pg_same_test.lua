--- What pg.same takes, and how it goes on: tolerances, chunks and keys, journals, live databases, roles, encodings.
-- luacheck: no max line length (SQL)
package.path = "tests/support/?.lua;" .. package.path
local chunks = require "pg.same.chunks"
local fs = require "fs"
local json = require "json"
local pg = require "pg"
local pg_lab = require "pg_lab"
local process = require "process"
local task = require "task"
local test = require "test"

local T = test.cases()

local lab = pg_lab.start { settings = { autovacuum = "off" } }

local function at(database, user) return user and lab:at(database, user) or lab:admin(database) end
local function exec(database, sql, user) lab:sql(at(database, user), sql) end
local function both(sql)
  for _, name in ipairs { "a", "b" } do
    lab:fresh(name)
    exec(name, sql)
  end
end
local function same(o)
  o = o or {}
  o.a, o.b, o.progress = o.a or at "a", o.b or at "b", false
  if o.quiet == nil then o.quiet = true end
  return pg.same(o)
end
local function said(o) return table.concat(same(o).differences, "\n") end

-- Tables of these cases are small: chunks and parts are too.
local function small(sizes)
  local before = {}
  for name, n in pairs(sizes) do before[name], chunks[name] = chunks[name], n end
  test.defer(function() for name, n in pairs(before) do chunks[name] = n end end)
end

local NUMBERS = "CREATE TABLE numbers (id bigint PRIMARY KEY, v text); INSERT INTO numbers SELECT g, 'v' || g FROM generate_series(-3000, 17000) g;"

T["the chunk is named, and then the keys that differ in it"] = function()
  small { CHUNK = 8192 }
  both(NUMBERS)
  exec("b", "UPDATE numbers SET v = 'x' WHERE id = 12345; DELETE FROM numbers WHERE id = -3000; INSERT INTO numbers VALUES (99999, 'far away')")
  local t = same()[1]
  test.equal({ t.rows_a, t.rows_b, t.equal, t.chunks_different }, { 20001, 20001, false, 3 })
  test.truthy(t.chunks >= 64, t.chunks)
  test.match(said(), "^public.numbers has as many rows in both %(20001%), but not the same ones %(in id from %-3000 to %-%d+: id %-3000 is missing in b; " ..
    "in id from 1%d+ to 1%d+: id 12345 is not the same; in id from 9%d+ to %d+: id 99999 is missing in a%)$")
end

T["a chunk of many rows is cut until its keys can be named"] = function()
  small { CHUNK = 1 << 30, LISTED = 3 }
  for _, shape in ipairs { { "bigint", "g", "id 777 is not" }, { "text", "'k' || g", "id k777 is not" } } do
    both(("CREATE TABLE keyed (id %s PRIMARY KEY, v text); INSERT INTO keyed SELECT %s, 'v' FROM generate_series(1, 1000) g"):format(shape[1], shape[2]))
    exec("b", ("UPDATE keyed SET v = 'x' WHERE id::text ~ '^k?777$'"))
    local different = same()[1].different
    test.equal(#different, 1)
    test.match(different[1].keys[1], shape[3])
    if shape[1] == "bigint" then test.match(different[1].chunk, "^id from 77%d to 77%d$") end
  end
  both "CREATE TABLE rows (v int); INSERT INTO rows SELECT g FROM generate_series(1, 1000) g; INSERT INTO rows VALUES (5)"
  exec("b", "DELETE FROM rows WHERE v = 5")
  test.match(said(), "public.rows has 1001 rows in a and 999 in b %(in chunk %d+ of 64: the row %x+ is there 2 times in a, 0 in b%)")
end

T["where much differs, some of it is named and the rest counted"] = function()
  small { CHUNK = 8192 }
  both(NUMBERS)
  exec("b", "UPDATE numbers SET v = 'all'")
  test.match(said(), "id from %-3000 to %S+: id %-2%d+ is not the same, .* and %d+ more; .*; .*; (%d+) of %1 chunks differ%)$")
end

T["a table of as many columns as there can be is compared, each column of it"] = function()
  local columns, ones = {}, {}
  for i = 1, 1600 do columns[i], ones[i] = ("c%d %s"):format(i, i % 2 == 0 and "int8" or "bool"), i % 2 == 0 and "1" or "NULL" end
  both(("CREATE TABLE wide (%s); INSERT INTO wide VALUES (%s); CREATE TABLE narrow (); INSERT INTO narrow DEFAULT VALUES"):format(table.concat(columns, ", "), table.concat(ones, ", ")))
  test.equal(same().differences, {})
  for _, column in ipairs { "c2 = 2", "c1599 = true", "c1600 = NULL", "c900 = 3" } do
    exec("b", "UPDATE wide SET " .. column)
    test.match(said { schema = false }, "public.wide has as many rows in both")
    exec("b", ("UPDATE wide SET %s = %s"):format(column:match "^(%w+)", column:find "true" and "NULL" or "1"))
  end
  exec("b", "INSERT INTO narrow DEFAULT VALUES")
  test.match(said(), "public.narrow has 1 rows in a and 2 in b")
end

T["where rows lie, and in which order columns were made, is no difference of rows"] = function()
  both "CREATE TABLE t (id int PRIMARY KEY, v text, w int); INSERT INTO t SELECT g, 'v' || g, g FROM generate_series(1, 500) g"
  exec("b", "DROP TABLE t; CREATE TABLE t (w int, gone int, id int PRIMARY KEY, v text); ALTER TABLE t DROP gone; INSERT INTO t SELECT g, g, 'v' || g FROM generate_series(500, 1, -1) g")
  test.equal(same().differences, { 'table public.t differs in column order: "id, v, w" in a, "w, id, v" in b' })
end

T["only what is told is tolerated, and a word that means nothing is refused"] = function()
  both "CREATE EXTENSION citext; CREATE TABLE t (id int, v citext DEFAULT 'x'::citext); COMMENT ON TABLE t IS 'c'; CREATE SEQUENCE s"
  exec("b", "CREATE SCHEMA extensions; ALTER EXTENSION citext SET SCHEMA extensions; COMMENT ON TABLE t IS NULL; GRANT SELECT ON t TO PUBLIC; SELECT nextval('s')")
  test.equal(same().differences, { "comment on public.t is missing in b", 'extension citext differs in schema: "public" in a, "extensions" in b',
    "schema extensions is missing in a", 'table public.t differs in grants: nothing in a, "PUBLIC=SELECT" in b', "sequence public.s stands at 1 (unused) in a, at 1 in b" })
  local all = { "extension schema", "comment", "table grants", "sequence value" }
  test.equal(same { tolerate = all }.equal, true)
  for i, word in ipairs(all) do
    local others = table.move(all, 1, #all, 1, {})
    table.remove(others, i)
    test.truthy(#same { tolerate = others }.differences > 0, word)
  end
  exec("b", "CREATE TABLE extensions.own (id int)")  -- a schema with something of its own counts
  test.equal(same { tolerate = all }.differences, { "schema extensions is missing in a", "table extensions.own is missing in a" })
  local e = test.raises('nothing is called "extenson schema" that could be tolerated, did you mean "extension schema"', same, { tolerate = { "extenson schema" } })
  test.equal(e.kind, "usage")
end

T["every word that the manual says can be tolerated means something"] = function()
  both "CREATE TABLE t (id int)"
  local words = {}
  for word in fs.read "docs/pg-same.md":match "%*%*Tolerated is only.-\n\n":gmatch '`"(.-)"`' do words[#words + 1] = word end
  test.truthy(#words >= 10, #words)
  test.equal(same { tolerate = words }.equal, true)
end

T["the roles that log in are one; others may have other names by role_map"] = function()
  exec("postgres", "CREATE ROLE old_app LOGIN; CREATE ROLE new_app LOGIN; CREATE ROLE old_reader; CREATE ROLE new_reader")
  for name, roles in pairs { a = { "old_app", "old_reader" }, b = { "new_app", "new_reader" } } do
    lab:fresh(name)
    exec("postgres", ("ALTER DATABASE %s OWNER TO %s"):format(name, roles[1]))
    exec(name, ("CREATE SCHEMA s; CREATE TABLE s.t (id int); GRANT SELECT ON s.t TO %s; CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"):format(roles[2]), roles[1])
    exec(name, ("SELECT lo_from_bytea(7, 'x'); GRANT SELECT ON LARGE OBJECT 7 TO %s"):format(roles[2]), roles[1])
  end
  local function ask(map) return same { a = at("a", "old_app"), b = at("b", "new_app"), role_map = map }.differences end
  test.equal(ask { old_reader = "new_reader" }, {})
  test.match(table.concat(ask(), "\n"), "large objects has as many .*oid 7 is not the same.*\ntable s.t differs in grants: \"old_reader=SELECT\" in a, \"new_reader=SELECT\" in b")
end

T["a comparison that was cut off goes on with what was read, unless it has changed"] = function()
  small { CHUNK = 8192, PART = 16 }
  both(NUMBERS .. "CREATE TABLE other AS SELECT g AS v FROM generate_series(1, 5000) g; CREATE TABLE third (id int PRIMARY KEY)")
  for _, kind in ipairs { "table", "file" } do
    local journal = kind == "table" and {} or fs.join(lab.dir, "parts")
    local first = same { journal = journal, tables = { "numbers", "third" } }
    test.equal({ first.equal, first.resumed }, { true, nil })
    local n
    if kind == "file" then
      local lines = select(2, fs.read(journal):gsub("\n", ""))
      n = lines - 1
      local torn = fs.read(journal):sub(1, -30)      -- the last line was being written
      fs.write(journal, torn .. "\n")
      test.truthy(json.decode(torn:match "^[^\n]+").sums, "a line is JSON")
    else
      n = #journal
    end
    test.truthy(n > 12, n .. " parts")
    local second = same { journal = journal }
    test.equal({ second.equal, second.resumed }, { true, n })
    test.equal(second[1].checksum_a, first[1].checksum_a)
    exec("b", ("UPDATE numbers SET v = 'in a %s' WHERE id = 5"):format(kind))
    local known = kind == "table" and #journal or select(2, fs.read(journal):gsub("\n", "")) - 1
    local third = same { journal = journal }
    test.equal(#third.differences, 1)
    test.match(third.differences[1], "id 5 is not the same")
    test.truthy(third.resumed < known and third.resumed > known - 4, "what was written is read again, and no more")
    exec("a", ("UPDATE numbers SET v = 'in a %s' WHERE id = 5"):format(kind))
    test.equal(same { journal = journal }.equal, true)
  end
  test.equal(test.raises("journal is a table or the path", same, { journal = 5 }).kind, "usage")
end

T["a process that is killed leaves a journal that the next one goes on with"] = function()
  both(NUMBERS .. "CREATE TABLE big AS SELECT g AS v, repeat('x', 500) AS pad FROM generate_series(1, 20000) g")
  local journal = fs.join(lab.dir, "killed")
  local code = ('require "pg".same { a = %q, b = %q, jobs = 1, journal = %q, progress = false }'):format(
    ("postgres://postgres@127.0.0.1:%d/a"):format(lab.port), ("postgres://postgres@127.0.0.1:%d/b"):format(lab.port), journal)
  local p <close> = process.start { "/proc/self/exe", "-e", code, stdout = "null", stderr = "null", env = { PATH = os.getenv "PATH", HOME = lab.dir, HKRUN_LIB = os.getenv "HKRUN_LIB" } }
  while p:is_running() and not (fs.exists(journal) and fs.read(journal):find "\n") do task.sleep(0.002) end
  p:kill "KILL"
  p:wait(20)
  local r = same { journal = journal }
  test.equal(r.differences, {})
  test.truthy(r.resumed >= 1, "something was read before")
end

T["what was written a moment ago, with as many rows as before, is never taken for what was read"] = function()
  for _, sql in ipairs { "UPDATE numbers SET v = 'x' WHERE id = 5", "UPDATE numbers SET v = v || ''; UPDATE numbers SET v = 'x' WHERE id = 5",
    "DELETE FROM numbers WHERE id = 5; INSERT INTO numbers VALUES (5, 'x')", "UPDATE numbers SET v = 'x' WHERE id = 5; VACUUM FULL numbers",
    "CREATE TABLE n AS SELECT id, CASE id WHEN 5 THEN 'x' ELSE v END AS v FROM numbers; TRUNCATE numbers; INSERT INTO numbers TABLE n; DROP TABLE n" } do
    both(NUMBERS)
    local journal = {}
    test.equal(same { journal = journal }.equal, true)
    for part in sql:gmatch "[^;]+" do exec("b", part) end
    local r = same { journal = journal }
    test.match(table.concat(r.differences, "\n"), "id 5 is not the same", sql)
  end
end

T["parts of another server's table of the same name and file are not taken over"] = function()
  both(NUMBERS)
  local journal = {}
  same { journal = journal }
  for _, part in ipairs(journal) do part.system = part.system:gsub("^%d", function(d) return (d + 1) % 10 | 0 end) end
  test.equal({ same({ journal = journal }).resumed, #journal }, { nil, 4 })
end

T["a live database is read again until it agrees"] = function()
  small { CHUNK = 8192 }
  both(NUMBERS .. "CREATE TABLE no_key (v int); INSERT INTO no_key VALUES (1); CREATE SEQUENCE s")
  exec("a", "INSERT INTO numbers VALUES (17001, 'new'); DELETE FROM numbers WHERE id = 3; INSERT INTO no_key VALUES (2); SELECT nextval('s'); CREATE INDEX late ON no_key (v)")
  local follower = task.spawn(function()
    task.sleep(0.3)
    exec("b", "CREATE INDEX late ON no_key (v); SELECT nextval('s')")
    task.sleep(0.3)
    exec("b", "INSERT INTO numbers VALUES (17001, 'new'); DELETE FROM numbers WHERE id = 3; INSERT INTO no_key VALUES (2)")
  end)
  local r = same { live = true, deadline = 60 }
  test.equal(r.differences, {})
  follower:join()
  exec("a", "DELETE FROM numbers WHERE id = 4")
  local late = same { live = true, deadline = 0.2 }
  test.match(late.differences[1], "20000 rows in a and 20001 in b %(in id from %-%d+ to %d+: id 4 is missing in a%)")
  test.equal(test.raises("without a journal", same, { live = true, journal = {} }).kind, "usage")
end

T["a table that may not be read is named, and the others are compared"] = function()
  both "CREATE TABLE open (id int); CREATE TABLE closed (id int); CREATE TABLE hidden (id int); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; GRANT SELECT ON open, hidden TO PUBLIC"
  exec("b", "INSERT INTO open VALUES (1)")
  exec("postgres", "DROP ROLE IF EXISTS looker; CREATE ROLE looker LOGIN")
  test.equal(same { a = at("a", "looker"), b = at("b", "looker") }.differences, { "public.closed could not be compared: permission denied for table closed",
    'public.hidden could not be compared: query would be affected by row-level security policy for table "hidden"', "public.open has 0 rows in a and 1 in b" })
end

T["a server with few connections is compared with those that it gives"] = function()
  both(NUMBERS .. "CREATE TABLE other (id int)")
  exec("postgres", "DROP ROLE IF EXISTS one; CREATE ROLE one LOGIN CONNECTION LIMIT 1; GRANT pg_read_all_data TO one")
  test.equal(same { a = at("a", "one"), jobs = 4, tolerate = { "owner", "grants" } }.differences, {})
  test.raises("too many connections", function()
    local _ <close> = pg.open(at("a", "one"))
    same { a = at("a", "one") }
  end)
end

T["the same text in two encodings is the same"] = function()
  lab:fresh "a"
  lab:fresh("b", nil, "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
  for _, name in ipairs { "a", "b" } do
    exec(name, "CREATE TABLE t (k varchar(20) PRIMARY KEY, v text, c char(6), j jsonb, l text[]); INSERT INTO t VALUES ('é', 'ä', 'ü', '{\"ö\": 1}', '{ß}'), ('e', NULL, '', NULL, NULL)")
  end
  local tolerate = { "database" }
  test.equal(same { tolerate = tolerate }.differences, {})
  for column, value in pairs { v = "'a'", c = "'u'", j = "'{\"o\": 1}'", l = "'{s}'" } do
    exec("b", ("BEGIN; CREATE TABLE kept AS SELECT * FROM t; UPDATE t SET %s = %s WHERE k = 'é'; COMMIT"):format(column, value))
    test.match(said { tolerate = tolerate, tables = { "t" } }, "public.t has as many .* k é is not the same")
    exec("b", "DELETE FROM t; INSERT INTO t SELECT * FROM kept; DROP TABLE kept")
  end
end

T["tables, exclude, schema and rows say what is looked at"] = function()
  both "CREATE TABLE one (id serial PRIMARY KEY); CREATE TABLE two (id int PRIMARY KEY); INSERT INTO two VALUES (1)"
  exec("b", "SELECT nextval('one_id_seq'); ALTER TABLE one ADD v int")
  test.equal({ #same().differences, same { exclude = { "one" } }.equal, same { tables = { "two" } }.equal }, { 2, true, true })
  exec("b", "DROP TABLE one; DELETE FROM two; CREATE INDEX more ON two (id)")
  test.equal(same { schema = false }.differences, { "public.two has 1 rows in a and 0 in b", "table public.one is missing in b" })
  test.equal(same { rows = false }.differences, { "index public.more is missing in a", "sequence public.one_id_seq is missing in b", "table public.one is missing in b" })
  test.equal(same { exclude = { "t*" } }.differences, { "sequence public.one_id_seq is missing in b", "table public.one is missing in b" })
  test.equal(same { exclude = { "one" } }.differences, { "public.two has 1 rows in a and 0 in b", "index public.more is missing in a" })
  test.equal(same { exclude = { "*.*" } }.differences, {})
end

T["a materialized view that is behind is no difference, one that is wrong is"] = function()
  both "CREATE TABLE t (id int); INSERT INTO t VALUES (1); CREATE MATERIALIZED VIEW m AS SELECT id FROM t; INSERT INTO t VALUES (2)"
  exec("b", "REFRESH MATERIALIZED VIEW m")
  local function behind(o)
    local list = same(o)
    test.equal(list.differences, {})
    for _, t in ipairs(list) do if t.table == "public.m" then return t.behind end end
  end
  test.equal({ behind {}, behind { a = at "b", b = at "a" } }, { "a", "b" })
  exec("b", "ALTER TABLE t RENAME TO kept; CREATE TABLE t (id int); DROP MATERIALIZED VIEW m; INSERT INTO t VALUES (7); CREATE MATERIALIZED VIEW m AS SELECT id FROM t; DROP MATERIALIZED VIEW m; " ..
    "DROP TABLE t; ALTER TABLE kept RENAME TO t; CREATE MATERIALIZED VIEW m AS SELECT id FROM t WHERE id > 1")
  test.match(said(), "public.m has as many rows in both %(1%), but not the same ones")
  test.equal(same { tolerate = { "materialized view rows", "definition" } }.differences, {})
end

return T
