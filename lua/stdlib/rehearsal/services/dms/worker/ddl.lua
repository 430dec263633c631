--- CaptureDdls: what DMS makes in the source to hear of CREATE, ALTER and DROP TABLE, and what it does with it at the target.
--- docs.aws.amazon.com/dms/latest/userguide/CHAP_Source.PostgreSQL.html
local pg = require "pg"
local tables = require "rehearsal.services.dms.worker.tables"
local types = require "rehearsal.services.dms.worker.types"

local M = {}

M.TABLE = "awsdms_ddl_audit"

local ARTIFACTS = [[
  CREATE TABLE IF NOT EXISTS SCHEMA.awsdms_ddl_audit (c_key bigserial PRIMARY KEY, c_time timestamp, c_user varchar(64), c_txn varchar(16),
    c_tag varchar(24), c_oid integer, c_name varchar(64), c_schema varchar(64), c_ddlqry text);
  CREATE OR REPLACE FUNCTION SCHEMA.awsdms_intercept_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $body$
  BEGIN
    IF tg_tag IN ('CREATE TABLE', 'ALTER TABLE', 'DROP TABLE', 'CREATE TABLE AS') THEN
      INSERT INTO SCHEMA.awsdms_ddl_audit VALUES (default, current_timestamp, session_user, txid_current()::text, tg_tag, 0, '', current_schema(),
        current_query());
      DELETE FROM SCHEMA.awsdms_ddl_audit;
    END IF;
  END $body$;
  DO $do$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'awsdms_intercept_ddl') THEN
      CREATE EVENT TRIGGER awsdms_intercept_ddl ON ddl_command_end EXECUTE FUNCTION SCHEMA.awsdms_intercept_ddl();
    END IF;
  END $do$;]]

function M.is_on(job) return job.source.settings.CaptureDdls ~= false end
function M.schema(job) return job.source.settings.DdlArtifactsSchema or "public" end

--- Makes the artifacts; the source refuses it to who may not make event triggers.
---@param source PgConnection
function M.install(job, source)
  source:exec((ARTIFACTS:gsub("SCHEMA", (pg.quote_name(M.schema(job)):gsub("%%", "%%%%")))))
end

--- The table that a statement is about.
local function subject(query, schema)
  local rest = query:gsub("^%s+", ""):gsub("^%a+%s+[Tt][Aa][Bb][Ll][Ee]%s+", "")
  for _, word in ipairs { "if", "not", "exists", "only" } do
    if rest:lower():find("^" .. word .. "%s") then rest = rest:sub(#word + 1):gsub("^%s+", "") end
  end
  local function take()
    local name = rest:match '^"([^"]+)"' or rest:match "^[%w_$]+"
    if not name then return nil end
    local is_quoted = rest:sub(1, 1) == '"'
    rest = rest:sub(#name + (is_quoted and 3 or 1))
    return is_quoted and name or name:lower()
  end
  local first = take()
  if first and rest:sub(1, 1) == "." then
    rest = rest:sub(2)
    return first, take()
  end
  return schema, first
end
M.subject = subject

local function target_of(t) return pg.quote_name(t.to_schema) .. "." .. pg.quote_name(t.to_name) end

--- The statements that a statement of the source stands for at the target, and the table that counts it.
---@param follow table { job =, source =, known = DmsTable by "schema.table" }
---@param row table<string, string> the row of the audit table
---@return string[] statements, DmsTable?
function M.statements(follow, row)
  local policy = follow.job.settings.ChangeProcessingDdlHandlingPolicy
  local schema, name = subject(row.c_ddlqry, row.c_schema)
  local id = ("%s.%s"):format(schema, name)
  local t = follow.known[id]
  if row.c_tag:find "^CREATE" then
    for _, found in ipairs(tables.list(follow.source, follow.job.rules)) do
      if found.schema == schema and found.name == name and not t then
        follow.known[id] = found
        follow.state:table_of(schema, name).state = "Table completed"
        return { (types.create(found, follow.mapped):gsub("^CREATE TABLE", "CREATE TABLE IF NOT EXISTS")) }, found
      end
    end
    return {}, t
  end
  if not t then return {} end
  if row.c_tag == "DROP TABLE" then
    follow.known[id] = nil
    return policy.HandleSourceTableDropped and { "DROP TABLE IF EXISTS " .. target_of(t) } or {}, t
  end
  for _, found in ipairs(tables.list(follow.source, follow.job.rules)) do
    if found.schema == schema and found.name == name then t.columns, t.removed = found.columns, found.removed end
  end
  local is_one = not row.c_ddlqry:find ";%s*%S"
  if not policy.HandleSourceTableAltered or not is_one or t.to_schema ~= t.schema or t.to_name ~= t.name then return {}, t end
  return { "SET LOCAL search_path TO " .. pg.quote_name(row.c_schema), (row.c_ddlqry:gsub(";%s*$", "")), "SET LOCAL search_path TO DEFAULT" }, t
end

return M
