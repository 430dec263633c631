--- A copy that was cut off goes on: may it, and what of it still holds in the snapshot of now.
local log = require "log"
local pieces = require "pg.copy.pieces"
local proof = require "pg.proof"
local secret = require "secret"

local M = {}

M.system = proof.system

local function digest(parts) return secret.sha256(table.concat(parts, "\0")) end

--- A value of plain data as a list of strings, the same each time; functions cannot be compared.
local function flatten(v, parts)
  if type(v) ~= "table" then
    parts[#parts + 1] = type(v) == "function" and "function" or tostring(v)
    return
  end
  local keys = {}
  for k in pairs(v) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, k in ipairs(keys) do
    parts[#parts + 1] = tostring(k)
    flatten(v[k], parts)
  end
end

local SHAPING = "include exclude exclude_data tables schema_map owners privileges roles large_objects consistent"

--- By what a copy that was cut off is known again: the source, what shapes the result, and the schema.
function M.facts(from, o, s)
  local shape, schema = {}, {}
  for name in SHAPING:gmatch "%S+" do
    shape[#shape + 1] = name
    flatten(o[name], shape)
  end
  for _, list in ipairs { s.pre, s.post } do
    for _, entry in ipairs(list) do schema[#schema + 1] = entry.type .. entry.name .. entry.sql .. (entry.owner_sql or "") end
  end
  return { source = from.name, system = s.system, options = digest(shape), schema = digest(schema), application = o.application }
end

--- Why the ledger is of another copy, or nil.
---@param ledger PgLedger
---@param facts table
---@return string?
function M.misfit(ledger, facts)
  local was = ledger.facts
  if was.system ~= facts.system then return ("it was a copy of another database, %s"):format(was.source) end
  if was.options ~= facts.options then return "it was begun with other options" end
  if was.schema ~= facts.schema then return "the schema of the source has changed since" end
  return nil
end

--- The marks of rows that do not hold any more, as a set of tables: all of a table's rows, or none, are kept.
local function changed_tables(source, ledger, tables, o, snapshot)
  local list = {}
  for _, t in ipairs(tables) do
    for _, mark in ipairs(ledger:rows_of(t)) do
      local old = ledger.snapshots[mark.snapshot]
      local where = pieces.condition(t, mark.range_by, mark.range_from, mark.range_to)
      if t.where then where = (where and where .. " AND " or "") .. "(" .. t.where .. ")" end
      local holds = not (t.persistence == "u" and o.target_restarted)
        and (proof.is_same_snapshot(old.snapshot, snapshot) or not o.consistent or not t.masked and proof.holds(source, t, mark, old.snapshot, where))
      if not holds then
        list[#list + 1] = t
        break
      end
    end
  end
  return list
end

local REFERRED = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND confrelid = $1::regclass AND conrelid <> confrelid"

--- Takes out of the target what does not hold: the rows, and the foreign keys that would be in the way.
---@return boolean ok false where that cannot be done without beginning anew
local function take_out(conn, ledger, list, post)
  local again = {}
  for _, t in ipairs(list) do again[t.name] = true end
  local tx <close> = conn:transaction()
  local dropped = {}
  for _, entry in ipairs(post) do
    if entry.type == "FK CONSTRAINT" and (again[entry.table] or again[entry.references]) and ledger.done[entry.mark] then
      conn:exec(("ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s"):format(entry.table, entry.quoted))
      dropped[entry.mark] = true
    end
  end
  for _, t in ipairs(list) do
    if conn:value(REFERRED, t.name) > 0 then return false end
    conn:exec("TRUNCATE ONLY " .. t.name)
  end
  ledger:forget(conn, function(mark)
    local name = mark.name
    return dropped[name] or name:find "^materialized view data " or (again[mark.object] and (name:find "^rows " or name:find "^analyze "))
  end)
  tx:commit()
  return true
end

--- Whether something of the last stage, triggers for example, is there already.
local function is_finishing(ledger, post)
  for _, entry in ipairs(post) do
    if entry.last and ledger.done[entry.mark] then return true end
  end
  return false
end

--- Brings an unfinished copy to where the rest can be done in the snapshot of now.
---@return boolean ok, string[] again the tables that are copied again
function M.go_on(source, conn, ledger, tables, post, o, snapshot)
  local was = ledger.snapshots[#ledger.snapshots]
  o.target_restarted = ledger:is_restarted(conn)
  local list = changed_tables(source, ledger, tables, o, snapshot)
  local again = {}
  for i, t in ipairs(list) do again[i] = t.plain end
  if #list > 0 and (is_finishing(ledger, post) or not take_out(conn, ledger, list, post)) then return false, again end
  if was and not proof.is_same_snapshot(was.snapshot, snapshot) then
    local tx <close> = conn:transaction()
    conn:exec "SELECT count(lo_unlink(oid)) FROM pg_largeobject_metadata"
    ledger:forget(conn, function(mark) return mark.name:find "large objects" end)
    tx:commit()
  end
  local n = 0
  for name in pairs(ledger.done) do if name:find "^rows " then n = n + 1 end end
  if n == 0 and #again == 0 then return true, again end
  log.info("  > the copy into %s goes on: %d pieces of rows are there%s", conn.name, n,
    #again > 0 and ("; changed on the source since, and copied again: " .. table.concat(again, ", ", 1, math.min(#again, 5))) or "")
  return true, again
end

return M
