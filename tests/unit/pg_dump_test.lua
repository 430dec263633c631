local catalog = require "pg.catalog"
local dump = require "pg.dump"
local test = require "test"

local T = test.cases()

local function entry(name, kind, sql, schema)
  return ("--\n-- Name: %s; Type: %s; Schema: %s; Owner: -\n--\n\n%s\n\n\n"):format(name, kind, schema or "app", sql)
end
local function text(...)
  return "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\nSET statement_timeout = 0;\n\n" .. table.concat { ... } ..
    "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n"
end

T["a dump is cut into its entries, the header and the end left out"] = function()
  local pre, post = dump.split(text(
    entry("f()", "FUNCTION", "CREATE FUNCTION app.f() AS $$\n--\n-- Name: odd\n--\nSELECT 1; $$;"),
    entry("t", "TABLE", "CREATE TABLE app.t (\n    id integer\n);"),
    entry("t t_pkey", "CONSTRAINT", "ALTER TABLE ONLY app.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);"),
    entry("CONSTRAINT t_pkey ON t", "COMMENT", "COMMENT ON CONSTRAINT t_pkey ON app.t IS 'x';")))
  test.equal({ #pre, #post }, { 2, 2 })
  test.equal(pre[1].sql, "CREATE FUNCTION app.f() AS $$\n--\n-- Name: odd\n--\nSELECT 1; $$;")
  test.equal({ pre[2].name, pre[2].type, pre[2].schema }, { "t", "TABLE", "app" })
  test.equal(post[2].sql, "COMMENT ON CONSTRAINT t_pkey ON app.t IS 'x';")
end

T["the table of an index or a constraint is found, however it is named"] = function()
  local _, post = dump.split(text(
    entry("a", "INDEX", 'CREATE UNIQUE INDEX "odd ON ""app.x"" " ON "My Schema"."Order ""Items""" USING btree (id);'),
    entry("b", "INDEX", "CREATE INDEX b ON ONLY app.events USING btree (kind);"),
    entry("c", "FK CONSTRAINT", 'ALTER TABLE ONLY app.a\n    ADD CONSTRAINT " REFERENCES x.y(" FOREIGN KEY (b) REFERENCES "My Schema".b(id);'),
    entry("d", "CONSTRAINT", "ALTER TABLE app.parted\n    ADD CONSTRAINT d UNIQUE (id);"),
    entry("e", "TRIGGER", "CREATE TRIGGER e AFTER INSERT ON app.a EXECUTE FUNCTION app.f();")))
  test.equal(post[1].table, '"My Schema"."Order ""Items"""')
  test.equal(post[2].table, "app.events")
  test.equal({ post[3].table, post[3].references }, { "app.a", '"My Schema".b' })
  test.equal(post[4].table, "app.parted")
  test.equal(post[5].table, nil)
end

T["the schema of extensions is mapped, its own entries go"] = function()
  local pre = dump.split(text(entry("heroku_ext", "SCHEMA", "CREATE SCHEMA heroku_ext;", "-"),
    entry("citext", "EXTENSION", "CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA heroku_ext;", "-"),
    entry("t", "TABLE", "CREATE TABLE app.t (\n    a heroku_ext.citext,\n    b app.my_heroku_ext.x\n);")))
  local mapped = dump.map_schemas(pre, { heroku_ext = "public" })
  test.equal(#mapped, 2)
  test.equal(mapped[1].sql, "CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;")
  test.match(mapped[2].sql, "a public%.citext,\n    b app%.my_heroku_ext%.x")
end

T["patterns of table names"] = function()
  test.equal(catalog.matches("public.orders", { "orders" }), true)
  test.equal(catalog.matches("app.orders", { "orders" }), false)
  test.equal(catalog.matches("app.orders", { "app.*" }), true)
  test.equal(catalog.matches("app.orders_2024", { "app.orders_*" }), true)
  test.equal(catalog.matches("app.a-b", { "app.a-b" }), true)
  test.equal(catalog.matches("appXorders", { "app.orders" }), false)
  test.equal(catalog.matches("app.orders", nil), false)
end

return T
