--- PostgreSQL: connections, and a database as a whole: check, copy, same.
local connection = require "pg.connection"
local errors = require "errors"
local options = require "options"
local readonly = require "readonly"

local M = {}

local OPEN = {
  { "timeout", "seconds that one statement may take", type = "number", default = 3600 },
  { "connect_timeout", "seconds for connecting", type = "number", default = 15 },
  { "application_name", "how the session is called on the server", type = "string" },
  { "via", "an ssh session to tunnel through", type = "any" },
}

--- Connects to a database.
---@param where any postgres:// URL (string or secret), or { url=, via=, ca=, sslmode=, pin=, insecure= }
---@param opts? { timeout: number, connect_timeout: number, application_name: string, via: any }
---@return PgConnection
function M.open(where, opts)
  if where == nil then errors.usage("pg.open needs a database URL") end
  local o = options.check(opts or {}, OPEN, "pg.open")
  if o.via then
    local e = {}
    if type(where) == "table" then for k, v in pairs(where) do e[k] = v end else e.url = where end
    e.via = o.via
    where = e
  end
  return connection.open(where, o)
end

M.quote_name = connection.quote_name
M.quote_value = connection.quote_value

--- Bytes as a bytea parameter.
---@param bytes string
function M.bytea(bytes)
  return "\\x" .. bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
end

--- A list as an array parameter: strings, numbers, booleans; nil holes need n.
---@param list any[]
---@param n? integer
function M.array(list, n)
  local parts = {}
  for i = 1, n or #list do
    local v = list[i]
    if v == nil then parts[i] = "NULL"
    elseif type(v) == "table" then parts[i] = M.array(v)
    elseif type(v) == "string" then parts[i] = '"' .. v:gsub('[\\"]', "\\%0") .. '"'
    else parts[i] = tostring(v) end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

--- Copies a whole database: one snapshot, schema, rows, indexes, sequences.
function M.copy(o)
  readonly.refuse "copy a database"
  return require("pg.copy").copy(o)
end

--- Compares two databases; raises an error that names what differs.
function M.same(o) return require("pg.same").same(o) end

--- Looks for what would make a move fail or surprise; changes nothing. See docs/pg-check.md.
function M.check(o) return require("pg.check").check(o) end

return M
