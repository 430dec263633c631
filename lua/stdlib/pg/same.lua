--- pg.same: are two databases the same? Every object and property of the schema (pg/schema.lua), the sequences, and all
--- rows: both servers compute, side by side, order-free sums of 64-bit hashes for each chunk of each table; only those
--- sums travel (pg/same/). What differs is named: the table, the chunk, the keys. A difference that came about by accident
--- is missed once in 2^64; it is no proof against somebody who wants two tables to look alike.
local endpoint = require "pg.endpoint"
local errors = require "errors"
local log = require "log"
local options = require "options"
local task = require "task"

local M = {}

local DECLARED = {
  { 1, "one database", type = "any" },
  { 2, "the other", type = "any" },
  { "a", "one database", type = "any" },
  { "b", "the other", type = "any" },
  { "tables", "only these tables: \"schema.table\", with * as a wildcard", type = "list" },
  { "exclude", "tables to leave out", type = "list" },
  { "schema", "compare the schema and the sequences too", type = "boolean", default = true },
  { "rows", "compare the rows", type = "boolean", default = true },
  { "tolerate", "differences that do not count: a kind of object (\"publication\"), a property (\"owner\", \"grants\", \"comment\"), " ..
    "or a property of a kind (\"extension schema\", \"extension version\", \"sequence value\", \"materialized view rows\")",
    type = "list", default = {} },
  { "schema_map", "schemas of a that have another name in b", type = "table", default = { heroku_ext = "public" } },
  { "role_map", "roles of a that have another name in b; the two login roles count as one", type = "table", default = {} },
  { "live", "one side is written to: what differs is read again until it agrees", type = "boolean", default = false },
  { "deadline", "seconds for which a live database may take to agree", type = "number", default = 60 },
  { "journal", "a table, or the path of a file, that keeps what was read, for a call that goes on after an interruption", type = "any" },
  { "jobs", "tables at once, and the most connections to either side", type = "integer", default = 2 },
  { "quiet", "return the differences instead of raising", type = "boolean", default = false },
  { "progress", "show progress", type = "boolean", default = true },
  { "timeout", "seconds for one statement", type = "number", default = 6 * 3600 },
}

-- What may be tolerated and is no fact of the schema.
local WORDS = { ["sequence value"] = true, ["materialized view rows"] = true, ["large objects"] = true, ["large objects owner"] = true,
                ["large objects grants"] = true }

local function tolerance(list)
  local set = {}
  for _, word in ipairs(list) do set[word] = true end
  return function(kind, property)
    return (set[kind] or property and (set[property] or set[kind .. " " .. property])) and true or false
  end
end

---@param is_left_out fun(name: string): boolean
local function compare_sequences(a, b, o, is_left_out)
  local catalog = require "pg.catalog"
  local list, states = {}, {}
  if o.tolerates("sequence", "value") then return list end
  for _, s in ipairs(catalog.sequences(b)) do states[s.name] = s end
  for _, s in ipairs(catalog.sequences(a)) do
    local other = states[s.name]
    if other and not is_left_out(s.name) and (other.last ~= s.last or other.called ~= s.called) then
      list[#list + 1] = ("sequence %s stands at %d%s in a, at %d%s in b"):format(s.name, s.last, s.called and "" or " (unused)",
        other.last, other.called and "" or " (unused)")
    end
  end
  return list
end

--- Reads until both agree or the time for that is over.
local function until_agreed(o, read)
  local list = read()
  local stop, pause = task.now() + o.deadline, 0.1
  while o.live and #list > 0 and task.now() < stop do
    task.sleep(math.min(pause, math.max(0, stop - task.now())))
    pause = math.min(pause * 2, 5)
    list = read()
  end
  return list
end

--- What differs in the schema and the sequences.
local function compare_schema(a, b, o, left_out)
  local schema = require "pg.schema"
  local how = { schema_map = o.schema_map, roles = o.role_map }
  local read
  local differences = until_agreed(o, function()
    read = task.all { a = function() return schema.read(a, how) end, b = function() return schema.read(b, how) end }
    schema.check_words(o.tolerate, read, WORDS)
    return schema.compare(read.a, read.b, o.tolerates, left_out)
  end)
  local sequences = until_agreed(o, function()
    return compare_sequences(a, b, o, function(name) return schema.is_left_out(read.a, "sequence " .. name, left_out) end)
  end)
  table.move(sequences, 1, #sequences, #differences + 1, differences)
  return differences
end

local function compare_rows(sides, o, tables)
  local rows = require "pg.same.rows"
  local parts = require "pg.same.parts".open(o.journal)
  local total, done = 0, 0
  for _, t in ipairs(tables) do total = total + t.bytes end
  local progress = o.progress and total > 0 and log.progress { what = "compare " .. o.name, total = total, unit = "bytes" }
  local slots = {}
  for i = 1, math.min(#sides.a.all, #sides.b.all) do slots[i] = i end
  local list = task.map(tables, function(t)
    local slot = table.remove(slots)
    local r = rows.compare(sides, slot, t, o, parts, function(bytes)
      done = done + bytes
      if progress then progress:update(done) end
    end)
    slots[#slots + 1] = slot
    return r
  end, { limit = #slots })
  if progress then progress:done() end
  table.sort(list, function(x, y) return x.table < y.table end)
  list.resumed = parts.reused > 0 and parts.reused or nil
  return list
end

local function run(from, to, o)
  local side = require "pg.same.side"
  local a <close> = side.open(from, o)
  local b <close> = side.open(to, o)
  local sides = { a = a, b = b, old = math.min(a.version, b.version) < 140000, encodings = a.encoding ~= b.encoding }
  local tables, lost, left_out = require "pg.same.tables".read(a.all[1], b.all[1], o)
  local differences = lost
  if o.schema then differences = compare_schema(a.all[1], b.all[1], o, left_out) end
  local list = o.rows and compare_rows(sides, o, tables) or {}
  list.schema = differences
  return list
end

--- One sentence about a table whose rows differ.
local function say(t)
  if t.error then return ("%s could not be compared: %s"):format(t.table, t.error) end
  local s = t.rows_a ~= t.rows_b and ("%s has %d rows in a and %d in b"):format(t.table, t.rows_a, t.rows_b)
    or ("%s has as many rows in both (%d), but not the same ones"):format(t.table, t.rows_a)
  if t.rows_a == 0 or t.rows_b == 0 then return s end
  local parts = {}
  for i, found in ipairs(t.different) do
    local keys = #found.keys > 0 and table.concat(found.keys, ", ") or "equal a moment later"
    parts[i] = ("in %s: %s%s"):format(found.chunk, keys, found.more and (" and %d more"):format(found.more) or "")
  end
  if t.chunks_different > #parts then parts[#parts + 1] = ("%d of %d chunks differ"):format(t.chunks_different, t.chunks) end
  return s .. " (" .. table.concat(parts, "; ") .. ")"
end

---@class PgSameTable
---@field table string
---@field rows_a integer
---@field rows_b integer
---@field checksum_a string
---@field checksum_b string
---@field equal boolean
---@field behind string? of a materialized view: the side ("a" or "b") where a REFRESH would make it equal, which counts as equal
---@field different table[]

--- Compares two databases: pg.same{ a, b } or pg.same{ a = , b = }.
---@param given table see DECLARED
---@return PgSameTable[] list
--- with .differences (sentences) and .equal; .resumed is the number of parts that an earlier call had read.
function M.same(given)
  local o = options.check(given, DECLARED, "pg.same")
  local first, second = o.a or o[1], o.b or o[2]
  if not first or not second then errors.usage("pg.same needs two databases: pg.same{ a, b }") end
  if o.jobs < 1 or o.jobs > 32 then errors.usage("pg.same: jobs must be between 1 and 32, not %d", o.jobs) end
  if o.live and o.journal then errors.usage("pg.same: a live database is compared in one go, without a journal") end
  local from, to = endpoint.read(first), endpoint.read(second)
  o.name = ("%s with %s"):format(from.name, to.name)
  o.roles, o.tolerates = o.role_map, tolerance(o.tolerate)
  local _ <close> = setmetatable({}, { __close = function() endpoint.release(from) endpoint.release(to) end })
  endpoint.reach(from)
  endpoint.reach(to)
  local list = run(from, to, o)
  local differences = {}
  for _, t in ipairs(list) do if not t.equal then differences[#differences + 1] = say(t) end end
  table.move(list.schema, 1, #list.schema, #differences + 1, differences)
  list.differences, list.equal = differences, #differences == 0
  if not list.equal and not o.quiet then
    local shown = table.concat(differences, "; ", 1, math.min(8, #differences))
    errors.raise { op = "find the databases equal, " .. o.name, kind = "invalid", code = "different", differences = differences,
      message = #differences > 8 and ("%s; and %d more differences"):format(shown, #differences - 8) or shown }
  end
  return list
end

M.OPTIONS = DECLARED

return M
