--- Each case is a database in which one thing is wrong: it is found, and nothing else is.
-- luacheck: no max line length (SQL)
package.path = "tests/support/?.lua;" .. package.path
local check = require "pg.check"
local fs = require "fs"
local pg = require "pg"
local pg_lab = require "pg_lab"
local task = require "task"
local test = require "test"
local versions = dofile "tests/support/postgres_versions.lua"

local T = test.cases()

local main = pg_lab.start { user = "owner", rights = "heroku", database = "clean",
  settings = { max_prepared_transactions = 5, allow_in_place_tablespaces = "on", autovacuum = "off" } }
local other = pg_lab.start { user = "owner", rights = "heroku", database = "clean",
  settings = { wal_level = "logical", max_wal_senders = 1, max_replication_slots = 1, wal_sender_timeout = "5s", max_slot_wal_keep_size = "1GB",
    idle_in_transaction_session_timeout = "1min", ["rds.force_ssl"] = "0", max_locks_per_transaction = 10, max_connections = 20,
    autovacuum_naptime = "1s" } }

local CLEAN = "CREATE TABLE t (id bigserial PRIMARY KEY, v varchar(20))"

local function at(database, lab) return (lab or main):at(database) end
local function admin(database, lab) return (lab or main):admin(database) end
local function run(where, sql) main:sql(where, sql) end
local function make(database, lab) run(admin("postgres", lab), ("CREATE DATABASE %s OWNER owner TEMPLATE clean"):format(database)) end

for _, lab in ipairs { main, other } do lab:sql("clean", CLEAN) end
run(admin "postgres", "CREATE DATABASE empty OWNER owner")
run(admin "postgres", "CREATE ROLE auditor; CREATE ROLE reader")
run(admin "postgres", "CREATE TABLESPACE odd LOCATION ''")
run(admin "postgres", "GRANT CREATE ON TABLESPACE odd TO owner")
run(admin "postgres", "CREATE DATABASE latin OWNER owner ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
run(admin "postgres", "CREATE DATABASE posix OWNER owner LC_COLLATE 'POSIX' LC_CTYPE 'C.UTF-8' TEMPLATE template0")
run(admin "postgres", "CREATE DATABASE foreign_one")
run(admin "postgres", "GRANT CREATE ON DATABASE foreign_one TO owner")
run(admin("postgres", other), "CREATE DATABASE empty OWNER owner")

local function EMPTY() return at "empty" end

local function findings(o)
  o.rate = o.rate or 1e9                               -- nothing is measured, unless a case wants it
  local list, bad, by_id = pg.check(o), {}, {}
  for _, f in ipairs(list) do
    by_id[f.id] = f
    if f.severity ~= "ok" then bad[#bad + 1] = f.id end
    if f.severity ~= "ok" then test.truthy(f.remedy and #f.remedy > 10, f.id .. "'s remedy") end
    test.truthy(f.message and f.measured ~= nil and f.name, f.id .. " says what it has found")
  end
  table.sort(bad)
  return by_id, bad, list
end


-- id, severity, measured (a pattern where it is no number), object (or nil), remedy (pattern), and: own = SQL of the owner,
-- admin = SQL of the superuser, to = the target, o = more options, also = what else must be found.
local CASES = {
  { "something-to-copy", "warning", 0, nil, "right database", own = "DROP TABLE t" },
  { "something-to-copy", "warning", 0, nil, "include and exclude", o = { exclude = { "public.*" } } },
  { "something-to-copy", "warning", 0, nil, "include and exclude", o = { include = { "other" } } },
  { "connections", "error", "^%d of 3 free$", nil, "ps:scale", admin = "ALTER DATABASE %s CONNECTION LIMIT 3" },
  { "connections", "warning", "^%d+ of 57 free$", nil, "ps:scale", o = { reserve = 1000 } },
  { "connections", "error", "^[12] of 3 free$", nil, "ps:scale", o = { connections = 3 }, admin = "ALTER DATABASE %s CONNECTION LIMIT 3", held = "SELECT 1" },
  { "target-connections", "error", "^%d of 3 free$", nil, "end other sessions", to = function()
    run(admin "postgres", "CREATE DATABASE narrow OWNER owner CONNECTION LIMIT 3")
    return at "narrow" end },
  { "prepared-transactions", "warning", 1, "open one", "^ROLLBACK PREPARED 'open one';", own = "BEGIN; CREATE TABLE p (id int PRIMARY KEY); PREPARE TRANSACTION 'open one'" },
  { "long-transactions", "warning", 1, "^pid %d+ of owner, idle in transaction since", "^SELECT pg_terminate_backend%(%d+%);$", held = "BEGIN; SELECT 1", o = { long_transaction = 0 } },
  { "exclusive-locks", "warning", 1, "public.t", "^SELECT pg_terminate_backend%(%d+%);$", held = "BEGIN; LOCK TABLE t" },
  { "tablespaces", "info", 1, "public.t", "SET TABLESPACE pg_default", own = "ALTER TABLE t SET TABLESPACE odd" },
  { "database-settings", "warning", 1, "TimeZone", "^ALTER DATABASE empty SET \"?TimeZone\"? = 'Europe/Berlin';$", to = EMPTY, fix = false, own = "ALTER DATABASE %s SET timezone = 'Europe/Berlin'" },
  { "database-settings", "warning", 1, "jit", "^ALTER ROLE owner SET jit = 'off';$", own = "ALTER ROLE owner SET jit = off", fix = false, after = "ALTER ROLE owner RESET ALL" },
  { "subscriptions", "warning", 1, "feed", "^ALTER SUBSCRIPTION feed DISABLE;", admin = [[SET client_min_messages = error;
    CREATE SUBSCRIPTION feed CONNECTION 'host=/nonexistent' PUBLICATION p WITH (connect = false); UPDATE pg_subscription SET subenabled = true]],
    after = "UPDATE pg_subscription SET subenabled = false; ALTER SUBSCRIPTION feed SET (slot_name = NONE); DROP SUBSCRIPTION feed" },
  { "encoding", "warning", "SQL_ASCII", nil, "deep = true", ascii = true },
  { "encoding", "warning", "LATIN1", nil, "ENCODING 'UTF8'", to = function() return at "latin" end, fix = false, also = { "locale" } },
  { "locale", "info", "C", nil, "LC_COLLATE 'C.UTF%-8'", to = function() return at "posix" end, fix = false },
  { "force-ssl", "warning", "0", nil, "rds.force_ssl,ParameterValue=1", to = function() return at("empty", other) end },

  { "unreadable", "error", 1, "public.hidden", "GRANT SELECT ON public.hidden TO owner;", admin = "CREATE TABLE hidden (id int PRIMARY KEY)", also = { "trigger-permission" } },
  { "unreadable", "error", 1, "shut.deep", "GRANT USAGE ON SCHEMA shut TO owner;", admin = "CREATE SCHEMA shut; CREATE TABLE shut.deep (id int PRIMARY KEY); GRANT SELECT, TRIGGER ON shut.deep TO owner" },
  { "trigger-permission", "info", 1, "public.lent", "^GRANT TRIGGER ON public.lent TO owner;", admin = "CREATE TABLE lent (id int PRIMARY KEY); GRANT SELECT ON lent TO owner" },
  { "target-empty", "error", 2, "public.t", "reset = true", to = function() return at "clean" end },
  { "target-rights", "error", "CREATE only", nil, "^ALTER DATABASE foreign_one OWNER TO owner;", to = function() return at "foreign_one" end },
  { "target-rights", "error", "no CREATE on public", nil, "^GRANT ALL ON SCHEMA public TO owner;", to = function()
    run(admin "postgres", "CREATE DATABASE shut_public OWNER owner")
    run(admin "shut_public", "ALTER SCHEMA public OWNER TO hkrun_admin; REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO PUBLIC")
    return at "shut_public" end, fix = "shut_public" },
  { "policy-roles", "error", 1, "reader", "^CREATE ROLE reader NOLOGIN;", own = "CREATE POLICY mine ON t TO reader USING (true)", to = function() return at("empty", other) end, also = { "force-ssl" }, plane = other },
  { "granted-roles", "warning", 1, "auditor", "^CREATE ROLE auditor NOLOGIN;", own = "GRANT SELECT ON t TO auditor", to = function() return at("empty", other) end, also = { "force-ssl" }, plane = other },

  { "extensions", "info", 1, "citext", "pg_available_extensions", fix = false, own = "CREATE EXTENSION citext" },
  { "extensions", "error", 1, "gone", "^DROP EXTENSION gone;", own = "CREATE EXTENSION citext", admin = "UPDATE pg_extension SET extname = 'gone' WHERE extname = 'citext'", to = EMPTY },
  { "extensions", "warning", 1, "^citext [%d.]+ %(source 99.1%)$", "newer minor", own = "CREATE EXTENSION citext", admin = "UPDATE pg_extension SET extversion = '99.1' WHERE extname = 'citext'", to = EMPTY },
  { "extension-schemas", "info", 1, "hstore", "search_path", own = "CREATE SCHEMA heroku_ext; CREATE EXTENSION hstore SCHEMA heroku_ext", to = EMPTY },
  { "search-path", "warning", 1, "public.f()", "^ALTER FUNCTION public.f%(%) RESET search_path;", own = "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = public, heroku_ext AS 'SELECT 1'" },
  { "languages", "error", 1, "public.inc()", "^DROP FUNCTION public.inc%(%); /%* it is written in c", admin = "CREATE FUNCTION inc() RETURNS trigger LANGUAGE c AS '$libdir/autoinc', 'autoinc'" },
  { "foreign-tables", "warning", 1, "public.far", "^CREATE USER MAPPING FOR CURRENT_USER SERVER there", admin = [[CREATE EXTENSION postgres_fdw; CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw;
    CREATE FOREIGN TABLE far (id int) SERVER there; GRANT SELECT ON far TO owner]], to = EMPTY },
  { "event-triggers", "info", 1, "watch", "master user", admin = "CREATE FUNCTION w() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION w()" },
  { "event-triggers", "error", 1, "watch", "^DROP EVENT TRIGGER watch;", admin = "CREATE FUNCTION w() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION w()",
    to = EMPTY },
  { "tables-without-key", "info", 1, "public.k", "^ALTER TABLE public.k REPLICA IDENTITY FULL;", own = "CREATE TABLE k (v int); CREATE TABLE fine (id int UNIQUE)" },
  { "unlogged-tables", "info", 1, 'public."U"', '^ALTER TABLE public."U" SET LOGGED;', own = 'CREATE UNLOGGED TABLE "U" (id int PRIMARY KEY)' },
  { "generated-columns", "info", 1, "public.g.twice", "ALTER COLUMN twice DROP EXPRESSION;", own = "CREATE TABLE g (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)" },
  { "sequences-near-end", "warning", "93 %%", "public.s_id_seq", "^ALTER SEQUENCE public.s_id_seq AS bigint MAXVALUE 9223372036854775807; ALTER TABLE public.s ALTER COLUMN id TYPE bigint;$", own = "CREATE TABLE s (id serial PRIMARY KEY); SELECT setval('s_id_seq', 2000000000)" },
  { "sequences-near-end", "warning", "92 %%", "public.q", "ALTER COLUMN id TYPE bigint;$", own = [[CREATE TABLE s (id smallint PRIMARY KEY); CREATE SEQUENCE q OWNED BY s.id; SELECT setval('q', 30000)]] },
  { "sequences-near-end", "warning", "100 %%", "public.alone", "^ALTER SEQUENCE public.alone AS bigint MAXVALUE 9223372036854775807;$", own = "CREATE SEQUENCE alone AS int; SELECT setval('alone', 2147483647)" },
  { "invalid-indexes", "warning", 1, "public.broken", "^REINDEX INDEX CONCURRENTLY public.broken;", own = "CREATE INDEX broken ON t (v)", admin = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass" },
  { "constraints-not-valid", "info", 1, "short on public.t", "^ALTER TABLE public.t VALIDATE CONSTRAINT short;", own = "ALTER TABLE t ADD CONSTRAINT short CHECK (length(v) < 3) NOT VALID" },
  { "rules", "info", 1, "public.t", "^DROP RULE twice ON public.t;", own = "CREATE RULE twice AS ON INSERT TO t DO ALSO NOTHING" },
  { "collation-versions", "warning", 1, "public.german", "^REINDEX TABLE public.t; ALTER COLLATION public.german REFRESH VERSION;", own = "CREATE COLLATION german (provider = icu, locale = 'de'); ALTER TABLE t ADD w varchar(9) COLLATE german",
    admin = "UPDATE pg_collation SET collversion = '1.0' WHERE collname = 'german'" },
  { "collations-missing", "error", 1, "odd_case", "CREATE COLLATION pg_catalog.\"odd_case\"", admin = "CREATE COLLATION pg_catalog.odd_case FROM \"C\"; ALTER TABLE t ADD w varchar(9) COLLATE odd_case", to = EMPTY },
  { "large-objects", "info", 2, nil, "lo_unlink", own = "SELECT lo_from_bytea(0, 'x'), lo_from_bytea(0, 'y')" },
  { "row-security", "error", 1, "public.t", "^ALTER TABLE public.t NO FORCE ROW LEVEL SECURITY;", own = "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY" },
  { "invalid-encoding", "error", 1, "public.t.v", "^UPDATE public.t SET v = .* WHERE ctid = '%(%d+,%d+%)';", ascii = true, o = { deep = true }, also = { "encoding" },
    own = "INSERT INTO t SELECT i, 'fine' FROM generate_series(1, 2000) i; UPDATE t SET v = E'caf\\xe9' WHERE id = 1000" },
  { "disk-space", "warning", nil, nil, "%-%-allocated%-storage 20 ", o = { space = 9000000 } },
  { "disk-space", "error", nil, nil, "aws rds modify%-db%-instance", o = { space = 1000000 } },
  { "estimated-time", "warning", "^%d+ h", nil, "target's region", o = { rate = 1000 } },

  -- What only a task of DMS minds.
  { "large-objects", "error", 1, nil, "pg.copy", o = { mover = "full-load" }, own = "SELECT lo_from_bytea(0, 'x')" },
  { "idle-timeout", "warning", 60000, nil, "^ALTER ROLE owner SET idle_in_transaction_session_timeout = 0;", o = { mover = "full-load" },
    own = "ALTER DATABASE %s SET idle_in_transaction_session_timeout = '1min'", also = { "database-settings" },
    after = "ALTER ROLE owner RESET ALL" },
  { "similar-names", "warning", 2, 'public."Orders"', 'RENAME TO', o = { mover = "full-load" }, own = 'CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE "Orders" (id int PRIMARY KEY)' },
  { "array-without-key", "error", 1, "public.a", "^ALTER TABLE public.a ADD PRIMARY KEY", o = { mover = "full-load" }, own = "CREATE TABLE a (list int[])", also = { "tables-without-key" } },
  { "postgis-columns", "info", 1, "public.t.place", "^CREATE EXTENSION postgis;", o = { mover = "full-load" }, own = "CREATE DOMAIN geometry AS varchar(100); ALTER TABLE t ADD place geometry" },
  { "materialized-views", "warning", 1, "public.m", "^REFRESH MATERIALIZED VIEW public.m;", o = { mover = "full-load" }, own = "CREATE MATERIALIZED VIEW m AS SELECT id FROM t", fix = false },
  { "secondary-objects", "warning", 2, "public.by_v", "%-%-section=post%-data", o = { mover = "full-load" }, own = "CREATE INDEX by_v ON t (v); ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0)" },
  { "infinite-values", "warning", 1, "public.n.x", "^SELECT count%(%*%) FROM public.n WHERE x::text IN", o = { mover = "full-load" }, own = "CREATE TABLE n (id int PRIMARY KEY, x numeric); INSERT INTO n SELECT i, 'NaN' FROM generate_series(1, 9) i; ANALYZE n", fix = false },
  { "lob-size", "warning", 1, "public.t.body", "deep = true", o = { mover = "full-load" }, own = "ALTER TABLE t ADD body text" },
  { "lob-size", "error", 100000, "public.t.body", '"LobMaxSize": 98', o = { mover = "full-load", deep = true, task = { TargetMetadata = { LobMaxSize = 64 } } },
    own = "ALTER TABLE t ADD body text; INSERT INTO t (body) VALUES (repeat('x', 100000))" },
  { "batch-lob", "error", "full", nil, '"LimitedSizeLobMode": true', o = { mover = "full-load", task = { TargetMetadata = { BatchApplyEnabled = true, FullLobMode = true } } } },
  { "validation-key", "warning", 1, "public.k", "^ALTER TABLE public.k ADD PRIMARY KEY", own = "CREATE TABLE k (v int)", o = { mover = "full-load", task = { ValidationSettings = { EnableValidation = true } } }, also = { "tables-without-key" } },
  { "target-foreign-keys", "error", 1, "f_id_fkey on public.f", "^ALTER TABLE public.f DROP CONSTRAINT f_id_fkey;", o = { mover = "full-load" }, target = "CREATE TABLE f (id bigint PRIMARY KEY REFERENCES t)" },
  { "target-indexes", "warning", 1, "public.by_v", "^DROP INDEX public.by_v;", o = { mover = "full-load" }, target = "CREATE INDEX by_v ON t (v)" },
  { "target-generated", "error", 1, "public.g.twice", "DROP EXPRESSION", o = { mover = "full-load" }, target = "CREATE TABLE g (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)" },
  { "batch-no-key", "warning", 1, "public.k", "ADD PRIMARY KEY", o = { mover = "full-load", task = { TargetMetadata = { BatchApplyEnabled = true } } }, target = "CREATE TABLE k (v int)" },
  { "batch-two-keys", "warning", 1, "public.u", "^ALTER TABLE public.u DROP CONSTRAINT u_v_key;$", o = { mover = "full-load", task = { TargetMetadata = { BatchApplyEnabled = true } } },
    target = "CREATE TABLE u (id int PRIMARY KEY, v int UNIQUE)", also = { "target-indexes" } },
  { "key-lob", "error", 1, "public.l.name", "TYPE varchar%(255%);", own = "CREATE TABLE l (name text PRIMARY KEY)", o = { mover = "full-load-and-cdc" },
    also = { "decoding-memory", "lob-size", "pglogical", "replication-right", "wal-level" } },
  { "wal-level", "error", "replica", nil, "^ALTER SYSTEM SET wal_level = 'logical';", fix = false, o = { mover = "full-load-and-cdc" }, also = { "decoding-memory", "pglogical", "replication-right" } },
  { "replication-right", "error", "no", nil, "^ALTER ROLE owner REPLICATION;", o = { mover = "full-load-and-cdc" }, also = { "decoding-memory", "pglogical", "wal-level" } },
}

for _, kind in ipairs { "digits-randomize", "digits-mask", "hash-mask" } do
  local function mapping(column)
    return { rules = { { ["rule-type"] = "transformation", ["rule-action"] = "data-masking-" .. kind,
      ["object-locator"] = { ["schema-name"] = "public", ["table-name"] = "t", ["column-name"] = column } } } }
  end
  CASES[#CASES + 1] = { "masking-" .. kind, "error", 1, "public.t.id", "another|name a column", o = { mover = "full-load", mappings = mapping "id" } }
  CASES[#CASES][5] = "name a column that it fits"
  CASES[#CASES + 1] = { "validation-" .. kind, "error", 1, nil, '"EnableValidation": false', own = "ALTER TABLE t ALTER v TYPE varchar(64)",
    o = { mover = "full-load", mappings = mapping "v", task = { ValidationSettings = { EnableValidation = true } } } }
end
CASES[#CASES + 1] = { "masking-hash-mask", "error", 1, "public.t.v", "name a column that it fits", o = { mover = "full-load", mappings = { rules = { {
  ["rule-action"] = "data-masking-hash-mask", ["object-locator"] = { ["schema-name"] = "public", ["table-name"] = "t", ["column-name"] = "v" } } } } } }

local function agrees(f, case)
  test.equal(f.severity, case[2], f.message)
  if type(case[3]) == "number" then test.equal(f.measured, case[3]) elseif case[3] then test.match(f.measured, case[3]) end
  if case[4] then
    local found = false
    for _, name in ipairs(f.objects) do found = found or name == case[4] or name:find(case[4]) end
    test.truthy(found, case[4] .. " among " .. table.concat(f.objects, ", "))
    test.truthy(f.message:find(f.objects[1], 1, true), "the object in the sentence")
  end
  test.match(f.remedy, case[5])
end

--- A remedy that is plain SQL, without a hole for the reader to fill.
local function is_sql(remedy)
  local sql = remedy:gsub("/%*.-%*/", "")
  return sql:find "^%u%u+ .*;%s*$" and not sql:find("...", 1, true)
end

local WORK = 0
--- A clean database: that of the last case, emptied, where nothing in it is another's.
local function clean_database(case)
  if WORK > 0 and not (case.admin or case.held) then
    run(at("work_" .. WORK), "ROLLBACK; DROP OWNED BY owner CASCADE; " .. CLEAN)
    run(admin "postgres", ("ALTER DATABASE work_%d RESET ALL"):format(WORK))
  else
    WORK = WORK + 1
    make("work_" .. WORK)
  end
  return "work_" .. WORK
end

local function break_it(case, i)
  local name = "case_" .. i
  if case.ascii then
    run(admin "postgres", ("CREATE DATABASE %s OWNER owner ENCODING SQL_ASCII LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"):format(name))
    run(at(name), CLEAN)
  elseif case.admin then
    make(name)
  else
    name = clean_database(case)
  end
  if case.own then run(at(name), (case.own:gsub("%%s", name))) end
  if case.admin then run(admin(name), (case.admin:gsub("%%s", name))) end
  local o = { from = at(name), to = case.to and case.to() }
  if case.target then
    make(("target_%d"):format(i))
    run(at(("target_%d"):format(i)), case.target)
    o.to = at(("target_%d"):format(i))
  end
  for k, v in pairs(case.o or {}) do o[k] = v end
  return o, name
end

local seen = {}
for i, case in ipairs(CASES) do
  local id = case[1]
  seen[id] = (seen[id] or 0) + 1
  T[("%s is found (%d)"):format(id, seen[id])] = function()
    local o, name = break_it(case, i)
    local held <close> = case.held and pg.open(at(name)) or nil
    if held then held:exec(case.held) end
    local by_id, bad = findings(o)
    agrees(by_id[id], case)
    local want = { id, table.unpack(case.also or {}) }
    table.sort(want)
    test.equal(bad, want)
    if case.fix ~= false and is_sql(by_id[id].remedy) then           -- the remedy helps
      run(admin(case.plane and "postgres" or case.target and "target_" .. i or case.fix or name, case.plane), by_id[id].remedy)
      o.only = { id }
      local now
      for _ = 1, held and 200 or 1 do                                -- a session that is ended goes in its own time
        now = findings(o)[id]
        if now.severity == "ok" then break end
        task.sleep(0.05)
      end
      test.equal(now.severity, "ok", by_id[id].remedy)
    end
    if case.after then run(admin(name), case.after) end
  end
end

T["a clean database has nothing against it, whatever moves it"] = function()
  for _, o in ipairs { { mover = "copy", deep = true }, { mover = "full-load", deep = true } } do
    o.from, o.to, o.space = at "clean", at "empty", 1000000000000
    local _, bad, list = findings(o)
    test.equal({ bad, list.errors, list.warnings }, { {}, 0, 0 })
    test.truthy(#list >= 40)
  end
end

T["the rate of the link is measured where none is given"] = function()
  local list = pg.check { from = at "clean" }
  for _, f in ipairs(list) do if f.id == "estimated-time" then test.equal(f.severity, "ok") test.match(f.measured, "^%d+ m?s$") end end
end

T["the worst come first"] = function()
  make "ordered"
  run(at "ordered", "CREATE TABLE k (v int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY; ALTER DATABASE ordered SET jit = off")
  local _, _, list = findings { from = at "ordered" }
  test.equal({ list[1].id, list[2].id, list[3].id, list[4].severity }, { "row-security", "database-settings", "tables-without-key", "ok" })
  test.equal({ list.errors, list.warnings }, { 1, 1 })
end

T["what is left out is not complained of"] = function()
  make "partly"
  run(at "partly", [[CREATE TABLE k (v int); CREATE TABLE old (v int); CREATE SEQUENCE old_s AS int; SELECT setval('old_s', 2147483647);
    CREATE SEQUENCE s AS int; SELECT setval('s', 2000000000)]])
  local by_id = findings { from = at "partly", exclude = { "old*" } }
  test.equal(by_id["tables-without-key"].objects, { "public.k" })
  test.equal({ by_id["sequences-near-end"].objects, by_id["sequences-near-end"].measured }, { { "public.s" }, "93 %" })
  test.equal(findings({ from = at "partly", include = { "old" } })["tables-without-key"].objects, { "public.old" })
end

-- A server that is set up badly for logical replication; each setting is one finding.
local CAPTURE = {
  { "wal-senders", "error", "1 of 1 free", nil, "max_wal_senders = 4;" },
  { "replication-slots", "error", "0 of 1 free", nil, "max_replication_slots = 3;" },
  { "logical-slots", "info", 1, "debezium", "^SELECT pg_drop_replication_slot%('debezium'%);" },
  { "wal-sender-timeout", "error", 5000, nil, "wal_sender_timeout = '60s'" },
  { "slot-wal-size", "warning", 1024, nil, "max_slot_wal_keep_size = %-1" },
  { "decoding-memory", "info", 65536, nil, "logical_decoding_work_mem = '256MB'" },
  { "idle-timeout", "warning", 60000, nil, "^ALTER ROLE owner SET idle_in" },
  { "full-identity", "warning", 1, "public.t", "^ALTER TABLE public.t REPLICA IDENTITY DEFAULT;" },
  { "ddl-trigger", "warning", 1, "awsdms_intercept_ddl", "^ALTER EVENT TRIGGER awsdms_intercept_ddl ENABLE ALWAYS;" },
  { "lock-table", "warning", nil, nil, "max_locks_per_transaction = %d+;", mover = "copy" },
}
T["each setting that change capture does not get along with is found"] = function()
  make("capture", other)
  run(at("capture", other), "ALTER TABLE t REPLICA IDENTITY FULL; DO $$ BEGIN FOR i IN 1..80 LOOP EXECUTE format('CREATE TABLE n%s (id int PRIMARY KEY)', i); END LOOP; END $$")
  run(admin("capture", other), [[CREATE EXTENSION citext; UPDATE pg_extension SET extname = 'pglogical' WHERE extname = 'citext';
    CREATE FUNCTION w() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER awsdms_intercept_ddl ON ddl_command_end EXECUTE FUNCTION w()]])
  run(admin("capture", other), "SELECT pg_create_logical_replication_slot('debezium', 'test_decoding')")
  local cdc = findings { from = at("capture", other), mover = "full-load-and-cdc" }
  local copy = findings { from = at("capture", other) }
  for _, case in ipairs(CAPTURE) do agrees((case.mover == "copy" and copy or cdc)[case[1]], case) end
  test.equal({ cdc["wal-level"].severity, cdc["pglogical"].severity, copy["wal-senders"] }, { "ok", "ok", nil })
  run(admin("capture", other), "SELECT pg_drop_replication_slot('debezium')")
end

T["a vacuum against wraparound is found, due or running"] = function()
  make("old", other)
  run(at("old", other), [[CREATE TABLE v (id int PRIMARY KEY, x varchar(200)) WITH (autovacuum_freeze_max_age = 100000,
      autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
    DO $$ BEGIN FOR i IN 1..110000 LOOP BEGIN INSERT INTO v VALUES (i, 'x'); EXCEPTION WHEN unique_violation THEN NULL; END; END LOOP; END $$]])
  local conn <close> = pg.open(admin("old", other))
  task.within(120, "see the vacuum", function()
    while conn:value "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 'v'::regclass" == 0 do task.sleep(0.05) end
  end)
  agrees(findings({ from = admin("old", other) })["wraparound-vacuum"],
    { "wraparound-vacuum", "warning", 1, "public.v", "^VACUUM %(FREEZE%) public.v; /%* or wait for pid %d+ %*/$" })
end

local function app(config_url, attachments)
  return { name = "shop", config = { DATABASE_URL = config_url }, attachments = attachments }
end
T["the owner of DATABASE_URL is named, and what config:set needs first"] = function()
  local url = ("postgres://owner@127.0.0.1:%d/clean"):format(main.port)
  local addon = { id = "1", name = "postgresql-curved-1" }
  local database, old = { name = "DATABASE", addon = addon }, { name = "HEROKU_POSTGRESQL_PINK", addon = addon }
  local cases = {
    { app(url, { database }), "info", "postgresql-curved-1", "^heroku addons:attach postgresql%-curved%-1 %-%-as HEROKU_POSTGRESQL_OLD %-a shop && heroku addons:detach DATABASE %-a shop" },
    { app(url, { database, old }), "info", "postgresql-curved-1", "^heroku addons:detach DATABASE %-a shop" },
    { app(url, { old }), "info", "set by hand", "^heroku config:set DATABASE_URL" },
    { app("postgres://u:x@elsewhere:5432/d", { database }), "warning", "postgresql-curved-1", "^give the app's own: heroku config:get DATABASE_URL %-a shop" },
    { app(nil, {}), "info", "not set", "^heroku addons:attach ADDON %-%-as DATABASE %-a shop" },
  }
  for _, case in ipairs(cases) do
    local f = findings({ from = url, app = case[1] })["database-url"]
    test.equal({ f.severity, f.measured }, { case[2], case[3] })
    test.match(f.remedy, case[4])
  end
  test.equal(findings({ from = url })["database-url"], nil)
end

local function by_hand(id, c)
  for _, one in ipairs(check.CHECKS) do if one.id == id then return one.run(c) end end
end
T["a pooler and a connection in plain text are told by what the driver knows"] = function()
  local function from(pid, tls) return { value = function() return pid end, info = function() return { pid = 7, tls = tls, version = 150000 } end } end
  local f = by_hand("pooler", { from = from(8) })
  test.equal({ f.severity, f.measured }, { "error", "pooled" })
  test.match(f.remedy, "not DATABASE_CONNECTION_POOL_URL")
  test.equal(by_hand("pooler", { from = from(7) }).severity, "ok")
  f = by_hand("source-tls", { from = from(7), host = "db.example.com" })
  test.equal({ f.severity, f.measured }, { "warning", "plain text" })
  test.match(f.remedy, "sslmode=require")
  test.equal(by_hand("source-tls", { from = from(7, { protocol = "TLSv1.3" }), host = "db.example.com" }).severity, "ok")
  f = by_hand("source-version", { o = { mover = "copy" }, from = { info = function() return { version = 110022 } end } })
  test.equal({ f.severity, f.measured }, { "error", 11 })
end

T["a follower is found"] = function()
  local lab <close> = pg_lab.new { user = "owner", rights = "heroku", database = "clean" }
  lab.plane:stop()
  fs.write(lab.dir .. "/main/data/standby.signal", "")
  lab:restart()
  local f = findings({ from = lab:at "clean" }).follower
  test.equal({ f.severity, f.measured }, { "error", "follower" })
  test.match(f.remedy, "leader")
end

T["other majors: pg_dump, the target and DMS may be too old for them"] = function()
  local newer <close> = pg_lab.new { user = "owner", rights = "heroku", database = "clean", bin = versions.bin(18) }
  run(at("clean", newer), CLEAN)
  local by_id, bad = findings { from = at("clean", newer), to = at "empty" }
  test.equal(bad, { "pg-dump", "target-version" })
  agrees(by_id["pg-dump"], { "pg-dump", "error", 15, nil, "^apt%-get install postgresql%-client%-18$" })
  agrees(by_id["target-version"], { "target-version", "error", 15, nil, "PostgreSQL 18 or later" })
  by_id, bad = findings { from = at("clean", newer), mover = "full-load" }
  test.equal(bad, { "source-version" })
  agrees(by_id["source-version"], { "source-version", "error", 18, nil, "^use pg.copy" })
  local _, none = findings { from = at "clean", to = at("template1", newer) }
  test.equal(none, { "target-rights" })
end

T["a check never writes, and a check that fails is a finding"] = function()
  local conn <close> = pg.open(admin "posix")
  local before = conn:value "SELECT pg_current_xact_id()::text::int8"
  findings { from = at "clean", to = at "empty", deep = true }
  test.equal(conn:value "SELECT pg_current_xact_id()::text::int8", before + 1)
  make "slow"
  run(at "slow", "CREATE TABLE body (id int PRIMARY KEY, v text); INSERT INTO body VALUES (1, 'x')")
  local held <close> = pg.open(at "slow")
  held:exec "BEGIN; LOCK TABLE body"
  local by_id = findings { from = at "slow", deep = true }
  test.equal({ by_id["invalid-encoding"].severity, by_id["invalid-encoding"].measured }, { "warning", "unknown" })
  test.match(by_id["invalid-encoding"].message, "could not be checked: .*lock timeout")
  held:exec "ROLLBACK"
end

return T
