-- luacheck: no max line length (SQL)
--- Transactions, prepared statements, and what is done again after a failure.
package.path = "tests/support/?.lua;" .. package.path
local pg = require "pg"
local pg_lab = require "pg_lab"
local task = require "task"
local test = require "test"

local T = test.cases()

local lab = pg_lab.start { database = "app" }

T["a transaction left without commit is rolled back, also a nested one"] = function()
  local conn <close> = lab:open()
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
  test.equal(conn:value "SELECT array_agg(v ORDER BY v) FROM t", { 1, 3 })
  local tx = conn:transaction()
  pcall(conn.exec, conn, "SELECT 1/0")
  test.equal(test.raises("rolled back", tx.commit, tx).code, "25P02")
  test.equal(conn.handle:status(), "idle")
  test.raises("ended already", tx.commit, tx)
end

T["a failed savepoint leaves the transaction around it usable"] = function()
  local conn <close> = lab:open()
  conn:exec "CREATE TEMP TABLE t (v int PRIMARY KEY)"
  local tx <close> = conn:transaction()
  conn:query "INSERT INTO t VALUES (1)"
  for _ = 1, 3 do
    local e = test.raises("duplicate key", function()
      local _ <close> = conn:transaction()
      conn:query "INSERT INTO t VALUES (1)"
    end)
    test.equal({ e.constraint, e.table, e.code }, { "t_pkey", "t", "23505" })
  end
  conn:query "INSERT INTO t VALUES (2)"
  tx:commit()
  test.equal(conn:value "SELECT count(*) FROM t", 2)
  local _ <close> = conn:transaction()
  do local _ <close> = conn:transaction() end
  test.raises("does not exist", conn.exec, conn, "RELEASE hkrun_" .. conn.savepoints)      -- the server keeps none that is over
end

T["isolation, read-only and deferrable are what was asked for"] = function()
  local conn <close> = lab:open()
  local function shown()
    return conn:query [[SELECT current_setting('transaction_isolation') AS i, current_setting('transaction_read_only') AS r,
      current_setting('transaction_deferrable') AS d]][1]
  end
  do
    local _ <close> = conn:transaction { isolation = "serializable", read_only = true, deferrable = true }
    test.equal(shown(), { i = "serializable", r = "on", d = "on" })
    test.raises("of the whole transaction", conn.transaction, conn, { isolation = "serializable" })
  end
  do
    local _ <close> = conn:transaction()
    test.equal(shown(), { i = "read committed", r = "off", d = "off" })
  end
  conn:exec "SET default_transaction_read_only = on"
  do
    local _ <close> = conn:transaction { isolation = "repeatable read", read_only = false }
    test.equal(shown(), { i = "repeatable read", r = "off", d = "off" })
  end
  test.equal(test.raises("isolation", conn.transaction, conn, { isolation = "chaos; DROP TABLE t" }).kind, "usage")
  test.equal(test.raises("did you mean", conn.transaction, conn, { readonly = true }).kind, "usage")
end

T["a cancelled task rolls back, and the connection stays usable"] = function()
  local conn <close> = lab:open()
  conn:exec "CREATE TEMP TABLE t (v int)"
  local inside = task.event()
  local t = task.spawn(function()
    local tx <close> = conn:transaction()
    conn:exec "INSERT INTO t VALUES (1)"
    inside.set()
    conn:query "SELECT pg_sleep(64)"
    tx:commit()
  end)
  inside.wait()
  t:cancel()
  test.equal(test.raises("cancelled", t.join, t).kind, "cancelled")
  test.equal({ conn.handle:status(), conn:value "SELECT count(*) FROM t" }, { "idle", 0 })
end

T["a function is a transaction: its results are kept, its error undoes it"] = function()
  local conn <close> = lab:open()
  conn:exec "CREATE TEMP TABLE t (v int)"
  test.equal({ conn:transaction(function(tx)
    conn:exec "INSERT INTO t VALUES (1)"
    return tx.conn == conn, "kept"
  end) }, { true, "kept" })
  test.raises("my own", conn.transaction, conn, function()
    conn:exec "INSERT INTO t VALUES (2)"
    error("my own", 0)
  end)
  conn:transaction(function(tx)
    conn:exec "INSERT INTO t VALUES (3)"
    tx:rollback()
  end)
  conn:transaction(function()
    conn:exec "INSERT INTO t VALUES (4)"
    pcall(conn.transaction, conn, function() conn:exec "INSERT INTO t VALUES (5); SELECT 1/0" end)
  end)
  test.equal(conn:value "SELECT array_agg(v ORDER BY v) FROM t", { 1, 4 })
end

T["a serialization failure runs the function again, as often as it may"] = function()
  local one <close> = lab:open()
  local two <close> = lab:open()
  one:exec "CREATE TABLE counter (n int); INSERT INTO counter VALUES (0)"
  local runs = 0
  local function add(spoil)
    return function()
      runs = runs + 1
      local n = one:value "SELECT n FROM counter"
      if runs <= spoil then two:query "UPDATE counter SET n = n + 10" end
      one:query("UPDATE counter SET n = $1", n + 1)
      return n + 1
    end
  end
  test.equal(one:transaction(add(2), { isolation = "repeatable read", retry = 2 }), 21)
  test.equal({ runs, two:value "SELECT n FROM counter" }, { 3, 21 })
  runs = 0
  local e = test.raises("could not serialize", one.transaction, one, add(2), { isolation = "repeatable read", retry = 1 })
  test.equal({ e.code, runs, two:value "SELECT n FROM counter" }, { "40001", 2, 41 })
  runs = 0
  test.raises("could not serialize", one.transaction, one, add(1), { isolation = "repeatable read" })
  test.equal(runs, 1)
  runs = 0
  test.raises("division", one.transaction, one, function() runs = runs + 1 one:query "SELECT 1/0" end, { retry = 5 })
  test.equal(runs, 1)
end

T["two transactions that lock each other both come to their end"] = function()
  local one <close> = lab:open()
  local two <close> = lab:open()
  one:exec "CREATE TABLE pair (id int PRIMARY KEY, n int); INSERT INTO pair VALUES (1, 0), (2, 0)"
  local locked = { task.event(), task.event() }
  local function work(conn, mine, other)
    local first = true
    return function()
      conn:transaction(function()
        conn:query("UPDATE pair SET n = n + 1 WHERE id = $1", mine)
        if first then
          first = false
          locked[mine].set()
          locked[other].wait()
        end
        conn:query("UPDATE pair SET n = n + 1 WHERE id = $1", other)
      end, { retry = 5 })
    end
  end
  task.all { work(one, 1, 2), work(two, 2, 1) }
  test.equal(one:value "SELECT array_agg(n) FROM pair", { 2, 2 })
end

T["a commit whose answer is lost is not said to have failed"] = function()
  local conn <close> = lab:open()
  local other <close> = lab:open()
  conn:exec [[CREATE TABLE late (v int); CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(65); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()]]
  local t = task.spawn(function()
    local tx <close> = conn:transaction()
    conn:exec "INSERT INTO late VALUES (1)"
    tx:commit()
  end)
  local pid = conn:info().pid
  repeat task.sleep(0.02) until other:value("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1", pid)
  other:query("SELECT pg_terminate_backend($1)", pid)
  local e = test.raises("not known", t.join, t)
  test.equal({ e.kind, e.code, e.retry }, { "network", "57P01", false })
  other:exec "DROP TABLE late"
end

T["a prepared statement is parsed once and forgotten at its end"] = function()
  local conn <close> = lab:open()
  local known = "SELECT count(*) FROM pg_prepared_statements"
  do
    local st <close> = conn:prepare "SELECT $1::int + g AS n FROM generate_series(1, $2::int) g"
    test.equal(conn:value(known), 1)
    test.equal(st:query(10, 3):select("n"):count(), 3)
    test.equal(st:value(1, 1), 2)
    local sum = 0
    for row in st:rows(0, 2000) do sum = sum + row.n end
    test.equal(sum, 2001000)
    for _ in st:rows(0, 2000) do break end -- luacheck: ignore 512
    local e = test.raises("invalid input syntax", st.query, st, "x", 1)
    test.equal({ e.code, e.statement }, { "22P02", st.sql })
    test.equal(conn:value "SELECT calls FROM (SELECT generic_plans + custom_plans AS calls FROM pg_prepared_statements) x", 4)
  end
  test.equal(conn:value(known), 0)
  test.equal(test.raises("does not exist", conn.prepare, conn, "SELECT * FROM nowhere").code, "42P01")
  local st = conn:prepare "SELECT 1"
  do
    local _ <close> = conn:transaction()
    pcall(conn.query, conn, "SELECT 1/0")
    st:close()                                       -- here the server listens to nothing but ROLLBACK
    st:close()
  end
  test.raises("is closed", st.query, st)
  test.equal(conn:value(known), 1)
  local next_one <close> = conn:prepare "SELECT 2"
  test.equal({ conn:value(known), next_one:value() }, { 1, 2 })
end

T["a reading whose connection was lost is repeated, where the server let it write nothing"] = function()
  local admin <close> = lab:open()
  local function lose(conn)
    admin:query("SELECT pg_terminate_backend($1)", conn:info().pid)
    repeat task.sleep(0.01) until admin:value("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", conn:info().pid) == 0
  end
  local conn <close> = lab:open { read_only = true }
  test.raises("read%-only transaction", conn.query, conn, "CREATE TABLE never (v int)")
  local first = conn:info().pid
  lose(conn)
  test.equal(conn:value "SELECT 1", 1)
  test.truthy(conn:info().pid ~= first)
  test.equal(conn:value "SELECT current_setting('default_transaction_read_only')", "on")
  lose(conn)
  test.equal(conn:query("SELECT $1::int AS v", 2)[1].v, 2)
  lose(conn)
  local n = 0
  for _ in conn:rows "SELECT generate_series(1, 3000)" do n = n + 1 end
  test.equal(n, 3000)
  -- in the middle of a statement
  local pid = conn:info().pid
  local reading = task.spawn(function() return conn:value(("SELECT 1 FROM pg_sleep(CASE pg_backend_pid() WHEN %d THEN 600 ELSE 0 END)"):format(pid)) end)
  repeat task.sleep(0.01) until admin:value("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1", pid)
  admin:query("SELECT pg_terminate_backend($1)", pid)
  test.equal(reading:join(), 1)
  test.truthy(conn:info().pid ~= pid)
  -- rows that were handed out are not handed out twice
  test.equal(test.raises("", function()
    for row in conn:rows "SELECT g, repeat('x', 1000) FROM generate_series(1, 1000000) g" do
      if row.g == 600 then lose(conn) end
    end
  end).kind, "network")
end

T["what a lost session held is not guessed at"] = function()
  local admin <close> = lab:open()
  local function lost(o, prepare, read)
    local conn <close> = lab:open(o)
    local _ = prepare(conn)                            -- a guard stays open
    admin:query("SELECT pg_terminate_backend($1)", conn:info().pid)
    for _ = 1, 2 do test.equal(test.raises("", read or function() conn:value "SELECT 1" end, conn).kind, "network") end
  end
  lost(nil, function() end)
  lost({ read_only = true }, function(conn) conn:exec "SET search_path = x" end)
  lost({ read_only = true }, function(conn) conn:query "SET search_path = x" end)
  lost({ read_only = true }, function(conn) conn:prepare "SELECT 1" end)
  lost({ read_only = true }, function(conn) return conn:transaction() end)
  lost({ read_only = true }, function() end, function(conn) conn:exec "SELECT 1" end)
end

T["a server that is only starting is waited for"] = function()
  local second <close> = pg_lab.new { user = "me", database = "app" }
  local port = second.port
  second.plane:stop()
  local opening = task.spawn(function()
    local conn <close> = pg.open({ host = "127.0.0.1", port = port, user = "me", database = "app" }, { attempts = 200, connect_timeout = 60 })
    return conn:value "SELECT current_user::text"
  end)
  task.sleep(0.2)                                     -- the first attempts are refused
  test.truthy(not opening.done)
  second:restart()
  test.equal(opening:join(), "me")
  second.plane:stop()
  local tries = 0
  local host = require "host.pg"
  local real = host.open
  host.open = function(...) tries = tries + 1 return real(...) end
  test.defer(function() host.open = real end)
  test.equal(test.raises("refused", pg.open, { host = "127.0.0.1", port = port, user = "me" }, { attempts = 3 }).kind, "network")
  test.equal(tries, 3)
  test.equal(test.raises("does not exist", pg.open, { host = lab.plane.host, port = lab.plane.port, user = "postgres", database = "nope" }).kind, "not_found")
  test.equal(tries, 4, "what no second attempt can change has none")
end

return T
