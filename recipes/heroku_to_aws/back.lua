--- The way back: what was written on AWS since the cutover goes to Heroku's stores, or is left there when that is wanted.
--- Nobody writes meanwhile: the app is stopped on AWS, and Heroku's frozen.
local errors = require "errors"
local held = require "heroku_to_aws.held"
local pg, queues, redis = require "pg", require "queues", require "redis"
local secret = require "secret"
local stores = require "heroku_to_aws.stores"
local task = require "task"
local text = require "text"

local M = {}

-- pg.copy's remark about what a database holds (see pg/target.lua).
local MARK = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"

--- Whether an earlier rollback was cut off while it replaced Heroku's data.
local function is_half_replaced(at)
  if not at.facts.postgres then return false end
  local db <close> = pg.open(at:old_postgres())
  return (db:value(MARK) or ""):find "^hkrun copy of .*: incomplete$" ~= nil
end

--- The tables whose rows differ, in sentences.
local function rows_of(at, lines)
  local list = pg.same { at:old_postgres(), at:new_postgres(), schema = false, quiet = true, jobs = at.jobs }
  local more, changed = 0, {}
  for _, t in ipairs(list) do
    more = more + math.max(0, t.rows_b - t.rows_a)
    if not t.equal then
      local n = t.rows_b - t.rows_a
      changed[#changed + 1] = ("%s %s"):format(t.table, n == 0 and "(as many rows, not the same)"
        or ("(%d rows %s)"):format(math.abs(n), n > 0 and "more" or "fewer"))
    end
  end
  lines[1] = #changed == 0 and "no row differs" or ("%d rows were added on AWS; changed: %s"):format(more, table.concat(changed, ", "))
  return #changed > 0
end

--- The keys and jobs that differ.
local function jobs_of(at, lines)
  local found = redis.same { at:old_redis(), at:new_redis(), quiet = true, limit = 1, ttl_tolerance = 1000 }
  local states, jobs = {}, 0
  for _, row in ipairs(queues.same { at:old_redis(), at:new_redis(), quiet = true }) do
    if row.a ~= row.b then
      states[#states + 1] = ("%s %s: %d on Heroku, %d on AWS"):format(row.queue, row.state, row.a, row.b)
      jobs = jobs + math.abs(row.b - row.a)
    end
  end
  lines[#lines + 1] = found.count == 0 and "no key differs"
    or ("%d keys differ%s"):format(found.count, #states > 0 and ("; jobs: %s"):format(table.concat(states, ", ")) or "")
  return found.count > 0
end

--- What a rollback would do to the data, in sentences. Reads both sides while AWS is live, so it is a little more in the end.
---@param o { app: HerokuApp, facts: table, new: table, bastion: table?, opt: table }
---@return fun(back: { accept_loss: boolean }): string[]
function M.look(o)
  return function(back)
    local at <close> = stores.new(o)
    at.jobs = o.opt.jobs
    if is_half_replaced(at) then
      return { "an earlier rollback was cut off while it replaced Heroku's data: all of it is copied again" }
    end
    local lines, differs = {}, false
    if at.facts.postgres then differs = rows_of(at, lines) end
    if at.facts.redis then differs = jobs_of(at, lines) or differs end
    if differs then
      lines[#lines + 1] = back.accept_loss and "ALL THIS IS LOST to the app on Heroku: it stays on AWS only"
        or "all this is copied to Heroku and compared before the app starts there"
    end
    return lines
  end
end

--- Heroku's database, whose freeze has made it read-only for all who do not ask for more.
local function to_write(at)
  local where = at:old_postgres()
  local query = secret.parse_url(where.url).query
  where.url = text("%s%soptions=-c%%20default_transaction_read_only=off", where.url, query and query ~= "" and "&" or "?")
  return where
end

local function copy_postgres(at)
  if not at.facts.postgres then return nil end
  pg.copy { from = at:new_postgres(), to = to_write(at), jobs = at.jobs, restart = true, reset = true }
  local list = pg.same { at:new_postgres(), at:old_postgres(), jobs = at.jobs, tolerate = stores.OTHER_SERVER }
  local db <close> = pg.open(to_write(at))
  db:exec(("COMMENT ON DATABASE %s IS NULL"):format(pg.quote_name(db:info().database)))
  local rows = 0
  for _, t in ipairs(list) do rows = rows + t.rows_b end
  return rows
end

local function copy_redis(at)
  if not at.facts.redis then return nil end
  redis.copy { from = at:new_redis(), to = at:old_redis(), restart = true, replace = true }
  local same = redis.same { at:new_redis(), at:old_redis() }
  queues.same { at:new_redis(), at:old_redis() }
  return same.keys
end

--- Carries the data back, and proves that it is the same on both sides.
---@param o { app: HerokuApp, facts: table, new: table, bastion: table?, opt: table }
---@return fun(back: { accept_loss: boolean }): table
function M.carry(o)
  return function(back)
    local at <close> = stores.new(o)
    at.jobs = o.opt.jobs
    if back.accept_loss then
      if is_half_replaced(at) then
        errors.raise { kind = "stopped", op = "leave the data on AWS",
          message = "an earlier rollback was cut off while it replaced Heroku's data, which is not whole now",
          hint = "roll back without --accept-loss: it copies everything back" }
      end
      return { left = true }
    end
    local done = task.all {
      rows = function() return copy_postgres(at) end,
      keys = function() return copy_redis(at) end,
    }
    return { rows = done.rows, keys = done.keys, held = held.note(at) }
  end
end

return M
