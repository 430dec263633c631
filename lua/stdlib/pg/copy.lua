--- pg.copy: a whole database into an empty one, from one consistent snapshot.
--- 1. pg_dump reads the schema in the snapshot; what makes tables goes first.
--- 2. The engine's workers stream the rows, largest table first, and build each
---    index and constraint as soon as its table is in, then ANALYZE it.
--- 3. Foreign keys, then all else in pg_dump's order; sequences; materialized views.
--- A mark on the target says how far it came (pg/target.lua): a copy that was
--- cut off is begun anew with restart = true, and ends in the same state.
local catalog = require "pg.catalog"
local connection = require "pg.connection"
local dump = require "pg.dump"
local endpoint = require "pg.endpoint"
local errors = require "errors"
local log = require "log"
local options = require "options"
local pgcopy = require "host.pgcopy"
local target = require "pg.target"
local task = require "task"

local M = {}

local DECLARED = {
  { "from", "source database", type = "any", required = true },
  { "to", "target database", type = "any", required = true },
  { "jobs", "workers, each with one connection to either side", type = "integer", default = 2 },
  { "exclude", "tables to leave out: \"schema.table\", with * as a wildcard", type = "list" },
  { "exclude_data", "tables to make but not to fill", type = "list" },
  { "schema_map", "schemas to rename on the way, for extensions", type = "table", default = { heroku_ext = "public" } },
  { "large_objects", "copy large objects", type = "boolean", default = true },
  { "split", "bytes from which on a table is copied in parts", type = "integer", default = 128 * 1024 * 1024 },
  { "restart", "drop what an earlier, unfinished copy left", type = "boolean", default = false },
  { "reset", "drop whatever the target holds", type = "boolean", default = false },
  { "progress", "show progress", type = "boolean", default = true },
  { "timeout", "seconds for one statement", type = "number", default = 24 * 3600 },
}

local TARGET = table.concat({
  "SET check_function_bodies = off", "SET intervalstyle = 'postgres'", "SET datestyle = 'ISO, YMD'", "SET timezone = 'UTC'",
  "SET xmloption = content", "SET lc_monetary = 'C'", "SET statement_timeout = 0", "SET lock_timeout = 0",
  "SET idle_in_transaction_session_timeout = 0", "SET client_min_messages = warning", "SET synchronous_commit = off" }, "; ")

--- Runs an entry of the dump; the error names the object.
local function apply(conn, entry)
  local ok, e = pcall(conn.exec, conn, entry.sql)
  if ok then return end
  if errors.is(e) and e.kind ~= "cancelled" then
    e.op = ("create %s %s in %s"):format(entry.type:lower(), entry.name, conn.name)
    if e.code == "42501" and entry.type == "EXTENSION" then
      e.hint = "the target role may not create it: let the server's administrator do so first"
    end
  end
  error(e, 0)
end

--- Extension entries that can be made, comments on extensions left out.
local function check_extensions(conn, entries)
  local offered, missing, kept = {}, {}, {}
  for row in conn:rows "SELECT name FROM pg_available_extensions" do offered[row.name] = true end
  for _, entry in ipairs(entries) do
    if entry.type == "EXTENSION" and not offered[entry.name] then missing[#missing + 1] = entry.name end
    local is_public = entry.type == "SCHEMA" and entry.name == "public"
    if not is_public and not (entry.type == "COMMENT" and entry.name:find "^EXTENSION ") then kept[#kept + 1] = entry end
  end
  if #missing > 0 then
    errors.raise { op = "copy into " .. conn.name, kind = "invalid", message =
        "the target server does not offer the extension " .. table.concat(missing, ", "),
      hint = "drop it on the source if nothing uses it, or choose a target that has it" }
  end
  return kept
end

local function make_schema(conn, pre)
  local tx <close> = conn:transaction()
  conn:exec "SELECT set_config('search_path', '', true)"
  for _, entry in ipairs(pre) do
    if entry.type == "COMMENT" and entry.name == "SCHEMA public" then
      local ok, e = pcall(function()
        local inner <close> = conn:transaction()
        apply(conn, entry)
        inner:commit()
      end)
      if not ok and e.code ~= "42501" then error(e, 0) end
    else
      apply(conn, entry)
    end
  end
  tx:commit()
end

--- One job or several for the rows of a table; returns their numbers.
local function add_data(engine, t, o, binary)
  local format = binary and t.portable and "binary" or "text"
  local list = t.columns and " (" .. t.columns .. ")" or ""   -- a table may have no columns of its own, and rows
  local parts = 1
  if t.pages * 8192 >= o.split and o.can_split then parts = math.min(16, math.max(2, t.pages * 8192 // (96 * 1024 * 1024))) end
  if parts == 1 then
    return { engine:add { source = ("COPY %s%s TO STDOUT (FORMAT %s)"):format(t.name, list, format),
      target = ("TRUNCATE ONLY %s; COPY %s%s FROM STDIN (FORMAT %s, FREEZE)"):format(t.name, t.name, list, format), weight = t.bytes * 2 + 1 } }
  end
  local jobs = {}
  for i = 0, parts - 1 do
    local where = ("ctid >= '(%d,0)'"):format(t.pages * i // parts)
    if i < parts - 1 then where = where .. (" AND ctid < '(%d,0)'"):format(t.pages * (i + 1) // parts) end
    jobs[#jobs + 1] = engine:add {
      source = ("COPY (SELECT %s FROM ONLY %s WHERE %s) TO STDOUT (FORMAT %s)"):format(t.columns or "", t.name, where, format),
      target = ("COPY %s%s FROM STDIN (FORMAT %s)"):format(t.name, list, format), weight = t.bytes * 3 }
  end
  return jobs
end

local LARGE_OBJECTS = {
  source = "COPY (SELECT oid, lo_get(oid) FROM pg_largeobject_metadata ORDER BY oid) TO STDOUT",
  target = "CREATE TEMP TABLE hkrun_large_objects (oid oid, data bytea) ON COMMIT DROP; COPY hkrun_large_objects FROM STDIN",
  after = "SELECT count(lo_from_bytea(oid, data)) FROM hkrun_large_objects",
}

--- Waits for the engine; a cancelled task stops it first.
local function drive(engine, o, total)
  local progress = o.progress and total > 0 and log.progress { what = "copy " .. o.name, total = total, unit = "bytes" }
  local ok, e = pcall(function()
    errors.check("start the copy", engine:start())
    while not task.await(engine:id(), 0.5) do
      if progress then progress:update((engine:progress())) end
    end
  end)
  if not ok then
    engine:cancel()
    task.shield(function() task.await(engine:id(), 60) end)
    error(e, 0)
  end
  if progress then
    progress:update((engine:progress()))
    progress:done()
  end
end

--- Raises one error for all jobs that failed, each by its name.
local function report(engine, names, o)
  local ok, err = engine:result()
  if ok then return end
  local parts, first = {}, nil
  for i, name in pairs(names) do
    local job = engine:job(i)
    if job.error then
      first = first or job.error
      parts[#parts + 1] = ("%s: %s%s"):format(name, job.error.message, job.error.detail and " (" .. job.error.detail .. ")" or "")
    end
  end
  table.sort(parts)
  errors.raise { op = "copy " .. o.name, kind = err.kind, code = err.code, retry = err.retry, cause = first or err,
    message = #parts > 0 and table.concat(parts, "; ", 1, math.min(#parts, 5)) .. (#parts > 5 and ("; and %d more"):format(#parts - 5) or "")
      or err.message }
end

local function new_engine(from, to, o, snapshot)
  return pgcopy.new(from.params, to.params, o.jobs, { snapshot = snapshot, source_setup = catalog.SOURCE, target_setup = TARGET,
    source_pin = from.pin, target_pin = to.pin })
end

--- Rows, and each table's indexes, constraints and statistics.
local function fill(from, to, o, snapshot, tables, post, large_objects)
  local engine <close> = new_engine(from, to, o, snapshot)
  local names, data, ids, after, total = {}, {}, {}, {}, 0
  for i, t in ipairs(tables) do
    ids[t.name] = i
    data[t.name], after[t.name] = {}, {}
    if t.kind == "r" and not t.skip_data then
      data[t.name] = add_data(engine, t, o, o.binary)
      for _, job in ipairs(data[t.name]) do names[job] = "table " .. t.plain end
      table.move(data[t.name], 1, #data[t.name], 1, after[t.name])
      total = total + t.bytes
    end
  end
  if large_objects then
    names[engine:add(LARGE_OBJECTS)] = "large objects"
  end
  local by_name = {}
  for _, t in ipairs(tables) do by_name[t.name] = t end
  for _, entry in ipairs(post) do
    local t = by_name[entry.table or ""]
    if t and (entry.type == "INDEX" or entry.type == "CONSTRAINT") then
      local alone = entry.type == "CONSTRAINT" or entry.sql:find "ALTER TABLE"
      local job = engine:add { target = entry.sql, needs = data[t.name], weight = t.bytes,
        locks = { alone and ids[t.name] or -ids[t.name] } }
      names[job] = entry.type:lower() .. " " .. entry.name
      entry.done = true
      after[t.name][#after[t.name] + 1] = job
    end
  end
  for _, t in ipairs(tables) do
    if t.kind == "r" then
      names[engine:add { target = "ANALYZE " .. t.name, needs = after[t.name],
        weight = t.bytes / 20, locks = { ids[t.name] } }] = "analyze " .. t.plain
    end
  end
  drive(engine, o, total)
  report(engine, names, o)
  local result, bytes = {}, 0
  for _, t in ipairs(tables) do
    if t.kind == "r" then
      local row = { name = t.plain, rows = 0, bytes = 0, seconds = 0 }
      for _, job in ipairs(data[t.name]) do
        local j = engine:job(job)
        row.rows, row.bytes, row.seconds = row.rows + j.rows, row.bytes + j.bytes, row.seconds + j.seconds
      end
      bytes = bytes + row.bytes
      result[#result + 1] = row
    end
  end
  return result, bytes
end

--- Foreign keys side by side, but never two that lock the same table.
local function foreign_keys(from, to, o, post, is_excluded)
  local engine <close> = new_engine(from, to, o)
  local names, ids, count, gone = {}, {}, 0, {}
  local function lock(name)
    if not ids[name] then count = count + 1 ids[name] = count end
    return ids[name]
  end
  for _, entry in ipairs(post) do
    if entry.type == "FK CONSTRAINT" then
      entry.done = true
      if is_excluded[entry.references] then
        gone["CONSTRAINT " .. entry.name:gsub("^(.*) (%S+)$", "%2 ON %1")] = true
      else
        local locks = { lock(entry.table) }
        if entry.references ~= entry.table then locks[2] = lock(entry.references) end
        names[engine:add { target = entry.sql, locks = locks }] = "foreign key " .. entry.name
      end
    end
  end
  for _, entry in ipairs(post) do
    if entry.type == "COMMENT" and gone[entry.name] then entry.done = true end
  end
  if not next(names) then return end
  drive(engine, o, 0)
  report(engine, names, o)
end

local function set_sequences(source, conn)
  local parts = {}
  for _, s in ipairs(catalog.sequences(source)) do
    parts[#parts + 1] = ("setval(%s, %d, %s)"):format(connection.quote_value(s.name), s.last, s.called)
  end
  for i = 1, #parts, 200 do
    conn:exec("SELECT " .. table.concat(parts, ", ", i, math.min(i + 199, #parts)))
  end
end

local function run(source, conn, from, to, o)
  conn:exec(TARGET)
  source:exec(catalog.SOURCE)
  target.prepare(conn, o)
  local _ <close> = source:transaction { isolation = "repeatable read", read_only = true }
  local snapshot = source:value "SELECT pg_export_snapshot()"
  local version, other = source:info().version, conn:info().version
  o.binary = version // 10000 == other // 10000
  o.can_split = version >= 140000                    -- older servers read the whole table for a range of ctid
  local tables, excluded, is_excluded = {}, {}, {}
  for row in source:rows(catalog.TABLES) do
    if catalog.matches(row.plain, o.exclude) then
      excluded[#excluded + 1] = row.name
      is_excluded[row.name] = true
    else
      row.skip_data = catalog.matches(row.plain, o.exclude_data)
      tables[#tables + 1] = row
    end
  end
  local objects = source:value "SELECT count(*) FROM pg_largeobject_metadata"
  if objects > 0 and not o.large_objects then log.warn("%d large objects of %s are not copied", objects, from.name) end
  local pre, post = dump.read(from, { snapshot = snapshot, exclude = excluded })
  pre, post = dump.map_schemas(check_extensions(conn, pre), o.schema_map), dump.map_schemas(post, o.schema_map)
  target.begin(conn, from.name)
  make_schema(conn, pre)
  conn:exec "SELECT set_config('search_path', '', false)"
  local function finish_with(kinds)                  -- in pg_dump's order
    for _, entry in ipairs(post) do
      local wanted = kinds == nil or kinds:find("|" .. entry.type .. "|", 1, true)
      if not entry.done and wanted and not (entry.type == "COMMENT" and entry.name:find "^EXTENSION ") then
        entry.done = true
        apply(conn, entry)
      end
    end
  end
  finish_with "|STATISTICS|"
  local result, bytes = fill(from, to, o, snapshot, tables, post, objects > 0 and o.large_objects)
  finish_with "|VIEW|MATERIALIZED VIEW|INDEX|"       -- views that lean on a primary key, and indexes of materialized ones
  finish_with "|INDEX ATTACH|"
  foreign_keys(from, to, o, post, is_excluded)
  set_sequences(source, conn)
  finish_with(nil)
  for _, t in ipairs(tables) do
    if t.kind == "p" then conn:exec("ANALYZE " .. t.name) end
  end
  for row in conn:rows("SELECT format('%I.%I', schemaname, matviewname) AS name FROM pg_matviews WHERE ispopulated") do
    o.views = o.views or {}
    table.insert(o.views, row.name)
  end
  for _, name in ipairs(o.views or {}) do conn:exec("ANALYZE " .. name) end
  return result, bytes
end

--- Copies a database into an empty one.
---@param given table see DECLARED
---@return { tables: { name: string, rows: integer, bytes: integer, seconds: number }[], seconds: number, bytes: integer }
function M.copy(given)
  local o = options.check(given, DECLARED, "pg.copy")
  if o.jobs < 1 or o.jobs > 64 then errors.usage("pg.copy: jobs must be between 1 and 64, not %d", o.jobs) end
  for from_schema, to_schema in pairs(o.schema_map) do
    if not (from_schema:find "^[%l_][%w_]*$" and to_schema:find "^[%l_][%w_]*$") then errors.usage("pg.copy: schema_map takes plain schema names") end
  end
  local started = task.now()
  local from, to = endpoint.read(o.from), endpoint.read(o.to)
  o.name = ("%s to %s"):format(from.name, to.name)
  if from.name == to.name and from.via == to.via then errors.usage("pg.copy: source and target are the same database, %s", from.name) end
  local _ <close> = setmetatable({}, { __close = function() endpoint.release(from) endpoint.release(to) end })
  endpoint.reach(from)
  endpoint.reach(to)
  local application = ("hkrun copy %x"):format(math.random(0, 0xffffff))
  from.params.application_name, to.params.application_name = application, application
  local result, bytes
  do
    local source <close> = connection.open(from, { timeout = o.timeout })
    local conn <close> = connection.open(to, { timeout = o.timeout })
    result, bytes = run(source, conn, from, to, o)
  end
  to.params.application_name = "hkrun"
  local last <close> = connection.open(to, { timeout = 60 })
  target.finish(last, from.name, application)
  table.sort(result, function(a, b) return a.name < b.name end)
  return { tables = result, seconds = task.now() - started, bytes = bytes }
end

M.OPTIONS = DECLARED

return M
