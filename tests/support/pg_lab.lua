--- A PostgreSQL server for tests: the endpoints of its owner and of its superuser, databases made anew, SQL in a line.
local fs = require "fs"
local pg = require "pg"
local postgres = require "rehearsal.planes.postgres"
local process = require "process"
local test = require "test"

local M = {}

---@class PgLab
---@field plane PostgresPlane
---@field dir string a folder of its own, whose name is new each time
---@field port integer
local Lab = {}
Lab.__index = Lab

--- Starts a server.
---@param o table as for postgres.start, without dir
---@return PgLab
function M.new(o)
  local dir = fs.tmpdir "hkrun-pglab-"
  local options = { dir = dir .. "/main" }
  for name, v in pairs(o) do options[name] = v end
  local ok, plane = pcall(postgres.start, options)
  if not ok then
    fs.rmtree(dir)
    error(plane, 0)
  end
  options.user, options.admin = plane.options.user, plane.options.admin
  return setmetatable({ plane = plane, dir = dir, port = plane.port, options = options }, Lab)
end

--- Starts a server that ends with the test file.
---@param o? table
---@return PgLab
function M.start(o)
  local lab = M.new(o or {})
  test.defer_file(function() lab:close() end)
  return lab
end

--- The endpoint of the owner, or of another role without a password.
function Lab:at(database, user)
  return { host = "127.0.0.1", port = self.port, user = user or self.options.user, password = not user and self.options.password or nil,
           database = database }
end

--- The same as a URL.
function Lab:url(database)
  return ("postgres://%s@127.0.0.1:%d/%s"):format(self.options.user, self.port, database)
end

--- The endpoint of the superuser, who comes by the server's own socket.
function Lab:admin(database)
  return { host = self.plane.admin.host, port = self.port, user = self.options.admin, database = database or "postgres" }
end

--- A connection of the owner to the database that the server was started with.
function Lab:open(o) return pg.open(self.plane.url, o) end

local function endpoint(self, where) return type(where) == "string" and self:at(where) or where end

--- Runs SQL.
---@param where string|table the owner's database, or an endpoint
function Lab:sql(where, text)
  local conn <close> = pg.open(endpoint(self, where))
  conn:exec(text)
end

--- The value that a query gives.
function Lab:value(where, query, ...)
  local conn <close> = pg.open(endpoint(self, where))
  return conn:value(query, ...)
end

--- Makes a database of the owner, in place of the one of that name.
---@param template? string else template0
---@param more? string more of CREATE DATABASE
function Lab:fresh(name, template, more)
  local conn <close> = pg.open(self:admin())
  conn:exec(("DROP DATABASE IF EXISTS %s WITH (FORCE)"):format(name))
  conn:exec(("CREATE DATABASE %s OWNER %s TEMPLATE %s %s"):format(name, self.options.user, template or "template0", more or ""))
end

--- A relay to the server, whose connections can be cut (tcp_cutter.py says how).
---@return Process relay, integer port
function Lab:relay()
  local p = process.start { "python3", "-B", "tests/support/tcp_cutter.py", tostring(self.port), stdout = "pipe", stderr = "inherit" }
  return p, math.tointeger(tonumber(p:read_line()))
end

--- Starts the server again, at the same port; self.plane:stop() or self.plane:crash() has ended it.
function Lab:restart()
  self.options.port = self.port
  self.plane = postgres.start(self.options)
end

function Lab:close()
  self.plane:crash()                                 -- nothing has to be written any more
  fs.rmtree(self.dir)
end
Lab.__close = Lab.close

return M
