--- The steps of the cutover. Each answers a function for freeze:once, which may be run again after it was cut off, and
--- returns plain data for the report.
local audit = require "heroku_to_aws.audit"
local downtime = require "heroku_to_aws.downtime"
local errors = require "errors"
local fence = require "pg.fence"
local held = require "heroku_to_aws.held"
local keyspace = require "heroku_to_aws.keyspace"
local pg, queues, redis = require "pg", require "queues", require "redis"
local recipe = require "recipe"
local stores = require "heroku_to_aws.stores"
local task = require "task"
local writers = require "heroku_to_aws.writers"

local M = {}

--- A copy that refuses to drop what is in the target: here an option says that it may.
local function with_hint(copy, ...)
  local ok, result = pcall(copy, ...)
  if ok then return result end
  if (errors.is(result, "invalid") or errors.is(result, "stopped")) and tostring(result.hint):find "re%a+ = true" then
    result.hint = "--overwrite drops it, if it is only what an earlier cutover left that failed"
  end
  error(result, 0)
end

--- Without the bastion the new stores are reached from inside their network, and nowhere else: said where that fails.
local function from_inside(o, reach)
  local ok, result = pcall(reach)
  if ok then return result end
  if not o.bastion and errors.is(result) and not errors.is(result, "cancelled") then
    result.hint = "without the bastion nothing outside of their network reaches the new stores: apply again with --activate-bastion and "
      .. "--bastion-ssh-from, or on a machine there; nothing was stopped"
  end
  error(result, 0)
end

local STOP, PATIENCE = 300, 60          -- seconds that dynos may take to end, and a transaction on Heroku may go on

--- Stops all who write: visitors, dynos, and whoever else has the database's credentials. A guard.
---@param o table as for `steps`
---@param budget integer? seconds for the whole downtime: neither is waited for longer
function M.freeze(o, budget)
  return o.app:freeze { quantities = o.facts.quantities, path = o.opt.health_path, one_off = o.opt.one_off_dynos,
    timeout = math.min(STOP, budget or STOP), patience = math.min(PATIENCE, budget or PATIENCE),
    fence = o.facts.postgres and function() return audit.postgres_source(o.app) end or nil }
end

---@param o { app: HerokuApp, facts: table, new: table, bastion: table?, opt: table, dms: DmsSide?, has_run: fun(): boolean }
function M.steps(o)
  local facts, opt = o.facts, o.opt
  local at = stores.new(o)
  local steps, follow = {}, nil

  --- Before anybody is made to wait: the way to both stores works, with verified certificates, and how fast it is.
  function steps.reach()
    return recipe.once("reach the new stores" .. held.again(), function() return from_inside(o, function()
      local speeds = facts.postgres and downtime.probe_new_postgres(at:new_postgres()) or {}
      if facts.redis then
        local r <close> = redis.open(at:new_redis())
        if #facts.redis.queues > 0 then queues.check(r) else r:command "PING" end
      end
      held.see(at)
      return speeds
    end) end)
  end

  --- What the new stores hold already; raises where it may not be dropped.
  ---@return string? note
  function steps.look() return held.check(o, at) end

  function steps.copy_postgres(progress)
    if not facts.postgres then return { skipped = true } end
    if o.dms then return with_hint(o.dms.finish, o.dms, progress) end
    local started, to = task.now(), at:new_postgres()
    local is_ours = held.is_our_postgres(at)
    -- What a cutover left that was called off before the app ran on AWS is a copy, even if a release process wrote to it.
    local is_copy = is_ours and not o.has_run()
    with_hint(pg.copy, { from = at:old_postgres(), to = to, jobs = opt.jobs,
      restart = true, reset = opt.overwrite or is_copy })
    return { seconds = task.now() - started, writes = fence.writes(at:old_postgres()) }
  end

  --- Copies a large Redis while the app goes on; nil where there is none.
  function steps.follow_redis()
    if not keyspace.is_live(o) then return nil end
    follow = keyspace.follow(o, at)
    return follow
  end

  ---@param since integer? when the freeze began
  function steps.copy_redis(since)
    if not facts.redis then return { skipped = true } end
    return with_hint(function() return keyspace.copy(o, at, since, follow) end)
  end

  --- All equal, and still nobody writes on Heroku; or an error that names what is not.
  ---@param copied { postgres: { writes: integer? } } what copy_postgres answered
  function steps.verify(copied)
    local result = { tables = {}, queues = {}, keys = 0 }
    local keys = facts.redis and writers.redis_count(at:old_redis())
    task.all {
      postgres = function()
        if not facts.postgres then return end
        for i, t in ipairs(pg.same { at:old_postgres(), at:new_postgres(), jobs = opt.jobs, tolerate = stores.OTHER_SERVER }) do
          result.tables[i] = { table = t.table, rows_a = t.rows_a, rows_b = t.rows_b,
            checksum_a = tostring(t.checksum_a), checksum_b = tostring(t.checksum_b), behind = t.behind }
        end
      end,
      redis = function()
        if not facts.redis then return end
        local old, fresh = at:old_redis(), at:new_redis()
        result.keys = redis.same({ old, fresh }).keys
        for _, row in ipairs(queues.same { old, fresh }) do
          if row.a > 0 then result.queues[#result.queues + 1] = { queue = row.queue, state = row.state, a = row.a, b = row.b } end
        end
      end,
    }
    writers.check_dynos(o.app)
    if facts.postgres then writers.check_postgres(at:old_postgres(), copied.postgres.writes) end
    if facts.redis then writers.check_redis(at:old_redis(), keys) end
    return result
  end

  return setmetatable(steps, { __close = function() at:close() end })
end

return M
