-- luacheck: no max line length (SQL)
--- Connections through an ssh tunnel that listens on no port.
local ca = require "rehearsal.planes.ca"
local fs = require "fs"
local pg = require "pg"
local process = require "process"
local postgres = require "rehearsal.planes.postgres"
local ssh = require "ssh"
local sshd = require "rehearsal.planes.sshd"
local task = require "task"
local test = require "test"

local T = test.cases()

local dir = fs.tmpdir "hkrun-pgtunnel-"
local authority, stranger = ca.new(dir .. "/ca"), ca.new(dir .. "/stranger")
local files = authority:issue { name = "localhost", names = { "localhost" } }
fs.write(dir .. "/bundle.pem", fs.read(stranger.file) .. fs.read(authority.file))       -- as RDS's has many roots
local plane = postgres.start { dir = dir .. "/main", user = "app", password = "p", database = "app", cert = files.cert, key = files.key, force_ssl = true }
local key = ssh.keygen()
local server = sshd.start { dir = dir .. "/sshd", user = "ec2-user", authorized_keys = key.public }

local function session()
  return ssh.open { host = server.host, port = server.port, user = server.user, key = key.private, host_key = server.host_keys }
end

local function at(via, o)
  local e = { host = "localhost", port = plane.port, user = "app", password = "p", database = "app", ca = dir .. "/bundle.pem", via = via }
  for k, v in pairs(o or {}) do e[k] = v end
  return e
end

--- The TCP ports that this process listens on.
local function listening()
  local mine, ports = {}, {}
  local links = process.run { "ls", "-l", ("/proc/%d/fd"):format(process.pid()) }.stdout
  for inode in links:gmatch "socket:%[(%d+)%]" do mine[inode] = true end
  for _, path in ipairs { "/proc/self/net/tcp", "/proc/self/net/tcp6" } do
    for line in fs.read(path):gmatch "[^\n]+" do
      local port, state, inode = line:match "^%s*%d+: %x+:(%x+) %x+:%x+ (%x%x) %S+ %S+ %S+ +%d+ +%d+ (%d+)"
      if state == "0A" and mine[inode] then ports[#ports + 1] = tonumber(port, 16) end
    end
  end
  return ports
end

T["a connection goes through, verified against the real name, and no port listens for it"] = function()
  local via <close> = session()
  local port <close> = via:tunnel(("127.0.0.1:%d"):format(plane.port))
  test.equal(listening(), { port.port }, "the measure sees a port that listens")
  port:close()
  local conn <close> = pg.open(at(via))
  test.equal(conn:value "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", true)
  test.equal(listening(), {})
  test.equal(conn:value("SELECT length($1)", ("x"):rep(3000000)), 3000000)
  local n = 0
  for _ in conn:rows "SELECT repeat('y', 500) FROM generate_series(1, 20000)" do n = n + 1 end
  test.equal(n, 20000)
  test.equal(test.raises("does not match", pg.open, at(via, { host = "127.0.0.1" })).kind, "tls")
  test.equal(test.raises("certificate verify failed", pg.open, at(via, { ca = stranger.file })).kind, "tls")
end

T["cancel reaches the server through the tunnel, too"] = function()
  local via <close> = session()
  local conn <close> = pg.open(at(via))
  conn.timeout = 0.3
  test.equal(test.raises("no answer", conn.query, conn, "SELECT pg_sleep(66)").kind, "timeout")
  conn.timeout = 20
  test.equal(conn:value "SELECT 1", 1)
  local t = task.spawn(function() conn:query "SELECT pg_sleep(67)" end)
  task.sleep(0.05)
  t:cancel()
  test.equal(test.raises("cancelled", t.join, t).kind, "cancelled")
  test.equal(conn:value "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'", 0)
end

T["several connections share the tunnel, and the last one closes it"] = function()
  local via <close> = session()
  local one = pg.open(at(via))
  local two = pg.open(at(via))
  local three = pg.open { url = ("postgres://app:p@localhost:%d/app"):format(plane.port), via = via }
  one:close()
  test.equal({ two:value "SELECT 2", three:value "SELECT 3" }, { 2, 3 })
  two:close()
  three:close()
  local again <close> = pg.open(at(via))
  test.equal(again:value "SELECT 4", 4)
  via:close()
  test.equal(test.raises("", again.query, again, "SELECT 5").kind, "network")
end

T["a target that is not there is refused, and said why"] = function()
  local via <close> = session()
  local e = test.raises("", pg.open, at(via, { port = fs.free_port() }), { attempts = 1 })
  test.equal(e.kind, "network")
  test.equal(test.raises("did you mean", via.tunnel, via, "db:5432", { privat = true }).kind, "usage")
end

T["a whole database is copied and compared through the tunnel"] = function()
  local via <close> = session()
  local admin <close> = pg.open(plane.admin)
  admin:exec "CREATE DATABASE other OWNER app"
  local conn <close> = pg.open(at(via))
  conn:exec "CREATE TABLE t (id int PRIMARY KEY, pad text); INSERT INTO t SELECT g, repeat('x', 500) FROM generate_series(1, 20000) g"
  local r = pg.copy { from = at(via), to = at(via, { database = "other" }), progress = false }
  test.equal(r.tables[1].rows, 20000)
  test.equal(pg.same { at(via), at(via, { database = "other" }), progress = false }.equal, true)
end

T["the server stops and leaves nothing running"] = function()
  server:stop()
  plane:stop()
  fs.rmtree(dir)
end

return T
