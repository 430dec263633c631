--- What can be known to go wrong with a copy, before anything is written: the servers' kinds, their room, our rights.
local errors = require "errors"
local redis = require "redis"

local M = {}

local MARK = "hkrun:copy"               -- stands in the target while a copy is under way
M.MARK = MARK
local PROBE = MARK .. ":probe"

local function refuse(fmt, ...)
  errors.raise { kind = "stopped", op = "copy Redis", message = fmt:format(...) }
end

--- The first queue that an evicting target would lose jobs of, or nil.
local function find_queue(from, numbers)
  for _, db in ipairs(numbers) do
    from:select(db)
    for key in from:keys_of { match = "*:meta", type = "hash" } do
      if from:hexists(key, "opts.maxLenEvents") == 1 or from:exists((key:gsub("meta$", "id"))) == 1 then
        return "BullMQ queue " .. key:gsub(":meta$", "")
      end
    end
    local queues = from:type "queues" == "set" and from:smembers "queues" or {}
    if queues[1] then return "Sidekiq queue " .. queues[1] end
  end
end

--- A target that evicts more than the source does would lose keys in silence; with queues in it, any eviction would.
local function check_policy(from, a, b, o, numbers)
  local policy = b.maxmemory_policy or "noeviction"
  if policy == "noeviction" then return end
  local queue = find_queue(from, numbers)
  if queue then
    refuse("the target's maxmemory-policy is %s, which may evict jobs of the %s; set noeviction", policy, queue)
  end
  if policy ~= a.maxmemory_policy and not o.evicting then
    refuse("the target's maxmemory-policy is %s, which may evict keys, and the source's is %s; set noeviction, or evicting = true for a cache",
      policy, a.maxmemory_policy or "noeviction")
  end
end

local function check_memory(a, b, kept)
  local limit, need = tonumber(b.maxmemory) or 0, tonumber(a.used_memory_dataset or a.used_memory) or 0
  local spare = limit - (kept and tonumber(b.used_memory) or tonumber(b.used_memory_overhead or b.used_memory) or 0)
  if kept then need = math.max(0, need - (tonumber(b.used_memory_dataset) or 0)) end
  if limit > 0 and need > spare then
    refuse("the target has too little memory: the data takes about %.1f MB, %.1f MB are free", need / 1e6, spare / 1e6)
  end
end

--- Which of the commands a user may not run: they are queued in a transaction, which asks for the rights, and never run.
---@param where any endpoint
---@return { command: string, code: string, message: string }[]
local function refused(where, commands)
  local r <close> = redis.open(where)
  local words = { { "MULTI" }, table.unpack(commands) }
  words[#words + 1] = { "DISCARD" }
  local replies, list = r:pipeline(words, { keep_errors = true }), {}
  if type(replies[1]) == "table" then return list end            -- without MULTI there is no asking
  for i, command in ipairs(commands) do
    local reply = replies[i + 1]
    if type(reply) == "table" and reply.kind then
      list[#list + 1] = { command = command[1], code = reply.code, message = reply.message }
    end
  end
  return list
end

local function words(line)
  local list = {}
  for command in line:gmatch "[^;]+" do
    local one = {}
    for word in command:gmatch "%S+" do one[#one + 1] = word == "KEY" and PROBE or word end
    list[#list + 1] = one
  end
  return list
end

local SCAN = "SCAN 0; TYPE KEY; PTTL KEY"
local WRITE = "SET KEY x; DEL KEY; EXISTS KEY"
local DUMP = { from = "DUMP KEY", to = "RESTORE KEY 0 x REPLACE" }
local VALUE = {
  from = "GETRANGE KEY 0 1; STRLEN KEY; HGETALL KEY; HSCAN KEY 0; HLEN KEY; LRANGE KEY 0 1; LLEN KEY; SMEMBERS KEY; SSCAN KEY 0; SCARD KEY; "
    .. "ZRANGE KEY 0 1; ZSCAN KEY 0; ZCARD KEY; XRANGE KEY - +; XLEN KEY; XINFO STREAM KEY",
  to = "APPEND KEY x; HSET KEY a b; RPUSH KEY a; SADD KEY a; ZADD KEY 1 a; XADD KEY 1-1 a b; XGROUP CREATE KEY g 0; XCLAIM KEY g c 0 1-1; "
    .. "XSETID KEY 1-1; XTRIM KEY MAXLEN 0; XDEL KEY 1-1; PEXPIREAT KEY 1",
}

--- The rights that are missing, in words; nil when none is. What the server does not know is no right. A full source takes
--- no command into a transaction, not even one that reads: then nothing is known of it.
local function missing(side, where, line)
  local names, first = {}, nil
  for _, r in ipairs(refused(where, words(line))) do
    if r.code == "READONLY" then refuse("the %s is a read-only replica; give its primary", side) end
    if r.code == "OOM" and side == "target" then refuse("the %s has too little memory: %s", side, r.message) end
    if r.code == "NOPERM" then
      names[#names + 1] = r.command
      first = first or r.message
    end
  end
  if names[1] then return ("the %s's user may not run %s (%s)"):format(side, table.concat(names, ", "), first) end
end

--- Whether our user may do it. Where DUMP and RESTORE are not for us the copy goes by value.
---@return string? method "value" when it must
local function check_rights(o)
  local why = missing("source", o.from, SCAN) or missing("target", o.to, WRITE)
  if why then refuse("%s", why) end
  local dump = o.method ~= "value" and (missing("source", o.from, DUMP.from) or missing("target", o.to, DUMP.to))
  if not dump and o.method ~= "value" then return end
  if o.method == "dump" then refuse("%s", dump) end
  local value = missing("source", o.from, VALUE.from) or missing("target", o.to, VALUE.to)
  if value then refuse("%s%s", dump and dump .. ", and by value " or "", value) end
  return "value"
end

--- Everything that can be known to go wrong, before anything is written.
---@param found table what copy.survey tells of the source
---@param resumed boolean the target holds what an earlier run of this copy left
---@return string? method "value" when our rights leave no other
function M.check(from, to, o, found, resumed)
  local a, b = found.info, to:info()
  local label = to.label
  if a.run_id and a.run_id == b.run_id then refuse("source and target are the same server, %s", label) end
  if b.role == "slave" then refuse("the target %s is a read-only replica; give its primary", label) end
  for side, info in pairs { source = a, target = b } do
    if info.loading == "1" then refuse("the %s is still loading its data; try again when it has", side) end
  end
  if b.cluster_enabled == "1" then
    refuse("the target %s runs in cluster mode, which redis.copy cannot fill; make one with cluster mode disabled", label)
  end
  if a.cluster_enabled == "1" then
    refuse("the source %s runs in cluster mode, where a connection sees only its own node's keys; redis.copy cannot read it", from.label)
  end
  local method = check_rights(o)
  for _, db in ipairs(found.numbers) do
    local reply = to:pipeline({ { "SELECT", db } }, { keep_errors = true })[1]
    if type(reply) == "table" then refuse("the source uses database %d, which the target %s does not have", db, label) end
  end
  to:select(0)
  local there, total = require("redis.copy").databases(to), 0
  for _, n in pairs(there) do total = total + n end
  if total > 0 and not o.replace and not resumed then
    local half = to:exists(MARK) == 1
    if not (half and o.restart) then
      errors.raise {
        kind = "stopped", op = "copy Redis",
        message = ("the target %s is not empty: it holds %d keys%s"):format(label, total, half and " of a copy that was not finished" or ""),
        hint = half and "restart = true begins again" or "replace = true empties it first",
      }
    end
  end
  check_policy(from, a, b, o, found.numbers)
  check_memory(a, b, resumed)
  return method
end

--- Types that are none of Redis's own belong to modules. Raises where the target does not take one of them, unless the
--- caller leaves them out.
---@return table<string, boolean> left_out types that are not copied
function M.check_types(from, to, o, found)
  local left_out, known = {}, { string = true, hash = true, list = true, set = true, zset = true, stream = true, none = true }
  if not found.info.module then return left_out end
  for _, db in ipairs(found.numbers) do
    from:select(db)
    for key in from:keys_of() do
      local kind = from:type(key)
      if not known[kind] then
        local payload = o.method ~= "value" and from:dump(key)
        local probe = { { "RESTORE", PROBE, 1000, payload, "REPLACE" }, { "DEL", PROBE } }
        local reply = payload and to:pipeline(probe, { keep_errors = true })[1]
        known[kind] = true
        if not payload or type(reply) == "table" then
          if o.unknown ~= "skip" then
            refuse("the source holds keys of type %s, the first is %q in database %d, which the target does not take; load the module there, "
              .. 'or leave them out with unknown = "skip"', kind, key, db)
          end
          left_out[kind] = true
        end
      end
    end
  end
  return left_out
end

--- Whether the target takes the source's DUMP format: one key is tried, under a name of our own that lasts a second.
function M.formats_agree(from, to, numbers)
  local is_other_format = require("redis.copy.keys").is_other_format
  for _, db in ipairs(numbers) do
    from:select(db)
    for key in from:keys_of { count = 10 } do
      local usage = from:pipeline({ { "MEMORY", "USAGE", key } }, { keep_errors = true })[1]
      local payload = (type(usage) ~= "number" or usage < 1e6) and from:pipeline({ { "DUMP", key } }, { keep_errors = true })[1]
      if type(payload) == "table" then return false end
      if payload then
        local reply = to:pipeline({ { "RESTORE", PROBE, 1000, payload, "REPLACE" }, { "DEL", PROBE } }, { keep_errors = true })
        local verdict = reply[1]
        if type(verdict) ~= "table" then return true end
        if is_other_format(verdict) then return false end
        errors.raise { kind = "remote", op = "RESTORE on Redis " .. to.label, message = verdict.message, code = verdict.code, cause = verdict }
      end
    end
  end
  return true
end

--- Whether the source gives strings as they are, many at a time, and the target takes them with an expiry (Redis 6.2): less
--- work for both than DUMP and RESTORE.
function M.takes_strings(from, to)
  local got = from:pipeline({ { "MGET", PROBE } }, { keep_errors = true })[1]
  local set = to:pipeline({ { "SET", PROBE, "", "PXAT", 4102444800000 }, { "DEL", PROBE } }, { keep_errors = true })[1]
  return not got.kind and set == "OK"
end

return M
