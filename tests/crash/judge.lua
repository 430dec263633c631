--- The judge of the app in tests/crash/app: puts its jobs and keys there, and compares the old stores with the new ones in
--- SQL and Redis commands of its own, not with what the migration compares them with.
local pg = require "pg"
local redis = require "redis"
local task = require "task"

local M = {}

local TABLES = { "customers", "orders", "events", "sales", "open_orders" }
local MOVING = { ["bull:mail:wait"] = true, ["bull:mail:active"] = true, ["bull:mail:completed"] = true }
local WAIT = 30                         -- seconds for the jobs that are left

local function database(stores) return pg.open { url = stores.database, sslmode = "require" } end
local function keyspace(stores) return redis.open { url = stores.redis, insecure = true } end

--- Lets everybody write to a database that a migration has closed.
---@param stores { database: string, redis: string } URLs
function M.open(stores)
  local db <close> = database(stores)
  db:exec "SET default_transaction_read_only = off"
  db:exec(("ALTER DATABASE %s RESET default_transaction_read_only"):format(pg.quote_name(db:info().database)))
end

--- The app's stores before a migration: no job has run yet.
---@param stores { database: string, redis: string } URLs
---@param jobs integer
function M.seed(stores, jobs)
  local db <close> = database(stores)
  local r <close> = keyspace(stores)
  db:exec "TRUNCATE job_runs"
  local commands = { { "FLUSHDB" },
    { "SET", "session:1", "somebody", "EX", "86400" }, { "SET", "flag", "on" }, { "HSET", "cart:1", "sku-1", "2", "sku-7", "1" },
    { "ZADD", "popular", "3", "sku-1", "1.5", "sku-7" }, { "SADD", "numbers", "1", "7" }, { "RPUSH", "recent", "1", "2", "3" },
    { "XADD", "audit", "1-1", "what", "login" }, { "XGROUP", "CREATE", "audit", "readers", "0" },
    { "HSET", "bull:mail:meta", "opts.maxLenEvents", "10000", "version", "bullmq:5.0.0" }, { "SET", "bull:mail:id", tostring(jobs) } }
  local wait = { "LPUSH", "bull:mail:wait" }
  for id = 1, jobs do
    commands[#commands + 1] = { "HSET", "bull:mail:" .. id, "name", "receipt", "data", ('{"order":%d}'):format(id) }
    wait[#wait + 1] = tostring(id)
  end
  commands[#commands + 1] = wait
  r:pipeline(commands)
end

local function same_rows(old, new, problems)
  local statements = { numbers = "SELECT last_value::text FROM numbers", orders_id_seq = "SELECT last_value::text FROM orders_id_seq" }
  for _, name in ipairs(TABLES) do
    statements[name] = ("SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM %s AS t"):format(name)
  end
  for name, sql in pairs(statements) do
    local a, b = old:value(sql), new:value(sql)
    if a ~= b then problems[#problems + 1] = ("%s differs: %s, now %s"):format(name, a, b) end
  end
end

--- Each job has run once; what ran on Heroku, and nothing else, is on record there.
local function same_jobs(old, new, jobs, problems)
  local function runs(db)
    local list = {}
    for _, row in ipairs(db:query "SELECT job, place FROM job_runs") do
      list[row.job] = list[row.job] and list[row.job] .. " and " .. row.place or row.place
    end
    return list
  end
  local before, after = runs(old), runs(new)
  for id = 1, jobs do
    local key = tostring(id)
    local place = after[key]
    if place ~= "heroku" and place ~= "aws" then problems[#problems + 1] = ("job %d ran on: %s"):format(id, place or "neither side")
    elseif before[key] ~= (place == "heroku" and "heroku" or nil) then
      problems[#problems + 1] = ("job %d ran on %s, and Heroku's database says: %s"):format(id, place, before[key] or "not there")
    end
  end
end

local function keys_of(r)
  local found = {}
  for key in r:keys_of { match = "*" } do
    if not MOVING[key] then found[key] = { dump = r:command("DUMP", key), expires = r:command("PTTL", key) } end
  end
  return found
end

local function same_keys(old, new, problems)
  local a, b = keys_of(old), keys_of(new)
  for key, was in pairs(a) do
    local is = b[key]
    if not is or is.dump ~= was.dump or math.abs(is.expires - was.expires) > 5000 then
      problems[#problems + 1] = ("the key %s is %s"):format(key, is and "another" or "lost")
    end
  end
  for key in pairs(b) do
    if not a[key] then problems[#problems + 1] = ("the key %s is new"):format(key) end
  end
end

local function drain(r)
  local deadline = task.now() + WAIT
  while r:command("LLEN", "bull:mail:wait") + r:command("LLEN", "bull:mail:active") > 0 and task.now() < deadline do task.sleep(0.02) end
  return r:command("ZCARD", "bull:mail:completed")
end

--- What was lost, doubled or changed on the way from the old stores to the new.
---@param old table stores
---@param new table
---@param jobs integer
---@return string[]
function M.compare(old, new, jobs)
  local problems = {}
  local old_db <close> = database(old)
  local new_db <close> = database(new)
  local old_redis <close> = keyspace(old)
  local new_redis <close> = keyspace(new)
  local done = drain(new_redis)
  if done ~= jobs then problems[1] = ("%d of %d jobs were done"):format(done, jobs) end
  same_rows(old_db, new_db, problems)
  same_jobs(old_db, new_db, jobs, problems)
  same_keys(old_redis, new_redis, problems)
  return problems
end

return M
