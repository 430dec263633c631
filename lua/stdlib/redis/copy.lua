--- Copies the whole keyspace of one server to another, exactly: values byte for
--- byte, expiry to the millisecond, streams with their groups.
---
--- The writers of the source must be stopped for the copy to be exact; keys that
--- expire meanwhile are left out on both sides.
local endpoints = require "redis.endpoint"
local errors = require "errors"
local host = require "host.rediscopy"
local log = require "log"
local move = require "redis.copy.keys"
local options = require "options"
local redis = require "redis"
local task = require "task"

local M = {}

local MARK = "hkrun:copy"               -- stands in the target while a copy is under way
local WINDOW = 2 << 20                  -- bytes that may wait for the target

local declared = {
  { "from", "the source: a URL, or a table with url=, via=, ca=, pin=", required = true, type = "any" },
  { "to", "the target: the same forms", required = true, type = "any" },
  { "replace", "true: empty the target first, whatever it holds", type = "boolean", default = false },
  { "restart", "true: empty the target if an earlier copy left it half done", type = "boolean", default = false },
  { "method", "dump: as the server stores it; value: type by type; auto: dump where both agree", type = "string",
    default = "auto", one_of = { "auto", "dump", "value" } },
  { "batch", "keys in one round", type = "integer", default = 500 },
  { "timeout", "seconds without a byte before the copy gives up", type = "number", default = 60 },
  { "on_progress", "function(keys, total, bytes), about twice a second", type = "function" },
}

---@return table<integer, integer> keys by database number
---@return integer[] numbers sorted
local function databases(r)
  local keys, numbers = {}, {}
  for name, value in pairs(r:info "keyspace") do
    local number, count = name:match "^db(%d+)$", value:match "keys=(%d+)"
    if number and count and count ~= "0" then
      keys[tonumber(number)] = tonumber(count)
      numbers[#numbers + 1] = tonumber(number)
    end
  end
  table.sort(numbers)
  return keys, numbers
end
M.databases = databases
M.OPTIONS = declared

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

--- Everything that can be known to go wrong, before anything is written.
local function refusals(from, to, o, keys, numbers)
  local a, b = from:info(), to:info()
  if a.run_id and a.run_id == b.run_id then refuse("source and target are the same server, %s", to.label) end
  if b.role == "slave" then refuse("the target %s is a read-only replica; give its primary", to.label) end
  if b.cluster_enabled == "1" then refuse("the target %s runs in cluster mode, which redis.copy cannot fill", to.label) end
  for _, db in ipairs(numbers) do
    local reply = to:pipeline({ { "SELECT", db } }, { keep_errors = true })[1]
    if type(reply) == "table" then refuse("the source uses database %d, which the target %s does not have", db, to.label) end
  end
  to:select(0)
  local there, there_numbers = databases(to)
  if #there_numbers > 0 and not o.replace then
    local half = to:exists(MARK) == 1
    if not (half and o.restart) then
      local total = 0
      for _, n in pairs(there) do total = total + n end
      refuse("the target %s is not empty: it holds %d keys%s", to.label, total,
        half and " of a copy that was not finished; restart = true begins again" or "; replace = true empties it first")
    end
  end
  local policy = b.maxmemory_policy or "noeviction"
  if policy ~= "noeviction" then
    local queue = find_queue(from, numbers)
    if queue then
      refuse("the target's maxmemory-policy is %s, which may evict jobs of the %s; set noeviction", policy, queue)
    end
  end
  local limit, need = tonumber(b.maxmemory) or 0, tonumber(a.used_memory_dataset or a.used_memory) or 0
  local spare = limit - (#there_numbers > 0 and tonumber(b.used_memory_overhead) or tonumber(b.used_memory) or 0)
  if limit > 0 and need > spare then
    refuse("the target has too little memory: the data takes about %.1f MB, %.1f MB are free", need / 1e6, spare / 1e6)
  end
  return next(keys) == nil
end

--- Whether the target takes the source's DUMP format: one key is tried, under a
--- name of our own that lasts a second.
local function formats_agree(from, to, numbers)
  for _, db in ipairs(numbers) do
    from:select(db)
    for key in from:keys_of { count = 10 } do
      local payload = from:pipeline({ { "DUMP", key } }, { keep_errors = true })[1]
      if type(payload) == "table" then return false end
      if payload then
        local probe = MARK .. ":probe"
        local reply = to:pipeline({ { "RESTORE", probe, 1000, payload, "REPLACE" }, { "DEL", probe } }, { keep_errors = true })
        local verdict = reply[1]
        if type(verdict) ~= "table" then return true end
        if move.is_other_format(verdict) then return false end
        errors.raise { kind = "remote", op = "RESTORE on Redis " .. to.label, message = verdict.message, code = verdict.code, cause = verdict }
      end
    end
  end
  return true
end

--- The worker goes to the address at which the control connection found the server.
local function set_end(job, method, r)
  local e = r.endpoint
  errors.check("copy Redis", job[method](job, r.address, r.port, e.user, e.password, endpoints.tls(e)))
end

--- The fast way: DUMP and RESTORE on a worker thread. nil: a key that the
--- target does not take this way was met (method = "auto" only).
local function by_dump(from, to, o, numbers, total)
  local exact = from:command("COMMAND", "INFO", "PEXPIRETIME")[1] and true or false
  local job <close> = errors.check("copy Redis", host.new())
  set_end(job, "source", from)
  set_end(job, "target", to)
  errors.check("copy Redis", job:start(numbers, o.batch, exact, WINDOW, o.timeout))
  local op = ("copy Redis %s to %s"):format(from.label, to.label)
  repeat
    local done = task.await(job:id(), 0.5)
    local keys, bytes = job:progress()
    o.report(keys, total, bytes)
  until done
  local result, err = job:result()
  if not result and o.method == "auto" and err.kind == "remote" and move.is_other_format(err) then return nil end
  errors.check(op, result, err)
  result.method, result.exact_expiry = "dump", exact
  return result
end

--- The slow way, for formats that differ: each key by its type's own commands.
local function by_value(from, to, o, numbers, total)
  local copy = require "redis.by_value".copy
  local result = { keys = 0, bytes = 0, gone = 0, method = "value", exact_expiry = true }
  for _, db in ipairs(numbers) do
    from:select(db)
    to:select(db)
    for key in from:keys_of { count = o.batch } do
      local expiry, bound = move.expiry(from, { key })
      local reply = expiry[1]
      if bound > 0 then result.exact_expiry = false end
      if reply ~= -2 and copy(from, to, key, reply) then
        result.keys = result.keys + 1
        if result.keys % o.batch == 0 then o.report(result.keys, total, 0) end
      else
        result.gone = result.gone + 1
      end
    end
  end
  return result
end

--- Functions (FUNCTION LOAD) are no keys; they go along where both sides have them.
local function copy_functions(from, to)
  local have = from:pipeline({ { "FUNCTION", "LIST" } }, { keep_errors = true })[1]
  if have.kind or #have == 0 then return end
  to:command("FUNCTION", "RESTORE", from:command("FUNCTION", "DUMP"), "REPLACE")
end

--- Copies every key of every database. Refuses before writing: a target that is
--- not empty, is the source itself, a replica or a cluster, has too few
--- databases or too little memory, or evicts while there is a queue to lose.
---@param o { from: any, to: any, replace: boolean, restart: boolean, batch: integer, timeout: number, on_progress: function }
---@return { keys: integer, bytes: integer, gone: integer, seconds: number, method: "dump"|"value"|"none", exact_expiry: boolean }
---  bytes: size of the DUMP payloads (0 by value); gone: expired meanwhile; exact_expiry: to the millisecond
function M.copy(o)
  o = options.check(o, declared, "redis.copy")
  local started = task.now()
  local from <close> = redis.open(o.from, { timeout = o.timeout })
  local to <close> = redis.open(o.to, { timeout = o.timeout, db = 0 })
  local keys, numbers = databases(from)
  local empty = refusals(from, to, o, keys, numbers)
  local total = 0
  for _, n in pairs(keys) do total = total + n end
  if o.replace or o.restart then to:flushall() end
  to:set(MARK, from.label)
  local result = { keys = 0, bytes = 0, gone = 0, method = "none", exact_expiry = true }
  if not empty then
    local progress <close> = log.progress { what = ("copy Redis %s to %s"):format(from.label, to.label), total = total, unit = "keys" }
    function o.report(done, all, bytes)
      progress:update(done)
      if o.on_progress then o.on_progress(done, all, bytes) end
    end
    local dump = o.method == "dump" or (o.method == "auto" and formats_agree(from, to, numbers))
    result = dump and by_dump(from, to, o, numbers, total) or by_value(from, to, o, numbers, total)
  end
  copy_functions(from, to)
  to:select(0)
  to:del(MARK)
  result.seconds = task.now() - started
  return result
end

return M
