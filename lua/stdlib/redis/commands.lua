--- What has to be known of single commands: where the key stands, how long one may block, what it leaves in the
--- connection, what errors may quote. A command that is not named here has its key as its first argument.
local secret = require "secret"

local M = {}

local function set(names)
  local t = {}
  for name in names:gmatch "%S+" do t[name] = true end
  return t
end

-- After these a new connection would not be the same as the old one.
local STATEFUL = set "HELLO READONLY CLIENT:CACHING CLIENT:NO-EVICT CLIENT:NO-TOUCH CLIENT:SETNAME CLIENT:TRACKING"
-- Their answer is no answer, or a stream of them; each with what to do instead.
local UNFIT = {
  SUBSCRIBE = "r:subscribe", PSUBSCRIBE = "r:psubscribe", SSUBSCRIBE = "r:ssubscribe", MONITOR = "r:monitor",
  UNSUBSCRIBE = "leaving the loop", PUNSUBSCRIBE = "leaving the loop", SUNSUBSCRIBE = "leaving the loop",
  ["CLIENT:REPLY"] = "a pipeline", SYNC = "redis.copy", PSYNC = "redis.copy",
}
-- In a cluster these are for all nodes; and these for none in particular, so what to do instead.
local EVERYWHERE = set [[FLUSHALL FLUSHDB DBSIZE KEYS SCRIPT:LOAD SCRIPT:FLUSH FUNCTION:LOAD FUNCTION:DELETE FUNCTION:FLUSH
  FUNCTION:RESTORE CONFIG:SET CONFIG:RESETSTAT]]
local OF_ONE_NODE = {
  SCAN = "keys_of", MULTI = "transaction", EXEC = "transaction", DISCARD = "transaction", WATCH = "transaction",
  UNWATCH = "transaction", SELECT = "database 0, the only one", SWAPDB = "database 0, the only one", WAIT = "nodes()",
  WAITAOF = "nodes()", MONITOR = "nodes()", ASKING = "the cluster itself", READONLY = "nodes()", READWRITE = "nodes()",
  HELLO = "the option protocol", AUTH = "the URL",
}
-- The first argument says what is done.
local CONTAINERS = set [[ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB SCRIPT SENTINEL
  SLOWLOG XGROUP XINFO]]

local KEYLESS = set [[ACL ASKING AUTH BGREWRITEAOF BGSAVE CLIENT CLUSTER COMMAND CONFIG DBSIZE DEBUG DISCARD ECHO EXEC FAILOVER
  FLUSHALL FLUSHDB FUNCTION HELLO INFO KEYS LASTSAVE LATENCY LOLWUT MEMORY MODULE MONITOR MULTI PFSELFTEST PING PSUBSCRIBE PSYNC
  PUBLISH PUBSUB PUNSUBSCRIBE QUIT RANDOMKEY READONLY READWRITE REPLCONF REPLICAOF RESET ROLE SAVE SCAN SCRIPT SELECT SENTINEL
  SHUTDOWN SLAVEOF SLOWLOG SUBSCRIBE SWAPDB SYNC TIME UNSUBSCRIBE UNWATCH WAIT WAITAOF]]
-- Those whose first key is elsewhere: its place among the words; 0: behind the word STREAMS.
local KEY_AT = {
  XREAD = 0, XREADGROUP = 0, BITOP = 3, PFDEBUG = 3, XGROUP = 3, XINFO = 3, OBJECT = 3, ["MEMORY:USAGE"] = 3, MIGRATE = 4,
  SINTERCARD = 3, ZDIFF = 3, ZINTER = 3, ZUNION = 3, ZINTERCARD = 3, LMPOP = 3, ZMPOP = 3, BLMPOP = 4, BZMPOP = 4,
  EVAL = 4, EVAL_RO = 4, EVALSHA = 4, EVALSHA_RO = 4, FCALL = 4, FCALL_RO = 4,
}
-- Of these the word before says how many keys there are.
local COUNTED = set "EVAL EVAL_RO EVALSHA EVALSHA_RO FCALL FCALL_RO"
-- The word that says how long a command may block, counted from the end where it is below 0, and its unit in seconds.
local BLOCKS = {
  BLPOP = { -1, 1 }, BRPOP = { -1, 1 }, BLMOVE = { -1, 1 }, BRPOPLPUSH = { -1, 1 }, BZPOPMIN = { -1, 1 }, BZPOPMAX = { -1, 1 },
  BLMPOP = { 2, 1 }, BZMPOP = { 2, 1 }, WAIT = { 3, 0.001 }, WAITAOF = { 4, 0.001 },
}

local function upper(word) return type(word) == "string" and word:upper() or tostring(word) end

local by_sub = {}                                            -- commands of which the second word matters
for _, facts in ipairs { STATEFUL, UNFIT, KEY_AT, EVERYWHERE } do
  for name in pairs(facts) do
    local outer = name:match "^(.-):"
    if outer then by_sub[outer] = true end
  end
end

--- What the tables say of a command, by its name as it was written: found once, because a pipeline asks it of each.
local known = setmetatable({}, { __mode = "k", __index = function(t, word)
  local name = upper(word)
  local facts = { name = name, stateful = STATEFUL[name], instead = UNFIT[name], key_at = KEY_AT[name] or not KEYLESS[name] and 2 or nil,
    blocks = BLOCKS[name], reads = name == "XREAD" or name == "XREADGROUP", by_sub = by_sub[name],
    counted = COUNTED[name] }
  t[word] = facts
  return facts
end })

local function fact(words, which, facts_of_sub)
  local facts = known[words[1]]
  if facts.by_sub then
    local found = facts_of_sub[facts.name .. ":" .. upper(words[2])]
    if found then return found end
  end
  return facts[which]
end

--- The name of the command, in capitals.
---@param words any[]
---@return string
function M.name(words) return known[words[1]].name end

local function find_word(words, wanted)
  for i = 2, #words do
    if type(words[i]) == "string" and words[i]:upper() == wanted then return i end
  end
end

--- Where the first key stands among the words; nil when the command has none.
---@param words any[]
---@return integer?
function M.key_at(words)
  local at = fact(words, "key_at", KEY_AT)
  if at == 0 then
    local streams = find_word(words, "STREAMS")
    at = streams and streams + 1
  elseif known[words[1]].counted and tostring(words[3]) == "0" then
    return nil
  end
  return at and words[at] ~= nil and at or nil
end

--- Seconds that the command itself may wait for something: 0 for most, math.huge where it was told to wait for ever.
---@param words any[]
---@return number
function M.blocks(words)
  local facts = known[words[1]]
  local block, unit
  if facts.blocks then
    local at = facts.blocks[1]
    block, unit = words[at < 0 and #words + 1 + at or at], facts.blocks[2]
  elseif facts.reads then
    local at, streams = find_word(words, "BLOCK"), find_word(words, "STREAMS")
    if not at or streams and at > streams then return 0 end
    block, unit = words[at + 1], 0.001
  else
    return 0
  end
  local n = type(block) ~= "userdata" and tonumber(block) or 0
  return n == 0 and math.huge or n * unit
end

---@return boolean
function M.is_stateful(words) return fact(words, "stateful", STATEFUL) or false end

--- What does what this command would, were it possible to give it one answer; nil where it is.
---@return string?
function M.instead(words) return fact(words, "instead", UNFIT) end

--- How a command is taken by a whole cluster: "all" when it is for each node, what to use when it is for none; else nil.
---@return string?
function M.in_cluster(words)
  local facts = known[words[1]]
  local everywhere = EVERYWHERE[facts.name] or facts.by_sub and EVERYWHERE[facts.name .. ":" .. upper(words[2])]
  return everywhere and "all" or OF_ONE_NODE[facts.name]
end

local function shown(word, limit)
  if secret.is(word) then return "(secret)" end
  local s = tostring(word):gsub("[%c\x7f-\xff]", "?")
  return #s > limit and s:sub(1, limit - 3) .. "..." or s
end

--- "run SET shop:1 hello on": the command, its key, and the first of its values, shortened. What commands without a key
--- are given (AUTH, CONFIG, ...), and scripts, is never shown.
---@param words any[]
---@param private? boolean the values are not to be shown
function M.describe(words, private)
  local name, at = M.name(words), M.key_at(words)
  local parts = { "run", name }
  if CONTAINERS[name] and type(words[2]) == "string" then parts[3] = shown(words[2]:upper(), 24) end
  if at then parts[#parts + 1] = shown(words[at], 64) end
  if not private and at == 2 then
    for i = 3, math.min(#words, 5) do parts[#parts + 1] = shown(words[i], 20) end
    if #words > 5 then parts[#parts + 1] = "..." end
  end
  parts[#parts + 1] = "on"
  return table.concat(parts, " ")
end

--- Says of a command whether its key is one of those: by the patterns of KEYS (* ? [a-z] \\x), or all when `given` is true.
---@param given true|string[]
---@return fun(words: any[]): boolean
function M.key_matcher(given)
  local patterns = {}
  for i, glob in ipairs(given == true and {} or given) do
    patterns[i] = "^" .. glob:gsub("\\(.)", "[%1]"):gsub("[%^$()%%.+-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".") .. "$"
  end
  return function(words)
    if given == true then return true end
    local at = M.key_at(words)
    local key = at and words[at]
    for _, pattern in ipairs(type(key) == "string" and patterns or {}) do
      if key:find(pattern) then return true end
    end
    return false
  end
end

--- The words that a method's name stands for: xgroup_create is XGROUP CREATE, client_no_evict CLIENT NO-EVICT; one that
--- ends in _ro keeps it.
---@param method string
---@return string? name
---@return string? sub
function M.of_method(method)
  local words = {}
  local stem, ro = method:upper():match "^(.-)(_RO)$"
  for word in (stem or method:upper()):gmatch "[^_]+" do words[#words + 1] = word end
  if #words == 0 then return nil end
  words[#words] = words[#words] .. (ro or "")
  return words[1], words[2] and table.concat(words, "-", 2) or nil
end

return M
