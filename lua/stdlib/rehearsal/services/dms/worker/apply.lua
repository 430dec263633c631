--- Changes of the source as statements for the target, and their transaction there.
local ddl = require "rehearsal.services.dms.worker.ddl"
local errors = require "errors"
local pg = require "pg"
local tables = require "rehearsal.services.dms.worker.tables"

local M = {}

local EXCEPTIONS = [[CREATE TABLE IF NOT EXISTS SCHEMA.awsdms_apply_exceptions ("TASK_NAME" varchar(128) NOT NULL,
  "TABLE_OWNER" varchar(128) NOT NULL, "TABLE_NAME" varchar(128) NOT NULL, "ERROR_TIME" timestamp NOT NULL, "STATEMENT" text NOT NULL,
  "ERROR" text NOT NULL)]]

local function control_schema(job)
  local name = job.settings.ControlTablesSettings.ControlSchema
  return pg.quote_name(type(name) == "string" and name ~= "" and name or "public")
end

--- Makes the table in which DMS keeps what it could not apply.
function M.prepare(job, target)
  target:exec("CREATE SCHEMA IF NOT EXISTS " .. control_schema(job))
  target:exec((EXCEPTIONS:gsub("SCHEMA", (control_schema(job):gsub("%%", "%%%%")))))
end

-- Statements -------------------------------------------------------------------

local function target_of(t) return pg.quote_name(t.to_schema) .. "." .. pg.quote_name(t.to_name) end

--- A value as SQL text, a LOB cut as in the full load.
local function literal(job, t, column)
  local value, metadata = column.value, job.settings.TargetMetadata
  if value == nil then return "NULL" end
  local limit = metadata.LimitedSizeLobMode and not metadata.FullLobMode and metadata.LobMaxSize * 1024
  if limit and #value > limit then
    for _, own in ipairs(t.columns) do
      if own.name == column.name and tables.is_lob(own) then
        if own.base == "bytea" then return pg.quote_value(value:sub(1, 2 + 2 * limit)) end
        return ("left(%s, %d)"):format(pg.quote_value(value), limit)
      end
    end
  end
  return pg.quote_value(value)
end

--- "id = '1' AND ...": the row by its key, as it was before; nil where the change does not tell.
local function where(t, change)
  local columns, parts = change.old or change.new, {}
  local by_name = {}
  for _, column in ipairs(columns or {}) do by_name[column.name] = column end
  for _, own in ipairs(t.columns) do
    local column = by_name[own.name]
    if own.is_key and column then parts[#parts + 1] = ("%s = %s"):format(pg.quote_name(own.name), pg.quote_value(column.value)) end
  end
  if t.has_key then return #parts > 0 and table.concat(parts, " AND ") or nil end
  for _, column in ipairs(change.old or {}) do           -- REPLICA IDENTITY FULL
    parts[#parts + 1] = pg.quote_name(column.name) .. (column.value and " = " .. pg.quote_value(column.value) or " IS NULL")
  end
  return #parts > 0 and table.concat(parts, " AND ") or nil
end

local function is_key(t, name)
  for _, own in ipairs(t.columns) do if own.name == name then return own.is_key end end
end

local STATEMENTS = {}

function STATEMENTS.INSERT(job, t, change)
  local names, values = {}, {}
  for _, column in ipairs(change.new) do
    if not t.removed[column.name] then
      names[#names + 1], values[#values + 1] = pg.quote_name(column.name), literal(job, t, column)
    end
  end
  return ("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE VALUES (%s)"):format(target_of(t), table.concat(names, ", "), table.concat(values, ", "))
end

function STATEMENTS.UPDATE(job, t, change)
  local row, set, old = where(t, change), {}, {}
  for _, column in ipairs(change.old or {}) do old[column.name] = column.value end
  for _, column in ipairs(change.new) do
    local moved = not is_key(t, column.name) or old[column.name] ~= nil and old[column.name] ~= column.value
    if not column.unchanged and not t.removed[column.name] and moved then
      set[#set + 1] = ("%s = %s"):format(pg.quote_name(column.name), literal(job, t, column))
    end
  end
  return row and #set > 0 and ("UPDATE %s SET %s WHERE %s"):format(target_of(t), table.concat(set, ", "), row) or nil
end

function STATEMENTS.DELETE(_, t, change)
  local row = where(t, change)
  return row and ("DELETE FROM %s WHERE %s"):format(target_of(t), row) or nil
end

local POLICY = { INSERT = "ApplyErrorInsertPolicy", UPDATE = "ApplyErrorUpdatePolicy", DELETE = "ApplyErrorDeletePolicy" }
local COUNTER = { INSERT = "Inserts", UPDATE = "Updates", DELETE = "Deletes" }

--- Whether a snapshot "xmin:xmax:xip,..." saw a transaction.
local function saw(snapshot, xid)
  if not snapshot then return false end
  local xmin, xmax, running = snapshot:match "^(%d+):(%d+):(.*)$"
  if xid < tonumber(xmin) & 0xffffffff then return true end
  if xid >= tonumber(xmax) & 0xffffffff then return false end
  for other in running:gmatch "%d+" do if tonumber(other) & 0xffffffff == xid then return false end end
  return true
end

--- What transactions of the source are at the target: statements, each with the table and the counter that it adds to.
---@param follow table { job =, state =, source =, target =, known = }
---@return table[] statements { sql =, id =, counter = }, table<string, table> counts of what was captured
function M.statements(follow, transactions)
  local list, counts = {}, {}
  local function count(t, counter)
    local id = t.schema .. "." .. t.name
    counts[id] = counts[id] or {}
    counts[id][counter] = (counts[id][counter] or 0) + 1
    return id
  end
  for _, transaction in ipairs(transactions) do
    for _, change in ipairs(transaction.changes) do
      local t = follow.known[change.schema .. "." .. change.table]
      if change.table == ddl.TABLE and change.op == "INSERT" and ddl.is_on(follow.job) then
        local row = {}
        for _, column in ipairs(change.new) do row[column.name] = column.value end
        local made, about = ddl.statements(follow, row)
        local id = about and count(about, "Ddls")
        for i, sql in ipairs(made) do list[#list + 1] = { sql = sql, id = id, t = about, counter = i == #made and "AppliedDdls" or nil } end
      elseif t and COUNTER[change.op] and not saw(follow.state:table_of(t.schema, t.name).snapshot, transaction.xid) then
        local id = count(t, COUNTER[change.op])
        local sql = STATEMENTS[change.op](follow.job, t, change)
        if sql then list[#list + 1] = { sql = sql, id = id, t = t, counter = "Applied" .. COUNTER[change.op], policy = POLICY[change.op] } end
      end
    end
  end
  return list, counts
end

-- The transaction -----------------------------------------------------------------

local function add(counts, statement)
  if not statement.counter then return end
  counts[statement.id] = counts[statement.id] or {}
  counts[statement.id][statement.counter] = (counts[statement.id][statement.counter] or 0) + 1
end

--- Runs statements one by one; what the target refuses is kept in awsdms_apply_exceptions, the others stay.
local function singly(follow, list, counts)
  local target = follow.target
  for _, statement in ipairs(list) do
    target:exec "SAVEPOINT dms"
    local ok, e = pcall(target.exec, target, statement.sql)
    if ok then add(counts, statement)
    elseif not errors.is(e, "remote") then error(e, 0)
    elseif follow.job.settings.ErrorBehavior[statement.policy or ""] == "STOP_TASK" then
      errors.raise { kind = "invalid", message = ("A change of the table %s could not be applied: %s."):format(statement.id, e.message) }
    else
      target:exec "ROLLBACK TO SAVEPOINT dms"
      follow.job.log("A change of the table %s was not applied: %s", statement.id or "?", tostring(e))
      target:query(("INSERT INTO %s.awsdms_apply_exceptions VALUES ($1, $2, $3, clock_timestamp(), $4, $5)"):format(control_schema(follow.job)),
        follow.job.task, statement.t.to_schema, statement.t.to_name, statement.sql, e.message or tostring(e))
    end
  end
end

local function all_at_once(follow, list, counts)
  local parts = {}
  for i, statement in ipairs(list) do parts[i] = statement.sql end
  follow.target:exec(table.concat(parts, ";\n"))
  for _, statement in ipairs(list) do add(counts, statement) end
end

local function copy_of(counts)
  local copy = {}
  for id, set in pairs(counts) do
    copy[id] = {}
    for name, n in pairs(set) do copy[id][name] = n end
  end
  return copy
end

--- Applies transactions of the source in one of the target, up to the last's end.
function M.run(follow, transactions)
  local target, lsn = follow.target, transactions[#transactions].lsn
  local list, captured = M.statements(follow, transactions)
  local function attempt(how)
    local counts = copy_of(captured)
    target:exec "BEGIN"
    local ok, e = pcall(function()
      local xid = target:value "SELECT pg_current_xact_id()::text"
      if #list > 0 then how(follow, list, counts) end
      follow.state:intend(lsn, xid, counts)
    end)
    if not ok then
      if not (errors.is(e, "cancelled") or errors.is(e, "network") or errors.is(e, "closed")) then target:exec "ROLLBACK" end
      error(e, 0)
    end
    target:exec "COMMIT"
    follow.state:confirm()
    return counts
  end
  local ok, result = pcall(attempt, all_at_once)
  if ok then return result end
  if not errors.is(result, "remote") then error(result, 0) end
  return attempt(singly)
end

return M
