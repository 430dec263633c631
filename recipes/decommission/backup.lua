--- The last dump of a Heroku database: made by pg_dump, and read again as a whole, table by table.
local errors = require "errors"
local fs = require "fs"
local endpoint = require "pg.endpoint"
local log = require "log"
local pg = require "pg"
local process = require "process"
local sign = require "sign"

local M = {}

local HOURS = 24 * 3600                 -- that a large dump may take

-- What pg_dump writes rows of: all tables of users, not those of extensions.
local TABLES = [[SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  ORDER BY 1]]

local function count_rows(where)
  local db <close> = pg.open(where, { timeout = HOURS })
  local counts = {}
  for _, t in ipairs(db:query(TABLES)) do counts[t.name] = db:value("SELECT count(*) FROM " .. t.name) end
  return counts
end

local function dump(e, path)
  local r = process.run { "pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--no-password", "--file=" .. path,
    "--dbname=" .. endpoint.patience(e), env = endpoint.environment(e), timeout = HOURS }
  if r.code ~= 0 then
    errors.raise { kind = "remote", op = "dump " .. e.name, message = (r.stderr:gsub("pg_dump: ", ""):gsub("%s*\n%s*", "; "):gsub("; $", "")),
      hint = r.stderr:find "server version" and "install the postgresql-client of the server's version" or nil }
  end
end

--- The rows of each table that a dump holds: every byte of it is read.
---@param path string
---@return table<string, integer>
function M.rows_of(path)
  local p <close> = process.start { "pg_restore", "--data-only", "--file=-", path, stdout = "pipe", stderr = path .. ".log",
    env = { PATH = os.getenv "PATH", LANG = "C.UTF-8" } }
  local counts, name = {}, nil
  for line in function() return p:read_line() end do
    if name then
      if line == "\\." then name = nil else counts[name] = counts[name] + 1 end
    else
      name = line:match "^COPY (.-) %(.*%) FROM stdin;$" or line:match "^COPY (.-)  ?FROM stdin;$"
      if name then counts[name] = 0 end
    end
  end
  local code = p:wait(60)
  local said = fs.read(path .. ".log")
  fs.remove(path .. ".log")
  if code ~= 0 then
    errors.raise { kind = "invalid", op = "read the dump " .. path, message = said:match "[^\n]+" or "pg_restore ended with " .. tostring(code),
      hint = "nothing was removed; apply again makes another" }
  end
  return counts
end

--- Raises unless the dump has exactly these rows.
---@param path string
---@param wanted table<string, integer>
---@return integer tables, integer rows
function M.prove(path, wanted)
  local held, tables, rows = M.rows_of(path), 0, 0
  for name, n in pairs(wanted) do
    if (held[name] or 0) ~= n then
      errors.raise { kind = "invalid", op = "prove the dump " .. path,
        message = ("%s has %d rows, and %d in the dump"):format(name, n, held[name] or 0),
        hint = "somebody writes to the database, or the dump is not whole: nothing was removed" }
    end
    tables, rows = tables + 1, rows + n
  end
  return tables, rows
end

--- Makes the dump and proves it.
---@param app HerokuApp
---@param dir string
---@return table facts plain data for `report`
function M.make(app, dir)
  if not app.postgres then return { none = true } end
  fs.mkdir_p(dir, 448)
  local path = ("%s/%s-%s.dump"):format(dir, app.name, os.date "!%Y%m%dT%H%M%SZ")
  local where = { url = app.postgres.url, sslmode = "require" }
  local e = endpoint.reach(where)
  local _ <close> = setmetatable({}, { __close = function() endpoint.release(e) end })
  dump(e, path)
  fs.chmod(path, 384)
  local tables, rows = M.prove(path, count_rows(where))
  log.info("    %s: %d tables, %d rows, read again and complete", path, tables, rows)
  return { file = path, bytes = fs.stat(path).size, sha256 = sign.sha256_file(path), tables = tables, rows = rows }
end

--- The lines of the report.
---@param facts any of `make`
---@return table[] rows
function M.report(facts)
  if require "recipe".is_unknown(facts) then return {} end
  if facts.none then return { { "the app had no database" } } end
  return { { "file", facts.file }, { "holds", ("%d tables, %d rows, %s"):format(facts.tables, facts.rows, log.amount(facts.bytes, "bytes")) },
    { "SHA-256", facts.sha256 }, { "to restore", ("pg_restore --no-owner -d DATABASE_URL %s"):format(facts.file) } }
end

return M
