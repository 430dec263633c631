--- One attempt of a copy, from the two connections to the last statement; it goes on with what earlier ones did.
local catalog = require "pg.catalog"
local connection = require "pg.connection"
local dump = require "pg.dump"
local errors = require "errors"
local fill = require "pg.copy.fill"
local ledgers = require "pg.copy.ledger"
local log = require "log"
local make = require "pg.copy.make"
local mask = require "pg.copy.mask"
local objects = require "pg.copy.objects"
local plans = require "pg.copy.plan"
local resume = require "pg.copy.resume"
local roles = require "pg.copy.roles"
local settings = require "pg.copy.settings"
local target = require "pg.target"
local task = require "task"

local M = {}

local TARGET = table.concat({
  "SET check_function_bodies = off", "SET intervalstyle = 'postgres'", "SET datestyle = 'ISO, YMD'", "SET timezone = 'UTC'",
  "SET xmloption = content", "SET lc_monetary = 'C'", "SET statement_timeout = 0", "SET lock_timeout = 0",
  "SET idle_in_transaction_session_timeout = 0", "SET client_min_messages = warning", "SET synchronous_commit = off", "SET search_path = ''" }, "; ")

-- Entries that must not be there yet while rows come in.
local LAST = {}
for name in ("TRIGGER|EVENT TRIGGER|RULE|POLICY|ROW SECURITY|CHECK CONSTRAINT|DEFAULT ACL|ACL"):gmatch "[^|]+" do LAST[name] = true end

--- Connects, and waits for a place where the server is full.
local function open(e, o)
  local deadline = task.now() + o.patience
  while true do
    local ok, conn = pcall(connection.open, e, { timeout = o.timeout })
    if ok then return conn end
    if not (errors.is(conn, "limit") and conn.retry) or task.now() > deadline then error(conn, 0) end
    log.debug("%s; waiting for a place", tostring(conn))
    task.sleep(0.5)
  end
end

local function read_tables(source, o)
  local tables, excluded, is_excluded = {}, {}, {}
  for t in source:rows(catalog.TABLES) do
    if catalog.matches(t.plain, o.exclude) or o.include and not catalog.matches(t.plain, o.include) then
      excluded[#excluded + 1] = t.name
      is_excluded[t.name] = true
    else
      local own = o.tables[t.plain] or t.plain:find "^public%." and o.tables[t.plain:sub(8)] or {}
      t.skip_data = catalog.matches(t.plain, o.exclude_data)
      t.where, t.row, t.functions = own.where, own.row, own.columns
      t.masked = (own.row or own.columns) ~= nil
      own.found = true
      tables[#tables + 1] = t
    end
  end
  for name, own in pairs(o.tables) do
    if not own.found then errors.usage("pg.copy: tables[%q]: %s has no such table", name, source.name) end
  end
  return tables, excluded, is_excluded
end

local function entries(from, conn, o, s)
  local pre, post = dump.read(from, { snapshot = s.snapshot, exclude = s.excluded, owners = o.owners, privileges = o.privileges })
  pre, post = dump.map_schemas(make.possible(conn, pre), o.schema_map), dump.map_schemas(post, o.schema_map)
  s.roles = roles.read(conn, o.roles)
  s.roles:apply(pre)
  s.roles:apply(post)
  make.name(pre)
  make.name(post)
  for _, entry in ipairs(post) do
    entry.last = LAST[entry.type]
    if entry.type == "COMMENT" and entry.name:find "^EXTENSION " then entry.done = true end
  end
  s.pre, s.post = pre, post
end

--- The unfinished copy in the target, brought up to the snapshot of now; or nil, and the target is empty.
local function find(source, conn, o, s)
  local ledger = o.resume and ledgers.read(conn)
  local why = ledger and resume.misfit(ledger, s.facts)
  local again
  if ledger and not why then
    local ok
    ok, again = resume.go_on(source, conn, ledger, s.tables, s.post, o, s.text)
    if ok then return ledger, again end
    why = "tables that had been copied have changed on the source"
  end
  target.prepare(conn, o, why)
end

local function begin(conn, from, s, o)
  local tx <close> = conn:transaction()
  local ledger = ledgers.create(conn, s.facts)
  target.begin(conn, from.name)
  ledger:begin(conn, s.text, o.application)
  tx:commit()
  return ledger
end

local function select_entries(post, kinds)
  local list = {}
  for _, entry in ipairs(post) do
    if not entry.done and (kinds == nil or kinds:find("|" .. entry.type .. "|", 1, true)) then list[#list + 1] = entry end
  end
  return list
end

--- A failure that another attempt may get over; nothing else. A target that crashed has lost its last commits, for they are
--- not waited for, and with them this session: what the workers take for done is read again from the marks.
local function raise_lost(failed, conn, o)
  conn:exec "SELECT"
  for _, f in ipairs(failed) do
    if f.kind == "network" or f.kind == "timeout" or f.kind == "limit" or f.code == "22023" or f.code == "55000" and f.message:find "snapshot" then
      errors.raise { op = "copy " .. o.name, kind = f.kind, code = f.code, message = f.what .. ": " .. f.message, again = true, cause = f.cause }
    end
  end
end

--- Indexes, keys and statistics of the tables that somebody else has filled.
local function keys(source, conn, from, to, o, s)
  local filled, indexes = {}, {}
  for _, t in ipairs(s.tables) do
    if t.skip_data and t.kind == "r" then filled[#filled + 1] = t end
  end
  for row in source:rows(catalog.INDEXES) do indexes[row.table .. " " .. row.name] = row end
  local plan = plans.new(s.ledger, o.analyze)
  plan:tables(filled, s.post, indexes, o)
  local failed = fill.run(plan, from, to, o, s.snapshot)
  raise_lost(failed, conn, o)
  return failed
end

--- Rows, indexes, keys; then the views, which may read any table.
local function data(source, conn, from, to, o, s)
  local ledger, indexes, failed = s.ledger, {}, {}
  for row in source:rows(catalog.INDEXES) do indexes[row.table .. " " .. row.name] = row end
  if not o.can_range then
    for _, t in ipairs(s.tables) do
      if t.key and t.pages * 8192 >= o.split_bare then
        local r = source:query(("SELECT min(%s)::int8 AS first, max(%s)::int8 AS last FROM ONLY %s"):format(t.key, t.key, t.name))[1]
        t.first, t.last = r.first, r.last
      end
    end
  end
  mask.tables(source, conn, s.tables, ledger, o, failed)
  local plan = plans.new(ledger, o.analyze)
  plan:tables(s.tables, s.post, indexes, o)
  if o.large_objects then objects.plan(source, plan) end
  plan:partitioned(s.tables)
  plan:foreign_keys(s.post, s.is_excluded)
  local more, moved = fill.run(plan, from, to, o, s.snapshot)
  raise_lost(more, conn, o)
  table.move(more, 1, #more, #failed + 1, failed)
  for _, m in ipairs(moved) do
    local name = m.job.table and m.job.table.plain
    if name then o.seconds[name] = (o.seconds[name] or 0) + m.seconds end
  end
  return failed
end

--- Partitioned tables and views, when all rows are in.
local function whole(conn, from, to, o, s, failed)
  make.entries(conn, s.ledger, select_entries(s.post, "|VIEW|MATERIALIZED VIEW|INDEX|CONSTRAINT|"), failed)
  make.entries(conn, s.ledger, select_entries(s.post, "|INDEX ATTACH|"), failed)
  local plan = plans.new(s.ledger, o.analyze)
  plan.all_complete = true
  plan:foreign_keys(s.post, s.is_excluded)
  plan:chain(select_entries(s.post, "|MATERIALIZED VIEW DATA|"))
  local more = fill.run(plan, from, to, o)
  raise_lost(more, conn, o)
  table.move(more, 1, #more, #failed + 1, failed)
end

local VIEWS = "SELECT format('%I.%I', schemaname, matviewname) AS name FROM pg_matviews WHERE ispopulated"

--- What comes last: triggers and policies, owners, grants, sequences.
local function finish(source, conn, o, s, failed)
  local ledger, grants = s.ledger, select_entries(s.post, "|ACL|DEFAULT ACL|")
  for _, entry in ipairs(grants) do entry.done = true end
  make.entries(conn, ledger, select_entries(s.post), failed)
  if not ledger.done.owners then
    local tx <close> = conn:transaction()
    local all = table.move(s.post, 1, #s.post, #s.pre + 1, table.move(s.pre, 1, #s.pre, 1, {}))
    for _, sql in ipairs(roles.owners(conn, all)) do conn:exec(sql) end
    if o.large_objects then objects.details(source, conn, s.roles, o.owners, o.privileges) end
    ledger:note(conn, "owners")
    tx:commit()
  end
  make.entries(conn, ledger, grants, failed)
  make.sequences(conn, catalog.sequences(source))
  if o.settings then settings.copy(source, conn, s.roles, o.schema_map) end
  local views = {}
  for row in conn:rows(VIEWS) do views[#views + 1] = "ANALYZE " .. row.name end
  if #views > 0 and o.analyze then conn:exec(table.concat(views, "; ")) end
end

local function raise_failed(failed, o)
  if #failed == 0 then return end
  local parts = {}
  table.sort(failed, function(a, b) return a.what < b.what end)
  for i = 1, math.min(#failed, 5) do parts[i] = failed[i].what .. ": " .. failed[i].message end
  if #failed > 5 then parts[#parts + 1] = ("and %d more"):format(#failed - 5) end
  local first = failed[1]
  errors.raise { op = "copy " .. o.name, kind = first.kind, code = first.code, message = table.concat(parts, "; "),
                 cause = first.cause, failed = failed, hint = "all else is copied: the same call, once the reason is gone, copies what is missing" }
end

--- Fills the result from the marks, which know also what earlier runs did.
local function tell(conn, o, s, result)
  local ledger = ledgers.read(conn)
  result.tables, result.bytes, result.rows = {}, 0, 0
  for _, t in ipairs(s.tables) do
    if t.kind == "r" then
      local row = { name = t.plain, rows = 0, bytes = 0, seconds = o.seconds[t.plain] or 0 }
      for _, mark in ipairs(ledger:rows_of(t)) do row.rows, row.bytes = row.rows + (mark.row_count or 0), row.bytes + (mark.bytes or 0) end
      result.tables[#result.tables + 1] = row
      result.bytes, result.rows = result.bytes + row.bytes, result.rows + row.rows
    end
  end
  table.sort(result.tables, function(a, b) return a.name < b.name end)
  result.snapshot.one = o.consistent
  result.notes = s.roles:notes()
  for _, note in ipairs(result.notes) do log.warn("%s", note) end
end

--- What follows from the servers' versions and from how many workers there are.
local function settle(source, conn, o)
  local version, other = source:info().version, conn:info().version
  o.same_major = version // 10000 == other // 10000
  o.can_range = version >= 140000                    -- older servers read the whole table for a range of ctid
  o.split_bare = o.split or 256 * 1024 * 1024
  o.split = o.split or (o.workers > 2 and 256 or 1024) * 1024 * 1024
  o.part = math.max(8192, math.min(256 * 1024 * 1024, o.split // 2))
  o.seconds = o.seconds or {}
  o.source_setup = catalog.SOURCE
  o.target_setup = ("%s; SET maintenance_work_mem = %d"):format(TARGET, math.max(1024, o.memory // o.workers // 1024))
end

--- Does what is left to do.
---@param result table takes what came of it; result.marks says how far it is
function M.attempt(from, to, o, result)
  local source <close> = open(from, o)
  local conn <close> = open(to, o)
  settle(source, conn, o)
  conn:exec(o.target_setup)
  ledgers.lock(conn, o.application)
  source:exec(catalog.SOURCE)
  local s = { system = resume.system(source) }
  local _ <close> = source:transaction { isolation = o.consistent and "repeatable read" or nil, read_only = true }
  if o.consistent then s.snapshot = source:value "SELECT pg_export_snapshot()" end
  s.text = source:value "SELECT txid_current_snapshot()::text"
  s.tables, s.excluded, s.is_excluded = read_tables(source, o)
  local objects_there = source:value "SELECT count(*) FROM pg_largeobject_metadata"
  if objects_there > 0 and not o.large_objects then log.warn("%d large objects of %s are not copied", objects_there, from.name) end
  entries(from, conn, o, s)
  s.facts = resume.facts(from, o, s)
  result.snapshot = result.snapshot or { one = false, resumed = false, again = {} }
  local ledger, again = find(source, conn, o, s)
  if ledger then
    ledger:begin(conn, s.text, o.application)
    result.snapshot.resumed = true
    table.move(again, 1, #again, #result.snapshot.again + 1, result.snapshot.again)
  end
  s.ledger = ledger or begin(conn, from, s, o)
  result.marks = 0
  for _ in pairs(s.ledger.done) do result.marks = result.marks + 1 end
  make.entries(conn, s.ledger, s.pre)
  make.entries(conn, s.ledger, select_entries(s.post, "|STATISTICS|"))
  result.notes, result.tables = {}, {}
  if o.stop_after == "tables" then return end
  if o.stop_after == "keys" then return raise_failed(keys(source, conn, from, to, o, s), o) end
  local failed = data(source, conn, from, to, o, s)
  raise_failed(failed, o)                            -- before views are filled from what is there
  whole(conn, from, to, o, s, failed)
  raise_failed(failed, o)
  finish(source, conn, o, s, failed)
  raise_failed(failed, o)
  tell(conn, o, s, result)
  result.target_started = s.ledger.snapshots[#s.ledger.snapshots].target_started
end

return M
