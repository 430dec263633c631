local fs = require "fs"
local pg = require "pg"
local postgres = require "rehearsal.planes.postgres"
local secret = require "secret"
local task = require "task"
local test = require "test"
local text = require "text"
local host = require "host.pg"

local T = test.cases()

local dir = fs.tmpdir "hkrun-pg-"
local plane = postgres.start { dir = dir .. "/main", password = secret.new "s3cret/@:%", database = "app" }

local function open(o) return pg.open(plane.url, o) end

T["a value of every type comes back native or as exact text"] = function()
  local conn <close> = open()
  local rows = conn:query [[SELECT 1::int2 a, 2::int4 b, 9223372036854775807::int8 c, 1.5::float4 d, 'NaN'::float8 e,
    '-Infinity'::float8 f, true g, false h, 123456789012345678901234567890.12345::numeric i, NULL::text j, '{"a":1}'::json k,
    '\x00ff5c'::bytea l, 'it''s'::text m, '2024-01-02 03:04:05.678901'::timestamp n, ARRAY[1,NULL,3] o, 'a'::"char" p]]
  local r = rows[1]
  test.equal(rows.n, 1)
  test.equal(math.type(r.a), "integer") test.equal(r.a, 1) test.equal(r.b, 2)
  test.equal(r.c, math.maxinteger) test.equal(math.type(r.c), "integer")
  test.equal(r.d, 1.5) test.equal(r.e ~= r.e, true) test.equal(r.f, -math.huge)
  test.equal(r.g, true) test.equal(r.h, false)
  test.equal(r.i, "123456789012345678901234567890.12345")
  test.equal(r.j, nil) test.equal(r.k, '{"a":1}') test.equal(r.l, "\0\255\\") test.equal(r.m, "it's")
  test.equal(r.n, "2024-01-02 03:04:05.678901") test.equal(r.o, "{1,NULL,3}") test.equal(r.p, "a")
  test.equal(rows.columns[3], "c")
  test.equal(rows:select("a"):count(), 1)
end

T["a value of every Lua type arrives"] = function()
  local conn <close> = open()
  local r = conn:query("SELECT $1::int8 a, $2::float8 b, $3::bool c, $4::text d, $5::bytea e, $6::text[] f, $7::float8 g, $8::text h",
    math.mininteger, 0.1, true, "x'y\\z", pg.bytea "\0\1\255", pg.array { 'a"b', "c\\d", "e,f" }, -math.huge, secret.new "hidden")[1]
  test.equal(r.a, math.mininteger) test.equal(r.b, 0.1) test.equal(r.c, true) test.equal(r.d, "x'y\\z")
  test.equal(r.e, "\0\1\255") test.equal(r.f, [[{"a\"b","c\\d","e,f"}]]) test.equal(r.g, -math.huge)
  test.equal(r.h, "hidden")
  test.equal(conn:value("SELECT $1::text IS NULL AND $2::text = 'last'", nil, "last"), true)
end

T["a parameter that SQL cannot take is refused at the caller"] = function()
  local conn <close> = open()
  test.raises("zero byte", conn.query, conn, "SELECT $1::text", "a\0b")
  test.raises("table", conn.query, conn, "SELECT $1::text", {})
  test.equal(conn:value "SELECT 1", 1)
end

T["an error says statement, code, detail and place, and the connection goes on"] = function()
  local conn <close> = open()
  local e = test.raises("relation \"nowhere\" does not exist", conn.query, conn, "SELECT * FROM nowhere")
  test.equal(e.kind, "remote") test.equal(e.code, "42P01") test.equal(e.position, 15)
  test.equal(e.statement, "SELECT * FROM nowhere")
  conn:exec "CREATE TEMP TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)"
  e = test.raises("duplicate key", conn.query, conn, "INSERT INTO t VALUES (1)")
  test.equal(e.code, "23505") test.match(e.detail, "already exists")
  e = test.raises('invalid input syntax for type integer: "%(secret%)"', conn.query, conn, "SELECT $1::text::int", secret.new "hush-4711")
  test.truthy(not test.show(e):find "4711", "in no field")
  e = test.raises('at or near "%(secret%)"', conn.exec, conn, text("ALTER ROLE app PASSWORD %s", secret.new "hush4711"))
  test.truthy(not test.show(e):find "4711", "in no field")
  e = test.raises("division by zero", conn.exec, conn, "SELECT 1; SELECT 1/0; SELECT 2")
  test.equal(e.code, "22012")
  test.equal(conn:value "SELECT count(*) FROM t", 1)
end

T["in read-only mode the server refuses to write"] = function()
  local readonly = require "readonly"
  readonly.set(true)
  test.defer(function() readonly.set(false) end)
  local conn <close> = open()
  test.equal(conn:value "SELECT 1", 1)
  test.raises("read%-only transaction", conn.exec, conn, "CREATE TABLE never (id int)")
  test.raises("read%-only", pg.copy, {})
end

T["rows stream, and leaving early leaves the connection usable"] = function()
  local conn <close> = open()
  local n, sum = 0, 0
  for row in conn:rows("SELECT g FROM generate_series(1, $1::int) g", 20000) do n, sum = n + 1, sum + row.g end
  test.equal({ n, sum }, { 20000, 200010000 })
  for row in conn:rows "SELECT g, repeat('x', 1000) FROM generate_series(1, 1000000) g" do
    if row.g == 3 then break end
  end
  test.equal(conn:value "SELECT 42", 42)
end

T["a transaction left without commit is rolled back, also a nested one"] = function()
  local conn <close> = open()
  conn:exec "CREATE TEMP TABLE t (v int)"
  do
    local tx <close> = conn:transaction()
    conn:exec "INSERT INTO t VALUES (1)"
    do
      local _ <close> = conn:transaction()
      conn:exec "INSERT INTO t VALUES (2)"
    end
    do
      local inner <close> = conn:transaction()
      conn:exec "INSERT INTO t VALUES (3)"
      inner:commit()
    end
    tx:commit()
  end
  pcall(function()
    local _ <close> = conn:transaction { isolation = "serializable" }
    conn:exec "INSERT INTO t VALUES (4)"
    error "stop"
  end)
  test.equal(conn:value "SELECT array_agg(v ORDER BY v)::text FROM t", "{1,3}")
  local tx = conn:transaction()
  pcall(conn.exec, conn, "SELECT 1/0")
  test.equal(test.raises("rolled back", tx.commit, tx).code, "25P02")
  test.equal(conn.handle:status(), "idle")
end

T["COPY goes in and out, and a failing source undoes it"] = function()
  local conn <close> = open()
  conn:exec "CREATE TEMP TABLE t (a int, b text)"
  test.equal(conn:copy_in("COPY t FROM STDIN", { "1\tone\n2\t", "\\N\n" }), 2)
  local line = ("x"):rep(90)
  local i = 0
  test.equal(conn:copy_in("COPY t FROM STDIN", function() i = i + 1 return i <= 5000 and ("%d\t%s\n"):format(i + 2, line) or nil end), 5000)
  local out = {}
  for bytes in conn:copy_out "COPY (SELECT * FROM t ORDER BY a) TO STDOUT" do out[#out + 1] = bytes end
  local all = table.concat(out)
  test.equal(all:sub(1, 11), "1\tone\n2\t\\N\n")
  test.equal(select(2, all:gsub("\n", "")), 5002)
  test.raises("my own reason", conn.copy_in, conn, "COPY t FROM STDIN", function() error("my own reason", 0) end)
  test.raises("invalid input syntax", conn.copy_in, conn, "COPY t FROM STDIN", "x\ty\n")
  for _ in conn:copy_out "COPY (SELECT repeat('y', 1000) FROM generate_series(1, 100000)) TO STDOUT" do -- luacheck: ignore 512
    break
  end
  test.equal(conn:value "SELECT count(*) FROM t", 5002)
  test.raises("use conn:copy", conn.exec, conn, "COPY t TO STDOUT")
  test.raises("not a COPY FROM", conn.copy_in, conn, "SELECT 1", "")
  test.equal(conn:value "SELECT 1", 1)
end

T["a closed handle answers with an error, not a crash"] = function()
  local conn = open()
  conn:close()
  conn:close()
  test.equal(test.raises("closed", conn.query, conn, "SELECT 1").kind, "closed")
  test.raises("closed", conn.exec, conn, "SELECT 1")
  test.raises("closed", conn.info, conn)
  for _, method in ipairs { "connect", "next", "get", "fd", "info", "cancel", "put_end" } do
    local v, err = conn.handle[method](conn.handle)
    test.equal(v, nil) test.equal(err.kind, "closed")
  end
  test.equal(conn.handle:status(), "closed")
end

T["two statements at once on one connection are refused"] = function()
  local conn <close> = open()
  for _ in conn:rows "SELECT generate_series(1, 3000)" do -- luacheck: ignore 512
    test.raises("still running", conn.query, conn, "SELECT 1")
    break
  end
end

T["a deadline stops the statement on the server"] = function()
  local conn <close> = open { timeout = 0.2 }
  local e = test.raises("no answer within 0.2 s", conn.query, conn, "SELECT pg_sleep(60)")
  test.equal(e.kind, "timeout")
  conn.timeout = 10
  test.equal(conn:value "SELECT 7", 7)
  test.equal(conn:value "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%' AND state = 'active'", 0)
end

T["cancelling the task cancels the statement"] = function()
  local conn <close> = open()
  local t = task.spawn(function() conn:query "SELECT pg_sleep(61)" end)
  task.sleep(0.1)
  t:cancel()
  test.equal(test.raises("cancelled", t.join, t).kind, "cancelled")
  test.equal(conn:value "SELECT 8", 8)
end

T["a session ended by the server is an error of the network"] = function()
  local conn <close> = open()
  local other <close> = open()
  local pid = conn:info().pid
  local t = task.spawn(function() conn:query "SELECT pg_sleep(62)" end)
  task.sleep(0.1)
  other:query("SELECT pg_terminate_backend($1::int)", pid)
  local e = test.raises("terminating connection", t.join, t)
  test.equal(e.kind, "network") test.equal(e.code, "57P01") test.equal(e.retry, true)
  test.equal(test.raises("", conn.query, conn, "SELECT 1").kind, "network")
end

T["refused connections say why"] = function()
  local good = { host = plane.host, port = plane.port, user = "postgres", database = "app" }
  local function with(change)
    local e = {}
    for k, v in pairs(good) do e[k] = v end
    for k, v in pairs(change) do e[k] = v end
    return e
  end
  local e = test.raises("password authentication failed", pg.open, with { password = "wrong" })
  test.equal(e.kind, "auth") test.match(tostring(e), "^cannot connect to database app at 127.0.0.1:%d+ as postgres: ")
  test.equal(test.raises("no password", pg.open, good).kind, "auth")
  e = test.raises("does not exist", pg.open, with { password = secret.new "s3cret/@:%", database = "nope" })
  test.equal(e.kind, "not_found")
  e = test.raises("refused", pg.open, with { port = fs.free_port() })
  test.equal(e.kind, "network") test.equal(e.retry, true)
  e = test.raises("SSL", pg.open, with { password = secret.new "s3cret/@:%", sslmode = "require" })
  test.equal(e.kind, "tls")
  test.equal(test.raises("looks like", pg.open, "mysql://x@y/z").kind, "usage")
  test.equal(test.raises("did you mean", pg.open, with { passwort = "x" }).kind, "usage")
end

T["connecting gives up in time"] = function()
  -- a listener that never answers: a TCP port whose owner does nothing
  local process = require "process"
  local port = fs.free_port()
  local _ <close> = process.start { "python3", "-c", "import socket,time\ns=socket.socket()\ns.bind(('127.0.0.1'," .. port ..
    "))\ns.listen(5)\ntime.sleep(60)" }
  local e
  for _ = 1, 100 do
    local ok, err = pcall(pg.open, { host = "127.0.0.1", port = port, user = "x" }, { connect_timeout = 0.3 })
    e = not ok and err
    if e.kind == "timeout" then break end
    task.sleep(0.05)
  end
  test.equal(e.kind, "timeout")
end

T["what the server remarks is kept"] = function()
  local conn <close> = open()
  conn:exec "DO $$ BEGIN RAISE NOTICE 'first'; RAISE WARNING 'second'; END $$"
  test.equal(conn:notices(), { "first", "second" })
  test.equal(conn:notices(), {})
  test.equal(conn:info().version // 10000 >= 15, true)
end

T["a handle is collected while its statement runs"] = function()
  do
    local conn = open()
    conn.handle:send("SELECT pg_sleep(0.2), generate_series(1, 10000)", {}, 0, "extended")
  end
  collectgarbage() collectgarbage()
  local raw = host.open { host = "127.0.0.1", hostaddr = "127.0.0.1", port = tostring(plane.port), user = "x" }
  raw:close()
  test.raises("must be a string", host.open, { port = 1 })
  test.raises("zero byte", host.open, { host = "a\0b" })
end

T["the server is killed in the middle of a query"] = function()
  local second = postgres.start { dir = dir .. "/second", user = "me" }
  local conn <close> = pg.open(second.url)
  test.equal(conn:value "SELECT current_user::text", "me")
  local t = task.spawn(function() conn:query "SELECT pg_sleep(63)" end)
  task.sleep(0.1)
  second:crash()
  second:stop()
  local e = test.raises("", t.join, t)
  test.equal(e.kind, "network")
end

T["the server stops and leaves nothing running"] = function()
  plane:stop()
  plane:stop()
  fs.rmtree(dir)
end

T["the query of a URL may name a key file, but not carry a password"] = function()
  local endpoint = require "pg.endpoint"
  local e = endpoint.read "postgres://u:p@db.example.com/d?sslmode=require&sslkey=/k.pem&sslcert=/c.pem"
  test.equal(e.params.sslkey, "/k.pem")
  test.raises("password in the query", endpoint.read, "postgres://u@db.example.com/d?password=hush")
end

return T
