--- What the new stores hold before a cutover, and whether it may be dropped for a copy: it may where it is all ours and the app
--- has not run there since. It is ours in a store that was empty when it was first seen, and in one to which nobody has written
--- since a rollback carried all of it to Heroku.
local errors = require "errors"
local fence = require "pg.fence"
local pg, redis = require "pg", require "redis"
local recipe = require "recipe"
local target = require "pg.target"
local task = require "task"

local M = {}

local NO_TABLE = [[SELECT NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_')]]

--- The rollbacks from AWS so far; those before the app lived there carry nothing.
local function rollbacks()
  local list = {}
  for _, r in ipairs(recipe.rollbacks()) do
    if next(r.steps) then list[#list + 1] = r end
  end
  return list
end

--- The end of the names of what is done once for each cutover: "" for the first, " (2)" for the one after a rollback.
---@return string
function M.again()
  local n = #rollbacks()
  return n > 0 and (" (%d)"):format(n + 1) or ""
end

--- What the last rollback noted when it had carried all back; nil where it left the data on AWS.
local function noted()
  local last = rollbacks()
  last = last[#last]
  for _, result in pairs(last and last.steps or {}) do
    if type(result) == "table" and result.held then return result.held, last.at end
  end
end

--- How often a Redis was written to since it was started: the calls of all commands that write.
local function redis_writes(where)
  local r <close> = redis.open(where)
  local writes, n = {}, 0
  for _, command in ipairs(r:command "COMMAND") do
    for _, flag in ipairs(command[3]) do writes[command[1]:lower()] = writes[command[1]:lower()] or flag == "write" end
  end
  for name, calls in r:command("INFO", "commandstats"):gmatch "cmdstat_([^:|]+)[^:]*:calls=(%d+)" do
    if writes[name] then n = n + math.tointeger(tonumber(calls)) end
  end
  return ("%s %d"):format(r:info "server".run_id, n)
end

-- A session that falls silent tells the server only ten seconds later what it has written last.
local SILENT = [[SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND backend_type = 'client backend' AND state_change > clock_timestamp() - interval '11 seconds']]

local function postgres_writes(where)
  local db <close> = pg.open(where)
  local deadline = task.now() + 30
  while db:value(SILENT) > 0 and task.now() < deadline do task.sleep(0.2) end
  return fence.writes(where)
end

--- Notes how often both were written to: for the rollback, when all is on Heroku, too.
---@param at table of stores.new
---@return { postgres: integer?, redis: string? }
function M.note(at)
  return { postgres = at.facts.postgres and postgres_writes(at:new_postgres()), redis = at.facts.redis and redis_writes(at:new_redis()) }
end

--- A once that may be asked for its answer at several places.
local function seen(name, fn)
  if not recipe.done(name) then return recipe.once(name, fn) end
  return select(2, recipe.begun(name)) or false
end

--- A once for each cutover: `is_empty` for the first, the same number of writes as noted for one after a rollback.
local function is_ours(what, is_empty, note, writes)
  local again = M.again()
  if again == "" then return seen(("see that the new %s is empty"):format(what), is_empty) end
  return seen(("see whether the new %s was written to since the rollback%s"):format(what, again), function()
    return note ~= nil and writes() == note
  end)
end

--- Whether all that the new database holds is ours.
---@param at table of stores.new
---@return boolean
function M.is_our_postgres(at)
  return is_ours("database", function()
    local db <close> = pg.open(at:new_postgres())
    return db:value(NO_TABLE)
  end, (noted() or {}).postgres, function() return postgres_writes(at:new_postgres()) end)
end

---@param at table of stores.new
---@return boolean
function M.is_our_redis(at)
  return is_ours("Redis", function()
    local r <close> = redis.open(at:new_redis())
    return r:command "DBSIZE" == 0
  end, (noted() or {}).redis, function() return redis_writes(at:new_redis()) end)
end

--- Sees to both, so that it is on record before anything is copied.
---@param at table of stores.new
function M.see(at)
  if at.facts.postgres then M.is_our_postgres(at) end
  if at.facts.redis then M.is_our_redis(at) end
end

--- What a cutover would have to drop that is not known to be on Heroku, in words.
local function foreign(o, at)
  local list, has_run = {}, o.has_run()
  if at.facts.postgres then
    local ours = M.is_our_postgres(at)
    local db <close> = pg.open(at:new_postgres())
    local _, state = target.mark(db)
    -- After a rollback a finished copy is not just a copy: the app has lived on it.
    local is_copy = M.again() == "" or state ~= nil and state:find "^incomplete" ~= nil
    local why = target.refusal(db, { restart = is_copy, reset = ours and not has_run })
    if why then list[#list + 1] = why.message end
  end
  if at.facts.redis and not (M.is_our_redis(at) and not has_run) then
    local r <close> = redis.open(at:new_redis())
    local keys = r:command "DBSIZE"
    if keys > 0 then list[#list + 1] = ("the new Redis holds %d keys"):format(keys) end
  end
  return list
end

--- Before anybody is stopped: raises where a cutover would have to drop what may be nowhere else.
---@param o { app: HerokuApp, facts: table, opt: table, has_run: fun(): boolean }
---@param at table of stores.new
---@return string? note what there is to know before one agrees
function M.check(o, at)
  if recipe.planning() or o.opt.overwrite or o.facts.moved or recipe.remembered("freeze " .. o.app.name) then return nil end
  local list = foreign(o, at)
  if #list > 0 then
    errors.raise { kind = "stopped", op = "go live again", message = ("%s; it is not known that all of it is on Heroku, too"):format(
      table.concat(list, ", ")), hint = "nothing was stopped; the same command with --overwrite drops it, if nobody needs it" }
  end
  local _, since = noted()
  return since and ("what the new stores hold is on Heroku, too, since the rollback of %s: it is dropped and copied again"):format(since)
end

return M
