--- Servers that Debian does not have: tools/redis-versions.sh fetches them into build/redis.
local fs = require "fs"
local process = require "process"
local test = require "test"

local M = {}

--- The program of a server of tools/redis.txt, for planes/redis.start { program = }. What was fetched once is not fetched
--- again. The servers' user must be able to reach it: where it cannot (a checkout in a private folder), it is a copy that
--- goes with the test file.
---@param name "redis-6.2"|"valkey-9"
---@return string
function M.program(name)
  local r = process.run { "sh", "tools/redis-versions.sh", name, timeout = 280 }
  if r.code ~= 0 then error("tools/redis-versions.sh: " .. r.stderr, 2) end
  local program = r.stdout:match "^(.-)\n"
  if process.run({ "test", "-x", program, user = "nobody", cwd = "/" }).code == 0 then return program end
  local copy = fs.tmpdir "hkrun-redis-"
  test.defer_file(function() fs.rmtree(copy) end)
  test.equal(process.run({ "cp", program, copy .. "/server" }).code, 0)
  fs.chmod(copy, 493)
  return copy .. "/server"
end

return M
