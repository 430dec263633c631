--- The fence around a database's writers, with the rights of a Heroku credential.
local errors = require "errors"
local fence = require "pg.fence"
local labs = dofile "tests/support/pg_lab.lua"
local pg = require "pg"
local task = require "task"
local test = require "test"
local T = test.cases()

local lab

local function start()
  if not lab then
    lab = labs.start { user = "app", database = "app", rights = "heroku", settings = { max_prepared_transactions = 5 } }
    local admin <close> = pg.open(lab:admin "app")
    admin:exec [[GRANT pg_monitor, pg_signal_backend TO app; CREATE ROLE other LOGIN; CREATE ROLE stubborn LOGIN]]
    local db <close> = lab:open()
    db:exec [[CREATE TABLE t (n int); CREATE SEQUENCE numbers; GRANT INSERT ON t TO other, stubborn; CREATE SCHEMA s; CREATE TABLE s.u (n int);
      GRANT USAGE ON SCHEMA s TO other; GRANT INSERT ON s.u TO other]]
  end
  return lab
end

--- A session of somebody else's.
local function session(role) return pg.open(lab:at("app", role), { application_name = "theirs" }) end

--- Waits until the sessions of others have ended: the server counts what they wrote when they do.
local function settle()
  local admin <close> = pg.open(lab:admin "app")
  task.within(60, "see the sessions end", function()
    while admin:value "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'theirs'" > 0 do task.sleep(0.02) end
  end)
end

local function where() return start().plane.url end
local QUICK = { patience = 0, spare = {} }

local function is_refused(conn, sql)
  local e = test.raises("read%-only transaction", conn.exec, conn, sql)
  test.equal(e.code, "25006", sql)
end

T["new sessions of every role, in every schema, cannot write; old ones are ended; opened, all is as it was"] = function()
  local l = start()
  local idle <close> = session "other"
  idle:exec "INSERT INTO t VALUES (1)"
  local facts = fence.read(where)
  test.equal(facts, {})
  fence.close(where, facts, QUICK)
  test.truthy(fence.holds(where))
  test.raises("", idle.exec, idle, "INSERT INTO t VALUES (2)")
  local later <close> = session "other"
  local own <close> = session()
  for _, sql in ipairs { "INSERT INTO t VALUES (3)", "INSERT INTO s.u VALUES (3)" } do is_refused(later, sql) end
  for _, sql in ipairs { "DELETE FROM t", "TRUNCATE s.u", "CREATE TABLE v (n int)", "SELECT nextval('numbers')" } do is_refused(own, sql) end
  test.equal(own:value "SELECT count(*) FROM t", 1)
  fence.close(where, facts, QUICK)                           -- a second time, after a kill
  fence.open(where, facts)
  test.raises("", later.exec, later, "SELECT 1")             -- it would have stayed read-only
  local free <close> = session "other"
  free:exec "INSERT INTO t VALUES (4)"
  local admin <close> = pg.open(l:admin "app")
  test.equal(admin:value "SELECT count(*) FROM pg_db_role_setting", 0, "settings that are left")
end

T["a transaction that is under way may finish, and is ended when it takes too long"] = function()
  start()
  for _, c in ipairs { { patience = 20, seconds = 0.3, rows = 1 }, { patience = 0.3, seconds = nil, rows = 0 } } do
    local n = 100 + c.patience * 10
    local tx <close> = session "other"
    tx:exec(("BEGIN; INSERT INTO t VALUES (%d)"):format(n))
    local committer = c.seconds and task.spawn(function()
      task.sleep(c.seconds)
      tx:exec "COMMIT"
    end)
    local facts = fence.read(where)
    fence.close(where, facts, { patience = c.patience, spare = {} })
    if committer then committer:join() end
    local db <close> = lab:open()
    test.equal(db:value("SELECT count(*) FROM t WHERE n = $1", math.tointeger(n)), c.rows)
    fence.open(where, facts)
  end
end

T["our own sessions and those that are spared live on; what writes in spite of the fence is told"] = function()
  local l = start()
  settle()
  local ours <close> = pg.open(l:at("app"))
  local spared <close> = pg.open(l:at("app", "other"), { application_name = "AWSDMS task" })
  local facts = fence.read(where)
  fence.close(where, facts, { patience = 0, spare = { "AWSDMS%" } })
  test.equal({ ours:value "SELECT 1", spared:value "SELECT 2" }, { 1, 2 })
  local before = fence.writes(where)
  test.equal(fence.writes(where), before)
  local stubborn <close> = pg.open(l:at("app", "stubborn"), { application_name = "etl" })
  stubborn:exec "BEGIN READ WRITE; INSERT INTO t VALUES (7); COMMIT"
  stubborn:close()
  task.within(20, "see the write", function()
    while fence.writes(where) == before do task.sleep(0.1) end
  end)
  test.equal(fence.writes(where), before + 1)
  fence.open(where, facts)
end

T["a prepared transaction is named; a setting of the login role's own is fenced too, and both come back as they were"] = function()
  start()
  local db <close> = lab:open()
  db:exec "ALTER DATABASE app SET default_transaction_read_only = off; ALTER ROLE app IN DATABASE app SET default_transaction_read_only = off"
  local facts = fence.read(where)
  test.equal(facts, { database = "off", role = "off", own = true })
  db:exec "BEGIN; INSERT INTO t VALUES (9); PREPARE TRANSACTION 'later'"
  local e = test.raises('the prepared transaction "later" could be committed at any moment', fence.close, where, facts, QUICK)
  test.truthy(errors.is(e, "stopped"))
  db:exec "ROLLBACK PREPARED 'later'"
  fence.close(where, facts, QUICK)
  local own <close> = session()
  is_refused(own, "DELETE FROM t")
  fence.open(where, facts)
  test.equal(fence.read(where), facts)
  db:exec "ALTER DATABASE app RESET default_transaction_read_only; ALTER ROLE app IN DATABASE app RESET default_transaction_read_only"
end

T["a login role that does not own the database is kept from writing itself, and told so"] = function()
  local l = start()
  local function as_other() return l:at("app", "other") end
  local facts = fence.read(as_other)
  test.equal(facts, { own = true, alone = true })
  fence.close(as_other, facts, { patience = 0, spare = { "%" } })
  test.truthy(fence.holds(as_other))
  local later <close> = session "other"
  is_refused(later, "INSERT INTO t VALUES (11)")
  fence.open(as_other, facts)
  test.equal({ fence.holds(as_other), fence.read(as_other) }, { false, facts })
end

return T
