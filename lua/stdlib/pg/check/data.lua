--- Checks of the rows: what hides some, how many bytes there are, and how long they take.
-- luacheck: no max line length (SQL)
local define = require "pg.check.define"
local log = require "log"
local task = require "task"

local finding, objects, ok = define.finding, define.objects, define.ok
local NAME, RELATIONS = define.NAME, define.RELATIONS

local function megabytes(bytes) return ("%.1f MB"):format(bytes / 1e6) end

local function large_objects(c)
  local n = c.from:value "SELECT count(*) FROM pg_largeobject_metadata"
  if n == 0 then return ok(0) end
  local copied = c.o.mover == "copy"
  return finding(copied and "info" or "error", n,
    ("%d large objects (pg_largeobject): %s"):format(n, copied and "pg.copy brings them, change data capture does not" or "DMS does not move them"),
    copied and "SELECT lo_unlink(oid) FROM pg_largeobject_metadata; /* only those that nothing names any more, which vacuumlo finds */" or
    "use pg.copy, or move them into bytea columns: UPDATE ... SET data = lo_get(id)")
end

local function size(c)
  local bytes = c.from:value "SELECT pg_database_size(current_database())"
  if not c.o.space then return ok(bytes) end
  local need = math.ceil(bytes * 1.25)               -- the copy needs room for WAL and for sorting too
  if need <= c.o.space then return ok(bytes) end
  return finding(bytes > c.o.space and "error" or "warning", bytes,
    ("the source has %s, with WAL and sorting about %s, and the target has room for %s"):format(megabytes(bytes), megabytes(need), megabytes(c.o.space)),
    ("aws rds modify-db-instance --db-instance-identifier NAME --allocated-storage %d --apply-immediately"):format(math.max(20, math.ceil(need / 2 ^ 30))))
end

local LINK = "COPY (SELECT repeat(md5(i::text), 256) FROM generate_series(1, 4096) i) TO STDOUT"   -- 32 MB at most, of no table

--- Bytes a second that come over the link from the source: what arrives within half a second.
local function link_rate(conn)
  local started, bytes = task.now(), 0
  for block in conn:copy_out(LINK) do
    bytes = bytes + #block
    if task.now() - started > 0.5 then break end
  end
  return bytes / math.max(task.now() - started, 0.001)
end

local INDEX_RATE = 25e6                              -- bytes of index that one worker builds in a second, on a small server

-- Sizes without a lock on any table, which somebody may hold exclusively: what the last vacuum counted gives the shares.
local SHARES = [[SELECT pg_database_size(current_database()) AS bytes, (coalesce(sum(c.relpages) FILTER (WHERE c.relkind = 'i'), 0)
  / greatest(sum(c.relpages), 1)::float8) AS of_indexes FROM pg_class c WHERE c.oid >= 16384]]

local function duration(c)
  local row = c.from:query(SHARES)[1]
  local indexes = row.bytes * row.of_indexes
  local rows = row.bytes - indexes
  local rate = c.o.rate or link_rate(c.from)
  local seconds = math.ceil(rows / rate + indexes / (INDEX_RATE * c.o.jobs))
  local measured = log.duration(seconds)
  if seconds < c.o.window then return ok(measured) end
  return finding("warning", measured, ("the copy takes about %s: %s of rows at %s a second, %s of indexes"):format(measured, megabytes(rows),
    megabytes(rate), megabytes(indexes)),
    "run hkrun on a machine in the target's region, give more jobs, or leave out old data with exclude_data; plan the freeze for that long")
end

local TEXT = "SELECT " .. NAME .. " AS name, format('%I', a.attname) AS column, pg_relation_size(c.oid) / current_setting('block_size')::int8 AS blocks " ..
  RELATIONS:gsub("WHERE", "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped " ..
    "JOIN pg_type t ON t.oid = a.atttypid AND t.typcategory = 'S' WHERE", 1) ..
  " AND c.relkind = 'r' AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1, a.attnum"

--- Whether a column's text is all UTF-8 in the rows of a condition.
local function is_utf8(conn, t, where)
  local done, e = pcall(conn.query, conn, ("SELECT count(convert_from(textsend(%s::text), 'UTF8')) FROM ONLY %s WHERE %s"):format(t.column, t.name, where))
  if done then return true end
  if type(e) == "table" and (e.code == "22021" or e.code == "22P05") then return false end
  error(e, 0)
end

local function between(low, high) return ("ctid >= '(%d,0)' AND ctid < '(%d,0)'"):format(low, high) end

--- The place of the first row with other bytes, by halving the blocks.
local function first_bad(conn, t, high)
  local low = 0
  while high - low > 1 do
    local middle = (low + high) // 2
    if is_utf8(conn, t, between(low, middle)) then low = middle else high = middle end
  end
  for _, row in ipairs(conn:query(("SELECT ctid::text AS ctid FROM ONLY %s WHERE %s"):format(t.name, between(low, high)))) do
    if not is_utf8(conn, t, ("ctid = '%s'"):format(row.ctid)) then return row.ctid end
  end
end

local FIX = "UPDATE %s SET %s = convert_from(convert(convert_to(%s, 'SQL_ASCII'), 'WIN1252', 'UTF8'), 'SQL_ASCII') WHERE ctid = '%s'; /* if it is WIN1252 */"

local function invalid_encoding(c)
  if not c.o.deep then return nil end
  local names, fixes, columns = {}, {}, c.from:query(TEXT)
  for _, t in ipairs(columns) do
    local blocks = math.max(1, math.min(t.blocks, c.o.deep_bytes // 8192))
    local ctid = not is_utf8(c.from, t, between(0, blocks)) and first_bad(c.from, t, blocks)
    if ctid then
      names[#names + 1] = ("%s.%s"):format(t.name, t.column)
      fixes[#fixes + 1] = FIX:format(t.name, t.column, t.column, ctid)
    end
  end
  if #names == 0 then return ok(("%d columns read"):format(#columns)) end
  return finding("error", #names, ("text that is no UTF-8 (%s): the copy of these tables stops there"):format(define.some(names)),
    define.some(fixes, " "), names)
end

return {
  { id = "large-objects", name = "large objects", run = large_objects },
  objects { id = "row-security", name = "row-level security that hides rows", severity = "error",
    sql = "SELECT " .. NAME .. " AS name, format('ALTER TABLE %I.%I NO FORCE ROW LEVEL SECURITY;', n.nspname, c.relname) || ' /* as the owner, or copy as a role with BYPASSRLS */' AS remedy " ..
      RELATIONS .. " AND c.relrowsecurity AND row_security_active(c.oid) ORDER BY 1",
    why = "the role of the copy does not see all rows" },
  { id = "invalid-encoding", name = "invalid encoding", run = invalid_encoding },
  { id = "disk-space", name = "disk space", run = size },
  { id = "estimated-time", name = "estimated time", run = duration },
}
