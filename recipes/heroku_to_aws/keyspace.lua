--- Moves Redis: a small one within the freeze; of a large one all is copied before, and followed, so that the freeze only
--- waits for the last changes and the comparison.
local downtime = require "heroku_to_aws.downtime"
local fs = require "fs"
local held = require "heroku_to_aws.held"
local recipe = require "recipe"
local redis = require "redis"

local M = {}

local LONG = 30                         -- seconds of copying within the freeze that are too many

--- Whether it is copied before the freeze: as --live-redis says, or when it would take long; and where an earlier run has
--- begun so.
---@param o { app: HerokuApp, facts: table, opt: table }
---@return boolean
function M.is_live(o)
  local facts, wanted = o.facts, o.opt.live_redis
  if not facts.redis then return false end
  if recipe.remembered("notify " .. o.app.redis.addon.name) then return true end
  if facts.moved or wanted == "no" then return false end
  return wanted == "yes" or downtime.keys(facts.redis.probe) > LONG
end

--- Whether the new Redis holds only what an earlier cutover copied there, which may go.
local function is_copy(o, at)
  local is_ours = held.is_our_redis(at)
  return is_ours and not o.has_run()
end

local function options(o, at, journal)
  local to = at:new_redis()
  fs.mkdir_p ".hkrun"
  return { from = at:old_redis(), to = to, journal = journal, restart = not fs.exists(journal), replace = o.opt.overwrite or is_copy(o, at) }
end

local function journal_of(o, what) return (".hkrun/%s.redis-%s"):format(o.new.cache.id, what) end

--- Copies everything while the app goes on, until only what changes now is left. The notifications that tell what changes
--- are a guard: they are as before when its block is left.
---@param o { app: HerokuApp, facts: table, new: table, opt: table, has_run: fun(): boolean }
---@param at table of stores.new
---@return table follow a to-be-closed value; follow.copy goes on until the freeze
function M.follow(o, at)
  local notices = o.app.redis:notify()
  local self = {}
  local function close(_, e)
    if self.copy then self.copy:close() end
    notices:close(e)
  end
  if not recipe.planning() and not recipe.done(("freeze %s/copy redis"):format(o.app.name)) then
    local ok, e = pcall(function()
      local with = options(o, at, journal_of(o, "live"))
      with.notifications = o.app.redis:notifications()
      self.copy = redis.copy.start(with)
      self.copy:wait()
    end)
    if not ok then
      close(nil, e)
      error(e, 0)
    end
  end
  return setmetatable(self, { __close = close })
end

--- Nobody writes any more: the last changes, or all of it. A copy that was killed goes on within the same freeze.
---@param since integer when the freeze began
---@param follow table? of M.follow
---@return { keys: integer, seconds: number, method: string }
function M.copy(o, at, since, follow)
  if follow and follow.copy then
    local done = follow.copy:finish()
    return { keys = done.keys, seconds = done.seconds, method = ("live, %d keys in the end"):format(done.moved + done.deleted) }
  end
  local path = journal_of(o, since)
  local done = redis.copy(options(o, at, path))
  fs.remove(path)
  return { keys = done.keys, seconds = done.seconds, method = done.method }
end

return M
