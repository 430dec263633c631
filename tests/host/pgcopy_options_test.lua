-- luacheck: no max line length (SQL)
--- What may be asked of a copy: whose it is, which tables and rows, how they look, how much it may take.
package.path = "tests/support/?.lua;" .. package.path
local mask = require "pg.copy.mask"
local pg = require "pg"
local pg_lab = require "pg_lab"
local task = require "task"
local test = require "test"

local T = test.cases()

local source = pg_lab.start { user = "owner", rights = "heroku" }
local target = pg_lab.start { user = "new_owner", rights = "rds" }

local function copy(from, to, o)
  o = o or {}
  o.from, o.to, o.progress = source:at(from), target:at(to), false
  return pg.copy(o)
end

source:sql(source:admin(), [[CREATE ROLE app_rw; CREATE ROLE app_ro; CREATE ROLE old_only; CREATE ROLE "odd role"; GRANT app_rw TO owner]])
target:sql(target:admin(), [[CREATE ROLE app_rw; CREATE ROLE app_ro; CREATE ROLE renamed; CREATE ROLE "odd role"; GRANT app_rw TO new_owner]])

source:fresh("shop")
source:sql(source:admin("shop"), [[SET ROLE owner; CREATE SCHEMA app;
  CREATE TABLE app.people (id serial PRIMARY KEY, email text NOT NULL, note text, born date, tags text[]);
  INSERT INTO app.people (email, note, born, tags) SELECT 'p' || g || '@x.org', CASE WHEN g % 3 = 0 THEN NULL ELSE E'a\tb\\c\n' || g END, '2000-01-01',
    ARRAY['a', 'b'] FROM generate_series(1, 300) g;
  CREATE TABLE app.orders (id int PRIMARY KEY, person int REFERENCES app.people);
  INSERT INTO app.orders SELECT g, g FROM generate_series(1, 100) g;
  CREATE TABLE app.tags (id smallserial PRIMARY KEY, name text);
  CREATE TABLE app.plain (v int);
  INSERT INTO app.plain SELECT generate_series(1, 50);
  GRANT USAGE ON SCHEMA app TO app_rw, app_ro;
  GRANT SELECT ON app.people TO app_ro; GRANT SELECT (email) ON app.people TO old_only; GRANT ALL ON app.orders TO app_rw WITH GRANT OPTION;
  GRANT SELECT ON app.plain TO "odd role", PUBLIC;
  ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO app_ro;
  ALTER TABLE app.people ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON app.people FOR SELECT TO app_ro USING (id > 0);
  SELECT lo_create(90001); GRANT SELECT ON LARGE OBJECT 90001 TO app_ro; COMMENT ON LARGE OBJECT 90001 IS 'it''s one';
  RESET ROLE; ALTER TABLE app.tags OWNER TO app_rw]])

T["owners and grants come along for the roles that the target has; the rest is said"] = function()
  target:fresh("t1")
  local r = copy("shop", "t1")
  local to = "t1"
  test.equal(target:value(to, "SELECT string_agg(relname || ' ' || pg_get_userbyid(relowner), ', ' ORDER BY relname) FROM pg_class WHERE relkind IN ('r', 'S') AND relnamespace = 'app'::regnamespace"),
    "orders new_owner, people new_owner, people_id_seq new_owner, plain new_owner, tags app_rw, tags_id_seq app_rw")
  test.equal(target:value(to, "SELECT relacl::text FROM pg_class WHERE relname = 'people'"), "{new_owner=arwdDxt/new_owner,app_ro=r/new_owner}")
  test.equal(target:value(to, "SELECT relacl::text FROM pg_class WHERE relname = 'orders'"), "{new_owner=arwdDxt/new_owner,app_rw=a*r*w*d*D*x*t*/new_owner}")
  test.equal(target:value(to, "SELECT relacl::text FROM pg_class WHERE relname = 'plain'"), [[{new_owner=arwdDxt/new_owner,"\"odd role\"=r/new_owner",=r/new_owner}]])
  test.equal(target:value(to, "SELECT nspacl::text FROM pg_namespace WHERE nspname = 'app'"), "{new_owner=UC/new_owner,app_rw=U/new_owner,app_ro=U/new_owner}")
  test.equal(target:value(to, "SELECT defaclacl::text || pg_get_userbyid(defaclrole) FROM pg_default_acl"), "{app_ro=r/new_owner}new_owner")
  test.equal(target:value(to, "SELECT lomacl::text || obj_description(oid, 'pg_largeobject') FROM pg_largeobject_metadata"), "{new_owner=rw/new_owner,app_ro=r/new_owner}it's one")
  test.equal(r.notes, { "1 grants to the role old_only are left out: the target has no such role" })
end

T["roles may be called something else in the target, or be left out altogether"] = function()
  target:fresh("t1")
  copy("shop", "t1", { roles = { app_ro = "renamed", old_only = "app_ro" } })
  local to = "t1"
  test.equal(target:value(to, "SELECT relacl::text FROM pg_class WHERE relname = 'people'"), "{new_owner=arwdDxt/new_owner,renamed=r/new_owner}")
  test.equal(target:value(to, "SELECT polroles::regrole[]::text FROM pg_policy"), "{renamed}")
  target:fresh("t1")
  copy("shop", "t1", { owners = false, privileges = false })
  test.equal(target:value(to, "SELECT count(*) FROM pg_class WHERE relnamespace = 'app'::regnamespace AND (relacl IS NOT NULL OR pg_get_userbyid(relowner) <> 'new_owner')"), 0)
end

T["settings of the database and of roles in it come along; what may not be set is said"] = function()
  source:fresh "settled"
  source:sql(source:admin "settled", [[CREATE SCHEMA heroku_ext; ALTER DATABASE settled SET search_path = "$user", public, heroku_ext, "Odd, one";
    ALTER DATABASE settled SET work_mem = '5MB'; ALTER DATABASE settled SET app.motto = 'mine'; ALTER DATABASE settled SET DateStyle = 'SQL, DMY';
    ALTER DATABASE settled SET log_min_error_statement = 'fatal'; ALTER DATABASE settled SET default_transaction_read_only = on;
    ALTER ROLE owner IN DATABASE settled SET statement_timeout = '55s'; ALTER ROLE app_ro IN DATABASE settled SET lock_timeout = '7s';
    ALTER ROLE old_only IN DATABASE settled SET lock_timeout = '8s'; ALTER ROLE owner SET idle_session_timeout = '1h']])
  test.defer(function() source:sql(source:admin(), "ALTER ROLE owner RESET idle_session_timeout") end)
  target:fresh "t8"
  local r = copy("settled", "t8", { roles = { app_ro = "renamed" } })
  test.equal(r.notes, { "1 settings in the database of the role old_only are left out: the target has no such role",
    'the setting app.motto of the database is left out: permission denied to set parameter "app.motto"',
    'the setting log_min_error_statement of the database is left out: permission denied to set parameter "log_min_error_statement"' })
  local of = "SELECT array_agg(c ORDER BY c) FROM pg_db_role_setting s, unnest(setconfig) c WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = 't8') AND "
  test.equal(target:value("t8", of .. "setrole = 0"), { "DateStyle=SQL, DMY", 'search_path="$user", public, "Odd, one"', "work_mem=5MB" })
  test.equal(target:value("t8", of .. "setrole <> 0"), { "lock_timeout=7s", "statement_timeout=55s" })
  test.equal(target:value("t8", "SELECT setrole::regrole::text FROM pg_db_role_setting WHERE 'lock_timeout=7s' = ANY (setconfig)"), "renamed")
  target:fresh "t8"
  copy("settled", "t8", { settings = false })
  test.equal(target:value("t8", "SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = 't8')"), 0)
end

T["only the tables that are named, without those that are left out"] = function()
  target:fresh("t2")
  local r = copy("shop", "t2", { include = { "app.people", "app.p*" }, exclude_data = { "app.plain" } })
  test.equal({ #r.tables, r.tables[1].rows, r.tables[2].rows }, { 2, 300, 0 })
  test.equal(target:value("t2", "SELECT to_regclass('app.orders')::text"), nil)
  test.equal(target:value("t2", "SELECT count(*) FROM app.plain"), 0)
end

T["tables that somebody else fills are made first, get their indexes and keys when they are filled, and all else at the end"] = function()
  target:fresh("t9")
  local others = { "app.people", "app.orders", "app.tags" }
  local function step(stop_after) return copy("shop", "t9", { exclude_data = others, stop_after = stop_after }) end
  local function found()
    return { target:value("t9", "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'app'::regnamespace"),
      target:value("t9", "SELECT coalesce(string_agg(conname, ' ' ORDER BY conname), '') FROM pg_constraint WHERE connamespace = 'app'::regnamespace"),
      target:value("t9", "SELECT count(*) FROM pg_policy"), target:value("t9", "SELECT count(*) FROM app.plain") }
  end
  step "tables"
  test.equal(found(), { 4, "", 0, 0 })
  step "tables"                                      -- again, as after a kill
  test.equal(found(), { 4, "", 0, 0 })
  test.raises("holds what an earlier copy left", copy, "shop", "t9", { exclude_data = { "app.people" } })
  for _, name in ipairs(others) do
    local from <close> = pg.open(source:at "shop")
    local to <close> = pg.open(target:at "t9")
    to:copy_in(("COPY %s FROM STDIN"):format(name), from:copy_out(("COPY %s TO STDOUT"):format(name)))
  end
  step "keys"
  test.equal(found(), { 4, "orders_pkey people_pkey tags_pkey", 0, 0 })
  test.truthy(target:value("t9", "SELECT count(*) > 0 FROM pg_stats WHERE tablename = 'people'"), "statistics")
  local r = step()
  test.equal(found(), { 4, "orders_person_fkey orders_pkey people_pkey tags_pkey", 1, 50 })
  test.equal(#r.tables, 4)
  test.equal(target:value("t9", "SELECT to_regnamespace('hkrun_copy')::text"), nil)
  pg.same { source:at "shop", target:at "t9", progress = false, tolerate = { "role", "owner", "grants" } }
end

T["rows are chosen by a condition and changed by functions, with nothing lost on the way"] = function()
  target:fresh("t3")
  local seen = 0
  copy("shop", "t3", { tables = {
    ["app.people"] = { where = "id <= 200", row = function(row)
      seen = seen + 1
      return tonumber(row.id) % 2 == 0 and row or nil
    end, columns = { email = function(v, row) return "hidden" .. row.id .. v:match "@.*" end } },
    ["app.orders"] = { where = "id % 2 = 0" } } })
  local to = "t3"
  test.equal(seen, 200)
  test.equal(target:value(to, "SELECT count(*) FROM app.people"), 100)
  test.equal(target:value(to, "SELECT count(*) FROM app.orders"), 50)
  test.equal(target:value(to, "SELECT email || '|' || note FROM app.people WHERE id = 4"), "hidden4@x.org|a\tb\\c\n4")
  test.equal(target:value(to, "SELECT count(*) FROM app.people WHERE note IS NULL AND tags = '{a,b}'"), 33)
  test.raises("no such table", copy, "shop", "t3", { reset = true, tables = { ["app.nobody"] = { where = "true" } } })
  test.raises("has no column mail", copy, "shop", "t3", { reset = true, tables = { ["app.people"] = { columns = { mail = print } } } })
end

T["each character that COPY escapes passes through a function and back"] = function()
  local t = { plain = "t", functions = { a = function(v) return v end }, row = function(row) return row end }
  local line = "\\b\\f\\n\\r\\t\\v\\\\\t\\N\tx\\\\N"
  test.equal(mask.changed(line, t, { "a", "b", "c" }, { a = 1, b = 2, c = 3 }), line)
  t = { plain = "t", functions = { a = function() return nil end, b = function() return 1.5 end, c = function() return true end } }
  test.equal(mask.changed("1\t2\t3", t, { "a", "b", "c" }, { a = 1, b = 2, c = 3 }), "\\N\t1.5\tt")
  t.functions.a = function() return {} end
  test.raises("t.a is a table", mask.changed, "1\t2\t3", t, { "a", "b", "c" }, { a = 1, b = 2, c = 3 })
end

T["what fails of one table does not keep the others away, and the same call later copies the rest"] = function()
  target:fresh("t4")
  source:sql(source:admin("shop"), "ALTER TABLE app.plain OWNER TO hkrun_admin; REVOKE ALL ON app.plain FROM owner, PUBLIC")
  test.defer(function() source:sql(source:admin("shop"), 'ALTER TABLE app.plain OWNER TO owner; GRANT SELECT ON app.plain TO PUBLIC') end)
  local e = test.raises("", copy, "shop", "t4", { tables = { ["app.orders"] = { columns = { id = function() error "broken" end } } } })
  test.match(e.message, "permission denied for table plain")      -- pg_dump says so before anything is made
  source:sql(source:admin("shop"), "GRANT SELECT ON app.plain TO owner")
  local o = { tables = { ["app.orders"] = { columns = { id = function() error "broken" end } } } }
  e = test.raises("table app.orders: .*broken", copy, "shop", "t4", o)
  test.equal({ #e.failed, e.failed[1].table }, { 1, "app.orders" })
  test.equal(target:value("t4", "SELECT count(*) FROM app.people"), 300)
  local r = copy("shop", "t4", { tables = { ["app.orders"] = { columns = { id = function(v) return v end } } } })
  test.equal(r.snapshot.resumed, true)
  test.equal(target:value("t4", "SELECT count(*) FROM app.orders"), 100)
end

T["a copy takes no more connections than it may, and two are enough"] = function()
  target:fresh("t5")
  for _, lab in ipairs { source, target } do
    lab:sql(lab:admin(), ("ALTER ROLE %s CONNECTION LIMIT 2"):format(lab.options.user))
  end
  test.defer(function()
    for _, lab in ipairs { source, target } do lab:sql(lab:admin(), ("ALTER ROLE %s CONNECTION LIMIT -1"):format(lab.options.user)) end
  end)
  copy("shop", "t5", { jobs = 8, connections = 2 })
  test.equal(target:value(target:admin("t5"), "SELECT count(*) FROM app.people"), 300)
  test.raises("2 connections at least", copy, "shop", "t5", { connections = 1 })
end

T["a server that is full is waited for"] = function()
  target:fresh("t6")
  target:sql(target:admin(), "ALTER ROLE new_owner CONNECTION LIMIT 1")
  test.defer(function() target:sql(target:admin(), "ALTER ROLE new_owner CONNECTION LIMIT -1") end)
  local other <close> = pg.open(target:at("t6"))
  local t = task.spawn(copy, "shop", "t6")
  task.sleep(0.7)
  test.equal(target:value(target:admin("t6"), "SELECT to_regnamespace('app')::text"), nil)
  target:sql(target:admin(), "ALTER ROLE new_owner CONNECTION LIMIT 4")
  other:close()
  test.equal(#t:join().tables, 4)
end

T["large objects go in slices, and one snapshot is not needed where none is asked for"] = function()
  source:fresh("objects")
  target:fresh("t7")
  source:sql("objects", [[SELECT lo_from_bytea(80001, decode(repeat(md5('1'), 400000), 'hex')); SELECT lo_from_bytea(80002, '\x00ff'); SELECT lo_create(80003);
    SELECT lo_put(80003, 3000000, '\x01')]])
  local r = copy("objects", "t7", { consistent = false })
  test.equal(r.snapshot.one, false)
  local digest = "SELECT string_agg(oid || md5(lo_get(oid)), ',' ORDER BY oid) FROM pg_largeobject_metadata"
  test.equal(target:value("t7", digest), source:value("objects", digest))
end

return T
