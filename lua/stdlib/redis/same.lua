--- Compares two servers: every key of every database by type, value, expiry and, for streams, groups, consumers, pending
--- entries and counters; fields that expire; functions.
---
--- A worker thread (host/redismatch.h) reads both sides side by side and says which keys differ, comparing DUMPs where the
--- servers' formats agree, and values where a DUMP differs, for equal values may be stored otherwise. What it finds is put
--- into words here. Two different values are missed once in 2^64.
local comparison = require "redis.same.comparison"
local errors = require "errors"
local functions = require "redis.same.functions"
local log = require "log"
local options = require "options"
local redis = require "redis"
local task = require "task"

local M = {}

M.OPTIONS = {
  { 1, "one server: a URL, or a table with url=, via=, ca=, pin=", type = "any" },
  { 2, "the other one", type = "any" },
  { "a", "one server", type = "any" },
  { "b", "the other one", type = "any" },
  { "databases", "only these, by number", type = "list" },
  { "functions", "compare the function libraries too", type = "boolean", default = true },
  { "ttl_tolerance", "milliseconds that expiry times may differ; at least 1000 where a server is older than 7.0", type = "integer", default = 0 },
  { "quick", "true: compare only the numbers of keys, and a sample of the keys", type = "boolean", default = false },
  { "sample", "keys that quick compares", type = "integer", default = 1000 },
  { "quiet", "true: answer the differences instead of raising", type = "boolean", default = false },
  { "limit", "differences that are listed; all are counted", type = "integer", default = 100 },
  { "timeout", "seconds without a byte before the comparison gives up", type = "number", default = 60 },
  { "progress", "show progress", type = "boolean", default = true },
  { "on_progress", "function(keys, total), about twice a second", type = "function" },
}

---@class redis.Difference
---@field db integer
---@field key? string
---@field kind "missing"|"extra"|"type"|"value"|"ttl"|"stream"|"count"|"function"
---@field message string one sentence: which key, what differs
---@field a any of a type or an expiry (milliseconds since 1970, -1 for never) what it is on the first side
---@field b any

---@class redis.Same
---@field equal? boolean nil where only a sample was compared, which shows no difference
---@field keys integer that both sides have and were compared
---@field count integer differences, of which `limit` are listed
---@field counts table<string, integer> by kind
---@field differences redis.Difference[]
---@field ttl_tolerance integer milliseconds
---@field sampled? { keys: integer, of: integer } in quick mode: so many keys of so many were compared
---@field notes string[] what could not be compared
---@field seconds number

--- "3 differences (2 value, 1 ttl) in 1,000 keys: ..."
local function sentence(c)
  local kinds, shown = {}, {}
  for kind, n in pairs(c.counts) do kinds[#kinds + 1] = ("%d %s"):format(n, kind) end
  table.sort(kinds)
  for i = 1, math.min(#c.differences, 8) do shown[i] = c.differences[i].message end
  return ("%d %s (%s) in %s keys%s%s"):format(c.count, c.count == 1 and "difference" or "differences", table.concat(kinds, ", "),
    log.amount(math.max(c.keys, c.count)), #shown > 0 and ": " .. table.concat(shown, "; ") or "",
    c.count > #shown and #shown > 0 and ("; and %d more"):format(c.count - #shown) or "")
end

local AGAIN = 2                         -- times that a comparison begins anew because a connection was lost

local function compare(first, second, o)
  local a <close> = redis.open(first, { timeout = o.timeout })
  local b <close> = redis.open(second, { timeout = o.timeout })
  local c = comparison.between(a, b, o)
  c:find_databases(o.databases)
  local total = o.quick and math.min(o.sample, c.total) or c.total
  local progress <close> = o.progress and log.progress { what = c.op, total = total, unit = "keys" } or nil
  local function report(keys)
    if progress then progress:update(keys) end
    if o.on_progress then o.on_progress(keys, total) end
  end
  if o.quick then c:quick(o.sample, report) elseif #c.databases > 0 then c:run(c.databases, nil, report) end
  if o.functions then functions.compare(c) end
  return c, ("accept %s as equal to %s"):format(b.label, a.label)
end

-- See redis.lua.
function M.same(given)
  local o = options.check(given, M.OPTIONS, "redis.same")
  local first, second = o.a or o[1], o.b or o[2]
  if not first or not second then errors.usage "redis.same needs two servers: redis.same{ a, b }" end
  if o.sample < 1 then errors.usage("redis.same: sample must be at least 1, not %d", o.sample) end
  local started = task.now()
  local ok, c, op
  for attempt = 0, AGAIN do
    ok, c, op = pcall(compare, first, second, o)
    if ok then break end
    if attempt == AGAIN or not errors.is(c, "network") then error(c, 0) end
    log.warn("%s; the comparison begins again", tostring(c))
    task.sleep(1)
  end
  local equal = c.count == 0
  if equal and o.quick then equal = nil end
  local result = { equal = equal, keys = c.keys, count = c.count, counts = c.counts, differences = c.differences, sampled = c.sampled,
    ttl_tolerance = c.ttl_tolerance, notes = c.notes, seconds = task.now() - started }
  if c.count > 0 and not o.quiet then
    errors.raise { kind = "stopped", op = op, message = sentence(c), differences = c.differences, counts = c.counts }
  end
  return result
end

return M
