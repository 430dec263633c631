-- The app's database and Redis, whose certificates it does not verify, as apps on Heroku do.
local pg, redis = require "pg", require "redis"

return {
  database = function() return pg.open { url = os.getenv "DATABASE_URL", sslmode = "require" } end,
  redis = function() return redis.open { url = os.getenv "REDIS_URL", insecure = true } end,
}
