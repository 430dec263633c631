-- luacheck: no max line length (SQL)
--- COPY between the server and Lua, files and other connections; rows in constant memory.
package.path = "tests/support/?.lua;" .. package.path
local fs = require "fs"
local pg = require "pg"
local pg_lab = require "pg_lab"
local process = require "process"
local task = require "task"
local test = require "test"

local T = test.cases()

local lab = pg_lab.start { database = "app" }

T["COPY goes in and out, and a failing source undoes it"] = function()
  local conn <close> = lab:open()
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
  for _, method in ipairs { "exec", "query", "value", "rows" } do test.raises("use conn:copy", conn[method], conn, "COPY t TO STDOUT") end
  test.raises("use conn:copy", conn.exec, conn, "COPY t FROM STDIN")
  test.raises("not a COPY FROM", conn.copy_in, conn, "SELECT 1", "")
  test.raises("not a COPY TO", conn.copy_out, conn, "COPY t FROM STDIN")
  test.equal(test.raises("not a number", conn.copy_in, conn, "COPY t FROM STDIN", 7).kind, "usage")
  test.equal(conn:value "SELECT 1", 1)
end

T["rows of Lua go in, rows of text come out"] = function()
  local conn <close> = lab:open()
  conn:exec "CREATE TEMP TABLE t (a int, b text, c jsonb, d text[])"
  local odd = "tab\t newline\n return\r back\\slash \\N \\. žluť \b\f\v"
  test.equal(conn:copy_in("COPY t FROM STDIN", { { 1, odd, { k = "v\n" }, { "x\ty", pg.null } }, { 2, nil, nil, nil, n = 4 }, { 3, "", {}, {} } }), 3)
  local rows = conn:query "SELECT * FROM t ORDER BY a"
  test.equal({ rows[1].b, rows[1].c.k, rows[1].d }, { odd, "v\n", { "x\ty", pg.null } })
  test.equal({ rows[2].b, rows[2].c, rows[2].d, rows[3].b }, { nil, nil, nil, "" })
  local got = {}
  for row in conn:copy_out("COPY (SELECT a, b, c->>'k', d::text FROM t ORDER BY a) TO STDOUT", { rows = true }) do got[#got + 1] = row end
  test.equal(got, { { "1", odd, "v\n", '{"x\ty",NULL}', n = 4 }, { "2", n = 4 }, { "3", "", nil, "{}", n = 4 } })
  local n = 0
  local function source()
    n = n + 1
    return n <= 30000 and { n + 10, ("row %d"):format(n), n = 2 } or nil
  end
  test.equal(conn:copy_in("COPY t (a, b) FROM STDIN", source), 30000)
  test.equal(conn:value "SELECT count(DISTINCT a) FROM t WHERE b = 'row ' || a - 10", 30000)
  -- bytes and rows may follow each other
  test.equal(conn:copy_in("COPY t (a, b) FROM STDIN", { { -1, "r" }, "-2\tb\n", { -3, "r" } }), 3)
  test.equal(conn:value "SELECT array_agg(b ORDER BY a) FROM t WHERE a < 0", { "r", "b", "r" })
  do
    local stream <close> = conn:copy_out("COPY t TO STDOUT", { rows = true })
    test.equal(stream()[1], "1")
  end
  test.equal(conn:value "SELECT 5", 5)
end

T["rows of a query of one connection go into another's table by name"] = function()
  local a <close> = lab:open()
  local b <close> = lab:open()
  b:exec "CREATE TEMP TABLE t (id bigint, note text, tags text[])"
  local sql = "SELECT ARRAY['a', g::text] AS tags, g AS id, CASE WHEN g % 2 = 0 THEN 'n' || g END AS note FROM generate_series(1, 5000) g"
  test.equal(b:copy_in("COPY t (id, note, tags) FROM STDIN", a:rows(sql), { columns = { "id", "note", "tags" } }), 5000)
  test.equal(b:query "SELECT count(note) AS notes, sum(id) AS ids, max(tags[2]::int) AS last FROM t"[1], { notes = 2500, ids = "12502500", last = 5000 })
end

T["one connection's COPY feeds another's, in either format"] = function()
  local a <close> = lab:open()
  local b <close> = lab:open()
  a:exec "CREATE TEMP TABLE t AS SELECT g AS id, repeat('x', 100) AS pad, CASE WHEN g % 3 = 0 THEN 0.1 * g END AS f FROM generate_series(1, 20000) g"
  b:exec "CREATE TEMP TABLE t (id int, pad text, f numeric)"
  local digest = "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM t"
  for _, format in ipairs { "text", "binary", "csv" } do
    b:exec "TRUNCATE t"
    test.equal(b:copy_in(("COPY t FROM STDIN (FORMAT %s)"):format(format), a:copy_out(("COPY t TO STDOUT (FORMAT %s)"):format(format))), 20000)
    test.equal(b:value(digest), a:value(digest))
  end
end

T["a target that fails ends the source's COPY too"] = function()
  local a <close> = lab:open()
  local b <close> = lab:open()
  b:exec "CREATE TEMP TABLE narrow (id int CHECK (id < 100))"
  local e = test.raises("check constraint", b.copy_in, b, "COPY narrow FROM STDIN", a:copy_out "COPY (SELECT generate_series(1, 100000)) TO STDOUT")
  test.equal({ e.code, e.constraint, e.table }, { "23514", "narrow_id_check", "narrow" })
  test.equal({ a:value "SELECT 1", b:value "SELECT count(*) FROM narrow" }, { 1, 0 })
  -- and a source that fails ends the target's
  e = test.raises("division by zero", b.copy_in, b, "COPY narrow FROM STDIN", a:copy_out "COPY (SELECT 1 / (50 - g) FROM generate_series(1, 60) g) TO STDOUT")
  test.equal(e.code, "22012")
  test.equal({ a:value "SELECT 2", b:value "SELECT count(*) FROM narrow" }, { 2, 0 })
  -- a target that is gone in the middle
  local t = task.spawn(function() b:copy_in("COPY narrow FROM STDIN", a:copy_out "COPY (SELECT g % 100 FROM generate_series(1, 100000000) g) TO STDOUT") end)
  repeat task.sleep(0.005) until a.handle:status() == "active" and b.handle:status() == "active"
  b:close()
  test.equal(test.raises("closed", t.join, t).kind, "closed")
  test.equal(a:value "SELECT 3", 3)
end

T["files and functions take a COPY, files give one"] = function()
  local conn <close> = lab:open()
  local path = test.tmpdir() .. "/t.copy"
  conn:exec "CREATE TEMP TABLE t AS SELECT g AS id, repeat('y', 200) AS pad FROM generate_series(1, 5000) g"
  test.equal(conn:copy_out("COPY t TO STDOUT", { file = path }), 5000)
  test.equal(fs.list(path:match "^(.*)/"), { "t.copy" })
  local size = 0
  test.equal(conn:copy_out("COPY t TO STDOUT", function(bytes) size = size + #bytes end), 5000)
  test.equal(size, fs.stat(path).size)
  conn:exec "CREATE TEMP TABLE u (LIKE t)"
  test.equal(conn:copy_in("COPY u FROM STDIN", { file = path }), 5000)
  test.equal(conn:value "SELECT count(*) FROM t JOIN u USING (id, pad)", 5000)
  test.raises("division by zero", conn.copy_out, conn, "COPY (SELECT 1 / (3000 - g), repeat('x', 100) FROM generate_series(1, 5000) g) TO STDOUT", { file = path })
  test.equal({ fs.list(path:match "^(.*)/"), fs.stat(path).size }, { { "t.copy" }, size }, "what was there stays")
  test.raises("my own", conn.copy_out, conn, "COPY t TO STDOUT", function() error("my own", 0) end)
  test.equal(test.raises("cannot read /nowhere/x", conn.copy_in, conn, "COPY u FROM STDIN", { file = "/nowhere/x" }).kind, "io")
  test.equal(test.raises("cannot write /nowhere/x", conn.copy_out, conn, "COPY t TO STDOUT", { file = "/nowhere/x" }).kind, "io")
  test.equal(test.raises("did you mean", conn.copy_in, conn, "COPY u FROM STDIN", { fiel = path }).kind, "usage")
  test.equal(conn:value "SELECT count(*) FROM u", 5000)
end

T["a cancelled COPY leaves the connection usable, whichever way it went"] = function()
  local conn <close> = lab:open()
  conn:exec "CREATE TEMP TABLE t (v text)"
  local first = task.event()
  local t = task.spawn(function()
    for _ in conn:copy_out "COPY (SELECT repeat('x', 100) FROM generate_series(1, 3000000)) TO STDOUT" do
      first.set()
      task.sleep(0.001)
    end
  end)
  first.wait()
  t:cancel()
  test.equal(test.raises("cancelled", t.join, t).kind, "cancelled")
  test.equal(conn:value "SELECT 1", 1)
  t = task.spawn(function()
    conn:copy_in("COPY t FROM STDIN", function()
      first.set()
      task.sleep(0.001)
      return "row\n"
    end)
  end)
  first.wait()
  t:cancel()
  test.equal(test.raises("cancelled", t.join, t).kind, "cancelled")
  test.equal(conn:value "SELECT count(*) FROM t", 0)
end

T["a million rows stream through memory that does not grow"] = function()
  local program = [[
    local pg, task = require "pg", require "task"
    local function resident() return tonumber(io.open "/proc/self/status":read "a":match "VmRSS:%s+(%d+)") end
    local conn <close> = pg.open(os.getenv "DATABASE_URL")
    local other <close> = pg.open(os.getenv "DATABASE_URL")
    other:exec "CREATE TEMP TABLE t (n int, pad text)"
    local n, lua, process, start = 0, 0, 0, nil
    for row in conn:rows "SELECT g AS n, repeat('x', 100) AS pad FROM generate_series(1, 1000000) g" do
      n = n + 1
      if n == 20000 then start = { collectgarbage "count", resident() } end
      if n % 20000 == 0 then lua, process = math.max(lua, collectgarbage "count"), math.max(process, resident()) end
      assert(row.n == n)
    end
    local copied = other:copy_in("COPY t FROM STDIN", conn:copy_out "COPY (SELECT g, repeat('x', 100) FROM generate_series(1, 500000) g) TO STDOUT")
    print(n, copied, lua - start[1] < 8000, process - start[2] < 12000, resident() - start[2] < 12000, lua // 1, process)]]
  local r = process.run { fs.realpath "/proc/self/exe", "-", stdin = program, timeout = 200,
    env = { PATH = os.getenv "PATH", HOME = lab.dir, HKRUN_LIB = os.getenv "HKRUN_LIB", DATABASE_URL = lab.plane.url,
      ASAN_OPTIONS = (os.getenv "ASAN_OPTIONS" or "") .. ":quarantine_size_mb=1" } }
  test.match(r.stdout .. r.stderr, "^1000000%s+500000%s+true%s+true%s+true")
end

return T
