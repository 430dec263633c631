--- What of a database AWS DMS can carry, what it would damage and hkrun copies itself, and what its assessments say.
local catalog = require "pg.catalog"
local check = require "pg.check"
local errors = require "errors"
local pg = require "pg"
local recipe = require "recipe"

local M = {}

M.SCHEMA = "hkrun_dms"                  -- of the marker, and of DMS's own tables on the target
M.MARKER = M.SCHEMA .. ".marker"

--- Findings of pg.check about tables that DMS does not carry whole, and why. These are copied by hkrun, in the freeze.
local DAMAGED = {
  ["array-without-key"] = "DMS leaves out arrays where there is no primary key",
  ["similar-names"] = "DMS does not tell upper from lower case in names",
  ["infinite-values"] = "DMS changes NaN and infinity",
}
local NOT_STREAMED = {
  ["tables-without-key"] = "without a key DMS cannot apply changes",
  ["unlogged-tables"] = "an unlogged table has no changes to stream",
  ["key-lob"] = "DMS cannot apply changes by a key of this type",
}

--- Findings about what DMS does not do, and is done here.
local DONE_HERE = {
  ["materialized-views"] = "nothing: hkrun makes and refreshes them after the load",
  ["secondary-objects"] = "nothing: hkrun makes them after the load",
  ["generated-columns"] = "nothing: DMS is told to leave them out",
  ["lob-size"] = "nothing: the largest value is measured before the task is made",
}

--- What a source must have so that its changes can be streamed.
local NEEDED = { ["wal-level"] = true, ["wal-senders"] = true, ["replication-slots"] = true, ["wal-sender-timeout"] = true,
                 ["replication-right"] = true, follower = true }

--- Assessments that fail for a reason that is taken care of here.
M.expected = {
  ["postgres-check-pk"] = "hkrun copies tables without a key itself",
  ["postgres-check-table-with-array"] = "hkrun copies these tables itself",
}

local TABLES = [[SELECT n.nspname::text AS schema, c.relname::text AS name,
    array(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped ORDER BY a.attnum) AS generated,
    array(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attidentity = 'a' AND NOT a.attisdropped ORDER BY a.attnum) AS always,
    EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.atttypid IN ('numeric'::regtype, 'numeric[]'::regtype) AND a.atttypmod = -1
      AND NOT a.attisdropped) AS loose,
    EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AS inherited
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('hkrun_dms', 'hkrun_copy') AND ]] ..
  catalog.is_user("pg_class", "c.oid") .. " ORDER BY 1, 2"

--- Whether an object of a finding ("schema.table", "schema.table.column", quoted) lies in a table.
local function is_in(object, plain)
  object = object:gsub('"', "")
  return object == plain or object:sub(1, #plain + 1) == plain .. "."
end

local function reason_for(t, plain, findings, streams)
  if t.loose then return "DMS rounds a numeric without a precision to 6 digits after the point" end
  if t.inherited then return "DMS would load the rows of the tables that inherit from it twice" end
  for _, f in ipairs(findings) do
    local why = DAMAGED[f.id] or streams and NOT_STREAMED[f.id]
    for _, object in ipairs(why and f.objects or {}) do
      if is_in(object, plain) then return why end
    end
  end
end

--- Divides the tables: what DMS carries, and what hkrun copies itself, with the reason.
---@param source any as pg.open takes it
---@param findings PgFinding[] of pg.check with DMS as its mover
---@param strategy string
---@return { tables: { schema: string, name: string, generated: string[], always: string[] }[], others: { name: string, why: string }[] }
function M.divide(source, findings, strategy)
  local streams = strategy == "full-load-and-cdc"
  local tables, others = {}, {}
  local db <close> = pg.open(source, { timeout = 60 })
  for _, t in ipairs(db:query(TABLES)) do
    local plain = t.schema .. "." .. t.name
    local why = reason_for(t, plain, findings, streams)
    if why then others[#others + 1] = { name = plain, why = why }
    else tables[#tables + 1] = { schema = t.schema, name = t.name, generated = t.generated, always = t.always } end
  end
  if streams then tables[#tables + 1] = { schema = M.SCHEMA, name = "marker", generated = {}, always = {} } end
  return { tables = tables, others = others }
end

--- Adds what concerns DMS to the audit's facts. Its findings about tables that hkrun copies itself stop nobody.
---@param facts table of the database: findings
---@param source any
---@param opt table
---@return table
function M.audit(facts, source, opt)
  local result = M.divide(source, facts.findings, opt.dms_strategy)
  for _, f in ipairs(facts.findings) do
    if DONE_HERE[f.id] and f.severity ~= "ok" then f.severity, f.remedy = "info", DONE_HERE[f.id] end
    if f.severity == "error" and (DAMAGED[f.id] or NOT_STREAMED[f.id]) then
      f.severity, f.remedy = "info", "nothing: hkrun copies these tables itself, within the freeze"
    end
  end
  return result
end

--- Shows which tables hkrun copies itself, and why; stops with what works instead, where a source cannot stream its changes.
---@param dms table of `audit`
---@param findings PgFinding[]
function M.report(dms, findings)
  local rows = { { "table", "why hkrun copies it itself" } }
  for _, t in ipairs(dms.others) do rows[#rows + 1] = { t.name, t.why } end
  if #rows > 1 then recipe.report("Tables that DMS does not carry whole", rows, { head = true }) end
  local reasons, seconds = {}, nil
  for _, f in ipairs(findings) do
    if NEEDED[f.id] and f.severity == "error" then reasons[#reasons + 1] = f.message end
    if f.id == "estimated-time" then seconds = f.measured end
  end
  if #reasons == 0 then return end
  errors.raise {
    kind = "invalid", code = "no-cdc", op = "stream changes of the Heroku database with DMS", where = false,
    message = table.concat(reasons, "; "),
    hint = ("Heroku gives none of this to anybody. What works: --dms-strategy full-load, where DMS copies while Heroku is frozen; or "
      .. "--data copy, hkrun's own copy in the freeze, which takes about %s here"):format(seconds or "as long as the rows take over the link"),
  }
end

local MOST = 102400                     -- kB: what LobMaxSize may be

--- The kilobytes that the largest text, json or bytea has, twice: customers go on writing. DMS cuts what is larger, and
--- is told to stop then.
---@param source any
---@param tables { schema: string, name: string }[]
---@return integer
function M.lob_kilobytes(source, tables)
  local names = {}
  for i, t in ipairs(tables) do names[i] = t.schema .. "." .. t.name end
  local found = pg.check { from = source, mover = "full-load", only = { "lob-size" }, deep = true, include = names, timeout = 6 * 3600 }
  local bytes = tonumber(found[1] and found[1].measured) or 0
  if bytes > MOST * 1024 then
    errors.raise { kind = "invalid", op = "choose DMS's LobMaxSize", hint = "--data copy takes values of any size",
                   message = ("the largest value has %.0f MB, and DMS carries 100 MB at most"):format(bytes / 1e6) }
  end
  return math.max(32, math.min(MOST, math.ceil(bytes * 2 / 1024)))
end

--- What helps against the assessments that did not pass: the finding of our own check that looks at the same, if there is one.
---@param bad { name: string, status: string }[]
---@param o { from: any, to: any, mover: string }
---@return table<string, string> remedies by the assessment's name
function M.remedies(bad, o)
  local ids, id_of, remedies = {}, {}, {}
  for _, c in ipairs(check.CHECKS) do
    for _, name in ipairs(c.dms or {}) do id_of[name] = c.id end
  end
  for _, c in ipairs(bad) do
    local id = id_of[c.name]
    if id and not ids[id] then ids[id], ids[#ids + 1] = true, id end
  end
  if #ids == 0 then return remedies end
  local found = {}
  for _, f in ipairs(pg.check { from = o.from, to = o.to, mover = o.mover, only = { table.unpack(ids) } }) do
    if f.severity ~= "ok" then found[f.id] = ("%s: %s"):format(f.message, f.remedy or "") end
  end
  for _, c in ipairs(bad) do remedies[c.name] = found[id_of[c.name]] end
  return remedies
end

--- A load for the report.
---@param tables table[] of DmsMigration:statistics
function M.loaded(tables)
  local rows = 0
  for _, t in ipairs(tables) do rows = rows + t.rows end
  return { tables = #tables, rows = rows }
end

return M
