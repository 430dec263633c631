-- luacheck: no max line length (SQL)
--- Values between Lua and PostgreSQL; psql is the judge of both directions.
package.path = "tests/support/?.lua;" .. package.path
local json = require "json"
local pg = require "pg"
local pg_lab = require "pg_lab"
local process = require "process"
local secret = require "secret"
local test = require "test"

local T = test.cases()

local lab = pg_lab.start { database = "app" }

--- What psql says, which formats nothing: one column, one row a line.
local function psql(sql)
  local r = process.run { "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", lab.plane.host, "-p", tostring(lab.plane.port), "-U", "postgres", "app",
    stdin = sql, timeout = 60, env = { PATH = os.getenv "PATH", LANG = "C.UTF-8", PGTZ = "UTC" } }
  test.equal({ r.code, r.stderr }, { 0, "" })
  return r.stdout
end

local null = pg.null
local inf, nan = math.huge, 0 / 0

-- { type, SQL's literal, the value in Lua [, the parameter that makes it, if it is not that value] }
local VALUES = {
  { "int2", "'-32768'", -32768 }, { "int4", "'2147483647'", 2147483647 }, { "int8", "'9223372036854775807'", math.maxinteger },
  { "int8", "'-9223372036854775808'", math.mininteger }, { "int8", "'9007199254740993'", 9007199254740993 }, { "oid", "'4294967295'", 4294967295 },
  { "float8", "'0.1'", 0.1 }, { "float8", "'1e308'", 1e308 }, { "float8", "'5e-324'", 5e-324 }, { "float8", "'-0'", -0.0 },
  { "float8", "'3'", 3.0 }, { "float8", "'0.30000000000000004'", 0.1 + 0.2 }, { "float8", "'NaN'", nan }, { "float8", "'Infinity'", inf },
  { "float8", "'-Infinity'", -inf }, { "float4", "'1.5'", 1.5 }, { "float4", "'16777216'", 16777216.0 },
  { "numeric", "'123456789012345678901234567890.12345'", "123456789012345678901234567890.12345" }, { "numeric", "'1.10'", "1.10" },
  { "numeric", "'NaN'", "NaN" }, { "money", "'12.34'", "$12.34" }, { "bool", "'t'", true }, { "bool", "'f'", false },
  { "text", "''", "" }, { "text", "E'it''s \\\\ \"x\" \\t\\n'", "it's \\ \"x\" \t\n" }, { "text", "'žluťoučký 😀'", "žluťoučký 😀" },
  { "text", "NULL", nil }, { "varchar(5)", "'abc'", "abc" }, { "char(5)", "'ab'", "ab   " }, { '"char"', "'a'", "a" }, { "name", "'n'", "n" },
  { "bytea", "'\\x00ff5c27'", "\0\255\\'", pg.bytea "\0\255\\'" }, { "bytea", "''", "", pg.bytea "" },
  { "date", "'2024-02-29'", "2024-02-29" }, { "time", "'01:02:03.000004'", "01:02:03.000004" }, { "timetz", "'01:02:03+05'", "01:02:03+05" },
  { "timestamp", "'2024-01-02 03:04:05.678901'", "2024-01-02 03:04:05.678901" }, { "timestamptz", "'2024-01-02 03:04:05+02'", "2024-01-02 01:04:05+00" },
  { "timestamp", "'infinity'", "infinity" }, { "interval", "'1 year 2 days 03:04:05.6'", "1 year 2 days 03:04:05.6" },
  { "uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11" }, { "inet", "'10.0.0.0/8'", "10.0.0.0/8" },
  { "bit(3)", "'101'", "101" }, { "xml", "'<a>b</a>'", "<a>b</a>" }, { "point", "'(1,2)'", "(1,2)" },
  { "int4range", "'[1,5)'", "[1,5)" }, { "tstzrange", "'[2024-01-01,)'", '["2024-01-01 00:00:00+00",)' }, { "int8multirange", "'{[1,3),[5,7)}'", "{[1,3),[5,7)}" },
  { "tsvector", "'a:1 b:2'", "'a':1 'b':2" }, { "pg_lsn", "'16/B374D848'", "16/B374D848" },
  { "json", [['{"a":[1,2.5,"x\ty",null,true,{}],"b":{"c":9007199254740993}}']],
    { a = { 1, 2.5, "x\ty", null, true, {} }, b = { c = 9007199254740993 } } },
  { "jsonb", [['[]']], {}, pg.json(json.array {}) }, { "jsonb", [['"text"']], "text", pg.json "text" }, { "jsonb", "'null'", null, pg.json(null) },
  { "jsonb", "'17'", 17, pg.json(17) }, { "jsonb", [['[1, "2"]']], { 1, "2" }, pg.json { 1, "2" } }, { "jsonb", [['{"k": "v"}']], { k = "v" } },
  { "jsonb", [['{"n": 12345678901234567890}']], '{"n": 12345678901234567890}' },           -- no integer of Lua: the text, whole
  { "jsonb", [['[0.1234567890123456789]']], "[0.1234567890123456789]" }, { "json", [['{"a":1,"a":2}']], '{"a":1,"a":2}' },
  { "int4[]", "'{1,NULL,3}'", { 1, null, 3 } }, { "int8[]", "'{}'", {} }, { "float8[]", "'{0.1,NaN,-Infinity}'", { 0.1, nan, -inf } },
  { "bool[]", "'{t,f,NULL}'", { true, false, null } }, { "bytea[]", [['{"\\x00ff",NULL}']], { "\0\255", null }, { pg.bytea "\0\255", null } },
  { "text[]", [['{"a\"b","c\\d","e,f","{g}"," h ","",NULL,"NULL",null}']], { 'a"b', "c\\d", "e,f", "{g}", " h ", "", null, "NULL", null } },
  { "int4[]", "'{{1,2},{3,NULL}}'", { { 1, 2 }, { 3, null } } }, { "int4[]", "'[0:1]={7,8}'", { 7, 8 }, "[0:1]={7,8}" },
  { "text[]", [['{{{a,b},{c,"d}"}},{{e,f},{g,h}}}']], { { { "a", "b" }, { "c", "d}" } }, { { "e", "f" }, { "g", "h" } } } },
  { "numeric[]", "'{1.10,-2}'", { "1.10", "-2" } }, { "timestamptz[]", [['{"2024-01-02 01:04:05+00"}']], { "2024-01-02 01:04:05+00" } },
  { "jsonb[]", [[ARRAY['{"a": [1]}', '"x,y"', NULL, 'null']::jsonb[] ]], { { a = { 1 } }, "x,y", null, null },
    pg.array { pg.json { a = { 1 } }, pg.json "x,y", null, pg.json(null) } },
  { "box[]", "'{(1,1),(0,0);(2,2),(1,1)}'", { "(1,1),(0,0)", "(2,2),(1,1)" }, "{(1,1),(0,0);(2,2),(1,1)}" },
}

local function equal(got, want, what)
  if want ~= want then return test.truthy(got ~= got, what) end
  if type(want) == "table" and type(got) == "table" and json.is_array(got) then
    test.equal(#got, #want, what)
    for i = 1, #want do equal(got[i], want[i], what) end
    return
  end
  test.equal(got, want, what)
  test.equal(math.type(got), math.type(want), what)
  if want == 0 then test.equal(1 / got, 1 / want, what) end
end

T["what psql inserts comes back as Lua's own values, or as exact text"] = function()
  local sql = {}
  for i, v in ipairs(VALUES) do sql[i] = ("CREATE TABLE p%d (v %s); INSERT INTO p%d SELECT %s;"):format(i, v[1], i, v[2]) end
  psql(table.concat(sql, "\n"))
  local conn <close> = lab:open()
  for i, v in ipairs(VALUES) do equal(conn:query(("SELECT v FROM p%d"):format(i))[1].v, v[3], v[1] .. " " .. v[2]) end
end

--- The rows that psql finds different from its own, and how many there are.
local function different(prefix)
  local sql = {}
  for i, v in ipairs(VALUES) do
    sql[i] = ("SELECT '%s: ' || coalesce(x.v::text, 'NULL') FROM %s%d x, p%d p WHERE x.v::text IS DISTINCT FROM p.v::text;"):format(
      v[1], prefix, i, i)
    sql[#VALUES + i] = ("SELECT count(*) FROM %s%d;"):format(prefix, i)
  end
  return psql(table.concat(sql, "\n"))
end

T["what is inserted from Lua psql reads as the same, to the byte"] = function()
  local conn <close> = lab:open()
  for i, v in ipairs(VALUES) do
    conn:exec(("CREATE TABLE h%d (v %s)"):format(i, v[1]))
    local given = v[4]
    if given == nil then given = v[3] end
    conn:query(("INSERT INTO h%d VALUES ($1)"):format(i), given)
  end
  test.equal(different "h", ("1\n"):rep(#VALUES))
end

T["rows of COPY carry the same values"] = function()
  local conn <close> = lab:open()
  for i, v in ipairs(VALUES) do
    conn:exec(("CREATE TABLE c%d (v %s)"):format(i, v[1]))
    local given = v[4]
    if given == nil then given = v[3] end
    test.equal(conn:copy_in(("COPY c%d FROM STDIN"):format(i), { { given, n = 1 } }), 1)
  end
  test.equal(different "c", ("1\n"):rep(#VALUES))
end

T["every array type that the server has by itself is a list"] = function()
  local conn <close> = lab:open()
  local names = conn:query [[SELECT format_type(oid, NULL) AS name FROM pg_type WHERE typcategory = 'A' AND typelem <> 0 AND oid < 10000
    AND typname LIKE '\_%' AND typtype = 'b']]
  test.truthy(names.n > 60)
  for _, row in ipairs(names) do test.equal(type(conn:value(("SELECT '{}'::%s"):format(row.name))), "table", row.name) end
  conn:exec "CREATE TYPE mood AS ENUM ('sad', 'so so')"
  test.equal(conn:value [[SELECT '{sad,"so so"}'::mood[] ]], '{sad,"so so"}')
  test.equal(conn:value [[SELECT '{sad,"so so"}'::mood[]::text[] ]], { "sad", "so so" })
end

T["the settings of a role or a database change nothing in the values"] = function()
  local admin <close> = lab:open()
  admin:exec "ALTER ROLE postgres SET extra_float_digits = -15; ALTER ROLE postgres SET DateStyle = German; ALTER ROLE postgres SET bytea_output = escape"
  test.defer(function()
    local again <close> = lab:open()
    again:exec "ALTER ROLE postgres RESET ALL"
  end)
  local conn <close> = lab:open()
  test.equal(conn:value "SELECT 0.1::float8 + 0.2::float8", 0.1 + 0.2)
  test.equal(conn:value "SELECT '2024-01-02 03:04:05'::timestamp", "2024-01-02 03:04:05")
  test.equal(conn:value [[SELECT '\x00ff'::bytea]], "\0\255")
end

T["a parameter is as wide as Lua's values are"] = function()
  local conn <close> = lab:open()
  local r = conn:query("SELECT $1::text a, $2::text[] b, 3 = ANY($3::int[]) c, $4::jsonb->>'name' d, $5::text IS NULL e, $6::text IS NULL f",
    secret.new "hidden", { "x", null, "y" }, { 1, 2, 3 }, { name = "Ann", tags = { "a" } }, null, nil)[1]
  test.equal({ r.a, r.b, r.c, r.d, r.e, r.f }, { "hidden", { "x", null, "y" }, true, "Ann", true, true })
  test.equal(conn:value("SELECT $1::text IS NULL AND $2::text = 'last'", nil, "last"), true)
  test.equal(conn:value("SELECT $1::text[]", pg.array({ "a", nil, "c" }, 3)), { "a", null, "c" })
  test.equal(conn:value("SELECT encode($1, 'hex')", pg.bytea(secret.new "\0\1")), "0001")
  test.equal(conn:value("SELECT $1::jsonb->>'p'", { p = secret.new "in json" }), "in json")
  test.raises("zero byte", conn.query, conn, "SELECT $1::text", "a\0b")
  test.raises("function", conn.query, conn, "SELECT $1::text", print)
  test.raises("secret cannot stand inside an array", conn.query, conn, "SELECT $1::text[]", { secret.new "x" })
  test.raises("not known yet", conn.query, conn, "SELECT $1::text", require "recipe.unknown".new "the address")
  test.equal(conn:value "SELECT 1", 1)
end

T["a timestamp becomes seconds since 1970, and psql agrees"] = function()
  local conn <close> = lab:open()
  for _, when in ipairs { "1970-01-01 00:00:00+00", "2024-02-29 23:59:59.123456+00", "2000-03-01 00:00:00+05:30", "1969-12-31 23:59:59+00", "0001-01-01 00:00:00+00",
                          "0044-03-15 12:00:00+00 BC", "12024-12-31 00:00:00-08", "1900-03-01", "2100-02-28 12:00:00" } do
    local row = conn:query("SELECT $1::timestamptz AS at, extract(epoch FROM $1::timestamptz)::text AS epoch, to_timestamp($2::float8) = $1::timestamptz AS back",
      when, pg.epoch(when))[1]
    test.equal(pg.epoch(row.at), tonumber(row.epoch), when)
    test.equal(row.back, true, when)
  end
  test.equal(math.type(pg.epoch "2024-01-02 03:04:05+00"), "integer")
  test.equal({ pg.epoch "infinity", pg.epoch "-infinity" }, { inf, -inf })
  test.raises("not a date", pg.epoch, "yesterday")
  test.raises("not a date", pg.epoch, "2024-01-02 at noon")
end

return T
