--- pg.same finds each of more than two hundred corruptions by name, and says nothing else.
---
--- The source is the realistic one at a hundredth of its size, with the rarer objects of pg/more.sql. A copy of it gets as many
--- corruptions at once as touch different objects, and is compared as a whole: each corruption must have its sentence, and
--- there must be no sentence without a corruption.
-- luacheck: no max line length (SQL)
package.path = "tests/support/?.lua;" .. package.path
local fs = require "fs"
local pg = require "pg"
local pg_lab = require "pg_lab"
local source = require "pg_source"
local test = require "test"

local T = test.cases()

local lab = pg_lab.start { settings = { shared_buffers = "64MB", max_wal_size = "4GB", autovacuum = "off" } }

local function at(database) return lab:admin(database) end
local function exec(database, sql) lab:sql(at(database), sql) end
local function same(o)
  o.a, o.b, o.quiet, o.progress = at "a", at "b", true, false
  return pg.same(o)
end

-- What CREATE DATABASE does not take over from its template.
local OWN = [[ALTER DATABASE NAME SET work_mem = '5MB'; ALTER DATABASE NAME CONNECTION LIMIT 50; GRANT TEMPORARY ON DATABASE NAME TO app_rw;
  COMMENT ON DATABASE NAME IS 'the app''s'; ALTER ROLE app_ro IN DATABASE NAME SET statement_timeout = '5s'; ALTER DATABASE NAME OWNER TO app_rw]]
local function clone(name, template)
  exec("postgres", ("DROP DATABASE IF EXISTS %s WITH (FORCE)"):format(name))
  exec("postgres", ("CREATE DATABASE %s TEMPLATE %s STRATEGY file_copy"):format(name, template))
  exec("postgres", (OWN:gsub("NAME", name)))
end

-- ---- the corruptions: what it is, what it touches, how it is done, what is said of it ----

local CASES = {}
local function case(what, on, sql, expected) CASES[#CASES + 1] = { what = what, on = on, sql = sql, expected = expected } end
local function literally(s) return (s:gsub("%W", "%%%0")) end

-- One value for another, in a table of its own: type, before, after.
local VALUES = {
  { "text", "'alpha beta'", "'alpha betb'" }, { "text", "''", "NULL" }, { "text", "NULL", "''" }, { "text", "'a'", "'a '" }, { "text", "'A'", "'a'" },
  { "text", "U&'\\00e9'", "U&'e\\0301'" }, { "text", "E'a\\tb'", "'a    b'" }, { "text", "E'\\\\N'", "NULL" }, { "text", "E'a\\nb'", "E'a\\r\\nb'" },
  { "text", "repeat('x', 100000)", "overlay(repeat('x', 100000) placing 'y' from 77777 for 1)" }, { "text", "'NULL'", "NULL" },
  { "citext", "'Mail'", "'mail'" }, { "varchar(9)", "'abc'", "'abd'" }, { "char(5)", "'ab'", "'ac'" }, { "bpchar", "'ab'", "'ab '" }, { "name", "'n'", "'m'" },
  { 'text COLLATE more.nocase', "'Word'", "'word'" },
  { "bytea", "'\\x00ff5c0a'", "'\\x00ff5c0b'" }, { "bytea", "'\\x00'", "'\\x0000'" }, { "bytea", "''", "NULL" },
  { "bytea", "decode(repeat('ab', 50000), 'hex')", "set_bit(decode(repeat('ab', 50000), 'hex'), 300001, 0)" },
  { "float8", "'0'", "'-0'" }, { "float8", "'-0'", "'0'" }, { "float8", "'NaN'", "'Infinity'" }, { "float8", "0.1", "0.1::float8 + 1.4e-17" }, { "float8", "NULL", "'NaN'" },
  { "float8", "'Infinity'", "'-Infinity'" }, { "float4", "'0'", "'-0'" }, { "float4", "1.1", "1.1000001" },
  { "numeric", "1.0", "1.00" }, { "numeric", "-5", "5" }, { "numeric", "'NaN'", "0" }, { "numeric", "1e20", "1e20 + 1" }, { "numeric(10,2)", "NULL", "0" },
  { "int2", "1", "2" }, { "int4", "-1", "1" }, { "int4", "NULL", "0" }, { "int8", "1", "2" }, { "int8", "0", "4294967297" }, { "int8", "-1", "0" }, { "int8", "NULL", "0" },
  { "bool", "true", "false" }, { "bool", "false", "NULL" }, { "uuid", "md5('1')::uuid", "md5('2')::uuid" }, { "date", "'infinity'", "'2024-01-01'" },
  { "date", "'0044-03-15 BC'", "'0044-03-15'" }, { "timestamp", "'2024-01-01'", "'2024-01-01 00:00:00.000001'" }, { "timestamptz", "'infinity'", "'-infinity'" },
  { "timestamptz", "'2024-01-01 00:00:00+00'", "timestamptz '2024-01-01 00:00:00+00' + interval '4294.967297 s'" }, { "time", "'12:00'", "'12:00:00.1'" },
  { "timetz", "'12:00+05:30'", "'06:30+00'" }, { "interval", "'1 day'", "'24 hours'" }, { "interval", "'1 mon'", "'30 days'" }, { "money", "1.10", "1.11" },
  { "json", "'{\"a\":1}'", "'{\"a\": 1}'" }, { "jsonb", "'{\"a\": 5}'", "'{\"a\": -5}'" }, { "jsonb", "'{\"a\": 1.0}'", "'{\"a\": 1.00}'" }, { "jsonb", "'null'", "NULL" },
  { "text[]", "'{a,NULL}'", "'{a,\"NULL\"}'" }, { "text[]", "'{}'", "NULL" }, { "int[]", "'{1,2}'", "'[0:1]={1,2}'" }, { "float8[]", "'{0}'", "'{-0}'" }, { "int4range", "'[1,5)'", "'[1,6)'" },
  { "int4range", "'empty'", "NULL" }, { "more.span", "'[0,1)'", "'[-0,1)'" }, { "inet", "'10.0.0.1'", "'10.0.0.1/24'" }, { "cidr", "'10.0.0.0/8'", "'10.0.0.0/9'" },
  { "macaddr", "'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'" }, { "bit(4)", "B'1011'", "B'1010'" }, { "varbit", "B'1'", "B'10'" }, { "point", "'(0,1)'", "'(-0,1)'" },
  { "circle", "'<(0,0),1>'", "'<(0,0),2>'" }, { "xml", "'<a/>'", "'<a></a>'" }, { "tsvector", "'a:1'", "'a:2'" }, { "hstore", "'a=>NULL'", "'a=>\"NULL\"'" },
  { "app.role_kind", "'admin'", "'guest'" }, { "app.address", "ROW('a', NULL, '')", "ROW('a', '', NULL)" }, { "app.price_range", "'[1.0,2)'", "'[1.00,2)'" },
  { "more.score", "1", "2" }, { "app.email", "'A@b'", "'a@b'" }, { "jsonpath", "'$.a'", "'$.b'" }, { "oid", "1", "2" }, { "\"char\"", "'a'", "'b'" },
}
local VALUE_TABLES = { "CREATE SCHEMA odd;" }
for i, v in ipairs(VALUES) do
  local name = ("odd.v%02d"):format(i)
  VALUE_TABLES[#VALUE_TABLES + 1] = ("CREATE TABLE %s (id int PRIMARY KEY, v %s, pad text); INSERT INTO %s SELECT g, CAST(%s AS %s), 'p' || g FROM generate_series(1, 20) g;"):format(name, v[1], name, v[2],
    v[1]:gsub(" COLLATE.*", ""))
  case(("%s for %s in a %s"):format(v[3], v[2], v[1]), name, ("UPDATE %s SET v = CAST(%s AS %s) WHERE id = 7"):format(name, v[3], v[1]:gsub(" COLLATE.*", "")),
    { literally(name .. " has as many rows in both (20), but not the same ones (in id from 1 to 20: id 7 is not the same)") })
end

-- Rows of the realistic tables.
local FIRST = "ctid = (SELECT min(ctid) FROM ONLY %s)"
for name in ("app.users app.team_members app.tasks app.comments app.documents app.events app.sessions app.webhook_deliveries app.notifications app.feature_flags app.cache app.a_side " ..
  "billing.invoices billing.invoice_lines billing.payments billing.ledger_2023 billing.ledger_rest audit.log audit.samples audit.geo audit.child_inh more.keyless more.text_key more.two_keys"):gmatch "%S+" do
  case("a lost row of " .. name, name, ("DELETE FROM ONLY %s WHERE %s"):format(name, FIRST:format(name)), { literally(name) .. " has (%d+) rows in a and %d+ in b" })
end
for name in ("audit.log more.keyless audit.parent_inh app.bookings"):gmatch "%S+" do
  case("a doubled row of " .. name, name, (name == "app.bookings" and "ALTER TABLE app.bookings DROP CONSTRAINT bookings_during_excl; " or "") ..
    ("INSERT INTO %s SELECT * FROM ONLY %s WHERE %s"):format(name, name, FIRST:format(name)),
    { literally(name) .. " has %d+ rows in a and %d+ in b %(in chunk 1 of 1: the row %x+ is there %d times in a, %d in b%)", name == "app.bookings" and "constraint bookings_during_excl on app.bookings is missing in b" or nil,
      name == "app.bookings" and "index app.bookings_during_excl is missing in b" or nil })
end
for _, v in ipairs {
  { "app.users", "full_name = overlay(full_name placing 'Z' from 2 for 1)", "id %d+ is not the same" }, { "app.users", "prefs = prefs || 'theme=>x'", "id %d+ is not the same" },
  { "app.attachments", "content = set_bit(content, 8, 1 - get_bit(content, 8))", "id 1 is not the same" }, { "app.documents", "body = body || ' '", "id %x+%-[%x%-]+ is not the same" },
  { "app.documents", "json_meta = '{\"dup\":2}'", "id %x+%-" }, { "app.events", "ratio = 0.5", "in id from %d+ to %d+: id %d+ is not the same" },
  { "app.events", "payload = payload || '{\"ms\": -1}'", "id %d+ is" }, { "app.tasks", "labels = labels || NULL::text", "id 1 is" }, { "app.projects", "during = NULL", "id 1 is" },
  { "app.sessions", "agent2 = lower(agent2)", "token %x+ is not the same" }, { "audit.log", "detail = '{}'", "the row %x+ is missing in [ab], the row %x+ is missing in" },
  { "\"Mixed Case\".\"Order Items\"", "\"weird\"\"col\" = NULL", '"Id" 1 is not the same' }, { "app.team_members", "since = since + 1", "%(team_id, user_id%) %(%d+, 1000%) is not" },
  { "more.two_keys", "v = NULL", "%(a, b%) %(1, b1%) is not the same" },
} do
  case("another value in " .. v[1] .. ": " .. v[2], v[1]:gsub('"', ""), ("UPDATE ONLY %s SET %s WHERE %s"):format(v[1], v[2], FIRST:format(v[1])),
    { literally((v[1]:gsub('"', ""))) .. " has as many rows in both .*" .. v[3] })
end
-- What leaves a weak sum as it was.
local function exchange(t, columns, one, other)
  return ("UPDATE %s x SET %s = (%s) FROM %s y WHERE x.id IN (%d, %d) AND y.id = %d - x.id"):format(t, columns, "y." .. columns, t, one, other, one + other)
end
for i, column in ipairs { "name", "amount", "org", "at" } do
  case("values of " .. column .. " exchanged between two rows", "more.wide", exchange("more.wide", column, 10 * i, 10 * i + 1), { ("more%%.wide has .*id %d is not the same, id %d is not"):format(10 * i, 10 * i + 1) })
end
case("texts exchanged between two rows", "more.two_keys", "UPDATE more.two_keys x SET v = y.v FROM more.two_keys y WHERE (x.b, y.b) IN (('b1', 'b2'), ('b2', 'b1'))",
  { "more%.two_keys has as many .*in chunk 1 of 1: %(a, b%) %(1, b1%) is not the same, %(a, b%) %(2, b2%) is not the same" })
case("two columns exchanged in a row", "more.wide", "UPDATE more.wide SET name = code, code = name WHERE id = 2999", { "more%.wide has .*id from %d+ to %d+: id 2999 is" })
case("rows that meet in a key are exchanged", "more.wide", "UPDATE more.wide SET org = -1 WHERE id = 5; UPDATE more.wide SET org = 5 WHERE id = 6", { "more%.wide has .*id 5 is not the same, id 6 is" })
case("columns exchanged in a table without a key", "more.keyless", "UPDATE more.keyless SET b = c, c = b WHERE ctid = '(0,1)'", { "more%.keyless has as many .*the row %x+ is missing in [ab], the row %x+ is missing" })
case("a doubled row for a lost one", "more.keyless", "UPDATE more.keyless x SET (a, b, c) = (SELECT a, b, c FROM more.keyless WHERE ctid = '(0,2)') WHERE ctid = '(0,1)'", { "more%.keyless has as many .*there %d times in a, %d in b" })
case("a row in another partition", "billing.ledger_2024", "ALTER TABLE billing.ledger DETACH PARTITION billing.ledger_2024; UPDATE billing.ledger_2024 SET delta = 0 WHERE ctid = '(0,1)'; ALTER TABLE billing.ledger ATTACH PARTITION billing.ledger_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
  { "billing%.ledger_2024 has as many rows" })
case("a materialized view that was changed", "more.filled", "DROP MATERIALIZED VIEW more.filled; CREATE MATERIALIZED VIEW more.filled AS SELECT id + 1 AS id, region FROM more.parted; CREATE UNIQUE INDEX filled_id ON more.filled (id)",
  { "materialized view more%.filled differs in definition", "more%.filled has as many rows" })

-- Large objects, which are compared as one table.
for _, v in ipairs { { "SELECT lo_put(80001, 1, '\\x02')", "80001 is not" }, { "SELECT lo_put(80002, 4999999, '\\xff')", "80002 is not" }, { "SELECT lo_unlink(80003)", "80003 is missing in b" },
  { "REVOKE SELECT ON LARGE OBJECT 80001 FROM app_ro", "80001 is not" }, { "ALTER LARGE OBJECT 80004 OWNER TO app_rw", "80004 is not" }, { "COMMENT ON LARGE OBJECT 80003 IS NULL", "80003 is not" },
  { "SELECT lo_truncate(lo_open(80002, 131072), 4194304)", "80002 is not" }, { "SELECT lo_from_bytea(80009, '\\x00')", "80009 is missing in a" } } do
  case("large object: " .. v[1], "large objects", v[1], { "large objects has .*oid " .. v[2] })
end

-- The schema: one line a case, what it touches, the statement, the sentence.
local P, ALL = "more.all_properties", "ALTER TABLE more.all_properties "
local function table_case(rest, expected) case(rest, P .. expected, ALL .. rest, { expected }) end
local function on_all(what, sql, ...) case(what, P .. (...):gsub("^comment on ", ""):gsub("^%w+ ", ""):gsub(" .*", ""), sql, { ... }) end
local function column_case(rest, column, expected) case(rest, P .. column, ALL .. rest, { "^column more%.all_properties%." .. column .. " differs in " .. expected }) end
column_case("ALTER v DROP DEFAULT", "v", "default: \"'x'::text\" in a, nothing in b")
column_case("ALTER v SET DEFAULT 'y'", "v", "default")
column_case("ALTER f SET DEFAULT 0.10000000000000001", "f", "default")
column_case("ALTER ts DROP DEFAULT", "ts", "default")
column_case("ALTER ts TYPE timestamptz(4)", "ts", "type")
column_case("ALTER n DROP NOT NULL", "n", "not null")
column_case("ALTER k TYPE numeric(6,1)", "k", "type: \"numeric%(5,1%)\" in a, \"numeric%(6,1%)\" in b")
column_case("ALTER s SET COMPRESSION lz4", "s", "compression")
column_case("ALTER t SET STORAGE EXTERNAL", "t", "storage")
column_case("ALTER t SET STATISTICS 78", "t", "statistics target")
column_case("ALTER n SET (n_distinct = -0.6)", "n", "options")
column_case("ALTER id SET GENERATED ALWAYS", "id", "identity")
column_case("ALTER g DROP EXPRESSION", "g", "generated")
column_case("ALTER u SET DEFAULT 1", "u", "default: nothing in a, \"1\" in b")
table_case("SET (fillfactor = 71)", "^table more%.all_properties differs in options")
table_case("RESET (toast.autovacuum_enabled)", "table more%.all_properties differs in toast options")
table_case("DISABLE ROW LEVEL SECURITY", "table more%.all_properties differs in row security")
table_case("FORCE ROW LEVEL SECURITY", "table more%.all_properties differs in forced row security")
table_case("CLUSTER ON all_properties_pkey", "index more%.all_properties_pkey differs in clustered")
on_all("DISABLE TRIGGER all_touch", ALL .. "DISABLE TRIGGER all_touch", "trigger all_touch on more%.all_properties differs in state: \"enabled\" in a, \"disabled\" in b")
on_all("ENABLE REPLICA TRIGGER all_touch", ALL .. "ENABLE REPLICA TRIGGER all_touch", "trigger all_touch on more%.all_properties differs in state")
on_all("ENABLE ALWAYS TRIGGER all_late", ALL .. "ENABLE ALWAYS TRIGGER all_late", "trigger all_late on more%.all_properties differs in state")
on_all("DISABLE RULE all_rule", ALL .. "DISABLE RULE all_rule", "rule all_rule on more%.all_properties differs in state")
on_all("an owner", "ALTER TABLE more.all_properties OWNER TO app_rw", "table more%.all_properties differs in owner: \"the login role\" in a, \"app_rw\" in b",
  "table more%.all_properties differs in grants", "sequence more%.all_properties_id_seq differs in owner", "sequence more%.all_properties_id_seq differs in grants")
case("unlogged", "more.referring", "ALTER TABLE more.referring DROP CONSTRAINT referring_fk; ALTER TABLE more.all_properties SET UNLOGGED", { "table more%.all_properties differs in persistence",
  "sequence more%.all_properties_id_seq differs in persistence", "constraint referring_fk on more%.referring is missing in b" })
on_all("a replica identity", "ALTER TABLE more.all_properties REPLICA IDENTITY FULL", "table more%.all_properties differs in replica identity", "index more%.all_properties_u differs in replica identity")
on_all("a check", "ALTER TABLE more.all_properties DROP CONSTRAINT v_length", "constraint v_length on more%.all_properties is missing in b")
on_all("a deferred constraint", "ALTER TABLE more.all_properties DROP CONSTRAINT u_once; ALTER TABLE more.all_properties ADD CONSTRAINT u_once UNIQUE (u) DEFERRABLE",
  "constraint u_once on more%.all_properties differs in definition", "constraint u_once on more%.all_properties differs in deferred")
on_all("a column more", "ALTER TABLE more.all_properties ADD COLUMN extra int", "^column more%.all_properties%.extra is missing in a")
on_all("a column grant", "REVOKE SELECT (v) ON more.all_properties FROM app_ro", "column more%.all_properties%.v differs in grants: \"app_ro=SELECT\" in a, nothing in b")
on_all("a grant option", "REVOKE GRANT OPTION FOR UPDATE ON more.all_properties FROM app_rw", "table more%.all_properties differs in grants")
on_all("a grant", "REVOKE UPDATE ON more.all_properties FROM app_rw", "table more%.all_properties differs in grants")
on_all("a grant too many", "GRANT SELECT ON more.all_properties TO PUBLIC", "table more%.all_properties differs in grants")
on_all("a table comment", "COMMENT ON TABLE more.all_properties IS 'has'", "table more%.all_properties differs in comment")
on_all("a column comment", "COMMENT ON COLUMN more.all_properties.v IS NULL", "comment on more%.all_properties%.v is missing in b")
on_all("an index comment", "COMMENT ON INDEX more.all_properties_part IS NULL", "comment on more%.all_properties_part is missing in b")
on_all("a constraint comment", "COMMENT ON CONSTRAINT v_length ON more.all_properties IS NULL", "comment on v_length on more%.all_properties is missing in b")
on_all("a trigger comment", "COMMENT ON TRIGGER all_touch ON more.all_properties IS NULL", "comment on all_touch on more%.all_properties is missing in b")
on_all("a rule comment", "COMMENT ON RULE all_rule ON more.all_properties IS NULL", "comment on all_rule on")
on_all("a policy comment", "COMMENT ON POLICY all_policy ON more.all_properties IS NULL", "comment on all_policy on")
on_all("a lost index", "DROP INDEX more.all_properties_brin", "index more%.all_properties_brin is missing in b")
for what, definition in pairs {
  ["an operator class"] = "(n DESC NULLS LAST, v) INCLUDE (w) WHERE u > 3", ["an included column"] = "(n DESC NULLS LAST, v text_pattern_ops) WHERE u > 3",
  ["a predicate"] = "(n DESC NULLS LAST, v text_pattern_ops) INCLUDE (w) WHERE u > 4", ["an order"] = "(n DESC, v text_pattern_ops) INCLUDE (w) WHERE u > 3",
  ["a fillfactor"] = "(n DESC NULLS LAST, v text_pattern_ops) INCLUDE (w) WITH (fillfactor = 50) WHERE u > 3" } do
  on_all("an index with another: " .. what, "DROP INDEX more.all_properties_part; CREATE INDEX all_properties_part ON more.all_properties " .. definition .. "; COMMENT ON INDEX more.all_properties_part IS 'partial'",
    "index more%.all_properties_part differs in definition")
end
on_all("an index that is not valid", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'more.all_properties_expr'::regclass", "index more%.all_properties_expr differs in valid")
on_all("an index's statistics target", "ALTER INDEX more.all_properties_expr ALTER COLUMN 2 SET STATISTICS 56", "index more%.all_properties_expr differs in statistics target")
on_all("an index's options", "ALTER INDEX more.all_properties_brin SET (pages_per_range = 32)", "index more%.all_properties_brin differs in definition")
on_all("a key's fillfactor", "ALTER INDEX more.all_properties_pkey SET (fillfactor = 81)", "index more%.all_properties_pkey differs in definition")
on_all("a lost trigger", "DROP TRIGGER all_touch ON more.all_properties", "trigger all_touch on more%.all_properties is missing in b")
on_all("a trigger's condition", "DROP TRIGGER all_touch ON more.all_properties; CREATE TRIGGER all_touch BEFORE UPDATE OF v ON more.all_properties FOR EACH ROW EXECUTE FUNCTION more.tell(); COMMENT ON TRIGGER all_touch ON more.all_properties IS 'touches'",
  "trigger all_touch on more%.all_properties differs in definition")
on_all("a lost rule", "DROP RULE all_rule ON more.all_properties", "rule all_rule on more%.all_properties is missing in b")
on_all("a lost policy", "DROP POLICY all_policy ON more.all_properties", "policy all_policy on more%.all_properties is missing in b")
on_all("a policy's role", "ALTER POLICY all_policy ON more.all_properties TO PUBLIC", "policy all_policy on more%.all_properties differs in roles")
on_all("a policy's condition", "ALTER POLICY all_policy ON more.all_properties USING (true)", "policy all_policy on more%.all_properties differs in condition")
on_all("a policy's check", "ALTER POLICY all_policy ON more.all_properties WITH CHECK (true)", "policy all_policy on more%.all_properties differs in check")

for _, v in ipairs {
  { "more.published", "ALTER TABLE more.published ALTER v TYPE text COLLATE \"C\"", "column more%.published%.v differs in collation: nothing in a, \"\\\"C\\\"\" in b" },
  { "app.a_side", "ALTER TABLE app.a_side VALIDATE CONSTRAINT a_b_fk", "constraint a_b_fk on app%.a_side differs in definition", "constraint a_b_fk on app%.a_side differs in validated" },
  { "more.referring", "ALTER TABLE more.referring DROP CONSTRAINT referring_fk", "constraint referring_fk on more%.referring is missing in b" },
  { "more.referring", "ALTER TABLE more.referring DROP CONSTRAINT referring_fk; ALTER TABLE more.referring ADD CONSTRAINT referring_fk FOREIGN KEY (all_id) REFERENCES more.all_properties", "constraint referring_fk on more%.referring differs in definition" },
  { "more.referring", "ALTER TABLE more.referring RENAME all_id TO all_ids", "column more%.referring%.all_id is missing in b", "column more%.referring%.all_ids is missing in a", "constraint referring_fk on more%.referring differs in definition" },
  { "more.referring", "ALTER TABLE more.referring DROP CONSTRAINT referring_fk, DROP COLUMN all_id", "column more%.referring%.all_id is missing in b", "constraint referring_fk on more%.referring is missing in b" },
  { "more.referring", "DROP TABLE more.referring", "^table more%.referring is missing in b" },
  { "new table", "CREATE TABLE more.brand_new (id serial PRIMARY KEY)", "^table more%.brand_new is missing in a", "sequence more%.brand_new_id_seq is missing in a" },
  { "more.child", "ALTER TABLE more.child NO INHERIT more.parent", "table more%.child differs in parents", "column more%.child%.%w+ differs in inheritance", "constraint v_short on more%.child differs in inheritance", many = true },
  { "more.parted", "ALTER TABLE more.parted DETACH PARTITION more.parted_us", "table more%.parted_us differs in partition bound", "table more%.parted_us differs in parents", "index more%.parted_us_id_idx differs in part of", "column more%.parted_us%.%w+ differs in inheritance", many = true },
  { "more.parted", "ALTER TABLE more.parted DETACH PARTITION more.parted_us; ALTER TABLE more.parted ATTACH PARTITION more.parted_us FOR VALUES IN ('us', 'ca')", "table more%.parted_us differs in partition bound" },
  { "app.events", "ALTER TABLE app.events SET WITHOUT CLUSTER", "index app%.events_pkey differs in clustered" },
  { "app.api_keys", "ALTER TABLE app.api_keys DISABLE ROW LEVEL SECURITY", "table app%.api_keys differs in row security" },
  { "app.orgs", "ALTER TABLE app.orgs ENABLE TRIGGER orgs_audit", "trigger orgs_audit on app%.orgs differs in state: \"always\" in a, \"enabled\" in b" },
  { "app.tags", "ALTER TABLE app.tags OWNER TO app_ro", "table app%.tags differs in owner", "table app%.tags differs in grants", "sequence app%.tags_id_seq differs in owner", "sequence app%.tags_id_seq differs in grants" },
  { "app.users", "REVOKE SELECT ON app.users FROM app_ro", "table app%.users differs in grants" },
  { "app.users", "ALTER TABLE app.users ALTER role DROP DEFAULT", "column app%.users%.role differs in default: \"'member'::app.role_kind\" in a, nothing in b" },
  { "more.checked", "ALTER VIEW more.checked SET (security_barrier = false)", "view more%.checked differs in options" },
  { "more.checked", "ALTER VIEW more.checked ALTER id DROP DEFAULT", "column more%.checked%.id differs in default" },
  { "more.checked", "CREATE OR REPLACE VIEW more.checked WITH (security_barrier) AS SELECT id, region FROM more.parted WHERE id > 1 WITH CASCADED CHECK OPTION", "view more%.checked differs in definition" },
  { "more.checked", "REVOKE SELECT ON more.checked FROM app_ro", "view more%.checked differs in grants" },
  { "app.org_load", "DROP VIEW app.org_load", "view app%.org_load is missing in b" },
  { "app.kinds", "REFRESH MATERIALIZED VIEW app.kinds WITH NO DATA", "materialized view app%.kinds differs in populated" },
  { "app.kinds", "DROP INDEX app.kinds_pk", "index app%.kinds_pk is missing in b" },
  { "more.counter", "ALTER SEQUENCE more.counter START 11", "sequence more%.counter differs in start" }, { "more.counter", "ALTER SEQUENCE more.counter INCREMENT 6", "sequence more%.counter differs in increment" },
  { "more.counter", "ALTER SEQUENCE more.counter MINVALUE 4", "sequence more%.counter differs in minimum" }, { "more.counter", "ALTER SEQUENCE more.counter MAXVALUE 5001", "sequence more%.counter differs in maximum" },
  { "more.counter", "ALTER SEQUENCE more.counter CACHE 4", "sequence more%.counter differs in cache" }, { "more.counter", "ALTER SEQUENCE more.counter NO CYCLE", "sequence more%.counter differs in cycle" },
  { "more.counter", "ALTER SEQUENCE more.counter AS bigint", "sequence more%.counter differs in type" }, { "more.counter", "SELECT setval('more.counter', 95)", "sequence more%.counter stands at 100 in a, at 95 in b" },
  { "more.counter", "REVOKE USAGE ON SEQUENCE more.counter FROM app_rw", "sequence more%.counter differs in grants" }, { "more.unused", "SELECT nextval('more.unused')", "sequence more%.unused stands at 1 %(unused%) in a, at 1 in b" },
  { "more.owned", "ALTER SEQUENCE more.owned OWNED BY NONE", "sequence more%.owned differs in owned by" }, { "more.owned", "DROP SEQUENCE more.owned", "sequence more%.owned is missing in b" },
  { "app.users", "SELECT setval('app.users_id_seq', (SELECT max(id) - 1 FROM app.users))", "sequence app%.users_id_seq stands at %d+ in a" }, { "app.tasks", "ALTER SEQUENCE app.tasks_id_seq RESTART", "sequence app%.tasks_id_seq stands at" },
  { "more.cheap", "ALTER FUNCTION more.cheap(int, int) COST 8", "function more%.cheap%(integer,integer%) differs in definition" }, { "more.cheap", "ALTER FUNCTION more.cheap(int, int) PARALLEL UNSAFE", "function more%.cheap.* differs in definition" },
  { "more.cheap", "ALTER FUNCTION more.cheap(int, int) VOLATILE", "function more%.cheap.* differs in definition" }, { "more.cheap", "ALTER FUNCTION more.cheap(int, int) SECURITY DEFINER", "function more%.cheap.* differs in definition" },
  { "more.cheap", "CREATE OR REPLACE FUNCTION more.cheap(a int, b int DEFAULT 2) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 7 AS $$ SELECT a - b $$", "function more%.cheap.* differs in definition" },
  { "more.cheap", "REVOKE EXECUTE ON FUNCTION more.cheap(int, int) FROM app_ro", "function more%.cheap.* differs in grants" }, { "more.cheap", "COMMENT ON FUNCTION more.cheap(int, int) IS NULL", "comment on more%.cheap.* is missing in b" },
  { "more.tell", "ALTER FUNCTION more.tell() RESET search_path", "function more%.tell%(%) differs in definition" }, { "more.tell", "ALTER FUNCTION more.tell() OWNER TO app_rw", "function more%.tell%(%) differs in owner", "function more%.tell%(%) differs in grants" },
  { "app.purge", "DROP PROCEDURE app.purge()", "procedure app%.purge%(%) is missing in b" }, { "app.cat", "CREATE OR REPLACE AGGREGATE app.cat(text) (SFUNC = textcat, STYPE = text, INITCOND = 'x')", "aggregate app%.cat%(text%) differs in definition" },
  { "more.mood", "ALTER TYPE more.mood ADD VALUE 'glad' BEFORE 'happy'", "type more%.mood differs in labels" }, { "more.mood", "ALTER TYPE more.mood RENAME VALUE 'ok' TO 'fine'", "type more%.mood differs in labels" },
  { "more.mood", "REVOKE USAGE ON TYPE more.mood FROM app_ro", "type more%.mood differs in grants" }, { "more.mood", "ALTER TYPE more.mood OWNER TO app_rw", "type more%.mood differs in owner", "type more%.mood differs in grants" },
  { "more.pair", "ALTER TYPE more.pair ADD ATTRIBUTE z int CASCADE", "column more%.pair%.z is missing in a" }, { "more.pair", "COMMENT ON TYPE more.pair IS NULL", "comment on more%.pair is missing in b" },
  { "more.score", "ALTER DOMAIN more.score DROP DEFAULT", "type more%.score differs in default" }, { "more.score", "ALTER DOMAIN more.score DROP CONSTRAINT positive", "constraint positive on more%.score is missing in b" },
  { "more.code", "ALTER DOMAIN more.code DROP NOT NULL", "type more%.code differs in not null" }, { "more.code", "DROP DOMAIN more.code; CREATE DOMAIN more.code AS text NOT NULL", "type more%.code differs in collation" },
  { "more.plain", "DROP COLLATION more.plain; CREATE COLLATION more.plain (locale = 'POSIX')", "collation more%.plain differs in collate", "collation more%.plain differs in ctype" },
  { "more.===", "ALTER OPERATOR more.=== (int, int) SET (RESTRICT = NONE)", "operator more%.===%(integer,integer%) differs in planning" }, { "more.===", "DROP OPERATOR more.=== (int, int)", "operator more%.===%(integer,integer%) is missing in b" },
  { "more.reversed", "DROP OPERATOR CLASS more.reversed USING btree", "operator class more%.reversed for btree is missing in b", "operator family more%.family for btree differs in operators", "operator family more%.family for btree differs in functions" },
  { "cast", "DROP CAST (more.pair AS text)", "cast from more%.pair to text is missing in b" }, { "cast", "DROP CAST (more.pair AS text); CREATE CAST (more.pair AS text) WITH FUNCTION more.pair_text(more.pair) AS IMPLICIT", "cast from more%.pair to text differs in context" },
  { "more.latin", "DROP CONVERSION more.latin", "conversion more%.latin is missing in b" }, { "more.words", "ALTER TEXT SEARCH DICTIONARY more.words (STOPWORDS)", "text search dictionary more%.words differs in options" },
  { "more.search", "ALTER TEXT SEARCH CONFIGURATION more.search DROP MAPPING FOR email", "text search configuration more%.search differs in mappings" },
  { "more.search", "ALTER TEXT SEARCH CONFIGURATION more.search ALTER MAPPING FOR word WITH english_stem", "text search configuration more%.search differs in mappings" },
  { "far", "ALTER SERVER far OPTIONS (SET host 'near')", "server far differs in options" }, { "far", "REVOKE USAGE ON FOREIGN SERVER far FROM app_ro", "server far differs in grants" }, { "plain", "ALTER FOREIGN DATA WRAPPER plain OPTIONS (DROP debug)", "wrapper plain differs in options" },
  { "mapping", "DROP USER MAPPING FOR app_ro SERVER far", "user mapping for app_ro at far is missing in b" }, { "mapping", "ALTER USER MAPPING FOR app_ro SERVER far OPTIONS (DROP password)", "user mapping for app_ro at far differs in options" },
  { "more.remote", "ALTER FOREIGN TABLE more.remote OPTIONS (SET name 's')", "foreign table more%.remote differs in server options" }, { "more.remote", "ALTER FOREIGN TABLE more.remote ALTER id OPTIONS (SET name 'j')", "column more%.remote%.id differs in server options" },
  { "watch", "ALTER EVENT TRIGGER watch DISABLE", "event trigger watch differs in state" }, { "watch", "DROP EVENT TRIGGER watch; CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE SERVER') EXECUTE FUNCTION more.on_ddl()", "event trigger watch differs in tags" },
  { "pub", "ALTER PUBLICATION pub SET (publish = 'insert')", "publication pub differs in changes" }, { "pub", "ALTER PUBLICATION pub ADD TABLE app.tags", "publication pub differs in tables" }, { "pub", "DROP PUBLICATION pub", "publication pub is missing in b" },
  { "stx", "ALTER STATISTICS more.all_stx SET STATISTICS 98", "statistics more%.all_stx differs in statistics target" }, { "stx", "DROP STATISTICS app.events_stx", "statistics app%.events_stx is missing in b" },
  { "defaults", "ALTER DEFAULT PRIVILEGES FOR ROLE app_rw IN SCHEMA more REVOKE SELECT ON TABLES FROM app_ro", "default privileges of app_rw in schema more on tables is missing in b" },
  { "defaults", "ALTER DEFAULT PRIVILEGES FOR ROLE app_rw REVOKE EXECUTE ON FUNCTIONS FROM app_rw", "default privileges of app_rw on functions differs in grants" },
  { "schema", "REVOKE USAGE ON SCHEMA more FROM app_ro", "schema more differs in grants" }, { "schema", "ALTER SCHEMA billing OWNER TO app_rw", "schema billing differs in owner", "schema billing differs in grants" },
  { "schema", "COMMENT ON SCHEMA app IS 'x'", "schema app differs in comment" }, { "schema", "GRANT CREATE ON SCHEMA public TO PUBLIC", "schema public differs in grants" }, { "schema", "CREATE SCHEMA extra", "schema extra is missing in a" },
  { "extension", "ALTER EXTENSION pg_trgm SET SCHEMA billing", "extension pg_trgm differs in schema: \"public\" in a, \"billing\" in b" }, { "extension", "DROP EXTENSION \"uuid-ossp\" CASCADE", "extension \"uuid%-ossp\" is missing in b",
    "column app%.users%.uid differs in default", "column app%.api_keys%.id differs in default" }, { "extension", "CREATE EXTENSION pgcrypto", "extension pgcrypto is missing in a" },
  { "database", "ALTER DATABASE b SET work_mem = '6MB'", "the database differs in settings" }, { "database", "ALTER DATABASE b CONNECTION LIMIT 51", "the database differs in connection limit" },
  { "database", "REVOKE CONNECT ON DATABASE b FROM PUBLIC", "the database differs in grants" }, { "database", "COMMENT ON DATABASE b IS NULL", "comment on the database is missing in b" }, { "database", "ALTER ROLE app_ro IN DATABASE b RESET statement_timeout", "role app_ro in the database is missing in b" },
  { "database", "ALTER DATABASE b OWNER TO app_ro", "the database differs in owner", "the database differs in grants" },
} do
  local expected = { table.unpack(v, 3) }
  case(v[2], v[1], v[2], expected)
  CASES[#CASES].many = v.many
end

-- ---- the source, and how the cases are tried ----

exec("postgres", "CREATE ROLE app_rw; CREATE ROLE app_ro")
exec("postgres", "CREATE DATABASE source TEMPLATE template0")
do
  local conn <close> = pg.open(at "source")
  source.fill(conn, 0.01)
  conn:exec(fs.read "tests/host/pg/more.sql")
  conn:exec(table.concat(VALUE_TABLES, "\n"))
end
clone("a", "source")

T["there are more than two hundred corruptions"] = function() test.truthy(#CASES >= 200, #CASES .. " cases") end

T["a copy that nobody touched has no difference"] = function()
  clone("b", "source")
  local r = same {}
  test.equal(r.differences, {})
  test.equal({ r.equal, #r }, { true, #r })
  test.truthy(#r > 130, #r .. " tables")
end

--- Groups whose cases touch different objects.
local function batches()
  local list = {}
  for _, c in ipairs(CASES) do
    local found
    for _, batch in ipairs(list) do if not batch.on[c.on] then found = batch break end end
    if not found then
      found = { on = {} }
      list[#list + 1] = found
    end
    found.on[c.on] = true
    found[#found + 1] = c
  end
  return list
end

--- Which case a sentence belongs to; complaints about what was not found or not expected.
local function judge(batch, differences)
  local complaints, used = {}, {}
  for _, c in ipairs(batch) do
    for _, pattern in pairs(c.expected) do
      local n = 0
      for i, sentence in ipairs(differences) do
        if sentence:find(pattern) and (n == 0 or c.many) and not used[i] then n, used[i] = n + 1, true end
      end
      if n == 0 then complaints[#complaints + 1] = ("not found: %s (%s)"):format(c.what, pattern) end
    end
  end
  for i, sentence in ipairs(differences) do if not used[i] then complaints[#complaints + 1] = "nobody did: " .. sentence end end
  return table.concat(complaints, "\n")
end

for i, batch in ipairs(batches()) do
  T[("corruptions of group %d, %d of them, are found and named, and nothing else"):format(i, #batch)] = function()
    clone("b", "source")
    local conn <close> = pg.open(at "b")
    conn:exec "SET session_replication_role = replica; SET allow_system_table_mods = on"
    for _, c in ipairs(batch) do
      local ok, e = pcall(conn.exec, conn, c.sql)
      if not ok then error(c.what .. ": " .. tostring(e), 0) end
    end
    conn:close()
    local complaints = judge(batch, same {}.differences)
    if complaints ~= "" then error(complaints, 0) end
  end
end

return T
