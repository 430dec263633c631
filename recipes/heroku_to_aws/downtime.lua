--- How long nobody can write: predicted before the freeze from measured sizes and speeds, watched during it, and ended,
--- with Heroku going on, when the budget is used up.
local errors = require "errors"
local log = require "log"
local pg, redis = require "pg", require "redis"
local recipe = require "recipe"
local tables = require "heroku_to_aws.tables"
local task = require "task"

local M = {}

local SAMPLE = 4 << 20                  -- bytes that a probe moves
local KEYS = 300                        -- keys of one
local PATIENCE = 20                     -- seconds for one statement of a probe

-- Time enough to tell a speed: less is the way there and back.
local function speed(amount, seconds) return seconds > 0.005 and amount / seconds or nil end

local SIZES = [[SELECT coalesce(sum(pg_table_size(c.oid)), 0)::int8 AS rows, coalesce(sum(pg_indexes_size(c.oid)), 0)::int8 AS indexes
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_']]

-- The largest table, and how many of its rows make a sample.
local LARGEST = [[SELECT format('%I.%I', n.nspname, c.relname) AS name, pg_table_size(c.oid) AS bytes,
  greatest(1, ceil(c.reltuples * $1 / greatest(pg_table_size(c.oid), 1)))::int8 AS rows
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
  ORDER BY pg_table_size(c.oid) DESC LIMIT 1]]

--- Reads a sample of the largest table, as a copy and as a comparison would.
---@param where any as pg.open takes it
---@return { rows: integer, indexes: integer, read: number?, hash: number? } bytes, and bytes a second
function M.probe_postgres(where)
  local db <close> = pg.open(where, { timeout = PATIENCE })
  local found = db:query(SIZES)[1]
  local result = { rows = found.rows, indexes = found.indexes }
  local t = db:query(LARGEST, SAMPLE)[1]
  if not t or t.bytes < 1 << 16 then return result end
  local bytes, began = 0, task.now()
  db:copy_out(("COPY (SELECT * FROM %s LIMIT %d) TO STDOUT"):format(t.name, t.rows), function(block) bytes = bytes + #block end)
  result.read = speed(bytes, task.now() - began)
  began = task.now()
  db:value(("SELECT sum(hashtext(t::text)) FROM (SELECT * FROM %s LIMIT %d) t"):format(t.name, t.rows))
  result.hash = speed(bytes, task.now() - began)
  return result
end

--- Writes a sample into a temporary table.
---@return { write: number? } bytes a second
function M.probe_new_postgres(where)
  local db <close> = pg.open(where, { timeout = PATIENCE })
  db:exec "CREATE TEMPORARY TABLE hkrun_probe (line text)"
  local line, left = ("0123456789abcdef"):rep(64) .. "\n", SAMPLE
  local block, began = line:rep(64), task.now()
  db:copy_in("COPY hkrun_probe FROM STDIN", function()
    left = left - #block
    return left > 0 and block or nil
  end)
  return { write = speed(SAMPLE, task.now() - began) }
end

--- Reads a few keys as a copy would.
---@return { keys: integer, rate: number? } keys a second
function M.probe_redis(where)
  local r <close> = redis.open(where, { timeout = PATIENCE })
  local result = { keys = r:command "DBSIZE" }
  if result.keys < KEYS then return result end
  local ask, began = {}, task.now()
  for i, key in ipairs(r:command("SCAN", "0", "COUNT", tostring(KEYS))[2]) do ask[i] = { "DUMP", key } end
  if #ask > 0 then r:pipeline(ask, { keep_errors = true }) end
  result.rate = speed(#ask, task.now() - began)
  return result
end

--- Seconds for all keys.
---@param probe { keys: integer, rate: number? }?
function M.keys(probe) return probe and probe.keys / (probe.rate or tables.window.keys) or 0 end

local function slower(a, b)
  if not a or not b then return a or b end
  return math.min(a, b)
end

--- Seconds, with each part's share; where nothing could be measured, what tables.window says.
---@param o { postgres: table?, redis: table?, new: { write: number? }?, live: boolean? } of the probes; live: keys are there before
---@return { seconds: number, parts: { what: string, seconds: number }[] }
function M.predict(o)
  local fixed, parts = tables.window, {}
  local function part(what, seconds) parts[#parts + 1] = { what = what, seconds = seconds } end
  local db, kv = o.postgres, o.redis
  local stores = { 0, 0 }
  part("stop the dynos on Heroku", fixed.stop)
  if db then
    local copy = slower(db.read, o.new and o.new.write) or fixed.copy
    local copying, comparing = (db.rows + db.indexes) / copy, db.rows / (db.hash or copy)
    part("copy PostgreSQL", copying)
    part("compare PostgreSQL", comparing)
    stores[1] = copying + comparing
  end
  if kv then
    local copying, comparing = o.live and 0 or M.keys(kv), M.keys(kv)
    part(o.live and "finish and compare Redis" or "copy and compare Redis", copying + comparing)
    stores[2] = copying + comparing
  end
  part("start the app on AWS and test it", fixed.start)
  return { seconds = fixed.stop + math.max(table.unpack(stores)) + fixed.start, parts = parts }
end

--- The prediction for an app of audit.read.
---@param facts table
---@param reached? { write: number? } what the new stores' probe said, once they are there
---@param live? boolean whether Redis is copied before the freeze
function M.of(facts, reached, live)
  if recipe.is_unknown(reached) then reached = nil end
  return M.predict { postgres = facts.postgres and facts.postgres.probe, redis = facts.redis and facts.redis.probe, new = reached, live = live }
end

local SECONDS = { s = 1, m = 60, h = 3600 }

--- "90s", "20m", "1h30m" as seconds; nil if it is none of these.
---@param s string?
---@return integer?
function M.parse(s)
  local seconds, rest = 0, s or ""
  for n, unit in rest:gmatch "(%d+)([smh])" do seconds = seconds + math.tointeger(n) * SECONDS[unit] end
  return rest:gsub("%d+[smh]", "") == "" and seconds > 0 and seconds or nil
end

--- "predicted 6 min 10 s, budget 20 min"
---@param predicted { seconds: number }
---@param budget integer?
---@return string
function M.words(predicted, budget)
  return ("predicted downtime %s, %s"):format(log.duration(predicted.seconds), budget and "budget " .. log.duration(budget) or "no budget given")
end

--- Stops before anybody is made to wait where the budget cannot be kept.
---@param predicted { seconds: number, parts: table[] }
---@param budget integer?
function M.check(predicted, budget)
  if recipe.planning() or not budget or predicted.seconds <= budget then return end
  local longest = { seconds = -1 }
  for _, part in ipairs(predicted.parts) do
    if part.seconds > longest.seconds then longest = part end
  end
  recipe.need(false, "the budget cannot be kept: %s; the longest part is to %s (%s). Nothing was stopped. Give more with --downtime-budget, "
    .. "or take less time: more --jobs, old rows archived first, run hkrun nearer to both sides", M.words(predicted, budget),
    longest.what, log.duration(longest.seconds))
end

local Window = {}

--- Shows how much is left, once a second.
local function show(self)
  local p <close> = log.progress { what = "downtime" }
  while true do
    local left = self.budget and self.began + self.budget - os.time()
    p:note(left and ("%s of the budget of %s left"):format(log.duration(math.max(0, left)), log.duration(self.budget))
      or M.words(self.predicted))
    task.sleep(1)
  end
end

--- From the freeze on: the rest of the block ends with an error when the budget is used up, and so the freeze is undone. A run
--- that goes on after a kill has what is left of it.
---@param freeze table the guard
---@param o { predicted: table, budget: integer? }
---@return table window a to-be-closed value; window:used() are the seconds since the freeze
function M.window(freeze, o)
  local self = setmetatable({ budget = o.budget, predicted = o.predicted, began = freeze.facts and freeze.facts.at or os.time() }, Window)
  if recipe.planning() or freeze.kept then return self end
  if o.budget then
    self.deadline = task.deadline(self.began + o.budget - os.time(), function(cause)
      return errors.new { kind = "stopped", op = "move within the downtime budget", code = "budget", cause = cause,
        message = ("the budget of %s is used up"):format(log.duration(o.budget)),
        hint = "the app goes on running on Heroku, and nothing is lost; apply again tries anew, with a larger --downtime-budget "
          .. "or at a quieter time" }
    end)
  end
  self.ticker = task.spawn(show, self)
  return self
end

function Window:used() return os.time() - self.began end

--- The time is over for the block that it stands in, or the block has ended in time. Safe twice.
function Window:close(cause)
  local ticker, deadline = self.ticker, self.deadline
  self.ticker, self.deadline = nil, nil
  if ticker then
    ticker:cancel()
    task.shield(function() pcall(ticker.join, ticker) end)
  end
  if deadline then getmetatable(deadline).__close(deadline, cause) end
end

Window.__index, Window.__close = Window, Window.close

return M
