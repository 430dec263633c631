--- Sizes by what was measured, beside those by what the plan's name promises. A proposal is made only from figures that are
--- there, and says its reason; what nobody has measured, above all the processor's load, is said too.
--- Heroku asks for a cache hit rate of 99 % (devcenter.heroku.com/articles/heroku-postgres-database-tuning); RDS lets a class
--- have LEAST(memory / 9531392, 5000) connections (RDS User Guide, "Quotas and constraints"). Read in June 2026.
local tables = require "heroku_to_aws.tables"

local M = {}

local MB = 1 << 20
local HIT_RATE = 0.99                   -- of the reads of pages
local ROOM = 1.25                       -- a dyno gets a quarter more memory than it has used
local GROWTH = 2                        -- of a cache, and of the storage of a database
local BUSY = 0.8                        -- of the connections of a class

--- The share of a database's reads that found their page in memory; null where too few were read to say.
M.CACHE_HIT = [[SELECT CASE WHEN blks_read + blks_hit > 100000 THEN blks_hit::float8 / (blks_read + blks_hit) END
  FROM pg_stat_database WHERE datname = current_database()]]

local function index_of(list, key, name)
  for i, row in ipairs(list) do
    if row[key] == name then return i end
  end
end

local function megabytes(bytes) return bytes / MB end

local function size(bytes)
  if bytes >= 1 << 30 then return ("%.1f GB"):format(bytes / (1 << 30)) end
  return ("%.0f MB"):format(megabytes(bytes))
end

local function connections(class) return math.min(class.memory * MB // 9531392, 5000) end

--- The gigabytes that a database needs at least: twice its data.
---@param bytes integer?
---@return integer
function M.storage(bytes) return math.max(tables.postgres.least, math.ceil(GROWTH * (bytes or 0) / 1e9)) end

--- The class for a database as it was measured. It never goes from a whole processor to a burstable one: the load is not known.
---@param facts { bytes: integer?, connections_used: integer?, cache_hit: number? }
---@param like string the class of about the plan's memory
---@return string? class nil: too little is known
---@return string reason
function M.postgres(facts, like)
  local list, at = tables.databases, index_of(tables.databases, "class", like)
  if not at then return nil, ("%s is not among the classes of the tables"):format(like) end
  if not facts.bytes then return nil, "the size of its data is not known" end
  if facts.cache_hit and facts.cache_hit < HIT_RATE and list[at + 1] and megabytes(facts.bytes) > list[at].memory / 2 then
    return list[at + 1].class, ("only %.1f %% of the reads find their page in memory, and Heroku asks for %.0f %%: one class larger")
      :format(facts.cache_hit * 100, HIT_RATE * 100)
  end
  local why = ("all of its %s fit into the memory"):format(size(facts.bytes))
  for i = 1, at do
    local class = list[i]
    local burstable = class.burstable and not list[at].burstable
    local holds = class.memory * tables.node_share >= megabytes(facts.bytes)
    local serves = (facts.connections_used or 0) <= connections(class) * BUSY
    if not burstable and holds and serves then
      if i == at then return like, why end
      return class.class, why .. (facts.connections_used and (", and its %d connections"):format(facts.connections_used) or "")
        .. "; look at the load of its processor first, which is not known"
    end
  end
  return like, ("its %s do not fit into the memory of a smaller one"):format(size(facts.bytes))
end

--- The node for a cache as it was measured: twice what it holds.
---@param facts { bytes: integer? }
---@return string? node, string reason
function M.cache(facts)
  if not facts.bytes then return nil, "what it holds is not known" end
  for _, node in ipairs(tables.nodes) do
    if node.memory * tables.node_share >= GROWTH * megabytes(facts.bytes) then
      return node.type, ("it holds %s; data may fill %.0f MB of %s"):format(size(facts.bytes), node.memory * tables.node_share, node.type)
    end
  end
  return nil, ("no node of the tables holds twice its %s: a cluster would"):format(size(facts.bytes))
end

--- The memory that a dyno needs by what it has used at most; nil: nobody has measured it. `memory_used` (megabytes) of a process
--- is what `heroku labs:enable log-runtime-metrics` writes into the app's log as sample#memory_total: set it in the recipe.
---@param process { memory_used: number? }
---@return integer? megabytes
function M.dyno(process) return process.memory_used and math.ceil(process.memory_used * ROOM) end

return M
