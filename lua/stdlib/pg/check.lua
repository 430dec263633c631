--- pg.check: what would make a move fail or surprise, looked for before anything is done. docs/pg-check.md lists the
--- checks; each area is a file of check/. Sessions are read-only, with short lock and statement timeouts, and no table
--- is read unless `deep` asks for it: safe on a production database.
local catalog = require "pg.catalog"
local connection = require "pg.connection"
local endpoint = require "pg.endpoint"
local errors = require "errors"
local json = require "json"
local options = require "options"

local M = {}

M.OPTIONS = {
  { "from", "source database", type = "any", required = true },
  { "to", "target database, where it exists already", type = "any" },
  { "mover", "what moves the rows: pg.copy, or a task of AWS DMS", type = "string", default = "copy",
    one_of = { "copy", "full-load", "full-load-and-cdc" } },
  { "jobs", "workers that the copy will use", type = "integer", default = 2 },
  { "connections", "connections to either side that the copy may have, in all", type = "integer" },
  { "reserve", "connections to leave to others", type = "integer", default = 3 },
  { "include", "only these tables: \"schema.table\", with * as a wildcard", type = "list" },
  { "exclude", "tables to leave out", type = "list" },
  { "schema_map", "schemas that the copy renames", type = "table", default = { heroku_ext = "public" } },
  { "app", "Heroku app (or its name) whose DATABASE_URL is looked at", type = "any" },
  { "space", "bytes that the target can hold", type = "integer" },
  { "window", "seconds that the copy may take", type = "number", default = 3600 },
  { "rate", "bytes a second from the source; measured in half a second if not given", type = "number" },
  { "long_transaction", "seconds from which on a transaction is long", type = "number", default = 300 },
  { "deep", "read the rows too, for text that is no UTF-8 and the size of LOBs", type = "boolean", default = false },
  { "deep_bytes", "bytes of each table that deep reads for its encoding", type = "integer", default = 256 * 1024 * 1024 },
  { "task", "settings of the DMS task (ReplicationTaskSettings)", type = "table", default = {} },
  { "mappings", "table mappings of the DMS task", type = "table", default = {} },
  { "only", "ids of the checks to run, when not all of them", type = "list" },
  { "timeout", "seconds for one statement", type = "number", default = 30 },
}

--- All checks, in the order in which they run.
M.CHECKS = {}
for _, area in ipairs { "server", "rights", "schema", "data", "capture", "dms", "masking" } do
  table.move(require("pg.check." .. area), 1, 99, #M.CHECKS + 1, M.CHECKS)
end

local RANK = { error = 1, warning = 2, info = 3, ok = 4 }
local READ_ONLY = table.concat({ "SET default_transaction_read_only = on", "SET statement_timeout = '%ds'", "SET lock_timeout = '2s'",
  "SET jit = off", "SET idle_in_transaction_session_timeout = '60s'", "SET search_path = ''" }, "; ")

local function concerns(check, o)
  if o.only and not o.only[check.id] then return false end
  if check.side == "to" and not o.to then return false end
  if check.mover == "copy" then return o.mover == "copy" end
  if check.mover == "dms" then return o.mover ~= "copy" end
  return check.mover ~= "cdc" or o.mover == "full-load-and-cdc"
end

--- A set of the ids that are wanted; nil for all.
local function wanted(ids)
  if not ids then return nil end
  local known, set = {}, {}
  for i, check in ipairs(M.CHECKS) do known[i], known[check.id] = check.id, true end
  for _, id in ipairs(ids) do
    if not known[id] then errors.usage("pg.check has no check %s%s", tostring(id), options.suggestion(tostring(id), known)) end
    set[id] = true
  end
  return set
end

local function run(check, c)
  local done, f = pcall(check.run, c)
  if not done then
    if not errors.is(f) or f.kind == "cancelled" or f.kind == "network" or f.kind == "bug" then error(f, 0) end
    f = { severity = "warning", measured = "unknown", message = ("%s could not be checked: %s"):format(check.name, f.message),
          remedy = f.code == "57014" and "give a longer timeout, or look yourself" or "look yourself, or check as the owner of the database" }
  end
  return f
end

---@class PgFinding
---@field id string of the check
---@field name string
---@field severity "error"|"warning"|"info"|"ok"
---@field measured string|integer
---@field message string one sentence
---@field remedy? string what to run; comments stand in /* */
---@field objects? string[]

--- Checks a source, and a target where it exists. The worst come first.
---@param given table see OPTIONS
---@return PgFinding[] findings with .errors and .warnings, their numbers
function M.check(given)
  local o = options.check(given, M.OPTIONS, "pg.check")
  if o.jobs < 1 then errors.usage("pg.check: jobs must be 1 or more, not %d", o.jobs) end
  if o.connections and o.connections < 2 then errors.usage "pg.check: a copy takes 2 connections at least" end
  o.only = wanted(o.only)
  local source = endpoint.read(o.from)
  local from <close> = connection.open(source, { timeout = o.timeout + 5, application_name = "hkrun check" })
  local to <close> = o.to and connection.open(o.to, { timeout = o.timeout + 5, application_name = "hkrun check" }) or nil
  for _, conn in ipairs { from, to } do conn:exec(READ_ONLY:format(math.ceil(o.timeout))) end
  local c = { from = from, to = to, o = o, host = source.host, database = source.database }
  --- Of an object's quoted name: "schema.table", "schema.table.column", "constraint on schema.table".
  function c.is_excluded(name)
    local plain = name:gsub('"', ""):gsub("^.* on ", "")
    local relation = plain:match "^[^.]+%.[^.]+" or plain
    local is_relation = relation:find(".", 1, true) and not relation:find("(", 1, true)
    if o.include and is_relation and not catalog.matches(relation, o.include) then return true end
    return catalog.matches(relation, o.exclude)
  end
  local list, order = json.array { errors = 0, warnings = 0 }, {}
  for i, check in ipairs(M.CHECKS) do
    local f = concerns(check, o) and run(check, c)
    if f then
      f.id, f.name = check.id, check.name
      f.message = f.message or ("%s: %s"):format(check.name, f.measured)
      list[#list + 1], order[f] = f, RANK[f.severity] * 1000 + i
      if f.severity == "error" then list.errors = list.errors + 1 elseif f.severity == "warning" then list.warnings = list.warnings + 1 end
    end
  end
  table.sort(list, function(a, b) return order[a] < order[b] end)
  return list
end

return M
