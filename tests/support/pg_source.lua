--- The two sources of tests and benchmarks: the realistic one of pg_source.sql, and pgbench's.
local errors = require "errors"
local fs = require "fs"
local process = require "process"

local M = {}

local ROWS = { ev = 1300000, us = 40000, ta = 90000, co = 160000, at = 1000, doc = 4000, inv = 40000, led = 200000, aud = 130000,
               sam = 130000, lo = 40 }

--- The statements, one section after another.
---@param scale number 1 makes 1.1 GB, 0.01 is a size for tests (31 MB, two seconds)
---@return string[]
function M.sections(scale)
  local text = fs.read "tests/support/pg_source.sql"
  text = text:gsub(":(%l+)", function(name)
    return ROWS[name] and tostring(math.max(10, math.floor(ROWS[name] * scale)))
  end)
  local list, from = {}, text:find("\n-- ----", 1, true)
  while from do
    local next_from = text:find("\n-- ----", from + 1, true)
    list[#list + 1] = text:sub(from, next_from)
    from = next_from
  end
  return list
end

--- Fills an empty database. The role needs CREATE on it, and to be allowed to give a table to app_rw; it makes the roles
--- app_rw and app_ro, where they are not there, which needs CREATEROLE.
---@param conn PgConnection
---@param scale number
function M.fill(conn, scale)
  for _, sql in ipairs(M.sections(scale)) do conn:exec(sql) end
  conn:exec "VACUUM (FREEZE, ANALYZE)"
end

--- What `pgbench -i` makes, with its foreign keys.
---@param where { host: string, port: integer, user: string, database: string }
---@param scale number 1 is pgbench's scale 50: 750 MB
function M.bench(where, scale)
  local r = process.run { "pgbench", "-i", "-q", "-I", "dtGvpf", "-s", tostring(math.max(1, math.floor(50 * scale))), "-h", where.host, "-p",
    tostring(where.port), "-U", where.user, where.database, timeout = 600 }
  if r.code ~= 0 then errors.raise { op = "pgbench -i", kind = "io", message = r.stderr } end
end

return M
