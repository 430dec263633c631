package.path = "tests/support/?.lua;" .. package.path
local fs = require "fs"
local pg = require "pg"
local pg_lab = require "pg_lab"
local secret = require "secret"
local task = require "task"
local test = require "test"
local text = require "text"
local host = require "host.pg"

local T = test.cases()

local lab = pg_lab.start { password = secret.new "s3cret/@:%", database = "app" }

T["an error says statement, code, detail and place, and the connection goes on"] = function()
  local conn <close> = lab:open()
  local e = test.raises("relation \"nowhere\" does not exist", conn.query, conn, "SELECT * FROM nowhere")
  test.equal(e.kind, "remote") test.equal(e.code, "42P01") test.equal(e.position, 15)
  test.equal(e.statement, "SELECT * FROM nowhere")
  conn:exec "CREATE TEMP TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)"
  e = test.raises("duplicate key", conn.query, conn, "INSERT INTO t VALUES (1)")
  test.equal(e.code, "23505") test.match(e.detail, "already exists")
  test.equal({ e.table, e.constraint }, { "t", "t_pkey" })
  e = test.raises("null value", conn.query, conn, "INSERT INTO t VALUES (NULL)")
  test.equal({ e.code, e.table, e.column }, { "23502", "t", "id" })
  e = test.raises('invalid input syntax for type integer: "%(secret%)"', conn.query, conn, "SELECT $1::text::int", secret.new "hush-4711")
  test.truthy(not test.show(e):find "hush", "in no field")
  e = test.raises('at or near "%(secret%)"', conn.exec, conn, text("ALTER ROLE app PASSWORD %s", secret.new "hush4711"))
  test.truthy(not test.show(e):find "hush", "in no field")
  e = test.raises("division by zero", conn.exec, conn, "SELECT 1; SELECT 1/0; SELECT 2")
  test.equal(e.code, "22012")
  test.equal(conn:value "SELECT count(*) FROM t", 1)
end

T["in read-only mode the server refuses to write"] = function()
  local readonly = require "readonly"
  readonly.set(true)
  test.defer(function() readonly.set(false) end)
  local conn <close> = lab:open()
  test.equal(conn:value "SELECT 1", 1)
  test.raises("read%-only transaction", conn.exec, conn, "CREATE TABLE never (id int)")
  test.raises("read%-only", pg.copy, {})
end

T["rows stream, and leaving early leaves the connection usable"] = function()
  local conn <close> = lab:open()
  local n, sum = 0, 0
  for row in conn:rows("SELECT g FROM generate_series(1, $1::int) g", 20000) do n, sum = n + 1, sum + row.g end
  test.equal({ n, sum }, { 20000, 200010000 })
  for row in conn:rows "SELECT g, repeat('x', 1000) FROM generate_series(1, 1000000) g" do
    if row.g == 3 then break end
  end
  test.equal(conn:value "SELECT 42", 42)
end

T["a closed handle answers with an error, not a crash"] = function()
  local conn = lab:open()
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
  local conn <close> = lab:open()
  for _ in conn:rows "SELECT generate_series(1, 3000)" do -- luacheck: ignore 512
    test.raises("still running", conn.query, conn, "SELECT 1")
    break
  end
end

T["a deadline stops the statement on the server"] = function()
  local conn <close> = lab:open()
  conn.timeout = 0.2
  local e = test.raises("no answer within 0.2 s", conn.query, conn, "SELECT pg_sleep(60)")
  test.equal(e.kind, "timeout")
  conn.timeout = 10
  test.equal(conn:value "SELECT 7", 7)
  test.equal(conn:value "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%' AND state = 'active'", 0)
end

--- Waits until the server runs pg_sleep for so many seconds.
local function asleep(seconds)
  local conn <close> = lab:open()
  local sql = ("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query = 'SELECT pg_sleep(%d)'"):format(seconds)
  while conn:value(sql) == 0 do task.sleep(0.005) end
end

T["cancelling the task cancels the statement"] = function()
  local conn <close> = lab:open()
  local t = task.spawn(function() conn:query "SELECT pg_sleep(61)" end)
  asleep(61)
  t:cancel()
  test.equal(test.raises("cancelled", t.join, t).kind, "cancelled")
  test.equal(conn:value "SELECT 8", 8)
end

T["cancelling between the end of a statement and what follows it leaves the connection idle"] = function()
  local relay <close>, port = lab:relay()
  local conn <close> = pg.open { host = "127.0.0.1", port = port, user = lab.options.user, password = lab.options.password, database = "app" }
  for what, fn in pairs { ["an error"] = function() conn:exec "SELECT 1/0" end, ["a begin"] = function() conn:transaction() end } do
    relay:kill "INT"
    test.equal(relay:read_line(), "armed")
    local t = task.spawn(fn)
    test.equal(relay:read_line(), "held")
    task.sleep(0.1)                                  -- it has arrived, and the task waits for more
    t:cancel()
    test.equal(test.raises("cancelled", t.join, t).kind, "cancelled", what)
    test.equal(conn:value "SELECT 9", 9, what)
    test.equal(conn.handle:status(), "idle", what)
  end
end

T["a session ended by the server is an error of the network"] = function()
  local conn <close> = lab:open()
  local other <close> = lab:open()
  local pid = conn:info().pid
  local t = task.spawn(function() conn:query "SELECT pg_sleep(62)" end)
  asleep(62)
  other:query("SELECT pg_terminate_backend($1::int)", pid)
  local e = test.raises("terminating connection", t.join, t)
  test.equal(e.kind, "network") test.equal(e.code, "57P01") test.equal(e.retry, true)
  test.equal(test.raises("", conn.query, conn, "SELECT 1").kind, "network")
end

T["refused connections say why"] = function()
  local good = { host = lab.plane.host, port = lab.plane.port, user = "postgres", database = "app" }
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
  local p <close> = process.start { "python3", "-c", "import socket, time; s = socket.create_server(('127.0.0.1', 0)); " ..
    "print(s.getsockname()[1], flush=True); time.sleep(600)", stdout = "pipe" }
  local e = test.raises("", pg.open, { host = "127.0.0.1", port = math.tointeger(p:read_line()), user = "x" }, { connect_timeout = 0.3 })
  test.equal(e.kind, "timeout")
end

T["what the server remarks is kept"] = function()
  local conn <close> = lab:open()
  conn:exec "DO $$ BEGIN RAISE NOTICE 'first'; RAISE WARNING 'second'; END $$"
  test.equal(conn:notices(), { "first", "second" })
  test.equal(conn:notices(), {})
  test.equal(conn:info().version // 10000 >= 15, true)
end

T["a handle is collected while its statement runs"] = function()
  do
    local conn = lab:open()
    conn.handle:send("SELECT pg_sleep(0.2), generate_series(1, 10000)", {}, 0, "extended")
  end
  collectgarbage() collectgarbage()
  local raw = host.open { host = "127.0.0.1", hostaddr = "127.0.0.1", port = tostring(lab.plane.port), user = "x" }
  raw:close()
  test.raises("must be a string", host.open, { port = 1 })
  test.raises("zero byte", host.open, { host = "a\0b" })
end

T["the server is killed in the middle of a query"] = function()
  local second <close> = pg_lab.new { user = "me" }
  local conn <close> = second:open()
  test.equal(conn:value "SELECT current_user::text", "me")
  local t = task.spawn(function() conn:query "SELECT pg_sleep(63)" end)
  task.sleep(0.1)
  second.plane:crash()
  local e = test.raises("", t.join, t)
  test.equal(e.kind, "network")
end

T["the query of a URL may name a key file, but not carry a password"] = function()
  local endpoint = require "pg.endpoint"
  local e = endpoint.read "postgres://u:p@db.example.com/d?sslmode=require&sslkey=/k.pem&sslcert=/c.pem"
  test.equal(e.params.sslkey, "/k.pem")
  test.raises("password in the query", endpoint.read, "postgres://u@db.example.com/d?password=hush")
end

T["how soon a silent network is given up stands in a URL, and pg_dump is told"] = function()
  local endpoint = require "pg.endpoint"
  local e = endpoint.read "postgres://u@db.example.com/d?keepalives_idle=5&tcp_user_timeout=7000&nonsense=1"
  test.equal({ e.params.keepalives_idle, e.params.tcp_user_timeout, e.params.keepalives_count, e.params.nonsense }, { "5", "7000", "6", nil })
  test.equal(endpoint.patience(e), "keepalives='1' keepalives_idle='5' keepalives_interval='10' keepalives_count='6' tcp_user_timeout='7000'")
end

return T
