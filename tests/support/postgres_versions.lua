--- Servers of PostgreSQL majors that Debian does not have: tools/postgres-versions.sh fetches them into build/postgres.
local fs = require "fs"
local process = require "process"
local test = require "test"

local M = {}

--- All majors there are, the installed one left out.
M.MAJORS = { 13, 14, 16, 17, 18 }

--- The folder with a major's initdb and postgres, for planes/postgres.start { bin = }. From 14 on it has pg_dump too.
--- What was fetched once is not fetched again. The servers' user must be able to reach it: where it cannot (a checkout
--- in a private folder), the folder is a copy that goes with the test file.
---@param major integer
---@return string
function M.bin(major)
  local r = process.run { "sh", "tools/postgres-versions.sh", tostring(major), timeout = 280 }
  if r.code ~= 0 then error("tools/postgres-versions.sh: " .. r.stderr, 2) end
  local bin = r.stdout:match "^(.-)\n"
  if process.run({ "test", "-x", bin .. "/postgres", user = "postgres", cwd = "/" }).code == 0 then return bin end
  local copy = fs.tmpdir "hkrun-postgres-"
  test.defer_file(function() fs.rmtree(copy) end)
  test.equal(process.run({ "cp", "-R", (bin:gsub("/bin$", "/.")), copy }).code, 0)
  fs.chmod(copy, 493)
  return copy .. "/bin"
end

return M
