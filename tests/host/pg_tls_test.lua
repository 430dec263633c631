-- luacheck: no max line length (SQL)
local ca = require "rehearsal.planes.ca"
local errors = require "errors"
local fs = require "fs"
local pg = require "pg"
local postgres = require "rehearsal.planes.postgres"
local test = require "test"

local T = test.cases()

local dir = fs.tmpdir "hkrun-pgtls-"
local authority, stranger = ca.new(dir .. "/ca"), ca.new(dir .. "/stranger")
local files = authority:issue { name = "db.example.com", names = { "db.example.com", "localhost" } }
local plane = postgres.start { dir = dir .. "/main", user = "app", password = "p", database = "app", cert = files.cert, key = files.key, force_ssl = true }

local function open(o)
  local e = { host = "localhost", port = plane.port, user = "app", password = "p", database = "app" }
  for k, v in pairs(o) do e[k] = v end
  return pg.open(e)
end

T["the right authority and name are accepted"] = function()
  local conn <close> = open { ca = authority.file }
  test.match(conn:info().tls.protocol, "^TLSv1")
  test.equal(conn:value "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", true)
end

T["another authority is refused, with what to do"] = function()
  local e = test.raises("certificate verify failed", open, { ca = stranger.file })
  test.equal(e.kind, "tls")
  test.match(e.hint, "root certificates")
end

T["another name is refused"] = function()
  local e = test.raises("does not match", open, { host = "127.0.0.1", ca = authority.file })
  test.equal(e.kind, "tls")
end

T["through a tunnel the real name is still checked"] = function()
  local closed = 0
  local via = { tunnel = function(_, where)
    test.match(where, "^db%.?%w*%.example%.com:5432$")
    return { host = "127.0.0.1", port = plane.port, close = function() closed = closed + 1 end }
  end }
  local conn = open { host = "db.example.com", port = 5432, via = via, ca = authority.file }
  test.equal(conn:value "SELECT 1", 1)
  conn:close()
  conn:close()
  test.equal(closed, 1)
  test.equal(test.raises("does not match", open, { host = "db2.example.com", port = 5432, via = via, ca = authority.file }).kind, "tls")
  test.equal(closed, 2)
  conn = open { host = "db.example.com", port = 5432, via = via }
  test.truthy(conn:info().tls)
  conn:close()
end

T["a server that wants TLS refuses plaintext"] = function()
  local e = test.raises("no encryption", open, { sslmode = "disable" })
  test.equal(e.kind, "tls")
end

T["a pinned certificate is accepted, another is not"] = function()
  local conn <close> = open { sslmode = "require" }
  local pin = conn.handle:fingerprint()
  test.equal(#pin, 64)
  local again <close> = open { pin = pin:upper():gsub("..", "%0:"):sub(1, -2) }
  test.equal(again:value "SELECT 1", 1)
  local e = test.raises("not the pinned one", open, { pin = ("0"):rep(64) })
  test.equal(e.kind, "tls")
  test.equal(test.raises("exclude each other", open, { pin = pin, sslmode = "verify-full" }).kind, "usage")
end

T["a host that is not loopback is never spoken to in clear text unless told"] = function()
  local endpoint = require "pg.endpoint"
  local function mode(e) return endpoint.read(e).params.sslmode end
  test.equal(mode "postgres://u:p@db.example.com/x", "require")
  test.equal(mode "postgres://u:p@127.0.0.1/x", "prefer")
  test.equal(mode { url = "postgres://u:p@127.0.0.1/x", via = {} }, "require")
  test.equal(mode "postgres://u:p@db.example.com/x?sslmode=disable", "disable")
  test.equal(mode { url = "postgres://u:p@db.example.com/x", ca = "/x.pem" }, "verify-full")
  test.equal(mode { url = "postgres://u:p@db.example.com/x?sslmode=require", ca = "/x.pem" }, "require")
  test.equal(mode { url = "postgres://u:p@db.example.com/x", insecure = true, ca = "/x.pem" }, "require")
  local e = endpoint.read "postgres://a%40b:p%2F@[::1]:6000/my%20db?application_name=me&sslmode=require"
  test.equal({ e.params.host, e.params.port, e.params.user, e.params.dbname, e.params.application_name }, { "::1", "6000", "a@b", "my db", "me" })
end

T["a copy and a comparison go over TLS too, and check a pin in every worker"] = function()
  local admin <close> = pg.open(plane.admin)
  admin:exec "CREATE DATABASE other OWNER app"
  local conn <close> = open { ca = authority.file }
  conn:exec "CREATE TABLE t AS SELECT g AS id, repeat('x', 500) AS pad FROM generate_series(1, 20000) g"
  local function at(database, o)
    local e = { host = "localhost", port = plane.port, user = "app", password = "p", database = database }
    for k, v in pairs(o) do e[k] = v end
    return e
  end
  local pin = conn.handle:fingerprint()
  local r = pg.copy { from = at("app", { ca = authority.file }), to = at("other", { pin = pin }), progress = false }
  test.equal(r.tables[1].rows, 20000)
  test.equal(pg.same { at("app", { ca = authority.file }), at("other", { ca = authority.file }), progress = false }.equal, true)
  local ok, e = pcall(pg.copy, { from = at("app", { ca = stranger.file }), to = at("other", { pin = pin }), reset = true, progress = false })
  test.equal({ ok, errors.kind(e) }, { false, "tls" })
end

T["the server stops and leaves nothing running"] = function()
  plane:stop()
  fs.rmtree(dir)
end

return T
