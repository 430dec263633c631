--- A schema as pg_dump writes it, cut into entries: each one object, with the
--- type that pg_dump's own comment line gives it.
local endpoint = require "pg.endpoint"
local errors = require "errors"
local process = require "process"

local M = {}

-- Entries of pg_dump's post-data section (pg_dump.c, dboTypePriority and the
-- ArchiveEntry calls with SECTION_POST_DATA).
local POST = {}
for name in ("INDEX|INDEX ATTACH|CONSTRAINT|CHECK CONSTRAINT|FK CONSTRAINT|TRIGGER|EVENT TRIGGER|RULE|POLICY|ROW SECURITY|STATISTICS|" ..
  "MATERIALIZED VIEW DATA|PUBLICATION|PUBLICATION TABLE|SUBSCRIPTION|DEFAULT ACL|ACL"):gmatch "[^|]+" do POST[name] = true end

---@class DumpEntry
---@field name string as in pg_dump's comment: "orders orders_pkey"
---@field type string "TABLE", "FK CONSTRAINT"
---@field schema string
---@field owner string|nil who owns it on the source
---@field owner_sql string|nil the statement that says so
---@field sql string
---@field table? string the quoted table that an index or constraint belongs to
---@field quoted? string the name of the index or constraint, as SQL has it
---@field references? string the table that a foreign key points to

--- Reads a quoted or plain name, with its schema, at `at`.
---@return string? name, integer next
local function qualified_name(s, at)
  local parts = {}
  while true do
    local _, stop = s:find('^"[^"]*"', at)
    while stop and s:sub(stop + 1, stop + 1) == '"' do _, stop = s:find('^"[^"]*"', stop + 1) end
    if not stop then _, stop = s:find('^[%w_\128-\255$]+', at) end
    if not stop then return nil, at end
    parts[#parts + 1] = s:sub(at, stop)
    at = stop + 1
    if s:sub(at, at) ~= "." then return table.concat(parts, "."), at end
    at = at + 1
  end
end

local function after(s, pattern, from)
  local _, stop = s:find(pattern, from or 1)
  return stop and stop + 1
end

local function locate(entry)
  local sql = entry.sql:gsub("^SET default_[^\n]+;\n", "")
  if entry.type == "INDEX" then
    local at = after(sql, "^CREATE INDEX ") or after(sql, "^CREATE UNIQUE INDEX ")
    local next_at
    entry.quoted, next_at = qualified_name(sql, at or 1)
    at = at and (after(sql, "^ ON ONLY ", next_at) or after(sql, "^ ON ", next_at))
    entry.table = at and qualified_name(sql, at)
  elseif entry.type == "CONSTRAINT" or entry.type == "FK CONSTRAINT" then
    local at = after(sql, "^ALTER TABLE ONLY ") or after(sql, "^ALTER TABLE ")
    local next_at
    if at then entry.table, next_at = qualified_name(sql, at) end
    local name_at = at and after(sql, "^%s+ADD CONSTRAINT ", next_at)
    local refs
    if name_at then
      entry.quoted, next_at = qualified_name(sql, name_at)
      refs = after(sql, " REFERENCES ", next_at)
    end
    if entry.type == "FK CONSTRAINT" and refs then entry.references = qualified_name(sql, refs) end
  end
end

--- Cuts the text of a plain dump into its entries.
---@return DumpEntry[] pre, DumpEntry[] post
function M.split(text)
  local pre, post, is_post = {}, {}, false
  local at, entry, settings = 1, nil, nil
  local function finish(stop)
    if not entry then return end
    local sql = text:sub(entry.from, stop):gsub("^%s+", ""):gsub("%s+$", "")
    local set
    set, settings = settings, nil
    while true do                                    -- what pg_dump sets for the entries that follow
      local cut = sql:find("\n\nSET default_[^\n]+;$")
      if not cut then break end
      settings = sql:sub(cut + 2) .. "\n" .. (settings or "")
      sql = sql:sub(1, cut - 1):gsub("%s+$", "")
    end
    local owner_at = entry.owner and sql:find("\n\nALTER [^\n]* OWNER TO [^\n]+;$")
    if owner_at then entry.owner_sql, sql = sql:sub(owner_at + 2), sql:sub(1, owner_at - 1):gsub("%s+$", "") end
    entry.sql = (set or "") .. sql
    is_post = is_post or POST[entry.type] ~= nil
    locate(entry)
    local list = is_post and post or pre
    if entry.sql ~= "" then list[#list + 1] = entry end
  end
  while true do
    local from, stop, name, kind, schema, owner =
      text:find("\n%-%-\n%-%- Name: ([^\n]-); Type: ([^\n;]-); Schema: ([^\n;]-); Owner: ([^\n]*)\n%-%-\n", at)
    if not from then break end
    finish(from)
    entry = { name = name, type = kind, schema = schema, from = stop + 1, owner = owner ~= "-" and owner ~= "" and owner or nil }
    at = stop
  end
  local tail = text:find("\n%-%-\n%-%- PostgreSQL database dump complete", at)
  finish(tail or #text)
  return pre, post
end

--- Says what pg_dump's own complaint means.
local function explain(e, stderr)
  local server, program = stderr:match "server version: (%d+)", stderr:match "pg_dump version: (%d+)"
  if server and program then
    errors.raise { op = "read the schema of " .. e.name, kind = "invalid",
      message = ("pg_dump %s cannot read a server of version %s"):format(program, server),
      hint = "install postgresql-client-" .. server }
  end
  local is_lost = stderr:find "connection to server" or stderr:find "server closed the connection" or stderr:find "terminating connection" or
    stderr:find "could not receive data from server" or stderr:find "could not send data to server"
  errors.raise { op = "read the schema of " .. e.name, kind = is_lost and "network" or "remote", retry = is_lost and true or nil,
    message = (stderr:gsub("pg_dump: ", ""):gsub("%s*\n%s*", "; "):gsub("; $", "")) }
end

--- Runs pg_dump on a reached endpoint, in the given snapshot.
---@param e PgEndpoint
---@param o { snapshot: string, exclude: string[], owners: boolean, privileges: boolean }
---@return DumpEntry[] pre, DumpEntry[] post
function M.read(e, o)
  local argv = { "pg_dump", "--section=pre-data", "--section=post-data", "--no-tablespaces",
    "--no-blobs", "--no-publications", "--no-subscriptions", "--no-security-labels", "--no-password",
    "--dbname=" .. endpoint.patience(e), env = endpoint.environment(e), timeout = 600 }
  if o.snapshot then argv[#argv + 1] = "--snapshot=" .. o.snapshot end
  if not o.owners then argv[#argv + 1] = "--no-owner" end
  if not o.privileges then argv[#argv + 1] = "--no-privileges" end
  for _, name in ipairs(o.exclude or {}) do argv[#argv + 1] = "--exclude-table=" .. name end
  local r = process.run(argv)
  if r.code ~= 0 then explain(e, r.stderr) end
  return M.split(r.stdout)
end

--- Puts extensions that stand in schema `from` (heroku_ext) into `to`.
---@param entries DumpEntry[]
---@param map table<string, string>
function M.map_schemas(entries, map)
  local kept = {}
  for _, entry in ipairs(entries) do
    local drop = entry.type == "SCHEMA" and map[entry.name] or entry.type == "COMMENT" and map[entry.name:match "^SCHEMA (.+)$" or ""]
    if not drop then
      for from, to in pairs(map) do
        entry.sql = entry.sql:gsub("%f[%w_]" .. from .. "%.", to .. "."):gsub("WITH SCHEMA " .. from .. ";", "WITH SCHEMA " .. to .. ";")
      end
      locate(entry)
      kept[#kept + 1] = entry
    end
  end
  return kept
end

return M
