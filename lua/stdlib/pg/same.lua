--- pg.same: are two databases the same? Schema, sequences, and of every table
--- the rows: both servers compute, side by side, a sum of 64-bit hashes of each
--- row's text, which does not depend on the order; only the sums travel. Each
--- side is read in one snapshot.
local catalog = require "pg.catalog"
local connection = require "pg.connection"
local endpoint = require "pg.endpoint"
local errors = require "errors"
local log = require "log"
local options = require "options"
local schema = require "pg.schema"
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
  { "schema_map", "schemas that count as another, for extensions", type = "table", default = { heroku_ext = "public" } },
  { "jobs", "tables at once, one connection to either side each", type = "integer", default = 2 },
  { "quiet", "return the differences instead of raising", type = "boolean", default = false },
  { "progress", "show progress", type = "boolean", default = true },
  { "timeout", "seconds for one table", type = "number", default = 6 * 3600 },
}

-- Tables only: a materialized view is computed anew, from rows that are compared; its definition, and whether it is
-- filled, belong to the schema.
local RELATIONS = [[SELECT format('%I.%I', n.nspname, c.relname) AS name, n.nspname || '.' || c.relname AS plain, pg_table_size(c.oid) AS bytes,
    (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND ]] .. catalog.is_user("pg_class", "c.oid")

--- One side: the connections that read the same snapshot.
local function open_side(e, jobs, timeout)
  local side = { free = {}, all = {} }
  for i = 1, jobs do
    local conn = connection.open(e, { timeout = timeout, application_name = "hkrun same" })
    side.all[i], side.free[i] = conn, conn
    conn:exec(catalog.SOURCE)
    conn:exec "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    if i == 1 then side.snapshot = conn:value "SELECT pg_export_snapshot()"
    else conn:exec("SET TRANSACTION SNAPSHOT " .. connection.quote_value(side.snapshot)) end
  end
  return side
end

local function close_side(side)
  for _, conn in ipairs(side and side.all or {}) do conn:close() end
end

-- ROW(...) and no alias: a table may have a column of any name.
local function checksum(conn, name, columns)
  local row = conn:query(([[SELECT count(*) AS n, coalesce(sum(hashtextextended(ROW(%s)::text COLLATE "C", 0)), 0) AS digest
    FROM ONLY %s]]):format(columns or "", name))[1]
  return row.n, row.digest
end

local function large_objects(conn)
  local row = conn:query([[SELECT count(*) AS n, coalesce(sum(hashtextextended(oid || md5(lo_get(oid)), 0)), 0) AS digest
    FROM pg_largeobject_metadata]])[1]
  return row.n, row.digest
end

--- Both sides of one table.
local function compare_table(side_a, side_b, t)
  local slot = table.remove(side_a.slots)
  local a, b = side_a.all[slot], side_b.all[slot]
  local function read(conn, columns)
    if t.large then return { large_objects(conn) } end
    return { checksum(conn, t.name, columns) }
  end
  local both = task.all {
    a = function() return read(a, t.a) end,
    b = function() return read(b, t.b) end,
  }
  side_a.slots[#side_a.slots + 1] = slot
  local r = { table = t.plain, rows_a = both.a[1], checksum_a = both.a[2], rows_b = both.b[1], checksum_b = both.b[2] }
  r.equal = r.rows_a == r.rows_b and r.checksum_a == r.checksum_b
  return r
end

local function common_tables(a, b, o)
  local tables, by_name = {}, {}
  for row in b:rows(RELATIONS) do by_name[row.name] = row end
  for row in a:rows(RELATIONS) do
    local other = by_name[row.name]
    local wanted = (not o.tables or catalog.matches(row.plain, o.tables)) and not catalog.matches(row.plain, o.exclude)
    if other and wanted then
      tables[#tables + 1] = { name = row.name, plain = row.plain, bytes = row.bytes, a = row.columns, b = other.columns }
    end
  end
  table.sort(tables, function(x, y) if x.bytes ~= y.bytes then return x.bytes > y.bytes end return x.name < y.name end)
  if not o.tables and (a:value "SELECT count(*) FROM pg_largeobject_metadata" > 0 or b:value "SELECT count(*) FROM pg_largeobject_metadata" > 0) then
    tables[#tables + 1] = { plain = "large objects", large = true, bytes = 0 }
  end
  return tables
end

local function compare_sequences(a, b, list)
  local states = {}
  for _, s in ipairs(catalog.sequences(b)) do states[s.name] = s end
  for _, s in ipairs(catalog.sequences(a)) do
    local other = states[s.name]
    if other and (other.last ~= s.last or other.called ~= s.called) then
      list[#list + 1] = ("sequence %s stands at %d%s in a, at %d%s in b"):format(s.name, s.last, s.called and "" or " (unused)",
        other.last, other.called and "" or " (unused)")
    end
  end
end

local function run(from, to, o)
  local sides = task.all {
    a = function() return open_side(from, o.jobs, o.timeout) end,
    b = function() return open_side(to, o.jobs, o.timeout) end,
  }
  local _ <close> = setmetatable({}, { __close = function() close_side(sides.a) close_side(sides.b) end })
  local a, b = sides.a.all[1], sides.b.all[1]
  local differences = {}
  if o.schema then
    local read = task.all {
      a = function() return schema.read(a, o.schema_map) end,
      b = function() return schema.read(b, o.schema_map) end,
    }
    differences = schema.compare(read.a, read.b)
    compare_sequences(a, b, differences)
  end
  local tables = common_tables(a, b, o)
  local total, done = 0, 0
  for _, t in ipairs(tables) do total = total + t.bytes end
  local progress = o.progress and total > 0 and log.progress { what = "compare " .. o.name, total = total, unit = "bytes" }
  sides.a.slots = {}
  for i = 1, o.jobs do sides.a.slots[i] = i end
  local list = task.map(tables, function(t)
    local r = compare_table(sides.a, sides.b, t)
    done = done + t.bytes
    if progress then progress:update(done) end
    return r
  end, { limit = o.jobs })
  if progress then progress:done() end
  table.sort(list, function(x, y) return x.table < y.table end)
  list.schema = differences
  return list
end

--- Compares two databases.
---@param given table see DECLARED
---@return { table: string, rows_a: integer, rows_b: integer, checksum_a: string, checksum_b: string, equal: boolean }[] list
--- with .differences (sentences) and .equal
function M.same(given)
  local o = options.check(given, DECLARED, "pg.same")
  local first, second = o.a or o[1], o.b or o[2]
  if not first or not second then errors.usage("pg.same needs two databases: pg.same{ a, b }") end
  if o.jobs < 1 or o.jobs > 32 then errors.usage("pg.same: jobs must be between 1 and 32, not %d", o.jobs) end
  local from, to = endpoint.read(first), endpoint.read(second)
  o.name = ("%s with %s"):format(from.name, to.name)
  local _ <close> = setmetatable({}, { __close = function() endpoint.release(from) endpoint.release(to) end })
  endpoint.reach(from)
  endpoint.reach(to)
  local list = run(from, to, o)
  local differences = {}
  for _, t in ipairs(list) do
    if t.rows_a ~= t.rows_b then differences[#differences + 1] = ("%s has %d rows in a and %d in b"):format(t.table, t.rows_a, t.rows_b)
    elseif not t.equal then differences[#differences + 1] = ("%s has as many rows in both (%d), but not the same ones"):format(t.table, t.rows_a) end
  end
  table.move(list.schema, 1, #list.schema, #differences + 1, differences)
  list.differences, list.equal = differences, #differences == 0
  if not list.equal and not o.quiet then
    local shown = table.concat(differences, "; ", 1, math.min(8, #differences))
    errors.raise { op = "find the databases equal, " .. o.name, kind = "invalid", code = "different", differences = differences,
      message = #differences > 8 and ("%s; and %d more differences"):format(shown, #differences - 8) or shown }
  end
  return list
end

return M
