--- The sample app's own tests, as its developers run them, on real servers.
local test = require "test"
local fs = require "fs"
local postgres = require "rehearsal.planes.postgres"
local process = require "process"
local redis = require "rehearsal.planes.redis"

local T = test.cases()

T["npm test passes in a fresh copy of examples/shop"] = function()
  local dir = test.tmpdir()
  fs.chmod(dir, 493)
  local db = postgres.start { dir = dir .. "/postgres", user = "shop", password = "shop", database = "shop", rights = "rds" }
  test.defer(function() db:stop() end)
  local cache = redis.start { dir = dir .. "/redis" }
  test.defer(function() cache:stop() end)
  local function run(...)
    local words = { ... }
    words.cwd, words.timeout = dir .. "/shop", 300
    words.env = { PATH = os.getenv "PATH", HOME = dir, LANG = "C.UTF-8", DATABASE_URL = db.url, REDIS_URL = cache.url }
    local r = process.run(words)
    if r.code ~= 0 then error(r.stdout:sub(-4000) .. r.stderr:sub(-2000)) end
    return r.stdout
  end
  process.run { "cp", "-R", "examples/shop", dir .. "/shop" }
  fs.rmtree(dir .. "/shop/node_modules")
  run("npm", "ci", "--no-audit", "--no-fund")
  local out = run("npm", "test")
  test.match(out, "# fail 0")
  test.truthy(tonumber(out:match "# pass (%d+)") >= 20, "some twenty tests ran")
end

return T
