--- A copy that is cut off goes on: no row is lost, none is doubled, and what changed meanwhile is copied again.
package.path = "tests/support/?.lua;" .. package.path
local pg = require "pg"
local pg_lab = require "pg_lab"
local process = require "process"
local task = require "task"
local test = require "test"

local T = test.cases()

local lab = pg_lab.start { user = "owner", password = "pw", rights = "rds" }

lab:fresh "src"
lab:sql("src", [[
  CREATE TABLE big (id bigint PRIMARY KEY, pad text NOT NULL, v int);
  INSERT INTO big SELECT g, repeat(md5(g::text), 12), g % 7 FROM generate_series(1, 20000) g;
  CREATE INDEX big_v ON big (v);
  CREATE TABLE small (id serial PRIMARY KEY, big_id bigint REFERENCES big, note text);
  INSERT INTO small (big_id, note) SELECT g, 'n' || g FROM generate_series(1, 500) g;
  CREATE UNLOGGED TABLE cache (k text PRIMARY KEY, v text);
  INSERT INTO cache SELECT 'k' || g, g FROM generate_series(1, 300) g;
  CREATE TABLE log (at timestamptz, what text);
  INSERT INTO log SELECT '2024-01-01'::timestamptz + g * interval '1 s', 'w' || g FROM generate_series(1, 2000) g;
  CREATE MATERIALIZED VIEW sums AS SELECT v, count(*) AS n FROM big GROUP BY v;
  SELECT lo_from_bytea(77001, decode(repeat('00ff', 700000), 'hex'));
  CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (now(), 'trigger'); RETURN NULL; END $$;
  CREATE TRIGGER small_noted AFTER INSERT ON small FOR EACH ROW EXECUTE FUNCTION noted();]])

local CODE = [[
  local pg = require "pg"
  local r = pg.copy { from = os.getenv "FROM", to = os.getenv "TO", jobs = tonumber(os.getenv "JOBS"), split = 1048576, progress = false,
                      rate = tonumber(os.getenv "RATE") }
  print(r.snapshot.one, r.snapshot.resumed, table.concat(r.snapshot.again, ","))
]]

local function url(database) return ("postgres://owner:pw@127.0.0.1:%d/%s"):format(lab.port, database) end

--- Starts a copy as another process.
local function start(from, to, o)
  return process.start { "/proc/self/exe", "-e", CODE, stdout = "pipe", stderr = lab.dir .. "/stderr", env = { PATH = os.getenv "PATH",
    HOME = lab.dir, FROM = url(from), TO = url(to), JOBS = "2", RATE = o and o.rate, HKRUN_LIB = os.getenv "HKRUN_LIB" } }
end

--- Starts a copy that is much slower than the looks at it, and kills it once `n` pieces of big are in.
local function killed(from, to, n)
  local p <close> = start(from, to, { rate = "1500000" })
  local conn <close> = pg.open(lab:at(to))
  task.within(120, "see the pieces", function()
    repeat
      task.sleep(0.01)
      local ok, done = pcall(conn.value, conn, "SELECT count(*) FROM hkrun_copy.done WHERE name LIKE 'rows public.big%' AND row_count > 0")
    until ok and done >= n
  end)
  p:kill "KILL"
  p:wait(10)
end

local function again(from, to, o)
  o = o or {}
  o.from, o.to, o.progress, o.split = lab:at(from), lab:at(to), false, o.split or 1048576
  return pg.copy(o)
end

local function expect_same(from, to)
  local r = pg.same { a = lab:at(from), b = lab:at(to), quiet = true, progress = false }
  test.equal(table.concat(r.differences, "\n"), "")
  test.equal(lab:value(to, "SELECT to_regclass('hkrun_copy.done')::text"), nil)
end

T["a copy that was killed goes on in the middle of a table, and rows that were in stay where they are"] = function()
  lab:fresh "t1"
  killed("src", "t1", 3)
  local rows, newest = lab:value("t1", "SELECT count(*) FROM big"), lab:value("t1", "SELECT max(xmin::text::int8) FROM big")
  test.truthy(rows > 0 and rows < 20000, "in the middle: " .. rows)
  local r = again("src", "t1")
  test.equal({ r.snapshot.one, r.snapshot.resumed, #r.snapshot.again }, { true, true, 0 })
  test.equal(lab:value("t1", "SELECT count(*) FROM big WHERE xmin::text::int8 <= $1", newest), rows)
  for _, t in ipairs(r.tables) do if t.name == "public.big" then test.equal(t.rows, 20000) end end
  expect_same("src", "t1")
end

local CHANGES = {
  { "an UPDATE", "UPDATE big SET v = 100 WHERE id % 500 = 17", "public.big" },
  { "a DELETE", "DELETE FROM big WHERE id % 500 = 17 AND id > 600", "public.big" },
  { "an INSERT and a DELETE",
    "DELETE FROM big WHERE id % 500 = 17 AND id > 600; INSERT INTO big SELECT -g, 'new', 1 FROM generate_series(1, 38) g", "public.big" },
  { "VACUUM FULL, which moves rows", "VACUUM FULL big", "public.big" },
  { "a change of a table that was not copied yet", "UPDATE small SET note = 'changed'", "" },
}
for i, case in ipairs(CHANGES) do
  T["what changed on the source while a copy was cut off is copied again: " .. case[1]] = function()
    lab:fresh("changing", "src")
    lab:fresh("t2")
    killed("changing", "t2", 2 + i % 2)
    for part in case[2]:gmatch "[^;]+" do lab:sql("changing", part) end
    local r = again("changing", "t2")
    test.equal({ r.snapshot.one, table.concat(r.snapshot.again, ",") }, { true, case[3] })
    expect_same("changing", "t2")
  end
end

T["a copy of another database, of another schema or with other options is not gone on with"] = function()
  lab:fresh("changing", "src")
  lab:fresh "t3"
  killed("changing", "t3", 1)
  test.raises("copy of another database", again, "src", "t3")
  test.raises("begun with other options", again, "changing", "t3", { exclude_data = { "log" } })
  lab:sql("changing", "ALTER TABLE log ADD COLUMN more int DEFAULT 5")
  test.raises("schema of the source has changed", again, "changing", "t3")
  again("changing", "t3", { restart = true })
  expect_same("changing", "t3")
end

T["sessions that are ended in the middle are made again, and the copy ends whole"] = function()
  lab:fresh "t4"
  local t = task.spawn(again, "src", "t4", { rate = 2000000 })
  local conn <close> = pg.open(lab:admin "postgres")
  local ended = 0
  while ended < 3 and not t.done do
    if conn:value "SELECT count(*) FROM pg_stat_activity WHERE datname = 't4' AND query LIKE '%COPY public.big%'" > 0 then
      conn:query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 't4' AND usename = 'owner'")
      ended = ended + 1
      task.sleep(0.3)
    end
    task.sleep(0.02)
  end
  test.truthy(ended > 0, "sessions were ended")
  t:join()
  expect_same("src", "t4")
end

T["the source's sessions are ended too, and the new snapshot is proved"] = function()
  lab:fresh "t5"
  local t = task.spawn(again, "src", "t5", { rate = 2000000 })
  local conn <close> = pg.open(lab:admin "postgres")
  while conn:value "SELECT count(*) FROM pg_stat_activity WHERE datname = 't5' AND query LIKE '%COPY public.big%'" == 0 do task.sleep(0.02) end
  task.sleep(0.3)
  conn:query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('src', 't5') AND application_name LIKE 'hkrun copy%'")
  local r = t:join()
  test.equal({ r.snapshot.one, r.snapshot.resumed }, { true, true })
  expect_same("src", "t5")
end

T["a session of the target that does not know that its client is gone is ended by the next one"] = function()
  lab:fresh "t7"
  local relay <close>, port = lab:relay()
  local to = lab:at "t7"
  to.port = port
  local t = task.spawn(function() pg.copy { from = lab:at "src", to = to, jobs = 1, split = 1048576, rate = 6000000, progress = false } end)
  local conn <close> = pg.open(lab:admin())
  local COPIES = "SELECT count(*) FROM pg_stat_activity WHERE datname = 't7' AND query LIKE '%COPY public.big%' AND pid <> pg_backend_pid()"
  repeat task.sleep(0.01) until t.done or conn:value(COPIES) > 0
  relay:kill "HUP"                                   -- the second connection is the worker's
  t:join()
  expect_same("src", "t7")
end

T["two copies at once into one database: the second is refused"] = function()
  lab:fresh "t6"
  local holder <close> = pg.open(lab:admin "t6")
  holder:query("SELECT pg_advisory_lock($1)", 0x686b72756e)
  local ledger = require "pg.copy.ledger"
  local conn <close> = pg.open(lab:at "t6")
  local e = test.raises("another copy into this database is running", ledger.lock, conn, "x", 0.1)
  test.equal(e.kind, "limit")
end

return T
