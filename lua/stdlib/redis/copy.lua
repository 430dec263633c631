--- Copies the whole keyspace of one server to another, exactly: values byte for
--- byte, expiry to the millisecond, streams with their groups.
---
--- The writers of the source must be stopped for the copy to be exact; keys that
--- expire meanwhile are left out on both sides.
---
--- 1. Everything that can be known to go wrong is looked for first (copy/refusals.lua).
--- 2. Workers SCAN the source and stream strings into SETs, DUMPs into RESTOREs (copy/engine.lua, host/redisworker.c); by
---    value where the formats differ, and key by key where functions filter or change keys (copy/each.lua, by_value.lua).
--- 3. With a journal, slices that are done are kept in mind, and a copy that was cut off goes on (copy/journal.lua).
local by_value = require "redis.by_value"
local each = require "redis.copy.each"
local engine = require "redis.copy.engine"
local errors = require "errors"
local journals = require "redis.copy.journal"
local keys_of = require "redis.copy.keys"
local loads = require "redis.copy.load"
local log = require "log"
local options = require "options"
local redis = require "redis"
local refusals = require "redis.copy.refusals"
local secret = require "secret"
local sign = require "sign"
local task = require "task"

local M = {}

M.OPTIONS = {
  { "from", "the source: a URL, or a table with url=, via=, ca=, pin=", required = true, type = "any" },
  { "to", "the target: the same forms", required = true, type = "any" },
  { "replace", "true: empty the target first, whatever it holds", type = "boolean", default = false },
  { "restart", "true: empty the target if an earlier copy left it half done", type = "boolean", default = false },
  { "journal", "file that remembers what is done: a copy that was cut off goes on with it", type = "string" },
  { "method", "dump: as the server stores it; value: type by type; auto: dump where both agree, strings as they are", type = "string",
    default = "auto", one_of = { "auto", "dump", "value" } },
  { "databases", "only these, by number", type = "list" },
  { "filter", "function(key) -> true when it is to be copied; key: db, name, type, expires_at, value", type = "function" },
  { "transform", "function(key) -> key, changed as it likes, or nil to leave it out", type = "function" },
  { "unknown", "keys of module types that the target does not take: refuse, or skip and list them", type = "string",
    default = "refuse", one_of = { "refuse", "skip" } },
  { "evicting", "true: the target is a cache and may evict keys", type = "boolean", default = false },
  { "functions", "copy the function libraries too", type = "boolean", default = true },
  { "connections", "connections to either side, each with a thread", type = "integer", default = 4 },
  { "parallel", "several databases at the same time", type = "boolean", default = true },
  { "batch", "keys in one round, at most; 500 where they pass one by one", type = "integer", default = 2500 },
  { "load", "share of the source's time that the copy may take while others use it; 1: all", type = "number", default = 0.1 },
  { "rate", "keys a second, at most", type = "integer" },
  { "patience", "seconds to try again when a server cannot be reached", type = "number", default = 60 },
  { "timeout", "seconds without a byte before a connection is given up", type = "number", default = 60 },
  { "on_progress", "function(keys, total, bytes), some times a second", type = "function" },
}

---@param r redis.Connection
---@return table<integer, integer> keys by database number
---@return integer[] numbers sorted
---@return table<integer, boolean> expires databases that have keys that expire
function M.databases(r)
  local keys, numbers, expires = {}, {}, {}
  for name, value in pairs(r:info "keyspace") do
    local number, count, expiring = name:match "^db(%d+)$", value:match "keys=(%d+)", value:match "expires=(%d+)"
    if number and count and count ~= "0" then
      number = math.tointeger(tonumber(number))
      keys[number] = math.tointeger(tonumber(count))
      expires[number] = expiring ~= "0"
      numbers[#numbers + 1] = number
    end
  end
  table.sort(numbers)
  return keys, numbers, expires
end

--- What the source is and has, as far as it is to be copied.
local function survey(from, wanted)
  local keys, numbers, expires = M.databases(from)
  local found = { keys = keys, numbers = numbers, expires = expires, total = 0, info = from:info() }
  if wanted then
    local set = {}
    for _, db in ipairs(wanted) do set[math.tointeger(tonumber(db)) or errors.usage("redis.copy: databases are numbers, not %s", db)] = true end
    found.numbers = {}
    for _, db in ipairs(numbers) do if set[db] then table.insert(found.numbers, db) end end
  end
  for _, db in ipairs(found.numbers) do found.total = found.total + keys[db] end
  return found
end

--- Functions (FUNCTION LOAD) are no keys; they go along where both sides have them.
local function copy_functions(from, to)
  local have = from:pipeline({ { "FUNCTION", "LIST" } }, { keep_errors = true })[1]
  if have.kind or #have == 0 then return end
  to:command("FUNCTION", "RESTORE", from:command("FUNCTION", "DUMP"), "REPLACE")
end

local PASSING = { network = true, timeout = true, closed = true }

local CUT = { EOF = true, ECONNRESET = true, EPIPE = true }

--- A connection that breaks while it is opened is one that breaks; a server that is not there is told at once.
local function open(where, opts)
  for attempt = 1, 3 do
    local ok, r = pcall(redis.open, where, opts)
    if ok then return r end
    if attempt == 3 or not CUT[r.code] then error(r, 0) end
    task.sleep(0.1)
  end
end

--- A server that was started again, or another in its place, has not the keys and cursors that we know. Connections are made
--- again without a word, so each piece of work looks at the end whether its connections are still those of its beginning.
local function check_runs(c)
  for name, r in pairs { source = c.from, target = c.to } do
    local run = c[name .. "_run"]
    if run and c.seen[r] ~= r.handle and r:info "server".run_id ~= run then
      errors.raise { kind = "stopped", code = "restarted", op = ("copy Redis %s to %s"):format(c.from.label, c.to.label),
        message = name .. ": the server was restarted, or another took its place" }
    end
    c.seen[r] = r.handle
  end
end

--- Calls fn again when a connection broke, until the patience is over.
local function patiently(c, fn)
  local since
  while true do
    local ok, v = pcall(function()
      check_runs(c)
      local value = fn()
      check_runs(c)
      return value
    end)
    if ok then return v end
    if not (PASSING[v.kind] or v.code == "LOADING") then error(v, 0) end
    since = since or task.now()
    if task.now() - since > c.o.patience then error(v, 0) end
    task.sleep(0.2)
  end
end

--- By what a copy that was cut off is known again, besides its servers.
local function digest(o)
  local list = { o.method, tostring(o.filter ~= nil), tostring(o.transform ~= nil), o.unknown, tostring(o.batch) }
  for _, db in ipairs(o.databases or {}) do list[#list + 1] = tostring(db) end
  return secret.sha256(table.concat(list, " "))
end

--- Where to begin in each database, by what the journal knows; and how many keys need not be copied again.
local function segments(c, found, way)
  local list, kept = {}, 0
  for _, db in ipairs(found.numbers) do
    local slices, cursor, keys = {}, "0", 0
    if way == "keep" or way == "check" then slices, cursor, keys = c.journal:chain(db) end
    local expires = found.expires[db]
    if way == "check" then
      for _, s in ipairs(slices) do
        list[#list + 1] = { db = db, cursor = s.start, stop = s.stop, expires = expires, digest = s.digest }
      end
    else
      kept = kept + keys
    end
    if not (slices[1] and cursor == "0") then list[#list + 1] = { db = db, cursor = cursor, stop = "0", expires = expires } end
  end
  return list, kept
end

--- Deletes in the target what the source no longer has.
local function sweep(c, numbers)
  for _, db in ipairs(numbers) do
    c.from:select(db)
    c.to:select(db)
    local names = {}
    local function look()
      local ask, delete = {}, {}
      for i, name in ipairs(names) do ask[i] = { "EXISTS", name } end
      for i, there in ipairs(c.from:pipeline(ask)) do
        if there == 0 and names[i] ~= refusals.MARK then delete[#delete + 1] = { "DEL", names[i] } end
      end
      c.to:pipeline(delete)
      names = {}
    end
    for name in c.to:keys_of { count = 500 } do
      names[#names + 1] = name
      if #names == 500 then look() end
    end
    look()
  end
  c.to:select(0)
end

--- By the engine: what it refuses goes by value from here.
local function run_engine(c, list, result, told)
  local extra = { keys = 0, gone = 0 }
  local function take(p, slices, refused)
    for _, r in ipairs(refused) do
      patiently(c, function()
        c.from:select(r.db)
        c.to:select(r.to_db)
        local kind = c.from:type(r.key)
        if c.left_out[kind] then return c.skip(r.db, r.key, kind) end
        local expiry, bound = keys_of.expiry(c.from, { r.key })
        c.bound = math.max(c.bound, bound)
        local n, gone = by_value.many(c.from, c.to, { { key = r.key, name = r.name, type = kind, expires_at = expiry[1] } })
        extra.keys, extra.gone = extra.keys + n, extra.gone + gone
      end)
    end
    if c.journal then
      for _, s in ipairs(slices) do s.ev = "slice" end
      c.journal:write(table.unpack(slices))
    end
    told(result.keys + p.keys + p.checked + extra.keys, result.bytes + p.bytes)
  end
  local p = engine.run(c, list, take)
  c.bound = math.max(c.bound, p.expiry_bound)
  result.keys, result.bytes, result.gone = result.keys + p.keys + p.checked + extra.keys, result.bytes + p.bytes, result.gone + p.gone + extra.gone
end

--- A database that had no key that expires was not asked for expiry; one that has some now is copied again.
local function late_expiry(c, found)
  local _, _, now = M.databases(c.from)
  local list = {}
  for _, db in ipairs(found.numbers) do
    if now[db] and not found.expires[db] then list[#list + 1] = { db = db, cursor = "0", stop = "0", expires = true } end
  end
  return list
end

local function copy_keys(c, found, list, result)
  local what = ("copy Redis %s to %s"):format(c.from.label, c.to.label)
  local progress <close> = log.progress { what = what, total = found.total, unit = "keys" }
  local function told(keys, bytes)
    progress:update(keys)
    if c.o.on_progress then c.o.on_progress(keys, found.total, bytes) end
  end
  if c.by_dump and not (c.o.filter or c.o.transform) then
    run_engine(c, list, result, told)
    local late = patiently(c, function() return late_expiry(c, found) end)
    if late[1] then
      local again = { keys = 0, bytes = 0, gone = 0 }
      run_engine(c, late, again, function() end)
    end
  else
    each.run(c, list, function(copied, slice)
      result.keys = result.keys + copied
      if c.journal then c.journal:write(slice) end
      told(result.keys, c.bytes)
    end, function(fn) return patiently(c, fn) end)
    result.bytes, result.gone, result.dropped = c.bytes, c.gone, c.dropped
  end
end

--- Makes the target ready: empty, and marked as half done.
local function begin(c, way, facts)
  local o, to = c.o, c.to
  if way == "keep" or way == "check" then
    c.journal:write { ev = "again", source = facts.source, target = facts.target, kept = way == "keep" }
    return
  end
  local id = sign.uuid()
  to:select(0)
  if o.replace or o.restart or way == "anew" then to:flushall() end      -- first: its mark is of what the journal forgets
  if c.journal then
    c.journal:begin { id = id, source = facts.source, target = facts.target, options = facts.options, from = c.from.label, to = c.to.label }
  end
  to:set(refusals.MARK, id)
end

local NOTES = {
  keep = "the copy of %s goes on where it was cut off",
  check = "the copy of %s was cut off and the source may have changed since: what was copied is compared first",
  anew = "the copy of %s was cut off and a server was restarted since, or the options are others: it begins again",
}

local function with_hint(e, o)
  if type(e) == "table" and e.kind and not e.hint and e.kind ~= "cancelled" then
    e.hint = o.journal and "run it again with the same journal: it goes on" or "restart = true begins again"
  end
  error(e, 0)
end

local function copy(c, found, way, facts)
  local o = c.o
  local result = { keys = 0, bytes = 0, gone = 0, dropped = 0, kept = 0, method = "none", skipped = {} }
  c.left_out = patiently(c, function() return refusals.check_types(c.from, c.to, o, found) end)
  function c.skip(db, key, kind) result.skipped[#result.skipped + 1] = { db = db, key = key, type = kind } end
  local list
  list, result.kept = segments(c, found, way)
  result.keys = result.kept
  if way then log.info(NOTES[way], c.from.label) end
  if found.total > 0 then
    if c.method == "auto" then
      local agree = patiently(c, function() return refusals.formats_agree(c.from, c.to, found.numbers) end)
      c.method = agree and "dump" or "value"
    end
    c.by_dump, result.method = c.method == "dump", c.method
    c.strings = c.by_dump and o.method == "auto" and patiently(c, function() return refusals.takes_strings(c.from, c.to) end)
  end
  patiently(c, function() begin(c, way, facts) end)
  local ok, e = pcall(copy_keys, c, found, list, result)
  if not ok then with_hint(e, o) end
  patiently(c, function()
    if c.journal and c.journal.may_have_more then sweep(c, found.numbers) end
    if o.functions then copy_functions(c.from, c.to) end
  end)
  result.expiry_bound, result.exact_expiry = c.bound, c.bound == 0
  return result
end

--- The mark goes when the journal knows of the end: whatever comes between, the next call does what is left.
local function finish(c, result)
  if c.journal then c.journal:write { ev = "end", result = result } end
  patiently(c, function()
    c.to:select(0)
    c.to:del(refusals.MARK)
  end)
  return result
end

--- Copies every key of every database. Refuses before writing: a target that is
--- not empty, is the source itself, a replica or a cluster, has too few
--- databases or too little memory, or may evict what the source would keep;
--- rights that our user has not; keys of types that the target does not know.
---@param o { from: any, to: any, replace: boolean, restart: boolean, journal: string, method: string, databases: integer[],
---  filter: function, transform: function, unknown: string, evicting: boolean, functions: boolean, connections: integer,
---  parallel: boolean, batch: integer, load: number, rate: integer, patience: number, timeout: number, on_progress: function }
---@return { keys: integer, kept: integer, bytes: integer, gone: integer, dropped: integer, seconds: number,
---  method: "dump"|"value"|"none", exact_expiry: boolean, expiry_bound: integer, skipped: table[] }
---  keys: in the target now, of which kept were not copied again; bytes: size of the DUMP payloads and strings (0 by value); gone:
---  expired meanwhile; dropped: by a function; expiry_bound: milliseconds that an expiry may be off; skipped: keys of unknown types
function M.copy(o)
  o = options.check(o, M.OPTIONS, "redis.copy")
  if o.connections < 1 or o.connections > 64 then errors.usage("redis.copy: connections must be 1 to 64, not %d", o.connections) end
  if o.load <= 0 or o.load > 1 then errors.usage("redis.copy: load is a share, above 0 and up to 1, not %s", o.load) end
  if o.rate and o.rate < 1 then errors.usage("redis.copy: rate is keys a second, at least 1, not %d", o.rate) end
  local started = task.now()
  local from <close> = open(o.from, { timeout = o.timeout })
  local to <close> = open(o.to, { timeout = o.timeout, db = 0 })
  local c = { from = from, to = to, o = o, bound = 0, seen = {} }
  local seen = patiently(c, function()
    c.exact = keys_of.is_exact(from)
    c.load = loads.new(from, o)
    local mark = to:pipeline({ { "GET", refusals.MARK } }, { keep_errors = true })[1]
    return { survey(from, o.databases), to:info(), type(mark) == "string" and mark or nil }
  end)
  local found, to_info, mark = seen[1], seen[2], seen[3]
  c.source_run, c.target_run = found.info.run_id, to_info.run_id
  local facts = { source = journals.facts(found.info), target = journals.facts(to_info), options = digest(o) }
  local journal <close> = o.journal and journals.open(o.journal) or nil
  local way = journal and not o.restart and journal:way(mark, facts.options, facts.source, facts.target) or nil
  if way == "check" and not journal:has_digests() then way = "anew" end
  c.journal = journal
  if way == "ended" then
    if mark == journal.begun.id then finish(c, journal.ended) end
    return journal.ended
  end
  c.method = patiently(c, function() return refusals.check(from, to, o, found, way ~= nil) end) or o.method
  local result = copy(c, found, way, facts)
  result.seconds = task.now() - started
  return finish(c, result)
end

return M
