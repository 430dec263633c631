local fs = require "fs"
local network = require "rehearsal.planes.network"
local planes = require "rehearsal.planes.redis"              -- a real server, in place of Heroku's
local redis = require "redis"
local secret = require "secret"
local test = require "test"
local T = test.cases()

T["every key arrives in a private cache; again, nothing changes; destroy leaves nothing"] = function()
  local dir = test.tmpdir()
  fs.chmod(dir, 493)
  local old = planes.start { dir = fs.join(dir, "old"), password = secret.new "pw" }
  test.defer(function() old:stop() end)
  do
    local r <close> = redis.open(old.url)
    for i = 1, 100 do r:command("SET", "session:" .. i, "s" .. i, "EX", "3600") end
    r:command("LPUSH", "jobs", "a", "b", "c")
  end
  local root = fs.uid() == 0
  local options = {
    name = "shop", from = old.url, final_snapshot = false, ssh_from = root and network.CLIENT .. "/32" or "127.0.0.1/32",
    bastion_user = not root and select(2, fs.uid()) or nil,
  }
  local cloud <close> = test.cloud { servers = true }
  local done = test.apply("move_redis.lua", options)
  test.equal(done.reports["Equal on both sides"], { { "keys", "101" } })
  test.truthy(not done.output:find "rediss?://", "no URL is printed")
  test.equal(test.apply("move_redis.lua", options).changes, 0)
  test.destroy("move_redis.lua", options)
  test.equal(cloud:left(), {})
end

return T
